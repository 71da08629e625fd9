import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from tests import oracle
from tests import sample_logs as logs
from tests.extent import examples
from tests.sample_logs import Configuration

OUTLIERS = ("mean-iqr", "tukey", "none")
KEYS = ([], ["memory_size"], ["num_clients", "max_concurrency"])


def labelled(labels: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"invocation_latency": np.arange(1.0, len(labels) + 1), "label": labels})


@given(log=logs.logs(), by=st.sampled_from(KEYS), outliers=st.sampled_from(OUTLIERS))
def test_summary_equals_the_oracle(log: pl.DataFrame, by: list[str], outliers: str) -> None:
    result = loadlens.summarize(log, by=by, outliers=outliers)
    assert result.by == tuple(by)
    oracle.assert_agrees(result.summary, oracle.summary(log, by, outliers))


@given(log=logs.logs(), seed=st.integers(0, 1000))
def test_success_says_what_a_success_is(log: pl.DataFrame, seed: int) -> None:
    lucky = np.random.default_rng(seed).random(log.height) < 0.7
    log = log.with_columns(
        success=pl.Series(lucky) & (pl.col("invocation_latency") > 0).fill_null(value=False)
    )
    result = loadlens.summarize(log, by=["memory_size"])
    oracle.assert_agrees(result.summary, oracle.summary(log, ["memory_size"]))


@examples(3)
@given(log=logs.logs(), seed=st.integers(0, 1000))
def test_row_order_does_not_matter(log: pl.DataFrame, seed: int) -> None:
    shuffled = log[np.random.default_rng(seed).permutation(log.height)]
    for by in (["memory_size", "max_concurrency"], []):
        there, here = loadlens.summarize(shuffled, by=by), loadlens.summarize(log, by=by)
        assert_frame_equal(there.summary, here.summary, rel_tol=1e-9)
        assert_frame_equal(there.quality, here.quality, rel_tol=1e-9)


@examples(3)
@given(log=logs.logs())
def test_a_configuration_is_measured_apart_from_its_doubles(log: pl.DataFrame) -> None:
    doubled = pl.concat([log.with_columns(copy=pl.lit(number)) for number in (1, 2)])
    summary = loadlens.summarize(doubled, by=["copy", "memory_size"]).summary
    alone = loadlens.summarize(log, by=["memory_size"]).summary
    for number in (1, 2):
        part = summary.filter(pl.col("copy") == number).drop("copy")
        assert_frame_equal(part, alone, rel_tol=1e-9)


@examples(3)
@given(log=logs.logs())
def test_doubled_rows_double_the_counts_and_nothing_else(log: pl.DataFrame) -> None:
    once = loadlens.summarize(log, by=["memory_size"], outliers="none").summary
    twice = loadlens.summarize(pl.concat([log, log]), by=["memory_size"], outliers="none").summary
    for name in ("num_invocations", "num_errors"):
        assert (twice[name] == 2 * once[name]).all()
    for name in ("error_rate", "invocation_latency_min", "invocation_latency_mean", "invocation_latency_max"):
        np.testing.assert_allclose(twice[name].cast(pl.Float64), once[name].cast(pl.Float64), rtol=1e-9)


def test_columns() -> None:
    summary = loadlens.summarize(logs.small_log(), by=["memory_size"]).summary
    latency = [f"invocation_latency_{name}" for name in ("min", "mean", "median", "max", "iqr")]
    percentiles = [f"invocation_latency_{name}" for name in ("p90", "p95", "p99", "p999")]
    assert summary.columns == [
        "memory_size",
        "num_invocations",
        "num_errors",
        "error_rate",
        *latency,
        *[f"tps_{name}" for name in ("avg", "p25", "p50", "p75", "max")],
        *percentiles,
        "outliers_removed",
        "outliers_above_fence",
        "outlier_fence",
        "throughput",
    ]
    fenced = loadlens.summarize(logs.small_log(), by=["memory_size"], outliers="tukey").summary
    assert fenced.columns == [*summary.columns, "invocation_latency_max_all"]


def test_nothing_is_removed_unless_asked() -> None:
    log = pl.DataFrame({"invocation_latency": [*np.arange(1.0, 100.0), 10_000.0]})
    result = loadlens.summarize(log, by=[])
    row = result.summary.row(0, named=True)
    assert result.outliers == "none"
    assert (row["outliers_removed"], row["outliers_above_fence"]) == (0, 1)
    assert row["outlier_fence"] == pytest.approx(149.5 + 5 * 49.5)
    assert (row["invocation_latency_max"], row["invocation_latency_mean"]) == (10_000, 149.5)
    assert result.quality["outliers_above_fence"].item() == 1
    assert result.density["latency_ms"].max() > 10_000


@pytest.mark.parametrize("latencies", [[5.0], [3.0] * 20, [1.0, 2.0, 900.0], [0.5] * 50 + [1e6] * 3])
def test_counting_outliers_leaves_the_figures_as_they_are(latencies: list[float]) -> None:
    log = pl.DataFrame({"invocation_latency": latencies})
    row = loadlens.summarize(log, by=[]).summary.row(0, named=True)
    numbers = np.array(latencies)
    fence = numbers.mean() + 5 * (np.quantile(numbers, 0.75) - np.quantile(numbers, 0.25))
    assert row["outlier_fence"] == pytest.approx(fence)
    assert row["outliers_above_fence"] == (numbers > fence).sum()
    assert row["outliers_removed"] == 0
    assert row["invocation_latency_max"] == numbers.max()


def test_percentiles_are_taken_before_outliers_are_removed() -> None:
    log = pl.DataFrame({"invocation_latency": [*np.arange(1.0, 100.0), 10_000.0]})
    row = loadlens.summarize(log, by=[], outliers="mean-iqr").summary.row(0, named=True)
    assert row["outliers_removed"] == row["outliers_above_fence"] == 1
    assert row["invocation_latency_max_all"] == 10_000
    assert row["invocation_latency_max"] == 99
    assert row["invocation_latency_p999"] == pytest.approx(99 + 0.901 * 9901)


def test_one_latency_is_enough() -> None:
    row = loadlens.summarize(pl.DataFrame({"invocation_latency": [3.5]}), by=[]).summary.row(0, named=True)
    assert (row["num_invocations"], row["invocation_latency_median"]) == (1, 3.5)
    assert all(row[name] is None for name in ("tps_avg", "tps_max", "throughput"))


def test_one_key_may_be_given_as_text() -> None:
    assert loadlens.summarize(labelled(["a", "b"]), by="label").by == ("label",)


def test_text_keys_that_are_all_numbers_sort_as_numbers() -> None:
    summary = loadlens.summarize(labelled(["10", "2", "-1", "2"]), by=["label"]).summary
    assert summary["label"].to_list() == [-1, 2, 10]


@pytest.mark.parametrize("labels", [["10", "2", "b"], ["10", "2", "07"], ["10", "2", "1.5"], ["10", "2", ""]])
def test_text_keys_that_are_not_all_whole_numbers_stay_text(labels: list[str]) -> None:
    summary = loadlens.summarize(labelled(labels), by=["label"]).summary
    assert summary["label"].to_list() == sorted(labels)


def test_a_null_key_is_a_configuration_of_its_own_and_comes_last() -> None:
    summary = loadlens.summarize(labelled(["b", None, "a", None]), by=["label"]).summary
    assert summary["label"].to_list() == ["a", "b", None]
    assert summary["num_invocations"].to_list() == [1, 1, 2]
    numbers = loadlens.summarize(labelled(["10", None, "2", None]), by=["label"]).summary
    assert numbers["label"].to_list() == [2, 10, None]
    assert numbers["invocation_latency_max"].to_list() == [3, 1, 4]


def test_calls_by_error_class() -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [10.0, 11.0, 30_000.0, 5.0],
            "success": [True, True, False, False],
            "error": [None, None, "timeout", "refused"],
        }
    )
    summary = loadlens.summarize(log, by=["error"]).summary
    assert summary.select("error", "num_invocations", "num_errors").rows() == [
        ("refused", 1, 1),
        ("timeout", 1, 1),
        (None, 2, 0),
    ]


@pytest.mark.parametrize("name", ["throttle_exception", "response_size", "success", "count", "len", "end"])
def test_any_column_that_is_not_measured_can_be_a_key(name: str) -> None:
    log = logs.small_log().with_columns(pl.Series(name, [0, 1] * 60))
    if name == "success":
        has_latency = (pl.col("invocation_latency") >= 0).fill_null(value=False)
        log = log.with_columns((pl.col(name) == 1) & has_latency)
    summary = loadlens.summarize(log, by=[name]).summary
    assert summary[name].to_list() == [0, 1]


def test_a_success_without_a_latency_is_a_call_and_a_completion_and_no_outlier() -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [1.0, None, 3.0],
            "success": [True] * 3,
            "start_time": [0.0, 1.0, 2.0],
            "end_time": [1.0, 2.0, 3.0],
        }
    )
    for outliers in OUTLIERS:
        row = loadlens.summarize(log, by=[], outliers=outliers).summary.row(0, named=True)
        assert (row["num_invocations"], row["num_errors"], row["outliers_removed"]) == (3, 0, 0)
        assert (row["tps_avg"], row["invocation_latency_mean"]) == (1, 2.0)
        assert row["throughput"] == pytest.approx(3 / (3 + 1))


def test_quality_counts_rows_failures_and_outliers() -> None:
    log = logs.log_of([Configuration(rows=200, failure_share=0.3, shape="tail")])
    result = loadlens.summarize(log, by=["memory_size"])
    row = result.quality.row(0, named=True)
    assert row["num_rows"] == 200
    assert row["num_successes"] + row["num_errors"] == 200
    assert row["num_errors"] == result.summary["num_errors"].item()
    assert row["throttle_exception"] == log["throttle_exception"].sum()
    assert row["outliers_removed"] == result.summary["outliers_removed"].item()


def test_a_log_is_not_changed() -> None:
    log = logs.small_log()
    before = log.clone()
    loadlens.summarize(log, by=["memory_size"])
    assert_frame_equal(log, before)


@pytest.mark.parametrize("by", [["memory_size", "memory_size"], ["invocation_latency"], ["end_time"]])
def test_keys_that_make_no_sense_are_refused(by: list[str]) -> None:
    with pytest.raises(loadlens.UsageError, match=by[0]):
        loadlens.summarize(logs.small_log(), by=by)
