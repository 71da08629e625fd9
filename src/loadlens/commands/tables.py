"""Small tables and lines on standard output, their text inert."""

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadlens.report.columns import column_header, format_value
from loadlens.terminal import inert

__all__ = ["print_frame", "print_line"]

_WIDTH_WITHOUT_TERMINAL = 160
_MOST_ROWS = 40


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def print_frame(title: str, frame: pl.DataFrame, *, currency: str = "USD", rest: str = "the files") -> None:
    """Prints the first rows of a frame; headers and formats follow from its column names.

    Args:
        title: stands above the table.
        frame: the rows.
        currency: ISO 4217 code of columns that hold money.
        rest: where the rows are that are not shown.
    """
    console = _console()
    table = Table(title=Text(inert(title)), title_justify="left", title_style="bold")
    for name, dtype in frame.schema.items():
        header = Text(inert(column_header(name, currency)))
        table.add_column(header, justify="right" if dtype.is_numeric() else "left")
    for row in frame.head(_MOST_ROWS).iter_rows():
        cells = zip(frame.columns, row, strict=True)
        table.add_row(*[Text(inert(format_value(name, value))) for name, value in cells])
    console.print(table)
    if frame.height > _MOST_ROWS:
        console.print(Text(f"{frame.height - _MOST_ROWS:,} more rows are in {inert(rest)}."))


def print_line(text: str) -> None:
    """Prints a line, wrapped by the terminal alone."""
    _console().print(Text(inert(text)), soft_wrap=True)
