"""What AWS Lambda logs after each invocation: REPORT lines, and platform.report records as JSON."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.schema import LATENCY, MAX_LATENCY_MS, Rule
from loadlens.sources.dialects.base import Dialect, Refused
from loadlens.sources.parsed import seconds
from loadlens.sources.text.jsonlines import JsonLines
from loadlens.sources.text.lines import OTHER_LINES, TextLines
from loadlens.sources.text.stream import Head

__all__ = ["LAMBDA_EVENTS", "LAMBDA_JSON", "LAMBDA_REPORT"]

# A time zone is optional: CloudWatch's times are UTC.
_EPOCH_MS: Final = r"\d{13}"
_ISO_TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_STREAM: Final = r"""\d{4}/\d\d/\d\d/[^\s\[\]"]*\[[^\s\[\]"]*\][^\s\[\]",]*"""
_PREFIX: Final = (
    rf'^(?:{_STREAM}[\s,]+)?(?:"?(?P<time>{_EPOCH_MS}|{_ISO_TIME})"?[\s,]+)?(?:"?{_STREAM}"?[\s,]+)?"?'
)
_REPORT: Final = (
    r"REPORT RequestId: \S+\s+Duration: (?P<duration>\S+) ms\s+Billed Duration: (?P<billed>\S+) ms\s+"
    r"Memory Size: (?P<size>\S+) MB\s+Max Memory Used: (?P<used>\S+) MB(?P<rest>(?s:.*))$"
)
_CANDIDATE: Final = r'(?:^|[\s,"])REPORT RequestId:'
_TEXT_LINE: Final = re.compile(_PREFIX + _REPORT)
_TIMED_LINE: Final = re.compile(_PREFIX + r"(?:START|END|REPORT|INIT_START|INIT_REPORT)\b")

_TEXT_TYPES: Final[dict[str, pl.DataType]] = {
    "time": pl.String(),
    "duration": pl.Float64(),
    "billed": pl.Float64(),
    "size": pl.Int64(),
    "used": pl.Int64(),
    "rest": pl.String(),
}
_JSON_TYPES: Final[dict[str, pl.DataType]] = dict.fromkeys(
    # Other records hold anything under these names, so that they are not read as what a report holds.
    ("type", "time", "record", "timestamp", "message"),
    pl.String(),
)

_IS_RECORD: Final = pl.col("type").eq_missing(pl.lit("platform.report"))
_HOLDS_RECORD: Final = r'^\s*\{(?s:.*)"type"\s*:\s*"platform\.report"'
_HOLDS_LINE: Final = r"^\s*REPORT RequestId:"
_EVENTS: Final = re.compile(rb'\s*\{(?s:.{0,1000}?)"(?:events|logEvents)"\s*:\s*\[')

_TEXT_MEANING: Final = (
    ("time", "time of the log event, which is the invocation's end: ms since 1970 or ISO 8601, UTC"),
    ("duration", "Duration: what the function took, ms"),
    ("billed", "Billed Duration: as logged, ms"),
    ("size", "Memory Size: configured memory, MB"),
    ("used", "Max Memory Used: MB"),
    ("rest", "Init Duration or Restore Duration of a cold start, ms; Status and Error Type of a failure"),
)
_JSON_MEANING: Final = (
    ("type", "platform.report for a report; other records are left out"),
    ("time", "time of the report, which is the invocation's end: ISO 8601, UTC"),
    ("record", "the report: durations in ms, memory in MB, status, class of the error"),
    ("timestamp", "the same time, of a log event: ms since 1970 or ISO 8601"),
    ("message", "a log event's text, which may be a REPORT line or such a record"),
)

_US_PER_S = 10**6
_US_PER_MS = 10**3


@dataclass(frozen=True, kw_only=True)
class _Report:
    """The parts of a report, as expressions over the source columns.

    Attributes:
        time: when the report was logged, as text: ms since 1970 or ISO 8601.
        duration: what the function took, ms, Float64.
        billed: what is billed, ms, Float64.
        size: configured memory, MB, Int64.
        used: the most memory used, MB, Int64.
        init: what a new environment took to start, ms, as text; null where there was one already.
        status: how the invocation ended; null where nothing is said.
        kind: the class of its error.
    """

    time: pl.Expr
    duration: pl.Expr
    billed: pl.Expr
    size: pl.Expr
    used: pl.Expr
    init: pl.Expr
    status: pl.Expr
    kind: pl.Expr

    def columns(self, *, timed: bool) -> tuple[pl.Expr, ...]:
        """The canonical columns."""
        failed = (self.status != "success").fill_null(value=False)
        kind = pl.when(self.status != "timeout").then(self.kind)
        end = _epoch_us(self.time)
        times = (
            seconds(end - _us(self.duration), per_second=_US_PER_S).alias("start_time"),
            seconds(end, per_second=_US_PER_S).alias("end_time"),
        )
        return (
            (~failed).alias("success"),
            pl.when(failed).then(pl.coalesce(kind, self.status)).alias("error"),
            *(times if timed else ()),
            self.duration.alias(LATENCY),
            self.size.alias("memory_size"),
            self.used.alias("memory_used"),
            self.billed.alias("billed_duration"),
            self.init.is_not_null().alias("cold_start"),
            _number(self.init).alias("init_duration"),
        )

    def faults(self, *, timed: bool) -> tuple[tuple[str, str, pl.Expr], ...]:
        """Parts, what they must be, and the expression that is true where they are not."""
        init = self.init.is_not_null() & ~_is_ordinary(_number(self.init))
        time = ("time", "the time of the log event", _epoch_us(self.time).is_null())
        return (
            *((time,) if timed else ()),
            ("duration", "a duration in ms, 0 or more", ~_is_ordinary(self.duration)),
            ("billed", "a billed duration in ms, 0 or more", ~_is_ordinary(self.billed)),
            ("size", "a memory size in MB, 0 or more", ~_is_ordinary(self.size)),
            ("used", "a used memory in MB, 0 or more", ~_is_ordinary(self.used)),
            ("rest", "an init duration in ms, 0 or more", init),
        )


def _number(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Float64, strict=False)


def _us(ms: pl.Expr) -> pl.Expr:
    return (ms * _US_PER_MS).round().cast(pl.Int64, strict=False)


def _is_ordinary(value: pl.Expr) -> pl.Expr:
    return value.is_between(0, MAX_LATENCY_MS, closed="left").fill_null(value=False)


def _epoch_us(time: pl.Expr) -> pl.Expr:
    """Microseconds since 1970, exactly; null where ``time`` is in neither form."""
    ms = pl.when(time.str.contains(rf"^{_EPOCH_MS}$")).then(time).cast(pl.Int64, strict=False)
    zoned = pl.when(time.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$")).then(time).otherwise(time + "Z")
    iso = zoned.str.replace(" ", "T", literal=True).str.replace("Z", "+00:00", literal=True)
    moment = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    return pl.coalesce(ms * _US_PER_MS, moment.dt.epoch("us"))


def _init(rest: pl.Expr) -> pl.Expr:
    """What a new environment took to start; with SnapStart it is restored instead."""
    return pl.coalesce(_duration_in(rest, "Init Duration:"), _duration_in(rest, "Restore Duration:"))


def _duration_in(rest: pl.Expr, name: str) -> pl.Expr:
    """A duration as text: null where it is not there, empty where its number or unit is not."""
    found = rest.str.extract(rf"\b{name}\s*(\S+)\s+ms\b").fill_null("")
    return pl.when(rest.str.contains(name, literal=True)).then(found)


def _status(rest: pl.Expr) -> pl.Expr:
    return rest.str.extract(r"\bStatus: (\w+)")


def _kind(rest: pl.Expr) -> pl.Expr:
    return rest.str.extract(r"\bError Type: ([\w.:$-]+)")


def _text_matches(head: Head) -> bool:
    return any(_TEXT_LINE.match(line) for line in head.lines)


def _text_is_timed(head: Head) -> bool:
    """Whether lines have times; only where some are seen that have none, they have not."""
    found = [match["time"] for line in head.lines if (match := _TIMED_LINE.match(line))]
    return any(found) or not found


def _open_text(head: Head) -> TextLines:
    timed, rest = _text_is_timed(head), pl.col("rest")
    report = _Report(
        time=pl.col("time"),
        duration=pl.col("duration"),
        billed=pl.col("billed"),
        size=pl.col("size"),
        used=pl.col("used"),
        init=_init(rest),
        status=_status(rest),
        kind=_kind(rest),
    )
    torn = Rule(
        column="rest",
        expected="a value after every name",
        broken=rest.str.contains(r"\t[A-Za-z ]+:?\s*$"),
    )
    return TextLines(
        pattern=_PREFIX + _REPORT,
        candidate=_CANDIDATE,
        types=_TEXT_TYPES,
        columns=report.columns(timed=timed),
        rules=(
            *(Rule(column=part, expected=what, broken=at) for part, what, at in report.faults(timed=timed)),
            torn,
        ),
        meaning=_TEXT_MEANING,
    )


def _json_matches(head: Head) -> bool:
    return any(_json_reports(head))


def _json_reports(head: Head) -> Iterator[dict[str, object]]:
    """The lines of the head that are reports."""
    for line in head.lines:
        if "platform.report" in line or "REPORT RequestId:" in line:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and _is_report(value):
                yield value


def _is_report(value: Mapping[str, object]) -> bool:
    message = value.get("message")
    held = isinstance(message, str) and (re.match(_HOLDS_LINE, message) or re.match(_HOLDS_RECORD, message))
    return value.get("type") == "platform.report" or bool(held)


def _json_is_timed(head: Head) -> bool:
    found = list(_json_reports(head))
    return not found or any({"time", "timestamp"} & report.keys() for report in found)


def _open_json(head: Head) -> JsonLines:
    timed, message = _json_is_timed(head), pl.col("message")
    report = _json_report()
    is_report = _IS_RECORD | message.str.contains(f"{_HOLDS_LINE}|{_HOLDS_RECORD}").fill_null(value=False)
    faults = [
        Rule(
            column=("time" if is_record else "timestamp") if part == "time" else source,
            expected=expected,
            broken=broken & (_IS_RECORD if is_record else ~_IS_RECORD),
        )
        for source, is_record in (("record", True), ("message", False))
        for part, expected, broken in report.faults(timed=timed)
    ]
    return JsonLines(
        types=_JSON_TYPES,
        columns=report.columns(timed=timed),
        rules=tuple(faults),
        left_out={OTHER_LINES: ~is_report},
        meaning=_JSON_MEANING,
    )


def _json_report() -> _Report:
    """A report by a platform.report record, or by a message that holds such a record or a REPORT line."""
    message = pl.col("message")
    held = pl.when(message.str.contains(_HOLDS_RECORD)).then(message)
    record = pl.coalesce(pl.when(_IS_RECORD).then(pl.col("record")), held.str.json_path_match("$.record"))
    line = pl.when(message.str.contains(_HOLDS_LINE)).then(message).str.extract_groups(_REPORT).struct

    def metric(name: str, group: str) -> pl.Expr:
        return pl.coalesce(record.str.json_path_match(f"$.metrics.{name}"), line.field(group))

    rest = line.field("rest")
    return _Report(
        time=pl.coalesce(pl.col("time"), pl.col("timestamp"), held.str.json_path_match("$.time")),
        duration=_number(metric("durationMs", "duration")),
        billed=_number(metric("billedDurationMs", "billed")),
        size=metric("memorySizeMB", "size").cast(pl.Int64, strict=False),
        used=metric("maxMemoryUsedMB", "used").cast(pl.Int64, strict=False),
        init=pl.coalesce(
            record.str.json_path_match("$.metrics.initDurationMs"),
            record.str.json_path_match("$.metrics.restoreDurationMs"),
            _init(rest),
        ),
        status=pl.coalesce(record.str.json_path_match("$.status"), _status(rest)),
        kind=pl.coalesce(record.str.json_path_match("$.errorType"), _kind(rest)),
    )


def _events_match(head: Head) -> bool:
    """Whether all log events are in one JSON document, as the AWS CLI gives them."""
    holds_reports = b"REPORT RequestId:" in head.data or b"platform.report" in head.data
    return holds_reports and bool(_EVENTS.match(head.data)) and not _json_matches(head)


def _warnings(timed: bool, facts: Mapping[str, int]) -> list[str]:
    latency = (
        "its latency is what the function itself took: the start of a new environment (init_duration), "
        "waiting and the network come on top; throttled calls are not logged"
    )
    found = [latency]
    if timed:
        found.append(
            "its times are those of the log events: a report is written at the end, so that a call's start "
            "is taken as its end less its duration"
        )
    else:
        found.append("its lines have no times: there are no start_time and end_time, and no throughput")
    if facts.get(OTHER_LINES):
        found.append(f"{facts[OTHER_LINES]:,} other lines are no reports and are left out")
    return found


def _text_warnings(head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    status = (
        "a REPORT line without a status counts as a success: an error that the function raised may have none"
    )
    return [*_warnings(_text_is_timed(head), facts), status]


def _json_warnings(head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    return _warnings(_json_is_timed(head), facts)


LAMBDA_REPORT: Final = Dialect(
    name="lambda-report",
    title="AWS Lambda REPORT lines",
    key=("memory_size",),
    clock="epoch",
    closed_loop=False,
    matches=_text_matches,
    open=_open_text,
    warnings=_text_warnings,
)

LAMBDA_JSON: Final = Dialect(
    name="lambda-json",
    title="AWS Lambda JSON log (platform.report)",
    key=("memory_size",),
    clock="epoch",
    closed_loop=False,
    matches=_json_matches,
    open=_open_json,
    warnings=_json_warnings,
)

LAMBDA_EVENTS: Final = Refused(
    title="a JSON document of CloudWatch log events",
    reason="its events are not one a line",
    advice="write them so with: jq -c '(.events // .logEvents)[]' FILE > events.ndjson",
    matches=_events_match,
)
