"""What an invocation costs by memory size, and up to which volume that is cheaper than an instance."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from loadlens.charts.drawing import (
    BODY,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    PLACEMENTS,
    Line,
    Spec,
    category,
    inline,
    message_chart,
    money,
    place_labels,
    printable,
    quantity,
    themed,
    thousands,
    titled,
)
from loadlens.cost.break_even import CostAnalysis

__all__ = ["cost_chart", "savings_chart"]


COST_COLOUR: Final = "#e76f51"
LATENCY_COLOUR: Final = "#588157"

_HEIGHT = 320
_PANEL: Final = {"width": PANEL_WIDTH, "height": _HEIGHT}
_HEADROOM = 1.15  # of the highest value: room for its label

SERVERLESS_COLOUR: Final = "#e76f51"
INSTANCE_COLOUR: Final = "#264653"
SAVINGS_COLOUR: Final = "#588157"

_BEYOND = 1.25  # how far past the break-even the axes reach
_TITLE = "Monthly Cost: Serverless against an Instance"
_SCALES = ((1e9, "billions", " B"), (1e6, "millions", " M"))


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


def cost_chart(metrics_with_cost: pl.DataFrame, currency: str = "USD") -> Spec:
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
    return themed({**_PANEL, "title": title, "layer": layers, "resolve": {"scale": {"y": "independent"}}})


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


def _line(series: _Series, sizes: list[str], placements: list[int]) -> Spec:
    rows = {
        "memory_size": sizes,
        series.column: series.values,
        "label": series.texts,
        "placement": placements,
    }
    line = {"type": "line", "color": series.colour, "strokeWidth": 2}
    marker = {
        "type": "square",
        "stroke": series.colour,
        "fill": series.fill,
        "size": series.size,
        "strokeWidth": 2,
        "opacity": 1,
    }
    labels = [_labels(series.colour, number) for number in sorted(set(placements))]
    return {
        "data": inline(pl.DataFrame(rows, strict=False)),
        "encoding": {"x": _size_axis(sizes), "y": _value_axis(series)},
        "layer": [{"mark": line}, {"mark": marker}, *labels],
    }


def _labels(colour: str, number: int) -> Spec:
    """The labels on one side of their markers."""
    side = PLACEMENTS[number]
    return {
        "transform": [{"filter": {"field": "placement", "equal": number}}],
        "mark": _bold(colour, align=side.align, dx=side.dx, dy=side.dy),
        "encoding": {"text": category("label")},
    }


def _bold(colour: str, size: int = 12, **place: float | str) -> Spec:
    """Text in a colour, and where it stands."""
    return {"type": "text", "color": colour, "fontSize": size, "fontWeight": "bold", **place}


def _size_axis(sizes: list[str]) -> Spec:
    axis = {"title": "Memory size (MB)", "labelAngle": 0, "grid": False}
    return {"field": "memory_size", "type": "ordinal", "sort": sizes, "scale": {"padding": 0.5}, "axis": axis}


def _value_axis(series: _Series) -> Spec:
    axis = {
        "title": series.title,
        "titleColor": series.colour,
        "titleFontWeight": "bold",
        "orient": series.side,
        "grid": series.side == "left",
        "tickCount": 5,
        "ticks": False,
        "domain": False,
    }
    return quantity(series.column, scale={"domain": [0, series.top], "nice": False}, axis=axis)


def savings_chart(cost: CostAnalysis) -> Spec:
    """Monthly cost by monthly invocations: serverless rising, the instance flat, the break-even marked.

    Both lines are straight, so two points draw each: the chart does not grow with ``cost.savings``.
    """
    break_even = cost.break_even_invocations
    if not (math.isfinite(break_even) and break_even > 0):
        return themed(message_chart(_without_break_even(cost), titled(_TITLE, [])))
    divisor, unit, letter = next((scale for scale in _SCALES if break_even >= scale[0]), (1.0, "", ""))
    layers = [
        _savings_region(cost, divisor),
        _costs(cost, divisor, unit),
        _break_even_mark(cost, divisor, letter),
        *_line_names(cost, divisor),
    ]
    return themed(
        {"title": titled(_TITLE, []), "width": PANEL_WIDTH, "height": PANEL_HEIGHT, "layer": layers}
    )


def _without_break_even(cost: CostAnalysis) -> str:
    if cost.instance_monthly_cost > 0:
        return (
            f"No break-even: at these prices an invocation costs nothing at {cost.optimal_memory_config} MB."
        )
    return f"No savings to draw: {printable(cost.comparable_instance)} costs nothing at these prices."


def _savings_region(cost: CostAnalysis, divisor: float) -> Spec:
    volume = cost.break_even_invocations / divisor
    rows = {"invocations": [0.0, volume], "serverless": [0.0, cost.instance_monthly_cost]}
    data = pl.DataFrame(rows).with_columns(instance=pl.lit(cost.instance_monthly_cost))
    return {
        "data": inline(data),
        "mark": {"type": "area", "color": SAVINGS_COLOUR, "opacity": 0.14},
        "encoding": {"x": _X, "y": quantity("serverless"), "y2": {"field": "instance"}},
    }


def _costs(cost: CostAnalysis, divisor: float, unit: str) -> Spec:
    end = cost.break_even_invocations / divisor * _BEYOND
    flat = cost.instance_monthly_cost
    rows = {
        "line": ["serverless", "serverless", "instance", "instance"],
        "invocations": [0.0, end, 0.0, end],
        "cost": [0.0, flat * _BEYOND, flat, flat],
    }
    names = {"domain": ["serverless", "instance"], "range": [SERVERLESS_COLOUR, INSTANCE_COLOUR]}
    volumes = f"Invocations a month ({unit})" if unit else "Invocations a month"
    costs = f"Cost a month ({printable(cost.prices.currency)})"
    return {
        "data": inline(pl.DataFrame(rows)),
        "mark": {"type": "line", "strokeWidth": 2.2},
        "encoding": {
            "x": quantity(
                "invocations",
                axis={"title": volumes, "grid": False, "tickCount": 8},
                scale={"domain": [0, end], "nice": False},
            ),
            "y": quantity(
                "cost",
                axis={"title": costs, "tickCount": 5, "grid": False},
                scale={"domain": [0, flat * _BEYOND], "nice": False},
            ),
            "color": category("line", scale=names, legend=None),
        },
    }


def _break_even_mark(cost: CostAnalysis, divisor: float, letter: str) -> Spec:
    volume = cost.break_even_invocations / divisor
    count = thousands(volume, 0 if not letter or volume >= 100 else 1)  # noqa: PLR2004
    text = f"break-even at {count}{letter} invocations a month"
    rows = {"invocations": [volume], "cost": [cost.instance_monthly_cost], "floor": [0.0], "text": [text]}
    point = {"type": "point", "shape": "circle", "filled": True, "size": 90, "color": BODY, "opacity": 1}
    return {
        "data": inline(pl.DataFrame(rows)),
        "encoding": {"x": _X, "y": _Y},
        "layer": [
            {
                "mark": {"type": "rule", "color": BODY, "strokeDash": [4, 4]},
                "encoding": {"y2": {"field": "floor"}},
            },
            {"mark": point},
            {"mark": _bold(BODY, 13, align="right", dx=-12, dy=-14), "encoding": {"text": category("text")}},
        ],
    }


def _line_names(cost: CostAnalysis, divisor: float) -> list[Spec]:
    volume, flat = cost.break_even_invocations / divisor, cost.instance_monthly_cost
    instance = f"{printable(cost.comparable_instance)}: {money(flat, cost.prices.currency)} a month"
    serverless = f"serverless, {cost.optimal_memory_config} MB"
    return [
        _name(instance, (0.0, flat), INSTANCE_COLOUR, dx=8, dy=14),
        _name(serverless, (volume * 0.45, flat * 0.45), SERVERLESS_COLOUR, dx=14, dy=14),
        _name("serverless is cheaper", (volume * 0.12, flat * 0.55), SAVINGS_COLOUR, dx=0, dy=0),
    ]


def _name(text: str, at: tuple[float, float], colour: str, *, dx: float, dy: float) -> Spec:
    rows = pl.DataFrame({"invocations": [at[0]], "cost": [at[1]], "text": [text]})
    return {
        "data": inline(rows),
        "mark": _bold(colour, align="left", dx=dx, dy=dy),
        "encoding": {"x": _X, "y": _Y, "text": category("text")},
    }


_X: Final = quantity("invocations")
_Y: Final = quantity("cost")
