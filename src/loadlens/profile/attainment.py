"""How many successes lie below given latencies, exactly: whole buckets, and one bucket row by row."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import NULL_BUCKET, bucket_of
from loadlens.profile.exact import rows_at
from loadlens.profile.plan import below_name
from loadlens.profile.profile import Profile
from loadlens.profile.quantiles import bucket_bounds
from loadlens.profile.rows import Look, place
from loadlens.schema import LATENCY

__all__ = [
    "CountsInside",
    "counts_below",
    "inside_by_middle",
    "inside_by_scan",
    "inside_counts",
    "limit_buckets",
]

_BELOW_ALL: Final = -(2**20)
Ints = NDArray[np.int64]

CountsInside = Callable[[pl.DataFrame], pl.DataFrame]
"""From ``code``, ``bucket`` and ``limit_ms`` to the same with ``inside``, the successes of that bucket below
the limit."""


def limit_buckets(profile: Profile, limits_ms: Sequence[float]) -> pl.DataFrame:
    """The buckets that limits lie in, where successes are in them.

    Returns:
        ``code``, ``bucket``, ``limit_ms``.
    """
    limits = pl.DataFrame(
        {"bucket": bucket_of(np.array(limits_ms, dtype=np.float64)), "limit_ms": list(limits_ms)},
        schema={"bucket": pl.Int64, "limit_ms": pl.Float64},
    )
    cells = profile.buckets.filter("success").select("code", "bucket").unique()
    return cells.join(limits, on="bucket").select("code", "bucket", "limit_ms")


def counts_below(profile: Profile, limits_ms: Sequence[float], counts_inside: CountsInside) -> pl.DataFrame:
    """The successes below each limit, a row for each code and a column ``below_name(limit)`` for each limit.

    Args:
        profile: the profile of the log.
        limits_ms: the limits, 0 or more.
        counts_inside: counts in the buckets that the limits lie in.
    """
    inside = counts_inside(limit_buckets(profile, limits_ms)).filter(pl.col("inside").is_not_null())
    code = profile.keys["code"].to_numpy()
    below = _whole_below(profile, code, limits_ms)
    order = np.argsort(code)
    of_code = order[np.searchsorted(code, inside["code"].to_numpy(), sorter=order)]
    number = {limit: number for number, limit in enumerate(limits_ms)}
    of_limit = np.array([number[limit] for limit in inside["limit_ms"].to_list()], dtype=np.int64)
    below[of_limit, of_code] += inside["inside"].to_numpy()
    return pl.DataFrame({"code": code, **{below_name(limit): below[at] for limit, at in number.items()}})


def _whole_below(profile: Profile, code: Ints, limits_ms: Sequence[float]) -> Ints:
    """The successes in whole buckets below each limit: a row for each limit, a column for each code."""
    cells = profile.buckets.filter(pl.col("success") & (pl.col("bucket") != NULL_BUCKET))
    placed = cells.select(place(pl.col("code"), pl.col("bucket")).alias("place"), "count").sort("place")
    places = placed["place"].to_numpy()
    up_to = np.concatenate([[0], placed["count"].to_numpy().cumsum()])
    buckets = bucket_of(np.array(limits_ms, dtype=np.float64))
    wanted = pl.DataFrame({"code": np.tile(code, len(buckets)), "bucket": np.repeat(buckets, len(code))})
    ends = wanted.select(place(pl.col("code"), pl.col("bucket"))).to_series().to_numpy()
    begins = wanted.select(place(pl.col("code"), pl.lit(_BELOW_ALL))).to_series().to_numpy()
    found = up_to[np.searchsorted(places, ends)] - up_to[np.searchsorted(places, begins)]
    return np.asarray(found, dtype=np.int64).reshape(len(buckets), len(code))


def inside_by_scan(look: Look, wanted: pl.DataFrame) -> pl.DataFrame:
    """Counts by a scan of the log, for buckets that are too full to hold.

    Args:
        look: looks at the log.
        wanted: ``code``, ``bucket`` and ``limit_ms``.
    """
    if wanted.is_empty():
        return wanted.with_columns(inside=pl.lit(0, dtype=pl.Int64))
    limits = _distinct_limits(wanted)
    names = {f"{number}": limit for number, limit in enumerate(limits)}
    long = (
        look("inside_counts", wanted=wanted)
        .unpivot(index="code", variable_name="number", value_name="inside")
        .with_columns(pl.col("number").replace_strict(names, return_dtype=pl.Float64).alias("limit_ms"))
    )
    return wanted.join(long.drop("number"), on=["code", "limit_ms"], how="left")


def inside_counts(rows: pl.LazyFrame, wanted: pl.DataFrame) -> pl.LazyFrame:
    """Counts the successes between the lower edge of a limit's bucket and the limit.

    Args:
        rows: ``code``, ``success`` and the latency.
        wanted: ``code``, ``bucket`` and ``limit_ms``.

    Returns:
        ``code`` and a column for each distinct limit, ascending, named by its number from 0.
    """
    limits = _distinct_limits(wanted)
    edges, _ = bucket_bounds(bucket_of(np.array(limits, dtype=np.float64)))
    latency = pl.col(LATENCY)
    counts = [
        ((latency >= edge) & (latency < limit)).sum().cast(pl.Int64).alias(f"{number}")
        for number, (edge, limit) in enumerate(zip(edges.tolist(), limits, strict=True))
    ]
    return rows_at(rows, wanted.select("code", "bucket")).filter("success").group_by("code").agg(counts)


def _distinct_limits(wanted: pl.DataFrame) -> list[float]:
    return wanted["limit_ms"].unique().sort().to_list()


def inside_by_middle(profile: Profile, wanted: pl.DataFrame) -> pl.DataFrame:
    """Counts a bucket whole if its middle lies below the limit: known without another scan."""
    cells = profile.buckets.filter("success").group_by("code", "bucket").agg(pl.col("count").sum())
    found = wanted.join(cells, on=["code", "bucket"], how="left")
    low, high = bucket_bounds(found["bucket"].to_numpy())
    is_below = pl.Series((low + high) / 2) < found["limit_ms"]
    return found.with_columns(inside=pl.when(is_below).then("count").otherwise(0)).drop("count")
