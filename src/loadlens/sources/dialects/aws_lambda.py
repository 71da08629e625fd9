"""The REPORT lines that AWS Lambda logs after each invocation, whatever exports put before them."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.schema import Rule
from loadlens.sources.dialects.base import Dialect, Elsewhere, Refused
from loadlens.sources.dialects.headers import header_of
from loadlens.sources.dialects.lambda_failures import SIGNS, TOLD_ELSEWHERE, failures_in, unmatched
from loadlens.sources.dialects.lambda_reports import EPOCH_MS, ISO_TIME, LineFields, Report, warnings_of
from loadlens.sources.text.lines import TextLines
from loadlens.sources.text.stream import Head

__all__ = ["LAMBDA_REPORT", "LAMBDA_TEXT_EVENTS"]

_STREAM: Final = r"""\d{4}/\d\d/\d\d/[^\s\[\]"]*\[[^\s\[\]"]*\][^\s\[\]",]*"""
# What exports and other programs write before a line. Words of what functions log are parted by tabs.
_BEFORE: Final = (
    rf'^(?P<before>(?:"?(?:{EPOCH_MS}|{ISO_TIME}|{_STREAM}|/[\w./-]+)"?[\s,]+)*(?:[^\t{{]*[\s,"|])?"?)'
)
_REPORT: Final = r"REPORT RequestId: (?P<request>\S*)(?P<rest>(?s:.*))$"
_CANDIDATE: Final = r'(?:^|[\s,"|\x00])REPORT RequestId:'
_TIME: Final = rf"(?:^|[^\w.:-])({EPOCH_MS}|{ISO_TIME})(?:[^\w.:-]|$)"
_JSON_FIELD: Final = re.compile(r'\s*"@?\w+"\s*:')
_TEXT_LINE: Final = re.compile(_BEFORE + r"REPORT RequestId: .*\sDuration: \S+ ms")
_PLATFORM_LINE: Final = re.compile(_BEFORE + r"(?:START|END|REPORT|INIT_START|INIT_REPORT)\b")

_LONGEST_LINE: Final = 1000
"""How much of a line is looked at to know it: what is before a report may be read in very many ways."""

_TEXT_TYPES: Final[dict[str, pl.DataType]] = {
    "time": pl.String(),
    "duration": pl.Float64(),
    "billed": pl.Float64(),
    "size": pl.Int64(),
    "used": pl.Int64(),
    "rest": pl.String(),
    "request": pl.String(),
}
_TEXT_MEANING: Final = (
    ("time", "time of the log event, which is the invocation's end: ms since 1970 or ISO 8601, UTC"),
    ("duration", "Duration: what the function took, ms"),
    ("billed", "Billed Duration: as logged, ms"),
    ("size", "Memory Size: configured memory, MB"),
    ("used", "Max Memory Used: MB"),
    ("rest", "Init Duration or Restore Duration of a cold start, ms; Status and Error Type of a failure"),
)


def _matches(head: Head) -> bool:
    return "@duration" not in header_of(head) and any(map(_is_report, head.lines))


def _is_report(line: str) -> bool:
    is_candidate = "REPORT RequestId:" in line and not _JSON_FIELD.match(line)
    return is_candidate and _TEXT_LINE.match(line[:_LONGEST_LINE]) is not None


def _is_timed(head: Head) -> bool:
    """Whether lines have times; only where some are seen that have none, they have not."""
    begins = (line[:_LONGEST_LINE] for line in head.lines)
    found = [match["before"] for line in begins if (match := _PLATFORM_LINE.match(line))]
    return any(re.search(_TIME, before) for before in found) or not found


def _open(head: Head) -> TextLines:
    return _open_knowing(head, {})


def _open_knowing(head: Head, failures: Mapping[str, str]) -> TextLines:
    return _reader(_is_timed(head), failures) if failures else _reader_alone(_is_timed(head))


@lru_cache  # thousands of files have one layout
def _reader_alone(timed: bool) -> TextLines:
    return _reader(timed, {})


def _reader(timed: bool, failures: Mapping[str, str]) -> TextLines:
    plain = {"report line": LineFields.plain(pl.col("rest"))}
    rest = LineFields(pl.col("report line"))
    report = Report(
        time=pl.col("time") if timed else None,
        duration=pl.col("duration"),
        billed=pl.col("billed"),
        size=pl.col("size"),
        used=pl.col("used"),
        init=rest.init,
        restore=rest.restore,
        status=rest.status,
        kind=rest.kind,
        request=pl.col("request"),
        failures=failures,
    )
    torn = Rule(
        column="rest",
        expected="a value after every name",
        broken=pl.col("rest").str.contains(r"\t[A-Za-z ]+:?\s*$"),
    )
    return TextLines(
        pattern=_BEFORE + _REPORT,
        candidate=_CANDIDATE,
        fields=(
            plain,
            {
                "time": pl.col("before").str.extract(_TIME),
                "duration": rest("Duration", "ms"),
                "billed": rest("Billed Duration", "ms"),
                "size": rest("Memory Size", "MB"),
                "used": rest("Max Memory Used", "MB"),
            },
        ),
        types=_TEXT_TYPES,
        steps=(plain, *report.steps()),
        columns=report.columns(),
        counted=report.counted(),
        required=frozenset({"duration", "billed", "size", "used"}),
        rules=(*report.rules(dict.fromkeys(("init", "restore"), "rest")), torn),
        meaning=_TEXT_MEANING,
        identity=report.identity,
        opaque=frozenset() if failures else frozenset({"request"}),
    )


def _warnings(head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    status = (
        "a REPORT line without a status counts as a success unless another line of its request tells of a "
        "timeout, an exit or an uncaught error: an error that the function raised may have neither"
    )
    return [*warnings_of(facts, timed=_is_timed(head)), status]


LAMBDA_REPORT: Final = Dialect(
    name="lambda-report",
    title="AWS Lambda REPORT lines",
    key=("memory_size",),
    clock="epoch",
    closed_loop=False,
    logged_times=("end_time",),
    matches=_matches,
    open=_open,
    elsewhere=Elsewhere(
        signs=SIGNS, find=failures_in, open=_open_knowing, warning=unmatched, fact=TOLD_ELSEWHERE
    ),
    warnings=_warnings,
)


def _is_text_of_events(head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    return first.startswith("EVENTS\t") and b"REPORT RequestId:" in head.data


LAMBDA_TEXT_EVENTS: Final = Refused(
    title="CloudWatch log events as text (--output text)",
    reason="an event is torn over two lines there, its time apart from its message",
    advice="run the same `aws logs` command with `--output json`",
    matches=_is_text_of_events,
)
