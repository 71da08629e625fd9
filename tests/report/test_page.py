import re

import polars as pl
import pytest

from loadlens.report import Callout, Card, Figure, Notes, Report, Section, Table, render
from tests.report.pages import CHART, HOSTILE, SVG, Drawing, page_of, report_of


def test_all_text_is_inert():
    hostile = pl.DataFrame({HOSTILE: [HOSTILE], "other": [1]})
    blocks = (
        Table(caption=HOSTILE, frame=hostile, note=HOSTILE, totals={"other": HOSTILE}),
        Figure(caption=f'" onload="alert(1){HOSTILE}', picture=CHART),
        Callout(text=HOSTILE),
        Notes(items={HOSTILE: HOSTILE}),
    )
    section = Section(title=HOSTILE, anchor='"><script>', lead=HOSTILE, blocks=blocks)
    card = Card(label=HOSTILE, value=HOSTILE, detail=HOSTILE)
    page = page_of(
        Report(title=HOSTILE, subtitle=HOSTILE, cards=(card,), sections=(section,), footer=HOSTILE)
    )
    page.assert_inert()
    assert HOSTILE in page.cells


def test_a_page_needs_nothing_else():
    page = page_of(report_of(Figure(caption="Chart", picture=CHART), Callout(text="x")))
    page.assert_inert()
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page.text).replace("http://www.w3.org/2000/svg", "")
    assert "://" not in without_names
    assert "@import" not in page.text
    assert "url(" not in page.text


def test_head_and_links():
    page = page_of(report_of(Callout(text="x"), title="A & B"))
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.named("html") == [{"lang": "en"}]
    assert "<title>A &amp; B: log.csv</title>" in page.text
    anchors = {attributes.get("id") for attributes in page.named("section")}
    assert {attributes["href"] for attributes in page.named("a")} == {f"#{anchor}" for anchor in anchors}


def test_a_table_has_caption_scopes_and_formats():
    frame = pl.DataFrame({"label": ["a", None], "num_rows": [1234, 5], "error_rate": [None, 0.5]})
    table = Table(caption="Rows", frame=frame, totals={"num_rows": 1239})
    page = page_of(report_of(table))
    body = ["a", "1,234", "–", "–", "5", "50.00%"]
    assert page.cells == ["Label", "Rows read", "Error rate", *body, "Total", "1,239", ""]
    assert "<caption>Rows</caption>" in page.text
    assert [cell.get("scope") for cell in page.named("th")] == ["col"] * 3 + ["row"] * 3
    assert [cell.get("class") for cell in page.named("th")] == [None, "number", "number", None, None, None]


def test_a_table_without_keys_or_rows():
    page = page_of(report_of(Table(caption="Empty", frame=pl.DataFrame({"num_rows": []}), num_keys=0)))
    assert page.cells == ["Rows read"]


def test_a_table_of_another_currency():
    frame = pl.DataFrame({"memory_size": [1024], "cost_per_1M_invocations": [0.5]})
    page = page_of(report_of(Table(caption="Cost", frame=frame, currency="EUR")))
    assert page.cells == ["Memory (MB)", "Cost per 1M invocations (EUR)", "1,024", "0.50"]


@pytest.mark.parametrize("svg", [SVG, SVG.replace(' viewBox="0 0 80 20"', "")])
def test_a_figure_is_inline_and_scales(svg):
    page = page_of(report_of(Figure(caption='Latency "by" size', picture=Drawing(svg))))
    (root,) = page.named("svg")
    assert root["role"] == "img"
    assert root["aria-label"] == 'Latency "by" size'
    assert root["viewbox"] == "0 0 80 20"
    assert "style" not in root
    assert "width" not in root
    assert "height" not in root
    assert "<?xml" not in page.text


def test_a_figure_without_svg_is_a_mistake():
    with pytest.raises(ValueError, match="no SVG element"):
        render(report_of(Figure(caption="Chart", picture=Drawing("<p>"))))


def test_cards_stand_in_the_first_section():
    first, second = (Section(title=name, anchor=name) for name in ("one", "two"))
    card = Card(label="Calls", value="1,800")
    text = render(Report(title="T", subtitle="S", cards=(card,), sections=(first, second)))
    assert text.index('id="one"') < text.index("1,800") < text.index('id="two"')
    assert text.count("1,800") == 1
