"""A guess at the map of a table that nobody knows, from the names of its columns and its first values."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal, NamedTuple

import polars as pl

from loadlens.logs.column_map import COUNTS_PER_SECOND, ColumnMap
from loadlens.logs.samples import Sample, SampleColumn
from loadlens.messages import listed
from loadlens.schema import EARLIEST_S, LATEST_S
from loadlens.text.typed_rows import PARSE_ERRORS

__all__ = ["Guess", "guess_map"]

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "usec", "usecs", "micro", "micros", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nano", "nanos", "nanosecond", "nanoseconds"), "ns"),
}
_SIZE_UNITS: Final = {
    **dict.fromkeys(("b", "byte", "bytes"), "bytes"),
    **{unit.lower(): unit for unit in ("KB", "MB", "GB", "KiB", "MiB", "GiB")},
}

_LATENCY: Final = (
    {"latency"},
    {"elapsed"},
    {"duration"},
    {"response", "time"},
    {"request", "time"},
    {"responsetime"},
    {"rtt"},
    {"rt"},
    {"took"},
    {"time", "taken"},
    {"total", "time"},
    {"service", "time"},
    {"time"},
)
"""Words by which a column is taken for the latency, the likeliest first."""

_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S,%3f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%d.%m.%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S%.f",
)

_DAY_OR_MONTH: Final = ("%m/%d/%Y %H:%M:%S%.f", "%d/%m/%Y %H:%M:%S%.f")

_MANY_NS: Final = 1e6
_MANY_US: Final = 1e5
_FEW_S: Final = 20
"""From which median on a latency without a unit is taken for ns and us, and up to which for s."""

_FIRST_HTTP: Final = 100
_LAST_HTTP: Final = 600
_FIRST_FAILED: Final = 400
_MANY_BYTES: Final = 2**20

_LABELS: Final = (
    "label",
    "name",
    "transaction",
    "endpoint",
    "route",
    "operation",
    "path",
    "url",
    "uri",
    "api",
    "request",
    "test",
    "step",
    "method",
)

_GOOD: Final = ("ok", "success", "successful", "succeeded", "passed", "pass", "done", "completed", "true")
_BAD: Final = ("ko", "fail", "failed", "failure", "error", "false", "timeout", "err", "nok")

_TRUTHS: Final = frozenset(("true", "false", "0", "1", "0.0", "1.0"))
_WORD: Final = re.compile(r"[A-ZÄÖÜ]?[a-zµäöü]+\d*|[A-Z]+(?![a-z])\d*|\d+")


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NO_LATENCY: Final = _words_of(
    "first connect connection dns tls ssl wait waiting queue blocked send sending receiving billed init "
    "timeout limit avg average mean min max median std stddev percentile p50 p90 p95 p99 count idle"
)
"""Words of durations that are parts of a call's, or no call's at all."""

_NO_TIME: Final = _words_of("bytes byte size length count rate kb mb number")
_START: Final = _words_of("start started begin began sent submitted issued")
_END: Final = _words_of("end ended finish finished stop stopped completed done received")
_TIME: Final = _START | _END | _words_of("time timestamp ts date datetime when at epoch logged created")


_METHODS: Final = _words_of("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH")
_SUCCESS: Final = _words_of("success successful succeeded ok passed")
_FAILURE: Final = _words_of("fail failed failure failures error errors err exception fault timeout")
_STATUS: Final = _words_of("status code statuscode rc result outcome state")
_NO_ERROR_COLUMN: Final = _words_of("count rate budget")
_NO_LABEL: Final = _words_of("id uuid user thread host hostname file server ip agent trace session unit")


@dataclass(frozen=True, kw_only=True)
class _Tool:
    """A tool by whose columns a table is known, as where its log was saved as Parquet.

    Attributes:
        names: columns that only its logs have together.
        latency: its column of latencies, beside others that sound like it.
        time: its column of times, and which time of a call that is.
        doubt: what a map cannot say of its rows.
    """

    names: frozenset[str]
    latency: str
    time: tuple[str, Literal["start", "end"]]
    doubt: str = ""


_TOOLS: Final = (
    _Tool(
        names=frozenset({"timeStamp", "elapsed", "label"}),
        latency="elapsed",
        time=("timeStamp", "start"),
        doubt="JMeter's transaction controllers, parts of samples (redirects, embedded resources) and sums "
        "(SampleCount above 1) count as calls under a map: save it as CSV and leave out --map if it has any",
    ),
    _Tool(
        names=frozenset({"timestamp", "request_type", "response_time_ms"}),
        latency="response_time_ms",
        time=("timestamp", "start"),
    ),
    _Tool(
        names=frozenset({"response-time", "offset", "status-code"}),
        latency="response-time",
        time=("offset", "start"),
    ),
    _Tool(
        names=frozenset({"app", "func", "end_timestamp", "duration"}),
        latency="duration",
        time=("end_timestamp", "end"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A map of columns that may fit.

    Attributes:
        entries: its entries, such as ``latency=elapsed:ms``.
        doubts: what may be wrong with it, one sentence each.
        no_header: whether the table seems to have no header.
    """

    entries: tuple[str, ...]
    doubts: tuple[str, ...]
    no_header: bool

    @property
    def column_map(self) -> ColumnMap:
        """The map."""
        return ColumnMap.parse(self.entries, no_header=self.no_header)


class _Entry(NamedTuple):
    """One entry of the map, and why it may be wrong, if it may."""

    target: str
    value: str
    doubt: str = ""


class _Time(NamedTuple):
    """A column of times: how they are written, and whether it is known for the start or the end."""

    column: SampleColumn
    unit: str
    role: Literal["start", "end", ""]
    doubt: str = ""

    @property
    def seconds(self) -> list[float]:
        """Its times in s, where they are counts."""
        per_second = COUNTS_PER_SECOND.get(self.unit.rpartition("_")[2])
        return [number / per_second for number in _numbers(self.column)] if per_second else []


def guess_map(sample: Sample) -> Guess | None:
    """Guesses which column is what; None where no column may be a latency and no two are start and end."""
    nameless = sample.no_header
    left = list(sample.columns)
    tool = _tool_of(left)
    times = [_as_known(time, tool) for column in left if (time := _time(column, nameless=nameless))]
    left = _without(left, [time.column for time in times])
    moments = _moments(times)
    status = _status(left, nameless=nameless)
    left = _without_named(left, status)
    named = [column for column in left if tool and column.name == tool.latency]
    latency = _latency(named or left, moments, nameless=nameless)
    if not latency and len(moments) < 2:  # noqa: PLR2004  # start and end
        return None
    left = _without_named(left, latency)
    errors = _error(left, has_success=any(entry.target == "success" for entry in status))
    left = _without_named(left, errors)
    outcome = [*status, *errors]
    found = [
        *latency,
        *_named_times(moments, has_latency=bool(latency)),
        *outcome,
        *_labels(left),
        *_sizes(left),
    ]
    doubts = [f"{entry.target}={entry.value}: {entry.doubt}" for entry in found if entry.doubt]
    if tool and tool.doubt:
        doubts.append(tool.doubt)
    if not any(entry.target in {"success", "error"} for entry in outcome):
        doubts.append("no column seems to tell which calls failed: every call would count as successful")
    return Guess(
        entries=tuple(f"{entry.target}={entry.value}" for entry in found),
        doubts=tuple(doubts),
        no_header=nameless,
    )


def _tool_of(columns: Iterable[SampleColumn]) -> _Tool | None:
    """The tool whose columns these are."""
    names = {column.name for column in columns}
    return next((tool for tool in _TOOLS if tool.names <= names), None)


def _as_known(time: _Time, tool: _Tool | None) -> _Time:
    """A time, with what it is of a call where the tool is known."""
    return time._replace(role=tool.time[1]) if tool and time.column.name == tool.time[0] else time


def _without(columns: Iterable[SampleColumn], used: Collection[SampleColumn]) -> list[SampleColumn]:
    return [column for column in columns if column not in used]


def _without_named(columns: Iterable[SampleColumn], entries: Iterable[_Entry]) -> list[SampleColumn]:
    """The columns that no entry names."""
    values = [entry.value for entry in entries]
    return [
        column
        for column in columns
        if not any(re.match(rf"{re.escape(column.name)}(?:[:<=!>]|\s+in\s|\Z)", value) for value in values)
    ]


def _words(column: SampleColumn) -> list[str]:
    """The words of a column's name, in lower case."""
    return [word.lower() for word in _WORD.findall(column.name)]


def _numbers(column: SampleColumn) -> list[float]:
    """The values that are numbers, if at least half of them are."""
    found = []
    for text in column.texts:
        with suppress(ValueError):
            found.append(float(text))
    found = [number for number in found if math.isfinite(number)]
    return found if 2 * len(found) >= len(column.texts) else []


def _unit_of(column: SampleColumn) -> str:
    """The unit of time that a name ends in, or nothing."""
    return next((_UNITS[word] for word in reversed(_words(column)) if word in _UNITS), "")


def _time(column: SampleColumn, *, nameless: bool) -> _Time | None:
    """A column of times; None for others."""
    words = set(_words(column))
    role: Literal["start", "end", ""] = ""
    if bool(words & _START) != bool(words & _END):
        role = "start" if words & _START else "end"
    if column.is_datetime:
        return _Time(column, "rfc3339", role)
    numbers = _numbers(column)
    if not numbers:
        return _written_time(column, role)
    middle = median(numbers)
    for unit, per_second in COUNTS_PER_SECOND.items():
        if EARLIEST_S * per_second <= middle <= LATEST_S * per_second and (nameless or words & _TIME):
            return _Time(column, f"epoch_{unit}", role)
    if role and not words & _NO_TIME and middle < EARLIEST_S:
        unit = _unit_of(column) or "s"
        return _Time(column, f"relative_{unit}", role, f"taken for {unit} since the test began")
    return None


def _written_time(column: SampleColumn, role: Literal["start", "end", ""]) -> _Time | None:
    fitting = [form for form in ("%+", *_FORMATS) if _is_written_as(column.texts, form)]
    if not fitting:
        return None
    unit = "rfc3339" if fitting[0] == "%+" else f"format:{fitting[0]}"
    other = [form for form in fitting[1:] if {form, fitting[0]} == set(_DAY_OR_MONTH)]
    doubt = f"it may be {other[0]}: no day is above 12" if other else ""
    return _Time(column, unit, role, doubt)


def _is_written_as(texts: Sequence[str], form: str) -> bool:
    if not texts:
        return False
    try:
        parsed = pl.Series(texts).str.strip_chars().str.to_datetime(form, time_unit="us", strict=False)
    except PARSE_ERRORS:
        return False
    return parsed.null_count() == 0


def _moments(times: Sequence[_Time]) -> list[_Time]:
    """The start and the end, as far as they are known; else the one time that there is."""
    known = [next((time for time in times if time.role == role), None) for role in ("start", "end")]
    found = [time for time in known if time]
    if found and len({time.unit.startswith("relative") for time in found}) == 1:
        return found
    return list(times[:1])


def _named_times(moments: Sequence[_Time], *, has_latency: bool) -> list[_Entry]:
    """Start and end; with a latency one of them is enough."""
    chosen = moments[:1] if has_latency else moments
    return [
        _Entry(
            time.role or "end",
            f"{time.column.name}:{time.unit}",
            time.doubt or ("" if time.role else f"it may be the start: start={time.column.name}:{time.unit}"),
        )
        for time in chosen
    ]


def _latency(columns: Sequence[SampleColumn], moments: Sequence[_Time], *, nameless: bool) -> list[_Entry]:
    """The latency, with the unit that its name, the times or its size tell; nothing where none is found."""
    fitting = [column for column in columns if _is_duration(column)]
    if nameless:
        ranked = [(column, "it is a guess: columns have no names") for column in fitting]
    else:
        ranked = [
            (column, "") for column in sorted(fitting, key=_latency_rank) if _latency_rank(column) < math.inf
        ]
    if not ranked:
        return []
    column, doubt = ranked[0]
    others = [other.name for other, _ in ranked[1:] if _latency_rank(other) == _latency_rank(column)]
    if others:
        doubt = f"it may be another column: {listed(others)}"
    named, told = _unit_of(column) or _unit_beside(column, columns), _unit_by_times(column, moments)
    if named and told and told != named:
        doubt = f"its name says {named}, start and end say {told}"
    unit = named or told
    if not unit:
        unit = _unit_by_size(column)
        numbers = _numbers(column)
        doubt = f"the unit is a guess by its values, {min(numbers):g} to {max(numbers):g}"
    return [_Entry("latency", f"{column.name}:{unit}", doubt)]


def _is_duration(column: SampleColumn) -> bool:
    numbers = _numbers(column)
    return bool(numbers) and min(numbers) >= -1 and not set(_words(column)) & _NO_LATENCY


def _latency_rank(column: SampleColumn) -> float:
    """How early its words come among those by which latencies are known; infinite for other columns."""
    words = set(_words(column))
    if words and words <= set(_UNITS):
        return len(_LATENCY)
    return next((rank for rank, known in enumerate(_LATENCY) if known <= words), math.inf)


def _unit_beside(column: SampleColumn, columns: Iterable[SampleColumn]) -> str:
    """The unit that a column beside this one holds, as in ``{"value": 17, "unit": "ms"}``."""
    name = f"{column.name.rpartition('.')[0]}.unit".lstrip(".")
    texts = {text for other in columns if other.name == name for text in other.texts}
    return _UNITS.get(texts.pop().lower(), "") if len(texts) == 1 else ""


def _unit_by_times(column: SampleColumn, moments: Sequence[_Time]) -> str:
    """The unit in which a latency is about the time from start to end, if both are known."""
    if len(moments) < 2:  # noqa: PLR2004  # start and end
        return ""
    spans = [end - start for start, end in zip(*(time.seconds for time in moments), strict=False)]
    latencies = _numbers(column)
    if not spans or median(spans) <= 0 or median(latencies) <= 0:
        return ""
    per_second = median(latencies) / median(spans)
    return next((unit for unit, n in COUNTS_PER_SECOND.items() if n / 2 < per_second < n * 2), "")


def _unit_by_size(column: SampleColumn) -> str:
    numbers = _numbers(column)
    middle = median(numbers)
    if middle >= _MANY_NS:
        return "ns"
    if middle >= _MANY_US:
        return "us"
    return "s" if middle < _FEW_S and any(number % 1 for number in numbers) else "ms"


def _status(columns: Sequence[SampleColumn], *, nameless: bool) -> list[_Entry]:
    """What tells which calls succeeded: a column of truth values, else a status."""
    for column in columns:
        if set(_words(column)) & _SUCCESS and _is_truth(column):
            return [_Entry("success", column.name)]
    for column in columns:
        if nameless or set(_words(column)) & _STATUS:
            found = _condition(column)
            if found:
                return found
    return []


def _is_truth(column: SampleColumn) -> bool:
    return bool(column.texts) and {text.strip().lower() for text in column.texts} <= _TRUTHS


def _condition(column: SampleColumn) -> list[_Entry]:
    numbers = _numbers(column)
    name = column.name
    if column.lacks_values and numbers and min(numbers) >= _FIRST_FAILED:
        return []  # only failures have one
    if any(numbers) and all(
        number % 1 == 0 and _FIRST_HTTP <= number < _LAST_HTTP for number in numbers if number
    ):
        return [_Entry("success", f"{name}<400")]
    if 0 in numbers and all(number % 1 == 0 for number in numbers):
        return [_Entry("success", f"{name}==0", "0 is taken for success")]
    values = list(dict.fromkeys(text.strip() for text in column.texts))
    good = [value for value in values if value.lower() in _GOOD]
    if numbers or not good:
        return []
    unknown = [value for value in values if value.lower() not in {*_GOOD, *_BAD}]
    doubt = f"{listed(unknown[:5])}: taken for failures" if unknown else ""
    condition = f"{name}=={good[0]}" if len(good) == 1 else f"{name} in {','.join(good)}"
    return [_Entry("success", condition, doubt)]


def _error(columns: Sequence[SampleColumn], *, has_success: bool) -> list[_Entry]:
    """The column of errors; one of truth values only where nothing else tells of success."""
    for column in columns:
        words = set(_words(column))
        is_flag = _is_truth(column)
        is_wanted = not has_success if is_flag else "timeout" not in words
        if words & _FAILURE and not words & _NO_ERROR_COLUMN and is_wanted:
            return [_Entry("error", column.name)]
    return []


def _labels(columns: Sequence[SampleColumn]) -> list[_Entry]:
    """The name of the request, and its method beside it."""
    fitting = [column for column in columns if not _numbers(column) and not set(_words(column)) & _NO_LABEL]
    ranked = sorted(fitting, key=_label_rank)
    label = next((column for column in ranked if _label_rank(column) < len(_LABELS)), None)
    method = next((column for column in columns if column.texts and set(column.texts) <= _METHODS), None)
    entries = [_Entry("label", label.name)] if label else []
    if method and label and method != label:
        entries.append(_Entry("method", method.name))
    return entries


def _label_rank(column: SampleColumn) -> int:
    words = _words(column)
    return next((rank for rank, name in enumerate(_LABELS) if name in words), len(_LABELS))


def _sizes(columns: Sequence[SampleColumn]) -> list[_Entry]:
    """The configured memory and the size of the response."""
    numeric = [column for column in columns if _numbers(column) and min(_numbers(column)) >= 0]
    return [*_memory(numeric), *_response_size(numeric)]


def _memory(columns: Sequence[SampleColumn]) -> list[_Entry]:
    for column in columns:
        words = _words(column)
        if {"memory", "mem"} & set(words) and not {"used", "usage", "max", "free"} & set(words):
            unit = next((_SIZE_UNITS[word] for word in words if word in _SIZE_UNITS), "")
            sized = unit or ("bytes" if min(_numbers(column)) >= _MANY_BYTES else "MB")
            return [_Entry("memory_size", f"{column.name}:{sized}", "" if unit else "the unit is a guess")]
    return []


def _response_size(columns: Sequence[SampleColumn]) -> list[_Entry]:
    for column in columns:
        words = set(_words(column))
        of_response = words & {"response", "body", "received", "content"} and words & {
            "bytes",
            "size",
            "length",
        }
        if words in ({"bytes"}, {"size"}) or of_response:
            unit = next((_SIZE_UNITS[word] for word in words if word in _SIZE_UNITS), "bytes")
            return [_Entry("response_size", f"{column.name}:{unit}" if unit != "bytes" else column.name)]
    return []
