"""Parquet and Arrow files, and frames, whose columns have the canonical names, as one canonical LazyFrame."""

from collections.abc import Sequence
from itertools import groupby

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import CANONICAL_COLUMNS, RULES, canonical
from loadlens.sources.files import DataFile, scan_columns
from loadlens.sources.storage.location import Location, store_of

__all__ = ["canonical_frame", "constant", "raw_scan", "scan_files"]


def scan_files(files: Sequence[DataFile], row_index: str | None = None) -> pl.LazyFrame:
    """Scans columnar files into canonical columns; files of different columns are joined by name.

    Args:
        files: the files.
        row_index: name of a column for each row's number in its file, from 0; none without it.

    Raises:
        InputError: a canonical column has a type that cannot be cast, or a partition's value cannot.
    """

    def alike(file: DataFile) -> str:
        is_table = file.version != ""
        return repr(
            (file.kind, store_of(file.path), file.columns, file.constants, is_table and str(file.path))
        )

    groups = [list(group) for _, group in groupby(sorted(files, key=alike), key=alike)]
    frames = [canonical_frame(raw_scan(group, row_index), str(group[0].path)) for group in groups]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def raw_scan(files: Sequence[DataFile], row_index: str | None = None) -> pl.LazyFrame:
    """Scans columnar files that agree in columns and constants, their columns as they are."""
    first = files[0]
    if first.kind == "text":
        raise AssertionError("text is parsed by its dialect")
    frame = scan_columns([file.path for file in files], first.kind, row_index, first.version)
    own = {name for name, _ in first.columns}
    return frame.with_columns(
        constant(first.path, name, text) for name, text in dict(first.constants).items() if name not in own
    )


def constant(path: Location, name: str, text: str | None) -> pl.Expr:
    """A column that the path of a file tells, in its canonical type.

    Raises:
        InputError: ``text`` is nothing that the column may hold.
    """
    column = CANONICAL_COLUMNS.get(name)
    if column is None or text is None:
        return pl.lit(text, dtype=column.dtype if column else pl.String()).alias(name)
    try:
        given = pl.select(pl.lit(float(text) if column.dtype.is_numeric() else text).alias(name))
    except ValueError:
        raise InputError(f"{path}: its path says column {name} is {text!r}, expected a number") from None
    value = given.select(canonical(name, given.schema[name]))
    for rule in RULES:
        if rule.column == name and value.select(rule.broken).item():
            raise InputError(f"{path}: its path says column {name} is {text!r}, expected {rule.expected}")
    return pl.lit(value.item(), dtype=column.dtype).alias(name)


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
