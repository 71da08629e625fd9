"""What samples of JMeter have in common, whether they come as CSV or as XML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import EARLIEST_S, LATEST_S, Rule, told_date
from loadlens.sources.dialects.jmeter_times import TimeForm
from loadlens.sources.dialects.names import error_class, filled
from loadlens.sources.parsed import Parsed
from loadlens.sources.text.blocks import Block
from loadlens.sources.text.delimited import Table
from loadlens.sources.text.framing import Framing
from loadlens.sources.text.nesting import DOUBTFUL, EMPTY_TRANSACTIONS, PARTS, SPANS, TRANSACTIONS
from loadlens.sources.wording import are, counted, counted_kind

__all__ = [
    "PART_NAME",
    "REQUESTS",
    "SUMS",
    "SUMS_ADVICE",
    "TRANSACTION_MESSAGE",
    "SampleTable",
    "failure_class",
    "is_transaction",
    "may_belong",
    "nesting_warnings",
    "refuse",
    "spans",
    "status",
    "time_rule",
]

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
