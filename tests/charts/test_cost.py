"""Cost charts: what the spec says, and that value labels keep apart."""

import math
from dataclasses import replace

import polars as pl
import pytest

from loadlens.charts import Picture, cost_chart, savings_chart
from loadlens.charts.drawing import PLACEMENTS, place_labels
from loadlens.cost.break_even import CostAnalysis, cost_analysis
from loadlens.cost.prices import load_prices
from tests.charts.curves import mark_of, marks, num_rows, rows_of

SIZES = [1024, 2048, 3072, 4096, 5120, 6144]


@pytest.fixture
def cost() -> CostAnalysis:
    metrics = pl.DataFrame(
        {
            "memory_size": SIZES,
            "ModelLatency": [38.0, 24.0, 16.0, 13.0, 12.0, 15.0],
            "OverheadLatency": [5.0] * 6,
        }
    )
    return cost_analysis(metrics, average_request_size=500, average_response_size=1000, prices=load_prices())


def costs(sizes: list[int], per_million: list[float | None], latencies: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"memory_size": sizes, "cost_per_1M_invocations": per_million, "average_latency": latencies}
    )


def test_cost_chart_has_two_coloured_axes_with_units(cost):
    spec = cost_chart(cost.metrics_with_cost)
    axes = {part["encoding"]["y"]["field"]: part["encoding"]["y"]["axis"] for part in marks(spec)}
    assert (axes["cost"]["orient"], axes["cost"]["titleColor"]) == ("left", "#e76f51")
    assert (axes["latency_ms"]["orient"], axes["latency_ms"]["titleColor"]) == ("right", "#588157")
    assert axes["cost"]["title"].endswith("Cost per 1M invocations (USD)")
    assert axes["latency_ms"]["title"].endswith("Average latency (ms)")
    assert spec["resolve"]["scale"] == {"y": "independent"}


def test_cost_chart_has_a_square_and_a_label_at_each_size(cost):
    spec = cost_chart(cost.metrics_with_cost)
    squares = [part for part in marks(spec) if part["mark"]["type"] == "square"]
    assert {part["mark"]["stroke"] for part in squares} == {"#e76f51", "#588157"}
    labels = {row["label"] for part in squares for row in rows_of(part)}
    table = cost.metrics_with_cost
    assert {f"${value:.2f}" for value in table["cost_per_1M_invocations"]} <= labels
    assert {f"{value:.2f}" for value in table["average_latency"]} <= labels
    assert squares[0]["encoding"]["x"]["sort"] == [str(size) for size in SIZES]


def test_cost_axes_begin_at_zero(cost):
    spec = cost_chart(cost.metrics_with_cost)
    assert all(part["encoding"]["y"]["scale"]["domain"][0] == 0 for part in marks(spec))


@pytest.mark.parametrize(("currency", "label"), [("EUR", "€1,234.50"), ("CHF", "CHF 1,234.50")])
def test_cost_chart_in_another_currency(currency, label):
    svg = Picture(cost_chart(costs([1024], [1234.5], [10.0]), currency)).svg
    assert label in svg
    assert f"({currency})" in svg


def test_cost_chart_leaves_a_gap_where_a_cost_is_unknown():
    spec = cost_chart(costs(SIZES[:3], [1.0, None, 3.0], [9.0, None, 7.0]))
    rows = rows_of(mark_of(spec, "line"))
    assert [row["latency_ms"] for row in rows] == [9.0, None, 7.0]
    assert rows[1]["label"] == ""


def test_cost_chart_of_nothing_says_so():
    spec = cost_chart(costs([], [], []))
    assert "No cost" in rows_of(mark_of(spec, "text"))[0]["message"]


def test_labels_of_a_falling_and_a_rising_line_keep_apart():
    lines = [[(50.0, 20.0), (150.0, 60.0), (250.0, 100.0)], [(50.0, 100.0), (150.0, 66.0), (250.0, 20.0)]]
    texts = [["11.11", "22.22", "33.33"], ["44.44", "55.55", "66.66"]]
    chosen = place_labels(lines, texts, width=300, height=130)
    upper, lower = (PLACEMENTS[line[1]] for line in chosen)
    assert (upper.dy, upper.align) != (lower.dy, lower.align)


def test_labels_stay_in_the_panel():
    chosen = place_labels([[(50.0, 4.0)]], [["1.00"]], width=100, height=100)
    assert PLACEMENTS[chosen[0][0]].dy > 0


def test_savings_chart_marks_the_break_even(cost):
    spec = savings_chart(replace(cost, break_even_invocations=40_583_922.4))
    rule = mark_of(spec, "rule")
    row = rows_of(rule)[0]
    assert row["text"] == "break-even at 40.6 M invocations a month"
    assert row["cost"] == pytest.approx(cost.instance_monthly_cost)
    lines = mark_of(spec, "line")
    assert lines["encoding"]["x"]["axis"]["title"] == "Invocations a month (millions)"
    assert lines["encoding"]["y"]["axis"]["title"] == "Cost a month (USD)"
    assert mark_of(spec, "area")["mark"]["opacity"] < 0.2


def test_savings_chart_does_not_grow_with_the_table(cost):
    long = pl.concat([cost.savings] * 50)
    assert num_rows(savings_chart(replace(cost, savings=long))) < 20


@pytest.mark.parametrize(
    ("break_even", "count"),
    [(7.0, "7"), (4321.0, "4,321"), (1.5e6, "1.5 M"), (2.345e9, "2.3 B"), (3.21e8, "321 M")],
)
def test_break_even_reads_well_at_any_size(cost, break_even, count):
    chart = savings_chart(replace(cost, savings=cost.savings.clear(), break_even_invocations=break_even))
    assert f"break-even at {count} invocations a month" in Picture(chart).svg


@pytest.mark.parametrize(
    ("break_even", "instance", "message"),
    [(math.inf, 73.44, "No break-even"), (0.0, 0.0, "costs nothing"), (math.nan, 73.44, "No break-even")],
)
def test_savings_chart_without_a_break_even_says_so(cost, break_even, instance, message):
    odd = replace(cost, break_even_invocations=break_even, instance_monthly_cost=instance)
    assert message in Picture(savings_chart(odd)).svg
