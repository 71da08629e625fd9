"""Tallies of a log: one for each thread that reads, all of them together in the end."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from loadlens.engine.binding import NO_CODE, Codes, Layout, NativeTally
from loadlens.errors import InputError
from loadlens.profile.buckets import (
    COARSE_SHIFT,
    MOST_PAIRS,
    fitting_width,
    num_pairs,
    window_name,
    window_of,
)
from loadlens.profile.failed_calls import COUNTED_OF_FAILED, ERROR, MOST_ERRORS, failed_calls, folded
from loadlens.profile.measures import Measure, UnusableMeasureError
from loadlens.profile.plan import Rows, UnusableRowsError
from loadlens.profile.profile import key_names
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY

__all__ = [
    "FAILURES",
    "TIMELINE",
    "Columns",
    "KeyColumn",
    "Layer",
    "Layers",
    "Tallies",
    "Tally",
    "key_columns_of",
]


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


Layer = float | str | None
"""A layer by the width in s of its windows, None for the key alone; or by the name of a measure."""

TIMELINE: Final = 0.0
"""In the place of the width of its windows: the layer of a profile's timeline."""

FAILURES: Final = -1.0
"""Likewise: the layer of the failed calls by their error."""

_MOST_ROWS: Final = 2**31
"""Counts of a tally have 32 bits."""


_COUNTED: Final = (
    LATENCY,
    "success",
    "start_time",
    "end_time",
    *ERROR_COLUMNS,
    "response_size",
    ERROR_CLASS,
)
_COUNTED_BY_WINDOW: Final = (LATENCY, "success")
_UNUSABLE: Final = "unusable"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that are counted together.

    Attributes:
        keys: those of the key, which come first.
        others: those after them.
        layout: where these are.
        errors: the error columns among them.
        logged_times: which of ``start_time`` and ``end_time`` the log holds as its tool wrote them.
        window_s: the width of the windows of time that the last key tells, in s; None for none.
        is_fitted: whether these get wider with the log's span.
    """

    keys: tuple[KeyColumn, ...]
    others: tuple[str, ...]
    layout: Layout
    errors: tuple[str, ...] = ()
    logged_times: tuple[str, ...] = ()
    window_s: float | None = None
    is_fitted: bool = False

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*[key.name for key in self.keys], *self.others]

    @property
    def measured(self) -> str:
        """The column that is counted as the latency."""
        return self.others[0]

    @property
    def is_text(self) -> list[bool]:
        """For each key column, whether it is coded as text."""
        return [key.is_text for key in self.keys]


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A log's rows, and by what they are counted: by the key, and by key and window of time.

    Attributes:
        frame: the rows, with the columns of all layers, keys as the library codes them; where there are rules
            that it does not check, ``unusable`` tells whether a row breaks one.
        layers: the columns of each layer, by the width of its windows in s; None for the key alone,
            ``TIMELINE`` for that of a profile that is kept, the name for a measure.
        checked: whether there is a column ``unusable``.
    """

    frame: pl.LazyFrame
    layers: Mapping[Layer, Columns]
    checked: bool

    @classmethod
    def of(cls, rows: Rows, widths: Sequence[float], *, timeline: bool) -> "Layers":
        """What rows are counted by, without windows and by windows of some widths."""
        schema = rows.frame.collect_schema()
        keys = key_columns_of(schema, key_names(rows.plan.key))
        others = tuple(name for name in _COUNTED if name in schema)
        places = {name: len(keys) + number for number, name in enumerate(others)}
        run = Columns(
            keys=keys,
            others=others,
            layout=Layout.of(places, checks_success=rows.checks_success, timeline=timeline),
            errors=rows.errors,
            logged_times=rows.logged_times,
        )
        layers: dict[Layer, Columns] = {None: run}
        layers.update((width, _by_window(keys, width, _COUNTED_BY_WINDOW)) for width in widths)
        if rows.plan.with_timeline or rows.plan.keeps_profile:
            errors = rows.errors if rows.plan.keeps_profile else ()  # nothing shows them by window
            counted = [
                *_COUNTED_BY_WINDOW,
                *errors,
                *(["response_size"] if "response_size" in schema else []),
            ]
            columns = _by_window(keys, float(rows.plan.window_s or 1), counted)
            is_fitted = rows.plan.window_s is None
            layers[TIMELINE] = replace(columns, errors=errors, is_fitted=is_fitted)
        layers.update((measure.name, _of_measure(keys, measure)) for measure in rows.plan.measures)
        if rows.plan.failures:
            layers[FAILURES] = _of_failures(keys)
        checked = _UNUSABLE in schema
        frame = rows.frame.select(
            *[key.coded() for key in keys],
            *others,
            *[measure.label for measure in rows.plan.measures],
            *[window_of(width) for width in {columns.window_s for columns in layers.values()} if width],
            *([_UNUSABLE] if checked else []),
        )
        return cls(frame=frame, layers=layers, checked=checked)

    @property
    def run(self) -> Columns:
        """The columns of the layer without windows."""
        return self.layers[None]

    @property
    def measured(self) -> list[str]:
        """The columns of the measures."""
        return [columns.measured for layer, columns in self.layers.items() if isinstance(layer, str)]

    def batch(self, rows: pl.DataFrame, layer: Layer) -> pl.DataFrame:
        """Some rows in the columns of one layer."""
        if layer == FAILURES:
            return failed_calls(rows, [key.name for key in self.run.keys])
        return rows if len(self.layers) == 1 and not self.checked else rows.select(self.layers[layer].names)


def _by_window(keys: Sequence[KeyColumn], width_s: float, counted: Sequence[str]) -> Columns:
    """The columns of a layer with windows, which has coarse buckets, as there are so many of these."""
    windows = KeyColumn(name=window_name(width_s), dtype=pl.Int64())
    places = {name: len(keys) + 1 + number for number, name in enumerate(counted)}
    return Columns(
        keys=(*keys, windows),
        others=tuple(counted),
        layout=Layout.of(places, bucket_shift=COARSE_SHIFT),
        window_s=width_s,
    )


def _of_measure(keys: Sequence[KeyColumn], measure: Measure) -> Columns:
    """The columns of a layer with a measure in the place of the latency."""
    layout = Layout.of({LATENCY: len(keys), "success": len(keys) + 1}, checks_success=True)
    return Columns(keys=tuple(keys), others=(measure.label, "success"), layout=layout)


def _of_failures(keys: Sequence[KeyColumn]) -> Columns:
    """The columns of the layer of failed calls, by key and error."""
    places = {name: len(keys) + 1 + number for number, name in enumerate(COUNTED_OF_FAILED)}
    error = KeyColumn(name=ERROR, dtype=pl.String())
    return Columns(keys=(*keys, error), others=COUNTED_OF_FAILED, layout=Layout.of(places))


class Tally:
    """Counts of rows, and the keys that they have.

    Attributes:
        native: the counts.
        rows: how many rows it was given.
        window_s: the width of its windows of time in s; None where it has none.
        fold: how far errors are put together, of failed calls.
    """

    fold = 0

    def __init__(self, columns: Columns, *, most_bytes: int, part: int = 0, parts: int = 1) -> None:
        self._columns = columns
        self._names = [key.name for key in columns.keys]
        self._options = {"most_bytes": most_bytes, "part": part, "parts": parts}
        self.window_s = columns.window_s
        self.rows = 0
        self._start()

    def _start(self) -> None:
        self._keys: list[pl.DataFrame] = []
        self.native = NativeTally(self._columns.is_text, self._columns.layout, **self._options)

    @property
    def keys(self) -> pl.DataFrame:
        """The coded key columns, a row for each code."""
        if len(self._keys) != 1:
            schema = {key.name: pl.String if key.is_text else pl.Int64 for key in self._columns.keys}
            self._keys = [pl.concat([pl.DataFrame(schema=schema), *self._keys])]
        return self._keys[0]

    def add(self, batch: pl.DataFrame, *, codes: Codes | None = None) -> None:
        """Counts a batch; see ``NativeTally.add``.

        Raises:
            UnusableRowsError: some row breaks a rule of the library.
            TallyFullError: the keys and cells need more memory than allowed.
        """
        fresh = self.native.add(batch, codes=codes)
        self.rows += batch.height
        if len(fresh) and self._names:
            self._keys.append(batch.select(self._names)[fresh])

    def merge(self, other: "Tally") -> None:
        """Adds the counts of another tally, which keeps its keys and is of no other use any more."""
        if not other.native.num_keys:
            return
        before = self.native.num_keys
        codes = self.native.learn(other.keys)
        if self._names:
            self._keys = [self.keys, other.keys.filter(pl.Series(codes >= before))]
        self.native.merge(other.native, codes)

    def _become(self, keys: pl.DataFrame) -> None:
        """Gives the keys other names, of which several may be the same: their counts are put together."""
        before = self.native
        self._start()
        codes = self.native.learn(keys)
        self.native.merge(before, codes)
        self._keys = [keys[np.sort(np.unique(codes, return_index=True)[1])]]


class _FittedTally(Tally):
    """Counts by key and window that get wider where windows, or pairs with keys, would become too many.

    Batches have windows of 1 s. Once no width will do, ``window_s`` is None and nothing is counted any more.
    """

    ends: tuple[int, ...] = ()
    """The first second and the last one; empty as long as no call has one."""

    def add(self, batch: pl.DataFrame, *, codes: Codes | None = None) -> None:
        """Counts a batch; see ``Tally.add``."""
        name = self._names[-1]
        self._fit(batch[name].min(), batch[name].max())
        if self.window_s is None:
            return
        times = int(self.window_s)
        super().add(batch if times == 1 else batch.with_columns(pl.col(name) // times), codes=codes)
        if self.native.num_keys > MOST_PAIRS:
            self._fit()

    def merge(self, other: Tally) -> None:
        """Adds the counts of another tally in the wider windows of the two."""
        assert isinstance(other, _FittedTally)  # noqa: S101  # those of a layer are of one kind
        if self.window_s and other.window_s:
            width = max(self.window_s, other.window_s)
            self.widen(width)
            other.widen(width)
            super().merge(other)
            self._fit(*other.ends)
        else:
            self.widen(None)

    def _fit(self, *seconds: Any) -> None:
        """Makes windows as wide as the calls so far, and those of other seconds, ask for."""
        known = [*self.ends, *[second for second in seconds if second is not None]]
        self.ends = (min(known), max(known)) if known else ()
        if self.window_s:
            pairs = partial(num_pairs, self.keys, self._names[-1])
            self.widen(fitting_width(self.window_s, self.ends, pairs))

    def widen(self, width_s: float | None) -> None:
        """Puts windows together, as many to each as it takes to be so wide; drops all without a width."""
        if self.window_s == width_s or self.window_s is None:
            return
        times = int((width_s or 0) // self.window_s)
        self.window_s = width_s
        if width_s:
            self._become(self.keys.with_columns(pl.col(self._names[-1]) // times))
        else:
            self._start()


class _FailureTally(Tally):
    """Counts failed calls by key and error, which are put together where they would be too many."""

    def add(self, batch: pl.DataFrame, *, codes: Codes | None = None) -> None:
        """Counts a batch; see ``Tally.add``."""
        super().add(folded(batch, self.fold), codes=codes)
        self._fit()

    def merge(self, other: Tally) -> None:
        """Adds the counts of another tally, both with their errors put together as far."""
        fold = max(self.fold, other.fold)
        for one in (self, other):
            assert isinstance(one, _FailureTally)  # noqa: S101  # those of a layer are of one kind
            one.put_together(fold)
        super().merge(other)
        self._fit()

    def _fit(self) -> None:
        while self.native.num_keys > MOST_ERRORS:
            self.put_together(self.fold + 1)

    def put_together(self, fold: int) -> None:
        """Puts errors together that far; see ``folded``."""
        if fold > self.fold:
            self.fold = fold
            self._become(folded(self.keys, fold))


class Tallies:
    """Tallies for each of the threads that count at the same time: one of each layer.

    Args:
        layers: what is counted.
        most_bytes: how much memory each may take.
        part: which part of the keys is counted, by their hash.
        parts: into how many parts keys fall.
        most_rows: about how many rows a tally may count; twice as many have to fit its counts.

    Attributes:
        all: the tallies.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        most_bytes: int,
        part: int = 0,
        parts: int = 1,
        most_rows: int = _MOST_ROWS,
    ) -> None:
        num_large = len(layers.layers.keys() - {FAILURES})  # whose few errors take little
        self._options = {"most_bytes": most_bytes // num_large, "part": part, "parts": parts}
        self._most_rows = most_rows
        self._layers = layers
        self._lock = threading.Lock()
        self.all: list[dict[Layer, Tally]] = []
        self._free: list[int] = []

    def _new(self) -> dict[Layer, Tally]:
        found = {width: Tally(columns, **self._options) for width, columns in self._layers.layers.items()}
        timeline = self._layers.layers.get(TIMELINE)
        if timeline:  # is given the rows of the part alone, of which windows tell nothing
            kind = _FittedTally if timeline.is_fitted else Tally
            found[TIMELINE] = kind(timeline, most_bytes=self._options["most_bytes"])
        if failures := self._layers.layers.get(FAILURES):  # likewise
            found[FAILURES] = _FailureTally(failures, most_bytes=self._options["most_bytes"])
        return found

    def add(self, rows: pl.DataFrame, *, codes: Codes | None = None) -> int:
        """Counts a batch in every layer.

        Args:
            rows: the columns of all layers.
            codes: receives the code of each row, by the key alone.

        Returns:
            Which of ``all`` counted it.

        Raises:
            UnusableRowsError: some row breaks a rule.
            TallyFullError: the keys and cells need more memory than allowed.
        """
        if self._layers.checked and rows[_UNUSABLE].any():
            raise UnusableRowsError
        of_part = {TIMELINE, FAILURES} & self._layers.layers.keys()
        has_some = bool(of_part) and self._options["parts"] > 1
        if has_some and codes is None:
            codes = np.empty(rows.height, dtype=np.uint32)
        with self._one() as number:
            for layer, tally in self.all[number].items():  # that of the key alone is the first
                own = rows.filter(codes != NO_CODE) if has_some and layer in of_part else rows
                try:
                    tally.add(self._layers.batch(own, layer), codes=None if layer is not None else codes)
                except UnusableRowsError:
                    if isinstance(layer, str):
                        raise UnusableMeasureError(layer) from None
                    raise
        return number

    @contextmanager
    def _one(self) -> Iterator[int]:
        """The number of tallies that nobody else uses meanwhile."""
        with self._lock:
            if not self._free:
                self._free.append(len(self.all))
                self.all.append(self._new())
            number = self._free.pop()
        try:
            yield number
        finally:
            if self.all[number][None].rows < self._most_rows:
                with self._lock:
                    self._free.append(number)

    def merged(self, layer: Layer) -> list[Tally]:
        """Those of a layer in as few as can count so many rows, at least one; ``all`` keep their keys."""
        found: list[Tally] = []
        rows = 0
        for tallies in self.all or [self._new()]:
            tally = tallies[layer]
            rows += tally.rows
            if not found or rows >= 2 * self._most_rows:
                found.append(tally)
                rows = tally.rows
            else:
                found[-1].merge(tally)
        return found
