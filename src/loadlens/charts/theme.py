"""The one look of all charts: applied by a function, so that a host's own Altair theme stays as it is."""

from typing import Any, Final, TypeVar

import altair as alt

__all__ = ["BODY", "FONT", "MUTED", "PANEL_HEIGHT", "PANEL_WIDTH", "category_scale", "themed"]

_Chart = TypeVar("_Chart", alt.LayerChart, alt.VConcatChart, alt.FacetChart)

# vl-convert brings Liberation Sans along, so text renders where no font is installed; Arial and
# Helvetica have the same widths, so a layout made here also fits in a browser.
FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"
BODY: Final = "#222222"
MUTED: Final = "#5f6368"
PANEL_WIDTH: Final = 640
PANEL_HEIGHT: Final = 260

_RULE = "#9aa0a6"
_GRID = "#e8eaed"
_TAB10_COLOURS = 10
_VIRIDIS_ON_WHITE = (0.0, 0.9)  # its last tenth is a yellow that a white page swallows

_LEGEND: Final[dict[str, Any]] = {
    "labelColor": BODY,
    "titleColor": BODY,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titleLimit": 320,  # a key of three columns
    "labelLimit": 220,
    "symbolType": "stroke",
    "symbolSize": 200,
    "symbolStrokeWidth": 2.5,
    "symbolLimit": 0,  # never an ellipsis in place of entries
}

_TITLE: Final[dict[str, Any]] = {
    "anchor": "start",
    "frame": "group",
    "color": BODY,
    "fontSize": 15,
    "fontWeight": "bold",
    "offset": 10,
    "subtitleColor": MUTED,
    "subtitleFontSize": 12,
    "subtitlePadding": 4,
}


def themed(chart: _Chart) -> _Chart:
    """Returns a copy of ``chart`` with the look of the house; for the outermost chart only."""
    styled: _Chart = chart.configure(
        font=FONT,
        background="white",
        padding=12,
        axis=alt.AxisConfig(
            domainColor=_RULE,
            tickColor=_RULE,
            gridColor=_GRID,
            labelColor=BODY,
            titleColor=BODY,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
            labelPadding=5,
        ),
        legend=alt.LegendConfig(**_LEGEND),
        title=alt.TitleConfig(**_TITLE),
        header=alt.HeaderConfig(labelColor=BODY, labelFontSize=12, labelAnchor="start", labelLimit=200),
        mark=alt.MarkConfig(color="#1f77b4"),
        view=alt.ViewConfig(stroke=None),
    )
    return styled


def category_scale(labels: list[str]) -> alt.Scale:
    """Colours for ordered categories: tab10 as far as it reaches, then viridis, which keeps the order."""
    if len(labels) <= _TAB10_COLOURS:
        return alt.Scale(domain=labels, scheme="category10")  # Vega's name for tab10
    return alt.Scale(domain=labels, scheme=alt.SchemeParams(name="viridis", extent=list(_VIRIDIS_ON_WHITE)))
