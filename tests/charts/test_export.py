"""PNG and SVG: they render, parse, escape and stay the same."""

import pickle
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET

import altair as alt
import polars as pl
import pytest
import vl_convert

from loadlens.charts import (
    Picture,
    altair_chart,
    concurrency_density_chart,
    cost_chart,
    stability_density_chart,
    summary_density_chart,
)
from loadlens.charts.drawing import FONT, VEGA_LITE, Spec
from loadlens.errors import UsageError
from tests.charts.curves import curves, curves_of, histogram

HOSTILE = [
    "</script><script>alert(1)</script>",
    "a & b < c > d \"e\" 'f'",
    "]]><!-- x -->",
    "bell\x07 null\x00 vertical\x0b \ufffe",
    "tab\tand\nline",
    "datum.x + {signal} \\u003c",
    "constructor",
    "toString",
    "__proto__",
]


@pytest.fixture
def chart() -> Spec:
    return stability_density_chart(curves_of("memory_size", [1024, 2048]))


def test_png_has_two_pixels_for_each_point(chart, tmp_path):
    Picture(chart).save(tmp_path / "chart.png")
    content = (tmp_path / "chart.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    drawn = ET.fromstring(Picture(chart).svg)
    assert width == pytest.approx(2 * float(drawn.attrib["width"]), abs=2)
    assert height == pytest.approx(2 * float(drawn.attrib["height"]), abs=2)


def test_saved_svg_is_the_svg_text(chart, tmp_path):
    Picture(chart).save(str(tmp_path / "chart.SVG"))
    text = (tmp_path / "chart.SVG").read_bytes().decode("utf-8")
    assert text == Picture(chart).svg
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", ["chart.jpeg", "chart"])
def test_other_suffixes_are_refused(chart, tmp_path, name):
    with pytest.raises(UsageError, match=r"saved as \.png or \.svg"):
        Picture(chart).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_same_chart_gives_the_same_svg(chart):
    again = stability_density_chart(curves_of("memory_size", [1024, 2048]))
    assert Picture(chart).svg == Picture(again).svg


def test_a_gradient_does_not_tell_what_was_drawn_before():
    shades = {"a": "viridis", "b": "magma"}
    first = {scheme: Picture(shaded(label, scheme)).svg for label, scheme in shades.items()}
    again = {scheme: Picture(shaded(label, scheme)).svg for label, scheme in reversed(shades.items())}
    assert first == again
    names = {re.search(r'<linearGradient id="(\w+)"', svg)[1]: svg for svg in first.values()}
    assert len(names) == len(shades), "both can stand in one page"
    assert all(f"url(#{name})" in svg for name, svg in names.items())


def test_a_label_that_reads_as_a_gradient_stays():
    assert "url(#gradient_0)</text>" in Picture(shaded("url(#gradient_0)", "viridis")).svg


def shaded(label: str, scheme: str) -> Spec:
    rows = [{"label": label, "value": value} for value in (1, 2)]
    return {
        "data": {"values": rows},
        "mark": "rect",
        "encoding": {
            "x": {"field": "label", "type": "nominal"},
            "color": {"field": "value", "type": "quantitative", "scale": {"scheme": scheme}},
        },
    }


def test_last_digits_do_not_show():
    exact = curves_of("memory_size", [1024])
    nudged = exact.with_columns(pl.col("density") * (1 + 1e-14), pl.col("latency_ms") * (1 - 1e-14))
    assert Picture(stability_density_chart(exact)).svg == Picture(stability_density_chart(nudged)).svg


def test_svgs_can_share_a_page(chart):
    # Ids would collide where several charts stand inline in one page.
    assert " id=" not in Picture(chart).svg
    assert "url(" not in Picture(chart).svg


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_are_escaped(label):
    column = "</script> & <key>[0].x"
    groups = [histogram({column: value}) for value in (label, "plain")]
    svg = Picture(summary_density_chart(curves(groups, (column,)), (column,))).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "<script" not in svg
    assert "</script" not in svg


@pytest.mark.parametrize("name", HOSTILE)
def test_key_columns_may_have_any_name(name):
    groups = [histogram({name: value}) for value in ("one", "two")]
    svg = Picture(summary_density_chart(curves(groups, (name,)), (name,))).svg
    assert ET.fromstring(svg).tag.endswith("svg")


def test_drawing_is_silent():
    # A curve of a single point is a line without length, which the converter would remark on.
    code = (
        "import polars as pl; from loadlens.charts import Picture, spectrum_chart;"
        "rows = {'label': [*'abcdefg'] * 2, 'quantile': [0.5, 0.5] * 7, 'latency_ms': [5.0] * 14};"
        "print(len(Picture(spectrum_chart(pl.DataFrame(rows), ['label'])).png))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 0
    assert told.stderr == ""


def test_hostile_labels_are_escaped_in_small_panels():
    groups = [histogram({"label": label}, centre=2 * 100**rank) for rank, label in enumerate(HOSTILE[:3])]
    svg = Picture(summary_density_chart(curves(groups, ("label",)), ("label",))).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "</script" not in svg


def test_hostile_currency_is_escaped():
    table = pl.DataFrame({"memory_size": [1024], "cost_per_1M_invocations": [1.0], "average_latency": [2.0]})
    svg = Picture(cost_chart(table, "<b>&\x00")).svg
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "<b>" not in svg


def test_text_is_drawn_in_the_font_of_the_house(chart):
    fonts = {
        node.attrib["font-family"]
        for node in ET.fromstring(Picture(chart).svg).iter()
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
    assert len(Picture(chart).svg) > 0


def test_charts_name_the_version_of_vega_lite_that_altair_and_the_converter_have(chart):
    assert chart["$schema"] == alt.SCHEMA_URL
    assert VEGA_LITE.rpartition(".")[0] in vl_convert.get_vegalite_versions()


def test_an_altair_chart_is_the_same_document(chart, tmp_path):
    shown = altair_chart(chart)
    assert isinstance(shown, alt.LayerChart)
    assert Picture(shown.to_dict(validate=True)).svg == Picture(chart).svg
    shown.save(tmp_path / "chart.html")
    assert "vega-embed" in (tmp_path / "chart.html").read_text(encoding="utf-8")


def test_charts_leave_altairs_theme_alone(chart):
    before = (alt.theme.active, alt.data_transformers.active)
    altair_chart(chart).to_dict()
    assert (alt.theme.active, alt.data_transformers.active) == before


def test_a_picture_is_drawn_again_where_it_is_sent(chart):
    picture = Picture(chart)
    assert pickle.loads(pickle.dumps(picture)).svg == picture.svg


def test_a_copy_of_a_picture_is_drawn_where_it_is_looked_at(chart):
    code = "import pickle, sys, threading; pickle.load(sys.stdin.buffer); print(threading.active_count())"
    sent = pickle.dumps(Picture(chart))
    told = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert int(told.stdout) == 1


def test_many_pictures_are_drawn_at_once(tmp_path):
    charts = [stability_density_chart(curves_of("memory_size", [1024 + n])) for n in range(4)]
    drawn = [Picture(chart) for chart in charts]
    for picture in drawn:
        picture.begin(["png"])
    for number, picture in enumerate(drawn):
        picture.save(tmp_path / f"{number}.png")
        assert str(1024 + number) in picture.svg
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == len(charts)
