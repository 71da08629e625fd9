"""Small files of one layout, read as if they were one: thousands of files have their price one by one."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from loadlens.schema import CANONICAL_COLUMNS
from loadlens.sources.text.blocks import blocks
from loadlens.sources.text.delimited import TableReader
from loadlens.sources.text.framing import line_end
from loadlens.sources.text.stream import BOM

if TYPE_CHECKING:
    from loadlens.sources.text.log import TextFile

__all__ = ["grouped", "read_together", "told_together"]

_MOST_BYTES: Final = 16 * 2**20


def grouped(files: Sequence["TextFile"]) -> Iterator[list["TextFile"]]:
    """Files in their order, small ones of the same reader together."""
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
        and isinstance(one.reader, TableReader)
        and one.head.is_whole
        and other.head.is_whole
        and one.naming == other.naming
        and names == [name for name, _ in other.constants]
        and not any(name in CANONICAL_COLUMNS and name != "label" for name in names)
    )


def read_together(files: Sequence["TextFile"]) -> tuple[pl.DataFrame, list[int]] | None:
    """The rows of small files and how many each has; None if any of them needs a look of its own.

    That is one with rows that are rejected, left out, of several lines or perhaps parts of others, or with
    blank lines.
    """
    first = files[0]
    if len(files) == 1 or not isinstance(first.reader, TableReader):
        return None
    header = _header_end(first.head.data) if first.reader.has_header else 0
    bodies = [_records(file.head.data, has_header=first.reader.has_header) for file in files]
    counts = [body.count(b"\n") for body in bodies]
    data = b"".join([first.head.data[:header], *bodies])
    stream = io.BufferedReader(io.BytesIO(data))
    parts = list(map(first.reader.read, blocks(stream, first.reader.framing)))
    if any(part.rejects.height or any(part.left_out.values()) or any(part.facts.values()) for part in parts):
        return None
    if any(part.spans is not None for part in parts):
        return None
    rows = pl.concat([part.rows for part in parts])
    return (rows, counts) if rows.height == sum(counts) else None


def _records(data: bytes, *, has_header: bool) -> bytes:
    """What a file holds behind its header, the last line complete."""
    body = data[_header_end(data) if has_header else 0 :]
    return body if body.endswith(b"\n") or not body else body + b"\n"


def _header_end(data: bytes) -> int:
    start = len(BOM) if data.startswith(BOM) else 0
    while start < len(data) and data[start : line_end(data, start)].isspace():
        start = line_end(data, start)
    return line_end(data, start)


def told_together(files: Sequence["TextFile"], counts: Sequence[int]) -> Iterator[pl.Series]:
    """The columns that the paths of files tell, for all of their rows."""
    for place, (name, _) in enumerate(files[0].constants):
        texts = [file.constants[place][1] for file in files]
        each = pl.DataFrame({name: pl.Series(texts, dtype=pl.String), "rows": counts})
        yield each.select(pl.col(name).repeat_by("rows").explode()).get_column(name)
