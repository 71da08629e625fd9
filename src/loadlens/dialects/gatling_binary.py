"""Gatling's simulation.log in binary, as Gatling writes it from 3.12 on."""

import io
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import polars as pl

from loadlens.dialects.base import Dialect
from loadlens.dialects.gatling import (
    GROUPS,
    SIMULATION_ERRORS,
    UNMATCHED,
    is_version,
    request_columns,
    warn_of_gatling,
)
from loadlens.errors import InputError
from loadlens.schema import Rule
from loadlens.storage.location import Location
from loadlens.text.stream import Head, open_stream
from loadlens.text.typed_rows import Parsed, Recipe, Reject

__all__ = ["BATCH_ROWS", "GATLING_BINARY", "OTHER_RECORDS"]

BATCH_ROWS: Final = 50_000
"""How many requests are handed on at a time."""

OTHER_RECORDS: Final = "other records"
"""What records are counted as that are no requests, among the facts."""

_CHUNK_BYTES = 2**20
_MAX_STRING_BYTES = 2**16  # Gatling writes through a buffer of 8 KiB: longer strings cannot be in a log
_MAX_RECORD_BYTES = 2**20
_SHOWN_BYTES = 64

_RUN, _REQUEST, _USER, _GROUP, _ERROR = range(5)
_INT: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_USUAL: Final = struct.Struct(">Biiiibi")
"""A request outside of groups, with a name and a message that came before."""

# Strings are written as the Java machine holds them; all that Gatling runs on are little-endian.
_ENCODINGS: Final = ("latin-1", "utf-16-le")

_TYPES: Final[dict[str, pl.DataType]] = {
    "label": pl.String(),
    "run": pl.Int64(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "ok": pl.Boolean(),
    "message": pl.String(),
}
_SCHEMA: Final = pl.Schema({"record": pl.Int64(), **_TYPES})


class _IncompleteError(Exception):
    """The data ends within a record."""


class _CorruptError(Exception):
    """What cannot be in a record."""


class _Request(NamedTuple):
    """A request; its times are ms since the run began, which is ms since 1970."""

    record: int
    label: str
    run: int
    start: int
    end: int
    ok: bool
    message: str


class _Cursor:
    """Reads values from front to back."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise _IncompleteError
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, layout: struct.Struct = _INT) -> int:
        value: int = layout.unpack(self.take(layout.size))[0]
        return value

    def flag(self) -> bool:
        value = self.take(1)[0]
        if value > 1:
            raise _CorruptError(f"got {value}, expected a truth value of 0 or 1")
        return value == 1

    def count(self) -> int:
        value = self.integer()
        if value < 0:
            raise _CorruptError(f"got {value:,}, expected a number of things")
        return value

    def blob(self) -> bytes:
        size = self.integer()
        if not 0 <= size <= _MAX_STRING_BYTES:
            raise _CorruptError(f"got {size:,}, expected a length of 0 to {_MAX_STRING_BYTES:,} bytes")
        return self.take(size)

    def text(self) -> str:
        encoded = self.blob()
        if not encoded:
            return ""
        return encoded.decode(_ENCODINGS[self.flag()], errors="replace")


class _Run(NamedTuple):
    start: int
    scenarios: int


def _run(cursor: _Cursor) -> _Run:
    """What is needed of a run's record, after its first byte."""
    version = cursor.text()
    if not is_version(version):
        raise _CorruptError(f"got {version[:20]!r}, expected a version of Gatling")
    cursor.text()
    start = cursor.integer(_LONG)
    cursor.text()
    scenarios = cursor.count()
    for _ in range(scenarios):
        cursor.text()
    for _ in range(cursor.count()):
        cursor.blob()
    return _Run(start, scenarios)


class _Parser:
    """Reads records one after the other, with what must be known of those before."""

    def __init__(self, stream: io.BufferedReader, kind: int, chunk_bytes: int) -> None:
        self.requests: list[_Request] = []
        self.counts: Counter[str] = Counter()
        self.record = 1
        self.offset = 0
        self.is_done = False
        self._stream = stream
        self._kind = kind
        self._chunk_bytes = chunk_bytes
        self._data = b""
        self._at = 0
        self._run = _Run(0, 0)
        self._strings: list[str] = []

    @property
    def rest(self) -> bytes:
        """What is read but is no whole record."""
        return self._data[self._at :]

    @property
    def position(self) -> int:
        """Where in the file the next record begins."""
        return self.offset + self._at

    def read(self, most: int) -> None:
        """Reads up to ``most`` requests, or to the end. Raises a _CorruptError or an InputError."""
        self.requests, self.counts = [], Counter()
        while len(self.requests) < most and not self.is_done:
            request = self._usual_request() if self._kind == _REQUEST else None
            if request is None:
                request = self._any_record()
            if request is not None:
                self.requests.append(request)

    def _usual_request(self) -> _Request | None:
        """The next record if it is as most are: what ``_any_record`` gives, in a fraction of its time."""
        at = self._at
        if len(self._data) - at < _USUAL.size:
            return None
        kind, groups, name, start, end, ok, message = _USUAL.unpack_from(self._data, at)
        known = -len(self._strings)
        if kind != _REQUEST or groups or not (known <= name < 0 and known <= message < 0 and 0 <= ok <= 1):
            return None
        self._at = at + _USUAL.size
        self.record += 1
        strings = self._strings
        return _Request(
            self.record - 1, strings[-name - 1], self._run.start, start, end, ok == 1, strings[-message - 1]
        )

    def _any_record(self) -> _Request | None:
        """The next record if it is a request. Sets ``is_done`` where no whole one is left."""
        known = len(self._strings)
        cursor = _Cursor(self._data, self._at)
        try:
            request = self._of_kind(cursor.take(1)[0], cursor)
        except _IncompleteError:
            del self._strings[known:]
            self._refill()
            return None
        self._at = cursor.at
        self.record += 1
        return request

    def _refill(self) -> None:
        if len(self.rest) > _MAX_RECORD_BYTES:
            raise _CorruptError(f"a record would be longer than {_MAX_RECORD_BYTES:,} bytes")
        more = self._stream.read(self._chunk_bytes)
        self.is_done = not more
        self._data, self.offset, self._at = self.rest + more, self.position, 0

    def _of_kind(self, kind: int, cursor: _Cursor) -> _Request | None:
        if kind in {_REQUEST, _GROUP}:
            record = self._request(cursor) if kind == _REQUEST else self._group(cursor)
            if kind == self._kind:
                return record
        elif kind == _RUN:
            self._begin(cursor)
        elif kind == _USER:
            self._user(cursor)
        elif kind == _ERROR:
            self._cached(cursor)
            cursor.integer()
            self.counts[SIMULATION_ERRORS] += 1
        else:
            raise _CorruptError(f"got {kind}, expected the kind of a record from {_RUN} to {_ERROR}")
        self.counts[OTHER_RECORDS] += 1
        return None

    def _begin(self, cursor: _Cursor) -> None:
        self._run = _run(cursor)
        self._strings.clear()

    def _request(self, cursor: _Cursor) -> _Request:
        label = " / ".join(text for text in (*self._groups(cursor), self._cached(cursor)) if text)
        start, end = cursor.integer(), cursor.integer()
        return _Request(self.record, label, self._run.start, start, end, cursor.flag(), self._cached(cursor))

    def _user(self, cursor: _Cursor) -> None:
        scenario = cursor.integer()
        if not 0 <= scenario < self._run.scenarios:
            raise _CorruptError(f"got {scenario:,}, expected one of {self._run.scenarios:,} scenarios")
        cursor.flag()
        cursor.integer()

    def _group(self, cursor: _Cursor) -> _Request:
        """A group as if it were a request."""
        label = " / ".join(text for text in self._groups(cursor) if text)
        start, end, _cumulated = (cursor.integer() for _ in range(3))
        return _Request(self.record, label, self._run.start, start, end, cursor.flag(), "")

    def _groups(self, cursor: _Cursor) -> list[str]:
        return [self._cached(cursor) for _ in range(cursor.count())]

    def _cached(self, cursor: _Cursor) -> str:
        """A string that comes with its number the first time, and by its negative number later."""
        index, known = cursor.integer(), len(self._strings)
        if index == known + 1:
            self._strings.append(cursor.text())
        elif not -known <= index < 0:
            raise _CorruptError(f"got {index:,}, expected the number of one of {known:,} strings or the next")
        return self._strings[abs(index) - 1]


@dataclass(frozen=True, kw_only=True)
class _BinaryLog(Recipe):
    """Reads records, of which each needs the strings of those before.

    Attributes:
        kind: the records that are read, those of requests or those of groups.
        batch_rows: how many requests are handed on at a time.
        chunk_bytes: how much of the file is read at a time.
    """

    kind: int
    batch_rows: int = BATCH_ROWS
    chunk_bytes: int = _CHUNK_BYTES

    def observed(self, typed: pl.DataFrame) -> dict[str, int]:
        """Which records are read, for warnings."""
        return {GROUPS: typed.height} if self.kind == _GROUP else {}

    def batches(self, path: Location) -> Iterator[Parsed]:
        """Reads the file in parts of ``batch_rows`` requests; a torn last record becomes a reject.

        Raises:
            InputError: the file cannot be read, or not beyond a damaged record; what comes before it was
                handed on.
        """
        with open_stream(path) as stream:
            parser, stopped = _Parser(stream, self.kind, self.chunk_bytes), None
            while not parser.is_done and stopped is None:
                try:
                    parser.read(self.batch_rows)
                except _CorruptError as error:
                    stopped = InputError(_damage(path, parser, error))
                except InputError as error:
                    stopped = error
                yield self._parsed(parser)
        if stopped is not None:
            raise stopped

    def _parsed(self, parser: _Parser) -> Parsed:
        requests = parser.requests
        columns = zip(*requests, strict=True) if requests else [()] * len(_Request._fields)
        rows = pl.DataFrame(dict(zip(_Request._fields, columns, strict=True)), schema=_SCHEMA)
        is_torn = parser.is_done and parser.rest
        return self.finish(
            rows.select(list(self.types)),
            lines=rows.get_column("record").to_numpy(),
            raw=lambda index: _shown(requests[index]),
            rejects=[_torn(parser)] if is_torn else [],
            facts=parser.counts,
        )


def _shown(request: _Request) -> str:
    status = "OK" if request.ok else "KO"
    return f"{request.label}\t{request.start}\t{request.end}\t{status}\t{request.message}"


def _torn(parser: _Parser) -> Reject:
    return Reject(parser.record, "", "torn last record", parser.rest[:_SHOWN_BYTES].hex())


def _damage(path: Location, parser: _Parser, error: _CorruptError) -> str:
    at = parser.position
    return (
        f"{path}: record {parser.record:,}, at byte {at:,}, is damaged: {error}; what follows cannot be "
        f"read; to use what comes before, keep the first bytes only: head -c {at}"
    )


def _reader(kind: int) -> _BinaryLog:
    run, start, end = pl.col("run"), pl.col("start"), pl.col("end")
    # The end is written as 32 bits since the run began, from which an end that is none wraps around.
    no_end = (2**62 + 2**31 - run) % 2**32 - 2**31
    return _BinaryLog(
        kind=kind,
        left_out={UNMATCHED: end == no_end} if kind == _REQUEST else {},
        types=_TYPES,
        columns=request_columns(
            label=pl.col("label"),
            start=run + start,
            end=run + end,
            success=pl.col("ok"),
            message=pl.col("message") if kind == _REQUEST else None,
        ),
        rules=(
            Rule(column="start", expected="0 or more ms since the run began", broken=start < 0),
            Rule(column="end", expected="an end that is not before its start", broken=end < start),
        ),
        meaning=(
            ("label", "name of the request, after the groups around it"),
            ("run", "start of the run, ms since 1970"),
            ("start", "start of the request, ms since the run began"),
            ("end", "end of the response, ms since the run began"),
            ("ok", "whether the request succeeded"),
            ("message", "how the request failed"),
        ),
    )


def _fault(head: Head) -> str:
    """Why the file does not begin with the record of a run, or nothing."""
    cursor = _Cursor(head.data)
    try:
        kind = cursor.take(1)[0]
        if kind != _RUN:
            return f"it begins with the byte {kind}, expected {_RUN} for the record of the run"
        _run(cursor)
    except _IncompleteError:
        return "the record of the run is not whole"
    except _CorruptError as error:
        return f"the record of the run is damaged: {error}"
    return ""


def _matches(head: Head) -> bool:
    return not _fault(head)


def _open(head: Head) -> _BinaryLog:
    return _opened(head, _REQUEST)


def _open_groups(head: Head) -> _BinaryLog:
    return _opened(head, _GROUP)


def _opened(head: Head, kind: int) -> _BinaryLog:
    fault = _fault(head)
    if fault:
        raise InputError(
            f"{head.path}: is no binary simulation.log: {fault}; expected one of Gatling 3.12 or later"
        )
    return _reader(kind)


GATLING_BINARY: Final = Dialect(
    signs=(b"\0",),
    name="gatling-binary",
    title="Gatling's simulation.log in binary",
    key=("label",),
    clock="epoch",
    closed_loop=False,
    matches=_matches,
    open=_open,
    open_transactions=_open_groups,
    warnings=warn_of_gatling,
)
