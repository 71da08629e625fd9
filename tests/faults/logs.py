"""Logs that faults happen to."""

from pathlib import Path

import numpy as np
import polars as pl

KEY = ["memory_size"]


def invocations(rows: int, seed: int = 1) -> pl.DataFrame:
    """Invocations of three memory sizes over ten minutes."""
    random = np.random.default_rng(seed)
    end = np.sort(random.uniform(0, 600, rows))
    return pl.DataFrame(
        {
            "invocation_latency": random.lognormal(4, 1, rows),
            "response_size": random.integers(1, 900, rows),
            "start_time": end - 0.1,
            "end_time": end,
            "memory_size": random.choice([1024, 2048, 4096], rows),
        }
    )


def written(path: Path, rows: int, seed: int = 1) -> Path:
    """A log as a file of the format that its name tells."""
    frame = invocations(rows, seed)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, row_group_size=max(rows // 5, 1))
    return path
