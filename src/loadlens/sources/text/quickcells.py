"""Regular lines of cells as frames, read by the native library; what is unusual is left to another reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.native.cells import FLOAT, INTEGER, SKIPPED, TEXT, TRUTH, WHOLE, Cells

__all__ = ["QuickCells"]

Array = NDArray[Any]

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
        text_bytes = len(data) if TEXT in self._kinds else 0
        if text_bytes > _MOST_TEXT_BYTES or (text_bytes and not _is_utf8(data)):
            return None
        cells = Cells(self._kinds, rows=most_rows, text_bytes=text_bytes)
        height = cells.read(data, separator=self.separator, quote=self.quote)
        return None if height is None else self._frame(cells, height)

    @cached_property
    def _kinds(self) -> list[int]:
        """What each column of the file is read as."""
        return [self._kind(self.types.get(name)) for name in self.names]

    def _kind(self, dtype: pl.DataType | None) -> int:
        if dtype is None:
            return SKIPPED
        if dtype.is_integer():
            return WHOLE if self.whole else INTEGER
        return {pl.Float64(): FLOAT, pl.Boolean(): TRUTH, pl.String(): TEXT}[dtype]

    def _frame(self, cells: Cells, height: int) -> pl.DataFrame | None:
        texts = cells.texts if TEXT in self._kinds else b""
        columns = {
            name: self._column(at, cells, height, texts)
            for at, name in enumerate(self.names)
            if name in self.types
        }
        try:
            return pl.DataFrame(columns).cast(pl.Schema(self.types))
        except pl.exceptions.InvalidOperationError:  # an integer too large for its type
            return None

    def _column(self, at: int, cells: Cells, height: int, texts: bytes) -> pl.Series:
        kind, slot = self._kinds[at], cells.slots[at]
        filled = ~cells.missing[at, :height] if cells.num_missing[at] else None
        if kind == TEXT:
            return _text_series(cells.views[slot, :height], texts, filled)
        if kind == TRUTH:
            values = pl.Series(cells.truths[slot, :height])
        elif kind == FLOAT:
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


def _text_series(views: Array, texts: bytes, filled: Array | None) -> pl.Series:
    import pyarrow as pa

    validity = None if filled is None else pa.py_buffer(np.packbits(filled, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(views)), pa.py_buffer(texts)]
    return pl.Series(pa.Array.from_buffers(pa.string_view(), len(views), buffers))
