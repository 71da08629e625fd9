"""The figures as one lazy Polars query for the streaming engine, without density curves."""

from pathlib import Path

import polars as pl

from benchmarks.contenders.harness import ERRORS, KEY, PERCENTILES, Rows, main

__all__ = ["query"]

LATENCY = pl.col("invocation_latency")
SUCCESS = LATENCY.filter(LATENCY > 0)
COMPLETIONS = pl.col("len")


def query(path: Path) -> Rows:
    """Figures of all rows, joined with those of the kept rows and of their completions per second."""
    log = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path)
    every = _every_row(log)
    kept = log.join(every.select(*KEY, "outlier_fence"), on=KEY)
    kept = kept.filter(LATENCY > 0, LATENCY.le(pl.col("outlier_fence")))
    answer = (
        every.join(_kept_rows(kept), on=KEY, how="left")
        .join(_completions(kept), on=KEY, how="left")
        .with_columns(
            outliers_removed=pl.col("successes") - pl.col("kept"), throughput=pl.col("kept") / pl.col("span")
        )
        .drop("successes", "kept", "span")
        .sort(KEY)
    )
    return answer.collect(engine="streaming").to_dicts()


def _quantile(values: pl.Expr, quantile: float) -> pl.Expr:
    return values.quantile(quantile, interpolation="linear")


def _iqr(values: pl.Expr) -> pl.Expr:
    return _quantile(values, 0.75) - _quantile(values, 0.25)


def _every_row(log: pl.LazyFrame) -> pl.LazyFrame:
    return log.group_by(KEY).agg(
        LATENCY.count().cast(pl.Int64).alias("num_invocations"),
        (LATENCY <= 0).sum().cast(pl.Int64).alias("num_errors"),
        SUCCESS.count().cast(pl.Int64).alias("successes"),
        *[pl.col(name).cast(pl.Int64).sum() for name in ERRORS],
        *[_quantile(SUCCESS, q).alias(f"invocation_latency_{name}") for name, q in PERCENTILES.items()],
        (LATENCY.mean() + 5 * _iqr(LATENCY)).alias("outlier_fence"),
        (pl.col("end_time").max() - pl.col("start_time").min()).alias("span"),
    )


def _kept_rows(kept: pl.LazyFrame) -> pl.LazyFrame:
    return kept.group_by(KEY).agg(
        pl.len().cast(pl.Int64).alias("kept"),
        _quantile(LATENCY, 0.5).alias("invocation_latency_median"),
        LATENCY.mean().alias("invocation_latency_mean"),
        LATENCY.max().alias("invocation_latency_max"),
        _iqr(LATENCY).alias("invocation_latency_iqr"),
    )


def _completions(kept: pl.LazyFrame) -> pl.LazyFrame:
    figures = {
        "tps_avg": COMPLETIONS.mean(),
        "tps_p25": _quantile(COMPLETIONS, 0.25),
        "tps_p50": _quantile(COMPLETIONS, 0.5),
        "tps_p75": _quantile(COMPLETIONS, 0.75),
        "tps_max": COMPLETIONS.max(),
    }
    per_second = kept.group_by(*KEY, pl.col("end_time").cast(pl.Int64)).len()
    return per_second.group_by(KEY).agg(figure.cast(pl.Int64).alias(name) for name, figure in figures.items())


if __name__ == "__main__":
    main(query)
