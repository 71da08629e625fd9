"""Frames of Polars that summarise themselves: ``log.loadlens.summarize(by="label")``.

``import loadlens.polars_namespace`` adds it to eager and lazy frames.
"""

from typing import TYPE_CHECKING, Any

import polars as pl

from loadlens.api import summarize
from loadlens.gates import check_gates

if TYPE_CHECKING:
    from loadlens.gates import GateCheck
    from loadlens.results import SummaryResult

__all__ = ["Namespace"]


@pl.api.register_lazyframe_namespace("loadlens")
@pl.api.register_dataframe_namespace("loadlens")
class Namespace:
    """What loadlens makes of a frame; options and errors are those of the functions of the same name."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._frame = frame

    def summarize(self, *arguments: Any, **options: Any) -> "SummaryResult":
        """See ``loadlens.summarize``."""
        return summarize(self._frame, *arguments, **options)

    def check_gates(self, *arguments: Any, **options: Any) -> "GateCheck":
        """See ``loadlens.check_gates``."""
        return check_gates(self._frame, *arguments, **options)
