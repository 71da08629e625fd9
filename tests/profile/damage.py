"""Saved profiles with something in them changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from pyarrow import parquet

from loadlens.logs.metadata import PROFILE_FACTS
from loadlens.storage.checksum import write_checksum

FACTS = PROFILE_FACTS.encode()


def rewritten(path: Path, change: Callable[[dict[bytes, bytes], Any], Any]) -> None:
    """Writes a profile again with other facts or another table."""
    table = parquet.read_table(path)
    metadata = dict(parquet.read_metadata(path).metadata)
    table = change(metadata, table)
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    write_checksum(path)  # as whoever means harm would


def facts_with(old: bytes, new: bytes) -> Callable[[dict[bytes, bytes], Any], Any]:
    def change(metadata: dict[bytes, bytes], table: Any) -> Any:
        assert old in metadata[FACTS]
        metadata[FACTS] = metadata[FACTS].replace(old, new)
        return table

    return change


def column_with(name: str, change: Callable[[pl.Expr], pl.Expr]) -> Callable[[dict[bytes, bytes], Any], Any]:
    def changed(_: dict[bytes, bytes], table: Any) -> Any:
        frame = pl.DataFrame(table).with_columns(change(pl.col(name)).alias(name))
        return frame.to_arrow().cast(table.schema)

    return changed


def changed_row(part: str, name: str, more: float) -> Callable[[dict[bytes, bytes], Any], Any]:
    """Adds to one number of the first row of a part."""

    def change(value: pl.Expr) -> pl.Expr:
        own = pl.col("part") == part
        return pl.when(own & (own.cum_sum() == 1)).then(value + more).otherwise(value)

    return column_with(name, change)


def without_part(part: str) -> Callable[[dict[bytes, bytes], Any], Any]:
    def change(_: dict[bytes, bytes], table: Any) -> Any:
        return pl.DataFrame(table).filter(pl.col("part") != part).to_arrow().cast(table.schema)

    return change
