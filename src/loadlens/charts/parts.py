"""What the charts share: data as they go into a spec, text that is safe in XML, a chart that only tells."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import altair as alt
import polars as pl
import polars.selectors as cs
from altair.utils.schemapi import debug_mode

from loadlens.charts.theme import MUTED, PANEL_WIDTH
from loadlens.visible import visible

__all__ = ["inline", "message_chart", "money", "printable", "series_of", "thousands", "titled", "unchecked"]

_Arguments = ParamSpec("_Arguments")
_Chart = TypeVar("_Chart")

_MOST_CHARACTERS = 120
_KEPT_AT_START = 80
_KEPT_AT_END = 30
_SIGNIFICANT_DIGITS = 7  # finer than a pixel; hides that sums run in an order that changes between runs
_MESSAGE_HEIGHT = 60
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_SERIES = "\0series"  # no column of a log has this name


def unchecked(make: Callable[_Arguments, _Chart]) -> Callable[_Arguments, _Chart]:
    """Spares a chart the check of each of its parts against Vega-Lite's schema, which takes half the time.

    What is wrong with a spec is wrong in each run: tests check the whole ones.
    """

    @wraps(make)
    def made(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Chart:
        with debug_mode(False):
            return make(*args, **options)

    return made


def inline(frame: pl.DataFrame) -> alt.InlineData:
    """The rows of a small frame as part of a spec, past Altair's row limit and a host's transformers."""
    return alt.InlineData(
        values=frame.with_columns(cs.float().round_sig_figs(_SIGNIFICANT_DIGITS)).to_dicts()
    )


def series_of(rows: pl.DataFrame, by: Sequence[str]) -> tuple[pl.Series, list[str]]:
    """The name of each row's key, as column ``series``, and all names in the order of the keys."""
    if not by:
        return pl.Series("series", [""] * rows.height, dtype=pl.String), [""] if rows.height else []
    keys = rows.select(by).unique().sort(by, nulls_last=True)
    names = [" · ".join(map(printable, key)) for key in keys.iter_rows()]
    # A join, as a dictionary would not find NaN again.
    named = rows.select(by).join(
        keys.with_columns(pl.Series(_SERIES, names, dtype=pl.String)),
        on=by,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return named[_SERIES].alias("series"), list(dict.fromkeys(names))


def printable(value: object) -> str:
    """A key value as text of bounded length; hidden characters are replaced."""
    if value is None:
        return "(none)"
    text = visible(str(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_KEPT_AT_START]}…{text[-_KEPT_AT_END:]}"


def thousands(value: float, decimals: int = 0) -> str:
    """A number with thousands separators."""
    return f"{value:,.{decimals}f}"


def titled(title: str, notes: list[str]) -> alt.Title:
    """A chart title with one line of small print for each note."""
    return alt.Title(text=title, subtitle=notes) if notes else alt.Title(text=title)


def message_chart(message: str, title: alt.Title) -> alt.LayerChart:
    """A chart without axes that says why there is nothing to draw."""
    text = alt.Chart(inline(pl.DataFrame({"message": [message]})), width=PANEL_WIDTH, height=_MESSAGE_HEIGHT)
    mark = text.mark_text(align="left", x=0, fontSize=13, color=MUTED, limit=PANEL_WIDTH)
    return alt.LayerChart(layer=[mark.encode(text=alt.Text("message", type="nominal"))], title=title)


def money(value: float, currency: str) -> str:
    """An amount with two decimals: ``$1,234.50`` for USD, the code in front for most other currencies."""
    sign = _SIGNS.get(currency, f"{printable(currency)} ")
    return f"{sign}{thousands(value, 2)}"
