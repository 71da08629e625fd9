"""The REPORT lines that AWS Lambda logs after each invocation, whatever exports put before them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Dialect, Elsewhere, Refused, header_of
from loadlens.messages import are, counted
from loadlens.schema import LATENCY, MAX_LATENCY_MS, Rule
from loadlens.text.json_records import OTHER_LINES, TextLines
from loadlens.text.stream import Head
from loadlens.text.typed_rows import seconds

__all__ = [
    "EPOCH_MS",
    "FAILED_ELSEWHERE",
    "ISO_TIME",
    "LAMBDA_REPORT",
    "LAMBDA_TEXT_EVENTS",
    "SIGNS",
    "TOLD_ELSEWHERE",
    "LineFields",
    "Report",
    "failures_in",
    "megabytes",
    "number",
    "unmatched",
    "warnings_of",
    "where_failed",
]


TOLD_ELSEWHERE: Final = "calls of which another line tells that they failed"
"""What reports are counted as, among the facts, that other lines tell of."""

FAILED_ELSEWHERE: Final = "calls of which another line alone tells that they failed"
"""What those of them are counted as that have no status."""

TIMEOUT: Final = "timeout"

SIGNS: Final = (
    b"Task timed out after",
    b"Error: Runtime exited",
    b"Error: fork/exec",
    b"Error: Couldn't find valid bootstrap",
    b"Process exited before completing request",
    b"Invoke Error",
    b"Uncaught Exception",
    b"Unhandled Promise Rejection",
)
"""One of these is in every such line, as text, within JSON and within CSV."""

_TIMED_OUT: Final = re.compile(
    rb"([\w-]{1,64})(?: Error:)? Task timed out after (\d{1,7})(?:\.(\d\d))?\d* seconds", re.ASCII
)
_EXITED: Final = re.compile(
    rb"RequestId: ([\w-]{1,64}) (?:Error: (?:(Runtime exited)|fork/exec|Couldn't find valid bootstrap)|"
    rb"Process exited before completing request)",
    re.ASCII,
)
# What the runtime of Node.js logs of an error that the function has not caught; tabs are escaped in JSON.
_UNCAUGHT: Final = re.compile(
    rb"(?:\t|\\t)([\w-]{1,64})(?:\t|\\t)ERROR(?:\t|\\t)"
    rb"(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection)"
    rb'(?:[ \t\\"t{]{0,12}errorType[\\"]{1,4}\s?:\s?[\\"]{1,4}([\w.:$-]{1,80}))?',
    re.ASCII,
)
_MS_PER_HUNDREDTH: Final = 10

# A time zone is optional: CloudWatch's times are UTC.
EPOCH_MS: Final = r"\d{13}"
ISO_TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"

_US_PER_S: Final = 10**6
_US_PER_MS: Final = 10**3
_PARTS: Final = (
    "time", "duration", "billed", "size", "used", "init", "restore", "status", "kind", "request",
)  # fmt: skip
_PART: Final = "report {}"
_BYTES_PER_MB: Final = (10**6, 2**20)
_DURATIONS: Final = {
    "Billed Restore Duration:": "BilledRestoreDuration:",
    "Billed Duration:": "BilledDuration:",
    "Init Duration:": "InitDuration:",
    "Restore Duration:": "RestoreDuration:",
}

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


def failures_in(data: bytes) -> Iterator[tuple[str, str]]:
    """Which invocations failed and how, as ``where_failed`` takes it."""
    for match in _TIMED_OUT.finditer(data):
        request, seconds, hundredths = match.groups(default=b"00")
        yield f"{request.decode()} {int(seconds + hundredths)}", TIMEOUT
    for match in _EXITED.finditer(data):
        yield match[1].decode(), "Runtime.ExitError" if match[2] else "Runtime.Failed"
    for match in _UNCAUGHT.finditer(data):
        yield match[1].decode(), (match[2] or b"error").decode()


def where_failed(request: pl.Expr, duration_ms: pl.Expr, failures: Mapping[str, str]) -> pl.Expr:
    """The class of the error that other lines tell of, String; null where none does.

    Retries have the id of the first attempt: a timeout is that of the attempt which took as long as it says.

    Args:
        request: the id of the request, String.
        duration_ms: what the function took, Float64.
        failures: what ``failures_in`` has found.
    """
    hundredths = (duration_ms / _MS_PER_HUNDREDTH).floor().cast(pl.Int64, strict=False)
    took = [pl.concat_str(request, pl.lit(" "), hundredths + near) for near in (0, 1, -1)]
    return pl.coalesce(
        key.replace_strict(failures, default=None, return_dtype=pl.String) for key in (*took, request)
    )


def unmatched(told: Iterable[str], matched: int) -> str:
    """What a reader has to know where lines and reports do not go together; nothing where they do.

    Args:
        told: the keys of what ``failures_in`` has found.
        matched: how many reports there are of these requests.
    """
    failures = len({key.partition(" ")[0] for key in told})
    if matched < failures:
        missing = failures - matched
        return (
            f"{missing:,} of {counted(failures, 'request')} that timed out, exited or threw, as lines tell, "
            f"{'has' if missing == 1 else 'have'} no report here and {are(missing)} not counted"
        )
    if matched > failures:
        return (
            f"{matched:,} reports are of {counted(failures, 'request')} that exited or threw, as lines tell: "
            f"a retry has the id of the first attempt, and counts as failed with it"
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The parts of a report, as expressions over the source columns; None for those that a log does not have.

    What is made of them is made of the columns of ``steps``, where each is computed once.

    Attributes:
        time: when the report was logged, as text: ms since 1970 or ISO 8601.
        duration: what the function took, ms, Float64.
        billed: what is billed, as logged, ms, Float64.
        size: configured memory, MB, Int64.
        used: the most memory used, MB, Int64.
        init: what a new environment took to start, ms, as text; null where there was one already.
        restore: what is billed of the restoring of a snapshot, ms, as text; null where none was restored.
        status: how the invocation ended; null where nothing is said.
        kind: the class of its error.
        request: the id of the request.
        failures: how requests failed, as other lines tell; they decide where a report has no status.
        memory_unit: what sizes of memory are logged in, as a message says it.
    """

    time: pl.Expr | None
    duration: pl.Expr
    billed: pl.Expr | None
    size: pl.Expr | None
    used: pl.Expr | None
    init: pl.Expr | None
    restore: pl.Expr | None
    status: pl.Expr
    kind: pl.Expr
    request: pl.Expr
    failures: Mapping[str, str] = field(default_factory=dict)
    memory_unit: str = "MB"

    def steps(self) -> tuple[dict[str, pl.Expr], ...]:
        """The columns that all other expressions are over."""
        parts = {part: value for part in _PARTS if isinstance(value := getattr(self, part), pl.Expr)}
        derived = {
            "init_ms": None if self.init is None else number(_part("init")),
            "restore_ms": None if self.restore is None else number(_part("restore")),
            "end_us": None if self.time is None else _epoch_us(_part("time")),
            "elsewhere": where_failed(_part("request"), _part("duration"), self.failures)
            if self.failures
            else pl.lit(None, dtype=pl.String),
        }
        return (
            {_PART.format(name): part for name, part in parts.items()},
            {_PART.format(name): part for name, part in derived.items() if part is not None},
        )

    def columns(self) -> tuple[pl.Expr, ...]:
        """The canonical columns."""
        status = pl.coalesce(_part("status"), _part("elsewhere"))
        failed = (status != "success").fill_null(value=False)
        kind = pl.when(_part("status") != "timeout").then(_part("kind"))
        told = {
            "memory_size": None if self.size is None else _part("size"),
            "memory_used": None if self.used is None else _part("used"),
            "billed_duration": None if self.billed is None else self._all_billed(),
        }
        return (
            (~failed).alias("success"),
            pl.when(failed).then(pl.coalesce(kind, status)).alias("error"),
            *self._times(),
            _part("duration").alias(LATENCY),
            *(part.alias(name) for name, part in told.items() if part is not None),
            *self._start_of_environment(),
        )

    def counted(self) -> dict[str, pl.Expr]:
        """What is counted of reports, among the facts."""
        if not self.failures:
            return {}
        told = _part("elsewhere").is_not_null()
        return {TOLD_ELSEWHERE: told, FAILED_ELSEWHERE: told & _part("status").is_null()}

    @property
    def identity(self) -> tuple[pl.Expr, ...]:
        """What tells a report from all others: a retry has the id of the first attempt."""
        time = pl.lit("") if self.time is None else _part("time")
        return _part("request"), time, _part("duration")

    def _times(self) -> tuple[pl.Expr, ...]:
        """A report is written at the end of an invocation."""
        if self.time is None:
            return ()
        end = _part("end_us")
        start = end - (_part("duration") * _US_PER_MS).round().cast(pl.Int64, strict=False)
        return tuple(
            seconds(moment, per_second=_US_PER_S).alias(name)
            for name, moment in (("start_time", start), ("end_time", end))
        )

    def _all_billed(self) -> pl.Expr:
        """The logged billed duration, which holds what is billed of a restoring; else that is added."""
        billed = _part("billed")
        if self.restore is None:
            return billed
        together = (_part("duration") + _part("restore_ms")).ceil()
        lacks = (billed + 1 < together).fill_null(value=False)  # each is rounded up to whole ms
        return pl.when(lacks).then(together).otherwise(billed)

    def _start_of_environment(self) -> tuple[pl.Expr, ...]:
        """An environment begins by INIT or by the restoring of a snapshot."""
        if self.init is None:
            return ()
        begun = _part("init").is_not_null()
        if self.restore is not None:
            begun |= _part("restore").is_not_null()
        restored = [] if self.restore is None else [_part("restore_ms").alias("restore_duration")]
        return begun.alias("cold_start"), _part("init_ms").alias("init_duration"), *restored

    def rules(self, columns: Mapping[str, str], where: pl.Expr | None = None) -> Iterator[Rule]:
        """The rules of the parts.

        Args:
            columns: the source column of a part, where it is not the part's name.
            where: the rows that they are for; all where it is None.
        """
        for part, (expected, broken) in self._faults().items():
            if getattr(self, part) is not None:
                rule = broken if where is None else broken & where
                yield Rule(column=columns.get(part, part), expected=expected, broken=rule)

    def _faults(self) -> dict[str, tuple[str, pl.Expr]]:
        """What a part must be, and where it is not."""
        return {
            "time": ("the time of the log event", _part("end_us").is_null()),
            "duration": ("a duration in ms, 0 or more", _odd("duration")),
            "billed": ("a billed duration in ms, 0 or more", _odd("billed")),
            "size": (f"a memory size in {self.memory_unit}, 0 or more", _odd("size")),
            "used": (f"a used memory in {self.memory_unit}, 0 or more", _odd("used")),
            "init": ("an init duration in ms, 0 or more", _part("init").is_not_null() & _odd("init_ms")),
            "restore": (
                "a billed restore duration in ms, 0 or more",
                _part("restore").is_not_null() & _odd("restore_ms"),
            ),
        }


def _part(name: str) -> pl.Expr:
    return pl.col(_PART.format(name))


def number(text: pl.Expr) -> pl.Expr:
    """Text as Float64; null where it is no number."""
    return text.cast(pl.Float64, strict=False)


def megabytes(size: pl.Expr) -> pl.Expr:
    """Bytes as MB, which are 10^6 or 2^20 of them, whichever makes a whole number; else null."""
    whole = number(size).cast(pl.Int64, strict=False)
    return pl.coalesce(pl.when(whole % unit == 0).then(whole // unit) for unit in _BYTES_PER_MB)


def _odd(part: str) -> pl.Expr:
    """Where a number is missing, or none that can be."""
    return ~_part(part).is_between(0, MAX_LATENCY_MS, closed="left").fill_null(value=False)


def _epoch_us(time: pl.Expr) -> pl.Expr:
    """Microseconds since 1970, exactly; null where ``time`` is in neither form."""
    ms = pl.when(time.str.contains(rf"^{EPOCH_MS}$")).then(time).cast(pl.Int64, strict=False)
    zoned = pl.when(time.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$")).then(time).otherwise(time + "Z")
    iso = zoned.str.replace(" ", "T", literal=True).str.replace("Z", "+00:00", literal=True)
    moment = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    return pl.coalesce(ms * _US_PER_MS, moment.dt.epoch("us"))


class LineFields:
    """The fields of a REPORT line, in any order, as text: null where one is not there, empty where torn.

    Args:
        line: what ``plain`` has made of it.
    """

    def __init__(self, line: pl.Expr) -> None:
        self._line = line

    @staticmethod
    def plain(line: pl.Expr) -> pl.Expr:
        """A line, from its request's id on, in which no name of a duration is the end of another's."""
        return line.str.replace_many(_DURATIONS, leftmost=True)

    def __call__(self, name: str, unit: str) -> pl.Expr:
        """The number of a field with that unit, ``name`` as in ``Billed Duration``."""
        name = _DURATIONS.get(f"{name}:", f"{name}:")
        found = self._line.str.extract(rf"(?:^|\s){name}\s*(\S+)\s+{unit}\b").fill_null("")
        return pl.when(self._line.str.contains(rf"(?:^|\s){name}")).then(found)

    @property
    def init(self) -> pl.Expr:
        """What a new environment took to start; with SnapStart it is restored instead."""
        return pl.coalesce(self("Init Duration", "ms"), self("Restore Duration", "ms"))

    @property
    def restore(self) -> pl.Expr:
        """What is billed of a restoring."""
        return self("Billed Restore Duration", "ms")

    @property
    def status(self) -> pl.Expr:
        """How the invocation ended."""
        return self._line.str.extract(r"(?:^|\s)Status: (\w+)")

    @property
    def kind(self) -> pl.Expr:
        """The class of the error."""
        return self._line.str.extract(r"(?:^|\s)Error Type: ([\w.:$-]+)")


def warnings_of(facts: Mapping[str, int], *, timed: bool) -> list[str]:
    """What a log of reports cannot tell."""
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
    if failed := facts.get(FAILED_ELSEWHERE):
        calls = counted(failed, "call counts", "calls count")
        found.append(f"{calls} as failed because other lines tell so, such as 'Task timed out'")
    if others := facts.get(OTHER_LINES):
        lines = counted(others, "other line is no report", "other lines are no reports")
        found.append(f"{lines} and {are(others)} left out")
    return found


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
    signs=(b"REPORT RequestId:",),
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
    signs=(b"EVENTS\t",),
    title="CloudWatch log events as text (--output text)",
    reason="an event is torn over two lines there, its time apart from its message",
    advice="run the same `aws logs` command with `--output json`",
    matches=_is_text_of_events,
)
