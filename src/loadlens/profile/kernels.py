"""Compiled loops that code keys."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadlens.compiled import compiled

__all__ = ["add_digits", "give_codes"]

Array = NDArray[Any]


@compiled
def add_digits(combined: Array, values: Array, low: int, digits: Array, capacity: int) -> bool:
    """Appends the digit of each value to ``combined``; false where some value has none."""
    known = np.int64(0)
    size = np.uint64(len(digits))
    for row in range(len(values)):
        index = np.uint64(values[row] - low)  # those below ``low`` become large
        inside = index < size
        digit = digits[index if inside else np.uint64(0)] if size else np.int64(-1)
        digit = digit if inside else np.int64(-1)
        known |= digit
        combined[row] = combined[row] * capacity + digit
    return bool(known >= 0)


@compiled
def give_codes(combined: Array, codes: Array) -> bool:
    """Puts the code of each combination into its place; false where some has none."""
    known = np.int64(0)
    for row in range(len(combined)):
        code = codes[np.uint64(combined[row])]
        known |= code
        combined[row] = code
    return bool(known >= 0)
