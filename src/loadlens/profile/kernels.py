"""The inner loops of counting, compiled: a row is read once and counted everywhere.

Each loop stops at the first row for which its tables have no room and returns that row's number, so that
the caller can make room and go on from there. They hold no lock of the interpreter.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadlens.compiled import compiled
from loadlens.profile.buckets import BUCKET_BITS, BUCKET_SHIFT, BUCKETS_PER_OCTAVE
from loadlens.profile.places import (
    GROUPS,
    LOWEST_BUCKET,
    NUM_PLACES,
    PLACE_OF_FAILED,
    PLACE_OF_ZERO,
    REGULAR_PLACES,
)
from loadlens.schema import MAX_TIME_S

__all__ = [
    "BROKEN",
    "COMPLETION",
    "COMPLETION_BITS",
    "COUNT",
    "FIRST_START",
    "HEAT_WINDOWS",
    "LAST_END",
    "LATENCY_REST",
    "NEEDS_CELLS",
    "NEEDS_HEAT",
    "NEEDS_SECONDS",
    "NO_LATENCY",
    "SECONDS_A_PAGE",
    "SECOND_BITS",
    "STATES",
    "SUCCESS",
    "Batch",
    "Cells",
    "Found",
    "Heat",
    "Seconds",
    "add_digits",
    "count_rows",
    "give_codes",
    "keep_wanted",
    "keys_of_rows",
]

Array = NDArray[Any]

SUCCESS: Final = 1
NO_LATENCY: Final = 16
STATES: Final = 32

SECOND_BITS: Final = 6
SECONDS_A_PAGE: Final = 1 << SECOND_BITS
COMPLETION_BITS: Final = 32
COMPLETION: Final = 1 << COMPLETION_BITS
HEAT_WINDOWS: Final = 256

COUNT: Final = 0
LATENCY_REST: Final = 1
FIRST_START: Final = 2
LAST_END: Final = 3

NEEDS_CELLS: Final = 1
NEEDS_SECONDS: Final = 2
NEEDS_HEAT: Final = 3
BROKEN: Final = 4

_ROWS_AT_ONCE: Final = 1024
_LOW_BITS: Final = (1 << BUCKET_SHIFT) - 1
_MAX_TIME: Final = float(MAX_TIME_S)

# Numba's cache looks at the text of this file alone: a constant from elsewhere must not change unnoticed.
assert (BUCKET_BITS, BUCKET_SHIFT, LOWEST_BUCKET, GROUPS, MAX_TIME_S) == (8, 44, 253_696, 66, 2**34)  # noqa: S101


class Batch(NamedTuple):
    """Columns of a batch; arrays of length 0 for what the log does not have."""

    code: Array
    success: Array
    untimed: Array
    error_1: Array
    error_2: Array
    error_3: Array
    latency: Array
    start: Array
    end: Array
    size: Array
    has_size: Array


class Cells(NamedTuple):
    """See ``CellTable``; ``used`` holds how many slots and pages are given out.

    ``figures`` has a row for each cell, so that memory is touched once: count, sum of latencies, first
    start, last end. ``sizes`` has sum and count of response sizes.
    """

    slots: Array
    pages: Array
    used: Array
    figures: Array
    sizes: Array


class Seconds(NamedTuple):
    """See ``SecondTable``; ``shape`` holds the first block, the number of codes, the pages given out."""

    pages: Array
    shape: Array
    counts: Array


class Heat(NamedTuple):
    """See ``HeatTable``; ``window`` holds the first window, ``width`` its width in s or 0 for no counts."""

    part_of_place: Array
    window: Array
    width: Array
    counts: Array


class Found(NamedTuple):
    """What a scan notes beside its counts: rows by number, and how many of each kind.

    ``sizes``: irregular rows, rows without room for their second, held rows, rows in wanted places.
    """

    irregular: Array
    without_second: Array
    held: Array
    near: Array
    sizes: Array
    wanted: Array
    keep_from: Array
    rows_of_code: Array


@compiled
def place_of(latency: float) -> np.int64 | int:
    """The place of a latency, -1 for one that has none."""
    bucket = np.float64(latency).view(np.int64) >> BUCKET_SHIFT
    if 0 <= bucket - LOWEST_BUCKET < REGULAR_PLACES:
        return bucket - LOWEST_BUCKET
    if bucket == 0 or latency == 0.0:
        return PLACE_OF_ZERO
    if latency == -1.0:
        return PLACE_OF_FAILED
    return -1


@compiled
def add_digits(combined: Array, values: Array, low: int, digits: Array, capacity: int) -> bool:
    """Appends the digit of each value to ``combined``; false where some value has none."""
    known = np.int64(0)
    size = np.uint64(len(digits))
    for row in range(len(values)):
        index = np.uint64(values[row] - low)  # those below ``low`` become large
        inside = index < size
        digit = digits[index if inside else np.uint64(0)] if size else np.int64(-1)
        digit = digit if inside else np.int64(-1)
        known |= digit
        combined[row] = combined[row] * capacity + digit
    return bool(known >= 0)


@compiled
def give_codes(combined: Array, codes: Array) -> bool:
    """Puts the code of each combination into its place; false where some has none."""
    known = np.int64(0)
    for row in range(len(combined)):
        code = codes[np.uint64(combined[row])]
        known |= code
        combined[row] = code
    return bool(known >= 0)


@compiled
def keys_of_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    code: Array, latency: Array, success: Array, wanted: Array, numbers: Array, keys: Array, successes: Array
) -> int:
    """Notes key and success of the rows whose bucket is ``wanted`` (by code and place); how many there are.

    A key is the number of the bucket followed by the bits of the latency that the bucket leaves open.
    """
    found = 0
    for row in range(len(code)):
        place = place_of(latency[row])
        index = code[row] * NUM_PLACES + place
        if place >= 0 and index < len(wanted) and wanted[index]:
            low_bits = np.float64(latency[row]).view(np.int64) & _LOW_BITS
            keys[found] = (numbers[index] << BUCKET_SHIFT) | low_bits
            successes[found] = success[row]
            found += 1
    return found


@compiled
def keep_wanted(code: Array, latency: Array, success: Array, wanted: Array) -> int:
    """Moves the rows in ``wanted`` places (by code and place) to the front; how many there are."""
    kept = 0
    for row in range(len(code)):
        if wanted[code[row] * NUM_PLACES + place_of(latency[row])]:
            code[kept], latency[kept], success[kept] = code[row], latency[row], success[row]
            kept += 1
    return kept


@compiled
def flag_of(value: int, place: int) -> int:
    """What an error column adds to a row's state; more than all states for a value other than 0 and 1."""
    return value << place if value == (value & 1) else STATES


@compiled
def _usable(time: float) -> bool:
    return -_MAX_TIME < time < _MAX_TIME


@compiled
def _place_rows(  # noqa: C901, PLR0911, PLR0912, PLR0915, PLR0917  # one loop is the point; calls in it cost
    first: int,
    last: int,
    batch: Batch,
    cells: Cells,
    seconds: Seconds,
    heat: Heat,
    found: Found,
    open_seconds: bool,
    cell_of: Array,
    second_of: Array,
) -> tuple[int, int]:
    """Finds the places of rows in the tables, -1 for none; the row that it stopped at, and what is needed."""
    # Arrays are taken out of their tuples once: inside the loop each access would count references.
    codes, success, untimed, errors_1, errors_2, errors_3, latencies, starts, ends, _, _ = batch
    slots, pages, used, figures, _ = cells
    second_pages, shape, second_counts = seconds
    part_of_place, heat_window, heat_width, heat_counts = heat
    irregular, without_second, held, near, found_sizes, wanted, keep_from, rows_of_code = found
    has_1, has_2, has_3, has_untimed = (
        len(errors_1) > 0,
        len(errors_2) > 0,
        len(errors_3) > 0,
        len(untimed) > 0,
    )
    has_start, has_end = len(starts) > 0, len(ends) > 0
    most_slots, most_pages = len(pages) // GROUPS, len(figures) // BUCKETS_PER_OCTAVE
    first_block, num_codes, most_seconds = shape[0], shape[1], len(second_counts) // SECONDS_A_PAGE
    num_blocks = len(second_pages) // num_codes
    width, first_window = heat_width[0], heat_window[0]
    for row in range(first, last):
        code, latency = codes[row], latencies[row]
        state = 1 if success[row] else 0
        if has_1:
            state += flag_of(errors_1[row], 1)
        if has_2:
            state += flag_of(errors_2[row], 2)
        if has_3:
            state += flag_of(errors_3[row], 3)
        if state >= STATES:
            return row, BROKEN
        if has_untimed and untimed[row]:
            state += NO_LATENCY
        place = place_of(latency)
        start = starts[row] if has_start else 0.0
        end = ends[row] if has_end else 0.0
        if place < 0 or not _usable(start) or not _usable(end):
            irregular[found_sizes[0]] = row
            found_sizes[0] += 1
            cell_of[row - first] = -1
            continue
        completed = state & SUCCESS
        timed = state & (SUCCESS | NO_LATENCY) == SUCCESS
        if (has_start and has_end and end < start) or (timed and place == PLACE_OF_FAILED):
            return row, BROKEN
        slot_index = code * STATES + state
        slot = slots[slot_index]
        if slot < 0:
            if used[0] == most_slots:
                return row, NEEDS_CELLS
            slot = used[0]
            slots[slot_index] = slot
            used[0] = slot + 1
        page_index = slot * GROUPS + (place >> BUCKET_BITS)
        page = pages[page_index]
        if page < 0:
            if used[1] == most_pages:
                return row, NEEDS_CELLS
            page = used[1]
            pages[page_index] = page
            used[1] = page + 1
        second_index = -1
        if has_end:
            second = np.int64(end)  # toward zero
            block = (second >> SECOND_BITS) - first_block
            window = np.int64(np.floor(end / width)) - first_window if width > 0 else 0
            if not 0 <= window < HEAT_WINDOWS:
                return row, NEEDS_HEAT
            if 0 <= block < num_blocks and code < num_codes:
                page_of_second = block * num_codes + code
                second_page = second_pages[page_of_second]
                if second_page < 0:
                    if shape[2] == most_seconds:
                        return row, NEEDS_SECONDS
                    second_page = shape[2]
                    second_pages[page_of_second] = second_page
                    shape[2] = second_page + 1
                second_index = (second_page << SECOND_BITS) + (second & (SECONDS_A_PAGE - 1))
            elif open_seconds:
                return row, NEEDS_SECONDS
            else:
                without_second[found_sizes[1]] = row
                found_sizes[1] += 1
            if width > 0 and timed:
                heat_counts[window, part_of_place[place]] += 1
        cell_of[row - first] = (page << BUCKET_BITS) + (place & (BUCKETS_PER_OCTAVE - 1))
        second_of[row - first] = second_index * 2 + completed if second_index >= 0 else -1
        rows_of_code[code] += 1
        if timed and latency >= keep_from[code]:
            held[found_sizes[2]] = row
            found_sizes[2] += 1
        place_of_code = code * NUM_PLACES + place
        if place_of_code < len(wanted) and wanted[place_of_code] and not state & NO_LATENCY:
            near[found_sizes[3]] = row
            found_sizes[3] += 1
    return last, 0


@compiled
def _add_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    first: int, last: int, batch: Batch, cells: Cells, seconds: Seconds, cell_of: Array, second_of: Array
) -> None:
    """Adds rows to the figures of their places."""
    _, _, _, _, _, _, latencies, starts, ends, sizes, has_size = batch
    _, _, _, figures, cell_sizes = cells
    _, _, second_counts = seconds
    has_start, has_end, sized = len(starts) > 0, len(ends) > 0, len(sizes) > 0
    for row in range(first, last):
        cell = cell_of[row - first]
        if cell < 0:
            continue
        figures[cell, COUNT] += 1
        # What lies above the bucket's start is small and known exactly: its sum loses far fewer digits.
        bits = np.float64(latencies[row]).view(np.int64)
        figures[cell, LATENCY_REST] += latencies[row] - np.int64(bits & ~_LOW_BITS).view(np.float64)
        if has_start:
            figures[cell, FIRST_START] = min(figures[cell, FIRST_START], starts[row])
        if has_end:
            figures[cell, LAST_END] = max(figures[cell, LAST_END], ends[row])
            second = second_of[row - first]
            if second >= 0:
                second_counts[second >> 1] += COMPLETION + 1 if second & 1 else 1
        if sized:
            cell_sizes[cell, 0] += sizes[row]
            cell_sizes[cell, 1] += 1 if has_size[row] else 0


@compiled
def count_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    first: int, batch: Batch, cells: Cells, seconds: Seconds, heat: Heat, found: Found, open_seconds: bool
) -> tuple[int, int]:
    """Counts rows from ``first`` on; the row that it stopped at, and what is needed to go on.

    A few rows at a time are placed first and added then: what each touches in the tables is far apart, and
    a short loop without decisions lets the processor wait for many places at once.
    """
    row, need = first, 0
    cell_of, second_of = np.empty(_ROWS_AT_ONCE, dtype=np.int64), np.empty(_ROWS_AT_ONCE, dtype=np.int64)
    while row < len(batch.code) and not need:
        last = min(row + _ROWS_AT_ONCE, len(batch.code))
        stopped, need = _place_rows(
            row, last, batch, cells, seconds, heat, found, open_seconds, cell_of, second_of
        )
        _add_rows(row, stopped, batch, cells, seconds, cell_of, second_of)
        row = stopped
    return row, need
