"""Frames of several profiles put together, and completions per second in a form that does not grow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKET_SHIFT, bucket_bounds

__all__ = [
    "EXCESS_UNITS",
    "Pace",
    "ascending",
    "coarsened",
    "common_keys",
    "new_codes",
    "numbered",
    "pace_of",
    "rates_of",
    "recoded",
    "seconds_of_all",
    "summed_buckets",
    "summed_classes",
    "summed_figures",
    "summed_paces",
    "summed_seconds",
    "sums_of_buckets",
    "whole_of_halves",
    "window_width",
    "windows_of",
]


Ints = NDArray[np.int64]

_MOST_WINDOWS = 256
_MOST_PACE_WINDOWS = 1024
_BUCKET_BITS = 21
EXCESS_UNITS = 2**20
"""How many units of ``Profile.buckets``' excess a bucket is wide."""

_SECOND_BITS = 35
_LARGEST_LOOKUP = 2**22
_MOST_CELLS_A_ROW = 4
"""How many elements there may be for a row in an array of all numbers that rows could have."""

_MOST_EXACT = 2**53
_SECOND_COUNTS = ("starts", "calls", "completions")
_RATES: Final = {"code": pl.Int64(), "completions": pl.Int64(), "num_seconds": pl.Int64()}
_WINDOWS: Final = dict.fromkeys(
    ("second", "width_s", "first_second", "last_second", "num_seconds", "calls", "completions"), pl.Int64()
)


def whole_of_halves(high: pl.Expr, low: pl.Expr) -> pl.Expr:
    """Numbers of 128 bits, Int128, from their upper 64 bits (Int64) and the lower ones (UInt64)."""
    return high.cast(pl.Int128) * pl.lit(2**64, dtype=pl.Int128) + low.cast(pl.Int128)


def sums_of_buckets(buckets: pl.DataFrame, shift: int = BUCKET_SHIFT) -> pl.Series:
    """``latency_sum``, the latencies of each bucket in ms summed up, of its ``count`` and ``excess``."""
    low, high = bucket_bounds(buckets["bucket"].to_numpy(), shift)
    width = pl.Series((high - low) / EXCESS_UNITS)
    return (pl.Series(low) * buckets["count"] + width * buckets["excess"]).alias("latency_sum")


def numbered(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All frames together by column name, each row with the number of its ``part``."""
    numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [part.height for part in parts])
    return pl.concat(parts, how="diagonal_relaxed").with_columns(pl.Series("part", numbers))


def ascending(keys: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Keys in ascending order, nulls last, in columns that are not marked as sorted.

    Of two columns of floats that are, Polars 2.1 joins no NaN.
    """
    order = keys.select(pl.arg_sort_by(names, nulls_last=True)).to_series()
    return keys[order]


def common_keys(parts: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The distinct keys of all parts under codes from 0, ascending."""
    distinct = ascending(parts.select(names).unique(), names) if names else pl.DataFrame()
    if not names and not parts.is_empty():
        distinct = pl.DataFrame(height=1)
    return distinct.with_row_index("code").with_columns(pl.col("code").cast(pl.Int64))


def numbered_by(keys: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The keys with the ``number`` of what they are told by, ascending."""
    if not names:
        return keys.with_columns(number=pl.lit(0, dtype=pl.Int64))
    return ascending(keys, names).with_columns(number=pl.struct(names).rle_id().cast(pl.Int64))


def new_codes(parts: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """For each ``part`` and ``code`` the ``new`` code that their key has among ``keys``."""
    names = [name for name in keys.columns if name != "code"]
    new = keys.rename({"code": "new"})
    joined = (
        parts.join(new, on=names, nulls_equal=True)
        if names
        else parts.with_columns(new=pl.lit(0, dtype=pl.Int64))
    )
    return joined.select("part", "code", "new")


def recoded(rows: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Rows of several parts under their new codes; rows of unknown codes are left out."""
    if (codes["code"] == codes["new"]).all():
        return rows.drop("part")
    part, code = codes["part"].to_numpy(), codes["code"].to_numpy()
    width, parts = int(code.max(initial=0)) + 1, int(part.max(initial=0)) + 1
    known = rows["code"].is_between(0, width - 1) & (rows["part"] < parts)
    if code.min(initial=0) < 0 or parts * width > _LARGEST_LOOKUP or not known.all(ignore_nulls=False):
        return rows.join(codes, on=["part", "code"]).with_columns(code=pl.col("new")).drop("part", "new")
    # Looking each row up in an array takes a hundredth of what a join takes.
    lookup = np.full(parts * width, -1)
    lookup[part.astype(np.int64) * width + code] = codes["new"].to_numpy()
    new = lookup[rows["part"].to_numpy().astype(np.int64) * width + rows["code"].to_numpy()]
    found = rows.drop("part").with_columns(pl.Series("code", new))
    return found if new.min(initial=0) >= 0 else found.filter(pl.col("code") >= 0)


def summed_figures(figures: pl.DataFrame) -> pl.DataFrame:
    """Figures by code and success, each pair once, ascending."""
    lowest, highest = ("latency_min", "first_start"), ("latency_max", "last_end")
    summed = figures.group_by("code", "success").agg(
        pl.exclude(*lowest, *highest).sum(), pl.col(lowest).min(), pl.col(highest).max()
    )
    return summed.select(figures.columns).sort("code", "success")


def summed_buckets(buckets: pl.DataFrame) -> pl.DataFrame:
    """Counts of latency buckets, and their excess where there is any, each bucket once, ascending."""
    # Groups of one number are found several times faster than groups of three columns.
    cell = (pl.col("code") * 2 + pl.col("success").cast(pl.Int64)) * (1 << _BUCKET_BITS)
    cell = (cell + pl.col("bucket") + (1 << (_BUCKET_BITS - 1))).alias("cell")
    summed = buckets.group_by(cell).agg(
        pl.col("code", "success", "bucket").first(), pl.exclude("code", "success", "bucket").sum()
    )
    return summed.sort("cell").drop("cell")


def summed_seconds(seconds: pl.DataFrame) -> pl.DataFrame:
    """Counts of seconds, each second once."""
    first, last, lowest, most, calls = seconds.select(
        pl.col("second").min().alias("first"),
        pl.col("second").max(),
        pl.col("code").min().alias("lowest"),
        pl.col("code").max(),
        pl.col("calls").sum(),
    ).row(0)
    has_nulls = any(seconds[name].null_count() for name in ("code", "second", *_SECOND_COUNTS))
    if seconds.is_empty() or has_nulls or lowest < 0 or calls >= _MOST_EXACT:
        return _summed_by_groups(seconds)
    if (last - first + 1) * (most + 1) > _MOST_CELLS_A_ROW * seconds.height:
        return _summed_by_groups(seconds)
    return _summed_by_table(seconds, first, most + 1)


def seconds_of_all(seconds: pl.DataFrame) -> pl.DataFrame:
    """The seconds of all codes together, as those of code 0, each once."""
    return summed_seconds(seconds.with_columns(code=pl.lit(0, dtype=pl.Int64)))


def _summed_by_table(seconds: pl.DataFrame, first: int, num_codes: int) -> pl.DataFrame:
    """Sums up in arrays of all codes and seconds, which takes a tenth of what finding groups takes."""
    cell = (seconds["second"].to_numpy() - first) * num_codes + seconds["code"].to_numpy()
    counts = {name: np.bincount(cell, seconds[name].to_numpy()) for name in _SECOND_COUNTS}
    used = np.flatnonzero(counts["starts"] + counts["calls"])
    counts = {name: values[used] for name, values in counts.items()}
    found = {"code": used % num_codes, "second": used // num_codes + first, **counts}
    return pl.DataFrame({name: values.astype(np.int64) for name, values in found.items()})


def _summed_by_groups(seconds: pl.DataFrame) -> pl.DataFrame:
    cell = pl.col("code") * (1 << _SECOND_BITS) + (pl.col("second") + (1 << (_SECOND_BITS - 1)))
    summed = seconds.group_by(cell.alias("cell")).agg(
        pl.col("code", "second").first(), pl.col(_SECOND_COUNTS).sum()
    )
    return summed.drop("cell")


def summed_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Counts of error classes, each class once."""
    return classes.group_by("code", "error").agg(pl.col("count").sum())


def window_width(span_s: float) -> float:
    """The power of two that splits a span of time into at most 128 windows, in s."""
    return 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (_MOST_WINDOWS / 2)))


def coarsened(heat: pl.DataFrame, least_width: float = 0.0) -> pl.DataFrame:
    """Brings windows of several widths to one width, in s, at most 256 of them."""
    if heat.is_empty():
        return heat
    first, last, width = heat.select(
        pl.col("time_s").min(), pl.col("time_s").max().alias("last"), pl.col("window_s").max()
    ).row(0)
    width = max(width, least_width)
    while last // width - first // width >= _MOST_WINDOWS:
        width *= 2
    time = (pl.col("time_s") / width).floor() * width
    groups = heat.group_by(time.alias("time_s"), pl.lit(width).alias("window_s"), "octave_part")
    return groups.agg(pl.col("count").sum())


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
    """The seconds of all codes together, each a window of ``Pace.windows``."""
    whole = seconds_of_all(seconds).filter(pl.col("calls") > 0)
    one, same = pl.lit(1, dtype=pl.Int64), pl.col("second")
    return whole.select(
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
    if highest < _MOST_CELLS_A_ROW * len(numbers):
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
    while last // width - first // width >= _MOST_PACE_WINDOWS:
        width *= 2
    start = (pl.col("second") // width * width).alias("second")
    return windows.group_by(start, pl.lit(width, dtype=pl.Int64).alias("width_s")).agg(
        pl.col("first_second").min(),
        pl.col("last_second").max(),
        pl.col("num_seconds", "calls", "completions").sum(),
    )
