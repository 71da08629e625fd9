"""Configuration keys as one dense integer, so that group-bys hash a single number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import polars as pl

from loadlens.errors import InputError
from loadlens.profile.plan import Engine
from loadlens.sources.log import Log

__all__ = ["KeyCodec", "find_key_codec"]

_WIDEST_RANGE = 2**20
_MOST_CODES = 2**28


@dataclass(frozen=True, kw_only=True)
class _Digit:
    """One key column as a digit: its distinct values, or the range of an integer column.

    Attributes:
        name: the column.
        dtype: its type.
        low: the smallest value of a range.
        values: the distinct values, without null; None for a range.
        base: how many digits there are, one of them for null.
    """

    name: str
    dtype: pl.DataType
    low: int
    values: pl.Series | None
    base: int

    def encode(self) -> pl.Expr:
        column = pl.col(self.name)
        if self.values is None:
            # An unsigned key may not fit Int64 before, a narrow one may overflow after the subtraction.
            offset = (
                column - pl.lit(self.low, dtype=pl.UInt64)
                if self.dtype == pl.UInt64
                else column.cast(pl.Int64) - self.low
            )
            return offset.cast(pl.Int64).fill_null(self.base - 1)
        codes = pl.int_range(len(self.values), dtype=pl.Int64, eager=True)
        return column.replace_strict(self.values, codes, default=self.base - 1, return_dtype=pl.Int64)

    def decode(self, digit: pl.Expr) -> pl.Expr:
        known = pl.when(digit < self.base - 1).then(digit)
        if self.values is None:
            wide_type = pl.UInt64 if self.dtype == pl.UInt64 else pl.Int64
            wide = known.cast(wide_type)
            return (wide + pl.lit(self.low, dtype=wide_type)).cast(self.dtype).alias(self.name)
        return pl.lit(self.values).gather(known).alias(self.name)


@dataclass(frozen=True, kw_only=True)
class KeyCodec:
    """Maps keys to integers and back: a number in a mixed-radix system, a digit for each column."""

    digits: tuple[_Digit, ...]

    @property
    def size(self) -> int:
        """How many codes there can be."""
        return reduce(lambda size, digit: size * digit.base, self.digits, 1)

    def encode(self) -> pl.Expr:
        """The code of a row, Int64 from 0."""
        zero = pl.lit(0, dtype=pl.Int64)
        return reduce(lambda code, digit: code * digit.base + digit.encode(), self.digits, zero)

    def decode(self, code: pl.Expr) -> list[pl.Expr]:
        """The key columns of a code, in their own types."""
        columns = []
        for digit in reversed(self.digits):
            columns.append(digit.decode(code % digit.base))
            code = code // digit.base
        return columns[::-1]


def find_key_codec(log: Log, key: Sequence[str], engine: Engine) -> KeyCodec:
    """Finds the values of the key columns, in one scan of those columns alone.

    Raises:
        InputError: the columns have too many combinations of distinct values to be configurations.
    """
    if not key:
        return KeyCodec(digits=())
    schema = log.frame.select(key).collect_schema()
    ranges = log.frame.select(
        *[pl.col(name).min().alias(f"{name}\0min") for name in key if schema[name].is_integer()],
        *[pl.col(name).max().alias(f"{name}\0max") for name in key if schema[name].is_integer()],
        *[pl.col(name).unique().drop_nulls().implode() for name in key if not schema[name].is_integer()],
    )
    found = ranges.collect(engine=engine)
    return _codec([_digit(log, name, schema[name], found, engine) for name in key], log.name)


def _codec(digits: Sequence[_Digit], log_name: str) -> KeyCodec:
    codec = KeyCodec(digits=tuple(digits))
    if codec.size > _MOST_CODES:
        raise InputError(
            f"{log_name}: {', '.join(digit.name for digit in digits)} have up to {codec.size:,} "
            f"combinations, expected at most {_MOST_CODES:,}; group by columns with fewer distinct values"
        )
    return codec


def _digit(log: Log, name: str, dtype: pl.DataType, found: pl.DataFrame, engine: Engine) -> _Digit:
    if not dtype.is_integer():
        return _of_values(found[name].explode())
    ends = pl.Series(name, [found[f"{name}\0{end}"].item() for end in ("min", "max")], dtype=dtype)
    distinct = log.frame.select(pl.col(name).unique())
    return _of_range(ends) or _of_values(distinct.collect(engine=engine)[name])


def _of_range(values: pl.Series) -> _Digit | None:
    """The digits of all integers between some; None where these are no integers, or far apart."""
    if not values.dtype.is_integer():
        return None
    low, high = ((end if isinstance(end, int) else 0) for end in (values.min(), values.max()))
    if high - low >= _WIDEST_RANGE:
        return None
    return _Digit(name=values.name, dtype=values.dtype, low=low, values=None, base=high - low + 2)


def _of_values(values: pl.Series) -> _Digit:
    """The digits of some values."""
    distinct = values.drop_nulls().unique().sort()
    return _Digit(name=values.name, dtype=values.dtype, low=0, values=distinct, base=len(distinct) + 1)
