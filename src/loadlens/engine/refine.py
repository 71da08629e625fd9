"""From ranks to cells, and from the latencies of the few cells that decide to exact order statistics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.selections import Above, Latencies, Looked, Prefixes, Removed, Selections, Wanted
from loadlens.profile.buckets import FAILED, bucket_bounds, bucket_middle
from loadlens.profile.distributions import cell_of
from loadlens.profile.profile import FRACTION_BITS, Profile

__all__ = [
    "Asked",
    "CellTable",
    "ChangedError",
    "End",
    "Estimates",
    "Look",
    "Population",
    "Refinement",
    "Wants",
]


Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Truths = NDArray[np.bool_]

_WIDTH: Final = 1 << 20
"""More than there are buckets: code and bucket as one number, which grows with both."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """How the calls of a population are spread over the cells of a table.

    Attributes:
        counts: of each cell.
        ends: how many calls there are up to each cell, it included, over all keys.
        first: how many come before each key's, by code.
        size: how many calls each key has, by code.
        lowest: the smallest latency of each key in ms, by code; NaN without calls.
        highest: the largest.
    """

    counts: Ints
    ends: Ints
    first: Ints
    size: Ints
    lowest: Floats
    highest: Floats

    def located(self, code: Ints, rank: Ints) -> tuple[Ints, Ints]:
        """The cell of the call at each rank, from 0, of a key; and its rank in the cell."""
        position = self.first[code] + rank
        cell = cell_of(self.ends, position)
        return cell, position - (self.ends[cell] - self.counts[cell])

    def up_to(self, cell: Ints, code: Ints) -> Ints:
        """How many calls of a key lie before the given cell, which is one of its own or the next."""
        found: Ints = np.concatenate([[0], self.ends])[cell] - self.first[code]
        return found


class CellTable:
    """The latency cells of a profile, each with its calls and the successes among them.

    Attributes:
        code: of each cell, ascending.
        bucket: likewise, ascending within a code.
        edges: the smallest latency of each cell and of the next bucket, in ms.
        shift: how many trailing bits of a latency a bucket leaves open.
        start: by code, its first cell; one more element for the end.
        all: all calls with a latency.
        successes: the successes among them.
    """

    def __init__(self, profile: Profile) -> None:
        self.keys, self.shift = profile.keys.height, profile.bucket_shift
        lines = profile.buckets  # a cell's failures and its successes
        code, bucket, count = (lines[name].to_numpy() for name in ("code", "bucket", "count"))
        place = code * _WIDTH + bucket
        self._order = np.argsort(place, kind="stable")  # quick, as they are nearly in order
        place, count = place[self._order], count[self._order]
        self._first = np.flatnonzero(np.diff(place, prepend=-_WIDTH))  # line of each cell
        self._profile, success = profile, lines["success"].to_numpy()[self._order]
        self.code: Ints = code[self._order][self._first]
        self.bucket: Ints = bucket[self._order][self._first]
        self.edges = bucket_bounds(self.bucket, self.shift)
        self.start: Ints = np.searchsorted(self.code, np.arange(self.keys + 1))
        succeeded = profile.figures["success"].to_numpy()
        self.all = self._population(self._summed(count), np.ones_like(succeeded))
        self.successes = self._population(self._summed(count * success), succeeded)

    def _summed(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, self._first) if len(self._first) else values

    @cached_property
    def success_sums(self) -> Floats:
        """The latencies of each cell's successes in ms, summed up; good to 4e-9."""
        lines = self._profile.bucket_sums
        sums = lines["latency_sum"].to_numpy() * lines["success"].to_numpy()
        found: Floats = self._summed(sums[self._order])
        return found

    def _population(self, counts: Ints, some: Truths) -> Population:
        """A population of cells with so many calls, of the figures that are told."""
        ends = np.cumsum(counts)
        before = np.concatenate([[0], ends])
        lowest, highest = np.full(self.keys, np.nan), np.full(self.keys, np.nan)
        figures = self._profile.figures
        code = figures["code"].to_numpy()[some]
        np.fmin.at(lowest, code, figures["latency_min"].cast(pl.Float64).to_numpy()[some])
        np.fmax.at(highest, code, figures["latency_max"].cast(pl.Float64).to_numpy()[some])
        first = before[self.start[:-1]]
        return Population(
            counts=counts,
            ends=ends,
            first=first,
            size=before[self.start[1:]] - first,
            lowest=lowest,
            highest=highest,
        )

    def of_limit(self, limit_ms: Floats) -> tuple[Ints, NDArray[np.bool_]]:
        """For each code its first cell from the limit's bucket on, and whether that is the limit's own.

        Args:
            limit_ms: a latency for each code; below 0 before all buckets, infinity behind.
        """
        finite = np.where(np.isfinite(limit_ms), limit_ms, 0.0) + 0.0
        bucket = np.where(finite < 0, FAILED - 1, finite.view(np.int64) >> self.shift)
        bucket = np.where(np.isposinf(limit_ms), np.iinfo(np.int64).max >> 1, bucket)
        # One search in all cells.
        place = self.code * _WIDTH + self.bucket + 1
        wanted = np.arange(self.keys) * _WIDTH + np.minimum(bucket, _WIDTH - 3) + 1
        cell = np.searchsorted(place, wanted)
        inside = cell < len(place)
        own = np.zeros(self.keys, dtype=np.bool_)
        own[inside] = place[cell[inside]] == wanted[inside]
        return cell, own


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
        found = cell_of(self._ends[1:], start + rank)
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


End = Literal["middle", "low", "high"]
"""Which latency of a bucket stands for all in it."""


class Estimates:
    """In the place of a ``Refinement``, where rows are not looked at again.

    Minima and maxima are exact; other latencies are off by at most half a bucket, or, of the ends of
    buckets, by a whole one in the direction that is asked for.

    Args:
        table: the cells of a profile.
        end: which latency stands for those of a bucket.

    Attributes:
        most_rows: how many rows may be held: none.
    """

    most_rows = 0

    def __init__(self, table: CellTable, end: End = "middle") -> None:
        self._table, self._end = table, end
        low, high = table.edges
        self._value = {"middle": bucket_middle(table.bucket, table.shift), "low": low, "high": high}[end]

    def values(self, population: Population, code: Ints, rank: Ints) -> Floats:
        """The latencies in ms at ranks, from 0, of the keys' calls."""
        lowest, highest = population.lowest[code], population.highest[code]
        cell, _ = population.located(code, rank)
        values = np.where(rank == 0, lowest, np.clip(self._value[cell], lowest, highest))
        return np.where(rank == population.size[code] - 1, highest, values)

    def below(self, cell: Ints, limit_ms: Floats) -> Ints:
        """How many successes of cells lie below a latency that lies in each: all if their middle does.

        Of the ends of buckets, the fewest or the most that can be.
        """
        ends = {"middle": self._value, "low": self._table.edges[1], "high": self._table.edges[0]}
        return np.where(ends[self._end][cell] < limit_ms, self._table.successes.counts[cell], 0)

    def above(self, fence_ms: Floats) -> Removed:
        """The successes in buckets above that of the fence of their key, by code; NaN for no fence."""
        table, keys = self._table, self._table.keys
        if not np.isfinite(fence_ms).any():
            return Removed.nothing(keys)
        first, own = table.of_limit(np.where(np.isnan(fence_ms), np.inf, fence_ms))
        beyond = np.arange(len(table.code)) >= (first + own)[table.code]
        beyond &= table.bucket != FAILED
        counts = np.bincount(
            table.code[beyond], weights=table.successes.counts[beyond], minlength=keys
        ).astype(np.int64)
        sums = np.bincount(table.code[beyond], weights=table.success_sums[beyond], minlength=keys)
        return Removed(
            counts=counts,
            sums=[int(total * 2**FRACTION_BITS) for total in sums.tolist()],
            seconds=Removed.nothing(keys).seconds,
        )

    def fine_counts(self, code: Ints) -> Latencies | None:  # noqa: ARG002
        """Nothing finer than buckets is known."""
        return None
