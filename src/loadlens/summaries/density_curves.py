"""Gaussian kernel density of binned latencies."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile import key_names

__all__ = ["density"]

_POINTS = 200
_CUT_BANDWIDTHS = 3
_REACH_BANDWIDTHS = 6  # a kernel is 1.5e-8 of its peak there
_MOST_CURVES = 1000

Floats = NDArray[np.float64]
Counts = NDArray[np.integer]


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
    names = (*key_names(panel), *key_names(group))
    curves = _curves_of(histogram, names, panel=len(panel))
    positions, counts = (curves[name].explode().to_numpy() for name in ("latency_ms", "count"))
    sizes = curves["count"].list.len().to_list()
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    points, densities = np.empty((2, len(curves), _POINTS))
    is_drawn = [
        _draw(
            positions[end - bins : end], counts[end - bins : end], of_panel, points[number], densities[number]
        )
        for number, (end, bins, of_panel) in enumerate(zip(ends, sizes, curves["panel_calls"], strict=True))
    ]
    drawn = np.flatnonzero(is_drawn)
    row = np.repeat(drawn, _POINTS)
    named = zip(names, (*panel, *group), strict=True)
    return pl.DataFrame(
        [
            *[curves[internal].gather(row).alias(name) for internal, name in named],
            pl.Series("latency_ms", points[drawn].ravel()),
            pl.Series("density", densities[drawn].ravel()),
        ]
    )


def _curves_of(histogram: pl.DataFrame, names: Sequence[str], *, panel: int) -> pl.DataFrame:
    """The bins of each curve as lists, with the calls of its panel, by ascending key.

    Args:
        histogram: the bins of all curves.
        names: key columns, those of panels first.
        panel: how many of them tell panels apart.
    """
    number = pl.struct(names) if names else pl.lit(0)
    grouped = histogram.group_by(number.alias("key")).agg("latency_ms", "count")
    keys = [pl.col("key").struct.field(name) for name in names]
    curves = grouped.select(*keys, pl.col("latency_ms", "count"), pl.col("count").list.sum().alias("calls"))
    of_panel = pl.col("calls").sum()
    panels = list(names[:panel])
    if panels:
        of_panel = of_panel.over(panels)
    curves = curves.with_columns(of_panel.cast(pl.Float64).alias("panel_calls"))
    # Charts show fewer; the busiest of each panel have a curve.
    busiest = curves.sort(["calls", *names], descending=[True, *[False] * len(names)], nulls_last=True)
    shown = (
        busiest.group_by(panels, maintain_order=True).head(_MOST_CURVES)
        if panels
        else busiest.head(_MOST_CURVES)
    )
    return shown.sort(names, nulls_last=True) if names else shown


def _draw(positions: Floats, counts: Counts, panel_calls: float, points: Floats, densities: Floats) -> bool:
    """Fills in the curve of one group; False where there is no spread to estimate."""
    first, last = positions.min(initial=np.inf), positions.max(initial=-np.inf)
    if first >= last:
        return False
    calls = float(counts.sum())
    mean = (positions * counts).sum() / calls
    std = np.sqrt((counts * (positions - mean) ** 2).sum() / (calls - 1))
    bandwidth = float(std * calls ** (-1 / 5))
    if bandwidth < np.finfo(np.float64).tiny:  # latencies so close to 0 that no density can be computed
        return False
    cut = _CUT_BANDWIDTHS * bandwidth
    points[:] = np.linspace(first - cut, last + cut, _POINTS)
    densities[:] = _kernel_sum(points, positions, counts / panel_calls, bandwidth)
    return True


def _kernel_sum(points: Floats, positions: Floats, weights: Floats, bandwidth: float) -> Floats:
    """Sum of a kernel at each position, each at the points near it only."""
    step = points[1] - points[0]
    reach = min(int(np.ceil(_REACH_BANDWIDTHS * bandwidth / step)), _POINTS)
    nearest = np.rint((positions - points[0]) / step)
    away = (nearest * step - (positions - points[0])) / bandwidth
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (away[:, None] + offsets * (step / bandwidth)) ** 2)
    kernel *= (weights / (bandwidth * np.sqrt(2 * np.pi)))[:, None]
    place = nearest.astype(np.int64)[:, None] + (offsets + reach)
    sums = np.bincount(place.ravel(), weights=kernel.ravel(), minlength=_POINTS + 2 * reach)
    return sums[reach : reach + _POINTS].astype(np.float64)
