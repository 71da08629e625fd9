"""Small multiples: latency and throughput over time of the busiest keys and the worst ones."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from loadlens.charts.drawing import BODY, ONE_X_AXIS, Spec, printable, series_of, themed, titled
from loadlens.charts.over_time import THROUGHPUT_COLOUR, TimeAxis, line_panel, value_panel, well_covered

__all__ = ["keys_over_time_chart", "keys_to_draw"]

_TITLE: Final = "Latency and throughput over time, by configuration"
_BUSIEST: Final = 3
_WORST: Final = 3
_WIDTH: Final = 270
_HEIGHT: Final = 80
_CHARACTERS_A_LINE: Final = 104
_MOST_LINES: Final = 3


def keys_to_draw(timeline: pl.DataFrame, by: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Which keys are drawn, each with why, and which are left out, the busiest first.

    The worst are those with the highest p99 on the average of their calls.

    Args:
        timeline: the columns ``by``, ``calls``, ``p99_ms``.
        by: at least one.
    """
    series, _ = series_of(timeline, by)
    timed = pl.col("calls").filter(pl.col("p99_ms").is_not_null())
    ranked = (
        timeline.select(series, "calls", "p99_ms")
        .group_by("series", maintain_order=True)
        .agg(pl.col("calls").sum(), p99=(pl.col("p99_ms") * pl.col("calls")).sum() / timed.sum())
        .sort("calls", descending=True, maintain_order=True)
    )
    names = ranked["series"].to_list()
    if len(names) <= _BUSIEST + _WORST:
        return [(name, "") for name in names], []
    busiest = names[:_BUSIEST]
    rest = ranked.filter(~pl.col("series").is_in(busiest), pl.col("p99").is_finite())
    worst = rest.sort("p99", descending=True, maintain_order=True)["series"].head(_WORST).to_list()
    chosen = [*((name, "busiest") for name in busiest), *((name, "highest p99") for name in worst)]
    return chosen, [name for name in names if name not in {*busiest, *worst}]


def keys_over_time_chart(timeline: pl.DataFrame, by: Sequence[str], *, is_calendar: bool = False) -> Spec:
    """Median, p99 and throughput over time of some keys, a row for each; names those that are left out.

    Args:
        timeline: the columns ``by``, then those of ``loadlens.profile.timeline.timeline``.
        by: the key columns, at least one.
        is_calendar: whether times are s since 1970, UTC.
    """
    axis = TimeAxis.of(timeline, is_calendar=is_calendar)
    series, _ = series_of(timeline, by)
    named = timeline.with_columns(series)
    chosen, left_out = keys_to_draw(timeline, by)
    panels: list[Spec] = []
    for place, (name, why) in enumerate(chosen):
        windows = well_covered(named.filter(pl.col("series") == name))
        told = f"{name} ({why})" if why else name
        panels += _row(windows, axis, told, legend=place == 0, labels=place == len(chosen) - 1)
    return themed(
        {
            "title": titled(_TITLE, left_out_lines(left_out)),
            "concat": panels,
            "columns": 2,
            "spacing": {"row": 12, "column": 24},
            "resolve": ONE_X_AXIS,
        }
    )


def _row(
    windows: pl.DataFrame, axis: TimeAxis, name: str, *, legend: bool, labels: bool
) -> tuple[Spec, Spec]:
    size = {"height": _HEIGHT, "width": _WIDTH}
    left = line_panel(windows, axis, ["p50_ms", "p99_ms"], "ms", **size, labels=labels, legend=legend)
    right = value_panel(windows, axis, "throughput", "calls/s", THROUGHPUT_COLOUR, **size, labels=labels)
    title = {"text": printable(name), "fontSize": 12, "fontWeight": "normal", "color": BODY, "offset": 4}
    return {"title": title, **left}, right


def left_out_lines(names: Sequence[str]) -> list[str]:
    """Names that are not drawn as lines of small print: as many as there is room for, and how many more."""
    if not names:
        return []
    lines, number = [f"{len(names):,} more:"], 0
    for number, name in enumerate(names):
        if len(lines[-1]) + len(name) + 2 > _CHARACTERS_A_LINE:
            if len(lines) == _MOST_LINES:
                lines[-1] += f" and {len(names) - number:,} others"
                return lines
            lines.append("")
        lines[-1] += f" {name}{',' if number < len(names) - 1 else ''}"
    return [line.strip() for line in lines]
