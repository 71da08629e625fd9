"""Logs of lines with separated cells: the CSV family."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import InputError
from loadlens.native.cell_lines import FLOAT, INTEGER, SKIPPED, TEXT, TRUTH, WHOLE, Cells
from loadlens.text.record_blocks import Block, Framing, count_byte, line_end, read_by_parts
from loadlens.text.typed_rows import (
    BLANK_LINES,
    PARSE_ERRORS,
    Parsed,
    Recipe,
    Reject,
    begins_oddly,
    bounded,
    cast_cells,
    invalid_cells,
)

__all__ = ["REPEATED_HEADERS", "QuickCells", "Records", "Table", "TableReader", "find_records"]


Array = NDArray[Any]

_MOST_TEXT_BYTES: Final = 2**31 - 1  # what an offset in Arrow's views may be

_LINE_BREAK: Final = ord("\n")
_BLANK_LINES: Final = re.compile(rb"(?:[ \r]*+\n)++")

_LEADING_BLANK_LINES: Final = re.compile(rb"(?:\s*\n)?+")

REPEATED_HEADERS: Final = "repeated headers"
"""What header lines after the first are counted as, such as those of files that were concatenated."""


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


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of a block.

    Attributes:
        kept: the records of the right width, one after the other, their quotes in order.
        ends: where each of them ends in ``kept``.
        lines: the line that each begins at.
        rejects: the other records, each a line.
        blank: how many blank lines there were.
    """

    kept: bytes
    ends: np.ndarray
    lines: np.ndarray
    rejects: tuple[Reject, ...]
    blank: int

    def raw(self, index: int) -> bytes:
        """The text of the record of that index."""
        return self.kept[self.ends[index - 1] if index else 0 : self.ends[index]]


class _Collector:
    """Gathers the records of a block in the order of its lines."""

    def __init__(self, block: Block, framing: Framing) -> None:
        self.data, self.framing, self.is_last = block.data, framing, block.is_last
        self.line = block.first_line
        self.kept: list[bytes] = []
        self.length = 0
        self.ends: list[np.ndarray] = [np.empty(0, np.int64)]
        self.lines: list[np.ndarray] = [np.empty(0, np.int64)]
        self.rejects: list[Reject] = []
        self.blank = 0

    def keep_lines(self, start: int, end: int) -> None:
        """Takes records of one line each."""
        text = self.data[start:end]
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_BREAK) + 1
        if not text.endswith(b"\n"):
            ends = np.append(ends, len(text))
        self._keep(text, ends, np.arange(self.line, self.line + ends.size))

    def keep_record(self, start: int, end: int) -> None:
        """Takes one record, over however many lines."""
        text = self.framing.requoted(self.data[start:end])
        self._keep(text, np.array([len(text)]), np.array([self.line]))

    def _keep(self, text: bytes, ends: np.ndarray, lines: np.ndarray) -> None:
        self.kept.append(text)
        self.ends.append(ends + self.length)
        self.lines.append(lines)
        self.length += len(text)
        self.line += text.count(b"\n")

    def pass_over(self, start: int, end: int) -> None:
        """Counts blank lines."""
        lines = self.data.count(b"\n", start, end)
        self.blank += lines
        self.line += lines

    def put_aside(self, start: int, end: int) -> None:
        """Takes a line that is no record."""
        text = self.data[start:end]
        if text.strip(b" \r\n"):
            self.rejects.append(Reject(self.line, "", self._reason(text, end), bounded(text)))
        else:
            self.blank += 1
        self.line += 1

    def _reason(self, text: bytes, end: int) -> str:
        if self.is_last and end == len(self.data) and not text.endswith(b"\n"):
            return "torn last line"
        width = self.framing.cells_in(text)
        if not width or width == self.framing.width:
            return "its quotes do not enclose whole cells"
        return f"got {width} cell{'s' if width > 1 else ''}, expected {self.framing.width}"

    def records(self) -> Records:
        return Records(
            kept=b"".join(self.kept),
            ends=np.concatenate(self.ends),
            lines=np.concatenate(self.lines),
            rejects=tuple(self.rejects),
            blank=self.blank,
        )


def find_records(block: Block, framing: Framing) -> Records:
    """Splits a block into records of the right width, lines that are none, and blank lines."""
    data, position = block.data, 0
    found = _Collector(block, framing)
    while position < len(data):
        if end := framing.one_line_end(data, position):
            found.keep_lines(position, end)
        elif end := framing.record_end(data, position):
            found.keep_record(position, end)
        elif blank := _BLANK_LINES.match(data, position):
            end = blank.end()
            found.pass_over(position, end)
        else:
            end = line_end(data, position)
            found.put_aside(position, end)
        position = end
    return found.records()


@runtime_checkable
class TableReader(Protocol):
    """Reads blocks of separated cells, perhaps below a header."""

    @property
    def has_header(self) -> bool:
        """Whether the first record of the file names the columns."""

    @property
    def framing(self) -> Framing:
        """What a record is."""

    def read(self, block: Block) -> Parsed:
        """Reads one block."""


@dataclass(frozen=True, kw_only=True)
class Table(Recipe):
    """Reads blocks of separated cells.

    A block is parsed at once by its types. Only where that fails, or a row breaks a rule, is the same
    block read again with its cells as text, and the bad rows are picked out.

    Attributes:
        separator: the character between cells.
        quote: the character that may enclose a cell; None where quotes mean nothing.
        names: all columns of the file, in order. Those that are not in ``types`` are not read.
        has_header: whether the first record of the file names the columns.
        types: the columns that are needed: Int64, Float64, Boolean or String. An empty cell is null; a
            quoted empty cell of a String column is an empty text.
        null: what a cell of a number holds where there is none, beside nothing.
        narrow: makes the same rows of blocks in which some columns hold only what a narrower type can: whole
            numbers in the place of Float64, numbers in that of text; it is tried first.
    """

    names: tuple[str, ...]
    separator: str = ","
    quote: str | None = '"'
    has_header: bool = True
    null: str | None = None
    narrow: Recipe | None = None

    @cached_property
    def framing(self) -> Framing:
        """What a record is."""
        return Framing(separator=self.separator, quote=self.quote, width=len(self.names))

    @cached_property
    def _positions(self) -> dict[int, str]:
        return {self.names.index(name): name for name in self.types}

    def read(self, block: Block) -> Parsed:
        """Reads one block; bad rows become rejects."""
        if self.has_header and block.index == 0:
            block = self._without_header(block)
        fast = self._fast(block)
        if fast is None and block.data:
            return read_by_parts(block, self.framing, self._careful, fast=self._fast)
        return fast or self._careful(block)

    def _without_header(self, block: Block) -> Block:
        end = line_end(block.data, _LEADING_BLANK_LINES.match(block.data).end())  # type: ignore[union-attr]  # matches
        skipped = block.data.count(b"\n", 0, end)
        return replace(block, data=block.data[end:], first_line=block.first_line + skipped)

    def _fast(self, block: Block) -> Parsed | None:
        if not block.is_regular or not self._begins_well(block.data):
            return None
        return self._quick(block) or self._typed(block)

    def _quick(self, block: Block) -> Parsed | None:
        """The rows by the native library, if the block holds nothing unusual."""
        known = block.line_breaks if block.line_breaks >= 0 else count_byte(block.data, ord("\n"))
        for recipe, reader in self._quick_readers:
            cells = reader.read(block.data, known + 1)
            parsed = None if cells is None else recipe.quick(cells)
            if parsed is not None:
                return parsed
        return None

    @cached_property
    def _quick_readers(self) -> list[tuple[Recipe, QuickCells]]:
        """What reads most blocks, the quickest first; of one column only, blank lines are hard to tell."""
        if len(self.names) == 1 or sys.byteorder != "little":
            return []
        cells = QuickCells(names=self.names, types=self.types, separator=self.separator, quote=self.quote)
        if self.narrow is None:
            return [(self, cells)]
        narrow = replace(cells, types=self.narrow.types, whole=self._narrow_is_whole)
        return [(self.narrow, narrow), (self, cells)]

    @property
    def _narrow_is_whole(self) -> bool:
        """Whether the narrow types are integers in the place of Float64."""
        narrow = self.narrow.types if self.narrow else {}
        return any(narrow[name].is_integer() and self.types[name].is_float() for name in narrow)

    def _typed(self, block: Block) -> Parsed | None:
        narrow = None if self.narrow is None or self._narrow_is_whole else self._typed_by(self.narrow, block)
        return narrow or self._typed_by(self, block)

    def _typed_by(self, recipe: Recipe, block: Block) -> Parsed | None:
        last = len(self.names) - 1
        types = {last: pl.String(), **{at: recipe.types[name] for at, name in self._positions.items()}}
        try:
            cells = self._parse(block.data, types)
        except PARSE_ERRORS:
            return None
        if not self._is_full(block.data, cells) and not self._has_width(block.data):
            return None
        return recipe.quick(self._named(cells))

    def _begins_well(self, data: bytes) -> bool:
        """Whether the first line has the right number of cells; Polars makes a column of each that it has."""
        return self.framing.cells_in(data[: line_end(data, 0)]) == len(self.names)

    def _is_full(self, data: bytes, cells: pl.DataFrame) -> bool:
        """Whether every line has the right number of cells, by the quickest test that is sure of it.

        With a last cell in every row none is too short, and so with the right sum none is too long. Where
        last cells are empty or separators are quoted, it takes a closer look.
        """
        full = cells.to_series(-1).null_count() == 0
        return full and count_byte(data, ord(self.separator)) == cells.height * (len(self.names) - 1)

    def _has_width(self, data: bytes) -> bool:
        """Whether every line has the right number of cells; Polars does not notice a wrong one."""
        if len(self.names) == 1 and _has_blank_line(data):
            return False
        structure = data.translate(None, self._within_cells)
        if self.quote is not None and self.quote.encode() in structure:
            structure = _unquoted(structure, ord(self.quote))
        if data and not data.endswith(b"\n"):
            structure += b"\n"
        record = self.separator.encode() * (len(self.names) - 1) + b"\n"
        return structure == record * (len(structure) // len(record))

    @cached_property
    def _within_cells(self) -> bytes:
        kept = {ord(self.separator), ord("\n"), ord(self.quote or "\n")}
        return bytes(byte for byte in range(256) if byte not in kept)

    def _parse(self, data: bytes, types: Mapping[int, pl.DataType], encoding: str = "utf8") -> pl.DataFrame:
        """The cells at the positions of ``types``, in the order of the file."""
        if begins_oddly(data):
            blank = self.separator.encode() * (len(self.names) - 1) + b"\n"
            return self._parse(blank + data, types, encoding).slice(1)
        return pl.read_csv(
            data,
            has_header=False,
            schema={f"column_{at}": types.get(at, pl.String()) for at in range(len(self.names))},
            columns=sorted(types),
            separator=self.separator,
            quote_char=self.quote,
            encoding=encoding,
            null_values=self._nulls,
            glob=False,
        )

    @cached_property
    def _nulls(self) -> dict[str, str] | None:
        """What is null in which column, by the names that Polars has for columns."""
        if self.null is None:
            return None
        numbers = [at for at, name in self._positions.items() if self.types[name].is_numeric()]
        return dict.fromkeys((f"column_{at}" for at in sorted(numbers)), self.null)

    def _named(self, cells: pl.DataFrame) -> pl.DataFrame:
        """The needed columns by their names."""
        return cells.select(pl.col(f"column_{at}").alias(name) for at, name in self._positions.items())

    def _careful(self, block: Block) -> Parsed:
        records = find_records(block, self.framing)
        text, lossy = self._text(block, records)
        is_header = self._is_header(text)
        rows = np.flatnonzero(~is_header)
        text = text.filter(~is_header)

        def raw(index: int) -> bytes:
            return records.raw(rows[index])

        typed, faults = cast_cells(text, self.types)
        return self.finish(
            typed,
            lines=records.lines[rows],
            raw=raw,
            faults={**faults, **(invalid_cells(text, raw) if lossy else {})},
            rejects=records.rejects,
            left_out={REPEATED_HEADERS: int(is_header.sum())} if is_header.any() else {},
            facts={BLANK_LINES: records.blank} if records.blank else {},
        )

    def _text(self, block: Block, records: Records) -> tuple[pl.DataFrame, bool]:
        """The needed columns as text, and whether bytes that are no UTF-8 had to be replaced."""
        types = dict.fromkeys(self._positions, pl.String())
        try:
            try:
                text, lossy = self._named(self._parse(records.kept, types)), False
            except PARSE_ERRORS:
                text, lossy = self._named(self._parse(records.kept, types, "utf8-lossy")), True
        except PARSE_ERRORS as error:
            raise _cannot_parse(block, str(error).splitlines()[0]) from error
        if text.height != records.ends.size:
            raise _cannot_parse(block, f"{records.ends.size:,} rows became {text.height:,}")
        return text, lossy

    def _is_header(self, text: pl.DataFrame) -> np.ndarray:
        if not self.has_header:
            return np.zeros(text.height, np.bool_)
        # Each of several files that were put together may begin with a byte order mark.
        same = [pl.col(name).str.strip_prefix("\ufeff") == name for name in self.types]
        return text.select(pl.all_horizontal(same).fill_null(value=False)).to_series().to_numpy()


def _cannot_parse(block: Block, reason: str) -> InputError:
    return InputError(f"the lines from {block.first_line:,} on cannot be parsed: {reason}")


def _has_blank_line(data: bytes) -> bool:
    return data.startswith((b"\n", b"\r\n")) or b"\n\n" in data or b"\n\r\n" in data


def _unquoted(structure: bytes, quote: int) -> bytes:
    """``structure`` without quotes and what is between them."""
    text: np.ndarray = np.frombuffer(structure, np.uint8)
    is_quote = text == quote
    outside = ~(np.bitwise_xor.accumulate(is_quote) | is_quote)
    kept: bytes = text[outside].tobytes()
    return kept
