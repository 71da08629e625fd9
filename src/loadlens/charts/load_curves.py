"""Throughput and latency against the load, and the scalability law that was fitted."""

from typing import Final

import altair as alt
import numpy as np
import polars as pl

from loadlens.charts.drawing import (
    BODY,
    MUTED,
    PANEL_WIDTH,
    PLACEMENTS,
    inline,
    message_chart,
    themed,
    titled,
    unchecked,
)
from loadlens.charts.over_time import LATENCY_COLOURS, THROUGHPUT_COLOUR, latency_axis
from loadlens.summaries.scalability import Scalability

__all__ = ["load_chart"]

_TITLE: Final = "Throughput and latency against load"
_LAW_COLOUR: Final = "#333333"
_POINTS_OF_LAW: Final = 100
_THROUGHPUT_HEIGHT: Final = 220
_LATENCY_HEIGHT: Final = 180
_SIDES: Final = (PLACEMENTS[6], PLACEMENTS[7])
_FIGURES: Final = ("p50", "p95", "p99")
_NO_ROOM: Final = 0.8  # of the width, beyond which a name stands to the left of its line


@unchecked
def load_chart(
    levels: pl.DataFrame, windows: pl.DataFrame, law: Scalability, *, load: str = "Active calls"
) -> alt.LayerChart | alt.VConcatChart:
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
    stacked = alt.vconcat(*panels, spacing=16, title=titled(_TITLE, _notes(law)))
    resolved: alt.VConcatChart = stacked.resolve_scale(x="shared", y="independent", color="independent")
    return themed(resolved)


def _notes(law: Scalability) -> list[str]:
    if law.reason is not None:
        return []
    rate, contention, coherency = (law.figures[name] for name in ("rate_per_s", "contention", "coherency"))
    slowed = f"1 + {contention:.3g} (N - 1) + {coherency:.3g} N (N - 1)"
    return [f"Line: universal scalability law, {rate:.3g} N / ({slowed})"]


def _load_axis(highest: float, load: str | None) -> alt.X:
    axis = alt.Axis(title=load, labels=load is not None, grid=False, tickCount=10)
    scale = alt.Scale(domain=[0, highest * 1.03 or 1.0], nice=False)
    return alt.X("active_calls", type="quantitative", scale=scale, axis=axis)


def _throughput(
    levels: pl.DataFrame, points: pl.DataFrame, law: Scalability, highest: float, load: str | None
) -> alt.LayerChart:
    x = _load_axis(highest, load)
    axis = alt.Axis(title="Successful calls/s", tickCount=5, domain=False, ticks=False, minExtent=48)
    y = alt.Y("throughput", type="quantitative", scale=alt.Scale(zero=True), axis=axis)
    layers: list[alt.Chart] = [
        alt.Chart(inline(points), width=PANEL_WIDTH, height=_THROUGHPUT_HEIGHT)
        .mark_point(filled=True, size=16, opacity=0.3, color=THROUGHPUT_COLOUR)
        .encode(x=x, y=y),
        alt.Chart(
            inline(levels.select("active_calls", "throughput").drop_nulls()),
            width=PANEL_WIDTH,
            height=_THROUGHPUT_HEIGHT,
        )
        .mark_point(filled=True, size=55, opacity=1, color=THROUGHPUT_COLOUR)
        .encode(x=x, y=y),
    ]
    if law.reason is None:
        layers = [*_law(law, highest, x, y), *layers]
    return alt.LayerChart(layer=layers)


def _law(law: Scalability, highest: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    lowest = law.loads[0] if law.loads else 0.0
    loads = np.linspace(lowest, highest, _POINTS_OF_LAW)
    curve = pl.DataFrame({"active_calls": loads, "throughput": law.throughput(loads)})
    places = [("knee", law.figures["knee_load"]), ("peak", law.figures["peak_load"])]
    told = [(f"{name} {place:.3g}", place) for name, place in places if lowest <= place <= highest]
    marks = pl.DataFrame(told, schema={"told": pl.String, "active_calls": pl.Float64}, orient="row")
    base = alt.Chart(inline(marks)).encode(x=x)
    names = [
        base.transform_filter(f"datum.active_calls {sign} {_NO_ROOM * highest}")
        .mark_text(align=side.align, dx=side.dx, y=_THROUGHPUT_HEIGHT - 10, fontSize=12, color=MUTED)
        .encode(text=alt.Text("told", type="nominal"))
        for sign, side in zip(("<", ">="), _SIDES, strict=True)
    ]
    return [
        alt.Chart(inline(curve)).mark_line(color=_LAW_COLOUR, strokeWidth=1.4).encode(x=x, y=y),
        base.mark_rule(color=BODY, strokeDash=[4, 3], opacity=0.6),
        *(names if not marks.is_empty() else []),
    ]


def _latencies(levels: pl.DataFrame, highest: float, load: str) -> alt.LayerChart:
    lines = pl.concat(
        levels.filter(pl.col(f"{name}_ms") > 0).select(
            "active_calls", pl.col(f"{name}_ms").alias("latency_ms"), pl.lit(name).alias("figure")
        )
        for name in _FIGURES
    )
    colours = alt.Scale(domain=list(_FIGURES), range=[LATENCY_COLOURS[name] for name in _FIGURES])
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolStrokeWidth=2.5, offset=4)
    base = alt.Chart(inline(lines), width=PANEL_WIDTH, height=_LATENCY_HEIGHT).encode(
        x=_load_axis(highest, load),
        y=latency_axis(lines, "Latency (ms)"),
        color=alt.Color("figure", type="nominal", scale=colours, sort=list(_FIGURES), legend=legend),
    )
    line = base.mark_line(strokeWidth=1.6, strokeJoin="round")
    return alt.LayerChart(layer=[line, base.mark_point(filled=True, size=26, opacity=1)])
