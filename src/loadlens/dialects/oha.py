"""oha's CSV (``--output-format csv``) and SQLite database (``--db-url``): one row per answered request."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect, Refused, any_of, document, has_line
from loadlens.dialects.durations import Logged, table_with
from loadlens.errors import InputError
from loadlens.messages import listed, shortened
from loadlens.schema import LATENCY, Rule
from loadlens.storage.location import Location, local_copy, size_of
from loadlens.text.delimited import Table
from loadlens.text.stream import Head
from loadlens.text.typed_rows import Fault, Parsed, Recipe

__all__ = ["OHA_CSV", "OHA_SQLITE", "OHA_SUMMARY"]

_MS_PER_S: Final = 1000
_FIRST_FAILED_STATUS: Final = 400

_ABSENT: Final = (
    "oha does not write requests that got no answer (refused connections, timeouts, those that its "
    "deadline cut off): more requests may have failed than are counted"
)
_CORRECTED: Final = (
    "with --latency-correction oha measures from when a request was due, but logs when it started: its "
    "end is then told too late; the database (--db-url) has both times"
)

_CSV_TYPES: Final[dict[str, pl.DataType]] = {
    "request-start": pl.Float64(),
    "request-duration": pl.Float64(),
    "bytes": pl.Int64(),
    "status": pl.Int64(),
}
_CSV_DURATIONS: Final = {
    "dns": Logged(source="DNS", unit="s"),
    "connect": Logged(source="DNS+dialup", unit="s"),
    "first_byte": Logged(source="Response-delay", unit="s"),
}
_CSV_MEANING: Final = (
    ("request-start", "start of the request, s since the test began"),
    ("request-duration", "latency, s"),
    ("bytes", "size of the response, bytes"),
    ("status", "HTTP status"),
)

_CSV_COLUMNS: Final = Columns(
    title="oha CSV",
    known_by=frozenset({"request-start", "request-duration"}),
    needed=frozenset(_CSV_TYPES),
    marks=frozenset({"request-start", "request-duration", "DNS+dialup", "Response-delay"}),
    advice="write it with `oha --output-format csv`",
)

_BATCH_ROWS: Final = 8192
_MAX_CELL_BYTES: Final = 64 * 2**10
_RUN: Final = "run"
_OPTIONAL: Final = {"url", "start_latency_correction", _RUN}
"""Columns that older versions of oha do not write."""

_DB_TYPES: Final[dict[str, pl.DataType]] = {
    "url": pl.String(),
    "start": pl.Float64(),
    "start_latency_correction": pl.Float64(),
    "end": pl.Float64(),
    "duration": pl.Float64(),
    "status": pl.Int64(),
    "len_bytes": pl.Int64(),
    _RUN: pl.Int64(),
}
_DB_MEANING: Final = (
    ("url", "URL of the request"),
    ("start", "start of the request, s since its run began"),
    ("start_latency_correction", "when the request was due, s since its run began; empty: as start"),
    ("end", "end of the request, s since its run began"),
    ("duration", "latency from when the request was due, s"),
    ("status", "HTTP status"),
    ("len_bytes", "size of the response, bytes"),
    (_RUN, "when the run began, whole s since 1970"),
)
_HELD_AS: Final[dict[pl.DataType, tuple[set[type], str]]] = {
    pl.String(): ({str, NoneType}, "valid text"),
    pl.Int64(): ({int, NoneType}, "a whole number"),
    pl.Float64(): ({float, int, NoneType}, "a number"),
}
"""What Python holds the cells of a column as, and how a message calls it."""

_MAGIC: Final = b"SQLite format 3\x00"
_TABLE: Final = re.compile(rb"""CREATE TABLE ["'`\[]?oha["'`\]]?\s*\(""")

OHA_SUMMARY: Final = Refused(
    title="oha's summary",
    reason="it holds statistics, not single requests",
    advice="run oha with `--output-format csv`, or with `--db-url FILE`",
    matches=any_of(
        document("successRate"),
        document("latencyPercentiles", "statusCodeDistribution"),
        document("responseTimeHistogram"),
        has_line(
            r"Success rate:\s",
            r"(?:Total|Slowest|Fastest|Average):\s+\d+\.\d+ (?:sec|ms|us)$",
            r"Response time distribution:$",
            r"(?:DNS\+dialup|DNS-lookup):\s+\d+\.\d+ (?:sec|ms|us),",
            r"\d+\.\d+% in \d+\.\d+ (?:sec|ms|us)$",
        ),
    ),
)


def _outcome() -> tuple[pl.Expr, ...]:
    status = pl.col("status")
    text = status.cast(pl.String)
    return (
        (status < _FIRST_FAILED_STATUS).alias("success"),
        pl.when(status >= _FIRST_FAILED_STATUS).then(text).alias("error"),
        text.alias("status"),
    )


def _latency(duration: pl.Expr) -> pl.Expr:
    """Seconds as ms; rounded to ns, as oha measures, it is exact."""
    return (duration * _MS_PER_S).round(6).alias(LATENCY)


def _rules(*not_negative: str) -> tuple[Rule, ...]:
    rules = [Rule(column=name, expected="0 or more", broken=pl.col(name) < 0) for name in not_negative]
    is_status = pl.col("status").is_between(100, 999)
    return (*rules, Rule(column="status", expected="an HTTP status", broken=~is_status))


def _open_csv(head: Head) -> Table:
    return _table(_CSV_COLUMNS.checked(head, _CSV_TYPES))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    start, duration = pl.col("request-start"), pl.col("request-duration")
    return Table(
        names=names,
        types=_CSV_TYPES,
        columns=(
            *_outcome(),
            start.alias("start_time"),
            (start + duration).round(9).alias("end_time"),
            _latency(duration),
            pl.col("bytes").alias("response_size"),
        ),
        rules=_rules("request-start", "request-duration", "bytes"),
        required=frozenset(_CSV_TYPES),
        meaning=_CSV_MEANING,
    )


def _open_csv_durations(head: Head) -> Table:
    return _table_with_durations(_CSV_COLUMNS.checked(head, _CSV_TYPES))


@lru_cache(maxsize=64)
def _table_with_durations(names: tuple[str, ...]) -> Table:
    return table_with(_table(names), _CSV_DURATIONS)


def _csv_warnings(_head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    return [_ABSENT, _CORRECTED]


OHA_CSV: Final = Dialect(
    name="oha-csv",
    **_CSV_COLUMNS.known,
    key=(),
    clock="relative",
    closed_loop=True,
    logged_times=("start_time",),
    open=_open_csv,
    open_durations=_open_csv_durations,
    warnings=_csv_warnings,
)


@dataclass(frozen=True, kw_only=True)
class _Database(Recipe):
    """Reads the table ``oha`` in batches of rows; the line of a row is its rowid."""

    def batches(self, path: Location) -> Iterator[Parsed]:
        """Reads the table from its first row to its last.

        Raises:
            InputError: the database is damaged, in use, or has no such table.
        """
        try:
            _refuse_unfinished(path)
            with local_copy(path) as file, closing(_connected(file)) as connection:
                found = connection.execute(_query(path, connection))
                last = None
                while rows := found.fetchmany(_BATCH_ROWS):
                    _check_order(path, rows if last is None else [last, *rows])
                    last = rows[-1]
                    yield self._parsed(rows)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is no SQLite database of oha, or is damaged: {error}") from error

    def _parsed(self, rows: Sequence[tuple[Any, ...]]) -> Parsed:
        faults = self._misfits(rows)
        empty = (None,) * len(self.types)
        cells = [empty if index in faults else row[1:] for index, row in enumerate(rows)]
        return self.finish(
            pl.DataFrame(cells, schema=dict(self.types), orient="row"),
            lines=[row[0] for row in rows],
            raw=lambda index: ", ".join(map(str, rows[index][1:])),
            faults=faults,
        )

    def _misfits(self, rows: Sequence[tuple[Any, ...]]) -> dict[int, Fault]:
        """For each row the first cell of a wrong type: SQLite takes any value in any column."""
        faults: dict[int, Fault] = {}
        for at, (name, dtype) in enumerate(self.types.items(), start=1):
            types, expected = _HELD_AS[dtype]
            if {type(row[at]) for row in rows} <= types:
                continue
            for index, row in enumerate(rows):
                if type(row[at]) not in types:
                    faults.setdefault(index, Fault(name, f"got {shortened(row[at])}, expected {expected}"))
        return faults


def _refuse_unfinished(path: Location) -> None:
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.is_file() and size_of(log):
            raise InputError(
                f"{path}: has unfinished changes in {log.name}; wait until oha has ended, "
                f"or open it with `sqlite3 {path.name} .tables` to finish them"
            )


def _connected(path: Path) -> sqlite3.Connection:
    """The database, which is neither changed nor locked, however it may be damaged."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL_BYTES)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _query(path: Location, connection: sqlite3.Connection) -> str:
    # A view or a virtual table would run whatever its file says.
    found = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'oha'")
    sql = found.fetchone()
    if sql is None or not str(sql[0]).startswith("CREATE TABLE"):
        raise InputError(f"{path}: has no table oha; write it with `oha --db-url`")
    names = {row[1] for row in connection.execute("PRAGMA table_info(oha)")}
    missing = set(_DB_TYPES) - _OPTIONAL - names
    if missing:
        raise InputError(
            f"{path}: table oha: missing columns: {listed(missing)}; it has: {listed(names)}; "
            f"write it with `oha --db-url`"
        )
    columns = (f'"{name}"' if name in names else f'NULL AS "{name}"' for name in _DB_TYPES)
    return f"SELECT rowid, {', '.join(columns)} FROM oha NOT INDEXED ORDER BY rowid"  # noqa: S608  # own names


def _check_order(path: Location, rows: Sequence[tuple[Any, ...]]) -> None:
    """Where pages of a damaged database lead back to others, rows would be read again and again."""
    numbers = [row[0] for row in rows]
    is_ordered = all(type(number) is int for number in numbers) and all(
        number < following for number, following in pairwise(numbers)
    )
    if not is_ordered:
        raise InputError(f"{path}: is damaged: the rows of table oha are out of order")


def _is_database(head: Head) -> bool:
    return head.data.startswith(_MAGIC) and _TABLE.search(head.data) is not None


def _open_database(head: Head) -> _Database:
    if head.compression:
        raise InputError(f"{head.path}: is a compressed SQLite database; decompress it first")
    return _DATABASE


def _database_columns() -> tuple[pl.Expr, ...]:
    # Runs in one database would lie over each other, did their times all begin at 0.
    run = pl.col(_RUN).fill_null(0)
    return (
        *_outcome(),
        pl.col("url").fill_null("").alias("label"),
        (run + pl.coalesce("start_latency_correction", "start")).alias("start_time"),
        (run + pl.col("end")).alias("end_time"),
        _latency(pl.col("duration")),
        pl.col("len_bytes").alias("response_size"),
        run.alias(_RUN),
    )


_DATABASE: Final = _Database(
    types=_DB_TYPES,
    columns=_database_columns(),
    rules=_rules("start", "end", "duration", "len_bytes", _RUN),
    required=frozenset(_DB_TYPES) - _OPTIONAL,
    meaning=_DB_MEANING,
)


def _database_warnings(head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    table = _TABLE.search(head.data)
    columns = head.data[table.end() :].split(b")")[0] if table else b""
    if re.search(rb"\brun\b", columns):
        return [_ABSENT, "when a run began is known to the second only"]
    return [_ABSENT, "it does not tell when its run began: its times begin at 0"]


OHA_SQLITE: Final = Dialect(
    signs=(_MAGIC,),
    name="oha-sqlite",
    title="oha SQLite",
    key=("label", _RUN),
    clock="epoch",
    closed_loop=True,
    matches=_is_database,
    open=_open_database,
    warnings=_database_warnings,
)
