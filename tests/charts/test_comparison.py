"""Charts of a comparison: what the specs say."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from loadlens.charts import Picture
from loadlens.charts.two_runs import comparison_density_chart, comparison_spectrum_chart
from tests.charts.curves import curves_of, mark_of, rows_of, valid

KEYS = ["/slow", "/a", "/b"]


def keys(names: list[Any], verdict: str = "worse") -> pl.DataFrame:
    return pl.DataFrame({"label": names}).with_columns(verdict=pl.lit(verdict))


def density(names: list[Any], **shape: Any) -> pl.DataFrame:
    runs = {"base": 20.0, "candidate": 24.0}
    return pl.concat(
        curves_of("label", names, centre=centre, **shape).with_columns(run=pl.lit(run))
        for run, centre in runs.items()
    )


def spectrum(names: list[Any], top_ms: float = 90.0) -> pl.DataFrame:
    quantiles = 1 - 1 / np.geomspace(1, 1e4, 50)
    tail = np.linspace(0, 1, 50)
    return pl.concat(
        pl.DataFrame({"quantile": quantiles, "latency_ms": 10 * (top_ms / 10) ** tail}).with_columns(
            label=pl.lit(name), run=pl.lit(run)
        )
        for name in names
        for run in ("base", "candidate")
    )


def panels_of(chart: Any, mark: str = "line") -> list[str]:
    return list(dict.fromkeys(row["panel"] for row in rows_of(mark_of(valid(chart), mark))))


def test_panels_stand_in_the_order_of_the_keys_and_say_the_verdict():
    spec = valid(comparison_density_chart(density(KEYS), keys(KEYS), ["label"]))
    assert spec["facet"]["sort"] == ["Worse: /slow", "Worse: /a", "Worse: /b"]


def test_long_keys_are_told_apart_by_what_they_do_not_share():
    numbers = (0, 7, 12, 345, 1000, 10001)
    names = [f"GET https://shop.example.com/orders/{number}/items?expand=all" for number in numbers]
    panels = panels_of(comparison_spectrum_chart(spectrum(names), keys(names), ["label"]))
    for panel, number in zip(panels, numbers, strict=True):
        assert panel.startswith("Worse: …")
        assert f"rders/{number}/items" in panel
        assert len(panel) <= 36


def test_a_long_key_alone_keeps_its_ends():
    name = "GET /start" + "x" * 110
    (panel,) = panels_of(comparison_spectrum_chart(spectrum([name]), keys([name]), ["label"]))
    assert panel.startswith("Worse: GET /start")
    assert "…" in panel
    assert panel.endswith("xxxx")
    assert len(panel) < 110


def test_keys_that_read_the_same_have_panels_of_their_own():
    names = ["a" * 60 + middle + "b" * 60 for middle in "xy"]
    panels = panels_of(comparison_density_chart(density(names), keys(names), ["label"]), "line")
    assert len(set(panels)) == 2


def test_both_runs_are_in_each_panel():
    for chart in (
        comparison_density_chart(density(KEYS), keys(KEYS), ["label"]),
        comparison_spectrum_chart(spectrum(KEYS), keys(KEYS), ["label"]),
    ):
        spec = valid(chart)
        drawn = {(row["panel"], row["run"]) for row in rows_of(mark_of(spec, "line"))}
        assert len(drawn) == 2 * len(KEYS)
        assert mark_of(spec, "line")["encoding"]["color"]["scale"]["domain"] == ["base", "candidate"]
        assert "<svg" in Picture(chart).svg


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (12, 3)])
def test_more_panels_are_smaller(count, columns):
    names = [f"/{number:02}" for number in range(count)]
    assert comparison_spectrum_chart(spectrum(names), keys(names), ["label"])["columns"] == columns


def test_densities_do_not_stack_and_start_at_no_latency_below_0():
    spec = valid(comparison_density_chart(density(["/a"], spread=1.0), keys(["/a"]), ["label"]))
    area = mark_of(spec, "area")
    assert area["encoding"]["y"]["stack"] is False
    assert min(row["latency_ms"] for row in rows_of(area)) >= 0


def test_a_thin_tail_is_cut_and_the_chart_says_so():
    tail = pl.DataFrame({"label": "/a", "latency_ms": 500.0, "density": 1e-5, "run": ["base", "candidate"]})
    long = pl.concat([density(["/a"]), tail])
    cut = valid(comparison_density_chart(long, keys(["/a"]), ["label"]))
    assert "Cut off" in cut["title"]["subtitle"][1]
    whole = valid(comparison_density_chart(density(["/a"]), keys(["/a"]), ["label"]))
    assert len(whole["title"]["subtitle"]) == 1


@pytest.mark.parametrize(("top_ms", "kind"), [(90.0, None), (5_000.0, "log")])
def test_latencies_far_apart_stand_on_a_log_axis(top_ms, kind):
    spec = valid(comparison_spectrum_chart(spectrum(KEYS, top_ms), keys(KEYS), ["label"]))
    assert mark_of(spec, "line")["encoding"]["y"]["scale"].get("type") == kind
    assert spec["resolve"]["scale"]["y"] == ("shared" if kind else "independent")


def test_without_a_key_there_is_one_panel():
    frame = spectrum(["/a"]).drop("label")
    chart = valid(comparison_spectrum_chart(frame, pl.DataFrame({"verdict": ["better"]}), []))
    assert panels_of(chart) == ["Better: all calls"]


def test_an_empty_name_is_not_all_calls():
    chart = comparison_density_chart(density(["", "/a"]), keys(["", "/a"]), ("label",))
    assert panels_of(chart) == ["Worse: ", "Worse: /a"]


def test_a_missing_key_has_its_panel():
    frame = spectrum(["/a"]).with_columns(label=pl.lit(None, dtype=pl.String))
    names = keys(["/a"]).with_columns(label=pl.lit(None, dtype=pl.String))
    assert panels_of(comparison_spectrum_chart(frame, names, ["label"])) == ["Worse: (none)"]


def test_nothing_to_draw_is_said():
    for chart in (
        comparison_density_chart(density(KEYS).clear(), keys(KEYS), ["label"]),
        comparison_spectrum_chart(spectrum(KEYS).clear(), keys(KEYS), ["label"]),
    ):
        assert mark_of(valid(chart), "text")
