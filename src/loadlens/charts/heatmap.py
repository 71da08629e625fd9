"""Latency over time, as a map of how many calls took how long when."""

import polars as pl

from loadlens.charts.drawing import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Spec,
    TimeUnit,
    inline,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    quantity,
    themed,
    time_axis,
    time_unit,
    titled,
)

__all__ = ["heatmap_chart"]

_HEATMAP_TITLE = "Latency over time (ms)"
_NOTHING = "Nothing to draw: no invocation succeeded, or none was counted over time (heatmap=True)."
_LEAST_RATIO = 1.1  # of a cell's bounds, where the lower one is 0 and a log axis cannot show it
_OVERLAP = 0.4  # pixels
_COLOURS_ON_WHITE = [0.2, 1.0]  # the first fifth of the scheme is a yellow that a white page swallows
_FEWEST_COLOURED = 10  # where the colours end at the latest, so that one invocation is never the darkest


def heatmap_chart(heatmap: pl.DataFrame) -> Spec:
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
    return themed(
        {
            "title": titled(_HEATMAP_TITLE, []),
            "data": inline(_drawn(bounded, unit)),
            "width": PANEL_WIDTH,
            "height": PANEL_HEIGHT,
            # Each reaches a little below the next ones, which are drawn later, or the page would show
            # through between them.
            "mark": {"type": "rect", "x2Offset": _OVERLAP, "y2Offset": -_OVERLAP},
            "encoding": {
                "x": time_axis(heatmap, unit),
                "x2": {"field": "time_end"},
                "y": _latency_axis(bounded),
                "y2": {"field": "latency_high_ms"},
                "color": _count_colours(bounded),
            },
        }
    )


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


def _latency_axis(cells: pl.DataFrame) -> Spec:
    lowest, highest = cells.select(pl.col("latency_low_ms").min(), pl.col("latency_high_ms").max()).row(0)
    axis = log_latency_axis(lowest, highest, title="Latency (ms)", most_ticks=10)
    scale = log_latency_scale(lowest, highest)
    return quantity("latency_low_ms", scale=scale, axis={**axis, "grid": False, "zindex": 1})


def _count_colours(cells: pl.DataFrame) -> Spec:
    most = max(_FEWEST_COLOURED, int(cells["count"].max()))  # type: ignore[arg-type]
    scheme = {"name": "yellowgreenblue", "extent": _COLOURS_ON_WHITE}
    legend = {
        "title": "Invocations",
        "values": [10**power for power in range(len(str(most)))],
        "labelExpr": "format(datum.value, ',')",
        "gradientLength": PANEL_HEIGHT - 60,
    }
    return quantity("count", scale={"type": "log", "domain": [1, most], "scheme": scheme}, legend=legend)
