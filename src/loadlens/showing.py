"""How results show themselves: a line at a prompt, a table in a notebook."""

from html import escape

import polars as pl

from loadlens.visible import visible

__all__ = ["Shown", "grouped"]


class Shown:
    """A result that shows itself in short; dataclasses of it are declared with ``repr=False``."""

    @property
    def headline(self) -> str:
        """What was found, in a few words."""
        raise NotImplementedError

    @property
    def shown_table(self) -> pl.DataFrame | None:
        """What a notebook shows below the headline; None for nothing."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {visible(self.headline)}>"

    def _repr_html_(self) -> str:
        table = self.shown_table
        return f"<p>{escape(repr(self))}</p>{'' if table is None else table._repr_html_()}"


def grouped(by: tuple[str, ...]) -> str:
    """How a log was grouped."""
    return f"by {', '.join(by)}" if by else "as a whole"
