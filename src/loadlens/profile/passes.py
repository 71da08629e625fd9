"""The scans: from rows to a profile, from rows to the few latencies that exact figures need."""

import math

import numpy as np
import polars as pl

from loadlens.profile.buckets import (
    BUCKET_SHIFT,
    NULL_BUCKET,
    above_bucket_start,
    octave_part,
    prefix,
    value_of_bits,
)
from loadlens.profile.clock import ClockWatch
from loadlens.profile.keys import KeyCodec
from loadlens.profile.plan import Engine, runs_here
from loadlens.profile.profile import Profile, coarsened, key_names, refuse_huge_sizes, window_width
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows, cell_columns, second_columns
from loadlens.schema import ERROR_CLASS, LATENCY, breaks_rule

__all__ = [
    "TooSparseError",
    "UnusableRowsError",
    "bucket_counts",
    "class_counts",
    "heat_counts",
    "profile_rows",
    "second_counts",
    "window_of",
]


_MOST_WINDOWS = 16
_ABOUT = "response_size_about"


class UnusableRowsError(Exception):
    """Some row holds a value that no statistic may use; which one is left to the caller to find."""


class TooSparseError(Exception):
    """The keys, or the cells that are counted in, are too many for tables that are indexed by them."""


def profile_rows(
    rows: Rows,
    codec: KeyCodec,
    engine: Engine,
    *,
    max_groups: int,
    with_heat: bool,
    tracker: Tracker,
) -> Profile:
    """Makes the profile of ``rows`` by group-bys: a scan each for the buckets, the seconds and the heat.

    Args:
        rows: the log.
        codec: how its keys are coded.
        engine: what runs the queries.
        max_groups: how many (key, second) pairs one scan may hold; more are taken in several windows of
            time, which costs little where a file's statistics tell the rows of a window.
        with_heat: whether latencies are counted over time.
        tracker: is told of the rows.

    Raises:
        UnusableRowsError: some row breaks a rule.
    """
    tracker.stage("Counting latencies")
    clock, frame = ClockWatch(rows.logged_times), tracker.watch(rows.frame)
    if runs_here(engine):
        frame = clock.watch(frame)
    else:
        clock.ask(rows.frame, engine)
    buckets = bucket_counts(rows, frame, engine)
    keys = _keys(codec, buckets["code"].unique().sort())
    tracker.stage("Counting completions per second")
    seconds = _seconds(rows, buckets, engine, max_groups, tracker)
    tracker.stage("Counting latencies over time")
    width = window_of(buckets) if with_heat else None
    heat = Profile.empty(()).heat
    if width:
        heat = coarsened(heat_counts(tracker.watch(rows.frame), width, engine))
    classes = class_counts(rows.frame, engine)
    return Profile(
        key=rows.plan.key,
        keys=keys,
        buckets=buckets,
        seconds=seconds,
        heat=heat,
        classes=classes,
        resolution_s=clock.resolution_s,
        units=clock.units,
    )


def _keys(codec: KeyCodec, codes: pl.Series) -> pl.DataFrame:
    if not codec.digits:
        return codes.to_frame("code")
    names = [digit.name for digit in codec.digits]
    decoded = codes.to_frame("code").select(codec.decode(pl.col("code")))
    if decoded.select(breaks_rule(names)).to_series().any():
        raise UnusableRowsError
    internal = dict(zip(names, key_names(names), strict=True))
    keys = decoded.rename(internal).with_columns(codes.alias("code"))
    return keys.select("code", *internal.values()).sort([*internal.values(), "code"], nulls_last=True)


def bucket_counts(rows: Rows, frame: pl.LazyFrame, engine: Engine) -> pl.DataFrame:
    """The profile's buckets of the rows in ``frame``.

    Raises:
        UnusableRowsError: some row breaks a rule.
    """
    checked = [name for name in frame.collect_schema() if name == "unusable"]
    cells = frame.group_by(rows.cell()).agg(
        pl.len().cast(pl.Int64).alias("count"),
        above_bucket_start().sum().alias("latency_sum"),
        pl.col("start_time").min().alias("first_start"),
        pl.col("end_time").max().alias("last_end"),
        *_response_sizes(rows),
        *[pl.col(name).any() for name in checked],
    )
    buckets = cells.collect(engine=engine).select(*cell_columns(rows.errors), pl.exclude("cell"))
    starts = value_of_bits(buckets["bucket"].replace(NULL_BUCKET, 0).to_numpy(), BUCKET_SHIFT)
    buckets = buckets.with_columns(pl.col("latency_sum") + pl.col("count") * pl.Series(starts))
    if checked and buckets["unusable"].any():
        raise UnusableRowsError
    if _ABOUT in buckets.columns:
        refuse_huge_sizes(float(buckets[_ABOUT].sum()))
    return buckets.drop(*checked, _ABOUT, strict=False)


def _response_sizes(rows: Rows) -> list[pl.Expr]:
    if not rows.plan.response_sizes:
        return [
            pl.lit(0, dtype=pl.Int64).alias(name) for name in ("response_size_sum", "response_size_count")
        ]
    size = pl.col("response_size")
    return [
        size.sum().alias("response_size_sum"),
        size.count().cast(pl.Int64).alias("response_size_count"),
        size.cast(pl.Float64).sum().alias(_ABOUT),
    ]


def class_counts(frame: pl.LazyFrame, engine: Engine) -> pl.DataFrame:
    """The calls of each error class in ``frame``, if it tells classes."""
    if ERROR_CLASS not in frame.collect_schema():
        return Profile.empty(()).classes
    failed = frame.filter(pl.col(ERROR_CLASS).is_not_null())
    counts = failed.group_by("code", ERROR_CLASS).agg(pl.len().cast(pl.Int64).alias("count"))
    return counts.collect(engine=engine)


def window_of(buckets: pl.DataFrame) -> float | None:
    """The width in s of the windows that latencies over time are counted in; None without times."""
    first, last = buckets["first_start"].min(), buckets["last_end"].max()
    if not isinstance(last, float):
        return None
    return window_width(last - (first if isinstance(first, float) else last))


def heat_counts(frame: pl.LazyFrame, width: float, engine: Engine) -> pl.DataFrame:
    """The successes of ``frame`` by window of ``width`` seconds and eighth of a doubling of the latency."""
    window = (pl.col("end_time") / width).floor().alias("window")
    part = octave_part(prefix(BUCKET_SHIFT)).alias("octave_part")
    completed = frame.filter(pl.col("success") & (pl.col(LATENCY) >= 0)).filter(
        pl.all_horizontal(pl.col(LATENCY, "end_time").is_not_null())
    )
    counts = (
        completed.group_by(window, part).agg(pl.len().cast(pl.Int64).alias("count")).collect(engine=engine)
    )
    return counts.select(
        (pl.col("window") * width).alias("time_s"), pl.lit(width).alias("window_s"), "octave_part", "count"
    )


def _seconds(
    rows: Rows, buckets: pl.DataFrame, engine: Engine, max_groups: int, tracker: Tracker
) -> pl.DataFrame:
    if not rows.timed:
        return Profile.empty(()).seconds
    timed = rows.frame.filter(pl.col("end_time").is_not_null())
    windows = _windows(buckets, max_groups)
    parts = [timed.filter(window) for window in windows] if len(windows) > 1 else [timed]
    return pl.concat(second_counts(rows, tracker.watch(part), engine) for part in parts)


def second_counts(rows: Rows, frame: pl.LazyFrame, engine: Engine) -> pl.DataFrame:
    """The profile's seconds of the rows in ``frame``, all of which have an end."""
    counts = frame.group_by(rows.second()).agg(
        pl.len().cast(pl.Int64).alias("calls"), pl.col("success").sum().cast(pl.Int64).alias("completions")
    )
    return counts.collect(engine=engine).select(*second_columns(), "calls", "completions")


def _windows(buckets: pl.DataFrame, max_groups: int) -> list[pl.Expr]:
    """Splits the span of time evenly so that a window has about ``max_groups`` (key, second) pairs.

    A log that is dense in a small part of its span has more of them in one window; one stray time must
    not cost a scan for each window of an empty span, so there are at most 16.
    """
    spans = buckets.group_by("code").agg(
        pl.col("count").sum(), (pl.col("last_end").max() - pl.col("first_start").min() + 2).alias("span")
    )
    pairs = spans.select(pl.min_horizontal("count", pl.col("span").fill_null(np.inf)).sum()).item()
    first, last = buckets["first_start"].min(), buckets["last_end"].max()
    parts = min(int(pairs // max_groups) + 1, _MOST_WINDOWS)
    if parts == 1 or not isinstance(first, float) or not isinstance(last, float):
        return [pl.lit(value=True)]
    # A whole second must not lie in two windows. Seconds are cut toward zero, so 0 is no edge between two.
    edges = sorted({math.floor(edge) or 1 for edge in np.linspace(first, last, parts + 1)[1:-1]})
    time = pl.col("end_time")
    begins = [pl.lit(value=True), *[time >= edge if edge > 0 else time > edge for edge in edges]]
    ends = [*[time < edge if edge > 0 else time <= edge for edge in edges], pl.lit(value=True)]
    return [begin & end for begin, end in zip(begins, ends, strict=True)]
