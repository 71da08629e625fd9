"""What modules of compiled loops need."""

from collections.abc import Callable
from typing import Any, TypeVar

import polars as pl
from numpy.typing import NDArray

__all__ = ["can_compile", "compiled", "frozen", "frozen_column"]

Function = TypeVar("Function", bound=Callable[..., Any])


def can_compile() -> bool:
    """Whether loops can be compiled here: Numba lags behind new releases of Python and NumPy."""
    try:
        import numba  # noqa: F401
    except (ImportError, OSError):  # the latter where LLVM cannot be loaded
        return False
    return True


def compiled(function: Function) -> Function:
    """Compiles a function; the code is kept for later runs where there is a folder that can be written."""
    from numba import njit

    try:
        kept: Function = njit(function, nogil=True, cache=True)
    except RuntimeError:
        kept = njit(function, nogil=True)
    return kept


def frozen_column(column: pl.Series, missing: float) -> NDArray[Any]:
    """A column as such an array, with ``missing`` in the place of nulls."""
    filled = column.fill_null(missing) if column.null_count() else column
    return frozen(filled.to_numpy())


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, read-only, which to the compiler is a type of its own."""
    array.flags.writeable = False
    return array
