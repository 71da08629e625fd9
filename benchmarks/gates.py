"""``python -m benchmarks.gates``: what judging gates costs beside a summary of the same log."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import loadlens
from benchmarks.contenders.harness import KEY

__all__ = ["main"]

RUN = ("p99 < 300ms", "error_rate < 1%", "throughput >= 1/s", "99% < 300ms")
WINDOWS = ("p99 < 1s within 60s of every window",)


def main() -> None:
    """Prints the best wall and CPU time of each way over a log, and both against the summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("log", type=Path, help="a log of the benchmark, e.g. invocations-10000000.parquet")
    parser.add_argument("--runs", type=int, default=3, help="of each way, in turns (default: 3)")
    options = parser.parse_args()
    log = options.log
    ways: dict[str, Callable[[], object]] = {
        "summarize": lambda: loadlens.summarize(log, KEY),
        "gates on the run": lambda: loadlens.check_gates(log, RUN, KEY),
        "gate on windows": lambda: loadlens.check_gates(log, WINDOWS, KEY),
        "both": lambda: loadlens.check_gates(log, (*RUN, *WINDOWS), KEY),
    }
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(options.runs):
        for name, way in ways.items():
            wall, cpu = _seconds(way)
            best[name] = (min(best[name][0], wall), min(best[name][1], cpu))
    summary = best["summarize"]
    for name, (wall, cpu) in best.items():
        ratios = f"{wall / summary[0]:.2f} and {cpu / summary[1]:.2f} of summarize"
        print(f"{name:<18} wall {wall:6.2f} s, CPU {cpu:6.2f} s: {ratios}")


def _seconds(way: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
