"""Axes that several charts share: time since the start of a log, and latency on a log scale."""

import math
from dataclasses import dataclass
from typing import Final

import altair as alt
import polars as pl

__all__ = ["LATENCY_LABEL", "TimeUnit", "log_latency_axis", "log_latency_scale", "time_axis", "time_unit"]

_MOST_OF_A_UNIT = 300  # beyond it the next larger unit reads better
_FEWEST_TICKS = 3
_MOST_TICKS = 24  # of decades: more of them take long to render
_POWERS: Final = (1,)
_STEPS: Final = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), _POWERS, (1, 3))

# d3 writes 1e+7 under its plain formats; this one keeps to digits.
LATENCY_LABEL: Final = "format(datum.value, ',.3~r')"


@dataclass(frozen=True, kw_only=True)
class TimeUnit:
    """A unit of time as it stands in an axis title, and its length."""

    name: str
    seconds: float


_UNITS: Final = (
    TimeUnit(name="s", seconds=1),
    TimeUnit(name="min", seconds=60),
    TimeUnit(name="h", seconds=3600),
)


def time_unit(end_s: float) -> TimeUnit:
    """The smallest unit in which ``end_s`` seconds is a number that reads well."""
    return next((unit for unit in _UNITS if end_s <= _MOST_OF_A_UNIT * unit.seconds), _UNITS[-1])


def time_axis(
    windows: pl.DataFrame, unit: TimeUnit, *, field: str, labels: bool = True, zindex: int = 0
) -> alt.X:
    """Time from the first window's start to the last one's end.

    Args:
        windows: ``time_s``, ``window_s`` (both s), not empty.
        unit: in which ``field`` is given.
        field: the column on this axis.
        labels: whether the axis has a title and labels; not where a panel below shows them.
        zindex: 1 draws the axis above marks that would cover it.
    """
    ends = windows.select(start=pl.col("time_s").min(), end=(pl.col("time_s") + pl.col("window_s")).max())
    domain = [value / unit.seconds for value in ends.row(0)]
    axis = alt.Axis(
        title=f"Time since start ({unit.name})" if labels else None,
        labels=labels,
        labelFlush=False,
        grid=False,
        zindex=zindex,
        tickCount=10,
        labelOverlap="greedy",
        labelSeparation=6,
    )
    return alt.X(field, type="quantitative", scale=alt.Scale(domain=domain, nice=False), axis=axis)


def log_latency_scale(lowest_ms: float, highest_ms: float) -> alt.Scale:
    """A log scale between two positive latencies."""
    return alt.Scale(type="log", domain=[lowest_ms, highest_ms], nice=False)


def log_latency_axis(lowest_ms: float, highest_ms: float, *, title: str | None, most_ticks: int) -> alt.Axis:
    """The axis of such a scale, labelled at round values."""
    ticks = _round_values(lowest_ms, highest_ms, most_ticks)
    # Less than that is a range within a decade, where Vega's own ticks are evenly spaced. It would thin
    # out given ones that are more than a count, so there is either a count or values.
    if len(ticks) < _FEWEST_TICKS:
        return alt.Axis(title=title, tickCount=most_ticks // 2, labelExpr=LATENCY_LABEL)
    return alt.Axis(title=title, values=ticks, labelExpr=LATENCY_LABEL)


def _round_values(lowest: float, highest: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    for steps in _STEPS:
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        shown = [value for value in values if lowest <= value <= highest]
        if len(shown) >= _FEWEST_TICKS and (len(shown) <= most or steps == _POWERS):
            break
    return shown[:: math.ceil(len(shown) / _MOST_TICKS) or 1]
