"""Files of rows: format, columns, hive partition, and whether they are still what they were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote

import polars as pl

from loadlens.errors import InputError
from loadlens.logs.lakes import TableKind, inspect_table, scan_table, table_kind
from loadlens.schema import CANONICAL_COLUMNS, RULES
from loadlens.storage.checksum import DamagedFileError, has_checksum
from loadlens.storage.location import (
    Location,
    RemotePath,
    of_each,
    read_part,
    scan_source,
    secrets_of,
    size_of,
)
from loadlens.storage.secrets import cause_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "CHECKSUM",
    "FACTS",
    "TITLES",
    "DataFile",
    "Kind",
    "changed_files",
    "content_digest",
    "extents",
    "hive_columns",
    "inspect_columns",
    "kind_of",
    "modified_ns",
    "refuse_changed",
    "row_groups",
    "scan_columns",
]


_ENDS_BYTES: Final = 2**16

FACTS = "loadlens"
"""Under which name a converted log has its facts in the metadata, as JSON."""

CHECKSUM = "loadlens:checksum"
"""Under which name the metadata says that a file was written with a checksum."""

_MAGIC_BYTES = 6
_TAIL_BYTES = 8  # of a Parquet file: the length of its metadata, and PAR1
TITLES: Final[Mapping[str, str]] = {
    "parquet": "Parquet file",
    "arrow": "Arrow file",
    "delta": "Delta table",
    "iceberg": "Iceberg table",
}
_SMALL_FILE_BYTES = 64 * 2**20


def modified_ns(path: Location) -> int | None:
    """When a file was last written, in ns since 1970; None for folders and where nothing tells.

    Raises:
        OSError: it does not exist.
    """
    if isinstance(path, RemotePath):
        return path.facts.modified_ns if path.facts else None
    return path.stat().st_mtime_ns if path.is_file() else None


def content_digest(path: Location, size: int) -> str:
    """What tells a file's content apart, wherever it lies: a digest of its size, beginning and end.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    digest = hashlib.sha256(f"{size}:".encode())
    digest.update(read_part(path, 0, _ENDS_BYTES))
    digest.update(read_part(path, max(size - _ENDS_BYTES, 0), _ENDS_BYTES))
    return digest.hexdigest()[:32]


def changed_files(files: Iterable[DataFile]) -> list[str]:
    """One line for each file that has another size or time than when it was opened, or another entity tag."""
    known = {file.path: file for file in files}
    found = of_each(lambda path: _change(known[path]), list(known))
    return [problem for problem in found if problem]


def refuse_changed(files: Iterable[DataFile]) -> None:
    """Raises an InputError that names the files that are no longer what they were when they were opened."""
    changed = changed_files(files)
    if changed:
        raise InputError(*changed)


def _change(file: DataFile) -> str:
    if isinstance(file.path, RemotePath):
        return "" if file.version else _change_of_object(file.path)
    if file.modified_ns is None:
        return ""
    try:
        now = file.path.stat()
    except OSError:
        return f"{file.path}: has disappeared while it was read"
    if (now.st_size, now.st_mtime_ns) == (file.size, file.modified_ns):
        return ""
    return (
        f"{file.path}: changed while it was read: {file.size:,} bytes when it was opened, "
        f"{now.st_size:,} now; run again once it is written whole"
    )


def _change_of_object(path: RemotePath) -> str:
    try:
        now = path.anew().facts
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    if now == path.facts:
        return ""
    return f"{path}: " + ("changed" if now else "has disappeared") + " while it was read; run again"


Kind = Literal["arrow", "parquet", "text"] | TableKind


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of rows.

    Attributes:
        path: where it is.
        kind: its format, known from its first bytes; a table is one file here, and all but these is text to
            be parsed.
        columns: its columns and, where the file declares them, their types.
        constants: columns that its path tells, with their values: the ``name=value`` folders that it lies
            in, and what is asked of its name.
        size: its size in bytes.
        rows: how many rows it holds; estimated for text from its size and first lines.
        row_group_bytes: decoded size of the largest row group of a Parquet file, else 0.
        sound: canonical columns of a large Parquet file that keep to their rules by its own statistics.
        metadata: what ``loadlens`` has written into the footer of a Parquet file, by name.
        version: the version that a table had when it was opened, of which every scan is; else empty.
        modified_ns: when it was last written as it was opened, in ns; None where nothing tells.
        is_verified: whether it carries the checksum of what loadlens writes, and agrees with it.
        shown: what messages call it, where that is not its path.
    """

    path: Location
    kind: Kind
    columns: tuple[tuple[str, pl.DataType], ...]
    constants: tuple[tuple[str, str | None], ...] = ()
    size: int
    rows: int
    row_group_bytes: int = 0
    sound: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    modified_ns: int | None = None
    is_verified: bool = False
    shown: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.shown or str(self.path)


def kind_of(path: Location) -> Kind:
    """The format of a file, from its first bytes, or of a table.

    Raises:
        InputError: the file is unreadable or empty, or runs code when it is read.
    """
    try:
        table = table_kind(path) if path.is_dir() or path.suffix == ".json" else None
        if table:
            return table
        size = size_of(path)
        magic = read_part(path, 0, _MAGIC_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes); expected a header and rows")
    if magic[:1] == b"\x80":
        raise InputError(f"{path}: is a Python pickle, which may run code; write it as CSV or Parquet")
    if path.suffix.lower() == ".parquet" and magic[:4] != b"PAR1":
        raise InputError(f"{path}: is not a Parquet file, in spite of its name; it begins with {magic[:4]!r}")
    if magic[:4] == b"PAR1":
        return "parquet"
    return "arrow" if magic == b"ARROW1" else "text"


def inspect_columns(path: Location, kind: Kind, *, small_file_bytes: int = _SMALL_FILE_BYTES) -> DataFile:
    """Reads the footer of a columnar file, or what a table says of itself.

    Args:
        path: the file or table.
        kind: what it is.
        small_file_bytes: up to what size a file is taken to have no huge row group.

    Raises:
        InputError: the file or table is damaged.
    """
    if kind in {"delta", "iceberg"}:
        table = inspect_table(path, kind)
        version, size, largest, files = table.version, table.size, table.largest, table.files
    else:
        size = largest = size_of(path)
        version, files = "", (path,)
    is_verified = kind == "parquet" and _is_verified(path)
    columns, rows = _footer(path, kind, version)
    # Reading the footer a second time costs an import; a small file has no huge row group.
    large = kind != "arrow" and largest > small_file_bytes
    return DataFile(
        path=path,
        kind=kind,
        columns=columns,
        constants=hive_columns(path),
        size=size,
        rows=rows,
        row_group_bytes=max(map(_largest_row_group, files)) if large else 0,
        sound=_sound_columns(path) if large and kind == "parquet" else frozenset(),
        metadata=_metadata(path) if kind == "parquet" else {},
        version=version,
        modified_ns=modified_ns(path),
        is_verified=is_verified,
    )


def _is_verified(path: Location) -> bool:
    try:
        return has_checksum(path)
    except DamagedFileError as error:
        raise InputError(f"{path}: is a damaged Parquet file: {error}; write it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


Columns = tuple[tuple[str, pl.DataType], ...]


def _footer(path: Location, kind: Kind, version: str) -> tuple[Columns, int]:
    try:
        frame = scan_columns([path], kind, version=version)
        schema = frame.collect_schema()
        rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = reason_of(error, secrets_of(path))
        cause = cause_of(error, secrets_of(path))
        if isinstance(path, RemotePath) and isinstance(error, OSError):  # the store's fault, not the file's
            raise InputError(f"{path}: cannot be read: {reason}") from cause
        raise InputError(f"{path}: is a damaged {TITLES[kind]}: {reason}; write it again") from cause
    return tuple(schema.items()), rows


def _metadata(path: Location) -> dict[str, str]:
    if isinstance(path, RemotePath):
        found = pl.read_parquet_metadata(path.url, storage_options=path.store.options)
    else:
        found = pl.read_parquet_metadata(path)
    return {name: text for name, text in found.items() if name.startswith(FACTS)}


def scan_columns(
    paths: Sequence[Location],
    kind: Kind,
    row_index: str | None = None,
    version: str = "",
    *,
    with_paths: str | None = None,
) -> pl.LazyFrame:
    """Scans columnar files of one schema and one store, or one table, their columns as they are.

    Args:
        paths: the files.
        kind: their format.
        row_index: what a column is called that numbers the rows; without it, there is none.
        version: that of a table.
        with_paths: likewise for a column with the address of each row's file; a table has none.
    """
    if kind in {"delta", "iceberg"}:
        frame = scan_table(paths[0], kind, version)
        return frame.with_row_index(row_index) if row_index else frame
    scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
    return scan(
        **scan_source(paths),
        glob=False,
        hive_partitioning=False,
        row_index_name=row_index,
        include_file_paths=with_paths,
    )


def row_groups(path: Location) -> list[tuple[int, int]]:
    """The row groups of a Parquet file: the rows of each, and its decoded size in bytes."""
    return [(group.num_rows, group.total_byte_size) for group in _groups(path)]


def _groups(path: Location) -> list[Any]:
    """What the footer of a Parquet file says of each row group."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(_footer_file(path) if isinstance(path, RemotePath) else path)
    return [metadata.row_group(number) for number in range(metadata.num_row_groups)]


def _sound_columns(path: Location) -> frozenset[str]:
    """The columns of integers or truth values whose ends and nulls, as the footer tells them, break no rule.

    Every rule of one such column is a range, so that its ends stand for all that is between.
    """
    ends: dict[str, list[object]] = {}
    unknown: set[str] = set()
    for group in _groups(path):
        for number in range(group.num_columns):
            column = group.column(number)
            found = column.statistics if column.is_stats_set else None
            if found is None or not found.has_min_max or not found.has_null_count:
                unknown.add(column.path_in_schema)
                continue
            nulls = [None] if found.null_count else []
            ends.setdefault(column.path_in_schema, []).extend([found.min, found.max, *nulls])
    return frozenset(name for name, values in ends.items() if name not in unknown and _keeps(name, values))


def extents(path: Location) -> tuple[tuple[str, object, object], ...]:
    """The least and the greatest value of each column of a Parquet file, as far as its footer tells."""
    ends: dict[str, tuple[list[Any], list[Any]]] = {}
    for group in _groups(path):
        for number in range(group.num_columns):
            column = group.column(number)
            found = column.statistics if column.is_stats_set else None
            if found is not None and found.has_min_max:
                lows, highs = ends.setdefault(column.path_in_schema, ([], []))
                lows.append(found.min)
                highs.append(found.max)
    return tuple((name, min(lows), max(highs)) for name, (lows, highs) in sorted(ends.items()))


def _keeps(name: str, values: Sequence[object]) -> bool:
    if not all(value is None or isinstance(value, int) for value in values):
        return False  # of floats, statistics leave NaN out
    rules = [rule for rule in RULES if rule.needs == {name}]
    try:
        column = pl.Series(name, values, dtype=CANONICAL_COLUMNS[name].dtype).to_frame()
    except (KeyError, TypeError, OverflowError, pl.exceptions.PolarsError):
        return False
    return not any(column.select(rule.broken.any()).item() for rule in rules)


def _largest_row_group(path: Location) -> int:
    return max((size for _, size in row_groups(path)), default=0)


def _footer_file(path: RemotePath) -> BytesIO:
    """The end of a Parquet file, which is all that its metadata is read from."""
    length = int.from_bytes(path.part(path.size() - _TAIL_BYTES, 4), "little") + _TAIL_BYTES
    return BytesIO(path.part(path.size() - length, length))


def hive_columns(path: Location) -> tuple[tuple[str, str | None], ...]:
    """The columns that the ``name=value`` folders of a path tell."""
    parts = (part.partition("=") for part in path.parts[:-1])
    return tuple(
        (name, None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value))
        for name, separator, value in parts
        if name and separator
    )
