"""The figures by configuration, put together."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
    ranked = rates.sort("code", "completions")
    totals = ranked.group_by("code", maintain_order=True).agg(
        seconds.sum(), (completions * seconds).sum(), completions.max().alias("tps_max")
    )
    # All keys at once: of very many, an expression for each takes seconds.
    size = totals["num_seconds"].to_numpy()
    begin, ends = np.cumsum(size) - size, np.cumsum(ranked["num_seconds"].to_numpy())
    values = ranked["completions"].to_numpy()

    def at(rank: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = values[np.searchsorted(ends, begin + rank, side="right")]
        return found

    def quantile(q: float) -> pl.Series:
        position = (size - 1) * q
        low, high = (at(whole(position).astype(np.int64)) for whole in (np.floor, np.ceil))
        return pl.Series(low + (high - low) * (position - np.floor(position)), dtype=pl.Float64)

    quantiles = {name: quantile(q) for name, q in (("tps_p25", 0.25), ("tps_p50", 0.5), ("tps_p75", 0.75))}
    return totals.with_columns((completions / seconds).alias("tps_avg"), **quantiles).select(
        "code", pl.col("tps_avg", *quantiles, "tps_max").cast(pl.Int64), "completions"
    )
