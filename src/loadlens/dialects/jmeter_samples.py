"""What samples of JMeter have in common, whether they come as CSV or as XML, and how it writes times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import polars as pl

from loadlens.dialects.base import error_class, filled
from loadlens.errors import InputError
from loadlens.messages import are, counted, counted_kind
from loadlens.schema import EARLIEST_S, LATEST_S, Rule, told_date
from loadlens.text.delimited import Table
from loadlens.text.nesting import DOUBTFUL, EMPTY_TRANSACTIONS, PARTS, SPANS, TRANSACTIONS
from loadlens.text.record_blocks import Block, Framing
from loadlens.text.typed_rows import Parsed

__all__ = [
    "MILLISECONDS",
    "PART_NAME",
    "REQUESTS",
    "SUMS",
    "SUMS_ADVICE",
    "TRANSACTION_MESSAGE",
    "SampleTable",
    "TimeForm",
    "failure_class",
    "form_names",
    "is_transaction",
    "may_belong",
    "nesting_warnings",
    "refuse",
    "spans",
    "status",
    "time_form",
    "time_rule",
]


_CLOCK: Final = r"\d\d:\d\d:\d\d"
_FRACTION: Final = r"(?:[.,]\d{1,9})?"
_ZONE: Final = r"(?:Z|[+-]\d\d:?\d\d)"

TRANSACTION_MESSAGE: Final = "Number of samples in transaction"
"""How the message of a transaction controller begins."""

PART_NAME: Final = r"-\d+"
"""What JMeter adds to the name of a sample for each of its parts."""

REQUESTS: Final = "requests"
SUMS: Final = "rows with a SampleCount above 1"
SUMS_ADVICE: Final = (
    "each is the sum of several samples, of which no latency can be told; write the log with mode=Standard "
    "in place of mode=Statistical"
)

_WHY_LEFT_OUT: Final = {
    TRANSACTIONS: "the log has their samples, which they would count twice; see --level transactions",
    EMPTY_TRANSACTIONS: "they made no call",
    PARTS: "steps of redirects and embedded resources, whose time the samples around them include",
}
_COUNT_AS_CALLS: Final = "transaction controllers count as calls"
_FIRST_FAILED_CODE: Final = 400
_SAMPLES: Final = rf"^{TRANSACTION_MESSAGE} : (\d+)"


@dataclass(frozen=True, kw_only=True)
class TimeForm:
    """One way to write times.

    Attributes:
        name: what Java and people call it.
        shape: a regular expression that all its times match.
        formats: how Polars reads it, each tried in turn; none for ms since 1970.
        other: the form with day and month the other way round, for which it could be mistaken.
    """

    name: str
    shape: str
    formats: tuple[str, ...] = ()
    other: "TimeForm | None" = None

    @property
    def is_text(self) -> bool:
        """Whether it is not a number."""
        return bool(self.formats)

    def ms(self, column: pl.Expr) -> pl.Expr:
        """Times as ms since 1970, without a time zone as of UTC; null where they are not of this form."""
        if not self.formats:
            return column
        text = column.str.strip_chars().str.replace(r"^(.*\d\d),(\d{1,9})$", "$1.$2")
        read = [
            text.str.to_datetime(
                form, time_unit="ms", time_zone="UTC" if form.endswith("z") else None, strict=False
            ).dt.epoch("ms")
            for form in self.formats
        ]
        return pl.coalesce(*read)

    def matches(self, times: Sequence[str]) -> int:
        """How many of ``times`` are of this form."""
        likely = [text for text in times if re.fullmatch(self.shape, text)]
        if not self.formats or not likely:
            return len(likely)
        read = pl.DataFrame({"time": likely}, schema={"time": pl.String}).select(self.ms(pl.col("time")))
        return read.height - read.to_series().null_count()

    @property
    def strftime(self) -> str:
        """The form as a map of columns takes it."""
        return self.formats[0]

    def clock_ms(self, times: Sequence[str]) -> int:
        """How fine its times are: 1 ms, or 1,000 where they tell whole seconds only."""
        return 1000 if self.formats and not any(re.search(rf"{_CLOCK}[.,]\d", text) for text in times) else 1


def _dated(name: str, date: str, shape: str) -> TimeForm:
    """A form of a date and a time of day, with or without parts of a second."""
    return TimeForm(
        name=f"{name} HH:mm:ss", shape=f"{shape} {_CLOCK}{_FRACTION}", formats=(f"{date} %H:%M:%S%.f",)
    )


def _either(month_first: TimeForm, day_first: TimeForm) -> tuple[TimeForm, TimeForm]:
    """Two forms that some times could be in both of."""
    return (
        TimeForm(**{**vars(month_first), "other": day_first}),
        TimeForm(**{**vars(day_first), "other": month_first}),
    )


MILLISECONDS: Final = TimeForm(name="ms since 1970", shape=r"-?\d+(?:\.0*)?")

_FORMS: Final = (
    MILLISECONDS,
    _dated("yyyy/MM/dd", "%Y/%m/%d", r"\d{4}/\d\d?/\d\d?"),
    TimeForm(
        name="yyyy-MM-dd HH:mm:ss",
        shape=rf"\d{{4}}-\d\d?-\d\d?[ T]{_CLOCK}{_FRACTION}{_ZONE}?",
        formats=(
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f%#z",
            "%Y-%m-%d %H:%M:%S%.f%#z",
        ),
    ),
    *_either(
        _dated("MM/dd/yy", "%m/%d/%y", r"\d\d?/\d\d?/\d\d"),
        _dated("dd/MM/yy", "%d/%m/%y", r"\d\d?/\d\d?/\d\d"),
    ),
    *_either(
        _dated("MM/dd/yyyy", "%m/%d/%Y", r"\d\d?/\d\d?/\d{4}"),
        _dated("dd/MM/yyyy", "%d/%m/%Y", r"\d\d?/\d\d?/\d{4}"),
    ),
    _dated("dd.MM.yyyy", "%d.%m.%Y", r"\d\d?\.\d\d?\.\d{4}"),
    _dated("dd.MM.yy", "%d.%m.%y", r"\d\d?\.\d\d?\.\d\d"),
    TimeForm(
        name="EEE MMM dd HH:mm:ss yyyy",
        shape=rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]?\d {_CLOCK} (?:(?:UTC|GMT) )?\d{{4}}",
        formats=("%a %b %e %H:%M:%S %Y", "%a %b %e %H:%M:%S UTC %Y", "%a %b %e %H:%M:%S GMT %Y"),
    ),
)


def time_form(times: Sequence[str]) -> tuple[TimeForm, bool]:
    """The form that most of ``times`` are in, and whether another one could be meant.

    Of a month and a day that could be either, the month comes first, as in JMeter's own ``MM/dd/yy``.

    Args:
        times: as logged, without blanks around them.

    Raises:
        ValueError: they are in no form that is known; it holds the first.
    """
    if not times:
        return MILLISECONDS, False
    counts = [form.matches(times) for form in _FORMS]
    best = max(range(len(_FORMS)), key=lambda index: counts[index])  # the first of several
    if not counts[best]:
        raise ValueError(times[0])
    form = _FORMS[best]
    return form, form.other is not None and form.other.matches(times) == counts[best]


def form_names() -> list[str]:
    """What the forms of text are called."""
    return [form.name for form in _FORMS if form.is_text]


def is_transaction(message: pl.Expr) -> pl.Expr:
    """Whether a row is the sum of a transaction controller."""
    return message.str.starts_with(TRANSACTION_MESSAGE).fill_null(value=False)


def may_belong(message: pl.Expr, label: pl.Expr) -> pl.Expr:
    """Whether a row may be a sum, or a part of another row by its name."""
    return is_transaction(message) | label.str.contains(rf"{PART_NAME}$").fill_null(value=False)


def spans(
    *,
    thread: pl.Expr | None,
    idle: pl.Expr | None,
    start_ms: pl.Expr,
    elapsed: pl.Expr,
    label: pl.Expr,
    message: pl.Expr,
    clock_ms: int,
) -> tuple[pl.Expr, ...]:
    """What tells which samples belong together, as the columns of ``SPANS``.

    Args:
        thread: the name of the thread; None where the log does not tell it.
        start_ms: when a sample starts.
        elapsed: how long it took, ms.
        idle: pauses within it that are not in ``elapsed``, ms as text; None where the log does not tell them.
        label: its name.
        message: the message of its response.
        clock_ms: how fine its times are.
    """
    end = start_ms + elapsed
    if idle is not None:
        end += idle.str.extract(r"^\s*(\d{1,12})").cast(pl.Int64).fill_null(0)
    stem, root = label.str.replace(rf"{PART_NAME}$", ""), label.str.replace(rf"({PART_NAME})+$", "")
    columns = {
        "thread": pl.lit(0) if thread is None else thread.fill_null("").hash(),
        "start": start_ms,
        "end": end,
        "until": end + clock_ms,  # starts and durations come from two clocks: ends may be a tick apart
        "label": label.hash(),
        "stem": pl.when(stem != label).then(stem.hash()),
        "root": pl.when(stem != label).then(root.hash()),
        "samples": pl.when(is_transaction(message)).then(
            message.str.extract(_SAMPLES).cast(pl.Int64, strict=False).fill_null(1)
        ),
    }
    return tuple(columns[name].cast(dtype).alias(name) for name, dtype in SPANS.items())


def status(code: pl.Expr) -> pl.Expr:
    """A status as JMeter writes it: without blanks, and without the point that other programs add."""
    return code.str.strip_chars().str.replace(r"^(\d+)\.0*$", "$1")


def failure_class(code: pl.Expr | None, messages: Sequence[pl.Expr]) -> pl.Expr:
    """How failed samples failed: their status or, where they have none, the beginning of a message.

    Args:
        code: the status of each; None where the log has none.
        messages: what else tells, the best first.
    """
    classes = []
    if code is not None:
        known = status(code).str.strip_prefix("Non HTTP response code: ")
        passed = known.cast(pl.Int64, strict=False) < _FIRST_FAILED_CODE
        classes.append(pl.when(passed).then(pl.lit("failed with ") + known).otherwise(filled(known)))
    for text in messages:
        beginning = error_class(text, r"\n:(")
        classes.append(filled(pl.when(~is_transaction(text)).then(beginning)))
    return pl.coalesce(*classes, pl.lit("failed"))


def time_rule(column: str, form: TimeForm) -> Rule:
    """That a time is of that form, and of our days, which also tells a mistaken unit."""
    time = form.ms(pl.col(column))
    how = f"a time as {form.name}" if form.is_text else form.name
    broken = ~time.is_between(EARLIEST_S * 1000, LATEST_S * 1000).fill_null(value=not form.is_text)
    told = None if form.is_text else partial(told_date, unit="ms")
    return Rule(column=column, expected=f"{how}, from 1990 to 2242", broken=broken, told=told)


def refuse(parsed: Parsed, reasons: Mapping[str, str]) -> Parsed:
    """The same rows, of which none may have been left out for one of ``reasons``.

    Raises:
        InputError: some were.
    """
    for what, reason in reasons.items():
        if parsed.left_out.get(what):
            raise InputError(f"has {what}: {reason}")
    return parsed


def nesting_warnings(facts: Mapping[str, int]) -> list[str]:
    """What was left out, one sentence each."""
    found = [
        f"{counted_kind(facts[what], what)} {are(facts[what])} left out: {why}"
        for what, why in _WHY_LEFT_OUT.items()
        if facts.get(what)
    ]
    if facts.get(DOUBTFUL):
        calls = counted(facts[DOUBTFUL], "transaction controller counts as a call", _COUNT_AS_CALLS)
        found.append(
            f"{calls}, as the log has no sample within the time logged, though it has those of others of "
            f"that name: samples are missing, or pauses are left out of the time (write idle_time=true)"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Reads samples from separated cells; what tells which belong together only where some may.

    Attributes:
        plain: reads them, and tells in its only span whether each may belong to another.
        spanning: reads them with all that tells which belong together.
        is_nested: whether the head of the file has samples that may belong to others.
        refused: why a log is refused in which rows are left out as that.
    """

    plain: Table
    spanning: Table
    is_nested: bool
    refused: Mapping[str, str]

    @property
    def has_header(self) -> bool:
        """Whether the first record names the columns."""
        return self.plain.has_header

    @property
    def framing(self) -> Framing:
        """What a record is."""
        return self.plain.framing

    @property
    def schema(self) -> pl.Schema:
        """The canonical columns."""
        return self.plain.schema

    @property
    def meaning(self) -> tuple[tuple[str, str], ...]:
        """The columns of the file that are read."""
        return self.plain.meaning

    def read(self, block: Block) -> Parsed:
        """Reads one block.

        Raises:
            InputError: some of its rows make sense of none.
        """
        if not self.is_nested:
            parsed = refuse(self.plain.read(block), self.refused)
            if parsed.spans is None or not parsed.spans.to_series().any():
                return replace(parsed, spans=None)
        return refuse(self.spanning.read(block), self.refused)
