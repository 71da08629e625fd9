"""From paths, globs and folders to data files, each with its columns and its hive partition."""

import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from os import PathLike
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import unquote

import polars as pl

from loadlens.errors import InputError
from loadlens.sources.lakes import (
    PARTS_OF_TABLES,
    TableKind,
    inspect_table,
    scan_table,
    table_kind,
    table_roots,
)
from loadlens.sources.storage.location import (
    Location,
    PathSource,
    RemotePath,
    locations,
    of_each,
    read_part,
    scan_source,
    secrets_of,
    size_of,
)
from loadlens.sources.storage.secrets import cause_of, reason_of
from loadlens.sources.storage.stamps import modified_ns
from loadlens.sources.wording import shortened

__all__ = [
    "FACTS",
    "INVOCATION_LOG_STEM",
    "DataFile",
    "Kind",
    "find_files",
    "hive_columns",
    "inspect_columns",
    "kind_of",
    "row_groups",
    "scan_columns",
]

INVOCATION_LOG_STEM = "invocation_benchmark_results"

Kind = Literal["arrow", "parquet", "text"] | TableKind

FACTS = "loadlens"
"""Under which name a converted log has its facts in the metadata, as JSON."""

_MAGIC_BYTES = 6
_TAIL_BYTES = 8  # of a Parquet file: the length of its metadata, and PAR1
_TITLES = {
    "parquet": "Parquet file",
    "arrow": "Arrow file",
    "delta": "Delta table",
    "iceberg": "Iceberg table",
}
_SMALL_FILE_BYTES = 64 * 2**20
_TOOLKIT_SUFFIXES = (".parquet", ".csv")  # in order of preference
_SUFFIXES = (
    ".parquet", ".csv", ".jtl", ".jsonl", ".ndjson", ".ldjson", ".tsv", ".arrow", ".feather", ".ipc",
)  # fmt: skip
_SUFFIXES_OF_MANY_THINGS = (".profile", ".log", ".txt", ".json", ".xml", ".db", ".sqlite", ".bin")
_COMPRESSED = (".gz", ".zst", ".zstd")


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
        metadata: what ``loadlens`` has written into the footer of a Parquet file, by name.
        version: the version that a table had when it was opened, of which every scan is; else empty.
        modified_ns: when it was last written as it was opened, in ns; None where nothing tells.
    """

    path: Location
    kind: Kind
    columns: tuple[tuple[str, pl.DataType], ...]
    constants: tuple[tuple[str, str | None], ...] = ()
    size: int
    rows: int
    row_group_bytes: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    modified_ns: int | None = None


IsLog = Callable[[Location], bool]


def find_files(
    source: PathSource | Iterable[PathSource], is_log: IsLog, options: Mapping[str, str] | None = None
) -> list[Location]:
    """Finds the data files and tables that ``source`` names, each once however often it is named.

    Args:
        source: paths, globs and folders, on the disk or in object stores, and addresses of web servers.
        options: options of object stores.
        is_log: is asked of the files in folders whose names many things have, such as ``stats.json``.

    Raises:
        InputError: a path or glob leads to nothing.
    """
    sources = [source] if isinstance(source, str | PathLike | RemotePath) else list(source)
    if not sources:
        raise InputError("no input: the list of paths is empty; name at least one file or folder")
    wrong = [item for item in sources if not isinstance(item, str | PathLike | RemotePath) or not str(item)]
    if wrong:
        raise InputError(
            f"a list of logs must hold paths, got {type(wrong[0]).__name__} {shortened(wrong[0])}"
        )
    parts = of_each(lambda path: _found(path, is_log), locations(sources, options))
    found = [path for paths in parts for path in paths]
    return list({path.resolve(): path for path in found}.values())


def _found(path: Location, is_log: IsLog) -> list[Location]:
    if not _is_text(path):
        raise InputError(f"{shortened(str(path))}: its name is not UTF-8 text; rename it")
    try:
        return _find(path, is_log)
    except OSError as error:
        check = "the path and the credentials" if isinstance(path, RemotePath) else "the path"
        raise InputError(f"{path}: cannot be read: {error.strerror}; check {check}") from error


def _find(path: Location, is_log: IsLog) -> list[Location]:
    if path.is_dir():
        return _found_in(path, is_log)
    if path.exists():
        _refuse_parts_of_tables([path])
        return [path]
    matches = _matches(path)
    if not matches:
        what = "matches no file" if _is_pattern(path) else "does not exist"
        raise InputError(f"{path}: {what}; check the path")
    _refuse_parts_of_tables(matches)
    parts = of_each(lambda match: _found_in(match, is_log) if match.is_dir() else [match], matches)
    return [found for part in parts for found in part]


def _found_in(folder: Location, is_log: IsLog) -> list[Location]:
    if table_kind(folder):
        return [folder]
    _refuse_part_of_table(folder, folder)
    return _files_in(folder, is_log)


def _refuse_parts_of_tables(files: Iterable[Location]) -> None:
    first = {file.parent: file for file in files if file.suffix == ".parquet"}
    for folder, file in first.items():
        _refuse_part_of_table(file, folder)


def _refuse_part_of_table(path: Location, folder: Location) -> None:
    """A file of a table may hold rows that the table holds no more."""
    while "=" in folder.name:
        folder = folder.parent
    for table in (folder, *([folder.parent] if folder.name in PARTS_OF_TABLES else [])):
        kind = table_kind(table)
        if kind:
            raise InputError(
                f"{path}: is part of the {_TITLES[kind]} {table}, which alone knows which of its rows still "
                f"count; name the table"
            )


def _is_pattern(path: Location) -> bool:
    return glob.has_magic(path.key if isinstance(path, RemotePath) else str(path))


def _matches(path: Location) -> Sequence[Location]:
    if not _is_pattern(path):
        return []
    if isinstance(path, Path):
        return [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  # absolute patterns
    plain = next((index for index, part in enumerate(path.parts) if glob.has_magic(part)), len(path.parts))
    folder = replace(path, key="/".join(path.parts[:plain]))
    return folder.glob("/".join(path.parts[plain:]))


def _files_in(folder: Location, is_log: IsLog) -> list[Location]:
    """All data files and tables below a folder; a log of the toolkit there is taken alone, Parquet first."""
    named: list[Location] = [folder / f"{INVOCATION_LOG_STEM}{suffix}" for suffix in _TOOLKIT_SUFFIXES]
    toolkit = [path for path in named if path.exists()]
    if toolkit:
        return _files_in(toolkit[0], is_log) if toolkit[0].is_dir() else [toolkit[0]]
    begin = len(folder.parts)
    everything = {PurePath(*path.parts[begin:]): path for path in folder.rglob("*")}
    tables = [root for root in table_roots(everything) if not _is_hidden(root)]
    files = [
        path
        for relative, path in everything.items()
        if not any(table in relative.parents for table in tables) and _is_data(relative, path, is_log)
    ]
    files = sorted([*files, *(folder / table for table in tables)])
    wrong = [path for path in files if not _is_text(path)]
    if wrong:
        raise InputError(
            *[f"{shortened(str(path))}: its name is not UTF-8 text; rename it" for path in wrong]
        )
    stems = {_stem(path) for path in files if path.suffix.lower() == ".parquet"}
    files = [path for path in files if path.suffix.lower() == ".parquet" or _stem(path) not in stems]
    if not files:
        raise InputError(f"{folder}: holds no log; expected files such as {', '.join(_SUFFIXES[:5])} in it")
    return files


def _is_text(path: Location) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _is_data(relative: PurePath, path: Location, is_log: IsLog) -> bool:
    if _is_hidden(relative) or not path.is_file():
        return False
    suffix = _plain(relative).suffix.lower()
    return suffix in _SUFFIXES or (suffix in _SUFFIXES_OF_MANY_THINGS and is_log(path))


def _is_hidden(relative: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in relative.parts)


def _plain(path: PurePath) -> PurePath:
    """The path of a file without the suffix that tells its compression."""
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path


def _stem(path: Location) -> PurePath:
    """The path of a file without the suffixes that tell its format."""
    return _plain(PurePath(*path.parts)).with_suffix("")


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


def inspect_columns(path: Location, kind: Kind) -> DataFile:
    """Reads the footer of a columnar file, or what a table says of itself.

    Raises:
        InputError: the file or table is damaged.
    """
    if kind in {"delta", "iceberg"}:
        table = inspect_table(path, kind)
        version, size, largest, files = table.version, table.size, table.largest, table.files
    else:
        size = largest = size_of(path)
        version, files = "", (path,)
    columns, rows = _footer(path, kind, version)
    # Reading the footer a second time costs an import; a small file has no huge row group.
    large = kind != "arrow" and largest > _SMALL_FILE_BYTES
    return DataFile(
        path=path,
        kind=kind,
        columns=columns,
        constants=hive_columns(path),
        size=size,
        rows=rows,
        row_group_bytes=max(map(_largest_row_group, files)) if large else 0,
        metadata=_metadata(path) if kind == "parquet" else {},
        version=version,
        modified_ns=modified_ns(path),
    )


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
        raise InputError(f"{path}: is a damaged {_TITLES[kind]}: {reason}; write it again") from cause
    return tuple(schema.items()), rows


def _metadata(path: Location) -> dict[str, str]:
    if isinstance(path, RemotePath):
        found = pl.read_parquet_metadata(path.url, storage_options=path.store.options)
    else:
        found = pl.read_parquet_metadata(path)
    return {name: text for name, text in found.items() if name.startswith(FACTS)}


def scan_columns(
    paths: Sequence[Location], kind: Kind, row_index: str | None = None, version: str = ""
) -> pl.LazyFrame:
    """Scans columnar files of one schema and one store, or one table, their columns as they are."""
    if kind in {"delta", "iceberg"}:
        frame = scan_table(paths[0], kind, version)
        return frame.with_row_index(row_index) if row_index else frame
    scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
    return scan(**scan_source(paths), glob=False, hive_partitioning=False, row_index_name=row_index)


def row_groups(path: Location) -> list[tuple[int, int]]:
    """The row groups of a Parquet file: the rows of each, and its decoded size in bytes."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(_footer_file(path) if isinstance(path, RemotePath) else path)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


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
