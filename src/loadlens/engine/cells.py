"""From ranks to cells: where each order statistic of a population lies."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import FAILED, bucket_bounds
from loadlens.profile.profile import Profile

__all__ = ["CellTable", "Population"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_WIDTH: Final = 1 << 20
"""More than there are buckets: code and bucket as one number, which grows with both."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """How the calls of a population are spread over the cells of a table.

    Attributes:
        counts: of each cell.
        ends: how many calls there are up to each cell, it included, over all keys.
        first: how many come before each key's, by code.
        size: how many calls each key has, by code.
        lowest: the smallest latency of each key in ms, by code; NaN without calls.
        highest: the largest.
    """

    counts: Ints
    ends: Ints
    first: Ints
    size: Ints
    lowest: Floats
    highest: Floats

    def located(self, code: Ints, rank: Ints) -> tuple[Ints, Ints]:
        """The cell of the call at each rank, from 0, of a key; and its rank in the cell."""
        position = self.first[code] + rank
        cell = np.searchsorted(self.ends, position, side="right")
        return cell, position - (self.ends[cell] - self.counts[cell])

    def up_to(self, cell: Ints, code: Ints) -> Ints:
        """How many calls of a key lie before the given cell, which is one of its own or the next."""
        found: Ints = np.concatenate([[0], self.ends])[cell] - self.first[code]
        return found


class CellTable:
    """The latency cells of a profile, each with its calls and the successes among them.

    Attributes:
        code: of each cell, ascending.
        bucket: likewise, ascending within a code.
        edges: the smallest latency of each cell and of the next bucket, in ms.
        shift: how many trailing bits of a latency a bucket leaves open.
        start: by code, its first cell; one more element for the end.
        all: all calls with a latency.
        successes: the successes among them.
    """

    def __init__(self, profile: Profile) -> None:
        self.keys, self.shift = profile.keys.height, profile.bucket_shift
        lines = profile.buckets  # a cell's failures and its successes
        code, bucket, count = (lines[name].to_numpy() for name in ("code", "bucket", "count"))
        place = code * _WIDTH + bucket
        self._order = np.argsort(place, kind="stable")  # quick, as they are nearly in order
        place, count = place[self._order], count[self._order]
        self._first = np.flatnonzero(np.diff(place, prepend=-_WIDTH))  # line of each cell
        self._profile, success = profile, lines["success"].to_numpy()[self._order]
        self.code: Ints = code[self._order][self._first]
        self.bucket: Ints = bucket[self._order][self._first]
        self.edges = bucket_bounds(self.bucket, self.shift)
        self.start: Ints = np.searchsorted(self.code, np.arange(self.keys + 1))
        self.all = self._population(self._summed(count), profile.figures)
        successes = self._summed(count * success)
        self.successes = self._population(successes, profile.figures.filter("success"))

    def _summed(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, self._first) if len(self._first) else values

    @cached_property
    def success_sums(self) -> Floats:
        """The latencies of each cell's successes in ms, summed up; good to 4e-9."""
        lines = self._profile.bucket_sums
        sums = lines["latency_sum"].to_numpy() * lines["success"].to_numpy()
        found: Floats = self._summed(sums[self._order])
        return found

    def _population(self, counts: Ints, figures: pl.DataFrame) -> Population:
        ends = np.cumsum(counts)
        before = np.concatenate([[0], ends])
        lowest, highest = np.full(self.keys, np.nan), np.full(self.keys, np.nan)
        found = figures.group_by("code").agg(pl.col("latency_min").min(), pl.col("latency_max").max())
        code = found["code"].to_numpy()
        lowest[code] = found["latency_min"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        highest[code] = found["latency_max"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        first = before[self.start[:-1]]
        return Population(
            counts=counts,
            ends=ends,
            first=first,
            size=before[self.start[1:]] - first,
            lowest=lowest,
            highest=highest,
        )

    def of_limit(self, limit_ms: Floats) -> tuple[Ints, NDArray[np.bool_]]:
        """For each code its first cell from the limit's bucket on, and whether that is the limit's own.

        Args:
            limit_ms: a latency for each code; below 0 before all buckets, infinity behind.
        """
        finite = np.where(np.isfinite(limit_ms), limit_ms, 0.0) + 0.0
        bucket = np.where(finite < 0, FAILED - 1, finite.view(np.int64) >> self.shift)
        bucket = np.where(np.isposinf(limit_ms), np.iinfo(np.int64).max >> 1, bucket)
        # One search in all cells.
        place = self.code * _WIDTH + self.bucket + 1
        wanted = np.arange(self.keys) * _WIDTH + np.minimum(bucket, _WIDTH - 3) + 1
        cell = np.searchsorted(place, wanted)
        inside = cell < len(place)
        own = np.zeros(self.keys, dtype=np.bool_)
        own[inside] = place[cell[inside]] == wanted[inside]
        return cell, own
