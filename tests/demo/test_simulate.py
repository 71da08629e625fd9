from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from loadlens.cost.break_even import cost_analysis
from loadlens.cost.prices import load_prices
from loadlens.demo import simulate_results_folder
from loadlens.demo import simulated_endpoint as endpoint
from loadlens.errors import UsageError
from loadlens.logs import average_request_size, find_toolkit_folder, read_endpoint_metrics
from loadlens.schema import CANONICAL_COLUMNS, ERROR_COLUMNS
from loadlens.summaries import (
    ConcurrencyStatistics,
    StabilityStatistics,
    concurrency_statistics,
    stability_statistics,
)

STABILITY = "stability_benchmark_raw_results"
CONCURRENCY = "concurrency_benchmark_raw_results"
LOG = "invocation_benchmark_results.parquet"
KEY = ["max_concurrency", "num_clients"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated")
    simulate_results_folder(path, rows=40_000, seed=7)
    return path


@pytest.fixture(scope="module")
def stability(folder: Path) -> StabilityStatistics:
    return stability_statistics(folder / STABILITY, folder / STABILITY / "endpoint_metrics.csv")


@pytest.fixture(scope="module")
def concurrency(folder: Path) -> ConcurrencyStatistics:
    return concurrency_statistics(folder / CONCURRENCY, folder / CONCURRENCY / "endpoint_metrics.csv")


def read_logs(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob(f"*/{LOG}"))], how="diagonal")


def most_at_once(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> int:
    """The largest number of the intervals ``[start, end)`` that have a point in common."""
    keep = ends > starts
    starts, ends = np.sort(starts[keep]), np.sort(ends[keep])
    ended_before = np.searchsorted(ends, starts, side="right")
    return int((np.arange(1, len(starts) + 1) - ended_before).max(initial=0))


@pytest.mark.parametrize("rows", [1, 2, 7, 1000, 12_345])
def test_row_count_is_exact(tmp_path: Path, rows: int) -> None:
    reported: list[int] = []
    simulate_results_folder(tmp_path / "new", rows=rows, on_rows=reported.append)
    logs = read_logs(tmp_path / "new")
    assert logs.height == rows
    assert sum(reported) == rows
    assert min(reported) >= 1


def test_stability_gets_three_tenths_of_the_rows(folder: Path) -> None:
    assert pq.read_metadata(folder / STABILITY / LOG).num_rows == 12_000


def test_every_configuration_gets_the_same_number_of_rows(folder: Path) -> None:
    sizes = pl.read_parquet(folder / STABILITY / LOG).group_by("memory_size").len().sort("memory_size")
    assert sizes["memory_size"].to_list() == [1024, 2048, 3072, 4096, 5120, 6144]
    assert sizes["len"].unique().to_list() == [2000]
    clients = pl.read_parquet(folder / CONCURRENCY / LOG).group_by(KEY).len().sort(KEY)
    expected = [(2, 2), (2, 3), (2, 4), (4, 4), (4, 6), (4, 7), (4, 8), (8, 8), (8, 12), (8, 14), (8, 16)]
    assert clients.select(KEY).rows() == expected
    assert clients["len"].max() - clients["len"].min() <= 1  # type: ignore[operator]


def test_fewer_rows_than_configurations_leave_the_last_ones_out(tmp_path: Path) -> None:
    simulate_results_folder(tmp_path, rows=7)
    assert pl.read_parquet(tmp_path / STABILITY / LOG)["memory_size"].to_list() == [1024, 2048]
    assert pl.read_parquet(tmp_path / CONCURRENCY / LOG).height == 5


def test_a_single_row_makes_a_stability_part_alone(tmp_path: Path) -> None:
    simulate_results_folder(tmp_path, rows=1)
    found = find_toolkit_folder(tmp_path)
    assert found is not None
    assert found.stability is not None
    assert found.concurrency is None


@pytest.mark.parametrize(("rows", "seed", "lines"), [(0, 0, 1), (10, -1, 1), (-5, -1, 2)])
def test_rows_and_seed_that_make_no_sense_are_refused(
    tmp_path: Path, rows: int, seed: int, lines: int
) -> None:
    with pytest.raises(UsageError) as refused:
        simulate_results_folder(tmp_path / "new", rows=rows, seed=seed)
    assert len(refused.value.problems) == lines
    assert not (tmp_path / "new").exists()


def test_same_rows_and_seed_give_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate_results_folder(tmp_path / name, rows=5000, seed=3)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_existing_folder_is_written_again(tmp_path: Path) -> None:
    simulate_results_folder(tmp_path, rows=300)
    simulate_results_folder(tmp_path, rows=200)
    assert read_logs(tmp_path).height == 200


def test_seeds_and_configurations_differ(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate_results_folder(tmp_path / str(seed), rows=3000, seed=seed)
    one, two = read_logs(tmp_path / "1"), read_logs(tmp_path / "2")
    assert set(one["response_size"].head(50)) != set(two["response_size"].head(50))
    served = one.filter(pl.col("invocation_latency") > 0)
    assert served["invocation_latency"].n_unique() == served.height


@pytest.mark.parametrize(
    ("part", "configuration"),
    [
        (STABILITY, ["invoke_arg_index", "memory_size"]),
        (CONCURRENCY, ["memory_size", "max_concurrency", "num_clients"]),
    ],
)
def test_columns_and_types_are_those_of_the_toolkit(
    folder: Path, part: str, configuration: list[str]
) -> None:
    measured = ["invocation_latency", "response_size", *ERROR_COLUMNS, "start_time", "end_time"]
    schema = pl.read_parquet_schema(folder / part / LOG)
    assert list(schema) == measured + configuration
    assert all(dtype == CANONICAL_COLUMNS[name].dtype for name, dtype in schema.items())


def test_failures_are_logged_as_the_toolkit_does(folder: Path) -> None:
    logs = read_logs(folder)
    failed = pl.sum_horizontal(pl.col(name).fill_null(0) for name in ERROR_COLUMNS)
    assert logs.select(failed.alias("failed"))["failed"].is_in([0, 1]).all()
    failures, successes = logs.filter(failed == 1), logs.filter(failed == 0)
    assert (failures["invocation_latency"] == -1).all()
    assert failures["response_size"].null_count() == failures.height > 0
    assert (successes["invocation_latency"] > 0).all()
    assert successes["response_size"].min() > 0  # type: ignore[operator]
    throttled = logs.filter(pl.col("throttle_exception") == 1)
    for name in ("insufficient_memory_error", "other_model_error"):
        assert throttled[name].null_count() == logs[name].null_count() == throttled.height
    assert logs["throttle_exception"].null_count() == 0


def test_times_and_latencies_agree(folder: Path) -> None:
    logs = read_logs(folder)
    assert (logs["start_time"] <= logs["end_time"]).all()
    served = logs.filter(pl.col("invocation_latency") > 0)
    seconds = (served["end_time"] - served["start_time"]).to_numpy()
    np.testing.assert_allclose(seconds * 1000, served["invocation_latency"], atol=1e-5)


def test_configurations_follow_each_other_on_one_clock(folder: Path) -> None:
    spans = [
        (rows["start_time"].min(), rows["end_time"].max())
        for part, key in ((STABILITY, ["memory_size"]), (CONCURRENCY, KEY))
        for _, rows in pl.read_parquet(folder / part / LOG).group_by(key, maintain_order=True)
    ]
    assert len(spans) == 17
    assert all(before[1] <= after[0] for before, after in pairwise(spans))  # type: ignore[operator]


def test_never_more_calls_at_once_than_slots(folder: Path) -> None:
    logs = pl.read_parquet(folder / CONCURRENCY / LOG)
    for key, rows in logs.group_by(KEY):
        slots, clients = (int(str(value)) for value in key)
        assert most_at_once(rows["start_time"].to_numpy(), rows["end_time"].to_numpy()) <= clients
        admitted = rows.filter(pl.col("throttle_exception") == 0)
        # A call queues for at most the limit, so from then on it surely runs.
        surely_running = admitted["start_time"].to_numpy() + endpoint.QUEUE_LIMIT_S + 1e-6
        assert most_at_once(surely_running, admitted["end_time"].to_numpy()) == slots


def expected_burst(
    demand: endpoint._Demand, idle_s: float, configuration: endpoint.Configuration
) -> list[tuple[float, float, bool, bool]]:
    """The first burst call by call, as the rules of the model say, in plain Python."""
    ready = [client * endpoint.FIRST_CALLS_APART_S for client in range(configuration.num_clients)]
    free = [-idle_s] * configuration.max_concurrency
    calls = []
    for call in range(demand.request.shape[1]):
        called, available = min(ready), min(free)
        begun = max(called, available)
        throttled = begun - called > endpoint.QUEUE_LIMIT_S
        cold = begun - available > endpoint.IDLE_LIMIT_S
        overhead = float(demand.overhead_s[0, call])
        busy = overhead + float(demand.service_s[0, call]) + cold * float(demand.setup_s[0, call])
        ended = called + overhead if throttled else begun + busy
        if not throttled:
            free[free.index(available)] = ended
        ready[ready.index(called)] = ended + float(demand.pause_s[0, call])
        calls.append((called, ended, throttled, cold))
    return calls


@pytest.mark.parametrize("idle_s", [1.0, 1000.0, np.inf])
@pytest.mark.parametrize(("slots", "clients"), [(1, 1), (2, 2), (2, 4), (8, 14)])
def test_bursts_follow_the_rules_call_by_call(slots: int, clients: int, idle_s: float) -> None:
    rng = np.random.default_rng(5)
    configuration = endpoint.Configuration(memory_size=4096, max_concurrency=slots, num_clients=clients)
    demand = endpoint._draw_demand(4096, (3, 320), rng)
    outcome = endpoint._queue(demand, np.array([idle_s, 2.0, 3.0]), configuration)
    start, end, throttled, cold = zip(*expected_burst(demand, idle_s, configuration), strict=True)
    np.testing.assert_allclose(outcome.start_s[0], start, rtol=1e-12)
    np.testing.assert_allclose(outcome.end_s[0], end, rtol=1e-12)
    assert outcome.throttled[0].tolist() == list(throttled)
    assert outcome.cold[0].tolist() == list(cold)


def test_throttling_rises_with_clients_beyond_the_slots(concurrency: ConcurrencyStatistics) -> None:
    summary = concurrency.summary
    for _, rows in summary.group_by("max_concurrency"):
        throttled = rows.sort("num_clients")["throttle_exception"].to_list()
        assert throttled[0] == 0
        assert throttled[1] > 0
        assert throttled == sorted(set(throttled))


def test_latency_falls_with_memory_until_it_saturates(stability: StabilityStatistics) -> None:
    median = stability.summary["invocation_latency_median"].to_list()
    assert median[0] > 1.5 * median[1] > 1.5 * 1.1 * median[2]
    assert median[2] > median[3]
    assert max(median[3:]) < 1.1 * min(median[3:])


def test_memory_runs_out_at_the_smallest_size(stability: StabilityStatistics) -> None:
    failures = stability.quality.sort("memory_size")["insufficient_memory_error"].to_list()
    assert 0.005 < failures[0] / 2000 < 0.1
    assert failures[0] > 10 * failures[1]
    assert sum(failures[2:]) <= 1


def test_fences_and_tails_have_something_to_show(stability: StabilityStatistics) -> None:
    assert (stability.summary["outliers_removed"] > 0).all()
    assert (stability.summary["invocation_latency_max"] > 100).all()


def test_cost_analysis_recommends_a_size_between_the_extremes(
    folder: Path, stability: StabilityStatistics
) -> None:
    assert stability.endpoint_metrics is not None
    assert stability.average_response_size is not None
    cost = cost_analysis(
        stability.endpoint_metrics,
        average_request_size=average_request_size(folder / "invoke_args_examples.jsonl"),
        average_response_size=stability.average_response_size,
        prices=load_prices(),
    )
    assert cost.optimal_memory_config == 3072
    assert cost.savings.height > 0


def test_endpoint_metrics_cover_every_configuration(
    folder: Path, stability: StabilityStatistics, concurrency: ConcurrencyStatistics
) -> None:
    assert stability.endpoint_metrics is not None
    assert stability.endpoint_metrics.columns == ["memory_size", *sorted(endpoint.METRIC_UNITS)]
    assert stability.endpoint_metrics.null_count().sum_horizontal().item() == 0
    assert concurrency.endpoint_metrics is not None
    assert concurrency.endpoint_metrics.height == 3
    metrics = pl.read_csv(folder / CONCURRENCY / "endpoint_metrics.csv")
    statistics = ["Timestamp", "Average", "Minimum", "Maximum", "Unit", "p25", "p50", "p75"]
    assert metrics.columns == [*statistics, "metric_name", "memory_size", "max_concurrency", "num_clients"]
    assert metrics.height == 11 * 4
    ordered = metrics.select("Minimum", "p25", "p50", "p75", "Maximum").to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()


def test_endpoint_metrics_add_up_to_the_logged_latencies(folder: Path) -> None:
    """One client never queues: what its latency exceeds model and overhead by is setup, in whole calls."""
    log = pl.read_parquet(folder / STABILITY / LOG).filter(pl.col("memory_size") == 4096)
    served = log.filter(pl.col("invocation_latency") > 0)["invocation_latency"]
    metrics = pl.read_csv(folder / STABILITY / "endpoint_metrics.csv").filter(pl.col("memory_size") == 4096)
    mean_ms = {name: average / 1000 for name, average in metrics.select("metric_name", "Average").iter_rows()}
    setup_ms = served.sum() - len(served) * (mean_ms["ModelLatency"] + mean_ms["OverheadLatency"])
    cold_starts = setup_ms / mean_ms["ModelSetupTime"]
    assert round(cold_starts) >= 1
    assert cold_starts == pytest.approx(round(cold_starts), abs=1e-3)


def test_a_metric_without_data_has_empty_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MEMORY_USED_MEDIAN_MB", 1e9)
    simulate_results_folder(tmp_path, rows=100)
    path = tmp_path / STABILITY / "endpoint_metrics.csv"
    assert ",,,,,,,,ModelLatency,1024" in path.read_text(encoding="utf-8").splitlines()
    metrics = read_endpoint_metrics(path, ("memory_size",))
    assert metrics.filter(pl.col("metric_name") == "ModelLatency")["Average"].null_count() == 6
    assert (pl.read_parquet(tmp_path / STABILITY / LOG)["insufficient_memory_error"] == 1).all()


def test_row_groups_are_bounded_and_reported_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BATCH_BURSTS", 4)
    reported: list[int] = []
    simulate_results_folder(tmp_path, rows=50_001, on_rows=reported.append)
    files = [pq.read_metadata(tmp_path / part / LOG) for part in (STABILITY, CONCURRENCY)]
    sizes = [file.row_group(index).num_rows for file in files for index in range(file.num_row_groups)]
    assert sizes == reported
    assert sum(sizes) == 50_001
    assert max(sizes) <= 4 * endpoint.BURST_CALLS
    assert len(sizes) > 17


def test_example_requests_have_the_declared_sizes(folder: Path) -> None:
    expected = sum(endpoint.REQUEST_BYTES) / len(endpoint.REQUEST_BYTES)
    assert average_request_size(folder / "invoke_args_examples.jsonl") == expected
    indices = pl.read_parquet(folder / STABILITY / LOG)["invoke_arg_index"]
    assert sorted(indices.unique()) == list(range(len(endpoint.REQUEST_BYTES)))
