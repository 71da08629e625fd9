"""Completions per second in a form that does not grow with time: all that reports need of the seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

__all__ = ["Pace", "pace_of", "rates_of", "summed_paces", "windows_of"]

_MOST_WINDOWS: Final = 1024

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
    succeeded = seconds.filter(pl.col("completions") > 0)
    highest = int(succeeded["completions"].max() or 0)  # type: ignore[arg-type]  # a number, or nothing
    # Groups of one number are found several times faster than groups of two columns.
    width = highest + 1
    pair = (pl.col("code") * width + pl.col("completions")).alias("pair")
    counts = succeeded.select(pair).to_series().value_counts(name="num_seconds")
    code, completions = (pl.col("pair") // width).alias("code"), (pl.col("pair") % width).alias("completions")
    return counts.select(code, completions, pl.col("num_seconds").cast(pl.Int64))


def windows_of(seconds: pl.DataFrame) -> pl.DataFrame:
    """The seconds of all codes together, each a window of ``Pace.windows``."""
    ended = seconds.filter(pl.col("calls") > 0)
    counts = ended.group_by("second").agg(pl.col("calls", "completions").sum())
    one, same = pl.lit(1, dtype=pl.Int64), pl.col("second")
    return counts.select(
        "second",
        one.alias("width_s"),
        same.alias("first_second"),
        same.alias("last_second"),
        one.alias("num_seconds"),
        "calls",
        "completions",
    )


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
