"""Latency by percentile, with a tail that takes as much room as the bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    LATENCY_LABEL,
    Spec,
    category,
    inline,
    legend_title,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    not_drawn,
    quantity,
    series_of,
    series_panel,
    themed,
    thousands,
    titled,
)

__all__ = [
    "LEAST_LOG_RATIO",
    "LEAST_REACH",
    "PERCENTILES",
    "latency_axis",
    "percentile_axis",
    "spectrum_chart",
]

_TITLE = "Latency by percentile (ms)"
_LATENCY_TITLE = "Latency (ms)"
_MOST_POINTS = 120  # of a line; more are closer than pixels
_MOST_LINES = 10  # more colours cannot be told apart
_MOST_PANELS = 24
_GRID_COLUMNS = 3
_GRID_SPACING = 62  # holds the axis labels of the next panel
_GRID_PADDING = {"left": 12, "top": 12, "right": 32, "bottom": 32}  # and those along the edges
LEAST_LOG_RATIO = 100  # of the latencies: below it a linear axis shows all of them
LEAST_REACH = 10.0  # p90, so that the axis has a length where only the median is known
_RANKED_AT = 100.0  # p99
_SIGNIFICANT_DIGITS = 7

# Percentiles by their place on the axis, 1 / (1 - q).
PERCENTILES: Final = {
    1: "p0",
    2: "p50",
    10: "p90",
    100: "p99",
    1_000: "p99.9",
    10_000: "p99.99",
    100_000: "p99.999",
}
_SMALL_PERCENTILES: Final = {at: PERCENTILES[at] for at in (1, 10, 1_000, 100_000)}


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """Lines as they are drawn: ``series`` (text), ``rarity`` (1 / (1 - q)), ``latency_ms``; the series."""

    points: pl.DataFrame
    series: list[str]
    notes: list[str]

    @property
    def reach(self) -> float:
        """Upper end of the percentile axis."""
        return max(LEAST_REACH, float(self.points["rarity"].max()))  # type: ignore[arg-type]

    @property
    def is_wide(self) -> bool:
        """Whether a linear axis could not show all latencies."""
        at = self.points["latency_ms"]
        return bool(at.max() > LEAST_LOG_RATIO * at.min())  # type: ignore[operator]


def spectrum_chart(spectrum: pl.DataFrame, by: Sequence[str]) -> Spec:
    """Latency over the percentile, each further nine as wide as the one before it.

    One panel where its lines can be told apart, else small panels on the same scales. The latency axis is
    logarithmic where the latencies span more than two decades.

    Args:
        spectrum: the ``by`` columns, ``quantile`` (from 0 to below 1), ``latency_ms`` (null: not drawn).
        by: the key columns; none for a single line without a legend.
    """
    drawn = spectrum.filter(pl.col("latency_ms") > 0, pl.col("quantile") < 1)
    num_drawn, num_keys = (_num_keys(rows, by) for rows in (drawn, spectrum))
    notes = not_drawn(num_keys - num_drawn, "a successful invocation")
    if num_drawn > _MOST_LINES:
        drawn = _slowest(drawn, by, _MOST_PANELS)
        if num_drawn > _MOST_PANELS:
            notes.append(f"Shown: the {_MOST_PANELS} of {thousands(num_drawn)} groups with the highest p99.")
    lines = _thinned(_labelled(drawn, by, notes))
    if lines.points.is_empty():
        return themed(message_chart("No latency to draw: no invocation succeeded.", titled(_TITLE, [])))
    if num_drawn <= _MOST_LINES:
        return themed(_panel(lines, by))
    return themed(_small_panels(lines, by))


def _num_keys(rows: pl.DataFrame, by: Sequence[str]) -> int:
    return rows.select(by).n_unique() if by else min(rows.height, 1)


def _labelled(drawn: pl.DataFrame, by: Sequence[str], notes: list[str]) -> _Lines:
    """Lines named by their key, in the order of the key."""
    named, names = series_of(drawn, by)
    # Rounded, so that p99.999 is the end of the axis and not just beyond it.
    points = drawn.select(named, _rarity().alias("rarity"), "latency_ms")
    return _Lines(points=points.sort("series", "rarity"), series=names, notes=notes)


def _rarity() -> pl.Expr:
    return (1 / (1 - pl.col("quantile"))).round_sig_figs(_SIGNIFICANT_DIGITS)


def _thinned(lines: _Lines) -> _Lines:
    """At most one point of a line in each of as many equal parts of the axis; both of its ends stay."""
    at = pl.col("rarity").log()
    part = (at / at.max() * (_MOST_POINTS - 1)).floor().fill_nan(0)
    points = lines.points.with_columns(
        part.over("series").alias("part"), pl.len().over("series").alias("len")
    )
    first = pl.struct("series", "part").is_first_distinct()
    kept = points.filter((pl.col("len") <= _MOST_POINTS) | first)
    return _Lines(points=kept.drop("part", "len"), series=lines.series, notes=lines.notes)


def _slowest(drawn: pl.DataFrame, by: Sequence[str], most: int) -> pl.DataFrame:
    """The rows of the keys with the highest p99, so that only these get a name."""
    tail = pl.col("latency_ms").filter(_rarity() <= _RANKED_AT).max().alias("latency_ms")
    ranked = drawn.group_by(by).agg(tail)
    kept = ranked.sort(["latency_ms", *by], descending=[True, *(False for _ in by)], nulls_last=True)
    return drawn.join(kept.head(most).select(by), on=by, how="semi", nulls_equal=True)


def _panel(lines: _Lines, by: Sequence[str]) -> Spec:
    return series_panel(
        lines.points,
        lines.series,
        by,
        title=titled(_TITLE, lines.notes),
        x=percentile_axis(PERCENTILES, lines.reach, "Percentile of invocations"),
        y=latency_axis(lines.points, wide=lines.is_wide, ticks=5, title=_LATENCY_TITLE),
        layer=_marks(lines),
    )


def _small_panels(lines: _Lines, by: Sequence[str]) -> Spec:
    lead = f"{_LATENCY_TITLE} over the percentile by {legend_title(by)}; all panels have the same scales."
    return {
        "title": titled(_TITLE, [lead, *lines.notes]),
        "padding": _GRID_PADDING,
        "data": inline(lines.points),
        "facet": category("series", sort=lines.series, title=None),
        "spec": {
            "width": 190,
            "height": 80,
            "encoding": {
                "x": percentile_axis(_SMALL_PERCENTILES, lines.reach),
                "y": latency_axis(lines.points, wide=lines.is_wide, ticks=3),
            },
            "layer": _marks(lines),
        },
        "columns": _GRID_COLUMNS,
        "spacing": _GRID_SPACING,
        "bounds": "flush",
        "resolve": {"axis": {"x": "independent", "y": "independent"}},
    }


def _marks(lines: _Lines) -> list[Spec]:
    """Lines; a dot for each group of a single latency, of which there is no line."""
    line = {"mark": {"type": "line", "strokeWidth": 1.8, "strokeJoin": "round"}}
    if not lines.points["series"].is_unique().any():
        return [line]
    counted = {"joinaggregate": [{"op": "count", "as": "points"}], "groupby": ["series"]}
    dots = {
        "transform": [counted, {"filter": "datum.points == 1"}],
        "mark": {"type": "circle", "size": 40, "opacity": 1},
    }
    return [line, dots]


def percentile_axis(percentiles: dict[int, str], reach: float, title: str | None = None) -> Spec:
    """Percentiles on a log axis up to ``reach``, labelled with those names that are within it."""
    shown = {at: name for at, name in percentiles.items() if at <= reach}
    names = ", ".join(f"'{at}': '{name}'" for at, name in shown.items())
    label = f"({{{names}}})[datum.value]"
    axis = {"title": title, "values": list(shown), "labelExpr": label, "labelFlush": False}
    return quantity("rarity", scale={"type": "log", "domain": [1, reach], "nice": False}, axis=axis)


def latency_axis(points: pl.DataFrame, *, wide: bool, ticks: int, title: str | None = None) -> Spec:
    """The axis of ``latency_ms``: from 0, or logarithmic where latencies are ``wide`` apart."""
    if wide:
        low, high = points.select(low=pl.col("latency_ms").min(), high=pl.col("latency_ms").max()).row(0)
        scale = log_latency_scale(low, high)
        axis = log_latency_axis(low, high, title=title, most_ticks=2 * ticks)
    else:
        scale = {"zero": True, "nice": ticks}
        axis = {"title": title, "tickCount": ticks, "labelExpr": LATENCY_LABEL}
    return quantity("latency_ms", scale=scale, axis={**axis, "domain": False, "ticks": False})
