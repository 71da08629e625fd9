"""The load of a run against hand-counted and simulated ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import loadlens
from loadlens.schema import ERROR_COLUMNS
from loadlens.summaries.load import Load
from tests.summaries.simulated_queues import STEPS, law_of, stepped_run

SHARED = Path(__file__).parents[3] / "shared" / "logs" / "toolkit-run"
REAL_LOG = SHARED / "concurrency_benchmark_raw_results" / "invocation_benchmark_results.csv"


def load_of(frame: pl.DataFrame, by: list[str] | None = None, **options: bool) -> Load:
    return loadlens.summarize(frame, by=by or [], **{"timeline": True, **options}).load


def steady(rows: int = 3000, *, seconds: float = 60.0, latency_s: float = 0.4, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = np.sort(rng.uniform(0, seconds, rows)) + 12.34
    latency = rng.gamma(4, latency_s / 4, rows)
    return pl.DataFrame(
        {"invocation_latency": latency * 1000, "start_time": start, "end_time": start + latency}
    )


def test_the_mean_is_the_time_in_calls_over_the_time_of_the_run() -> None:
    frame = steady()
    rows = frame.to_pandas()
    span = rows.end_time.max() - rows.start_time.min()
    found = load_of(frame)
    assert found.mean_active == pytest.approx((rows.end_time - rows.start_time).sum() / span, rel=1e-6)
    assert found.arrival_rate == pytest.approx(len(rows) / span)
    assert found.mean_latency_ms == pytest.approx(rows.invocation_latency.mean())
    assert found.littles_law == pytest.approx(found.mean_active, rel=1e-6)
    assert found.warning is None


def test_the_peak_is_that_of_any_second() -> None:
    rows = steady().to_pandas()
    seconds = np.arange(int(rows.start_time.min()), int(rows.end_time.max()) + 2)
    active = [((rows.start_time < second) & (rows.end_time >= second)).sum() for second in seconds]
    assert load_of(steady()).peak_active == max(active)


def test_calls_that_keep_to_a_beat_of_the_clock_have_their_true_mean() -> None:
    start = np.arange(0, 60, 0.1) + 100.0
    frame = pl.DataFrame({"invocation_latency": 50.0, "start_time": start, "end_time": start + 0.05})
    found = load_of(frame)
    assert found.mean_active == pytest.approx(0.5, rel=0.01)
    assert found.warning is None


@pytest.mark.parametrize(
    ("factor", "told"), [(0.7, "30% less"), (1.5, "50% more"), (0.95, None), (1.08, None)]
)
def test_latencies_that_are_not_what_the_times_say_are_told(factor: float, told: str | None) -> None:
    found = load_of(steady().with_columns(pl.col("invocation_latency") * factor))
    assert (found.warning is None) == (told is None)
    if told:
        assert f"latencies are {told} than the times say" in str(found.warning)


def test_failures_without_a_latency_are_no_gap() -> None:
    failed = pl.int_range(pl.len()) % 5 == 0
    latency = pl.when(failed).then(-1.0).otherwise("invocation_latency")
    frame = steady().with_columns(latency.alias("invocation_latency"))
    found = load_of(frame)
    good = frame.filter(pl.col("invocation_latency") > 0)["invocation_latency"]
    assert found.mean_latency_ms == pytest.approx(good.mean())
    assert found.warning is None


def test_levels_are_what_pandas_reads_of_their_windows() -> None:
    frame = stepped_run(seed=3)
    result = loadlens.summarize(frame, by=[], timeline=True)
    table, windows = result.load.table, result.timeline_overall.filter(pl.col("covered_s") > 0)
    rows = frame.to_pandas()
    assert table["calls"].sum() == windows["calls"].sum()
    assert table["covered_s"].sum() == windows["covered_s"].sum()
    for level in table.iter_rows(named=True):
        ends = level["active_from"], level["active_to"]
        own = windows.filter(pl.col("active_calls").is_between(*ends, closed="left"))
        ended = pd.concat(
            rows[(rows.end_time >= start) & (rows.end_time < start + own["window_s"][0])]
            for start in own["window_start_s"]
        )
        assert level["calls"] == len(ended)
        for name, q in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert level[name] == pytest.approx(ended.invocation_latency.quantile(q), rel=1 / 32)
        assert level["max_ms"] == ended.invocation_latency.max()
        completions = (own["throughput"] * own["covered_s"]).sum()
        assert level["throughput"] == pytest.approx(completions / own["covered_s"].sum())


def test_levels_are_few_and_round() -> None:
    table = load_of(stepped_run(seed=4)).table
    assert table.height <= 21
    assert ((table["active_to"] - table["active_from"]).tail(-1) % 1 == 0).all()
    assert table["active_calls"].is_sorted()


def test_a_stepped_run_tells_the_law_behind_it() -> None:
    found = load_of(stepped_run(seed=5)).scalability
    assert found.reason is None
    for name, true in law_of().items():
        low, high = found.intervals[name]
        assert low <= found.figures[name] <= high
        assert low <= true <= high


def test_a_steady_run_tells_no_law() -> None:
    assert "constant" in str(load_of(steady()).scalability.reason)


def test_several_systems_in_one_log_tell_no_law() -> None:
    frame = stepped_run(seed=6).with_columns(memory_size=(pl.int_range(pl.len()) % 2 + 1) * 1024)
    found = load_of(frame, ["memory_size"]).scalability
    assert found.reason is not None
    assert "2 configurations (memory_size)" in found.reason
    labelled = stepped_run(seed=6).with_columns(label=(pl.int_range(pl.len()) % 2).cast(pl.String))
    assert load_of(labelled, ["label"]).scalability.reason is None


def test_without_windows_levels_have_no_percentiles() -> None:
    table = load_of(stepped_run(seed=4), timeline=False).table
    assert table["p50_ms"].null_count() == table.height
    assert table["throughput"].null_count() == 0


def test_a_log_without_times_has_no_load() -> None:
    found = load_of(steady().select("invocation_latency"))
    assert (found.mean_active, found.peak_active, found.table.height) == (None, None, 0)
    assert found.document["levels"] == []
    assert found.scalability.reason is not None


def test_a_concurrency_benchmark_tells_the_law_by_clients() -> None:
    steps = pl.Series("num_clients", STEPS, dtype=pl.Int64)
    number = ((pl.col("start_time") - 500.25) // 12).cast(pl.Int64)
    frame = pl.concat(
        stepped_run(seed=seed).with_columns(
            number.replace_strict(dict(enumerate(steps)), return_dtype=pl.Int64).alias("num_clients"),
            response_size=pl.lit(100),
            max_concurrency=pl.lit(concurrency),
            memory_size=pl.lit(1024),
            **dict.fromkeys(ERROR_COLUMNS, pl.lit(0)),
        )
        for seed, concurrency in ((1, 50), (2, 100))
    )
    result = loadlens.summarize_concurrency_results(frame)
    assert list(result.scalability) == [(50, 1024), (100, 1024)]
    for law in result.scalability.values():
        assert law.reason is None
        for name, true in law_of().items():
            assert law.figures[name] == pytest.approx(true, rel=0.3)


def test_a_benchmark_with_few_clients_tells_no_law() -> None:
    frame = stepped_run(seed=1).with_columns(
        num_clients=(pl.int_range(pl.len()) % 3 + 1),
        response_size=pl.lit(100),
        max_concurrency=pl.lit(4),
        memory_size=pl.lit(1024),
        **dict.fromkeys(ERROR_COLUMNS, pl.lit(0)),
    )
    (law,) = loadlens.summarize_concurrency_results(frame).scalability.values()
    assert law.reason == "it has 3 loads, and it takes 4"


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the logs are not part of the repository")
def test_the_load_of_a_real_log_is_what_pandas_reads() -> None:
    rows = pd.read_csv(REAL_LOG)
    found = loadlens.summarize(REAL_LOG, by=[], timeline=True).load
    span = rows.end_time.max() - rows.start_time.min()
    assert found.mean_active == pytest.approx((rows.end_time - rows.start_time).sum() / span, rel=1e-5)
    assert found.arrival_rate == pytest.approx(len(rows) / span, rel=1e-3)
    timed = rows.invocation_latency[rows.invocation_latency >= 0]
    assert found.mean_latency_ms == pytest.approx(timed.mean())
