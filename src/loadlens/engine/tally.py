"""Tallies of a log: one for each thread that reads, all of them together in the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.engine.binding import Codes, Layout, NativeTally
from loadlens.engine.keys import KeyColumn, key_columns_of
from loadlens.profile.profile import key_names
from loadlens.profile.rows import Rows, UnusableRowsError
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY

__all__ = ["Columns", "Tallies", "Tally"]

_MOST_ROWS: Final = 2**31
"""Counts of a tally have 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of the batches that are counted.

    Attributes:
        frame: the rows, in these columns.
        keys: those of the key, which come first.
        layout: where the others are.
        errors: the error columns that the log has.
        logged_times: which of ``start_time`` and ``end_time`` the log holds as its tool wrote them.
        checked: whether a column ``unusable`` tells rows that break a rule that the library does not know.
    """

    frame: pl.LazyFrame
    keys: tuple[KeyColumn, ...]
    layout: Layout
    errors: tuple[str, ...]
    checked: bool
    logged_times: tuple[str, ...]

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
            layout=Layout.of(places, checks_success=rows.checks_success, timeline=timeline),
            errors=rows.errors,
            checked=checked,
            logged_times=rows.logged_times,
        )

    @property
    def has_end(self) -> bool:
        """Whether rows have an end."""
        return self.layout.has_end

    @property
    def is_text(self) -> list[bool]:
        """For each key column, whether it is coded as text."""
        return [key.is_text for key in self.keys]


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
            UnusableRowsError: some row breaks a rule.
            TallyFullError: the keys and cells need more memory than allowed.
        """
        if self._columns.checked:
            if batch["unusable"].any():
                raise UnusableRowsError
            batch = batch.drop("unusable")
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
    """A tally for each of the threads that count at the same time.

    Args:
        columns: those of the batches.
        most_bytes: how much memory each may take.
        part: which part of the keys is counted, by their hash.
        parts: into how many parts keys fall.
        most_rows: about how many rows a tally may count; twice as many have to fit its counts.

    Attributes:
        all: the tallies.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        most_bytes: int,
        part: int = 0,
        parts: int = 1,
        most_rows: int = _MOST_ROWS,
    ) -> None:
        self._options = {"most_bytes": most_bytes, "part": part, "parts": parts}
        self._most_rows = most_rows
        self._columns = columns
        self._lock = threading.Lock()
        self.all: list[Tally] = []
        self._free: list[int] = []

    @contextmanager
    def one(self) -> Iterator[tuple[int, Tally]]:
        """A tally that nobody else uses meanwhile, and its number."""
        with self._lock:
            if not self._free:
                self._free.append(len(self.all))
                self.all.append(Tally(self._columns, **self._options))
            number = self._free.pop()
            tally = self.all[number]
        try:
            yield number, tally
        finally:
            if tally.rows < self._most_rows:
                with self._lock:
                    self._free.append(number)

    def merged(self) -> list[Tally]:
        """All of them in as few tallies as can count so many rows, at least one; ``all`` keep their keys."""
        found: list[Tally] = []
        rows = 0
        for tally in self.all or [Tally(self._columns, **self._options)]:
            rows += tally.rows
            if not found or rows >= 2 * self._most_rows:
                found.append(tally)
                rows = tally.rows
            else:
                found[-1].merge(tally)
        return found
