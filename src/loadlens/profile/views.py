"""What a profile shows without another look at the log: percentile spectrum, timeline, heat map."""

import numpy as np
import polars as pl

from loadlens.profile.buckets import FAILED, bucket_middle, octave_part_low
from loadlens.profile.profile import Profile, key_names

__all__ = ["heatmap", "spectrum", "timeline"]

_SPECTRUM_POINTS = 100
_LONGEST_TAIL = 1e5  # 1 / (1 - q) of p99.999
_MOST_WINDOWS = 200


def spectrum(profile: Profile) -> pl.DataFrame:
    """Latency over percentile, of all successes, up to p99.999 or as far as there are calls.

    Returns:
        The key columns as ``key:<name>``, ``quantile`` (0 to 1), ``latency_ms`` (the middle of the
        quantile's bucket), rows by ascending key and quantile.
    """
    timed = profile.buckets.filter(pl.col("success") & (pl.col("bucket") != FAILED)).sort("code", "bucket")
    sizes = timed.group_by("code", maintain_order=True).agg(pl.col("count").sum().alias("size"))
    first = (pl.col("size").cum_sum() - pl.col("size")).alias("first")
    tails = pl.DataFrame({"tail": np.geomspace(1, _LONGEST_TAIL, _SPECTRUM_POINTS)})
    ranks = (
        sizes.with_columns(first)
        .join(tails, how="cross")
        .filter(pl.col("tail") <= pl.col("size"))
        .with_columns((1 - 1 / pl.col("tail")).alias("quantile"))
        .with_columns(((pl.col("size") - 1) * pl.col("quantile")).floor().cast(pl.Int64).alias("rank"))
    )
    ends = np.cumsum(timed["count"].to_numpy())
    place = np.searchsorted(ends, (ranks["first"] + ranks["rank"]).to_numpy(), side="right")
    bucket = timed["bucket"].to_numpy()[place]
    middle = pl.Series("latency_ms", bucket_middle(bucket))
    keys = key_names(profile.key)
    joined = ranks.with_columns(middle).join(profile.keys, on="code")
    return joined.select(*keys, "quantile", "latency_ms").sort([*keys, "quantile"], nulls_last=True)


def timeline(profile: Profile) -> pl.DataFrame:
    """Throughput and error rate of the whole log over time.

    Returns:
        ``time_s`` (start of a window, from the log's first second), ``window_s``, ``throughput``
        (successful completions per s) and ``error_rate`` (0 to 1, null in a window without calls).
    """
    windows = profile.windows
    if windows.is_empty():
        return pl.DataFrame(
            schema=dict.fromkeys(("time_s", "window_s", "throughput", "error_rate"), pl.Float64)
        )
    start, first, last, finest = windows.select(
        pl.col("second", "first_second").min(), pl.col("last_second").max(), pl.col("width_s").max()
    ).row(0)
    span = last - start + 1
    width = -(-span // (_MOST_WINDOWS * finest)) * finest
    number = (pl.col("second") - start) // width
    counts = windows.group_by(number.alias("window")).agg(pl.col("calls", "completions").sum())
    every = pl.DataFrame({"window": range(-(-span // width))}, schema={"window": pl.Int64})
    begin = pl.max_horizontal(pl.col("window") * width, first - start)
    end = pl.min_horizontal((pl.col("window") + 1) * width, span)
    covered = end - begin  # the first and the last window may be cut short
    joined = every.join(counts, on="window", how="left").sort("window")
    return joined.select(
        (pl.col("window") * width).cast(pl.Float64).alias("time_s"),
        pl.lit(float(width)).alias("window_s"),
        (pl.col("completions").fill_null(0) / covered).alias("throughput"),
        (1 - pl.col("completions") / pl.col("calls")).alias("error_rate"),
    )


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
