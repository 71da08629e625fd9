"""The inner loops of counting latencies by window, compiled; they hold no lock of the interpreter."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadlens.compiled import compiled

__all__ = [
    "CODE_BITS",
    "COUNT",
    "DONE",
    "FIGURES",
    "FULL",
    "HIGH",
    "LATENCY_SUM",
    "LOW",
    "LOWEST_SHIFT",
    "NO_WINDOW",
    "PART_BITS",
    "SIDE_BITS",
    "TOO_FAR",
    "WINDOW_BITS",
    "Batch",
    "Codes",
    "Held",
    "Table",
    "count_rows",
    "place_keys",
]

Array = NDArray[Any]

# The key of a cell, from its leading bits: code, window, side, part, success.
CODE_BITS: Final = 20
WINDOW_BITS: Final = 23
SIDE_BITS: Final = 3
PART_BITS: Final = 16
LOWEST_SHIFT: Final = 49
"""Latencies without fewer trailing bits have too many parts for a key."""

NO_WINDOW: Final = -(2**62)

COUNT: Final = 0
LOW: Final = 1
HIGH: Final = 2
LATENCY_SUM: Final = 3
FIGURES: Final = 4

DONE: Final = 0
FULL: Final = 1
TOO_FAR: Final = 2

_ROWS_AT_ONCE: Final = 4096
_PART: Final = ((1 << PART_BITS) - 1) << 1
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


class Batch(NamedTuple):
    """Columns of a batch. Missing numbers are NaN; ``side`` and ``start`` may have length 0."""

    code: Array
    window: Array
    success: Array
    latency: Array
    side: Array
    start: Array
    end: Array


class Table(NamedTuple):
    """A hash table: ``slots`` hold the number of a cell, -1 for none; ``used`` how many cells there are.

    ``figures`` has a row for each cell, so that memory is touched once: count, lowest, highest, sum.
    """

    slots: Array
    keys: Array
    figures: Array
    used: Array


class Codes(NamedTuple):
    """What is known of each code: first start and last end in s; from which latency on rows are held."""

    spans: Array
    keep_from: Array


class Held(NamedTuple):
    """Rows that are held, ``used`` of them: the keys of their cells, and latencies in ms."""

    keys: Array
    latencies: Array
    used: Array


@compiled
def _first_slot(key: int, num_slots: int) -> tuple[np.uint64, np.uint64]:
    """Where the search for a key begins, and by how much it goes on.

    The parts of a window lie side by side, so that what is counted at a time is on few pages of memory.
    """
    mixed = np.uint64(key & ~_PART) * _GOLDEN
    first = (mixed >> np.uint64(32)) + np.uint64((key & _PART) >> 1)
    return first & np.uint64(num_slots - 1), (mixed >> np.uint64(16)) | np.uint64(1)


@compiled
def place_keys(slots: Array, keys: Array, used: int) -> None:
    """Puts the numbers of cells into empty slots, a power of two of them."""
    last_slot = np.uint64(len(slots) - 1)
    for cell in range(used):
        slot, step = _first_slot(keys[cell], len(slots))
        while slots[slot] >= 0:
            slot = (slot + step) & last_slot
        slots[slot] = cell


@compiled
def _key_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    first: int, last: int, batch: Batch, floor: int, shift: int, keys: Array
) -> bool:
    """Puts the key of each row into ``keys``, -1 for one without a window; false if some has no key."""
    codes, windows, successes, latencies, sides, _, _ = batch
    has_side = len(sides) > 0
    first_part = (1 << (63 - shift)) + 1
    known = True
    for row in range(first, last):
        latency, offset = latencies[row], windows[row] - floor
        # Adding 0 makes -0.0 the 0.0 that it equals.
        regular = (np.float64(latency + 0.0).view(np.int64) >> shift) + first_part
        part = np.int64(0) if np.isnan(latency) else regular
        key = (codes[row] << WINDOW_BITS) | offset
        key = (key << SIDE_BITS) | (np.int64(sides[row]) if has_side else 0)
        key = (((key << PART_BITS) | part) << 1) | (1 if successes[row] else 0)
        outside = windows[row] == NO_WINDOW
        known &= outside or 0 <= offset < 1 << WINDOW_BITS
        keys[row - first] = -1 if outside else key
    return known


@compiled
def _find_cells(size: int, row_keys: Array, table: Table, cells: Array) -> int:
    """Puts the cell of each key into ``cells``, -1 for none; how many keys it found room for."""
    slots, keys, figures, used = table
    last_slot = np.uint64(len(slots) - 1)
    for row in range(size):
        key = row_keys[row]
        if key < 0:
            cells[row] = -1
            continue
        slot, step = _first_slot(key, len(slots))
        cell = slots[slot]
        while cell >= 0 and keys[cell] != key:
            slot = (slot + step) & last_slot
            cell = slots[slot]
        if cell < 0:
            cell = used[0]
            if cell == len(keys):
                return row
            used[0] = cell + 1
            slots[slot] = cell
            keys[cell] = key
            figures[cell, COUNT] = figures[cell, LATENCY_SUM] = 0.0
            figures[cell, LOW], figures[cell, HIGH] = np.inf, -np.inf
        cells[row] = cell
    return size


@compiled
def _add_rows(first: int, size: int, batch: Batch, cells: Array, figures: Array) -> None:
    """Adds rows to the figures of their cells."""
    latencies = batch.latency
    for row in range(size):
        cell, latency = cells[row], latencies[first + row]
        if cell < 0:
            continue
        figures[cell, COUNT] += 1
        if not np.isnan(latency):
            figures[cell, LOW] = min(figures[cell, LOW], latency)
            figures[cell, HIGH] = max(figures[cell, HIGH], latency)
            figures[cell, LATENCY_SUM] += latency


@compiled
def _note_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    first: int, size: int, batch: Batch, keys: Array, codes: Codes, held: Held
) -> None:
    """Widens the spans of codes, and holds the successes from ``keep_from`` on."""
    code_of, _, successes, latencies, _, starts, ends = batch
    spans, keep_from = codes
    held_keys, held_latencies, num_held = held
    has_start, count = len(starts) > 0, num_held[0]
    for row in range(first, first + size):
        code = code_of[row]
        if has_start and starts[row] < spans[code, 0]:
            spans[code, 0] = starts[row]
        if ends[row] > spans[code, 1]:  # noqa: PLR1730  # a store for each row would cost more
            spans[code, 1] = ends[row]
        if latencies[row] >= keep_from[code] and successes[row] and keys[row - first] >= 0:
            held_keys[count], held_latencies[count] = keys[row - first], latencies[row]
            count += 1
    num_held[0] = count


@compiled
def count_rows(  # noqa: PLR0917  # compiled code has no keyword-only arguments
    first: int, batch: Batch, table: Table, codes: Codes, held: Held, floor: int, shift: int
) -> tuple[int, int]:
    """Counts rows from ``first`` on; the row that it stopped at, and why.

    A few rows at a time go through several short loops, in which the processor can wait for many places in
    memory at once.

    Args:
        first: the first row.
        batch: the rows.
        table: where they are counted.
        codes: what is known of each code.
        held: where rows are held, with room for all of the batch.
        floor: the first window that has a key.
        shift: how many bits of the latency a cell leaves open.
    """
    row = first
    keys, cells = np.empty(_ROWS_AT_ONCE, dtype=np.int64), np.empty(_ROWS_AT_ONCE, dtype=np.int64)
    while row < len(batch.code):
        last = min(row + _ROWS_AT_ONCE, len(batch.code))
        if not _key_rows(row, last, batch, floor, shift, keys):
            return row, TOO_FAR
        size = _find_cells(last - row, keys, table, cells)
        _add_rows(row, size, batch, cells, table.figures)
        _note_rows(row, size, batch, keys, codes, held)
        row += size
        if row < last:
            return row, FULL
    return row, DONE
