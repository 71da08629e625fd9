"""AIPerf's records (profile_export.jsonl): one JSON object for each request."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Dialect
from loadlens.dialects.durations import DURATIONS
from loadlens.messages import are, counted, counted_kind
from loadlens.schema import FAILED_LATENCY_MS, LATENCY, Rule
from loadlens.text.json_records import JsonLines
from loadlens.text.stream import Head
from loadlens.text.typed_rows import seconds

__all__ = ["AIPERF_JSON"]

_TYPES: Final[dict[str, pl.DataType]] = {
    "metadata": pl.Struct(
        {
            "x_request_id": pl.String(),
            "request_start_ns": pl.Int64(),
            "request_end_ns": pl.Int64(),
            "benchmark_phase": pl.String(),
            "was_cancelled": pl.Boolean(),
            "timestamp_ns": pl.Int64(),
            "credit_phase": pl.String(),
        }
    ),
    "metrics": pl.Struct({"request_latency": pl.Struct({"value": pl.String(), "unit": pl.String()})}),
    "error": pl.Struct({"code": pl.String(), "type": pl.String()}),
}

_MEANING: Final = (
    ("metadata.request_start_ns", "start of the request: ns since 1970"),
    ("metadata.request_end_ns", "end of the request: ns since 1970; the latency is what lies between"),
    ("metadata.timestamp_ns", "the start, in logs of the first versions"),
    ("metrics.request_latency", "the latency where there is no request_end_ns, ms"),
    ("metadata.benchmark_phase", "phase of the benchmark (first: credit_phase); only profiling counts"),
    ("metadata.was_cancelled", "whether the request was cancelled, which counts as a failure"),
    ("error.code", "status of a failed request"),
    ("error.type", "class of the error, where it has no status"),
)

_SAMPLED_LINES = 20
_WARM_UPS: Final = "warm-up requests"
_OTHER_PHASES: Final = "requests of other phases"
_CANCELLED: Final = "cancelled"
_CANCELLATION: Final = "RequestCancellationError"
_SHORTER_NS: Final = "ns that request_latency is shorter"
_FIRST: Final = "calls without an end"
_COMPARED: Final = "calls with request_latency"
_BEGINNINGS: Final = ({"request_start_ns", "request_end_ns"}, {"timestamp_ns", "credit_phase"})
"""What the metadata of a record has, now and in the first versions."""

_NS_PER_S = 10**9
_NS_PER_MS = 10**6


def _matches(head: Head) -> bool:
    return any(_is_record(line) for line in head.lines[:_SAMPLED_LINES])


def _is_record(line: str) -> bool:
    if '"request_start_ns"' not in line and '"timestamp_ns"' not in line:
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return isinstance(metadata, dict) and any(names <= metadata.keys() for names in _BEGINNINGS)


def _open(_head: Head) -> JsonLines:
    return _lines()


@lru_cache  # thousands of files have one layout
def _lines() -> JsonLines:
    phase = pl.coalesce(_metadata("benchmark_phase"), _metadata("credit_phase")).str.to_lowercase()
    spans = _end_ns() - _metadata("request_start_ns")
    own_ns = (_own_latency() * _NS_PER_MS).cast(pl.Int64, strict=False)
    counts = (phase == "profiling").fill_null(value=True)
    compared = (own_ns.is_not_null() & spans.is_not_null() & ~_failed() & counts).fill_null(value=False)
    return JsonLines(
        types=_TYPES,
        columns=_columns(),
        rules=_rules(),
        left_out={_WARM_UPS: phase == "warmup", _OTHER_PHASES: phase != "profiling"},
        required=frozenset({"metadata"}),
        counted={
            _FIRST: _is_first() & counts,
            _COMPARED: compared,
            _SHORTER_NS: pl.when(compared).then(spans - own_ns),
        },
        meaning=_MEANING,
        identity=(_metadata("x_request_id"), _start_ns(), _end_ns()),
    )


_VALUE: Final = pl.Struct({"value": pl.String(), "unit": pl.String()})
_TTFT: Final = "time_to_first_token"


def _open_durations(_head: Head) -> JsonLines:
    return _lines_with_durations()


@lru_cache
def _lines_with_durations() -> JsonLines:
    lines = _lines()
    metrics = pl.Struct({"request_latency": _VALUE, _TTFT: _VALUE})
    return replace(
        lines,
        types={**lines.types, "metrics": metrics},
        columns=(*lines.columns, _metric_ms(_TTFT).alias(DURATIONS["first_token"].column)),
        meaning=(*lines.meaning, (f"metrics.{_TTFT}", "time to the first token, ms")),
    )


def _metadata(name: str) -> pl.Expr:
    return pl.col("metadata").struct.field(name)


def _is_first() -> pl.Expr:
    """Whether a record is of the first versions, which log no end."""
    return _metadata("request_start_ns").is_null() & _metadata("timestamp_ns").is_not_null()


def _start_ns() -> pl.Expr:
    return pl.coalesce(_metadata("request_start_ns"), _metadata("timestamp_ns"))


def _end_ns() -> pl.Expr:
    """The logged end; in logs of the first versions, which have none, what the latency makes it."""
    took = (_own_latency() * _NS_PER_MS).round().cast(pl.Int64, strict=False)
    return pl.when(_is_first()).then(_metadata("timestamp_ns") + took).otherwise(_metadata("request_end_ns"))


def _own_latency() -> pl.Expr:
    """What AIPerf calls the latency of a request, ms: it ends with the last response that has content."""
    return _metric_ms("request_latency")


def _metric_ms(name: str) -> pl.Expr:
    """A metric of a request that AIPerf tells in ms."""
    metric = pl.col("metrics").struct.field(name).struct
    return pl.when(metric.field("unit") == "ms").then(metric.field("value").cast(pl.Float64, strict=False))


def _columns() -> tuple[pl.Expr, ...]:
    start, end = _start_ns(), _end_ns()
    return (
        (~_failed()).alias("success"),
        _error().alias("error"),
        seconds(start, per_second=_NS_PER_S).alias("start_time"),
        seconds(end, per_second=_NS_PER_S).alias("end_time"),
        _ms(end - start).fill_null(FAILED_LATENCY_MS).alias(LATENCY),
        _filled("code").alias("status"),
    )


def _ms(ns: pl.Expr) -> pl.Expr:
    # By a constant Polars would multiply with the inverse, which is off in the last digit.
    return ns / (ns * 0 + _NS_PER_MS)


def _failed() -> pl.Expr:
    return _cancelled() | pl.col("error").is_not_null()


def _cancelled() -> pl.Expr:
    is_cancellation = pl.col("error").struct.field("type") == _CANCELLATION
    return pl.coalesce(_metadata("was_cancelled"), is_cancellation).fill_null(value=False)


def _error() -> pl.Expr:
    """How a request failed: cancelled, its status, or the class of its error."""
    cancelled = pl.when(_cancelled()).then(pl.lit(_CANCELLED))
    failed = pl.when(_failed()).then(pl.lit("failed"))
    return pl.coalesce(cancelled, _filled("code"), _filled("type"), failed)


def _filled(name: str) -> pl.Expr:
    text = pl.col("error").struct.field(name).str.strip_chars()
    return pl.when(text != "").then(text)


def _rules() -> tuple[Rule, ...]:
    start, end = _start_ns(), _end_ns()
    return (
        Rule(
            column="metadata.request_start_ns",
            expected="ns since 1970",
            broken=start.is_null() | (start < 0),
        ),
        Rule(
            column="metrics.request_latency.value",
            expected="ms, 0 or more",
            broken=_is_first() & ~_failed() & ~(_own_latency() >= 0).fill_null(value=False),
        ),
        Rule(
            column="metadata.request_end_ns",
            expected="ns since 1970, not before request_start_ns",
            broken=(end < start) | (end.is_null() & ~_failed()),
        ),
    )


def _warnings(_head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    found = [
        _latency_told(facts),
        "it names no requests and no sizes in bytes: there are no columns label and response_size",
    ]
    for what, why in ((_WARM_UPS, "left out"), (_OTHER_PHASES, "left out: only profiling counts")):
        if facts.get(what):
            found.append(f"{counted_kind(facts[what], what)} {are(facts[what])} {why}")
    return found


def _latency_told(facts: Mapping[str, int]) -> str:
    """What the latency is, and how far AIPerf's own is from it."""
    compared, shorter_ns = facts.get(_COMPARED, 0), facts.get(_SHORTER_NS, 0)
    own = "AIPerf's own request_latency, which ends with the last response that has content,"
    if facts.get(_FIRST):
        calls = counted(facts[_FIRST], "call has", "calls have")
        return f"{calls} no end: the latency is {own.removesuffix(',')}"
    if shorter_ns <= 0:
        return f"its latency is request_end_ns - request_start_ns: {own} can be shorter"
    mean_ms = shorter_ns / compared / _NS_PER_MS
    calls = counted(compared, "call that has", "calls that have")
    return (
        f"its latency is request_end_ns - request_start_ns: {own} is {mean_ms:,.3g} ms shorter on average of "
        f"{calls} it"
    )


AIPERF_JSON: Final = Dialect(
    signs=(b'"request_start_ns"', b'"timestamp_ns"'),
    name="aiperf-jsonl",
    title="AIPerf JSONL",
    key=(),
    clock="epoch",
    closed_loop=True,
    matches=_matches,
    open=_open,
    open_durations=_open_durations,
    warnings=_warnings,
)
