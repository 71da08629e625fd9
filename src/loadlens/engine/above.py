"""The successes above a fence: how many, their exact sum, and the seconds in which they completed."""

import ctypes
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Layout, NativeTally

__all__ = ["Above"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_LAYOUT: Final = Layout(1, 2, -1, 3, (ctypes.c_int32 * 3)(-1, -1, -1), -1, -1, 0, 0)


class Above:
    """A tally of successes by the code of their key. One thread at a time may use it."""

    def __init__(self) -> None:
        self._tally = NativeTally([False], _LAYOUT, most_bytes=2**62)
        self._codes: list[Ints] = []

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
        fresh = self._tally.add(rows)
        self._codes.append(rows["code"].to_numpy()[fresh])

    def counts(self, keys: int) -> tuple[Ints, list[int]]:
        """How many calls each code from 0 has, and the sum of their latencies in units of 2^-55 ms."""
        count, sums = np.zeros(keys, dtype=np.int64), [0] * keys
        lines = self._tally.figures().line[1::2]  # of a code's two lines the second is that of successes
        for code, line in zip(self._known().tolist(), lines, strict=True):
            count[code] = line["timed"]
            sums[code] = (int(line["sum_high"]) << 64) + int(line["sum_low"])
        return count, sums

    def seconds(self) -> pl.DataFrame:
        """``code``, ``second`` and ``removed``: how many of the calls ended then."""
        code, second, _, _, completions = self._tally.seconds()
        return pl.DataFrame({"code": self._known()[code], "second": second, "removed": completions})

    def _known(self) -> Ints:
        return np.concatenate([np.empty(0, dtype=np.int64), *self._codes])
