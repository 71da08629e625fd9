"""Log events of AWS Lambda: reports as JSON records, within messages, and as Logs Insights finds them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import polars as pl

from loadlens.dialects.aws_lambda import (
    SIGNS,
    TOLD_ELSEWHERE,
    LineFields,
    Report,
    failures_in,
    megabytes,
    number,
    unmatched,
    warnings_of,
)
from loadlens.dialects.base import Columns, Dialect, Elsewhere, Reader, Refused, header_of
from loadlens.schema import Rule
from loadlens.text.delimited import Table
from loadlens.text.json_records import OTHER_LINES, JsonDocument, JsonLines
from loadlens.text.stream import BOM, Head

__all__ = ["LAMBDA_CSV", "LAMBDA_JSON", "LAMBDA_PREFIXED", "LAMBDA_STATISTICS"]

_FOUND: Final = {
    "time": "@timestamp",
    "duration": "@duration",
    "billed": "@billedDuration",
    "size": "@memorySize",
    "used": "@maxMemoryUsed",
    "init": "@initDuration",
}
"""The fields that Logs Insights finds in reports, by the parts of a report."""

_PARTS: Final = (*_FOUND, "restore")
_MESSAGES: Final = ("message", "@message")
_TIMES: Final = ("time", "timestamp", "@timestamp")
_REQUEST_ID: Final = "@requestId"
_NAMES: Final = ("type", "record", *_TIMES[:2], *_MESSAGES, *_FOUND.values(), _REQUEST_ID)
_FOUND_MEANING: Final = (
    ("@timestamp", "time of the log event, which is the invocation's end: UTC"),
    ("@message", "the log event's text: a REPORT line or a platform.report record"),
    ("@duration", "what the function took, ms"),
    ("@billedDuration", "billed duration, ms"),
    ("@memorySize", "configured memory, bytes: 1,000,000 for each MB"),
    ("@maxMemoryUsed", "the most memory used, bytes"),
    ("@initDuration", "Init Duration of a cold start, ms"),
)
_MEANING: Final = (
    ("type", "platform.report for a report; other records are left out"),
    ("time", "time of the report, which is the invocation's end: ISO 8601, UTC"),
    ("record", "the report: durations in ms, memory in MB, status, class of the error"),
    ("timestamp", "the same time, of a log event: ms since 1970 or ISO 8601"),
    ("message", "a log event's text, which may be a REPORT line or such a record"),
    *_FOUND_MEANING,
)

_HOLDS_RECORD: Final = r'^\s*\{(?s:.*)"type"\s*:\s*"platform\.report"'
_HOLDS_LINE: Final = r"^\s*REPORT RequestId:"
_AFTER_REPORT: Final = r"(?s)REPORT RequestId:(.*)$"
_ARRAYS: Final = ("events", "logEvents", "results")
_HOLDS_ARRAY: Final = re.compile(rb'"(?:events|logEvents|results)"\s*:\s*\[')
_BEGINS_ARRAY: Final = re.compile(rb"\[\s*(?:\[\s*)?\{")
_HOLDS_REPORT: Final = re.compile(
    rb'"type"\s*:\s*"platform\.report"|"@?message"\s*:\s*"\s*REPORT RequestId:|"@duration"\s*:'
)
_BEGINS_OBJECT: Final = re.compile(rb"\{[ \t]*\r?\n(?=[\s\S]*?(?:%b))" % _HOLDS_REPORT.pattern)
_CONSOLE: Final = re.compile(rb"^\d{4}-\d\d-\d\d[T ][\d:.,+-]+Z?[ \t]*\r?\n\s*\{", re.MULTILINE)
_SIGNS_OF_REPORTS: Final = ("REPORT RequestId:", "platform.report", '"@duration"')
_IS_BEHIND_PREFIX: Final = re.compile(r'[^{"]+\s\{"time":"[^"]*","type":"platform\.')
_IS_STATISTIC: Final = re.compile(r"\w+\(@\w+")
_MOST_FOUND: Final = (1000, 10_000)
"""How many rows a query of Logs Insights gives at most: by default, and at all."""


_IS_RECORD: Final = pl.col("event is record")
"""Whether a row is a platform.report record itself."""

_IN_MESSAGE: Final = pl.col("event in message")
"""Whether the report is in the message."""

_IS_FOUND: Final = pl.col("event is found")
"""Whether Insights has found a report's fields, and nothing else tells them."""

_IS_REPORT: Final = _IS_RECORD | _IN_MESSAGE | _IS_FOUND
"""Whether a row tells of a call."""

_FOUND_COLUMNS: Final = Columns(
    title="CloudWatch Logs Insights CSV",
    known_by=frozenset({"@duration"}),
    needed=frozenset({"@duration"}),
    marks=frozenset(_FOUND.values()) - {"@timestamp"},
    advice="query with: fields @timestamp, @duration, @billedDuration, @memorySize, @maxMemoryUsed, "
    '@initDuration | filter @type = "REPORT"',
)


@dataclass(frozen=True, kw_only=True)
class _Events:
    """Log events, each a row of texts: a record, a message that holds a report, or what Insights has found.

    Attributes:
        names: the columns that are there.
        are_whole: whether reports may be in records and messages, which hold all of their parts.
        failures: how requests failed, as other events tell.
    """

    names: tuple[str, ...]
    are_whole: bool
    failures: Mapping[str, str] = field(default_factory=dict, hash=False)

    def column(self, *names: str) -> pl.Expr:
        """The first of some columns that holds something; null where none does."""
        there = [pl.col(name) for name in names if name in self.names]
        return pl.coalesce(*there, pl.lit(None, dtype=pl.String))

    @property
    def meaning(self) -> tuple[tuple[str, str], ...]:
        """The columns that are there and what they are."""
        return tuple((name, told) for name, told in _MEANING if name in self.names)

    def steps(self) -> tuple[dict[str, pl.Expr], ...]:
        """Where a row has its report, as what, and what the report holds."""
        message, held, line = pl.col("event message"), pl.col("event held"), pl.col("event line")
        own = pl.when(_IS_RECORD).then(self.column("record"))
        has_found = self.column("@duration").fill_null("") != ""
        return (
            {
                "event message": self.column(*_MESSAGES),
                "event is record": self.column("type").eq_missing(pl.lit("platform.report")),
            },
            {
                "event held": pl.when(message.str.contains(_HOLDS_RECORD)).then(message),
                "event line": pl.when(message.str.contains(_HOLDS_LINE)).then(message),
            },
            {
                "event in message": ~_IS_RECORD & (held.is_not_null() | line.is_not_null()),
                "event record": pl.coalesce(own, held.str.json_path_match("$.record")),
                "event line": LineFields.plain(line.str.extract(_AFTER_REPORT)),
            },
            {"event is found": ~_IS_RECORD & ~_IN_MESSAGE & has_found},
            *self.report().steps(),
        )

    def report(self) -> Report:
        """The report of a row."""
        held, record = pl.col("event held").str, pl.col("event record").str
        fields = LineFields(pl.col("event line"))

        def metric(name: str, field: pl.Expr, found: str = "") -> pl.Expr:
            in_record = record.json_path_match(f"$.metrics.{name}")
            return pl.coalesce(in_record, field, self.column(found))

        def memory(name: str, field: str, found: str) -> pl.Expr:
            told = metric(name, fields(field, "MB")).cast(pl.Int64, strict=False)
            return pl.coalesce(told, megabytes(self.column(found)))

        def if_told(part: str, value: pl.Expr) -> pl.Expr | None:
            return value if self.are_whole or _FOUND[part] in self.names else None

        billed = metric("billedDurationMs", fields("Billed Duration", "ms"), "@billedDuration")
        size = memory("memorySizeMB", "Memory Size", "@memorySize")
        used = memory("maxMemoryUsedMB", "Max Memory Used", "@maxMemoryUsed")
        restored = metric("restoreDurationMs", fields.init)
        init = metric("initDurationMs", restored, "@initDuration")
        timed = bool(set(_TIMES) & set(self.names))
        return Report(
            time=pl.coalesce(self.column(*_TIMES), held.json_path_match("$.time")) if timed else None,
            duration=number(metric("durationMs", fields("Duration", "ms"), "@duration")),
            billed=if_told("billed", number(billed)),
            size=if_told("size", size),
            used=if_told("used", used),
            init=if_told("init", init),
            restore=metric("billedRestoreDurationMs", fields.restore),
            status=pl.coalesce(record.json_path_match("$.status"), fields.status),
            kind=pl.coalesce(record.json_path_match("$.errorType"), fields.kind),
            request=pl.coalesce(
                record.json_path_match("$.requestId"),
                pl.col("event line").str.extract(r"^\s*(\S+)"),
                self.column(_REQUEST_ID),
            ),
            failures=self.failures,
        )

    def counted(self) -> dict[str, pl.Expr]:
        """What is counted of reports, among the facts."""
        return {what: found & _IS_REPORT for what, found in self.report().counted().items()}

    def rules(self) -> tuple[Rule, ...]:
        """The rules of reports, each told of the column that a row has the part in."""
        report = self.report()
        message, time = (
            next((name for name in names if name in self.names), names[0])
            for names in (_MESSAGES, ("timestamp", "@timestamp"))
        )
        in_record = dict.fromkeys(_PARTS, "record") | {"time": "time"}
        in_message = dict.fromkeys(_PARTS, message) | {"time": time}
        found = replace(report, memory_unit="bytes, 1,000,000 for each MB")
        return (
            *report.rules(in_record, _IS_RECORD),
            *report.rules(in_message, _IN_MESSAGE),
            *found.rules(_FOUND | {"time": time, "restore": "@duration"}, _IS_FOUND),
        )


def _lines_match(head: Head) -> bool:
    return any(map(_is_report, _objects(head)))


def _objects(head: Head) -> Iterator[dict[str, Any]]:
    """The lines of the head that may be reports."""
    for line in head.lines:
        if any(sign in line for sign in _SIGNS_OF_REPORTS):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value


def _is_report(value: Mapping[str, Any]) -> bool:
    messages = [message for name in _MESSAGES if isinstance(message := value.get(name), str)]
    held = any(re.match(_HOLDS_LINE, text) or re.match(_HOLDS_RECORD, text) for text in messages)
    return value.get("type") == "platform.report" or held or "@duration" in value


def _arrays(head: Head) -> tuple[str, ...] | None:
    """Under which names a document has its events, none where they are at the top; None for JSON lines."""
    data = head.data.removeprefix(BOM).lstrip()
    if _is_of_console(head):
        return ()
    if _lines_match(head) or not any(sign.encode() in data for sign in _SIGNS_OF_REPORTS):
        return None
    if data.startswith(b"{") and _HOLDS_ARRAY.search(data):
        return _ARRAYS
    return () if _BEGINS_ARRAY.match(data) or _BEGINS_OBJECT.match(data) else None


def _is_of_console(head: Head) -> bool:
    """Whether times and events take turns, as in what is copied from the console of CloudWatch."""
    return bool(_CONSOLE.search(head.data) and _HOLDS_REPORT.search(head.data))


def _matches_json(head: Head) -> bool:
    return _lines_match(head) or _arrays(head) is not None


def _json_events(head: Head) -> _Events:
    text = head.data.decode(errors="replace")
    names = tuple(name for name in _NAMES if f'"{name}"' in text)
    are_whole = any(sign in text for sign in _SIGNS_OF_REPORTS[:2])
    return _Events(names=names or _NAMES, are_whole=are_whole or not names)


def _open_json(head: Head) -> Reader:
    return _open_json_knowing(head, {})


def _open_json_knowing(head: Head, failures: Mapping[str, str]) -> Reader:
    events = _json_events(head)
    lines = _lines(replace(events, failures=failures)) if failures else _lines_of(events)
    arrays = _arrays(head)
    if arrays is None:
        return lines
    return JsonDocument(lines=lines, keys=arrays, record=_of_fields, is_mixed=_is_of_console(head))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _lines_of(events: _Events) -> JsonLines:
    return _lines(events)


def _lines(events: _Events) -> JsonLines:
    return JsonLines(
        # Other records hold anything under these names, so that they are not read as what a report holds.
        types=dict.fromkeys(_NAMES, pl.String()),
        steps=events.steps(),
        columns=events.report().columns(),
        counted=events.counted(),
        identity=events.report().identity,
        rules=events.rules(),
        left_out={OTHER_LINES: ~_IS_REPORT},
        meaning=events.meaning,
    )


def _of_fields(result: Any) -> Any:  # whatever JSON holds
    """A result of a query, which is a list of fields and their values."""
    if not isinstance(result, list):
        return result
    return {item.get("field"): item.get("value") for item in result if isinstance(item, dict)}


def _json_warnings(head: Head, rows: int, facts: Mapping[str, int]) -> list[str]:
    return _warnings(_json_events(head), rows, facts)


def _warnings(events: _Events, rows: int, facts: Mapping[str, int]) -> list[str]:
    found = warnings_of(facts, timed=bool(set(_TIMES) & set(events.names)))
    given = rows + facts.get(OTHER_LINES, 0)
    if "@timestamp" in events.names and given in _MOST_FOUND:
        found.append(
            f"it has exactly {given:,} rows, as many as a query of Logs Insights gives at most: calls may be "
            f"missing"
        )
    return found


def _matches_csv(head: Head) -> bool:
    return _FOUND_COLUMNS.match(head) or (
        bool(set(_MESSAGES) & set(header_of(head))) and b'""type"":""platform.report""' in head.data
    )


def _csv_events(head: Head) -> _Events:
    are_whole = any(sign.encode() in head.data for sign in _SIGNS_OF_REPORTS[:2])
    names = tuple(name for name in header_of(head) if name in _NAMES)
    return _Events(names=names, are_whole=are_whole)


def _open_csv(head: Head) -> Table:
    return _open_csv_knowing(head, {})


def _open_csv_knowing(head: Head, failures: Mapping[str, str]) -> Table:
    events = _csv_events(head)
    if not set(_MESSAGES) & set(events.names):
        _FOUND_COLUMNS.checked(head, _NAMES)
    names = header_of(head)
    return _table(names, replace(events, failures=failures)) if failures else _table_of(names, events)


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table_of(names: tuple[str, ...], events: _Events) -> Table:
    return _table(names, events)


def _table(names: tuple[str, ...], events: _Events) -> Table:
    return Table(
        names=names,
        types=dict.fromkeys(events.names, pl.String()),
        steps=events.steps(),
        columns=events.report().columns(),
        counted=events.counted(),
        identity=events.report().identity,
        rules=events.rules(),
        left_out={OTHER_LINES: ~_IS_REPORT},
        meaning=events.meaning,
    )


def _csv_warnings(head: Head, rows: int, facts: Mapping[str, int]) -> list[str]:
    return _warnings(_csv_events(head), rows, facts)


LAMBDA_JSON: Final = Dialect(
    signs=(b"{",),
    name="lambda-json",
    title="AWS Lambda log events as JSON",
    key=("memory_size",),
    clock="epoch",
    closed_loop=False,
    logged_times=("end_time",),
    matches=_matches_json,
    open=_open_json,
    elsewhere=Elsewhere(
        signs=SIGNS, find=failures_in, open=_open_json_knowing, warning=unmatched, fact=TOLD_ELSEWHERE
    ),
    warnings=_json_warnings,
)

LAMBDA_CSV: Final = Dialect(
    signs=(b"@duration", b"platform.report"),
    name="lambda-csv",
    title="AWS Lambda log events as CSV",
    key=("memory_size",),
    clock="epoch",
    closed_loop=False,
    logged_times=("end_time",),
    matches=_matches_csv,
    near_miss=_FOUND_COLUMNS.near_miss,
    open=_open_csv,
    elsewhere=Elsewhere(
        signs=SIGNS, find=failures_in, open=_open_csv_knowing, warning=unmatched, fact=TOLD_ELSEWHERE
    ),
    warnings=_csv_warnings,
)


def _is_prefixed(head: Head) -> bool:
    return any(_IS_BEHIND_PREFIX.match(line) for line in head.lines)


def _is_statistics(head: Head) -> bool:
    return any(_IS_STATISTIC.search(name) for name in header_of(head))


LAMBDA_PREFIXED: Final = Refused(
    signs=(b'{"time":"',),
    title="an AWS Lambda log of JSON records with something before each",
    reason="its lines are no JSON",
    advice="cut what is before them: sed 's/^[^{]*//' FILE | grep '^{' > events.ndjson",
    matches=_is_prefixed,
)
"""What ``aws logs tail`` and ``sam logs`` print of functions that log in JSON."""

LAMBDA_STATISTICS: Final = Refused(
    signs=(b"(@",),
    title="statistics of CloudWatch Logs Insights",
    reason="they are of many calls each",
    advice=_FOUND_COLUMNS.advice,
    matches=_is_statistics,
)
