"""Stability and concurrency: the reference toolkit's two summaries, with its endpoint's metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from loadlens.engine import measure_all
from loadlens.logs import EndpointMetricsSource, Source, open_log, read_endpoint_metrics
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions, Outliers, Plan, Statistics
from loadlens.schema import CONFIGURATION_COLUMNS, ENDPOINT_STATISTICS, ERROR_COLUMNS, LATENCY
from loadlens.summaries.scalability import Scalability, scalability_by
from loadlens.summaries.summary_columns import (
    TPS_COLUMNS,
    InvocationStatistics,
    average_response_size,
    checked_percentiles,
    common,
    extras,
    key_columns,
    total_plan,
)

__all__ = [
    "ConcurrencyStatistics",
    "StabilityStatistics",
    "concurrency_statistics",
    "endpoint_summary",
    "stability_statistics",
]


_FEWEST_METRICS = 2  # a row with fewer holds no comparison worth making (as in the reference)

STABILITY_KEY = ("memory_size",)

CONCURRENCY_KEY = CONFIGURATION_COLUMNS
METRICS_KEY = ("memory_size", "max_concurrency")


def endpoint_summary(metrics: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """One row for each key, one column for each metric, holding its ``Average``.

    Args:
        metrics: endpoint metrics as read, with ``metric_name``, ``Unit``, ``Average`` and ``key``.
        key: configuration columns.

    Returns:
        ``key``, then the metrics in alphabetical order; microseconds as milliseconds, several values of
        one metric averaged; rows by ascending key, those with fewer than two metrics left out.
    """
    names = sorted(metrics["metric_name"].drop_nulls().unique())
    averages = [pl.col("Average").filter(pl.col("metric_name") == name).mean().alias(name) for name in names]
    table = in_milliseconds(metrics).group_by(key).agg(averages)
    known = pl.sum_horizontal(pl.col(name).is_not_null().cast(pl.Int64) for name in names)
    return table.filter(known >= _FEWEST_METRICS).sort(key) if names else table


def in_milliseconds(metrics: pl.DataFrame) -> pl.DataFrame:
    """Converts rows in microseconds to milliseconds, all their statistics."""
    present = [name for name in ENDPOINT_STATISTICS if name in metrics.columns]
    micro = pl.col("Unit") == "Microseconds"
    scaled = [
        pl.when(micro).then(pl.col(name) / 1000).otherwise(pl.col(name)).alias(name) for name in present
    ]
    unit = pl.when(micro).then(pl.lit("Milliseconds")).otherwise(pl.col("Unit")).alias("Unit")
    return metrics.with_columns(*scaled, unit)


@dataclass(frozen=True, kw_only=True, repr=False)
class StabilityStatistics(InvocationStatistics):
    """Result of the stability analysis.

    Attributes:
        summary: ``memory_size`` (MB), ``successful_invocations``, ``invocation_latency_min``, ``_mean``,
            ``_median``, ``_max``, ``_iqr`` of the successes (ms), then the extras of every summary.
        endpoint_metrics: ``memory_size`` and one column for each metric (times in ms), or None.
        average_response_size: mean size of the successful responses in bytes, or None.
    """

    endpoint_metrics: pl.DataFrame | None
    average_response_size: float | None

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns of the summary that leave out the calls above the fence; none where none were removed."""
        return () if self.outliers == "none" else ("throughput",)


def stability_statistics(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    options: MeasureOptions = MeasureOptions(),
    *,
    totals: bool = False,
    failures: bool = False,
) -> StabilityStatistics:
    """Summarises a stability log by ``memory_size``.

    A call is a success when its latency and its response size are above 0. The summary describes all
    successes; the fence only decides which of them the density shows. With ``totals``, all calls together are
    told besides; with ``failures``, failed calls are told apart by their error.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
    """
    log = open_log(invocations, required=(*STABILITY_KEY, LATENCY, "response_size"))
    plan = Plan(
        key=STABILITY_KEY,
        success=(pl.col(LATENCY) > 0) & (pl.col("response_size") > 0),
        fence_over_failures=False,
        response_sizes=True,
        outliers=outliers,
        counts_outliers=True,
        percentiles=checked_percentiles(percentiles),
        failures=failures,
    )
    metrics = None if endpoint_metrics is None else read_endpoint_metrics(endpoint_metrics, STABILITY_KEY)
    statistics, *whole = measure_all(log, [plan, *([total_plan(plan)] if totals else [])], options)
    return StabilityStatistics(
        summary=_stability_summary(plan, statistics),
        endpoint_metrics=None if metrics is None else endpoint_summary(metrics, STABILITY_KEY),
        average_response_size=average_response_size(statistics),
        total=_stability_summary(total_plan(plan), whole[0]) if whole else None,
        **common(statistics, plan),
    )


def _stability_summary(plan: Plan, statistics: Statistics) -> pl.DataFrame:
    figures = [
        pl.col(f"success_{name}").alias(f"{LATENCY}_{name}")
        for name in ("min", "mean", "median", "max", "iqr")
    ]
    return statistics.table.select(
        *key_columns(plan.key),
        pl.col("num_successes").alias("successful_invocations"),
        *figures,
        *extras(plan),
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class ConcurrencyStatistics(InvocationStatistics):
    """Result of the concurrency analysis.

    Attributes:
        summary: ``max_concurrency``, ``num_clients``, ``memory_size`` (MB), the sums of the three error
            columns, ``num_invocations``, ``invocation_latency_median``, ``_mean``, ``_max``, ``_iqr`` of
            the kept rows (ms), the five ``tps_`` columns (per s), then the extras of every summary.
        endpoint_metrics: ``memory_size``, ``max_concurrency`` and one column for each metric (times in
            ms), or None.
        average_response_size: mean size of the successful responses in bytes, or None.
    """

    endpoint_metrics: pl.DataFrame | None
    average_response_size: float | None

    density_panel = ("max_concurrency",)

    @cached_property
    def scalability(self) -> dict[tuple[Any, ...], Scalability]:
        """How throughput scales with clients, by maximum concurrency and memory size."""
        return scalability_by(self.timeline, ("max_concurrency", "memory_size"), "num_clients")

    @property
    def density_group(self) -> tuple[str, ...]:
        """The clients, of all memory sizes together."""
        return ("num_clients",)


def concurrency_statistics(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    options: MeasureOptions = MeasureOptions(),
    *,
    totals: bool = False,
    failures: bool = False,
) -> ConcurrencyStatistics:
    """Summarises a concurrency log by ``max_concurrency``, ``num_clients`` and ``memory_size``.

    The fence is taken over all rows as logged, failures (-1) included; latency and TPS describe the
    rows with ``0 < invocation_latency <= fence``. With ``totals``, all calls together are told besides,
    under a fence of their own; with ``failures``, failed calls are told apart by their error.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
    """
    log = open_log(invocations, required=(*CONCURRENCY_KEY, LATENCY, *ERROR_COLUMNS, "end_time"))
    plan = Plan(
        key=CONCURRENCY_KEY,
        outliers=outliers,
        counts_outliers=True,
        percentiles=checked_percentiles(percentiles),
        response_sizes=True,
        failures=failures,
    )
    metrics = None if endpoint_metrics is None else read_endpoint_metrics(endpoint_metrics, METRICS_KEY)
    statistics, *whole = measure_all(log, [plan, *([total_plan(plan)] if totals else [])], options)
    return ConcurrencyStatistics(
        summary=_concurrency_summary(plan, statistics),
        endpoint_metrics=None if metrics is None else endpoint_summary(metrics, METRICS_KEY),
        average_response_size=average_response_size(statistics),
        total=_concurrency_summary(total_plan(plan), whole[0]) if whole else None,
        **common(statistics, plan),
    )


def _concurrency_summary(plan: Plan, statistics: Statistics) -> pl.DataFrame:
    figures = [pl.col(f"kept_{name}").alias(f"{LATENCY}_{name}") for name in ("median", "mean", "max", "iqr")]
    return statistics.table.select(
        *key_columns(plan.key),
        *ERROR_COLUMNS,
        "num_invocations",
        *figures,
        *TPS_COLUMNS,
        *extras(plan),
    )
