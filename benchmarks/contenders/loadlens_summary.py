"""The figures from loadlens."""

from pathlib import Path

from benchmarks.contenders.harness import ERRORS, KEY, Rows, main
from loadlens import SummaryResult, summarize  # loads what it needs, as the others do when they are imported

__all__ = ["query", "rows_of", "summary"]


def query(path: Path) -> Rows:
    """The summary by configuration, with the error classes beside it."""
    return rows_of(summary(path))


def summary(path: Path) -> SummaryResult:
    """What loadlens finds."""
    return summarize(path, by=KEY, outliers="mean-iqr")


def rows_of(result: SummaryResult) -> Rows:
    """It as rows."""
    return result.summary.join(result.quality.select(*KEY, *ERRORS), on=KEY).sort(KEY).to_dicts()


if __name__ == "__main__":
    main(query)
