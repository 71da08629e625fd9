"""The fence above which calls are outliers."""

from typing import Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.plan import Outliers

__all__ = ["upper_fence"]

Number = TypeVar("Number", pl.Expr, float, NDArray[np.float64])

IQRS_ABOVE_MEAN: Final = 5.0
IQRS_ABOVE_Q75: Final = 1.5


def upper_fence(outliers: Outliers, mean: Number, q25: Number, q75: Number) -> Number:
    """The upper fence in ms, of figures, arrays or expressions."""
    if outliers == "tukey":
        return q75 + IQRS_ABOVE_Q75 * (q75 - q25)
    return mean + IQRS_ABOVE_MEAN * (q75 - q25)
