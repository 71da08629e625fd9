"""Latency, throughput, errors, active calls and bytes over time, one under the other on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    LATENCY_LABEL,
    MUTED,
    ONE_X_AXIS,
    PANEL_WIDTH,
    Spec,
    category,
    inline,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    quantity,
    themed,
    time_unit,
    titled,
)
from loadlens.profile.phases import Phases

__all__ = [
    "BARE_AXIS",
    "TimeAxis",
    "latency_axis",
    "latency_colours",
    "line_panel",
    "phase_strip",
    "timeline_chart",
    "value_panel",
]


THROUGHPUT_COLOUR: Final = "#1f77b4"
ERROR_COLOUR: Final = "#d62728"
_ACTIVE_COLOUR: Final = "#2a9d8f"
_BYTES_COLOUR: Final = "#8c6d31"
_LATENCY_COLOURS: Final = {
    "p50": "#9ecae1",
    "p90": "#4292c6",
    "p95": "#08519c",
    "p99": "#e6550d",
    "max": "#bdbdbd",
}
_PHASE_COLOURS: Final = {"ramp-up": "#fdd0a2", "steady load": "#c7e9c0", "cool-down": "#d9d9d9"}

BARE_AXIS: Final[Spec] = {"domain": False, "ticks": False, "minExtent": 48}
"""An axis of grid lines alone, with as much room for its labels as those of the panels above and below."""

_TITLE: Final = "Latency, throughput and errors over time"
_LATENCY_HEIGHT: Final = 190
_PANEL_HEIGHT: Final = 105
_SPACING: Final = 16
_WITHOUT_VALUES: Final = 1.0  # percent, or per second: where an axis ends whose values are all 0
_VALUE_LABEL: Final = (
    "datum.value >= 10000 ? format(datum.value, '.3~s') : "
    "datum.value >= 1 ? format(datum.value, ',.3~r') : datum.label"
)
_TIME_FORMS: Final = ((600, "%H:%M:%S"), (86_400, "%H:%M"))
"""Up to how many seconds of a run calendar times are told in which form."""

_LOG_RATIO: Final = 8.0  # of the highest latency to the lowest, from which on a log axis reads better
_MOST_POINTS: Final = 40  # of a line whose windows are marked by points
_LEAST_COVERED: Final = 0.1
_LEAST_SHARE_OF_TEXT: Final = 0.09  # of the width, below which a phase has no room for its name


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """The time axis that panels share: calendar time where the clock has one, else from the first window on.

    Attributes:
        start_s: the start of the first window, on the log's clock.
        end_s: the end of the last one.
        is_calendar: whether that clock tells calendar time, in s since 1970 (UTC).
    """

    start_s: float
    end_s: float
    is_calendar: bool

    @classmethod
    def of(cls, windows: pl.DataFrame, *, is_calendar: bool) -> "TimeAxis":
        """The axis of windows: ``window_start_s``, ``window_s``."""
        ends = windows.select(
            start=pl.col("window_start_s").min(), end=(pl.col("window_start_s") + pl.col("window_s")).max()
        )
        start, end = ends.row(0)
        return cls(start_s=start, end_s=end, is_calendar=is_calendar)

    @property
    def span_s(self) -> float:
        """From the first start to the last end."""
        return self.end_s - self.start_s

    def place(self, time_s: pl.Expr) -> pl.Expr:
        """Where a time on the log's clock lies on the axis."""
        if self.is_calendar:
            return (time_s * 1000).round().cast(pl.Int64)
        return (time_s - self.start_s) / time_unit(self.span_s).seconds

    def encoding(self, field: str, *, labels: bool) -> Spec:
        """The axis, with labels and a title where no panel below has them."""
        ends = pl.select(start=self.place(pl.lit(self.start_s)), end=self.place(pl.lit(self.end_s))).row(0)
        along = self.along(field)
        scale = {**along["scale"], "domain": list(ends)}
        return {**along, "scale": scale, "axis": self._axis(labels=labels)}

    def along(self, field: str) -> Spec:
        """A column of times without an axis of its own: the panels below have it, and say where it ends."""
        if self.is_calendar:
            return {"field": field, "type": "temporal", "scale": {"type": "utc", "nice": False}, "axis": None}
        return quantity(field, scale={"nice": False}, axis=None)

    def _axis(self, *, labels: bool) -> Spec:
        axis = {
            "title": self._title if labels else None,
            "labels": labels,
            "labelFlush": False,
            "grid": False,
            "tickCount": 10,
            "labelOverlap": "greedy",
            "labelSeparation": 8,
        }
        return {**axis, "labelExpr": self._label} if self.is_calendar else axis

    @property
    def _title(self) -> str:
        if not self.is_calendar:
            return f"Time since start ({time_unit(self.span_s).name})"
        first, last = (datetime.fromtimestamp(time, tz=UTC) for time in (self.start_s, self.end_s))
        days = f"{first:%Y-%m-%d}" if first.date() == last.date() else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return f"Time (UTC), {days}"

    @property
    def _label(self) -> str:
        form = next((form for most_s, form in _TIME_FORMS if self.span_s <= most_s), "%b %d %H:%M")
        return f"utcFormat(datum.value, '{form}')"


def timeline_chart(windows: pl.DataFrame, *, is_calendar: bool = False, phases: Phases | None = None) -> Spec:
    """Percentiles, throughput, error rate, active calls and bytes of a run over time.

    Rates are levels as wide as their window; where a value is null, or a window left out, there is a gap.
    What is null throughout has no panel.

    Args:
        windows: those of a whole run, as of ``loadlens.profile.timeline.timeline``; few, since each is
            drawn (256 fill the width).
        is_calendar: whether their times are s since 1970, UTC.
        phases: are marked above the panels.
    """
    if windows.is_empty():
        return themed(message_chart("No timeline to draw: no call has an end.", titled(_TITLE, [])))
    axis = TimeAxis.of(windows, is_calendar=is_calendar)
    windows = well_covered(windows).with_columns(error_percent=pl.col("error_rate") * 100)
    panels = [
        ("throughput", "Successful calls/s", THROUGHPUT_COLOUR),
        ("error_percent", "Error rate (%)", ERROR_COLOUR),
        ("active_calls", "Active calls", _ACTIVE_COLOUR),
        ("bytes_per_s", "Response bytes/s", _BYTES_COLOUR),
    ]
    shown = [panel for panel in panels if panel[0] in _ALWAYS or windows[panel[0]].count()]
    drawn = [
        value_panel(windows, axis, *panel, height=_PANEL_HEIGHT, labels=panel is shown[-1]) for panel in shown
    ]
    if windows["p50_ms"].count():
        names = [f"{name}_ms" for name in _LATENCY_COLOURS]
        drawn.insert(0, line_panel(windows, axis, names, "Latency (ms)", height=_LATENCY_HEIGHT))
    strip = phase_strip(phases, axis) if phases else []
    return themed(
        {
            "title": titled(_TITLE, []),
            "vconcat": [*strip, *drawn],
            "spacing": _SPACING,
            "resolve": ONE_X_AXIS,
        }
    )


_ALWAYS: Final = ("throughput", "error_percent")


def well_covered(windows: pl.DataFrame) -> pl.DataFrame:
    """Windows in order, without those at the ends of the load of which it covers next to nothing."""
    ordered = windows.sort("window_start_s")
    covered = ordered.filter(pl.col("covered_s") >= _LEAST_COVERED * pl.col("window_s"))
    return ordered if covered.is_empty() else covered


def value_panel(
    windows: pl.DataFrame,
    axis: TimeAxis,
    column: str,
    title: str,
    colour: str,
    *,
    height: int,
    width: int = PANEL_WIDTH,
    labels: bool,
) -> Spec:
    """One figure over time as levels above 0, each as wide as its window."""
    largest = windows[column].max()
    scale = {"zero": True, "nice": 4} if largest else {"domain": [0, _WITHOUT_VALUES]}
    value_axis = {"title": title, "tickCount": 4, "labelExpr": _VALUE_LABEL, **BARE_AXIS}
    return {
        "data": inline(_levels(windows, axis, column)),
        "width": width,
        "height": height,
        "encoding": {
            "x": axis.encoding("time", labels=labels),
            "y": quantity(column, stack=False, scale=scale, axis=value_axis),
            "detail": category("run"),
        },
        "layer": [
            {"mark": {"type": "area", "color": colour, "fillOpacity": 0.12}},
            {"mark": {"type": "line", "color": colour, "strokeWidth": 1.6, "strokeJoin": "round"}},
        ],
    }


def _levels(windows: pl.DataFrame, axis: TimeAxis, column: str) -> pl.DataFrame:
    """Both ends of each window that has a value: ``run`` (of windows without a gap), ``time``, the value."""
    known = windows.drop_nulls(column)
    start = pl.col("window_start_s")
    ends = pl.concat_list(axis.place(start), axis.place(start + pl.col("window_s")))
    return known.select(_run_of_windows(), ends.alias("time"), column).explode("time")


def _run_of_windows() -> pl.Expr:
    gap = pl.col("window_start_s").diff() > 1.5 * pl.col("window_s")
    return gap.fill_null(value=False).cum_sum().alias("run")


def line_panel(
    windows: pl.DataFrame,
    axis: TimeAxis,
    columns: Sequence[str],
    title: str,
    *,
    height: int,
    width: int = PANEL_WIDTH,
    labels: bool = False,
    legend: bool = True,
) -> Spec:
    """Latencies over time as lines through the middles of their windows."""
    names = [name.removesuffix("_ms") for name in columns]
    lines = pl.concat([_line(windows, axis, column) for column in columns])
    drawn: list[Spec] = [{"mark": {"type": "line", "strokeWidth": 1.6, "strokeJoin": "round"}}]
    if windows.height <= _MOST_POINTS:
        drawn.append({"mark": {"type": "point", "filled": True, "size": 22, "opacity": 1}})
    return {
        "data": inline(lines),
        "width": width,
        "height": height,
        "encoding": {
            "x": axis.encoding("time", labels=labels),
            "y": latency_axis(lines, title),
            "detail": category("run"),
            "color": latency_colours(names, legend=legend),
        },
        "layer": drawn,
    }


def latency_colours(names: list[str], *, legend: bool = True) -> Spec:
    """The colours of the percentiles that column ``figure`` names, with a key above the panel."""
    scale = {"domain": names, "range": [_LATENCY_COLOURS[name] for name in names]}
    key = {"title": None, "orient": "top", "direction": "horizontal", "symbolStrokeWidth": 2.5, "offset": 4}
    return category("figure", scale=scale, sort=names, legend=key if legend else None)


def _line(windows: pl.DataFrame, axis: TimeAxis, column: str) -> pl.DataFrame:
    middle = pl.col("window_start_s") + pl.col("window_s") / 2
    return windows.filter(pl.col(column) > 0).select(
        _run_of_windows(),
        axis.place(middle).alias("time"),
        pl.col(column).alias("latency_ms"),
        pl.lit(column.removesuffix("_ms")).alias("figure"),
    )


def latency_axis(lines: pl.DataFrame, title: str) -> Spec:
    """An axis for ``latency_ms``: from 0 on, or in logs where these spread widely."""
    lowest, highest = lines.select(pl.col("latency_ms").min(), pl.col("latency_ms").max().alias("most")).row(
        0
    )
    if lowest is None or highest / lowest < _LOG_RATIO:
        axis = {"title": title, "tickCount": 5, "labelExpr": LATENCY_LABEL, **BARE_AXIS}
        scale = {"domain": [0, 0]} if lowest is None else {"zero": True, "nice": 5}
        return quantity("latency_ms", scale=scale, axis=axis)
    low, high = lowest / 1.15, highest * 1.15
    axis = {**log_latency_axis(low, high, title=title, most_ticks=8), **BARE_AXIS}
    return quantity("latency_ms", scale=log_latency_scale(low, high), axis=axis)


def phase_strip(phases: Phases, axis: TimeAxis) -> list[Spec]:
    """A strip that names the phases of the load; nothing where there is but one."""
    if phases.ramp_end_s is None and phases.cool_down_s is None:
        return []
    begin, end = phases.ramp_end_s, phases.cool_down_s
    edges = [axis.start_s, axis.start_s if begin is None else begin, axis.end_s if end is None else end]
    rows = pl.DataFrame(
        {"phase": list(_PHASE_COLOURS), "begin": edges, "end": [*edges[1:], axis.end_s]}
    ).filter(pl.col("end") > pl.col("begin"))
    is_wide = (pl.col("end") - pl.col("begin")) >= _LEAST_SHARE_OF_TEXT * axis.span_s * len("steady load") / 8
    rows = rows.select(
        "phase",
        axis.place(pl.col("begin")).alias("begin"),
        axis.place(pl.col("end")).alias("end"),
        axis.place((pl.col("begin") + pl.col("end")) / 2).alias("middle"),
        pl.when(is_wide).then("phase").otherwise(pl.lit("")).alias("told"),
    )
    colours = {"domain": list(_PHASE_COLOURS), "range": list(_PHASE_COLOURS.values())}
    bars = {
        "mark": {"type": "rect"},
        "encoding": {
            "x": axis.along("begin"),
            "x2": {"field": "end"},
            "color": category("phase", scale=colours, legend=None),
        },
    }
    names = {
        "mark": {"type": "text", "fontSize": 11, "color": MUTED},
        "encoding": {"x": axis.along("middle"), "text": category("told")},
    }
    return [{"data": inline(rows), "width": PANEL_WIDTH, "height": 18, "layer": [bars, names]}]
