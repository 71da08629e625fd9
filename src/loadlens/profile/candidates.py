"""The few rows that can decide an exact figure, fetched once instead of scanned for again and again."""

import numpy as np
import polars as pl

from loadlens.profile.buckets import NULL_BUCKET, bucket_of
from loadlens.profile.exact import located_buckets, rows_at
from loadlens.profile.fence import fence
from loadlens.profile.plan import Engine, Plan
from loadlens.profile.profile import Profile
from loadlens.profile.quantiles import bucket_bounds, quantile_ranks
from loadlens.profile.rows import Rows
from loadlens.profile.table import FIVE, count_table
from loadlens.schema import LATENCY

__all__ = ["candidate_rows"]


def candidate_rows(rows: Rows, profile: Profile, plan: Plan, engine: Engine, *, most: int) -> pl.LazyFrame:
    """All rows that exact figures can depend on, in memory if they are at most ``most``, else the log.

    These are the rows in the buckets of the wanted ranks, and those from the lowest possible fence on.
    The ranks of kept rows move with the fence, so their buckets are taken for all fences possible.
    """
    buckets = _candidate_buckets(profile, plan)
    counts = profile.buckets.join(buckets, on=["code", "bucket"], how="semi")
    if counts["count"].sum() > most:
        return rows.frame
    needed = ("code", "success", LATENCY, "start_time", "end_time")
    return rows_at(rows, buckets).select(needed).collect(engine=engine).lazy()


def _candidate_buckets(profile: Profile, plan: Plan) -> pl.DataFrame:
    table = count_table(profile)
    wanted = {**FIVE, **{str(quantile): quantile for quantile in plan.percentiles}}
    successes = _ranks(table, "num_timed_successes", wanted, successes=True)
    everything = _ranks(table, "num_invocations", FIVE, successes=False)
    located = located_buckets(profile.buckets, pl.concat([successes, everything]).unique())
    parts = [located.select("code", "bucket")]
    if plan.outliers != "none":
        fences = _possible_fences(profile, plan, table)
        parts += [_from_fence_on(profile, fences), _kept_ranks(profile, fences)]
    return pl.concat(parts).unique()


def _ranks(table: pl.DataFrame, size: str, wanted: dict[str, float], *, successes: bool) -> pl.DataFrame:
    sizes = table.select("code", pl.lit(successes).alias("successes"), pl.col(size).alias("size"))
    ranks = quantile_ranks(sizes, wanted)
    both = pl.concat(ranks.select("code", "successes", pl.col(end).alias("rank")) for end in ("low", "high"))
    return both.unique()


def _possible_fences(profile: Profile, plan: Plan, table: pl.DataFrame) -> pl.DataFrame:
    """The lowest and highest bucket that the fence can lie in: ``code``, ``lowest``, ``highest``."""
    population, size = (
        ("all", "num_invocations") if plan.fence_over_failures else ("success", "num_timed_successes")
    )
    sizes = table.select(
        "code", pl.lit(population == "success").alias("successes"), pl.col(size).alias("size")
    )
    ranks = quantile_ranks(sizes, {"q25": 0.25, "q75": 0.75})
    bounds = {end: _bucket_values(profile, ranks, end) for end in ("low", "high")}
    joined = (
        bounds["low"]
        .join(bounds["high"], on="code")
        .join(table.select("code", f"{population}_mean"), on="code")
    )
    mean = pl.col(f"{population}_mean")
    possible = joined.select(
        "code",
        fence(plan.outliers, mean, pl.col("q25_above"), pl.col("q75_below")).alias("lowest"),
        fence(plan.outliers, mean, pl.col("q25_below"), pl.col("q75_above")).alias("highest"),
    )
    # One bucket more on either side makes up for the rounding of the mean.
    return possible.select(
        "code",
        pl.Series("lowest", bucket_of(possible["lowest"].to_numpy()) - 1),
        pl.Series("highest", bucket_of(possible["highest"].to_numpy()) + 1),
    )


def _bucket_values(profile: Profile, ranks: pl.DataFrame, end: str) -> pl.DataFrame:
    """The edge of the bucket of each quantile's low or high rank, a column for each quantile."""
    wanted = ranks.select("code", "successes", "name", pl.col(end).alias("rank"))
    located = located_buckets(profile.buckets, wanted)
    low, high = bucket_bounds(located["bucket"].to_numpy())
    suffix, edge = ("below", low) if end == "low" else ("above", high)
    values = located.select("code", "name", pl.Series("value", edge))
    return values.group_by("code").agg(
        pl.col("value").filter(pl.col("name") == name).first().alias(f"{name}_{suffix}")
        for name in ("q25", "q75")
    )


def _successes(profile: Profile, fences: pl.DataFrame) -> pl.DataFrame:
    timed = profile.buckets.filter(pl.col("success") & (pl.col("bucket") != NULL_BUCKET))
    return timed.join(fences, on="code")


def _from_fence_on(profile: Profile, fences: pl.DataFrame) -> pl.DataFrame:
    return _successes(profile, fences).filter(pl.col("bucket") >= pl.col("lowest")).select("code", "bucket")


def _kept_ranks(profile: Profile, fences: pl.DataFrame) -> pl.DataFrame:
    """The buckets that the quantiles of the kept rows can lie in."""
    sizes = (
        _successes(profile, fences)
        .group_by("code")
        .agg(
            pl.col("count").filter(pl.col("bucket") < pl.col("lowest")).sum().alias("fewest"),
            pl.col("count").filter(pl.col("bucket") <= pl.col("highest")).sum().alias("most"),
        )
    )
    ends = []
    for size in ("fewest", "most"):
        ranks = quantile_ranks(
            sizes.select("code", pl.lit(value=True).alias("successes"), pl.col(size).alias("size")), FIVE
        )
        end = "low" if size == "fewest" else "high"
        located = located_buckets(
            profile.buckets, ranks.select("code", "successes", "name", pl.col(end).alias("rank"))
        )
        ends.append(located.select("code", "name", pl.col("bucket").alias(size)))
    ranges = (
        ends[1]
        .join(ends[0], on=["code", "name"], how="left")
        .with_columns(pl.col("fewest").fill_null(np.iinfo(np.int64).min))
    )
    inside = pl.col("bucket").is_between(pl.col("fewest"), pl.col("most"))
    cells = profile.buckets.filter(pl.col("success")).select("code", "bucket").unique()
    return cells.join(ranges, on="code").filter(inside).select("code", "bucket").unique()
