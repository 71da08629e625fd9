"""One type for a column that has several types in several inputs.

Where types differ, values meet as text, and each value has one spelling, whatever stands beside it: equal
numbers are one text (1 for 1, 1.0 and 1.00), and none is rounded. So the keys of any number of inputs are
the same as if one input had all rows, however the rows are divided.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import polars as pl

from loadlens.errors import InputError

__all__ = [
    "as_type",
    "common_type",
    "has_no_text",
    "keys_of_one_type",
    "numeric_casts",
    "with_common_types",
    "with_types",
    "without_zero_fractions",
]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

_ZERO_DURATION = "0s"


def common_type(types: Iterable[pl.DataType]) -> pl.DataType:
    """The type that holds every value of columns of some types, as ``as_type`` brings them to it.

    Integers stay integers and floats floats, of 64 bits; what else differs becomes text, as Float64 would
    round integers from 2**53 on.

    Raises:
        InputError: values of one type have no text: lists, structs, bytes or objects.
    """
    known = list(dict.fromkeys(dtype for dtype in types if dtype != pl.Null))
    if not known:
        return pl.Null()
    if len(known) == 1:
        return known[0]
    if any(has_no_text(dtype) for dtype in known):
        raise InputError(f"is {' in one input and '.join(map(str, known))} in another; make them of one type")
    if all(dtype.is_integer() for dtype in known):
        return _common_integer(known)
    return pl.Float64() if all(dtype.is_float() for dtype in known) else pl.String()


def _common_integer(types: Collection[pl.DataType]) -> pl.DataType:
    if any(dtype in (pl.Int128, pl.UInt128) for dtype in types):
        return pl.String()
    if all(dtype.is_unsigned_integer() for dtype in types):
        return pl.UInt64()
    return pl.String() if pl.UInt64 in types else pl.Int64()


def has_no_text(dtype: pl.DataType) -> bool:
    """Whether values of a type are nothing that a table can show as one text."""
    return dtype.is_nested() or dtype in (pl.Binary, pl.Object)


def as_type(column: pl.Expr, given: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """A column of one type in a common type of it and others.

    Args:
        column: the column.
        given: its type.
        wanted: the type that ``common_type`` says.
    """
    if given == wanted:
        return column
    if wanted == pl.String:
        return _as_text(column, given)
    if given.is_float() and wanted.is_float():
        # A narrow float is the number that it is written as: 0.1, not 0.10000000149011612.
        return column.cast(pl.String).cast(wanted)
    return column.cast(wanted)


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        return _numbers_as_text(column)
    if isinstance(dtype, pl.Decimal):
        text = column.cast(pl.String)
        return text.str.replace(r"\.?0+$", "") if dtype.scale else text
    if isinstance(dtype, pl.Datetime):
        return _moment_as_text(column, is_zoned=dtype.time_zone is not None)
    if dtype == pl.Time:
        return column.dt.strftime("%H:%M:%S%.f")
    if dtype == pl.Duration:
        text = pl.when(column != pl.duration()).then(column.dt.to_string("polars"))
        return text.when(column == pl.duration()).then(pl.lit(_ZERO_DURATION))
    return column.cast(pl.String)


def _moment_as_text(moment: pl.Expr, *, is_zoned: bool) -> pl.Expr:
    """Moments as text without zeros at the end of a second; a midnight of no time zone is its date."""
    if is_zoned:
        return moment.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%d %H:%M:%S%.f+00:00")
    is_date = moment == moment.dt.truncate("1d")
    date = pl.when(is_date).then(moment.dt.date().cast(pl.String))
    return date.otherwise(moment.dt.strftime("%Y-%m-%d %H:%M:%S%.f"))


def _numbers_as_text(number: pl.Expr) -> pl.Expr:
    """Floats as text: whole numbers as integers are written, others in their shortest form."""
    is_whole = number == number.floor()
    whole = pl.when(is_whole).then(number.cast(pl.Int128, strict=False).cast(pl.String))
    return pl.coalesce(whole, number.cast(pl.String))


def without_zero_fractions(text: pl.Expr) -> pl.Expr:
    """Texts of untyped columns: 1.0 becomes 1, as who writes floats means the same number; 007 stays."""
    return text.map_batches(_without_zero_fractions, return_dtype=pl.String(), is_elementwise=True)


def _without_zero_fractions(texts: pl.Series) -> pl.Series:
    # The regular expression takes many times as long as a look whether any text asks for it.
    if not texts.str.contains(".0", literal=True).any():
        return texts
    return texts.str.replace(r"^(?:-?(0)|(-?[1-9][0-9]*))\.0+$", "$1$2")


def with_types(frame: Frame, types: Mapping[str, pl.DataType]) -> Frame:
    """A frame with some columns in common types of them and others."""
    schema = frame.collect_schema()
    changed = [name for name, dtype in types.items() if name in schema and schema[name] != dtype]
    if not changed:
        return frame
    return frame.with_columns(
        as_type(pl.col(name), schema[name], types[name]).alias(name) for name in changed
    )


def with_common_types(frames: Sequence[Frame]) -> list[Frame]:
    """Frames whose columns of one name have one type.

    Structs that differ in fields, and lists that differ in items, stay as they are: Polars joins them.

    Raises:
        InputError: names a column whose types have nothing in common.
    """
    found: dict[str, list[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.collect_schema().items():
            found.setdefault(name, []).append(dtype)
    types = {name: _common_type_of(name, dtypes) for name, dtypes in found.items() if not _are_alike(dtypes)}
    return [with_types(frame, types) for frame in frames]


def _are_alike(types: Sequence[pl.DataType]) -> bool:
    """Whether Polars joins columns of these types without changing a value."""
    kinds = {dtype.base_type() for dtype in types if dtype != pl.Null}
    return len(kinds) == 1 and all(has_no_text(dtype) for dtype in types if dtype != pl.Null)


def _common_type_of(name: str, types: Iterable[pl.DataType]) -> pl.DataType:
    try:
        return common_type(types)
    except InputError as error:
        raise InputError(f"column {name} {error}") from None


def numeric_casts(keys: pl.DataFrame) -> list[pl.Expr]:
    """The columns of distinct keys that are text but all read as whole numbers, as such.

    A text reads as a number where it is just how ``as_type`` writes one, so that 007 stays text.
    """
    texts = [name for name, dtype in keys.schema.items() if dtype == pl.String]
    return [pl.col(name).cast(pl.Int64) for name in texts if _are_whole_numbers(keys[name])]


def _are_whole_numbers(values: pl.Series) -> bool:
    if values.null_count() == len(values):
        return False
    return values.cast(pl.Int64, strict=False).cast(pl.String).eq_missing(values).all()


def keys_of_one_type(tables: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Tables of distinct keys, columns of one type each: where types meet, whole numbers if all read so."""
    common = with_common_types(tables)
    if all(table is given for table, given in zip(common, tables, strict=True)):
        return common
    casts = numeric_casts(pl.concat(common))
    return [table.with_columns(casts) for table in common]
