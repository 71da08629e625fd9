"""What the charts share: their look, axes, labels and safe text.

A chart is a Vega-Lite document: plain dictionaries, which tests check against Altair's schema. Altair itself
checks and copies each part of a chart at every step, which takes longer than to draw it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

import polars as pl
import polars.selectors as cs

from loadlens.messages import counted, visible

__all__ = [
    "BODY",
    "FONT",
    "LATENCY_LABEL",
    "MUTED",
    "ONE_X_AXIS",
    "PANEL_HEIGHT",
    "PANEL_WIDTH",
    "PLACEMENTS",
    "VEGA_LITE",
    "Placement",
    "Spec",
    "TimeUnit",
    "category",
    "category_scale",
    "inline",
    "legend_title",
    "log_latency_axis",
    "log_latency_scale",
    "message_chart",
    "money",
    "not_drawn",
    "place_labels",
    "printable",
    "quantity",
    "series_of",
    "series_panel",
    "themed",
    "thousands",
    "time_axis",
    "time_unit",
    "titled",
]


Spec: TypeAlias = dict[str, Any]
"""A Vega-Lite document, or a part of one."""

# vl-convert brings Liberation Sans along, so text renders where no font is installed; Arial and
# Helvetica have the same widths, so a layout made here also fits in a browser.
FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"
BODY: Final = "#222222"
MUTED: Final = "#5f6368"
PANEL_WIDTH: Final = 640
PANEL_HEIGHT: Final = 260

_RULE = "#9aa0a6"
_GRID = "#e8eaed"

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

_MOST_OF_A_UNIT = 300  # beyond it the next larger unit reads better
_FEWEST_TICKS = 3
_MOST_TICKS = 24  # of decades: more of them take long to render
_POWERS: Final = (1,)
_STEPS: Final = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), _POWERS, (1, 3))

# d3 writes 1e+7 under its plain formats; this one keeps to digits.
LATENCY_LABEL: Final = "format(datum.value, ',.3~r')"

_CHARACTER_WIDTH = 7.0
_HALF_HEIGHT = 7.0
_HALF_MARKER = 5.0
_SAMPLES = 60
_TOUCHES_TEXT = 100
_LEAVES_PANEL = 50

# What every object of JavaScript has: Vega takes such a text for one of its own operators, and gives up.
_NAMES_OF_JAVASCRIPT: Final = frozenset(
    {
        *("__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__", "__proto__"),
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"),
        *("toLocaleString", "toString", "valueOf"),
    }
)
_MOST_CHARACTERS = 120
_KEPT_AT_START = 80
_KEPT_AT_END = 30
_SIGNIFICANT_DIGITS = 7  # finer than a pixel; hides that sums run in an order that changes between runs
_MESSAGE_HEIGHT = 60
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_SERIES = "\0series"  # no column of a log has this name
_COLUMN_TITLES = {"memory_size": "memory_size (MB)"}
_LEGEND_ROW = 18  # pixels

ONE_X_AXIS: Final[Spec] = {"scale": {"x": "shared", "y": "independent", "color": "independent"}}
"""What panels below each other resolve to: one x axis, and else scales of their own."""

VEGA_LITE: Final = "6.4.1"
"""The version of Vega-Lite that charts are written in."""

_CONFIG: Final[Spec] = {
    # A page names each picture as a whole; descriptions of single marks would be a tenth of it.
    "aria": False,
    "font": FONT,
    "background": "white",
    "padding": 12,
    "axis": {
        "domainColor": _RULE,
        "tickColor": _RULE,
        "gridColor": _GRID,
        "labelColor": BODY,
        "titleColor": BODY,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "labelPadding": 5,
    },
    "legend": _LEGEND,
    "title": _TITLE,
    "header": {"labelColor": BODY, "labelFontSize": 12, "labelAnchor": "start", "labelLimit": 200},
    "mark": {"color": "#1f77b4"},
    "view": {"stroke": None},
}


def themed(chart: Spec) -> Spec:
    """The chart as a document of its own, with the look of the house."""
    schema = f"https://vega.github.io/schema/vega-lite/v{VEGA_LITE}.json"
    return {"$schema": schema, "config": _CONFIG, **chart}


def category_scale(labels: list[str]) -> Spec:
    """Colours that tell categories apart, neighbours above all: tab10, in the order of the labels.

    A chart of more categories has to tell them apart in another way, such as by rows or panels.
    """
    return {"domain": labels, "scheme": "category10"}  # Vega's name for tab10


@dataclass(frozen=True, kw_only=True)
class TimeUnit:
    """A unit of time as it stands in an axis title, and its length."""

    name: str
    seconds: float


_UNITS: Final = (
    TimeUnit(name="s", seconds=1),
    TimeUnit(name="min", seconds=60),
    TimeUnit(name="h", seconds=3600),
)


def time_unit(end_s: float) -> TimeUnit:
    """The smallest unit in which ``end_s`` seconds is a number that reads well."""
    return next((unit for unit in _UNITS if end_s <= _MOST_OF_A_UNIT * unit.seconds), _UNITS[-1])


def time_axis(windows: pl.DataFrame, unit: TimeUnit) -> Spec:
    """The column ``time`` from the first window's start to the last one's end.

    Args:
        windows: ``time_s``, ``window_s`` (both s), not empty.
        unit: in which ``time`` is given.
    """
    ends = windows.select(start=pl.col("time_s").min(), end=(pl.col("time_s") + pl.col("window_s")).max())
    domain = [value / unit.seconds for value in ends.row(0)]
    axis = {
        "title": f"Time since start ({unit.name})",
        "labelFlush": False,
        "grid": False,
        "zindex": 1,  # above cells that would cover it
        "tickCount": 10,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
    }
    return quantity("time", scale={"domain": domain, "nice": False}, axis=axis)


def quantity(field: str, **options: Any) -> Spec:
    """The encoding of a column of numbers."""
    return {"field": field, "type": "quantitative", **options}


def category(field: str, **options: Any) -> Spec:
    """The encoding of a column of names."""
    return {"field": field, "type": "nominal", **options}


def log_latency_scale(lowest_ms: float, highest_ms: float) -> Spec:
    """A log scale between two positive latencies."""
    return {"type": "log", "domain": [lowest_ms, highest_ms], "nice": False}


def log_latency_axis(lowest_ms: float, highest_ms: float, *, title: str | None, most_ticks: int) -> Spec:
    """The axis of such a scale, labelled at round values."""
    ticks = _round_values(lowest_ms, highest_ms, most_ticks)
    # Less than that is a range within a decade, where Vega's own ticks are evenly spaced. It would thin
    # out given ones that are more than a count, so there is either a count or values.
    if len(ticks) < _FEWEST_TICKS:
        return {"title": title, "tickCount": most_ticks // 2, "labelExpr": LATENCY_LABEL}
    return {"title": title, "values": ticks, "labelExpr": LATENCY_LABEL}


def _round_values(lowest: float, highest: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    for steps in _STEPS:
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        shown = [value for value in values if lowest <= value <= highest]
        if len(shown) >= _FEWEST_TICKS and (len(shown) <= most or steps == _POWERS):
            break
    return shown[:: math.ceil(len(shown) / _MOST_TICKS) or 1]


Point = tuple[float, float]
Line = Sequence[Point | None]


@dataclass(frozen=True)
class Placement:
    """A side of a marker: the text's alignment there and its distance in pixels."""

    align: Literal["left", "center", "right"]
    dx: float
    dy: float


PLACEMENTS: Final[tuple[Placement, ...]] = (
    Placement("center", 0, -15),
    Placement("center", 0, 15),
    Placement("left", 6, -12),
    Placement("right", -6, -12),
    Placement("left", 6, 12),
    Placement("right", -6, 12),
    Placement("left", 10, 0),
    Placement("right", -10, 0),
)


_Box = tuple[float, float, float, float]  # left, top, right, bottom


def place_labels(
    lines: Sequence[Line], texts: Sequence[Sequence[str]], *, width: float, height: float
) -> list[list[int]]:
    """Chooses a placement for each point's label, from left to right.

    Args:
        lines: the points of each line in pixels from the panel's upper left corner; None is a gap.
        texts: the labels of each line's points.
        width: of the panel in pixels.
        height: of the panel in pixels.

    Returns:
        For each line and point an index into ``PLACEMENTS``.
    """
    course = [point for line in lines for point in _along(line)]
    taken = [_around(point) for line in lines for point in line if point]
    chosen = [[0] * len(line) for line in lines]
    for column in range(max(map(len, lines), default=0)):
        for number, line in enumerate(lines):
            point = line[column]
            if point is None:
                continue
            boxes = [_box(point, texts[number][column], placement) for placement in PLACEMENTS]
            others = [box for box in taken if box != _around(point)]
            costs = [_cost(box, course, others, width, height) for box in boxes]
            chosen[number][column] = costs.index(min(costs))
            taken.append(boxes[chosen[number][column]])
    return chosen


def _cost(box: _Box, course: Sequence[Point], taken: Sequence[_Box], width: float, height: float) -> float:
    left, top, right, bottom = box
    covered = sum(left <= x <= right and top <= y <= bottom for x, y in course)
    touched = sum(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken)
    outside = left < 0 or top < 0 or right > width or bottom > height
    return covered + _TOUCHES_TEXT * touched + _LEAVES_PANEL * outside


def _box(point: Point, text: str, placement: Placement) -> _Box:
    width = _CHARACTER_WIDTH * len(text)
    x, y = point[0] + placement.dx, point[1] + placement.dy
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[placement.align] * width
    return (left, y - _HALF_HEIGHT, left + width, y + _HALF_HEIGHT)


def _around(point: Point) -> _Box:
    x, y = point
    return (x - _HALF_MARKER, y - _HALF_MARKER, x + _HALF_MARKER, y + _HALF_MARKER)


def _along(line: Line) -> Iterator[Point]:
    """Points along the line, close enough to notice where it runs through a label."""
    for start, end in pairwise(line):
        if start and end:
            for step in range(_SAMPLES + 1):
                part = step / _SAMPLES
                yield (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))


def inline(frame: pl.DataFrame) -> Spec:
    """The rows of a small frame as part of a chart."""
    return {"values": frame.with_columns(cs.float().round_sig_figs(_SIGNIFICANT_DIGITS)).to_dicts()}


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


def legend_title(by: Sequence[str]) -> str:
    """What the names of keys are made of."""
    return " · ".join(printable(_COLUMN_TITLES.get(name, name)) for name in by)


def series_panel(
    points: pl.DataFrame,
    names: list[str],
    by: Sequence[str],
    *,
    title: Spec,
    x: Spec,
    y: Spec,
    layer: list[Spec],
) -> Spec:
    """A panel of series, told apart by colour.

    Args:
        points: with the column ``series``, and those of ``x`` and ``y``.
        names: of the series, in order.
        by: the columns of their key; none for a single series, which needs no legend.
        title: of the panel.
        x: the encoding of one axis.
        y: that of the other.
        layer: marks.
    """
    legend = {"title": legend_title(by)} if by else None
    colour = category("series", sort=names, scale=category_scale(names), legend=legend)
    return {
        "title": title,
        "data": inline(points),
        "width": PANEL_WIDTH,
        "height": max(PANEL_HEIGHT, _LEGEND_ROW * len(names)),
        "encoding": {"x": x, "y": y, "color": colour},
        "layer": layer,
    }


def printable(value: object) -> str:
    """A key value as text of bounded length; hidden characters are replaced."""
    if value is None:
        return "(none)"
    text = visible(str(value))
    if text in _NAMES_OF_JAVASCRIPT:
        return f"{text} "
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_KEPT_AT_START]}…{text[-_KEPT_AT_END:]}"


def thousands(value: float, decimals: int = 0) -> str:
    """A number with thousands separators."""
    return f"{value:,.{decimals}f}"


def titled(title: str, notes: list[str]) -> Spec:
    """A chart title with one line of small print for each note."""
    return {"text": title, "subtitle": notes} if notes else {"text": title}


def not_drawn(num_groups: int, without: str) -> list[str]:
    """Small print on groups that a chart cannot show; nothing where there are none."""
    return [f"Not drawn: {counted(num_groups, 'group')} without {without}."] if num_groups else []


def message_chart(message: str, title: Spec) -> Spec:
    """A chart without axes that says why there is nothing to draw."""
    return {
        "title": title,
        "data": {"values": [{"message": message}]},
        "width": PANEL_WIDTH,
        "height": _MESSAGE_HEIGHT,
        "mark": {
            "type": "text",
            "align": "left",
            "x": 0,
            "fontSize": 13,
            "color": MUTED,
            "limit": PANEL_WIDTH,
        },
        "encoding": {"text": category("message")},
    }


def money(value: float, currency: str) -> str:
    """An amount with two decimals: ``$1,234.50`` for USD, the code in front for most other currencies."""
    sign = _SIGNS.get(currency, f"{printable(currency)} ")
    return f"{sign}{thousands(value, 2)}"
