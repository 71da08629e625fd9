"""Exact order statistics and the exact fence, from a second look at the few rows that decide them."""

import numpy as np
import polars as pl

from loadlens.profile.buckets import BUCKET_SHIFT, NULL_BUCKET, prefix, value_of_bits
from loadlens.profile.plan import Engine
from loadlens.profile.rows import Rows, place

__all__ = ["located_buckets", "order_statistics", "rows_at"]

_BITS_A_PASS = 12


def order_statistics(
    rows: Rows, buckets: pl.DataFrame, ranks: pl.DataFrame, *, engine: Engine, most_values: int
) -> pl.DataFrame:
    """The latencies at given ranks, the very values that were logged.

    A rank's bucket is known from the counts; one more scan counts the values in the wanted buckets. If
    they hold too many rows, it counts finer buckets instead and goes on from there, so that neither the
    number of rows nor how they cluster decides the memory.

    Args:
        rows: the log.
        buckets: the profile's buckets.
        ranks: ``code``, ``successes`` (whether the rank is among the successes or among all rows with a
            latency) and ``rank``, from 0.
        engine: what runs the queries.
        most_values: how many distinct values one scan may count.

    Returns:
        ``ranks`` with the column ``value`` in ms.
    """
    counts = _bucket_counts(buckets)
    wanted = ranks.with_columns(parent=pl.lit(0, dtype=pl.Int64), residual=pl.col("rank"))
    shift = BUCKET_SHIFT
    while True:
        wanted = _located(counts, wanted)
        if shift == 0:
            values = pl.Series("value", value_of_bits(wanted["parent"].to_numpy(), 0))
            return wanted.select("code", "successes", "rank", values)
        chosen = wanted.select("code", pl.col("parent").alias("prefix")).unique()
        num_rows = counts.join(chosen, on=["code", "prefix"])["count"].sum()
        finer = 0 if num_rows <= most_values else max(shift - _BITS_A_PASS, 0)
        counts = _finer_counts(rows, chosen, shift, finer, engine)
        shift = finer


def located_buckets(buckets: pl.DataFrame, ranks: pl.DataFrame) -> pl.DataFrame:
    """``ranks`` with the ``bucket`` in which the latency of each lies."""
    located = _located(
        _bucket_counts(buckets), ranks.with_columns(parent=pl.lit(0, dtype=pl.Int64), residual=pl.col("rank"))
    )
    return located.drop("residual").rename({"parent": "bucket"})


def _bucket_counts(buckets: pl.DataFrame) -> pl.DataFrame:
    return buckets.filter(pl.col("bucket") != NULL_BUCKET).select(
        "code",
        "success",
        pl.col("bucket").alias("prefix"),
        "count",
        pl.lit(0, dtype=pl.Int64).alias("parent"),
    )


def _located(counts: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Finds each rank's prefix, which becomes its ``parent``, and its rank among the rows of that prefix."""
    if wanted.is_empty():
        return wanted
    found = [
        _located_in(counts if not successes else counts.filter("success"), part)
        for (successes,), part in wanted.partition_by("successes", as_dict=True).items()
    ]
    return pl.concat(found)


def _located_in(counts: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    cells = (
        counts.group_by("code", "parent", "prefix")
        .agg(pl.col("count").sum())
        .sort("code", "parent", "prefix")
    )
    before = cells.select("code", "parent", (pl.col("count").cum_sum() - pl.col("count")).alias("start"))
    starts = before.group_by("code", "parent", maintain_order=True).first()
    placed = wanted.join(starts, on=["code", "parent"], how="left", maintain_order="left")
    position = (placed["start"] + placed["residual"]).to_numpy()
    index = np.searchsorted(before["start"].to_numpy(), position, side="right") - 1
    return wanted.with_columns(
        parent=cells["prefix"].gather(index),
        residual=pl.Series(position) - before["start"].gather(index),
    )


def _finer_counts(rows: Rows, chosen: pl.DataFrame, shift: int, finer: int, engine: Engine) -> pl.DataFrame:
    """Counts the rows of the chosen prefixes by a finer prefix."""
    bucket = pl.col("prefix") // (1 << (BUCKET_SHIFT - shift))
    frame = rows_at(rows, chosen.select("code", bucket.alias("bucket"))).with_columns(parent=prefix(shift))
    if shift < BUCKET_SHIFT:
        parents = chosen.rename({"prefix": "parent"}).lazy()
        frame = frame.join(parents, on=["code", "parent"], how="semi")
    groups = frame.group_by("code", "success", "parent", prefix(finer).alias("prefix"))
    return groups.agg(pl.len().cast(pl.Int64).alias("count")).collect(engine=engine)


def rows_at(rows: Rows, buckets: pl.DataFrame) -> pl.LazyFrame:
    """The rows of the given buckets (``code``, ``bucket``) alone."""
    places = buckets.select(place(pl.col("code"), pl.col("bucket")).unique())
    return rows.frame.filter(rows.place().is_in(places.to_series().implode()))
