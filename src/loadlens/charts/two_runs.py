"""Two runs in one panel for each key: how their latencies spread, and their percentiles."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.charts.drawing import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Spec,
    category,
    inline,
    message_chart,
    printable,
    quantity,
    themed,
    titled,
)
from loadlens.charts.spectrum import (
    LEAST_LOG_RATIO,
    LEAST_REACH,
    PERCENTILES,
    latency_axis,
    percentile_axis,
)

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


@dataclass(frozen=True, kw_only=True)
class _Panels:
    """``points`` with the columns ``panel`` (text) and ``run``, and the panels in order."""

    points: pl.DataFrame
    names: list[str]

    @property
    def columns(self) -> int:
        """How many panels stand side by side."""
        return _columns(len(self.names))


def comparison_density_chart(curves: pl.DataFrame, keys: pl.DataFrame, by: Sequence[str]) -> Spec:
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
    drawn = {
        "encoding": {
            "x": quantity("latency_ms", scale={"zero": False, "nice": False}, axis=_latencies()),
            "y": quantity("density", stack=False, scale={"nice": 3}, axis=_densities()),
            "color": _colours(),
        },
        "layer": [
            {"mark": {"type": "area", "fillOpacity": 0.12}},
            {"mark": {"type": "line", "strokeWidth": 1.8}},
        ],
    }
    lead = f"Density (per ms) over latency (ms){_by(by)}{_scales(panels, shared=False)}."
    return _faceted(drawn, panels, title, [lead, *notes], {"x": "independent", "y": "independent"})


def comparison_spectrum_chart(spectrum: pl.DataFrame, keys: pl.DataFrame, by: Sequence[str]) -> Spec:
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
    percentiles = PERCENTILES if panels.columns == 1 else _SMALL_PERCENTILES
    line = {
        "mark": {"type": "line", "strokeWidth": 1.8, "strokeJoin": "round"},
        "encoding": {
            "x": percentile_axis(percentiles, reach),
            "y": latency_axis(points, wide=wide, ticks=3),
            "color": _colours(),
        },
    }
    lead = f"Latency (ms) over the percentile of calls{_by(by)}{_scales(panels, shared=wide)}."
    panels = _Panels(points=points, names=panels.names)
    return _faceted(line, panels, title, [lead], {"x": "shared", "y": "shared" if wide else "independent"})


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
    texts = [" · ".join(map(printable, key)) for key in keys.select(by).iter_rows()]
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


def _faceted(drawn: Spec, panels: _Panels, title: str, notes: list[str], scales: Spec) -> Spec:
    width, height = _SIZES[panels.columns - 1]
    header = {"title": None, "labelLimit": width + _LABEL_OVERHANG}
    chart = {
        "title": titled(title, notes),
        "padding": _PADDING,
        "data": inline(panels.points),
        "facet": category("panel", sort=panels.names, header=header),
        "spec": {"width": width, "height": height, **drawn},
        "columns": panels.columns,
        "spacing": _SPACING,
        "bounds": "flush",
        "resolve": {"scale": scales, "axis": {"x": "independent", "y": "independent"}},
    }
    return themed(chart)


def _nothing(title: str, message: str) -> Spec:
    return themed(message_chart(message, titled(title, [])))


def _by(by: Sequence[str]) -> str:
    return f" by {' · '.join(map(printable, by))}" if by else ""


def _scales(panels: _Panels, *, shared: bool) -> str:
    if len(panels.names) == 1:
        return ""
    return "; all panels have the same scales" if shared else "; each panel has its own scales"


def _colours() -> Spec:
    scale = {"domain": list(_RUNS), "range": list(_RUNS.values())}
    return category("run", scale=scale, legend={"title": None, "orient": "top"})


def _latencies() -> Spec:
    return {"title": None, "grid": False, "tickCount": 4, "labelOverlap": "greedy", "labelSeparation": 6}


def _densities() -> Spec:
    # d3 rounds to the tick step under a plain format and would print 0.15 as 0.1.
    label = "format(datum.value, '.2~g')"
    return {"title": None, "tickCount": 3, "labelExpr": label, "domain": False, "ticks": False}


def _is_wide(points: pl.DataFrame) -> bool:
    """Whether a linear axis could not show all latencies of a panel."""
    at = pl.col("latency_ms")
    ratios = points.group_by("panel").agg(at.max() / at.min())["latency_ms"]
    return bool((ratios > LEAST_LOG_RATIO).any())
