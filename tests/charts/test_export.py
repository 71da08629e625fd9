"""PNG and SVG: they render, parse, escape and stay the same."""

import struct
import xml.etree.ElementTree as ET

import altair as alt
import polars as pl
import pytest
import vl_convert

from loadlens.charts import (
    concurrency_density_chart,
    cost_chart,
    save_chart,
    stability_density_chart,
    summary_density_chart,
    svg_text,
)
from loadlens.charts.drawing import _VERSION, FONT
from loadlens.errors import UsageError
from tests.charts.curves import curves, curves_of, histogram

HOSTILE = [
    "</script><script>alert(1)</script>",
    "a & b < c > d \"e\" 'f'",
    "]]><!-- x -->",
    "bell\x07 null\x00 vertical\x0b \ufffe",
    "tab\tand\nline",
    "datum.x + {signal} \\u003c",
]


@pytest.fixture
def chart() -> alt.LayerChart:
    return stability_density_chart(curves_of("memory_size", [1024, 2048]))


def test_png_has_two_pixels_for_each_point(chart, tmp_path):
    save_chart(chart, tmp_path / "chart.png")
    content = (tmp_path / "chart.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    drawn = ET.fromstring(svg_text(chart))
    assert width == pytest.approx(2 * float(drawn.attrib["width"]), abs=2)
    assert height == pytest.approx(2 * float(drawn.attrib["height"]), abs=2)


def test_saved_svg_is_the_svg_text(chart, tmp_path):
    save_chart(chart, str(tmp_path / "chart.SVG"))
    text = (tmp_path / "chart.SVG").read_bytes().decode("utf-8")
    assert text == svg_text(chart)
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", ["chart.jpeg", "chart"])
def test_other_suffixes_are_refused(chart, tmp_path, name):
    with pytest.raises(UsageError, match=r"saved as \.png or \.svg"):
        save_chart(chart, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_same_chart_gives_the_same_svg(chart):
    again = stability_density_chart(curves_of("memory_size", [1024, 2048]))
    assert svg_text(chart) == svg_text(again)


def test_last_digits_do_not_show():
    exact = curves_of("memory_size", [1024])
    nudged = exact.with_columns(pl.col("density") * (1 + 1e-14), pl.col("latency_ms") * (1 - 1e-14))
    assert svg_text(stability_density_chart(exact)) == svg_text(stability_density_chart(nudged))


def test_svgs_can_share_a_page(chart):
    # Ids would collide where several charts stand inline in one page.
    assert " id=" not in svg_text(chart)
    assert "url(" not in svg_text(chart)


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_are_escaped(label):
    column = "</script> & <key>[0].x"
    groups = [histogram({column: value}) for value in (label, "plain")]
    svg = svg_text(summary_density_chart(curves(groups, (column,)), (column,)))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "<script" not in svg
    assert "</script" not in svg


def test_hostile_labels_are_escaped_in_small_panels():
    groups = [histogram({"label": label}, centre=2 * 100**rank) for rank, label in enumerate(HOSTILE[:3])]
    svg = svg_text(summary_density_chart(curves(groups, ("label",)), ("label",)))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "</script" not in svg


def test_hostile_currency_is_escaped():
    table = pl.DataFrame({"memory_size": [1024], "cost_per_1M_invocations": [1.0], "average_latency": [2.0]})
    svg = svg_text(cost_chart(table, "<b>&\x00"))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "<b>" not in svg


def test_text_is_drawn_in_the_font_of_the_house(chart):
    fonts = {
        node.attrib["font-family"]
        for node in ET.fromstring(svg_text(chart)).iter()
        if "font-family" in node.attrib
    }
    assert fonts == {FONT}


@pytest.mark.slow
def test_more_points_than_altair_takes_in_a_frame():
    groups = [
        histogram({"max_concurrency": limit, "num_clients": clients})
        for limit in (1, 2)
        for clients in range(1, 19)
    ]
    chart = concurrency_density_chart(curves(groups, ("num_clients",), ("max_concurrency",)))
    assert len(svg_text(chart)) > 0


def test_a_spec_is_rendered_by_the_version_it_was_written_for(chart):
    assert _VERSION in vl_convert.get_vegalite_versions()
    assert f"/v{_VERSION}." in chart.to_dict()["$schema"]


def test_charts_leave_altairs_theme_alone(chart):
    before = (alt.theme.active, alt.data_transformers.active)
    svg_text(chart)
    assert (alt.theme.active, alt.data_transformers.active) == before
