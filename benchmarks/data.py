"""Synthetic invocation logs of any size: 66 configurations, 50,000 seconds, 2 % failures."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["CONFIGURATIONS", "log_path"]

FIRST_SECOND = 1_000
SECONDS = 50_000
CHUNK_ROWS = 1_000_000
FAILURE_SHARE = 0.02
CLIENTS = {2: (2, 3, 4), 4: (4, 6, 7, 8), 8: (8, 12, 14, 16)}
CONFIGURATIONS = [
    (concurrency, clients, memory)
    for memory in (1024, 2048, 3072, 4096, 5120, 6144)
    for concurrency, all_clients in CLIENTS.items()
    for clients in all_clients
]


def log_path(folder: Path, rows: int, suffix: str) -> Path:
    """The log of ``rows`` rows as ``parquet`` or ``csv``, made where it is missing."""
    path = folder / f"invocations-{rows}.{suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        _write_parquet(partial, rows) if suffix == "parquet" else _write_csv(partial, folder, rows)
        partial.rename(path)
    return path


def _write_parquet(path: Path, rows: int) -> None:
    random = np.random.default_rng(rows)
    writer = None
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        end_time = FIRST_SECOND + (start + np.arange(count)) / rows * SECONDS + random.random(count)
        table = _chunk(random, np.round(end_time, 6)).to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def _write_csv(path: Path, folder: Path, rows: int) -> None:
    pl.scan_parquet(log_path(folder, rows, "parquet")).sink_csv(path)


def _chunk(random: np.random.Generator, end: NDArray[np.float64]) -> pl.DataFrame:
    """Rows as a harness logs them: nearly in order of completion, all configurations at once."""
    rows = len(end)
    code = random.integers(len(CONFIGURATIONS), size=rows)
    concurrency, clients, memory = np.array(CONFIGURATIONS).T[:, code]
    latency = np.round(random.lognormal(2.3, 0.4, rows) * (1 + 2000 / memory) + random.random(rows), 4)
    slow = random.random(rows) < 0.002  # noqa: PLR2004
    latency[slow] += random.exponential(400, slow.sum())
    failed = random.random(rows) < FAILURE_SHARE
    error = random.integers(3, size=rows)
    flags = [((error == number) & failed).astype(np.int8) for number in range(3)]
    return pl.DataFrame(
        {
            "invocation_latency": np.where(failed, -1.0, latency),
            "response_size": pl.Series(random.integers(100, 3000, rows)).set(pl.Series(failed), None),
            "throttle_exception": flags[0],
            "insufficient_memory_error": flags[1],
            "other_model_error": flags[2],
            "start_time": np.round(end - latency / 1000, 6),
            "end_time": end,
            "memory_size": memory,
            "max_concurrency": concurrency,
            "num_clients": clients,
        }
    )


if __name__ == "__main__":
    print(log_path(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
