"""Places: the buckets from 2^-32 to 2^32 ms, the bucket of 0 and the sentinel -1, numbered from 0."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadlens.profile.buckets import BUCKETS_PER_OCTAVE, FAILED_BUCKET, bucket_of

__all__ = [
    "GROUPS",
    "LOWEST_BUCKET",
    "NUM_PLACES",
    "PLACE_OF_FAILED",
    "PLACE_OF_ZERO",
    "REGULAR_PLACES",
    "buckets_of_places",
    "places_of_buckets",
]

Ints = NDArray[np.int64]

_OCTAVES: Final = 64
REGULAR_PLACES: Final = _OCTAVES * BUCKETS_PER_OCTAVE
PLACE_OF_ZERO: Final = REGULAR_PLACES
PLACE_OF_FAILED: Final = REGULAR_PLACES + BUCKETS_PER_OCTAVE

GROUPS: Final = _OCTAVES + 2
"""Groups of neighbouring places: a doubling of the latency each, then 0, then -1."""

NUM_PLACES: Final = GROUPS * BUCKETS_PER_OCTAVE
LOWEST_BUCKET: Final = int(bucket_of(np.array([2.0**-32]))[0])


def buckets_of_places(places: Ints) -> Ints:
    """The profile's bucket of each place."""
    special = np.where(places >= PLACE_OF_FAILED, FAILED_BUCKET, 0)
    return np.where(places < REGULAR_PLACES, places + LOWEST_BUCKET, special)


def places_of_buckets(buckets: Ints) -> Ints:
    """The place of each bucket, -1 for those without one."""
    places = buckets - LOWEST_BUCKET
    failed = np.where(buckets == FAILED_BUCKET, PLACE_OF_FAILED, -1)
    special = np.where(buckets == 0, PLACE_OF_ZERO, failed)
    return np.where((places >= 0) & (places < REGULAR_PLACES), places, special)
