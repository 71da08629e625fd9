"""Bins of latencies that are narrow against the bandwidth of their density."""

import polars as pl

from loadlens.profile.buckets import RELATIVE_ERROR

__all__ = ["fine_bins", "too_coarse"]

_BINS_PER_BANDWIDTH = 8
_WIDEST_BINS_PER_BANDWIDTH = 2
_MAX_BINS = 4096
_IQR_OF_NORMAL = 1.349  # IQR of a normal distribution, in standard deviations
_RANGE_OF_NORMAL = 6.0


def fine_bins(rows: pl.DataFrame, coarse: pl.DataFrame) -> pl.DataFrame:
    """Latencies in bins of a given width.

    Args:
        rows: ``code``, ``latency_ms`` and ``count``.
        coarse: ``code``, ``kept_min`` and ``width`` in ms.

    Returns:
        ``code``, ``latency_ms`` (mean of the bin) and ``count``.
    """
    latency, count = pl.col("latency_ms"), pl.col("count")
    number = ((latency - pl.col("kept_min")) / pl.col("width")).floor().cast(pl.Int64).alias("bin")
    binned = rows.join(coarse.select("code", "kept_min", "width"), on="code").group_by("code", number)
    mean = ((latency * count).sum() / count.sum()).alias("latency_ms")
    return binned.agg(mean, count.sum()).select("code", "latency_ms", "count")


def too_coarse(table: pl.DataFrame) -> pl.DataFrame:
    """The codes whose buckets are wide against the bandwidth, with the ``width`` of better bins in ms."""
    spread = pl.col("kept_max") - pl.col("kept_min")
    deviation = pl.when(pl.col("kept_iqr") > 0).then(pl.col("kept_iqr") / _IQR_OF_NORMAL)
    bandwidth = deviation.otherwise(spread / _RANGE_OF_NORMAL) * pl.col("num_kept").cast(pl.Float64).pow(-0.2)
    bucket = pl.col("kept_median") * 2 * RELATIVE_ERROR
    width = pl.max_horizontal(bandwidth / _BINS_PER_BANDWIDTH, spread / _MAX_BINS)
    coarse = table.filter((spread > 0) & (bucket > bandwidth / _WIDEST_BINS_PER_BANDWIDTH))
    return coarse.select("code", "kept_min", width.alias("width"))
