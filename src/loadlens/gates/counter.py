"""One scan that counts latencies by configuration and window, and finds the configurations at that."""

import threading
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.compiled import frozen, frozen_column
from loadlens.gates import kernels
from loadlens.gates.highest import Highest
from loadlens.profile.buckets import NULL_BUCKET
from loadlens.profile.coding import KeyCoder, TooSparseError
from loadlens.profile.rows import UnusableRowsError
from loadlens.schema import LATENCY

__all__ = ["MOST_LIMITS", "WindowCounter"]

Ints = NDArray[np.int64]

MOST_LIMITS: Final = (1 << kernels.SIDE_BITS) - 1
"""Cells are told apart by so many latencies at most."""

_FEWEST_CELLS: Final = 2**12
_BYTES_PER_CELL: Final = 64  # a key, four figures and up to four slots
_SLOTS_PER_CELL: Final = 2
_NO_SPAN: Final = (np.inf, -np.inf)


class WindowCounter:
    """Counts batches of rows by configuration, window, success, side and part, from several threads."""

    def __init__(self, coder: KeyCoder, shift: int, most_bytes: int, highest: Highest) -> None:
        """Begins with nothing.

        Args:
            coder: codes the keys.
            shift: how many bits of the latency a cell leaves open.
            most_bytes: how large the table may become.
            highest: holds successes of high latency.
        """
        assert shift >= kernels.LOWEST_SHIFT  # noqa: S101  # else parts would not fit their bits
        self._coder = coder
        self._highest = highest
        self._shift = shift
        self._most_cells = most_bytes // _BYTES_PER_CELL
        self._lock = threading.Lock()
        self._floor: int | None = None
        self._spans = np.empty((0, 2))
        self._table = kernels.Table(
            slots=np.empty(0, dtype=np.int32),
            keys=np.empty(0, dtype=np.int64),
            figures=np.empty((0, kernels.FIGURES)),
            used=np.zeros(1, dtype=np.int64),
        )

    def add(self, rows: pl.DataFrame) -> None:
        """Counts a batch of rows.

        Args:
            rows: the columns of the key, ``window`` (null for none), ``success``, the latency, ``end_time``,
                ``broken`` and, where there are any, ``side`` and ``start_time``.

        Raises:
            UnusableRowsError: some row breaks a rule.
            TooSparseError: there are too many keys, windows or cells.
        """
        if rows["broken"].any():
            raise UnusableRowsError
        rows = rows.rechunk()
        code = self._coder.encode(rows)
        if len(code):
            batch = _batch(rows, code)
            with self._lock:
                self._add(batch)

    def _add(self, batch: kernels.Batch) -> None:
        self._cover(int(batch.code.max()) + 1)
        floor = self._floor_of(batch.window)
        codes = kernels.Codes(spans=self._spans, keep_from=self._highest.keep_from)
        held = kernels.Held(
            keys=np.empty_like(batch.window),
            latencies=np.empty_like(batch.latency),
            used=np.zeros(1, dtype=np.int64),
        )
        row, why = 0, kernels.FULL
        while why == kernels.FULL:
            self._make_room()
            row, why = kernels.count_rows(row, batch, self._table, codes, held, floor, self._shift)
        if why == kernels.TOO_FAR:
            raise TooSparseError
        size = int(held.used[0])
        self._highest.hold(held.keys[:size], held.latencies[:size], _code_of, self.cells)

    def _cover(self, num_codes: int) -> None:
        if num_codes > 1 << kernels.CODE_BITS:
            raise TooSparseError
        self._highest.cover(num_codes)
        more = num_codes - len(self._spans)
        if more > 0:
            self._spans = np.concatenate([self._spans, np.full((more, 2), _NO_SPAN)])

    def _floor_of(self, window: Ints) -> int:
        """The first window that has a key: half of them lie before the first that is met."""
        if self._floor is None:
            known = window[window != kernels.NO_WINDOW]
            if not len(known):
                return 0
            self._floor = int(known[0]) - (1 << (kernels.WINDOW_BITS - 1))
        return self._floor

    def _make_room(self) -> None:
        """Makes room for one more cell."""
        _, keys, figures, used = self._table
        size = int(used[0])
        if size < len(keys):
            return
        larger = max(2 * size, _FEWEST_CELLS)
        if larger > self._most_cells:
            raise TooSparseError
        more = larger - size
        slots = np.full(_SLOTS_PER_CELL * larger, -1, dtype=np.int32)
        kernels.place_keys(slots, keys, size)
        self._table = kernels.Table(
            slots=slots,
            keys=np.concatenate([keys, np.empty(more, dtype=np.int64)]),
            figures=np.concatenate([figures, np.empty((more, kernels.FIGURES))]),
            used=used,
        )

    def held(self) -> pl.DataFrame | None:
        """``code``, ``window`` and latency in ms of the successes held; None if they are not."""
        if self._highest.lost:
            return None
        keys, latencies = self._highest.rows()
        return pl.DataFrame({"code": _code_of(keys), "window": self._window_of(keys), LATENCY: latencies})

    def _window_of(self, keys: Ints) -> Ints:
        above_side = keys >> (1 + kernels.PART_BITS + kernels.SIDE_BITS)
        return (above_side & _ones(kernels.WINDOW_BITS)) + (self._floor or 0)

    def spans(self) -> pl.DataFrame:
        """``code``, ``first_start`` and ``last_end`` in s (null where no call tells), ``keep_from`` in ms."""
        start, end = np.where(np.isinf(self._spans), np.nan, self._spans).T
        return pl.DataFrame(
            {
                "code": np.arange(len(start)),
                "first_start": pl.Series(start, nan_to_null=True),
                "last_end": pl.Series(end, nan_to_null=True),
                "keep_from": self._highest.keep_from,
            }
        )

    def cells(self) -> pl.DataFrame:
        """The cells as ``cell_counts`` returns them by ``code``, ``window`` and ``success``."""
        _, keys, figures, used = self._table
        keys, figures = keys[: used[0]], figures[: used[0]]
        first_part = (1 << (63 - self._shift)) + 1
        above_part = keys >> (1 + kernels.PART_BITS)
        part = (keys >> 1) & _ones(kernels.PART_BITS)
        timed = part > 0
        return pl.DataFrame(
            {
                "code": _code_of(keys),
                "window": self._window_of(keys),
                "success": (keys & 1) == 1,
                "shift": np.full(len(keys), self._shift, dtype=np.int32),
                "part": np.where(timed, part - first_part, NULL_BUCKET),
                "side": (above_part & _ones(kernels.SIDE_BITS)).astype(np.int32),
                "count": figures[:, kernels.COUNT].astype(np.int64),
                "low": _known(figures[:, kernels.LOW], timed),
                "high": _known(figures[:, kernels.HIGH], timed),
                "latency_sum": figures[:, kernels.LATENCY_SUM],
            }
        )


def _code_of(keys: Ints) -> Ints:
    return keys >> (1 + kernels.PART_BITS + kernels.SIDE_BITS + kernels.WINDOW_BITS)


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _known(figures: NDArray[np.float64], is_known: NDArray[np.bool_]) -> pl.Series:
    return pl.Series(np.where(is_known, figures, np.nan), nan_to_null=True)


def _batch(rows: pl.DataFrame, code: Ints) -> kernels.Batch:
    return kernels.Batch(
        code=frozen(code),
        window=frozen_column(rows["window"], kernels.NO_WINDOW),
        success=frozen_column(rows["success"], missing=False),
        latency=frozen_column(rows[LATENCY], np.nan),
        side=frozen_column(rows["side"], 0) if "side" in rows.columns else _NO_SIDES,
        start=frozen_column(rows["start_time"], np.nan) if "start_time" in rows.columns else _NO_TIMES,
        end=frozen_column(rows["end_time"], np.nan),
    )


_NO_SIDES: Final = frozen(np.empty(0, dtype=np.int32))
_NO_TIMES: Final = frozen(np.empty(0))
