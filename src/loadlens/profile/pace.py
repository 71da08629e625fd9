"""Completions per second in a form that does not grow with time: all that reports need of the seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Pace", "pace_of", "rates_of", "summed_paces", "windows_of"]

Ints = NDArray[np.int64]

_MOST_WINDOWS: Final = 1024
_CLOSE: Final = 4
"""Times as many numbers as there are may lie between them that are counted in an array of all of these."""

_RATES: Final = {"code": pl.Int64(), "completions": pl.Int64(), "num_seconds": pl.Int64()}
_WINDOWS: Final = dict.fromkeys(
    ("second", "width_s", "first_second", "last_second", "num_seconds", "calls", "completions"), pl.Int64()
)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast calls completed. Paces of times that share no second add up, and cannot be told apart again.

    Attributes:
        rates: ``code``, ``completions`` (successful calls in one second, 1 or more), ``num_seconds`` (how
            many seconds saw as many).
        windows: the whole log over time: ``second`` (start of a window, a multiple of its width),
            ``width_s`` (a power of two), ``first_second`` and ``last_second`` that saw a call end,
            ``num_seconds`` that did, ``calls``, ``completions``; at most 1024 windows.
    """

    rates: pl.DataFrame
    windows: pl.DataFrame

    @classmethod
    def empty(cls) -> "Pace":
        """The pace of no calls."""
        return cls(rates=pl.DataFrame(schema=_RATES), windows=pl.DataFrame(schema=_WINDOWS))


def rates_of(seconds: pl.DataFrame) -> pl.DataFrame:
    """How many seconds saw how many completions: ``code``, ``completions``, ``num_seconds``."""
    code, completions = (seconds[name].to_numpy() for name in ("code", "completions"))
    width = int(completions.max(initial=0)) + 1
    pair, place = _places(code * width + completions)
    num_seconds = np.bincount(place, minlength=len(pair))
    used = (num_seconds > 0) & (pair % width > 0)
    columns = (pair[used] // width, pair[used] % width, num_seconds[used])
    return pl.DataFrame(dict(zip(_RATES, columns, strict=True)), schema=_RATES)


def windows_of(seconds: pl.DataFrame) -> pl.DataFrame:
    """The seconds of all codes together, each a window of ``Pace.windows``, ascending."""
    second, calls, completions = (seconds[name].to_numpy() for name in ("second", "calls", "completions"))
    first = int(second.min()) if len(second) else 0
    seen, place = _places(second - first)
    # Sums of Float64 are exact here: a log has fewer than 2^53 calls.
    all_calls, succeeded = (
        np.bincount(place, weights=some, minlength=len(seen)) for some in (calls, completions)
    )
    used = all_calls > 0
    found = pl.DataFrame(
        {"second": seen[used] + first, "calls": all_calls[used], "completions": succeeded[used]},
        schema=dict.fromkeys(("second", "calls", "completions"), pl.Int64()),
        strict=False,
    )
    one, same = pl.lit(1, dtype=pl.Int64), pl.col("second")
    return found.select(
        "second",
        one.alias("width_s"),
        same.alias("first_second"),
        same.alias("last_second"),
        one.alias("num_seconds"),
        "calls",
        "completions",
    )


def _places(numbers: Ints) -> tuple[Ints, Ints]:
    """Numbers from 0 on, ascending and all of the given ones among them; and the place of each of these.

    Where they lie close together this takes no sorting.
    """
    highest = int(numbers.max(initial=0))
    if highest < _CLOSE * len(numbers):
        return np.arange(highest + 1), numbers
    return np.unique(numbers, return_inverse=True)


def pace_of(seconds: pl.DataFrame) -> Pace:
    """The pace that seconds (``code``, ``second``, ``calls``, ``completions``) amount to."""
    return Pace(rates=rates_of(seconds), windows=_coarsened(windows_of(seconds)))


def summed_paces(paces: Sequence[Pace]) -> Pace:
    """The pace of all together; no second may be in two of them."""
    rates = pl.concat(pace.rates for pace in paces)
    return Pace(
        rates=rates.group_by("code", "completions").agg(pl.col("num_seconds").sum()),
        windows=_coarsened(pl.concat(pace.windows for pace in paces)),
    )


def _coarsened(windows: pl.DataFrame) -> pl.DataFrame:
    """Brings windows of several widths to one width, at most so many of them."""
    if windows.is_empty():
        return windows
    first, last, width = windows.select(
        pl.col("second").min(), pl.col("last_second").max(), pl.col("width_s").max()
    ).row(0)
    while last // width - first // width >= _MOST_WINDOWS:
        width *= 2
    start = (pl.col("second") // width * width).alias("second")
    return windows.group_by(start, pl.lit(width, dtype=pl.Int64).alias("width_s")).agg(
        pl.col("first_second").min(),
        pl.col("last_second").max(),
        pl.col("num_seconds", "calls", "completions").sum(),
    )
