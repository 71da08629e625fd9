"""What to measure and what comes back, and a log's rows as they are counted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import UsageError
from loadlens.logs.log import Log
from loadlens.logs.metadata import success_rule_of
from loadlens.logs.outside import Outside
from loadlens.profile.measures import Measure
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.slices import Edges
from loadlens.schema import (
    CANONICAL_COLUMNS,
    ERROR_CLASS,
    ERROR_COLUMNS,
    LATENCY,
    RULES,
    Rule,
    breaks_one_of,
    latency_is_positive,
)

__all__ = [
    "DEFAULT_PERCENTILES",
    "FIVE",
    "SUCCESS_RULES",
    "Outliers",
    "Plan",
    "Rows",
    "Statistics",
    "UnusableRowsError",
    "WindowPlan",
    "below_name",
    "checked_outliers",
    "latency_is_positive",
    "percentile_name",
    "success_of",
    "success_rule",
]


Outliers = Literal["mean-iqr", "tukey", "none"]
DEFAULT_PERCENTILES: Final = (0.9, 0.95, 0.99, 0.999)

FIVE: Final[Mapping[str, float]] = MappingProxyType(
    {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
)
"""The quantiles that describe a population."""

SUCCESS_RULES: Final[Mapping[str, pl.Expr]] = MappingProxyType(
    {
        "success": pl.col("success"),
        "invocation_latency > 0": latency_is_positive(),
        "invocation_latency > 0 and response_size > 0": latency_is_positive() & (pl.col("response_size") > 0),
    }
)
"""Expressions of ``Plan.success`` by the names under which other processes and later runs know them."""

_COUNTED_COLUMNS = frozenset({LATENCY, "start_time", "end_time", *ERROR_COLUMNS})


def checked_outliers(outliers: Outliers) -> Outliers:
    """The fence that a caller asks for.

    Raises:
        UsageError: there is no such fence.
    """
    choices = get_args(Outliers)
    if outliers not in choices:
        raise UsageError(f"outliers: got {outliers!r}, expected one of {', '.join(choices)}")
    return outliers


def success_of(columns: Iterable[str]) -> pl.Expr:
    """By what calls of a log with these columns count as successful where nobody says otherwise."""
    return SUCCESS_RULES[success_rule_of(columns)]


def success_rule(success: pl.Expr) -> str | None:
    """The name of an expression in ``SUCCESS_RULES``; None for one of the caller's own."""
    return next((name for name, known in SUCCESS_RULES.items() if known.meta.eq(success)), None)


def percentile_name(quantile: float) -> str:
    """The column name of a quantile: 0.5 is ``p50``, 0.999 is ``p999``, 0.055 is ``p055``."""
    whole, _, rest = f"{quantile * 100:.10f}".rstrip("0").partition(".")
    return f"p{whole:0>2}{rest}"


Open = Callable[[pl.DataFrame, pl.DataFrame], NDArray[np.bool_]]
"""From tables of what figures are at least and at most, row by row, to the rows that have to be exact."""


def below_name(limit_ms: float) -> str:
    """The column that counts the successes below a latency."""
    return f"num_below_{limit_ms!r}"


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """What to measure of every key in every window of time of one width.

    Attributes:
        width_s: the width in s; windows begin at multiples of it on the log's clock.
        figures: the figures of a window, by what ``Plan`` says of its fields.
        is_open: says in which windows figures have to be exact.
    """

    width_s: float
    figures: "Plan"
    is_open: Open


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure of a log.

    Attributes:
        key: the configuration columns; none for the log as a whole.
        success: which rows are successful calls, a Boolean expression over canonical columns.
        fence_over_failures: whether the fence's mean and IQR are taken over all rows as logged, failures
            (-1) included, or over the successes alone.
        outliers: the fence above which calls are removed: ``mean-iqr`` is mean + 5 IQR, ``tukey`` is
            q75 + 1.5 IQR, ``none`` removes nothing.
        counts_outliers: whether successes above mean + 5 IQR are counted where nothing is removed.
        percentiles: quantiles of the successes to report, before outliers are removed.
        response_sizes: whether the sizes of responses are summed up.
        kept_percentiles: quantiles to report of the kept successes.
        limits_ms: latencies, 0 or more, below which successes are counted.
        described_by: which of ``min``, ``q25``, ``median``, ``q75`` and ``max`` describe a population, the
            ends at least.
        keeps_profile: whether the whole profile is wanted with its timeline, as it is to be saved; not for
            exact figures.
        with_timeline: whether the profile has a timeline in any case.
        with_further: whether it has a timeline and failed calls at all, where these were counted.
        window_s: the width in s of the windows of a timeline; None for one that fits the log's span.
        measures: further durations that are counted as latencies are.
        failures: whether failed calls are told apart by their error besides.
        histogram: whether the distribution of the kept calls is wanted, which takes ``q25`` and ``q75`` too.
        windows: what is measured by window of time besides.
        bounds: whether it is told between what figures that are not exact lie; not of IQRs.
    """

    key: tuple[str, ...]
    success: pl.Expr = field(default_factory=latency_is_positive)
    fence_over_failures: bool = True
    outliers: Outliers = "none"
    counts_outliers: bool = False
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    response_sizes: bool = False
    kept_percentiles: tuple[float, ...] = ()
    limits_ms: tuple[float, ...] = ()
    described_by: tuple[str, ...] = tuple(FIVE)
    keeps_profile: bool = False
    with_timeline: bool = False
    with_further: bool = True
    window_s: int | None = None
    measures: tuple[Measure, ...] = ()
    failures: bool = False
    histogram: bool = True
    windows: tuple[WindowPlan, ...] = ()
    bounds: bool = False

    @property
    def described(self) -> dict[str, float]:
        """The quantiles that describe a population, by name."""
        return {name: FIVE[name] for name in self.described_by}

    @property
    def of_measures(self) -> "Plan":
        """What is measured of each measure: what describes its distribution."""
        return Plan(key=self.key, success=self.success, percentiles=self.percentiles, histogram=False)

    @property
    def fence(self) -> Outliers:
        """The fence that successes are counted above, whether or not they are removed."""
        return "mean-iqr" if self.outliers == "none" and self.counts_outliers else self.outliers


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Figures by configuration. Latencies in ms, sizes in bytes, times in s.

    Attributes:
        table: one row for each key, ascending: the key columns as ``key:<name>``; ``num_rows``,
            ``num_invocations`` (rows with a latency), ``num_successes``, one sum for each error column
            that the log has; ``response_size_sum`` and ``response_size_count`` of the successes;
            ``success_min``, ``_mean``, ``_median``, ``_max``, ``_iqr`` and the percentiles of the
            successes; ``outlier_fence``, ``outliers_above_fence``, ``outliers_removed``; ``num_kept`` and
            ``kept_min``, ``_mean``, ``_median``, ``_max``, ``_iqr`` of the kept successes: those at or below
            the fence, or all where nothing is removed; ``tps_avg``,
            ``tps_p25``, ``tps_p50``, ``tps_p75``, ``tps_max``, ``throughput`` and ``throughput_high`` (the
            most that the resolution of the clock leaves open) of these, and a
            ``kept_<percentile>`` for each that was asked for; ``num_below_<ms>``, the successes below each
            limit. Where figures are not exact and the plan wants bounds, each has two columns more: what it
            is at least, ``low:<figure>``, and at most, ``high:<figure>``.
        histogram: the kept latencies, binned, where the plan wants them: the key columns as ``key:<name>``,
            ``latency_ms`` (mean of the bin) and ``count``. Its size does not depend on the number of rows.
        profile: the counts that the figures come from. Where there are so many keys that these were measured
            in parts, it has a pace in the place of seconds, and the buckets, like ``histogram``, are those of
            the 1,000 keys with the most calls alone; not where the plan keeps the profile.
        measures: by the name of each measure that the plan has a table like ``table`` of the calls by it in
            the place of the latency, in ms; percentiles are called as those of the latency.
        windows: by the width of windows in s a table like ``table`` of each key in each window, with
            a column ``window_name`` (which multiple of the width it is) beside the key columns. Where a
            window need not be exact, a figure is the least that it can be; of saved profiles it has bounds.
        relative_error: bound of the relative error of every order statistic (quantiles, minima, maxima) of
            the successes; 0 where they are exact. With a fence that is not exact, a call close to it may
            count as kept or not.
        spilled_bytes: size of the temporary file that rows went through, else 0.
        edges: where the slice of the log lies that was measured; None for the whole log.
        outside: the rows outside that slice.
    """

    table: pl.DataFrame
    histogram: pl.DataFrame
    profile: Profile
    relative_error: float
    windows: Mapping[float, pl.DataFrame] = field(default_factory=dict)
    measures: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    spilled_bytes: int = 0
    edges: Edges | None = None
    outside: Outside | None = None

    def measured_rows(self, log: Log) -> Log:
        """The rows of a log that are measured: those of the slice."""
        return log if self.edges is None else replace(log, frame=log.frame.filter(self.edges.holds()))


class UnusableRowsError(Exception):
    """Some row holds a value that no statistic may use; which one is left to the caller to find."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is asked of a log.

    Attributes:
        frame: the columns of the key as ``key:<name>``, ``success``, the latency, ``start_time`` and
            ``end_time``, and what else the plan needs; as ``unusable`` whether a row breaks a rule, where
            there are rules that counting does not check.
        plan: what is measured.
        errors: the error columns that the log has.
        logged_times: which times it holds as they were logged.
    """

    frame: pl.LazyFrame
    plan: Plan
    errors: tuple[str, ...]
    logged_times: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, plan: Plan) -> "Rows":
        """The rows of ``log``."""
        keys = [
            pl.col(name).alias(internal) for name, internal in zip(plan.key, key_names(plan.key), strict=True)
        ]
        rules = [rule for rule in log.open_rules if not _is_counted(rule, plan)]
        schema = log.frame.collect_schema() if plan.measures else {}
        success = plan.success.fill_null(value=False)
        measures = [one.values(schema[one.column], success) for one in plan.measures]
        return cls(
            frame=log.frame.select(*keys, *_needed_columns(log, plan, rules), *measures),
            plan=plan,
            errors=_error_columns(log),
            logged_times=log.logged_times,
        )

    @property
    def checks_success(self) -> bool:
        """Whether a success of latency -1 breaks a rule: that is one of what the log says, not of a guess."""
        return is_logged_success(self.plan)


def is_logged_success(plan: Plan) -> bool:
    """Whether calls count as successful where the log says so."""
    return plan.success.meta.eq(SUCCESS_RULES["success"])


def _error_columns(log: Log) -> tuple[str, ...]:
    return tuple(name for name in ERROR_COLUMNS if name in log.columns)


def _has_classes(log: Log) -> bool:
    return ERROR_CLASS in log.columns and log.frame.collect_schema()[ERROR_CLASS] == pl.String


def _needed_columns(log: Log, plan: Plan, rules: Sequence[Rule]) -> list[pl.Expr]:
    measures = ("start_time", "end_time", *(("response_size",) if plan.response_sizes else ()))
    return [
        plan.success.fill_null(value=False).alias("success"),
        pl.col(LATENCY),
        *([breaks_one_of(rules).alias("unusable")] if rules else []),
        *map(pl.col, _error_columns(log)),
        *([pl.col(ERROR_CLASS)] if _has_classes(log) else []),
        *[
            pl.col(name)
            if name in log.columns
            else pl.lit(None, dtype=CANONICAL_COLUMNS[name].dtype).alias(name)
            for name in measures
        ],
    ]


def _is_counted(rule: Rule, plan: Plan) -> bool:
    """Whether counting checks a rule: the library those of its columns, and keys are checked once known."""
    known = any(rule is one for one in RULES)
    if not known or rule.column == "success":
        return False
    told = {*_COUNTED_COLUMNS, "success"} if is_logged_success(plan) else _COUNTED_COLUMNS
    return rule.column in plan.key or rule.needs <= told
