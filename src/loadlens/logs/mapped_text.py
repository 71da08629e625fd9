"""Logs of no known tool: the user says which column is what."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import polars as pl

from loadlens.dialects.base import Dialect, cells_of, is_value
from loadlens.errors import InputError, LoadlensError
from loadlens.logs.column_map import ColumnMap, Moment
from loadlens.logs.mapped_columns import Cell, Clock, Kind, MappedColumns, Use, uses_of
from loadlens.messages import NO_CALENDAR, listed
from loadlens.schema import LATENCY
from loadlens.text.delimited import Table
from loadlens.text.json_records import JsonLines
from loadlens.text.record_blocks import Block
from loadlens.text.stream import Head
from loadlens.text.typed_rows import Recipe, bounded

__all__ = ["mapped_dialect", "mapped_frame", "mapped_recipe", "table_warnings"]

_SEPARATORS: Final = (",", ";", "\t", "|")
_MAY_COME_LATE: Final = frozenset(
    ("error", "status", "response_size", "request_size", "cold_start", "billed_duration", "init_duration")
)
"""What a log of JSON may write for some calls only."""

_BINARY: Final = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow IPC file",
    b"SQLite format 3\0": "an SQLite database",
}
_SAMPLED_OBJECTS: Final = 100
_SAMPLED_LINES: Final = 20
_BROKEN: Final = " broken"


def mapped_dialect(column_map: ColumnMap) -> Dialect:
    """The dialect of CSV files with a header and of NDJSON files whose columns ``column_map`` names.

    CSV may be separated by commas, semicolons, tabs or bars. In NDJSON ``request.latency`` names the
    field ``latency`` of the object ``request``. It yields the canonical columns, and text for each
    configuration column.
    """
    return Dialect(
        name="generic",
        title="mapped columns",
        key=column_map.keys,
        clock=_clock(column_map),
        logged_times=column_map.logged_times,
        closed_loop=False,
        logs_urls=False,
        matches=partial(_matches, column_map),
        open=partial(_open, column_map),
        warnings=partial(_warnings, column_map),
    )


def mapped_recipe(schema: pl.Schema, column_map: ColumnMap, name: str) -> Recipe:
    """How rows of typed columns become canonical rows and rejects.

    Raises:
        InputError: columns are missing, or of a type that is of no use; ``name`` says where.
    """
    if column_map.no_header:
        raise InputError(f"{name}: is a table whose columns have names; leave --no-header out")
    cells = _cells(schema, uses_of(column_map))
    _check_names(name, column_map, cells, schema)
    wrong = [
        f"{name}: column {use.column} is {cells[use.column].dtype}, expected {expected} for {use.target}"
        for use in uses_of(column_map)
        if (expected := _misfit(cells[use.column].dtype, use.kind))
    ]
    wrong += [
        f"{name}: column {moment.column} is {cells[moment.column].dtype}, which tells times since 1970 to "
        f"about 2 minutes only; write them as Float64 or as integers"
        for moment in _moments(column_map)
        if moment.clock == "epoch" and cells[moment.column].dtype in (pl.Float32, pl.Float16)
    ]
    if wrong:
        raise InputError(*wrong)
    used = {use.column if use.column in schema else use.column.split(".")[0] for use in uses_of(column_map)}
    types = {column: dtype for column, dtype in schema.items() if column in used}
    return Recipe(types=types, finite=False, **_recipe(column_map, cells))


def mapped_frame(frame: pl.LazyFrame, column_map: ColumnMap, name: str = "the log") -> pl.LazyFrame:
    """The canonical columns of a table of typed columns, such as a scan of Parquet or Arrow IPC.

    Numbers of any type and numbers as text are cast; datetimes are taken as ``rfc3339`` (without a time
    zone as UTC). Configuration columns keep their type.

    Args:
        frame: the table.
        column_map: which of its columns is what; ``request.latency`` names a field of a struct.
        name: what messages call the table.

    Returns:
        The canonical columns. A row that breaks a rule of its source columns, such as a latency that is
        missing or no number, gets the latency NaN, which breaks the rule of the canonical column.

    Raises:
        InputError: columns are missing, or of a type that is of no use.
    """
    recipe = mapped_recipe(frame.collect_schema(), column_map, name)
    broken = pl.any_horizontal(rule.broken.fill_null(value=False) for rule in recipe.rules)
    latency = pl.when(_BROKEN).then(pl.lit(float("nan"))).otherwise(LATENCY)
    return (
        frame.select(*recipe.columns, broken.alias(_BROKEN))
        .with_columns(latency.alias(LATENCY))
        .drop(_BROKEN)
    )


def _recipe(column_map: ColumnMap, cells: Mapping[str, Cell]) -> dict[str, Any]:  # arguments of a Recipe
    mapped = MappedColumns(column_map=column_map, cells=cells)
    return {"columns": mapped.columns, "rules": mapped.rules, "meaning": mapped.meaning}


def _matches(column_map: ColumnMap, head: Head) -> bool:
    try:
        _open(column_map, head)
    except LoadlensError:
        return False
    return True


def _open(column_map: ColumnMap, head: Head) -> Table | JsonLines:
    for magic, what in _BINARY.items():
        if head.data.startswith(magic):
            raise InputError(f"{head.path}: is {what}, expected UTF-8: CSV, or one JSON object a line")
    first = _first_line(head)
    if not first:
        raise InputError(f"{head.path}: has no line of text in its first {len(head.data):,} bytes")
    if _is_json(head):
        if column_map.no_header:
            raise InputError(f"{head.path}: is JSON, whose fields have names; leave --no-header out")
        return _json_lines(column_map, head, _objects(head))
    return _table(column_map, head, first)


def _first_line(head: Head) -> str:
    return next((line for line in head.lines if line.strip()), "")


def _is_json(head: Head) -> bool:
    return _first_line(head).lstrip().startswith("{")


def _cells(schema: Mapping[str, pl.DataType], uses: Iterable[Use]) -> dict[str, Cell]:
    """The columns that are there, by their names."""
    found = {use.column: _cell(schema, use.column) for use in uses}
    return {name: cell for name, cell in found.items() if cell is not None}


def _cell(schema: Mapping[str, pl.DataType], name: str) -> Cell | None:
    """A column, or a field of a struct by its dotted path; categories are text."""
    found = (pl.col(name), schema[name]) if name in schema else _field(schema, name)
    if found is None:
        return None
    value, dtype = found
    if dtype in (pl.Categorical, pl.Enum):
        return Cell(name=name, value=value.cast(pl.String), dtype=pl.String())
    return Cell(name=name, value=value, dtype=dtype)


def _field(schema: Mapping[str, pl.DataType], name: str) -> tuple[pl.Expr, pl.DataType] | None:
    column, *path = name.split(".")
    if column not in schema:
        return None
    value, dtype = pl.col(column), schema[column]
    for part in path:
        fields = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        if part not in fields:
            return None
        value, dtype = value.struct.field(part), fields[part]  # type: ignore[assignment]  # instances
    return value, dtype


def _check_names(
    name: object, column_map: ColumnMap, found: Iterable[str], columns: Iterable[str], hint: str = ""
) -> None:
    found = set(found)
    missing = {f"{use.column} (for {use.target})" for use in uses_of(column_map) if use.column not in found}
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise InputError(
            f"{name}: missing {noun}: {listed(missing)}; it has: {listed(map(bounded, columns))}"
            + (f"; {hint}" if hint else "")
        )


def _misfit(dtype: pl.DataType, kind: Kind) -> str:
    """What a column is not though it should be, or nothing."""
    is_text = dtype in (pl.String, pl.Null)
    if kind in {"number", "count", "measure"}:
        if dtype == pl.Datetime:
            return "a number, or with rfc3339 as its unit a datetime,"
        return "" if dtype.is_numeric() or dtype in (pl.String, pl.Null) else "a number"
    if kind == "truth":
        return "" if dtype == pl.Boolean or dtype.is_numeric() or is_text else "true or false"
    if kind == "time":
        return "" if dtype in (pl.String, pl.Datetime, pl.Null) else "a datetime or text"
    return "a single value" if dtype.is_nested() or dtype in (pl.Binary, pl.Object) else ""


def _kinds(uses: Iterable[Use]) -> dict[str, set[Kind]]:
    kinds: dict[str, set[Kind]] = {}
    for use in uses:
        kinds.setdefault(use.column, set()).add(use.kind)
    return kinds


def _type(kinds: set[Kind]) -> pl.DataType:
    """What a column of text is read as; text itself where it is several things at once."""
    if kinds == {"number"}:
        return pl.Float64()
    return pl.Int64() if kinds == {"count"} else pl.String()


def _table(column_map: ColumnMap, head: Head, first: str) -> Table:
    """The reader of CSV, with the separator that fits best."""
    if first.lstrip().startswith("["):
        raise InputError(f"{head.path}: is a JSON array; write one JSON object a line, as with jq -c '.[]'")
    headers = {separator: _header(column_map, first, separator) for separator in _SEPARATORS}
    named = {use.column for use in uses_of(column_map)}

    def fit(separator: str) -> tuple[int, int]:
        return len(named & set(headers[separator])), len(headers[separator])

    separator = max(_SEPARATORS, key=fit)
    names = headers[separator]
    _check_names(head.path, column_map, names, names, _no_header_hint(column_map, names))
    doubled = {name for name in named if names.count(name) > 1}
    if doubled:
        raise InputError(f"{head.path}: the header has doubled columns: {listed(doubled)}; remove one")
    if not column_map.no_header:
        return _of_separator(column_map, separator, names)
    fitting = [separator for separator in _SEPARATORS if named <= set(headers[separator])]
    tables = [_of_separator(column_map, separator, headers[separator]) for separator in fitting]
    return max(tables, key=partial(_good_rows, head))


def _of_separator(column_map: ColumnMap, separator: str, names: tuple[str, ...]) -> Table:
    uses = uses_of(column_map)
    kinds = _kinds(uses)
    types = {name: _type(kind) for name, kind in kinds.items()}
    # Most measures are numbers throughout; as such they are read faster.
    narrow = {name: pl.Float64() if kinds[name] == {"measure"} else types[name] for name in kinds}
    return Table(
        separator=separator,
        names=names,
        types=types,
        has_header=not column_map.no_header,
        narrow=Recipe(types=narrow, **_recipe(column_map, _cells(narrow, uses))),
        **_recipe(column_map, _cells(types, uses)),
    )


def _header(column_map: ColumnMap, first: str, separator: str) -> tuple[str, ...]:
    """The names of the columns; a file without a header has their number only."""
    cells = cells_of(first, separator)
    return tuple(f"c{number}" for number in range(1, len(cells) + 1)) if column_map.no_header else cells


def _no_header_hint(column_map: ColumnMap, names: Iterable[str]) -> str:
    """What to do about names that look like the cells of a row, if they do."""
    values = [] if column_map.no_header else [name for name in names if is_value(name)]
    if not values:
        return ""
    return (
        f"{listed(map(bounded, values))} among the names of columns: if there is no header, say --no-header "
        f"(no_header=True), which calls columns c1, c2 and so on"
    )


def _good_rows(head: Head, table: Table) -> int:
    """How many of the first rows a table could read: without names, only that tells the separator."""
    lines = "".join(f"{line}\n" for line in head.lines[:_SAMPLED_LINES])
    block = Block(index=0, first_line=1, data=lines.encode(), is_last=True)
    return table.read(block).rows.height


def _objects(head: Head) -> list[dict[str, Any]]:
    """The JSON objects at the beginning of a file."""
    values = [_decoded(line) for line in head.lines]
    found = [value for value in values if isinstance(value, dict)]
    if not found:
        raise InputError(
            f"{head.path}: begins like JSON, but none of its first {len(values):,} lines is an object; "
            f"write one JSON object a line, as with jq -c"
        )
    return found


def _decoded(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _json_lines(column_map: ColumnMap, head: Head, objects: Sequence[dict[str, Any]]) -> JsonLines:
    uses = uses_of(column_map)
    kinds = _kinds(uses)
    samples = {name: [found[0] for item in objects if (found := _found(item, name))] for name in kinds}
    _check_names(
        head.path,
        column_map,
        {*_late_columns(column_map), *(name for name in kinds if samples[name])},
        _fields(objects),
    )
    tree: dict[str, Any] = {}
    for name, kind in kinds.items():
        is_flat = {name in item for item in objects if _found(item, name)}
        if len(is_flat) > 1:
            raise InputError(f"{head.path}: {name} is a field in some lines, and within an object in others")
        path = [name] if True in is_flat else name.split(".")
        if not _place(tree, path, _json_type(kind, samples[name])):
            raise InputError(
                f"{head.path}: {name} is named as a value, and so is a field within it; name one"
            )
    types = {name: _dtype(branch) for name, branch in tree.items()}
    cells = _cells(types, uses)
    late_cells = {name: cells[name].value for name in _late_columns(column_map)}
    return _Objects(types=types, late=late_cells, **_recipe(column_map, cells))


def _found(item: Mapping[str, Any], name: str) -> tuple[object] | None:
    """The value of a field, or of one within objects by its dotted path, if there is such a field."""
    if name in item:
        return (item[name],)
    value: Any = item
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return (value,)


def _fields(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields of the objects, and those of the objects in them."""
    fields = dict.fromkeys(
        path
        for item in objects[:_SAMPLED_OBJECTS]
        for name, value in item.items()
        for path in ([f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name])
    )
    return list(fields)


def _json_type(kinds: set[Kind], samples: Iterable[object]) -> pl.DataType:
    """What a field is read as; text takes any value, and numbers are sometimes written as text."""
    return pl.String() if any(isinstance(value, str) for value in samples) else _type(kinds)


def _place(tree: dict[str, Any], path: Sequence[str], dtype: pl.DataType) -> bool:
    """Puts a type at its path; False where something else is in its way."""
    *outer, last = path
    for part in outer:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            return False
    return tree.setdefault(last, dtype) is dtype


def _dtype(branch: Any) -> pl.DataType:  # a type, or a dictionary of branches
    if isinstance(branch, pl.DataType):
        return branch
    return pl.Struct({name: _dtype(inner) for name, inner in branch.items()})


def table_warnings(schema: Mapping[str, pl.DataType], column_map: ColumnMap) -> list[str]:
    """What a table of typed columns cannot tell, one sentence each."""
    cells = _cells(schema, uses_of(column_map))
    clocks = [Clock(cell=cells[moment.column], moment=moment) for moment in _moments(column_map)]
    zoneless = {clock.moment.column for clock in clocks if clock.lacks_zone}
    found = _map_warnings(column_map, zoneless)
    return [*found, NO_CALENDAR] if _clock(column_map) == "relative" and _moments(column_map) else found


def _moments(column_map: ColumnMap) -> list[Moment]:
    return [moment for moment in (column_map.start, column_map.end) if moment]


def _clock(column_map: ColumnMap) -> Literal["epoch", "relative"]:
    return "epoch" if any(moment.clock == "epoch" for moment in _moments(column_map)) else "relative"


def _warnings(column_map: ColumnMap, head: Head, rows: int, facts: Mapping[str, int]) -> list[str]:
    is_json = _is_json(head)
    hint = "" if is_json else _no_header_hint(column_map, {use.column for use in uses_of(column_map)})
    found = [hint] if hint else []
    found += _map_warnings(
        column_map, {moment.column for moment in _moments(column_map) if moment.lacks_offset}
    )
    unseen = [name for name in _late_columns(column_map) if is_json and rows and not facts.get(_given(name))]
    return [*found, f"no row has {listed(unseen)}; check the name"] if unseen else found


def _map_warnings(column_map: ColumnMap, zoneless: Iterable[str]) -> list[str]:
    """What any table read by a map cannot tell; ``zoneless`` are its times without a time zone."""
    found = []
    if not _moments(column_map):
        found.append("neither start nor end is mapped: rates and changes over time cannot be told")
    if zoneless:
        found.append(f"the times in {listed(zoneless)} have no time zone: they are taken as UTC")
    error = column_map.columns.get("error")
    if column_map.success is None:
        found.append(
            f"success is not mapped: a call counts as failed where {error} holds an error"
            if error
            else "neither success nor error is mapped: every call counts as successful"
        )
    return found + column_map.doubts


def _late_columns(column_map: ColumnMap) -> list[str]:
    """The columns that some objects may lack."""
    columns = [use.column for use in uses_of(column_map) if use.target in _MAY_COME_LATE]
    return list(dict.fromkeys(columns))


def _given(name: str) -> str:
    """As what rows that have a value are counted."""
    return f"rows with {name}"


@dataclass(frozen=True, kw_only=True)
class _Objects(JsonLines):
    """Objects of which some may lack fields.

    Attributes:
        late: these fields.
    """

    late: Mapping[str, pl.Expr]

    def observed(self, typed: pl.DataFrame) -> Mapping[str, int]:
        """How many rows have each of the fields that some may lack."""
        counts = typed.select(value.count().alias(name) for name, value in self.late.items())
        return {_given(name): count for name, count in counts.row(0, named=True).items()} if self.late else {}
