"""``python -m benchmarks.scaling``: what workers of one thread each gain, and what merging costs."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

import loadlens
from benchmarks.data import log_path
from loadlens.cli.executors import workforce
from loadlens.engine.distributed import Merging
from loadlens.profile import Profile

__all__ = ["main"]

HERE = Path(__file__).parent
KEY = ("max_concurrency", "num_clients", "memory_size")
WORKERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "this process, no worker": {},
    "1 worker process": {"workers": 1},
    "2 worker processes": {"workers": 2},
    "2 Dask workers": {"cluster": "local:2"},
}
PARTITIONS: Final = (10, 100, 1_000, 10_000)
CELLS: Final = 400
RUNS: Final = 2


def main() -> int:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where logs are kept")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the log")
    parser.add_argument("--way", choices=WORKERS, help="time one way in this process and print the seconds")
    options = parser.parse_args()
    log = log_path(options.data, options.rows, "parquet")
    if options.way:
        print(_summarized(log, WORKERS[options.way]))
        return 0
    print(f"{options.rows:,} rows\n\n| each on one thread | exact summary, s |\n|---|--:|")
    for name in WORKERS:
        seconds = _on_one_thread(["--way", name, "--data", str(options.data), "--rows", str(options.rows)])
        print(f"| {name} | {seconds:.2f} |", flush=True)
    print("\n| partitions merged | s | ms each |\n|--:|--:|--:|")
    for count in PARTITIONS:
        seconds = _merged(count)
        print(f"| {count:,} | {seconds:.2f} | {seconds / count * 1000:.2f} |", flush=True)
    return 0


def _on_one_thread(arguments: list[str]) -> float:
    """What this program prints in a process of one thread, of which its workers have one each."""
    command = [sys.executable, "-m", "benchmarks.scaling", *arguments]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, cwd=HERE.parent, stdout=subprocess.PIPE, check=True, text=True
    )
    return float(done.stdout)


def _summarized(log: Path, how: Mapping[str, Any]) -> float:
    """The best of some runs, after one that loads the library into the workers."""
    times = []
    with workforce(**how) as work:
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            loadlens.summarize(
                log,
                KEY,
                executor=work.executor,
                memory_limit=work.memory_limit,
                spill_folder=work.spill_folder,
            )
            times.append(time.perf_counter() - began)
    return min(times[1:])


def _merged(count: int) -> float:
    """Merges profiles as they arrive, each of a partition of a log of many configurations and minutes."""
    parts = list(_profiles(min(count, 50)))
    began = time.perf_counter()
    merging = Merging()
    for number in range(count):
        merging.add({None: parts[number % len(parts)]})
    merging.merged()
    return time.perf_counter() - began


def _profiles(count: int) -> Iterator[Profile]:
    rng = np.random.default_rng(0)
    for number in range(count):
        end = number * 60 + 60 * rng.random(CELLS)
        log = pl.DataFrame(
            {
                "invocation_latency": rng.lognormal(3, 0.5, CELLS),
                "start_time": end - 0.1,
                "end_time": end,
                "memory_size": rng.integers(1, 7, CELLS) * 1024,
            }
        )
        yield loadlens.summarize(log, ["memory_size"], exact=False).profile


if __name__ == "__main__":
    sys.exit(main())
