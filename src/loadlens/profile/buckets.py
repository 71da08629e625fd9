"""Latency buckets: the leading bits of a Float64.

Read as a signed integer, the bits of a number of 0 or more grow with it, so dropping trailing bits
makes buckets of constant relative width without computing a logarithm. The one negative latency, the
sentinel -1 of a failed call, falls below all others.
"""

from typing import Final

import numpy as np
import polars as pl

from loadlens.schema import LATENCY, MAX_LATENCY_MS

__all__ = [
    "BUCKETS_PER_OCTAVE",
    "BUCKET_BITS",
    "BUCKET_SHIFT",
    "FAILED",
    "MAX_BUCKET",
    "NULL_BUCKET",
    "RELATIVE_ERROR",
    "bits",
    "bucket_bounds",
    "bucket_middle",
    "bucket_of",
    "octave_part_low",
    "prefix",
    "value_of_bits",
]

_MANTISSA_BITS: Final = 52
BUCKET_BITS: Final = 8
BUCKET_SHIFT: Final = _MANTISSA_BITS - BUCKET_BITS
"""Dropping this many bits leaves 256 buckets for each doubling of the latency."""

_BITS_OF_MINUS_ZERO: Final = int(np.float64(-0.0).view(np.int64))

BUCKETS_PER_OCTAVE: Final = 2**BUCKET_BITS

RELATIVE_ERROR: Final = 2.0 ** -(BUCKET_BITS + 1)
"""A value read from its bucket's middle is off by at most half a bucket: 0.2 %."""

NULL_BUCKET: Final = -(2**19) - 1
"""Where rows without a latency are counted; below the bucket of every number."""


def bits() -> pl.Expr:
    """The latency's bits as Int64, those of -0.0 as those of 0.0."""
    found = pl.col(LATENCY).reinterpret(dtype=pl.Int64)
    return pl.when(found == _BITS_OF_MINUS_ZERO).then(0).otherwise(found)


def prefix(shift: int) -> pl.Expr:
    """The latency's bits without the last ``shift``, ``NULL_BUCKET`` where there is no latency."""
    return (bits() // (1 << shift)).fill_null(NULL_BUCKET)


def bucket_of(latency_ms: np.ndarray) -> np.ndarray:
    """The bucket of each latency; that of every negative number is below all latencies."""
    latency_ms = np.asarray(latency_ms, dtype=np.float64)
    found = (latency_ms + 0.0).view(np.int64) >> BUCKET_SHIFT
    return np.where(latency_ms < 0, NULL_BUCKET, found)


def value_of_bits(prefixes: np.ndarray, shift: int) -> np.ndarray:
    """The smallest latency in ms of each prefix that lacks ``shift`` bits."""
    return (np.asarray(prefixes, dtype=np.int64) << shift).view(np.float64)


def bucket_bounds(buckets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest latency of each bucket and of the next one, in ms; both -1 for failed calls."""
    failed = buckets < 0
    low, high = (value_of_bits(np.where(failed, 0, buckets) + more, BUCKET_SHIFT) for more in (0, 1))
    return np.where(failed, -1.0, low), np.where(failed, -1.0, high)


def bucket_middle(buckets: np.ndarray) -> np.ndarray:
    """The middle of each bucket in ms, which stands for its latencies where these are not known.

    Of the first bucket it is 0, which calls last by a coarse clock: half of its width would mean nothing.
    """
    low, high = bucket_bounds(buckets)
    return np.where(buckets == 0, 0.0, (low + high) / 2)


FAILED: Final = -1
"""The bucket of the latency -1 of failed calls in a profile, below all others."""

MAX_BUCKET: Final = int(np.float64(MAX_LATENCY_MS).view(np.int64)) >> BUCKET_SHIFT
"""The first bucket above those of every latency that may be used."""


_PARTS_PER_OCTAVE: Final = 8


def octave_part_low(part: np.ndarray) -> np.ndarray:
    """The smallest latency in ms of each eighth of a doubling."""
    octave = value_of_bits(part // _PARTS_PER_OCTAVE * BUCKETS_PER_OCTAVE, BUCKET_SHIFT)
    return octave * np.exp2(part % _PARTS_PER_OCTAVE / _PARTS_PER_OCTAVE)
