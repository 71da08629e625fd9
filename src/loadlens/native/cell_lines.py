"""Lines of cells as columns of numbers, truth values and text."""

import ctypes
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadlens.native import Functions, declared

__all__ = ["FLOAT", "INTEGER", "SKIPPED", "TEXT", "TRUTH", "WHOLE", "Cells"]

Array = NDArray[Any]

FLOAT: Final = 0
"""A Float64: the nearest one to what is written."""
WHOLE: Final = 1
"""An integer up to 2**53, which a Float64 holds too."""
INTEGER: Final = 2
TRUTH: Final = 3
TEXT: Final = 4
SKIPPED: Final = 5

_LOOK_AHEAD: Final = 16  # how many bytes behind the last line are read, whatever they hold
_NO_QUOTE: Final = -1
_LEAST_POWER, _MOST_POWER = -342, 308  # of ten, that a Float64 may need
_LEAST_EXACT_QUOTIENT: Final = -27


class _Cells(ctypes.Structure):
    _fields_ = (
        *[
            (name, ctypes.c_void_p)
            for name in ("kinds", "slots", "fives", "numbers", "truths", "views", "texts", "missing")
        ],
        ("num_missing", ctypes.c_void_p),
        *[(name, ctypes.c_int64) for name in ("columns", "rows", "room", "used")],
        ("separator", ctypes.c_int32),
        ("quote", ctypes.c_int32),
    )


_FUNCTIONS: Final[Functions] = {
    "cells_read": (
        ctypes.c_int64,
        (ctypes.POINTER(_Cells), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
    )
}


class Cells:
    """What was read of lines, with room for a number of rows.

    ``numbers`` (Float64 by their bits), ``truths`` and ``views`` (those of Arrow into the text, two words
    each) have a row for each column of their kind, ``missing`` has one for each column.
    """

    def __init__(self, kinds: Sequence[int], *, rows: int, text_bytes: int) -> None:
        """Makes room.

        Args:
            kinds: what each cell of a line is read as.
            rows: at least as many as there are lines.
            text_bytes: at least as many as there are in all cells of text.
        """
        self._kinds = np.array(kinds, dtype=np.int8)
        numbers, truths, texts = self._kinds <= INTEGER, self._kinds == TRUTH, self._kinds == TEXT
        self.slots = np.zeros(len(kinds), dtype=np.int64)
        for alike in (numbers, truths, texts):
            self.slots[alike] = np.arange(np.count_nonzero(alike))
        self.numbers = np.empty((np.count_nonzero(numbers), rows), dtype=np.int64)
        self.truths = np.empty((np.count_nonzero(truths), rows), dtype=np.bool_)
        self.views = np.empty((np.count_nonzero(texts), rows, 2), dtype=np.uint64)
        self.missing = np.zeros((len(kinds), rows), dtype=np.bool_)
        self.num_missing = np.zeros(len(kinds), dtype=np.int64)
        self._texts = np.empty(text_bytes, dtype=np.uint8)
        self._used = 0

    @property
    def texts(self) -> bytes:
        """A copy of the text of long cells: who keeps a few rows must not keep the room for all of them."""
        return self._texts[: self._used].tobytes()

    def read(self, data: bytes, *, separator: str, quote: str | None) -> int | None:
        """Reads lines; returns how many there are, or None if something is not written as usual.

        Args:
            data: the lines; the last one may lack its line break.
            separator: the character between cells, one byte long.
            quote: the character that may enclose a cell, one byte long; None where quotes mean nothing.
        """
        arrays: dict[str, Array] = {
            "kinds": self._kinds,
            "slots": self.slots,
            "fives": _powers_of_five(),
            "numbers": self.numbers,
            "truths": self.truths,
            "views": self.views,
            "texts": self._texts,
            "missing": self.missing,
            "num_missing": self.num_missing,
        }
        columns, rows = self.missing.shape
        native = _Cells(
            **{name: array.ctypes.data for name, array in arrays.items()},
            columns=columns,
            rows=rows,
            room=len(self._texts),
            separator=ord(separator),
            quote=ord(quote) if quote else _NO_QUOTE,
        )
        height = 0
        for part in _padded(data):
            start = part.ctypes.data
            height = declared(_FUNCTIONS).cells_read(native, start, start + len(part) - _LOOK_AHEAD, height)
            if height < 0:
                return None
        self._used = int(native.used)
        return height


def _padded(data: bytes) -> Iterator[Array]:
    """All lines in one or two arrays, behind each of which are as many bytes as are looked at ahead."""
    end = data.rfind(b"\n", 0, max(len(data) - _LOOK_AHEAD, 0)) + 1
    if end:
        yield np.frombuffer(data, np.uint8, end + _LOOK_AHEAD)
    if end < len(data):
        line_break = b"" if data.endswith(b"\n") else b"\n"
        yield np.frombuffer(data[end:] + line_break + bytes(_LOOK_AHEAD), np.uint8)


@cache
def _powers_of_five() -> Array:
    """The leading 128 bits of each power of five that a Float64 may need."""
    return np.array([_power_of_five(power) for power in range(_LEAST_POWER, _MOST_POWER + 1)], np.uint64)


def _power_of_five(power: int) -> tuple[int, int]:
    """The leading 128 bits of 5**power, cut off; rounded up where a quotient by the power may be exact."""
    value = 5 ** abs(power)
    if power < 0:
        bits = (1 << (value.bit_length() + 127)) // value + (1 if power >= _LEAST_EXACT_QUOTIENT else 0)
    else:
        bits = (value << 128) >> value.bit_length()
    return bits >> 64, bits & (2**64 - 1)
