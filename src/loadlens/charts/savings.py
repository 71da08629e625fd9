"""Up to which monthly volume serverless is cheaper than an instance."""

import math
from typing import Final

import altair as alt
import polars as pl

from loadlens.analysis import CostAnalysis
from loadlens.charts.parts import inline, message_chart, money, printable, thousands, titled, unchecked
from loadlens.charts.theme import BODY, PANEL_HEIGHT, PANEL_WIDTH, themed

__all__ = ["savings_chart"]

SERVERLESS_COLOUR: Final = "#e76f51"
INSTANCE_COLOUR: Final = "#264653"
SAVINGS_COLOUR: Final = "#588157"

_BEYOND = 1.25  # how far past the break-even the axes reach
_TITLE = "Monthly Cost: Serverless against an Instance"
_SCALES = ((1e9, "billions", " B"), (1e6, "millions", " M"))


@unchecked
def savings_chart(cost: CostAnalysis) -> alt.LayerChart:
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
    return themed(alt.LayerChart(layer=layers, title=titled(_TITLE, [])))


def _without_break_even(cost: CostAnalysis) -> str:
    if cost.instance_monthly_cost > 0:
        return (
            f"No break-even: at these prices an invocation costs nothing at {cost.optimal_memory_config} MB."
        )
    return f"No savings to draw: {printable(cost.comparable_instance)} costs nothing at these prices."


def _savings_region(cost: CostAnalysis, divisor: float) -> alt.Chart:
    volume = cost.break_even_invocations / divisor
    rows = {"invocations": [0.0, volume], "serverless": [0.0, cost.instance_monthly_cost]}
    data = pl.DataFrame(rows).with_columns(instance=pl.lit(cost.instance_monthly_cost))
    area = _base(data).mark_area(color=SAVINGS_COLOUR, opacity=0.14)
    region: alt.Chart = area.encode(x=_x(), y=alt.Y("serverless", type="quantitative"), y2="instance")
    return region


def _costs(cost: CostAnalysis, divisor: float, unit: str) -> alt.Chart:
    end = cost.break_even_invocations / divisor * _BEYOND
    flat = cost.instance_monthly_cost
    rows = {
        "line": ["serverless", "serverless", "instance", "instance"],
        "invocations": [0.0, end, 0.0, end],
        "cost": [0.0, flat * _BEYOND, flat, flat],
    }
    colour = alt.Color(
        "line",
        type="nominal",
        legend=None,
        scale=alt.Scale(domain=["serverless", "instance"], range=[SERVERLESS_COLOUR, INSTANCE_COLOUR]),
    )
    volumes = f"Invocations a month ({unit})" if unit else "Invocations a month"
    x = alt.X(
        "invocations",
        type="quantitative",
        axis=alt.Axis(title=volumes, grid=False, tickCount=8),
        scale=alt.Scale(domain=[0, end], nice=False),
    )
    axis = alt.Axis(title=f"Cost a month ({printable(cost.prices.currency)})", tickCount=5, grid=False)
    scale = alt.Scale(domain=[0, flat * _BEYOND], nice=False)
    y = alt.Y("cost", type="quantitative", axis=axis, scale=scale)
    lines: alt.Chart = _base(pl.DataFrame(rows)).mark_line(strokeWidth=2.2).encode(x=x, y=y, color=colour)
    return lines


def _break_even_mark(cost: CostAnalysis, divisor: float, letter: str) -> alt.LayerChart:
    volume = cost.break_even_invocations / divisor
    count = thousands(volume, 0 if not letter or volume >= 100 else 1)  # noqa: PLR2004
    text = f"break-even at {count}{letter} invocations a month"
    rows = {"invocations": [volume], "cost": [cost.instance_monthly_cost], "floor": [0.0], "text": [text]}
    base = _base(pl.DataFrame(rows)).encode(x=_x(), y=alt.Y("cost", type="quantitative"))
    drop = base.mark_rule(color=BODY, strokeDash=[4, 4]).encode(y2="floor")
    point = base.mark_point(shape="circle", filled=True, size=90, color=BODY, opacity=1)
    label = base.mark_text(align="right", dx=-12, dy=-14, fontSize=13, fontWeight="bold", color=BODY)
    return alt.LayerChart(layer=[drop, point, label.encode(text=alt.Text("text", type="nominal"))])


def _line_names(cost: CostAnalysis, divisor: float) -> list[alt.Chart]:
    volume, flat = cost.break_even_invocations / divisor, cost.instance_monthly_cost
    instance = f"{printable(cost.comparable_instance)}: {money(flat, cost.prices.currency)} a month"
    serverless = f"serverless, {cost.optimal_memory_config} MB"
    return [
        _name(instance, (0.0, flat), INSTANCE_COLOUR, dx=8, dy=14),
        _name(serverless, (volume * 0.45, flat * 0.45), SERVERLESS_COLOUR, dx=14, dy=14),
        _name("serverless is cheaper", (volume * 0.12, flat * 0.55), SAVINGS_COLOUR, dx=0, dy=0),
    ]


def _name(text: str, at: tuple[float, float], colour: str, *, dx: float, dy: float) -> alt.Chart:
    base = _base(pl.DataFrame({"invocations": [at[0]], "cost": [at[1]], "text": [text]}))
    mark = base.mark_text(align="left", dx=dx, dy=dy, fontSize=12, fontWeight="bold", color=colour)
    text_at = {"x": _x(), "y": alt.Y("cost", type="quantitative"), "text": alt.Text("text", type="nominal")}
    name: alt.Chart = mark.encode(**text_at)
    return name


def _base(data: pl.DataFrame) -> alt.Chart:
    return alt.Chart(inline(data), width=PANEL_WIDTH, height=PANEL_HEIGHT)


def _x() -> alt.X:
    return alt.X("invocations", type="quantitative")
