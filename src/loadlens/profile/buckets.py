"""Latency buckets: the leading bits of a Float64.

Read as a signed integer, the bits of a number of 0 or more grow with it, so dropping trailing bits
makes buckets of constant relative width without computing a logarithm. The one negative latency, the
sentinel -1 of a failed call, falls below all others.
"""

from typing import Final

import numpy as np

from loadlens.schema import MAX_LATENCY_MS

__all__ = [
    "BUCKET_SHIFT",
    "COARSE_ERROR",
    "COARSE_SHIFT",
    "FAILED",
    "MAX_BUCKET",
    "RELATIVE_ERROR",
    "bucket_bounds",
    "bucket_middle",
    "bucket_of",
    "octave_part_low",
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


FAILED: Final = -1
"""The bucket of the latency -1 of failed calls in a profile, below all others."""

MAX_BUCKET: Final = int(np.float64(MAX_LATENCY_MS).view(np.int64)) >> BUCKET_SHIFT
"""The first bucket above those of every latency that may be used."""


_PARTS_PER_OCTAVE: Final = 8


def octave_part_low(part: np.ndarray) -> np.ndarray:
    """The smallest latency in ms of each eighth of a doubling."""
    octave, _ = bucket_bounds(part // _PARTS_PER_OCTAVE * _BUCKETS_PER_OCTAVE)
    return octave * np.exp2(part % _PARTS_PER_OCTAVE / _PARTS_PER_OCTAVE)
