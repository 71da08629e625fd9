"""The contenders: who takes part, and up to which size."""

from dataclasses import dataclass
from typing import Final

__all__ = ["CONTENDERS", "FLOOR", "LOADLENS", "Contender"]

FLOOR: Final = "floor"
LOADLENS: Final = "loadlens_summary"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to compute the figures.

    Attributes:
        name: the module of this package that runs it.
        label: what the table and the chart call it.
        max_rows: the largest log that it is given; none for any.
        reason: why there is a largest log.
    """

    name: str
    label: str
    max_rows: int | None = None
    reason: str = ""


CONTENDERS: Final = (
    Contender(name=FLOOR, label="floor: raw Polars scan"),
    Contender(name=LOADLENS, label="loadlens"),
    Contender(name="loadlens_densities", label="loadlens, with curves"),
    Contender(name="polars_direct", label="one Polars query"),
    Contender(name="duckdb_sql", label="DuckDB SQL"),
    Contender(
        name="pandas_chain",
        label="pandas chain, with curves",
        max_rows=10_000_000,
        reason="the whole log and copies of it would not fit into memory",
    ),
)
