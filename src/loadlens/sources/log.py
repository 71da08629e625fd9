"""A log: a canonical LazyFrame that remembers where it came from, so that errors can say where."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import LATENCY
from loadlens.sources.diagnosis import Frames, broken_rules, explain
from loadlens.sources.files import DataFile, PathSource, find_files, inspect_file
from loadlens.sources.tabular import canonical_frame, scan_files
from loadlens.sources.wording import listed

__all__ = ["ArrowStream", "Log", "Source", "open_log", "reading", "scan_log"]


@runtime_checkable
class ArrowStream(Protocol):
    """Any table that speaks the Arrow stream interface: pandas, PyArrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hands out the table as an Arrow stream."""


Source = PathSource | Iterable[PathSource] | pl.LazyFrame | pl.DataFrame | ArrowStream


@dataclass(frozen=True, kw_only=True)
class Log:
    """Rows of invocations under their canonical columns.

    Attributes:
        frame: the rows, not yet read.
        raw: the rows as they were given, before their columns were cast.
        num_rows: how many rows a table in memory has; None for other logs.
        columns: the names of the frame's columns.
        files: the files behind it; none for a frame from memory.
        name: what messages call it.
    """

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    files: tuple[DataFile, ...] = ()
    name: str = "the log"
    raw: pl.LazyFrame
    num_rows: int | None = None

    def broken_rules(self) -> list[str]:
        """One line for each rule that rows break; none where every row can be counted."""
        return broken_rules(Frames(canonical=self.frame, raw=self.raw), self.files, self.name)

    def require(self, columns: Iterable[str]) -> None:
        """Raises an InputError that lists all of ``columns`` that are missing, for each file."""
        wanted = list(columns)
        problems = [
            _missing(str(file.path), wanted, [name for name, _ in (*file.columns, *file.hive)])
            for file in self.files
        ] or [_missing(self.name, wanted, self.columns)]
        found = [problem for problem in problems if problem]
        if found:
            raise InputError(*found)


def _missing(name: str, wanted: Sequence[str], columns: Sequence[str]) -> str:
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return ""
    noun = "column" if len(missing) == 1 else "columns"
    return f"{name}: missing {noun}: {listed(missing)}; it has: {listed(columns)}"


def open_log(source: Source, *, required: Iterable[str] = (LATENCY,), name: str = "the log") -> Log:
    """Opens any source as a canonical log, checking its columns but reading no rows yet.

    Raises:
        InputError: nothing is there, it cannot be read, or ``required`` columns are missing.
    """
    log = _from_memory(source, name)
    if log is None:
        log = _from_paths(source)  # type: ignore[arg-type]  # what is not from memory is paths
    log.require(required)
    return log


def _from_memory(source: Source, name: str) -> Log | None:
    num_rows = None
    if isinstance(source, pl.LazyFrame):
        frame = source
    elif isinstance(source, pl.DataFrame):
        frame, num_rows = source.lazy(), source.height
    elif isinstance(source, ArrowStream):
        table = pl.DataFrame(source)
        frame, num_rows = table.lazy(), table.height
    else:
        return None
    with reading(None):
        canonical = canonical_frame(frame, name)
        columns = tuple(canonical.collect_schema())
        return Log(frame=canonical, columns=columns, name=name, raw=frame, num_rows=num_rows)


def _from_paths(source: PathSource | Iterable[PathSource]) -> Log:
    if not isinstance(source, str | PathLike | Iterable):
        got = type(source).__name__
        raise InputError(f"a log must be paths, a LazyFrame, a DataFrame or an Arrow table, got {got}")
    files = _inspect_all(find_files(source))
    empty = [str(file.path) for file in files if not file.rows]
    if len(empty) == len(files):
        raise InputError(*[f"{path}: has a header but no rows" for path in empty])
    with reading(None):
        frame = scan_files(files)
        columns = tuple(frame.collect_schema())
    name = str(files[0].path) if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"
    return Log(frame=frame, columns=columns, files=tuple(files), name=name, raw=frame)


def _inspect_all(paths: Iterable[Path]) -> list[DataFile]:
    files: list[DataFile] = []
    problems: list[str] = []
    for path in paths:
        try:
            files.append(inspect_file(path))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(*problems)
    return files


def scan_log(source: Source) -> pl.LazyFrame:
    """Scans a log lazily into its canonical columns.

    Args:
        source: a path, glob or folder of CSV or Parquet files (hive partitions become columns), a list
            of them, a Polars frame, or any table that speaks the Arrow stream interface.

    Returns:
        A LazyFrame with the canonical columns that the log has, in canonical types (latency in ms,
        times in s, sizes in bytes, memory in MB), and its other columns as they are (text from CSV).

    Raises:
        InputError: nothing is there, it cannot be read, or it has no ``invocation_latency``.
    """
    return open_log(source).frame


@contextmanager
def reading(log: Log | None) -> Iterator[None]:
    """Turns what Polars raises while it reads ``log`` into an InputError that says where and what."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        files = log.files if log else ()
        raise InputError(*explain(files, log.name if log else "the log", error)) from error
