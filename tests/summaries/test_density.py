from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

import loadlens
from tests import oracle
from tests import sample_logs as logs
from tests.sample_logs import Configuration

SEEDS = range(4)


def peak(curves: pl.DataFrame) -> float:
    return float(curves["density"].max())  # type: ignore[arg-type]


def assert_is_close_to_exact(curves: pl.DataFrame, kept: Sequence[np.ndarray[Any, Any]], group: int) -> None:
    points = curves["latency_ms"].to_numpy()
    exact = oracle.exact_density(points, kept, group)
    np.testing.assert_allclose(curves["density"].to_numpy(), exact, rtol=0, atol=0.01 * exact.max())
    cut, tolerance = 3 * oracle.bandwidth(kept[group]), 0.2 * oracle.bandwidth(kept[group])
    assert len(points) == 200
    assert points[0] == pytest.approx(kept[group].min() - cut, abs=tolerance)
    assert points[-1] == pytest.approx(kept[group].max() + cut, abs=tolerance)


def area(curves: pl.DataFrame, group: Sequence[str]) -> float:
    parts = curves.partition_by(group) if group else [curves]
    return sum(float(np.trapezoid(part["density"], part["latency_ms"])) for part in parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_stability_density_is_within_one_percent_of_the_exact_estimate(seed: int) -> None:
    chosen = [
        Configuration(memory_size=1024, rows=2000, shape="tail"),
        Configuration(memory_size=2048, rows=50, shape="ties", failure_share=0.3),
        Configuration(memory_size=3072, rows=2, shape="spread"),
    ]
    log = logs.log_of(chosen, seed).with_columns(pl.col("response_size").fill_null(100))
    kept = oracle.kept_latencies(log, ["memory_size"], sized=True)
    density = loadlens.summarize_stability_results(logs.stability_log(log)).density
    assert density.columns == ["memory_size", "latency_ms", "density"]
    for group, key in enumerate(kept):
        assert_is_close_to_exact(density.filter(pl.col("memory_size") == key[0]), list(kept.values()), group)
    assert area(density, ["memory_size"]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_concurrency_density_has_panels_that_pool_memory_sizes(seed: int) -> None:
    chosen = [
        Configuration(memory_size=memory, max_concurrency=panel, num_clients=clients, rows=rows, shape=shape)
        for memory, rows, shape in ((1024, 400, "spread"), (2048, 60, "tail"), (3072, 25, "ties"))
        for panel in (2, 8)
        for clients in (1, panel)
    ]
    log = logs.log_of(chosen, seed)
    density = loadlens.summarize_concurrency_results(log).density
    assert density.columns == ["max_concurrency", "num_clients", "latency_ms", "density"]
    apart = oracle.kept_latencies(log, ["max_concurrency", "num_clients", "memory_size"])
    for panel in (2, 8):
        groups = [
            np.concatenate([values for key, values in apart.items() if key[:2] == (panel, clients)])
            for clients in (1, panel)
        ]
        curves = density.filter(pl.col("max_concurrency") == panel)
        for group, clients in enumerate((1, panel)):
            assert_is_close_to_exact(curves.filter(pl.col("num_clients") == clients), groups, group)
        assert area(curves, ["num_clients"]) == pytest.approx(1, abs=0.01)


def test_density_without_a_fence_stands_far_outliers() -> None:
    log = pl.concat(
        [logs.log_of([Configuration(rows=5000)]), logs.log_of([Configuration(rows=3, shape="tail")])]
    )
    log = log.with_columns(
        invocation_latency=pl.when(pl.int_range(pl.len()) == 7).then(20_000.0).otherwise("invocation_latency")
    )
    density = loadlens.summarize(log, by=[], outliers="none").density
    assert_is_close_to_exact(density, [log["invocation_latency"].to_numpy()], 0)


def test_a_group_of_equal_latencies_has_no_curve_but_its_share_of_the_rows() -> None:
    chosen = [
        Configuration(memory_size=1024, shape="equal", rows=25),
        Configuration(memory_size=2048, rows=75),
    ]
    density = loadlens.summarize(logs.log_of(chosen), by=["memory_size"]).density
    assert density["memory_size"].unique().to_list() == [2048]
    assert area(density, []) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("configuration", [Configuration(rows=1), Configuration(shape="equal")])
def test_nothing_to_estimate_no_curve(configuration: Configuration) -> None:
    density = loadlens.summarize(logs.log_of([configuration]), by=["memory_size"]).density
    assert density.columns == ["memory_size", "latency_ms", "density"]
    assert density.is_empty()


def test_equal_latencies_whose_mean_is_rounded_have_no_curve() -> None:
    log = pl.DataFrame({"invocation_latency": [7.7] * 67})
    assert loadlens.summarize(log, by=[], outliers="none").density.is_empty()


def test_a_curve_is_as_long_for_many_rows_as_for_few() -> None:
    few, many = (
        loadlens.summarize(logs.log_of([Configuration(rows=rows)]), by=[]).density for rows in (10, 20_000)
    )
    assert few.height == many.height == 200
    assert peak(many) > 0


def test_a_key_of_nan_has_a_curve_of_its_own() -> None:
    nan = float("nan")
    rows = pl.DataFrame(
        {"invocation_latency": [10.0, 20.0, 30.0, 50.0, 70.0, 90.0], "k": [1.0, 1.0, None, None, nan, nan]}
    )
    curves = loadlens.summarize(rows, ["k"]).density
    assert curves.partition_by("k", maintain_order=True)[0]["k"].unique().to_list() == [1.0]
    assert curves["k"].is_nan().sum() == 200
    assert curves["k"].null_count() == 200
    assert area(curves, ["k"]) == pytest.approx(1, abs=0.01)


def test_of_very_many_groups_the_busiest_have_curves() -> None:
    count = 1500
    log = pl.DataFrame(
        {
            "invocation_latency": [float(1 + row % 7) for row in range(3 * count + 10)],
            "label": [f"/{row % count}" for row in range(3 * count)] + ["/7"] * 10,
        }
    )
    curves = loadlens.summarize(log, by=["label"]).density
    assert curves["label"].n_unique() == 1000
    assert "/7" in curves["label"]
