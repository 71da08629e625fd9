"""A stream cut into blocks of whole records: lines, or several lines that quotes hold together.

What a record is depends on the text around it only, never on where a block begins. Quotes that do not pair
up damage the one line that they are in.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from loadlens.errors import InputError
from loadlens.text.stream import BOM
from loadlens.text.typed_rows import Parsed, joined, reasons_of

__all__ = [
    "BLOCK_BYTES",
    "CAREFUL_BYTES",
    "LINES",
    "MAX_LINE_BYTES",
    "MAX_RECORD_BYTES",
    "PART_BYTES",
    "Block",
    "Framing",
    "Halt",
    "blocks",
    "count_byte",
    "joined_until",
    "line_end",
    "parts_of",
    "read_by_parts",
    "without_break",
]


MAX_RECORD_BYTES: Final = 2**20
"""A record over several lines that is longer than this is taken as a stray quote."""

BLOCK_BYTES: Final = 16 * 2**20
"""How large blocks are unless told: enough to keep a parser busy, small enough for many at once."""

PART_BYTES: Final = 2**20
"""How much text is parsed at once where the block that it is in could not be."""

CAREFUL_BYTES: Final = 2**16
"""How much text is looked at a row at a time."""

MAX_LINE_BYTES: Final = 64 * 2**20
"""A file with a longer line is not a log."""

_MOST_LISTED: Final = 100_000
_LINE_BREAK: Final = ord("\n")
_CACHED_BYTES = 2**16  # what NumPy makes of so much stays in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What holds a record together.

    Attributes:
        quote: the character that may enclose cells with line breaks in them; None where lines are records.
        separator: what stands between cells.
        width: how many cells a record has.
        begins: how the first of several records that belong together begins, in one of these ways; blocks
            are cut before such a one. None where records do not belong together.
    """

    quote: str | None = None
    separator: str = ","
    width: int = 1
    begins: tuple[bytes, ...] = ()

    def one_line_end(self, data: bytes, position: int) -> int:
        """The end of the records of one line each, without stray quotes, that begin here; 0 for none."""
        match = self._one_line_records.match(data, position)
        return match.end() if match and match.end() > position else 0

    def record_end(self, data: bytes, position: int) -> int:
        """The end of the one record that begins here, over however many lines; 0 for none."""
        limit = min(len(data), position + MAX_RECORD_BYTES)
        match = self._any_record.match(data, position, limit)
        if match is None or not match[0].strip(b"\r\n"):
            return 0
        is_cut = match.end() == limit < len(data) and not match[0].endswith(b"\n")
        return 0 if is_cut or self._swallows_records(match[0]) else match.end()

    def _swallows_records(self, text: bytes) -> bool:
        """Whether lines inside have the cells of a record, as when two stray quotes enclose good ones."""
        inner = text.removesuffix(b"\n").split(b"\n")[1:-1]
        separators = self.width - 1
        return separators > 0 and any(line.count(self.separator.encode()) == separators for line in inner)

    def is_open(self, data: bytes, position: int) -> bool:
        """Whether the text from here to the end could become a record with what follows it."""
        return len(data) - position < MAX_RECORD_BYTES and bool(self._open_record.match(data, position))

    def cells_in(self, line: bytes) -> int:
        """How many cells a line has, or 0 where its quotes do not pair up."""
        line = without_break(line)
        if not self.quote or self.quote.encode() not in line:
            return line.count(self.separator.encode()) + 1
        return len(self._one_cell.sub(b"", line)) + 1 if self._one_line.fullmatch(line) else 0

    def requoted(self, record: bytes) -> bytes:
        """The same record with every cell quoted that has a quote inside."""
        if self.quote is None or self.quote.encode() not in record:
            return record
        quote = self.quote.encode()

        def mend(match: re.Match[bytes]) -> bytes:
            cell = match[0]
            stray = quote in cell and not cell.startswith(quote)
            return quote + cell.replace(quote, quote * 2) + quote if stray else cell

        return self._one_cell.sub(mend, without_break(record)) + b"\n"

    @cached_property
    def _one_line_records(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?:(?!\r?(?:\n|\Z))%b)*+" % self._record(self._clean_cell()))

    @cached_property
    def _any_record(self) -> re.Pattern[bytes]:
        return re.compile(self._record(self._cell()))

    @cached_property
    def _open_record(self) -> re.Pattern[bytes]:
        quote = self._quote
        if not quote:
            return re.compile(rb"(?!)")
        begun = rb"%b(?:[^%b]++|%b%b)*+\Z" % (quote, quote, quote, quote)
        return re.compile(rb"(?:%b%b)*?%b" % (self._cell(), self._separator, begun))

    @cached_property
    def _one_cell(self) -> re.Pattern[bytes]:
        return re.compile(self._cell())

    @cached_property
    def _one_line(self) -> re.Pattern[bytes]:
        cell = self._cell()
        return re.compile(rb"%b(?:%b%b)*+" % (cell, self._separator, cell))

    @property
    def _separator(self) -> bytes:
        return re.escape(self.separator.encode())

    @property
    def _quote(self) -> bytes:
        return re.escape(self.quote.encode()) if self.quote else b""

    def _clean_cell(self) -> bytes:
        """A cell on one line, with quotes around it or none at all."""
        quote, separator = self._quote, self._separator
        plain = rb"[^%b%b\n]*+" % (quote, separator)
        if not quote:
            return plain
        return rb"(?:%b(?:[^%b\n]++|%b%b)*+%b|%b)" % (quote, quote, quote, quote, quote, plain)

    def _cell(self) -> bytes:
        """Any cell; one that does not begin with a quote may have quotes inside."""
        quote, separator = self._quote, self._separator
        if not quote:
            return rb"[^%b\n]*+" % separator
        quoted = rb"%b(?:[^%b]++|%b%b)*+%b" % (quote, quote, quote, quote, quote)
        return rb"(?:%b|[^%b%b\n][^%b\n]*+)?+" % (quoted, quote, separator, separator)

    def _record(self, cell: bytes) -> bytes:
        return rb"%b(?:%b%b){%d}\r?(?:\n|\Z)" % (cell, self._separator, cell, self.width - 1)


LINES: Final = Framing()
"""Every line is a record, whatever is in it."""


def line_end(data: bytes, position: int) -> int:
    """Where the line of ``position`` ends, behind its line break."""
    return data.find(b"\n", position) + 1 or len(data)


def without_break(line: bytes) -> bytes:
    """``line`` without its line break."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


_Stream: TypeAlias = "io.BufferedReader[Any]"


@dataclass(kw_only=True)
class Halt:
    """Ends the reading of a log early, where nothing that is still to be read could matter.

    Attributes:
        most_rejects: the log is refused whatever follows once more rows than these are rejected.
        is_over: whether nobody waits for the rest any more.
    """

    most_rejects: float = math.inf
    is_over: bool = False

    def is_due(self, rejected: int) -> bool:
        """Whether to read no further, with so many rows rejected."""
        return self.is_over or rejected > self.most_rejects


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole records of a file.

    Attributes:
        data: the records, each with its line break; the file's last one may lack it.
        first_line: the number of the first line in the file, from 1.
        is_last: whether the file ends here.
        index: the number of the block in the file, from 0.
        is_regular: whether quotes are known to enclose whole cells of one line only, so that every line
            is a record.
        line_breaks: how many it has, or more; -1 if nobody counted them.
        halt: when to read no further.
    """

    data: bytes
    first_line: int
    is_last: bool
    index: int
    is_regular: bool = False
    line_breaks: int = -1
    halt: Halt = field(default_factory=Halt)


def blocks(
    stream: _Stream,
    framing: Framing = LINES,
    *,
    block_bytes: int = BLOCK_BYTES,
    halt: Halt | None = None,
) -> Iterator[Block]:
    """Cuts a stream into blocks of about ``block_bytes``, always between two records.

    Args:
        stream: the file.
        framing: what a record is.
        block_bytes: how large blocks are.
        halt: when to read no further.

    Raises:
        InputError: a line is longer than ``MAX_LINE_BYTES``.
    """
    if stream.peek(len(BOM)).startswith(BOM):
        stream.read(len(BOM))
    for block in _cut(stream, framing, block_bytes, 1):
        yield replace(block, halt=halt or block.halt)


def parts_of(block: Block, framing: Framing, *, part_bytes: int = PART_BYTES) -> Iterator[Block]:
    """Cuts a block into smaller ones, so that little is held at a time of what takes much memory to read."""
    stream = io.BufferedReader(io.BytesIO(block.data))
    for part in _cut(stream, framing, part_bytes, block.first_line):
        is_last = part.is_last and block.is_last
        yield replace(part, is_last=is_last, index=block.index, halt=block.halt)


def read_by_parts(
    block: Block,
    framing: Framing,
    careful: Callable[[Block], Parsed],
    *,
    fast: Callable[[Block], Parsed | None],
) -> Parsed:
    """Reads a block of which something is amiss: quickly where that goes, else a little at a time.

    Args:
        block: is not empty. What follows its ``halt`` is left unread.
        framing: what a record is.
        careful: reads anything.
        fast: reads what has nothing amiss, else returns None.
    """
    return joined_until(block.halt, _read_by_parts(block, framing, careful, fast))


def _read_by_parts(
    block: Block, framing: Framing, careful: Callable[[Block], Parsed], fast: Callable[[Block], Parsed | None]
) -> Iterator[Parsed]:
    for part in parts_of(block, framing):
        if whole := fast(part):
            yield whole
            continue
        for piece in parts_of(part, framing, part_bytes=CAREFUL_BYTES):
            yield fast(piece) or careful(piece)


def joined_until(halt: Halt, parts: Iterable[Parsed]) -> Parsed:
    """What was read from several parts of a block, at least one, as far as the halt lets them be read."""
    found: list[Parsed] = []
    listed = rejected = 0
    for part in parts:
        rejects, rejected = part.rejects, rejected + part.rejected
        is_full = listed + rejects.height > _MOST_LISTED
        listed += 0 if is_full else rejects.height
        shown = replace(part, rejects=rejects.clear(), unlisted=reasons_of(rejects)) if is_full else part
        found.append(shown)
        if halt.is_due(rejected):
            break
    return joined(found)


def _cut(stream: _Stream, framing: Framing, block_bytes: int, line: int) -> Iterator[Block]:
    rest, index, wanted = b"", 0, block_bytes
    while True:
        data = rest + _whole_lines(stream, wanted, line)
        is_last = not stream.peek(1)
        is_regular = _quotes_are_regular(data, framing)
        cut = len(data) if is_last or is_regular else _last_boundary(data, framing)
        if framing.begins and not is_last:
            cut = _before_group(data, cut, framing.begins)
        rest = data[cut:]
        wanted = block_bytes if cut else len(data)
        if cut:
            line_breaks = count_byte(data, _LINE_BREAK, cut)
            yield Block(
                data=data[:cut] if rest else data,
                first_line=line,
                is_last=is_last,
                index=index,
                is_regular=is_regular,
                line_breaks=line_breaks,
            )
            line += line_breaks
            index += 1
        if is_last:
            return


def _before_group(data: bytes, end: int, begins: Sequence[bytes]) -> int:
    """Where the last records begin that may belong with what follows; 0 while they may be cut short.

    Where none begins so within the length of the longest record, records do not belong together.
    """
    cut = max(data.rfind(b"\n" + begin, 0, end) for begin in begins) + 1
    return cut or (end if end >= MAX_RECORD_BYTES else 0)


def _whole_lines(stream: _Stream, wanted: int, line: int) -> bytes:
    """The next ``wanted`` bytes and the rest of the line that they end in."""
    if stream.seekable():  # looking ahead spares a copy of all that is read
        start = stream.tell()
        stream.seek(start + wanted - 1)
        tail = stream.readline(MAX_LINE_BYTES)
        stream.seek(start)
        data = stream.read(wanted - 1 + len(tail))
    else:
        data = stream.read(wanted)
        tail = b"" if data.endswith(b"\n") else stream.readline(MAX_LINE_BYTES)
        data += tail
    if len(tail) == MAX_LINE_BYTES and not tail.endswith(b"\n"):
        raise InputError(
            f"from line {line:,} on: a line is longer than {MAX_LINE_BYTES:,} bytes; expected a log of lines"
        )
    return data


def count_byte(data: bytes, byte: int, end: int | None = None) -> int:
    """How often a byte occurs before ``end``; for a frequent one several times as fast as ``bytes.count``."""
    text = np.frombuffer(data, np.uint8)[:end]
    parts = (text[start : start + _CACHED_BYTES] for start in range(0, text.size, _CACHED_BYTES))
    return sum(int(np.count_nonzero(part == byte)) for part in parts)


def _last_boundary(data: bytes, framing: Framing) -> int:
    """Where the last record that begins in ``data`` and may go on after it begins; else the end."""
    position = 0
    while position < len(data):
        end = framing.one_line_end(data, position) or framing.record_end(data, position)
        if not end and framing.is_open(data, position):
            return position
        position = end or line_end(data, position)
    return len(data)


def _quotes_are_regular(data: bytes, framing: Framing) -> bool:
    """Whether all quotes enclose whole cells of one line, so that every line is a record."""
    if framing.quote is None or framing.quote.encode() not in data:
        return True
    text = np.frombuffer(data, np.uint8)
    quote, separator = ord(framing.quote), ord(framing.separator)
    at = np.flatnonzero(text == quote)
    if at.size % 2:
        return False
    border = np.zeros(256, np.bool_)
    border[[quote, separator, _LINE_BREAK]] = True
    opening, closing = at[0::2], at[1::2]
    if not border[text[opening[opening > 0] - 1]].all():
        return False
    border[ord("\r")] = True
    if not border[text[closing[closing < text.size - 1] + 1]].all():
        return False
    breaks = np.flatnonzero(text == _LINE_BREAK)
    return not (np.searchsorted(at, breaks) % 2).any()
