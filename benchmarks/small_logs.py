"""How long a small log takes as a whole process, in turns with `import polars` and with another version.

`python -m benchmarks.small_logs [LOG] [--against OTHER/bin/loadlens]`; without a log, of a simulated
results folder of 6,000 calls.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from loadlens.demo import simulate_results_folder

ROWS = 6_000
BEFORE, NOW = "before", "now"

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints medians in seconds, and ratios."""
    options = _parser().parse_args(arguments)
    with TemporaryDirectory() as folder:
        log = options.log or Path(folder) / "run"
        if not options.log:
            simulate_results_folder(log, rows=ROWS, seed=1)
        programs = {NOW: [sys.executable, "-m", "loadlens"]}
        if options.against:
            programs[BEFORE] = [str(options.against)]
        commands = {"import polars": [sys.executable, "-c", "import polars"]}
        for name, program in programs.items():
            commands[f"loadlens --help, {name}"] = [*program, "--help"]
            report = str(Path(folder) / name)
            commands[f"loadlens analyze, {name}"] = [
                *program,
                "analyze",
                str(log),
                "--out",
                report,
                "--overwrite",
            ]
        _print(_in_turns(commands, options.runs))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?", type=Path, help="a log or a results folder")
    parser.add_argument("--against", type=Path, help="the program of another version")
    parser.add_argument("--runs", type=int, default=5, help="of each command")
    return parser


def _in_turns(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Seconds of each run of each command; the first round, which fills caches, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _print(seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    for name, runs in seconds.items():
        print(f"{name:26} {medians[name]:6.2f} s  ({', '.join(f'{run:.2f}' for run in runs)})")
    print(f"--help / import polars: {medians[f'loadlens --help, {NOW}'] / medians['import polars']:.2f}")
    if f"loadlens analyze, {BEFORE}" in medians:
        ratio = medians[f"loadlens analyze, {NOW}"] / medians[f"loadlens analyze, {BEFORE}"]
        print(f"analyze, now / before: {ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main())
