"""From paths, globs and folders to data files, each with its columns and its hive partition."""

import glob
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import polars as pl

from loadlens.errors import InputError
from loadlens.sources.wording import shortened

__all__ = [
    "FACTS",
    "INVOCATION_LOG_STEM",
    "DataFile",
    "PathSource",
    "find_files",
    "hive_columns",
    "inspect_columns",
    "key_of_converted",
    "kind_of",
    "scan_columns",
]

PathSource = str | PathLike[str]
INVOCATION_LOG_STEM = "invocation_benchmark_results"

FACTS = "loadlens"
"""Under which name a converted log has its facts in the metadata, as JSON."""

_SMALL_FILE_BYTES = 64 * 2**20
_TOOLKIT_SUFFIXES = (".parquet", ".csv")  # in order of preference
_SUFFIXES = (
    ".parquet", ".csv", ".jtl", ".jsonl", ".ndjson", ".ldjson", ".tsv", ".arrow", ".feather", ".ipc",
)  # fmt: skip
_SUFFIXES_OF_MANY_THINGS = (".log", ".txt", ".json", ".xml", ".db", ".sqlite", ".bin")
_COMPRESSED = (".gz", ".zst", ".zstd")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of rows.

    Attributes:
        path: where it is.
        kind: its format, known from its first bytes; all but Parquet and Arrow is text to be parsed.
        columns: its columns and, where the file declares them, their types.
        constants: columns that its path tells, with their values: the ``name=value`` folders that it lies
            in, and what is asked of its name.
        size: its size in bytes.
        rows: how many rows it holds; estimated for text from its size and first lines.
        row_group_bytes: decoded size of the largest row group of a Parquet file, else 0.
    """

    path: Path
    kind: Literal["arrow", "parquet", "text"]
    columns: tuple[tuple[str, pl.DataType], ...]
    constants: tuple[tuple[str, str | None], ...] = ()
    size: int
    rows: int
    row_group_bytes: int = 0


IsLog = Callable[[Path], bool]


def find_files(source: PathSource | Iterable[PathSource], is_log: IsLog) -> list[Path]:
    """Finds the data files that ``source`` names, each once however often it is named.

    Args:
        source: paths, globs and folders.
        is_log: is asked of the files in folders whose names many things have, such as ``stats.json``.

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
    found = [path for item in sources for path in _found(fspath(item), is_log)]
    return list({path.resolve(): path for path in found}.values())


def _found(text: str, is_log: IsLog) -> list[Path]:
    if not _is_text(Path(text)):
        raise InputError(f"{shortened(text)}: its name is not UTF-8 text; rename it")
    try:
        return _find(text, is_log)
    except OSError as error:
        raise InputError(f"{text}: cannot be read: {error.strerror}; check the path") from error


def _find(text: str, is_log: IsLog) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return _files_in(path, is_log)
    if path.exists():
        return [path]
    matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207  # absolute patterns
    if not matches:
        what = "matches no file" if glob.has_magic(text) else "does not exist"
        raise InputError(f"{text}: {what}; check the path")
    return [path for match in matches for path in _find(match, is_log)]


def _files_in(folder: Path, is_log: IsLog) -> list[Path]:
    """All data files below a folder; a log of the toolkit there is taken alone, Parquet before text."""
    named = [folder / f"{INVOCATION_LOG_STEM}{suffix}" for suffix in _TOOLKIT_SUFFIXES]
    toolkit = [path for path in named if path.exists()]
    if toolkit:
        return _files_in(toolkit[0], is_log) if toolkit[0].is_dir() else [toolkit[0]]
    files = sorted(path for path in folder.rglob("*") if _is_data(path.relative_to(folder), path, is_log))
    wrong = [path for path in files if not _is_text(path)]
    if wrong:
        raise InputError(
            *[f"{shortened(str(path))}: its name is not UTF-8 text; rename it" for path in wrong]
        )
    stems = {_plain(path).with_suffix("") for path in files if path.suffix.lower() == ".parquet"}
    files = [
        path
        for path in files
        if path.suffix.lower() == ".parquet" or _plain(path).with_suffix("") not in stems
    ]
    if not files:
        raise InputError(f"{folder}: holds no log; expected files such as {', '.join(_SUFFIXES[:5])} in it")
    return files


def _is_text(path: Path) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _is_data(relative: Path, path: Path, is_log: IsLog) -> bool:
    if any(part.startswith((".", "_")) for part in relative.parts) or not path.is_file():
        return False
    suffix = _plain(path).suffix.lower()
    return suffix in _SUFFIXES or (suffix in _SUFFIXES_OF_MANY_THINGS and is_log(path))


def _plain(path: Path) -> Path:
    """The path of a file without the suffix that tells its compression."""
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path


def kind_of(path: Path) -> Literal["arrow", "parquet", "text"]:
    """The format of a file, from its first bytes.

    Raises:
        InputError: the file is unreadable or empty, or runs code when it is read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(6)
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


def inspect_columns(path: Path, kind: Literal["arrow", "parquet"]) -> DataFile:
    """Reads the footer of a columnar file.

    Raises:
        InputError: the file is damaged.
    """
    size = path.stat().st_size
    columns, rows = _footer(path, kind)
    # Reading the footer a second time costs an import; a small file has no huge row group.
    large = kind == "parquet" and size > _SMALL_FILE_BYTES
    return DataFile(
        path=path,
        kind=kind,
        columns=columns,
        constants=hive_columns(path),
        size=size,
        rows=rows,
        row_group_bytes=_largest_row_group(path) if large else 0,
    )


Columns = tuple[tuple[str, pl.DataType], ...]


def _footer(path: Path, kind: Literal["arrow", "parquet"]) -> tuple[Columns, int]:
    try:
        frame = scan_columns([path], kind)
        schema = frame.collect_schema()
        rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0]
        name = "Parquet" if kind == "parquet" else "Arrow"
        raise InputError(f"{path}: is a damaged {name} file: {reason}; write it again") from error
    return tuple(schema.items()), rows


def key_of_converted(file: DataFile) -> tuple[str, ...]:
    """The natural key that a file written by ``convert`` has in its metadata; none for other files."""
    if file.kind != "parquet":
        return ()
    facts = pl.read_parquet_metadata(file.path).get(FACTS)
    try:
        key = json.loads(facts).get("key", []) if facts else []
    except (ValueError, AttributeError):
        return ()  # written by somebody else
    return tuple(name for name in key if isinstance(name, str)) if isinstance(key, list) else ()


def scan_columns(
    paths: Sequence[Path], kind: Literal["arrow", "parquet"], row_index: str | None = None
) -> pl.LazyFrame:
    """Scans columnar files of one schema, their columns as they are."""
    if kind == "parquet":
        return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False, row_index_name=row_index)
    return pl.scan_ipc(list(paths), glob=False, hive_partitioning=False, row_index_name=row_index)


def _largest_row_group(path: Path) -> int:
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    groups = (metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return max(groups, default=0)


def hive_columns(path: Path) -> tuple[tuple[str, str | None], ...]:
    """The columns that the ``name=value`` folders of a path tell."""
    parts = (part.partition("=") for part in path.parts[:-1])
    return tuple(
        (name, None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value))
        for name, separator, value in parts
        if name and separator
    )
