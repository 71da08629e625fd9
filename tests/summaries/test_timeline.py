"""Figures by window of time, against what pandas reads of the same rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

import loadlens
from loadlens.profile.timeline import timeline
from tests import sample_logs as logs
from tests.extent import some_rows

QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}
REAL_LOGS = Path(__file__).parents[3] / "shared" / "logs"


def run_of(
    rows: int = 4000, *, first_s: float = 3.3, last_s: float = 67.7, seed: int = 1, failures: float = 0.03
) -> pl.DataFrame:
    """Calls that start evenly at random, of a busy label and two that are rare."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.uniform(first_s, last_s, rows))
    latency = rng.gamma(2, 80, rows)
    return pl.DataFrame(
        {
            "invocation_latency": np.where(rng.random(rows) < failures, -1.0, latency),
            "response_size": rng.integers(100, 999, rows),
            "start_time": start,
            "end_time": start + latency / 1000,
            "label": rng.choice(["list", "order", "admin"], rows, p=[0.69, 0.3, 0.01]),
        }
    )


def assert_as_read(table: pl.DataFrame, own: pd.DataFrame, run: pd.DataFrame) -> None:
    """A table of one key is what a reading of its own rows says; rates of rare keys go by the run's ends."""
    assert table["calls"].sum() == len(own)
    load = own if len(own) >= 5 * table.height else run
    low, high = np.ceil(load.start_time.min()), np.floor(load.start_time.max())
    for row in table.iter_rows(named=True):
        begin, end = row["window_start_s"], row["window_start_s"] + row["window_s"]
        assert_counts(row, own[(own.end_time >= begin) & (own.end_time < end)])
        is_edge = begin < low or begin <= high < end or own.end_time.max() < end
        inner = (max(begin, low), min(end, high)) if is_edge else (begin, end)
        assert_rates(row, own, inner)
        assert_active(row, own)


def assert_counts(row: dict[str, Any], ended: pd.DataFrame) -> None:
    good = ended[ended.invocation_latency > 0]
    assert (row["calls"], row["errors"]) == (len(ended), len(ended) - len(good))
    assert row["error_rate"] == ((len(ended) - len(good)) / len(ended) if len(ended) else None)
    assert row["max_ms"] == (good.invocation_latency.max() if len(good) else None)
    for name, q in QUANTILES.items():
        if len(good):
            assert row[name] == pytest.approx(good.invocation_latency.quantile(q), rel=1 / 32)
        else:
            assert row[name] is None


def assert_rates(row: dict[str, Any], own: pd.DataFrame, inner: tuple[float, float]) -> None:
    covered = max(inner[1] - inner[0], 0)
    assert row["covered_s"] == covered
    if not covered:
        assert (row["throughput"], row["bytes_per_s"]) == (None, None)
        return
    ended = own[(own.end_time >= inner[0]) & (own.end_time < inner[1])]
    assert row["throughput"] == pytest.approx((ended.invocation_latency > 0).sum() / covered)
    begin, end = row["window_start_s"], row["window_start_s"] + row["window_s"]
    sizes = own[(own.end_time >= begin) & (own.end_time < end)].response_size
    if len(sizes):
        assert row["bytes_per_s"] == pytest.approx(sizes.sum() / len(sizes) * len(ended) / covered)


def assert_active(row: dict[str, Any], own: pd.DataFrame) -> None:
    begin, end = row["window_start_s"], row["window_start_s"] + row["window_s"]
    seconds = np.arange(begin, end + 1)
    weight = np.where((seconds == begin) | (seconds == end), 0.5, 1.0)
    weight *= (seconds > own.start_time.min()) & (seconds < own.end_time.max())
    active = [((own.start_time < second) & (own.end_time >= second)).sum() for second in seconds]
    if weight.sum():
        assert row["active_calls"] == pytest.approx((weight * active).sum() / weight.sum())
    else:
        assert row["active_calls"] is None


@pytest.mark.parametrize(("last_s", "width_s"), some_rows([(12.9, 1), (67.7, 1), (667.7, 5)], 3))
def test_windows_are_what_pandas_reads(last_s: float, width_s: int) -> None:
    frame = run_of(last_s=last_s)
    result = loadlens.summarize(frame, by=["label"], timeline=True)
    rows = frame.to_pandas()
    assert set(result.timeline["window_s"]) == {width_s}
    assert_as_read(result.timeline_overall, rows, rows)
    for label, own in rows.groupby("label"):
        table = result.timeline.filter(pl.col("label") == label).drop("label")
        assert_as_read(table, own, rows)


@pytest.mark.skipif(not REAL_LOGS.exists(), reason="the logs are not part of the repository")
def test_windows_of_a_real_log_are_what_pandas_reads() -> None:
    path = REAL_LOGS / "toolkit-run/concurrency_benchmark_raw_results/invocation_benchmark_results.csv"
    result = loadlens.summarize(path, by=[], timeline=True)
    rows = pd.read_csv(path)
    assert_as_read(result.timeline_overall, rows, rows)


def test_a_steady_run_ends_without_a_drop() -> None:
    start = np.arange(0, 60, 1 / 110) + 0.371
    frame = pl.DataFrame(
        {"invocation_latency": 70.0, "start_time": start, "end_time": start + 0.07, "label": "a"}
    )
    rates = timeline(loadlens.summarize(frame, timeline=True).profile)["throughput"].drop_nulls()
    assert len(rates) >= 59
    assert rates.min() >= 109  # type: ignore[operator]
    assert rates.max() <= 111  # type: ignore[operator]


@pytest.mark.parametrize("seconds", [0.4, 0.9, 1.7])
def test_a_run_shorter_than_whole_seconds_has_the_rates_of_what_it_covers(seconds: float) -> None:
    frame = run_of(200, first_s=5.05, last_s=5.05 + seconds)
    found = loadlens.summarize(frame, timeline=True).timeline_overall
    told = found.drop_nulls("throughput")
    assert told["covered_s"].sum() == pytest.approx(frame["end_time"].max() - 5.05, abs=0.02)  # type: ignore[operator]
    assert (told["throughput"] * told["covered_s"]).sum() == pytest.approx(
        frame.filter(pl.col("invocation_latency") > 0).height
    )


def test_a_clock_of_whole_seconds_tells_nothing_of_the_seconds_at_the_ends() -> None:
    times = pl.col("start_time", "end_time").floor()
    found = loadlens.summarize(run_of().with_columns(times), timeline=True).timeline_overall
    inner = found["window_start_s"].is_between(4, 66)
    assert found["throughput"].is_not_null().to_list() == inner.to_list()


def test_a_stall_is_told_as_windows_without_calls() -> None:
    frame = run_of().filter(~pl.col("end_time").is_between(30, 40))
    stalled = loadlens.summarize(frame, timeline=True).timeline_overall.filter(
        pl.col("window_start_s").is_between(30, 39)
    )
    assert stalled["calls"].to_list() == [0] * 10
    assert stalled["throughput"].to_list() == [0.0] * 10
    assert stalled["error_rate"].null_count() == stalled["p99_ms"].null_count() == 10


def test_calls_that_wait_through_a_stall_are_active() -> None:
    start = [1.5, 2.5, 3.5, 60.2]
    frame = pl.DataFrame({"start_time": start, "end_time": [50.5, 50.6, 50.7, 60.4], "label": "a"})
    latency = ((pl.col("end_time") - pl.col("start_time")) * 1000).alias("invocation_latency")
    found = loadlens.summarize(frame.with_columns(latency), timeline=True).timeline_overall
    active = dict(found.select("window_start_s", "active_calls").iter_rows())
    assert (active[50.0], active[51.0], active[60.0]) == (1.5, 0, 0)


def test_without_windows_counts_and_active_calls_are_told_all_the_same() -> None:
    frame = run_of()
    counted = loadlens.summarize(frame, by=["label"])
    full = loadlens.summarize(frame, by=["label"], timeline=True)
    unknown = [*QUANTILES, "max_ms", "bytes_per_s"]
    assert_frame_equal(counted.timeline.drop(unknown), full.timeline.drop(unknown))
    assert all(counted.timeline[name].null_count() == counted.timeline.height for name in unknown)


def test_keys_that_are_numbers_as_text_have_their_windows() -> None:
    frame = run_of().with_columns(size=(pl.int_range(pl.len()) % 3 + 9).cast(pl.String))
    result = loadlens.summarize(frame, by=["size"], timeline=True)
    assert result.timeline["size"].unique().sort().to_list() == [9, 10, 11]
    assert result.timeline["calls"].sum() == frame.height
    assert result.timeline["p50_ms"].null_count() < 3


def test_calls_without_an_end_are_in_no_window() -> None:
    frame = run_of().with_columns(end_time=pl.when(pl.int_range(pl.len()) % 10 > 0).then("end_time"))
    found = loadlens.summarize(frame, timeline=True).timeline_overall
    assert found["calls"].sum() == frame["end_time"].count()
    assert found["active_calls"].null_count() == found.height  # nobody knows when they ended


def test_a_log_without_times_has_no_windows() -> None:
    frame = run_of().select("invocation_latency", "label")
    result = loadlens.summarize(frame, by=["label"], timeline=True)
    assert result.timeline.is_empty()
    assert result.timeline_overall.is_empty()
    assert result.timeline.columns[:3] == ["label", "window_start_s", "window_s"]


@pytest.mark.parametrize("by", [["label"], []])
def test_saved_profiles_have_the_same_windows(by: Sequence[str], tmp_path: Path) -> None:
    frame = run_of(last_s=667.7)
    loadlens.profile_log(frame, tmp_path / "run.profile", by=["label"])
    saved = loadlens.summarize(tmp_path / "run.profile", by=by, timeline=True)
    whole = loadlens.summarize(frame, by=by, timeline=True)
    told = ["calls", "errors", "error_rate", *QUANTILES, "max_ms"]
    assert_frame_equal(saved.timeline.select(*by, *told), whole.timeline.select(*by, *told))


@given(logs.logs())
def test_every_call_with_an_end_is_in_one_window(frame: pl.DataFrame) -> None:
    result = loadlens.summarize(frame, by=["memory_size"], timeline=True)
    assert result.timeline["calls"].sum() == frame["end_time"].count()
    assert result.timeline_overall["calls"].sum() == frame["end_time"].count()
    by_window = result.timeline.group_by("window_start_s").agg(pl.col("calls", "errors").sum())
    whole = result.timeline_overall.select("window_start_s", "calls", "errors")
    assert_frame_equal(
        by_window.filter(pl.col("calls") > 0).sort("window_start_s"), whole.filter(pl.col("calls") > 0)
    )


@pytest.mark.parametrize("form", ["csv", "lazy", "shuffled", "in one pass"])
def test_windows_are_the_same_in_every_form_of_a_log(form: str, tmp_path: Path) -> None:
    frame = run_of(2000)
    frame.write_csv(tmp_path / "run.csv")
    sources: dict[str, Any] = {
        "csv": tmp_path / "run.csv",
        "lazy": frame.lazy(),
        "shuffled": frame.sample(fraction=1, shuffle=True, seed=1),
        "in one pass": frame,
    }
    expected = loadlens.summarize(frame, by=["label"], timeline=True)
    exact = {"exact": False} if form == "in one pass" else {}
    got = loadlens.summarize(sources[form], by=["label"], timeline=True, **exact)
    assert_frame_equal(got.timeline, expected.timeline)
    assert_frame_equal(got.timeline_overall, expected.timeline_overall)
    assert_frame_equal(got.load.table, expected.load.table)
    assert got.load.mean_active == pytest.approx(expected.load.mean_active)


def test_an_analysis_writes_windows_and_levels(tmp_path: Path) -> None:
    frame = run_of(2000)
    frame.write_parquet(tmp_path / "run.parquet")
    out = tmp_path / "out"
    analysis = loadlens.analyze(tmp_path / "run.parquet", out, by="label", chart_formats=["svg"])
    assert isinstance(analysis, loadlens.LogAnalysis)
    assert_frame_equal(pl.read_csv(out / "timeline.csv"), analysis.summary.timeline, check_dtypes=False)
    assert_frame_equal(pl.read_csv(out / "load.csv"), analysis.summary.load.table, check_dtypes=False)
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    told = document["timeline"]
    assert (told["file"], told["window_s"], told["relative_error"]) == ("timeline.csv", 1.0, 1 / 32)
    assert sum(told["overall"]["calls"]) == frame.height
    assert document["load"]["mean_active"] == pytest.approx(document["load"]["littles_law"], rel=0.1)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="over-time"' in page
    assert 'id="load"' in page
    assert "off by at most 3.1%" in page
