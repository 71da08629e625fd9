"""Throughput and latency against load: what the spec says."""

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import polars as pl

from loadlens.charts import Picture, load_chart
from loadlens.summaries.scalability import Scalability, fitted_scalability
from tests.charts.curves import mark_of, marks, rows_of, valid
from tests.summaries.simulated_queues import STEPS, law_of, throughput_at


def windows() -> pl.DataFrame:
    loads = np.repeat(STEPS, 4).astype(float)
    return pl.DataFrame(
        {"active_calls": loads, "throughput": [throughput_at(load) for load in loads], "covered_s": 1.0}
    )


def levels() -> pl.DataFrame:
    latencies = {name: [float(load) for load in STEPS] for name in ("p50_ms", "p95_ms", "p99_ms")}
    return (
        windows().unique(maintain_order=True).with_columns(**{n: pl.Series(v) for n, v in latencies.items()})
    )


def law() -> Scalability:
    return fitted_scalability(
        *(windows()[name].to_numpy() for name in ("active_calls", "throughput", "covered_s"))
    )


def spec_of(found: Scalability, table: pl.DataFrame | None = None) -> dict[str, Any]:
    return load_chart(levels() if table is None else table, windows(), found)


def test_throughput_stands_above_latency_on_one_axis_of_load() -> None:
    spec = spec_of(law())
    upper, lower = spec["vconcat"]
    titles = [mark_of(panel, "point")["encoding"]["y"]["axis"]["title"] for panel in (upper, lower)]
    assert titles == ["Successful calls/s", "Latency (ms)"]
    axes = [mark_of(panel, "point")["encoding"]["x"] for panel in (upper, lower)]
    assert axes[0]["scale"] == axes[1]["scale"]
    assert [axis["axis"]["title"] for axis in axes] == [None, "Active calls"]


def test_the_law_is_drawn_with_its_knee_and_its_peak() -> None:
    spec = spec_of(law())
    places = [row["told"] for row in rows_of(mark_of(spec, "rule"))]
    true = law_of()
    assert places == [f"knee {true['knee_load']:.3g}", f"peak {true['peak_load']:.3g}"]
    curve = rows_of(mark_of(spec["vconcat"][0], "line"))
    assert max(row["throughput"] for row in curve) <= true["peak_throughput"] * 1.001
    assert "universal scalability law" in spec["title"]["subtitle"][0]


def test_without_a_law_there_are_points_alone() -> None:
    spec = spec_of(Scalability(reason="its load is constant"))
    assert "subtitle" not in spec["title"]
    assert {part["mark"]["type"] for part in marks(spec["vconcat"][0])} == {"point"}


def test_without_percentiles_there_is_one_panel() -> None:
    unknown = levels().with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name) for name in ("p50_ms", "p95_ms", "p99_ms")
    )
    (panel,) = spec_of(law(), unknown)["vconcat"]
    assert mark_of(panel, "point")["encoding"]["x"]["axis"]["title"] == "Active calls"


def test_a_log_without_active_calls_says_so() -> None:
    spec = load_chart(levels().clear(), windows().clear(), Scalability(reason="x"))
    assert "No load to draw" in rows_of(mark_of(spec, "text"))[0]["message"]


def test_loads_render() -> None:
    svg = Picture(valid(load_chart(levels(), windows(), law()))).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "NaN" not in svg
