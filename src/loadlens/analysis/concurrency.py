"""Concurrency: latency, errors and throughput by how many clients call at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from loadlens.analysis.density import density
from loadlens.analysis.endpoint import endpoint_summary
from loadlens.analysis.shared import (
    TPS_COLUMNS,
    InvocationStatistics,
    average_response_size,
    checked_percentiles,
    common,
    extras,
    key_columns,
)
from loadlens.engine import measure
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions, Outliers, Plan
from loadlens.schema import CONFIGURATION_COLUMNS, ERROR_COLUMNS, LATENCY
from loadlens.sources import EndpointMetricsSource, Source, open_log, read_endpoint_metrics

__all__ = ["ConcurrencyStatistics", "concurrency_statistics"]

KEY = CONFIGURATION_COLUMNS
METRICS_KEY = ("memory_size", "max_concurrency")


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
        density: curves of the kept latencies: ``max_concurrency``, ``num_clients``, ``latency_ms``,
            ``density``; the curves of one ``max_concurrency`` integrate to 1.
    """

    endpoint_metrics: pl.DataFrame | None
    average_response_size: float | None


def concurrency_statistics(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    options: MeasureOptions = MeasureOptions(),
) -> ConcurrencyStatistics:
    """Summarises a concurrency log by ``max_concurrency``, ``num_clients`` and ``memory_size``.

    The fence is taken over all rows as logged, failures (-1) included; latency and TPS describe the
    rows with ``0 < invocation_latency <= fence``.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
    """
    log = open_log(invocations, required=(*KEY, LATENCY, *ERROR_COLUMNS, "end_time"))
    plan = Plan(
        key=KEY,
        outliers=outliers,
        counts_outliers=True,
        percentiles=checked_percentiles(percentiles),
        response_sizes=True,
    )
    metrics = None if endpoint_metrics is None else read_endpoint_metrics(endpoint_metrics, METRICS_KEY)
    statistics = measure(log, plan, options)
    figures = [pl.col(f"kept_{name}").alias(f"{LATENCY}_{name}") for name in ("median", "mean", "max", "iqr")]
    table = statistics.table
    return ConcurrencyStatistics(
        summary=table.select(
            *key_columns(KEY), *ERROR_COLUMNS, "num_invocations", *figures, *TPS_COLUMNS, *extras(plan)
        ),
        endpoint_metrics=None if metrics is None else endpoint_summary(metrics, METRICS_KEY),
        average_response_size=average_response_size(statistics),
        density=density(statistics.histogram, panel=("max_concurrency",), group=("num_clients",)),
        **common(statistics, plan),
    )
