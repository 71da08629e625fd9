"""Reports as Markdown."""

import polars as pl
import pytest

from loadlens.report import Callout, Card, Figure, Report, Section, Table, render_markdown
from tests.report.pages import Drawing


def report(*blocks: object, cards: tuple[Card, ...] = (), anchor: str = "summary") -> Report:
    section = Section(title="Summary", anchor=anchor, blocks=blocks)  # type: ignore[arg-type]
    return Report(title="Load test", subtitle="run.csv", cards=cards, sections=(section,), footer="The end.")


def table(rows: int = 3, caption: str = "Latency") -> Table:
    frame = pl.DataFrame({"label": [f"/{n}" for n in range(rows)], "num_invocations": range(rows)})
    return Table(caption=caption, frame=frame)


def test_the_verdict_comes_first_then_figures_then_tables() -> None:
    cards = (Card(label="Calls", value="3", detail="in 1 configuration"),)
    gate = Callout(text="1 of 2 gates failed.", kind="failure")
    lines = render_markdown(report(Callout(text="A remark."), table(), gate, cards=cards)).splitlines()
    assert lines[0] == "### Load test: run.csv"
    assert lines[2] == "- **❌ 1 of 2 gates failed.**"
    assert lines[4:7] == ["| Calls |", "| --- |", "| **3**<br>in 1 configuration |"]
    assert lines[8] == "<details><summary>1 remark on the data</summary>"
    assert lines[14:21] == [
        "<details><summary>Latency</summary>",
        "",
        "| Label | Invocations |",
        "| --- | ---: |",
        "| /0 | 0 |",
        "| /1 | 1 |",
        "| /2 | 2 |",
    ]
    assert lines[-1] == "The end."


@pytest.mark.parametrize("tables", [0, 1, 2, 5, 20])
@pytest.mark.parametrize("remarks", [0, 1, 50])
@pytest.mark.parametrize("rows", [1, 12, 13, 500])
def test_it_has_at_most_60_lines(tables: int, remarks: int, rows: int) -> None:
    blocks = [Callout(text=f"Remark {number}.") for number in range(remarks)]
    verdicts = [Callout(text=f"Gate {number}.", kind="failure") for number in range(remarks)]
    cards = tuple(Card(label="Calls", value="3") for _ in range(20))
    page = report(*blocks, *verdicts, *[table(rows, f"Table {n}") for n in range(tables)], cards=cards)
    text = render_markdown(page)
    assert len(text.splitlines()) <= 60
    assert text.count("<details>") == text.count("</details>") == min(tables, 3) + bool(remarks)


def test_rows_that_are_left_out_are_counted() -> None:
    text = render_markdown(report(table(100)))
    shown = text.count("| /")
    assert 5 < shown < 100
    assert f"{100 - shown} more rows: the report has them" in text


def test_charts_and_the_settings_are_for_the_report() -> None:
    page = report(Figure(caption="A chart", picture=Drawing("<svg/>")), table(), anchor="at-a-glance")
    assert render_markdown(page).splitlines() == ["### Load test: run.csv", "", "The end."]


def test_hostile_text_stays_text() -> None:
    hostile = "<img src=x onerror=alert(1)> | **b** @team #1 `c` [d](http://e)\n# f"
    frame = pl.DataFrame({"label": [hostile], "num_invocations": [1]})
    text = render_markdown(
        report(
            Callout(text=hostile),
            Table(caption=hostile, frame=frame),
            cards=(Card(label=hostile, value=hostile),),
        )
    )
    assert "<img" not in text
    assert "@team" not in text
    assert "[d](" not in text
    assert not [line for line in text.splitlines() if line.startswith("# ")]
