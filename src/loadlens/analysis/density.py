"""Gaussian kernel density of binned latencies."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile import key_names

__all__ = ["density"]

_POINTS = 200
_CUT_BANDWIDTHS = 3
_MOST_CURVES = 1000

Floats = NDArray[np.float64]


def density(histogram: pl.DataFrame, *, panel: Sequence[str], group: Sequence[str]) -> pl.DataFrame:
    """Density of each group's latencies, scaled by the group's share of its panel's rows.

    Scott's bandwidth ``std * n^(-1/5)`` (std with n - 1), 200 points from three bandwidths below the
    smallest latency to three above the largest. The bins must be narrow against the bandwidth; each
    counts as one point at its mean, so the work does not grow with rows.

    Args:
        histogram: kept latencies as in ``Statistics``.
        panel: columns that tell the panels of a chart apart; all curves of one together integrate to 1.
        group: columns that tell the curves of one panel apart.

    Returns:
        ``panel`` and ``group`` columns, ``latency_ms``, ``density`` (per ms). A group whose latencies
        are all equal has no curve; of many groups in a panel, only the 1,000 with the most rows have one.
    """
    schema = pl.Schema({name: histogram.schema[f"key:{name}"] for name in (*panel, *group)})
    empty = pl.DataFrame(schema={**schema, "latency_ms": pl.Float64, "density": pl.Float64})
    curves = [
        curve.select(*_literals((*panel_key, *group_key), schema), pl.all())
        for panel_key, rows in _partitions(histogram, key_names(panel))
        for group_key, values in _partitions(_busiest(rows, key_names(group)), key_names(group))
        for curve in _curve(values, float(rows["count"].sum()))
    ]
    return pl.concat([empty, *curves])


def _literals(key: Sequence[object], schema: pl.Schema) -> list[pl.Expr]:
    return [
        pl.lit(value, dtype=dtype).alias(name)
        for value, (name, dtype) in zip(key, schema.items(), strict=True)
    ]


def _busiest(rows: pl.DataFrame, group: Sequence[str]) -> pl.DataFrame:
    """The rows of the groups with the most calls; charts show fewer, and a curve takes a millisecond."""
    sizes = rows.group_by(group).agg(pl.col("count").sum()) if group else pl.DataFrame()
    if sizes.height <= _MOST_CURVES:
        return rows
    shown = sizes.sort(["count", *group], descending=[True, *[False] * len(group)], nulls_last=True)
    return rows.join(shown.head(_MOST_CURVES).select(group), on=group, how="semi", nulls_equal=True)


def _partitions(frame: pl.DataFrame, by: Sequence[str]) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    if not by:
        return [((), frame)]
    in_order = frame.sort(by, nulls_last=True, maintain_order=True)
    parts = in_order.partition_by(by, maintain_order=True)  # no dictionary: NaN is no key of one
    return [(part.select(by).row(0), part) for part in parts]


def _curve(histogram: pl.DataFrame, panel_rows: float) -> list[pl.DataFrame]:
    """The curve of one group as a list of one frame, empty where there is no spread to estimate."""
    merged = histogram.group_by("latency_ms").agg(pl.col("count").sum()).sort("latency_ms")
    positions = merged["latency_ms"].to_numpy()
    counts = merged["count"].cast(pl.Float64).to_numpy()
    if len(positions) < 2:  # noqa: PLR2004
        return []
    rows = counts.sum()
    mean = (positions * counts).sum() / rows
    std = np.sqrt((counts * (positions - mean) ** 2).sum() / (rows - 1))
    bandwidth = float(std * rows ** (-1 / 5))
    if bandwidth < np.finfo(np.float64).tiny:  # latencies so close to 0 that no density can be computed
        return []
    cut = _CUT_BANDWIDTHS * bandwidth
    points = np.linspace(positions[0] - cut, positions[-1] + cut, _POINTS)
    share = rows / panel_rows
    values = _kernel_sum(points, positions, counts / rows, bandwidth) * share
    return [pl.DataFrame({"latency_ms": points, "density": values})]


def _kernel_sum(points: Floats, positions: Floats, weights: Floats, bandwidth: float) -> Floats:
    distances = (points[:, None] - positions[None, :]) / bandwidth
    kernel: Floats = np.exp(-0.5 * distances**2) / (bandwidth * np.sqrt(2 * np.pi))
    return kernel @ weights
