"""The figures of the reference, in NumPy and pandas, from the formulas and from nothing in the package."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

Row = dict[str, Any]
Values = np.ndarray[Any, np.dtype[np.float64]]

LATENCY = "invocation_latency"
ERRORS = ("throttle_exception", "insufficient_memory_error", "other_model_error")
CONCURRENCY_KEY = ("max_concurrency", "num_clients", "memory_size")
PERCENTILES = {"p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def stability_summary(log: pl.DataFrame, outliers: str = "mean-iqr") -> list[Row]:
    clock = resolution_of(log)
    return [_stability_row(key, group, outliers, clock) for key, group in _groups(log, ("memory_size",))]


def concurrency_summary(log: pl.DataFrame, outliers: str = "mean-iqr") -> list[Row]:
    clock = resolution_of(log)
    return [_concurrency_row(key, group, outliers, clock) for key, group in _groups(log, CONCURRENCY_KEY)]


def summary(
    log: pl.DataFrame,
    by: Sequence[str],
    outliers: str = "none",
    logged_times: Sequence[str] = ("start_time", "end_time"),
) -> list[Row]:
    logged = log.select(name for name in logged_times if name in log.columns)
    clock = 1.0 if logged_times and resolution_of(logged) == 1 else resolution_of(log)
    return [_summary_row(key, group, outliers, clock) for key, group in _groups(log, by)]


def resolution_of(log: pl.DataFrame) -> float:
    """The largest of 1, 0.1, 0.01 and 0.001 s of which every start and end is a multiple; 0 for none."""
    names = [name for name in ("start_time", "end_time") if name in log.columns]
    times = [time for name in names for time in log[name].to_list() if time is not None]
    for ticks in (1, 10, 100, 1000):
        if all(round(time * ticks) / ticks == time for time in times):
            return 1 / ticks
    return 0.0


def _groups(log: pl.DataFrame, by: Sequence[str]) -> list[tuple[Row, pd.DataFrame]]:
    frame = log.to_pandas()
    if not by:
        return [({}, frame)]
    groups = frame.groupby(list(by), sort=True, dropna=False)
    return [
        ({name: None if pd.isna(value) else value for name, value in zip(by, key, strict=True)}, group)
        for key, group in groups
    ]


def _stability_row(key: Row, group: pd.DataFrame, outliers: str, clock: float) -> Row:
    success = _positive(group[LATENCY]) & _positive(_column(group, "response_size"))
    five = five_numbers(group[LATENCY][success])
    figures = {f"{LATENCY}_{name}": five[name] for name in ("min", "mean", "median", "max", "iqr")}
    return {
        **key,
        "successful_invocations": int(success.sum()),
        **figures,
        **_extras(group, success, outliers, group[LATENCY][success], clock),
    }


def _concurrency_row(key: Row, group: pd.DataFrame, outliers: str, clock: float) -> Row:
    success = _positive(group[LATENCY])
    fence = fence_of(group[LATENCY], outliers)
    kept = _kept(group, success, fence)
    five = five_numbers(kept[LATENCY])
    return {
        **key,
        **{name: int(np.nansum(group[name])) for name in ERRORS},
        "num_invocations": int(group[LATENCY].count()),
        **{f"{LATENCY}_{name}": five[name] for name in ("median", "mean", "max", "iqr")},
        **completions_per_second(kept),
        **_extras(group, success, outliers, group[LATENCY], clock),
    }


def _summary_row(key: Row, group: pd.DataFrame, outliers: str, clock: float) -> Row:
    success = group["success"].to_numpy(bool) if "success" in group else _positive(group[LATENCY])
    fence = fence_of(group[LATENCY], outliers)
    kept = _kept(group, success, fence)
    five = five_numbers(kept[LATENCY])
    extras = _extras(group, success, outliers, group[LATENCY], clock)
    return {
        **key,
        "num_invocations": int(group[LATENCY].count()),
        "num_errors": int((~success).sum()),
        "error_rate": extras.pop("error_rate"),
        **{f"{LATENCY}_{name}": five[name] for name in ("min", "mean", "median", "max", "iqr")},
        **completions_per_second(kept),
        **extras,
    }


def _extras(group: pd.DataFrame, success: Values, outliers: str, fenced: pd.Series, clock: float) -> Row:
    """``fenced`` is what the fence is made of: mean + 5 IQR where no other is asked for."""
    kept = _kept(group, success, fence_of(fenced, outliers))
    shown = fence_of(fenced, "mean-iqr" if outliers == "none" else outliers)
    five = five_numbers(group[LATENCY][success])
    true_maximum = {} if outliers == "none" else {f"{LATENCY}_max_all": five["max"]}
    return {
        **{f"{LATENCY}_{name}": _quantile(group[LATENCY][success], q) for name, q in PERCENTILES.items()},
        "error_rate": float((~success).mean()),
        "outliers_removed": int(success.sum()) - len(kept),
        "outliers_above_fence": int(success.sum()) - len(_kept(group, success, shown)),
        "outlier_fence": shown,
        "throughput": _throughput(group, kept, clock),
        **true_maximum,
    }


def fence_of(latency: pd.Series, outliers: str) -> float | None:
    five = five_numbers(latency)
    if outliers == "none" or five["mean"] is None:
        return None
    if outliers == "tukey":
        return float(_quantile(latency, 0.75) + 1.5 * five["iqr"])
    return float(five["mean"] + 5 * five["iqr"])


def kept_latencies(
    log: pl.DataFrame, by: Sequence[str], *, sized: bool = False
) -> dict[tuple[Any, ...], Values]:
    """The latencies that a density chart shows; ``sized`` asks for a response, as stability does."""
    found = {}
    for key, group in _groups(log, by):
        success = _positive(group[LATENCY])
        if sized:
            success &= _positive(group["response_size"])
        fence = fence_of(group[LATENCY][success] if sized else group[LATENCY], "mean-iqr")
        found[tuple(key.values())] = _kept(group, success, fence)[LATENCY].to_numpy(float)
    return found


def _kept(group: pd.DataFrame, success: Values, fence: float | None) -> pd.DataFrame:
    below = np.ones(len(group), bool) if fence is None else (group[LATENCY] <= fence).to_numpy(bool)
    return group[success & below]


def _positive(values: pd.Series) -> Values:
    return values.to_numpy(float, na_value=np.nan) > 0


def _column(group: pd.DataFrame, name: str) -> pd.Series:
    return group[name].astype(float)


def _quantile(values: pd.Series, q: float) -> float | None:
    present = values.dropna().to_numpy(float)
    return float(np.quantile(present, q, method="linear")) if len(present) else None


def five_numbers(values: pd.Series) -> Row:
    present = values.dropna().to_numpy(float)
    if not len(present):
        return dict.fromkeys(("min", "mean", "median", "max", "iqr"))
    q25, median, q75 = np.quantile(present, [0.25, 0.5, 0.75], method="linear")
    return {
        "min": float(present.min()),
        "mean": math.fsum(present) / len(present),
        "median": float(median),
        "max": float(present.max()),
        "iqr": float(q75 - q25),
    }


def completions_per_second(kept: pd.DataFrame) -> Row:
    names: dict[str, Callable[[Values], float]] = {
        "tps_avg": np.mean,
        "tps_p25": lambda counts: np.quantile(counts, 0.25),
        "tps_p50": lambda counts: np.quantile(counts, 0.5),
        "tps_p75": lambda counts: np.quantile(counts, 0.75),
        "tps_max": np.max,
    }
    if "end_time" not in kept or not len(kept):
        return dict.fromkeys(names)
    _, counts = np.unique(np.trunc(kept["end_time"].to_numpy(float)), return_counts=True)
    return {name: int(statistic(counts)) for name, statistic in names.items()}


def _throughput(group: pd.DataFrame, kept: pd.DataFrame, clock: float) -> float | None:
    """Kept completions over the span of all calls and the resolution of the clock."""
    if not {"start_time", "end_time"} <= set(kept) or not len(kept):
        return None
    span = group["end_time"].max() - group["start_time"].min() + clock
    return float(len(kept) / span) if span > 0 else None


def endpoint_summary(metrics: pl.DataFrame, key: Sequence[str]) -> list[Row]:
    frame = metrics.to_pandas()
    micro = frame["Unit"] == "Microseconds"
    frame["Average"] = frame["Average"].astype(float).mask(micro, frame["Average"] / 1000)
    names = sorted(frame["metric_name"].unique())
    rows = []
    for values, group in frame.groupby(list(key), sort=True):
        means = group.groupby("metric_name")["Average"].mean()
        row = {name: None if math.isnan(means.get(name, math.nan)) else float(means[name]) for name in names}
        if sum(value is not None for value in row.values()) >= 2:
            rows.append({**dict(zip(key, values, strict=True)), **row})
    return rows


def exact_density(points: Values, groups: Sequence[Values], group: int) -> Values:
    """The Gaussian kernel density of one group at ``points``, scaled by its share of all groups' rows."""
    values = groups[group]
    width = bandwidth(values)
    distances = (points[:, None] - values[None, :]) / width
    kernel = np.exp(-0.5 * distances**2).sum(axis=1) / (width * math.sqrt(2 * math.pi))
    return kernel / sum(len(other) for other in groups)


def bandwidth(values: Values) -> float:
    return float(np.std(values, ddof=1) * len(values) ** -0.2)


def assert_agrees(frame: pl.DataFrame, rows: Sequence[Row]) -> None:
    """Asserts the same columns, rows and nulls in the same order, and floats within 1e-9 of each other."""
    assert frame.columns == list(rows[0])
    assert frame.height == len(rows)
    for number, (got, expected) in enumerate(zip(frame.to_dicts(), rows, strict=True)):
        for name, value in expected.items():
            assert agree(got[name], value), f"row {number}, {name}: got {got[name]!r}, expected {value!r}"


def agree(got: object, expected: object) -> bool:
    if isinstance(got, float) and isinstance(expected, float):
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12)
    return got == expected and isinstance(got, type(expected))
