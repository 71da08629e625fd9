"""Throughput and latency against the load, and the scalability law that was fitted."""

from typing import Final

import numpy as np
import polars as pl

from loadlens.charts.drawing import (
    BODY,
    MUTED,
    ONE_X_AXIS,
    PANEL_WIDTH,
    PLACEMENTS,
    Spec,
    category,
    inline,
    message_chart,
    quantity,
    themed,
    titled,
)
from loadlens.charts.over_time import BARE_AXIS, THROUGHPUT_COLOUR, latency_axis, latency_colours
from loadlens.summaries.scalability import Scalability

__all__ = ["load_chart"]

_TITLE: Final = "Throughput and latency against load"
_LAW_COLOUR: Final = "#333333"
_POINTS_OF_LAW: Final = 100
_THROUGHPUT_HEIGHT: Final = 220
_LATENCY_HEIGHT: Final = 180
_SIDES: Final = (PLACEMENTS[6], PLACEMENTS[7])
_FIGURES: Final = ["p50", "p95", "p99"]
_NO_ROOM: Final = 0.8  # of the width, beyond which a name stands to the left of its line


def load_chart(
    levels: pl.DataFrame, windows: pl.DataFrame, law: Scalability, *, load: str = "Active calls"
) -> Spec:
    """Throughput above latency, both against the load: each window a point, each level of the load a mark.

    Args:
        levels: ``active_calls``, ``throughput``, ``p50_ms``, ``p95_ms``, ``p99_ms`` by level.
        windows: ``active_calls`` and ``throughput`` of each window, drawn as small points.
        law: is drawn over the loads that were measured, with its knee and its peak where they lie there.
        load: what the load is.
    """
    if levels.is_empty():
        return themed(
            message_chart("No load to draw: the log does not tell active calls.", titled(_TITLE, []))
        )
    points = windows.select("active_calls", "throughput").drop_nulls()
    highest = max(float(frame["active_calls"].max() or 0.0) for frame in (levels, points))  # type: ignore[arg-type]
    has_latencies = bool(levels["p50_ms"].count())
    upper = _throughput(levels, points, law, highest, load if not has_latencies else None)
    panels = [upper, *([_latencies(levels, highest, load)] if has_latencies else [])]
    return themed(
        {
            "title": titled(_TITLE, _notes(law)),
            "vconcat": panels,
            "spacing": 16,
            "resolve": ONE_X_AXIS,
        }
    )


def _notes(law: Scalability) -> list[str]:
    if law.reason is not None:
        return []
    rate, contention, coherency = (law.figures[name] for name in ("rate_per_s", "contention", "coherency"))
    slowed = f"1 + {contention:.3g} (N - 1) + {coherency:.3g} N (N - 1)"
    return [f"Line: universal scalability law, {rate:.3g} N / ({slowed})"]


def _load_axis(highest: float, load: str | None) -> Spec:
    axis = {"title": load, "labels": load is not None, "grid": False, "tickCount": 10}
    scale = {"domain": [0, highest * 1.03 or 1.0], "nice": False}
    return quantity("active_calls", scale=scale, axis=axis)


def _throughput(
    levels: pl.DataFrame, points: pl.DataFrame, law: Scalability, highest: float, load: str | None
) -> Spec:
    axis = {"title": "Successful calls/s", "tickCount": 5, **BARE_AXIS}
    y = quantity("throughput", scale={"zero": True}, axis=axis)
    means = levels.select("active_calls", "throughput").drop_nulls()
    drawn = [_points(points, y, size=16, opacity=0.3), _points(means, y, size=55, opacity=1)]
    return {
        "width": PANEL_WIDTH,
        "height": _THROUGHPUT_HEIGHT,
        "encoding": {"x": _load_axis(highest, load)},
        "layer": [*_law(law, highest, y), *drawn] if law.reason is None else drawn,
    }


def _points(rows: pl.DataFrame, y: Spec, **look: float) -> Spec:
    mark = {"type": "point", "filled": True, "color": THROUGHPUT_COLOUR, **look}
    return {"data": inline(rows), "mark": mark, "encoding": {"y": y}}


def _law(law: Scalability, highest: float, y: Spec) -> list[Spec]:
    lowest = law.loads[0] if law.loads else 0.0
    loads = np.linspace(lowest, highest, _POINTS_OF_LAW)
    curve = pl.DataFrame({"active_calls": loads, "throughput": law.throughput(loads)})
    line = {"type": "line", "color": _LAW_COLOUR, "strokeWidth": 1.4}
    places = [("knee", law.figures["knee_load"]), ("peak", law.figures["peak_load"])]
    told = [(f"{name} {place:.3g}", place) for name, place in places if lowest <= place <= highest]
    marks = pl.DataFrame(told, schema={"told": pl.String, "active_calls": pl.Float64}, orient="row")
    rule = {"type": "rule", "color": BODY, "strokeDash": [4, 3], "opacity": 0.6}
    return [
        {"data": inline(curve), "mark": line, "encoding": {"y": y}},
        {"data": inline(marks), "layer": [{"mark": rule}, *(_names(highest) if told else [])]},
    ]


def _names(highest: float) -> list[Spec]:
    text = {"type": "text", "y": _THROUGHPUT_HEIGHT - 10, "fontSize": 12, "color": MUTED}
    return [
        {
            "transform": [{"filter": f"datum.active_calls {sign} {_NO_ROOM * highest}"}],
            "mark": {**text, "align": side.align, "dx": side.dx},
            "encoding": {"text": category("told")},
        }
        for sign, side in zip(("<", ">="), _SIDES, strict=True)
    ]


def _latencies(levels: pl.DataFrame, highest: float, load: str) -> Spec:
    lines = pl.concat(
        levels.filter(pl.col(f"{name}_ms") > 0).select(
            "active_calls", pl.col(f"{name}_ms").alias("latency_ms"), pl.lit(name).alias("figure")
        )
        for name in _FIGURES
    )
    return {
        "data": inline(lines),
        "width": PANEL_WIDTH,
        "height": _LATENCY_HEIGHT,
        "encoding": {
            "x": _load_axis(highest, load),
            "y": latency_axis(lines, "Latency (ms)"),
            "color": latency_colours(_FIGURES),
        },
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 1.6, "strokeJoin": "round"}},
            {"mark": {"type": "point", "filled": True, "size": 26, "opacity": 1}},
        ],
    }
