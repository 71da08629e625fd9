"""Latencies of groups of calls, in buckets: which bucket has a rank, and quantiles with their bounds."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import bucket_bounds, bucket_middle
from loadlens.profile.merging import numbered_by

__all__ = ["Distributions", "cell_of", "quantile_of"]

_CELLS_A_GROUP: Final = 2**20
"""More than there are buckets."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def cell_of(ends: Ints, position: Ints) -> Ints:
    """The cell of each call, counted from 0 over all cells, of which there are ``ends`` up to and in each."""
    return np.searchsorted(ends, position, side="right")


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """Latencies of several groups of calls, in buckets, and their quantiles, all groups at once.

    Attributes:
        bucket: the buckets of the groups, one group after the other, ascending.
        ends: how many calls there are up to each bucket, it included, over all groups.
        size: how many calls each group has.
        least: the lowest latency of each group in ms.
        most: the highest.
        shift: how many trailing bits of a latency a bucket leaves open.
    """

    bucket: Ints
    ends: Ints
    size: Ints
    least: Floats
    most: Floats
    shift: int

    @classmethod
    def of(
        cls, group: Ints, num_groups: int, figures: pl.DataFrame, buckets: pl.DataFrame, shift: int
    ) -> "Distributions":
        """Those of the successful calls of a profile that have a latency.

        Args:
            group: of each code the group that it belongs to, from 0; -1 for none.
            num_groups: how many there are.
            figures: those of the profile.
            buckets: likewise.
            shift: how many trailing bits of a latency a bucket leaves open.
        """
        of_figures, lowest, highest = _grouped(figures, group, "latency_min", "latency_max")
        of_buckets, bucket, count = _grouped(buckets, group, "bucket", "count")
        cell = of_buckets * _CELLS_A_GROUP + bucket
        if len(cell) and not (np.diff(cell) > 0).all():
            cell, place = np.unique(cell, return_inverse=True)
            count = np.bincount(place, count, minlength=len(cell)).astype(np.int64)
        least, most = np.full(num_groups, np.inf), np.full(num_groups, -np.inf)
        np.fmin.at(least, of_figures, lowest)
        np.fmax.at(most, of_figures, highest)
        size = np.bincount(cell // _CELLS_A_GROUP, count, minlength=num_groups).astype(np.int64)
        ends = np.cumsum(count)
        return cls(bucket=cell % _CELLS_A_GROUP, ends=ends, size=size, least=least, most=most, shift=shift)

    @cached_property
    def first(self) -> Ints:
        """How many calls come before those of each group."""
        return np.cumsum(self.size) - self.size

    def bucket_at(self, group: Ints, rank: Ints) -> Ints:
        """The bucket of the call at each rank, from 0, of a group."""
        return self.bucket[cell_of(self.ends, self.first[group] + rank)]

    def quantile(self, q: float) -> tuple[Floats, Floats, Floats]:
        """A quantile of each group in ms by linear interpolation between ranks; NaN where it has no calls.

        Returns:
            What the middles of buckets say, and between which two the true one lies.
        """
        some = np.flatnonzero(self.size)
        size = self.size[some]
        position = (size - 1) * q
        lower = np.floor(position).astype(np.int64)
        weight = position - lower
        at, after = (self.bucket_at(some, rank) for rank in (lower, np.minimum(lower + 1, size - 1)))
        pairs = zip(_told(at, self.shift), _told(after, self.shift), strict=True)
        found = []
        for one, other in pairs:
            values = np.full(len(self.size), np.nan)
            values[some] = np.clip(one + (other - one) * weight, self.least[some], self.most[some])
            found.append(values)
        middle, low, high = found
        return middle, low, high


def _grouped(rows: pl.DataFrame, group: Ints, *names: str) -> list[NDArray[Any]]:
    """The group of each row of successful calls that belong to one, and columns of these rows."""
    found = group[rows["code"].to_numpy()]
    some = rows["success"].to_numpy() & (found >= 0)
    return [found[some], *(rows[name].to_numpy()[some] for name in names)]


def _told(bucket: Ints, shift: int) -> tuple[Floats, Floats, Floats]:
    """What stands for the latencies of buckets, and their bounds."""
    return bucket_middle(bucket, shift), *bucket_bounds(bucket, shift)


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
    numbered = numbered_by(keys, names)
    groups = numbered.select("number", *names).unique("number", maintain_order=True)
    most = max(int(frame["code"].max() or 0) for frame in (keys, figures, buckets))  # type: ignore[arg-type]
    group = np.full(most + 1, -1)
    group[numbered["code"].to_numpy()] = numbered["number"].to_numpy()
    distributions = Distributions.of(group, groups.height, figures, buckets, shift)
    found = zip(("latency_ms", "low_ms", "high_ms"), distributions.quantile(q), strict=True)
    columns = [pl.Series(name, values) for name, values in found]
    return groups.drop("number").with_columns(columns).filter(distributions.size > 0)
