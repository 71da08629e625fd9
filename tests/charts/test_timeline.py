"""Throughput and errors over time: what the spec says."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from loadlens.charts import svg_text, timeline_chart
from tests.charts.curves import mark_of, marks, num_rows, rows_of
from tests.extent import some_rows


def timeline(
    windows: int = 3, *, window_s: float = 10.0, errors: Sequence[float | None] | None = None
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time_s": [window_s * number for number in range(windows)],
            "window_s": [window_s] * windows,
            "throughput": [50.0 + number % 7 for number in range(windows)],
            "error_rate": errors or [0.01] * windows,
        },
        schema_overrides={"error_rate": pl.Float64},
    )


def panels_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [mark_of(panel, "line") for panel in spec["vconcat"]]


def test_two_panels_share_the_time_axis():
    spec = timeline_chart(timeline()).to_dict()
    throughput, errors = (panel["encoding"] for panel in panels_of(spec))
    assert spec["title"]["text"] == "Throughput and errors over time"
    assert spec["resolve"]["scale"] == {"x": "shared", "y": "independent"}
    assert throughput["x"]["scale"] == errors["x"]["scale"] == {"domain": [0, 30], "nice": False}
    assert throughput["y"]["axis"]["title"] == "Completions per second"
    assert errors["y"]["axis"]["title"] == "Error rate (%)"
    assert errors["x"]["axis"]["title"] == "Time since start (s)"
    assert throughput["x"]["axis"]["labels"] is False


def test_areas_do_not_stack_and_begin_at_zero():
    spec = timeline_chart(timeline()).to_dict()
    axes = [part["encoding"]["y"] for part in marks(spec)]
    assert all(axis["stack"] is False and axis["scale"]["zero"] for axis in axes)


@pytest.mark.parametrize(
    ("window_s", "unit", "end"),
    some_rows(
        [(1, "s", 200), (1.5, "s", 300), (3, "min", 10), (90, "min", 300), (432, "h", 24), (4_320, "h", 240)],
        2,
    ),
)
def test_the_unit_of_time_follows_from_the_span(window_s, unit, end):
    spec = timeline_chart(timeline(200, window_s=window_s)).to_dict()
    x = panels_of(spec)[1]["encoding"]["x"]
    assert x["axis"]["title"] == f"Time since start ({unit})"
    assert x["scale"]["domain"] == pytest.approx([0, end])


def test_each_window_is_a_level_as_wide_as_it_is():
    spec = timeline_chart(timeline(2, errors=[0.0, 0.25])).to_dict()
    _, errors = panels_of(spec)
    points = [(row["time"], row["error_percent"]) for row in rows_of(spec, errors)]
    assert points == [(0, 0), (10, 0), (10, 25), (20, 25)]


def test_a_window_without_calls_is_a_gap_in_the_error_rate():
    spec = timeline_chart(timeline(3, errors=[0.1, None, 0.2])).to_dict()
    throughput, errors = panels_of(spec)
    assert [row["run"] for row in rows_of(spec, throughput)] == [0] * 6
    assert [(row["time"], row["run"]) for row in rows_of(spec, errors)] == [(0, 0), (10, 0), (20, 1), (30, 1)]
    assert errors["encoding"]["detail"]["field"] == "run"


def test_windows_that_are_left_out_are_a_gap():
    spec = timeline_chart(timeline(6).filter(pl.col("time_s") != 20)).to_dict()
    assert [row["run"] for row in rows_of(spec, panels_of(spec)[0])] == [0] * 4 + [1] * 6


@pytest.mark.parametrize("errors", [[0.0, 0.0, 0.0], [None, None, None]])
def test_no_errors_still_have_an_axis(errors):
    chart = timeline_chart(timeline(errors=errors))
    assert panels_of(chart.to_dict())[1]["encoding"]["y"]["scale"]["domain"] == [0, 1]
    assert ET.fromstring(svg_text(chart)).tag.endswith("svg")


def test_a_window_takes_two_points_in_each_panel():
    assert num_rows(timeline_chart(timeline(240)).to_dict()) == 240 * 2 * 2


def test_row_order_does_not_matter():
    ordered = timeline(20)
    assert svg_text(timeline_chart(ordered)) == svg_text(timeline_chart(ordered.reverse()))


def test_an_empty_timeline_says_so():
    spec = timeline_chart(timeline().clear()).to_dict()
    assert "No timeline" in rows_of(spec, mark_of(spec, "text"))[0]["message"]
    assert spec["title"]["text"] == "Throughput and errors over time"


@pytest.mark.parametrize("windows", [1, 240])
def test_timelines_render(windows):
    svg = svg_text(timeline_chart(timeline(windows)))
    assert "Time since start" in svg
    assert "NaN" not in svg
