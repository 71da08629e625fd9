"""The chart of the results: time and memory of every contender, a row of panels for each size of log."""

from typing import Any, Final

from benchmarks.report import runs_text
from loadlens.charts.drawing import BODY, Spec, category, quantity, themed

__all__ = ["comparison_chart"]

Bars = list[dict[str, Any]]

_FORMATS: Final = {"parquet": "Parquet", "csv": "CSV"}
_COLOURS: Final = ["#1f77b4", "#9ecae1"]
_CONTENDER_STEP: Final = 34
_TICKS: Final = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
_TIME_WIDTH: Final = 400
_MEMORY_WIDTH: Final = 240
_MILLION: Final = 1_000_000

# Text stands right of its bar; these leave room for it within the panel.
_TIME_ROOM: Final = 6.0
_MEMORY_ROOM: Final = 1.35


def comparison_chart(found: dict[str, Any]) -> Spec:
    """Query time as a multiple of that of loadlens (log axis), and peak memory (MiB)."""
    bars = [_bar(result) for result in found["results"]]
    sizes = list(dict.fromkeys(bar["rows"] for bar in bars))
    panels = [_panels(bars, size, last=size == sizes[-1]) for size in sizes]
    machine = found["machine"]
    measured = (
        f"66 configurations. {runs_text(found['runs'])}, {machine['cores']} cores, "
        f"{machine['memory_gib']:.0f} GiB of memory. Left of 1 is faster than loadlens, right of it slower."
    )
    title = {"text": "The same figures from the same log: time and memory", "subtitle": measured}
    return themed({"title": title, "vconcat": panels, "spacing": 14})


def _bar(result: dict[str, Any]) -> dict[str, Any]:
    """One result as the chart shows it; a contender that did not run has text in place of a bar."""
    ratio, memory = result["query_to_loadlens"], result["peak_mib"]
    absent = "not run" if result["skipped"] else "failed"
    return {
        "rows": result["rows"],
        "format": _FORMATS[result["format"]],
        "contender": result["label"],
        "ratio": ratio,
        "ratio_start": 1.0,
        "ratio_end": max(ratio or 1.0, 1.0),
        "ratio_text": absent if ratio is None else f"{_short(ratio)}× · {_short(result['query_s'])} s",
        "memory": memory,
        "memory_start": 0.0,
        "memory_end": memory or 0.0,
        "memory_text": absent if memory is None else f"{memory:,.0f}",
    }


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004


def _panels(bars: Bars, size: int, *, last: bool) -> Spec:
    shown = [bar for bar in bars if bar["rows"] == size]
    title = {"text": f"{size / _MILLION:g} M rows", "fontSize": 13, "offset": 6}
    time = _panel(shown, _time_axis(bars, labelled=last), "ratio")
    memory = _panel(shown, _memory_axis(bars, labelled=last), "memory")
    return {
        "hconcat": [
            {"title": title, "width": _TIME_WIDTH, **time},
            {"width": _MEMORY_WIDTH, **memory},
        ],
        "spacing": 16,
    }


def _time_axis(bars: Bars, *, labelled: bool) -> Spec:
    ratios = [1.0, *(bar["ratio"] for bar in bars if bar["ratio"])]
    domain = [min(ratios) / 1.2, max(ratios) * _TIME_ROOM]
    axis = _axis(
        "Query time as a multiple of that of loadlens (log axis)",
        labelled=labelled,
        format="~g",
        values=_TICKS,
    )
    return quantity("ratio", axis=axis, scale={"type": "log", "domain": domain, "nice": False})


def _memory_axis(bars: Bars, *, labelled: bool) -> Spec:
    domain = [0, max(bar["memory_end"] for bar in bars) * _MEMORY_ROOM]
    axis = _axis("Peak memory of the process (MiB)", labelled=labelled, format=",~d", tickCount=4)
    return quantity("memory", axis=axis, scale={"domain": domain, "nice": False})


def _axis(title: str, *, labelled: bool, **options: Any) -> Spec:
    return {"title": title if labelled else None, "labels": labelled, "ticks": labelled, **options}


def _panel(shown: Bars, x: Spec, figure: str) -> Spec:
    """Bars from the start of the axis (for ratios, from 1), and their figures as text."""
    contenders = list(dict.fromkeys(bar["contender"] for bar in shown))
    formats = [name for name in _FORMATS.values() if any(bar["format"] == name for bar in shown)]
    names = {"title": None, "labelLimit": 200} if figure == "ratio" else None
    legend = {"title": None, "symbolType": "square", "orient": "top"} if len(formats) > 1 else None
    scale = {"domain": list(_FORMATS.values()), "range": _COLOURS}
    bar = {
        "x": x,
        "x2": {"field": f"{figure}_start"},
        "color": category("format", scale=scale, legend=legend),
    }
    figures = {"x": quantity(f"{figure}_end"), "text": category(f"{figure}_text")}
    return {
        "data": {"values": shown},
        "height": {"step": _CONTENDER_STEP, "for": "position"},
        "encoding": {
            "y": category("contender", sort=contenders, axis=names),
            "yOffset": category("format", sort=formats),
        },
        "layer": [
            {"mark": {"type": "bar"}, "encoding": bar},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "fontSize": 11, "color": BODY},
                "encoding": figures,
            },
        ],
    }
