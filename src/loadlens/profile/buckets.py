"""Latency buckets and windows of time, and quantiles read from buckets.

Read as a signed integer, the bits of a number of 0 or more grow with it, so dropping trailing bits
makes buckets of constant relative width without computing a logarithm. The one negative latency, the
sentinel -1 of a failed call, falls below all others.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import Final

import numpy as np
import polars as pl

from loadlens.errors import UsageError
from loadlens.schema import MAX_LATENCY_MS

__all__ = [
    "BUCKET_SHIFT",
    "COARSE_ERROR",
    "COARSE_SHIFT",
    "FAILED",
    "MAX_BUCKET",
    "MOST_PAIRS",
    "MOST_WINDOWS",
    "RELATIVE_ERROR",
    "bucket_bounds",
    "bucket_middle",
    "bucket_of",
    "checked_window",
    "common_width",
    "fitting_width",
    "in_wider_windows",
    "num_pairs",
    "octave_part_low",
    "settled",
    "window_name",
    "window_of",
]


_MANTISSA_BITS: Final = 52
_BUCKET_BITS: Final = 8
BUCKET_SHIFT: Final = _MANTISSA_BITS - _BUCKET_BITS
"""Dropping this many bits leaves 256 buckets for each doubling of the latency."""

COARSE_SHIFT: Final = _MANTISSA_BITS - 4
"""Dropping this many leaves 16, which are enough for figures by window of time, of which there are many."""

_BUCKETS_PER_OCTAVE: Final = 2**_BUCKET_BITS

RELATIVE_ERROR: Final = 2.0 ** -(_BUCKET_BITS + 1)
"""A value read from its bucket's middle is off by at most half a bucket: 0.2 %."""

COARSE_ERROR: Final = 2.0**-5
"""The same in coarse buckets: 3.1 %."""

FAILED: Final = -1
"""The bucket of the latency -1 of failed calls in a profile, below all others."""

MAX_BUCKET: Final = int(np.float64(MAX_LATENCY_MS).view(np.int64)) >> BUCKET_SHIFT
"""The first bucket above those of every latency that may be used."""

_PARTS_PER_OCTAVE: Final = 8

_DIGITS: Final = 13


MOST_WINDOWS: Final = 256
"""How many windows a log's span may have where nobody asks for a width."""

MOST_PAIRS: Final = 2**16
"""How many pairs of key and window there may be then."""

_WIDTHS_S: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
"""Widths of which each is a multiple of all before it, so that windows can be put together; then twice the
last, and so on. Windows of minutes and hours are whole multiples of them."""

_WIDEST_S: Final = 2**36
"""More than any two times are apart."""


def bucket_of(latency_ms: np.ndarray) -> np.ndarray:
    """The bucket of each latency; that of every negative number is below all latencies."""
    latency_ms = np.asarray(latency_ms, dtype=np.float64)
    found = (latency_ms + 0.0).view(np.int64) >> BUCKET_SHIFT
    return np.where(latency_ms < 0, FAILED, found)


def bucket_bounds(buckets: np.ndarray, shift: int = BUCKET_SHIFT) -> tuple[np.ndarray, np.ndarray]:
    """The smallest latency of each bucket and of the next one, in ms; both -1 for failed calls."""
    start = np.asarray(buckets, dtype=np.int64) << shift
    low, high = start.view(np.float64), (start + (1 << shift)).view(np.float64)
    failed = start < 0
    low[failed] = high[failed] = -1.0
    return low, high


def bucket_middle(buckets: np.ndarray, shift: int = BUCKET_SHIFT) -> np.ndarray:
    """The middle of each bucket in ms, which stands for its latencies where these are not known.

    Of the first bucket it is 0, which calls last by a coarse clock: half of its width would mean nothing.
    """
    low, high = bucket_bounds(buckets, shift)
    return np.where(buckets == 0, 0.0, (low + high) / 2)


def octave_part_low(part: np.ndarray) -> np.ndarray:
    """The smallest latency in ms of each eighth of a doubling."""
    octave, _ = bucket_bounds(part // _PARTS_PER_OCTAVE * _BUCKETS_PER_OCTAVE)
    return octave * np.exp2(part % _PARTS_PER_OCTAVE / _PARTS_PER_OCTAVE)


def settled(figure: pl.Expr, digits: int = _DIGITS) -> pl.Expr:
    """A sum of floats, or a figure made of one, to so many significant digits.

    The last digits of a sum are another for other threads, files or workers; what is left here is the same
    but where a sum lies on the very edge between two roundings. Order statistics are no sums, and need none
    of this.

    Args:
        figure: any unit.
        digits: significant digits; the default is off by at most 5e-13 of the figure, less than the 1e-12
            that figures are held to.
    """
    rounded = figure.round_sig_figs(digits)
    return pl.when(rounded.is_finite()).then(rounded).otherwise(figure)  # denormals have no such digits


def window_name(width_s: float) -> str:
    """The column that tells windows of a width apart among the keys of a profile that has these."""
    return f"window:{width_s!r}"


def window_of(width_s: float) -> pl.Expr:
    """The window in which a call ended, as a multiple of the width; null without an end.

    The width is taken as the fraction that its decimals say, and divided by in whole numbers, as a quotient
    of floats may round to the next window, or Polars multiply by an inverse.
    """
    over, under = Fraction(repr(width_s)).as_integer_ratio()
    end = pl.col("end_time") if under == 1 else pl.col("end_time") * float(under)
    parts = end.floor().cast(pl.Int64, strict=False)
    return (parts if over == 1 else parts // over).alias(window_name(width_s))


def checked_window(window_s: float | None) -> int | None:
    """A width of windows that is asked for, in s.

    Raises:
        UsageError: it is no whole number from 1 on, or of more than a day.
    """
    if window_s is None:
        return None
    is_number = isinstance(window_s, int | float) and not isinstance(window_s, bool)
    if not is_number or window_s != window_s // 1 or not 1 <= window_s <= _WIDTHS_S[-1]:
        raise UsageError(f"window_s: got {window_s!r}, expected whole seconds from 1 to {_WIDTHS_S[-1]:,}")
    return int(window_s)


def common_width(widths_s: Sequence[float]) -> float:
    """The smallest width of which each is a divisor; all are whole numbers."""
    return float(lcm(*map(int, widths_s)))


def _wider(width_s: float) -> Iterator[float]:
    """A width, and all beyond it that are chosen automatically."""
    yield width_s
    yield from (float(width) for width in _WIDTHS_S if width > width_s)
    width = float(_WIDTHS_S[-1])
    while width < _WIDEST_S:
        width *= 2
        if width > width_s:
            yield width


def fitting_width(width_s: float, ends: Sequence[int], pairs: Callable[[int], int]) -> float | None:
    """The smallest width from ``width_s`` on in which the windows are few enough.

    It depends on nothing but the calls: not on their order, nor on how they were divided.

    Args:
        width_s: a width that was chosen automatically.
        ends: the first and the last second that are to be covered; empty where no call has a time.
        pairs: of how many windows are put together to one, how many pairs of key and window there are then.

    Returns:
        The width in s; None where there are too many keys for any.
    """
    for width in _wider(width_s):
        if ends and ends[1] // width - ends[0] // width >= MOST_WINDOWS:
            continue
        if pairs(int(width // width_s)) <= MOST_PAIRS:
            return width
    return None


def num_pairs(keys: pl.DataFrame, window: str, times: int) -> int:
    """How many pairs of key and window there are if so many windows are put together to one.

    Args:
        keys: the pairs, each once.
        window: the column of the windows.
        times: how many; where there are not too many pairs anyway, they are told as they are.
    """
    if times == 1 or keys.height <= MOST_PAIRS:
        return keys.height
    return keys.with_columns(pl.col(window) // times).n_unique()


def in_wider_windows(keys: pl.DataFrame, width_s: float, wider_s: float) -> pl.DataFrame:
    """Pairs of key and window by the windows of another width, of which the own one is a divisor."""
    own, wider = window_name(width_s), window_name(wider_s)
    return keys.with_columns(pl.col(own) // int(wider_s // width_s)).rename({own: wider})
