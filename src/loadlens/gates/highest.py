"""Successes of high latency, held back while a log is counted: those that decide its worst windows."""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.gates.narrowing import part_edges

__all__ = ["Highest"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEWEST_HELD: Final = 1_000_000
_GROWTH: Final = 1.5


class Highest:
    """Holds the successes of each configuration whose latency is among its highest.

    At first these are all. When many are held, those are given up that lie below the highest so far, by the
    counts so far.

    Attributes:
        keep_from: from which latency in ms on the successes of each code are held.
        lost: whether there are too many to hold any.
    """

    def __init__(self, share: float, shift: int, most_rows: int) -> None:
        """Begins with nothing.

        Args:
            share: which share of the successes of each code are to be held; 0 for none.
            shift: how many bits of the latency a cell leaves open.
            most_rows: how many there may be in all.
        """
        self._share = share
        self._shift = shift
        self._most_rows = most_rows
        self._due_at = min(_FEWEST_HELD, most_rows)
        self._parts: list[tuple[Ints, Floats]] = []
        self._num_rows = 0
        self.keep_from: Floats = np.empty(0)
        self.lost = not share

    def cover(self, num_codes: int) -> None:
        """Makes room for codes below ``num_codes``."""
        more = num_codes - len(self.keep_from)
        if more > 0:
            fresh = np.full(more, np.inf if self.lost else -np.inf)
            self.keep_from = np.concatenate([self.keep_from, fresh])

    def hold(
        self,
        keys: Ints,
        latencies: Floats,
        code_of: Callable[[Ints], Ints],
        cells: Callable[[], pl.DataFrame],
    ) -> None:
        """Holds rows; where they become many, gives some up.

        Args:
            keys: tell the cells of the rows.
            latencies: in ms.
            code_of: the codes of keys.
            cells: the cells of all rows so far.
        """
        if self.lost or not len(keys):
            return
        # Copies, so that few rows do not keep the memory of many.
        self._parts.append((keys.copy(), latencies.copy()))
        self._num_rows += len(keys)
        if self._num_rows > self._due_at:
            self._raise_floors(cells())
            keys, latencies = self.rows()
            above = latencies >= self.keep_from[code_of(keys)]
            self._parts = [(keys[above], latencies[above])]
            self._num_rows = int(above.sum())
            self._due_at = max(self._due_at, int(_GROWTH * self._num_rows))
            if self._num_rows > self._most_rows / _GROWTH:
                self._lose()

    def rows(self) -> tuple[Ints, Floats]:
        """The keys and latencies in ms of the rows."""
        if not self._parts:
            return np.empty(0, dtype=np.int64), np.empty(0)
        keys, latencies = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return keys, latencies

    def _lose(self) -> None:
        self.lost = True
        self._parts.clear()
        self.keep_from = np.full(len(self.keep_from), np.inf)

    def _raise_floors(self, cells: pl.DataFrame) -> None:
        """Holds on from the part in which the share of the highest begins."""
        counts = (
            cells.filter(pl.col("success") & pl.col("low").is_not_null())
            .group_by("code", "part")
            .agg(pl.col("count").sum())
            .sort("code", "part", descending=[False, True])
        )
        from_here = pl.col("count").cum_sum().over("code")
        wanted = self._share * pl.col("count").sum().over("code")
        begins = counts.filter(from_here >= wanted).group_by("code", maintain_order=True).first()
        code, floor = begins["code"].to_numpy(), part_edges(begins["part"].to_numpy(), self._shift)
        self.keep_from[code] = np.maximum(self.keep_from[code], floor)
