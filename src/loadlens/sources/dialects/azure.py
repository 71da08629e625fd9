"""The invocation trace of Azure Functions (2021): one row for each invocation."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import LATENCY, Rule
from loadlens.sources.dialects.base import Dialect
from loadlens.sources.text.delimited import Table
from loadlens.sources.text.stream import Head
from loadlens.sources.wording import listed

__all__ = ["AZURE_TRACE"]

_NAMES: Final = ("app", "func", "end_timestamp", "duration")
_TYPES: Final[dict[str, pl.DataType]] = {
    "app": pl.String(),
    "func": pl.String(),
    "end_timestamp": pl.Float64(),
    "duration": pl.Float64(),
}
_MS_PER_S = 1000


def _header(head: Head) -> tuple[str, ...]:
    first = next((line for line in head.lines if line.strip()), "")
    return tuple(cell.strip().strip('"') for cell in first.split(","))


def _matches(head: Head) -> bool:
    return set(_header(head)) >= set(_NAMES)


def _open(head: Head) -> Table:
    names = _header(head)
    missing = [name for name in _NAMES if name not in names]
    if missing:
        raise InputError(
            f"{head.path}: is no trace of Azure Functions: missing columns: {listed(missing)}; "
            f"expected the header {','.join(_NAMES)}"
        )
    duration = pl.col("duration")
    return Table(
        names=names,
        types=_TYPES,
        columns=_columns(),
        rules=(Rule(column="duration", expected="0 or more", broken=duration < 0),),
        required=frozenset(_NAMES),
        meaning=(
            ("app", "application of the function, a hash"),
            ("func", "function, a hash: unique within its application"),
            ("end_timestamp", "end of the invocation, s since the trace began"),
            ("duration", "execution time, s"),
        ),
    )


def _columns() -> tuple[pl.Expr, ...]:
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
    title="Azure Functions invocation trace",
    key=("label",),
    clock="relative",
    closed_loop=False,
    matches=_matches,
    open=_open,
    warnings=_warnings,
)
"""The trace of 2021 that Microsoft publishes."""
