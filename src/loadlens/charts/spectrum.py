"""Latency by percentile, with a tail that takes as much room as the bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import altair as alt
import polars as pl

from loadlens.charts.drawing import (
    LATENCY_LABEL,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    category_scale,
    inline,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    printable,
    series_of,
    themed,
    thousands,
    titled,
    unchecked,
)

__all__ = ["LEAST_LOG_RATIO", "LEAST_REACH", "PERCENTILES", "spectrum_chart"]

_TITLE = "Latency by percentile (ms)"
_LATENCY_TITLE = "Latency (ms)"
_MOST_POINTS = 120  # of a line; more are closer than pixels
_MOST_LINES = 10  # more colours cannot be told apart
_MOST_PANELS = 24
_GRID_COLUMNS = 3
_GRID_SPACING = 62  # holds the axis labels of the next panel
_GRID_PADDING = {"left": 12, "top": 12, "right": 32, "bottom": 32}  # and those along the edges
_LEGEND_ROW = 18  # pixels
LEAST_LOG_RATIO = 100  # of the latencies: below it a linear axis shows all of them
LEAST_REACH = 10.0  # p90, so that the axis has a length where only the median is known
_RANKED_AT = 100.0  # p99
_SIGNIFICANT_DIGITS = 7
_UNITS = {"memory_size": "memory_size (MB)"}

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


@unchecked
def spectrum_chart(spectrum: pl.DataFrame, by: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    """Latency over the percentile, each further nine as wide as the one before it.

    One panel where its lines can be told apart, else small panels on the same scales. The latency axis is
    logarithmic where the latencies span more than two decades.

    Args:
        spectrum: the ``by`` columns, ``quantile`` (from 0 to below 1), ``latency_ms`` (null: not drawn).
        by: the key columns; none for a single line without a legend.
    """
    drawn = spectrum.filter(pl.col("latency_ms") > 0, pl.col("quantile") < 1)
    num_drawn, num_keys = (_num_keys(rows, by) for rows in (drawn, spectrum))
    notes = _missing(num_keys - num_drawn)
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


def _missing(without_latency: int) -> list[str]:
    if not without_latency:
        return []
    groups = "1 group" if without_latency == 1 else f"{thousands(without_latency)} groups"
    return [f"Not drawn: {groups} without a successful invocation."]


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


def _panel(lines: _Lines, by: Sequence[str]) -> alt.LayerChart:
    legend = alt.Legend(title=_legend_title(by)) if by else None
    scale = category_scale(lines.series)
    colours = alt.Color("series", type="nominal", sort=lines.series, scale=scale, legend=legend)
    height = max(PANEL_HEIGHT, _LEGEND_ROW * len(lines.series))
    base = alt.Chart(inline(lines.points), width=PANEL_WIDTH, height=height).encode(
        x=_percentile_axis(lines, PERCENTILES), y=_latency_axis(lines), color=colours
    )
    return alt.LayerChart(layer=_marks(base, lines), title=titled(_TITLE, lines.notes))


def _small_panels(lines: _Lines, by: Sequence[str]) -> alt.FacetChart:
    base = alt.Chart(width=190, height=80).encode(
        x=_percentile_axis(lines, _SMALL_PERCENTILES, title=None),
        y=_latency_axis(lines, title=None, ticks=3),
    )
    facet = alt.Facet("series", type="nominal", sort=lines.series, title=None)
    chart = alt.LayerChart(layer=_marks(base, lines)).facet(
        facet, data=inline(lines.points), columns=_GRID_COLUMNS, spacing=_GRID_SPACING, bounds="flush"
    )
    lead = f"{_LATENCY_TITLE} over the percentile by {_legend_title(by)}; all panels have the same scales."
    chart = chart.properties(title=titled(_TITLE, [lead, *lines.notes]), padding=_GRID_PADDING)
    resolved: alt.FacetChart = chart.resolve_axis(x="independent", y="independent")
    return resolved


def _marks(base: alt.Chart, lines: _Lines) -> list[alt.Chart]:
    """Lines; a dot for each group of a single latency, of which there is no line."""
    marks = [base.mark_line(strokeWidth=1.8, strokeJoin="round")]
    if not lines.points["series"].is_unique().any():
        return marks
    counted = base.transform_joinaggregate(points="count()", groupby=["series"])
    return [*marks, counted.transform_filter("datum.points == 1").mark_circle(size=40, opacity=1)]


def _percentile_axis(
    lines: _Lines, percentiles: dict[int, str], title: str | None = "Percentile of invocations"
) -> alt.X:
    shown = {at: name for at, name in percentiles.items() if at <= lines.reach}
    names = ", ".join(f"'{at}': '{name}'" for at, name in shown.items())
    axis = alt.Axis(
        title=title, values=list(shown), labelExpr=f"({{{names}}})[datum.value]", labelFlush=False, grid=True
    )
    scale = alt.Scale(type="log", domain=[1, lines.reach], nice=False)
    return alt.X("rarity", type="quantitative", scale=scale, axis=axis)


def _latency_axis(lines: _Lines, title: str | None = _LATENCY_TITLE, ticks: int = 5) -> alt.Y:
    lowest, highest = lines.points.select(
        low=pl.col("latency_ms").min(), high=pl.col("latency_ms").max()
    ).row(0)
    if highest <= LEAST_LOG_RATIO * lowest:
        scale = alt.Scale(zero=True, nice=ticks)
        axis = alt.Axis(title=title, tickCount=ticks, labelExpr=LATENCY_LABEL)
    else:
        scale = log_latency_scale(lowest, highest)
        axis = log_latency_axis(lowest, highest, title=title, most_ticks=2 * ticks)
    axis.domain = axis.ticks = False
    return alt.Y("latency_ms", type="quantitative", scale=scale, axis=axis)


def _legend_title(columns: Sequence[str]) -> str:
    return " · ".join(printable(_UNITS.get(name, name)) for name in columns)
