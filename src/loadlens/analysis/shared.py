"""What the summaries have in common: the extras after the reference's columns, and data quality."""

from collections.abc import Iterable, Sequence

import polars as pl

from loadlens.profile import Plan, Statistics, key_names, percentile_name
from loadlens.schema import ERROR_COLUMNS, LATENCY

__all__ = ["error_rate", "extras", "key_columns", "num_errors", "quality", "with_numeric_keys"]


def num_errors() -> pl.Expr:
    """Calls that did not succeed."""
    return (pl.col("num_rows") - pl.col("num_successes")).alias("num_errors")


def error_rate() -> pl.Expr:
    """Share of the calls that did not succeed, 0 to 1."""
    return (num_errors() / pl.col("num_rows")).alias("error_rate")


def key_columns(key: Iterable[str]) -> list[pl.Expr]:
    """The key columns of a table of statistics, under their own names."""
    return [pl.col(internal).alias(name) for internal, name in zip(key_names(key), key, strict=True)]


def extras(plan: Plan, *, with_error_rate: bool = True) -> list[pl.Expr]:
    """The columns that follow the reference's in every summary of invocations."""
    percentiles = [pl.col(f"{LATENCY}_{percentile_name(quantile)}") for quantile in plan.percentiles]
    rate = [error_rate()] if with_error_rate else []
    return [*percentiles, *rate, *map(pl.col, ("outliers_removed", "outlier_fence", "throughput"))]


def quality(statistics: Statistics, key: Sequence[str]) -> pl.DataFrame:
    """Rows read, failures by class and rows removed by the fence, for each key."""
    errors = [name for name in ERROR_COLUMNS if name in statistics.table.columns and name not in key]
    return statistics.table.select(
        *key_columns(key), "num_rows", "num_successes", num_errors(), *errors, "outlier_fence", "outliers_removed"
    )


def with_numeric_keys(statistics: Statistics, key: Sequence[str]) -> Statistics:
    """Keys that were text but all read as whole numbers become numbers, so that 2 sorts before 10.

    Decided on the distinct keys, all of which are known by now, never on a sample of the rows.
    """
    table, histogram, names = statistics.table, statistics.histogram, key_names(key)
    texts = [name for name in names if table.schema[name] == pl.String]
    casts = [pl.col(name).cast(pl.Int64) for name in texts if _reads_as_numbers(table[name])]
    if not casts:
        return statistics
    return Statistics(
        table=table.with_columns(casts).sort(names, nulls_last=True),
        histogram=histogram.with_columns(casts).sort([*names, "latency_ms"], nulls_last=True),
    )


def _reads_as_numbers(values: pl.Series) -> bool:
    numbers = values.cast(pl.Int64, strict=False)
    return bool((numbers.cast(pl.String).eq_missing(values)).all()) and values.null_count() < len(values)
