"""What the buckets of a profile tell without a look at rows: each call has the middle of its bucket."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadlens.engine.above import Removed
from loadlens.engine.cells import CellTable, Population
from loadlens.engine.selections import Latencies
from loadlens.profile.buckets import FAILED, bucket_middle
from loadlens.profile.profile import FRACTION_BITS

__all__ = ["End", "Estimates"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


End = Literal["middle", "low", "high"]
"""Which latency of a bucket stands for all in it."""


class Estimates:
    """In the place of a ``Refinement``, where rows are not looked at again.

    Minima and maxima are exact; other latencies are off by at most half a bucket, or, of the ends of
    buckets, by a whole one in the direction that is asked for.

    Args:
        table: the cells of a profile.
        end: which latency stands for those of a bucket.

    Attributes:
        most_rows: how many rows may be held: none.
    """

    most_rows = 0

    def __init__(self, table: CellTable, end: End = "middle") -> None:
        self._table, self._end = table, end
        low, high = table.edges
        self._value = {"middle": bucket_middle(table.bucket, table.shift), "low": low, "high": high}[end]

    def values(self, population: Population, code: Ints, rank: Ints) -> Floats:
        """The latencies in ms at ranks, from 0, of the keys' calls."""
        lowest, highest = population.lowest[code], population.highest[code]
        cell, _ = population.located(code, rank)
        values = np.where(rank == 0, lowest, np.clip(self._value[cell], lowest, highest))
        return np.where(rank == population.size[code] - 1, highest, values)

    def below(self, cell: Ints, limit_ms: Floats) -> Ints:
        """How many successes of cells lie below a latency that lies in each: all if their middle does.

        Of the ends of buckets, the fewest or the most that can be.
        """
        ends = {"middle": self._value, "low": self._table.edges[1], "high": self._table.edges[0]}
        return np.where(ends[self._end][cell] < limit_ms, self._table.successes.counts[cell], 0)

    def above(self, fence_ms: Floats) -> Removed:
        """The successes in buckets above that of the fence of their key, by code; NaN for no fence."""
        table, keys = self._table, self._table.keys
        if not np.isfinite(fence_ms).any():
            return Removed.nothing(keys)
        first, own = table.of_limit(np.where(np.isnan(fence_ms), np.inf, fence_ms))
        beyond = np.arange(len(table.code)) >= (first + own)[table.code]
        beyond &= table.bucket != FAILED
        counts = np.bincount(
            table.code[beyond], weights=table.successes.counts[beyond], minlength=keys
        ).astype(np.int64)
        sums = np.bincount(table.code[beyond], weights=table.success_sums[beyond], minlength=keys)
        return Removed(
            counts=counts,
            sums=[int(total * 2**FRACTION_BITS) for total in sums.tolist()],
            seconds=Removed.nothing(keys).seconds,
        )

    def fine_counts(self, code: Ints) -> Latencies | None:  # noqa: ARG002
        """Nothing finer than buckets is known."""
        return None
