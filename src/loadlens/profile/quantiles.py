"""Quantiles read from the buckets of a profile, with the bounds between which the true ones lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import bucket_bounds, bucket_middle

__all__ = ["quantile_of"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """The buckets of some keys, each key's one after the other, ascending.

    Attributes:
        bucket: their numbers.
        ends: how many calls there are up to each bucket, it included, over all keys.
        first: how many calls come before each key's.
    """

    bucket: Ints
    ends: Ints
    first: Ints

    def at(self, rank: Ints) -> Ints:
        """The bucket of the call at a rank, from 0, of each key."""
        found: Ints = self.bucket[np.searchsorted(self.ends, self.first + rank, side="right")]
        return found


def quantile_of(
    keys: pl.DataFrame, figures: pl.DataFrame, buckets: pl.DataFrame, q: float, shift: int
) -> pl.DataFrame:
    """A quantile of the successful calls of each key.

    Args:
        keys: ``code`` and what keys are told by; several codes may be told alike and are one key then.
        figures: those of the profile.
        buckets: likewise.
        q: from 0 to 1.
        shift: how many trailing bits of a latency a bucket leaves open.

    Returns:
        What keys are told by, ascending, and ``latency_ms``, ``low_ms`` and ``high_ms``; keys without a
        successful call that has a latency are left out.
    """
    names = [name for name in keys.columns if name != "code"]
    of_codes = _numbered(keys, names)
    summed = (
        buckets.filter(pl.col("success"))
        .join(of_codes.select("code", "number"), on="code")
        .group_by("number", "bucket")
        .agg(pl.col("count").sum())
        .sort("number", "bucket")
    )
    sizes = summed.group_by("number", maintain_order=True).agg(pl.col("count").sum().alias("size"))
    extremes = (
        figures.filter(pl.col("success"))
        .join(of_codes.select("code", "number"), on="code")
        .group_by("number")
        .agg(pl.col("latency_min").min(), pl.col("latency_max").max())
    )
    table = (
        of_codes.select("number", *names)
        .unique("number")
        .join(sizes, on="number")
        .join(extremes, on="number")
        .sort("number")
    )
    size = table["size"].to_numpy()
    ends = np.cumsum(summed["count"].to_numpy())
    ranked = _Ranked(bucket=summed["bucket"].to_numpy(), ends=ends, first=np.cumsum(size) - size)
    position = (size - 1) * q
    lower = np.floor(position).astype(np.int64)
    weight = position - lower
    at, after = (ranked.at(rank) for rank in (lower, np.minimum(lower + 1, size - 1)))
    (low, high), (low_after, high_after) = bucket_bounds(at, shift), bucket_bounds(after, shift)
    middle, middle_after = bucket_middle(at, shift), bucket_middle(after, shift)
    least, most = table["latency_min"].to_numpy(), table["latency_max"].to_numpy()
    between = {
        "latency_ms": (middle, middle_after),
        "low_ms": (low, low_after),
        "high_ms": (high, high_after),
    }
    found = {
        name: np.clip(one + (other - one) * weight, least, most) for name, (one, other) in between.items()
    }
    return pl.DataFrame({**{name: table[name] for name in names}, **found})


def _numbered(keys: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The keys with the ``number`` of what they are told by, ascending."""
    if not names:
        return keys.with_columns(number=pl.lit(0, dtype=pl.Int64))
    distinct = keys.select(names).unique().sort(names, nulls_last=True)
    numbers = distinct.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    return keys.join(numbers, on=names, nulls_equal=True)
