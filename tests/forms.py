"""The files that hold the same calls: one writer for each form."""

from pathlib import Path

import polars as pl

__all__ = ["arrow", "csv", "parquet"]


def csv(rows: pl.DataFrame, folder: Path) -> Path:
    rows.write_csv(folder / "log.csv")
    return folder / "log.csv"


def parquet(rows: pl.DataFrame, folder: Path) -> Path:
    rows.write_parquet(folder / "log.parquet", row_group_size=2)  # several even of a few calls
    return folder / "log.parquet"


def arrow(rows: pl.DataFrame, folder: Path) -> Path:
    rows.write_ipc(folder / "log.arrow")
    return folder / "log.arrow"
