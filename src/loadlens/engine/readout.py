"""What tallies have counted, as profiles and statistics: of one scan, or of parts of the keys together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Figures
from loadlens.engine.tally import Columns, Tally
from loadlens.profile.buckets import window_name
from loadlens.profile.clock import UnitCounts
from loadlens.profile.merging import Pace, ascending, rates_of, seconds_of_all, windows_of
from loadlens.profile.plan import Statistics
from loadlens.profile.profile import Profile, key_names
from loadlens.schema import ERROR_COLUMNS

__all__ = ["profile_of", "together"]


Ints = NDArray[np.int64]

_RESOLUTIONS_S = (1.0, 0.1, 0.01, 0.001, 0.0)


def profile_of(tally: Tally, columns: Columns, key: Sequence[str], units: UnitCounts) -> Profile:
    """The profile that a tally comes to.

    Args:
        tally: the counts.
        columns: what was counted.
        key: the names of the configuration columns.
        units: calls whose latency is in another unit than their times.
    """
    keys, codes = _ascending(tally, columns)
    return Profile(
        key=tuple(key),
        keys=keys,
        figures=_figures(tally, codes, columns.errors),
        buckets=_buckets(tally, codes),
        seconds=_seconds(tally, codes),
        heat=_heat(tally),
        classes=_classes(tally, codes),
        resolution_s=_resolution(tally, columns.logged_times),
        units=units,
        window_s=tally.window_s,
        is_fitted=columns.is_fitted,
        fold=tally.fold,
    )


def _resolution(tally: Tally, logged_times: Sequence[str]) -> float:
    """The largest of 1, 0.1, 0.01 and 0.001 s of which every start and end is a multiple, or 0; 1 of none.

    Where a tool logs one of start and end in whole seconds and the other one is derived from it by a latency,
    the logged one alone tells: then the clock counts whole seconds.
    """
    sizes = tally.native.sizes()
    levels = {"start_time": sizes.starts.resolution, "end_time": sizes.ends.resolution}
    if logged_times and not any(levels[name] for name in logged_times):
        return 1.0
    return _RESOLUTIONS_S[max(levels.values())]


def _ascending(tally: Tally, columns: Columns) -> tuple[pl.DataFrame, Ints]:
    """The keys, ascending, with their ``code``; and for each code of the tally that of the profile."""
    numbers = pl.Series("code", np.arange(tally.native.num_keys), dtype=pl.Int64)
    if not columns.keys:
        return numbers.to_frame(), numbers.to_numpy()
    names = [column.name for column in columns.keys]
    decoded = tally.keys.select(column.decoded() for column in columns.keys)
    ordered = ascending(decoded.with_columns(numbers.alias("")), names)
    codes = np.empty(len(numbers), dtype=np.int64)
    codes[ordered[""].to_numpy()] = numbers.to_numpy()
    keys = ordered.select(numbers, *names)
    return keys.rename({names[-1]: window_name(tally.window_s)}) if tally.window_s else keys, codes


def _finite(values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def _figures(tally: Tally, codes: Ints, errors: Sequence[str]) -> pl.DataFrame:
    found = tally.native.figures()
    used = np.flatnonzero(found.line["calls"])
    line, rest = found.line[used], found.rest[used]
    chosen = Figures(line=line, rest=rest)
    frame = pl.DataFrame(
        {
            "code": codes[used // 2],
            "success": used % 2 == 1,
            "calls": line["calls"].astype(np.int64),
            "timed": line["timed"].astype(np.int64),
            "latency_sum": chosen.latency_sum,
            "latency_min": _finite(line["lowest"]),
            "latency_max": _finite(line["highest"]),
            "first_start": _finite(line["first_start"]),
            "last_end": _finite(line["last_end"]),
            **{name: rest["errors"][:, ERROR_COLUMNS.index(name)].astype(np.int64) for name in errors},
            "response_size_sum": chosen.response_size_sum,
            "response_size_count": rest["sized"].astype(np.int64),
        }
    )
    return frame.sort("code", "success")


def _buckets(tally: Tally, codes: Ints) -> pl.DataFrame:
    line, bucket, count, excess = tally.native.cells(codes)
    return pl.DataFrame(
        {
            "code": line // 2,
            "success": line % 2 == 1,
            "bucket": bucket,
            "count": count,
            "excess": excess,
        }
    )


def _seconds(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, second, starts, ends, completions = tally.native.seconds()
    counts = {"starts": starts, "calls": ends, "completions": completions}
    return pl.DataFrame({"code": codes[code], "second": second, **counts})


def _heat(tally: Tally) -> pl.DataFrame:
    _, window, part, count = tally.native.timeline()
    width = tally.native.sizes().window_s
    frame = pl.DataFrame({"window": window, "octave_part": part // 2, "count": count})
    summed = frame.group_by("window", "octave_part").agg(pl.col("count").sum())
    summed = summed.sort("window", "octave_part")
    time = (pl.col("window") * pl.lit(width, dtype=pl.Float64)).alias("time_s")
    window_s = pl.lit(width, dtype=pl.Float64).alias("window_s")
    return summed.select(time, window_s, "octave_part", "count")


def _classes(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, number, count, names = tally.native.classes()
    errors = pl.Series(names, dtype=pl.String).gather(number)
    frame = pl.DataFrame({"code": codes[code], "error": errors, "count": count})
    return frame.sort("code", "error")


_MOST_DISTRIBUTIONS: Final = 1000
_MOST_HELD: Final = 8
"""Parts, each with so many distributions; beyond that they become one, with as many in all."""


def together(parts: Iterable[Sequence[Statistics]]) -> list[Statistics]:
    """The statistics of several plans, of which each part by its keys has some; at least one part.

    Of one part nothing changes. Of several, the seconds become a pace, and only the keys with the most calls
    keep their buckets and their histogram, as both would outgrow the memory that the parts stay within.
    """
    joining = _Joining()
    for part in parts:
        joining.add(part)
    return joining.statistics()


class _Joining:
    """Puts parts together, each as soon as it is measured; the plans of a part share its profile."""

    def __init__(self) -> None:
        self._parts: list[list[Statistics]] = []
        self._is_divided = False
        self._seconds = Profile.empty(()).seconds

    def add(self, part: Sequence[Statistics]) -> None:
        """Takes the statistics of a part."""
        if not self._parts:
            self._parts.append(list(part))
            return
        if not self._is_divided:
            self._parts = [self._reduced(self._parts[0])]
            self._is_divided = True
        self._parts.append(self._reduced(part))
        if len(self._parts) == _MOST_HELD:
            self._parts = [self._merged()]

    def _reduced(self, part: Sequence[Statistics]) -> list[Statistics]:
        profile = part[0].profile
        self._seconds = seconds_of_all(pl.concat([self._seconds, profile.seconds]))
        pace = Pace(rates=rates_of(profile.seconds), windows=Pace.empty().windows)
        return _of_busiest(part, replace(profile, seconds=profile.seconds.clear(), pace=pace))

    def statistics(self) -> list[Statistics]:
        """Those of all parts."""
        if not self._is_divided:
            return self._parts[0]
        merged = self._merged()
        profile = merged[0].profile
        assert profile.pace is not None  # noqa: S101  # as each part has one
        pace = Pace(rates=profile.pace.rates, windows=windows_of(self._seconds))
        return [replace(one, profile=replace(profile, pace=pace)) for one in merged]

    def _merged(self) -> list[Statistics]:
        several = [_joined(of_plan) for of_plan in zip(*self._parts, strict=True)]
        return _of_busiest(several, Profile.merge_all([part[0].profile for part in self._parts]))


def _joined(parts: Sequence[Statistics]) -> Statistics:
    """The tables of one plan; the profile is that of the first part."""
    first = parts[0]
    names = key_names(first.profile.key)
    return replace(
        first,
        table=_sorted([part.table for part in parts], names),
        histogram=_sorted([part.histogram for part in parts], [*names, "latency_ms"]),
        windows={
            width: _sorted([part.windows[width] for part in parts], [*names, window_name(width)])
            for width in first.windows
        },
        measures={name: _sorted([part.measures[name] for part in parts], names) for name in first.measures},
    )


def _sorted(parts: list[pl.DataFrame], by: list[str]) -> pl.DataFrame:
    return pl.concat(parts).sort(by, nulls_last=True) if by else pl.concat(parts)


def _of_busiest(several: Sequence[Statistics], profile: Profile) -> list[Statistics]:
    """Statistics of a profile with the distributions of the keys alone that have the most calls."""
    if profile.keys.height <= _MOST_DISTRIBUTIONS:
        return [replace(one, profile=profile) for one in several]
    names = key_names(profile.key)
    calls = profile.figures.group_by("code").agg(pl.col("calls").sum())
    ranked = profile.keys.join(calls, on="code").sort(
        ["calls", *names], descending=[True, *[False] * len(names)], nulls_last=True
    )
    chosen = ranked.head(_MOST_DISTRIBUTIONS)
    buckets = profile.buckets.join(chosen, on="code", how="semi", maintain_order="left")
    measures = {
        name: replace(one, buckets=one.buckets.join(chosen, on="code", how="semi", maintain_order="left"))
        for name, one in profile.measures.items()  # of the same codes
    }
    profile = replace(profile, buckets=buckets, measures=measures)
    return [
        replace(
            one,
            histogram=one.histogram.join(
                chosen, on=names, how="semi", nulls_equal=True, maintain_order="left"
            ),
            profile=profile,
        )
        for one in several
    ]
