"""Random logs: plain functions of a random generator, and Hypothesis strategies of small logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

SCHEMA = {
    "invocation_latency": pl.Float64,
    "response_size": pl.Int64,
    "throttle_exception": pl.Int8,
    "insufficient_memory_error": pl.Int8,
    "other_model_error": pl.Int8,
    "start_time": pl.Float64,
    "end_time": pl.Float64,
    "memory_size": pl.Int64,
    "max_concurrency": pl.Int64,
    "num_clients": pl.Int64,
}
MEMORY_SIZES = (1024, 2048, 3072, 4096, 5120, 6144)
CONCURRENCIES = (2, 4, 8, 10)
SHAPES = ("spread", "ties", "equal", "tail")

# The flags of a failed call, as the toolkit logs them: a throttle leaves the other two empty.
_FAILURES = ((1, None, None), (0, 1, 0), (0, 0, 1), (None, None, None))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration of a log and how its calls went."""

    memory_size: int = 1024
    max_concurrency: int = 2
    num_clients: int = 2
    rows: int = 20
    failure_share: float = 0.0
    shape: str = "spread"


def latencies(rng: np.random.Generator, rows: int, shape: str) -> np.ndarray[Any, Any]:
    """Positive latencies in ms. Tied ones are multiples of 1/4, whose sums are exact in any order."""
    if shape == "ties":
        return rng.integers(1, 12, rows) / 4
    if shape == "equal":
        return np.full(rows, 12.25)
    spread = rng.lognormal(3, 0.4, rows)
    if shape == "tail":
        spread[rng.random(rows) < 0.1] *= 40
    return spread


def configuration_log(rng: np.random.Generator, configuration: Configuration) -> pl.DataFrame:
    """The rows of one configuration, in the columns of a concurrency log."""
    rows = configuration.rows
    failed = rng.random(rows) < configuration.failure_share
    latency = latencies(rng, rows, configuration.shape)
    start = 1783.5 + np.cumsum(rng.exponential(0.06, rows))
    flags = [
        _FAILURES[index] if lost else (0, 0, 0)
        for index, lost in zip(rng.integers(0, 4, rows), failed, strict=True)
    ]
    sizes = [None if lost or rng.random() < 0.05 else int(rng.integers(0, 3000)) for lost in failed]
    columns = {
        "invocation_latency": [
            _latency(rng, value, lost) for value, lost in zip(latency, failed, strict=True)
        ],
        "response_size": sizes,
        **dict(zip(list(SCHEMA)[2:5], zip(*flags, strict=True), strict=True)),
        "start_time": start,
        "end_time": start + latency / 1000,
        "memory_size": [configuration.memory_size] * rows,
        "max_concurrency": [configuration.max_concurrency] * rows,
        "num_clients": [configuration.num_clients] * rows,
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _latency(rng: np.random.Generator, value: float, lost: bool) -> float | None:
    if not lost:
        return float(value)
    return None if rng.random() < 0.1 else -1.0


def log_of(configurations: Sequence[Configuration], seed: int = 0) -> pl.DataFrame:
    """A log of ``configurations``, its rows in random order."""
    rng = np.random.default_rng(seed)
    frame = pl.concat([configuration_log(rng, configuration) for configuration in configurations])
    return frame[rng.permutation(frame.height)]


def small_log() -> pl.DataFrame:
    """Four configurations, two of memory and two of concurrency, with a few failures."""
    return log_of(
        [
            Configuration(
                memory_size=memory,
                max_concurrency=concurrency,
                num_clients=concurrency,
                rows=30,
                failure_share=0.2,
            )
            for memory in (1024, 2048)
            for concurrency in (2, 10)
        ]
    )


def stability_log(frame: pl.DataFrame) -> pl.DataFrame:
    """A concurrency log without the columns that a stability log lacks."""
    return frame.drop("max_concurrency", "num_clients")


@st.composite
def logs(draw: st.DrawFn, *, max_rows: int = 40) -> pl.DataFrame:
    """Logs of 1 to 6 memory sizes and 1 to 4 concurrencies, each configuration with its own fate."""
    memory = draw(st.lists(st.sampled_from(MEMORY_SIZES), min_size=1, max_size=6, unique=True))
    concurrency = draw(st.lists(st.sampled_from(CONCURRENCIES), min_size=1, max_size=4, unique=True))
    chosen = [
        Configuration(
            memory_size=size,
            max_concurrency=maximum,
            num_clients=draw(st.integers(1, 3)),
            rows=draw(st.sampled_from((1, 2, 3, 7, max_rows))),
            failure_share=draw(st.sampled_from((0.0, 0.1, 0.5, 1.0))),
            shape=draw(st.sampled_from(SHAPES)),
        )
        for size in memory
        for maximum in concurrency
    ]
    return log_of(chosen, seed=draw(st.integers(0, 2**32 - 1)))
