"""From a map of columns to canonical rows: the same expressions for text, JSON and typed tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final, Literal, NamedTuple

import polars as pl

from loadlens.dialects.base import error_class, without_credentials
from loadlens.logs.column_map import (
    COUNTS_PER_SECOND,
    MEMORY_UNITS,
    SIZE_UNITS,
    ColumnMap,
    Condition,
    Duration,
    Moment,
)
from loadlens.schema import CONFIGURATION_COLUMNS, EARLIEST_S, LATENCY, LATEST_S, Rule
from loadlens.text.typed_rows import seconds

__all__ = ["NOTHING", "Cell", "Clock", "Kind", "MappedColumns", "Size", "Use", "uses_of"]


NOTHING: Final = ("-", "n/a", "na", "<na>", "none", "null", "nil", "<nil>", "nan")
"""What a cell of text holds, in lower case, where there is nothing to tell."""

_ROUNDING: Final = 1e-15  # by how much the product of two Float64 may be off, of its size
_NS: Final = COUNTS_PER_SECOND["ns"]
_US: Final = COUNTS_PER_SECOND["us"]

_NO_LATENCY: Final = -1
_NO_ERROR: Final = (
    *NOTHING,
    *("{}", "[]", "false", "no", "ok", "success", "no error"),
)
"""What an error column holds where there was no error, beside nothing and 0, in lower case."""

_BARE_ERROR: Final = ("true", "yes")
"""What an error column holds, beside 1, that tells nothing of an error but that there was one."""

_NO_TEXT: Final = "failed"
"""The error class of a failed call of which the log says nothing more."""

_WHOLE: Final = ("response_size", "request_size", *CONFIGURATION_COLUMNS)
_MS_PER_S: Final = 1000
_MOST_MB: Final = 2**24  # 16 TiB


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


Kind = Literal["number", "count", "measure", "truth", "text", "time", "key"]
"""What a column is read as.

A ``count`` is too large to be exact as a Float64, a ``measure`` is a number or a text that says there is
none, a ``key`` is kept as it is.
"""


class Use(NamedTuple):
    """That a target of the map is read from a column."""

    target: str
    column: str
    kind: Kind


def uses_of(column_map: ColumnMap) -> list[Use]:
    """Every column that the map names, for each target that it is named for."""
    durations = {"latency": column_map.latency, **column_map.durations}
    moments = {"start": column_map.start, "end": column_map.end}
    success = column_map.success
    return [
        *(Use(target, source.column, "measure") for target, source in durations.items() if source),
        *(Use(target, source.column, _moment_kind(source)) for target, source in moments.items() if source),
        *([Use("success", success.column, _condition_kind(success))] if success else []),
        *(Use(target, column, _column_kind(target)) for target, column in column_map.columns.items()),
    ]


def _moment_kind(moment: Moment) -> Kind:
    if moment.per_second is None:
        return "time"
    return "count" if moment.per_second == COUNTS_PER_SECOND["ns"] else "number"


def _condition_kind(condition: Condition) -> Kind:
    return "text" if condition.operator else "truth"


def _column_kind(target: str) -> Kind:
    if target == "cold_start":
        return "truth"
    if target in {"label", "error", "status"}:
        return "text"
    if target in CONFIGURATION_COLUMNS:
        return "number"
    return "measure" if target in {"response_size", "request_size", "memory_used"} else "key"


@dataclass(frozen=True, kw_only=True)
class MappedColumns:
    """The expressions of a recipe.

    Attributes:
        column_map: which column is what.
        cells: the columns that it names, by their names.
    """

    column_map: ColumnMap
    cells: Mapping[str, Cell]

    @cached_property
    def columns(self) -> tuple[pl.Expr, ...]:
        """The canonical columns."""
        found = {
            "success": self._success,
            "error": self._error,
            **self._times,
            LATENCY: self._latency_ms,
            **{
                name: _to_ms(self._number(source), source)
                for name, source in self.column_map.durations.items()
            },
            **{name: self._column(name) for name in self.column_map.columns if name != "error"},
        }
        return tuple(column.alias(name) for name, column in found.items())

    def _number(self, source: Duration) -> pl.Expr:
        return self.cells[source.column].finite

    def _column(self, target: str) -> pl.Expr:
        cell = self.cells[self.column_map.columns[target]]
        size = self._sizes.get(target)
        if target in _WHOLE:
            return (size or cell).whole
        kind = _column_kind(target)
        if kind == "measure":
            return size.number if size else cell.finite
        if kind == "truth":
            return cell.truth
        if target == "status":
            return cell.text
        if cell.dtype == pl.String:
            return without_credentials(cell.value)
        return cell.text if target == "label" else cell.value

    @cached_property
    def _sizes(self) -> dict[str, Size]:
        """The columns of sizes that are in another unit than they are wanted in, by target."""
        return {
            target: _size(target, unit, self.cells[self.column_map.columns[target]])
            for target, unit in self.column_map.size_units.items()
        }

    @cached_property
    def _success(self) -> pl.Expr:
        condition = self.column_map.success
        if condition is not None:
            return _holds(condition, self.cells[condition.column])
        return pl.lit(True) if self._has_error is None else ~self._has_error

    @property
    def _failed(self) -> pl.Expr:
        return (~self._success).fill_null(value=False)

    @property
    def _error_cell(self) -> Cell | None:
        return self.cells[self.column_map.columns["error"]] if "error" in self.column_map.columns else None

    @property
    def _has_error(self) -> pl.Expr | None:
        return None if self._error_cell is None else _has_error(self._error_cell)

    @property
    def _error(self) -> pl.Expr:
        """What a failed call says of itself: its error, else its status, else what the condition is about."""
        names = [self.column_map.columns[name] for name in ("status",) if name in self.column_map.columns]
        if self.column_map.success and self.column_map.success.operator:
            names.append(self.column_map.success.column)
        known = [error_class(self.cells[name].text) for name in dict.fromkeys(names)]
        error = [] if self._error_cell is None else [_error_class(self._error_cell)]
        return pl.when(self._failed).then(pl.coalesce(*error, *known, pl.lit(_NO_TEXT)))

    @property
    def _latency_cell(self) -> pl.Expr | None:
        return self._number(self.column_map.latency) if self.column_map.latency else None

    @cached_property
    def _clocks(self) -> dict[str, Clock]:
        moments = {"start": self.column_map.start, "end": self.column_map.end}
        return {
            name: Clock(cell=self.cells[moment.column], moment=moment)
            for name, moment in moments.items()
            if moment
        }

    @property
    def _per_second(self) -> int:
        """How fine the counts are that hold both start and end."""
        return max((clock.per_second for clock in self._clocks.values()), default=1)

    def _counts(self, name: str) -> pl.Expr:
        return self._clocks[name].counts(self._per_second)

    @property
    def _lacks_latency(self) -> pl.Expr:
        """Which calls have no latency: only failed ones may."""
        latency = self._latency_cell
        if latency is None:
            return self._counts("end").is_null()
        return latency.is_null() | (latency == _NO_LATENCY)

    @property
    def _latency_ms(self) -> pl.Expr:
        if self.column_map.latency:
            ms = _to_ms(self._number(self.column_map.latency), self.column_map.latency)
        else:
            ms = seconds(
                self._counts("end") - self._counts("start"), per_second=self._per_second // _MS_PER_S
            )
        lacking = pl.when(self._failed).then(pl.lit(float(_NO_LATENCY)))
        return pl.when(self._lacks_latency).then(lacking).otherwise(ms)

    @property
    def _times(self) -> dict[str, pl.Expr]:
        if not self._clocks:
            return {}
        counts = {name: self._counts(name) for name in self._clocks}
        if self.column_map.latency:
            lasts = (self._latency_ms * (self._per_second // _MS_PER_S)).round().cast(pl.Int64, strict=False)
            lasts = pl.when(self._lacks_latency).then(pl.lit(0)).otherwise(lasts)
            if "start" in counts:
                counts["end"] = counts["start"] + lasts
            else:
                counts["start"] = counts["end"] - lasts
        else:
            counts["end"] = pl.coalesce(counts["end"], counts["start"])
        return {
            f"{name}_time": seconds(counts[name], per_second=self._per_second) for name in ("start", "end")
        }

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """What the columns of the log must hold."""
        return (*self._success_rules(), *self._latency_rules(), *self._time_rules(), *self._column_rules())

    def _success_rules(self) -> Iterable[Rule]:
        condition = self.column_map.success
        if condition and not condition.operator:
            cell = self.cells[condition.column]
            yield cell.rule("true or false", cell.truth.is_null())

    def _latency_rules(self) -> Iterable[Rule]:
        source, number = self.column_map.latency, self._latency_cell
        if source is None or number is None:
            return
        cell = self.cells[source.column]
        yield cell.number_rule(must=cell.is_given & ~self._failed)
        wrong = (number < 0) & ~((number == _NO_LATENCY) & self._failed)
        yield cell.rule("0 or more; a failed call without a latency may have -1", wrong)

    def _time_rules(self) -> Iterable[Rule]:
        for clock in self._clocks.values():
            yield clock.rule
        for name, clock in self._clocks.items():
            if self.column_map.latency or name == "start":
                yield clock.cell.rule("a time", ~clock.cell.is_filled)
        if not self.column_map.latency:
            early = self._counts("end") < self._counts("start")
            wrong = pl.when(self._counts("end").is_null()).then(~self._failed).otherwise(early)
            cell = self._clocks["end"].cell
            yield cell.rule("a time that is not before the start; a failed call may have none", wrong)

    def _column_rules(self) -> Iterable[Rule]:
        for source in self.column_map.durations.values():
            yield self.cells[source.column].number_rule(at_least=0)
        for target, column in self.column_map.columns.items():
            cell, kind = self.cells[column], _column_kind(target)
            if target == "memory_size":
                yield self._memory_rule(cell)
            if target in _WHOLE and target in self._sizes:
                yield self._sizes[target].rule(filled=target in CONFIGURATION_COLUMNS)
            elif kind == "truth":
                yield cell.rule("true, false or nothing", cell.is_filled & cell.truth.is_null())
            elif kind in {"number", "measure"}:
                must = pl.lit(True) if target in CONFIGURATION_COLUMNS else None
                yield cell.number_rule(at_least=0, whole=target in _WHOLE, must=must)

    def _memory_rule(self, cell: Cell) -> Rule:
        """That memory is of a size that there is, which also tells a mistaken unit."""
        hint = "" if "memory_size" in self._sizes else f"; bytes are memory_size={cell.name}:bytes"
        return cell.rule(f"at most {_MOST_MB:,} MB{hint}", self._column("memory_size") > _MOST_MB)

    @property
    def meaning(self) -> tuple[tuple[str, str], ...]:
        """The columns that the map names, and what they are, for people."""
        durations = {"latency": self.column_map.latency, **self.column_map.durations}
        units = {target: source.unit for target, source in durations.items() if source}
        units |= {target: clock.meaning for target, clock in self._clocks.items()}
        if self.column_map.success and self.column_map.success.operator:
            units["success"] = str(self.column_map.success)
        uses = uses_of(self.column_map)
        return tuple(
            (use.column, f"{use.target}, {units[use.target]}" if use.target in units else use.target)
            for use in uses
        )


def _to_ms(number: pl.Expr, source: Duration) -> pl.Expr:
    factor = {"min": 60 * _MS_PER_S, "s": _MS_PER_S, "ms": 1}.get(source.unit)
    if factor is None:
        return seconds(number, per_second=COUNTS_PER_SECOND[source.unit] // _MS_PER_S)
    return number.cast(pl.Float64) * factor


def _size(target: str, unit: str, cell: Cell) -> Size:
    if target in {"memory_size", "memory_used"}:
        return Size(cell=cell, unit=unit, wanted="MB", scales=MEMORY_UNITS[unit])
    return Size(cell=cell, unit=unit, wanted="bytes", scales=(Fraction(SIZE_UNITS[unit]),))


def _holds(condition: Condition, cell: Cell) -> pl.Expr:
    """Whether a call succeeded; what is no number meets no condition on numbers, not even ``!=``."""
    if not condition.operator:
        return cell.truth
    number = _compared_number(condition, cell)
    if condition.is_order:
        return _in_order(number, condition).fill_null(value=False)
    found = pl.lit(False)
    if condition.numbers:
        found |= number.is_in(condition.numbers).fill_null(value=False)
    if condition.texts:
        found |= _is_among(cell.text.fill_null(""), condition.texts)
    if condition.operator != "!=":
        return found
    return ~found & number.is_not_null() if condition.numbers else ~found


def _in_order(number: pl.Expr, condition: Condition) -> pl.Expr:
    (limit,) = condition.numbers
    comparisons = {
        "<": number < limit,
        "<=": number <= limit,
        ">": number > limit,
        ">=": number >= limit,
    }
    return comparisons[condition.operator]


def _compared_number(condition: Condition, cell: Cell) -> pl.Expr:
    """A column's numbers; where it is asked for 0 or 1, truth values are numbers too."""
    if condition.is_order or not set(condition.numbers) <= {0, 1}:
        return cell.finite
    return pl.coalesce(cell.finite, cell.truth.cast(pl.Float64))


def _is_among(text: pl.Expr, texts: Sequence[str]) -> pl.Expr:
    """Whether a text is one of ``texts``; ``True`` of one tool is ``true`` of another."""
    truths = [word.lower() for word in texts if word.lower() in {"true", "false"}]
    found = text.is_in(texts)
    return found | text.str.to_lowercase().is_in(truths) if truths else found


def _has_error(cell: Cell) -> pl.Expr:
    """Whether an error column tells of an error: not nothing or 0, nor a word that says there is none."""
    text, number = cell.text, cell.text.cast(pl.Float64, strict=False)
    is_none = text.str.to_lowercase().is_in(_NO_ERROR) | (number == 0).fill_null(value=False)
    return (text.is_not_null() & ~is_none).fill_null(value=False)


def _error_class(cell: Cell) -> pl.Expr:
    """What an error column says of an error; null where it tells no more than that there is one."""
    text, number = cell.text, cell.text.cast(pl.Float64, strict=False)
    is_bare = text.str.to_lowercase().is_in(_BARE_ERROR) | (number == 1).fill_null(value=False)
    return pl.when(_has_error(cell) & ~is_bare).then(error_class(text))
