"""The dialects of load-test logs, and which of them a file is in."""

from dataclasses import replace
from typing import Final

from loadlens.dialects.ab import AB_GNUPLOT, AB_PERCENTILES, AB_REPORT
from loadlens.dialects.aiperf import AIPERF_JSON
from loadlens.dialects.aws_lambda import LAMBDA_REPORT, LAMBDA_TEXT_EVENTS
from loadlens.dialects.azure import AZURE_TRACE
from loadlens.dialects.base import (
    BlockReader,
    Clock,
    Dialect,
    Level,
    NestingReader,
    Reader,
    Refused,
    StreamReader,
    fits,
)
from loadlens.dialects.canonical import LOADLENS_CSV
from loadlens.dialects.gatling import GATLING_OLD_TEXT, GATLING_TEXT
from loadlens.dialects.gatling_binary import GATLING_BINARY
from loadlens.dialects.hey import HEY_CSV, HEY_SUMMARY
from loadlens.dialects.jmeter import JMETER_CSV
from loadlens.dialects.jmeter_xml import JMETER_XML
from loadlens.dialects.k6 import K6_CSV, K6_JSON, K6_SUMMARY_JSON, K6_SUMMARY_TEXT
from loadlens.dialects.lambda_events import LAMBDA_CSV, LAMBDA_JSON, LAMBDA_PREFIXED, LAMBDA_STATISTICS
from loadlens.dialects.locust import LOCUST_CSV, LOCUST_STATISTICS, LOCUST_TABLE, LOCUST_WORKERS
from loadlens.dialects.oha import OHA_CSV, OHA_SQLITE, OHA_SUMMARY
from loadlens.dialects.tool_aggregates import AGGREGATES
from loadlens.dialects.vegeta import VEGETA_CSV, VEGETA_GOB, VEGETA_JSON, VEGETA_REPORT
from loadlens.errors import InputError, UsageError
from loadlens.messages import listed, shortened
from loadlens.text.json_records import JsonDocument
from loadlens.text.stream import Head
from loadlens.text.typed_rows import Recipe

__all__ = [
    "DIALECTS",
    "REFUSED",
    "BlockReader",
    "Clock",
    "Dialect",
    "Level",
    "NestingReader",
    "Reader",
    "Refused",
    "RefusedFormatError",
    "StreamReader",
    "UnknownFormatError",
    "detect",
    "dialect_called",
    "on_calendar",
    "open_reader",
    "refuse_transactions",
]

DIALECTS: Final[tuple[Dialect, ...]] = (
    LOADLENS_CSV,
    JMETER_CSV,
    JMETER_XML,
    K6_CSV,
    K6_JSON,
    VEGETA_CSV,
    VEGETA_JSON,
    LOCUST_CSV,
    GATLING_TEXT,
    GATLING_BINARY,
    HEY_CSV,
    OHA_CSV,
    OHA_SQLITE,
    AIPERF_JSON,
    LAMBDA_REPORT,
    LAMBDA_JSON,
    LAMBDA_CSV,
    AZURE_TRACE,
    AB_GNUPLOT,
)
REFUSED: Final[tuple[Refused, ...]] = (
    K6_SUMMARY_JSON,
    K6_SUMMARY_TEXT,
    VEGETA_GOB,
    VEGETA_REPORT,
    LOCUST_STATISTICS,
    LOCUST_WORKERS,
    LOCUST_TABLE,
    GATLING_OLD_TEXT,
    OHA_SUMMARY,
    HEY_SUMMARY,
    LAMBDA_TEXT_EVENTS,
    LAMBDA_PREFIXED,
    LAMBDA_STATISTICS,
    AB_REPORT,
    AB_PERCENTILES,
    *AGGREGATES,
)


_SNIFFED_BYTES: Final = 4096


class UnknownFormatError(InputError):
    """The content of a file fits no known format."""


class RefusedFormatError(InputError):
    """A file holds no single calls, such as a tool's summary.

    Attributes:
        refused: what the file is.
    """

    def __init__(self, path: object, refused: Refused) -> None:
        super().__init__(f"{path}: is {refused.title}: {refused.reason}; {refused.advice}")
        self.refused = refused


class NearMissError(UnknownFormatError):
    """The content of a file is nearly a known format: it lacks what is told."""


def detect(head: Head, override: str | None = None) -> Dialect:
    """Finds the dialect of a file by its content.

    Args:
        head: the beginning of the file.
        override: the name of the dialect to take instead.

    Raises:
        UnknownFormatError: the content fits no dialect.
        InputError: it fits several, or is one that holds no invocations.
        UsageError: there is no dialect called ``override``.
    """
    if override is not None:
        return dialect_called(override)
    _refuse(head)
    found = [dialect for dialect in DIALECTS if fits(dialect, head)]
    if len(found) == 1:
        return found[0]
    if found:
        candidates = listed(dialect.name for dialect in found)
        raise InputError(
            f"{head.path}: its content fits {len(found)} formats: {candidates}; name one with --format"
        )
    likeness, told = max(dialect.near_miss(head) for dialect in DIALECTS)
    if likeness and not _is_binary(head):
        raise NearMissError(f"{head.path}: {told}")
    raise UnknownFormatError(f"{head.path}: {_unknown(head)}")


def open_reader(dialect: Dialect, head: Head, level: Level, *, durations: bool = False) -> Reader:
    """Makes the reader of a file whose rows are of that level.

    Args:
        dialect: its dialect.
        head: its beginning.
        level: what a row is.
        durations: whether requests have the further durations that the tool logs as columns.

    Raises:
        InputError: the file lacks what the dialect needs.
        UsageError: the dialect has no such level.
    """
    return on_calendar(dialect, _opened(dialect, head, level, durations=durations))


def on_calendar(dialect: Dialect, reader: Reader) -> Reader:
    """A reader that lets times be of our days only, if the times of its dialect are calendar times."""
    if dialect.clock != "epoch":
        return reader
    if isinstance(reader, JsonDocument):
        return replace(reader, lines=reader.lines.of_calendar)
    return reader.of_calendar if isinstance(reader, Recipe) else reader


def _opened(dialect: Dialect, head: Head, level: Level, *, durations: bool) -> Reader:
    if level == "requests":
        return dialect.open_durations(head) if durations and dialect.open_durations else dialect.open(head)
    if dialect.open_transactions is None:
        raise refuse_transactions(f"{head.path}: {dialect.title}")
    return dialect.open_transactions(head)


def refuse_transactions(what: str) -> UsageError:
    """The error for ``what`` if transactions are asked of it, though its rows are of one level."""
    names = listed(dialect.name for dialect in DIALECTS if dialect.open_transactions)
    return UsageError(
        f"{what} has no level transactions, only these formats have: {names}; leave out --level"
    )


def _is_binary(head: Head) -> bool:
    return b"\0" in head.data[:_SNIFFED_BYTES]


def _unknown(head: Head) -> str:
    if _is_binary(head):
        return (
            f"is binary data of no known format, or text in UTF-16 without a byte order mark; expected text "
            f"in UTF-8, {_names()}"
        )
    line = next((line for line in head.lines if line.strip()), "")
    return (
        f"fits no known format, its first line is {shortened(line)}; expected {_names()}; name one with "
        f"--format, or say which column is what with --map "
        f"(`loadlens inspect {head.path}` proposes how)"
    )


def _names() -> str:
    return f"one of: {', '.join(sorted(dialect.name for dialect in DIALECTS))}"


def dialect_called(name: str) -> Dialect:
    """The dialect of a name.

    Raises:
        UsageError: there is none.
    """
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    raise UsageError(f"format: got {name!r}, expected {_names()}")


def _refuse(head: Head) -> None:
    for refused in REFUSED:
        if fits(refused, head):
            raise RefusedFormatError(head.path, refused)
