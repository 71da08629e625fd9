"""Statistics of a log that was measured in parts by its keys, together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.profile.pace import Pace, rates_of, windows_of
from loadlens.profile.plan import Statistics
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.sums import summed_seconds
from loadlens.profile.windows import window_name

__all__ = ["together"]

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
        seconds = profile.seconds.with_columns(code=pl.lit(0, dtype=pl.Int64))
        self._seconds = summed_seconds(pl.concat([self._seconds, seconds]))
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
    profile = replace(profile, buckets=buckets)
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
