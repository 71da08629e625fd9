"""The scans: from rows to a profile, from rows to the few latencies that exact figures need."""

import math
from dataclasses import replace

import numpy as np
import polars as pl

from loadlens.profile.buckets import BUCKET_SHIFT, is_unusable, octave_part, prefix
from loadlens.profile.keys import KeyCodec
from loadlens.profile.plan import Engine
from loadlens.profile.profile import Profile, key_names, window_width
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows, breaks_rule, cell_columns, second_columns
from loadlens.schema import LATENCY, MAX_TIME_S

__all__ = ["UnusableRowsError", "profile_rows"]


_MOST_WINDOWS = 16


class UnusableRowsError(Exception):
    """Some row holds a value that no statistic may use; which one is left to the caller to find."""


def profile_rows(
    rows: Rows, engine: Engine, *, max_groups: int, with_heat: bool, tracker: Tracker
) -> Profile:
    """Makes the profile of ``rows``: a scan for the buckets, one for the seconds, one for the heat.

    Args:
        rows: the log.
        engine: what runs the queries.
        max_groups: how many (key, second) pairs one scan may hold; more are taken in several windows of
            time, which costs little where a file's statistics tell the rows of a window.
        with_heat: whether latencies are counted over time.
        tracker: is told of the rows.

    Raises:
        UnusableRowsError: some row breaks a rule.
    """
    tracker.stage("Counting latencies")
    buckets = _buckets(replace(rows, frame=tracker.watch(rows.frame)), engine)
    keys = _keys(rows.codec, buckets["code"].unique().sort())
    tracker.stage("Counting completions per second")
    seconds = _seconds(rows, buckets, engine, max_groups, tracker)
    tracker.stage("Counting latencies over time")
    heat = _heat(replace(rows, frame=tracker.watch(rows.frame)), buckets, engine) if with_heat else None
    empty = Profile.empty(()).heat
    return Profile(
        key=rows.plan.key, keys=keys, buckets=buckets, seconds=seconds, heat=empty if heat is None else heat
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


def _buckets(rows: Rows, engine: Engine) -> pl.DataFrame:
    checked = [name for name in rows.frame.collect_schema() if name == "unusable"]
    cells = rows.frame.group_by(rows.cell()).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.col(LATENCY).sum().alias("latency_sum"),
        # NaN-propagating, so that a NaN in any row shows.
        pl.col("start_time").nan_min().alias("first_start"),
        pl.col("end_time").nan_max().alias("last_end"),
        *_response_sizes(rows),
        *[pl.col(name).any() for name in checked],
    )
    buckets = cells.collect(engine=engine).select(*cell_columns(rows.errors), pl.exclude("cell"))
    times = pl.any_horizontal(
        ~pl.col(name).is_between(-MAX_TIME_S, MAX_TIME_S, closed="none").fill_null(value=True)
        for name in ("first_start", "last_end")
    )
    flags = pl.any_horizontal("invalid_error", *checked)
    if buckets.select((is_unusable() | times | flags).any()).item():
        raise UnusableRowsError
    return buckets.drop("invalid_error", *checked)


def _response_sizes(rows: Rows) -> list[pl.Expr]:
    if not rows.plan.response_sizes:
        return [
            pl.lit(0, dtype=pl.Int64).alias(name) for name in ("response_size_sum", "response_size_count")
        ]
    size = pl.col("response_size")
    return [size.sum().alias("response_size_sum"), size.count().cast(pl.Int64).alias("response_size_count")]


def _heat(rows: Rows, buckets: pl.DataFrame, engine: Engine) -> pl.DataFrame | None:
    first, last = buckets["first_start"].min(), buckets["last_end"].max()
    if not isinstance(last, float):
        return None
    width = window_width(last - (first if isinstance(first, float) else last))
    window = (pl.col("end_time") / width).floor().alias("window")
    part = octave_part(prefix(BUCKET_SHIFT)).alias("octave_part")
    completed = rows.frame.filter(pl.col("success") & (pl.col(LATENCY) >= 0)).filter(
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
    completed = pl.col("success") & pl.col(LATENCY).is_not_null()
    windows = _windows(buckets, max_groups)
    parts = [timed.filter(window) for window in windows] if len(windows) > 1 else [timed]
    counts = [
        tracker.watch(part)
        .group_by(rows.second())
        .agg(pl.len().cast(pl.Int64).alias("calls"), completed.sum().cast(pl.Int64).alias("completions"))
        .collect(engine=engine)
        for part in parts
    ]
    return pl.concat(counts).select(*second_columns(), "calls", "completions")


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
