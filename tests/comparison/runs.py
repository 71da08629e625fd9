"""Logs of two runs to compare."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl


def run(
    keys: Mapping[Any, float],
    *,
    calls: int = 20_000,
    errors: float = 0.01,
    seed: int = 0,
    name: str = "label",
) -> pl.DataFrame:
    """Log-normal latencies around ``20 * factor`` ms for each key, starts spread over 100 s."""
    rng = np.random.default_rng(seed)
    parts = []
    for key, factor in keys.items():
        latency = 20 * factor * rng.lognormal(0, 0.4, calls)
        start = np.sort(rng.random(calls)) * 100
        failed = rng.random(calls) < errors
        parts.append(
            pl.DataFrame(
                {
                    "invocation_latency": np.where(failed, -1.0, latency),
                    "start_time": start,
                    "end_time": start + latency / 1000,
                    name: [key] * calls,
                }
            )
        )
    return pl.concat(parts, how="vertical_relaxed")
