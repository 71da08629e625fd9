"""From ranks to cells: where each order statistic of a population lies."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKET_SHIFT, FAILED, bucket_bounds
from loadlens.profile.profile import Profile

__all__ = ["CellTable", "Population"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


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
        success_sums: the latencies of its successes in ms, summed up; good to 4e-9.
        start: by code, its first cell; one more element for the end.
        all: all calls with a latency.
        successes: the successes among them.
    """

    def __init__(self, profile: Profile) -> None:
        cells = profile.bucket_sums.group_by("code", "bucket").agg(
            pl.col("count").sum(),
            pl.col("count", "latency_sum").filter("success").sum().name.prefix("success_"),
        )
        cells = cells.sort("code", "bucket")
        self.keys = profile.keys.height
        self.code: Ints = cells["code"].to_numpy()
        self.bucket: Ints = cells["bucket"].to_numpy()
        self.edges = bucket_bounds(self.bucket)
        self.success_sums: Floats = cells["success_latency_sum"].to_numpy()
        self.start: Ints = np.searchsorted(self.code, np.arange(self.keys + 1))
        self.all = self._population(cells["count"].to_numpy(), profile.figures)
        self.successes = self._population(
            cells["success_count"].to_numpy(), profile.figures.filter("success")
        )

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
        bucket = np.where(finite < 0, FAILED - 1, finite.view(np.int64) >> BUCKET_SHIFT)
        bucket = np.where(np.isposinf(limit_ms), np.iinfo(np.int64).max >> 1, bucket)
        # One search in all cells: numbers that grow with code and bucket.
        width = 1 << 20
        place = self.code * width + self.bucket + 1
        wanted = np.arange(self.keys) * width + np.minimum(bucket, width - 3) + 1
        cell = np.searchsorted(place, wanted)
        inside = cell < len(place)
        own = np.zeros(self.keys, dtype=np.bool_)
        own[inside] = place[cell[inside]] == wanted[inside]
        return cell, own
