import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from tests import oracle
from tests import sample_logs as logs
from tests.extent import combinations
from tests.sample_logs import Configuration

OUTLIERS = ("mean-iqr", "tukey", "none")
KEY = ["max_concurrency", "num_clients", "memory_size"]
ERRORS = ["throttle_exception", "insufficient_memory_error", "other_model_error"]


def calls(latency: list[float | None], end_time: list[float] | None = None) -> pl.DataFrame:
    """Calls of one configuration without errors."""
    ends = [float(index) for index in range(len(latency))] if end_time is None else end_time
    return pl.DataFrame({"invocation_latency": latency, "end_time": ends}).with_columns(
        start_time=pl.min_horizontal("end_time", 0.0),
        **dict.fromkeys(ERRORS, pl.lit(0)),
        memory_size=pl.lit(1024),
        max_concurrency=pl.lit(2),
        num_clients=pl.lit(1),
    )


@given(log=logs.logs(), outliers=st.sampled_from(OUTLIERS))
def test_summary_equals_the_oracle(log: pl.DataFrame, outliers: str) -> None:
    result = loadlens.summarize_concurrency_results(log, outliers=outliers)
    oracle.assert_agrees(result.summary, oracle.concurrency_summary(log, outliers))


def test_columns_and_types() -> None:
    summary = loadlens.summarize_concurrency_results(logs.small_log()).summary
    reference = [
        *KEY,
        *ERRORS,
        "num_invocations",
        *[f"invocation_latency_{name}" for name in ("median", "mean", "max", "iqr")],
        *[f"tps_{name}" for name in ("avg", "p25", "p50", "p75", "max")],
    ]
    assert summary.columns[: len(reference)] == reference
    tps = [name for name in reference if name.startswith("tps_")]
    whole = [*KEY, *ERRORS, "num_invocations", *tps, "outliers_removed", "outliers_above_fence"]
    assert [name for name, dtype in summary.schema.items() if dtype == pl.Int64] == whole


def test_failures_take_part_in_the_fence() -> None:
    summary = loadlens.summarize_concurrency_results(calls([-1.0, -1.0, -1.0, -1.0, 5.0])).summary
    assert summary["outlier_fence"].item() == pytest.approx(0.2)
    assert summary["outliers_removed"].item() == 1
    assert summary["invocation_latency_median"].item() is None
    assert summary["invocation_latency_p90"].item() == 5.0


def test_each_configuration_has_its_own_fence() -> None:
    slow = calls([100.0, 101.0, 102.0, 103.0]).with_columns(memory_size=pl.lit(512))
    fast = calls([1.0, 1.5, 2.0, 2.5, 101.0])
    summary = loadlens.summarize_concurrency_results(pl.concat([slow, fast])).summary
    assert summary["num_invocations"].to_list() == [4, 5]
    assert summary["outliers_removed"].to_list() == [0, 1]
    assert summary["invocation_latency_max"].to_list() == [103.0, 2.5]


def test_completions_per_second_leave_out_idle_seconds_and_truncate() -> None:
    ends = [10.0, 10.9, 10.99, 11.0, 50.5, 50.6]
    summary = loadlens.summarize_concurrency_results(calls([1.0] * 6, ends)).summary
    row = summary.select("tps_avg", "tps_p25", "tps_p50", "tps_p75", "tps_max").row(0)
    assert row == (2, 1, 2, 2, 3)
    assert summary["throughput"].item() == pytest.approx(6 / (50.6 + 0.01))


def test_seconds_before_zero_are_truncated_toward_zero() -> None:
    summary = loadlens.summarize_concurrency_results(calls([1.0] * 3, [-0.5, 0.5, 1.5])).summary
    assert summary["tps_max"].item() == 2


def test_null_error_flags_count_as_zero_and_null_latencies_are_no_invocations() -> None:
    log = calls([10.0, 12.0, None, -1.0]).with_columns(
        throttle_exception=pl.Series([0, None, 1, 1]), other_model_error=pl.lit(None, dtype=pl.Int8)
    )
    row = loadlens.summarize_concurrency_results(log).summary.row(0, named=True)
    assert [row[name] for name in ERRORS] == [2, 0, 0]
    assert row["num_invocations"] == 3
    assert row["error_rate"] == 0.5


def test_a_configuration_without_one_success_keeps_its_row() -> None:
    failed = Configuration(memory_size=1024, failure_share=1)
    log = logs.log_of([failed, Configuration(memory_size=2048)])
    row = loadlens.summarize_concurrency_results(log).summary.row(0, named=True)
    assert row["memory_size"] == 1024
    assert row["error_rate"] == 1
    assert row["num_invocations"] > 0
    assert row["outliers_removed"] == 0
    named = [name for name in row if name.startswith(("tps_", "invocation_latency_"))]
    assert all(row[name] is None for name in [*named, "throughput"])


def test_a_single_call() -> None:
    row = loadlens.summarize_concurrency_results(calls([7.5], [3.5])).summary.row(0, named=True)
    assert (row["invocation_latency_median"], row["invocation_latency_iqr"]) == (7.5, 0)
    assert row["outlier_fence"] == 7.5
    assert row["outliers_removed"] == 0
    assert (row["tps_avg"], row["tps_max"]) == (1, 1)


def test_no_time_passed_no_throughput_but_for_the_tick_of_a_clock() -> None:
    log = calls([7.5], [0.12345])
    row = loadlens.summarize_concurrency_results(log.with_columns(start_time="end_time")).summary.row(
        0, named=True
    )
    assert row["throughput"] is None
    row = loadlens.summarize_concurrency_results(calls([7.5], [0.0])).summary.row(0, named=True)
    assert row["throughput"] == 1


@pytest.mark.parametrize(("latency", "outliers"), combinations([0.1, 5.1, 7.7, 12.34], OUTLIERS))
def test_equal_latencies_are_never_outliers(latency: float, outliers: str) -> None:
    # Their mean is that latency, but a rounded sum over a count can fall just below it.
    log = pl.concat(
        [calls([latency] * rows).with_columns(num_clients=pl.lit(rows)) for rows in range(1, 200)]
    )
    summary = loadlens.summarize_concurrency_results(log, outliers=outliers).summary
    assert summary.filter(pl.col("outliers_removed") > 0)["num_clients"].to_list() == []


def test_counts_go_beyond_the_error_columns_type() -> None:
    log = calls([-1.0] * 1000).with_columns(throttle_exception=pl.lit(1, dtype=pl.Int8))
    assert loadlens.summarize_concurrency_results(log).summary["throttle_exception"].item() == 1000


def test_endpoint_metrics_average_duplicates_and_equal_the_oracle() -> None:
    columns = ["memory_size", "max_concurrency", "num_clients", "metric_name", "Average", "Unit"]
    rows = [
        (1024, 10, 2, "ModelLatency", 4000.0, "Microseconds"),
        (1024, 10, 4, "ModelLatency", 6000.0, "Microseconds"),
        (1024, 10, 2, "OverheadLatency", 1.0, "Milliseconds"),
        (1024, 10, 4, "OverheadLatency", None, "Milliseconds"),
        (1024, 2, 2, "ModelLatency", 3000.0, "Microseconds"),
        (1024, 2, 2, "OverheadLatency", 2.0, "Milliseconds"),
        (2048, 2, 2, "ModelLatency", 3000.0, "Microseconds"),
    ]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    summary = loadlens.summarize_concurrency_results(logs.small_log(), table).endpoint_metrics
    assert summary is not None
    assert summary.rows() == [(1024, 2, 3.0, 2.0), (1024, 10, 5.0, 1.0)]
    oracle.assert_agrees(summary, oracle.endpoint_summary(table, ["memory_size", "max_concurrency"]))
