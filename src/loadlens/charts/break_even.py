"""What a month costs over its volume: serverless rising with each call, instances in steps."""

from typing import Final

import altair as alt
import polars as pl

from loadlens.charts.axes import LATENCY_LABEL, log_latency_axis
from loadlens.charts.parts import inline, message_chart, printable, thousands, titled, unchecked
from loadlens.charts.theme import BODY, PANEL_WIDTH, themed
from loadlens.costing import CostComparison, Running, cost_curves

__all__ = ["break_even_chart"]

_TITLE = "Monthly cost by volume"
_HEIGHT = 340
_BEYOND_TRAFFIC = 1.25  # how far past the traffic the axis reaches
_BEYOND_BREAK_EVEN = 2.0  # and past the last first break-even
_LEAST_LOG_RATIO = 40  # of volumes or costs of interest: below it linear axes show all of them
_FIRST_LOG_SHARE = 8.0  # how far before the first volume of interest a log axis begins
_LOG_POINTS = 60
_CONFIGURATION_COLOURS: Final = (
    "#ff7f0e", "#2ca02c", "#1f77b4", "#d62728", "#9467bd", "#17becf", "#e377c2", "#bcbd22",
)  # fmt: skip
_INSTANCE_COLOURS: Final = ("#1d3557", "#6d597a", "#8d6e63", "#546e7a", "#9e9d24", "#00695c")
_UNITS: Final = ((1e9, "billions", "B"), (1e6, "millions", "M"), (1e3, "thousands", "k"))
_COMPACT = "replace(format(datum.value, '~s'), 'G', 'B')"


@unchecked
def break_even_chart(comparison: CostComparison) -> alt.LayerChart:
    """Monthly cost of each configuration and instance type over monthly volume.

    A dot marks the first volume at which an instance is cheaper than a configuration, a dashed rule the
    volume of the traffic. Both axes are logarithmic where volumes or costs lie far apart.
    """
    configurations = _shown(comparison)
    instances = [way for way in comparison.ways if way.kind == "instance"][: len(_INSTANCE_COLOURS)]
    if not configurations or not instances:
        reason = "no capacity of an instance is known" if configurations else "no configuration has a cost"
        return themed(message_chart(f"No break-even to draw: {reason}.", titled(_TITLE, [])))
    ways = [*configurations, *instances]
    dots = _dots(comparison, ways)
    low, high = _reach(comparison, dots, ways)
    lines = _lines(ways, low, high)
    top = _top(lines, instances, high, log=low > 0)
    layers: list[alt.Chart | alt.LayerChart] = [_curves(lines, ways, (low, high), top, comparison.currency)]
    if dots.height:
        layers.append(_marks(dots, top))
    if comparison.traffic:
        layers.append(_traffic_rule(comparison.traffic.monthly_invocations))
    notes = _notes(comparison, ways, has_dots=dots.height > 0)
    return themed(alt.LayerChart(layer=layers, title=titled(_TITLE, notes)))


def _shown(comparison: CostComparison) -> list[Running]:
    """The cheapest configurations, and the chosen one, in the order of the table."""
    ways = [way for way in comparison.ways if way.kind == "serverless"]
    chosen = comparison.choice.option["option"] if comparison.choice.option else None
    ranked = sorted(ways, key=lambda way: (way.name != chosen, way.slope))[: len(_CONFIGURATION_COLOURS)]
    return [way for way in ways if way in ranked]


def _dots(comparison: CostComparison, ways: list[Running]) -> pl.DataFrame:
    """The first volume at which an instance is the cheaper one, and its cost, for each pair that is drawn."""
    names = [way.name for way in ways]
    drawn = comparison.break_even.filter(
        pl.col("cheaper") == "instance",
        pl.col("first_invocations") > 1,
        pl.col("option").is_in(names),
        pl.col("instance").is_in(names),
    )
    return drawn.unique(["option", "instance"], keep="first", maintain_order=True).select(
        pl.col("first_invocations").cast(pl.Float64).alias("monthly_invocations"),
        pl.col("instance_monthly_cost").alias("monthly_cost"),
    )


def _reach(comparison: CostComparison, dots: pl.DataFrame, ways: list[Running]) -> tuple[float, float]:
    """The volumes that the axis spans; the lower one is 0 for linear axes."""
    volumes = dots["monthly_invocations"].to_list()
    ends = [volume * _BEYOND_BREAK_EVEN for volume in volumes]
    if comparison.traffic:
        volumes.append(comparison.traffic.monthly_invocations)
        ends.append(volumes[-1] * _BEYOND_TRAFFIC)
    if not volumes:
        ends = volumes = [2.4 * max(way.unit_calls for way in ways if way.kind == "instance")]
    low, high = min(volumes), max(ends)
    costs = [way.monthly_cost(high) for way in ways]
    far_apart = high > _LEAST_LOG_RATIO * low or max(costs) > _LEAST_LOG_RATIO * min(costs) > 0
    return (low / _FIRST_LOG_SHARE if far_apart else 0.0, high)


def _lines(ways: list[Running], low: float, high: float) -> pl.DataFrame:
    """Corners of the curves; on a log axis also points between, where a straight line is none."""
    corners = cost_curves(ways, high)
    if not low:
        return corners
    ratio = (high / low) ** (1 / _LOG_POINTS)
    volumes = [low * ratio**number for number in range(_LOG_POINTS + 1)]
    between = pl.DataFrame(
        [(way.name, way.kind, calls, way.monthly_cost(calls)) for way in ways for calls in volumes],
        schema=corners.schema,
        orient="row",
    )
    # Two corners of one volume keep their order, the lower one first: costs never fall.
    both = pl.concat([corners.filter(pl.col("monthly_invocations") > low), between])
    return both.sort("monthly_invocations", "monthly_cost")


def _top(lines: pl.DataFrame, instances: list[Running], high: float, *, log: bool) -> float:
    """Upper end of the cost axis: steep configurations may leave it, instances may not."""
    highest = float(lines["monthly_cost"].max())  # type: ignore[arg-type]
    if log:
        return highest * 1.2
    return min(highest, 1.6 * max(way.monthly_cost(high) for way in instances)) * 1.05 or 1.0


def _curves(
    lines: pl.DataFrame, ways: list[Running], reach: tuple[float, float], top: float, currency: str
) -> alt.Chart:
    names = [printable(way.name) for way in ways]
    num_instances = sum(way.kind == "instance" for way in ways)
    colours = [*_CONFIGURATION_COLOURS[: len(ways) - num_instances], *_INSTANCE_COLOURS[:num_instances]]
    colour = alt.Color(
        "option",
        type="nominal",
        sort=names,
        scale=alt.Scale(domain=names, range=colours),
        legend=alt.Legend(title="Configuration, instance type"),
    )
    drawn = lines.with_columns(
        pl.col("option").map_elements(printable, return_dtype=pl.String),
        pl.int_range(pl.len()).alias("order"),
    )
    width = alt.condition(alt.datum.kind == "instance", alt.value(3.2), alt.value(1.8))
    line = alt.Chart(inline(drawn), width=PANEL_WIDTH, height=_HEIGHT).mark_line(clip=True)
    curves: alt.Chart = line.encode(
        x=_volume_axis(*reach),
        y=_cost_axis(lines, top, currency, log=reach[0] > 0),
        color=colour,
        order=alt.Order("order", type="quantitative"),
        strokeWidth=width,
    )
    return curves


def _volume_axis(low: float, high: float) -> alt.X:
    title = "Successful invocations a month"
    if low > 0:
        axis = log_latency_axis(low, high, title=title, most_ticks=10)
        axis.labelExpr, axis.grid = _COMPACT, False
    else:
        divisor, unit, _ = next((scale for scale in _UNITS if high >= scale[0]), (1.0, "", ""))
        label = f"format(datum.value / {divisor}, ',~r')"
        axis = alt.Axis(
            title=f"{title} ({unit})" if unit else title, labelExpr=label, grid=False, tickCount=8
        )
    scale = alt.Scale(type="log" if low > 0 else "linear", domain=[low, high], nice=False)
    return alt.X("monthly_invocations", type="quantitative", scale=scale, axis=axis)


def _cost_axis(lines: pl.DataFrame, top: float, currency: str, *, log: bool) -> alt.Y:
    title = f"Cost a month ({printable(currency)})"
    positive = lines.filter(pl.col("monthly_cost") > 0)["monthly_cost"]
    low = float(positive.min()) if log and len(positive) else 0.0  # type: ignore[arg-type]
    axis = (
        log_latency_axis(low, top, title=title, most_ticks=9)
        if low
        else alt.Axis(title=title, tickCount=6, labelExpr=LATENCY_LABEL)
    )
    axis.domain = axis.ticks = False
    scale = alt.Scale(type="log" if low else "linear", domain=[low, top], nice=False)
    return alt.Y("monthly_cost", type="quantitative", scale=scale, axis=axis)


def _marks(dots: pl.DataFrame, top: float) -> alt.Chart:
    shown = dots.filter(pl.col("monthly_cost") <= top)
    base = alt.Chart(inline(shown), width=PANEL_WIDTH, height=_HEIGHT)
    marks: alt.Chart = base.mark_point(
        shape="circle", filled=True, size=46, color=BODY, opacity=1, clip=True
    ).encode(
        x=alt.X("monthly_invocations", type="quantitative"), y=alt.Y("monthly_cost", type="quantitative")
    )
    return marks


def _traffic_rule(volume: float) -> alt.LayerChart:
    data = pl.DataFrame({"monthly_invocations": [volume], "text": ["your traffic"]})
    base = alt.Chart(inline(data), width=PANEL_WIDTH, height=_HEIGHT).encode(
        x=alt.X("monthly_invocations", type="quantitative")
    )
    rule = base.mark_rule(color=BODY, strokeDash=[4, 4])
    text = base.mark_text(align="right", dx=-6, y=10, fontSize=12, fontWeight="bold", color=BODY)
    return alt.LayerChart(layer=[rule, text.encode(text=alt.Text("text", type="nominal"))])


def _notes(comparison: CostComparison, ways: list[Running], *, has_dots: bool) -> list[str]:
    instances = [way for way in ways if way.kind == "instance"]
    holds = ", ".join(f"{_compact(way.unit_calls)} on {printable(way.name)}" for way in instances)
    traffic = comparison.traffic
    shape = f", at a peak of {traffic.peak_factor:,.3g} times the mean" if traffic else ", evenly spread"
    notes = [f"Invocations a month that one instance holds{shape}: {holds}."]
    if has_dots:
        notes.append("Dots: from here on an instance is cheaper than a configuration, until its next step.")
    left_out = len(comparison.ways) - len(ways)
    if left_out:
        notes.append(
            f"Not drawn: {thousands(left_out)} of {thousands(len(comparison.ways))}; the table has them."
        )
    return notes


def _compact(value: float) -> str:
    divisor, _, letter = next((scale for scale in _UNITS if value >= scale[0]), (1.0, "", ""))
    return f"{value / divisor:,.3g}{letter}"
