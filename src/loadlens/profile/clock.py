"""The clock of a log: how fine it is and its unit, from all of its times, while its rows pass anyway."""

import threading
from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.units import UnitWatch
from loadlens.sources.log import Log

__all__ = ["FINE_S", "ClockWatch", "clock_warning"]

FINE_S: Final = 0.001
"""A clock of this resolution, or a finer one, tells spans well enough to say nothing of it."""

_TICKS_A_SECOND: Final = (1.0, 10.0, 100.0, 1000.0)
_FINER: Final = len(_TICKS_A_SECOND)
_FIRST: Final = 64
_TIMES: Final = ("start_time", "end_time")


class ClockWatch:
    """Finds the resolution of a log's times, from batches of its rows in any order and from any thread.

    Where start and end are both logged, it also counts calls whose latency is in another unit.

    The resolution is the largest of 1, 0.1, 0.01 and 0.001 s of which every start and end is a multiple,
    and 0 where there is none. Where a tool logs one of start and end in whole seconds and the other one is
    derived from it by a latency, the logged one alone tells: then the clock counts whole seconds.
    """

    def __init__(self, logged_times: Iterable[str]) -> None:
        """Begins with no times.

        Args:
            logged_times: which of ``start_time`` and ``end_time`` the log holds as its tool wrote them.
        """
        self._logged = frozenset(logged_times)
        self._units = UnitWatch(self._logged)
        self._whole_seconds = bool(self._logged)
        self._level = 0
        self._lock = threading.Lock()

    @property
    def resolution_s(self) -> float:
        """The resolution in s of all times so far; 1 where there are none."""
        if self._whole_seconds or self._level == 0:
            return 1.0
        return 0.0 if self._level == _FINER else 1 / _TICKS_A_SECOND[self._level]

    @property
    def unit_warning(self) -> str:
        """What is in another unit than it is read in, as one sentence; nothing where nothing seems so."""
        return self._units.counts.sentence(self.resolution_s)

    def add(self, rows: pl.DataFrame) -> None:
        """Looks at the times of some rows, as far as these could still say something new."""
        self._units.add(rows, self.resolution_s)
        for name in _TIMES:
            told = name in self._logged and self._whole_seconds
            if name not in rows.columns or (self._level == _FINER and not told):
                continue
            times = rows.get_column(name).drop_nulls().to_numpy()
            whole = told and _finest(times, 0) == 0
            level = 0 if whole else _finest(times, self._level)
            with self._lock:
                self._level = max(self._level, level)
                self._whole_seconds &= whole or name not in self._logged

    def watch(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The same frame, whose times are looked at as its rows pass."""

        def look(rows: pl.DataFrame) -> pl.DataFrame:
            self.add(rows)
            return rows

        return frame.map_batches(look, schema=frame.collect_schema(), streamable=True)


def _finest(times: NDArray[np.float64], level: int) -> int:
    """The first level from ``level`` on whose ticks all times are multiples of."""
    while level < _FINER and not _are_multiples(times, _TICKS_A_SECOND[level]):
        level += 1
    return level


def _are_multiples(times: NDArray[np.float64], ticks_a_second: float) -> bool:
    """Whether each time is the Float64 that is nearest to some whole number of ticks."""
    first = times[:_FIRST]  # most often these tell, at next to no cost
    if not np.array_equal(np.rint(first * ticks_a_second) / ticks_a_second, first):
        return False
    return np.array_equal(np.rint(times * ticks_a_second) / ticks_a_second, times)


def clock_warning(resolution_s: float, log: Log) -> str:
    """What a reader has to know of times of this resolution, as one sentence; nothing of a fine clock."""
    if resolution_s <= FINE_S:
        return ""
    what = "whole seconds" if resolution_s == 1 else f"multiples of {resolution_s:g} s"
    told = (
        f"{log.name}: its times are {what}, so that spans are known to {resolution_s:g} s only: throughput "
        f"lies between calls / (span + {resolution_s:g} s), which is shown, and calls / (span - "
        f"{resolution_s:g} s)"
    )
    return "; ".join([told, *log.finer_times])
