"""The fence, and what it takes away."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from loadlens.profile.buckets import NULL_BUCKET, bucket_of
from loadlens.profile.exact import rows_at
from loadlens.profile.pace import rates_of
from loadlens.profile.plan import Outliers
from loadlens.profile.profile import Profile
from loadlens.profile.rounding import settled
from loadlens.schema import LATENCY

__all__ = [
    "Kept",
    "counts_above",
    "counts_in_tail",
    "fence",
    "kept_by_bucket",
    "kept_exactly",
    "upper_fence",
]

Number = TypeVar("Number", pl.Expr, float)

IQRS_ABOVE_MEAN = 5.0
IQRS_ABOVE_Q75 = 1.5
_SECOND_BITS = 36  # of a second from -2^34 to 2^34


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The successes at or below the fence.

    Attributes:
        table: for each ``code``: ``num_kept``, ``kept_mean`` (ms).
        cells: their latency buckets: ``code``, ``bucket``, ``count``, ``latency_sum`` (ms).
        rates: ``code``, ``completions`` of one second, ``num_seconds`` that saw as many kept calls complete.
    """

    table: pl.DataFrame
    cells: pl.DataFrame
    rates: pl.DataFrame


def fence(outliers: Outliers, mean: pl.Expr, q25: pl.Expr, q75: pl.Expr) -> pl.Expr:
    """The upper fence in ms; null for none."""
    if outliers == "none":
        return pl.lit(None, dtype=pl.Float64)
    return upper_fence(outliers, mean, q25, q75)


def upper_fence(outliers: Outliers, mean: Number, q25: Number, q75: Number) -> Number:
    """The upper fence in ms, of figures or of expressions."""
    if outliers == "tukey":
        return q75 + IQRS_ABOVE_Q75 * (q75 - q25)
    return mean + IQRS_ABOVE_MEAN * (q75 - q25)


def _split(profile: Profile, fences: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The successes' buckets below the fence's own, and those from it on."""
    cells = profile.buckets.filter(pl.col("success") & (pl.col("bucket") != NULL_BUCKET))
    numbers = fences["outlier_fence"].fill_null(np.inf).to_numpy()
    limits = fences.select("code", pl.Series("limit", bucket_of(numbers)))
    cells = cells.join(limits, on="code", how="left").with_columns(below=pl.col("bucket") < pl.col("limit"))
    return cells.filter("below"), cells.filter(~pl.col("below"))


def kept_by_bucket(profile: Profile, fences: pl.DataFrame) -> Kept:
    """What is kept if the fence's own bucket is kept whole: known without another scan."""
    below, above = _split(profile, fences)
    cells = pl.concat([below, above.filter(pl.col("bucket") == pl.col("limit"))])
    return _kept(profile, cells, profile.rates)


CountsAbove = Callable[..., pl.DataFrame]
"""What ``counts_above`` finds in all rows that matter, given ``above`` and ``fences``."""


def kept_exactly(profile: Profile, fences: pl.DataFrame, counts: CountsAbove) -> Kept:
    """What is kept, from the rows in or above the fence's bucket alone.

    Args:
        profile: the profile of the log.
        fences: ``code`` and ``outlier_fence`` in ms.
        counts: counts these rows.
    """
    below, above = _split(profile, fences)
    if above.is_empty():
        return _kept(profile, below, profile.rates)
    found = counts(above=above.select("code", "bucket").unique(), fences=fences)
    limit = above.group_by("code").agg(pl.col("limit").first().alias("bucket"))
    edge = found.filter("kept").join(limit, on="code")
    measures = ("code", "bucket", "count", "latency_sum")
    cells = pl.concat([below.select(measures), edge.select(measures)])
    return _kept(profile, cells, _rates_without(profile, found.filter(~pl.col("kept"))))


def counts_above(rows: pl.LazyFrame, above: pl.DataFrame, fences: pl.DataFrame) -> pl.LazyFrame:
    """Counts the successes in or above the fence's bucket.

    Args:
        rows: ``code``, ``success``, the latency in ms, the end in s.
        above: ``code`` and ``bucket`` of the buckets from the fence's own on.
        fences: ``code`` and ``outlier_fence`` in ms.

    Returns:
        ``code``, ``kept`` (whether at or below the fence), ``second``, ``count``, ``latency_sum`` (ms).
    """
    second = pl.col("end_time").cast(pl.Int64).alias("second")
    is_kept = (pl.col(LATENCY) <= pl.col("outlier_fence")).alias("kept")
    removable = rows_at(rows, above).filter("success").join(fences.lazy(), on="code")
    return removable.group_by("code", is_kept, second).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.col(LATENCY).sum().alias("latency_sum"),
    )


def counts_in_tail(tail: pl.DataFrame, above: pl.DataFrame, fences: pl.DataFrame) -> pl.DataFrame:
    """What ``counts_above`` finds in rows that are in memory."""
    return counts_above(tail.lazy(), above, fences).collect()


def _rates_without(profile: Profile, removed: pl.DataFrame) -> pl.DataFrame:
    """The rates of what is left once the fence has removed calls from their seconds."""
    minus = removed.filter(pl.col("second").is_not_null())
    if minus.is_empty():
        return profile.rates
    # One number is looked up several times as fast as two columns are joined.
    cell = (pl.col("code") * (1 << _SECOND_BITS) + pl.col("second")).alias("cell")
    seconds = profile.seconds.select("code", cell, "completions")
    changed = seconds.join(minus.select(cell, "count"), on="cell")
    left = rates_of(changed.with_columns(pl.col("completions") - pl.col("count")))
    gone = rates_of(changed).with_columns(-pl.col("num_seconds"))
    rates = pl.concat([profile.rates, gone, left]).group_by("code", "completions")
    return rates.agg(pl.col("num_seconds").sum()).filter(pl.col("num_seconds") > 0)


def _kept(profile: Profile, cells: pl.DataFrame, rates: pl.DataFrame) -> Kept:
    table = cells.group_by("code").agg(
        pl.col("count").sum().alias("num_kept"),
        settled(pl.col("latency_sum").sum() / pl.col("count").sum()).alias("kept_mean"),
    )
    return Kept(
        table=profile.keys.select("code")
        .join(table, on="code", how="left")
        .with_columns(pl.col("num_kept").fill_null(0)),
        cells=cells.group_by("code", "bucket").agg(pl.col("count", "latency_sum").sum()),
        rates=rates,
    )
