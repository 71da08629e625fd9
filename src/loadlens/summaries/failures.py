"""Failed calls by their error: how many, when, and how long they took."""

from typing import Final

import numpy as np
import polars as pl

from loadlens.engine.figures import mean_of
from loadlens.profile import Profile, key_names
from loadlens.profile.distributions import Distributions
from loadlens.profile.failed_calls import ERROR, MOST_ERRORS

__all__ = ["failures_by_error", "failures_note", "failures_over_time"]

_QUANTILES: Final = {"latency_median_ms": 0.5, "latency_p99_ms": 0.99}
_MOST_WINDOWS: Final = 120
_PAIRS: Final = f"There are more than {MOST_ERRORS:,} pairs of configuration and error"
_SIMILAR: Final = "those that differ in numbers alone are one, with {n} for each number"
_NOTES: Final = (
    "",
    f"{_PAIRS}: {_SIMILAR}.",
    f"{_PAIRS}, so errors are told for the log as a whole: {_SIMILAR}.",
    f"There are more than {MOST_ERRORS:,} different errors, whatever their numbers: all are one here.",
)


def failures_by_error(profile: Profile) -> pl.DataFrame:
    """The failed calls by key and error.

    Returns:
        The key columns, ascending; ``error`` (null where the log tells none), the most frequent first;
        ``count``; ``share`` (0 to 1, of the failed calls of the key); ``error_rate`` (0 to 1, of all calls of
        the key); ``first_start_s`` and ``last_end_s`` (on the log's clock); ``num_timed``, how many have a
        latency, and of these ``latency_min_ms``, ``latency_mean_ms``, ``latency_median_ms``,
        ``latency_p99_ms`` and ``latency_max_ms``. All are exact but the two quantiles, which are off by at
        most 0.2 % (1/512). Where errors were not counted one by one, as in saved profiles, times and
        latencies are null.
    """
    failures = profile.failures
    if failures is None:
        return _with_shares(_of_classes(profile), profile, is_whole=False)
    figures = failures.figures.select(
        "code",
        pl.col("calls").alias("count"),
        pl.col("first_start").alias("first_start_s"),
        pl.col("last_end").alias("last_end_s"),
        pl.col("timed").alias("num_timed"),
        pl.col("latency_min").alias("latency_min_ms"),
        _means(failures.figures),
        pl.col("latency_max").alias("latency_max_ms"),
    )
    own = np.arange(failures.keys.height)
    calls = Distributions.of(own, len(own), failures.figures, failures.buckets, failures.bucket_shift)
    figures = figures.with_columns(
        pl.Series(name, calls.quantile(q)[0][figures["code"].to_numpy()], nan_to_null=True)
        for name, q in _QUANTILES.items()
    )
    keys = failures.keys.select(
        "code",
        *[pl.col(name).cast(profile.keys.schema[name]) for name in key_names(profile.key)],
        pl.col(ERROR).alias("error"),
    )
    return _with_shares(keys.join(figures, on="code"), profile, is_whole=failures.fold > 1)


def _means(figures: pl.DataFrame) -> pl.Series:
    means = mean_of(figures["latency_sum"].to_list(), figures["timed"].to_numpy())
    return pl.Series("latency_mean_ms", means, nan_to_null=True)


def _of_classes(profile: Profile) -> pl.DataFrame:
    """Counts of the error classes, and of the failed calls without one, from what every profile has."""
    classes = profile.classes.select("code", "error", "count")
    failed = profile.figures.filter(~pl.col("success")).select("code", failed="calls")
    known = classes.group_by("code").agg(known=pl.col("count").sum())
    rest = (pl.col("failed") - pl.col("known").fill_null(0)).clip(0).alias("count")
    others = failed.join(known, on="code", how="left").select(
        "code", pl.lit(None, dtype=pl.String).alias("error"), rest
    )
    counts = pl.concat([classes, others.filter(pl.col("count") > 0)])
    nothing = [
        pl.lit(None, dtype=pl.Int64 if name == "num_timed" else pl.Float64).alias(name) for name in _MEASURED
    ]
    return profile.keys.join(counts, on="code").with_columns(nothing)


_MEASURED: Final = (
    "first_start_s",
    "last_end_s",
    "num_timed",
    "latency_min_ms",
    "latency_mean_ms",
    "latency_median_ms",
    "latency_p99_ms",
    "latency_max_ms",
)


def _with_shares(rows: pl.DataFrame, profile: Profile, *, is_whole: bool) -> pl.DataFrame:
    """The table of rows by key and error; ``is_whole`` where these are of all keys together."""
    names = key_names(profile.key)
    calls = profile.keys.join(
        profile.figures.group_by("code").agg(calls=pl.col("calls").sum()), on="code"
    ).drop("code")
    if is_whole or not names:
        told = rows.with_columns(calls=pl.lit(int(calls["calls"].sum())))
        share = pl.col("count") / pl.col("count").sum()
    else:
        told = rows.join(calls, on=names, how="left", nulls_equal=True)
        share = pl.col("count") / pl.col("count").sum().over(names)
    ranked = told.sort(
        [*names, "count", "error"],
        descending=[*[False] * len(names), True, False],
        nulls_last=True,
    )
    return ranked.select(
        *[pl.col(internal).alias(name) for internal, name in zip(names, profile.key, strict=True)],
        "error",
        "count",
        share.alias("share"),
        (pl.col("count") / pl.col("calls")).alias("error_rate"),
        *_MEASURED,
    )


def failures_note(profile: Profile) -> str:
    """How far errors were put together, as there were too many; nothing where all are told apart."""
    return _NOTES[profile.failures.fold] if profile.failures else ""


def failures_over_time(profile: Profile) -> pl.DataFrame:
    """The failed calls of all keys by error and time.

    Returns:
        ``error``, ``time_s`` (start of a window, from the log's first second), ``window_s`` and ``count``
        (failed calls that ended in the window), without windows that have none. Empty where errors were not
        counted one by one, and where the log tells no ends.
    """
    failures, windows = profile.failures, profile.windows
    if failures is None or windows.is_empty():
        return pl.DataFrame(
            schema={"error": pl.String, "time_s": pl.Float64, "window_s": pl.Float64, "count": pl.Int64}
        )
    start, last = windows.select(pl.col("second").min(), pl.col("last_second").max().alias("last")).row(0)
    width = max(1, -(-(last - start + 1) // _MOST_WINDOWS))
    seconds = failures.seconds.join(failures.keys.select("code", error=ERROR), on="code")
    time = ((pl.col("second") - start) // width * width).cast(pl.Float64).alias("time_s")
    counts = seconds.group_by("error", time).agg(count=pl.col("calls").sum())
    return (
        counts.filter(pl.col("count") > 0)
        .select("error", "time_s", pl.lit(float(width)).alias("window_s"), "count")
        .sort("time_s", "error", nulls_last=True)
    )
