"""Endpoint metrics by configuration."""

from collections.abc import Sequence

import polars as pl

from loadlens.schema import ENDPOINT_STATISTICS

__all__ = ["endpoint_summary"]

_FEWEST_METRICS = 2  # a row with fewer holds no comparison worth making (as in the reference)


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
