"""The figures from loadlens, which also makes the density curves."""

from pathlib import Path

from benchmarks.contenders.harness import ERRORS, KEY, Rows, main
from loadlens import summarize  # loads what it needs, as the others do when they are imported

__all__ = ["query"]


def query(path: Path) -> Rows:
    """The summary by configuration, with the error classes beside it."""
    result = summarize(path, by=KEY, outliers="mean-iqr")
    return result.summary.join(result.quality.select(*KEY, *ERRORS), on=KEY).sort(KEY).to_dicts()


if __name__ == "__main__":
    main(query)
