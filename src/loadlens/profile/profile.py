"""The profile: a small mergeable summary of a log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from loadlens.errors import UsageError
from loadlens.keywords import columns_of
from loadlens.messages import Shown, counted, grouped
from loadlens.profile.buckets import (
    BUCKET_SHIFT,
    COARSE_ERROR,
    COARSE_SHIFT,
    RELATIVE_ERROR,
    common_width,
    fitting_width,
    in_wider_windows,
    num_pairs,
    window_name,
)
from loadlens.profile.clock import UnitCounts
from loadlens.profile.distributions import quantile_of
from loadlens.profile.failed_calls import MOST_ERRORS, folded
from loadlens.profile.merging import (
    Pace,
    coarsened,
    common_keys,
    new_codes,
    numbered,
    pace_of,
    rates_of,
    recoded,
    summed_buckets,
    summed_classes,
    summed_figures,
    summed_paces,
    summed_seconds,
    sums_of_buckets,
    window_width,
    windows_of,
)
from loadlens.schema import ERROR_COLUMNS
from loadlens.text.common_types import keys_of_one_type

__all__ = ["FRACTION_BITS", "Parts", "Profile", "joint_failures", "joint_timeline", "key_names"]

_FIGURE_SCHEMA = {
    "code": pl.Int64(),
    "success": pl.Boolean(),
    "calls": pl.Int64(),
    "timed": pl.Int64(),
    "latency_sum": pl.Int128(),
    **dict.fromkeys(("latency_min", "latency_max", "first_start", "last_end"), pl.Float64()),
    "response_size_sum": pl.Int128(),
    "response_size_count": pl.Int64(),
}
_BUCKET_SCHEMA = {
    "code": pl.Int64(),
    "success": pl.Boolean(),
    "bucket": pl.Int64(),
    "count": pl.Int64(),
    "excess": pl.Int64(),
}
_HEAT_SCHEMA = {
    "time_s": pl.Float64(),
    "window_s": pl.Float64(),
    "octave_part": pl.Int64(),
    "count": pl.Int64(),
}
_CLASS_SCHEMA = {"code": pl.Int64(), "error": pl.String(), "count": pl.Int64()}
FRACTION_BITS = 55
"""Sums of latencies are whole numbers of 2^-55 ms."""

_SECOND_SCHEMA = dict.fromkeys(("code", "second", "starts", "calls", "completions"), pl.Int64())


def key_names(key: Iterable[str]) -> list[str]:
    """What the key columns are called among the figures, so that no log's column clashes with a figure."""
    return [f"key:{name}" for name in key]


@dataclass(frozen=True, kw_only=True, repr=False)
class Profile(Shown):
    """Counts of a log by configuration; its size does not depend on the number of rows.

    Profiles of the parts of a log merge to the profile of the whole, in any order and grouping, and the
    empty profile changes nothing.

    Guarantee: counts, sums, minima and maxima are exact, and the same to the last bit whatever the order of
    the rows, the number of threads or the division into files. Sums of latencies are whole numbers of
    2^-55 ms, to which a latency below 1/8 ms is rounded. A quantile read from the buckets lies in the right
    bucket, which is at most 1/256 wide, relative to it.

    Size: about 20 bytes for each latency bucket that occurs, at most 256 to a doubling of the latency, and
    40 for each second in which a key has calls, whatever the number of rows; for a timeline 120 for each
    window in which a key has calls and 25 for each of its buckets, at most 16 to a doubling. Unless a width
    is asked for, a timeline has at most 256 windows and 65,536 pairs of key and window. A measure takes as
    much again as the latency, without its seconds.

    Source: buckets are the leading bits of a Float64: the idea of HdrHistogram (G. Tene), in base two.

    Attributes:
        key: the names of the configuration columns.
        keys: ``code`` and the configuration columns as ``key:<name>``, ascending by these.
        figures: for each ``code`` and ``success``, wherever there are calls: ``calls``, ``timed`` (calls with
            a latency), ``latency_sum`` (Int128, in units of 2^-55 ms), ``latency_min`` and ``latency_max``
            (ms), ``first_start`` and ``last_end`` (s), a sum for each error column that the log has,
            ``response_size_sum`` (Int128, bytes) and ``response_size_count``.
        buckets: calls with a latency by ``code``, ``success`` and ``bucket`` (the latency's leading bits):
            ``count``, and ``excess``, by how much their latencies exceed the start of the bucket, in units
            of 2^-20 of its width, to the nearest; see ``bucket_sums``.
        seconds: by ``code`` and ``second`` (times cut toward 0): ``starts``, ``calls`` (which ended then)
            and ``completions`` (those of them that were successful).
        classes: calls with an error class: ``code``, ``error``, ``count``; empty where the log tells none.
        pace: what remains of the seconds, in their place, where they would be too many to hold.
        resolution_s: of what part of a second all starts and ends are multiples: 1, 0.1, 0.01 or 0.001 s, or
            0 where they are of none.
        units: calls whose latency is in another unit than their start and end; of saved profiles none.
        heat: latencies of the successes over time, whatever their key: ``time_s`` (start of a window, a
            multiple of its width), ``window_s`` (its width, a power of two), ``octave_part`` (an eighth of
            a doubling of the latency) and ``count``; at most 256 windows.
        window_s: the width of windows of time, in s, by which calls are told apart besides the key: ``keys``
            have a column more, ``window_name`` of it: which multiple of the width the call ended in, null
            without an end. There are 16 buckets to a doubling then, and no seconds. None where there are no
            windows.
        timeline: the profile of the same calls by key and window of time, so with ``window_s``; its buckets
            have no ``excess``. Only of profiles that are to be saved; None where there are too many keys.
        measures: for each further duration of the calls that was asked for, by its name, the profile of the
            same calls by that in the place of the latency, in ms; so under the same keys and codes, without
            seconds. Of logs that are merged, those that all of them have.
        is_fitted: whether ``window_s`` is the smallest of the automatic widths (1, 5, 10, 30 s, 1, 5, 10,
            30 min, ...) in which there are at most 256 windows from the first to the last, and not so many
            pairs of key and window; it gets wider where calls that are merged ask for that.
        failures: the profile of the failed calls alone by key and error, as if they were successes: ``keys``
            have a column ``ERROR`` more, null where the log tells none. None where nobody asked for it, or of
            profiles that are merged one has none.
        fold: how far errors are put together in such a profile, as they would be too many; see ``folded``.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    figures: pl.DataFrame
    buckets: pl.DataFrame
    seconds: pl.DataFrame
    heat: pl.DataFrame
    classes: pl.DataFrame
    pace: Pace | None = None
    resolution_s: float = 1.0
    units: UnitCounts = field(default_factory=UnitCounts)
    window_s: float | None = None
    timeline: "Profile | None" = None
    measures: Mapping[str, "Profile"] = field(default_factory=dict)
    is_fitted: bool = False
    failures: "Profile | None" = None
    fold: int = 0

    @classmethod
    def empty(cls, key: Sequence[str]) -> "Profile":
        """The profile of no rows."""
        keys = dict.fromkeys(key_names(key), pl.Null())
        return cls(
            key=tuple(key),
            keys=pl.DataFrame(schema={"code": pl.Int64(), **keys}),
            figures=pl.DataFrame(schema=_FIGURE_SCHEMA),
            buckets=pl.DataFrame(schema=_BUCKET_SCHEMA),
            seconds=pl.DataFrame(schema=_SECOND_SCHEMA),
            heat=pl.DataFrame(schema=_HEAT_SCHEMA),
            classes=pl.DataFrame(schema=_CLASS_SCHEMA),
        )

    @property
    def headline(self) -> str:
        """The key, and how many configurations and calls there are."""
        calls = counted(int(self.figures["calls"].sum()), "call")
        return f"{grouped(self.key)}, {counted(self.keys.height, 'configuration')} of {calls}"

    @property
    def estimated_bytes(self) -> int:
        """About how much memory its frames take."""
        frames = (self.keys, self.figures, self.buckets, self.seconds, self.heat, self.classes)
        own = sum(frame.estimated_size() for frame in frames)
        further = [*self.measures.values(), *filter(None, (self.timeline, self.failures))]
        return int(own) + sum(profile.estimated_bytes for profile in further)

    @property
    def bucket_shift(self) -> int:
        """How many trailing bits of a latency a bucket leaves open."""
        return BUCKET_SHIFT if self.window_s is None else COARSE_SHIFT

    @property
    def relative_error(self) -> float:
        """By how much of itself a quantile that is read from the buckets may be off."""
        return RELATIVE_ERROR if self.window_s is None else COARSE_ERROR

    @property
    def errors(self) -> list[str]:
        """The error columns that the log has."""
        return [name for name in ERROR_COLUMNS if name in self.figures.columns]

    @property
    def rates(self) -> pl.DataFrame:
        """How many seconds saw how many completions: ``code``, ``completions``, ``num_seconds``."""
        return self.pace.rates if self.pace else rates_of(self.seconds)

    @property
    def windows(self) -> pl.DataFrame:
        """Calls and completions of the whole log over time, as in ``Pace.windows``."""
        return self.pace.windows if self.pace else windows_of(self.seconds)

    @property
    def spans(self) -> pl.DataFrame:
        """``first_start`` and ``last_end`` of all calls of each ``code``, in s."""
        return self.figures.group_by("code").agg(pl.col("first_start").min(), pl.col("last_end").max())

    @property
    def bucket_sums(self) -> pl.DataFrame:
        """``buckets`` with ``latency_sum`` (ms) in the place of the excess, good to 4e-9 of it."""
        sums = sums_of_buckets(self.buckets, self.bucket_shift)
        return self.buckets.select("code", "success", "bucket", "count", sums)

    @property
    def even_heat(self) -> pl.DataFrame:
        """``heat`` in windows as wide as the log's span asks for, however its scan was divided; sorted."""
        span = self.figures.select(pl.col("last_end").max() - pl.col("first_start").min()).item()
        return coarsened(self.heat, window_width(span or 0.0)).sort("time_s", "octave_part")

    def quantile(
        self,
        q: float,
        by: str | Sequence[str] | None = None,
        *,
        between: tuple[float, float] | None = None,
        measure: str | None = None,
    ) -> pl.DataFrame:
        """A quantile of the latencies of the successful calls, by linear interpolation between ranks.

        Args:
            q: from 0 to 1.
            by: columns of the key to group by; all of them where it is not said, none for the whole log.
            between: of the calls alone that ended from the first time on and before the second, in s on the
                log's clock: multiples of the width of the windows of the profile's ``timeline``.
            measure: of one of the profile's ``measures``, by its name, in the place of the latency.

        Returns:
            The columns ``by``, ascending; ``latency_ms``, at most half a bucket off (1/512 of itself, 1/32
            with ``between``), and between ``low_ms`` and ``high_ms`` the true one.

        Raises:
            UsageError: ``q`` is no quantile, ``by`` names a column that is not in the key, or the profile has
                no such measure, or no windows that begin and end at the times.
        """
        if not 0 <= q <= 1:
            raise UsageError(f"q: got {q!r}, expected a quantile from 0 to 1")
        columns = self.key if by is None else columns_of(by)
        if other := [name for name in columns if name not in self.key]:
            key = ", ".join(self.key) or "nothing"
            raise UsageError(f"by: got {', '.join(other)}, expected columns of the profile's key: {key}")
        named = zip(key_names(columns), columns, strict=True)
        some = self if measure is None else self._measure(measure)
        if between is not None:
            some = _between(some.timeline, *between)
        keys = some.keys.select("code", *[pl.col(internal).alias(name) for internal, name in named])
        return quantile_of(keys, some.figures, some.buckets, q, some.bucket_shift)

    def _measure(self, name: str) -> "Profile":
        if name not in self.measures:
            known = ", ".join(self.measures) or "none, as the profile has none"
            raise UsageError(f"measure: got {name!r}, expected one of {known}")
        return self.measures[name]

    def by(self, key: Sequence[str], *, with_further: bool = True) -> "Profile":
        """The profile of the same calls by fewer columns, all of them columns of its key.

        One with a pace in the place of seconds tells too high rates: seconds of several keys are not joined.

        Args:
            key: the columns.
            with_further: whether it has a timeline and failed calls, if this one does.
        """
        names = ["code", *key_names(key)]
        others = [name for name in self.keys.columns if name not in ("code", *key_names(self.key))]
        own = replace(
            self,
            key=tuple(key),
            keys=self.keys.select(*names, *others),
            timeline=self.timeline.by(key) if self.timeline and with_further else None,
            measures={name: measure.by(key) for name, measure in self.measures.items()},
            failures=self.failures.by(key) if self.failures and with_further else None,
        )
        return self.merge_all([own])

    def in_windows_of(self, width_s: float) -> "Profile":
        """A profile by windows of time by wider ones, as many of its own to each."""
        if self.window_s is None or width_s == self.window_s:
            return self
        keys = in_wider_windows(self.keys, self.window_s, width_s)
        return self.merge_all([replace(self, keys=keys, window_s=width_s)])

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both logs together.

        Raises:
            ValueError: the keys differ.
        """
        return self.merge_all([self, other])

    @classmethod
    def merge_all(cls, profiles: Sequence["Profile"]) -> "Profile":
        """The profile of all logs together, at least one; all at once, which is linear in their size.

        Raises:
            ValueError: the keys differ.
        """
        first = profiles[0]
        for other in profiles:
            if (other.key, other.window_s) != (first.key, first.window_s):
                raise ValueError(
                    f"profiles by {first.key} and {other.key} do not merge; profile both by one key"
                )
        paces = None
        if any(profile.pace for profile in profiles):
            paces = [profile.pace or pace_of(profile.seconds) for profile in profiles]
        seconds = [profile.seconds.clear() if paces else profile.seconds for profile in profiles]
        return Parts(
            key=first.key,
            keys=numbered(keys_of_one_type([profile.keys for profile in profiles])),
            figures=numbered([profile.figures for profile in profiles]),
            buckets=numbered([profile.buckets for profile in profiles]),
            seconds=numbered(seconds),
            heat=pl.concat([profile.heat for profile in profiles]),
            classes=numbered([profile.classes for profile in profiles]),
            rates=numbered([pace.rates for pace in paces]) if paces else None,
            windows=pl.concat([pace.windows for pace in paces]) if paces else None,
            resolution_s=min(profile.resolution_s for profile in profiles),
            units=UnitCounts.merge_all(profile.units for profile in profiles),
            window_s=first.window_s,
            timeline=joint_timeline([one.timeline for one in profiles if not one.figures.is_empty()]),
            measures=joint_measures([one.measures for one in profiles if not one.figures.is_empty()]),
            is_fitted=all(profile.is_fitted for profile in profiles),
            failures=joint_failures([one.failures for one in profiles if not one.figures.is_empty()]),
            fold=max(profile.fold for profile in profiles),
        ).merged()


def _between(timeline: Profile | None, start_s: float, end_s: float) -> Profile:
    """A timeline with the keys alone of windows between two times."""
    if timeline is None or timeline.window_s is None:
        raise UsageError("between: got a profile without a timeline, expected latencies of a saved one")
    width = timeline.window_s
    if start_s % width or end_s % width or not start_s < end_s:
        raise UsageError(
            f"between: got {start_s:.15g} s to {end_s:.15g} s, expected a multiple of {width:g} s and a "
            f"later one: that is how wide the profile's windows are"
        )
    window = pl.col(window_name(width))
    inside = window.is_between(start_s // width, end_s // width, closed="left")
    return replace(timeline, keys=timeline.keys.filter(inside))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The frames of several profiles, those of one kind together, with the number of the profile as ``part``.

    Attributes:
        key: the names of the configuration columns.
        keys: those of all profiles, each under its own codes.
        figures: likewise.
        buckets: likewise.
        seconds: likewise.
        heat: without ``part``, since it is of all keys together.
        classes: as ``keys``.
        rates: those of the paces; None where profiles have seconds.
        windows: likewise, without ``part``.
        resolution_s: the finest of all.
        units: the counts of all.
        window_s: the width of their windows.
        timeline: that of all.
        measures: those of all.
        is_fitted: whether the width of their windows was chosen automatically.
        failures: those of all.
        fold: how far errors are put together.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    figures: pl.DataFrame
    buckets: pl.DataFrame
    seconds: pl.DataFrame
    heat: pl.DataFrame
    classes: pl.DataFrame
    rates: pl.DataFrame | None = None
    windows: pl.DataFrame | None = None
    resolution_s: float = 1.0
    units: UnitCounts = field(default_factory=UnitCounts)
    window_s: float | None = None
    timeline: Profile | None = None
    measures: Mapping[str, Profile] = field(default_factory=dict)
    is_fitted: bool = False
    failures: Profile | None = None
    fold: int = 0

    def merged(self) -> Profile:
        """The profile of all together."""
        keys = common_keys(self.keys, [name for name in self.keys.columns if name not in {"code", "part"}])
        codes = new_codes(self.keys, keys)
        pace = None
        if self.rates is not None and self.windows is not None:
            pace = summed_paces([Pace(rates=recoded(self.rates, codes), windows=self.windows)])
        return Profile(
            key=self.key,
            keys=keys,
            figures=summed_figures(recoded(self.figures, codes)),
            buckets=summed_buckets(recoded(self.buckets, codes)),
            seconds=summed_seconds(recoded(self.seconds, codes)),
            heat=coarsened(self.heat),
            classes=summed_classes(recoded(self.classes, codes)),
            pace=pace,
            resolution_s=self.resolution_s,
            units=self.units,
            window_s=self.window_s,
            timeline=self.timeline,
            measures=self.measures,
            is_fitted=self.is_fitted,
            failures=self.failures,
            fold=self.fold,
        )


def _joint(profiles: Sequence[Profile]) -> Profile:
    """Profiles that have each key once, as one."""
    return profiles[0] if len(profiles) == 1 else Profile.merge_all(profiles)


def joint_measures(several: Sequence[Mapping[str, Profile]]) -> dict[str, Profile]:
    """The measures of all calls, of those that all have, by ascending name."""
    names = set.intersection(*map(set, several)) if several else set()
    return {name: _joint([measures[name] for measures in several]) for name in sorted(names)}


def joint_timeline(timelines: Sequence[Profile | None]) -> Profile | None:
    """The timeline of all calls, in the smallest width that all of them can be brought to.

    Args:
        timelines: those of profiles that have calls.

    Returns:
        None if a profile has none, or there are too many keys by now.
    """
    found = [timeline for timeline in timelines if timeline is not None]
    if not found or len(found) < len(timelines):
        return None
    width = common_width([timeline.window_s or 1.0 for timeline in found])
    whole = _joint([timeline.in_windows_of(width) for timeline in found])
    if not whole.is_fitted:
        return whole
    name = window_name(width)
    windows = whole.keys.select(pl.col(name).min(), pl.col(name).max().alias("last")).row(0)
    ends = [window * int(width) for window in windows if window is not None]
    fitting = fitting_width(width, ends, partial(num_pairs, whole.keys.drop("code"), name))
    return None if fitting is None else whole.in_windows_of(fitting)


def joint_failures(several: Sequence[Profile | None]) -> Profile | None:
    """The failed calls of all, their errors put together as far as it takes; None if a profile has none."""
    found = [failures for failures in several if failures is not None]
    if not found or len(found) < len(several):
        return None
    fold = max(one.fold for one in found)
    whole = _joint([_folded(one, fold) for one in found])
    while whole.keys.height > MOST_ERRORS:
        whole = Profile.merge_all([_folded(whole, whole.fold + 1)])
    return whole


def _folded(failures: Profile, fold: int) -> Profile:
    if fold == failures.fold:
        return failures
    return replace(failures, keys=folded(failures.keys, fold), fold=fold)
