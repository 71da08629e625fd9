"""Parquet and Arrow files, and frames, whose columns have the canonical names, as one canonical LazyFrame."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import (
    CANONICAL_COLUMNS,
    RULES,
    breaks_rule,
    canonical,
    coarse_time_rules,
    latency_is_positive,
)
from loadlens.sources.common_types import with_common_types
from loadlens.sources.files import DataFile, scan_columns
from loadlens.sources.parsed import Recipe
from loadlens.sources.storage.location import Location, address_of, store_of

__all__ = [
    "absent",
    "canonical_frame",
    "canonical_recipe",
    "constant",
    "good_rows",
    "joined_frames",
    "raw_scan",
    "scan_files",
]


def scan_files(files: Sequence[DataFile], *, good: bool = False) -> pl.LazyFrame:
    """Scans columnar files into canonical columns; files of different columns are joined by name.

    Args:
        files: the files.
        good: whether rows that break a rule are left out.

    Raises:
        InputError: a canonical column has a type that cannot be cast, or a partition's value cannot.
    """

    def alike(file: DataFile) -> str:
        is_table = file.version != ""
        constants = [item for item in file.constants if item[0] != "file"]
        return repr((file.kind, store_of(file.path), file.columns, constants, is_table and str(file.path)))

    groups = [list(group) for _, group in groupby(sorted(files, key=alike), key=alike)]
    frames = [canonical_frame(raw_scan(group), str(group[0].path)) for group in groups]
    return joined_frames(map(good_rows, frames) if good else frames)


def good_rows(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Canonical rows without those that break a rule."""
    return frame.filter(~breaks_rule(frame.collect_schema().names()))


def joined_frames(frames: Iterable[pl.LazyFrame]) -> pl.LazyFrame:
    """Canonical rows of several sources, by column name, each ``absent`` where a source lacks it."""
    frames = list(frames)
    if len(frames) == 1:
        return frames[0]
    if any("success" in frame.collect_schema() for frame in frames):
        frames = [
            frame if "success" in frame.collect_schema() else frame.with_columns(absent("success"))
            for frame in frames
        ]
    return pl.concat(with_common_types(frames), how="diagonal_relaxed")


def absent(name: str) -> pl.Expr:
    """A column that other sources of a log have: success as the latency tells it, else null."""
    if name == "success":
        return latency_is_positive().fill_null(value=False).alias(name)
    return pl.lit(None).alias(name)


def raw_scan(files: Sequence[DataFile], row_index: str | None = None) -> pl.LazyFrame:
    """Scans columnar files that agree in columns and constants but ``file``, their columns as they are."""
    first = files[0]
    if first.kind == "text":
        raise AssertionError("text is parsed by its dialect")
    own = {name for name, _ in first.columns}
    constants = {name: text for name, text in dict(first.constants).items() if name not in own}
    paths = [file.path for file in files]
    if "file" in constants and len(files) > 1:
        del constants["file"]
        frame = scan_columns(paths, first.kind, row_index, first.version, with_paths="file")
        names = {address_of(file.path): dict(file.constants)["file"] for file in files}
        frame = frame.with_columns(pl.col("file").replace_strict(names, return_dtype=pl.String))
    else:
        frame = scan_columns(paths, first.kind, row_index, first.version)
    return frame.with_columns(constant(first.path, name, text) for name, text in constants.items())


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
    """Casts the canonical columns that ``frame`` has to their types; others stay as they are, but for -0.0.

    Raises:
        InputError: a number is expected and the column's type is not one; ``name`` says where.
    """
    schema = frame.collect_schema()
    others = [
        column for column, dtype in schema.items() if column not in CANONICAL_COLUMNS and dtype.is_float()
    ]
    # Of -0.0 and 0.0, which are one key, the order of rows would tell which is shown.
    zeros = [(pl.col(column) + 0.0).alias(column) for column in others]
    return frame.with_columns(*_canonical_columns(schema, name), *zeros)


def canonical_recipe(schema: Mapping[str, pl.DataType], name: str) -> Recipe:
    """How the rows of a typed table with canonical columns become canonical, and which are set aside.

    Raises:
        InputError: a number is expected and the column's type is not one; ``name`` says where.
    """
    types = {column: dtype for column, dtype in schema.items() if column in CANONICAL_COLUMNS}
    columns = tuple(_canonical_columns(schema, name))
    return Recipe(types=types, columns=columns, rules=coarse_time_rules(types), finite=False)


def _canonical_columns(schema: Mapping[str, pl.DataType], name: str) -> list[pl.Expr]:
    known = {column: dtype for column, dtype in schema.items() if column in CANONICAL_COLUMNS}
    wrong = [
        f"{name}: column {column} is {dtype}, expected {CANONICAL_COLUMNS[column].dtype}; convert it first"
        for column, dtype in known.items()
        if CANONICAL_COLUMNS[column].dtype.is_numeric()
        and not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))
    ]
    if wrong:
        raise InputError(*wrong)
    return [canonical(column, dtype) for column, dtype in known.items()]
