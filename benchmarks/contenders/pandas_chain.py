"""The figures and the density curves as the chain of pandas steps that loadlens replaces."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from benchmarks.contenders.harness import COLUMNS, ERRORS, KEY, PERCENTILES, Rows, main

__all__ = ["query"]

LATENCY = "invocation_latency"
DENSITY_POINTS = 200


def query(path: Path) -> Rows:
    """Fences by configuration, merged and applied; then figures, completions per second and curves."""
    log = _read(path)
    fences = _fences(log)
    successes = log[log[LATENCY] > 0]
    kept = successes.merge(fences, on=KEY)
    kept = kept[kept[LATENCY] <= kept["outlier_fence"]]
    _density(kept)
    parts = [_counts(log), fences, _tail(successes), _five(kept), _tps(kept)]
    answer = pd.concat([part.set_index(KEY) for part in parts], axis=1)
    answer["outliers_removed"] = answer["num_invocations"] - answer["num_errors"] - kept.groupby(KEY).size()
    calls = log.groupby(KEY)
    span = calls["end_time"].max() - calls["start_time"].min()
    answer["throughput"] = kept.groupby(KEY).size() / span
    rows: Rows = answer.sort_index().reset_index().to_dict("records")
    return rows


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path, columns=COLUMNS)
    return pd.read_csv(path, usecols=COLUMNS)


def _iqr(values: "pd.Series[float]") -> float:
    return float(values.quantile(0.75) - values.quantile(0.25))


def _counts(log: pd.DataFrame) -> pd.DataFrame:
    log = log.assign(num_errors=log[LATENCY] <= 0)
    sums = {name: (name, "sum") for name in ("num_errors", *ERRORS)}
    return log.groupby(KEY).agg(num_invocations=(LATENCY, "count"), **sums).reset_index()


def _fences(log: pd.DataFrame) -> pd.DataFrame:
    latencies = log.groupby(KEY)[LATENCY]
    fences = latencies.mean() + 5 * (latencies.quantile(0.75) - latencies.quantile(0.25))
    return fences.rename("outlier_fence").reset_index()


def _tail(successes: pd.DataFrame) -> pd.DataFrame:
    latencies = successes.groupby(KEY)[LATENCY]
    tail = {f"{LATENCY}_{name}": latencies.quantile(quantile) for name, quantile in PERCENTILES.items()}
    return pd.DataFrame(tail).reset_index()


def _five(kept: pd.DataFrame) -> pd.DataFrame:
    five = kept.groupby(KEY)[LATENCY].agg(["median", "mean", "max", _iqr])
    five.columns = [f"{LATENCY}_{name}" for name in ("median", "mean", "max", "iqr")]
    return five.reset_index()


def _tps(kept: pd.DataFrame) -> pd.DataFrame:
    seconds = kept["end_time"].astype("int64").rename("second")
    per_second = kept.groupby([*KEY, seconds]).size().groupby(KEY)
    figures = {
        "tps_avg": per_second.mean(),
        "tps_p25": per_second.quantile(0.25),
        "tps_p50": per_second.quantile(0.5),
        "tps_p75": per_second.quantile(0.75),
        "tps_max": per_second.max(),
    }
    return pd.DataFrame(figures).astype("int64").reset_index()


def _density(kept: pd.DataFrame) -> pd.DataFrame:
    """Gaussian kernel density by configuration with Scott's bandwidth, three bandwidths past the ends."""
    curves = []
    for key, latencies in kept.groupby(KEY)[LATENCY]:
        kernel = gaussian_kde(latencies, bw_method="scott")
        margin = 3 * float(np.sqrt(kernel.covariance.item()))
        points = np.linspace(latencies.min() - margin, latencies.max() + margin, DENSITY_POINTS)
        share = len(latencies) / len(kept)
        curve = pd.DataFrame({"latency_ms": points, "density": kernel(points) * share})
        curves.append(curve.assign(**dict(zip(KEY, key, strict=True))))
    return pd.concat(curves, ignore_index=True)


if __name__ == "__main__":
    main(query)
