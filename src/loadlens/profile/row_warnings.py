"""What the counts of all rows show that a reader has to know, one sentence each."""

import polars as pl

from loadlens.profile.clock import clock_warning
from loadlens.profile.profile import Profile
from loadlens.schema import EARLIEST_S
from loadlens.sources.labels import many_labels
from loadlens.sources.log import Log
from loadlens.sources.wording import NO_CALENDAR, counted

__all__ = ["row_warnings"]


def row_warnings(profile: Profile, log: Log) -> tuple[str, ...]:
    """The sentences of a profile's counts, which are those of a log."""
    first, last = profile.figures.select(pl.col("first_start").max(), pl.col("last_end").max()).row(0)
    found = (
        _coarse_clock(profile, log),
        _calendar_warning(first, last, log),
        _without_latency(profile),
        _too_many_labels(profile),
    )
    return tuple(filter(None, found))


def _coarse_clock(profile: Profile, log: Log) -> str:
    times = profile.figures.select("first_start", "last_end")
    told = times.height and any(times[name].null_count() < times.height for name in times.columns)
    return clock_warning(profile.resolution_s, log) if told else ""


def _without_latency(profile: Profile) -> str:
    calls, timed = profile.figures.filter("success").select(pl.col("calls", "timed").sum()).row(0)
    return _latency_warning(calls - timed, calls)


def _calendar_warning(latest_start: float | None, latest_end: float | None, log: Log) -> str:
    """What a reader has to know of times that are all long before our days; nothing where a format says so.

    Args:
        latest_start: the latest start that is known, s.
        latest_end: the latest end, s.
        log: the log.
    """
    times = [time for time in (latest_start, latest_end) if time is not None]
    is_told = any(warning.endswith(NO_CALENDAR) for warning in log.findings.warnings)
    return f"{log.name}: {NO_CALENDAR}" if times and max(times) < EARLIEST_S and not is_told else ""


def _latency_warning(lacking: int, successes: int) -> str:
    """What a reader has to know of successful calls without a latency; nothing where all have one.

    Args:
        lacking: how many have none.
        successes: how many successful calls there are.
    """
    if not lacking:
        return ""
    have = "has" if lacking == 1 else "have"
    return (
        f"{lacking:,} of {counted(successes, 'successful call')} {have} no latency: counted as calls, left "
        f"out of latency figures"
    )


def _too_many_labels(profile: Profile) -> str:
    if "label" not in profile.key:
        return ""
    calls = int(profile.figures.get_column("calls").sum())
    return many_labels(profile.keys.get_column("key:label"), calls)
