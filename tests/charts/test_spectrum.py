"""Percentile spectrum: what the spec says."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from loadlens.charts import Picture, spectrum_chart
from loadlens.charts.drawing import log_latency_axis
from tests.charts.curves import mark_of, num_rows, rows_of, valid

SIZES = [512, 1024, 2048, 10240]
QUANTILES = [*(1 - 1 / np.geomspace(1, 1e5, 60))[:-1], 0.99999]


def spectrum(
    name: str,
    values: Sequence[Any],
    *,
    quantiles: Sequence[float] = QUANTILES,
    top_ms: float = 90.0,
    low_ms: float = 10.0,
) -> pl.DataFrame:
    """Each group somewhat slower than the one before, all between ``low_ms`` and ``top_ms``."""
    tail = np.log10(1 / (1 - np.asarray(quantiles))) / 5
    parts = [
        pl.DataFrame({"quantile": quantiles, "latency_ms": low_ms * (rank * top_ms / low_ms) ** tail})
        for rank in np.linspace(0.9, 1, len(values))
    ]
    return pl.concat(
        part.with_columns(pl.lit(value).alias(name)) for part, value in zip(parts, values, strict=True)
    )


def line_of(chart: Any) -> dict[str, Any]:
    return mark_of(valid(chart), "line")


def test_percentiles_stand_on_a_log_axis():
    x = line_of(spectrum_chart(spectrum("memory_size", SIZES), ["memory_size"]))["encoding"]["x"]
    assert x["scale"] == {"type": "log", "domain": [1, 100_000], "nice": False}
    assert x["axis"]["values"] == [1, 2, 10, 100, 1_000, 10_000, 100_000]


def test_percentiles_are_labelled_as_such():
    svg = Picture(spectrum_chart(spectrum("memory_size", SIZES), ["memory_size"])).svg
    texts = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    names = [text for text in texts if text and text.startswith("p")]
    assert names == ["p0", "p50", "p90", "p99", "p99.9", "p99.99", "p99.999"]


def test_quantities_are_named_with_units():
    spec = valid(spectrum_chart(spectrum("memory_size", SIZES[::-1]), ["memory_size"]))
    encoding = mark_of(spec, "line")["encoding"]
    assert spec["title"]["text"] == "Latency by percentile (ms)"
    assert encoding["x"]["axis"]["title"] == "Percentile of invocations"
    assert encoding["y"]["axis"]["title"] == "Latency (ms)"
    assert encoding["color"]["legend"]["title"] == "memory_size (MB)"
    assert encoding["color"]["scale"] == {"domain": [str(size) for size in SIZES], "scheme": "category10"}


def test_points_are_where_the_quantiles_put_them():
    spec = valid(spectrum_chart(spectrum("label", ["a"], quantiles=[0.0, 0.5, 0.9, 0.99]), ["label"]))
    line = mark_of(spec, "line")
    assert [row["rarity"] for row in rows_of(line)] == [1, 2, 10, 100]
    assert line["encoding"]["x"]["axis"]["values"] == [1, 2, 10, 100]


def test_two_decades_of_latency_are_linear_from_zero():
    y = line_of(spectrum_chart(spectrum("label", "ab", top_ms=900), ["label"]))["encoding"]["y"]
    assert "type" not in y["scale"]
    assert y["scale"]["zero"] is True


def test_more_than_two_decades_are_logarithmic_with_round_labels():
    y = line_of(spectrum_chart(spectrum("label", "ab", top_ms=4_000), ["label"]))["encoding"]["y"]
    assert (y["scale"]["type"], y["scale"]["domain"]) == ("log", pytest.approx([10, 4_000]))
    assert y["axis"]["values"] == [10, 20, 50, 100, 200, 500, 1_000, 2_000]


def test_a_log_axis_has_round_labels_where_powers_of_ten_are_too_few():
    axis = log_latency_axis(5.0, 700.0, title=None, most_ticks=6)
    assert axis["values"] == [10, 30, 100, 300]


def test_three_hundred_decades_have_few_labels():
    axis = log_latency_axis(1e-310, 1e5, title=None, most_ticks=10)
    assert len(axis["values"]) <= 24


def test_twelve_decades_are_labelled_by_the_decade():
    chart = valid(spectrum_chart(spectrum("label", "ab", low_ms=1e-4, top_ms=1e8), ["label"]))
    assert line_of(chart)["encoding"]["y"]["axis"]["values"][:3] == [1e-4, 1e-3, 1e-2]
    assert "100,000,000" in Picture(chart).svg


@pytest.mark.parametrize("points", [120, 121, 5_000])
def test_a_line_has_120_points_at_most_and_keeps_its_ends(points):
    fine = spectrum("label", "ab", quantiles=list(1 - 1 / np.geomspace(1, 1e5, points)))
    spec = valid(spectrum_chart(fine, ["label"]))
    rows = [row for row in rows_of(mark_of(spec, "line")) if row["series"] == "b"]
    assert 100 <= len(rows) <= 120
    assert (rows[0]["rarity"], rows[-1]["rarity"]) == (1, 100_000)
    assert rows[-1]["latency_ms"] == pytest.approx(90)


def test_no_key_is_a_single_line_without_a_legend():
    chart = valid(spectrum_chart(spectrum("label", ["a"]).drop("label"), []))
    assert line_of(chart)["encoding"]["color"]["legend"] is None
    assert num_rows(chart) == len(QUANTILES)


def test_columns_of_a_key_are_joined_and_a_missing_one_is_named():
    both = spectrum("label", ["a", None]).with_columns(clients=pl.lit(2))
    colour = line_of(spectrum_chart(both, ["label", "clients"]))["encoding"]["color"]
    assert colour["legend"]["title"] == "label · clients"
    assert colour["scale"]["domain"] == ["a · 2", "(none) · 2"]


def test_many_groups_get_panels_on_the_same_scales_and_say_how_many_are_shown():
    spec = valid(spectrum_chart(spectrum("label", list(range(30))), ["label"]))
    assert spec["columns"] == 3
    assert spec["facet"]["sort"] == [str(number) for number in range(6, 30)]
    assert "scale" not in spec["resolve"]
    assert spec["title"]["subtitle"] == [
        "Latency (ms) over the percentile by label; all panels have the same scales.",
        "Shown: the 24 of 30 groups with the highest p99.",
    ]
    assert num_rows(spec) == 24 * len(QUANTILES)


def test_groups_without_a_latency_are_counted():
    some = spectrum("label", "abc").with_columns(
        pl.when(pl.col("label") == "a").then(None).otherwise("latency_ms").alias("latency_ms")
    )
    spec = valid(spectrum_chart(some, ["label"]))
    assert mark_of(spec, "line")["encoding"]["color"]["scale"]["domain"] == ["b", "c"]
    assert spec["title"]["subtitle"] == ["Not drawn: 1 group without a successful invocation."]


def test_an_empty_spectrum_says_so():
    spec = valid(spectrum_chart(spectrum("label", "ab").clear(), ["label"]))
    assert "No latency" in rows_of(mark_of(spec, "text"))[0]["message"]
    assert spec["title"]["text"] == "Latency by percentile (ms)"


@pytest.mark.parametrize("groups", [1, 12, 22])
def test_hostile_keys_render(groups):
    names = ["</script> & \x00 {datum}", *map(str, range(groups - 1))]
    svg = Picture(spectrum_chart(spectrum("<key>", names, top_ms=5_000), ["<key>"])).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "</script" not in svg


@pytest.mark.parametrize("groups", [1, 22])
def test_a_group_of_a_single_latency_is_a_dot(groups):
    single = spectrum("label", list(range(groups)), quantiles=[0.0])
    line = spectrum("label", [99])
    chart = valid(spectrum_chart(pl.concat([single, line], how="vertical_relaxed"), ["label"]))
    assert mark_of(chart, "circle")["transform"][-1] == {"filter": "datum.points == 1"}
    assert num_dots(Picture(chart).svg) == groups
    assert num_dots(Picture(spectrum_chart(line, ["label"])).svg) == 0


def num_dots(svg: str) -> int:
    marks = [node for node in ET.fromstring(svg).iter() if "mark-symbol role-mark" in node.get("class", "")]
    return sum(map(len, marks))
