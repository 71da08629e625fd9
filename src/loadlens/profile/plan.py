"""What to measure, and what comes back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from loadlens.schema import LATENCY

__all__ = ["DEFAULT_PERCENTILES", "Engine", "Outliers", "Plan", "Statistics", "key_names", "latency_is_positive", "percentile_name"]

Outliers = Literal["mean-iqr", "tukey", "none"]
Engine = Literal["auto", "in-memory", "streaming", "gpu"] | pl.Engine
DEFAULT_PERCENTILES: Final = (0.9, 0.95, 0.99, 0.999)


def latency_is_positive() -> pl.Expr:
    """A call succeeded when it has a latency: failures are logged as -1."""
    return pl.col(LATENCY) > 0


def key_names(key: Iterable[str]) -> list[str]:
    """What the key columns are called among the figures, so that no log's column clashes with a figure."""
    return [f"key:{name}" for name in key]


def percentile_name(quantile: float) -> str:
    """The column name of a quantile: 0.5 is ``p50``, 0.999 is ``p999``."""
    return "p" + f"{quantile * 100:.10g}".replace(".", "")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure of a log.

    Attributes:
        key: the configuration columns; none for the log as a whole.
        success: which rows are successful calls, a Boolean expression over canonical columns.
        fence_over_failures: whether the fence's mean and IQR are taken over all rows as logged, failures
            (-1) included, or over the successes alone.
        outliers: the fence: ``mean-iqr`` is mean + 5 IQR, ``tukey`` is q75 + 1.5 IQR.
        percentiles: quantiles of the successes to report, before outliers are removed.
        response_sizes: whether the sizes of responses are summed up.
    """

    key: tuple[str, ...]
    success: pl.Expr = field(default_factory=latency_is_positive)
    fence_over_failures: bool = True
    outliers: Outliers = "mean-iqr"
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    response_sizes: bool = False


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Figures by configuration. Latencies in ms, sizes in bytes, times in s.

    Attributes:
        table: one row for each key, ascending: the key columns as ``key:<name>``; ``num_rows``, ``num_invocations`` (rows
            with a latency), ``num_successes``, one sum for each error column that the log has;
            ``response_size_sum`` and ``response_size_count`` of the successes; ``success_min``,
            ``_mean``, ``_median``, ``_max``, ``_iqr`` and the percentiles of the successes;
            ``outlier_fence``, ``outliers_removed``; ``num_kept`` and ``kept_min``, ``_mean``, ``_median``, ``_max``,
            ``_iqr`` of the successes at or below the fence; ``tps_avg``, ``tps_p25``, ``tps_p50``,
            ``tps_p75``, ``tps_max`` and ``throughput`` of these.
        histogram: the kept latencies, binned: the key columns as ``key:<name>``, ``latency_ms`` (mean of the bin) and
            ``count``. Its size does not depend on the number of rows.
        relative_error: bound of the relative error of every latency that is an order statistic (quantiles,
            minima, maxima); 0 where they are exact.
    """

    table: pl.DataFrame
    histogram: pl.DataFrame
    relative_error: float = 0.0
