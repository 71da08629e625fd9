"""Small files of one layout, read as if they were one: thousands of files have their price one by one."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from loadlens.schema import CANONICAL_COLUMNS
from loadlens.sources.dialects.base import BlockReader
from loadlens.sources.labels import JoinedNames
from loadlens.sources.parsed import Kinds, Parsed
from loadlens.sources.text.blocks import Halt, blocks
from loadlens.sources.text.delimited import TableReader
from loadlens.sources.text.framing import line_end
from loadlens.sources.text.stream import BOM

if TYPE_CHECKING:
    from loadlens.sources.text.log import TextFile

__all__ = ["Together", "read_together"]

_MOST_BYTES: Final = 16 * 2**20
_PARTS: Final = 8
"""Into how many parts files are divided where one of them needs a look of its own."""


@dataclass(frozen=True, kw_only=True)
class Together:
    """What small files give that were read as one.

    Attributes:
        rows: the rows of all of them, in their order, with labels in the place of names.
        parts: what each of them gave.
        joined: which names became one.
    """

    rows: pl.DataFrame
    parts: list[Parsed]
    joined: JoinedNames | None

    def told(self, files: Sequence["TextFile"]) -> Iterator[pl.Series]:
        """The columns that the paths of the files tell, for all of their rows."""
        counts = [part.rows.height for part in self.parts]
        for place, (name, _) in enumerate(files[0].constants):
            texts = [file.constants[place][1] for file in files]
            each = pl.DataFrame({name: pl.Series(texts, dtype=pl.String), "rows": counts})
            yield (
                each.filter(pl.col("rows") > 0)
                .select(pl.col(name).repeat_by("rows").explode())
                .get_column(name)
            )


def read_together(files: Sequence["TextFile"]) -> Iterator[tuple[Sequence["TextFile"], Together | None]]:
    """Reads small files of one layout as if they were one.

    Args:
        files: the files of a log.

    Yields:
        All of them in their order: several with what they give, or one that has to be read on its own. That
        is a large one, or one with rows that are rejected, of several lines or perhaps parts of others, or of
        which more is to be told than what its lines are.
    """
    for group in _grouped(files):
        yield from _read_group(group)


def _read_group(files: Sequence["TextFile"]) -> Iterator[tuple[Sequence["TextFile"], Together | None]]:
    together = _together(files) if len(files) > 1 else None
    if together is not None:
        yield files, together
    elif len(files) <= _PARTS:
        yield from (([file], None) for file in files)
    else:
        size = -(-len(files) // _PARTS)
        for start in range(0, len(files), size):
            yield from _read_group(files[start : start + size])


def _grouped(files: Sequence["TextFile"]) -> Iterator[list["TextFile"]]:
    """The files in their order, small ones of the same reader together."""
    group: list[TextFile] = []
    size = 0
    for file in files:
        if group and not (size < _MOST_BYTES and _go_together(group[0], file)):
            yield group
            group, size = [], 0
        group.append(file)
        size += len(file.head.data)
    if group:
        yield group


def _go_together(one: "TextFile", other: "TextFile") -> bool:
    names = [name for name, _ in one.constants]
    return (
        one.reader is other.reader
        and isinstance(one.reader, BlockReader)
        and one.head.is_whole
        and other.head.is_whole
        and one.naming == other.naming
        and names == [name for name, _ in other.constants]
        and not any(name in CANONICAL_COLUMNS and name != "label" for name in names)
    )


def _together(files: Sequence["TextFile"]) -> Together | None:
    """What small files of one reader give; None if one of them has to be read on its own."""
    first = files[0]
    reader = first.reader
    if not isinstance(reader, BlockReader):
        return None
    has_header = _has_header(first)
    bodies = [_records(file.head.data, has_header=has_header) for file in files]
    ends = [0, *accumulate(body.count(b"\n") for body in bodies)]
    header = _header_end(first.head.data) if has_header else 0
    data = b"".join([first.head.data[:header], *bodies])
    stream = io.BufferedReader(io.BytesIO(data))
    cut = blocks(stream, reader.framing, block_bytes=len(data), halt=Halt(most_rejects=0))
    whole = [reader.read(block) for block in cut]
    kinds = _kinds(whole[0], ends[-1]) if len(whole) == 1 else None
    if kinds is None:
        return None
    named, joined = first.naming.parsed(whole[0])
    return Together(rows=named.rows, parts=list(_parts(named, kinds, ends)), joined=joined)


def _kinds(part: Parsed, lines: int) -> Kinds | None:
    """What each line is, if that is all that there is to tell beside the rows."""
    if part.rejected or part.spans is not None:
        return None
    kinds = part.kinds or Kinds(names=(), codes=np.full(part.rows.height, -1, np.int16))
    counts = +(Counter(part.left_out) + Counter(part.facts))
    is_all = kinds.codes.size == lines and kinds.between(0, lines) == (part.rows.height, counts)
    return kinds if is_all else None


def _parts(whole: Parsed, kinds: Kinds, ends: Sequence[int]) -> Iterator[Parsed]:
    """What each of the files gave whose lines end at ``ends``."""
    begin = 0
    for start, stop in pairwise(ends):
        rows, others = kinds.between(start, stop)
        yield Parsed(
            rows=whole.rows.slice(begin, rows),
            left_out={what: count for what, count in others.items() if what in whole.left_out},
            facts={what: count for what, count in others.items() if what in whole.facts},
            identities=None if whole.identities is None else whole.identities.slice(begin, rows),
        )
        begin += rows


def _has_header(file: "TextFile") -> bool:
    return isinstance(file.reader, TableReader) and file.reader.has_header


def _records(data: bytes, *, has_header: bool) -> bytes:
    """What a file holds behind its header, the last line complete."""
    body = data[_header_end(data) :] if has_header else data.removeprefix(BOM)
    return body if body.endswith(b"\n") or not body else body + b"\n"


def _header_end(data: bytes) -> int:
    start = len(BOM) if data.startswith(BOM) else 0
    while start < len(data) and data[start : line_end(data, start)].isspace():
        start = line_end(data, start)
    return line_end(data, start)
