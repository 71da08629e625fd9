"""The refinement: exact order statistics from the latencies of the few cells that decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadlens.engine.above import Above, Removed
from loadlens.engine.cells import CellTable, Population
from loadlens.engine.selections import Latencies, Looked, Prefixes, Selections, Wanted
from loadlens.profile.buckets import FAILED

__all__ = ["Asked", "ChangedError", "Look", "Refinement", "Wants"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Truths = NDArray[np.bool_]

_STEPS: Final = (32, 20, 8, 0)
"""How many trailing bits of a latency are left out, look by look, in a cell with too many rows to hold."""

Look = Callable[[Selections], None]
"""Runs all rows of a log through the selections of one layer."""


class ChangedError(Exception):
    """The rows are not those that were counted."""


@dataclass(frozen=True, kw_only=True)
class Wants:
    """What figures hang on.

    Attributes:
        cells: cells of populations, by number.
        limits_ms: by code, from which latency on successes are needed one by one; None for none.
    """

    cells: Sequence[tuple[Population, Ints]]
    limits_ms: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one refinement has to find, so that several can share a look.

    Attributes:
        wanted: what to look for.
        take: is given what was found.
    """

    wanted: Wanted
    take: Callable[[Looked], None]


class _Known:
    """Latencies of whole cells, or of parts of cells, that have been looked at."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._ends = np.concatenate([[0], np.cumsum(latencies.calls)])

    def at(self, cell: Ints, rank: Ints) -> Floats:
        """The latency (ms) at a rank among the known calls of a cell."""
        start = self._ends[np.searchsorted(self._latencies.cell, cell)]
        found = np.searchsorted(self._ends[1:], start + rank, side="right")
        values: Floats = self._latencies.bits[found].view(np.float64)
        return values

    def below(self, cell: Ints, limit: Words) -> Ints:
        """How many known calls of a cell lie below a latency."""
        first = np.searchsorted(self._latencies.cell, cell)
        last = np.searchsorted(self._latencies.cell, cell, side="right")
        rows = [
            start + np.searchsorted(self._latencies.bits[start:stop], bits)
            for start, stop, bits in zip(first.tolist(), last.tolist(), limit, strict=True)
        ]
        found: Ints = self._ends[np.array(rows, dtype=np.int64)] - self._ends[first]
        return found


class Refinement:
    """Exact order statistics of a profile's populations, and the successes from a limit on.

    What is known to be wanted is fetched at once: one look at all rows. Values that are asked for later come
    from there, or from another look. Where the wanted cells hold more different latencies than may be held,
    the part of a cell that decides is found by 12 more bits at each look.

    Args:
        table: the cells of the profile.
        look: runs all rows through selections.
        most_rows: how many different latencies may be held.

    Attributes:
        high: the successes from the limits on that were last fetched; None before.
        most_rows: how many rows may be held.
    """

    def __init__(self, table: CellTable, look: Look, *, most_rows: int) -> None:
        self._table, self._look = table, look
        self.most_rows = most_rows
        self._has = {success: np.zeros(len(table.code), dtype=np.bool_) for success in (True, False)}
        self._parts: dict[bool, list[Latencies]] = {True: [], False: []}
        self._known: dict[bool, _Known] = {}
        self.high: Looked | None = None

    def values(self, population: Population, code: Ints, rank: Ints) -> Floats:
        """The latencies in ms at ranks, from 0, of the keys' calls; looks for what is not known yet."""
        values = np.empty(len(code))
        low, top = rank == 0, rank == population.size[code] - 1
        values[low], values[top] = population.lowest[code[low]], population.highest[code[top]]
        inner = ~(low | top)
        cell, residual = population.located(code[inner], rank[inner])
        self._fetch(population, cell)
        values[inner] = self._values_in(population, cell, residual)
        return values

    def _values_in(self, population: Population, cell: Ints, rank: Ints) -> Floats:
        values = np.full(len(cell), -1.0)
        known, failed = self._is_known(population, cell), self._table.bucket[cell] == FAILED
        held, full = known & ~failed, ~known
        values[held] = self._known_of(population).at(cell[held], rank[held])
        if full.any():
            values[full] = self._value_by_parts(population, cell[full], rank[full])
        return values

    def below(self, cell: Ints, limit_ms: Floats) -> Ints:
        """How many successes of cells lie below a latency that lies in each."""
        successes = self._table.successes
        self._fetch(successes, cell)
        limit = (limit_ms + 0.0).view(np.uint64)
        known = self._is_known(successes, cell)
        found = np.empty(len(cell), dtype=np.int64)
        found[known] = self._known_of(successes).below(cell[known], limit[known])
        if not known.all():
            found[~known] = self._below_by_parts(cell[~known], limit[~known])
        return found

    def _known_of(self, population: Population) -> _Known:
        successes = population is self._table.successes
        if successes not in self._known:
            parts = self._parts[True] if successes else [*self._parts[True], *self._parts[False]]
            self._known[successes] = _Known(Latencies.together(parts))
        return self._known[successes]

    def _lines(self, population: Population) -> tuple[bool, ...]:
        """The lines of a cell in which a population's calls are counted: successes, failures."""
        return (True,) if population is self._table.successes else (True, False)

    def _calls(self, cell: Ints, *, success: bool) -> Ints:
        successes = self._table.successes.counts[cell]
        return successes if success else self._table.all.counts[cell] - successes

    def _is_known(self, population: Population, cell: Ints) -> Truths:
        known: Truths = np.ones(len(cell), dtype=np.bool_)
        for success in self._lines(population):
            known &= self._has[success][cell] | (self._calls(cell, success=success) == 0)
        known |= self._table.bucket[cell] == FAILED
        return known

    def _fetch(self, population: Population, cells: Ints) -> None:
        """Looks at cells of a population that are not known yet."""
        asked = self.asked([Wants(cells=[(population, cells)])])
        if asked is not None:
            asked.take(self._looked(asked.wanted))

    def asked(self, several: Sequence[Wants]) -> Asked | None:
        """What a look has to find for all that is wanted; None if it is known."""
        cells, success = self._unknown([pair for wants in several for pair in wants.cells])
        limits = [wants.limits_ms for wants in several if wants.limits_ms is not None]
        limits_ms = np.minimum.reduce(limits) if limits else None
        if not len(cells) and limits_ms is None:
            return None
        asked = Wanted(
            cell=np.arange(len(cells)),
            line=2 * self._table.code[cells] + success,
            bucket=self._table.bucket[cells],
            limits_ms=np.empty(0) if limits_ms is None else limits_ms,
            most_rows=self.most_rows,
        )

        def take(looked: Looked) -> None:
            if limits_ms is not None:
                self.high = looked
            if looked.latencies is not None:
                self._keep(cells, success, looked.latencies)

        return Asked(wanted=asked, take=take)

    def _unknown(self, wanted: Sequence[tuple[Population, Ints]]) -> tuple[Ints, Truths]:
        """The cells to look at, and of each whether its successes are wanted or its failures."""
        nothing = np.empty(0, dtype=np.int64)
        found = {}
        for success in (True, False):
            cells = [cell for population, cell in wanted if success in self._lines(population)]
            chosen = np.unique(np.concatenate([nothing, *cells]))
            new = ~self._has[success][chosen] & (self._table.bucket[chosen] != FAILED)
            found[success] = chosen[new & (self._calls(chosen, success=success) > 0)]
        sizes = [len(found[True]), len(found[False])]
        return np.concatenate([found[True], found[False]]), np.repeat([True, False], sizes)

    def _looked(self, wanted: Wanted) -> Looked:
        selections = Selections(wanted)
        self._look(selections)
        return selections.looked()

    def _keep(self, cells: Ints, success: Truths, found: Latencies) -> None:
        calls = np.bincount(found.cell, weights=found.calls, minlength=len(cells))
        expected = np.where(success, self._calls(cells, success=True), self._calls(cells, success=False))
        if (calls != expected).any():
            raise ChangedError
        for which in (True, False):
            own = found[success[found.cell] == which]
            self._parts[which].append(Latencies(cell=cells[own.cell], bits=own.bits, calls=own.calls))
            self._has[which][cells[success == which]] = True
        self._known.clear()

    def above(self, fence_ms: Floats) -> Removed:
        """The successes above the fence of their key, by code; NaN for no fence."""
        if not np.isfinite(fence_ms).any():
            return Removed.nothing(self._table.keys)
        if self.high is not None:
            above = Above()
            beyond = self.high.high_ms > fence_ms[self.high.code]
            above.add(self.high.code[beyond], self.high.high_ms[beyond], self.high.end_s[beyond])
            return above.removed(self._table.keys)
        nothing = np.empty(0, dtype=np.int64)
        limits_ms = np.where(np.isnan(fence_ms), np.inf, np.nextafter(fence_ms, np.inf))
        wanted = Wanted(cell=nothing, line=nothing, bucket=nothing, limits_ms=limits_ms, counts_high=True)
        return self._looked(wanted).above.removed(self._table.keys)

    def fine_counts(self, code: Ints) -> Latencies:
        """The successes of keys by latency, each without its last 32 bits: 4,096 bins to a cell.

        Args:
            code: the keys.
        """
        cells = np.flatnonzero(np.isin(self._table.code, code) & (self._table.successes.counts > 0))
        cells = cells[self._table.bucket[cells] != FAILED]
        looked = self._looked(
            Wanted(
                cell=cells,
                line=2 * self._table.code[cells] + 1,
                bucket=self._table.bucket[cells],
                limits_ms=np.empty(0),
                shift=_STEPS[0],
            )
        )
        assert looked.latencies is not None  # noqa: S101  # any number may be held
        return looked.latencies

    # ---- cells that are too full to hold ----

    def _value_by_parts(self, population: Population, cell: Ints, rank: Ints) -> Floats:
        """The latency (ms) at a rank in each cell: the part where it lies, then a part of that."""
        values, prefixes = np.empty(len(cell)), None
        for shift in _STEPS:
            known = self._parts_of(population, cell, shift, prefixes)
            values = known.at(cell, rank)
            rank = rank - known.below(cell, values.view(np.uint64))
            # The next look finds the chosen parts alone, those of several ranks of one cell together.
            prefixes = Prefixes(cell, values.view(np.uint64), shift)
            rank = rank + self._before(known, cell, values.view(np.uint64))
        return values

    def _before(self, known: _Known, cell: Ints, bits: Words) -> Ints:
        """How many calls lie in lower chosen parts of the same cell, which the next look finds as well."""
        parts = np.unique(np.stack([cell.astype(np.uint64), bits], axis=1), axis=0)
        own, chosen = parts[:, 0].astype(np.int64), np.ascontiguousarray(parts[:, 1])
        calls = known.below(own, chosen + np.uint64(1)) - known.below(own, chosen)
        ends = np.concatenate([[0], np.cumsum(calls)])
        order = np.lexsort((bits, cell))
        place = np.empty(len(cell), dtype=np.int64)
        new = np.ones(len(cell), dtype=np.bool_)
        new[1:] = (np.diff(cell[order]) != 0) | (bits[order][1:] != bits[order][:-1])
        place[order] = np.cumsum(new) - 1
        found: Ints = ends[place] - ends[np.searchsorted(own, cell)]
        return found

    def _below_by_parts(self, cell: Ints, limit: Words) -> Ints:
        """How many successes of each cell lie below a latency in it."""
        below, prefixes = np.zeros(len(cell), dtype=np.int64), None
        for shift in _STEPS:
            known = self._parts_of(self._table.successes, cell, shift, prefixes)
            part = limit >> np.uint64(shift) << np.uint64(shift)
            before = np.zeros(len(cell), dtype=np.int64)
            if prefixes is not None:
                wider = np.uint64(_STEPS[_STEPS.index(shift) - 1])
                before = known.below(cell, limit >> wider << wider)
            below += known.below(cell, part) - before
            prefixes = Prefixes(cell, limit, shift)
        return below

    def _parts_of(self, population: Population, cell: Ints, shift: int, prefixes: Prefixes | None) -> _Known:
        """The calls of whole cells, or of parts of them, by latencies without trailing bits."""
        lines = self._lines(population)
        chosen = np.repeat(np.unique(cell), len(lines))
        success = np.tile(np.array(lines), len(chosen) // len(lines))
        looked = self._looked(
            Wanted(
                cell=chosen,
                line=2 * self._table.code[chosen] + success,
                bucket=self._table.bucket[chosen],
                limits_ms=np.empty(0),
                shift=shift,
                prefixes=prefixes,
            )
        )
        assert looked.latencies is not None  # noqa: S101  # any number may be held
        return _Known(looked.latencies)
