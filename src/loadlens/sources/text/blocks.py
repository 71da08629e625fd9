"""A stream cut into blocks of whole records."""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from loadlens.errors import InputError
from loadlens.sources.parsed import Parsed, joined, reasons_of
from loadlens.sources.text.framing import LINES, Framing, line_end
from loadlens.sources.text.stream import BOM

__all__ = [
    "BLOCK_BYTES",
    "CAREFUL_BYTES",
    "MAX_LINE_BYTES",
    "PART_BYTES",
    "Block",
    "Halt",
    "blocks",
    "count_byte",
    "joined_until",
    "parts_of",
    "read_by_parts",
]

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
