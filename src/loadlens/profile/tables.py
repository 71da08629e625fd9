"""Counts by configuration in arrays, whose memory is given out in pages as rows need it."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKET_SHIFT, BUCKETS_PER_OCTAVE, octave_part, value_of_bits
from loadlens.profile.kernels import (
    COMPLETION,
    COMPLETION_BITS,
    COUNT,
    HEAT_WINDOWS,
    LATENCY_REST,
    NO_LATENCY,
    SECOND_BITS,
    SECONDS_A_PAGE,
    STATES,
    SUCCESS,
    Cells,
    Heat,
    Seconds,
)
from loadlens.profile.passes import TooSparseError
from loadlens.profile.places import GROUPS, PLACE_OF_ZERO, buckets_of_places
from loadlens.profile.profile import window_width

__all__ = ["CellTable", "HeatTable", "SecondTable"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


_NO_CALLS: Final = (0.0, 0.0, np.inf, -np.inf)
_NO_SIZES: Final = (0, 0)
_MOST_CALLS: Final = COMPLETION // 2


def _grown(array: NDArray[Any], size: int, most: int, fill: float | Sequence[float]) -> NDArray[Any]:
    """An array of at least ``size``, its new part filled; if it grows, to twice its size or ``most``."""
    if size <= len(array):
        return array
    larger = max(size, min(2 * len(array), most))
    grown = np.full((larger, *array.shape[1:]), fill, dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def _owners(pages: Ints, used: int) -> Ints:
    """The index that each page was given to."""
    index = np.flatnonzero(pages >= 0)
    owners = np.empty(used, dtype=np.int64)
    owners[pages[index]] = index
    return owners


class CellTable:
    """Counts, sums and times by code, state (a small number of flags) and latency bucket.

    A (code, state) pair that occurs has a slot, a doubling of the latency in a slot has a page of buckets.

    Attributes:
        arrays: the counts; a first start or last end is infinite where there is none.
    """

    def __init__(self, most_bytes: int, *, sized: bool) -> None:
        self._sized = sized
        self._most_pages = most_bytes // (BUCKETS_PER_OCTAVE * (len(_NO_CALLS) + len(_NO_SIZES)) * 8)
        self._most_cells = self._most_pages * BUCKETS_PER_OCTAVE
        ints = np.empty(0, dtype=np.int64)
        self.arrays = Cells(
            slots=ints,
            pages=ints,
            used=np.zeros(2, dtype=np.int64),
            figures=np.empty((0, len(_NO_CALLS))),
            sizes=np.empty((0, len(_NO_SIZES)), dtype=np.int64),
        )

    def make_room(self, num_codes: int) -> None:
        """Makes room for codes below ``num_codes``, one more slot and one more page.

        Raises:
            TooSparseError: the memory is used up.
        """
        arrays = self.arrays
        slots, pages = (int(used) + 1 for used in arrays.used)
        if max(pages, num_codes) > self._most_pages or slots * GROUPS > self._most_cells:
            raise TooSparseError
        size, most = pages * BUCKETS_PER_OCTAVE, self._most_cells
        self.arrays = Cells(
            slots=_grown(arrays.slots, num_codes * STATES, most, -1),
            pages=_grown(arrays.pages, slots * GROUPS, most, -1),
            used=arrays.used,
            figures=_grown(arrays.figures, size, most, _NO_CALLS),
            sizes=_grown(arrays.sizes, size, most, _NO_SIZES) if self._sized else arrays.sizes,
        )

    def of_code(self, code: int) -> tuple[Ints, Ints, Ints, Floats]:
        """The cells with calls of one code, ascending by latency: state, bucket, count, sum in ms."""
        arrays = self.arrays
        states = np.arange(STATES)
        slots = arrays.slots[code * STATES + states]
        states, slots = states[slots >= 0], slots[slots >= 0]
        pages = arrays.pages[slots[:, None] * GROUPS + np.arange(GROUPS)]
        slot, group = np.nonzero(pages >= 0)
        inside = np.arange(BUCKETS_PER_OCTAVE)
        cells = (pages[slot, group][:, None] * BUCKETS_PER_OCTAVE + inside).reshape(-1)
        buckets = buckets_of_places((group[:, None] * BUCKETS_PER_OCTAVE + inside).reshape(-1))
        state = np.repeat(states[slot], BUCKETS_PER_OCTAVE)
        order = np.argsort(buckets, kind="stable")
        counts = arrays.figures[cells, COUNT]
        order = order[counts[order] > 0]
        sums = self.latency_sums(cells[order], buckets[order])
        return state[order], buckets[order], counts[order].astype(np.int64), sums

    def latency_sums(self, cells: Ints, buckets: Ints) -> Floats:
        """The sums of latencies in ms of some cells, whose buckets are given."""
        figures = self.arrays.figures[cells]
        sums: Floats = figures[:, COUNT] * value_of_bits(buckets, BUCKET_SHIFT) + figures[:, LATENCY_REST]
        return sums

    def place_counts(self, code: int) -> tuple[Ints, Ints]:
        """The calls of one code by place: those with a latency, and the successes among them."""
        arrays = self.arrays
        figures = arrays.figures.reshape(-1, BUCKETS_PER_OCTAVE, arrays.figures.shape[1])
        calls, successes = np.zeros((2, GROUPS, BUCKETS_PER_OCTAVE), dtype=np.int64)
        for state in range(NO_LATENCY):
            slot = arrays.slots[code * STATES + state]
            if slot < 0:
                continue
            pages = arrays.pages[slot * GROUPS : (slot + 1) * GROUPS]
            groups = np.flatnonzero(pages >= 0)
            counts = figures[pages[groups], :, COUNT].astype(np.int64)
            calls[groups] += counts
            if state & SUCCESS:
                successes[groups] += counts
        return calls.reshape(-1), successes.reshape(-1)

    def used(self) -> tuple[Ints, Ints, Ints, Ints]:
        """The cells with calls: cell, code, state, bucket."""
        slots, pages = (int(used) for used in self.arrays.used)
        cells = np.flatnonzero(self.arrays.figures[:, COUNT])
        slot, group = np.divmod(_owners(self.arrays.pages, pages)[cells // BUCKETS_PER_OCTAVE], GROUPS)
        code, state = np.divmod(_owners(self.arrays.slots, slots)[slot], STATES)
        places = group * BUCKETS_PER_OCTAVE + cells % BUCKETS_PER_OCTAVE
        return cells, code, state, buckets_of_places(places)


class SecondTable:
    """Calls and completions by code and second, a page for each minute or so of a code."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes // 8
        ints = np.empty(0, dtype=np.int64)
        self.arrays = Seconds(pages=ints, shape=np.array([0, 1, 0]), counts=ints)

    def make_room(self, num_codes: int, first_second: int, last_second: int) -> bool:
        """Makes room for codes and seconds and one more page; false where the span is too long.

        Raises:
            TooSparseError: the memory is used up.
        """
        arrays = self.arrays
        pages_used = int(arrays.shape[2])
        if (pages_used + 1) * SECONDS_A_PAGE > self._most:
            raise TooSparseError
        counts = _grown(arrays.counts, (pages_used + 1) * SECONDS_A_PAGE, self._most, 0)
        self.arrays = arrays._replace(counts=counts)
        first, last = first_second // SECONDS_A_PAGE, last_second // SECONDS_A_PAGE
        first_block, old_codes = int(arrays.shape[0]), int(arrays.shape[1])
        inside = first >= first_block and last < first_block + len(arrays.pages) // old_codes
        if inside and num_codes <= old_codes:
            return True
        block, code = np.divmod(_owners(arrays.pages, pages_used), old_codes)
        block += first_block
        first, last = int(block.min(initial=first)), int(block.max(initial=last))
        codes = max(old_codes, 1 << (num_codes - 1).bit_length())
        blocks = min(2 * (last - first + 1), self._most // codes)
        if blocks <= last - first:
            return False
        pages = np.full(blocks * codes, -1, dtype=np.int64)
        pages[(block - first) * codes + code] = np.arange(pages_used)
        self.arrays = Seconds(pages=pages, shape=np.array([first, codes, pages_used]), counts=counts)
        return True

    def check(self, most_calls: int) -> None:
        """Keeps the calls of a second clear of its completions, with which they share a number.

        Args:
            most_calls: how many calls a second may have by now.

        Raises:
            TooSparseError: some second has almost too many.
        """
        if most_calls < _MOST_CALLS:
            return
        calls = self.arrays.counts & (COMPLETION - 1)
        if calls.max(initial=0) >= _MOST_CALLS:
            raise TooSparseError

    def used(self) -> tuple[Ints, Ints, Ints, Ints]:
        """The code, second, calls and completions of all seconds with calls."""
        first_block, codes, pages_used = (int(number) for number in self.arrays.shape)
        cells = np.flatnonzero(self.arrays.counts)
        owners = _owners(self.arrays.pages, pages_used)
        blocks, codes_of_pages = np.divmod(owners, codes)
        page = cells >> SECOND_BITS
        second = ((blocks + first_block) << SECOND_BITS)[page] + (cells & (SECONDS_A_PAGE - 1))
        counts = self.arrays.counts[cells]
        return codes_of_pages[page], second, counts & (COMPLETION - 1), counts >> COMPLETION_BITS


class HeatTable:
    """Calls by window of time and eighth of a doubling of the latency."""

    def __init__(self, *, counts: bool) -> None:
        self.wanted = counts
        buckets = pl.DataFrame({"bucket": buckets_of_places(np.arange(PLACE_OF_ZERO + 1))})
        parts = buckets.select(octave_part(pl.col("bucket"))).to_series().to_numpy()
        self._parts, part_of_place = np.unique(parts, return_inverse=True)
        self.arrays = Heat(
            part_of_place=part_of_place,
            window=np.zeros(1, dtype=np.int64),
            width=np.zeros(1),
            counts=np.zeros((HEAT_WINDOWS, len(self._parts)), dtype=np.int64),
        )

    @property
    def ready(self) -> bool:
        """Whether room has been made, or need not be."""
        return not self.wanted or bool(self.arrays.width[0])

    def make_room(self, low: float, high: float) -> None:
        """Makes room for ends from ``low`` to ``high`` in s."""
        _, window, widths, counts = self.arrays
        if not widths[0]:
            widths[0] = window_width(high - low)
            window[0] = int(low // widths[0])
        rows = np.flatnonzero(counts.any(axis=1))
        used = rows + window[0]
        width, index = float(widths[0]), used
        while True:
            first = min([int(low // width), *index[:1]])
            last = max([int(high // width), *index[-1:]])
            if last - first < HEAT_WINDOWS:
                break
            width, index = width * 2, index // 2
        moved = np.zeros_like(counts)
        np.add.at(moved, index - first, counts[rows])
        counts[:], window[0], widths[0] = moved, first, width

    def frame(self) -> pl.DataFrame:
        """The counts as a profile has them."""
        _, first, width, counts = self.arrays
        window, part = np.nonzero(counts)
        return pl.DataFrame(
            {
                "time_s": (window + first[0]) * width[0],
                "window_s": np.full(len(window), width[0]),
                "octave_part": self._parts[part],
                "count": counts[window, part],
            },
            schema_overrides={"time_s": pl.Float64, "octave_part": pl.Int64},
        )
