"""The figures by configuration, put together."""

import math

import polars as pl

from loadlens.profile.clock import FINE_S
from loadlens.profile.profile import Profile

__all__ = ["tps_of", "with_throughput"]


def with_throughput(table: pl.DataFrame, profile: Profile) -> pl.DataFrame:
    """A table by ``code`` with the rate of its ``completions`` in their place, per s.

    The span is that of all calls, from the first start to the last end, and the resolution of the clock:
    one of whole seconds that shows seconds 0 to 9 saw 10 s. ``throughput`` is what a clock of that
    resolution can tell at least; ``throughput_high`` what it can tell at most, infinite where the
    span may have been nothing.
    """
    resolution = profile.resolution_s
    span = pl.col("last_end") - pl.col("first_start")
    completions = pl.col("completions")
    lowest = pl.when(span + resolution > 0).then(completions / (span + resolution))
    shortest = span - resolution if resolution > FINE_S else span + resolution
    highest = pl.when(shortest > 0).then(completions / shortest).otherwise(math.inf)
    rates = (lowest.alias("throughput"), pl.when(lowest.is_not_null()).then(highest).alias("throughput_high"))
    joined = table.join(profile.spans, on="code", how="left", maintain_order="left")
    return joined.with_columns(rates).drop("first_start", "last_end", "completions")


def tps_of(rates: pl.DataFrame) -> pl.DataFrame:
    """Completions per second over the seconds that saw one, truncated to integers, and ``completions``."""
    completions, seconds = pl.col("completions"), pl.col("num_seconds")
    total = (completions * seconds).sum()
    ranked = rates.sort("code", "completions").with_columns(seconds.cum_sum().over("code").alias("up_to"))

    def at(rank: pl.Expr) -> pl.Expr:
        return completions.filter(pl.col("up_to") > rank).min()

    def quantile(q: float) -> pl.Expr:
        position = (seconds.sum() - 1) * q
        low = at(position.floor())
        return low + (at(position.ceil()) - low) * (position - position.floor())

    figures = {
        "tps_avg": total / seconds.sum(),
        "tps_p25": quantile(0.25),
        "tps_p50": quantile(0.5),
        "tps_p75": quantile(0.75),
        "tps_max": completions.max(),
    }
    return ranked.group_by("code").agg(
        *[figure.cast(pl.Int64).alias(name) for name, figure in figures.items()],
        total.alias("completions"),
    )
