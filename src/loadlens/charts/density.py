"""Latency distributions as curves: in one panel, or of many keys as ridges, one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from loadlens.charts.drawing import (
    Spec,
    category,
    inline,
    legend_title,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    not_drawn,
    printable,
    quantity,
    series_of,
    series_panel,
    themed,
    thousands,
    titled,
)

__all__ = ["concurrency_density_chart", "density_chart", "stability_density_chart", "summary_density_chart"]

TITLE = "Invocation Latency (ms)"
LATENCY_TITLE = "Invocation latency (ms)"
DENSITY_TITLE = "Density (per ms)"

_MOST_CURVES = 6  # more in one panel cannot be told apart
_MOST_RIDGES = 24
_MOST_SLOW = 8  # of these, those that are shown as they are the slowest
_RIDGE_HEIGHT = 34
_RIDGE_WIDTH = 520  # with the names of the keys beside it a page wide
_RIDGE_COLOUR = "#1f77b4"
_LEAST_LOG_RATIO = 100  # of the latencies: below it a linear axis shows all of them
_MOST_NAMED = 90  # characters
_LARGEST_PEAK_RATIO = 40  # beyond it the flattest curve is a line along the axis
_TAIL = 0.01  # of a curve's peak: where its tail begins
_LEAST_CROP = 0.5  # an axis is cut only where that frees half of it
_NEEDED = "two different latencies"
_NO_CURVE = "No curve to draw: a curve needs a configuration with at least two different latencies."


@dataclass(frozen=True, kw_only=True)
class _Curves:
    """Curves as they are drawn: ``series`` (text), ``latency_ms``, ``density``, and the series in order."""

    points: pl.DataFrame
    series: list[str]
    notes: list[str]
    cut: bool = False


def stability_density_chart(curves: pl.DataFrame, *, without_curve: int = 0) -> Spec:
    """Latency of each memory size.

    Args:
        curves: ``memory_size`` (MB), ``latency_ms``, ``density`` (per ms).
        without_curve: how many memory sizes have no curve, for the subtitle.
    """
    return density_chart(curves, colour=("memory_size",), without_curve=without_curve)


def density_chart(
    curves: pl.DataFrame, *, colour: Sequence[str], title: str = TITLE, without_curve: int = 0
) -> Spec:
    """Up to six curves in one panel, lines with a light fill that do not stack; more of them as ridges.

    Curves of very different heights are drawn as ridges too.

    Args:
        curves: the ``colour`` columns, ``latency_ms``, ``density`` (per ms).
        colour: columns that tell the curves apart; none for a single curve.
        title: what stands above.
        without_curve: how many groups have no curve, for the subtitle.
    """
    return themed(_drawn(curves, colour, title, not_drawn(without_curve, _NEEDED)))


def concurrency_density_chart(curves: pl.DataFrame, *, without_curve: int = 0) -> Spec:
    """Latency by number of clients, one panel above the other for each ``max_concurrency``.

    Args:
        curves: ``max_concurrency``, ``num_clients``, ``latency_ms``, ``density`` (per ms).
        without_curve: how many configurations have no curve, for the first panel's subtitle.
    """
    panels = curves.sort("max_concurrency", maintain_order=True).partition_by("max_concurrency")
    if not panels:
        return density_chart(curves, colour=("num_clients",), without_curve=without_curve)
    charts = [
        _drawn(
            rows,
            ("num_clients",),
            f"{TITLE} with max_concurrency={printable(rows['max_concurrency'][0])}",
            [] if number else not_drawn(without_curve, _NEEDED),
        )
        for number, rows in enumerate(panels)
    ]
    scales = dict.fromkeys(("x", "y", "color"), "independent")
    return themed({"vconcat": charts, "spacing": 28, "resolve": {"scale": scales}})


def summary_density_chart(curves: pl.DataFrame, by: Sequence[str], *, without_curve: int = 0) -> Spec:
    """Latency by any key; see ``density_chart``.

    Args:
        curves: the ``by`` columns, ``latency_ms``, ``density`` (per ms).
        by: the key columns; none for a single curve without a legend.
        without_curve: how many keys have no curve, for the subtitle.
    """
    return density_chart(curves, colour=by, without_curve=without_curve)


def _drawn(curves: pl.DataFrame, by: Sequence[str], title: str, notes: list[str]) -> Spec:
    if curves.is_empty():
        return message_chart(_NO_CURVE, titled(title, notes))
    drawn = _labelled(curves, by, notes)
    return _panel(drawn, by, title) if _fit_one_panel(drawn) else _ridges(drawn, by, title)


def _fit_one_panel(curves: _Curves) -> bool:
    peaks = curves.points.group_by("series").agg(pl.col("density").max())["density"]
    return len(peaks) <= _MOST_CURVES and bool(peaks.max() <= _LARGEST_PEAK_RATIO * peaks.min())  # type: ignore[operator]


def _panel(curves: _Curves, colour: Sequence[str], title: str) -> Spec:
    drawn = _cropped(curves)
    return series_panel(
        drawn.points,
        drawn.series,
        colour,
        title=titled(title, drawn.notes),
        x=_latency_axis(),
        y=_density_axis(),
        layer=_area_and_line(0.07, drawn),
    )


def _ridges(curves: _Curves, by: Sequence[str], title: str) -> Spec:
    """A curve to a row, each as high as its row, all on one axis of latency."""
    drawn, axis = _on_one_axis(_busiest_and_slowest(curves))
    lead = f"By {legend_title(by)}; each curve as high as its row."
    header = {
        "labelAngle": 0,
        "labelAlign": "left",
        "labelAnchor": "middle",
        "labelLimit": 160,
        "title": None,
    }
    return {
        "title": titled(title, [lead, *drawn.notes]),
        "data": inline(drawn.points),
        "facet": {"row": category("series", sort=drawn.series, header=header)},
        "spec": {
            "width": _RIDGE_WIDTH,
            "height": _RIDGE_HEIGHT,
            "encoding": {
                "x": axis,
                "y": quantity("density", stack=False, axis=None),
                "color": {"value": _RIDGE_COLOUR},
            },
            "layer": _area_and_line(0.35, drawn),
        },
        "spacing": 0,
        "bounds": "flush",
        "resolve": {"scale": {"x": "shared", "y": "independent"}},
    }


def _on_one_axis(curves: _Curves) -> tuple[_Curves, Spec]:
    """Curves on a linear axis, or where latencies span more than two decades on a logarithmic one.

    There a curve is the density of the logarithm, so that equal areas are equal numbers of calls.
    """
    points = curves.points.filter(pl.col("latency_ms") > 0)
    points = points.with_columns(pl.col("density") * pl.col("latency_ms"))
    bulk = pl.col("density") >= _TAIL * pl.col("density").max().over("series")
    shown = points.filter(bulk)["latency_ms"]
    lowest, highest = float(shown.min()), float(shown.max())  # type: ignore[arg-type]
    if highest <= _LEAST_LOG_RATIO * lowest:
        return _cropped(curves), _latency_axis(grid=True)
    points = points.filter(pl.col("latency_ms").is_between(lowest, highest))
    note = "The axis is logarithmic; parts of a curve below 1 % of its peak may be cut off."
    axis = log_latency_axis(lowest, highest, title=LATENCY_TITLE, most_ticks=10)
    x = quantity("latency_ms", scale=log_latency_scale(lowest, highest), axis={**axis, "grid": True})
    return replace(curves, points=points, notes=[*curves.notes, note]), x


def _area_and_line(fill: float, drawn: _Curves) -> list[Spec]:
    # A cut curve keeps few of its points; straight lines between them would add corners.
    shape = "monotone" if drawn.cut else "linear"
    return [
        {"mark": {"type": "area", "fillOpacity": fill, "interpolate": shape}},
        {"mark": {"type": "line", "strokeWidth": 1.8, "interpolate": shape}},
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


def _busiest_and_slowest(curves: _Curves) -> _Curves:
    """Of many curves those of the most calls and those that reach the farthest; the others are named.

    The area below a curve is its share of the calls.
    """
    if len(curves.series) <= _MOST_RIDGES:
        return curves
    at, peak = pl.col("latency_ms"), pl.col("density").max()
    each = curves.points.group_by("series").agg(
        area=pl.col("density").mean() * (at.max() - at.min()),
        reach=at.filter(pl.col("density") >= _TAIL * peak).max(),
    )
    slowest = each.sort(["reach", "series"], descending=[True, False]).head(_MOST_SLOW)
    others = each.join(slowest, on="series", how="anti")
    busiest = others.sort(["area", "series"], descending=[True, False]).head(_MOST_RIDGES - _MOST_SLOW)
    shown = {*slowest["series"], *busiest["series"]}
    left_out = [name for name in curves.series if name not in shown]
    notes = [
        f"Shown: the {busiest.height} with the most calls, and the {slowest.height} slowest of the others.",
        f"{thousands(len(left_out))} more: {_named(left_out)}",
    ]
    return _Curves(
        points=curves.points.filter(pl.col("series").is_in(list(shown))),
        series=[name for name in curves.series if name in shown],
        notes=[*curves.notes, *notes],
    )


def _named(names: list[str]) -> str:
    """As many names as a line holds."""
    line = ""
    for name in names:
        if len(line) + len(name) > _MOST_NAMED:
            return f"{line}…"
        line += f"{name}, "
    return line.removesuffix(", ")


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


def _latency(value_ms: float) -> str:
    return f"{value_ms:,.0f}" if value_ms >= 10 else f"{value_ms:.2g}"  # noqa: PLR2004


def _latency_axis(*, grid: bool = False) -> Spec:
    axis = {
        "title": LATENCY_TITLE,
        "grid": grid,
        "tickCount": 10,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
    }
    return quantity("latency_ms", scale={"zero": False, "nice": False}, axis=axis)


def _density_axis() -> Spec:
    axis = {"title": DENSITY_TITLE, "tickCount": 5, "domain": False, "ticks": False}
    return quantity("density", stack=False, scale={"nice": 5}, axis=axis)
