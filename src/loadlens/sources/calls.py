"""What the calls of a file come to: where that is the same for two files, they are of one run."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS, LATENCY
from loadlens.sources.repeats import Repeats
from loadlens.sources.wording import counted

__all__ = [
    "ALIKE",
    "COUNTED_TWICE",
    "FEWEST_CALLS",
    "REPEATED",
    "Calls",
    "overlaps",
    "same_runs",
    "values_of",
]

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
