"""Tallies of a log: one for each thread that reads, all of them together in the end."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.engine.binding import Codes, Layout, NativeTally
from loadlens.engine.keys import KeyColumn, key_columns_of
from loadlens.profile.buckets import COARSE_SHIFT
from loadlens.profile.profile import key_names, window_name
from loadlens.profile.rows import Rows, UnusableRowsError
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY

__all__ = ["Columns", "Layers", "Tallies", "Tally", "window_of"]

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
    """

    keys: tuple[KeyColumn, ...]
    others: tuple[str, ...]
    layout: Layout
    errors: tuple[str, ...] = ()
    logged_times: tuple[str, ...] = ()
    window_s: float | None = None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*[key.name for key in self.keys], *self.others]

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
        layers: the columns of each layer, by the width of its windows in s; None for the key alone.
        checked: whether there is a column ``unusable``.
    """

    frame: pl.LazyFrame
    layers: Mapping[float | None, Columns]
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
        checked = _UNUSABLE in schema
        frame = rows.frame.select(
            *[key.coded() for key in keys],
            *others,
            *[window_of(width) for width in widths],
            *([_UNUSABLE] if checked else []),
        )
        layers: dict[float | None, Columns] = {None: run}
        layers.update((width, _by_window(keys, width)) for width in widths)
        return cls(frame=frame, layers=layers, checked=checked)

    @property
    def run(self) -> Columns:
        """The columns of the layer without windows."""
        return self.layers[None]

    @property
    def has_end(self) -> bool:
        """Whether rows have an end."""
        return self.run.layout.has_end

    def batch(self, rows: pl.DataFrame, width: float | None) -> pl.DataFrame:
        """Some rows in the columns of one layer."""
        return rows if len(self.layers) == 1 and not self.checked else rows.select(self.layers[width].names)


def window_of(width_s: float) -> pl.Expr:
    """The window in which a call ended, as a multiple of the width; null without an end."""
    return (pl.col("end_time") / width_s).floor().cast(pl.Int64, strict=False).alias(window_name(width_s))


def _by_window(keys: Sequence[KeyColumn], width_s: float) -> Columns:
    """The columns of a layer with windows, which has coarse buckets, as there are so many of these."""
    windows = KeyColumn(name=window_name(width_s), dtype=pl.Int64())
    places = {name: len(keys) + 1 + number for number, name in enumerate(_COUNTED_BY_WINDOW)}
    return Columns(
        keys=(*keys, windows),
        others=_COUNTED_BY_WINDOW,
        layout=Layout.of(places, bucket_shift=COARSE_SHIFT),
        window_s=width_s,
    )


class Tally:
    """Counts of rows, and the keys that they have.

    Attributes:
        native: the counts.
        rows: how many rows it was given.
    """

    def __init__(self, columns: Columns, *, most_bytes: int, part: int = 0, parts: int = 1) -> None:
        self._columns = columns
        self._names = [key.name for key in columns.keys]
        self._keys: list[pl.DataFrame] = []
        self.rows = 0
        self.native = NativeTally(
            columns.is_text, columns.layout, most_bytes=most_bytes, part=part, parts=parts
        )

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
        self._options = {"most_bytes": most_bytes // len(layers.layers), "part": part, "parts": parts}
        self._most_rows = most_rows
        self._layers = layers
        self._lock = threading.Lock()
        self.all: list[dict[float | None, Tally]] = []
        self._free: list[int] = []

    def _new(self) -> dict[float | None, Tally]:
        return {width: Tally(columns, **self._options) for width, columns in self._layers.layers.items()}

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
        with self._one() as number:
            for width, tally in self.all[number].items():
                tally.add(self._layers.batch(rows, width), codes=None if width else codes)
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

    def merged(self, width: float | None) -> list[Tally]:
        """Those of a layer in as few as can count so many rows, at least one; ``all`` keep their keys."""
        found: list[Tally] = []
        rows = 0
        for tallies in self.all or [self._new()]:
            tally = tallies[width]
            rows += tally.rows
            if not found or rows >= 2 * self._most_rows:
                found.append(tally)
                rows = tally.rows
            else:
                found[-1].merge(tally)
        return found
