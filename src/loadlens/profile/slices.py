"""Which rows of a log are looked at: those that start in a stretch of time, and fulfil a condition."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from numbers import Real
from typing import Final, Literal

import polars as pl

from loadlens.errors import UsageError
from loadlens.messages import listed, shortened
from loadlens.schema import EARLIEST_S

__all__ = [
    "INSIDE",
    "START",
    "Edges",
    "Moment",
    "Slice",
    "Span",
    "When",
    "is_span",
    "is_when",
    "rows_of_kinds",
]

Span = str | float | timedelta
"""A length of time: ``"60s"``, seconds, or a timedelta."""

When = str | float | timedelta | datetime
"""A length of time after the first start of a log, or a date and time."""

_UNITS_S: Final[Mapping[str, float]] = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)
_SPAN_EXPECTED: Final = "a length of time such as 60s, 5min or 1.5h, or auto"
_WHEN_EXPECTED: Final = (
    "a length of time after the first start, such as 5min, or a date and time, such as 2026-11-22T10:30"
)

AUTO: Final = "auto"
"""In the place of a length of time to skip: what the log itself tells to be its ramp-up."""

START: Final = "start_time"
INSIDE: Final = "inside"
_MOST_CHARACTERS: Final = 160
_KINDS: Final = (INSIDE, "before", "after", "where", "without_start")
"""What a row may be to a slice, in the order of their numbers."""


def is_span(value: object) -> bool:
    """Whether a value is of a type that tells a length of time."""
    return isinstance(value, str | timedelta | Real) and not isinstance(value, bool)


def is_when(value: object) -> bool:
    """Whether a value is of a type that tells a length of time, or a date and time."""
    return is_span(value) or isinstance(value, datetime)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a slice begins or ends.

    Attributes:
        seconds: after the first start of the log; of a date, since 1970 in UTC; of ``auto``, any.
        kind: whether it is a length of time, a date and time, or what the log itself tells.
        option: the option that says so.
        text: as it was said.
    """

    seconds: float
    kind: Literal["span", "date", "auto"] = "span"
    option: str
    text: str

    @classmethod
    def of(cls, option: str, value: When | None, *, dates: bool) -> "Moment | None":
        """Understands what a caller says.

        Raises:
            UsageError: it is no such time.
        """
        if value is None:
            return None
        text, date = str(value), _date_of(value) if dates else None
        if date is not None:
            since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
            return cls(seconds=since / timedelta(seconds=1), kind="date", option=option, text=text)
        if value == AUTO and not dates:
            return cls(seconds=0.0, kind="auto", option=option, text=text)
        seconds = _seconds_of(value)
        if seconds is None or not 0 <= seconds < math.inf:
            expected = _WHEN_EXPECTED if dates else _SPAN_EXPECTED
            raise UsageError(f"{option}: got {shortened(value)}, expected {expected}")
        return cls(seconds=seconds, option=option, text=f"{value:g}s" if isinstance(value, Real) else text)

    def on_clock(self, first_start_s: float | None, ramp_end_s: float | None) -> float | None:
        """The time on the clock of a log; None for none.

        Args:
            first_start_s: when its first call starts.
            ramp_end_s: when its ramp-up ends; None where it has none that can be told.
        """
        if self.kind == "auto":
            return ramp_end_s
        return self.seconds if self.kind == "date" else (first_start_s or 0.0) + self.seconds


def _date_of(value: When) -> datetime | None:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None


def _seconds_of(value: When) -> float | None:
    if isinstance(value, str):
        match = _SPAN.fullmatch(value.strip())
        return float(match[1]) * _UNITS_S[match[2]] if match and match[2] in _UNITS_S else None
    if isinstance(value, timedelta):
        return value / timedelta(seconds=1)
    return float(value) if isinstance(value, Real) else None


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a log, as a caller says it; the whole log without any of these.

    Attributes:
        start: where it begins.
        end: where it ends; a call that starts then is no part of it.
        where: what else holds for its rows, a Boolean expression that looks at each row by itself.
        condition: this expression as it was written.
    """

    start: Moment | None = None
    end: Moment | None = None
    where: pl.Expr | None = None
    condition: str = ""

    @classmethod
    def of(
        cls, *, skip: Span | None, from_: When | None, to: When | None, where: str | pl.Expr | None
    ) -> "Slice":
        """Understands what a caller says.

        Raises:
            UsageError: something cannot be understood, or contradicts itself.
        """
        if skip is not None and from_ is not None:
            raise UsageError("skip and from both say where the slice begins; give one of them")
        start = Moment.of("skip", skip, dates=False) or Moment.of("from", from_, dates=True)
        end = Moment.of("to", to, dates=True)
        if start and end and start.kind == end.kind and start.seconds >= end.seconds:
            raise _contradiction(start, end)
        expression = _parsed(where) if isinstance(where, str) else where
        return cls(start=start, end=end, where=expression, condition="" if expression is None else str(where))

    def __bool__(self) -> bool:
        return not (self.start is None and self.end is None and self.where is None)

    def __str__(self) -> str:
        times = [f"--{moment.option} {moment.text}" for moment in (self.start, self.end) if moment]
        return " ".join([*times, *([f"--where {shortened(self.condition)}"] if self.condition else [])])

    @property
    def moments(self) -> list[Moment]:
        """Its begin and its end, if it has them."""
        return [moment for moment in (self.start, self.end) if moment]

    @property
    def needs_first_start(self) -> bool:
        """Whether only the first start of a log tells where it begins or ends."""
        return any(moment.kind != "date" for moment in self.moments)

    @property
    def is_auto(self) -> bool:
        """Whether the log itself tells where it begins."""
        return self.start is not None and self.start.kind == "auto"

    @property
    def columns(self) -> list[str]:
        """The columns that tell whether a row is part of it."""
        return [*([START] if self.moments else []), *_roots(self.where)]

    def check(self, name: str, schema: pl.Schema) -> None:
        """Refuses a slice that a log cannot have, before its rows are read.

        Args:
            name: what messages call the log.
            schema: the log's columns.

        Raises:
            UsageError: the log has no starts, lacks a column, or the condition is none of single rows.
        """
        if self.moments and START not in schema:
            options = " and ".join(f"--{moment.option}" for moment in self.moments)
            raise UsageError(
                f"{name}: has no start_time, by which {options} tell calls apart; say which column is one "
                f"with --map start=COLUMN:UNIT, or leave {options} out"
            )
        if self.where is not None:
            _refuse_unknown(self.where, name, schema)
            _refuse_no_condition(self.where, self.condition, schema)

    def edges(self, name: str, first_start_s: float | None, ramp_end_s: float | None = None) -> "Edges":
        """Where it lies on the clock of a log.

        Args:
            name: what messages call the log.
            first_start_s: the log's first start; None where no row has one, or where dates say it all.
            ramp_end_s: when the log's ramp-up ends, where that was asked for; None where nothing tells.

        Raises:
            UsageError: it ends before it begins, or has dates where the clock has none.
        """
        start, end = self.start, self.end
        from_s = None if start is None else start.on_clock(first_start_s, ramp_end_s)
        to_s = None if end is None else end.on_clock(first_start_s, ramp_end_s)
        self.refuse_dates(name, first_start_s)
        if start and end and from_s is not None and to_s is not None and from_s >= to_s:
            raise _contradiction(start, end)
        return Edges(from_s=from_s, to_s=to_s, where=self.where)

    def refuse_dates(self, name: str, first_start_s: float | None) -> None:
        """Refuses dates where the clock of a log tells none.

        Raises:
            UsageError: names the option.
        """
        dates = [moment for moment in self.moments if moment.kind == "date"]
        if dates and first_start_s is not None and first_start_s < EARLIEST_S:
            raise UsageError(
                f"{dates[0].option}: got {shortened(dates[0].text)}, but the times of {name} are of no "
                f"calendar: they begin at {first_start_s:g} s; expected a length of time after that, such as "
                f"5min"
            )


def _roots(where: pl.Expr | None) -> list[str]:
    return [] if where is None else where.meta.root_names()


def _contradiction(start: Moment, end: Moment) -> UsageError:
    return UsageError(
        f"{start.option} {start.text} is not before {end.option} {end.text}: no call lies between; "
        f"swap them, or leave one out"
    )


def _parsed(text: str) -> pl.Expr:
    try:
        return pl.sql_expr(text)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UsageError(
            f"where: got {shortened(text)}, expected a condition in SQL, such as \"label <> 'login'\": "
            f"{_told_by(error)}"
        ) from error


def _told_by(error: BaseException) -> str:
    """What Polars says is wrong, without the query that it shows behind that, on one line."""
    words = " ".join(str(error).strip().partition("\n\n")[0].split())
    return words if len(words) <= _MOST_CHARACTERS else f"{words[:_MOST_CHARACTERS]}…"


def _refuse_unknown(where: pl.Expr, name: str, schema: pl.Schema) -> None:
    for column in where.meta.root_names():
        if column not in schema:
            names = {name.lower(): name for name in schema}
            close = get_close_matches(column.lower(), names, n=1)
            hint = f"; did you mean {names[close[0]]}?" if close else ""
            raise UsageError(f"where: {name} has no column {column}{hint}; it has: {listed(schema)}")


def _refuse_no_condition(where: pl.Expr, text: str, schema: pl.Schema) -> None:
    got = f"where: got {shortened(text)}"
    if where.meta.has_multiple_outputs():
        raise UsageError(f"{got}, which names several columns at once, expected one condition")
    empty = pl.DataFrame(schema=schema)
    try:
        dtype = empty.lazy().select(where.alias(INSIDE)).collect_schema()[INSIDE]
        if dtype != pl.Boolean:
            raise UsageError(f"{got}, which is {dtype}, expected a condition, such as memory_size >= 2048")
        if not _looks_at_single_rows(where, schema):
            raise UsageError(
                f"{got}, which looks at several rows at once, expected a condition on each row by itself: "
                f"no sums, means, ranks or windows"
            )
        empty.filter(where)
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"{got}: {_told_by(error)}{_cast_hint(where, schema)}") from error


def _cast_hint(where: pl.Expr, schema: pl.Schema) -> str:
    texts = [name for name in dict.fromkeys(where.meta.root_names()) if schema[name] == pl.String]
    return (
        f"; {texts[0]} is text: compare it with 'text', or write CAST({texts[0]} AS DOUBLE)" if texts else ""
    )


def _looks_at_single_rows(where: pl.Expr, schema: pl.Schema) -> bool:
    """Whether rows may be filtered before the condition is computed: Polars knows, and its plan tells."""
    flag = "loadlens:flag"
    rows = pl.LazyFrame(schema={**schema, flag: pl.Boolean})
    plan = rows.with_columns(where.alias(INSIDE)).filter(flag).explain()
    return not plan.lstrip().startswith("FILTER")


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Where a slice lies on the clock of a log.

    Attributes:
        from_s: it begins here; None for the begin of the log.
        to_s: it ends before this; None for the end of the log.
        where: what else holds for its rows.
    """

    from_s: float | None
    to_s: float | None
    where: pl.Expr | None

    def within(self, first_s: float | None, last_s: float | None) -> "Edges":
        """The same without edges that divide no calls of a log from its first start to its last end."""
        return replace(
            self,
            from_s=None if first_s is None or self.from_s is None or self.from_s <= first_s else self.from_s,
            to_s=None if last_s is None or self.to_s is None or self.to_s > last_s else self.to_s,
        )

    @property
    def columns(self) -> list[str]:
        """The columns that tell whether a row is part of it."""
        return [*([START] if self.has_times else []), *_roots(self.where)]

    @property
    def has_times(self) -> bool:
        """Whether it begins or ends at some time."""
        return self.from_s is not None or self.to_s is not None

    def kind(self) -> pl.Expr:
        """What a row is to the slice: a number, as ``inside``; see ``rows_of_kinds``."""
        start, found = pl.col(START), pl.lit(0, dtype=pl.UInt8)
        if self.where is not None:
            found = pl.when(self.where).then(found).otherwise(_number("where"))
        if self.to_s is not None:
            found = pl.when(start >= self.to_s).then(_number("after")).otherwise(found)
        if self.from_s is not None:
            found = pl.when(start < self.from_s).then(_number("before")).otherwise(found)
        if self.has_times:
            found = pl.when(start.is_null()).then(_number("without_start")).otherwise(found)
        return found.alias(INSIDE)

    def holds(self) -> pl.Expr:
        """Whether a row is part of the slice: a condition that scans of files know to use."""
        start = pl.col(START)
        parts = [
            *([] if self.from_s is None else [start >= self.from_s]),
            *([] if self.to_s is None else [start < self.to_s]),
            *([] if self.where is None else [self.where]),
        ]
        return pl.all_horizontal(parts or [pl.lit(value=True)])


def rows_of_kinds(kinds: Sequence[int], rows: Sequence[int]) -> dict[str, int]:
    """How many rows there are of each kind, by its name: ``inside``, ``before`` and so on."""
    return {name: dict(zip(kinds, rows, strict=True)).get(kind, 0) for kind, name in enumerate(_KINDS)}


def _number(kind: str) -> pl.Expr:
    return pl.lit(_KINDS.index(kind), dtype=pl.UInt8)
