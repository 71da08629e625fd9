"""What a month costs over its volume, and cost against latency."""

from itertools import pairwise
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    BODY,
    LATENCY_LABEL,
    MUTED,
    PANEL_WIDTH,
    PLACEMENTS,
    Line,
    Spec,
    category,
    inline,
    log_latency_axis,
    message_chart,
    place_labels,
    printable,
    quantity,
    themed,
    thousands,
    titled,
)
from loadlens.cost import CostComparison, Running, cost_curves, percentile_text

__all__ = ["break_even_chart", "pareto_chart"]


_BREAK_EVEN_TITLE = "Monthly cost by volume"
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

_PARETO_TITLE = "Cost against latency"
_FRONT = "#e76f51"
_DOMINATED = "#b6bcc2"
_CHOSEN = "#264653"
_MARGIN = 1.18  # above the highest value: room for labels
_CHARACTER_WIDTH = 6.6

_AXES = ("latency_ms", "cost_per_1M_invocations")


def break_even_chart(comparison: CostComparison) -> Spec:
    """Monthly cost of each configuration and instance type over monthly volume.

    A dot marks the first volume at which an instance is cheaper than a configuration, a dashed rule the
    volume of the traffic. Both axes are logarithmic where volumes or costs lie far apart.
    """
    configurations = _shown(comparison)
    instances = [way for way in comparison.ways if way.kind == "instance"][: len(_INSTANCE_COLOURS)]
    if not configurations or not instances:
        reason = "no capacity of an instance is known" if configurations else "no configuration has a cost"
        return themed(message_chart(f"No break-even to draw: {reason}.", titled(_BREAK_EVEN_TITLE, [])))
    ways = [*configurations, *instances]
    dots = _dots(comparison, ways)
    low, high = _reach(comparison, dots, ways)
    lines = _lines(ways, low, high)
    top = _top(lines, instances, high, log=low > 0)
    layers = [_curves(lines, ways, (low, high), top, comparison.currency)]
    if dots.height:
        layers.append(_marks(dots, top))
    if comparison.traffic:
        layers.append(_traffic_rule(comparison.traffic.monthly_invocations))
    notes = _break_even_notes(comparison, ways, has_dots=dots.height > 0)
    return themed(_layered(layers, titled(_BREAK_EVEN_TITLE, notes)))


def _layered(layers: list[Spec], title: Spec) -> Spec:
    return {"title": title, "width": PANEL_WIDTH, "height": _HEIGHT, "layer": layers}


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
) -> Spec:
    drawn = lines.with_columns(
        pl.col("option").map_elements(printable, return_dtype=pl.String),
        pl.int_range(pl.len()).alias("order"),
    )
    return {
        "data": inline(drawn),
        "mark": {"type": "line", "clip": True},
        "encoding": {
            "x": _volume_axis(*reach),
            "y": _cost_axis(lines, top, currency, log=reach[0] > 0),
            "color": _way_colours(ways),
            "order": quantity("order"),
            "strokeWidth": {"condition": {"test": "datum.kind === 'instance'", "value": 3.2}, "value": 1.8},
        },
    }


def _way_colours(ways: list[Running]) -> Spec:
    names = [printable(way.name) for way in ways]
    num_instances = sum(way.kind == "instance" for way in ways)
    colours = [*_CONFIGURATION_COLOURS[: len(ways) - num_instances], *_INSTANCE_COLOURS[:num_instances]]
    return category(
        "option",
        sort=names,
        scale={"domain": names, "range": colours},
        legend={"title": "Configuration, instance type"},
    )


def _volume_axis(low: float, high: float) -> Spec:
    title = "Successful invocations a month"
    if low > 0:
        axis = {**log_latency_axis(low, high, title=title, most_ticks=10), "labelExpr": _COMPACT}
    else:
        divisor, unit, _ = next((scale for scale in _UNITS if high >= scale[0]), (1.0, "", ""))
        label = f"format(datum.value / {divisor}, ',~r')"
        axis = {"title": f"{title} ({unit})" if unit else title, "labelExpr": label, "tickCount": 8}
    scale = {"type": "log" if low > 0 else "linear", "domain": [low, high], "nice": False}
    return quantity("monthly_invocations", scale=scale, axis={**axis, "grid": False})


def _cost_axis(lines: pl.DataFrame, top: float, currency: str, *, log: bool) -> Spec:
    title = f"Cost a month ({printable(currency)})"
    positive = lines.filter(pl.col("monthly_cost") > 0)["monthly_cost"]
    low = float(positive.min()) if log and len(positive) else 0.0  # type: ignore[arg-type]
    axis = (
        log_latency_axis(low, top, title=title, most_ticks=9)
        if low
        else {"title": title, "tickCount": 6, "labelExpr": LATENCY_LABEL}
    )
    scale = {"type": "log" if low else "linear", "domain": [low, top], "nice": False}
    return quantity("monthly_cost", scale=scale, axis={**axis, "domain": False, "ticks": False})


def _marks(dots: pl.DataFrame, top: float) -> Spec:
    return {
        "data": inline(dots.filter(pl.col("monthly_cost") <= top)),
        "mark": {
            "type": "point",
            "shape": "circle",
            "filled": True,
            "size": 46,
            "color": BODY,
            "opacity": 1,
            "clip": True,
        },
        "encoding": {"x": quantity("monthly_invocations"), "y": quantity("monthly_cost")},
    }


def _traffic_rule(volume: float) -> Spec:
    text = {"align": "right", "dx": -6, "y": 10, "fontSize": 12, "fontWeight": "bold", "color": BODY}
    return {
        "data": {"values": [{"monthly_invocations": volume, "text": "your traffic"}]},
        "encoding": {"x": quantity("monthly_invocations")},
        "layer": [
            {"mark": {"type": "rule", "color": BODY, "strokeDash": [4, 4]}},
            {"mark": {"type": "text", **text}, "encoding": {"text": category("text")}},
        ],
    }


def _break_even_notes(comparison: CostComparison, ways: list[Running], *, has_dots: bool) -> list[str]:
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


Point = tuple[float, float]
_Box = tuple[float, float, float, float]  # left, top, right, bottom


def pareto_chart(comparison: CostComparison) -> Spec:
    """Cost per 1M invocations over the latency percentile; the front coloured, dominated options greyed."""
    known = comparison.candidates.drop_nulls("dominated")
    title = titled(_PARETO_TITLE, [])
    if known.is_empty():
        return themed(message_chart("Nothing to draw: no option has both a cost and a latency.", title))
    points = _points(known, comparison)
    layers = [_front(points), _markers(points, comparison), *_labels(points)]
    return themed(_layered(layers, titled(_PARETO_TITLE, _pareto_notes(points, comparison))))


def _points(known: pl.DataFrame, comparison: CostComparison) -> pl.DataFrame:
    chosen = comparison.choice.option["option"] if comparison.choice.option else None
    tops = [float(known[name].max()) * _MARGIN or 1.0 for name in _AXES]  # type: ignore[arg-type]
    points = known.sort("latency_ms", "cost_per_1M_invocations", "option").with_columns(
        pl.when(pl.col("option").eq_missing(chosen))  # none may be chosen
        .then(pl.lit("chosen"))
        .when("dominated")
        .then(pl.lit("dominated"))
        .otherwise(pl.lit("front"))
        .alias("role"),
        pl.col("option").map_elements(printable, return_dtype=pl.String),
        pl.lit(tops[0]).alias("top_latency"),
        pl.lit(tops[1]).alias("top_cost"),
    )
    return points.with_columns(
        pl.Series("placement", _placements(points, chosen), dtype=pl.Int64),
    )


def _placements(points: pl.DataFrame, chosen: str | None) -> list[int | None]:
    """Where each label goes, the front's first; None where it would cover another one or the front."""
    pixels = [
        (PANEL_WIDTH * latency / width, _HEIGHT * (1 - cost / height))
        for latency, cost, width, height in points.select(*_AXES, "top_latency", "top_cost").iter_rows()
    ]
    names = points["option"].to_list()
    front = [index for index, dominated in enumerate(points["dominated"]) if not dominated]
    others = [index for index, dominated in enumerate(points["dominated"]) if dominated]
    path, at = _stairs([pixels[index] for index in front])
    lines: list[Line] = [[*path, None], *[[*[None] * len(path), pixels[index]] for index in others]]
    texts = [[""] * (len(path) + 1), *[[*[""] * len(path), names[index]] for index in others]]
    for index, position in zip(front, at, strict=True):
        texts[0][position] = names[index]
    placed = place_labels(lines, texts, width=PANEL_WIDTH, height=_HEIGHT)
    wanted = dict(zip(front, (placed[0][position] for position in at), strict=True))
    wanted |= {index: line[-1] for index, line in zip(others, placed[1:], strict=True)}
    edges = [_around(*ends) for ends in pairwise(point for point in path if point)]
    return _without_collisions(names, pixels, wanted, edges, chosen)


def _stairs(points: list[Point]) -> tuple[list[Point | None], list[int]]:
    """A path of stairs through ``points`` and where in it they are."""
    path: list[Point | None] = []
    at = []
    for number, point in enumerate(points):
        if number:
            path.append((point[0], points[number - 1][1]))
        at.append(len(path))
        path.append(point)
    return path, at


def _without_collisions(
    names: list[str], pixels: list[Point], wanted: dict[int, int], edges: list[_Box], chosen: str | None
) -> list[int | None]:
    """Drops the labels that cover another one, a marker, the front or the panel's edge; the chosen stays."""
    kept: list[int | None] = [None] * len(names)
    taken: list[_Box] = []
    for index in sorted(wanted, key=lambda index: names[index] != chosen):
        box = _box(pixels[index], names[index], wanted[index])
        markers = [_around(pixel, margin=5) for pixel in pixels if pixel != pixels[index]]
        inside = box[0] >= 0 and box[2] <= PANEL_WIDTH and box[1] >= 0 and box[3] <= _HEIGHT
        if names[index] == chosen or (
            inside and not any(_overlap(box, other) for other in [*taken, *markers, *edges])
        ):
            kept[index] = wanted[index]
            taken.append(box)
    return kept


def _box(pixel: Point, text: str, placement: int) -> _Box:
    side = PLACEMENTS[placement]
    width = _CHARACTER_WIDTH * len(text)
    left = pixel[0] + side.dx - {"left": 0.0, "center": 0.5, "right": 1.0}[side.align] * width
    return (left, pixel[1] + side.dy - 7, left + width, pixel[1] + side.dy + 7)


def _around(*points: Point, margin: float = 1.0) -> _Box:
    across, down = zip(*points, strict=True)
    return (min(across) - margin, min(down) - margin, max(across) + margin, max(down) + margin)


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _front(points: pl.DataFrame) -> Spec:
    """The edge of what can be had: nothing lies below and left of it."""
    edge = points.filter(~pl.col("dominated")).unique(_AXES, keep="first", maintain_order=True)
    return {
        "data": inline(edge),
        "mark": {
            "type": "line",
            "color": _FRONT,
            "strokeWidth": 1.6,
            "opacity": 0.6,
            "interpolate": "step-after",
            "strokeDash": [5, 3],
        },
        "encoding": _position(),
    }


def _position() -> Spec:
    return {"x": quantity(_AXES[0]), "y": quantity(_AXES[1])}


def _markers(points: pl.DataFrame, comparison: CostComparison) -> Spec:
    latency = f"{percentile_text(comparison.percentile)} latency (ms)"
    cost = f"Cost per 1M invocations ({printable(comparison.currency)})"
    return {
        "data": inline(points.sort("dominated", descending=True)),
        "mark": {"type": "circle", "size": 95, "opacity": 1},
        "encoding": {
            "x": _axis(_AXES[0], latency, points["top_latency"][0]),
            "y": _axis(_AXES[1], cost, points["top_cost"][0]),
            "color": _role_colours(points),
        },
    }


def _role_colours(points: pl.DataFrame) -> Spec:
    colours = {"chosen": _CHOSEN, "front": _FRONT, "dominated": _DOMINATED}
    present = [role for role in colours if role in set(points["role"])]
    legend = {
        "title": None,
        "symbolType": "circle",
        "symbolStrokeWidth": 0,
        "values": present,
        "orient": "bottom",
    }
    scale = {"domain": list(colours), "range": list(colours.values())}
    return category("role", scale=scale, legend=legend)


def _axis(field: str, title: str, top: float) -> Spec:
    axis = {"title": title, "tickCount": 6, "labelExpr": LATENCY_LABEL}
    return quantity(field, scale={"domain": [0, top], "nice": False}, axis=axis)


def _labels(points: pl.DataFrame) -> list[Spec]:
    shown = points.drop_nulls("placement")
    colours = {"dominated": MUTED, "front": BODY, "chosen": _CHOSEN}
    found = []
    for role, placement in shown.select("role", "placement").unique(maintain_order=True).iter_rows():
        side = PLACEMENTS[placement]
        rows = shown.filter(pl.col("role") == role, pl.col("placement") == placement)
        mark = {
            "type": "text",
            "align": side.align,
            "dx": side.dx,
            "dy": side.dy,
            "color": colours[role],
            "fontSize": 12,
            "fontWeight": "bold" if role == "chosen" else "normal",
        }
        encoding = {**_position(), "text": category("option")}
        found.append({"data": inline(rows), "mark": mark, "encoding": encoding})
    return found


def _pareto_notes(points: pl.DataFrame, comparison: CostComparison) -> list[str]:
    traffic = comparison.traffic
    notes = [f"Costs at {thousands(traffic.monthly_invocations)} invocations a month."] if traffic else []
    unlabelled = points["placement"].null_count()
    if unlabelled:
        notes.append(f"Without a label for want of room: {thousands(unlabelled)} of {points.height} options.")
    return notes
