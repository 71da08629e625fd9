"""The few rows that can decide an exact figure, fetched once instead of scanned for again and again."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from loadlens.profile.attainment import limit_buckets
from loadlens.profile.buckets import FAILED_BUCKET, NULL_BUCKET, bucket_of
from loadlens.profile.exact import (
    MOST_BUCKETS,
    HeldLatencies,
    OrderedCounts,
    held_keys,
    located_buckets,
    numbered_buckets,
)
from loadlens.profile.fence import fence
from loadlens.profile.plan import Plan
from loadlens.profile.profile import Profile
from loadlens.profile.quantiles import bucket_bounds, quantile_ranks
from loadlens.profile.scan import Counted
from loadlens.profile.table import FENCE_QUANTILES, FIVE, count_table

__all__ = ["Candidates", "candidate_rows"]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The rows that exact figures can depend on.

    Attributes:
        latencies: those in the buckets of the wanted ranks; None if they are too many to hold.
        tail: all successes from the lowest possible fence on, with their times; None if they are too many
            to hold, or if there is no fence.
    """

    latencies: HeldLatencies | None
    tail: pl.DataFrame | None


def candidate_rows(found: Counted, plan: Plan, *, most: int) -> Candidates:
    """Fetches all rows that exact figures can depend on, if they are at most ``most``.

    The ranks of kept rows move with the fence, so their buckets are taken for all fences possible.

    Args:
        found: the log and its profile.
        plan: what is measured.
        most: how many rows may be held in memory.
    """
    profile, tail = found.profile, found.tail
    counts = OrderedCounts.of_buckets(profile.buckets)
    ranked = [_ranked_buckets(profile, plan, counts), limit_buckets(profile, plan.limits_ms).drop("limit_ms")]
    beyond: list[pl.DataFrame] = []
    kept = profile.buckets.select("code", "bucket").clear()
    complete = False
    if plan.fence != "none":
        fences = _possible_fences(plan, count_table(profile), counts)
        if plan.outliers != "none":
            kept = _kept_ranks(profile, plan, fences, counts).join(
                pl.concat(ranked), on=["code", "bucket"], how="anti"
            )
            ranked.append(kept)
        complete = tail is not None and tail.complete(_lowest_edges(fences))
        if not complete:
            beyond.append(_from_fence_on(profile, fences))
    known = pl.col("bucket").is_in([FAILED_BUCKET, NULL_BUCKET])  # there, no latency differs from others
    buckets = pl.concat([pl.concat(ranked).filter(~known), *beyond]).unique()
    if _num_rows(profile, buckets) > most or buckets.height > MOST_BUCKETS:
        return Candidates(latencies=None, tail=None)
    chosen = numbered_buckets(buckets)
    if not beyond:
        held = _held_back(found, chosen, kept)
        held = found.look("held_keys", chosen=chosen) if held is None else held
        latencies = HeldLatencies(chosen, counts, held)
        return Candidates(latencies=latencies, tail=tail.frame() if complete and tail else None)
    fetched = found.look("rows_at", chosen=chosen)
    held = held_keys(fetched.lazy(), chosen).collect()
    latencies = HeldLatencies(chosen, counts, held)
    return Candidates(latencies=latencies, tail=fetched)


def _held_back(found: Counted, chosen: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame | None:
    if found.brackets is None or found.tail is None:
        return None
    from loadlens.profile.brackets import keys_held_back

    return keys_held_back(found.brackets, found.tail, chosen, kept)


def _num_rows(profile: Profile, buckets: pl.DataFrame) -> int:
    return int(profile.buckets.join(buckets, on=["code", "bucket"], how="semi")["count"].sum())


def _lowest_edges(fences: pl.DataFrame) -> pl.DataFrame:
    edges, _ = bucket_bounds(fences["lowest"].to_numpy())
    return fences.select("code", pl.Series("lowest", edges))


def _ranked_buckets(profile: Profile, plan: Plan, counts: OrderedCounts) -> pl.DataFrame:
    table = count_table(profile)
    kept = plan.kept_percentiles if plan.outliers == "none" else ()
    wanted = {**FIVE, **{str(quantile): quantile for quantile in (*plan.percentiles, *kept)}}
    ranks = [_ranks(table, "num_timed_successes", wanted, successes=True)]
    if plan.fence_over_failures:
        ranks.append(_ranks(table, "num_invocations", FENCE_QUANTILES, successes=False))
    located = located_buckets(counts, pl.concat(ranks).unique())
    return located.select("code", "bucket")


def _ranks(table: pl.DataFrame, size: str, wanted: dict[str, float], *, successes: bool) -> pl.DataFrame:
    sizes = table.select("code", pl.lit(successes).alias("successes"), pl.col(size).alias("size"))
    ranks = quantile_ranks(sizes, wanted)
    both = pl.concat(ranks.select("code", "successes", pl.col(end).alias("rank")) for end in ("low", "high"))
    return both.unique()


def _possible_fences(plan: Plan, table: pl.DataFrame, counts: OrderedCounts) -> pl.DataFrame:
    """The lowest and highest bucket that the fence can lie in: ``code``, ``lowest``, ``highest``."""
    population, size = (
        ("all", "num_invocations") if plan.fence_over_failures else ("success", "num_timed_successes")
    )
    sizes = table.select(
        "code", pl.lit(population == "success").alias("successes"), pl.col(size).alias("size")
    )
    ranks = quantile_ranks(sizes, {"q25": 0.25, "q75": 0.75})
    bounds = {end: _bucket_values(counts, ranks, end) for end in ("low", "high")}
    joined = (
        bounds["low"]
        .join(bounds["high"], on="code")
        .join(table.select("code", f"{population}_mean"), on="code")
    )
    mean = pl.col(f"{population}_mean")
    possible = joined.select(
        "code",
        fence(plan.fence, mean, pl.col("q25_above"), pl.col("q75_below")).alias("lowest"),
        fence(plan.fence, mean, pl.col("q25_below"), pl.col("q75_above")).alias("highest"),
    )
    # One bucket more on either side makes up for the rounding of the mean.
    return possible.select(
        "code",
        pl.Series("lowest", bucket_of(possible["lowest"].to_numpy()) - 1),
        pl.Series("highest", bucket_of(possible["highest"].to_numpy()) + 1),
    )


def _bucket_values(counts: OrderedCounts, ranks: pl.DataFrame, end: str) -> pl.DataFrame:
    """The edge of the bucket of each quantile's low or high rank, a column for each quantile."""
    wanted = ranks.select("code", "successes", "name", pl.col(end).alias("rank"))
    located = located_buckets(counts, wanted)
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


def _kept_ranks(profile: Profile, plan: Plan, fences: pl.DataFrame, counts: OrderedCounts) -> pl.DataFrame:
    """The buckets that the quantiles of the kept rows can lie in."""
    wanted = {**FIVE, **{str(quantile): quantile for quantile in plan.kept_percentiles}}
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
            sizes.select("code", pl.lit(value=True).alias("successes"), pl.col(size).alias("size")), wanted
        )
        end = "low" if size == "fewest" else "high"
        located = located_buckets(
            counts, ranks.select("code", "successes", "name", pl.col(end).alias("rank"))
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
