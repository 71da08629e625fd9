"""From paths, globs and folders to data files, each with its columns and its hive partition."""

import csv
import glob
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import polars as pl

from loadlens.errors import InputError
from loadlens.sources.wording import listed, shortened

__all__ = ["INVOCATION_LOG_STEM", "DataFile", "PathSource", "find_files", "inspect_file"]

PathSource = str | PathLike[str]
INVOCATION_LOG_STEM = "invocation_benchmark_results"

_SAMPLED_LINES = 100
_SMALL_FILE_BYTES = 64 * 2**20
_SUFFIXES = (".parquet", ".csv")  # in order of preference


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of rows.

    Attributes:
        path: where it is.
        kind: its format, known from its first bytes.
        columns: its columns and, where the file declares them, their types (CSV: all text).
        hive: the ``name=value`` folders that it lies in.
        size: its size in bytes.
        rows: how many rows it holds; estimated for text from its size and first lines.
        row_group_bytes: decoded size of the largest row group of a Parquet file, else 0.
    """

    path: Path
    kind: Literal["csv", "parquet"]
    columns: tuple[tuple[str, pl.DataType], ...]
    hive: tuple[tuple[str, str], ...]
    size: int
    rows: int
    row_group_bytes: int = 0


def find_files(source: PathSource | Iterable[PathSource]) -> list[Path]:
    """Finds the data files that ``source`` names, each once however often it is named.

    Raises:
        InputError: a path or glob leads to nothing.
    """
    sources = [source] if isinstance(source, str | PathLike) else list(source)
    if not sources:
        raise InputError("no input: the list of paths is empty; name at least one file or folder")
    wrong = [item for item in sources if not isinstance(item, str | PathLike) or not fspath(item)]
    if wrong:
        raise InputError(
            f"a list of logs must hold paths, got {type(wrong[0]).__name__} {shortened(wrong[0])}"
        )
    found = [path for item in sources for path in _found(fspath(item))]
    return list({path.resolve(): path for path in found}.values())


def _found(text: str) -> list[Path]:
    if not _is_text(Path(text)):
        raise InputError(f"{shortened(text)}: its name is not UTF-8 text; rename it")
    try:
        return _find(text)
    except OSError as error:
        raise InputError(f"{text}: cannot be read: {error.strerror}; check the path") from error


def _find(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return _files_in(path)
    if path.exists():
        return [path]
    matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207  # absolute patterns
    if not matches:
        what = "matches no file" if glob.has_magic(text) else "does not exist"
        raise InputError(f"{text}: {what}; check the path")
    return [path for match in matches for path in _find(match)]


def _files_in(folder: Path) -> list[Path]:
    """All data files below a folder; a log of the toolkit there is taken alone, Parquet before CSV."""
    named = [folder / f"{INVOCATION_LOG_STEM}{suffix}" for suffix in _SUFFIXES]
    toolkit = [path for path in named if path.exists()]
    if toolkit:
        return _files_in(toolkit[0]) if toolkit[0].is_dir() else [toolkit[0]]
    files = sorted(path for path in folder.rglob("*") if _is_data(path.relative_to(folder), path))
    wrong = [path for path in files if not _is_text(path)]
    if wrong:
        raise InputError(
            *[f"{shortened(str(path))}: its name is not UTF-8 text; rename it" for path in wrong]
        )
    stems = {path.with_suffix("") for path in files if path.suffix.lower() == ".parquet"}
    files = [path for path in files if path.suffix.lower() == ".parquet" or path.with_suffix("") not in stems]
    if not files:
        raise InputError(f"{folder}: holds no log; expected {' or '.join(_SUFFIXES)} files in this folder")
    return files


def _is_text(path: Path) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _is_data(relative: Path, path: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in relative.parts)
    return not hidden and path.suffix.lower() in _SUFFIXES and path.is_file()


def inspect_file(path: Path) -> DataFile:
    """Reads the head of a file: its format, its columns and whether it holds a row.

    Raises:
        InputError: the file is unreadable, empty, of an unknown format or has doubled columns.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes); expected a header and rows")
    _refuse_unreadable(path, magic)
    kind: Literal["csv", "parquet"] = "parquet" if magic == b"PAR1" else "csv"
    if kind == "csv":
        columns, rows = _csv_head(path, size)
        return DataFile(path=path, kind=kind, columns=columns, hive=_hive(path), size=size, rows=rows)
    columns, rows, row_group_bytes = _parquet_head(path, size)
    return DataFile(
        path=path,
        kind=kind,
        columns=columns,
        hive=_hive(path),
        size=size,
        rows=rows,
        row_group_bytes=row_group_bytes,
    )


def _refuse_unreadable(path: Path, magic: bytes) -> None:
    if magic[:1] == b"\x80":
        raise InputError(f"{path}: is a Python pickle, which may run code; write it as CSV or Parquet")
    if magic[:2] == b"\x1f\x8b" or magic == b"\x28\xb5\x2f\xfd":
        raise InputError(f"{path}: is compressed; decompress it first")
    if b"\x00" in magic:
        raise InputError(f"{path}: is binary data of an unknown format; expected CSV or Parquet")
    if path.suffix.lower() == ".parquet" and magic != b"PAR1":
        raise InputError(f"{path}: is not a Parquet file, in spite of its name; it begins with {magic!r}")


Columns = tuple[tuple[str, pl.DataType], ...]


def _parquet_head(path: Path, size: int) -> tuple[Columns, int, int]:
    try:
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = frame.collect_schema()
        rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is a damaged Parquet file: {reason}; write it again") from error
    # Reading the footer a second time costs an import; a small file has no huge row group.
    return tuple(schema.items()), rows, _largest_row_group(path) if size > _SMALL_FILE_BYTES else 0


def _largest_row_group(path: Path) -> int:
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    groups = (metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return max(groups, default=0)


def _csv_head(path: Path, size: int) -> tuple[Columns, int]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            names = next(lines, [])
            first = [line for line in islice(lines, _SAMPLED_LINES) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not UTF-8 text with comma-separated values: {error}") from error
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: the header has doubled columns: {listed(doubled)}; rename or remove one")
    sampled = sum(len(",".join(line)) + 1 for line in first)
    rows = max(size * len(first) // sampled, 1) if sampled and len(first) == _SAMPLED_LINES else len(first)
    return tuple((name, pl.String()) for name in names), rows


def _hive(path: Path) -> tuple[tuple[str, str], ...]:
    parts = (part.partition("=") for part in path.parts[:-1])
    return tuple((name, unquote(value)) for name, separator, value in parts if name and separator)
