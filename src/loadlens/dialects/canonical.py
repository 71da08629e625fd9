"""CSV files whose columns have the canonical names: the reference toolkit's logs and loadlens' own."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect, header_of
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS, ERROR_COLUMNS, LATENCY, Rule, canonical
from loadlens.text.common_types import without_zero_fractions
from loadlens.text.delimited import Table
from loadlens.text.stream import Head
from loadlens.text.typed_rows import Recipe

__all__ = ["LOADLENS_CSV"]


_COLUMNS: Final = Columns(
    title="loadlens or toolkit CSV",
    known_by=frozenset({LATENCY}),
    needed=frozenset({LATENCY}),
    marks=frozenset({LATENCY, "response_size", *ERROR_COLUMNS, *CONFIGURATION_COLUMNS, "invoke_arg_index"}),
    advice="say which column is what with --map",
)


def _open(head: Head) -> Table:
    return _table(_COLUMNS.checked(head, header_of(head)))


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
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
    return canonical(name, dtype) if name in CANONICAL_COLUMNS else without_zero_fractions(pl.col(name))


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
    names = set(header_of(head))
    found = []
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
    **_COLUMNS.known,
    key=("label", "max_concurrency", "num_clients", "memory_size"),
    clock="monotonic",
    logs_urls=False,
    closed_loop=True,
    open=_open,
    warnings=_warnings,
)
