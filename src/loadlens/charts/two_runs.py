"""Two runs in one panel for each key: how their latencies spread, and their percentiles."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import polars as pl

from loadlens.charts.drawing import (
    LATENCY_LABEL,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    inline,
    log_latency_axis,
    log_latency_scale,
    message_chart,
    printable,
    themed,
    titled,
    unchecked,
)
from loadlens.charts.spectrum import LEAST_LOG_RATIO, LEAST_REACH, PERCENTILES

__all__ = ["comparison_density_chart", "comparison_spectrum_chart"]

_RUNS: Final = {"base": "#7f7f7f", "candidate": "#ff7f0e"}
_SPACING = 62  # holds the axis labels of the next panel
_PADDING = {"left": 12, "top": 12, "right": 32, "bottom": 32}  # and those along the edges
_FEW_PANELS = 4
_SIZES: Final = ((PANEL_WIDTH, PANEL_HEIGHT), (300, 150), (190, 100))
"""Width and height of a panel by how many stand side by side."""
_LABEL_OVERHANG = 50  # of its label over a panel
_CHARACTER_WIDTH = 6.5
_TAIL = 0.01  # of a curve's peak: where its tail begins
_LEAST_CROP = 0.5  # an axis is cut only where that frees half of it
_SIGNIFICANT_DIGITS = 7
_SMALL_PERCENTILES: Final = {at: name for at, name in PERCENTILES.items() if at not in (2, 10_000)}

_Chart = alt.LayerChart | alt.FacetChart


@dataclass(frozen=True, kw_only=True)
class _Panels:
    """``points`` with the columns ``panel`` (text) and ``run``, the panels in order, and their size."""

    points: pl.DataFrame
    names: list[str]

    @property
    def columns(self) -> int:
        """How many panels stand side by side."""
        return _columns(len(self.names))

    def chart(self) -> alt.Chart:
        """A chart without marks of the size of a panel."""
        width, height = _SIZES[self.columns - 1]
        return alt.Chart(width=width, height=height)


@unchecked
def comparison_density_chart(curves: pl.DataFrame, keys: pl.DataFrame, by: Sequence[str]) -> _Chart:
    """Density of the latencies of both runs, a panel for each key.

    Args:
        curves: the ``by`` columns, ``run`` (base or candidate), ``latency_ms``, ``density`` (per ms).
        keys: the ``by`` columns and ``verdict`` of the keys to draw, in this order.
        by: the key columns; none for one panel.
    """
    title = "Latency of both runs (ms)"
    panels, notes = _cropped(_panels(curves.filter(pl.col("latency_ms") >= 0), keys, by))
    if panels.points.is_empty():
        return _nothing(title, "No curve to draw: a curve needs two different latencies.")
    base = panels.chart().encode(
        x=alt.X(
            "latency_ms", type="quantitative", scale=alt.Scale(zero=False, nice=False), axis=_latencies()
        ),
        y=alt.Y("density", type="quantitative", stack=False, scale=alt.Scale(nice=3), axis=_densities()),
        color=_colours(),
    )
    layers = [base.mark_area(fillOpacity=0.12), base.mark_line(strokeWidth=1.8)]
    lead = f"Density (per ms) over latency (ms){_by(by)}{_scales(panels, shared=False)}."
    return _faceted(layers, panels, title, [lead, *notes], x="independent", y="independent")


@unchecked
def comparison_spectrum_chart(spectrum: pl.DataFrame, keys: pl.DataFrame, by: Sequence[str]) -> _Chart:
    """Latency over the percentile of both runs, a panel for each key, each further nine as wide.

    Args:
        spectrum: the ``by`` columns, ``run`` (base or candidate), ``quantile`` (0 to 1), ``latency_ms``.
        keys: the ``by`` columns and ``verdict`` of the keys to draw, in this order.
        by: the key columns; none for one panel.
    """
    title = "Latency by percentile of both runs (ms)"
    panels = _panels(spectrum.filter(pl.col("latency_ms") > 0), keys, by)
    if panels.points.is_empty():
        return _nothing(title, "No latency to draw: no call succeeded.")
    rarity = (1 / (1 - pl.col("quantile"))).round_sig_figs(_SIGNIFICANT_DIGITS)
    points = panels.points.with_columns(rarity.alias("rarity"))
    wide = _is_wide(points)
    reach = max(LEAST_REACH, float(points["rarity"].max()))  # type: ignore[arg-type]
    line = (
        panels.chart()
        .mark_line(strokeWidth=1.8, strokeJoin="round")
        .encode(
            x=_percentiles(reach, short=panels.columns > 1),
            y=_latency_axis(points, wide=wide),
            color=_colours(),
        )
    )
    lead = f"Latency (ms) over the percentile of calls{_by(by)}{_scales(panels, shared=wide)}."
    panels = _Panels(points=points, names=panels.names)
    return _faceted([line], panels, title, [lead], x="shared", y="shared" if wide else "independent")


def _panels(frame: pl.DataFrame, keys: pl.DataFrame, by: Sequence[str]) -> _Panels:
    """The rows of ``keys`` alone, each with the name of its panel: the key and its verdict."""
    drawn = keys.join(frame, on=list(by), how="semi", nulls_equal=True, maintain_order="left") if by else keys
    present = drawn.head(frame.height)
    named = present.with_columns(pl.Series("panel", _names(present, by), dtype=pl.String))
    if not by:
        points = frame.with_columns(pl.Series("panel", named["panel"].to_list() * frame.height))
    else:
        points = frame.join(named.select(*by, "panel"), on=list(by), nulls_equal=True, maintain_order="left")
    return _Panels(points=points.select("panel", "run", *_figures(frame, by)), names=named["panel"].to_list())


def _columns(panels: int) -> int:
    return 1 if panels == 1 else 2 if panels <= _FEW_PANELS else 3


def _figures(frame: pl.DataFrame, by: Sequence[str]) -> list[str]:
    return [name for name in frame.columns if name not in (*by, "run")]


def _names(keys: pl.DataFrame, by: Sequence[str]) -> list[str]:
    """Verdict and key of each panel, each name once, and as short as a panel is wide."""
    verdicts = [f"{verdict.capitalize()}: " for verdict in keys["verdict"]]
    width, _ = _SIZES[_columns(keys.height) - 1]
    most = int((width + _LABEL_OVERHANG) / _CHARACTER_WIDTH) - max(map(len, verdicts), default=0)
    texts = [" · ".join(map(printable, key)) or "all calls" for key in keys.select(by).iter_rows()]
    short = _shortened(texts or ["all calls"] * keys.height, most)
    doubled = Counter(short)
    numbered = [f"{text} ({number})" if doubled[text] > 1 else text for number, text in enumerate(short, 1)]
    return [f"{verdict}{text}" for verdict, text in zip(verdicts, numbered, strict=True)]


def _shortened(texts: list[str], most: int) -> list[str]:
    """Texts of at most ``most`` characters: without what all of them share, then without their middles."""
    if len(texts) > 1 and any(len(text) > most for text in texts):
        texts = _without_shared(texts, most)
    kept = (most - 1) // 2
    return [text if len(text) <= most else f"{text[:kept]}…{text[-kept:]}" for text in texts]


def _without_shared(texts: list[str], most: int) -> list[str]:
    """Texts with as much of what all begin and end with as leaves room for what tells them apart."""
    start = _shared(texts)
    end = _shared([text[start:][::-1] for text in texts])
    spare = max(most - 2 - (max(map(len, texts)) - start - end), 0) // 2
    start, end = max(start - spare, 0), max(end - spare, 0)
    return ["…" * bool(start) + text[start : len(text) - end] + "…" * bool(end) for text in texts]


def _shared(texts: list[str]) -> int:
    """With how many equal characters all texts begin: as many as the first and the last in order do."""
    first, last = min(texts), max(texts)
    return next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )


def _cropped(panels: _Panels) -> tuple[_Panels, list[str]]:
    """Leaves out thin tails where they would squeeze both curves of a panel, and says so."""
    at = pl.col("latency_ms")
    bulk = pl.col("density") >= _TAIL * pl.col("density").max().over("panel", "run")
    end = at.filter(bulk).max().over("panel")
    kept = panels.points.filter((at <= end) | (end > _LEAST_CROP * at.max().over("panel")))
    if kept.height == panels.points.height:
        return panels, []
    note = (
        "Cut off where both curves fall below 1 % of their peaks and their tails would fill half of a panel."
    )
    return _Panels(points=kept, names=panels.names), [note]


def _faceted(
    layers: list[alt.Chart], panels: _Panels, title: str, notes: list[str], *, x: Any, y: Any
) -> alt.FacetChart:
    header = alt.Header(title=None, labelLimit=_SIZES[panels.columns - 1][0] + _LABEL_OVERHANG)
    facet = alt.Facet("panel", type="nominal", sort=panels.names, header=header)
    chart = alt.LayerChart(layer=layers).facet(
        facet, data=inline(panels.points), columns=panels.columns, spacing=_SPACING, bounds="flush"
    )
    chart = chart.properties(title=titled(title, notes), padding=_PADDING)
    resolved: alt.FacetChart = chart.resolve_scale(x=x, y=y).resolve_axis(x="independent", y="independent")
    return themed(resolved)


def _nothing(title: str, message: str) -> alt.LayerChart:
    return themed(message_chart(message, titled(title, [])))


def _by(by: Sequence[str]) -> str:
    return f" by {' · '.join(map(printable, by))}" if by else ""


def _scales(panels: _Panels, *, shared: bool) -> str:
    if len(panels.names) == 1:
        return ""
    return "; all panels have the same scales" if shared else "; each panel has its own scales"


def _colours() -> alt.Color:
    scale = alt.Scale(domain=list(_RUNS), range=list(_RUNS.values()))
    return alt.Color("run", type="nominal", scale=scale, legend=alt.Legend(title=None, orient="top"))


def _latencies() -> alt.Axis:
    return alt.Axis(title=None, grid=False, tickCount=4, labelOverlap="greedy", labelSeparation=6)


def _densities() -> alt.Axis:
    # d3 rounds to the tick step under a plain format and would print 0.15 as 0.1.
    label = "format(datum.value, '.2~g')"
    return alt.Axis(title=None, tickCount=3, labelExpr=label, domain=False, ticks=False)


def _percentiles(reach: float, *, short: bool) -> alt.X:
    percentiles = _SMALL_PERCENTILES if short else PERCENTILES
    shown = {at: name for at, name in percentiles.items() if at <= reach}
    names = ", ".join(f"'{at}': '{name}'" for at, name in shown.items())
    axis = alt.Axis(title=None, values=list(shown), labelExpr=f"({{{names}}})[datum.value]", labelFlush=False)
    return alt.X(
        "rarity", type="quantitative", scale=alt.Scale(type="log", domain=[1, reach], nice=False), axis=axis
    )


def _is_wide(points: pl.DataFrame) -> bool:
    """Whether a linear axis could not show all latencies of a panel."""
    at = pl.col("latency_ms")
    ratios = points.group_by("panel").agg(at.max() / at.min())["latency_ms"]
    return bool((ratios > LEAST_LOG_RATIO).any())


def _latency_axis(points: pl.DataFrame, *, wide: bool) -> alt.Y:
    """Logarithmic and one for all panels where latencies are ``wide``, else from 0."""
    if wide:
        low, high = points.select(low=pl.col("latency_ms").min(), high=pl.col("latency_ms").max()).row(0)
        scale, axis = log_latency_scale(low, high), log_latency_axis(low, high, title=None, most_ticks=6)
    else:
        scale = alt.Scale(zero=True, nice=3)
        axis = alt.Axis(title=None, tickCount=3, labelExpr=LATENCY_LABEL)
    axis.domain = axis.ticks = False
    return alt.Y("latency_ms", type="quantitative", scale=scale, axis=axis)
