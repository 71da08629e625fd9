"""AIPerf's records (profile_export.jsonl): one JSON object for each request."""

import json
from collections.abc import Mapping
from typing import Final

import polars as pl

from loadlens.schema import FAILED_LATENCY_MS, LATENCY, Rule
from loadlens.sources.dialects.base import Dialect
from loadlens.sources.parsed import seconds
from loadlens.sources.text.jsonlines import JsonLines
from loadlens.sources.text.stream import Head
from loadlens.sources.wording import are, counted_kind

__all__ = ["AIPERF_JSON"]

_TYPES: Final[dict[str, pl.DataType]] = {
    "metadata": pl.Struct(
        {
            "request_start_ns": pl.Int64(),
            "request_end_ns": pl.Int64(),
            "benchmark_phase": pl.String(),
            "was_cancelled": pl.Boolean(),
        }
    ),
    "error": pl.Struct({"code": pl.String(), "type": pl.String()}),
}

_MEANING: Final = (
    ("metadata.request_start_ns", "start of the request: ns since 1970"),
    ("metadata.request_end_ns", "end of the request: ns since 1970; the latency is what lies between"),
    ("metadata.benchmark_phase", "phase of the benchmark; only profiling counts"),
    ("metadata.was_cancelled", "whether the request was cancelled, which counts as a failure"),
    ("error.code", "status of a failed request"),
    ("error.type", "class of the error, where it has no status"),
)

_SAMPLED_LINES = 20
_WARM_UPS: Final = "warm-up requests"
_OTHER_PHASES: Final = "requests of other phases"
_CANCELLED: Final = "cancelled"
_NS_PER_S = 10**9
_NS_PER_MS = 10**6


def _matches(head: Head) -> bool:
    return any(_is_record(line) for line in head.lines[:_SAMPLED_LINES])


def _is_record(line: str) -> bool:
    if '"request_start_ns"' not in line:
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return isinstance(metadata, dict) and {"request_start_ns", "request_end_ns"} <= metadata.keys()


def _open(_head: Head) -> JsonLines:
    phase = _metadata("benchmark_phase").str.to_lowercase()
    return JsonLines(
        types=_TYPES,
        columns=_columns(),
        rules=_rules(),
        left_out={_WARM_UPS: phase == "warmup", _OTHER_PHASES: phase != "profiling"},
        required=frozenset({"metadata"}),
        meaning=_MEANING,
    )


def _metadata(name: str) -> pl.Expr:
    return pl.col("metadata").struct.field(name)


def _columns() -> tuple[pl.Expr, ...]:
    start, end = _metadata("request_start_ns"), _metadata("request_end_ns")
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
    return _metadata("was_cancelled").fill_null(value=False)


def _error() -> pl.Expr:
    """How a request failed: cancelled, its status, or the class of its error."""
    cancelled = pl.when(_cancelled()).then(pl.lit(_CANCELLED))
    failed = pl.when(_failed()).then(pl.lit("failed"))
    return pl.coalesce(cancelled, _filled("code"), _filled("type"), failed)


def _filled(name: str) -> pl.Expr:
    text = pl.col("error").struct.field(name).str.strip_chars()
    return pl.when(text != "").then(text)


def _rules() -> tuple[Rule, ...]:
    start, end = _metadata("request_start_ns"), _metadata("request_end_ns")
    return (
        Rule(
            column="metadata.request_start_ns",
            expected="ns since 1970",
            broken=start.is_null() | (start < 0),
        ),
        Rule(
            column="metadata.request_end_ns",
            expected="ns since 1970, not before request_start_ns",
            broken=(end < start) | (end.is_null() & ~_failed()),
        ),
    )


def _warnings(_head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    latency = (
        "its latency is request_end_ns - request_start_ns: AIPerf's own request_latency ends with the last "
        "response and can be a little shorter"
    )
    found = [
        latency,
        "it names no requests and no sizes in bytes: there are no columns label and response_size",
    ]
    for what, why in ((_WARM_UPS, "left out"), (_OTHER_PHASES, "left out: only profiling counts")):
        if facts.get(what):
            found.append(f"{counted_kind(facts[what], what)} {are(facts[what])} {why}")
    return found


AIPERF_JSON: Final = Dialect(
    name="aiperf-jsonl",
    title="AIPerf JSONL",
    key=(),
    clock="epoch",
    closed_loop=True,
    matches=_matches,
    open=_open,
    warnings=_warnings,
)
