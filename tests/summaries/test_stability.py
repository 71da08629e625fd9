import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from tests import oracle
from tests import sample_logs as logs
from tests.sample_logs import Configuration

OUTLIERS = ("mean-iqr", "tukey", "none")
REFERENCE_COLUMNS = [
    "memory_size",
    "successful_invocations",
    "invocation_latency_min",
    "invocation_latency_mean",
    "invocation_latency_median",
    "invocation_latency_max",
    "invocation_latency_iqr",
]
EXTRAS = [
    "invocation_latency_p90",
    "invocation_latency_p95",
    "invocation_latency_p99",
    "invocation_latency_p999",
    "error_rate",
    "outliers_removed",
    "outliers_above_fence",
    "outlier_fence",
    "throughput",
    "invocation_latency_max_all",
]


def metrics(rows: list[tuple[int, str, float | None, str]]) -> pl.DataFrame:
    columns = {"memory_size": pl.Int64, "metric_name": pl.String, "Average": pl.Float64, "Unit": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row")


@given(log=logs.logs(), outliers=st.sampled_from(OUTLIERS))
def test_summary_equals_the_oracle(log: pl.DataFrame, outliers: str) -> None:
    log = logs.stability_log(log)
    result = loadlens.summarize_stability_results(log, outliers=outliers)
    oracle.assert_agrees(result.summary, oracle.stability_summary(log, outliers))


@given(log=logs.logs())
def test_average_response_size_is_of_the_successes(log: pl.DataFrame) -> None:
    result = loadlens.summarize_stability_results(logs.stability_log(log))
    sizes = log.filter(pl.col("invocation_latency") > 0, pl.col("response_size") > 0)["response_size"]
    assert oracle.agree(result.average_response_size, sizes.mean())


@pytest.mark.parametrize("outliers", OUTLIERS)
def test_fence_never_changes_the_reference_columns(outliers: str) -> None:
    log = logs.stability_log(logs.log_of([Configuration(rows=300, shape="tail")]))
    free = loadlens.summarize_stability_results(log, outliers="none").summary
    fenced = loadlens.summarize_stability_results(log, outliers=outliers).summary
    assert_frame_equal(fenced.select(REFERENCE_COLUMNS), free.select(REFERENCE_COLUMNS), rel_tol=1e-12)
    assert (fenced["outliers_removed"].item() > 0) == (outliers != "none")


def test_columns_and_types() -> None:
    summary = loadlens.summarize_stability_results(logs.stability_log(logs.small_log())).summary
    assert summary.columns == REFERENCE_COLUMNS + EXTRAS
    counts = ["memory_size", "successful_invocations", "outliers_removed", "outliers_above_fence"]
    assert [name for name, dtype in summary.schema.items() if dtype == pl.Int64] == counts
    assert all(summary.schema[name] == pl.Float64 for name in summary.columns if name not in counts)


def test_a_call_without_a_response_is_no_success() -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [10.0, 20.0, 30.0, -1.0, 0.0],
            "response_size": [100, 0, None, 100, 100],
            "memory_size": [1024] * 5,
        }
    )
    row = loadlens.summarize_stability_results(log).summary.row(0, named=True)
    assert row["successful_invocations"] == 1
    assert row["invocation_latency_max"] == 10
    assert row["invocation_latency_iqr"] == 0
    assert row["error_rate"] == 0.8


def test_a_memory_size_without_one_success_keeps_its_row() -> None:
    log = logs.log_of([Configuration(memory_size=1024, failure_share=1), Configuration(memory_size=2048)])
    result = loadlens.summarize_stability_results(logs.stability_log(log))
    row = result.summary.row(0, named=True)
    assert (row["memory_size"], row["successful_invocations"], row["error_rate"]) == (1024, 0, 1)
    assert row["outliers_removed"] == 0
    assert all(
        row[name] is None for name in [*REFERENCE_COLUMNS[2:], *EXTRAS[:4], "outlier_fence", "throughput"]
    )
    assert result.density["memory_size"].unique().to_list() == [2048]


def test_a_log_without_one_success_has_no_response_size() -> None:
    log = logs.log_of([Configuration(failure_share=1)])
    result = loadlens.summarize_stability_results(logs.stability_log(log))
    assert result.average_response_size is None
    assert result.density.is_empty()


def test_rows_ascend_by_memory_as_numbers() -> None:
    log = logs.log_of([Configuration(memory_size=size) for size in (10240, 3008, 1024, 512)])
    summary = loadlens.summarize_stability_results(logs.stability_log(log)).summary
    assert summary["memory_size"].to_list() == [512, 1024, 3008, 10240]


def test_endpoint_metrics_equal_the_oracle() -> None:
    table = metrics(
        [
            (2048, "ModelLatency", 2500.0, "Microseconds"),
            (2048, "OverheadLatency", 5.5, "Milliseconds"),
            (2048, "MemoryUtilization", 25.0, "Percent"),
            (1024, "OverheadLatency", 6000.0, "Microseconds"),
            (1024, "ModelLatency", 4000.0, "Microseconds"),
            (1024, "ModelSetupTime", None, "Microseconds"),
        ]
    )
    log = logs.stability_log(logs.small_log())
    summary = loadlens.summarize_stability_results(log, table).endpoint_metrics
    assert summary is not None
    assert summary.rows() == [(1024, None, 4.0, None, 6.0), (2048, 25.0, 2.5, None, 5.5)]
    oracle.assert_agrees(summary, oracle.endpoint_summary(table, ["memory_size"]))


def test_endpoint_metrics_of_a_memory_size_with_fewer_than_two_are_dropped() -> None:
    table = metrics(
        [
            (1024, "ModelLatency", 4.0, "Milliseconds"),
            (1024, "OverheadLatency", None, ""),
            (2048, "ModelLatency", 2.0, "Milliseconds"),
            (2048, "OverheadLatency", 1.0, "Milliseconds"),
        ]
    )
    summary = loadlens.summarize_stability_results(
        logs.stability_log(logs.small_log()), table
    ).endpoint_metrics
    assert summary is not None
    assert summary["memory_size"].to_list() == [2048]


def test_no_endpoint_metrics_no_table() -> None:
    assert loadlens.summarize_stability_results(logs.stability_log(logs.small_log())).endpoint_metrics is None
