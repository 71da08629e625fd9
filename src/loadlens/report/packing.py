"""Whole numbers as few bytes, for a page that reads them again in ``script/unpack.js``."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["rows_of", "varints"]

_Ints = NDArray[np.int64]


def rows_of(owner: _Ints, num_owners: int, place: _Ints, *counts: _Ints) -> Iterator[_Ints]:
    """Rows that belong to something, as numbers that are small: how many each owner has, then their columns.

    Args:
        owner: the owner of each row, ascending.
        num_owners: how many owners there are.
        place: where each row is, ascending within its owner; told as the step from the row before it.
        counts: further columns.
    """
    yield np.bincount(owner, minlength=num_owners)
    is_first = np.diff(owner, prepend=-1) != 0
    steps = np.diff(place, prepend=0)
    steps[is_first] = place[is_first]
    yield steps
    yield from counts


def varints(values: _Ints) -> bytes:
    """Whole numbers of 0 or more, 7 bits to a byte, the lowest first; all but the last byte have the 8th."""
    places = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    parts = values[:, None] >> (7 * np.arange(places + 1))
    is_told = parts[:, :-1] > 0
    is_told[:, 0] = True
    digits = (parts[:, :-1] & 127) | np.where(parts[:, 1:] > 0, 128, 0)
    return digits[is_told].astype(np.uint8).tobytes()
