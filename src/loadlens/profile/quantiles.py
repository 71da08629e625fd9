"""Quantiles by linear interpolation between order statistics (Hyndman and Fan's type 7)."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from loadlens.profile.buckets import BUCKET_SHIFT, value_of_bits
from loadlens.profile.exact import OrderedCounts, located_buckets

__all__ = ["OrderStatistics", "bucket_bounds", "middle_of_buckets", "quantile_ranks", "quantiles"]

OrderStatistics = Callable[[pl.DataFrame], pl.DataFrame]
"""From ``code``, ``successes``, ``rank`` to the same with ``value`` in ms."""


def quantile_ranks(sizes: pl.DataFrame, wanted: Mapping[str, float]) -> pl.DataFrame:
    """The two ranks that each quantile lies between.

    Args:
        sizes: ``code``, ``successes`` (which population) and ``size``, the number of its latencies.
        wanted: quantiles from 0 to 1 by name.

    Returns:
        ``code``, ``successes``, ``name``, ``low`` and ``high`` (ranks from 0) and ``weight`` of ``high``;
        no rows for a population without latencies.
    """
    names = pl.DataFrame(
        {"name": list(wanted), "q": list(wanted.values())}, schema_overrides={"q": pl.Float64}
    )
    position = (pl.col("size") - 1) * pl.col("q")
    low = position.floor().cast(pl.Int64)
    return (
        sizes.filter(pl.col("size") > 0)
        .join(names, how="cross")
        .select(
            "code",
            "successes",
            "name",
            low.alias("low"),
            pl.min_horizontal(low + 1, pl.col("size") - 1).alias("high"),
            (position - low).alias("weight"),
        )
    )


def quantiles(order_statistics: OrderStatistics, ranks: pl.DataFrame) -> pl.DataFrame:
    """The quantiles in ms, a row for each code and a column for each name."""
    both = pl.concat(ranks.select("code", "successes", pl.col(end).alias("rank")) for end in ("low", "high"))
    values = order_statistics(both.unique())
    on = ["code", "successes"]
    low = ranks.join(values.rename({"rank": "low", "value": "below"}), on=[*on, "low"])
    both_values = low.join(values.rename({"rank": "high", "value": "above"}), on=[*on, "high"])
    value = pl.col("below") + (pl.col("above") - pl.col("below")) * pl.col("weight")
    names = ranks["name"].unique().sort().to_list()
    named = both_values.select("code", "name", value.alias("value"))
    return named.group_by("code").agg(
        pl.col("value").filter(pl.col("name") == name).first().alias(name) for name in names
    )


def bucket_bounds(buckets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest latency of each bucket and of the next one, in ms; both -1 for failed calls."""
    failed = buckets < 0
    low = np.where(failed, -1.0, value_of_bits(np.where(failed, 0, buckets), BUCKET_SHIFT))
    high = np.where(failed, -1.0, value_of_bits(np.where(failed, 0, buckets) + 1, BUCKET_SHIFT))
    return low, high


def middle_of_buckets(counts: OrderedCounts, ranks: pl.DataFrame) -> pl.DataFrame:
    """The middle of the bucket that each rank lies in: order statistics without a second scan.

    Of the first bucket it is 0, which calls last by a coarse clock: half of its width would mean nothing.
    """
    located = located_buckets(counts, ranks)
    bucket = located["bucket"].to_numpy()
    low, high = bucket_bounds(bucket)
    middle = np.where(bucket == 0, 0.0, (low + high) / 2)
    return located.select("code", "successes", "rank", pl.Series("value", middle))
