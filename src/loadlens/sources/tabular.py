"""CSV and Parquet files whose columns have the canonical names, as one canonical LazyFrame."""

from collections.abc import Sequence
from itertools import groupby

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import CANONICAL_COLUMNS, canonical
from loadlens.sources.files import DataFile

__all__ = ["canonical_frame", "csv_types", "raw_scan", "scan_files"]


def scan_files(files: Sequence[DataFile], *, row_index: str | None = None) -> pl.LazyFrame:
    """Scans files of any mixture of formats, columns and partitions as one canonical table.

    Files that agree in format, columns and partition share one scan, so that thousands of files cost
    little more than one. Columns that only some of the files have are null for the others. Blank lines
    of text files are no rows.

    Args:
        files: the files.
        row_index: name of a column to add with the row's number in its file (one file only).

    Raises:
        InputError: a canonical column has a type that cannot be cast, or a partition's value cannot.
    """

    def alike(file: DataFile) -> str:
        return repr((file.kind, file.columns, file.hive))

    groups = [list(group) for _, group in groupby(sorted(files, key=alike), key=alike)]
    frames = [
        _without_blank_lines(group[0], canonical_frame(raw_scan(group, row_index), str(group[0].path)))
        for group in groups
    ]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def raw_scan(files: Sequence[DataFile], row_index: str | None = None) -> pl.LazyFrame:
    """Scans files that agree in format, columns and partition, their columns as they are parsed."""
    first, paths = files[0], [file.path for file in files]
    if first.kind == "parquet":
        frame = pl.scan_parquet(paths, glob=False, hive_partitioning=False, row_index_name=row_index)
    else:
        types = csv_types(first)
        frame = pl.scan_csv(paths, glob=False, schema=types, row_index_name=row_index)
    own = {name for name, _ in first.columns}
    return frame.with_columns(
        _hive_value(first, name, value) for name, value in first.hive if name not in own
    )


def _without_blank_lines(file: DataFile, frame: pl.LazyFrame) -> pl.LazyFrame:
    """A blank line reads as a row without a value in any column."""
    names = [name for name, _ in file.columns if name in CANONICAL_COLUMNS]
    if file.kind != "csv" or not names:
        return frame
    return frame.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in names))


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


def _hive_value(file: DataFile, name: str, value: str) -> pl.Expr:
    dtype = _parsed_as(name)
    text = None if value == "__HIVE_DEFAULT_PARTITION__" else value
    if text is None or dtype == pl.String:
        return pl.lit(text, dtype=dtype).alias(name)
    try:
        return pl.lit(float(text), dtype=dtype).alias(name)
    except ValueError:
        raise InputError(
            f"{file.path}: its folder says column {name} is {value!r}, expected a number"
        ) from None


def canonical_frame(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Casts the canonical columns that ``frame`` has to their types; other columns stay as they are.

    Raises:
        InputError: a number is expected and the column's type is not one; ``name`` says where.
    """
    schema = {
        column: dtype for column, dtype in frame.collect_schema().items() if column in CANONICAL_COLUMNS
    }
    wrong = [
        f"{name}: column {column} is {dtype}, expected {CANONICAL_COLUMNS[column].dtype}; convert it first"
        for column, dtype in schema.items()
        if CANONICAL_COLUMNS[column].dtype.is_numeric()
        and not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))
    ]
    if wrong:
        raise InputError(*wrong)
    return frame.with_columns(canonical(column, dtype) for column, dtype in schema.items())
