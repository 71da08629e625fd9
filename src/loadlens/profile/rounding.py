"""Figures made of sums of floats, without the digits that hang on the order in which a scan adds up."""

from typing import Final

import polars as pl

__all__ = ["settled"]

_DIGITS: Final = 13


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
