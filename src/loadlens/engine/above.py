"""The successes above a fence: how many, their exact sum, and the seconds in which they completed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Layout, NativeTally
from loadlens.schema import LATENCY

__all__ = ["Above", "Removed"]

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

    def removed(self, keys: int) -> Removed:
        """What was counted, where there are so many keys."""
        found = Removed.nothing(keys)
        for code, calls, total in self.counts.iter_rows():
            found.counts[code] = calls
            found.sums[code] = total
        return Removed(counts=found.counts, sums=found.sums, seconds=self.seconds)
