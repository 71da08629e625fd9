"""Text logs of any dialect as one canonical LazyFrame that parses while it is scanned."""

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from loadlens.errors import InputError
from loadlens.schema import CANONICAL_COLUMNS, LATENCY
from loadlens.sources.blocks import blocks
from loadlens.sources.dialects import BlockReader, Dialect, Reader
from loadlens.sources.findings import Findings, MaxRejects
from loadlens.sources.parsed import Parsed
from loadlens.sources.stream import Head, open_stream
from loadlens.sources.tabular import constant

__all__ = ["TextFile", "scan_text"]

_AHEAD_PER_THREAD = 2


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """One text file and how it is read.

    Attributes:
        head: its beginning.
        dialect: its dialect.
        reader: reads it.
        constants: columns that its path tells, with their values.
    """

    head: Head
    dialect: Dialect
    reader: Reader
    constants: tuple[tuple[str, str | None], ...] = ()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.head.path

    @property
    def schema(self) -> pl.Schema:
        """The columns of its rows."""
        own = dict(self.reader.schema)
        return pl.Schema(own | {name: _told_type(name) for name, _ in self.constants if name not in own})

    def check_constants(self) -> None:
        """Raises an InputError if its path tells what a column may not hold."""
        self.told()

    def told(self) -> dict[str, pl.Expr]:
        """The columns that its path tells and its rows do not have."""
        own = self.reader.schema
        return {name: constant(self.path, name, text) for name, text in self.constants if name not in own}

    def warnings(self, rows: int, facts: Mapping[str, int]) -> list[str]:
        """What the log cannot tell, one sentence each, given its rows and all that was counted in it."""
        found = list(self.dialect.warnings(self.head, rows, facts))
        if self.dialect.closed_loop:
            found.append(
                f"{self.dialect.title} usually comes from clients that wait for an answer before they ask "
                f"again: slow answers thin the load out (coordinated omission), so real users may see "
                f"higher percentiles"
            )
        if self.dialect.clock != "epoch":
            found.append("its times are of no calendar: they tell spans and rates, not when the test ran")
        return found


def _told_type(name: str) -> pl.DataType:
    return CANONICAL_COLUMNS[name].dtype if name in CANONICAL_COLUMNS else pl.String()


def scan_text(files: Sequence[TextFile], findings: Findings, max_rejects: MaxRejects) -> pl.LazyFrame:
    """Scans text files, which are parsed in several threads; each scan parses them anew.

    Args:
        files: the files.
        findings: becomes what a scan has found once that has come to its end.
        max_rejects: how many rows may be rejected.

    Returns:
        The columns of all files, null where a file lacks one.
    """
    schema = _common_schema(files)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, num_rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        left = num_rows
        for rows in _rows(files, schema, findings):
            chosen = rows if left is None else rows.head(left)
            left = None if left is None else left - chosen.height
            chosen = chosen if columns is None else chosen.select(columns)
            yield chosen if predicate is None else chosen.filter(predicate)
            if left == 0:
                return
        findings.check(max_rejects)

    return register_io_source(read, schema=schema)


def _common_schema(files: Iterable[TextFile]) -> pl.Schema:
    """All columns; where files differ in a type, text."""
    schema: dict[str, pl.DataType] = {}
    for file in files:
        for name, dtype in file.schema.items():
            schema[name] = dtype if schema.get(name, dtype) == dtype else pl.String()
    return pl.Schema(schema)


def _rows(files: Sequence[TextFile], schema: pl.Schema, findings: Findings) -> Iterator[pl.DataFrame]:
    # Its own, as several scans may run at once.
    found = Findings(passed_over=findings.passed_over)
    warnings: dict[str, list[str]] = {}
    for file in files:
        rows, facts, last_start = 0, Counter[str](), float("-inf")
        with _named(file.path), closing(_parts(file)) as parts:
            for part in parts:
                found.add(file.path, part)
                rows += part.rows.height
                facts.update(part.facts)
                facts.update(part.left_out)
                if part.rows.height:
                    out_of_order, last_start = _out_of_order(part.rows, last_start)
                    found.out_of_order += out_of_order
                    yield _conformed(part.rows, file, schema)
        for warning in file.warnings(rows, facts):
            warnings.setdefault(warning, []).append(str(file.path))
    found.warnings = [
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {warning}"
        for warning, paths in warnings.items()
    ]
    findings.become(found)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Lets every InputError begin with the path of the file."""
    try:
        yield
    except InputError as error:
        named = [problem.startswith(f"{path}:") for problem in error.problems]
        if all(named):
            raise
        raise InputError(*(f"{path}: {problem}" for problem in error.problems)) from error


def _parts(file: TextFile) -> Generator[Parsed, None, None]:
    if isinstance(file.reader, BlockReader):
        yield from _parts_of_blocks(file.path, file.reader)
    else:
        yield from file.reader.batches(file.path)


def _parts_of_blocks(path: Path, reader: BlockReader) -> Iterator[Parsed]:
    """Parses blocks in all threads, a few ahead of the reader, and hands them on in their order."""
    threads = pl.thread_pool_size()
    ahead: deque[Future[Parsed]] = deque()
    with open_stream(path) as stream, ThreadPoolExecutor(threads) as pool:
        cut = blocks(stream, reader.framing)
        try:
            ahead.extend(
                pool.submit(reader.read, block) for block in islice(cut, threads * _AHEAD_PER_THREAD)
            )
            while ahead:
                part = ahead.popleft().result()
                ahead.extend(pool.submit(reader.read, block) for block in islice(cut, 1))
                yield part
        finally:
            for future in ahead:
                future.cancel()


def _out_of_order(rows: pl.DataFrame, last_start: float) -> tuple[int, float]:
    """How many rows start before the row before them, and when the last row starts."""
    if "start_time" not in rows.columns:
        return 0, last_start
    start = rows["start_time"].drop_nulls()
    if start.is_empty():
        return 0, last_start
    inside = int((start.diff() < 0).sum() or 0)
    return inside + int(start[0] < last_start), float(start[-1])


def _conformed(rows: pl.DataFrame, file: TextFile, schema: pl.Schema) -> pl.DataFrame:
    told = file.told()
    return rows.select(
        (pl.col(name) if name in rows.columns else told.get(name, _missing(name, dtype))).cast(dtype)
        for name, dtype in schema.items()
    )


def _missing(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column that other files have: success as the latency tells it, or null."""
    if name == "success":
        return (pl.col(LATENCY) > 0).fill_null(value=False).alias(name)
    return pl.lit(None, dtype=dtype).alias(name)
