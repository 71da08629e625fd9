from dataclasses import replace

import polars as pl
import pytest

from loadlens import Comparison, compare
from loadlens.report import Callout, Heading, Report, Table
from loadlens.report.columns import key_text
from loadlens.report.comparison_report import (
    change_text,
    comparison_card,
    comparison_report,
    comparison_section,
    figure_text,
    verdict_sentence,
)
from tests.comparison.runs import run
from tests.report.pages import CHART, HOSTILE, page_of, tables_of


def compared(**factors: float) -> Comparison:
    base = run({**dict.fromkeys(factors, 1), "old": 1}, calls=8_000)
    return compare(base, run(factors, calls=8_000, seed=1), ["label"], base_name="v1", candidate_name="v2")


def report(comparison: Comparison) -> Report:
    figures = {"latency_density": CHART, "latency_spectrum": CHART}
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
    comparison = replace(compared(a=1), remarks=("lambda-x86: prices are from memory",))
    comparison.base.findings.rejected = 3
    callouts = callouts_of(report(comparison))
    assert "Base: 3 rows were rejected." in callouts
    assert "Lambda-x86: prices are from memory." in callouts
    assert verdict_sentence(comparison).startswith("Of 1 key: 1 ")


def test_figures_that_may_be_off_are_said_to_be():
    base = run({"a": 1}, calls=500)
    page = page_of(report(compare(base, base, ["label"], exact=False)))
    assert "Base: percentiles were read from a profile and are off by at most 0.2%" in page.text
    assert "Candidate: percentiles were read" in page.text


def priced(memory_size: int, seed: int = 0) -> pl.DataFrame:
    log = run({"a": 1, "slow": 1 + seed}, calls=8_000, seed=seed)
    return log.with_columns(memory_size=pl.lit(memory_size))


def cost_table(comparison: Comparison) -> Table:
    found = tables_of(report(comparison))
    return next(table for table in found if table.caption == "Cost of each key")


def test_costs_of_both_runs():
    comparison = compare(priced(1024), priced(2048, seed=1), ["label"], prices="sagemaker-serverless")
    table = cost_table(comparison)
    slow = comparison.costs.row(1, named=True)
    assert table.frame.row(0, named=True) == {
        "label": "slow",
        "Memory (MB)": "1,024 → 2,048",
        "Base per 1M calls (USD)": f"{slow['base']:.2f}",
        "Candidate per 1M calls (USD)": f"{slow['candidate']:.2f}",
        "Difference (USD)": f"{slow['difference']:.2f}",
        "Change": f"{slow['ratio'] - 1:+.1%}",
    }
    page = page_of(report(comparison))
    assert "by its mean latency," in page.text
    assert "It has no interval, and no verdict depends on it." in page.text
    assert "sagemaker-serverless" in page.cells


def test_several_tables_of_prices_are_told_apart_and_memory_is_not_said_twice():
    names = ["sagemaker-serverless", "lambda-arm"]
    table = cost_table(compare(priced(1024), priced(1024), ["label", "memory_size"], prices=names))
    assert table.frame["Price table"].to_list() == names * 2
    assert table.frame.columns[:3] == ["label", "memory_size", "Price table"]
    assert table.num_keys == 2


def test_what_is_priced_is_told_of_each_key_where_it_differs():
    base = priced(1024)
    billed = base.with_columns(billed_duration=pl.when(pl.col("label") == "a").then(pl.lit(30.0)))
    table = cost_table(compare(base, billed, ["label"], prices="lambda-x86"))
    told = dict(table.frame.select("label", "Priced by").iter_rows())
    assert told == {"a": "mean latency → billed duration", "slow": "mean latency"}


def test_a_key_without_a_success_costs_nothing_that_is_known():
    base = priced(1024)
    broken = base.with_columns(invocation_latency=pl.lit(-1.0))
    row = cost_table(compare(base, broken, ["label"], prices="lambda-x86")).frame.row(0, named=True)
    assert row["Candidate per 1M calls (USD)"] == row["Difference (USD)"] == row["Change"] == "–"


def test_without_prices_nothing_is_said_of_costs():
    page = page_of(report(compared(a=1)))
    assert "ost" not in page.text.replace("most", "")


def test_as_a_section_of_another_report():
    comparison = compared(a=1, slow=1.3)
    section = comparison_section(comparison, {"latency_density": CHART, "latency_spectrum": CHART})
    assert section.anchor == "comparison"
    headings = [block.text for block in section.blocks if isinstance(block, Heading)]
    assert headings[:2] == ["Verdicts", "Metrics"]
    page = page_of(Report(title="A report", subtitle="of v2", sections=(section,)))
    assert len(page.named("svg")) == 2
    card = comparison_card(comparison)
    assert (card.value, card.detail) == ("1", "of 2 keys, against v1")


def test_keys_of_numbers_say_what_they_are():
    assert key_text(("label", "memory_size", "cold_start"), ("/a", 2048, None)) == "/a · Memory 2,048 MB · –"


@pytest.mark.parametrize(
    ("metric", "change", "base", "text"),
    [
        ("p99", 12.0, 100.0, "+12.0%"),
        ("p99", -0.5, 100.0, "-0.5%"),
        ("p99", -0.01, 100.0, "0.0%"),
        ("p99", 0.0, 100.0, "0.0%"),
        ("error_rate", -0.00001, 0.01, "0.00 pp"),
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
