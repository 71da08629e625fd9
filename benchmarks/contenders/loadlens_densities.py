"""The figures from loadlens, and the density curves, which the chain of pandas steps makes too."""

from pathlib import Path

from benchmarks.contenders.harness import Rows, main
from benchmarks.contenders.loadlens_summary import rows_of, summary

__all__ = ["query"]


def query(path: Path) -> Rows:
    """The summary by configuration; the curves are made and not told."""
    result = summary(path)
    result.density  # noqa: B018  # is computed when it is asked for
    return rows_of(result)


if __name__ == "__main__":
    main(query)
