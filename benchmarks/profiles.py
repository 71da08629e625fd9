"""``python -m benchmarks.profiles``: times of merging and analysing saved profiles."""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.data import log_path
from loadlens.profile import Profile
from loadlens.tasks.profile_files import load_profile, merge_profiles, profile_log

__all__ = ["main"]

HERE = Path(__file__).parent
DAY_S = 86_400
ROWS = 1_000_000
DAYS = 100
OVERLAPPING = 20
MANY = 10_000
KEY = ("max_concurrency", "num_clients", "memory_size")
RUNS = 3

_SUMMARIZE = """
import sys, time
import loadlens
began = time.perf_counter()
loadlens.summarize(sys.argv[2:], sys.argv[1].split(","))
print(time.perf_counter() - began)
"""


def main() -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where logs and profiles are kept")
    folder: Path = parser.parse_args().data
    days, same_day = _profiles(folder, "days", DAYS, DAY_S), _profiles(folder, "one-day", OVERLAPPING, 0)
    merged = folder / "merged.profile"
    rows = {
        f"`summarize` of {DAYS} profiles of {DAYS} days": _summarized(days, KEY),
        "the same by `memory_size` alone": _summarized(days, ("memory_size",)),
        f"`summarize` of {OVERLAPPING} profiles of one day": _summarized(same_day, KEY),
        f"`loadlens analyze` of {DAYS} profiles of {DAYS} days, charts and report": _analyzed(folder, days),
        f"`merge_profiles` of {DAYS} profiles of {DAYS} days": _best(
            lambda: merge_profiles(days, merged, overwrite=True), runs=1
        ),
        f"`Profile.merge_all` of {MANY // 10:,} small profiles": _merged(days[0], MANY // 10),
        f"`Profile.merge_all` of {MANY:,} small profiles": _merged(days[0], MANY),
    }
    print(f"profile of {ROWS:,} rows: {days[0].stat().st_size / 1e6:.1f} MB\n\n| what | s |\n|---|--:|")
    print(*[f"| {what} | {seconds:.2f} |" for what, seconds in rows.items()], sep="\n")
    return 0


def _profiles(folder: Path, name: str, count: int, shift_s: int) -> list[Path]:
    """Profiles of so many logs, made where they are missing; no two have the same latencies."""
    paths = [folder / name / f"{day:03}.profile" for day in range(count)]
    log = log_path(folder, ROWS, "parquet")
    times, latency = pl.col("start_time", "end_time"), pl.col("invocation_latency")
    for day, path in enumerate(paths):
        if not path.exists():
            slower = pl.when(latency > 0).then(latency * (1 + day / 1000)).otherwise(latency)
            frame = pl.scan_parquet(log).with_columns(
                times + day * shift_s, slower.alias("invocation_latency")
            )
            profile_log(frame, path, by=KEY)
    return paths


def _best(run: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _summarized(paths: list[Path], key: tuple[str, ...]) -> float:
    command = [sys.executable, "-c", _SUMMARIZE, ",".join(key), *map(str, paths)]
    return min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(RUNS))


def _analyzed(folder: Path, paths: list[Path]) -> float:
    out = ["--out", str(folder / "report"), "--overwrite", "--quiet"]
    command = [sys.executable, "-m", "loadlens", "analyze", *map(str, paths), *out]
    return _best(lambda: subprocess.run(command, check=True))


def _merged(path: Path, count: int) -> float:
    """Profiles as partitions of a large log give them: a few hundred cells each."""
    whole = load_profile(path)
    seconds = whole.seconds.head(200)
    part = Profile(
        key=whole.key,
        keys=whole.keys,
        figures=whole.figures,
        buckets=whole.buckets.head(200),
        seconds=seconds,
        heat=whole.heat.head(50),
        classes=whole.classes,
    )
    return _best(lambda: Profile.merge_all([part] * count))


if __name__ == "__main__":
    sys.exit(main())
