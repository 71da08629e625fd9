"""CSV and Parquet files whose columns have the canonical names, as one canonical LazyFrame."""

from collections.abc import Sequence
from itertools import groupby

import polars as pl

from loadlens.schema import CANONICAL_COLUMNS, canonical
from loadlens.sources.files import DataFile

__all__ = ["canonical_frame", "csv_types", "scan_files"]


def scan_files(files: Sequence[DataFile]) -> pl.LazyFrame:
    """Scans files of any mixture of formats, columns and partitions as one canonical table.

    Files that agree in format, columns and partition share one scan, so that thousands of files cost
    little more than one. Columns that only some of the files have are null for the others.
    """

    def alike(file: DataFile) -> str:
        return repr((file.kind, file.columns, file.hive))

    groups = [list(group) for _, group in groupby(sorted(files, key=alike), key=alike)]
    frames = [canonical_frame(_scan_alike(group)) for group in groups]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def _scan_alike(files: Sequence[DataFile]) -> pl.LazyFrame:
    first, paths = files[0], [file.path for file in files]
    if first.kind == "parquet":
        frame = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
    else:
        frame = pl.scan_csv(paths, glob=False, schema=csv_types(first))
    partition = {name: value for name, value in first.hive if name not in dict(first.columns)}
    return frame.with_columns(_hive_value(name, value) for name, value in partition.items())


def csv_types(file: DataFile) -> pl.Schema:
    """The types that a CSV file's columns are parsed as.

    Integers are parsed as Float64 because pandas writes an integer column that has an empty cell with
    decimal points. Columns that are not canonical stay text.
    """
    parsed = {name: _parsed_as(name) for name, _ in file.columns}
    return pl.Schema(parsed)


def _parsed_as(name: str) -> pl.DataType:
    column = CANONICAL_COLUMNS.get(name)
    return pl.Float64() if column and column.dtype.is_numeric() else pl.String()


def _hive_value(name: str, value: str) -> pl.Expr:
    text = None if value == "__HIVE_DEFAULT_PARTITION__" else value
    return pl.lit(text, dtype=pl.String).cast(_parsed_as(name)).alias(name)


def canonical_frame(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Casts the canonical columns that ``frame`` has to their types; other columns stay as they are."""
    schema = frame.collect_schema()
    casts = [canonical(name, dtype) for name, dtype in schema.items() if name in CANONICAL_COLUMNS]
    return frame.with_columns(casts)
