"""What the counts of all rows show that a reader has to know, one sentence each."""

import polars as pl

from loadlens.profile.buckets import NULL_BUCKET
from loadlens.profile.clock import ClockWatch, clock_warning
from loadlens.profile.profile import Profile
from loadlens.sources.labels import many_labels
from loadlens.sources.log import Log
from loadlens.sources.wording import counted

__all__ = ["row_warnings", "window_warnings"]


def row_warnings(profile: Profile, log: Log) -> tuple[str, ...]:
    """The sentences of a profile's counts, which are those of a log."""
    return tuple(
        filter(None, (_coarse_clock(profile, log), _without_latency(profile), _too_many_labels(profile)))
    )


def _coarse_clock(profile: Profile, log: Log) -> str:
    times = profile.buckets.select("first_start", "last_end")
    told = times.height and any(times[name].null_count() < times.height for name in times.columns)
    return clock_warning(profile.resolution_s, log) if told else ""


def _without_latency(profile: Profile) -> str:
    successes = profile.buckets.filter("success")
    lacking = successes.filter(successes["bucket"] == NULL_BUCKET)
    return _latency_warning(int(lacking["count"].sum()), int(successes["count"].sum()))


def window_warnings(cells: pl.DataFrame, clock: ClockWatch, log: Log) -> tuple[str, ...]:
    """The sentences of calls that were counted by window of time.

    Args:
        cells: ``success``, ``count`` and ``low``, which is null where there is no latency.
        clock: has looked at their times.
        log: the log.
    """
    successes = cells.filter("success")
    lacking = successes.filter(pl.col("low").is_null())
    without = _latency_warning(int(lacking["count"].sum()), int(successes["count"].sum()))
    return tuple(filter(None, (clock_warning(clock.resolution_s, log), without)))


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
    calls = int(profile.buckets.get_column("count").sum())
    return many_labels(profile.keys.get_column("key:label"), calls)
