"""The same calls twice: copies of a file, compressed or linked, and logs that a converted file holds."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import polars as pl

from loadlens.sources.calls import FEWEST_CALLS, Calls, same_runs, values_of
from loadlens.sources.converted import sources_of_converted
from loadlens.sources.files import DataFile, extents
from loadlens.sources.findings import Findings
from loadlens.sources.storage.location import Location, read_part, size_of
from loadlens.sources.storage.stamps import content_digest
from loadlens.sources.text.log import TextFile, scan_text
from loadlens.sources.text.stream import open_stream

__all__ = ["copies_among", "look_for_same_runs"]

_CHUNK_BYTES: Final = 2**20
_SAMPLE_BYTES: Final = 2**14
_SAMPLES: Final = 16
_MOST_TOLD: Final = 12
_MOST_OF_ONE_SIZE: Final = 1000
_Item = TypeVar("_Item")


def copies_among(tabular: Sequence[DataFile], text: Sequence[TextFile]) -> dict[str, tuple[str, ...]]:
    """Which files have the same content, whatever their names, links and compression.

    Files of which the paths tell different columns, such as ``day=1`` and ``day=2``, are different. Whole
    files are compared only where size, beginning and samples are the same, up to the first difference.

    Returns:
        A clause for each kind of content, and the names of all files with it but the first.
    """
    paths = [*(file.path for file in tabular), *(file.path for file in text)]
    linked = list(_alike(paths, _identity))
    names = {path for group in linked for path in group[1:]}
    own = [file for file in text if file.path not in names]
    groups = [[file.path for file in group] for group in _same_text(own) if _has_rows(group[0])]
    own_tables = [file for file in tabular if file.rows and not file.version and file.path not in names]
    groups += _same_bytes(own_tables)
    found = {f"{_listed(group)} are one file": _copies_in(group) for group in linked}
    found |= {f"{_listed(group)} have the same content": _copies_in(group) for group in groups}
    return dict(list((found | dict(_held(tabular, text))).items())[:_MOST_TOLD])


def _copies_in(group: Sequence[Location]) -> tuple[str, ...]:
    return tuple(str(path) for path in group[1:])


def look_for_same_runs(
    typed: Sequence[DataFile],
    text: Sequence[TextFile],
    findings: Findings,
    scan: Callable[[DataFile], pl.LazyFrame],
) -> None:
    """Looks what the calls of files come to where another file seems to have the same ones.

    What text holds is known once it has been scanned. Files of typed columns are scanned for it only where
    their number of calls and their extents leave that open.

    Args:
        typed: files of typed columns.
        text: files of text.
        findings: what a scan of the text has found; they are told of the calls of typed columns.
        scan: the canonical rows of a file of typed columns.
    """
    for file in [*_of_two_forms(typed, findings), *_of_one_kind(typed)]:
        if file.name not in findings.typed_calls:
            findings.typed_calls[file.name] = Calls.of(scan(file), file.name, file.kind)
    texts = {file.name: file for file in text}
    # What has other values than the one before it may have those of one before that.
    while unknown := _of_unknown_values([*findings.calls, *findings.typed_calls.values()]):
        for calls in unknown:
            calls.values = values_of(scan_text([texts[calls.path]], Findings(), None))


def _of_unknown_values(files: Sequence[Calls]) -> list[Calls]:
    """The files whose values have to tell whether they are one run; two formats of text spell them apart."""
    pairs = [
        pair for pair in same_runs(files) if any(calls.values for calls in pair) or _is_one_format(*pair)
    ]
    return [calls for pair in pairs for calls in pair if calls.values is None]


def _is_one_format(one: Calls, other: Calls) -> bool:
    return one.dialect == other.dialect


def _of_two_forms(typed: Sequence[DataFile], findings: Findings) -> Iterator[DataFile]:
    """The files of as many calls as another one of another format."""
    counts = {(calls.dialect, calls.rows) for calls in findings.calls}
    counts |= {(file.kind, file.rows) for file in typed}
    most_rejected = findings.rejected
    for file in typed:
        if file.rows >= FEWEST_CALLS and any(
            dialect != file.kind and 0 <= file.rows - rows <= most_rejected for dialect, rows in counts
        ):
            yield file


def _of_one_kind(typed: Sequence[DataFile]) -> Iterator[DataFile]:
    """The files of as many calls as another one of their format, and of the same extents of columns."""
    enough = [file for file in typed if file.rows >= FEWEST_CALLS and not file.version]
    groups = _alike(enough, lambda file: (file.kind, file.rows, _told_apart(file)))
    # So many files of one size are pieces of one log; opening the footer of each takes its time.
    for group in (group for group in groups if len(group) <= _MOST_OF_ONE_SIZE):
        for same in _alike(group, lambda file: extents(file.path) if file.kind == "parquet" else ()):
            yield from same


def _told_apart(file: DataFile) -> tuple[tuple[str, str | None], ...]:
    """The columns that a file's path tells, but for its name."""
    return tuple((name, value) for name, value in file.constants if name != "file")


def _identity(path: Location) -> Hashable:
    """What paths have in common that lead to one file, through hard or symbolic links or named again."""
    if not isinstance(path, Path):
        return path
    status = path.stat()
    return status.st_dev, status.st_ino


def _same_text(files: Iterable[TextFile]) -> Iterator[list[TextFile]]:
    """Groups of text files with the same decompressed content."""
    for group in _alike(files, lambda file: (file.constants, _digest(file.head.data))):
        if group[0].head.is_whole:
            yield group
        else:
            yield from _equal(group, _is_same_text)


def _is_same_text(one: TextFile, other: TextFile) -> bool:
    compressed = one.head.compression or other.head.compression
    if not compressed and not _may_be_same_bytes(one.path, other.path):
        return False
    with open_stream(one.path) as first, open_stream(other.path) as second:
        while chunk := first.read(_CHUNK_BYTES):
            if chunk != second.read(_CHUNK_BYTES):
                return False
        return not second.read(1)


def _same_bytes(files: Iterable[DataFile]) -> Iterator[list[Location]]:
    """Groups of files that are the same byte for byte."""
    for group in _alike(files, lambda file: (file.constants, file.size)):
        yield from _equal([file.path for file in group], _is_same_bytes)


def _is_same_bytes(one: Location, other: Location) -> bool:
    size = size_of(one)
    return _may_be_same_bytes(one, other) and all(
        read_part(one, start, _CHUNK_BYTES) == read_part(other, start, _CHUNK_BYTES)
        for start in range(0, size, _CHUNK_BYTES)
    )


def _may_be_same_bytes(one: Location, other: Location) -> bool:
    """Whether two files are of one size and the same at some places, both ends among them."""
    size = size_of(one)
    places = {max(size - _SAMPLE_BYTES, 0) * number // (_SAMPLES - 1) for number in range(_SAMPLES)}
    return size == size_of(other) and all(
        read_part(one, start, _SAMPLE_BYTES) == read_part(other, start, _SAMPLE_BYTES)
        for start in sorted(places, reverse=True)
    )


def _has_rows(file: TextFile) -> bool:
    """Whether a file has a row that counts: many runs leave files with a header alone."""
    return scan_text([file], Findings(), None).head(1).collect().height > 0


def _held(tabular: Sequence[DataFile], text: Sequence[TextFile]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Which logs a converted file beside them was made of: a clause for each, and the log's name."""
    holders: dict[str, DataFile] = {}
    for file in tabular:
        for name, content in sources_of_converted(file).items():
            other = holders.setdefault(content, file)
            if other is not file:
                yield f"{other.path} and {file.path} were both made of {name}", (str(file.path),)
    if holders:
        files = [file.path for file in tabular if not file.version]
        for path in (*files, *(file.path for file in text)):
            holder = holders.get(content_digest(path, size_of(path)))
            if holder:
                yield f"{holder.path} was made of {path}", (str(path),)


def _alike(items: Iterable[_Item], trait: Callable[[_Item], Hashable]) -> Iterator[list[_Item]]:
    """Items of which several have one trait, together."""
    found: dict[Hashable, list[_Item]] = defaultdict(list)
    for item in items:
        found[trait(item)].append(item)
    return (group for group in found.values() if len(group) > 1)


def _equal(items: Iterable[_Item], is_same: Callable[[_Item, _Item], bool]) -> Iterator[list[_Item]]:
    """Items of which several are the same, together."""
    groups: list[list[_Item]] = []
    for item in items:
        for group in groups:
            if is_same(group[0], item):
                group.append(item)
                break
        else:
            groups.append([item])
    return (group for group in groups if len(group) > 1)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _listed(paths: Sequence[Location]) -> str:
    rest = len(paths) - 2
    return f"{paths[0]} and {paths[1]}" + (f" and {rest:,} more" if rest else "")
