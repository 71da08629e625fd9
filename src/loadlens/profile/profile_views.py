"""What a profile shows without another look at the log: curves, and what a reader has to know."""

import numpy as np
import polars as pl

from loadlens.logs.labels import many_labels
from loadlens.logs.log import Log
from loadlens.messages import NO_CALENDAR, counted
from loadlens.profile.buckets import bucket_middle, octave_part_low
from loadlens.profile.clock import clock_warning
from loadlens.profile.distributions import Distributions
from loadlens.profile.profile import Profile, key_names
from loadlens.schema import EARLIEST_S

__all__ = ["heatmap", "row_warnings", "spectrum"]


_SPECTRUM_POINTS = 100
_LONGEST_TAIL = 1e5  # 1 / (1 - q) of p99.999


def spectrum(profile: Profile) -> pl.DataFrame:
    """Latency over percentile, of all successes, up to p99.999 or as far as there are calls.

    Returns:
        The key columns as ``key:<name>``, ``quantile`` (0 to 1), ``latency_ms`` (the middle of the
        quantile's bucket), rows by ascending key and quantile.
    """
    keys = key_names(profile.key)
    codes = np.arange(int(profile.keys["code"].max() or 0) + 1)  # type: ignore[arg-type]  # whole numbers
    calls = Distributions.of(codes, len(codes), profile.figures, profile.buckets, profile.bucket_shift)
    tails = np.geomspace(1, _LONGEST_TAIL, _SPECTRUM_POINTS)
    code, at = np.nonzero(tails <= calls.size[:, None])
    quantile = (1 - 1 / tails)[at]
    rank = np.floor((calls.size[code] - 1) * quantile).astype(np.int64)
    latency = bucket_middle(calls.bucket_at(code, rank), profile.bucket_shift)
    points = pl.DataFrame({"code": code, "quantile": quantile, "latency_ms": latency})
    joined = points.join(profile.keys, on="code")
    return joined.select(*keys, "quantile", "latency_ms").sort([*keys, "quantile"], nulls_last=True)


def heatmap(profile: Profile) -> pl.DataFrame:
    """Latencies of all successes over time.

    Returns:
        ``time_s`` (start of a window, from the first one), ``window_s``, ``latency_low_ms``,
        ``latency_high_ms`` (an eighth of a doubling) and ``count``; empty where they were not counted.
    """
    heat = profile.even_heat
    part = heat["octave_part"].to_numpy()
    return heat.select(
        pl.col("time_s") - pl.col("time_s").min(),
        "window_s",
        pl.Series("latency_low_ms", octave_part_low(part), dtype=pl.Float64),
        pl.Series("latency_high_ms", octave_part_low(part + 1), dtype=pl.Float64),
        "count",
    )


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
