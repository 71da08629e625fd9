"""What happened when: calls, failures, latencies and active calls by window of time, of all keys at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from loadlens.profile.buckets import MOST_PAIRS, fitting_width, window_name
from loadlens.profile.distributions import Distributions
from loadlens.profile.merging import numbered_by
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.seconds import Floats, Groups, Ints, Seconds, mean_active
from loadlens.schema import EARLIEST_S

__all__ = ["WINDOW_PERCENTILES", "is_calendar", "timeline"]

WINDOW_PERCENTILES: Final = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}
"""The percentiles of a window by the names of their columns."""

_MOST_FILLED: Final = 4 * MOST_PAIRS
_BUSY: Final = 5.0
"""Calls of a key in a window, on the average, from which on the key's own first and last calls are the ends
of its load. Of fewer, those of the run are: single calls have gaps before and after them in any case."""


def is_calendar(profile: Profile) -> bool:
    """Whether the clock of a log tells calendar time."""
    latest = profile.figures["last_end"].max()
    return isinstance(latest, float) and latest >= EARLIEST_S


def timeline(profile: Profile, by: Sequence[str] = ()) -> pl.DataFrame:
    """Figures by key and window of time, of the calls that ended in the window.

    Counts, sums and maxima are exact. Percentiles are those of the successful calls, read from buckets, and
    off by at most 1/32. Active calls are exact at every second: those that started before it and have not
    ended before it. A window has their mean over its seconds.

    Rates are per second of the whole window. The windows in which the load begins and ends are covered by
    it in part: there, rates are of the whole seconds after the first start and before the last one alone,
    and null where there are none.

    Args:
        profile: the counts; latencies, maxima and bytes are those of its ``timeline``.
        by: some columns of its key; none for the run as a whole.

    Returns:
        The columns ``by``; ``window_start_s`` (on the log's clock), ``window_s`` (width), ``covered_s`` (what
        rates are of); ``calls`` and ``errors``, ``error_rate`` (0 to 1), ``throughput`` (successes per s);
        ``p50_ms``, ``p90_ms``, ``p95_ms``, ``p99_ms``, ``max_ms``; ``active_calls``, ``bytes_per_s`` (of
        responses). What the profile does not tell is null. Rows ascend by key and time and have no gaps.
        Empty where no call has an end.
    """
    names = key_names(by)
    numbered = numbered_by(profile.keys.select("code", *names), names)
    keys = numbered.select("number", *names).unique("number", maintain_order=True)
    groups = Groups.of(profile, numbered["code"].to_numpy(), numbered["number"].to_numpy())
    counted = _of_windows(profile, keys) or _of_seconds(profile, groups, by)
    grid = _Grid.of(counted, groups)
    seconds = Seconds.of(profile, groups)
    return (
        keys[grid.group]
        .drop("number")
        .rename(dict(zip(names, by, strict=True)))
        .with_columns(
            pl.Series("window_start_s", grid.begin.astype(np.float64)),
            pl.Series("window_s", np.full(len(grid.begin), float(grid.width_s))),
            *_rates(grid, counted, groups, seconds),
            *_latencies(grid, counted),
            _active(grid, groups, seconds),
        )
        .select(*by, *_COLUMNS)
    )


_COLUMNS: Final = (
    *("window_start_s", "window_s", "covered_s", "calls", "errors", "error_rate", "throughput"),
    *(*WINDOW_PERCENTILES, "max_ms", "active_calls", "bytes_per_s"),
)


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """Calls by group and window.

    Attributes:
        width_s: the width of the windows.
        group: that of each pair of key and window; -1 where the calls have no end.
        window: which multiple of the width it is.
        calls: how many calls ended there.
        completions: how many of them succeeded.
        profile: the profile whose codes these pairs are; None where there are counts alone.
    """

    width_s: int
    group: Ints
    window: Ints
    calls: Ints
    completions: Ints
    profile: Profile | None = None

    @property
    def bytes(self) -> Floats | None:
        """Of all responses; None where no size is known."""
        if self.profile is None or not self.profile.figures["response_size_count"].sum():
            return None
        figures = self.profile.figures
        sizes = figures["response_size_sum"].cast(pl.Float64).to_numpy()
        found: Floats = np.bincount(figures["code"].to_numpy(), sizes, len(self.group)).astype(np.float64)
        return found


def _of_windows(profile: Profile, groups: pl.DataFrame) -> _Counted | None:
    """What the timeline of a profile tells."""
    found = profile.timeline
    if found is None or found.window_s is None:
        return None
    names = groups.columns[1:]
    pairs = (
        found.keys.join(groups, on=names, how="left", nulls_equal=True, maintain_order="left")
        if names
        else found.keys.with_columns(number=pl.lit(0, dtype=pl.Int64))
    )
    window = pairs[window_name(found.window_s)]
    code, good = found.figures["code"].to_numpy(), found.figures["success"].to_numpy()
    calls = found.figures["calls"].to_numpy()
    every, completions = (np.bincount(code, some, pairs.height) for some in (calls, calls * good))
    return _Counted(
        width_s=int(found.window_s),
        group=np.where(window.is_not_null().to_numpy(), pairs["number"].to_numpy(), -1),
        window=window.fill_null(0).to_numpy(),
        calls=every.astype(np.int64),
        completions=completions.astype(np.int64),
        profile=found,
    )


def _of_seconds(profile: Profile, groups: Groups, by: Sequence[str]) -> _Counted:
    """What the seconds of a profile tell, or, of the run as a whole, what remains of them."""
    if by:
        ended = profile.seconds.filter(pl.col("calls") > 0)
        group = groups.of_code[ended["code"].to_numpy()]
        finest = 1
    else:
        ended = profile.windows
        group = np.zeros(ended.height, dtype=np.int64)
        finest = int(ended["width_s"].max() or 1)  # type: ignore[arg-type]
    second = ended["second"].to_numpy()
    ends = [int(second.min()), int(second.max())] if len(second) else []
    width = int(fitting_width(1.0, ends, lambda _: 0) or 1)
    width = -(-width // finest) * finest
    return _Counted(
        width_s=width,
        group=group,
        window=second // width,
        calls=ended["calls"].to_numpy(),
        completions=ended["completions"].to_numpy(),
    )


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The pairs of group and window that are told, ascending.

    Attributes:
        width_s: the width of the windows.
        group: that of each.
        begin: where its window begins, in s.
        place: for each pair that was counted where it is; -1 for none.
    """

    width_s: int
    group: Ints
    begin: Ints
    place: Ints

    @classmethod
    def of(cls, counted: _Counted, groups: Groups) -> "_Grid":
        """All windows of each group from its first to its last; of very many, those with calls alone."""
        some = counted.group >= 0
        group, window = counted.group[some], counted.window[some]
        first, last = np.full(len(groups), 2**62), np.full(len(groups), -1)
        np.minimum.at(first, group, window)
        lowest = int(first.min(initial=2**62)) if len(group) else 0
        np.maximum.at(last, group, window - lowest)
        first -= lowest
        span = int(last.max(initial=0)) + 1
        lengths = np.maximum(last - first + 1, 0)
        if lengths.sum() <= _MOST_FILLED:
            begins = np.cumsum(lengths) - lengths
            of_group = np.repeat(np.arange(len(groups)), lengths)
            pairs = of_group * span + np.arange(lengths.sum()) + (first - begins)[of_group]
        else:
            pairs = np.unique(group * span + window - lowest)
        place = np.full(len(counted.group), -1)
        place[some] = np.searchsorted(pairs, group * span + window - lowest)
        begin = (pairs % span + lowest) * counted.width_s
        return cls(width_s=counted.width_s, group=pairs // span, begin=begin, place=place)

    @property
    def end(self) -> Ints:
        """Where each window ends, in s."""
        return self.begin + self.width_s

    def elapsed_s(self, groups: Groups) -> Floats:
        """How much of each window lies between the first start and the last end of its group."""
        last = (groups.last + groups.resolution_s)[self.group]
        elapsed: Floats = np.fmin(self.end, last) - np.fmax(self.begin, groups.first[self.group])
        return np.clip(elapsed, 0.0, self.width_s)

    def sums(self, values: Ints | Floats) -> Floats:
        """Values of the counted pairs summed up by their place."""
        some = self.place >= 0
        found: Floats = np.bincount(self.place[some], values[some], len(self.begin)).astype(np.float64)
        return found


def _rates(grid: _Grid, counted: _Counted, groups: Groups, seconds: Seconds | None) -> list[pl.Series]:
    """Counts, rates per second that the load covers, and how many seconds these are."""
    calls, completions = grid.sums(counted.calls), grid.sums(counted.completions)
    covered, of_rates = _covered(grid, groups, seconds, {"calls": calls, "completions": completions})
    with np.errstate(divide="ignore", invalid="ignore"):
        error_rate = (calls - completions) / np.where(calls > 0, calls, np.nan)
        throughput = of_rates["completions"] / np.where(covered > 0, covered, np.nan)
        share = np.where(calls > 0, of_rates["calls"] / calls, 1.0) / np.where(covered > 0, covered, np.nan)
    sizes = counted.bytes
    bytes_per_s = np.full(len(share), np.nan) if sizes is None else grid.sums(sizes) * share
    return [
        pl.Series("covered_s", covered),
        pl.Series("calls", calls.astype(np.int64)),
        pl.Series("errors", (calls - completions).astype(np.int64)),
        pl.Series("error_rate", error_rate, nan_to_null=True),
        pl.Series("throughput", throughput, nan_to_null=True),
        pl.Series("bytes_per_s", bytes_per_s, nan_to_null=True),
    ]


def _covered(
    grid: _Grid, groups: Groups, seconds: Seconds | None, sums: dict[str, Floats]
) -> tuple[Floats, dict[str, Floats]]:
    """How many seconds of each window rates are of, and the counts in these."""
    covered = np.full(len(grid.begin), float(grid.width_s))
    low, high = (ends[grid.group] for ends in _load(grid, groups, seconds, sums["calls"]))
    last = groups.last[grid.group]
    is_edge = (grid.begin < low) | ((grid.begin <= high) & (high < grid.end)) | (last < grid.end)
    begin, end = np.fmax(grid.begin, low), np.fmin(grid.end, high)
    covered[is_edge] = 0 if seconds is None else np.fmax(end - begin, 0)[is_edge]
    is_short = np.bincount(grid.group, covered, len(groups))[grid.group] == 0  # shorter than any whole second
    covered[is_short] = grid.elapsed_s(groups)[is_short]
    if seconds is None:  # what happened within a window is not known
        return covered, sums
    begin, end = (np.nan_to_num(edge).astype(np.int64) for edge in (begin, end))
    is_cut = is_edge & ~is_short
    inner = {
        name: seconds.before(name, grid.group, end) - seconds.before(name, grid.group, begin) for name in sums
    }
    return covered, {name: np.where(is_cut, inner[name], sums[name]) for name in sums}


def _load(grid: _Grid, groups: Groups, seconds: Seconds | None, calls: Floats) -> tuple[Floats, Floats]:
    """The first whole second of each group's load, and the end of the last one, in s."""
    low = np.ceil(groups.first + groups.resolution_s)
    high = np.floor(groups.last) if seconds is None else seconds.last_start.astype(np.float64)
    windows = np.bincount(grid.group, minlength=len(groups))
    busy = np.bincount(grid.group, calls, len(groups)) >= _BUSY * windows
    return (
        np.where(busy, low, np.fmin.reduce(low, initial=np.nan)),
        np.where(busy, high, np.fmax.reduce(high, initial=np.nan)),
    )


def _latencies(grid: _Grid, counted: _Counted) -> list[pl.Series]:
    """Percentiles and maxima, null where nothing tells them."""
    found, size = counted.profile, len(grid.begin)
    if found is None:
        return [pl.Series(name, [None] * size, dtype=pl.Float64) for name in (*WINDOW_PERCENTILES, "max_ms")]
    calls = Distributions.of(grid.place, size, found.figures, found.buckets, found.bucket_shift)
    columns = {name: calls.quantile(q)[0] for name, q in WINDOW_PERCENTILES.items()}
    columns["max_ms"] = np.where(calls.size > 0, calls.most, np.nan)
    return [pl.Series(name, values, nan_to_null=True) for name, values in columns.items()]


def _active(grid: _Grid, groups: Groups, seconds: Seconds | None) -> pl.Series:
    if seconds is None or not seconds.tells_active:
        return pl.Series("active_calls", [None] * len(grid.begin), dtype=pl.Float64)
    found = mean_active(seconds, groups, grid.group, grid.begin, grid.end)
    return pl.Series("active_calls", found, nan_to_null=True)
