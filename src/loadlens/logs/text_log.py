"""Text logs of any dialect as one canonical LazyFrame that parses while it is scanned."""

import io
import math
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, islice, pairwise
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from loadlens.dialects import BlockReader, Dialect, NestingReader, Reader, on_calendar
from loadlens.errors import InputError
from loadlens.logs.calls import Calls
from loadlens.logs.findings import Findings, MaxRejects
from loadlens.logs.labels import JoinedNames, Naming
from loadlens.logs.typed_tables import absent, constant
from loadlens.messages import CLOSED_LOOP, NO_CALENDAR, counted
from loadlens.schema import CANONICAL_COLUMNS
from loadlens.storage.location import Location
from loadlens.text.common_types import as_type, common_type
from loadlens.text.delimited import REPEATED_HEADERS, TableReader
from loadlens.text.nesting import DOUBTFUL, Nesting, Settled
from loadlens.text.record_blocks import Block, Halt, blocks, line_end
from loadlens.text.stream import BOM, Head, open_stream
from loadlens.text.typed_rows import Kinds, Parsed

__all__ = ["MOST_TOLD", "TextFile", "Together", "common_schema", "knowing", "read_together", "scan_text"]


MOST_TOLD: Final = 1_000_000
"""Of how many calls at most other lines may tell: what they tell is held in memory."""

_CHUNK_BYTES: Final = 2**20
_KEPT_BYTES: Final = 4096  # more than such a line needs to tell what it does

_MOST_BYTES: Final = 16 * 2**20
_PARTS: Final = 8
"""Into how many parts files are divided where one of them needs a look of its own."""

_AHEAD_PER_THREAD = 2


def knowing(files: Sequence["TextFile"]) -> tuple[list["TextFile"], Collection[str]]:
    """Files whose readers know what lines of all of them tell of their calls, and of which calls.

    Such a line may stand before the row of its call or behind it, and be in another file: all files whose
    tool writes such lines are looked through before any is read.

    Raises:
        InputError: they tell of too many calls.
    """
    asked = [file for file in files if file.dialect.elsewhere]
    told = dict(_told_in(asked))
    if not told:
        return list(files), ()
    readers = {id(file.reader): _reader_knowing(file, told) for file in asked}
    return [replace(file, reader=readers.get(id(file.reader), file.reader)) for file in files], told


def _reader_knowing(file: "TextFile", told: Mapping[str, str]) -> Reader:
    reader = file.dialect.elsewhere.open(file.head, told) if file.dialect.elsewhere else file.reader
    return on_calendar(file.dialect, reader)


def _told_in(files: Iterable["TextFile"]) -> Iterator[tuple[str, str]]:
    count = 0
    for file in files:
        elsewhere = file.dialect.elsewhere
        for chunk in _chunks(file) if elsewhere else ():
            if elsewhere and any(sign in chunk for sign in elsewhere.signs):
                found = dict(elsewhere.find(chunk))
                count += len(found)
                if count > MOST_TOLD:
                    raise InputError(
                        f"{file.path}: more than {MOST_TOLD:,} lines of the log tell of calls that failed, "
                        f"more than are held in memory; split the log by time and analyse the parts"
                    )
                yield from found.items()


def _chunks(file: "TextFile") -> Iterator[bytes]:
    """The text of a file, each part with the end of the one before it."""
    if file.head.is_whole:
        yield file.head.data
        return
    kept = b""
    with open_stream(file.path) as stream:
        while data := stream.read(_CHUNK_BYTES):
            yield kept + data
            kept = data[-_KEPT_BYTES:].partition(b" ")[2]  # an id that is cut would be another


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
    return Together(rows=named.rows, parts=list(_parts_of_whole(named, kinds, ends)), joined=joined)


def _kinds(part: Parsed, lines: int) -> Kinds | None:
    """What each line is, if that is all that there is to tell beside the rows."""
    if part.rejected or part.spans is not None:
        return None
    kinds = part.kinds or Kinds(names=(), codes=np.full(part.rows.height, -1, np.int16))
    counts = +(Counter(part.left_out) + Counter(part.facts))
    is_all = kinds.codes.size == lines and kinds.between(0, lines) == (part.rows.height, counts)
    return kinds if is_all else None


def _parts_of_whole(whole: Parsed, kinds: Kinds, ends: Sequence[int]) -> Iterator[Parsed]:
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


def _conformed(rows: pl.DataFrame, file: TextFile, schema: pl.Schema) -> pl.DataFrame:
    told = file.told()
    return rows.select(
        as_type(pl.col(name), rows.schema[name], dtype)
        if name in rows.columns
        else told.get(name, absent(name)).cast(dtype)
        for name, dtype in schema.items()
    )
