"""Percentiles corrected for coordinated omission: for the calls that a client left out while it waited.

The method is that of HdrHistogram (Gil Tene), ``copyCorrectedForCoordinatedOmission``: a call that took
longer than the interval at which a client meant to send kept it from sending more, which would have waited
for what was left of it. So for a latency v and an interval i, also v - i, v - 2i and so on are counted, as
long as they are at least i.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import InputError, UsageError
from loadlens.logs.log import Log, reading
from loadlens.profile import Profile, key_names
from loadlens.profile.buckets import FAILED, bucket_bounds, bucket_middle

__all__ = [
    "AUTO",
    "checked_interval",
    "corrected_percentiles",
    "refuse_without_workers",
    "worker_intervals",
]

AUTO: Final = "auto"
"""Takes the interval from the cadence of the log's workers."""

WORKER: Final = "worker"
"""The column that names the thread or user that made a call."""

_INTERVAL: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s|min)")
_MS: Final = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000), "min": Decimal(60_000)}
_ROUNDING: Final = 1e-9
_WIDTH: Final = 1 << 20
"""More than there are buckets: code and bucket as one number."""

_MOST_STARTS: Final = 4_000_000
_PIECE_S: Final = 60

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def checked_interval(interval: float | str | None) -> float | str | None:
    """An expected interval in ms, from a text such as ``100ms``; ``auto`` and None stay what they are.

    Raises:
        UsageError: it is none of these.
    """
    if interval is None or interval == AUTO:
        return interval
    match = _INTERVAL.fullmatch(interval.strip()) if isinstance(interval, str) else None
    found = float(Decimal(match[1]) * _MS[match[2]]) if match else 0.0
    if not found > 0:
        raise UsageError(f'expected_interval: got {interval!r}, expected one such as "100ms", or "auto"')
    return found


def refuse_without_workers(log: Log) -> None:
    """Refuses a log that does not name its workers, or has no starts.

    Raises:
        InputError: says what to do.
    """
    if log.saved or not {WORKER, "start_time"} <= set(log.columns):
        raise InputError(
            f"{log.name}: expected_interval: auto takes columns {WORKER} (the thread or user of a call) and "
            f"start_time; say the interval, such as 100ms"
        )


def worker_intervals(log: Log, key: Sequence[str], num_calls: int) -> pl.DataFrame:
    """The cadence of a log's workers: the median time between two starts of one worker, for each key.

    Of more than 4 million calls, those are looked at that fall in some minutes of some workers, chosen by a
    hash of both, so that the choice does not depend on the order of rows.

    Args:
        log: the log, with a column ``worker``.
        key: the key columns.
        num_calls: how many calls it has, about.

    Returns:
        The key columns as ``key:<name>`` and ``interval_ms``; without keys of which no worker called twice.
    """
    keys = [pl.col(name).alias(internal) for name, internal in zip(key, key_names(key), strict=True)]
    rows = log.frame.select(*keys, pl.col(WORKER).cast(pl.String), "start_time").filter(
        pl.col("start_time").is_finite()
    )
    pieces = -(-num_calls // _MOST_STARTS)
    group = [*key_names(key), WORKER]
    if pieces > 1:
        minute = (pl.col("start_time") // _PIECE_S).alias("minute")
        chosen = pl.struct(WORKER, minute).hash(seed=0) % pieces == 0
        rows, group = rows.filter(chosen).with_columns(minute), [*group, "minute"]
    with reading(log):
        starts = rows.sort(*group, "start_time").collect(engine="streaming")
    gaps = starts.with_columns((pl.col("start_time").diff().over(group) * 1000).alias("interval_ms"))
    gaps = gaps.drop_nulls("interval_ms")
    median = pl.col("interval_ms").median()
    names = key_names(key)
    found = gaps.group_by(names).agg(median) if names else gaps.select(median)
    return found.filter(pl.col("interval_ms") > 0)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The latencies of successes, by key and bucket, ascending.

    Attributes:
        keys: how many keys there are.
        code: of each cell.
        bucket: likewise.
        count: likewise, its calls.
        value_ms: the mean of its latencies.
        low_ms: the smallest latency that its bucket holds.
        high_ms: the smallest that it does not hold any more.
    """

    keys: int
    code: Ints
    bucket: Ints
    count: Ints
    value_ms: Floats
    low_ms: Floats
    high_ms: Floats

    @classmethod
    def of(cls, profile: Profile) -> "_Cells":
        """Those of a profile."""
        cells = profile.bucket_sums.filter(pl.col("success") & (pl.col("bucket") != FAILED))
        cells = cells.sort("code", "bucket")
        bucket, count = cells["bucket"].to_numpy(), cells["count"].to_numpy()
        low, high = bucket_bounds(bucket)
        return cls(
            keys=profile.keys.height,
            code=cells["code"].to_numpy(),
            bucket=bucket,
            count=count,
            value_ms=np.clip(cells["latency_sum"].to_numpy() / count, low, high),
            low_ms=low,
            high_ms=high,
        )

    def summed(self, values: NDArray[np.generic]) -> Ints:
        """Sums by key."""
        return np.bincount(self.code, weights=values, minlength=self.keys).astype(np.int64)

    def chosen(self, which: NDArray[np.bool_]) -> "_Cells":
        """Some of them."""
        return replace(
            self,
            code=self.code[which],
            bucket=self.bucket[which],
            count=self.count[which],
            value_ms=self.value_ms[which],
            low_ms=self.low_ms[which],
            high_ms=self.high_ms[which],
        )

    def from_bucket(self, bucket: Ints) -> Ints:
        """How many calls each key has from a bucket of its own on."""
        place = self.code * _WIDTH + self.bucket
        before = np.concatenate([[0], np.cumsum(self.count)])
        keys = np.arange(self.keys)
        first, last = (np.searchsorted(place, keys * _WIDTH + one) for one in (bucket, _WIDTH - 1))
        found: Ints = before[last] - before[first]
        return found


@dataclass(frozen=True, kw_only=True)
class _Corrected:
    """A corrected distribution, with one latency in the place of each cell.

    Attributes:
        cells: the cells.
        slow: those whose calls kept others from being sent.
        value_ms: the latency of each of these.
        interval_ms: the expected interval of each key; NaN for none.
    """

    cells: _Cells
    slow: _Cells
    value_ms: Floats
    interval_ms: Floats

    @classmethod
    def of(cls, cells: _Cells, value_ms: Floats, interval_ms: Floats) -> "_Corrected":
        """That of some cells."""
        is_slow = value_ms >= 2 * interval_ms[cells.code] * (1 - _ROUNDING)  # not of NaN
        return cls(
            cells=cells, slow=cells.chosen(is_slow), value_ms=value_ms[is_slow], interval_ms=interval_ms
        )

    @cached_property
    def size(self) -> Ints:
        """How many latencies each key has."""
        return self.cells.summed(self.cells.count) + self._added(np.zeros(self.cells.keys))

    def _added(self, least_ms: Floats) -> Ints:
        """How many latencies from a limit on, by key, the correction adds."""
        interval = self.interval_ms[self.slow.code]
        limit = np.maximum(least_ms[self.slow.code], interval)
        steps = np.floor((self.value_ms - limit) / interval + _ROUNDING)
        return self.slow.summed(self.slow.count * np.maximum(steps, 0.0))

    def bucket_with(self, above: Ints) -> Ints:
        """For each key the last bucket from whose start on there are at least so many latencies."""
        cells = self.cells
        low = np.zeros(cells.keys, dtype=np.int64)
        high = np.full(cells.keys, int(cells.bucket.max(initial=0)) + 1, dtype=np.int64)
        while (high - low > 1).any():
            middle = (low + high) // 2
            start = bucket_bounds(middle)[0]
            enough = cells.from_bucket(middle) + self._added(start) >= above
            low, high = np.where(enough, middle, low), np.where(enough, high, middle)
        return low


def corrected_percentiles(
    profile: Profile, intervals_ms: Sequence[float | None], raw: pl.DataFrame, quantiles: Sequence[float]
) -> pl.DataFrame:
    """Percentiles of the successes, as they are and corrected, of keys that have any.

    What the correction adds follows from buckets, within which latencies are known by their mean; the bounds
    are what it would add at least and at most, wherever in their buckets latencies lie.

    Args:
        profile: the counts.
        intervals_ms: the expected interval of each of its keys, in their order; None for no correction.
        raw: for each key, in the same order, a column ``q<quantile>`` for each quantile, in ms.
        quantiles: from 0 to 1.

    Returns:
        The key columns, ascending; ``quantile``; ``latency_ms``, as it is; ``corrected_ms``, which lies
        between ``corrected_low_ms`` and ``corrected_high_ms``; ``expected_interval_ms``; ``calls`` and
        ``added``: how many latencies the correction adds to theirs.
    """
    cells = _Cells.of(profile)
    codes = profile.keys["code"].to_numpy()
    interval = np.full(cells.keys, np.nan)
    interval[codes] = [np.nan if one is None else one for one in intervals_ms]
    middle, least, most = (
        _Corrected.of(cells, values, interval) for values in (cells.value_ms, cells.low_ms, cells.high_ms)
    )
    calls = cells.summed(cells.count)
    keys = profile.keys.with_columns(
        pl.Series("expected_interval_ms", interval[codes], nan_to_null=True),
        pl.Series("calls", calls[codes]),
        pl.Series("added", (middle.size - calls)[codes]),
    ).with_row_index("row")
    is_same = (most.size == calls)[codes]
    largest = _maxima(profile)[codes]
    tables = []
    for number, quantile in enumerate(quantiles):
        known = raw[f"q{quantile}"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        found = _quantile(middle, least, most, quantile)
        low, value, high = (np.where(is_same, known, np.minimum(one[codes], largest)) for one in found)
        table = keys.with_columns(
            pl.lit(number).alias("number"),
            pl.lit(quantile).alias("quantile"),
            pl.Series("latency_ms", known, nan_to_null=True),
            pl.Series("corrected_ms", value, nan_to_null=True),
            pl.Series("corrected_low_ms", low, nan_to_null=True),
            pl.Series("corrected_high_ms", high, nan_to_null=True),
        )
        tables.append(table)
    names = key_names(profile.key)
    ordered = pl.concat(tables).filter(pl.col("calls") > 0).sort("row", "number")
    return ordered.select(
        *[pl.col(internal).alias(name) for internal, name in zip(names, profile.key, strict=True)],
        "quantile",
        "latency_ms",
        "corrected_ms",
        "corrected_low_ms",
        "corrected_high_ms",
        "expected_interval_ms",
        "calls",
        "added",
    )


def _maxima(profile: Profile) -> Floats:
    found = np.full(profile.keys.height, np.inf)
    good = profile.figures.filter(pl.col("success"))
    found[good["code"].to_numpy()] = good["latency_max"].cast(pl.Float64).fill_null(np.inf).to_numpy()
    return found


def _quantile(
    middle: _Corrected, least: _Corrected, most: _Corrected, quantile: float
) -> tuple[Floats, Floats, Floats]:
    """What a quantile is at least, about, and at most, by key: between the two ranks that it lies between."""
    floor, ceil = (_above(middle.size, quantile, whole) for whole in (np.floor, np.ceil))
    weight = (middle.size - 1) * quantile
    weight = weight - np.floor(weight)
    below, after = (bucket_middle(middle.bucket_with(rank)) for rank in (floor, ceil))
    low = bucket_bounds(least.bucket_with(_above(most.size, quantile, np.floor)))[0]
    high = bucket_bounds(most.bucket_with(_above(least.size, quantile, np.ceil)))[1]
    return low, below + (after - below) * weight, high


def _above(size: Ints, quantile: float, whole: "np.ufunc") -> Ints:
    """How many latencies are at least as large as the one at the rank of a quantile."""
    rank = whole(np.maximum(size - 1, 0) * quantile)
    found: Ints = (size - rank).astype(np.int64)
    return np.maximum(found, 1)
