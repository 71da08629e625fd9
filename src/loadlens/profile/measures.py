"""Measures: further durations of a call, such as the time to the first byte, counted as its latency is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from loadlens.dialects.durations import DURATIONS
from loadlens.errors import InputError, UsageError
from loadlens.logs.log import Log
from loadlens.schema import FAILED_LATENCY_MS, LATENCY, MAX_LATENCY_MS

__all__ = ["ALL", "Measure", "UnusableMeasureError", "broken_told", "checked_measures", "measures_of"]

ALL: Final = "all"
"""Asks for all durations that the log's tool logs."""


_MS: Final = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4}
_FORM: Final = "NAME=COLUMN:UNIT, such as first_byte_ms=ttfb:s"


class UnusableMeasureError(Exception):
    """Some row holds what is no duration; the argument is the name of the measure."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A further duration of each call, which is told in ms.

    Attributes:
        name: what it is called.
        column: the column that holds it, of numbers.
        unit: the unit of that column: ``ns``, ``us``, ``ms``, ``s`` or ``min``.
    """

    name: str
    column: str
    unit: str = "ms"

    @classmethod
    def parse(cls, text: str) -> "Measure":
        """A measure from ``NAME=COLUMN:UNIT``; without a unit in ms, and without a name called as its column.

        Raises:
            UsageError: the text has another form.
        """
        name, has_name, rest = text.rpartition("=")
        column, _, unit = rest.rpartition(":") if ":" in rest else (rest, "", "ms")
        found = cls(name=name if has_name else column, column=column, unit=unit)
        if not found.name or not column or unit not in _MS:
            units = ", ".join(_MS)
            raise UsageError(f"measures: got {text!r}, expected {_FORM}, the unit one of {units}")
        return found

    @property
    def label(self) -> str:
        """The column of its values among those that are counted."""
        return f"measure:{self.name}"

    def values(self, dtype: pl.DataType, success: pl.Expr) -> pl.Expr:
        """Its values in ms, by the type of its column; NaN where there is something that is no number.

        Args:
            dtype: that of the column.
            success: which calls succeeded; one that failed may have -1 in the place of none.

        Raises:
            InputError: the column has neither numbers nor texts.
        """
        if not dtype.is_numeric() and dtype not in {pl.String(), pl.Null()}:
            raise InputError(
                f"measure {self.name}: column {self.column} holds {dtype}, expected numbers of {self.unit}"
            )
        column = pl.col(self.column)
        number = column.cast(pl.Float64, strict=False)
        told = pl.when(column.is_not_null() & number.is_null()).then(float("nan")).otherwise(number)
        is_none = (told == FAILED_LATENCY_MS) & ~success
        return pl.when(~is_none.fill_null(value=False)).then(told * _MS[self.unit]).alias(self.label)


def checked_measures(measures: Sequence[Measure | str]) -> tuple[Measure, ...]:
    """The measures that a caller asks for, which may be texts.

    Raises:
        UsageError: a text has another form, or two have one name.
    """
    if isinstance(measures, str | Measure):
        measures = [measures]
    if not isinstance(measures, Sequence) or not all(isinstance(one, str | Measure) for one in measures):
        raise UsageError(f"measures: got {measures!r}, expected a list of texts {_FORM}")
    found = [one if isinstance(one, Measure) else Measure.parse(one) for one in measures]
    names = [one.name for one in found]
    doubled = sorted({name for name in names if names.count(name) > 1} | ({LATENCY} & set(names)))
    if doubled:
        raise UsageError(f"measures: {', '.join(doubled)} named twice; call each by a name of its own")
    return tuple(found)


def measures_of(log: Log, measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures as a log has them: names of durations that tools log become their columns.

    Args:
        log: the log.
        measures: what is asked for; ``all`` stands for each duration that the log has.

    Raises:
        InputError: the log has no such column, or a saved profile no such measure.
    """
    known = _known_durations(log)
    found = [one for measure in measures for one in _as_logged(measure, log, known)]
    lacking = [
        one.name if one.name == one.column else f"{one.name} (column {one.column})"
        for one in found
        if not _has(log, one)
    ]
    if lacking or (measures and not found):
        has = f"durations that it has: {', '.join(known)}" if known else "it has no further durations"
        raise InputError(
            f"{log.name}: has no measure {', '.join(lacking or [ALL])}; {has}; any column is one as {_FORM}"
        )
    return tuple(dict.fromkeys(found))


def _known_durations(log: Log) -> dict[str, str]:
    """The columns of the durations that a log has by name; of saved profiles their measures."""
    if log.saved:
        several = [set(profile.facts.get("measures", ())) for profile in log.saved]
        return {name: name for name in sorted(set.intersection(*several))}
    return {name: one.column for name, one in DURATIONS.items() if one.column in log.columns}


def _as_logged(measure: Measure, log: Log, known: Mapping[str, str]) -> list[Measure]:
    if measure == Measure(name=ALL, column=ALL) and ALL not in log.columns:
        return [Measure(name=name, column=column) for name, column in known.items()]
    if _has(log, measure):
        return [measure]
    return [replace(measure, column=known.get(measure.column, measure.column))]


def _has(log: Log, measure: Measure) -> bool:
    return measure.name in _known_durations(log) if log.saved else measure.column in log.columns


@contextmanager
def broken_told(
    measures: Sequence[Measure], rows: pl.LazyFrame, success: pl.Expr, log: str
) -> Iterator[None]:
    """Turns an ``UnusableMeasureError`` into an InputError that names the first row with what is no duration.

    Args:
        measures: those of the log.
        rows: the rows of the log.
        success: which of them succeeded.
        log: what to call the log.
    """
    try:
        yield
    except UnusableMeasureError as error:
        measure = next(one for one in measures if one.name == str(error))
        raise InputError(_broken(measure, rows, success, log)) from None


def _broken(measure: Measure, rows: pl.LazyFrame, success: pl.Expr, log: str) -> str:
    value = pl.col(measure.label)
    is_broken = ~value.is_between(0, MAX_LATENCY_MS, closed="left")  # NaN is above every number
    found = (
        rows.select(measure.column, measure.values(rows.collect_schema()[measure.column], success))
        .with_row_index("row", offset=1)
        .filter(is_broken.fill_null(value=False))
        .head(1)
        .collect()
    )
    where = f"row {found['row'][0]:,}, " if found.height else ""
    got = repr(found[measure.column][0]) if found.height else "something else"
    return (
        f"{log}: {where}column {measure.column}: got {got}, expected a finite number of {measure.unit}, 0 or "
        f"more, or nothing, as it is counted as measure {measure.name}"
    )
