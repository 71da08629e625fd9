"""What the summaries have in common: the extras after the reference's columns, and data quality."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import ClassVar, Final, TypedDict

import polars as pl

from loadlens.errors import UsageError
from loadlens.logs.outside import Outside
from loadlens.messages import Shown, counted, grouped
from loadlens.profile import (
    Outliers,
    Plan,
    Profile,
    Statistics,
    heatmap,
    key_names,
    percentile_name,
    spectrum,
)
from loadlens.profile.clock import FINE_S
from loadlens.profile.phases import Phases
from loadlens.profile.timeline import is_calendar, timeline
from loadlens.schema import ERROR_COLUMNS, LATENCY
from loadlens.summaries.failures import failures_by_error, failures_over_time
from loadlens.summaries.load import Load, load_of
from loadlens.summaries.parts import measure_figures, parts_of_latency
from loadlens.text.common_types import numeric_casts

__all__ = [
    "MOST_KEYS",
    "TPS_COLUMNS",
    "InvocationStatistics",
    "average_response_size",
    "checked_percentiles",
    "common",
    "error_classes",
    "error_rate",
    "extras",
    "key_columns",
    "keys_left_out",
    "num_errors",
    "quality",
    "seconds_without_completion",
    "total_plan",
    "with_numeric_keys",
]


MOST_KEYS: Final = 10_000
"""Of how many configurations a document of JSON holds the figures; a CSV file beside it has all of them."""

TPS_COLUMNS: Final = ("tps_avg", "tps_p25", "tps_p50", "tps_p75", "tps_max")


@dataclass(frozen=True, kw_only=True, repr=False)
class InvocationStatistics(Shown):
    """What every summary of invocations holds.

    Attributes:
        summary: the summary table.
        histogram: the kept latencies in bins: the key columns as ``key:<name>``, ``latency_ms``, ``count``.
        quality: rows, failures by class, the fence and the successes above it for each key.
        outliers: the fence above which calls were removed; ``none`` where none were.
        bounds: between which rates the clock leaves the throughput of each key: the key columns,
            ``throughput``, which the summary has, and ``throughput_high`` (per s), infinite where
            there is no bound; without rows for a clock of 1 ms or finer.
        measures: figures of further durations of the successes: the key columns, ``measure``, ``count``,
            ``share`` (of their latencies, 0 to 1; null where these do not include it), ``min_ms``,
            ``mean_ms``, ``median_ms``, a ``p<percentile>_ms`` for each percentile, ``max_ms``; without rows
            where none were asked for.
        parts: what mean latencies are made of: the key columns, ``part`` (a measure without others that lie
            within it, or ``rest``), ``mean_ms``, ``share``.
        profile: the counts that all of this comes from.
        relative_error: bound of the relative error of quantiles, minima and maxima; 0 for exact figures.
        spilled_bytes: size of the temporary file that a text log went through, else 0.
        outside: the rows outside the slice of the log that was asked for, by why; None for the whole log.
        total: one row, the columns of ``summary`` but for the key: the figures of all calls together, as of a
            log that is grouped by nothing. None where it was not asked for.
    """

    summary: pl.DataFrame
    histogram: pl.DataFrame
    quality: pl.DataFrame
    outliers: Outliers
    bounds: pl.DataFrame
    measures: pl.DataFrame
    parts: pl.DataFrame
    profile: Profile
    relative_error: float
    spilled_bytes: int
    total: pl.DataFrame | None = None
    outside: Outside | None = None

    density_panel: ClassVar[tuple[str, ...]] = ()
    """The key columns whose curves integrate to 1 together; the others tell curves apart."""

    @cached_property
    def density(self) -> pl.DataFrame:
        """Curves of the kept latencies: key columns, ``latency_ms``, ``density`` (per ms)."""
        from loadlens.summaries.density_curves import density

        return density(self.histogram, panel=self.density_panel, group=self.density_group)

    @property
    def density_group(self) -> tuple[str, ...]:
        """The key columns that tell the curves of a panel apart."""
        return self.profile.key

    @cached_property
    def spectrum(self) -> pl.DataFrame:
        """Latency over percentile: the key columns, ``quantile``, ``latency_ms``, off by at most 0.2 %."""
        key = self.profile.key
        return spectrum(self.profile).rename(dict(zip(key_names(key), key, strict=True)))

    @cached_property
    def timeline(self) -> pl.DataFrame:
        """Figures by key and window of time; see ``loadlens.profile.timeline.timeline``.

        Percentiles, maxima and bytes are those of a log that was measured with ``timeline=True``, else null.
        """
        return timeline(self.profile, self.profile.key)

    @cached_property
    def timeline_overall(self) -> pl.DataFrame:
        """The same of all keys together, without their columns."""
        return timeline(self.profile)

    @cached_property
    def phases(self) -> Phases:
        """When the load had risen to its level and when it began to fall, where that is clear."""
        return Phases.of(self.timeline_overall)

    @cached_property
    def load(self) -> Load:
        """Active calls, latency and throughput by these, Little's law and the universal scalability law.

        Percentiles are those of a log that was measured with ``timeline=True``, else null.
        """
        return load_of(self.profile, self.timeline_overall)

    @property
    def has_calendar(self) -> bool:
        """Whether the log's clock tells calendar time, in s since 1970 (UTC)."""
        return is_calendar(self.profile)

    @cached_property
    def heatmap(self) -> pl.DataFrame:
        """``time_s``, ``window_s``, ``latency_low_ms``, ``latency_high_ms``, ``count``; if asked for."""
        return heatmap(self.profile)

    @cached_property
    def failures(self) -> pl.DataFrame:
        """Failed calls by key and error, the most frequent first.

        The key columns; ``error``, null where the log tells none; ``count``; ``share`` (0 to 1, of the failed
        calls of the key); ``error_rate`` (0 to 1, of its calls). Where failures were asked for
        (``failures=True``) also ``first_start_s`` and ``last_end_s`` (s on the log's clock); ``num_timed``,
        how many have a latency, and of these ``latency_min_ms``, ``latency_mean_ms``,
        ``latency_median_ms``, ``latency_p99_ms``, ``latency_max_ms``; median and p99 are off by
        at most 0.2 % (1/512).
        """
        return failures_by_error(self.profile)

    @cached_property
    def failures_over_time(self) -> pl.DataFrame:
        """``error``, ``time_s``, ``window_s``, ``count`` of failed calls; with ``failures=True``."""
        return failures_over_time(self.profile)

    @property
    def summary_with_total(self) -> pl.DataFrame:
        """The summary, and the total as its last row, in which the key columns are null."""
        return self.summary if self.total is None else pl.concat([self.summary, self.total], how="diagonal")

    @property
    def headline(self) -> str:
        """The key, and how many configurations and calls there are."""
        calls = int(self.profile.figures["calls"].sum())
        return (
            f"{grouped(self.profile.key)}, {counted(self.summary.height, 'configuration')} of "
            f"{counted(calls, 'call')}"
        )

    @property
    def shown_table(self) -> pl.DataFrame:
        """The summary."""
        return self.summary

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns of the summary that leave out the calls above the fence; none where none were removed."""
        latencies = (f"{LATENCY}_{name}" for name in ("min", "mean", "median", "max", "iqr"))
        return () if self.outliers == "none" else (*latencies, *TPS_COLUMNS, "throughput")

    @property
    def clock_note(self) -> str:
        """How fine the clock of the log is, as a clause."""
        return f"times are known to {self.profile.resolution_s:g} s"

    @property
    def seconds_without_completion(self) -> int:
        """Seconds between the first and the last completion that saw none."""
        return seconds_without_completion(self.profile)


def keys_left_out(num_keys: int) -> dict[str, int]:
    """What a document says of the configurations that it leaves out; nothing where it has all."""
    return {"keys_left_out": num_keys - MOST_KEYS} if num_keys > MOST_KEYS else {}


def seconds_without_completion(profile: Profile) -> int:
    """Seconds between the first and the last completion of a log that saw none."""
    first, last, seen = profile.windows.select(
        pl.col("first_second").min(), pl.col("last_second").max(), pl.col("num_seconds").sum()
    ).row(0)
    return int(last - first + 1 - seen) if seen else 0


def total_plan(plan: Plan) -> Plan:
    """What has to be measured for the total of a summary: the same of all calls together."""
    return replace(
        plan, key=(), histogram=False, failures=False, measures=(), limits_ms=(), with_further=False
    )


class Common(TypedDict):
    """The fields of ``InvocationStatistics`` but for the summary."""

    histogram: pl.DataFrame
    quality: pl.DataFrame
    outliers: Outliers
    bounds: pl.DataFrame
    measures: pl.DataFrame
    parts: pl.DataFrame
    profile: Profile
    relative_error: float
    spilled_bytes: int
    outside: Outside | None


def common(statistics: Statistics, plan: Plan) -> Common:
    """What is made of statistics in the same way for every summary."""
    return Common(
        histogram=statistics.histogram,
        quality=quality(statistics, plan.key),
        outliers=plan.outliers,
        bounds=_throughput_bounds(statistics, plan.key),
        measures=measure_figures(statistics.measures, statistics.table, plan),
        parts=parts_of_latency(statistics.measures, statistics.table, plan),
        profile=statistics.profile,
        relative_error=statistics.relative_error,
        spilled_bytes=statistics.spilled_bytes,
        outside=statistics.outside,
    )


def _throughput_bounds(statistics: Statistics, key: Sequence[str]) -> pl.DataFrame:
    bounds = statistics.table.select(*key_columns(key), "throughput", "throughput_high")
    return bounds if statistics.profile.resolution_s > FINE_S else bounds.clear()


def average_response_size(statistics: Statistics) -> float | None:
    """Mean size in bytes of the successful responses; None where none has a size."""
    sums = statistics.table.select(pl.col("response_size_sum", "response_size_count").sum())
    total, count = sums.row(0)
    return float(total / count) if count else None


def checked_percentiles(percentiles: Sequence[float]) -> tuple[float, ...]:
    """Quantiles to report, ascending and each once.

    Raises:
        UsageError: one is not between 0 and 1.
    """
    if isinstance(percentiles, str) or not isinstance(percentiles, Iterable):
        raise UsageError(f"percentiles: got {percentiles!r}, expected quantiles such as [0.5, 0.99]")
    given = list(percentiles)
    wrong = [quantile for quantile in given if not (isinstance(quantile, Real) and 0 < quantile < 1)]
    if wrong:
        raise UsageError(f"percentiles: got {wrong[0]!r}, expected quantiles between 0 and 1, such as 0.99")
    return tuple(sorted(set(given)))


_MOST_CLASSES = 12


def num_errors() -> pl.Expr:
    """Calls that did not succeed."""
    return (pl.col("num_rows") - pl.col("num_successes")).alias("num_errors")


def error_rate() -> pl.Expr:
    """Share of the calls that did not succeed, 0 to 1."""
    return (num_errors() / pl.col("num_rows")).alias("error_rate")


def key_columns(key: Iterable[str]) -> list[pl.Expr]:
    """The key columns of a table of statistics, under their own names."""
    return [pl.col(internal).alias(name) for internal, name in zip(key_names(key), key, strict=True)]


def extras(plan: Plan, *, with_error_rate: bool = True) -> list[pl.Expr]:
    """The columns that follow the reference's in every summary of invocations."""
    percentiles = [pl.col(f"{LATENCY}_{percentile_name(quantile)}") for quantile in plan.percentiles]
    rate = [error_rate()] if with_error_rate else []
    figures = ("outliers_removed", "outliers_above_fence", "outlier_fence", "throughput")
    true_maximum = [] if plan.outliers == "none" else [pl.col("success_max").alias(f"{LATENCY}_max_all")]
    return [*percentiles, *rate, *map(pl.col, figures), *true_maximum]


def quality(statistics: Statistics, key: Sequence[str]) -> pl.DataFrame:
    """Rows read, failures by class, the fence and the successes above it, for each key."""
    errors = [name for name in ERROR_COLUMNS if name in statistics.table.columns and name not in key]
    return statistics.table.select(
        *key_columns(key),
        "num_rows",
        "num_successes",
        num_errors(),
        *errors,
        "outlier_fence",
        "outliers_above_fence",
        "outliers_removed",
    )


def error_classes(statistics: Statistics) -> pl.DataFrame:
    """Calls by error class, a column ``error_<class>`` for each of the most frequent, by ``code``."""
    classes = statistics.profile.classes
    totals = (
        classes.group_by("error")
        .agg(pl.col("count").sum())
        .sort(["count", "error"], descending=[True, False])
    )
    names = totals["error"].to_list()
    shown = names if len(names) <= _MOST_CLASSES else names[: _MOST_CLASSES - 1]
    found = [pl.col("count").filter(pl.col("error") == name).sum().alias(f"error_{name}") for name in shown]
    if len(shown) < len(names):
        found.append(pl.col("count").filter(~pl.col("error").is_in(shown)).sum().alias("error_other_classes"))
    counts = classes.group_by("code").agg(found)
    keys = statistics.profile.keys
    joined = keys.join(counts, on="code", how="left").drop("code")
    return joined.with_columns(pl.col(column.meta.output_name()).fill_null(0) for column in found)


def with_numeric_keys(statistics: Statistics, key: Sequence[str]) -> Statistics:
    """Keys that were text but all read as whole numbers become numbers, so that 2 sorts before 10.

    Decided on the distinct keys, all of which are known by now, never on a sample of the rows.
    """
    table, histogram, names = statistics.table, statistics.histogram, key_names(key)
    casts = numeric_casts(table.select(names))
    if not casts:
        return statistics
    keys = statistics.profile.keys.with_columns(casts).sort(names, nulls_last=True)
    return replace(
        statistics,
        table=table.with_columns(casts).sort(names, nulls_last=True),
        histogram=histogram.with_columns(casts).sort([*names, "latency_ms"], nulls_last=True),
        profile=replace(
            statistics.profile, keys=keys, timeline=_with_casts(statistics.profile.timeline, casts)
        ),
        windows={width: windows.with_columns(casts) for width, windows in statistics.windows.items()},
        measures={
            name: table.with_columns(casts).sort(names, nulls_last=True)
            for name, table in statistics.measures.items()
        },
    )


def _with_casts(timeline: Profile | None, casts: Sequence[pl.Expr]) -> Profile | None:
    return timeline and replace(timeline, keys=timeline.keys.with_columns(casts))
