"""Parquet and Arrow files, tables of other libraries, and frames, as one canonical LazyFrame."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Protocol, runtime_checkable

import polars as pl
from polars.io.plugins import register_io_source

from loadlens.errors import InputError
from loadlens.logs.column_map import ColumnMap
from loadlens.logs.files import DataFile, scan_columns
from loadlens.logs.findings import Findings, MaxRejects
from loadlens.logs.mapped_text import mapped_recipe
from loadlens.schema import (
    CANONICAL_COLUMNS,
    RULES,
    breaks_one_of,
    breaks_rule,
    canonical,
    coarse_time_rules,
    latency_is_positive,
)
from loadlens.storage.location import Location, RemotePath, address_of, secrets_of, store_of
from loadlens.storage.secrets import cause_of, reason_of
from loadlens.text.common_types import with_common_types
from loadlens.text.typed_rows import Recipe, Reject, bounded, rejects_frame

__all__ = [
    "ArrowDataset",
    "ArrowStream",
    "TypedRows",
    "absent",
    "canonical_frame",
    "canonical_recipe",
    "collect_stream",
    "constant",
    "explain",
    "good_rows",
    "joined_frames",
    "raw_scan",
    "rows_of_file",
    "scan_dataset",
    "scan_files",
    "set_aside",
]

_ROW: Final = "\0row"
_LOGGED: Final = "\0logged"
_BROKEN: Final = "\0broken"
_ROWS_AT_ONCE: Final = 10_000
_AS_WRITTEN: Final = pl.QueryOptFlags(predicate_pushdown=False)  # statistics of files know nothing of NaN


@runtime_checkable
class ArrowStream(Protocol):
    """Any table that speaks the Arrow stream interface: pandas, PyArrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hands out the table as an Arrow stream."""


@runtime_checkable
class ArrowDataset(Protocol):
    """A dataset as PyArrow has it, which is read anew by each scan."""

    @property
    def schema(self) -> Any:
        """The PyArrow schema."""

    def to_batches(self, *, columns: list[str] | None = None) -> Iterable[Any]:
        """Reads the rows as PyArrow record batches."""


def collect_stream(stream: ArrowStream, name: str) -> pl.DataFrame:
    """Reads an Arrow stream to its end into memory, as many can be read only once.

    Raises:
        InputError: what produces the stream fails, or it has no rows; ``name`` says where.
    """
    try:
        table = pl.DataFrame(stream)
    except Exception as error:  # noqa: BLE001  # whatever the library that produces the stream raises
        raise InputError(f"{name}: cannot be read: {reason_of(error)}") from cause_of(error)
    if table.is_empty():
        raise InputError(
            f"{name}: has no rows; a stream that was read before is empty: open it anew, and analyse it as "
            f"often as you like through read_log"
        )
    return table


def scan_dataset(dataset: ArrowDataset) -> pl.LazyFrame:
    """Scans a dataset batch by batch, only the columns that are asked for."""
    empty = pl.from_arrow(dataset.schema.empty_table())
    assert isinstance(empty, pl.DataFrame)  # noqa: S101  # for the type checker: a table is no series

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, num_rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        left = num_rows
        for batch in dataset.to_batches(columns=columns):
            rows = pl.DataFrame(batch).head(batch.num_rows if left is None else left)
            left = None if left is None else left - rows.height
            yield rows if predicate is None else rows.filter(predicate)
            if left == 0:
                return

    return register_io_source(read, schema=empty.schema)


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


def explain(files: Iterable[DataFile], name: str, error: BaseException) -> list[str]:
    """One line for each file that cannot be parsed, or what the reader said where none is found."""
    problems = [problem for file in files if (problem := _explain_file(file))]
    return problems or [f"{name}: cannot be read: {reason_of(error)}"]


def _explain_file(file: DataFile) -> str:
    try:
        path = file.path.anew() if isinstance(file.path, RemotePath) else file.path
        if not path.exists():
            return f"{file.path}: has disappeared while it was read"
        if file.kind == "text":
            return ""
        scan_files([file]).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return f"{file.path}: is damaged: {reason_of(error, secrets_of(file.path))}"
    return ""


@dataclass(frozen=True, kw_only=True)
class TypedRows:
    """Rows as they were logged, and how they become canonical.

    Attributes:
        name: what messages call the table.
        frame: the rows; ``row`` numbers them from 0.
        row: the column with that number.
        recipe: makes the canonical columns.
    """

    name: str
    frame: pl.LazyFrame
    row: str = _ROW
    recipe: Recipe

    @classmethod
    def of(cls, frame: pl.LazyFrame, name: str, column_map: ColumnMap | None) -> "TypedRows":
        """The rows of a table in memory."""
        recipe = _recipe(frame.collect_schema(), column_map, name)
        return cls(name=name, frame=frame.with_row_index(_ROW), recipe=recipe)


def rows_of_file(file: DataFile, column_map: ColumnMap | None) -> TypedRows:
    """The rows of a file; what its path tells is no part of them."""
    frame = raw_scan([file], row_index=_ROW)
    schema = pl.Schema({name: dtype for name, dtype in frame.collect_schema().items() if name != _ROW})
    return TypedRows(name=str(file.path), frame=frame, recipe=_recipe(schema, column_map, str(file.path)))


def _recipe(schema: pl.Schema, column_map: ColumnMap | None, name: str) -> Recipe:
    return mapped_recipe(schema, column_map, name) if column_map else canonical_recipe(schema, name)


def set_aside(tables: Sequence[TypedRows], findings: Findings, allowed: MaxRejects) -> None:
    """Adds to ``findings`` how many good rows the tables have, and each row that breaks a rule.

    Only such rows are held, a batch at a time. It ends early where they are far more than ``allowed``.
    """
    for table in tables:
        rejected = 0
        for rejects in _rejects(table):
            rejected += rejects.height
            findings.add_rejects(table.name, rejects, place="row")
            if findings.rejected > allowed.most_told:
                findings.is_cut_short = True
                findings.rows += rejects.item(-1, "line") - rejected
                return
        rows = table.frame.select(pl.len()).collect(engine="streaming").item()
        findings.rows += rows - rejected


def _rejects(table: TypedRows) -> Iterator[pl.DataFrame]:
    recipe = table.recipe
    schema = table.frame.collect_schema()
    logged = [name for name, dtype in schema.items() if name != table.row and dtype != pl.Object]
    rows = table.frame.select(
        pl.col(table.row),
        pl.struct(logged).alias(_LOGGED),
        breaks_one_of(recipe.rules).alias(_BROKEN),
        *recipe.columns,
    )
    broken = rows.filter(pl.col(_BROKEN) | breaks_rule(recipe.schema)).select(table.row, _LOGGED)
    for batch in broken.collect_batches(engine="streaming", optimizations=_AS_WRITTEN):
        for part in batch.iter_slices(_ROWS_AT_ONCE):
            yield _told(part, table)


def _told(batch: pl.DataFrame, table: TypedRows) -> pl.DataFrame:
    """Each broken row with its first fault, and as it was logged."""
    typed, numbers = batch[_LOGGED].struct.unnest(), batch[table.row].to_list()
    faults = table.recipe.faults(typed)
    return rejects_frame(
        Reject(numbers[index] + 1, *fault, bounded(_text(typed.row(index, named=True))))
        for index, fault in faults.items()
    )


def _text(row: dict[str, object]) -> str:
    """A row as JSON, without what it does not have."""
    return json.dumps({name: cell for name, cell in row.items() if cell is not None}, default=str)
