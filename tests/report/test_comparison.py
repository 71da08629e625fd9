import polars as pl
import pytest

from loadlens.comparison import Comparison, compare
from loadlens.report import Callout, Report
from loadlens.report.comparison import change_text, comparison_report, figure_text, verdict_sentence
from tests.comparison.runs import run
from tests.report.pages import HOSTILE, SVG, page_of, tables_of


def compared(**factors: float) -> Comparison:
    base = run({**dict.fromkeys(factors, 1), "old": 1}, calls=8_000)
    return compare(base, run(factors, calls=8_000, seed=1), ["label"], base_name="v1", candidate_name="v2")


def report(comparison: Comparison) -> Report:
    figures = {"latency_density": SVG, "latency_spectrum": SVG}
    return comparison_report(comparison=comparison, version="1.2.3", figures=figures)


def callouts_of(found: Report) -> list[str]:
    return [block.text for part in found.sections for block in part.blocks if isinstance(block, Callout)]


def test_sections():
    found = report(compared(a=1, slow=1.3))
    anchors = [section.anchor for section in found.sections]
    assert anchors == ["at-a-glance", "verdicts", "metrics", "latency", "one-run", "how-to-read"]
    page = page_of(found)
    assert len(page.named("svg")) == 2
    assert "v2 against v1" in page.text


def test_the_result_names_what_is_worse_and_why():
    found = report(compared(a=1, slow=1.3))
    assert callouts_of(found)[0].startswith("Of 2 keys: 1 worse, 1 ")
    assert "Worse: slow (mean, p50, p90, p95, p99)." in callouts_of(found)[0]
    cards = {card.label: card.value for card in found.cards}
    assert list(cards) == ["Worse", "Better", "Too little data", "No difference"]
    assert cards["Worse"] == "1"


def test_the_gravest_verdicts_come_first():
    found = tables_of(report(compared(a=1, slow=1.3)))
    verdicts = next(table for table in found if table.caption == "Verdict of each key")
    assert verdicts.frame["label"][0] == "slow"
    metrics = next(table for table in found if table.caption == "Metrics of each key")
    assert metrics.frame["label"].to_list() == ["slow"] * 7 + ["a"] * 7


def test_keys_in_one_run_only_are_listed():
    table = tables_of(report(compared(a=1)))[-1]
    assert table.caption == "Only in the base: v1"
    assert table.frame.rows() == [("old", 8_000)]


def test_a_hostile_key_is_inert_and_shown():
    base = run({HOSTILE: 1}, calls=5_000)
    page = page_of(report(compare(base, run({HOSTILE: 2}, calls=5_000), ["label"])))
    assert page.named("img") == []
    assert HOSTILE in page.cells


def test_without_a_key_the_logs_are_one_row():
    base = run({"a": 1}, calls=500, errors=0)
    found = report(compare(base, base.with_columns(pl.col("invocation_latency") * 2), []))
    assert "Grouped by" in page_of(found).cells
    assert callouts_of(found)[0] == "Of 1 key: 1 worse."


def test_warnings_are_shown():
    comparison = compared(a=1)
    changed = type(comparison)(**{**vars(comparison), "warnings": ("v1: 3 rows were rejected",)})
    assert "V1: 3 rows were rejected." in callouts_of(report(changed))
    assert verdict_sentence(changed).startswith("Of 1 key: 1 ")


@pytest.mark.parametrize(
    ("metric", "change", "base", "text"),
    [
        ("p99", 12.0, 100.0, "+12.0%"),
        ("p99", -0.5, 100.0, "-0.5%"),
        ("error_rate", 0.0123, 0.01, "+1.23 pp"),
        ("error_rate", 0.01, 0.0, "+1.00 pp"),
        ("mean", 1.0, 0.0, "–"),
        ("mean", None, 1.0, "–"),
        ("mean", 1.0, None, "–"),
    ],
)
def test_changes_read_as_shares_of_the_base(metric, change, base, text):
    assert change_text(metric, change, base) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("p99", 123.44, "123.4"),
        ("error_rate", 0.0123, "1.23%"),
        ("throughput", 50.0, "50.0"),
        ("mean", None, "–"),
    ],
)
def test_figures_read_as_in_other_reports(metric, value, text):
    assert figure_text(metric, value) == text
