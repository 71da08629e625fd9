"""What k6's formats share: from the parts of a sample, such as its metric and tags, to a canonical row."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.dialects.base import error_class, filled
from loadlens.messages import NOT_ANALYSED, are, brief, counted, listed
from loadlens.schema import LATENCY, Rule
from loadlens.text.typed_rows import seconds

__all__ = [
    "EVERYDAY",
    "OTHER_SAMPLES",
    "REQUESTS",
    "RFC3339",
    "TAGS",
    "TIME_MEANING",
    "TRANSACTIONS",
    "UNITS",
    "VALUE_MEANING",
    "Sample",
    "Tag",
    "observed",
    "other_samples",
    "request_columns",
    "sample_rules",
    "text_ns",
    "text_rule",
    "time_form",
    "transaction_columns",
    "unix_ns",
    "unix_rule",
    "warnings_of",
]

_HTTP: Final = "http_req_duration"
_GRPC: Final = "grpc_req_duration"
_WEBSOCKET: Final = "ws_connecting"
_SESSION: Final = "ws_session_duration"
_DROPPED: Final = "dropped_iterations"
_GROUP: Final = "group_duration"
_ITERATION: Final = "iteration_duration"

REQUESTS: Final = (_HTTP, _GRPC, _WEBSOCKET)
"""The metrics of which k6 writes one sample for each call: a request, an RPC, a WebSocket's handshake."""

TRANSACTIONS: Final = (_GROUP, _ITERATION)
"""The metrics of which k6 writes one sample for each group and for each iteration of the script."""

EVERYDAY: Final = frozenset(
    (
        *("vus", "vus_max", "iterations", _ITERATION, _GROUP, "checks", "data_sent", "data_received"),
        *("http_reqs", "http_req_failed", "http_req_blocked", "http_req_looking_up", "http_req_connecting"),
        *("http_req_tls_handshaking", "http_req_sending", "http_req_waiting", "http_req_receiving"),
        *("ws_sessions", "ws_msgs_sent", "ws_msgs_received", "ws_ping"),
        *("grpc_streams", "grpc_streams_msgs_sent", "grpc_streams_msgs_received"),
        *("browser_data_sent", "browser_data_received", "browser_http_req_failed"),
        *(f"browser_web_vital_{name}" for name in ("ttfb", "lcp", "cls", "inp", "fcp", "fid")),
    )
)
"""Metrics of k6's own that tell of no call which others do not tell of."""

OTHER_SAMPLES: Final = "samples of other metrics"
"""What all other samples are left out as."""

_KNOWN_METRICS: Final = (*EVERYDAY, *REQUESTS, *TRANSACTIONS, _DROPPED)
# What k6 has let no metric's name hold, in any version.
_NO_METRIC_NAME: Final = r"[^\p{L}\p{N}._ !?/&#()<>%-]"

_SAMPLES_OF: Final = NOT_ANALYSED
_DROPPED_ITERATIONS: Final = "iterations that were dropped"
_UNTOLD: Final = "requests without expected_response"
_EXPECTED_UNANSWERED: Final = "requests without a response that were expected"
_HANDSHAKES: Final = "WebSocket calls"
_UNANSWERED: Final = "WebSocket calls without a status"
_AS_TRANSACTIONS: Final = "groups and iterations"
_MOST_METRICS = 50
_SHOWN_METRICS = 10

TAGS: Final = {
    "expected_response": "whether the status is one that the script expects",
    "error": "what went wrong, where no response came",
    "error_code": "k6's number for what went wrong; from 1400 on, 1000 more than the status",
    "status": "HTTP status, 0 where no response came; of gRPC its code, of WebSockets 101 where they opened",
    "name": "name of the request: its URL, unless the script gives another",
    "url": "URL of the request",
    "method": "method of HTTP or of gRPC",
    "scenario": "scenario of the script",
    "group": "group of the script",
}
"""The tags that are read, and what they are."""

TIME_MEANING: Final = "end of the request"
VALUE_MEANING: Final = "latency from sending to the last byte, ms"

UNITS: Final = {"unix": 1, "unix_milli": 10**3, "unix_micro": 10**6, "unix_nano": 10**9}
"""Numbers as times, as K6_CSV_TIME_FORMAT calls them, and how many of each make a second."""

RFC3339: Final = "rfc3339"
"""Text as times, whatever the precision."""

Tag = Callable[[str], pl.Expr]
"""Gives the expression of a tag, of type String."""

_TEXT: Final = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800  # the years from 2000 to 2099
_NS_PER_S: Final = 10**9
_NS_PER_MS: Final = 10**6

_FIRST_FAILED_STATUS = 400
_SWITCHED_TO_WEBSOCKET = 101
_STATUS_CODES: Final = (1400, 1599)
_GRPC_OK: Final = ("0", "OK")
_GRPC_CODES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_ERROR_CLASSES: Final = {
    "1000": "unknown error",
    "1010": "network error",
    "1020": "invalid URL",
    "1050": "request timeout",
    "1100": "DNS error",
    "1101": "no such host",
    "1110": "blocked address",
    "1111": "blocked host name",
    "1200": "TCP error",
    "1201": "broken pipe",
    "1202": "unknown TCP error",
    "1210": "dial error",
    "1211": "dial timeout",
    "1212": "connection refused",
    "1213": "unknown dial error",
    "1220": "connection reset",
    "1300": "TLS error",
    "1301": "TLS header error",
    "1310": "certificate of an unknown authority",
    "1311": "certificate of another host",
}
# Addresses and URLs in a message would make each a class of its own, or tell secrets.
_END_OF_CLASS: Final = r'\n("?0-9'

_UNMEASURED: Final = (
    "its latencies of HTTP requests leave out waiting for a connection, connecting and the TLS handshake; "
    "start times are when sending began"
)
_UNJUDGED: Final = "it does not tell whether groups and iterations failed: all count as successful"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The parts of a sample, as expressions.

    Attributes:
        metric: its metric, String.
        time_ns: its time, ns since 1970, Int64.
        value: its value, Float64.
        tag: gives the expression of a tag; null where ``tags`` lacks it.
        tags: the tags that there are.
    """

    metric: pl.Expr
    time_ns: pl.Expr
    value: pl.Expr
    tag: Tag
    tags: Collection[str]

    def filled(self, *names: str) -> pl.Expr:
        """The first of these tags that holds anything, without blanks around it."""
        return pl.coalesce(filled(self.tag(name)) for name in names)

    @property
    def status(self) -> pl.Expr:
        """The status as a number, where it is one."""
        return self.tag("status").cast(pl.Int64, strict=False)


def request_columns(sample: Sample) -> tuple[pl.Expr, ...]:
    """The canonical columns of calls.

    The time of a sample is the end of the call, but of a WebSocket's handshake, which k6 logs by its start.
    """
    failed = _failed(sample)
    took = _nanoseconds(sample.value)
    starts = sample.metric == _WEBSOCKET
    columns = [
        (~failed).alias("success"),
        pl.when(failed).then(_error(sample)).alias("error"),
        *_times(sample, pl.when(starts).then(0).otherwise(took), pl.when(starts).then(took).otherwise(0)),
        sample.value.alias(LATENCY),
    ]
    if {"name", "url"} & set(sample.tags):
        columns.append(sample.filled("name", "url").fill_null("").alias("label"))
    return (*columns, *_others(sample, ("status", "method", "scenario", "group")))


def transaction_columns(sample: Sample) -> tuple[pl.Expr, ...]:
    """The canonical columns of groups and iterations, of which k6 does not log whether they failed."""
    took = _nanoseconds(sample.value)
    path = sample.filled("group").str.strip_prefix("::").str.replace_all("::", " / ", literal=True)
    iteration = pl.concat_str(
        [pl.lit("iteration"), sample.filled("scenario")], separator=" of ", ignore_nulls=True
    )
    return (
        pl.lit(value=True).alias("success"),
        pl.lit(None, dtype=pl.String).alias("error"),
        *_times(sample, took, pl.lit(0)),
        sample.value.alias(LATENCY),
        pl.when(sample.metric == _GROUP)
        .then(pl.coalesce(path, pl.lit("group")))
        .otherwise(iteration)
        .alias("label"),
        *_others(sample, ("scenario", "group")),
    )


def _nanoseconds(ms: pl.Expr) -> pl.Expr:
    return (ms * _NS_PER_MS).round().cast(pl.Int64, strict=False)


def _times(sample: Sample, before: pl.Expr, after: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Start and end, so many ns before and after the time of the sample."""
    start, end = sample.time_ns - before, sample.time_ns + after
    return (
        seconds(start, per_second=_NS_PER_S).alias("start_time"),
        seconds(end, per_second=_NS_PER_S).alias("end_time"),
    )


def _others(sample: Sample, names: Collection[str]) -> list[pl.Expr]:
    return [sample.filled(name).alias(name) for name in names if name in sample.tags]


def _failed(sample: Sample) -> pl.Expr:
    """Whether a call failed: as ``expected_response`` says; without it, by its status and its error."""
    told = sample.filled("expected_response") == "false"
    by_status = (
        pl.when(sample.metric == _GRPC)
        .then(~sample.filled("status").is_in(_GRPC_OK))
        .when(sample.metric == _WEBSOCKET)
        .then((sample.status != _SWITCHED_TO_WEBSOCKET).fill_null("status" in sample.tags))
        .otherwise((sample.status >= _FIRST_FAILED_STATUS) | (sample.status == 0))
        .fill_null(value=False)
    )
    return pl.coalesce(told, by_status | sample.filled("error", "error_code").is_not_null())


def _error(sample: Sample) -> pl.Expr:
    """The status of a failed call; where no response came, what went wrong."""
    status, code = sample.filled("status"), sample.filled("error_code")
    number = code.cast(pl.Int64, strict=False)
    return pl.coalesce(
        pl.when((sample.metric == _GRPC) & ~status.is_in(_GRPC_OK)).then(_grpc_error(status)),
        pl.when(sample.status >= _FIRST_FAILED_STATUS).then(status),
        pl.when(number.is_between(*_STATUS_CODES)).then((number - 1000).cast(pl.String)),
        code.replace_strict(_ERROR_CLASSES, default=pl.lit("error ") + code, return_dtype=pl.String),
        filled(error_class(sample.tag("error"), _END_OF_CLASS).str.strip_chars(" :")),
        pl.when(sample.filled("error").is_not_null()).then(pl.lit("unknown error")),
        pl.when(sample.status > 0).then(pl.lit("failed with ") + status),
        pl.lit("no response"),
    )


def _grpc_error(status: pl.Expr) -> pl.Expr:
    names = {str(code): name for code, name in enumerate(_GRPC_CODES)}
    return pl.lit("gRPC ") + status.replace_strict(names, default=status, return_dtype=pl.String)


def other_samples(sample: Sample, calls: Collection[str]) -> pl.Expr:
    """Whether a sample is of a metric that is not read; a damaged name may be that of any metric."""
    return ~sample.metric.is_in(calls) & ~_is_damaged(sample.metric)


def _is_damaged(metric: pl.Expr) -> pl.Expr:
    """Whether k6 can have no metric of that name: a hole in a file leaves zero bytes before one."""
    return metric.str.contains(_NO_METRIC_NAME).fill_null(value=False)


def sample_rules(sample: Sample, metric: str, value: str, prefix: str = "") -> tuple[Rule, ...]:
    """What a sample must hold.

    Args:
        sample: the sample.
        metric: what messages call its metric.
        value: what messages call its value.
        prefix: what stands before the names of tags in messages.
    """
    tag = sample.tag
    numbers = [
        Rule(
            column=f"{prefix}{name}",
            expected="a whole number or nothing",
            broken=sample.filled(name).is_not_null() & tag(name).cast(pl.Int64, strict=False).is_null(),
        )
        for name in ("status", "error_code")
        if name in sample.tags
    ]
    truth = Rule(
        column=f"{prefix}expected_response",
        expected="true, false or nothing",
        broken=~tag("expected_response").is_in(["true", "false", ""]),
    )
    return (
        Rule(column=metric, expected="the name of a metric", broken=_is_damaged(sample.metric)),
        Rule(column=value, expected="0 or more", broken=sample.value.is_null() | (sample.value < 0)),
        *([truth] if "expected_response" in sample.tags else []),
        *numbers,
    )


def observed(sample: Sample, calls: Collection[str], typed: pl.DataFrame) -> dict[str, int]:
    """What is counted of samples for warnings, by what it is.

    Args:
        sample: the parts of a sample, over the columns of ``typed``.
        calls: the metrics whose samples are calls.
        typed: samples of every metric but ``EVERYDAY``; some of that may be among them.
    """
    is_call, is_http = sample.metric.is_in(calls), sample.metric == _HTTP
    untold = sample.filled("expected_response").is_null()
    dropped = pl.when(sample.metric == _DROPPED).then(sample.value).round().cast(pl.Int64, strict=False)
    counts = {
        _DROPPED_ITERATIONS: dropped,
        _AS_TRANSACTIONS: is_call & sample.metric.is_in(TRANSACTIONS),
        _UNTOLD: is_call & is_http & untold,
        _EXPECTED_UNANSWERED: is_call & is_http & _is_unanswered(sample) & _is_expected(sample),
        _HANDSHAKES: is_call & (sample.metric == _WEBSOCKET),
        _UNANSWERED: is_call & (sample.metric == _WEBSOCKET) & untold & sample.status.is_null(),
    }
    found = typed.select(expression.sum().alias(what) for what, expression in counts.items()).row(
        0, named=True
    )
    return {**{what: int(count) for what, count in found.items() if count}, **_unknown(sample, typed)}


def _is_expected(sample: Sample) -> pl.Expr:
    return (sample.filled("expected_response") == "true").fill_null(value=False)


def _is_unanswered(sample: Sample) -> pl.Expr:
    """Whether no response came: the status is 0 or is lacking, and the error, if any, is of no status."""
    code = sample.filled("error_code").cast(pl.Int64, strict=False)
    lacks_status = sample.status.is_null() & ~code.is_between(*_STATUS_CODES)
    return ((sample.status == 0) | lacks_status).fill_null(value=False)


def _unknown(sample: Sample, typed: pl.DataFrame) -> dict[str, int]:
    """The samples of each metric that may tell of calls and is not read, those of the most samples first."""
    metric = typed.select(sample.metric.alias("metric")).to_series()
    other = metric.filter(~metric.is_in([*_KNOWN_METRICS, ""]))
    other = other.filter(~other.str.contains(_NO_METRIC_NAME)) if other.len() else other
    counts = other.value_counts(sort=True).rows()[:_MOST_METRICS]
    return {f"{_SAMPLES_OF}{name}": count for name, count in counts}


def text_ns(text: pl.Expr) -> pl.Expr:
    """A time as RFC 3339 in ns since 1970; null where it is none."""
    return text.str.to_datetime("%+", time_unit="ns", time_zone="UTC", strict=False).dt.epoch("ns")


def text_rule(column: str, text: pl.Expr) -> Rule:
    """A time is RFC 3339, from 2000 to 2099."""
    # Polars lets a year that does not fit into nanoseconds wrap around, even into one that is ours.
    is_time = text.str.starts_with("20") & text_ns(text).is_not_null()
    broken = ~is_time.fill_null(value=False)
    return Rule(column=column, expected="a time of 2000 to 2099 as RFC 3339", broken=broken)


def unix_ns(time: pl.Expr, unit: str) -> pl.Expr:
    """An Int64 count of one of ``UNITS`` in ns."""
    return time * (_NS_PER_S // UNITS[unit])


def unix_rule(column: str, unit: str) -> Rule:
    """A time counted in one of ``UNITS`` is from 2000 to 2099."""
    first, last = _FIRST_S * UNITS[unit], _LAST_S * UNITS[unit]
    broken = ~pl.col(column).is_between(first, last, closed="left")
    return Rule(column=column, expected=f"a time of 2000 to 2099 as {unit}", broken=broken)


def time_form(time: str) -> str | None:
    """Which of ``UNITS``, or ``RFC3339``, a time is in; the units are so far apart that only one fits."""
    if _TEXT.fullmatch(time):
        return RFC3339
    longest = len(str(_LAST_S * _NS_PER_S))
    if not (time.isascii() and time.isdecimal() and len(time) <= longest):
        return None
    return next((unit for unit, per in UNITS.items() if _FIRST_S <= int(time) // per < _LAST_S), None)


def warnings_of(tags: Collection[str], rows: int, facts: Mapping[str, int]) -> list[str]:
    """What a log cannot tell.

    Args:
        tags: the tags that it can have.
        rows: the calls that were read.
        facts: all that ``observed`` has counted in it.
    """
    found = [_UNJUDGED if facts.get(_AS_TRANSACTIONS) else _UNMEASURED]
    if facts.get(_UNTOLD):
        found.append(f"{_have(facts[_UNTOLD], 'request')} no {_derived(tags)}")
    if unanswered := facts.get(_EXPECTED_UNANSWERED):
        requests = counted(unanswered, "request that got", "requests that got")
        found.append(
            f"expected_response is true of {requests} no response (status 0): "
            f"{'it counts' if unanswered == 1 else 'they count'} as successful, as in k6's http_req_failed"
        )
    if facts.get(_UNANSWERED):
        found.append(
            f"{_have(facts[_UNANSWERED], 'WebSocket call')} no status, which tells that no response came: "
            f"such a call counts as failed"
        )
    if facts.get(_DROPPED_ITERATIONS):
        found.append(
            f"k6 dropped {counted(facts[_DROPPED_ITERATIONS], 'iteration')}, as no virtual user was free or "
            f"time was up: the load was lower than asked for"
        )
    sessions = _covered_sessions(facts)
    if sessions:
        found.append(
            f"{counted(sessions, 'sample')} of {_SESSION} {are(sessions)} left out: of a WebSocket session "
            f"the handshake ({_WEBSOCKET}) is the call"
        )
    unread = _unread(facts)
    if unread:
        found.append(
            f"samples of metrics that are not analysed, though they may tell of calls: {unread}; "
            f"only {listed(REQUESTS)} are calls"
        )
    if not rows:
        found.append(f"it has no samples of {listed(REQUESTS)}, which alone are calls")
    return found


def _have(count: int, what: str) -> str:
    return counted(count, f"{what} has", f"{what}s have")


def _derived(tags: Collection[str]) -> str:
    signs = {
        "error": "it has an error",
        "error_code": "it has an error_code",
        "status": "its status is 400 or more, or 0",
    }
    how = " or ".join(sign for name, sign in signs.items() if name in tags)
    if how:
        return f"expected_response: a request counts as failed where {how}"
    return "expected_response, error, error_code and status: every request counts as successful"


def _covered_sessions(facts: Mapping[str, int]) -> int:
    """How many WebSocket sessions there are if each may have begun with a handshake that was read, else 0."""
    sessions = facts.get(f"{_SAMPLES_OF}{_SESSION}", 0)
    return sessions if sessions <= facts.get(_HANDSHAKES, 0) else 0


def _unread(facts: Mapping[str, int]) -> str:
    """The metrics that are not read and may tell of calls, with their samples; nothing if there are none."""
    counts = {
        what.removeprefix(_SAMPLES_OF): count for what, count in facts.items() if what.startswith(_SAMPLES_OF)
    }
    if _covered_sessions(facts):
        del counts[_SESSION]
    shown = sorted(counts, key=lambda name: (-counts[name], name))[:_SHOWN_METRICS]
    more = f" and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return ", ".join(f"{brief(name)} ({counts[name]:,})" for name in shown) + more
