"""What a page holds of a run so that it can compute: counts by key, window of time and latency bucket.

It goes into the page as JSON. The many numbers are packed in it: one run of bytes, deflated, in base64.
``script/unpack.js`` reads them.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from loadlens.messages import visible_lines
from loadlens.profile import key_names
from loadlens.profile.buckets import COARSE_ERROR, window_name
from loadlens.profile.merging import numbered_by
from loadlens.profile.seconds import NEVER, Groups, Seconds, active_sums
from loadlens.profile.timeline import is_calendar
from loadlens.report.columns import column_header, format_key, key_text
from loadlens.report.packing import rows_of, varints
from loadlens.report.run_failures import RunFailures

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from loadlens.profile import Profile
    from loadlens.profile.seconds import Floats, Ints
    from loadlens.summaries import InvocationStatistics

__all__ = ["MOST_PACKED_BYTES", "run_data", "runs_of"]

MOST_PACKED_BYTES: Final = 1_500_000
"""Of a run that takes more, windows are put together until it does not."""

_FRACTION: Final = 2.0**-55  # sums of latencies are whole numbers of so many ms


def runs_of(parts: Mapping[str, InvocationStatistics | None]) -> dict[str, str]:
    """What a page holds of its runs, by their names; without those that there is nothing to tell of.

    Args:
        parts: the summaries of the runs by their names; None for one that is not there.
    """
    found = {
        name: run_data(part.profile, part.profile.key, untold=part.kept_columns, law=_law(part))
        for name, part in parts.items()
        if part is not None
    }
    return {name: data for name, data in found.items() if data}


def _law(part: InvocationStatistics) -> dict[str, float] | None:
    """The figures of a run's law that draw it, and between which loads; None where it has none."""
    if part.profile.timeline is None or (law := part.load.scalability).reason is not None or not law.loads:
        return None
    names = ("rate_per_s", "contention", "coherency")
    return {**{name: law.figures[name] for name in names}, "lowest": law.loads[0], "highest": law.loads[-1]}


def run_data(
    profile: Profile,
    by: Sequence[str],
    *,
    untold: Collection[str] = (),
    law: Mapping[str, float] | None = None,
    most_bytes: int = MOST_PACKED_BYTES,
) -> str:
    """The timeline of a run as JSON for a page.

    Args:
        profile: the counts; of its ``timeline`` come calls and latencies, of its seconds active calls.
        by: the columns of its key.
        untold: columns of the summary that say more than the timeline can tell, as those of kept calls.
        law: the scalability law of the run, to be drawn.
        most_bytes: how many the packed numbers may take.

    Returns:
        Nothing where no call has an end, or there are too many keys for a page.
    """
    timeline = profile.timeline
    if timeline is None or timeline.window_s is None:
        return ""
    keys, clock = _keys_and_clock(profile, key_names(by))
    failures = RunFailures.of(profile, keys, key_names(by))
    while run := _Run.of(timeline, by, keys, clock, failures):
        packed = run.packed()
        if len(packed) <= most_bytes:
            document = {**run.document(), "untold": sorted(untold), "law": law, "packed": packed}
            return json.dumps(document, separators=(",", ":"))
        if run.num_windows == 1:
            break
        timeline = timeline.in_windows_of(2 * run.width_s)
    return ""


def _keys_and_clock(profile: Profile, names: Sequence[str]) -> tuple[pl.DataFrame, _Clock]:
    """The ``number`` of each key by its columns, and when the calls of these were."""
    numbered = numbered_by(profile.keys.select("code", *names), names)
    groups = Groups.of(profile, numbered["code"].to_numpy(), numbered["number"].to_numpy())
    seconds = Seconds.of(profile, groups)
    clock = _Clock(
        groups=groups,
        seconds=seconds,
        ends=_ends(seconds, groups),
        tick_s=profile.resolution_s,
        is_calendar=is_calendar(profile),
    )
    return numbered.select("number", *names).unique("number").sort("number"), clock


def _ends(seconds: Seconds | None, groups: Groups) -> tuple[Ints, Ints, Ints, Ints]:
    """Seconds of each key before its first whole one, and from the last in which a call started.

    Windows have the rates of the load between these, as in ``timeline``.

    Returns:
        Number of the key and second, ascending, with its calls and completions; of seconds with calls.
    """
    if seconds is None:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing, nothing
    number = np.arange(len(groups))
    never = np.full(len(groups), NEVER)
    first_whole = np.nan_to_num(np.ceil(groups.first + groups.resolution_s), nan=NEVER).astype(np.int64)
    begin, whole, tail = (seconds.first_from(number, at) for at in (never, first_whole, seconds.last_start))
    stop = np.append(begin[1:], len(seconds.place))
    spans = [*zip(begin, whole, strict=True), *zip(tail, stop, strict=True)]
    at = np.unique(np.concatenate([np.arange(*span) for span in spans]))
    calls, completions = (np.diff(sums, prepend=0)[at] for sums in seconds.sums.values())
    at, calls, completions = (values[calls > 0] for values in (at, calls, completions))
    return (
        seconds.place[at] // seconds.span,
        seconds.place[at] % seconds.span + seconds.first,
        calls,
        completions,
    )


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """When the calls of each key were.

    Attributes:
        groups: from when to when each key has calls.
        seconds: calls by second; None where they are not known.
        ends: numbers of keys, seconds, calls and completions at the ends of the load of each.
        tick_s: its resolution, by which a span is longer than from the first start to the last end.
        is_calendar: whether the clock tells calendar time.
    """

    groups: Groups
    seconds: Seconds | None
    ends: tuple[Ints, Ints, Ints, Ints]
    tick_s: float
    is_calendar: bool

    @property
    def tells_active(self) -> bool:
        """Whether it is known how many calls were active."""
        return self.seconds is not None and self.seconds.tells_active


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A timeline as arrays.

    Attributes:
        by: the columns of the key.
        keys: the values of each key.
        width_s: the width of the windows, in s.
        first_window: the first window as a multiple of the width.
        num_windows: how many windows there are from the first to the last.
        key: of each pair of key and window the number of its key, ascending.
        window: the window of each, from 0, ascending within a key.
        counts: counts of each pair, by name.
        latencies: sums, minima and maxima of the successes' latencies, of each pair, in ms.
        pair: the pair of each cell, ascending.
        bucket: the bucket of each cell.
        count: how many successes are in it.
        clock: when the calls were.
        failures: the failed calls by their error; None where nothing tells them apart.
        num_endless: how many calls are in no window as they have no end.
    """

    by: tuple[str, ...]
    keys: list[tuple[object, ...]]
    width_s: float
    first_window: int
    num_windows: int
    key: Ints
    window: Ints
    counts: dict[str, Ints]
    latencies: dict[str, Floats]
    pair: Ints
    bucket: Ints
    count: Ints
    clock: _Clock
    failures: RunFailures | None
    num_endless: int

    @classmethod
    def of(
        cls,
        timeline: Profile,
        by: Sequence[str],
        keys: pl.DataFrame,
        clock: _Clock,
        failures: RunFailures | None,
    ) -> _Run | None:
        """That of a timeline; None if no call has an end."""
        width = timeline.window_s or 1.0
        pairs = _numbered_pairs(timeline.keys, keys, key_names(by)).with_columns(
            pl.col(window_name(width)).alias("window")
        )
        ended = pairs.filter(pl.col("window").is_not_null()).sort("number", "window")
        if ended.is_empty():
            return None
        place = np.full(int(pairs["code"].max()) + 1, -1)  # type: ignore[arg-type]
        place[ended["code"].to_numpy()] = np.arange(ended.height)
        key, window = ended["number"].to_numpy(), ended["window"].to_numpy()
        first = int(window.min())
        counts, latencies, num_endless = _figures(timeline, place, ended.height)
        return cls(
            by=tuple(by),
            keys=keys.drop("number").rows(),
            width_s=width,
            first_window=first,
            num_windows=int(window.max()) - first + 1,
            key=key,
            window=window - first,
            counts=counts,
            latencies=latencies,
            **_cells(timeline, place),
            clock=clock,
            failures=failures,
            num_endless=num_endless,
        )

    @property
    def start_s(self) -> int:
        """Where the first window begins."""
        return self.first_window * int(self.width_s)

    @cached_property
    def active(self) -> tuple[Ints, Ints, Ints]:
        """Keys and windows in which calls are active, and twice the sum over the seconds of how many are."""
        clock, width = self.clock, int(self.width_s)
        if clock.seconds is None or not clock.tells_active:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing, nothing
        key, window = (places.ravel() for places in np.mgrid[: len(self.keys), : self.num_windows])
        begin = self.start_s + window * width
        total, _ = active_sums(clock.seconds, clock.groups, key, begin, begin + width)
        some = total > 0
        return key[some], window[some], (2 * total[some]).astype(np.int64)

    def document(self) -> dict[str, Any]:
        """All but the packed numbers."""
        seconds = self.clock.seconds
        last_starts = [] if seconds is None else seconds.last_start.tolist()
        return {
            "by": [visible_lines(column_header(name)) for name in self.by],
            # As the page has them in its tables, by which rows are found.
            "keys": [
                [visible_lines(format_key(name, value)) for name, value in zip(self.by, key, strict=True)]
                for key in self.keys
            ],
            "names": [visible_lines(key_text(self.by, key)) if self.by else "All calls" for key in self.keys],
            "width_s": self.width_s,
            "start_s": self.start_s,
            "num_windows": self.num_windows,
            "first_s": _numbers(self.clock.groups.first),
            "last_s": _numbers(self.clock.groups.last),
            "last_start_s": [None if second == NEVER else second for second in last_starts],
            "tells_seconds": seconds is not None,
            "resolution_s": self.clock.groups.resolution_s,
            "tick_s": self.clock.tick_s,
            "is_calendar": self.clock.is_calendar,
            "num_endless": self.num_endless,
            "relative_error": COARSE_ERROR,
            "num_pairs": len(self.key),
            "num_cells": len(self.bucket),
            "num_ends": len(self.clock.ends[0]),
            "num_active": len(self.active[0]) if self.clock.tells_active else None,
            "lowest_bucket": self.lowest_bucket,
            "counts": [*self.counts],
            **self._failures[0],
        }

    @property
    def lowest_bucket(self) -> int:
        """The lowest of all cells; 0 without any."""
        return int(self.bucket.min()) if len(self.bucket) else 0

    def packed(self) -> str:
        """The numbers: latencies as Float64, little endian; then whole numbers of 7 bits a byte.

        These are rows of several kinds: the windows of each key with the counts; the cells of each of these
        pairs, by bucket, with their counts; windows of each key with its active calls; seconds at the ends
        of each key's load, from the begin of the first window on, with calls and completions; and the
        failures.
        """
        of_key, second, *of_ends = self.clock.ends
        num_keys = len(self.keys)
        whole = (
            *rows_of(self.key, num_keys, self.window, *self.counts.values()),
            *rows_of(self.pair, len(self.key), self.bucket - self.lowest_bucket, self.count),
            *rows_of(self.active[0], num_keys, *self.active[1:]),
            *rows_of(of_key, num_keys, second - self.start_s, *of_ends),
            *self._failures[1],
        )
        numbers = np.concatenate([values.astype("<f8") for values in self.latencies.values()])
        raw = numbers.tobytes() + b"".join(map(varints, whole))
        return b64encode(zlib.compress(raw, 6)).decode("ascii")

    @cached_property
    def _failures(self) -> tuple[dict[str, Any], list[Ints]]:
        if self.failures is None:
            return {}, []
        return self.failures.in_windows(int(self.width_s), self.first_window)


def _numbered_pairs(pairs: pl.DataFrame, keys: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Pairs of key and window with the number of the key."""
    if not names:
        return pairs.with_columns(number=pl.lit(0, dtype=pl.Int64))
    return pairs.join(keys, on=names, nulls_equal=True)


def _figures(timeline: Profile, place: Ints, size: int) -> tuple[dict[str, Ints], dict[str, Floats], int]:
    """Counts and latencies of each pair, and how many calls are in none."""
    figures = timeline.figures
    at = place[figures["code"].to_numpy()]
    good = figures["success"].to_numpy() & (at >= 0)
    bad = ~figures["success"].to_numpy() & (at >= 0)

    def total(name: str, of: np.ndarray) -> Ints:
        found = np.bincount(at[of], figures[name].to_numpy()[of], minlength=size)
        return found.astype(np.int64)

    counts = {
        "successes": total("calls", good),
        "timed": total("timed", good),
        "errors": total("calls", bad),
        "timed_errors": total("timed", bad),
        **{name: total(name, at >= 0) for name in timeline.errors},
    }
    sums = np.zeros(size)
    sums[at[good]] = figures["latency_sum"].cast(pl.Float64).to_numpy()[good] * _FRACTION
    least, most = np.zeros(size), np.zeros(size)
    least[at[good]] = figures["latency_min"].fill_null(0).to_numpy()[good]
    most[at[good]] = figures["latency_max"].fill_null(0).to_numpy()[good]
    endless = int(figures["calls"].to_numpy()[at < 0].sum())
    return counts, {"sum": sums, "min": least, "max": most}, endless


def _cells(timeline: Profile, place: Ints) -> dict[str, Ints]:
    """Pair, bucket and count of the cells of the successes."""
    buckets = timeline.buckets.filter("success")
    pair = place[buckets["code"].to_numpy()]
    bucket, count = buckets["bucket"].to_numpy(), buckets["count"].to_numpy()
    some = np.flatnonzero(pair >= 0)
    order = some[np.lexsort((bucket[some], pair[some]))]
    return {"pair": pair[order], "bucket": bucket[order], "count": count[order]}


def _numbers(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
