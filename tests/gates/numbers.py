"""What gates judge, in NumPy, from the definitions and from nothing in the package."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

Values = np.ndarray[Any, np.dtype[np.float64]]

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def column(rows: pl.DataFrame, name: str) -> Values:
    return rows[name].cast(pl.Float64).to_numpy().astype(float)


def succeeded(rows: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if "success" in rows.columns:
        return rows["success"].to_numpy().astype(bool)
    return column(rows, "invocation_latency") > 0


def kept_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The successes at or below mean + 5 IQR of all rows with a latency."""
    latency = column(rows, "invocation_latency")
    present = latency[~np.isnan(latency)]
    if not len(present):
        return rows.clear()
    low, high = np.quantile(present, [0.25, 0.75])
    fence = math.fsum(present) / len(present) + 5 * (high - low)
    return rows.filter(pl.Series(succeeded(rows) & (latency <= fence)))


def latencies(rows: pl.DataFrame, *, filtered: bool) -> Values:
    chosen = kept_rows(rows) if filtered else rows.filter(pl.Series(succeeded(rows)))
    found = column(chosen, "invocation_latency")
    return found[~np.isnan(found)]


def value(rows: pl.DataFrame, metric: str, argument: float = 0, *, filtered: bool = False) -> float | None:
    """A figure of some rows; ``argument`` is the percentile, or the limit of ``below`` and ``upto``."""
    if metric == "error_rate":
        return float((~succeeded(rows)).sum() / rows.height) if rows.height else None
    chosen = kept_rows(rows) if filtered else rows.filter(pl.Series(succeeded(rows)))
    if metric == "count":
        return float(chosen.height)
    found = latencies(rows, filtered=filtered)
    if not len(found):
        return None
    if metric == "throughput":
        span = column(rows, "end_time").max() - column(rows, "start_time").min()
        return float(len(found) / span) if span > 0 else None
    figures: dict[str, Callable[[], float]] = {
        "percentile": lambda: np.quantile(found, argument / 100),
        "mean": lambda: math.fsum(found) / len(found),
        "median": lambda: np.median(found),
        "min": found.min,
        "max": found.max,
        "below": lambda: (found < argument).sum() / len(found),
        "upto": lambda: (found <= argument).sum() / len(found),
    }
    return float(figures[metric]())


def windows(rows: pl.DataFrame, width: float) -> dict[int, pl.DataFrame]:
    """The rows of each window that saw a call end."""
    number = np.floor(column(rows, "end_time") / width).astype(int)
    return {int(n): rows.filter(pl.Series(number == n)) for n in np.unique(number)}


def whole_windows(rows: pl.DataFrame, width: float) -> range:
    first, last = column(rows, "start_time").min(), column(rows, "end_time").max()
    return range(math.ceil(first / width), math.floor(last / width))
