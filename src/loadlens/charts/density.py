"""Latency distributions as curves: one chart, panels by concurrency, or a grid of small panels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import altair as alt
import polars as pl

from loadlens.charts.drawing import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    category_scale,
    inline,
    message_chart,
    printable,
    series_of,
    themed,
    thousands,
    titled,
    unchecked,
)

__all__ = ["concurrency_density_chart", "density_chart", "stability_density_chart", "summary_density_chart"]

TITLE = "Invocation Latency (ms)"
LATENCY_TITLE = "Invocation latency (ms)"
DENSITY_TITLE = "Density (per ms)"

_MOST_CURVES = 20  # more lines in one panel cannot be told apart
_MANY_CURVES = 10  # their fills add up to a grey
_LEGEND_ROW = 18  # pixels
_MOST_PANELS = 24
_GRID_COLUMNS = 3
_GRID_SPACING = 62  # holds the axis labels of the next panel
_GRID_PADDING = {"left": 12, "top": 12, "right": 28, "bottom": 36}  # and those along the edges
_LARGEST_PEAK_RATIO = 40  # beyond it the flattest curve is a line along the axis
_TAIL = 0.01  # of a curve's peak: where its tail begins
_LEAST_CROP = 0.5  # an axis is cut only where that frees half of it
_UNITS = {"memory_size": "memory_size (MB)"}
_NO_CURVE = "No curve to draw: a curve needs a configuration with at least two different latencies."


@dataclass(frozen=True, kw_only=True)
class _Curves:
    """Curves as they are drawn: ``series`` (text), ``latency_ms``, ``density``, and the series in order."""

    points: pl.DataFrame
    series: list[str]
    notes: list[str]
    cut: bool = False


@unchecked
def stability_density_chart(curves: pl.DataFrame, *, without_curve: int = 0) -> alt.LayerChart:
    """Latency of each memory size.

    Args:
        curves: ``memory_size`` (MB), ``latency_ms``, ``density`` (per ms).
        without_curve: how many memory sizes have no curve, for the subtitle.
    """
    return density_chart(curves, colour=("memory_size",), without_curve=without_curve)


@unchecked
def density_chart(
    curves: pl.DataFrame, *, colour: Sequence[str], title: str = TITLE, without_curve: int = 0
) -> alt.LayerChart:
    """All curves in one panel: lines with a light fill that do not stack.

    Args:
        curves: the ``colour`` columns, ``latency_ms``, ``density`` (per ms).
        colour: columns that tell the curves apart; none for a single curve.
        title: what stands above.
        without_curve: how many groups have no curve, for the subtitle.
    """
    return themed(_panel(curves, colour, title, _missing(without_curve)))


@unchecked
def concurrency_density_chart(
    curves: pl.DataFrame, *, without_curve: int = 0
) -> alt.LayerChart | alt.VConcatChart:
    """Latency by number of clients, one panel above the other for each ``max_concurrency``.

    Args:
        curves: ``max_concurrency``, ``num_clients``, ``latency_ms``, ``density`` (per ms).
        without_curve: how many configurations have no curve, for the first panel's subtitle.
    """
    panels = curves.sort("max_concurrency", maintain_order=True).partition_by("max_concurrency")
    if not panels:
        return density_chart(curves, colour=("num_clients",), without_curve=without_curve)
    charts = [
        _panel(
            rows,
            ("num_clients",),
            f"{TITLE} with max_concurrency={printable(rows['max_concurrency'][0])}",
            [] if number else _missing(without_curve),
        )
        for number, rows in enumerate(panels)
    ]
    stacked = alt.vconcat(*charts, spacing=28)
    resolved: alt.VConcatChart = stacked.resolve_scale(x="independent", y="independent", color="independent")
    return themed(resolved)


@unchecked
def summary_density_chart(
    curves: pl.DataFrame, by: Sequence[str], *, without_curve: int = 0
) -> alt.LayerChart | alt.FacetChart:
    """Latency by any key: one panel where its curves can be told apart, else small panels.

    Args:
        curves: the ``by`` columns, ``latency_ms``, ``density`` (per ms).
        by: the key columns; none for a single curve without a legend.
        without_curve: how many keys have no curve, for the subtitle.
    """
    if _fit_one_panel(curves, by):
        return density_chart(curves, colour=by, without_curve=without_curve)
    return themed(_small_panels(curves, by, _missing(without_curve)))


def _fit_one_panel(curves: pl.DataFrame, by: Sequence[str]) -> bool:
    if not by or curves.is_empty():
        return True
    peaks = curves.group_by(by).agg(pl.col("density").max())["density"]
    return len(peaks) <= _MOST_CURVES and bool(peaks.max() <= _LARGEST_PEAK_RATIO * peaks.min())  # type: ignore[operator]


def _panel(curves: pl.DataFrame, colour: Sequence[str], title: str, notes: list[str]) -> alt.LayerChart:
    if curves.is_empty():
        return message_chart(_NO_CURVE, titled(title, notes))
    drawn = _cropped(_most_common(_labelled(curves, colour, notes), _MOST_CURVES))
    legend = alt.Legend(title=_legend_title(colour)) if colour else None
    scale = category_scale(drawn.series)
    colours = alt.Color("series", type="nominal", sort=drawn.series, scale=scale, legend=legend)
    height = max(PANEL_HEIGHT, _LEGEND_ROW * len(drawn.series))
    base = alt.Chart(inline(drawn.points), width=PANEL_WIDTH, height=height).encode(
        x=_latency_axis(), y=_density_axis(), color=colours
    )
    fill = 0.07 if len(drawn.series) <= _MANY_CURVES else 0.03
    layers = _area_and_line(base, fill, drawn)
    return alt.LayerChart(layer=layers, title=titled(title, drawn.notes))


def _small_panels(curves: pl.DataFrame, by: Sequence[str], notes: list[str]) -> alt.FacetChart:
    drawn = _each_cropped(_most_common(_labelled(curves, by, notes), _MOST_PANELS))
    base = alt.Chart(width=190, height=80).encode(
        x=_latency_axis(title=None, ticks=3), y=_small_density_axis()
    )
    layers = alt.LayerChart(layer=_area_and_line(base, 0.1, drawn))
    facet = alt.Facet("series", type="nominal", sort=drawn.series, title=None)
    chart = layers.facet(
        facet, data=inline(drawn.points), columns=_GRID_COLUMNS, spacing=_GRID_SPACING, bounds="flush"
    )
    lead = (
        f"{DENSITY_TITLE} over {LATENCY_TITLE.lower()} by {_legend_title(by)}; each panel has its own scales."
    )
    chart = chart.properties(title=titled(TITLE, [lead, *drawn.notes]), padding=_GRID_PADDING)
    resolved: alt.FacetChart = chart.resolve_scale(x="independent", y="independent")
    return resolved


def _area_and_line(base: alt.Chart, fill: float, drawn: _Curves) -> list[alt.Chart]:
    # A cut curve keeps few of its points; straight lines between them would add corners.
    shape: Literal["monotone", "linear"] = "monotone" if drawn.cut else "linear"
    return [
        base.mark_area(fillOpacity=fill, interpolate=shape),
        base.mark_line(strokeWidth=1.8, interpolate=shape),
    ]


def _labelled(curves: pl.DataFrame, by: Sequence[str], notes: list[str]) -> _Curves:
    """Series named by their key, in the order of the key."""
    named, names = series_of(curves, by)
    points = curves.select(named, "latency_ms", "density")
    return _Curves(points=_from_zero(points), series=names, notes=notes)


def _from_zero(points: pl.DataFrame) -> pl.DataFrame:
    """Curves begin at 0 at the earliest: a latency below is the kernel's doing, not the log's."""
    at, density = pl.col("latency_ms"), pl.col("density")
    step, rise = (column.shift(-1).over("series") - column for column in (at, density))
    crosses = (at < 0) & (at + step >= 0)
    value_at_zero = pl.when(at < 0).then(density - at * rise / step).otherwise(density)
    kept = points.select(
        "series", "latency_ms", value_at_zero.alias("density"), ((at >= 0) | crosses).alias("kept")
    )
    return kept.filter("kept").select("series", at.clip(lower_bound=0), "density")


def _most_common(curves: _Curves, most: int) -> _Curves:
    """The curves that stand for the most invocations: the area below a curve is its share of them."""
    if len(curves.series) <= most:
        return curves
    width = pl.col("latency_ms").max() - pl.col("latency_ms").min()
    areas = curves.points.group_by("series").agg(area=pl.col("density").mean() * width)
    kept = areas.sort(["area", "series"], descending=[True, False]).head(most)["series"]
    note = f"Shown: the {most} of {thousands(len(curves.series))} groups with the most invocations."
    return _Curves(
        points=curves.points.filter(pl.col("series").is_in(kept.implode())),
        series=[name for name in curves.series if name in set(kept)],
        notes=[*curves.notes, note],
    )


def _cropped(curves: _Curves) -> _Curves:
    """Leaves out thin tails where they would squeeze everything else, and says so."""
    bulk = pl.col("density") >= _TAIL * pl.col("density").max().over("series")
    reach = float(curves.points["latency_ms"].max())  # type: ignore[arg-type]
    end = float(curves.points.filter(bulk)["latency_ms"].max())  # type: ignore[arg-type]
    if end > _LEAST_CROP * reach:
        return curves
    note = (
        f"Cut off at {_latency(end)} ms: beyond, each curve is below 1 % of its peak; "
        f"the tails reach {_latency(reach)} ms."
    )
    points = curves.points.filter(pl.col("latency_ms") <= end)
    return replace(curves, points=points, notes=[*curves.notes, note], cut=True)


def _each_cropped(curves: _Curves) -> _Curves:
    """The same where each curve has a latency axis of its own."""
    at, peak = pl.col("latency_ms"), pl.col("density").max()
    reach, end = at.max(), at.filter(pl.col("density") >= _TAIL * peak).max()
    points = curves.points.filter(((at <= end) | (end > _LEAST_CROP * reach)).over("series"))
    if points.height == curves.points.height:
        return curves
    note = "Cut off where a curve falls below 1 % of its peak and its tail would fill half of the panel."
    return replace(curves, points=points, notes=[*curves.notes, note], cut=True)


def _latency(value_ms: float) -> str:
    return f"{value_ms:,.0f}" if value_ms >= 10 else f"{value_ms:.2g}"  # noqa: PLR2004


def _missing(without_curve: int) -> list[str]:
    if not without_curve:
        return []
    groups = "1 group" if without_curve == 1 else f"{thousands(without_curve)} groups"
    return [f"Not drawn: {groups} without two different latencies."]


def _legend_title(columns: Sequence[str]) -> str:
    return " · ".join(printable(_UNITS.get(name, name)) for name in columns)


def _latency_axis(title: str | None = LATENCY_TITLE, ticks: int = 10) -> alt.X:
    axis = alt.Axis(title=title, grid=False, tickCount=ticks, labelOverlap="greedy", labelSeparation=6)
    return alt.X("latency_ms", type="quantitative", scale=alt.Scale(zero=False, nice=False), axis=axis)


def _density_axis() -> alt.Y:
    axis = alt.Axis(title=DENSITY_TITLE, tickCount=5, domain=False, ticks=False)
    return alt.Y("density", type="quantitative", stack=False, scale=alt.Scale(nice=5), axis=axis)


def _small_density_axis() -> alt.Y:
    # d3 rounds to the tick step under a plain format and would print 0.15 as 0.1.
    axis = alt.Axis(
        title=None, tickCount=3, labelExpr="format(datum.value, '.2~g')", domain=False, ticks=False
    )
    return alt.Y("density", type="quantitative", stack=False, scale=alt.Scale(nice=3), axis=axis)
