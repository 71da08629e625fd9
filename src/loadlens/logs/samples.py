"""The first rows of a table that nobody knows: its columns, and what is in them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from loadlens.dialects import NearMissError, UnknownFormatError, detect
from loadlens.dialects.base import is_value
from loadlens.logs.discovery import find_files
from loadlens.logs.files import inspect_columns, kind_of
from loadlens.logs.metadata import PROFILE_FACTS
from loadlens.logs.opening import Reading
from loadlens.logs.typed_tables import raw_scan
from loadlens.schema import LATENCY
from loadlens.storage.location import PathSource
from loadlens.text.stream import Head, read_head

__all__ = ["Sample", "SampleColumn", "sample_of", "text_sample", "typed_sample"]

_SEPARATORS: Final = (",", ";", "\t", "|")
_SAMPLED_ROWS: Final = 200
_REGULAR: Final = 0.9  # of the lines of a table have as many cells as its first

_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, kw_only=True)
class SampleColumn:
    """A column and its first values.

    Attributes:
        name: what a map of columns calls it.
        texts: its first values as text, without those that are missing.
        lacks_values: whether some of the first rows have none.
        is_datetime: whether its type is that of a datetime.
    """

    name: str
    texts: tuple[str, ...]
    lacks_values: bool = False
    is_datetime: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The first rows of a table.

    Attributes:
        title: what the table is, for people.
        columns: its columns.
        no_header: whether its first line looks like a row and not like names.
    """

    title: str
    columns: tuple[SampleColumn, ...]
    no_header: bool = False


def sample_of(path: PathSource, options: Reading) -> Sample | None:
    """The first rows of a table that is in no known format; None for what is known, or is no table.

    Raises:
        InputError: it cannot be read.
    """
    candidates = find_files(path, options.storage_options).candidates
    if not candidates:
        return None
    file = candidates[0].path
    kind = kind_of(file)
    if kind == "text":
        return _unknown_text(read_head(file))
    table = inspect_columns(file, kind)
    if LATENCY in dict(table.columns) or PROFILE_FACTS in table.metadata:
        return None
    return typed_sample(kind, raw_scan([table]).head(_SAMPLED_ROWS).collect())


def _unknown_text(head: Head) -> Sample | None:
    try:
        detect(head)
    except NearMissError:
        return None
    except UnknownFormatError:
        return text_sample(head)
    return None


def text_sample(head: Head) -> Sample | None:
    """The first rows of a file of CSV or NDJSON; None where it is neither."""
    lines = [line for line in head.lines if line.strip()][:_SAMPLED_ROWS]
    if not lines:
        return None
    return _objects(lines) if lines[0].lstrip().startswith("{") else _cells(lines)


def typed_sample(title: str, rows: pl.DataFrame) -> Sample:
    """The first rows of a table of typed columns."""
    columns = [column for series in rows for column in _typed_columns(series.name, series)]
    return Sample(title=title, columns=tuple(columns))


def _typed_columns(name: str, values: pl.Series) -> Iterator[SampleColumn]:
    if isinstance(values.dtype, pl.Struct):
        for field in values.struct.fields:
            yield from _typed_columns(f"{name}.{field}", values.struct.field(field))
    elif not values.dtype.is_nested():
        texts = tuple(str(value) for value in values.drop_nulls().to_list())
        yield SampleColumn(
            name=name,
            texts=texts,
            lacks_values=values.has_nulls(),
            is_datetime=values.dtype == pl.Datetime,
        )


def _objects(lines: Sequence[str]) -> Sample | None:
    found: dict[str, list[str]] = {}
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return None
        for name, cell in _fields(value) if isinstance(value, dict) else ():
            texts = found.setdefault(name, [])
            if cell is not None:
                texts.append(cell if isinstance(cell, str) else json.dumps(cell))
    columns = [
        SampleColumn(name=name, texts=tuple(texts), lacks_values=len(texts) < len(lines))
        for name, texts in found.items()
    ]
    return Sample(title="one JSON object a line", columns=tuple(columns)) if columns else None


def _fields(value: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of an object and of the objects in it, by their dotted paths."""
    for name, cell in value.items():
        if isinstance(cell, dict):
            yield from _fields(cell, f"{within}{name}.")
        elif not isinstance(cell, list):
            yield f"{within}{name}", cell


def _cells(lines: Sequence[str]) -> Sample | None:
    tables = [(separator, _table(lines, separator)) for separator in _SEPARATORS]
    separator, rows = max(tables, key=lambda table: len(table[1][0]) if table[1] else 0)
    if not rows:
        return None
    no_header = any(map(is_value, rows[0]))
    names = [f"c{number}" for number in range(1, len(rows[0]) + 1)] if no_header else rows[0]
    cells = rows if no_header else rows[1:]
    columns = [
        SampleColumn(
            name=name,
            texts=tuple(row[at] for row in cells if row[at].strip()),
            lacks_values=not all(row[at].strip() for row in cells),
        )
        for at, name in enumerate(names)
        if name
    ]
    title = f"CSV {'without' if no_header else 'with'} a header, {_NAMES[separator]} between cells"
    return Sample(title=title, columns=tuple(columns), no_header=no_header)


def _table(lines: Sequence[str], separator: str) -> list[list[str]]:
    """The rows that have as many cells as the first, if nearly all have."""
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error:
        return []
    first = [cell.strip() for cell in rows[0]]
    regular = [row for row in rows[1:] if len(row) == len(first)]
    return [first, *regular] if len(regular) >= _REGULAR * len(rows[1:]) else []
