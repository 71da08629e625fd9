"""The canonical columns: their types, units and the rules that reject a row.

Columns are declared here once, as data, and never inferred from a file.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import polars as pl

__all__ = [
    "CALENDAR_RULES",
    "CANONICAL_COLUMNS",
    "CONFIGURATION_COLUMNS",
    "EARLIEST_S",
    "ENDPOINT_METRIC_COLUMNS",
    "ENDPOINT_STATISTICS",
    "ERROR_CLASS",
    "ERROR_COLUMNS",
    "FAILED_LATENCY_MS",
    "LATENCY",
    "LATEST_S",
    "MAX_LATENCY_MS",
    "MAX_TIME_S",
    "RULES",
    "Column",
    "Rule",
    "breaks_one_of",
    "breaks_rule",
    "canonical",
    "coarse_time_rules",
    "latency_is_positive",
    "rules_for",
    "told_date",
]

LATENCY: Final = "invocation_latency"
ERROR_CLASS: Final = "error"
ERROR_COLUMNS: Final = ("throttle_exception", "insufficient_memory_error", "other_model_error")
CONFIGURATION_COLUMNS: Final = ("max_concurrency", "num_clients", "memory_size")

FAILED_LATENCY_MS: Final = -1.0
"""What the reference toolkit logs as the latency of a call that failed."""

MAX_LATENCY_MS: Final = 2.0**40
"""A latency from this on (35 years) is a unit mistake, not a measurement."""

MAX_TIME_S: Final = 2**34
"""A time from this on (the year 2514 of the epoch) is a unit mistake, not a time."""

EARLIEST_S: Final = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp())
"""Calendar times before this one are counts in another unit, or of nothing."""

LATEST_S: Final = 2**33
"""Calendar times after this one (in 2242) are counts in another unit; what is earlier fits an Int64 of ns."""

_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_KNOWN_TO_1_MS: Final = {pl.Float32: 2**14, pl.Float16: 2}  # the s from which on they are coarser

_NOT_WHOLE: Final = -128  # fits the narrowest canonical integer and breaks every rule for integers

ENDPOINT_STATISTICS: Final = ("Average", "Minimum", "Maximum", "p25", "p50", "p75")
ENDPOINT_METRIC_COLUMNS: Final[dict[str, pl.DataType]] = {
    "Timestamp": pl.String(),
    **dict.fromkeys(ENDPOINT_STATISTICS, pl.Float64()),
    "Unit": pl.String(),
    "metric_name": pl.String(),
    **dict.fromkeys(CONFIGURATION_COLUMNS, pl.Float64()),
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One canonical column of an invocation log."""

    name: str
    dtype: pl.DataType
    unit: str
    meaning: str


def _column(name: str, dtype: type[pl.DataType], unit: str, meaning: str) -> Column:
    return Column(name=name, dtype=dtype(), unit=unit, meaning=meaning)


CANONICAL_COLUMNS: Final[dict[str, Column]] = {
    column.name: column
    for column in (
        _column(LATENCY, pl.Float64, "ms", "latency seen by the client; -1 for a failed call without one"),
        _column("response_size", pl.Int64, "bytes", "size of the response; null on failures"),
        _column("throttle_exception", pl.Int8, "0/1", "the call was throttled"),
        _column("insufficient_memory_error", pl.Int8, "0/1", "the endpoint ran out of memory"),
        _column("other_model_error", pl.Int8, "0/1", "any other error of the model"),
        _column("start_time", pl.Float64, "s", "start of the call, on any clock"),
        _column("end_time", pl.Float64, "s", "end of the call, on the clock of start_time"),
        _column("memory_size", pl.Int64, "MB", "configured memory"),
        _column("max_concurrency", pl.Int64, "", "configured maximum of concurrent calls"),
        _column("num_clients", pl.Int64, "", "clients that called at the same time"),
        _column("invoke_arg_index", pl.Int64, "", "index of the example request; not used"),
        _column("success", pl.Boolean, "", "whether the call succeeded"),
        _column("error", pl.String, "", "error class; null when there was none"),
        _column("label", pl.String, "", "name of the request"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A row for which ``broken`` is true is never counted: it is set aside, or the log is refused.

    Attributes:
        column: the column at fault.
        expected: what the column must hold, as a message says it.
        broken: a Boolean expression over canonical columns; null means unbroken.
        told: what to say of a value that breaks it; empty where there is nothing to say.
    """

    column: str
    expected: str
    broken: pl.Expr
    told: Callable[[object], str] | None = None

    @cached_property
    def needs(self) -> frozenset[str]:
        """The columns that it looks at; it holds for logs that have all of them."""
        return frozenset(self.broken.meta.root_names())


def told_date(value: object, *, unit: str = "s") -> str:
    """The date that a count since 1970 stands for, and the units in which it would be one of our days.

    Args:
        value: the count; of anything else nothing is told.
        unit: the unit that it should be in: ``s``, ``ms``, ``us`` or ``ns``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    is_date = 0 <= value / _UNITS[unit] <= LATEST_S
    told = [_date(value / _UNITS[unit])] if is_date else []
    told += [
        f"in {other} it would be {_date(value / count)}"
        for other, count in _UNITS.items()
        if other != unit and EARLIEST_S <= value / count <= LATEST_S
    ]
    return ", ".join(told)


def _told_scaled(value: object) -> str:
    """The date of a time that was in another unit in the log, and by what it is off."""
    if not isinstance(value, int | float):
        return ""
    told = [_date(value)] if 0 <= value <= LATEST_S else []
    told += [
        f"{how} by {factor:,} it would be {_date(scaled)}"
        for factor in (10**3, 10**6, 10**9)
        for how, scaled in (("multiplied", value * factor), ("divided", value / factor))
        if EARLIEST_S <= scaled <= LATEST_S
    ]
    return ", ".join(told)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _latency_rules() -> tuple[Rule, ...]:
    latency = pl.col(LATENCY)
    usable = Rule(
        column=LATENCY,
        expected=f"a finite latency from 0 to {MAX_LATENCY_MS:.0e} ms, or -1 for a failed call",
        # NaN compares as larger than every number, so one upper bound catches it too.
        broken=(latency >= MAX_LATENCY_MS) | ((latency < 0) & (latency != FAILED_LATENCY_MS)),
    )
    of_success = Rule(
        column=LATENCY,
        expected="0 ms or more, or nothing, for a call that succeeded",
        broken=pl.col("success") & (latency < 0),
    )
    return usable, of_success


def _rules() -> tuple[Rule, ...]:
    times = [
        Rule(
            column=name,
            expected=f"a finite number of seconds below {MAX_TIME_S:.0e}",
            broken=~pl.col(name).is_between(-MAX_TIME_S, MAX_TIME_S, closed="none"),
            told=told_date,
        )
        for name in ("start_time", "end_time")
    ]
    order = Rule(
        column="end_time",
        expected="an end that is not before its start",
        broken=pl.col("end_time") < pl.col("start_time"),
    )
    configuration = [
        Rule(
            column=name,
            expected="a whole number, 0 or more",
            broken=pl.col(name).is_null() | (pl.col(name) < 0),
        )
        for name in CONFIGURATION_COLUMNS
    ]
    errors = [
        Rule(column=name, expected="0, 1 or empty", broken=~pl.col(name).is_in([0, 1]))
        for name in ERROR_COLUMNS
    ]
    size = Rule(
        column="response_size",
        expected="a whole number of bytes, or empty",
        broken=pl.col("response_size") < 0,
    )
    success = Rule(column="success", expected="true or false", broken=pl.col("success").is_null())
    return (*_latency_rules(), *times, order, *configuration, *errors, size, success)


RULES: Final[tuple[Rule, ...]] = _rules()
"""What every row must keep to, whatever form of input it comes from; the first that it breaks is told."""


CALENDAR_RULES: Final[tuple[Rule, ...]] = tuple(
    Rule(
        column=name,
        expected="a time from 1990 to 2242 in the unit of the format",
        broken=~pl.col(name).is_between(EARLIEST_S, LATEST_S),
        told=_told_scaled,
    )
    for name in ("start_time", "end_time")
)
"""What rows must keep to besides, of a log whose times are calendar times: it tells mistaken units."""


def coarse_time_rules(schema: Mapping[str, pl.DataType]) -> tuple[Rule, ...]:
    """That times in narrow floats are small enough to be known to 1 ms, for the columns that are narrow."""
    narrow = {
        name: limit
        for name in ("start_time", "end_time")
        for dtype, limit in _KNOWN_TO_1_MS.items()
        if schema.get(name) == dtype
    }
    return tuple(
        Rule(
            column=name,
            expected=f"less than {limit:,} s in a column of {schema[name]}: it knows "
            f"larger times to more than 1 ms only; keep times as Float64",
            broken=pl.col(name).abs() >= limit,
        )
        for name, limit in narrow.items()
    )


def rules_for(columns: Collection[str]) -> tuple[Rule, ...]:
    """The rules that rows with these columns must keep to."""
    return tuple(rule for rule in RULES if rule.needs.issubset(columns))


def breaks_rule(columns: Collection[str]) -> pl.Expr:
    """Whether a row with these columns breaks a rule: true or false, never null."""
    return breaks_one_of(rules_for(columns))


def breaks_one_of(rules: Iterable[Rule]) -> pl.Expr:
    """Whether a row breaks one of ``rules``: true or false, never null."""
    broken = [rule.broken.fill_null(value=False) for rule in rules]
    return pl.any_horizontal(broken) if broken else pl.lit(value=False)


def latency_is_positive() -> pl.Expr:
    """A call succeeded when it has a latency: failures are logged as -1."""
    return pl.col(LATENCY) > 0


def canonical(name: str, dtype: pl.DataType) -> pl.Expr:
    """Casts column ``name`` of type ``dtype`` to its canonical type, losing nothing.

    A fraction in an integer column becomes a negative number and so breaks that column's rule; text
    that is no number is left to Polars, which raises on the cast. Times in floats of 32 or 16 bits become
    NaN, and so break their rule, where these tell them to 2 s or worse.
    """
    target = CANONICAL_COLUMNS[name].dtype
    column = pl.col(name)
    if dtype == target:
        return column
    coarse = coarse_time_rules({name: dtype})
    if coarse:  # infinity breaks the rule of times
        too_large = pl.lit(float("inf"))
        return pl.when(coarse[0].broken).then(too_large).otherwise(column.cast(target)).alias(name)
    if target == pl.Boolean and dtype == pl.String:
        text = column.str.strip_chars().str.to_lowercase()
        truth = pl.when(text.is_in(["true", "1"])).then(pl.lit(True))
        return truth.when(text.is_in(["false", "0"])).then(pl.lit(False)).alias(name)
    if target.is_integer() and dtype.is_numeric():
        cast = column.cast(target, strict=False)
        not_whole = pl.lit(_NOT_WHOLE, dtype=target)
        return pl.when((cast == column) | column.is_null()).then(cast).otherwise(not_whole).alias(name)
    return column.cast(target)
