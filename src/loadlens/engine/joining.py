"""Statistics of a log that was measured in parts by its keys, together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.profile.pace import Pace, rates_of, windows_of
from loadlens.profile.plan import Statistics
from loadlens.profile.profile import Profile, key_names, summed_seconds

__all__ = ["together"]

_MOST_DISTRIBUTIONS: Final = 1000


def together(parts: Iterable[Sequence[Statistics]]) -> list[Statistics]:
    """The statistics of several plans, of which each part by its keys has some; at least one part."""
    joining: list[_Joining] = []
    for part in parts:
        joining = joining or [_Joining() for _ in part]
        for own, statistics in zip(joining, part, strict=True):
            own.add(statistics)
    return [own.statistics() for own in joining]


class _Joining:
    """Puts the statistics of the parts together, each as soon as it is measured.

    Of one part nothing changes. Of several, the seconds become a pace, and only the keys with the most calls
    keep their buckets and their histogram, as both would outgrow the memory that the parts stay within.
    """

    def __init__(self) -> None:
        self._parts: list[Statistics] = []
        self._seconds = Profile.empty(()).seconds

    def add(self, statistics: Statistics) -> None:
        """Takes the statistics of a part."""
        if len(self._parts) == 1:
            self._parts = [self._reduced(self._parts[0])]
        self._parts.append(self._reduced(statistics) if self._parts else statistics)

    def _reduced(self, part: Statistics) -> Statistics:
        profile = part.profile
        seconds = profile.seconds.with_columns(code=pl.lit(0, dtype=pl.Int64))
        self._seconds = summed_seconds(pl.concat([self._seconds, seconds]))
        pace = Pace(rates=rates_of(profile.seconds), windows=Pace.empty().windows)
        return _of_busiest(
            replace(part, profile=replace(profile, seconds=profile.seconds.clear(), pace=pace))
        )

    def statistics(self) -> Statistics:
        """Those of all parts."""
        if len(self._parts) == 1:
            return self._parts[0]
        first, profiles = self._parts[0], [part.profile for part in self._parts]
        names = key_names(first.profile.key)
        merged = Profile.merge_all(profiles)
        assert merged.pace is not None  # noqa: S101  # as each part has one
        pace = Pace(rates=merged.pace.rates, windows=windows_of(self._seconds))
        windows = {
            width: _sorted([part.windows[width] for part in self._parts], [*names, name])
            for width, name in ((width, table.columns[len(names)]) for width, table in first.windows.items())
        }
        return _of_busiest(
            replace(
                first,
                table=_sorted([part.table for part in self._parts], names),
                histogram=_sorted([part.histogram for part in self._parts], [*names, "latency_ms"]),
                profile=replace(merged, pace=pace),
                windows=windows,
            )
        )


def _sorted(parts: list[pl.DataFrame], by: list[str]) -> pl.DataFrame:
    return pl.concat(parts).sort(by, nulls_last=True)


def _of_busiest(part: Statistics) -> Statistics:
    """The same with the distributions of the keys alone that have the most calls."""
    profile, names = part.profile, key_names(part.profile.key)
    calls = profile.figures.group_by("code").agg(pl.col("calls").sum())
    ranked = profile.keys.join(calls, on="code").sort(
        ["calls", *names], descending=[True, *[False] * len(names)], nulls_last=True
    )
    chosen = ranked.head(_MOST_DISTRIBUTIONS)
    return replace(
        part,
        histogram=part.histogram.join(chosen, on=names, how="semi", nulls_equal=True, maintain_order="left"),
        profile=replace(
            profile, buckets=profile.buckets.join(chosen, on="code", how="semi", maintain_order="left")
        ),
    )
