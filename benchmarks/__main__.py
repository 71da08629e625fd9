"""``python -m benchmarks``: makes logs, runs every contender over them, compares answers, writes a report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import write_report
from benchmarks.runner import Format, Outcome, make_log, measure

__all__ = ["main"]

HERE = Path(__file__).parent
FULL_ROWS = [1_000_000, 10_000_000, 100_000_000]
QUICK_ROWS = [2_000_000]
FORMATS: list[Format] = ["parquet", "csv"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 when a contender failed or answered otherwise than loadlens, else 0."""
    options = _parser().parse_args(arguments)
    rows = options.rows or (QUICK_ROWS if options.quick else FULL_ROWS)
    runs = options.runs or (1 if options.quick else 3)
    folder = options.out or (options.data / "results" if options.quick else HERE / "results")
    outcomes = _measured(options.data, rows, options.formats, runs)
    write_report(outcomes, folder)
    problems = [line for outcome in outcomes for line in outcome.problems]
    print(*problems, sep="\n", end="\n" if problems else "")
    print("answers differ" if problems else "answers are the same", f"- see {folder / 'results.md'}")
    return 1 if problems else 0


def _measured(data: Path, sizes: Sequence[int], formats: Sequence[Format], runs: int) -> list[Outcome]:
    outcomes = []
    for rows in sizes:
        for suffix in formats:
            print(f"{rows:>11,} rows {suffix:<7} making the log, unless it is there", flush=True)
            outcomes += measure(
                make_log(data, rows, suffix), rows, runs, lambda line: print(line, flush=True)
            )
    return outcomes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", type=_positive, nargs="+", help="sizes of the logs (default: 1 M, 10 M, 100 M)"
    )
    parser.add_argument("--formats", choices=FORMATS, nargs="+", default=FORMATS, help="of the logs")
    parser.add_argument("--runs", type=_positive, help="of each contender over each log (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help="one run over 2 M rows: are the answers the same?"
    )
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the logs are kept")
    parser.add_argument(
        "--out",
        type=Path,
        help="where the report goes (default: benchmarks/results; with --quick, DATA/results)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {number}, expected 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
