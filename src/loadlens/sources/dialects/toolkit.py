"""CSV files whose columns have the canonical names: the reference toolkit's logs and loadlens' own."""

import csv
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import CANONICAL_COLUMNS, ERROR_COLUMNS, LATENCY, Rule, canonical
from loadlens.sources.dialects.base import Dialect
from loadlens.sources.parsed import Recipe
from loadlens.sources.text.delimited import Table
from loadlens.sources.text.stream import Head
from loadlens.sources.wording import listed

__all__ = ["LOADLENS_CSV"]


def _header(head: Head) -> tuple[str, ...]:
    """The cells of the first line that is not blank; none where it is no CSV."""
    line = next((line for line in head.lines if line.strip()), "")
    try:
        return tuple(next(csv.reader([line]), []))
    except csv.Error:
        return ()


def _matches(head: Head) -> bool:
    return LATENCY in _header(head)


def _open(head: Head) -> Table:
    names = _header(head)
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(
            f"{head.path}: the header has doubled columns: {listed(doubled)}; rename or remove one"
        )
    if LATENCY not in names:
        raise InputError(f"{head.path}: missing column: {LATENCY}; it has: {listed(names)}")
    types = {name: _parsed_as(name) for name in names}
    whole = [name for name, dtype in types.items() if dtype.is_float() and _dtype(name).is_integer()]
    narrow = types | {name: _dtype(name) for name in whole}
    return Table(
        names=names,
        types=types,
        columns=tuple(_column(name, dtype) for name, dtype in types.items()),
        rules=(_not_empty(names), *map(_whole, whole)),
        meaning=tuple((name, _meaning(name)) for name in names),
        narrow=Recipe(
            types=narrow,
            columns=tuple(_column(name, dtype) for name, dtype in narrow.items()),
            rules=(_not_empty(names),),
        ),
    )


def _dtype(name: str) -> pl.DataType:
    return CANONICAL_COLUMNS[name].dtype if name in CANONICAL_COLUMNS else pl.String()


def _parsed_as(name: str) -> pl.DataType:
    """Integers as Float64: pandas writes an integer column that has an empty cell with decimal points."""
    return pl.Float64() if _dtype(name).is_numeric() else pl.String()


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    return canonical(name, dtype) if name in CANONICAL_COLUMNS else pl.col(name)


def _not_empty(names: Sequence[str]) -> Rule:
    empty = pl.all_horizontal(pl.col(name).is_null() for name in names if name in CANONICAL_COLUMNS)
    return Rule(column=LATENCY, expected="a value in any column", broken=empty)


def _whole(name: str) -> Rule:
    """A fraction is found where it is still the number that was logged."""
    return Rule(column=name, expected="a whole number", broken=pl.col(name) != pl.col(name).floor())


def _meaning(name: str) -> str:
    column = CANONICAL_COLUMNS.get(name)
    if column is None:
        return "another column, kept as text"
    return f"{column.meaning}, {column.unit}" if column.unit else column.meaning


def _warnings(head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    names = set(_header(head))
    found = []
    if names & {"start_time", "end_time"}:
        found.append("its times are taken as those of a monotonic clock: they have no calendar time")
    if "end_time" not in names:
        found.append("it has no column end_time: there is no throughput")
    if "success" not in names and set(ERROR_COLUMNS) & names:
        found.append(
            "the toolkit logs a client error that is neither a throttle nor an error of the model "
            "as a success with a response_size of 0"
        )
    return found


LOADLENS_CSV: Final = Dialect(
    name="loadlens-csv",
    title="loadlens or toolkit CSV",
    key=("label", "max_concurrency", "num_clients", "memory_size"),
    clock="monotonic",
    closed_loop=True,
    matches=_matches,
    open=_open,
    warnings=_warnings,
)
