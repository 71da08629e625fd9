"""Exact order statistics and the exact fence, from a second look at the few rows that decide them."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKET_SHIFT, FAILED_BUCKET, NULL_BUCKET, bits, prefix, value_of_bits
from loadlens.profile.rows import Look, place
from loadlens.schema import FAILED_LATENCY_MS, LATENCY

__all__ = [
    "MOST_BUCKETS",
    "HeldLatencies",
    "OrderedCounts",
    "finer_counts",
    "held_keys",
    "located_buckets",
    "numbered_buckets",
    "order_statistics",
    "rows_at",
]

MOST_BUCKETS = 2**18
"""How many (code, bucket) pairs held latencies may lie in."""

_BITS_A_PASS = 12
_LOW_BITS = (1 << BUCKET_SHIFT) - 1


def order_statistics(
    look: Look, buckets: pl.DataFrame, ranks: pl.DataFrame, *, most_values: int
) -> pl.DataFrame:
    """The latencies at given ranks, the very values that were logged.

    A rank's bucket is known from the counts; one more scan counts the values in the wanted buckets. If
    they hold too many rows, it counts finer buckets instead and goes on from there, so that neither the
    number of rows nor how they cluster decides the memory.

    Args:
        look: looks at the log.
        buckets: the profile's buckets.
        ranks: ``code``, ``successes`` (whether the rank is among the successes or among all rows with a
            latency) and ``rank``, from 0.
        most_values: how many distinct values one scan may count.

    Returns:
        ``ranks`` with the column ``value`` in ms.
    """
    counts = _bucket_counts(buckets)
    ordered = OrderedCounts(counts)
    wanted = ranks.with_columns(parent=pl.lit(0, dtype=pl.Int64), residual=pl.col("rank"))
    shift = BUCKET_SHIFT
    while True:
        wanted = _located(ordered, wanted)
        if shift == 0:
            values = pl.Series("value", value_of_bits(wanted["parent"].to_numpy(), 0))
            return wanted.select("code", "successes", "rank", values)
        chosen = wanted.select("code", pl.col("parent").alias("prefix")).unique()
        num_rows = counts.join(chosen, on=["code", "prefix"])["count"].sum()
        finer = 0 if num_rows <= most_values else max(shift - _BITS_A_PASS, 0)
        counts = look("finer_counts", chosen=chosen, shift=shift, finer=finer)
        ordered = OrderedCounts(counts)
        shift = finer


class OrderedCounts:
    """Counts in ascending order, those of all rows and those of the successes, each made when asked for."""

    def __init__(self, counts: pl.DataFrame) -> None:
        """Takes the counts: ``code``, ``success``, ``parent``, ``prefix``, ``count``."""
        self._counts = counts
        self._ordered: dict[bool, pl.DataFrame] = {}

    @classmethod
    def of_buckets(cls, buckets: pl.DataFrame) -> "OrderedCounts":
        """The counts of a profile's buckets."""
        return cls(_bucket_counts(buckets))

    def of(self, *, successes: bool) -> pl.DataFrame:
        """``code``, ``parent``, ``prefix``, ``start`` (how many rows come before), ascending."""
        if successes not in self._ordered:
            counts = self._counts.filter("success") if successes else self._counts
            cells = counts.group_by("code", "parent", "prefix").agg(pl.col("count").sum())
            start = (pl.col("count").cum_sum() - pl.col("count")).alias("start")
            self._ordered[successes] = cells.sort("code", "parent", "prefix").select(
                "code", "parent", "prefix", start
            )
        return self._ordered[successes]


class HeldLatencies:
    """All latencies of some buckets in memory, each as one number that sorts by bucket and latency."""

    def __init__(self, chosen: pl.DataFrame, counts: OrderedCounts, held: pl.DataFrame) -> None:
        """Takes the latencies over.

        Args:
            chosen: ``code`` and ``bucket`` of the buckets, as ``numbered_buckets`` returns them.
            counts: those of the profile's buckets.
            held: ``key``, see ``held_key``, and ``success``.
        """
        self._chosen = chosen.with_row_index("number")
        self._counts = counts
        self._held = held
        self._sorted: dict[bool, NDArray[np.int64]] = {}

    def order_statistics(self, ranks: pl.DataFrame) -> pl.DataFrame:
        """``ranks``, as for the function of this name, with the column ``value`` in ms."""
        wanted = ranks.with_columns(parent=pl.lit(0, dtype=pl.Int64), residual=pl.col("rank"))
        parts = _located(self._counts, wanted).partition_by("successes", as_dict=True)
        found = [self._values(part, successes=bool(key[0])) for key, part in parts.items()]
        return pl.concat([ranks.clear().with_columns(value=pl.lit(None, dtype=pl.Float64)), *found])

    def counts_inside(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Counts successes in held buckets.

        Args:
            wanted: ``code``, ``bucket`` and ``limit_ms``, a limit in that bucket.

        Returns:
            ``wanted`` with ``inside``, the successes of the bucket below the limit.
        """
        placed = wanted.join(self._chosen, on=["code", "bucket"], how="left", maintain_order="left")
        first = placed["number"].cast(pl.Int64).to_numpy() << BUCKET_SHIFT
        low_bits = placed["limit_ms"].to_numpy().view(np.int64) & _LOW_BITS
        keys = self._keys(successes=True)
        inside = np.searchsorted(keys, first | low_bits) - np.searchsorted(keys, first)
        return wanted.with_columns(pl.Series("inside", inside, dtype=pl.Int64))

    def _keys(self, *, successes: bool) -> NDArray[np.int64]:
        if successes not in self._sorted:
            held = self._held.filter("success") if successes else self._held
            self._sorted[successes] = np.sort(held["key"].to_numpy())
        return self._sorted[successes]

    def _values(self, wanted: pl.DataFrame, *, successes: bool) -> pl.DataFrame:
        keys = self._keys(successes=successes)
        failed = wanted.filter(pl.col("parent") == FAILED_BUCKET)
        wanted = wanted.filter(pl.col("parent") != FAILED_BUCKET)
        placed = wanted.join(
            self._chosen, left_on=["code", "parent"], right_on=["code", "bucket"], how="left"
        )
        starts = np.searchsorted(keys, placed["number"].cast(pl.Int64).to_numpy() << BUCKET_SHIFT)
        found = keys[starts + placed["residual"].to_numpy()] & _LOW_BITS
        value = (placed["parent"].to_numpy() << BUCKET_SHIFT | found).view(np.float64)
        figures = ("code", "successes", "rank", "value")
        sentinel = failed.with_columns(value=pl.lit(FAILED_LATENCY_MS))
        return pl.concat(
            [placed.with_columns(pl.Series("value", value)).select(figures), sentinel.select(figures)]
        )


def numbered_buckets(buckets: pl.DataFrame) -> pl.DataFrame:
    """Buckets (``code``, ``bucket``) in the order of their numbers."""
    return buckets.select("code", "bucket").unique().sort("code", "bucket")


def held_keys(rows: pl.LazyFrame, chosen: pl.DataFrame) -> pl.LazyFrame:
    """The rows of the chosen buckets as ``key`` (number of the bucket, then the latency) and ``success``."""
    numbers = chosen.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    found = rows.filter(pl.col(LATENCY).is_not_null()).with_columns(bucket=prefix(BUCKET_SHIFT))
    low_bits = bits() % (1 << BUCKET_SHIFT)
    key = pl.col("number") * (1 << BUCKET_SHIFT) + low_bits
    return found.join(numbers.lazy(), on=["code", "bucket"]).select(key.alias("key"), "success")


def located_buckets(counts: OrderedCounts, ranks: pl.DataFrame) -> pl.DataFrame:
    """``ranks`` with the ``bucket`` in which each lies, by the counts of a profile's buckets."""
    wanted = ranks.with_columns(parent=pl.lit(0, dtype=pl.Int64), residual=pl.col("rank"))
    located = _located(counts, wanted)
    return located.drop("residual").rename({"parent": "bucket"})


def _bucket_counts(buckets: pl.DataFrame) -> pl.DataFrame:
    return buckets.filter(pl.col("bucket") != NULL_BUCKET).select(
        "code",
        "success",
        pl.col("bucket").alias("prefix"),
        "count",
        pl.lit(0, dtype=pl.Int64).alias("parent"),
    )


def _located(counts: OrderedCounts, wanted: pl.DataFrame) -> pl.DataFrame:
    """Finds each rank's prefix, which becomes its ``parent``, and its rank among the rows of that prefix."""
    if wanted.is_empty():
        return wanted
    found = [
        _located_in(counts.of(successes=bool(successes)), part)
        for (successes,), part in wanted.partition_by("successes", as_dict=True).items()
    ]
    return pl.concat(found)


def _located_in(cells: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    starts = cells.group_by("code", "parent", maintain_order=True).agg(pl.col("start").first())
    placed = wanted.join(starts, on=["code", "parent"], how="left", maintain_order="left")
    position = (placed["start"] + placed["residual"]).to_numpy()
    index = np.searchsorted(cells["start"].to_numpy(), position, side="right") - 1
    return wanted.with_columns(
        parent=cells["prefix"].gather(index),
        residual=pl.Series(position) - cells["start"].gather(index),
    )


def finer_counts(frame: pl.LazyFrame, chosen: pl.DataFrame, shift: int, finer: int) -> pl.LazyFrame:
    """Counts the rows of chosen prefixes by a finer prefix.

    Args:
        frame: ``code``, ``success`` and the latency.
        chosen: ``code`` and ``prefix``.
        shift: how many bits the chosen prefixes lack.
        finer: how many bits the finer prefixes lack.

    Returns:
        ``code``, ``success``, ``parent`` (the chosen prefix), ``prefix`` (the finer one), ``count``.
    """
    bucket = pl.col("prefix") // (1 << (BUCKET_SHIFT - shift))
    chosen_buckets = chosen.select("code", bucket.alias("bucket"))
    frame = rows_at(frame, chosen_buckets).with_columns(parent=prefix(shift))
    if shift < BUCKET_SHIFT:
        parents = chosen.rename({"prefix": "parent"}).lazy()
        frame = frame.join(parents, on=["code", "parent"], how="semi")
    groups = frame.group_by("code", "success", "parent", prefix(finer).alias("prefix"))
    return groups.agg(pl.len().cast(pl.Int64).alias("count"))


def rows_at(frame: pl.LazyFrame, buckets: pl.DataFrame) -> pl.LazyFrame:
    """The rows of the given buckets (``code``, ``bucket``) alone."""
    places = buckets.select(place(pl.col("code"), pl.col("bucket")).unique())
    own = place(pl.col("code"), prefix(BUCKET_SHIFT))
    return frame.filter(own.is_in(places.to_series().implode()))
