"""The invocation trace of Azure Functions (2021): one row for each invocation."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect
from loadlens.schema import LATENCY, Rule
from loadlens.text.delimited import Table
from loadlens.text.stream import Head

__all__ = ["AZURE_TRACE"]

_TYPES: Final[dict[str, pl.DataType]] = {
    "app": pl.String(),
    "func": pl.String(),
    "end_timestamp": pl.Float64(),
    "duration": pl.Float64(),
}
_MS_PER_S = 1000


_COLUMNS: Final = Columns(
    title="Azure Functions invocation trace",
    known_by=frozenset(_TYPES),
    needed=frozenset(_TYPES),
    marks=frozenset({"app", "func", "end_timestamp"}),
    advice="take the invocation trace of 2021, or say which column is what with --map",
)


def _open(head: Head) -> Table:
    return _table(_COLUMNS.checked(head, _TYPES))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    duration = pl.col("duration")
    return Table(
        names=names,
        types=_TYPES,
        columns=_canonical(),
        rules=(Rule(column="duration", expected="0 or more", broken=duration < 0),),
        required=frozenset(_TYPES),
        meaning=(
            ("app", "application of the function, a hash"),
            ("func", "function, a hash: unique within its application"),
            ("end_timestamp", "end of the invocation, s since the trace began"),
            ("duration", "execution time, s"),
        ),
    )


def _canonical() -> tuple[pl.Expr, ...]:
    end, duration = pl.col("end_timestamp"), pl.col("duration")
    return (
        pl.lit(value=True).alias("success"),
        pl.lit(None, dtype=pl.String).alias("error"),
        pl.col("func").alias("label"),
        (end - duration).alias("start_time"),
        end.alias("end_time"),
        (duration * _MS_PER_S).alias(LATENCY),
        pl.col("app"),
    )


def _warnings(_head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    return [
        "it does not tell whether invocations succeeded: all count as successful",
        "its latencies are the functions' own durations, without what callers waited for besides",
    ]


AZURE_TRACE: Final = Dialect(
    name="azure-trace",
    **_COLUMNS.known,
    key=("label", "app"),
    clock="relative",
    closed_loop=False,
    logged_times=("end_time",),
    open=_open,
    warnings=_warnings,
)
"""The trace of 2021 that Microsoft publishes."""
