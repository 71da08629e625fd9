"""The kept latencies in bins that are narrow against the bandwidth of their density."""

import polars as pl

from loadlens.profile.buckets import RELATIVE_ERROR
from loadlens.profile.fence import Kept
from loadlens.profile.rows import Look
from loadlens.schema import LATENCY

__all__ = ["fine_bins", "kept_histogram"]

_BINS_PER_BANDWIDTH = 8
_WIDEST_BINS_PER_BANDWIDTH = 2
_MAX_BINS = 4096
_IQR_OF_NORMAL = 1.349  # IQR of a normal distribution, in standard deviations
_RANGE_OF_NORMAL = 6.0


def kept_histogram(kept: Kept, table: pl.DataFrame, look: Look | None) -> pl.DataFrame:
    """Mean and count of each bin: ``code``, ``latency_ms``, ``count``.

    The profile's buckets serve as bins where they are narrow enough. Where a configuration's latencies
    lie so close that they are not, one more scan counts its rows in finer bins; without a ``look`` it
    keeps the buckets.
    """
    bins = kept.cells.select("code", "latency_sum", "count")
    coarse = table.clear() if look is None else _too_coarse(table)
    if look is not None and not coarse.is_empty():
        fine = look("fine_bins", coarse=coarse).select("code", "latency_sum", "count")
        bins = pl.concat([bins.join(coarse, on="code", how="anti"), fine])
    return bins.select("code", (pl.col("latency_sum") / pl.col("count")).alias("latency_ms"), "count")


def fine_bins(rows: pl.LazyFrame, coarse: pl.DataFrame) -> pl.LazyFrame:
    """Counts kept latencies in bins of a given width.

    Args:
        rows: ``code``, ``success`` and the latency in ms.
        coarse: ``code``, ``outlier_fence``, ``kept_min`` and ``width`` in ms.

    Returns:
        ``code``, ``bin``, ``latency_sum`` (ms), ``count``.
    """
    position = ((pl.col(LATENCY) - pl.col("kept_min")) / pl.col("width")).floor().cast(pl.Int64)
    return (
        rows.filter(pl.col("success") & pl.col(LATENCY).is_not_null())
        .join(coarse.lazy(), on="code")
        .filter(pl.col("outlier_fence").is_null() | (pl.col(LATENCY) <= pl.col("outlier_fence")))
        .group_by("code", position.alias("bin"))
        .agg(pl.col(LATENCY).sum().alias("latency_sum"), pl.len().cast(pl.Int64).alias("count"))
    )


def _too_coarse(table: pl.DataFrame) -> pl.DataFrame:
    """The codes whose buckets are wide against the bandwidth, with the ``width`` of better bins in ms."""
    spread = pl.col("kept_max") - pl.col("kept_min")
    deviation = pl.when(pl.col("kept_iqr") > 0).then(pl.col("kept_iqr") / _IQR_OF_NORMAL)
    bandwidth = deviation.otherwise(spread / _RANGE_OF_NORMAL) * pl.col("num_kept").cast(pl.Float64).pow(-0.2)
    bucket = pl.col("kept_median") * 2 * RELATIVE_ERROR
    width = pl.max_horizontal(bandwidth / _BINS_PER_BANDWIDTH, spread / _MAX_BINS)
    coarse = table.filter((spread > 0) & (bucket > bandwidth / _WIDEST_BINS_PER_BANDWIDTH))
    return coarse.select("code", "outlier_fence", "kept_min", width.alias("width"))
