"""ApacheBench's log of requests for gnuplot (``ab -g``), and its reports, which hold aggregates."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect, Refused, any_of, begins, has_line, table
from loadlens.schema import LATENCY, Rule
from loadlens.text.delimited import Table
from loadlens.text.stream import Head

__all__ = ["AB_GNUPLOT", "AB_PERCENTILES", "AB_REPORT"]

_TYPES: Final[dict[str, pl.DataType]] = {"seconds": pl.Int64(), "ttime": pl.Int64()}
_MEANING: Final = (
    ("seconds", "start of the request, whole s since 1970"),
    ("ttime", "latency with the time to connect, whole ms"),
)
_LOG_REQUESTS: Final = "let it write every request: `ab -g requests.tsv`"
_COLUMNS: Final = Columns(
    title="ApacheBench's log for gnuplot (ab -g)",
    known_by=frozenset({"seconds", "ctime", "dtime", "ttime", "wait"}),
    needed=frozenset(_TYPES),
    marks=frozenset({"starttime", "ctime", "dtime", "ttime"}),
    advice="write it with `ab -g requests.tsv`",
    separators=("\t",),
)
_MS_PER_S: Final = 1000

AB_REPORT: Final = Refused(
    title="ApacheBench's report",
    reason="it holds aggregates, not single requests",
    advice=_LOG_REQUESTS,
    matches=any_of(
        has_line(
            r"This is ApacheBench, Version ",
            r"Benchmarking \S+ \(be patient\)",
            r"Server Software: ",
            r"Document Path: ",
            r"Concurrency Level: +\d",
            r"Time taken for tests: ",
            r"Requests per second: +\S+ \[#/sec\]",
            r"Time per request: +\S+ \[ms\]",
            r"Connection Times \(ms\)",
            r"Percentage of the requests served within a certain time",
        ),
        begins(r"(?:<p>\s*This is ApacheBench|<table[^>]*>\s*<tr[^>]*><th[^>]*>Server Software:)"),
    ),
)
"""What ``ab`` prints."""

AB_PERCENTILES: Final = Refused(
    title="ApacheBench's percentiles (ab -e)",
    reason="they are of all requests together",
    advice=_LOG_REQUESTS,
    matches=table("Percentage served", "Time in ms"),
)


def _open(head: Head) -> Table:
    return _table(_COLUMNS.checked(head, _TYPES))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    start, latency = pl.col("seconds"), pl.col("ttime")
    # By a constant Polars would multiply with the inverse, which is off in the last digit.
    end = (start * _MS_PER_S + latency) / (start * 0 + _MS_PER_S)
    return Table(
        separator="\t",
        quote=None,
        names=names,
        types=_TYPES,
        columns=(
            pl.lit(value=True).alias("success"),
            pl.lit(None, dtype=pl.String).alias("error"),
            start.cast(pl.Float64).alias("start_time"),
            end.alias("end_time"),
            latency.cast(pl.Float64).alias(LATENCY),
        ),
        rules=tuple(
            Rule(column=name, expected="0 or more", broken=pl.col(name) < 0) for name in ("seconds", "ttime")
        ),
        required=frozenset(_TYPES),
        meaning=_MEANING,
    )


def _warnings(_head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    success = (
        "it does not tell whether requests succeeded: all count as successful; what ab prints has the number "
        "of failed requests and of responses other than 2xx"
    )
    return [success]


AB_GNUPLOT: Final = Dialect(
    name="ab-gnuplot",
    **_COLUMNS.known,
    key=(),
    clock="epoch",
    closed_loop=True,
    logged_times=("start_time",),
    open=_open,
    warnings=_warnings,
)
"""One row for each answered request, by ascending latency."""
