"""Cost against latency: the options that no other one beats, and the rest in grey."""

from itertools import pairwise
from typing import Any

import altair as alt
import polars as pl

from loadlens.charts.axes import LATENCY_LABEL
from loadlens.charts.labels import PLACEMENTS, Line, place_labels
from loadlens.charts.parts import inline, message_chart, printable, thousands, titled, unchecked
from loadlens.charts.theme import BODY, MUTED, PANEL_WIDTH, themed
from loadlens.costing import CostComparison, percentile_text

__all__ = ["pareto_chart"]

Point = tuple[float, float]
_Box = tuple[float, float, float, float]  # left, top, right, bottom

_TITLE = "Cost against latency"
_HEIGHT = 340
_FRONT = "#e76f51"
_DOMINATED = "#b6bcc2"
_CHOSEN = "#264653"
_MARGIN = 1.18  # above the highest value: room for labels
_CHARACTER_WIDTH = 6.6


@unchecked
def pareto_chart(comparison: CostComparison) -> alt.LayerChart:
    """Cost per 1M invocations over the latency percentile; the front coloured, dominated options greyed."""
    known = comparison.candidates.drop_nulls("dominated")
    title = titled(_TITLE, [])
    if known.is_empty():
        return themed(message_chart("Nothing to draw: no option has both a cost and a latency.", title))
    points = _points(known, comparison)
    layers = [_front(points), _markers(points, comparison), *_labels(points)]
    return themed(alt.LayerChart(layer=layers, title=titled(_TITLE, _notes(points, comparison))))


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


_AXES = ("latency_ms", "cost_per_1M_invocations")


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


def _front(points: pl.DataFrame) -> alt.Chart:
    """The edge of what can be had: nothing lies below and left of it."""
    edge = points.filter(~pl.col("dominated")).unique(_AXES, keep="first", maintain_order=True)
    base = alt.Chart(inline(edge), width=PANEL_WIDTH, height=_HEIGHT)
    line: alt.Chart = base.mark_line(
        color=_FRONT, strokeWidth=1.6, opacity=0.6, interpolate="step-after", strokeDash=[5, 3]
    ).encode(x=alt.X(_AXES[0], type="quantitative"), y=alt.Y(_AXES[1], type="quantitative"))
    return line


def _markers(points: pl.DataFrame, comparison: CostComparison) -> alt.Chart:
    roles = ["chosen", "front", "dominated"]
    scale = alt.Scale(domain=roles, range=[_CHOSEN, _FRONT, _DOMINATED])
    present = [role for role in roles if role in set(points["role"])]
    legend = alt.Legend(title=None, symbolType="circle", symbolStrokeWidth=0, values=present, orient="bottom")
    colour = alt.Color("role", type="nominal", scale=scale, legend=legend)
    latency = f"{percentile_text(comparison.percentile)} latency (ms)"
    cost = f"Cost per 1M invocations ({printable(comparison.currency)})"
    base = alt.Chart(inline(points.sort("dominated", descending=True)), width=PANEL_WIDTH, height=_HEIGHT)
    marks: alt.Chart = base.mark_circle(size=95, opacity=1).encode(
        x=alt.X(_AXES[0], type="quantitative", **_axis(latency, points["top_latency"][0])),
        y=alt.Y(_AXES[1], type="quantitative", **_axis(cost, points["top_cost"][0])),
        color=colour,
    )
    return marks


def _axis(title: str, top: float) -> dict[str, Any]:
    return {
        "scale": alt.Scale(domain=[0, top], nice=False),
        "axis": alt.Axis(title=title, tickCount=6, labelExpr=LATENCY_LABEL),
    }


def _labels(points: pl.DataFrame) -> list[alt.Chart]:
    shown = points.drop_nulls("placement")
    colours = {"dominated": MUTED, "front": BODY, "chosen": _CHOSEN}
    found = []
    for role, placement in shown.select("role", "placement").unique(maintain_order=True).iter_rows():
        side = PLACEMENTS[placement]
        rows = shown.filter(pl.col("role") == role, pl.col("placement") == placement)
        mark = alt.Chart(inline(rows), width=PANEL_WIDTH, height=_HEIGHT).mark_text(
            align=side.align,
            dx=side.dx,
            dy=side.dy,
            color=colours[role],
            fontSize=12,
            fontWeight="bold" if role == "chosen" else "normal",
        )
        found.append(
            mark.encode(
                x=alt.X(_AXES[0], type="quantitative"),
                y=alt.Y(_AXES[1], type="quantitative"),
                text=alt.Text("option", type="nominal"),
            )
        )
    return found


def _notes(points: pl.DataFrame, comparison: CostComparison) -> list[str]:
    traffic = comparison.traffic
    notes = [f"Costs at {thousands(traffic.monthly_invocations)} invocations a month."] if traffic else []
    unlabelled = points["placement"].null_count()
    if unlabelled:
        notes.append(f"Without a label for want of room: {thousands(unlabelled)} of {points.height} options.")
    return notes
