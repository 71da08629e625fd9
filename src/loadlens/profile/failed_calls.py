"""Failed calls told apart by their error, and errors put together where they would be too many."""

from collections.abc import Collection, Sequence
from typing import Final

import polars as pl

from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, FAILED_LATENCY_MS, LATENCY

__all__ = ["COUNTED_OF_FAILED", "ERROR", "MOST_ERRORS", "failed_calls", "folded"]

ERROR: Final = "failure:error"
"""The column that tells errors apart among the keys of a profile of failed calls."""

MOST_ERRORS: Final = 10_000
"""How many pairs of key and error are told apart."""

COUNTED_OF_FAILED: Final = (LATENCY, "success", "start_time", "end_time")
"""What is counted of failed calls beside their key and error; all count as successes, as they are alone."""

MANY: Final = f"more than {MOST_ERRORS:,} different errors"
_NUMBERS: Final = r"[0-9a-fA-F]*[0-9][0-9a-fA-F]*(?:-[0-9a-fA-F]+)*"
"""Numbers, hexadecimal ones and UUIDs: by what messages of one error most often differ."""


def failed_calls(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The failed calls of some rows, those of ``keys`` and ``ERROR``, then ``COUNTED_OF_FAILED``.

    The error is the class that the log tells, else the first of the error columns that is set, else null.
    The latency -1 is none.

    Args:
        rows: of a log as they are counted.
        keys: the columns of the key.
    """
    error = [pl.col(ERROR_CLASS)] if ERROR_CLASS in rows.columns else []
    error += [pl.when(pl.col(name) == 1).then(pl.lit(name)) for name in _told(rows.columns)]
    latency = pl.when(pl.col(LATENCY) != FAILED_LATENCY_MS).then(pl.col(LATENCY))
    return rows.filter(~pl.col("success")).select(
        *keys,
        pl.coalesce(*error, pl.lit(None, dtype=pl.String)).alias(ERROR),
        latency,
        pl.lit(value=True).alias("success"),
        "start_time",
        "end_time",
    )


def _told(columns: Collection[str]) -> list[str]:
    return [name for name in ERROR_COLUMNS if name in columns]


def folded(rows: pl.DataFrame, fold: int) -> pl.DataFrame:
    """Rows with keys and ``ERROR`` in which more of these are the same.

    What a row becomes depends on the row alone, so it does not matter when errors are put together.

    Args:
        rows: the rows, also of keys alone.
        fold: how far errors are put together: 0 not at all; 1 those that differ in numbers; 2 over all keys
            too, which become null; 3 all errors.
    """
    if not fold:
        return rows
    error = pl.col(ERROR).str.replace_all(_NUMBERS, "{n}") if fold < 3 else pl.lit(MANY)  # noqa: PLR2004
    keys = [name for name in rows.columns if name.startswith("key:")] if fold > 1 else []
    return rows.with_columns(
        error.alias(ERROR), *[pl.lit(None, dtype=rows.schema[name]).alias(name) for name in keys]
    )
