"""Text logs of any dialect as one canonical LazyFrame that parses while it is scanned."""

import io
import math
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from loadlens.errors import InputError
from loadlens.schema import CANONICAL_COLUMNS
from loadlens.sources.calls import Calls
from loadlens.sources.columnar import absent, constant
from loadlens.sources.common_types import as_type, common_type
from loadlens.sources.dialects import BlockReader, Dialect, NestingReader, Reader
from loadlens.sources.findings import Findings, MaxRejects
from loadlens.sources.labels import JoinedNames, Naming
from loadlens.sources.parsed import Parsed
from loadlens.sources.storage.location import Location
from loadlens.sources.text.blocks import Block, Halt, blocks
from loadlens.sources.text.delimited import REPEATED_HEADERS
from loadlens.sources.text.elsewhere import knowing
from loadlens.sources.text.nesting import DOUBTFUL, Nesting, Settled
from loadlens.sources.text.stream import Head, open_stream
from loadlens.sources.text.together import Together, read_together
from loadlens.sources.wording import CLOSED_LOOP, NO_CALENDAR, counted

__all__ = ["TextFile", "common_schema", "scan_text"]

_AHEAD_PER_THREAD = 2


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """One text file and how it is read.

    Attributes:
        head: its beginning.
        dialect: its dialect.
        reader: reads it.
        constants: columns that its path tells, with their values.
        naming: how the names of its requests become labels.
        shown: what messages call it, where that is not its path.
    """

    head: Head
    dialect: Dialect
    reader: Reader
    constants: tuple[tuple[str, str | None], ...] = ()
    naming: Naming = field(default_factory=Naming)
    shown: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.shown or str(self.path)

    @property
    def path(self) -> Location:
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
            found.append(CLOSED_LOOP)
        if again := facts.get(REPEATED_HEADERS):
            headers = counted(again, "line repeats", "lines repeat")
            found.append(
                f"{headers} its header: several logs were put together, and calls of one that is there twice "
                f"count twice"
            )
        if self.dialect.clock == "relative" and {"start_time", "end_time"} & set(self.reader.schema):
            found.append(NO_CALENDAR)
        return found


def _told_type(name: str) -> pl.DataType:
    return CANONICAL_COLUMNS[name].dtype if name in CANONICAL_COLUMNS else pl.String()


def scan_text(
    files: Sequence[TextFile],
    findings: Findings,
    max_rejects: MaxRejects | None,
    schema: pl.Schema | None = None,
    *,
    is_part: bool = False,
    is_judged_elsewhere: bool = False,
) -> pl.LazyFrame:
    """Scans text files, which are parsed in several threads; each scan parses them anew.

    Args:
        files: the files.
        findings: becomes what a scan has found once that has come to its end.
        max_rejects: how many rows may be rejected; None where nobody minds.
        schema: the columns to bring the files to; without it, those of all files together.
        is_part: whether other files of the log are read elsewhere.
        is_judged_elsewhere: whether somebody else refuses what has too many rejected rows.

    Returns:
        The columns, null where a file lacks one.
    """
    schema = schema or common_schema(files)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, num_rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        left = num_rows
        halt = Halt(most_rejects=math.inf if max_rejects is None else max_rejects.most_told)
        for rows in _rows(files, schema, findings, halt, is_part=is_part):
            chosen = rows if left is None else rows.head(left)
            left = None if left is None else left - chosen.height
            chosen = chosen if columns is None else chosen.select(columns)
            yield chosen if predicate is None else chosen.filter(predicate)
            if left == 0:
                return
        if max_rejects is not None and not is_judged_elsewhere:
            findings.check(max_rejects)

    return register_io_source(read, schema=schema)


def common_schema(files: Iterable[TextFile]) -> pl.Schema:
    """All columns, each in the common type of those it has in the files."""
    schema: dict[str, pl.DataType] = {}
    for file in files:
        for name, dtype in file.schema.items():
            schema[name] = common_type([schema.get(name, dtype), dtype])
    return pl.Schema(schema)


def _rows(
    files: Sequence[TextFile], schema: pl.Schema, findings: Findings, halt: Halt, *, is_part: bool
) -> Iterator[pl.DataFrame]:
    # Its own, as several scans may run at once.
    found = findings.anew()
    files, told = knowing(files)
    accounts = [_Account(file, found, halt) for file in files]
    nesting = Nesting(partial(_spans_again, files))
    first = 0
    for group, together in read_together(files):
        if together is None:
            yield from _rows_of(first, accounts, nesting, schema)
        else:
            nesting.add(first, together.rows, None)
            yield _rows_of_all(accounts[first : first + len(group)], together, schema)
        if found.is_cut_short:
            findings.become(found)
            return
        first += len(group)
    for settled in nesting.finish():
        if is_part and settled.rows.height:
            raise InputError(
                f"{files[settled.source].name}: other files may hold what its transactions sum up, or what "
                f"its rows are parts of; measure it in one process, without workers"
            )
        yield from accounts[settled.source].settle(settled, schema)
    for account in accounts:
        account.close()
    _warn_of_unmatched(accounts, told, found)
    findings.become(found)


def _warn_of_unmatched(accounts: Sequence["_Account"], told: Collection[str], found: Findings) -> None:
    """Tells where lines that tell of calls, and those calls, do not go together."""
    asked = [account for account in accounts if account.file.dialect.elsewhere]
    elsewhere = asked[0].file.dialect.elsewhere if asked and told else None
    if elsewhere:
        warning = elsewhere.warning(told, sum(account.fact(elsewhere.fact) for account in asked))
        if warning:
            found.warn(warning, [account.file.name for account in asked])


def _spans_again(files: Sequence[TextFile]) -> Iterator[pl.DataFrame]:
    """What tells which rows belong together, of all files that have such rows, from another reading."""
    for file in files:
        if isinstance(file.reader, NestingReader):
            read = _parts(file, file.reader.spanning, Halt())
            with _named(file), closing(read) as parts:
                yield from (part.spans for part, _ in parts if part.spans is not None)


def _rows_of(
    source: int, accounts: Sequence["_Account"], nesting: Nesting, schema: pl.Schema
) -> Iterator[pl.DataFrame]:
    account = accounts[source]
    file = account.file
    read = _parts(file, file.reader, account.halt)
    with _named(file), closing(read) as parts:
        for part, joined in parts:
            rows = nesting.add(source, part.rows, part.spans)
            account.add(replace(part, rows=rows), joined)
            if account.is_cut_short:
                return
            if rows.height:
                yield _conformed(rows, file, schema)
            for settled in nesting.settled():
                yield from accounts[settled.source].settle(settled, schema)


def _rows_of_all(accounts: Sequence["_Account"], together: Together, schema: pl.Schema) -> pl.DataFrame:
    """The rows of files that were read together."""
    for account, part in zip(accounts, together.parts, strict=True):
        account.add(part, None)
    accounts[0].add_names(together.joined)
    files, rows = [account.file for account in accounts], together.rows
    told = [series for series in together.told(files) if series.name not in rows.columns]
    return _conformed(rows.with_columns(told), files[0], schema)


class _Account:
    """What a scan finds in one file."""

    def __init__(self, file: TextFile, found: Findings, halt: Halt) -> None:
        self.file = file
        self.halt = halt
        self._found = found
        self._facts = Counter[str]()
        self._calls = Calls(path=file.name, dialect=file.dialect.name)
        self._last_start = float("-inf")

    @property
    def is_cut_short(self) -> bool:
        """Whether what is read by now is enough to refuse the log."""
        self._found.is_cut_short = self.halt.is_due(self._found.rejected)
        return self._found.is_cut_short

    def fact(self, what: str) -> int:
        """How often something was counted in the file."""
        return self._facts[what]

    def add(self, part: Parsed, joined: JoinedNames | None) -> None:
        """Adds what a part of the file gave."""
        self._found.add(self.file.name, part, joined)
        self._facts.update(part.facts)
        self._facts.update(part.left_out)
        if part.identities is not None:
            self._calls.repeats.add(part.identities.drop_nulls().to_numpy())
        if part.rows.height:
            self._calls.add(part.rows)
            out_of_order, self._last_start = _out_of_order(part.rows, self._last_start)
            self._found.out_of_order += out_of_order

    def add_names(self, joined: JoinedNames | None) -> None:
        """Adds what names became."""
        if joined is not None:
            self._found.joined |= joined

    def settle(self, settled: Settled, schema: pl.Schema) -> Iterator[pl.DataFrame]:
        """Adds what came of rows of the file that were held, and gives those that count."""
        self._found.add(self.file.name, Parsed(rows=settled.rows, left_out=settled.left_out))
        self._facts.update(settled.left_out)
        self._facts[DOUBTFUL] += settled.doubtful
        if settled.rows.height:
            self._calls.add(settled.rows)
            yield _conformed(settled.rows, self.file, schema)

    def close(self) -> None:
        """Tells what the file, now read to its end, cannot tell."""
        self._found.calls.append(self._calls)
        for warning in self.file.warnings(self._calls.rows, self._facts):
            self._found.warn(warning, [self.file.name])


@contextmanager
def _named(file: TextFile) -> Iterator[None]:
    """Lets every InputError begin with what messages call the file."""
    try:
        yield
    except InputError as error:
        if all(problem.startswith(f"{file.name}:") for problem in error.problems):
            raise
        own = (problem.removeprefix(f"{file.path}: ") for problem in error.problems)
        raise InputError(*(f"{file.name}: {problem}" for problem in own)) from error


_Named: TypeAlias = tuple[Parsed, JoinedNames | None]
"""What was read from a part of a file, with labels in the place of names, and which names became one."""


def _parts(file: TextFile, reader: Reader, halt: Halt) -> Generator[_Named, None, None]:
    if isinstance(reader, BlockReader) and file.head.is_whole:
        stream = io.BufferedReader(io.BytesIO(file.head.data))
        cut = blocks(stream, reader.framing, halt=halt)
        yield from map(file.naming.parsed, map(reader.read, cut))
    elif isinstance(reader, BlockReader):
        yield from _parts_of_blocks(file.path, reader, file.naming, halt)
    else:
        yield from map(file.naming.parsed, reader.batches(file.path))


def _parts_of_blocks(path: Location, reader: BlockReader, naming: Naming, halt: Halt) -> Iterator[_Named]:
    """Parses blocks in all threads, a few ahead of the reader, and hands them on in their order."""
    threads = pl.thread_pool_size()
    ahead: deque[Future[_Named]] = deque()
    pool = ThreadPoolExecutor(threads)

    def read(block: Block) -> _Named:
        return naming.parsed(reader.read(block))

    with open_stream(path) as stream:
        cut = blocks(stream, reader.framing, halt=halt)
        try:
            ahead.extend(pool.submit(read, block) for block in islice(cut, threads * _AHEAD_PER_THREAD))
            while ahead:
                part = ahead.popleft().result()
                ahead.extend(pool.submit(read, block) for block in islice(cut, 1))
                yield part
        except GeneratorExit:  # nobody waits for blocks that are being read
            halt.is_over = True
            raise
        finally:  # where a scan is given up, perhaps in a thread of the pool, which cannot wait for itself
            pool.shutdown(wait=False, cancel_futures=True)


def _out_of_order(rows: pl.DataFrame, last_start: float) -> tuple[int, float]:
    """How many rows start before the row before them, and when the last row starts."""
    if "start_time" not in rows.columns:
        return 0, last_start
    start = rows["start_time"].drop_nulls().to_numpy()
    if not start.size:
        return 0, last_start
    inside = int(np.count_nonzero(start[1:] < start[:-1]))
    return inside + int(start[0] < last_start), float(start[-1])


def _conformed(rows: pl.DataFrame, file: TextFile, schema: pl.Schema) -> pl.DataFrame:
    told = file.told()
    return rows.select(
        as_type(pl.col(name), rows.schema[name], dtype)
        if name in rows.columns
        else told.get(name, absent(name)).cast(dtype)
        for name, dtype in schema.items()
    )
