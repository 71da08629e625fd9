"""Rows of typed tables (Parquet, Arrow, frames) that break a rule: found, and told as those of text are."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.schema import breaks_one_of, breaks_rule
from loadlens.sources.columnar import canonical_recipe, raw_scan
from loadlens.sources.dialects.generic import mapped_recipe
from loadlens.sources.files import DataFile
from loadlens.sources.findings import Findings, MaxRejects
from loadlens.sources.mapping import ColumnMap
from loadlens.sources.parsed import Recipe, Reject, bounded, rejects_frame

__all__ = ["TypedRows", "rows_of_file", "set_aside"]

_ROW: Final = "\0row"
_LOGGED: Final = "\0logged"
_BROKEN: Final = "\0broken"
_ROWS_AT_ONCE: Final = 10_000
_AS_WRITTEN: Final = pl.QueryOptFlags(predicate_pushdown=False)  # statistics of files know nothing of NaN


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
