"""Quantiles of many small groups: cells of latencies, narrowed only where a figure hangs on it.

A quantile lies between two order statistics, and each of these in a cell of which the count and both
extremes are known. One that is the first or the last of its cell is an extreme and so known exactly; the
others are known to lie between. Only cells in which some figure is still open are scanned again in finer
cells.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKET_SHIFT, prefix
from loadlens.profile.plan import Engine
from loadlens.schema import LATENCY

__all__ = [
    "COARSE_SHIFT",
    "UNDIVIDED_SHIFT",
    "Narrowing",
    "cell_counts",
    "cells_of_all",
]

COARSE_SHIFT: Final = BUCKET_SHIFT + 5
"""Eight cells for each doubling of the latency."""

UNDIVIDED_SHIFT: Final = 62
"""Next to no cells, for counts and extremes alone."""

_FEWEST_BITS: Final = 4
_MOST_BITS: Final = 12
_MOST_CELLS: Final = 2**21
_ROUNDING: Final = 4 * float(np.finfo(np.float64).eps)

Floats = NDArray[np.float64]


def cell_counts(
    rows: pl.LazyFrame, by: Sequence[str], shift: int, limits_ms: Sequence[float]
) -> pl.LazyFrame:
    """Counts rows by cell.

    Args:
        rows: the columns ``by`` and the latency.
        by: the columns that a group is told by.
        shift: how many bits of the latency a cell leaves open.
        limits_ms: latencies that no cell lies on both sides of.

    Returns:
        ``by``, ``shift``, ``part`` (the leading bits), ``side`` (how many limits lie at or below), ``count``,
        ``low`` and ``high`` (ms, null where there is no latency) and ``latency_sum`` (ms).
    """
    latency = pl.col(LATENCY)
    counts = rows.group_by(*by, prefix(shift).alias("part"), _side_of(limits_ms)).agg(
        pl.len().cast(pl.Int64).alias("count"),
        latency.min().alias("low"),
        latency.max().alias("high"),
        latency.sum().alias("latency_sum"),
    )
    return counts.select(*by, pl.lit(shift).alias("shift"), pl.exclude(*by))


def _side_of(limits_ms: Sequence[float]) -> pl.Expr:
    """``side``: how many of some latencies lie at or below the one of a row; 0 where that has none."""
    latency = pl.col(LATENCY)
    at_or_below = ((latency >= limit).fill_null(value=False).cast(pl.Int32) for limit in limits_ms)
    return sum(at_or_below, pl.lit(0, dtype=pl.Int32)).alias("side")


def cells_of_all(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells by ``pair`` alone of cells that are apart by other columns too."""
    return cells.group_by("pair", "shift", "part", "side").agg(
        pl.col("count").sum(), pl.col("low").min(), pl.col("high").max(), pl.col("latency_sum").sum()
    )


@dataclass(frozen=True, kw_only=True)
class _Located:
    """Where order statistics are: the number of the cell, and bounds of the latency in ms."""

    cell: NDArray[np.int64]
    lowest: Floats
    highest: Floats


class Narrowing:
    """Bounds of the quantiles of each pair, and how they are narrowed."""

    def __init__(
        self,
        rows: pl.LazyFrame,
        cells: pl.DataFrame,
        wanted: Mapping[str, float],
        limits_ms: Sequence[float],
        engine: Engine,
    ) -> None:
        """Takes over what is known.

        Args:
            rows: ``pair`` and the latency, all of them with one.
            cells: their cells by ``pair``, as ``cell_counts`` returns them for ``COARSE_SHIFT``.
            wanted: quantiles from 0 to 1 by name.
            limits_ms: latencies that no cell lies on both sides of.
            engine: what runs the queries.
        """
        self._rows, self._limits, self._engine = rows, limits_ms, engine
        self._cells = cells.sort("pair", "low")
        self._shift = COARSE_SHIFT
        sizes = cells.group_by(pl.col("pair").alias("code")).agg(pl.col("count").sum().alias("size"))
        populations = sizes.with_columns(successes=pl.lit(value=True))
        self._ranks = _quantile_ranks(populations, wanted).rename({"code": "pair"})

    def until(self, is_open: Callable[[pl.DataFrame], pl.Series]) -> pl.DataFrame:
        """Narrows until nothing that is open has bounds apart.

        Args:
            is_open: from bounds (``pair``, ``name``, ``lowest`` and ``highest`` in ms) to those that have to
                be exact. What is not open must not become so when bounds come closer.

        Returns:
            The bounds, equal where they had to be.
        """
        names = self._ranks.select("pair", "name")
        number = np.arange(names.height)  # of the ranks that are still open
        lowest, highest = np.full(names.height, -math.inf), np.full(names.height, math.inf)
        while True:
            low, high = (self._located(self._ranks[end]) for end in ("low", "high"))
            least, most = self._interpolated(low, high)
            lowest[number] = np.maximum(lowest[number], least)
            highest[number] = np.minimum(highest[number], most)
            bounds = names.with_columns(lowest=pl.Series(lowest), highest=pl.Series(highest))
            still = (is_open(bounds).to_numpy() & (lowest < highest))[number]
            if not still.any():
                return bounds
            number, self._ranks = number[still], self._ranks.filter(pl.Series(still))
            self._refine(
                np.concatenate([end.cell[still & (end.lowest < end.highest)] for end in (low, high)])
            )

    def _located(self, ranks: pl.Series) -> _Located:
        cells, counts = self._cells, self._cells["count"].to_numpy()
        starts = np.cumsum(counts) - counts
        first = np.searchsorted(cells["pair"].to_numpy(), self._ranks["pair"].to_numpy())
        position = starts[first] + ranks.to_numpy()
        cell = np.searchsorted(starts, position, side="right") - 1
        low, high = cells["low"].to_numpy()[cell], cells["high"].to_numpy()[cell]
        before, behind = position - starts[cell], starts[cell] + counts[cell] - 1 - position
        return _Located(
            cell=cell, lowest=np.where(behind == 0, high, low), highest=np.where(before == 0, low, high)
        )

    def _interpolated(self, low: _Located, high: _Located) -> tuple[Floats, Floats]:
        """The bounds of each quantile, wider by what an interpolation between may be rounded."""
        weight = self._ranks["weight"].to_numpy()
        lowest = low.lowest + (high.lowest - low.lowest) * weight
        highest = low.highest + (high.highest - low.highest) * weight
        slack = np.where(lowest < highest, _ROUNDING * np.maximum(highest, 1.0), 0.0)
        return lowest - slack, highest + slack

    def _refine(self, numbers: NDArray[np.int64]) -> None:
        """Puts finer cells in the place of some, and drops those of pairs of which all is known."""
        parts = self._cells[np.unique(numbers)].select("pair", "shift", "part").unique()
        # A limit divides a part into several cells, all of which are replaced.
        chosen = self._cells.join(parts, on=["pair", "shift", "part"], how="semi")
        bits = min(max(int(math.log2(_MOST_CELLS / parts.height)), _FEWEST_BITS), _MOST_BITS)
        finer = max(self._shift - bits, 0)
        near = pl.col(LATENCY).is_between(chosen["low"].min(), chosen["high"].max())
        placed = self._rows.filter(near).with_columns(prefix(self._shift).alias("part"))
        rows = placed.join(parts.lazy(), on=["pair", "part"], how="semi").drop("part")
        fresh = cell_counts(rows, ["pair"], finer, self._limits).collect(engine=self._engine)
        needed = self._cells.join(self._ranks, on="pair", how="semi")
        rest = needed.join(parts, on=["pair", "shift", "part"], how="anti")
        self._cells = pl.concat([rest.select(fresh.columns), fresh]).sort("pair", "low")
        self._shift = finer


def _quantile_ranks(sizes: pl.DataFrame, wanted: Mapping[str, float]) -> pl.DataFrame:
    """The two ranks that each quantile lies between.

    Args:
        sizes: ``code``, ``successes`` (which population) and ``size``, the number of its latencies.
        wanted: quantiles from 0 to 1 by name.

    Returns:
        ``code``, ``successes``, ``name``, ``low`` and ``high`` (ranks from 0) and ``weight`` of ``high``;
        no rows for a population without latencies.
    """
    names = pl.DataFrame(
        {"name": list(wanted), "q": list(wanted.values())}, schema_overrides={"q": pl.Float64}
    )
    position = (pl.col("size") - 1) * pl.col("q")
    low = position.floor().cast(pl.Int64)
    return (
        sizes.filter(pl.col("size") > 0)
        .join(names, how="cross")
        .select(
            "code",
            "successes",
            "name",
            low.alias("low"),
            pl.min_horizontal(low + 1, pl.col("size") - 1).alias("high"),
            (position - low).alias("weight"),
        )
    )
