"""The floor: reading the needed columns and next to nothing else."""

from pathlib import Path

import polars as pl

from benchmarks.contenders.harness import COLUMNS, Rows, main

__all__ = ["query"]


def query(path: Path) -> Rows:
    """The largest value of each needed column."""
    log = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path)
    return log.select(pl.col(COLUMNS).max()).collect(engine="streaming").to_dicts()


if __name__ == "__main__":
    main(query)
