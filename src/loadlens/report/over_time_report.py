"""The section of a report on the run over time."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from loadlens.profile.buckets import COARSE_ERROR
from loadlens.report.page import RUN, Figure, Image, Section
from loadlens.summaries import InvocationStatistics

__all__ = ["OVER_TIME_CAPTIONS", "over_time_section"]

OVER_TIME_CAPTIONS: Final[Mapping[str, str]] = {
    "over_time": (
        "Percentiles of the successful calls, successful calls per second, share of failed calls, active "
        "calls and bytes of responses over time. What the load covers of a window at its ends counts alone."
    ),
    "over_time_by_key": (
        "The busiest configurations and those with the highest p99 over time: median, p99, successful calls "
        "per second."
    ),
}
"""Captions of the charts over time, by their names."""


def over_time_section(part: InvocationStatistics, figures: Mapping[str, Image]) -> Section | None:
    """The run over time; None where no call tells when it ended.

    Args:
        part: the summary.
        figures: the charts by their names.
    """
    shown = [
        Figure(caption=caption, picture=figures[name], name=name, run=RUN)
        for name, caption in OVER_TIME_CAPTIONS.items()
        if name in figures
    ]
    if not shown:
        return None
    return Section(title="Over time", anchor="over-time", lead=_lead(part), blocks=tuple(shown))


def _lead(part: InvocationStatistics) -> str:
    width = float(part.timeline_overall["window_s"][0])
    told = [f"Windows are {width:,.15g} s wide and begin at multiples of that on the log's clock."]
    if part.profile.timeline is None:
        told.append("There are too many configurations for percentiles by window of time.")
    else:
        told.append(
            f"Counts, rates and maxima are exact; percentiles of a window are off by at most "
            f"{COARSE_ERROR:.1%}. timeline.csv has each window of each configuration."
        )
    if part.timeline_overall["active_calls"].count():
        told.append("Active calls are exact at each second; a window shows their mean.")
    return " ".join([*told, *_phases_told(part)])


def _phases_told(part: InvocationStatistics) -> list[str]:
    phases = part.phases
    told = []
    if phases.ramp_end_s is not None:
        told.append(f"The load rose until {_time(phases.ramp_end_s, part)}.")
    if phases.cool_down_s is not None:
        told.append(f"It fell from {_time(phases.cool_down_s, part)} on.")
    return told


def _time(time_s: float, part: InvocationStatistics) -> str:
    if part.has_calendar:
        return f"{datetime.fromtimestamp(time_s, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    start = float(part.timeline_overall["window_start_s"][0])
    return f"{time_s - start:,.15g} s after the start"
