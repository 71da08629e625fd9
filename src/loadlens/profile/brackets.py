"""Latencies near the wanted ranks, held back while their log is counted."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.compiled import frozen
from loadlens.profile.buckets import bucket_of
from loadlens.profile.fence import upper_fence
from loadlens.profile.kernels import keep_wanted, keys_of_rows
from loadlens.profile.places import (
    NUM_PLACES,
    PLACE_OF_FAILED,
    PLACE_OF_ZERO,
    REGULAR_PLACES,
    buckets_of_places,
    places_of_buckets,
)
from loadlens.profile.plan import Plan
from loadlens.profile.quantiles import bucket_bounds
from loadlens.profile.table import FENCE_QUANTILES, FIVE
from loadlens.profile.tail import Tail

__all__ = ["Brackets", "keys_held_back", "numbered_places"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]
Rows = tuple[Ints, Floats, Truths]
"""Code, latency in ms and success of calls."""

_MOST_WANTED: Final = 2**25
_MOST_CODES: Final = 512
_FEWEST_HELD: Final = 2_000_000
_GROWTH: Final = 1.5
_ERRORS_OF_A_RANK: Final = 5.0
_RANKS_AROUND: Final = 2.0
_ERROR_OF_A_FENCE: Final = 0.01
_IN_ORDER: Final = np.concatenate([[PLACE_OF_FAILED, PLACE_OF_ZERO], np.arange(REGULAR_PLACES)])
_EDGES: Final = bucket_bounds(buckets_of_places(_IN_ORDER))
_LOW_EDGES: Final = _EDGES[0]
_MIDDLES: Final = (_EDGES[0] + _EDGES[1]) / 2


class PlaceCounts(Protocol):
    """Gives the calls of a code by place: all that have a latency, and the successes among them."""

    def __call__(self, code: int) -> tuple[Ints, Ints]:
        """Two arrays of a number for each place."""


class Brackets:
    """Holds latencies in the buckets that may hold a wanted rank of the whole log.

    At first these are all buckets. When many rows are held, those are given up that the counts so far make
    unlikely, and later more of them. In a log whose latencies drift, a rank may end in a bucket that was
    given up: ``covers`` tells, and then the log has to be read again.

    Attributes:
        wanted: by code and place, whether rows are held.
        lost: whether there are too many rows or codes to hold any.
    """

    def __init__(self, plan: Plan, most_rows: int, *, narrow_at: int | None = None) -> None:
        self._plan = plan
        self._most_rows = most_rows
        self._due_at = min(most_rows, _FEWEST_HELD if narrow_at is None else narrow_at)
        self._parts: list[Rows] = []
        self._num_rows = 0
        self.wanted = np.empty(0, dtype=np.bool_)
        self.lost = False

    def cover(self, num_codes: int) -> None:
        """Makes room for codes below ``num_codes``."""
        if num_codes > _MOST_CODES:
            self.lose()
        more = num_codes * NUM_PLACES - len(self.wanted)
        if more > 0 and not self.lost:
            wanted = np.ones(more, dtype=np.bool_)
            wanted[PLACE_OF_FAILED::NUM_PLACES] = False  # all latencies there are the same
            self.wanted = np.concatenate([self.wanted, wanted])

    def hold(self, code: Ints, latency: Floats, success: Truths, counts: PlaceCounts) -> None:
        """Holds rows back; where they become many, gives some buckets up.

        The arrays become its own, and change.

        Args:
            code: the code of each row.
            latency: in ms.
            success: whether the call succeeded.
            counts: gives the counts of all rows so far.
        """
        if self.lost or not len(code):
            return
        self._parts.append((code, latency, success))
        self._num_rows += len(code)
        if self._num_rows > self._due_at:
            self.narrow(counts)

    def lose(self) -> None:
        """Gives up: latencies have to be read again."""
        self.lost = True
        self.wanted = np.empty(0, dtype=np.bool_)
        self._parts.clear()

    def covers(self, code: Ints, bucket: Ints) -> Truths:
        """Whether all rows of each bucket are held."""
        places = places_of_buckets(bucket)
        known = (places >= 0) & (code < len(self.wanted) // NUM_PLACES)
        covered = np.zeros(len(code), dtype=np.bool_)
        covered[known] = self.wanted[code[known] * NUM_PLACES + places[known]]
        return covered

    def share(self, code: Ints, wanted: Truths, rows: Rows, counts: PlaceCounts) -> None:
        """Holds what was held of another part of the log, and no more than that.

        Args:
            code: codes that the part has.
            wanted: what was held of each, a row of places for each code.
            rows: the rows, arrays of its own.
            counts: gives the counts of all rows so far, those of the part included.
        """
        if not self.lost:
            self.wanted.reshape(-1, NUM_PLACES)[code] &= wanted
            size = keep_wanted(*rows, self.wanted)
            part_code, latency, success = rows
            self.hold(part_code[:size], latency[:size], success[:size], counts)

    def recode(self, code: Ints) -> None:
        """Gives each old code its new one, of as many."""
        if not self.lost:
            self.wanted = self.wanted.reshape(-1, NUM_PLACES)[np.argsort(code)].reshape(-1)
            self._parts = [(code[old], latency, success) for old, latency, success in self._parts]

    def rows(self) -> Rows:
        """Code, latency in ms and success of the rows."""
        if not self._parts:
            return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.bool_)
        code, latency, success = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return code, latency, success

    def narrow(self, counts: PlaceCounts) -> None:
        """Gives up what the counts of all rows so far make unlikely."""
        if self.lost:
            return
        for code in range(len(self.wanted) // NUM_PLACES):
            own = slice(code * NUM_PLACES, (code + 1) * NUM_PLACES)
            self.wanted[own] &= _likely_places(self._plan, *counts(code))
        self._parts = [self._kept(part) for part in self._parts]
        self._num_rows = sum(len(code) for code, _, _ in self._parts)
        self._due_at = max(self._due_at, int(_GROWTH * self._num_rows))
        if self._num_rows > self._most_rows / _GROWTH:
            self.lose()

    def _kept(self, rows: Rows) -> Rows:
        """The rows that are still wanted, in the same memory unless that would be left half empty."""
        code, latency, success = rows
        size = keep_wanted(code, latency, success, self.wanted)
        kept = code[:size], latency[:size], success[:size]
        if size < len(code) / 2:
            code, latency, success = kept
            kept = code.copy(), latency.copy(), success.copy()
        return kept


def _likely_places(plan: Plan, calls: Ints, successes: Ints) -> Truths:
    """The places that the wanted ranks of a log may end in, of which a part has been counted."""
    marked = np.zeros(len(_IN_ORDER), dtype=np.bool_)
    succeeded = _Ranks(successes, marked)
    fenced = _Ranks(calls, marked) if plan.fence_over_failures else succeeded
    succeeded.mark([*FIVE.values(), *plan.percentiles])
    if plan.fence_over_failures:
        fenced.mark([*FENCE_QUANTILES.values()])
    succeeded.mark([*FIVE.values(), *plan.kept_percentiles], _removed(plan, fenced, succeeded))
    places = np.zeros(NUM_PLACES, dtype=np.bool_)
    places[_IN_ORDER] = marked
    limits = places_of_buckets(bucket_of(np.array(plan.limits_ms)))
    places[limits[limits >= 0]] = True
    return places


class _Ranks:
    """One population in ascending order of latencies; marks the places around its ranks.

    Attributes:
        size: how many calls there are.
    """

    def __init__(self, counts: Ints, marked: Truths) -> None:
        self._marked = marked
        self._counts = counts[_IN_ORDER]
        self._ends = np.cumsum(self._counts)
        self.size = int(self._ends[-1])

    def mark(self, quantiles: Sequence[float], removed: tuple[int, int] = (0, 0)) -> None:
        """Marks quantiles of all but the ``removed`` highest, of which the fewest and the most are given."""
        if not self.size:
            self._marked[:] = True
            return
        (fewest, most), quantile = removed, np.array(quantiles)
        margin = _RANKS_AROUND + _ERRORS_OF_A_RANK * np.sqrt(self.size * quantile * (1 - quantile))
        low = quantile * (self.size - most - 1) - margin
        high = quantile * (self.size - fewest - 1) + margin
        first, last = np.searchsorted(self._ends, [low, high], side="right")
        first = np.where(low >= 0, first, 0)
        last = np.where(high < self.size - 1, last, len(_IN_ORDER) - 1)
        for start, end in zip(first.tolist(), last.tolist(), strict=True):
            self._marked[start : end + 1] = True

    def mean_and_quartiles(self) -> tuple[float, float, float]:
        """Mean, q25 and q75 in ms, about."""
        q25, q75 = _LOW_EDGES[np.searchsorted(self._ends, [0.25 * self.size, 0.75 * self.size])]
        return float((self._counts * _MIDDLES).sum() / self.size), float(q25), float(q75)

    def above(self, latency_ms: float) -> int:
        """How many calls are in places that begin above a latency."""
        place = int(np.searchsorted(_LOW_EDGES, latency_ms, side="right"))
        return self.size - (int(self._ends[place - 1]) if place else 0)


def _removed(plan: Plan, fenced: _Ranks, succeeded: _Ranks) -> tuple[int, int]:
    """How many of the successes so far the fence will remove, at least and at most."""
    if plan.outliers == "none" or not fenced.size:
        return 0, 0
    limit = upper_fence(plan.outliers, *fenced.mean_and_quartiles())
    error = abs(limit) * (_ERROR_OF_A_FENCE + _ERRORS_OF_A_RANK / np.sqrt(fenced.size))
    return succeeded.above(limit + error), succeeded.above(limit - error)


def numbered_places(chosen: pl.DataFrame) -> tuple[Truths, Ints] | None:
    """Which places (by code) numbered buckets take, and their numbers; None where no table can tell.

    Args:
        chosen: ``code``, ``bucket`` and, where it is not the number of the row, ``number``.
    """
    code, places = chosen["code"].to_numpy(), places_of_buckets(chosen["bucket"].to_numpy())
    size = (int(code.max(initial=-1)) + 1) * NUM_PLACES
    if size > _MOST_WANTED or places.min(initial=0) < 0:
        return None
    numbers = np.zeros(size, dtype=np.int64)
    wanted = np.zeros(size, dtype=np.bool_)
    index = code * NUM_PLACES + places
    wanted[index] = True
    numbers[index] = chosen["number"].to_numpy() if "number" in chosen.columns else np.arange(len(code))
    return wanted, numbers


def keys_held_back(
    brackets: Brackets, tail: Tail, chosen: pl.DataFrame, kept: pl.DataFrame
) -> pl.DataFrame | None:
    """The latencies in numbered buckets as ``held_keys`` returns them; None if they were not held back.

    Args:
        brackets: rows near wanted ranks; it gives them away.
        tail: the successes above the fence and a little below.
        chosen: numbered buckets.
        kept: those of which successes alone are wanted, which the tail may have: ``code`` and ``bucket``.
    """
    numbered = chosen.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("number"),
        covered=brackets.covers(chosen["code"].to_numpy(), chosen["bucket"].to_numpy()),
    )
    near, rest = _keys(brackets.rows(), numbered.filter("covered")), numbered.filter(~pl.col("covered"))
    brackets.lose()
    if rest.is_empty():
        return near
    in_tail = rest.join(kept, on=["code", "bucket"], how="anti").is_empty() and tail.covers(rest)
    return pl.concat([near, _keys(tail.rows(), rest)]) if in_tail else None


def _keys(rows: Rows, chosen: pl.DataFrame) -> pl.DataFrame:
    code, latency, success = map(frozen, rows)
    places = numbered_places(chosen)
    assert places is not None  # noqa: S101  # only places are held
    keys, successes = np.empty(len(code), dtype=np.int64), np.empty(len(code), dtype=np.bool_)
    found = keys_of_rows(code, latency, success, *places, keys, successes)
    # Copies, so that few keys do not keep the memory of many.
    return pl.DataFrame({"key": keys[:found].copy(), "success": successes[:found].copy()})
