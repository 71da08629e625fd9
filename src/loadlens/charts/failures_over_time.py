"""Failed calls over time, a strip for each error."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    BODY,
    MUTED,
    PANEL_WIDTH,
    Spec,
    category,
    inline,
    message_chart,
    printable,
    quantity,
    themed,
    time_axis,
    time_unit,
    titled,
)

__all__ = ["failures_chart"]

_TITLE: Final = "Failed calls over time"
_MOST_STRIPS: Final = 10
_STRIP_HEIGHT: Final = 30
_OVERLAP: Final = 0.4  # pixels, or the page would show through between the cells
_COLOURS_ON_WHITE: Final = [0.25, 1.0]
_FEWEST_COLOURED: Final = 10  # where the colours end at the latest, so that one call is never the darkest
_MOST_CHARACTERS: Final = 44
_STRIP_AXIS: Final[Spec] = {
    "title": None,
    "domain": False,
    "ticks": False,
    "labelLimit": 320,
    "labelColor": BODY,
    "grid": False,
}


def failures_chart(failures: pl.DataFrame) -> Spec:
    """A strip for each of the most frequent errors, darker where more calls failed; the others in one strip.

    Args:
        failures: ``error`` (null where the log tells none), ``time_s`` (s, start of a window since the log's
            first second), ``window_s`` (s, width of the windows, constant), ``count`` (failed calls, 1 or
            more); each row is drawn, so windows should be few (120 fill the width).
    """
    if failures.is_empty():
        return themed(message_chart("No strip to draw: no failed call has a time.", titled(_TITLE, [])))
    unit = time_unit(float((failures["time_s"] + failures["window_s"]).max()))  # type: ignore[arg-type]
    strips, names = _strips(failures)
    start = pl.col("time_s") / unit.seconds
    end = (pl.col("time_s") + pl.col("window_s")) / unit.seconds
    cells = strips.select("strip", start.alias("time"), end.alias("time_end"), "count")
    return themed(
        {
            "title": titled(_TITLE, []),
            "data": inline(cells),
            "width": PANEL_WIDTH,
            "height": _STRIP_HEIGHT * len(names),
            "mark": {"type": "rect", "x2Offset": _OVERLAP},
            "encoding": {
                "x": time_axis(_from_start(failures), unit),
                "x2": {"field": "time_end"},
                "y": category("strip", scale={"domain": names, "paddingInner": 0.2}, axis=_STRIP_AXIS),
                "color": _colours(strips),
            },
        }
    )


def _from_start(failures: pl.DataFrame) -> pl.DataFrame:
    """The windows from the first second of the log on, so that the axis is that of other charts."""
    start = failures.head(1).select(pl.lit(0.0).alias("time_s"), pl.lit(0.0).alias("window_s"))
    return pl.concat([start, failures.select("time_s", "window_s")])


def _strips(failures: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows with the ``strip`` that they belong to, each window once; and the strips from the top."""
    totals = failures.group_by("error").agg(pl.col("count").sum())
    totals = totals.sort(["count", "error"], descending=[True, False], nulls_last=True)
    most = _MOST_STRIPS if totals.height <= _MOST_STRIPS else _MOST_STRIPS - 1
    shown, rest = totals.head(most), totals.slice(most)
    names = _told_apart([f"{_named(error)} · {count:,}" for error, count in shown.iter_rows()])
    others = f"{rest.height:,} more · {int(rest['count'].sum()):,}"
    named = shown.select("error").with_columns(pl.Series("strip", names, dtype=pl.String))
    told = failures.join(named, on="error", how="left", nulls_equal=True).with_columns(
        pl.col("strip").fill_null(others)
    )
    strips = told.group_by("strip", "time_s", "window_s").agg(pl.col("count").sum()).sort("strip", "time_s")
    return strips, list(dict.fromkeys([*names, *([others] if rest.height else [])]))


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names of which no two are the same: long errors are cut, perhaps where they differ."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _named(error: str | None) -> str:
    text = "no error told" if error is None else printable(error)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _colours(strips: pl.DataFrame) -> Spec:
    most = max(_FEWEST_COLOURED, int(strips["count"].max()))  # type: ignore[arg-type]
    scheme = {"name": "orangered", "extent": _COLOURS_ON_WHITE}
    legend = {
        "title": "Failed calls",
        "values": [10**power for power in range(len(str(most)))],
        "labelExpr": "format(datum.value, ',')",
        "orient": "bottom",
        "direction": "horizontal",
        "gradientLength": 200,
        "titleColor": MUTED,
    }
    return quantity("count", scale={"type": "log", "domain": [1, most], "scheme": scheme}, legend=legend)
