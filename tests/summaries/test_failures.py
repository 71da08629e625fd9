"""Failed calls by error, against pandas; and what becomes of errors that are too many."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.charts import failures_chart
from loadlens.cli import app
from loadlens.errors import UsageError
from loadlens.profile import failed_calls
from tests.charts.curves import mark_of, rows_of, valid
from tests.folders import results_folder

ERRORS = ("503 Service Unavailable", "Read timed out", "Connection refused", None)
LATENCIES = ("latency_min_ms", "latency_mean_ms", "latency_median_ms", "latency_p99_ms", "latency_max_ms")
SHARED = Path(__file__).parents[3] / "shared" / "logs"


def run_with_failures(rows: int = 4000, seed: int = 5) -> pl.DataFrame:
    """Calls of three labels, a tenth of them failed: refused at once, timed out, or without a latency."""
    random = np.random.default_rng(seed)
    failed = random.uniform(size=rows) < 0.1
    kind = random.integers(0, len(ERRORS), rows)
    latency = random.lognormal(3, 0.5, rows)
    latency = np.where(failed & (kind == 1), 5000 + random.uniform(0, 9, rows), latency)
    latency = np.where(failed & (kind == 2), random.uniform(0.1, 2, rows), latency)
    latency = np.where(failed & (kind == 3), -1.0, latency)
    start = 1.7e9 + np.sort(random.uniform(0, 300, rows))
    errors = [ERRORS[number] if bad else None for number, bad in zip(kind, failed, strict=True)]
    return pl.DataFrame(
        {
            "label": random.choice(["login", "pay", "search"], rows),
            "invocation_latency": latency,
            "success": ~failed,
            "error": pl.Series(errors, dtype=pl.String),
            "start_time": start,
            "end_time": start + np.maximum(latency, 0) / 1000,
        }
    )


def by_pandas(log: pl.DataFrame, by: list[str]) -> pd.DataFrame:
    """The table of failures as pandas reckons it."""
    frame = log.to_pandas()
    failed = frame[~frame["success"].astype(bool)].copy()
    failed["latency"] = failed["invocation_latency"].where(failed["invocation_latency"] >= 0)
    groups = failed.groupby([*by, "error"], dropna=False)
    table = pd.DataFrame(
        {
            "count": groups.size(),
            "first_start_s": groups["start_time"].min(),
            "last_end_s": groups["end_time"].max(),
            "num_timed": groups["latency"].count(),
            "latency_min_ms": groups["latency"].min(),
            "latency_mean_ms": groups["latency"].mean(),
            "latency_median_ms": groups["latency"].quantile(0.5),
            "latency_p99_ms": groups["latency"].quantile(0.99),
            "latency_max_ms": groups["latency"].max(),
        }
    ).reset_index()
    if by:
        of_key = failed.groupby(by).size().rename("failed"), frame.groupby(by).size().rename("calls")
        table = table.merge(of_key[0], on=by).merge(of_key[1], on=by)
    else:
        table["failed"], table["calls"] = len(failed), len(frame)
    table["share"], table["error_rate"] = table["count"] / table["failed"], table["count"] / table["calls"]
    table["error"] = table["error"].astype(object).where(table["error"].notna(), None)
    order = [*by, "count", "error"]
    return table.sort_values(order, ascending=[*[True] * len(by), False, True]).reset_index(drop=True)


def assert_agrees(found: pl.DataFrame, log: pl.DataFrame, by: list[str]) -> None:
    expected = by_pandas(log, by)
    assert found.height == len(expected) > 0
    for name in [*by, "error", "count", "num_timed"]:
        assert found[name].to_list() == expected[name].tolist(), name
    for name in ["share", "error_rate", "first_start_s", "last_end_s", *LATENCIES]:
        off = 1 / 512 if name in {"latency_median_ms", "latency_p99_ms"} else 1e-12
        own = found[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        np.testing.assert_allclose(own, expected[name].to_numpy(dtype=float), rtol=off, err_msg=name)


@pytest.mark.parametrize("by", [["label"], []])
def test_failures_equal_those_of_pandas(by: list[str]):
    log = run_with_failures()
    assert_agrees(loadlens.summarize(log, by=by, failures=True).failures, log, by)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_failures_of_files_of_any_order_are_the_same(form: str, tmp_path: Path):
    log = run_with_failures()
    shuffled = log.sample(fraction=1.0, shuffle=True, seed=3)
    for number, part in enumerate((shuffled[:1500], shuffled[1500:])):
        path = tmp_path / f"{number}.{form}"
        part.write_csv(path) if form == "csv" else part.write_parquet(path, row_group_size=500)
    assert_agrees(loadlens.summarize(tmp_path, by=["label"], failures=True).failures, log, ["label"])


def test_failures_of_workers_are_the_same(tmp_path: Path):
    log = run_with_failures()
    log.write_parquet(tmp_path / "log.parquet", row_group_size=300)
    with ThreadPoolExecutor(2) as pool:
        result = loadlens.summarize(tmp_path, by=["label"], failures=True, executor=pool, partition_rows=600)
    assert_agrees(result.failures, log, ["label"])
    assert result.failures_over_time["count"].sum() == (~log["success"]).sum()


def test_failures_over_time_are_counted_when_they_ended():
    log = run_with_failures()
    strips = loadlens.summarize(log, by=["label"], failures=True).failures_over_time
    width = strips["window_s"][0]
    first = np.trunc(log["end_time"].min())
    ended = log.filter(~pl.col("success")).select(
        "error", time_s=((pl.col("end_time").floor() - first) // width * width)
    )
    expected = ended.group_by("error", "time_s").len("count").sort("time_s", "error", nulls_last=True)
    assert strips.select("error", "time_s", pl.col("count")).rows() == expected.rows()


def test_error_columns_tell_errors_where_no_class_does():
    log = pl.DataFrame(
        {
            "invocation_latency": [5.0, -1.0, -1.0, 7.0, -1.0],
            "throttle_exception": [0, 1, None, 0, None],
            "insufficient_memory_error": [0, None, None, 1, None],
            "other_model_error": [0, None, 1, 1, None],
            "success": [True, False, False, False, False],
        }
    )
    found = loadlens.summarize(log, by=[], failures=True).failures
    assert found.select("error", "count", "num_timed", "latency_max_ms").rows() == [
        ("insufficient_memory_error", 1, 1, 7.0),
        ("other_model_error", 1, 0, None),
        ("throttle_exception", 1, 0, None),
        (None, 1, 0, None),
    ]


def test_a_key_called_as_a_column_of_the_table_is_told_all_the_same():
    log = run_with_failures(500).with_columns(error=pl.col("error").fill_null("none"))
    found = loadlens.summarize(log.rename({"label": "share_of"}), by=["share_of"], failures=True).failures
    assert found.columns[:2] == ["share_of", "error"]


def hostile(rows: int, different: int, keys: int = 2) -> pl.DataFrame:
    """Failed calls with so many different messages, besides some that are frequent."""
    number = np.arange(rows)
    messages = [f"request {value % different:08x}-77 of 10.0.0.{value % 9} failed" for value in number]
    return pl.DataFrame(
        {
            "node": number % keys,
            "invocation_latency": np.full(rows, 3.0),
            "success": number % 10 == 9,
            "error": [None if value % 10 == 9 else text for value, text in enumerate(messages)],
            "start_time": number / 100,
            "end_time": number / 100 + 0.003,
        }
    )


def test_errors_that_differ_in_numbers_are_one_where_they_would_be_too_many():
    log = hostile(40_000, 40_000)
    result = loadlens.summarize(log, by=["node"], failures=True)
    assert result.failures.select("node", "error", "count").rows() == [
        (0, "request {n} of {n}.{n}.{n}.{n} failed", 20_000),
        (1, "request {n} of {n}.{n}.{n}.{n} failed", 16_000),
    ]
    shuffled = loadlens.summarize(log.sample(fraction=1.0, shuffle=True, seed=1), by=["node"], failures=True)
    assert shuffled.failures.equals(result.failures)


def test_errors_of_very_many_keys_are_told_of_the_log_as_a_whole():
    log = hostile(40_000, 40_000, keys=12_000)
    found = loadlens.summarize(log, by=["node"], failures=True).failures
    assert found.select("node", "error", "count", "error_rate").rows() == [
        (None, "request {n} of {n}.{n}.{n}.{n} failed", 36_000, 0.9)
    ]


def test_errors_without_end_are_one():
    words = np.array(["".join(chr(103 + int(digit)) for digit in str(n)) for n in range(30_000)])
    log = hostile(30_000, 1, keys=1).with_columns(error=pl.Series(words), success=pl.lit(value=False))
    found = loadlens.summarize(log, by=["node"], failures=True).failures
    assert found.select("error", "count", "share").rows() == [(failed_calls.MANY, 30_000, 1.0)]


def test_folding_does_not_depend_on_who_counted(tmp_path: Path):
    log = hostile(30_000, 30_000)
    log.write_parquet(tmp_path / "log.parquet", row_group_size=1000)
    whole = loadlens.summarize(log, by=["node"], failures=True).failures
    with ThreadPoolExecutor(2) as pool:
        parts = loadlens.summarize(
            tmp_path, by=["node"], failures=True, executor=pool, partition_rows=4000
        ).failures
    assert parts.equals(whole)


def test_what_was_not_asked_for_is_told_as_counts():
    log = run_with_failures()
    found = loadlens.summarize(log, by=["label"])
    expected = by_pandas(log, ["label"])
    assert found.failures["count"].to_list() == expected["count"].tolist()
    assert found.failures["error"].to_list() == expected["error"].tolist()
    assert found.failures["latency_max_ms"].null_count() == found.failures.height
    assert found.failures_over_time.is_empty()
    assert found.profile.failures is None


def test_a_saved_profile_tells_counts(tmp_path: Path):
    log = run_with_failures()
    loadlens.profile_log(log, tmp_path / "a.profile", by=["label"])
    found = loadlens.summarize(tmp_path / "a.profile", by=["label"]).failures
    assert found["count"].to_list() == by_pandas(log, ["label"])["count"].tolist()


def test_no_failure_is_no_row():
    log = run_with_failures().filter(pl.col("success"))
    result = loadlens.summarize(log, by=["label"], failures=True)
    assert result.failures.is_empty()
    assert result.failures_over_time.is_empty()
    valid(failures_chart(result.failures_over_time))


def test_an_analysis_has_them_in_each_output(tmp_path: Path):
    log = run_with_failures()
    log.write_csv(tmp_path / "log.csv")
    arguments = ["analyze", str(tmp_path / "log.csv"), "--out", str(tmp_path / "out"), "--quiet"]
    run = CliRunner().invoke(app, [*arguments, "--chart-format", "svg"])
    assert run.exit_code == 0, run.output
    table = pl.read_csv(tmp_path / "out" / "failures.csv")
    assert_agrees(table.with_columns(pl.col("error").cast(pl.String)), log, ["label"])
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["count"] for row in document["failures"]] == table["count"].to_list()
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="failures"' in page
    assert "Failed calls over time" in page
    assert f'<td class="number">{table["count"].sum():,}</td>' in page.partition('id="failures"')[2]
    assert (tmp_path / "out" / "charts" / "failures.svg").stat().st_size > 1000


@pytest.mark.usefixtures("no_drawings")
def test_an_analysis_without_failures_does_not_speak_of_them(tmp_path: Path):
    log = run_with_failures().filter(pl.col("success"))
    log.write_csv(tmp_path / "log.csv")
    loadlens.analyze(tmp_path / "log.csv", tmp_path / "out")
    assert not (tmp_path / "out" / "failures.csv").exists()
    assert 'id="failures"' not in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["failures"] == []


def test_a_chart_has_a_strip_for_each_error_and_one_for_the_rest():
    errors = [f"error {number:02}" for number in range(14)]
    frame = pl.DataFrame(
        {
            "error": [*errors, None],
            "time_s": [10.0] * 15,
            "window_s": [5.0] * 15,
            "count": [*range(100, 86, -1), 500],
        }
    )
    spec = valid(failures_chart(frame))
    rect = mark_of(spec, "rect")
    strips = rect["encoding"]["y"]["scale"]["domain"]
    assert len(strips) == 10
    assert strips[0] == "no error told · 500"
    assert strips[1] == "error 00 · 100"
    assert strips[-1] == f"6 more · {sum(range(87, 93))}"
    assert sum(row["count"] for row in rows_of(rect)) == frame["count"].sum()
    assert rect["encoding"]["x"]["scale"]["domain"][0] == 0


@pytest.mark.parametrize("name", ["taurus_simple.kpi.jtl", "taurus_tabs.jtl", "taurus_slow-stdev.jtl"])
def test_failures_of_recorded_runs_equal_those_of_pandas(name: str):
    path = SHARED / "jmeter" / name
    if not path.exists():
        pytest.skip("recorded logs are not here")
    log = loadlens.scan_log(path).collect()
    found = loadlens.summarize(path, by=["label"], failures=True).failures
    if log["success"].all():
        assert found.is_empty()
    else:
        assert_agrees(found, log, ["label"])


def test_long_errors_that_are_cut_alike_have_strips_of_their_own():
    errors = [f"{'connection refused by the backend of ' * 2}{name}" for name in "ab"]
    frame = pl.DataFrame({"error": errors, "time_s": [0.0, 1.0], "window_s": [1.0, 1.0], "count": [2, 2]})
    spec = valid(failures_chart(frame))
    rect = mark_of(spec, "rect")
    assert len(set(rect["encoding"]["y"]["scale"]["domain"])) == 2
    assert len({row["strip"] for row in rows_of(rect)}) == 2


@pytest.mark.usefixtures("no_drawings")
def test_a_results_folder_has_sections_on_its_failures(tmp_path: Path):
    folder = results_folder(tmp_path / "run", rows=4000)
    analysis = loadlens.analyze(folder, tmp_path / "out")
    page = (tmp_path / "out" / "benchmarking_report" / "benchmarking_report.html").read_text()
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert 'id="failures-concurrency-benchmark"' in page
    assert isinstance(analysis, loadlens.ToolkitAnalysis)
    assert analysis.concurrency is not None
    counted = sum(row["count"] for row in document["concurrency"]["failures"])
    assert counted == analysis.concurrency.quality["num_errors"].sum() > 0
    assert {row["error"] for row in document["concurrency"]["failures"]} <= {
        "throttle_exception", "insufficient_memory_error", "other_model_error", None,
    }  # fmt: skip


@pytest.mark.parametrize("asked", [{"apdex": "1s"}, {"measures": ["all"]}, {"expected_interval": "1s"}])
def test_a_results_folder_is_not_asked_for_what_it_has_not(asked: dict[str, object], tmp_path: Path):
    folder = results_folder(tmp_path / "run", rows=500)
    with pytest.raises(UsageError, match="is a results folder"):
        loadlens.analyze(folder, tmp_path / "out", **asked)  # type: ignore[arg-type]
