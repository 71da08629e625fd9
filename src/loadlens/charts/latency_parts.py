"""What mean latencies are made of, a bar for each key."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    BODY,
    PANEL_WIDTH,
    Spec,
    category,
    category_scale,
    inline,
    message_chart,
    quantity,
    series_of,
    themed,
    titled,
)

__all__ = ["parts_chart"]

_TITLE: Final = "What the mean latency is made of"
_MOST_BARS: Final = 20
_BAR_HEIGHT: Final = 26
_REST: Final = "rest"
_REST_COLOUR: Final = "#c7cacf"


def parts_chart(parts: pl.DataFrame, by: Sequence[str]) -> Spec:
    """A bar for each key, the slowest first, of the mean durations that its calls are made of.

    Args:
        parts: the key columns, ``part``, ``mean_ms``; what the latency does not include is drawn too.
        by: the key columns.
    """
    if parts.is_empty():
        return themed(message_chart("No parts to draw: no successful call has one.", titled(_TITLE, [])))
    key = series_of(parts, by)[0] if by else pl.lit("all calls")
    named = parts.select(key.alias("key"), "part", "mean_ms")
    totals = named.group_by("key", maintain_order=True).agg(pl.col("mean_ms").sum())
    shown = totals.sort("mean_ms", descending=True, maintain_order=True).head(_MOST_BARS)["key"].to_list()
    order = list(dict.fromkeys(named["part"]))
    rows = named.filter(pl.col("key").is_in(shown)).with_columns(
        pl.col("part").replace_strict({name: place for place, name in enumerate(order)}).alias("order")
    )
    left_out = totals.height - len(shown)
    notes = [f"the {len(shown)} slowest of {totals.height:,} configurations"] if left_out else []
    bars = {
        "title": titled(_TITLE, notes),
        "data": inline(rows),
        "width": PANEL_WIDTH,
        "height": _BAR_HEIGHT * len(shown),
        "mark": {"type": "bar"},
        "encoding": {
            "x": quantity("mean_ms", stack="zero", axis=_axis(), scale={"nice": False}),
            "y": category("key", scale={"domain": shown, "paddingInner": 0.25}, axis=_keys()),
            "color": _colours(order),
            "order": quantity("order"),
        },
    }
    return themed(bars)


def _axis() -> Spec:
    return {"title": "Mean (ms)", "tickCount": 8, "domain": False, "format": ",~r"}


def _keys() -> Spec:
    return {"title": None, "domain": False, "ticks": False, "labelLimit": 320, "labelColor": BODY}


def _colours(order: list[str]) -> Spec:
    scale = category_scale(order)
    if _REST in order and len(order) > 1:
        others = [name for name in order if name != _REST]
        colours = [
            "#1f77b4",
            "#ff7f0e",
            "#2ca02c",
            "#d62728",
            "#9467bd",
            "#8c564b",
            "#e377c2",
            "#bcbd22",
            "#17becf",
        ]
        chosen = [colours[place % len(colours)] for place in range(len(others))]
        scale = {"domain": [*others, _REST], "range": [*chosen, _REST_COLOUR]}
    legend = {"title": None, "orient": "top", "symbolType": "square", "labelLimit": 300}
    return category("part", scale=scale, legend=legend)
