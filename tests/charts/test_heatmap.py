"""Latency over time: what the spec says."""

import re
import xml.etree.ElementTree as ET

import polars as pl
import pytest

from loadlens.charts import Picture, heatmap_chart
from tests.charts.curves import mark_of, num_rows, rows_of, valid


def heatmap(
    windows: int = 3,
    bounds: tuple[float, ...] = (0.0, 2.0, 20.0, 200.0, 4000.0),
    *,
    window_s: float = 10.0,
    most: int = 5_000,
) -> pl.DataFrame:
    """Every cell between these bounds, in every window; counts up to ``most``."""
    latencies = pl.DataFrame({"latency_low_ms": bounds[:-1], "latency_high_ms": bounds[1:]})
    times = pl.DataFrame({"time_s": [window_s * number for number in range(windows)]})
    cells = times.join(latencies, how="cross").with_row_index("number")
    count = (most - pl.col("number").cast(pl.Int64)).clip(lower_bound=1)
    return cells.select(
        "time_s",
        pl.lit(window_s).alias("window_s"),
        "latency_low_ms",
        "latency_high_ms",
        count.alias("count"),
    )


def test_cells_are_rectangles_between_their_bounds():
    spec = heatmap_chart(heatmap(1, (1.0, 10.0, 100.0)))
    rect = mark_of(spec, "rect")
    fields = {channel: rect["encoding"][channel]["field"] for channel in ("x", "x2", "y", "y2", "color")}
    assert fields == {
        "x": "time",
        "x2": "time_end",
        "y": "latency_low_ms",
        "y2": "latency_high_ms",
        "color": "count",
    }
    assert rows_of(rect) == [
        {"time": 0, "time_end": 10, "latency_low_ms": 1, "latency_high_ms": 10, "count": 5_000},
        {"time": 0, "time_end": 10, "latency_low_ms": 10, "latency_high_ms": 100, "count": 4_999},
    ]


def test_quantities_are_named_with_units():
    spec = heatmap_chart(heatmap(60, window_s=30))
    encoding = mark_of(spec, "rect")["encoding"]
    assert spec["title"]["text"] == "Latency over time (ms)"
    assert encoding["x"]["axis"]["title"] == "Time since start (min)"
    assert encoding["x"]["scale"]["domain"] == [0, 30]
    assert encoding["y"]["axis"]["title"] == "Latency (ms)"
    assert encoding["color"]["legend"]["title"] == "Invocations"


def test_latencies_and_counts_are_logarithmic():
    encoding = mark_of(heatmap_chart(heatmap(1, (1.0, 30.0, 4000.0))), "rect")["encoding"]
    assert (encoding["y"]["scale"]["type"], encoding["y"]["scale"]["domain"]) == ("log", [1, 4000])
    assert encoding["y"]["axis"]["values"] == [1, 10, 100, 1000]
    colours = encoding["color"]
    assert (colours["scale"]["type"], colours["scale"]["domain"]) == ("log", [1, 5_000])
    assert colours["scale"]["scheme"]["name"] == "yellowgreenblue"
    assert colours["legend"]["values"] == [1, 10, 100, 1000]


def test_a_cell_from_zero_begins_at_the_smallest_positive_bound():
    wide = pl.concat([heatmap(1, (0.0, 20.0)), heatmap(1, (2.0, 50.0))])
    spec = heatmap_chart(wide)
    assert [row["latency_low_ms"] for row in rows_of(mark_of(spec, "rect"))] == [2, 2]


def test_a_cell_from_zero_can_be_seen_below_the_smallest_bound():
    spec = heatmap_chart(heatmap(1))
    rect = mark_of(spec, "rect")
    lowest = rows_of(rect)[0]
    assert 1.5 < lowest["latency_low_ms"] < lowest["latency_high_ms"] == 2
    assert rect["encoding"]["y"]["scale"]["domain"][0] == pytest.approx(lowest["latency_low_ms"])


def test_cells_without_a_count_are_not_drawn_but_keep_their_time():
    some = heatmap(10).with_columns(pl.when(pl.col("time_s") < 50).then("count").otherwise(0).alias("count"))
    spec = heatmap_chart(some)
    assert num_rows(spec) == 5 * 4
    assert mark_of(spec, "rect")["encoding"]["x"]["scale"]["domain"] == [0, 100]


def test_one_invocation_is_never_the_darkest_colour():
    colours = mark_of(heatmap_chart(heatmap(most=1)), "rect")["encoding"]["color"]
    assert colours["scale"]["domain"] == [1, 10]


def test_latencies_within_a_decade_leave_the_labels_to_vega():
    chart = heatmap_chart(heatmap(2, (28.5, 30.1, 33.6)))
    assert "values" not in mark_of(chart, "rect")["encoding"]["y"]["axis"]
    assert {"29", "30", "31", "32", "33"} <= set(re.findall(r">(\d+)</text>", Picture(chart).svg))


@pytest.mark.slow
def test_a_full_panel_stays_small():
    bounds = tuple(1.08**step for step in range(101))
    chart = heatmap_chart(heatmap(120, bounds, window_s=77.7))
    assert num_rows(chart) == 120 * 100
    assert len(Picture(chart).svg) < 2_000_000


def test_cells_overlap_the_ones_drawn_after_them():
    spec = heatmap_chart(heatmap(3).reverse())
    rect = mark_of(spec, "rect")
    rows = [(row["time"], row["latency_low_ms"]) for row in rows_of(rect)]
    assert rows == sorted(rows)
    assert rect["mark"]["x2Offset"] > 0 > rect["mark"]["y2Offset"]


@pytest.mark.parametrize("cells", [heatmap().clear(), heatmap(most=1).with_columns(count=0)])
def test_an_empty_heatmap_says_so(cells):
    spec = heatmap_chart(cells)
    assert "Nothing to draw" in rows_of(mark_of(spec, "text"))[0]["message"]
    assert spec["title"]["text"] == "Latency over time (ms)"


@pytest.mark.parametrize("bounds", [(0.0, 8.0), (0.0, 1e-9, 1e9), (5.0, 5.1)])
def test_heatmaps_of_any_range_render(bounds):
    svg = Picture(valid(heatmap_chart(heatmap(1, bounds)))).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "NaN" not in svg
