"""Key columns of any type as columns that the counting library codes: whole numbers and texts, exactly."""

from dataclasses import dataclass

import polars as pl

from loadlens.errors import InputError

__all__ = ["KeyColumn", "key_columns_of"]

_WIDE = (pl.Int128, pl.UInt128, pl.Decimal)


@dataclass(frozen=True, kw_only=True)
class KeyColumn:
    """A key column and how its values are coded, so that equal codes are equal values and null stays null.

    Floats are told apart by their bits, 0.0 and -0.0 being one and all NaN one, as in Polars' groups.

    Attributes:
        name: the column in rows.
        dtype: its type.
    """

    name: str
    dtype: pl.DataType

    @property
    def is_text(self) -> bool:
        """Whether values are coded as texts; else as Int64."""
        texts = (pl.String, pl.Binary, pl.Categorical, pl.Enum, *_WIDE)
        return isinstance(self.dtype, texts)

    def coded(self) -> pl.Expr:
        """The column as the library takes it."""
        column, dtype = pl.col(self.name), self.dtype
        if isinstance(dtype, pl.Binary):
            return column.bin.encode("hex")
        if self.is_text:
            return column.cast(pl.String)
        if dtype == pl.UInt64:
            return column.reinterpret(signed=True)
        if dtype.is_float():
            number = column.cast(pl.Float64)
            zero = pl.when(number == 0).then(0.0)
            same = zero.when(number.is_nan()).then(float("nan")).otherwise(number)
            return same.reinterpret(dtype=pl.Int64).alias(self.name)
        return column.to_physical().cast(pl.Int64) if dtype.is_temporal() else column.cast(pl.Int64)

    def decoded(self) -> pl.Expr:
        """The column in its own type, from what ``coded`` makes of it."""
        column, dtype = pl.col(self.name), self.dtype
        if isinstance(dtype, pl.Binary):
            return column.str.decode("hex")
        if dtype == pl.UInt64:
            return column.reinterpret(signed=False)
        if dtype.is_float():
            return column.reinterpret(dtype=pl.Float64).cast(dtype)
        if dtype == pl.Date:
            return column.cast(pl.Int32).cast(dtype)
        return column.cast(dtype)


def key_columns_of(schema: pl.Schema, names: list[str]) -> tuple[KeyColumn, ...]:
    """The key columns of rows.

    Raises:
        InputError: a column holds lists, structs or objects.
    """
    nested = [name for name in names if schema[name].is_nested() or schema[name] == pl.Object]
    if nested:
        raise InputError(
            *[
                f"{name.removeprefix('key:')}: holds {schema[name]}, expected single values in a key column; "
                f"group by another column, or by a field of it"
                for name in nested
            ]
        )
    return tuple(KeyColumn(name=name, dtype=schema[name]) for name in names)
