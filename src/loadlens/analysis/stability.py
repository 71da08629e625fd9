"""Stability: latency by memory size under a steady load of single calls."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from loadlens.analysis.density import density
from loadlens.analysis.endpoint import endpoint_summary
from loadlens.analysis.shared import (
    InvocationStatistics,
    average_response_size,
    checked_percentiles,
    common,
    extras,
    key_columns,
)
from loadlens.engine import measure
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions, Outliers, Plan
from loadlens.schema import LATENCY
from loadlens.sources import EndpointMetricsSource, Source, open_log, read_endpoint_metrics

__all__ = ["StabilityStatistics", "stability_statistics"]

KEY = ("memory_size",)


@dataclass(frozen=True, kw_only=True, repr=False)
class StabilityStatistics(InvocationStatistics):
    """Result of the stability analysis.

    Attributes:
        summary: ``memory_size`` (MB), ``successful_invocations``, ``invocation_latency_min``, ``_mean``,
            ``_median``, ``_max``, ``_iqr`` of the successes (ms), then the extras of every summary.
        endpoint_metrics: ``memory_size`` and one column for each metric (times in ms), or None.
        average_response_size: mean size of the successful responses in bytes, or None.
        density: curves of the kept latencies: ``memory_size``, ``latency_ms``, ``density``.
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
) -> StabilityStatistics:
    """Summarises a stability log by ``memory_size``.

    A call is a success when its latency and its response size are above 0. The summary describes all
    successes; the fence only decides which of them the density shows.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
    """
    log = open_log(invocations, required=(*KEY, LATENCY, "response_size"))
    plan = Plan(
        key=KEY,
        success=(pl.col(LATENCY) > 0) & (pl.col("response_size") > 0),
        fence_over_failures=False,
        response_sizes=True,
        outliers=outliers,
        counts_outliers=True,
        percentiles=checked_percentiles(percentiles),
    )
    metrics = None if endpoint_metrics is None else read_endpoint_metrics(endpoint_metrics, KEY)
    statistics = measure(log, plan, options)
    figures = [
        pl.col(f"success_{name}").alias(f"{LATENCY}_{name}")
        for name in ("min", "mean", "median", "max", "iqr")
    ]
    table = statistics.table
    return StabilityStatistics(
        summary=table.select(
            *key_columns(KEY),
            pl.col("num_successes").alias("successful_invocations"),
            *figures,
            *extras(plan),
        ),
        endpoint_metrics=None if metrics is None else endpoint_summary(metrics, KEY),
        average_response_size=average_response_size(statistics),
        density=density(statistics.histogram, panel=(), group=KEY),
        **common(statistics, plan),
    )
