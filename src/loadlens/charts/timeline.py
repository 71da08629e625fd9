"""Throughput and errors over time."""

from typing import Final

import altair as alt
import polars as pl

from loadlens.charts.axes import TimeUnit, time_axis, time_unit
from loadlens.charts.parts import inline, message_chart, titled, unchecked
from loadlens.charts.theme import PANEL_WIDTH, themed

__all__ = ["timeline_chart"]

THROUGHPUT_COLOUR: Final = "#1f77b4"
ERROR_COLOUR: Final = "#d62728"

_TITLE = "Throughput and errors over time"
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
        return themed(message_chart("No timeline to draw: the log has no invocations.", titled(_TITLE, [])))
    windows = timeline.sort("time_s").with_columns(error_percent=pl.col("error_rate") * 100)
    throughput = _panel(
        windows, "throughput", "Completions per second", THROUGHPUT_COLOUR, _THROUGHPUT_HEIGHT, labels=False
    )
    errors = _panel(windows, "error_percent", "Error rate (%)", ERROR_COLOUR, _ERROR_HEIGHT, labels=True)
    stacked = alt.vconcat(throughput, errors, spacing=_SPACING, title=titled(_TITLE, []))
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
