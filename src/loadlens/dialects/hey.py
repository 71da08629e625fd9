"""hey's CSV (``hey -o csv``): one row for each answered request."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect, Refused, has_line
from loadlens.dialects.durations import Logged, table_with
from loadlens.schema import LATENCY, Rule
from loadlens.text.delimited import Table
from loadlens.text.stream import Head

__all__ = ["HEY_CSV", "HEY_SUMMARY"]

_MAX_ROWS: Final = 1_000_000
"""After so many answers hey keeps no more rows."""

_ABSENT: Final = (
    "hey does not write transport errors (refused connections, timeouts) to its CSV: more requests may "
    "have failed than are counted"
)
_TYPES: Final[dict[str, pl.DataType]] = {
    "response-time": pl.Float64(),
    "status-code": pl.Int64(),
    "offset": pl.Float64(),
}
_MEANING: Final = (
    ("response-time", "latency, s with 4 decimals"),
    ("status-code", "HTTP status"),
    ("offset", "start of the request, s since hey began"),
)
_DURATIONS: Final = {
    "dns": Logged(source="DNS", unit="s"),
    "connect": Logged(source="DNS+dialup", unit="s"),
    "sending": Logged(source="Request-write", unit="s"),
    "waiting": Logged(source="Response-delay", unit="s"),
    "receiving": Logged(source="Response-read", unit="s"),
}
_MS_PER_S: Final = 1000
_FIRST_FAILED_STATUS: Final = 400


_COLUMNS: Final = Columns(
    title="hey CSV",
    known_by=frozenset({"response-time", "DNS+dialup", "Request-write"}),
    needed=frozenset(_TYPES),
    marks=frozenset({"response-time", "DNS+dialup", "Request-write", "Response-read", "status-code"}),
    advice="write it with `hey -o csv` of version 0.1.2 or later",
)

HEY_SUMMARY: Final = Refused(
    title="hey's summary",
    reason="it holds statistics, not single requests",
    advice="run `hey -o csv` and save what it prints",
    matches=has_line(
        r"(?:Total|Slowest|Fastest|Average):\s+\d+\.\d+ secs\b",
        r"(?:DNS\+dialup|DNS-lookup|req write|resp wait|resp read):\s+\d+\.\d+ secs\b",
        r"\d+%+ in \d+\.\d+ secs\b",
        r"\d+\.\d+ \[\d+\]\s+\|",
        r"\[\d{3}\]\s+\d+ responses$",
        r"Requests/sec:\s+\d+\.\d{4}$",
    ),
)


def _open(head: Head) -> Table:
    return _table(_COLUMNS.checked(head, _TYPES))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    return Table(
        names=names,
        types=_TYPES,
        columns=_columns(),
        rules=_rules(),
        required=frozenset(_TYPES),
        meaning=_MEANING,
    )


def _open_durations(head: Head) -> Table:
    return _table_with_durations(_COLUMNS.checked(head, _TYPES))


@lru_cache(maxsize=64)
def _table_with_durations(names: tuple[str, ...]) -> Table:
    return table_with(_table(names), _DURATIONS)


def _columns() -> tuple[pl.Expr, ...]:
    start, latency, status = pl.col("offset"), pl.col("response-time"), pl.col("status-code")
    text = status.cast(pl.String)
    # Rounding takes away what multiplying and adding decimal fractions leaves in the last digits.
    return (
        (status < _FIRST_FAILED_STATUS).alias("success"),
        pl.when(status >= _FIRST_FAILED_STATUS).then(text).alias("error"),
        text.alias("status"),
        start.alias("start_time"),
        (start + latency).round(9).alias("end_time"),
        (latency * _MS_PER_S).round(6).alias(LATENCY),
    )


def _rules() -> tuple[Rule, ...]:
    times = [
        Rule(column=name, expected="0 or more seconds", broken=pl.col(name) < 0)
        for name in ("response-time", "offset")
    ]
    is_status = pl.col("status-code").is_between(100, 999)
    return (*times, Rule(column="status-code", expected="an HTTP status", broken=~is_status))


def _warnings(_head: Head, rows: int, _facts: Mapping[str, int]) -> list[str]:
    found = [
        _ABSENT,
        "its times have 4 decimals of a second: latencies are known to 0.1 ms",
    ]
    if rows == _MAX_ROWS:
        found.append(f"it has exactly {_MAX_ROWS:,} rows, which is all that hey keeps: the rest was dropped")
    return found


HEY_CSV: Final = Dialect(
    name="hey-csv",
    **_COLUMNS.known,
    key=(),
    clock="relative",
    closed_loop=True,
    logged_times=("start_time",),
    open=_open,
    open_durations=_open_durations,
    warnings=_warnings,
)
