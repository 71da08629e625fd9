"""What the calls of a file come to, and which of them it holds more than once."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.messages import counted
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS, LATENCY

__all__ = [
    "ALIKE",
    "COUNTED_TWICE",
    "FEWEST_CALLS",
    "REPEATED",
    "Calls",
    "Repeats",
    "overlaps",
    "same_runs",
    "values_of",
]


_MOST_KEPT: Final = 2**18
_BITS: Final = 64

COUNTED_TWICE: Final = (
    "whose calls would count twice; leave out all but one, or pass --force (force=True) if it is meant"
)
"""What is wrong with the same calls in two files, and what to do."""

REPEATED: Final = (
    "which would count each time; write each call once, or pass --force (force=True) if it is meant"
)
"""What is wrong with the same calls in one file, and what to do."""

ALIKE: Final = "(of one id, time and duration)"
"""By what a call is known for another one."""

FEWEST_CALLS: Final = 10
"""Fewer calls in a file of typed columns, or in two files of one format, may be the same by chance."""

_CLOCK_S: Final = 1.0  # k6 writes whole seconds into one of its formats
_DIGITS_MS: Final = 1e-5  # formats write latencies with different numbers of digits
_DIGITS_S: Final = 1e-3  # and one format times, where a program has saved a file again


def _no_hashes() -> NDArray[np.uint64]:
    return np.empty(0, np.uint64)


def _no_counts() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(kw_only=True)
class Repeats:
    """How many calls are there again, by what tells each from all others.

    Up to 262,144 different calls are counted one by one. Of more, those are whose hash lies below a limit,
    which is halved as often as they are too many: a call and its repeats are kept or left out together, so
    that the count is off only by chance. It does not depend on the order of calls, nor on how they were
    divided.

    Attributes:
        hashes: of the different calls that are kept, ascending.
        counts: how often each of them is there.
        halvings: how often the limit was halved.
    """

    hashes: NDArray[np.uint64] = field(default_factory=_no_hashes)
    counts: NDArray[np.int64] = field(default_factory=_no_counts)
    halvings: int = 0

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Adds calls by their hashes."""
        self._add(hashes, np.ones(len(hashes), np.int64))

    def merge(self, other: "Repeats") -> None:
        """Adds the calls of another part of the log."""
        self.halvings = max(self.halvings, other.halvings)
        self._add(other.hashes, other.counts)

    @property
    def count(self) -> int:
        """How many calls have been there before."""
        return int((self.counts - 1).sum()) << self.halvings

    def shared_with(self, other: "Repeats") -> int:
        """How many different calls are there in both."""
        halvings = max(self.halvings, other.halvings)
        shared = np.intersect1d(self.hashes, other.hashes, assume_unique=True)
        return int(np.count_nonzero(_is_kept(shared, halvings))) << halvings

    def __str__(self) -> str:
        return f"{'about ' if self.halvings else ''}{counted(self.count, 'call')} more than once"

    def _add(self, hashes: NDArray[Any], counts: NDArray[Any]) -> None:
        self.hashes, place = np.unique(np.concatenate([self.hashes, hashes]), return_inverse=True)
        every = np.concatenate([self.counts, counts])
        self.counts = np.bincount(place, weights=every, minlength=len(self.hashes)).astype(np.int64)
        self._keep()
        while len(self.hashes) > _MOST_KEPT:
            self.halvings += 1
            self._keep()

    def _keep(self) -> None:
        """Keeps what lies below the limit."""
        is_kept = _is_kept(self.hashes, self.halvings)
        self.hashes, self.counts = self.hashes[is_kept], self.counts[is_kept]


def _is_kept(hashes: NDArray[np.uint64], halvings: int) -> NDArray[np.bool_]:
    return hashes >> np.uint64(_BITS - halvings) == 0 if halvings else np.ones(len(hashes), np.bool_)


@dataclass(kw_only=True)
class Calls:
    """What the calls of one file come to.

    Attributes:
        path: the file.
        dialect: its format.
        rows: how many calls.
        latency_ms: the sum of their latencies.
        first_s: the first start or, without starts, end; infinite where nothing tells.
        last_s: the last end or start.
        times_s: the sum of all starts and ends, as far as they are known.
        values: the different values of each column that is no measure, as text; None where nobody has looked.
        repeats: which of them are there more than once, as far as something tells a call from all others.
    """

    path: str
    dialect: str
    rows: int = 0
    latency_ms: float = 0.0
    first_s: float = float("inf")
    last_s: float = float("-inf")
    times_s: float = 0.0
    values: dict[str, frozenset[str]] | None = None
    repeats: Repeats = field(default_factory=Repeats)

    def add(self, rows: pl.DataFrame) -> None:
        """Adds some calls."""
        self.rows += rows.height
        if LATENCY in rows.columns:
            self.latency_ms += float(rows[LATENCY].sum())
        for name in ("start_time", "end_time"):
            if name in rows.columns:
                low, high = rows[name].min(), rows[name].max()
                self.first_s = min(self.first_s, low if isinstance(low, float) else self.first_s)
                self.last_s = max(self.last_s, high if isinstance(high, float) else self.last_s)
                self.times_s += float(rows[name].sum())

    @classmethod
    def of(cls, frame: pl.LazyFrame, path: str, dialect: str) -> "Calls":
        """What the canonical rows of a file of typed columns come to, by one query."""
        names = [name for name in ("start_time", "end_time") if name in frame.collect_schema()]
        found = frame.select(
            pl.len(),
            pl.col(LATENCY).sum(),
            *(pl.col(name).min().alias(f"{name} first") for name in names),
            *(pl.col(name).max().alias(f"{name} last") for name in names),
            *(pl.col(name).sum().alias(f"{name} sum") for name in names),
        ).collect(engine="streaming")
        rows, latency_ms, *times = found.row(0)
        known = [time for time in times[: 2 * len(names)] if time is not None]
        return cls(
            path=path,
            dialect=dialect,
            rows=rows,
            latency_ms=latency_ms,
            first_s=min(known, default=math.inf),
            last_s=max(known, default=-math.inf),
            times_s=sum(times[2 * len(names) :]),
            values=values_of(frame),
        )

    def is_same_run(self, other: "Calls") -> bool:
        """Whether another file has the same calls, in any order, and in another format or written anew."""
        is_one_format = self.dialect == other.dialect
        tolerance_s = _DIGITS_S if is_one_format else _CLOCK_S
        return (
            self.rows == other.rows
            and abs(self.latency_ms - other.latency_ms) <= _DIGITS_MS * self.rows
            and _is_near(self.first_s, other.first_s, tolerance_s)
            and _is_near(self.last_s, other.last_s, tolerance_s)
            and (not is_one_format or self._has_times_of(other))
            and self._has_values_of(other)
        )

    @property
    def is_repeated(self) -> bool:
        """Whether calls are there more than once, of enough different ones."""
        return bool(self.repeats.count) and len(self.repeats.hashes) >= FEWEST_CALLS

    def _has_times_of(self, other: "Calls") -> bool:
        """Whether two files of one format have the same times: two runs may begin and end at once."""
        is_timed = math.isfinite(self.first_s) and self.rows >= FEWEST_CALLS
        return is_timed and abs(self.times_s - other.times_s) <= _DIGITS_S * self.rows

    def _has_values_of(self, other: "Calls") -> bool:
        """Whether the columns that both files have are of the same values, as far as these are known."""
        one, two = self.values or {}, other.values or {}
        return all(one[name] == two[name] for name in one.keys() & two.keys())


def values_of(frame: pl.LazyFrame) -> dict[str, frozenset[str]]:
    """The different values of the columns of ``frame`` that tell calls apart, as text; 1.0 as 1."""
    names = [name for name, dtype in frame.collect_schema().items() if _tells_calls_apart(name, dtype)]
    found = {name: frame.select(name).unique().collect(engine="streaming").to_series() for name in names}
    return {name: frozenset(map(_text, values.drop_nulls())) for name, values in found.items()}


def _tells_calls_apart(name: str, dtype: pl.DataType) -> bool:
    is_key = name == "label" or name in CONFIGURATION_COLUMNS or name not in CANONICAL_COLUMNS
    return is_key and name != "file" and not (dtype.is_nested() or dtype.is_float() or dtype == pl.Object)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_near(one: float, other: float, tolerance_s: float) -> bool:
    return one == other or abs(one - other) <= tolerance_s


def same_runs(files: Iterable[Calls]) -> list[tuple[Calls, Calls]]:
    """Files that have the calls of one before them, each with that one."""
    found: list[tuple[Calls, Calls]] = []
    seen: dict[tuple[int, int], list[Calls]] = defaultdict(list)
    for calls in files:
        if not calls.rows or not math.isfinite(calls.latency_ms):
            continue
        place = round(calls.latency_ms / (_DIGITS_MS * calls.rows))
        near = (one for step in (0, -1, 1) for one in seen.get((calls.rows, place + step), ()))
        same = next(filter(calls.is_same_run, near), None)
        if same:
            found.append((same, calls))
        else:
            seen[calls.rows, place].append(calls)
    return found


def overlaps(files: Iterable[Calls]) -> list[str]:
    """Which files hold some of the calls of files before them: a clause for each."""
    found: list[str] = []
    before = Repeats()
    for calls in files:
        if shared := before.shared_with(calls.repeats):
            found.append(f"{calls.path} holds {counted(shared, 'call')} {ALIKE} that other files hold too")
        before.merge(calls.repeats)
    return found
