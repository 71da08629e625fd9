"""Density charts: what the spec says."""

import polars as pl
import pytest

from loadlens.charts import concurrency_density_chart, stability_density_chart, summary_density_chart
from tests.charts.curves import curves, curves_of, histogram, mark_of, num_rows, rows_of, valid

SIZES = [512, 1024, 2048, 10240]


def concurrency_curves(*concurrencies: int) -> pl.DataFrame:
    groups = [
        histogram({"max_concurrency": limit, "num_clients": limit * factor})
        for limit in concurrencies
        for factor in (1, 2, 10)
    ]
    return curves(groups, ("num_clients",), ("max_concurrency",))


def test_stability_chart_has_lines_with_light_fill_that_do_not_stack():
    spec = valid(stability_density_chart(curves_of("memory_size", SIZES)))
    area, line = mark_of(spec, "area"), mark_of(spec, "line")
    assert 0 < area["mark"]["fillOpacity"] <= 0.1
    assert line["mark"]["strokeWidth"] > 1
    assert area["encoding"]["y"]["stack"] is False
    assert line["encoding"]["y"]["stack"] is False


def test_stability_chart_names_quantities_with_units():
    spec = valid(stability_density_chart(curves_of("memory_size", SIZES)))
    encoding = mark_of(spec, "line")["encoding"]
    assert spec["title"]["text"] == "Invocation Latency (ms)"
    assert encoding["x"]["axis"]["title"] == "Invocation latency (ms)"
    assert encoding["y"]["axis"]["title"] == "Density (per ms)"
    assert encoding["color"]["legend"]["title"] == "memory_size (MB)"


def test_categories_are_in_numeric_order_and_in_tab10():
    spec = valid(stability_density_chart(curves_of("memory_size", SIZES[::-1])))
    colour = mark_of(spec, "line")["encoding"]["color"]
    assert colour["scale"] == {"domain": ["512", "1024", "2048", "10240"], "scheme": "category10"}
    assert colour["type"] == "nominal"


@pytest.mark.parametrize(("count", "are_ridges"), [(6, False), (7, True), (13, True)])
def test_more_than_six_curves_are_ridges_on_one_axis(count: int, are_ridges: bool):
    sizes = [128 * i for i in range(1, count + 1)]
    spec = valid(stability_density_chart(curves_of("memory_size", sizes)))
    assert ("facet" in spec) == are_ridges
    if are_ridges:
        assert spec["facet"]["row"]["sort"] == [str(size) for size in sizes]
        assert spec["resolve"]["scale"] == {"x": "shared", "y": "independent"}
        assert spec["title"]["subtitle"][0] == "By memory_size (MB); each curve as high as its row."


def test_a_curve_has_200_points_however_many_rows():
    few, many = (
        valid(stability_density_chart(curves_of("memory_size", SIZES, rows=rows))) for rows in (50, 5000)
    )
    assert num_rows(few) == num_rows(many) == 200 * len(SIZES)


def test_curves_do_not_begin_below_zero():
    spec = valid(stability_density_chart(curves_of("memory_size", [1024], centre=2.0, spread=1.0)))
    rows = rows_of(mark_of(spec, "line"))
    assert rows[0]["latency_ms"] == 0
    assert 0 < rows[0]["density"] <= rows[1]["density"]


def test_concurrency_chart_has_one_panel_for_each_max_concurrency():
    spec = valid(concurrency_density_chart(concurrency_curves(2, 10)))
    assert [panel["title"]["text"] for panel in spec["vconcat"]] == [
        "Invocation Latency (ms) with max_concurrency=2",
        "Invocation Latency (ms) with max_concurrency=10",
    ]
    assert spec["resolve"]["scale"] == {"x": "independent", "y": "independent", "color": "independent"}
    domains = [mark_of(panel, "line")["encoding"]["color"]["scale"]["domain"] for panel in spec["vconcat"]]
    assert domains == [["2", "4", "20"], ["10", "20", "100"]]


def test_concurrency_chart_of_a_single_panel():
    spec = valid(concurrency_density_chart(concurrency_curves(4)))
    assert len(spec["vconcat"]) == 1
    assert num_rows(spec) == 3 * 200


@pytest.mark.parametrize("draw", [stability_density_chart, concurrency_density_chart])
def test_no_curves_give_a_chart_that_says_so(draw):
    none = concurrency_curves(2).with_columns(memory_size=1).clear()
    spec = valid(draw(none, without_curve=3))
    assert "No curve" in rows_of(mark_of(spec, "text"))[0]["message"]
    assert spec["title"]["subtitle"] == ["Not drawn: 3 groups without two different latencies."]


def test_summary_without_a_key_is_a_single_curve_without_a_legend():
    spec = valid(summary_density_chart(curves([histogram({})], ()), ()))
    assert mark_of(spec, "line")["encoding"]["color"]["legend"] is None
    assert num_rows(spec) == 200


def test_summary_joins_the_columns_of_a_key():
    groups = [histogram({"label": label, "clients": clients}) for label in "ab" for clients in (2, 10)]
    spec = valid(summary_density_chart(curves(groups, ("label", "clients")), ("label", "clients")))
    colour = mark_of(spec, "line")["encoding"]["color"]
    assert colour["legend"]["title"] == "label · clients"
    assert colour["scale"]["domain"] == ["a · 2", "a · 10", "b · 2", "b · 10"]


def test_summary_names_a_missing_key():
    groups = [histogram({"label": label}).cast({"key:label": pl.String}) for label in ("a", None)]
    spec = valid(summary_density_chart(curves(groups, ("label",)), ("label",)))
    assert mark_of(spec, "line")["encoding"]["color"]["scale"]["domain"] == ["a", "(none)"]


def test_many_groups_get_panels_of_their_own_and_say_how_many_are_shown():
    rows = {number: 300 + number for number in range(30)}
    groups = [histogram({"label": number}, rows=count) for number, count in rows.items()]
    spec = valid(summary_density_chart(curves(groups, ("label",)), ("label",)))
    assert len(spec["facet"]["row"]["sort"]) == 24
    notes = spec["title"]["subtitle"]
    assert "Shown: the 16 with the most calls, and the 8 slowest of the others." in notes
    left_out = [str(number) for number in rows if str(number) not in spec["facet"]["row"]["sort"]]
    assert f"6 more: {', '.join(left_out)}" in notes


def test_the_slowest_of_many_are_shown_however_few_calls_they_have():
    groups = [histogram({"label": f"k{number:02}"}, rows=500) for number in range(40)]
    slow = [histogram({"label": f"slow {number}"}, centre=900, rows=20) for number in range(3)]
    spec = valid(summary_density_chart(curves([*groups, *slow], ("label",)), ("label",)))
    assert {"slow 0", "slow 1", "slow 2"} <= set(spec["facet"]["row"]["sort"])


def test_groups_of_very_different_latency_are_ridges_on_a_logarithmic_axis():
    groups = [histogram({"label": "fast"}, centre=2), histogram({"label": "slow"}, centre=2000)]
    spec = valid(summary_density_chart(curves(groups, ("label",)), ("label",)))
    assert spec["facet"]["row"]["sort"] == ["fast", "slow"]
    line = mark_of(spec, "line")
    assert line["encoding"]["x"]["scale"]["type"] == "log"
    rows = rows_of(line)
    peak = max((row for row in rows if row["series"] == "slow"), key=lambda row: row["density"])
    assert 1_500 < peak["latency_ms"] < 2_500
    assert min(row["latency_ms"] for row in rows) > 0


def test_more_curves_than_one_panel_holds_are_never_left_out_silently():
    spec = valid(stability_density_chart(curves_of("memory_size", list(range(1, 26)))))
    assert spec["title"]["subtitle"][2].startswith("1 more: ")
    assert len({row["series"] for row in rows_of(mark_of(spec, "line"))}) == 24


def test_a_long_tail_is_cut_off_and_named():
    tail = curves_of("memory_size", [1024], spread=1.3, rows=20000)
    spec = valid(stability_density_chart(tail))
    drawn = [row["latency_ms"] for row in rows_of(mark_of(spec, "line"))]
    assert max(drawn) < tail["latency_ms"].max() / 2
    assert spec["title"]["subtitle"][0].startswith("Cut off at ")


def test_without_curve_is_one_group_in_the_singular():
    spec = valid(stability_density_chart(curves_of("memory_size", SIZES), without_curve=1))
    assert spec["title"]["subtitle"] == ["Not drawn: 1 group without two different latencies."]
