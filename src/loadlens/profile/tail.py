"""Rows that may lie above the fence, held back while their log is counted."""

from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.fence import upper_fence
from loadlens.profile.plan import Plan
from loadlens.profile.quantiles import bucket_bounds
from loadlens.schema import LATENCY

__all__ = ["Tail"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Histogram = tuple[Floats, Ints, Floats]
"""Of one population, ascending: the lower edges of its buckets in ms, counts and sums in ms."""

_FEWEST_CALLS: Final = 1000
_GROWTH: Final = 4
_MARGIN: Final = 0.1
_ERRORS_OF_A_QUARTILE: Final = 4.0


class Histograms(Protocol):
    """Gives the histogram of a code."""

    def __call__(self, code: int, *, successes: bool) -> Histogram:
        """The histogram of all calls with a latency, or of the successes."""


class Tail:
    """Holds the successes from a little below the fence on, by an estimate that grows with the log.

    Where the fence of the whole log turns out to lie below an estimate, rows are missing; ``complete``
    tells, and then they have to be fetched.

    Attributes:
        keep_from: by code, the latency in ms from which on rows are held.
        rows_of_code: by code, the rows that were counted.
        lost: whether the tail has to be fetched.
    """

    def __init__(self, plan: Plan, most_rows: int) -> None:
        self._plan = plan
        self._most_rows = most_rows
        self._rows = 0
        self._parts: list[tuple[Ints, Floats, Floats, Floats]] = []
        self._due_at = np.empty(0, dtype=np.int64)
        self.keep_from = np.empty(0)
        self.rows_of_code = np.empty(0, dtype=np.int64)
        self.lost = plan.fence == "none"

    def cover(self, num_codes: int) -> None:
        """Makes room for codes below ``num_codes``."""
        more = max(num_codes - len(self.keep_from), 0)
        limit = np.inf if self.lost else -np.inf
        self.keep_from = np.concatenate([self.keep_from, np.full(more, limit)])
        self.rows_of_code = np.concatenate([self.rows_of_code, np.zeros(more, dtype=np.int64)])
        self._due_at = np.concatenate([self._due_at, np.full(more, _FEWEST_CALLS)])

    def move_limits(self, histogram: "Histograms") -> None:
        """Moves the limits of the codes that have grown to four times their size."""
        if self.lost:
            return
        for code in np.flatnonzero(self.rows_of_code >= self._due_at):
            self._due_at[code] = _GROWTH * self.rows_of_code[code]
            estimate = self._estimate(histogram(int(code), successes=not self._plan.fence_over_failures))
            self.keep_from[code] = max(self.keep_from[code], estimate)

    def narrow(self, histogram: "Histograms") -> None:
        """Gives up rows that the estimates by now leave below the fence."""
        self._due_at[:] = _FEWEST_CALLS
        self.move_limits(histogram)
        parts = self._parts
        above = [latency >= self.keep_from[code] for code, latency, _, _ in parts]
        self._parts = [
            (code[kept], latency[kept], start[kept], end[kept])
            for kept, (code, latency, start, end) in zip(above, parts, strict=True)
        ]
        self._rows = sum(len(code) for code, *_ in self._parts)

    def share(self, code: Ints, keep_from: Floats) -> None:
        """Holds no more of some codes than another part of the log did, whose limits are given."""
        self.keep_from[code] = np.maximum(self.keep_from[code], keep_from)

    def recode(self, code: Ints) -> None:
        """Gives each old code its new one, of as many; ``rows_of_code`` is no longer kept."""
        self.keep_from = self.keep_from[np.argsort(code)]
        self._parts = [(code[old], latency, start, end) for old, latency, start, end in self._parts]

    def _estimate(self, histogram: Histogram) -> float:
        edges, counts, sums = histogram
        rows = counts.sum()
        if rows < _FEWEST_CALLS:
            return -np.inf
        ends = np.searchsorted(np.cumsum(counts), [0.25 * rows, 0.75 * rows])
        q25, q75 = edges[np.minimum(ends, len(edges) - 1)]
        limit = upper_fence(self._plan.fence, sums.sum() / rows, q25, q75)
        return float(limit * (1 - _MARGIN - _ERRORS_OF_A_QUARTILE / np.sqrt(rows)))

    def hold(self, code: Ints, latency: Floats, start: Floats, end: Floats) -> None:
        """Holds successes back that may lie above their fence; times are NaN where there are none."""
        if self.lost:
            return
        self._rows += len(code)
        if self._rows > self._most_rows:
            self.lose()
        else:
            self._parts.append((code, latency, start, end))

    def lose(self) -> None:
        """Gives up: the tail has to be fetched."""
        self.lost = True
        self.keep_from[:] = np.inf
        self._parts.clear()

    def complete(self, fences: pl.DataFrame) -> bool:
        """Whether all rows in the bucket of their fence, or above it, were held back.

        Args:
            fences: ``code`` and ``lowest``, the lower edge of that bucket in ms.
        """
        if self.lost:
            return False
        lowest = fences["lowest"].fill_null(np.inf).to_numpy()
        return bool((self.keep_from[fences["code"].to_numpy()] <= lowest).all())

    def covers(self, buckets: pl.DataFrame) -> bool:
        """Whether all successes in some buckets (``code``, ``bucket``) were held back."""
        edges, _ = bucket_bounds(buckets["bucket"].to_numpy())
        return not self.lost and bool((self.keep_from[buckets["code"].to_numpy()] <= edges).all())

    def rows(self) -> tuple[Ints, Floats, NDArray[np.bool_]]:
        """Code, latency in ms and success of the rows."""
        code, latency, _, _ = self.arrays()
        return code, latency, np.ones(len(code), dtype=np.bool_)

    def arrays(self) -> tuple[Ints, Floats, Floats, Floats]:
        """Code, latency in ms, start and end in s of the rows; times are NaN where there are none."""
        if not self._parts:
            return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), np.empty(0)
        code, latency, start, end = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return code, latency, start, end

    def frame(self) -> pl.DataFrame:
        """The rows, all of them successes: ``code``, ``success``, the latency in ms, times in s."""
        names = ("code", LATENCY, "start_time", "end_time")
        frame = pl.DataFrame(dict(zip(names, self.arrays(), strict=True)))
        times = pl.col("start_time", "end_time").fill_nan(None)
        return frame.with_columns(times, success=pl.lit(value=True))
