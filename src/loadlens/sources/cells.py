"""Columns of a home-made log as numbers, truth values, text and times, whatever type they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import polars as pl

from loadlens.schema import EARLIEST_S, LATEST_S, Rule
from loadlens.sources.mapping import COUNTS_PER_SECOND, Moment

__all__ = ["NOTHING", "Cell", "Clock", "Size"]

NOTHING: Final = ("-", "n/a", "na", "<na>", "none", "null", "nil", "<nil>", "nan")
"""What a cell of text holds, in lower case, where there is nothing to tell."""

_ROUNDING: Final = 1e-15  # by how much the product of two Float64 may be off, of its size
_NS: Final = COUNTS_PER_SECOND["ns"]
_US: Final = COUNTS_PER_SECOND["us"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A column of the log.

    Attributes:
        name: what messages call it.
        value: its values.
        dtype: their type.
    """

    name: str
    value: pl.Expr
    dtype: pl.DataType

    @property
    def text(self) -> pl.Expr:
        """As text, without blanks around it; null where that is empty."""
        if self.dtype == pl.String:
            text = self.value.str.strip_chars()
            return pl.when(text != "").then(text)
        if not self.dtype.is_float():
            return self.value.cast(pl.String)
        whole = self.value.cast(pl.Int64, strict=False)
        return pl.coalesce(
            pl.when(whole == self.value).then(whole).cast(pl.String), self.value.cast(pl.String)
        )

    @property
    def number(self) -> pl.Expr:
        """As a Float64, or an Int64 where the column holds integers; null where it is no number."""
        if self.dtype.is_integer():
            return self.value.cast(pl.Int64, strict=False)
        if self.dtype.is_numeric() or self.dtype == pl.String:
            return self._bare.cast(pl.Float64, strict=False)
        return pl.lit(None, dtype=pl.Float64())

    @property
    def finite(self) -> pl.Expr:
        """As a Float64 that is finite; null where it is no such number."""
        number = self.number.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number)

    @property
    def whole(self) -> pl.Expr:
        """As an Int64; null where it is no whole number."""
        number = self.number
        if self.dtype.is_integer():
            return number
        whole = number.cast(pl.Int64, strict=False)
        return pl.when(whole == number).then(whole)

    @property
    def exact(self) -> pl.Expr:
        """As an Int64 that never was a Float64, where the column is text; null where it is none."""
        return self._bare.cast(pl.Int64, strict=False) if self.dtype == pl.String else self.whole

    @property
    def truth(self) -> pl.Expr:
        """As a Boolean, from words or from 1 and 0; null where it is neither."""
        if self.dtype == pl.Boolean:
            return self.value
        text, number = self.text.str.to_lowercase(), self.number
        is_true, is_false = (text == "true") | (number == 1), (text == "false") | (number == 0)
        return pl.when(is_true).then(pl.lit(True)).when(is_false).then(pl.lit(False))

    @property
    def _bare(self) -> pl.Expr:
        return self.value.str.strip_chars() if self.dtype == pl.String else self.value

    @property
    def is_given(self) -> pl.Expr:
        """Whether there is anything, if only NaN or ``N/A``."""
        return (self.text if self.dtype == pl.String else self.value).is_not_null()

    @property
    def is_filled(self) -> pl.Expr:
        """Whether there is a value; NaN is none, nor are words such as ``N/A`` in a column of text."""
        if self.dtype == pl.String:
            return ~self.text.str.to_lowercase().is_in(NOTHING).fill_null(value=True)
        is_number = self.value.is_not_nan() if self.dtype.is_float() else pl.lit(True)
        return self.value.is_not_null() & is_number

    def rule(self, expected: str, broken: pl.Expr) -> Rule:
        """A rule that this column may break."""
        return Rule(column=self.name, expected=expected, broken=broken)

    def number_rule(
        self, *, at_least: float | None = None, whole: bool = False, must: pl.Expr | None = None
    ) -> Rule:
        """That a value is a finite number (``whole``, ``at_least``) where it ``must``, else where it is."""
        number, expected = self.finite, "a whole number" if whole else "a number"
        good = self.whole.is_not_null() if whole else number.is_not_null()
        if at_least is not None:
            good &= number >= at_least
            expected += f", {at_least:g} or more"
        bad = ~good.fill_null(value=False)
        if must is None:
            return self.rule(f"{expected}, or empty", self.is_filled & bad)
        return self.rule(expected, must & bad)


@dataclass(frozen=True, kw_only=True)
class Size:
    """A column of sizes, in another unit than they are wanted in.

    Attributes:
        cell: the column.
        unit: its unit.
        wanted: the unit that is wanted.
        scales: what its numbers are multiplied by; the first that gives a whole number holds.
    """

    cell: Cell
    unit: str
    wanted: str
    scales: Sequence[Fraction]

    @property
    def whole(self) -> pl.Expr:
        """As an Int64; null where no scale gives a whole number."""
        return pl.coalesce(_scaled(self.cell, scale) for scale in self.scales)

    @property
    def number(self) -> pl.Expr:
        """As a Float64, by the first scale."""
        scale = self.scales[0]
        return self.cell.finite * scale.numerator * (1 / scale.denominator)

    def rule(self, *, filled: bool) -> Rule:
        """That a value is a whole number of ``wanted``, 0 or more; it may be missing unless ``filled``."""
        good = (self.whole >= 0).fill_null(value=False)
        must = pl.lit(True) if filled else self.cell.is_filled
        expected = f"what is a whole number of {self.wanted}, 0 or more, in {self.unit}"
        return self.cell.rule(expected, must & ~good)


def _scaled(cell: Cell, scale: Fraction) -> pl.Expr:
    """A column's numbers by a scale as an Int64; null where that gives no whole number."""
    if scale.numerator == 1:
        product = cell.whole
    else:
        number = cell.number.cast(pl.Float64) * scale.numerator
        rounded = number.round()
        is_whole = (number - rounded).abs() <= _ROUNDING * rounded.abs()
        product = pl.when(is_whole).then(rounded).cast(pl.Int64, strict=False)
    return pl.when(product % scale.denominator == 0).then(product // scale.denominator)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A column of times.

    Attributes:
        cell: the column.
        moment: in which unit they are.
    """

    cell: Cell
    moment: Moment

    @property
    def per_second(self) -> int:
        """How fine its counts are: a Float64 of seconds since 1970 is true to the microsecond only."""
        given = self.moment.per_second
        return _US if self.moment.clock == "epoch" and given not in {None, _NS} else _NS

    def counts(self, per_second: int) -> pl.Expr:
        """Its times as Int64 counts, at least as fine as its own; null where it holds none."""
        given = self.moment.per_second
        if given is None:
            return self._instant("ns")
        if given == _NS:
            return self.cell.exact
        own = (self.cell.number * (self.per_second // given)).round().cast(pl.Int64, strict=False)
        return own * (per_second // self.per_second)

    def _instant(self, unit: Literal["us", "ns"]) -> pl.Expr:
        if self.cell.dtype == pl.Datetime:
            return self.cell.value.dt.epoch(unit)
        form = self.moment.form or "%+"
        return self.cell.text.str.to_datetime(form, time_unit=unit, strict=False).dt.epoch(unit)

    @property
    def lacks_zone(self) -> bool:
        """Whether nothing tells in which time zone its times are."""
        if isinstance(self.cell.dtype, pl.Datetime):
            return self.cell.dtype.time_zone is None
        return self.moment.lacks_offset

    @property
    def rule(self) -> Rule:
        """That a value is a time that makes sense, which also tells a mistaken unit; it may be missing."""
        given = self.moment.per_second
        if given is None:  # a year that no Int64 of ns holds reads as another one, but not in us
            time, given = self._instant("us"), _US
        else:
            time = self.cell.exact if given == _NS else self.cell.number
        latest = LATEST_S * given
        earliest = EARLIEST_S * given if self.moment.clock == "epoch" else -latest
        good = time.is_between(earliest, latest).fill_null(value=False)
        return self.cell.rule(f"a time {self.meaning}", self.cell.is_filled & ~good)

    @property
    def meaning(self) -> str:
        """How its times are written, for people."""
        if self.moment.unit == "format":
            how = f"as {self.moment.form}"
        elif self.moment.unit == "rfc3339":
            how = "as 2026-01-31T12:00:00Z, or with another offset"
        else:
            how = f"in {self.moment.unit.rpartition('_')[2]}"
            how += " since 1970" if self.moment.clock == "epoch" else ""
        return how + (", from 1990 to 2242" if self.moment.clock == "epoch" else "")
