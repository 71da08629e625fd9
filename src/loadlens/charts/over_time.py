"""Throughput, errors and latency over time."""

from typing import Final

import altair as alt
import polars as pl

from loadlens.charts.drawing import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    TimeUnit,
    inline,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    themed,
    time_axis,
    time_unit,
    titled,
    unchecked,
)

__all__ = ["heatmap_chart", "timeline_chart"]


THROUGHPUT_COLOUR: Final = "#1f77b4"
ERROR_COLOUR: Final = "#d62728"

_TIMELINE_TITLE = "Throughput and errors over time"
_THROUGHPUT_HEIGHT = 170
_ERROR_HEIGHT = 110
_SPACING = 18
_WITHOUT_ERRORS = 1.0  # percent, or per second: where an axis ends whose values are all 0


@unchecked
def timeline_chart(timeline: pl.DataFrame) -> alt.LayerChart | alt.VConcatChart:
    """Completions per second above the share of failed calls, both over the time since the log's start.

    Each window is a level as wide as it is; where a window is left out or its value is null there is a gap.

    Args:
        timeline: ``time_s`` (s, start of a window since the log's first second), ``window_s`` (s, width of
            the windows, constant), ``throughput`` (1/s), ``error_rate`` (0 to 1, null without calls); each
            window is drawn, so they should be few (240 fill the width).
    """
    if timeline.is_empty():
        return themed(
            message_chart("No timeline to draw: the log has no invocations.", titled(_TIMELINE_TITLE, []))
        )
    windows = timeline.sort("time_s").with_columns(error_percent=pl.col("error_rate") * 100)
    throughput = _panel(
        windows, "throughput", "Completions per second", THROUGHPUT_COLOUR, _THROUGHPUT_HEIGHT, labels=False
    )
    errors = _panel(windows, "error_percent", "Error rate (%)", ERROR_COLOUR, _ERROR_HEIGHT, labels=True)
    stacked = alt.vconcat(throughput, errors, spacing=_SPACING, title=titled(_TIMELINE_TITLE, []))
    resolved: alt.VConcatChart = stacked.resolve_scale(x="shared", y="independent")
    return themed(resolved)


def _panel(
    windows: pl.DataFrame, column: str, title: str, colour: str, height: int, *, labels: bool
) -> alt.LayerChart:
    unit = time_unit(float((windows["time_s"] + windows["window_s"]).max()))  # type: ignore[arg-type]
    base = alt.Chart(inline(_levels(windows, column, unit)), width=PANEL_WIDTH, height=height).encode(
        x=time_axis(windows, unit, field="time", labels=labels),
        y=_value_axis(windows, column, title),
        detail=alt.Detail("run", type="nominal"),
    )
    return alt.LayerChart(
        layer=[
            base.mark_area(color=colour, fillOpacity=0.12),
            base.mark_line(color=colour, strokeWidth=1.6, strokeJoin="round"),
        ]
    )


def _levels(windows: pl.DataFrame, column: str, unit: TimeUnit) -> pl.DataFrame:
    """Both ends of each window that has a value: ``run`` (of windows without a gap), ``time``, the value."""
    known = windows.drop_nulls(column)
    gap = pl.col("time_s").diff() > 1.5 * pl.col("window_s")
    ends = pl.concat_list(pl.col("time_s"), pl.col("time_s") + pl.col("window_s")) / unit.seconds
    return known.select(
        gap.fill_null(value=False).cum_sum().alias("run"), ends.alias("time"), column
    ).explode("time")


def _value_axis(windows: pl.DataFrame, column: str, title: str) -> alt.Y:
    axis = alt.Axis(title=title, tickCount=4, domain=False, ticks=False, minExtent=48)
    largest = windows[column].max()
    scale = alt.Scale(zero=True, nice=4) if largest else alt.Scale(domain=[0, _WITHOUT_ERRORS])
    return alt.Y(column, type="quantitative", stack=False, scale=scale, axis=axis)


_HEATMAP_TITLE = "Latency over time (ms)"
_NOTHING = "Nothing to draw: no invocation succeeded, or none was counted over time (heatmap=True)."
_LEAST_RATIO = 1.1  # of a cell's bounds, where the lower one is 0 and a log axis cannot show it
_OVERLAP = 0.4  # pixels
_COLOURS_ON_WHITE = (0.2, 1.0)  # the first fifth of the scheme is a yellow that a white page swallows
_FEWEST_COLOURED = 10  # where the colours end at the latest, so that one invocation is never the darkest


@unchecked
def heatmap_chart(heatmap: pl.DataFrame) -> alt.LayerChart:
    """Invocations by time window and latency, both axes and the colours (log) with their own scale.

    Args:
        heatmap: ``time_s`` (s, start of a window since the log's first second), ``window_s`` (s),
            ``latency_low_ms``, ``latency_high_ms``, ``count`` (invocations); each cell with a count is
            drawn, so they should be few (120 windows of 100 latencies fill the panel).
    """
    cells = heatmap.filter(pl.col("count") > 0, pl.col("latency_high_ms") > 0)
    if cells.is_empty():
        return themed(message_chart(_NOTHING, titled(_HEATMAP_TITLE, [])))
    unit = time_unit(float((heatmap["time_s"] + heatmap["window_s"]).max()))  # type: ignore[arg-type]
    bounded = _above_zero(cells)
    base = alt.Chart(inline(_drawn(bounded, unit)), width=PANEL_WIDTH, height=PANEL_HEIGHT)
    # Thousands of cells: a description of each would make up most of an SVG. Each reaches a little below
    # the next ones, which are drawn later, or the page would show through between them.
    rects = base.mark_rect(aria=False, x2Offset=_OVERLAP, y2Offset=-_OVERLAP).encode(
        x=time_axis(heatmap, unit, field="time", zindex=1),
        x2="time_end",
        y=_latency_axis(bounded),
        y2="latency_high_ms",
        color=_count_colours(bounded),
    )
    return themed(alt.LayerChart(layer=[rects], title=titled(_HEATMAP_TITLE, [])))


def _above_zero(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells that begin at 0 begin at the smallest positive bound, or just below their own end."""
    low, high = pl.col("latency_low_ms"), pl.col("latency_high_ms")
    smallest = pl.min_horizontal(low.filter(low > 0).min(), high.min())
    raised = pl.min_horizontal(smallest, high / _LEAST_RATIO)
    return cells.with_columns(pl.when(low > 0).then(low).otherwise(raised).alias("latency_low_ms"))


def _drawn(cells: pl.DataFrame, unit: TimeUnit) -> pl.DataFrame:
    start = pl.col("time_s")
    return cells.sort("time_s", "latency_low_ms").select(
        (start / unit.seconds).alias("time"),
        ((start + pl.col("window_s")) / unit.seconds).alias("time_end"),
        "latency_low_ms",
        "latency_high_ms",
        "count",
    )


def _latency_axis(cells: pl.DataFrame) -> alt.Y:
    lowest, highest = cells.select(pl.col("latency_low_ms").min(), pl.col("latency_high_ms").max()).row(0)
    axis = log_latency_axis(lowest, highest, title="Latency (ms)", most_ticks=10)
    axis.grid, axis.zindex = False, 1
    scale = log_latency_scale(lowest, highest)
    return alt.Y("latency_low_ms", type="quantitative", scale=scale, axis=axis)


def _count_colours(cells: pl.DataFrame) -> alt.Color:
    most = max(_FEWEST_COLOURED, int(cells["count"].max()))  # type: ignore[arg-type]
    scheme = alt.SchemeParams(name="yellowgreenblue", extent=list(_COLOURS_ON_WHITE))
    scale = alt.Scale(type="log", domain=[1, most], scheme=scheme)
    ticks = [10**power for power in range(len(str(most)))]
    legend = alt.Legend(
        title="Invocations",
        values=ticks,
        labelExpr="format(datum.value, ',')",
        gradientLength=PANEL_HEIGHT - 60,
    )
    return alt.Color("count", type="quantitative", scale=scale, legend=legend)
