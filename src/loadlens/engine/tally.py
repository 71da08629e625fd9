"""Tallies of a log: one for each thread that reads, all of them together in the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import BrokenRowError, Codes, Layout, NativeTally
from loadlens.engine.keys import KeyColumn, key_columns_of
from loadlens.profile.profile import key_names
from loadlens.profile.rows import Rows
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY

__all__ = ["Columns", "Tallies", "Tally"]

_NONE = -1


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of the batches that are counted.

    Attributes:
        frame: the rows, in these columns.
        keys: those of the key, which come first.
        layout: where the others are.
        errors: the error columns that the log has.
        checked: whether a column ``unusable`` tells rows that break a rule that the library does not know.
    """

    frame: pl.LazyFrame
    keys: tuple[KeyColumn, ...]
    layout: Layout
    errors: tuple[str, ...]
    checked: bool

    @classmethod
    def of(cls, rows: Rows, *, timeline: bool) -> "Columns":
        """The columns that rows are counted by."""
        schema = rows.frame.collect_schema()
        keys = key_columns_of(schema, key_names(rows.plan.key))
        others = (LATENCY, "success", "start_time", "end_time", *ERROR_COLUMNS, "response_size", ERROR_CLASS)
        names = [name for name in others if name in schema]
        places = {name: len(keys) + number for number, name in enumerate(names)}
        checked = "unusable" in schema
        return cls(
            frame=rows.frame.select(
                *[key.coded() for key in keys], *names, *(["unusable"] if checked else [])
            ),
            keys=keys,
            layout=_layout(places, timeline=timeline),
            errors=rows.errors,
            checked=checked,
        )

    @property
    def is_text(self) -> list[bool]:
        """For each key column, whether it is coded as text."""
        return [key.is_text for key in self.keys]


def _layout(places: dict[str, int], *, timeline: bool) -> Layout:
    errors = Layout().errors
    for number, name in enumerate(ERROR_COLUMNS):
        errors[number] = places.get(name, _NONE)
    return Layout(
        places[LATENCY],
        places["success"],
        places.get("start_time", _NONE),
        places.get("end_time", _NONE),
        errors,
        places.get("response_size", _NONE),
        places.get(ERROR_CLASS, _NONE),
        0,
        int(timeline),
    )


class Tally:
    """Counts of rows, and the keys that they have.

    Attributes:
        native: the counts.
    """

    def __init__(self, columns: Columns, *, most_bytes: int, part: int = 0, parts: int = 1) -> None:
        self._columns = columns
        self._names = [key.name for key in columns.keys]
        self._keys: list[pl.DataFrame] = []
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
            BrokenRowError: some row breaks a rule.
            TallyFullError: the keys and cells need more memory than allowed.
        """
        if self._columns.checked:
            if batch["unusable"].any():
                raise BrokenRowError
            batch = batch.drop("unusable")
        fresh = self.native.add(batch, codes=codes)
        if len(fresh) and self._names:
            self._keys.append(batch.select(self._names)[fresh])

    def merge(self, other: "Tally") -> Codes:
        """Adds another tally, which may not be used any more; returns the code here of each of its codes."""
        if not other.native.sizes().keys:
            return np.empty(0, dtype=np.uint32)
        before = self.native.sizes().keys
        codes = self.native.learn(other.keys)
        if self._names:
            self._keys.append(other.keys.filter(pl.Series(codes >= before)))
        self.native.merge(other.native, codes)
        return codes


class Tallies:
    """A tally for each of the threads that count at the same time."""

    def __init__(self, columns: Columns, *, most_bytes: int, part: int = 0, parts: int = 1) -> None:
        self._options = {"most_bytes": most_bytes, "part": part, "parts": parts}
        self._columns = columns
        self._lock = threading.Lock()
        self._all: list[Tally] = []
        self._free: list[int] = []

    @contextmanager
    def one(self) -> Iterator[tuple[int, Tally]]:
        """A tally that nobody else uses meanwhile, and its number."""
        with self._lock:
            if not self._free:
                self._free.append(len(self._all))
                self._all.append(Tally(self._columns, **self._options))
            number = self._free.pop()
            tally = self._all[number]
        try:
            yield number, tally
        finally:
            with self._lock:
                self._free.append(number)

    def merged(self) -> tuple[Tally, list[NDArray[np.uint32]]]:
        """All of them together, and for each tally the code there of each of its codes."""
        whole = self._all[0] if self._all else Tally(self._columns, **self._options)
        codes = [np.arange(whole.native.sizes().keys, dtype=np.uint32)]
        return whole, [*codes, *[whole.merge(tally) for tally in self._all[1:]]]
