"""A look at all rows of a log: what the threads that read at the same time find, together."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Found, Layout, NativeSelection, NativeTally
from loadlens.profile.buckets import COARSE_SHIFT
from loadlens.schema import LATENCY

__all__ = ["Above", "Latencies", "Looked", "Prefixes", "Removed", "Selections", "Wanted"]


Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_LAYOUT: Final = Layout.of({LATENCY: 1, "success": 2, "end_time": 3})


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Successes that a fence removes, by key.

    Attributes:
        counts: how many each code from 0 has.
        sums: the sum of their latencies in units of 2^-55 ms.
        seconds: ``code``, ``second`` and ``removed``: how many of them ended then.
    """

    counts: Ints
    sums: list[int]
    seconds: pl.DataFrame

    @classmethod
    def nothing(cls, keys: int) -> "Removed":
        """Where there are so many keys."""
        nothing = pl.DataFrame(schema=dict.fromkeys(("code", "second", "removed"), pl.Int64))
        return cls(counts=np.zeros(keys, dtype=np.int64), sums=[0] * keys, seconds=nothing)


class Above:
    """Counts successes by the code of their key. One thread at a time may use it.

    Attributes:
        counts: ``code``, ``calls``, ``sum`` (of latencies, in units of 2^-55 ms).
        seconds: as in ``Removed``.
    """

    def __init__(self) -> None:
        self.counts = pl.DataFrame(schema={"code": pl.Int64, "calls": pl.Int64, "sum": pl.Int128})
        self.seconds = Removed.nothing(0).seconds

    def add(self, code: Ints, latency_ms: Floats, end_s: Floats) -> None:
        """Counts some calls; an end is NaN where there is none."""
        rows = pl.DataFrame(
            {
                "code": code.astype(np.int64),
                "latency_ms": latency_ms,
                "success": np.ones(len(code), dtype=np.bool_),
                "end_s": pl.Series(end_s, nan_to_null=True),
            }
        )
        tally = NativeTally([False], _LAYOUT, most_bytes=2**62)
        known = rows["code"].to_numpy()[tally.add(rows)]
        found = tally.figures()
        successes = slice(1, None, 2)  # of a code's two lines the second is that of successes
        calls = found.line["timed"][successes].astype(np.int64)
        counts = pl.DataFrame({"code": known, "calls": calls, "sum": found.latency_sum[successes]})
        second_code, second, _, _, completions = tally.seconds()
        seconds = pl.DataFrame({"code": known[second_code], "second": second, "removed": completions})
        self._add(counts, seconds)

    def merge(self, other: "Above") -> None:
        """Adds what another has counted."""
        self._add(other.counts, other.seconds)

    def _add(self, counts: pl.DataFrame, seconds: pl.DataFrame) -> None:
        self.counts = pl.concat([self.counts, counts]).group_by("code").agg(pl.all().sum())
        both = pl.concat([self.seconds, seconds])
        self.seconds = both.group_by("code", "second").agg(pl.all().sum())

    def under(self, codes: Ints) -> "Above":
        """The same under other codes, several of which may become one: ``codes`` has them by the own ones."""
        found = Above()
        found._add(
            *(
                frame.with_columns(pl.Series("code", codes[frame["code"].to_numpy()], dtype=pl.Int64))
                for frame in (self.counts, self.seconds)
            )
        )
        return found

    def removed(self, keys: int) -> Removed:
        """What was counted, where there are so many keys."""
        found = Removed.nothing(keys)
        for code, calls, total in self.counts.iter_rows():
            found.counts[code] = calls
            found.sums[code] = total
        return Removed(counts=found.counts, sums=found.sums, seconds=self.seconds)


Words = NDArray[np.uint64]
Truths = NDArray[np.bool_]

_LOW_BITS: Final = COARSE_SHIFT
_ROOM: Final = 2**21
"""How many rows are held before equal ones are counted together, where any number may be."""

_NO_INTS: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """How many calls have which latency in which cell.

    Attributes:
        cell: numbers of cells.
        bits: the latencies, as the bits of a Float64.
        calls: how many calls.
    """

    cell: Ints
    bits: Words
    calls: Ints

    @classmethod
    def together(cls, parts: Sequence["Latencies"]) -> "Latencies":
        """Each cell and latency of all parts once, ascending."""
        cell = np.concatenate([_NO_INTS, *[part.cell for part in parts]])
        bits = np.concatenate([np.empty(0, dtype=np.uint64), *[part.bits for part in parts]])
        calls = np.concatenate([_NO_INTS, *[part.calls for part in parts]])
        order = _ascending(cell, bits)
        cell, bits, calls = cell[order], bits[order], calls[order]
        new = np.ones(len(cell), dtype=np.bool_)
        new[1:] = (cell[1:] != cell[:-1]) | (bits[1:] != bits[:-1])
        starts = np.flatnonzero(new)
        sums = np.add.reduceat(calls, starts) if len(starts) else calls
        return cls(cell=cell[starts], bits=bits[starts], calls=sums)

    def __len__(self) -> int:
        return len(self.cell)

    def __getitem__(self, chosen: Truths) -> "Latencies":
        return Latencies(cell=self.cell[chosen], bits=self.bits[chosen], calls=self.calls[chosen])


def _ascending(cell: Ints, bits: Words) -> Ints:
    if cell.max(initial=0) < 1 << (64 - _LOW_BITS):
        # A cell's latencies share all bits but the last ones.
        low = bits & np.uint64((1 << _LOW_BITS) - 1)
        return np.argsort(cell.astype(np.uint64) << np.uint64(_LOW_BITS) | low)
    return np.lexsort((bits, cell))


class Prefixes:
    """Latencies, but for trailing bits, that matter in some cells.

    Args:
        cell: numbers of cells.
        bits: a latency in each.
        shift: how many trailing bits do not matter.
    """

    def __init__(self, cell: Ints, bits: Words, shift: int) -> None:
        self._shift = np.uint64(shift)
        self._bits = np.unique(bits >> self._shift)
        self._places = np.unique(self._places_of(cell, bits))

    def _places_of(self, cell: Ints, bits: Words) -> Ints:
        """One number for each cell and latency; -1 for latencies that matter nowhere."""
        wanted = bits >> self._shift
        number = np.minimum(np.searchsorted(self._bits, wanted), len(self._bits) - 1)
        return np.where(self._bits[number] == wanted, cell * len(self._bits) + number, -1)

    def contain(self, cell: Ints, bits: Words) -> Truths:
        """Which of some rows matter."""
        return np.isin(self._places_of(cell, bits), self._places)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a look is for.

    Attributes:
        cell: the number by which each wanted cell is told; lines of one cell may share one.
        line: of each wanted cell.
        bucket: likewise, as the library counts it.
        limits_ms: by code, from which latency on successes are told one by one; empty for none.
        shift: how many trailing bits of latencies in cells do not matter.
        prefixes: the latencies that matter in cells; None where all do.
        most_rows: how many different latencies of cells may be held; None for any number.
        counts_high: whether the successes from the limits on are counted and not told.
    """

    cell: Ints
    line: Ints
    bucket: Ints
    limits_ms: Floats
    shift: int = 0
    prefixes: Prefixes | None = None
    most_rows: int | None = None
    counts_high: bool = False


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look at all rows finds.

    Attributes:
        latencies: those in wanted cells; None where there are more different ones than may be held.
        code: of the successes from the limits on.
        high_ms: their latency.
        end_s: their end, NaN for none.
        above: these successes where they were to be counted.
    """

    latencies: Latencies | None
    code: Ints
    high_ms: Floats
    end_s: Floats
    above: Above


class Selections:
    """Selections for the threads that look at the same time, and what all of them find.

    Args:
        wanted: what to look for.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._all: list[NativeSelection] = []
        self._free: list[NativeSelection] = []
        self._found: list[Latencies] | None = []
        self._held = 0
        self._room = _ROOM if wanted.most_rows is None else wanted.most_rows
        self._high: list[Found] = []
        self._others: list[Looked] = []
        self._above = Above()

    @property
    def wanted(self) -> Wanted:
        """What is looked for."""
        return self._wanted

    @property
    def has_limits(self) -> bool:
        """Whether successes from limits on are told."""
        return len(self._wanted.limits_ms) > 0

    @contextmanager
    def one(self, make: Callable[[], NativeSelection]) -> Iterator[NativeSelection]:
        """A selection that nobody else uses meanwhile.

        Args:
            make: makes one that wants nothing yet.
        """
        with self._lock:
            selection = self._free.pop() if self._free else None
        if selection is None:
            selection = make()
            selection.want(self._wanted.line, self._wanted.bucket, self._wanted.limits_ms)
            with self._lock:
                self._all.append(selection)
        try:
            yield selection
        finally:
            with self._lock:
                self._free.append(selection)

    def add(self, found: Found) -> None:
        """Takes what was found in a batch."""
        if len(found.code) and self._wanted.counts_high:
            with self._lock:
                self._above.add(found.code.astype(np.int64), found.high, found.end)
        elif len(found.code):
            self._high.append(found)
        if not len(found.cell) or self._found is None:
            return
        rows = self._reduced(found.cell, found.latency, np.ones(len(found.cell), dtype=np.int64))
        with self._lock:
            self._hold(rows)

    def take(self, looked: Looked) -> None:
        """Takes what other selections found in other rows."""
        with self._lock:
            if looked.latencies is None:
                self._found = None
            else:
                self._hold(looked.latencies)
            self._others.append(looked)
            self._above.merge(looked.above)

    def _hold(self, rows: Latencies) -> None:
        if self._found is None:
            return
        self._found.append(rows)
        self._held += len(rows)
        if self._held > self._room:
            together = Latencies.together(self._found)
            self._found, self._held = [together], len(together)
            most = self._wanted.most_rows
            if most is not None and self._held > most // 2:
                self._found = None
            self._room = max(self._room, 2 * self._held)

    def _reduced(self, number: NDArray[np.integer], bits: Words, calls: Ints) -> Latencies:
        """Latencies in numbered cells without what does not matter."""
        cell, shift = self._wanted.cell[number], np.uint64(self._wanted.shift)
        some = Latencies(cell=cell, bits=bits, calls=calls)
        if self._wanted.prefixes is not None:
            some = some[self._wanted.prefixes.contain(cell, bits)]
        return Latencies(cell=some.cell, bits=some.bits >> shift << shift, calls=some.calls)

    def looked(self) -> Looked:
        """All that was found."""
        for selection in self._all:
            bits, calls = selection.pivots()
            used = np.flatnonzero(calls)
            self._hold(self._reduced(used, bits[used], calls[used].astype(np.int64)))
        own = [(found.code.astype(np.int64), found.high, found.end) for found in self._high]
        others = [(looked.code, looked.high_ms, looked.end_s) for looked in self._others]
        code, high, end = zip(*own, *others, (_NO_INTS, np.empty(0), np.empty(0)), strict=True)
        return Looked(
            latencies=None if self._found is None else Latencies.together(self._found),
            code=np.concatenate(code),
            high_ms=np.concatenate(high),
            end_s=np.concatenate(end),
            above=self._above,
        )
