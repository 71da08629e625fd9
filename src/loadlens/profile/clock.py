"""The clock of a log: how fine it is, its unit, and whether latencies and times are in one unit."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.logs.log import Log
from loadlens.messages import counted
from loadlens.schema import LATENCY

__all__ = ["FINE_S", "SPAN_UNITS", "UnitCounts", "UnitWatch", "clock_warning"]


_TIMES: Final = ("start_time", "end_time")

_TICKS_S: Final = (1.0, 1e-3, 1e-6)
"""How far a span may be off, by the clock: of whole seconds, of at least milliseconds, finer."""

_FEWEST_TICKS: Final = 4.5
_SHARE: Final = 0.1  # what a client spends around the call that it measures, and digits that are not written
_SHARE_OF_FEW_TICKS: Final = 1e-3
_FLOAT_S: Final = 1e-6  # what a Float64 of an epoch leaves of a microsecond
_LOWEST, _HIGHEST = 1.5, 3e4  # of ratios that are no mistake

SPAN_UNITS: Final = 2**20
"""Spans are summed up in so many parts of a second."""

_BLOCK: Final = 2**14  # rows at a time, which the caches of a processor hold
_NOWHERE: Final = np.empty(0, dtype=np.int64)

FINE_S: Final = 0.001
"""A clock of this resolution, or a finer one, tells spans well enough to say nothing of it."""


@dataclass(frozen=True, kw_only=True)
class _Mistake:
    """That latencies, or times, are in another unit than they are read in.

    Attributes:
        ratio: the latency as it is read, in ms, over ``end_time - start_time``, in s.
        told: what is in which unit, and the map of columns that says so.
    """

    ratio: float
    told: str


def _latencies(unit: str) -> str:
    return f"the latencies are in {unit} (--map latency=invocation_latency:{unit})"


def _times(unit: str) -> str:
    return f"the times are in {unit} (--map start=start_time:relative_{unit})"


_MISTAKES: Final = (
    _Mistake(ratio=1.0, told=f"{_latencies('s')}, or {_times('ms')}"),
    _Mistake(ratio=1 / 60, told=_latencies("min")),
    _Mistake(ratio=1e6, told=_latencies("us")),
    _Mistake(ratio=1e9, told=_latencies("ns")),
    _Mistake(ratio=1e-3, told=_times("us")),
    _Mistake(ratio=1e-6, told=_times("ns")),
    _Mistake(ratio=6e4, told="the times are in minutes (write them in seconds)"),
)


def _zeros(*shape: int) -> NDArray[np.float64]:
    return np.zeros((len(_TICKS_S), len(_MISTAKES), *shape))


@dataclass(frozen=True, kw_only=True)
class UnitCounts:
    """Calls whose latency is the span from their start to their end, but in another unit.

    A latency may be any part of that span, as calls wait in queues. So a call counts only if the ratio of
    both is that of two units, to a tenth and to the resolution of the clock, and its span is several times
    that resolution.

    Attributes:
        calls: calls with a latency above 0, a start and an end.
        near: how many of them are so, for each resolution that the clock may turn out to have, and unit.
        examples: the longest span in s, and its latency, of those.
        spans: how many calls have a start and an end.
        span_sum: from their starts to their ends, summed up in units of 2^-20 s.
    """

    calls: int = 0
    spans: int = 0
    span_sum: int = 0
    near: NDArray[np.float64] = field(default_factory=_zeros)
    examples: NDArray[np.float64] = field(default_factory=lambda: _zeros(2))

    @classmethod
    def of(cls, rows: pl.DataFrame, resolution_s: float = 1.0) -> "UnitCounts":
        """Of some rows.

        Args:
            rows: the latency in ms, ``start_time`` and ``end_time`` in s.
            resolution_s: what is known of the resolution of the clock: it is no coarser.
        """
        latency, start, end = (
            rows.get_column(name).to_numpy() for name in (LATENCY, "start_time", "end_time")
        )
        blocks = range(0, len(latency), _BLOCK)
        size = min(len(latency), _BLOCK)
        spans = [_spans(*(values[first : first + _BLOCK] for values in (start, end))) for first in blocks]
        ratio, is_low, is_high = np.empty(size), np.empty(size, np.bool_), np.empty(size, np.bool_)
        counts = [
            _calls_and_odd(
                *(values[first : first + _BLOCK] for values in (latency, start, end)),
                ratio=ratio,
                is_low=is_low,
                is_high=is_high,
            )
            for first in blocks
        ]
        found = cls(
            calls=sum(calls for calls, _ in counts),
            spans=sum(count for count, _ in spans),
            span_sum=sum(total for _, total in spans),
        )
        odd = [first + places for first, (_, places) in zip(blocks, counts, strict=True) if len(places)]
        if odd:  # nearly no logs get here
            places = np.concatenate(odd)
            found._find(end[places] - start[places], latency[places], _tick(resolution_s))
        return found

    def _find(self, span: NDArray[np.float64], latency: NDArray[np.float64], coarsest: int) -> None:
        for tick in range(coarsest, len(_TICKS_S)):
            allowed = _allowed(span, _TICKS_S[tick])
            for number, mistake in enumerate(_MISTAKES):
                is_near = np.abs(latency / mistake.ratio - span) <= allowed
                self.near[tick, number] = np.count_nonzero(is_near)
                if self.near[tick, number]:
                    longest = np.lexsort((latency[is_near], span[is_near]))[-1]
                    self.examples[tick, number] = span[is_near][longest], latency[is_near][longest]

    def merge(self, other: "UnitCounts") -> "UnitCounts":
        """Of the rows of both."""
        summed = {name: getattr(self, name) + getattr(other, name) for name in ("calls", "spans", "span_sum")}
        if not other.near.any():
            return UnitCounts(**summed, near=self.near, examples=self.examples)
        span, latency = np.moveaxis(self.examples, -1, 0)
        other_span, other_latency = np.moveaxis(other.examples, -1, 0)
        is_longer = (other_span > span) | ((other_span == span) & (other_latency > latency))
        return UnitCounts(
            **summed,
            near=self.near + other.near,
            examples=np.where(is_longer[..., np.newaxis], other.examples, self.examples),
        )

    @classmethod
    def merge_all(cls, several: Iterable["UnitCounts"]) -> "UnitCounts":
        """Of the rows of all."""
        whole = cls()
        for one in several:
            whole = whole.merge(one)
        return whole

    def sentence(self, resolution_s: float) -> str:
        """What is most likely in another unit, and what to do; nothing where no half of the calls says so.

        Args:
            resolution_s: the resolution of the clock of all rows.
        """
        tick = _tick(resolution_s)
        number = int(np.argmax(self.near[tick]))
        near = int(self.near[tick, number])
        if not near or 2 * near < self.calls:
            return ""
        span, latency = self.examples[tick, number]
        return (
            f"{near:,} of {counted(self.calls, 'call')} have a latency that is end_time - start_time in "
            f"another unit, such as {latency:g} ms with end_time - start_time = {span:.6g} s: "
            f"most likely {_MISTAKES[number].told}"
        )


class UnitWatch:
    """Counts such calls in batches of rows from any thread, where start and end were both logged.

    Attributes:
        counts: of all rows so far.
    """

    def __init__(self, logged_times: Iterable[str]) -> None:
        """Begins with no rows.

        Args:
            logged_times: which of ``start_time`` and ``end_time`` the log holds as its tool wrote them.
        """
        self._is_span_logged = set(_TIMES) <= set(logged_times)
        self._lock = threading.Lock()
        self.counts = UnitCounts()

    def add(self, rows: pl.DataFrame, resolution_s: float = 1.0) -> None:
        """Counts in rows, as far as these have what it takes; see ``UnitCounts.of``."""
        if not self._is_span_logged or not {LATENCY, *_TIMES}.issubset(rows.columns):
            return
        counts = UnitCounts.of(rows, resolution_s)
        with self._lock:
            self.counts = self.counts.merge(counts)


def _calls_and_odd(
    latency: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    *,
    ratio: NDArray[np.float64],
    is_low: NDArray[np.bool_],
    is_high: NDArray[np.bool_],
) -> tuple[int, NDArray[np.int64]]:
    """How many calls have a latency and a span, and where the ratio of both may be one of two units.

    All rows of every log pass here: what is computed lies in memory that the caller has at hand.
    """
    ratio = ratio[: len(latency)]
    is_low, is_high = is_low[: len(latency)], is_high[: len(latency)]
    with np.errstate(divide="ignore", invalid="ignore"):
        np.subtract(end, start, out=ratio)
        np.divide(latency, ratio, out=ratio)
    calls = int(np.count_nonzero(np.greater(ratio, 0, out=is_high)))
    np.less(ratio, _LOWEST, out=is_low)
    is_low &= is_high
    is_low |= np.greater(ratio, _HIGHEST, out=is_high)
    return calls, np.flatnonzero(is_low) if is_low.any() else _NOWHERE


def _spans(start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[int, int]:
    """How many calls have both, and how long these last, in whole units, which add up in any order."""
    units = np.rint((end - start) * SPAN_UNITS)
    known = ~np.isnan(units)
    count = int(np.count_nonzero(known))
    return count, int((units if count == len(units) else units[known]).astype(np.int64).sum())


def _allowed(span: NDArray[np.float64], tick_s: float) -> NDArray[np.float64]:
    """By what a latency may differ from a span in s and still be the same; negative where none is."""
    # Of few whole seconds, even equal numbers are chance: latencies of 1 ms are common.
    few = -1.0 if tick_s == 1.0 else _SHARE_OF_FEW_TICKS * span + _FLOAT_S
    allowed = np.where(span >= _FEWEST_TICKS * tick_s, _SHARE * span + tick_s, few)
    return np.where(span > 0, allowed, -1.0)


def _tick(resolution_s: float) -> int:
    """Which of the ticks a clock has; few rows are all it takes to look like one of tenths of a second."""
    if resolution_s == 1.0:
        return 0
    return 1 if resolution_s > 0 else 2


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
