"""The figures of a results folder that the reference toolkit itself wrote, where that folder is at hand."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.logs import average_request_size

RUN = Path(__file__).parents[3] / "shared" / "logs" / "toolkit-run"
STABILITY = RUN / "stability_benchmark_raw_results"
CONCURRENCY = RUN / "concurrency_benchmark_raw_results"

# The toolkit takes the size of a request as that of a Python object, which adds this to an ASCII payload.
OBJECT_OVERHEAD_BYTES = 49

pytestmark = pytest.mark.skipif(not RUN.is_dir(), reason="the toolkit's results folder is not here")


def of_the_toolkit(path: str) -> pl.DataFrame:
    return pl.read_csv(RUN / path, infer_schema_length=None)


def assert_equals_the_toolkit(frame: pl.DataFrame, path: str, **departures: pl.DataType) -> None:
    """Asserts the toolkit's columns first and in its order, all values within 1e-9 of its own."""
    expected = of_the_toolkit(path)
    unnamed = [name for name in ("",) if name in expected.columns]
    expected = expected.drop(unnamed).with_columns(pl.col(name).cast(to) for name, to in departures.items())
    assert frame.columns[: expected.width] == expected.columns
    assert_frame_equal(frame.select(expected.columns), expected, rel_tol=1e-9, abs_tol=0)


def stability() -> loadlens.StabilityResult:
    return loadlens.summarize_stability_results(STABILITY, STABILITY / "endpoint_metrics.csv")


def concurrency() -> loadlens.ConcurrencyResult:
    return loadlens.summarize_concurrency_results(CONCURRENCY, CONCURRENCY / "endpoint_metrics.csv")


def cost() -> loadlens.CostResult:
    result = stability()
    assert result.endpoint_metrics is not None
    assert result.average_response_size is not None
    return loadlens.compute_cost_savings(
        result.endpoint_metrics,
        average_request_size=average_request_size(RUN / "invoke_args_examples.jsonl") + OBJECT_OVERHEAD_BYTES,
        average_response_size=result.average_response_size,
    )


def test_stability_summary() -> None:
    assert_equals_the_toolkit(
        stability().summary, "stability_benchmark_summary_results/invocation_benchmark_summary.csv"
    )


def test_stability_endpoint_metrics() -> None:
    metrics = stability().endpoint_metrics
    assert metrics is not None
    assert_equals_the_toolkit(metrics, "stability_benchmark_summary_results/endpoint_metrics_summary.csv")


def test_concurrency_summary() -> None:
    sums = dict.fromkeys(
        ("insufficient_memory_error", "other_model_error"), pl.Int64()
    )  # floats in the toolkit
    path = "concurrency_benchmark_summary_results/concurrency_benchmark_summary.csv"
    assert_equals_the_toolkit(concurrency().summary, path, **sums)


def test_concurrency_endpoint_metrics() -> None:
    metrics = concurrency().endpoint_metrics
    assert metrics is not None
    assert_equals_the_toolkit(metrics, "concurrency_benchmark_summary_results/endpoint_metrics_summary.csv")


def test_metrics_with_cost() -> None:
    frame = cost().metrics_with_cost
    assert frame.columns[0] == "memory_size"  # which the toolkit loses
    assert_equals_the_toolkit(
        frame.drop("memory_size"), "cost_analysis_summary_results/metrics_with_cost.csv"
    )


def test_cost_savings() -> None:
    result = cost()
    assert_equals_the_toolkit(result.savings, "cost_analysis_summary_results/cost_savings_summary.csv")
    assert result.optimal_memory_config == 5120
    assert result.comparable_instance == "ml.c5.large"


def test_any_key_gives_the_same_figures_as_the_concurrency_summary() -> None:
    key = ["max_concurrency", "num_clients", "memory_size"]
    summary = loadlens.summarize(CONCURRENCY, by=key, outliers="mean-iqr").summary
    expected = concurrency().summary
    shared = [name for name in expected.columns if name in summary.columns]
    assert_frame_equal(summary.select(shared), expected.select(shared), rel_tol=1e-9)


def test_a_parquet_copy_gives_the_same(tmp_path: Path) -> None:
    log = pl.read_csv(CONCURRENCY / "invocation_benchmark_results.csv", infer_schema_length=None)
    log.write_parquet(tmp_path / "invocation_benchmark_results.parquet")
    copied = loadlens.summarize_concurrency_results(tmp_path).summary
    assert_frame_equal(copied, concurrency().summary, rel_tol=1e-9)
