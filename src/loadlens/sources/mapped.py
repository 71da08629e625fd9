"""From a map of columns to a recipe: the same expressions for text, JSON and typed tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final, Literal, NamedTuple

import polars as pl

from loadlens.schema import CONFIGURATION_COLUMNS, LATENCY, Rule
from loadlens.sources.cells import NOTHING, Cell, Clock, Size
from loadlens.sources.dialects.names import error_class, without_credentials
from loadlens.sources.mapping import (
    COUNTS_PER_SECOND,
    MEMORY_UNITS,
    SIZE_UNITS,
    ColumnMap,
    Condition,
    Duration,
    Moment,
)
from loadlens.sources.parsed import seconds

__all__ = ["Kind", "MappedColumns", "Use", "uses_of"]

Kind = Literal["number", "count", "measure", "truth", "text", "time", "key"]
"""What a column is read as.

A ``count`` is too large to be exact as a Float64, a ``measure`` is a number or a text that says there is
none, a ``key`` is kept as it is.
"""

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
