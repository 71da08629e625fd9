"""The statistics as one direct lazy formulation: simple, exact, and holding every latency in memory."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from loadlens.errors import InputError
from loadlens.logs.log import Log, reading
from loadlens.profile import Outliers, Plan, key_names, percentile_name
from loadlens.schema import ERROR_COLUMNS, LATENCY

__all__ = ["Measured", "measure"]

_BINS_PER_BANDWIDTH = 8
_MAX_BINS = 4096
TIMES = ("start_time", "end_time")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Table and histogram as ``loadlens.profile.Statistics`` describes them."""

    table: pl.DataFrame
    histogram: pl.DataFrame


def measure(log: Log, plan: Plan) -> Measured:
    """Measures ``log`` as ``plan`` says.

    Raises:
        InputError: the log has no rows, or rows that break a rule, or cannot be read.
    """
    with reading(log):
        log = log.sifted()
        _check(log)
        rows = _rows(log, plan)
        table = _table(rows, log, plan, _resolution(rows)).collect(engine="streaming")
        kept = _kept(rows, table.lazy())
        histogram = _histogram(kept, table).collect(engine="streaming")
    named = _named(histogram, table, plan)
    return Measured(
        table=table.sort(key_names(plan.key) or "_key", nulls_last=True).drop("_key", "_timed"),
        histogram=named.sort([*key_names(plan.key), "latency_ms"], nulls_last=True),
    )


def _check(log: Log) -> None:
    if log.frame.select(pl.len()).collect(engine="streaming").item() == 0:
        raise InputError(f"{log.name}: has no rows")


def _rows(log: Log, plan: Plan) -> pl.LazyFrame:
    """The needed columns, with ``success``; the key as one struct column ``_key``."""
    absent = [name for name in TIMES if name not in log.columns]
    key = pl.struct(plan.key) if plan.key else pl.lit(0)
    return log.frame.with_columns(
        key.alias("_key"),
        plan.success.fill_null(value=False).alias("success"),
        *[pl.lit(None, dtype=pl.Float64).alias(name) for name in absent],
    )


def _five(prefix: str, values: pl.Expr) -> list[pl.Expr]:
    return [
        values.min().alias(f"{prefix}_min"),
        values.mean().alias(f"{prefix}_mean"),
        values.quantile(0.5, interpolation="linear").alias(f"{prefix}_median"),
        values.max().alias(f"{prefix}_max"),
        _iqr(values).alias(f"{prefix}_iqr"),
    ]


def _iqr(values: pl.Expr) -> pl.Expr:
    return values.quantile(0.75, interpolation="linear") - values.quantile(0.25, interpolation="linear")


def _fence(outliers: Outliers, values: pl.Expr) -> pl.Expr:
    """The upper fence; a null fence keeps every success."""
    if outliers == "none":
        return pl.lit(None, dtype=pl.Float64)
    if outliers == "tukey":
        return values.quantile(0.75, interpolation="linear") + 1.5 * _iqr(values)
    mean = values.mean().clip(values.min(), values.max())  # rounding may carry a mean past equal values
    return mean + 5 * _iqr(values)


def _resolution(rows: pl.LazyFrame) -> float:
    """The largest of 1, 0.1, 0.01 and 0.001 s of which all times are multiples; 0 for none."""
    times = np.concatenate([rows.select(name).collect()[name].drop_nulls().to_numpy() for name in TIMES])
    found = (1 / ticks for ticks in (1, 10, 100, 1000) if (np.round(times * ticks) / ticks == times).all())
    return next(found, 0.0)


def _table(rows: pl.LazyFrame, log: Log, plan: Plan, resolution: float) -> pl.LazyFrame:
    counts = _counts(rows, log, plan)
    kept = _kept(rows, counts)
    summary = kept.group_by("_key").agg(
        pl.len().cast(pl.Int64).alias("num_kept"), *_five("kept", pl.col(LATENCY))
    )
    completed = _kept(rows, counts, untimed=True).drop_nulls("end_time")
    span = rows.group_by("_key").agg(_span=pl.col("end_time").max() - pl.col("start_time").min() + resolution)
    rates = completed.group_by("_key").agg(_completions=pl.len()).join(span, on="_key", nulls_equal=True)
    throughput = rates.select(
        "_key", throughput=pl.when(pl.col("_span") > 0).then(pl.col("_completions") / pl.col("_span"))
    )
    per_second = completed.drop_nulls("end_time").group_by("_key", pl.col("end_time").cast(pl.Int64)).len()
    tps = per_second.group_by("_key").agg(_tps(pl.col("len")))
    joined = counts
    for part in (summary, tps, throughput):
        joined = joined.join(part, on="_key", how="left", nulls_equal=True)
    kept_rows = pl.col("num_kept").fill_null(0)
    return joined.with_columns(kept_rows, (pl.col("_timed") - kept_rows).alias("outliers_removed"))


def _counts(rows: pl.LazyFrame, log: Log, plan: Plan) -> pl.LazyFrame:
    """Figures of all rows and of the successes, and the fence."""
    success = pl.col(LATENCY).filter(pl.col("success"))
    fenced = pl.col(LATENCY) if plan.fence_over_failures else success
    size = pl.col("response_size") if "response_size" in log.columns else pl.lit(None, dtype=pl.Int64)
    sizes = size.filter(pl.col("success")) if "response_size" in log.columns else size
    errors = [name for name in ERROR_COLUMNS if name in log.columns]
    return rows.group_by("_key").agg(
        *[pl.col(name).first().alias(f"key:{name}") for name in plan.key],
        pl.len().cast(pl.Int64).alias("num_rows"),
        pl.col(LATENCY).count().cast(pl.Int64).alias("num_invocations"),
        pl.col("success").sum().cast(pl.Int64).alias("num_successes"),
        success.count().cast(pl.Int64).alias("_timed"),
        *[pl.col(name).cast(pl.Int64).sum() for name in errors],
        sizes.sum().alias("response_size_sum"),
        sizes.count().cast(pl.Int64).alias("response_size_count"),
        *_five("success", success),
        *[
            success.quantile(q, interpolation="linear").alias(f"{LATENCY}_{percentile_name(q)}")
            for q in plan.percentiles
        ],
        _fence(plan.outliers, fenced).alias("outlier_fence"),
    )


def _kept(rows: pl.LazyFrame, table: pl.LazyFrame, *, untimed: bool = False) -> pl.LazyFrame:
    """The successes at or below the fence, those without a latency among them or not."""
    fences = table.select("_key", "outlier_fence")
    fence, latency = pl.col("outlier_fence"), pl.col(LATENCY)
    below = latency.is_not_null() & (fence.is_null() | (latency <= fence))
    below = below | latency.is_null() if untimed else below
    joined = rows.join(fences, on="_key", how="left", nulls_equal=True)
    return joined.filter(pl.col("success") & below)


def _tps(completions: pl.Expr) -> list[pl.Expr]:
    """Completions per second over the seconds that saw one, truncated to integers."""
    quantiles = {"tps_p25": 0.25, "tps_p50": 0.5, "tps_p75": 0.75}
    return [
        completions.mean().cast(pl.Int64).alias("tps_avg"),
        *[
            completions.quantile(q, interpolation="linear").cast(pl.Int64).alias(name)
            for name, q in quantiles.items()
        ],
        completions.max().cast(pl.Int64).alias("tps_max"),
    ]


def _histogram(kept: pl.LazyFrame, table: pl.DataFrame) -> pl.LazyFrame:
    """Counts of kept latencies in bins a fraction of the density's bandwidth wide."""
    deviation = kept.group_by("_key").agg(pl.col(LATENCY).std().alias("_std"))
    bandwidth = pl.col("_std") * pl.col("num_kept").cast(pl.Float64).pow(-0.2)
    spread = pl.col("kept_max") - pl.col("kept_min")
    width = pl.max_horizontal(bandwidth / _BINS_PER_BANDWIDTH, spread / _MAX_BINS)
    widths = table.lazy().join(deviation, on="_key", how="left", nulls_equal=True)
    widths = widths.select("_key", "kept_min", pl.when(width > 0).then(width).otherwise(1.0).alias("_width"))
    position = (pl.col(LATENCY) - pl.col("kept_min")) / pl.col("_width")
    binned = kept.join(widths, on="_key", how="left", nulls_equal=True)
    return binned.group_by("_key", position.floor().cast(pl.Int64).alias("_bin")).agg(
        pl.col(LATENCY).mean().alias("latency_ms"), pl.len().cast(pl.Int64).alias("count")
    )


def _named(histogram: pl.DataFrame, table: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    keys = key_names(plan.key)
    named = histogram.join(table.select("_key", *keys), on="_key", how="left", nulls_equal=True)
    return named.select(*keys, "latency_ms", "count")
