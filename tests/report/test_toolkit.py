from dataclasses import replace

import polars as pl
import pytest

import loadlens
from loadlens.report import Callout, Figure, Notes, Report, toolkit_report
from loadlens.report.toolkit_report import break_even_sentence, recommendation_sentence
from tests.report.pages import (
    CHART,
    HOSTILE,
    OPTIONS,
    concurrency,
    cost_of,
    page_of,
    stability,
    tables_of,
)
from tests.sample_logs import small_log

NO_COST = "The stability benchmark has no endpoint metrics (endpoint_metrics.csv)."
FIGURES = dict.fromkeys(
    ("stability_latency_density", "concurrency_latency_density", "cost_vs_performance", "cost_savings"),
    CHART,
)


def report(**parts: object) -> Report:
    given = {
        "source": "results",
        "version": "1.2.3",
        "options": OPTIONS,
        "stability": None,
        "concurrency": None,
        "cost": None,
        "no_cost_reason": None,
        "figures": {},
    }
    return toolkit_report(**given | parts)  # type: ignore[arg-type]


def whole() -> Report:
    cost = cost_of(43.5, 29.5, 21.3, 18.7, 17.8, 20.5)
    return report(stability=stability(), concurrency=concurrency(), cost=cost, figures=FIGURES)


def titles(found: Report) -> list[str]:
    return [section.title for section in found.sections]


def texts(found: Report, anchor: str) -> list[str]:
    (section,) = (section for section in found.sections if section.anchor == anchor)
    return [block.text for block in section.blocks if isinstance(block, Callout)]


def test_the_whole_report():
    found = whole()
    assert titles(found) == [
        "At a glance",
        "Benchmark configuration",
        "Stability",
        "Concurrency",
        "Failures: stability benchmark",
        "Failures: concurrency benchmark",
        "Cost",
        "Data quality",
        "How to read this",
    ]
    page = page_of(found)
    assert len(page.named("svg")) == 4
    assert len({section["id"] for section in page.named("section")}) == len(found.sections)
    assert "1.2.3" in page.text
    assert "us-east-1" in page.text


def test_only_stability():
    found = report(
        stability=stability(), no_cost_reason=NO_COST, figures={"stability_latency_density": CHART}
    )
    assert "Concurrency" not in titles(found)
    assert len(page_of(found).named("svg")) == 1


def test_only_concurrency():
    found = report(concurrency=concurrency(), no_cost_reason=NO_COST)
    assert "Stability" not in titles(found)
    assert page_of(found).named("svg") == []


def test_no_cost_has_a_reason():
    found = report(stability=stability(), no_cost_reason=NO_COST)
    assert texts(found, "cost") == [NO_COST]
    assert NO_COST in texts(found, "at-a-glance")[0]


def test_a_hostile_reason_and_source_are_inert():
    page = page_of(report(stability=stability(), no_cost_reason=HOSTILE, source=HOSTILE))
    page.assert_inert()


def test_the_recommendation_is_one_sentence_with_its_numbers():
    sentence = recommendation_sentence(cost_of(43.5, 29.5, 21.3, 18.7, 17.8, 20.5))
    assert sentence == (
        "5,120 MB has the lowest latency times cost once larger sizes are discounted: 17.8 ms at $1.78 per "
        "1M invocations, the fastest of the 6 sizes, against 43.5 ms at $0.87 per 1M invocations for the "
        "cheapest (1,024 MB)."
    )


@pytest.mark.parametrize(
    ("latencies", "comparison"),
    [
        ((20.0,), "the only size with all figures"),
        ((20.0, 30.0), "both the fastest and the cheapest of the 2 sizes"),
        (
            (20.0, 19.0),
            "the cheapest of the 2 sizes, against 19.0 ms at $0.76 per 1M invocations for the fastest",
        ),
        ((100.0, 40.0, 39.9), "the cheapest of the 3 sizes, against 39.9 ms"),
        (
            (100.0, 51.0, 45.0),
            "against 100.0 ms at $2.00 per 1M invocations for the cheapest (1,024 MB) and 45.0 ms at $2.70",
        ),
    ],
)
def test_the_recommendation_compares(latencies, comparison):
    sentence = recommendation_sentence(cost_of(*latencies))
    assert comparison in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence


def test_the_break_even_names_volume_and_instance():
    cost = cost_of(43.5, 29.5, 21.3, 18.7, 17.8, 20.5)
    assert break_even_sentence(cost) == (
        f"Up to {int(cost.break_even_invocations):,} invocations a month, serverless at 5,120 MB costs "
        "less than the comparable instance, ml.c5.large at $73.44 a month."
    )


@pytest.mark.parametrize("volume", [float("inf"), 0.0])
def test_no_break_even(volume):
    cost = replace(cost_of(20.0), break_even_invocations=volume, savings=cost_of(20.0).savings.clear())
    assert "never cheaper" in break_even_sentence(cost)
    page_of(report(stability=stability(), cost=cost))


def test_long_savings_are_thinned_out():
    cost = cost_of(20.0, 10.0)
    (table,) = (table for table in tables_of(report(cost=cost)) if table.caption.startswith("Savings"))
    assert table.frame.height == 12
    assert table.frame.row(0) == cost.savings.row(0)
    assert table.frame.row(-1) == cost.savings.row(-1)
    assert f"12 of {cost.savings.height} rows" in table.note


def test_quality_has_totals_of_counts_alone():
    quality = concurrency().quality
    tables = tables_of(report(concurrency=concurrency()))
    (table,) = (
        table for table in tables if "num_rows" in table.totals and "outlier_fence" in table.frame.columns
    )
    assert table.totals["num_rows"] == quality["num_rows"].sum() == small_log().height
    assert table.totals["outliers_removed"] == quality["outliers_removed"].sum()
    assert "outlier_fence" not in table.totals
    assert "memory_size" not in table.totals


def test_nothing_measured_is_an_en_dash():
    failed = small_log().with_columns(invocation_latency=pl.lit(-1.0))
    page = page_of(report(concurrency=loadlens.summarize_concurrency_results(failed)))
    assert "–" in page.cells


def test_every_figure_of_the_summaries_is_shown():
    shown = {name for table in tables_of(whole()) for name in table.frame.columns}
    assert set(stability().summary.columns) | set(concurrency().summary.columns) <= shown


@pytest.mark.parametrize(
    ("fence", "formula"), [("mean-iqr", "mean + 5 × IQR"), ("tukey", "q75 + 1.5 × IQR"), ("none", "No fence")]
)
def test_the_fence_is_explained_as_used(fence, formula):
    found = report(stability=stability(), options={"Outlier fence": fence})
    (notes,) = (block for block in found.sections[-1].blocks if isinstance(block, Notes))
    assert formula in notes.items["Fence"]


def test_captions_say_what_a_chart_shows():
    captions = [
        block.caption for section in whole().sections for block in section.blocks if isinstance(block, Figure)
    ]
    assert len(set(captions)) == 4
