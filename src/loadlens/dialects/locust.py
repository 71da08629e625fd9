"""Locust's requests as a listener of its request event logs them, and the aggregates of its own files."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import (
    Columns,
    Dialect,
    Refused,
    error_class,
    filled,
    has_line,
    header_of,
    numberless,
)
from loadlens.schema import FAILED_LATENCY_MS, LATENCY, Rule
from loadlens.text.delimited import Table
from loadlens.text.stream import Head
from loadlens.text.typed_rows import spread

__all__ = ["LOCUST_CSV", "LOCUST_STATISTICS", "LOCUST_TABLE", "LOCUST_WORKERS"]

_TYPES: Final[dict[str, pl.DataType]] = {
    "timestamp": pl.Float64(),
    "request_type": pl.String(),
    "name": pl.String(),
    "response_time_ms": pl.Float64(),
    "response_length": pl.Int64(),
    "status_code": pl.String(),
    "exception": pl.String(),
}

_MEANING: Final = {
    "timestamp": "start of the request, s since 1970",
    "request_type": "HTTP method, or what else the client calls its requests",
    "name": "name of the request",
    "response_time_ms": "latency, ms",
    "response_length": "size of the response, bytes",
    "status_code": "HTTP status; 0 where there was none",
    "exception": "how the request failed; empty when it did not",
}

_LOG_REQUESTS: Final = (
    "log every request: in the locustfile, let a listener of events.request write a CSV with the columns "
    "timestamp (the event's start_time), request_type, name, response_time_ms (its response_time), "
    "response_length, status_code (its response.status_code, or 0) and exception"
)
_COLUMNS: Final = Columns(
    title="Locust requests as CSV",
    known_by=frozenset({"timestamp", "request_type", "name", "response_time_ms"}),
    needed=frozenset({"timestamp", "name", "response_time_ms", "exception"}),
    marks=frozenset({"request_type", "response_time_ms", "response_length"}),
    advice=f"{_LOG_REQUESTS}; or say which column is what with --map",
)
_NONE: Final = "None"
_NO_STATUS: Final = ("0", _NONE)
_MS_PER_S = 1000
_CODE = r"^[45]\d\d$"
_RAISED = r"^\s*([A-Za-z_][\w.]*)\("  # what Python shows of an exception
_END_OF_CLASS: Final = r""""'?(:\n"""

_AGGREGATES: Final = (
    {"Timestamp", "User Count"},
    {"Name", "Request Count"},
    {"Name", "Median Response Time"},
    {"Name", "Average Response Time"},
    {"Name", "# requests"},
    {"Method", "Name", "Error", "Occurrences"},
    {"Count", "Message", "Traceback", "Nodes"},
)
"""What tells the files of --csv: history, statistics (of two ages), failures, exceptions."""

_WORKERS: Final = (b'"num_requests":', b'"num_failures":')
"""What tells the statistics of workers, of ``--json`` and of the web page."""

LOCUST_TABLE: Final = Refused(
    title="a table of statistics that Locust prints",
    reason="it holds aggregates, not single requests",
    advice=_LOG_REQUESTS,
    matches=has_line(
        r"(?:Type +)?Name +# reqs +# fails\b",
        r"(?:Type +)?Name +50% +66% +75%",
        r"Response time percentiles \(approximated\)",
    ),
)


def _open(head: Head) -> Table:
    return _table(_COLUMNS.checked(head, _TYPES))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    needed = [name for name in _TYPES if name in names]
    return Table(
        names=names,
        types={name: _TYPES[name] for name in needed},
        columns=_canonical(needed),
        rules=(Rule(column="response_time_ms", expected="0 or more", broken=pl.col("response_time_ms") < 0),),
        required=frozenset({"timestamp"}),
        null=_NONE,
        meaning=tuple((name, _MEANING[name]) for name in needed),
    )


def _canonical(names: list[str]) -> tuple[pl.Expr, ...]:
    """A call without a latency ends when its event is fired, which is all that is known of its end."""
    start, latency = pl.col("timestamp"), pl.col("response_time_ms")
    failed_latency = pl.when(~_success()).then(pl.lit(FAILED_LATENCY_MS))
    others = {
        "response_length": pl.col("response_length").alias("response_size"),
        "status_code": _status(pl.col("status_code")).alias("status"),
        "request_type": pl.col("request_type").fill_null("").alias("method"),
    }
    return (
        _success().alias("success"),
        _error(names).alias("error"),
        pl.col("name").fill_null("").alias("label"),
        start.alias("start_time"),
        (start + latency.fill_null(0) / _MS_PER_S).alias("end_time"),
        pl.coalesce(latency, failed_latency).alias(LATENCY),
        *(column for name, column in others.items() if name in names),
    )


def _success() -> pl.Expr:
    return pl.col("exception").str.strip_chars().is_in(["", _NONE]).fill_null(value=True)


def _status(code: pl.Expr) -> pl.Expr:
    text = filled(code)
    return pl.when(~text.is_in(_NO_STATUS)).then(text)


def _error(names: list[str]) -> pl.Expr:
    """The status of a failed request; without a bad one the class of the exception, or how it begins."""
    failed = ~_success()
    exception = pl.col("exception").filter(failed)
    classes = [exception.str.extract(_RAISED), numberless(filled(error_class(exception, _END_OF_CLASS)))]
    if "status_code" in names:
        status = filled(pl.col("status_code").filter(failed))
        classes.insert(0, pl.when(status.str.contains(_CODE)).then(status))
    return spread(pl.coalesce(*classes, pl.lit("failed")), failed)


def _warnings(_head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    starts = (
        "its timestamps are taken as the starts of requests; a listener that logs time.time() instead of the "
        "event's start_time logs ends, and then every time is late by a latency"
    )
    return [starts]


def _matches_statistics(head: Head) -> bool:
    names = set(header_of(head))
    return any(names >= known for known in _AGGREGATES)


def _matches_workers(head: Head) -> bool:
    return head.data[:1] in {b"{", b"["} and all(name in head.data for name in _WORKERS)


LOCUST_CSV: Final = Dialect(
    name="locust-csv",
    **_COLUMNS.known,
    key=("label", "method"),
    clock="epoch",
    closed_loop=True,
    logged_times=("start_time",),
    finer_times="let the listener of requests write its time unrounded",
    open=_open,
    warnings=_warnings,
)
"""What a listener of Locust's request event logs, in the columns of ``meaning``."""

LOCUST_STATISTICS: Final = Refused(
    signs=tuple(max(known, key=len).encode() for known in _AGGREGATES),
    title="a file of Locust's --csv",
    reason="it holds aggregates, not single requests",
    advice=_LOG_REQUESTS,
    matches=_matches_statistics,
)
"""Locust's ``_stats``, ``_stats_history``, ``_failures`` and ``_exceptions`` files."""

LOCUST_WORKERS: Final = Refused(
    signs=_WORKERS[:1],
    title="Locust's statistics as JSON",
    reason="it holds the aggregates of workers, not single requests",
    advice=_LOG_REQUESTS,
    matches=_matches_workers,
)
"""What Locust's workers report, and what its ``--json`` prints."""
