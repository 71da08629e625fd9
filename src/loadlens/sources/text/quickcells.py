"""Regular lines of cells as frames, by compiled loops; what is unusual is left to another reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from loadlens.sources.text import cellloops as loops

__all__ = ["QuickCells"]

Array = NDArray[Any]

_NO_QUOTE: Final = -1
_WORD_BYTES: Final = 8
_MOST_TEXT_BYTES: Final = 2**31 - 1  # what an offset in Arrow's views may be


@dataclass(frozen=True, kw_only=True)
class QuickCells:
    """Reads lines of cells.

    Attributes:
        names: all columns, in order.
        types: the columns that are needed: integers, Float64, Boolean or String.
        whole: whether integers must be exact as a Float64 too.
        separator: the character between cells, one byte long.
        quote: the character that may enclose a cell, one byte long; None where quotes mean nothing.
    """

    names: Sequence[str]
    types: Mapping[str, pl.DataType]
    whole: bool = False
    separator: str = ","
    quote: str | None = None

    def read(self, data: bytes, most_rows: int) -> pl.DataFrame | None:
        """The needed cells of ``data`` by name; None where another reader has to decide.

        That is so for a line with too few or too many cells, for a quote inside of a cell or around what is
        no text, for a number or truth value that is not written as usual, and for text that is no UTF-8.

        Args:
            data: whole lines; the last one may lack its line break.
            most_rows: at least as many as there are lines.
        """
        text_bytes = len(data) if loops.TEXT in self._kinds else 0
        if text_bytes > _MOST_TEXT_BYTES or (text_bytes and not _is_utf8(data)):
            return None
        cells = self._room(most_rows, text_bytes)
        height = 0
        for part in _padded(data):
            height = self._read_rows(part, height, cells)
            if height < 0:
                return None
        return self._frame(cells, height)

    def _read_rows(self, part: Array, height: int, cells: loops.Cells) -> int:
        start = part.ctypes.data
        end = start + len(part) - loops.LOOK_AHEAD
        quote = ord(self.quote) if self.quote else _NO_QUOTE
        return loops.read_rows(
            start, end, height, ord(self.separator), quote, self._kinds, self._slots, cells
        )

    @cached_property
    def _kinds(self) -> Array:
        """What each column of the file is read as."""
        return np.array([self._kind(self.types.get(name)) for name in self.names], dtype=np.int8)

    def _kind(self, dtype: pl.DataType | None) -> int:
        if dtype is None:
            return loops.SKIPPED
        if dtype.is_integer():
            return loops.WHOLE if self.whole else loops.INTEGER
        return {pl.Float64(): loops.FLOAT, pl.Boolean(): loops.TRUTH, pl.String(): loops.TEXT}[dtype]

    @cached_property
    def _slots(self) -> Array:
        """For each column its row in the array that it is kept in."""
        slots = np.zeros(len(self.names), dtype=np.int64)
        for alike in (self._kinds <= loops.INTEGER, self._kinds == loops.TRUTH, self._kinds == loops.TEXT):
            slots[alike] = np.arange(np.count_nonzero(alike))
        return slots

    def _room(self, rows: int, text_bytes: int) -> loops.Cells:
        return loops.Cells(
            numbers=np.empty((np.count_nonzero(self._kinds <= loops.INTEGER), rows), dtype=np.int64),
            truths=np.empty((np.count_nonzero(self._kinds == loops.TRUTH), rows), dtype=np.bool_),
            views=np.empty((np.count_nonzero(self._kinds == loops.TEXT), rows, 2), dtype=np.uint64),
            texts=_words(np.empty(text_bytes + loops.LOOK_AHEAD, dtype=np.uint8)),
            text_bytes=np.zeros(1, dtype=np.int64),
            missing=np.zeros((len(self.names), rows), dtype=np.bool_),
            num_missing=np.zeros(len(self.names), dtype=np.int64),
        )

    def _frame(self, cells: loops.Cells, height: int) -> pl.DataFrame | None:
        used = int(cells.text_bytes[0])
        # A copy of what is used: a few rows that somebody keeps must not keep the memory of the whole block.
        texts = pa.py_buffer(cells.texts[:used:_WORD_BYTES].tobytes()[:used])
        columns = {
            name: self._column(at, cells, height, texts)
            for at, name in enumerate(self.names)
            if name in self.types
        }
        try:
            return pl.DataFrame(columns).cast(pl.Schema(self.types))
        except pl.exceptions.InvalidOperationError:  # an integer too large for its type
            return None

    def _column(self, at: int, cells: loops.Cells, height: int, texts: pa.Buffer) -> pl.Series:
        kind, slot = self._kinds[at], self._slots[at]
        filled = ~cells.missing[at, :height] if cells.num_missing[at] else None
        if kind == loops.TEXT:
            return _text_series(cells.views[slot, :height], texts, filled)
        if kind == loops.TRUTH:
            values = pl.Series(cells.truths[slot, :height])
        elif kind == loops.FLOAT:
            values = pl.Series(cells.numbers[slot, :height].view(np.float64))
        else:
            values = pl.Series(cells.numbers[slot, :height])
        if filled is None:
            return values
        return values.zip_with(pl.Series(filled), pl.Series([None], dtype=values.dtype))


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _padded(data: bytes) -> Iterator[Array]:
    """All lines in one or two arrays, in each of which as many bytes follow as the loops look ahead."""
    end = data.rfind(b"\n", 0, max(len(data) - loops.LOOK_AHEAD, 0)) + 1
    if end:
        yield np.frombuffer(data, np.uint8, end + loops.LOOK_AHEAD)
    if end < len(data):
        line_break = b"" if data.endswith(b"\n") else b"\n"
        yield np.frombuffer(data[end:] + line_break + bytes(loops.LOOK_AHEAD), np.uint8)


def _words(text: Array) -> Array:
    """The eight bytes from each byte on, as one number."""
    return np.ndarray((len(text) - _WORD_BYTES + 1,), np.dtype("<u8"), text, strides=(1,))


def _text_series(views: Array, texts: pa.Buffer, filled: Array | None) -> pl.Series:
    validity = None if filled is None else pa.py_buffer(np.packbits(filled, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(views)), texts]
    return pl.Series(pa.Array.from_buffers(pa.string_view(), len(views), buffers))
