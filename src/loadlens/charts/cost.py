"""What an invocation costs and how long it takes, by memory size."""

from dataclasses import dataclass
from typing import Final, Literal

import altair as alt
import polars as pl

from loadlens.charts.labels import PLACEMENTS, Line, place_labels
from loadlens.charts.parts import inline, message_chart, money, printable, thousands, titled, unchecked
from loadlens.charts.theme import PANEL_WIDTH, themed

__all__ = ["cost_chart"]

COST_COLOUR: Final = "#e76f51"
LATENCY_COLOUR: Final = "#588157"

_HEIGHT = 320
_HEADROOM = 1.15  # of the highest value: room for its label


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One line of the cost chart, and how it looks."""

    column: str
    title: str
    colour: str
    side: Literal["left", "right"]
    fill: str
    size: float
    values: list[float | None]
    texts: list[str]

    @property
    def top(self) -> float:
        """Upper end of the axis, which begins at 0."""
        return max((value for value in self.values if value is not None), default=0.0) * _HEADROOM or 1.0


@unchecked
def cost_chart(metrics_with_cost: pl.DataFrame, currency: str = "USD") -> alt.LayerChart:
    """Cost of a million invocations and average latency over memory size, each on an axis of its own.

    Args:
        metrics_with_cost: ``memory_size`` (MB), ``cost_per_1M_invocations`` (in ``currency``),
            ``average_latency`` (ms); one row for each memory size.
        currency: ISO 4217 code.
    """
    title = titled("Cost and Latency by Memory Size", [])
    if metrics_with_cost.is_empty():
        return themed(message_chart("No cost to draw: no memory size has metrics.", title))
    table = metrics_with_cost.sort("memory_size")
    sizes = [printable(size) for size in table["memory_size"]]
    series = _series(table, currency)
    lines = [_pixels(line) for line in series]
    placements = place_labels(lines, [line.texts for line in series], width=PANEL_WIDTH, height=_HEIGHT)
    layers = [_line(line, sizes, chosen) for line, chosen in zip(series, placements, strict=True)]
    chart: alt.LayerChart = alt.LayerChart(layer=layers, title=title).resolve_scale(y="independent")
    return themed(chart)


def _series(table: pl.DataFrame, currency: str) -> list[_Series]:
    costs, latencies = table["cost_per_1M_invocations"].to_list(), table["average_latency"].to_list()
    cost = _Series(
        column="cost",
        title=f"■ Cost per 1M invocations ({printable(currency)})",
        colour=COST_COLOUR,
        side="left",
        fill=COST_COLOUR,
        size=50,
        values=costs,
        texts=["" if value is None else money(value, currency) for value in costs],
    )
    latency = _Series(
        column="latency_ms",
        title="□ Average latency (ms)",
        colour=LATENCY_COLOUR,
        side="right",
        fill="white",
        size=110,
        values=latencies,
        texts=["" if value is None else thousands(value, 2) for value in latencies],
    )
    # The filled small marker comes last, so that both show where they meet.
    return [latency, cost]


def _pixels(series: _Series) -> Line:
    step = PANEL_WIDTH / len(series.values)
    return [
        None if value is None else (step * (0.5 + number), _HEIGHT * (1 - value / series.top))
        for number, value in enumerate(series.values)
    ]


def _line(series: _Series, sizes: list[str], placements: list[int]) -> alt.LayerChart:
    rows = {
        "memory_size": sizes,
        series.column: series.values,
        "label": series.texts,
        "placement": placements,
    }
    base = alt.Chart(inline(pl.DataFrame(rows, strict=False)), width=PANEL_WIDTH, height=_HEIGHT).encode(
        x=_size_axis(sizes), y=_value_axis(series)
    )
    line = base.mark_line(color=series.colour, strokeWidth=2)
    marker = base.mark_square(
        stroke=series.colour, fill=series.fill, size=series.size, strokeWidth=2, opacity=1
    )
    labels = [_labels(base, series.colour, number) for number in sorted(set(placements))]
    return alt.LayerChart(layer=[line, marker, *labels])


def _labels(base: alt.Chart, colour: str, number: int) -> alt.Chart:
    """The labels on one side of their markers."""
    side = PLACEMENTS[number]
    texts = base.mark_text(
        align=side.align, dx=side.dx, dy=side.dy, color=colour, fontSize=12, fontWeight="bold"
    )
    shown = texts.encode(text=alt.Text("label", type="nominal"))
    chosen: alt.Chart = shown.transform_filter(alt.FieldEqualPredicate(field="placement", equal=number))
    return chosen


def _size_axis(sizes: list[str]) -> alt.X:
    axis = alt.Axis(title="Memory size (MB)", labelAngle=0, grid=False)
    return alt.X("memory_size", type="ordinal", sort=sizes, scale=alt.Scale(padding=0.5), axis=axis)


def _value_axis(series: _Series) -> alt.Y:
    axis = alt.Axis(
        title=series.title,
        titleColor=series.colour,
        titleFontWeight="bold",
        orient=series.side,
        grid=series.side == "left",
        tickCount=5,
        ticks=False,
        domain=False,
    )
    scale = alt.Scale(domain=[0, series.top], nice=False)
    return alt.Y(series.column, type="quantitative", scale=scale, axis=axis)
