"""The universal scalability law fitted to measurements whose law is known."""

import json
import math

import numpy as np
import pytest

import loadlens
from loadlens.summaries.scalability import Scalability, fitted_scalability
from tests.summaries.simulated_queues import STEPS, law_of, stepped_run, throughput_at

LAWS = {"with a peak": (0.04, 0.001), "without one": (0.05, 0.0), "coherency alone": (0.0, 0.002)}


def measured(
    seed: int, contention: float = 0.04, coherency: float = 0.001, *, windows: int = 12, spread: float = 0.5
) -> Scalability:
    """A fit to noisy windows of one second at each of some loads."""
    rng = np.random.default_rng(seed)
    loads = np.repeat(STEPS, windows).astype(float)
    true = np.array([throughput_at(load, contention, coherency) for load in loads])
    found = np.maximum(rng.normal(true, spread * np.sqrt(true)), 0)
    return fitted_scalability(loads, found, np.ones(len(loads)))


@pytest.mark.parametrize("law", LAWS)
def test_exact_measurements_give_back_the_law(law: str) -> None:
    true = law_of(*LAWS[law]) if LAWS[law][1] else {"rate_per_s": 20.0, "contention": 0.05, "knee_load": 20.0}
    found = measured(0, *LAWS[law], spread=0.0)
    assert found.reason is None
    for name, value in true.items():
        assert found.figures[name] == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert found.determination == pytest.approx(1)


def test_without_coherency_throughput_has_a_limit_and_no_peak() -> None:
    found = measured(0, 0.05, 0.0, spread=0.0)
    assert found.figures["peak_load"] == pytest.approx(math.inf) or found.figures["peak_load"] > 1e3
    assert found.figures["peak_throughput"] == pytest.approx(20 / 0.05, rel=1e-2)


@pytest.mark.parametrize("law", LAWS)
def test_no_parameter_is_below_zero(law: str) -> None:
    for seed in range(5):
        found = measured(seed, *LAWS[law])
        assert min(found.figures["contention"], found.figures["coherency"]) >= 0
        for name, value in found.figures.items():
            low, high = found.intervals[name]
            assert 0 <= low <= value <= high


def test_equal_measurements_give_equal_intervals() -> None:
    assert measured(3) == measured(3)


def inside(runs: list[Scalability], true: dict[str, float]) -> dict[str, int]:
    return {
        name: sum(run.intervals[name][0] <= value <= run.intervals[name][1] for run in runs)
        for name, value in true.items()
    }


def test_intervals_hold_the_true_law() -> None:
    counts = inside([measured(seed) for seed in range(20)], law_of())
    assert min(counts.values()) >= 17


@pytest.mark.slow
@pytest.mark.parametrize("law", ["with a peak", "coherency alone"])
def test_intervals_hold_the_true_law_as_often_as_they_say(law: str) -> None:
    counts = inside([measured(seed, *LAWS[law]) for seed in range(300)], law_of(*LAWS[law]))
    assert min(counts.values()) >= 0.93 * 300


@pytest.mark.slow
def test_runs_of_a_simulated_system_tell_its_law_in_93_of_100() -> None:
    runs = [
        loadlens.summarize(stepped_run(seed=seed), by=[], timeline=True).load.scalability
        for seed in range(100)
    ]
    assert all(run.reason is None for run in runs)
    assert min(inside(runs, law_of()).values()) >= 93


@pytest.mark.parametrize(
    ("loads", "throughput", "told"),
    [
        (np.full(60, 8.0), np.full(60, 90.0), "constant"),
        (np.linspace(1, 8, 60), 5 * np.linspace(1, 8, 60), "never near saturation"),
        (np.linspace(20, 80, 60), np.full(60, 200.0) + np.arange(60) % 3, "same at every load"),
        (np.array([1.0, 2, 4]), np.array([5.0, 9, 14]), "takes 8"),
        (np.linspace(1, 80, 60), np.zeros(60), "takes 8"),
        (np.arange(60) % 5 + 4.0, np.full(60, 100.0), "constant"),
    ],
)
def test_what_a_log_cannot_tell_has_a_reason(loads: np.ndarray, throughput: np.ndarray, told: str) -> None:
    found = fitted_scalability(loads, throughput, np.full(len(loads), 5.0))
    assert found.reason is not None
    assert told in found.reason
    assert (found.figures, found.intervals) == ({}, {})


def test_a_stall_is_no_law() -> None:
    loads = np.concatenate([np.full(50, 9.0), np.linspace(300, 3000, 8), [330.0], np.full(60, 9.0)])
    throughput = np.concatenate([np.full(50, 110.0), np.zeros(8), [740.0], np.full(60, 110.0)])
    found = fitted_scalability(loads + np.arange(119) % 7 / 10, throughput, np.full(119, 5.0))
    assert found.reason is not None


@pytest.mark.parametrize("seed", range(3))
def test_a_system_that_is_far_from_saturation_tells_so_through_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loads = np.linspace(1, 10, 80)
    found = fitted_scalability(loads, rng.poisson(50 * loads * 5) / 5, np.full(80, 5.0))
    assert "never near saturation" in str(found.reason)


def test_throughput_that_falls_and_rises_by_itself_follows_no_law() -> None:
    loads = np.concatenate([np.linspace(1, 40, 60), np.linspace(40, 1, 60)])
    throughput = np.concatenate([np.full(60, 300.0), np.full(60, 30.0)])
    assert fitted_scalability(loads, throughput, np.ones(120)).reason is not None


def test_the_document_is_json() -> None:
    for found in (measured(1), measured(1, 0.05, 0.0), fitted_scalability([], [], [])):
        assert json.loads(json.dumps(found.document, allow_nan=False))["num_points"] == found.num_points
