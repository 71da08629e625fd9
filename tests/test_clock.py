"""Logs whose clock counts whole seconds: throughput, its bounds and gates, in every form of input."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.gates import check_gates
from loadlens.tasks.convert import convert
from tests.extent import combinations

pytestmark = pytest.mark.usefixtures("no_drawings")

SECONDS, RATE = 10, 100
JMETER = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes,Latency"
ZERO = 1_700_000_000
LATENCY_MS = 8
CALLS = SECONDS * RATE
# 100 calls in each of 10 seconds: the clock shows seconds 0 to 9; the last call takes 8 ms.
LEAST = CALLS / (SECONDS - 1 + LATENCY_MS / 1000 + 1)
MOST = CALLS / (SECONDS - 1 + LATENCY_MS / 1000 - 1)
WHOLE = CALLS / SECONDS  # where start and end are whole seconds both


def seconds() -> list[int]:
    return [ZERO + second for second in range(SECONDS) for _ in range(RATE)]


def jmeter_text(folder: Path) -> Path:
    rows = [
        f"{datetime.fromtimestamp(time, tz=UTC):%Y/%m/%d %H:%M:%S},{LATENCY_MS},u,200,OK,t,true,1,1"
        for time in seconds()
    ]
    return written(folder / "run.jtl", JMETER, rows)


def loadlens_(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


def k6_csv(folder: Path) -> Path:
    rows = [f"http_req_duration,{time},{LATENCY_MS}.0,GET,u,200" for time in seconds()]
    return written(folder / "k6.csv", "metric_name,timestamp,metric_value,method,name,status", rows)


def locust_csv(folder: Path) -> Path:
    rows = [f"{time},GET,u,{LATENCY_MS},10,200," for time in seconds()]
    header = "timestamp,request_type,name,response_time_ms,response_length,status_code,exception"
    return written(folder / "locust.csv", header, rows)


def canonical_csv(folder: Path) -> Path:
    rows = [f"{LATENCY_MS},{time},{time}" for time in seconds()]
    return written(folder / "log.csv", "invocation_latency,start_time,end_time", rows)


def canonical_parquet(folder: Path) -> Path:
    path = folder / "log.parquet"
    frame().write_parquet(path, row_group_size=100)
    return path


def frame() -> pl.DataFrame:
    times = pl.Series(seconds(), dtype=pl.Float64)
    return pl.DataFrame(
        {"invocation_latency": [float(LATENCY_MS)] * CALLS, "start_time": times, "end_time": times}
    )


def written(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


LOGS: dict[str, tuple[Callable[[Path], Path], float]] = {
    "JMeter text times": (jmeter_text, LEAST),
    "k6 whole seconds": (k6_csv, LEAST),
    "Locust whole seconds": (locust_csv, LEAST),
    "canonical CSV": (canonical_csv, WHOLE),
    "canonical Parquet": (canonical_parquet, WHOLE),
}


@pytest.mark.parametrize("name", LOGS)
def test_a_clock_of_whole_seconds_saw_one_second_more_than_its_span(name: str, tmp_path: Path) -> None:
    make, throughput = LOGS[name]
    result = loadlens.summarize(make(tmp_path), by=[], exact=True)
    assert result.profile.resolution_s == 1.0
    assert result.summary["throughput"].item() == pytest.approx(throughput, rel=1e-6)
    assert result.bounds["throughput_high"].item() > 110
    assert result.summary["tps_p50"].item() == RATE


@pytest.mark.parametrize("name", LOGS)
def test_a_gate_on_throughput_holds_only_at_both_ends(name: str, tmp_path: Path) -> None:
    make, throughput = LOGS[name]
    log = loadlens.read_log(make(tmp_path))
    gates = ["throughput >= 99/s", "throughput >= 105/s", "throughput <= 120/s", "throughput <= 126/s"]
    check = check_gates(log, gates, by=())
    assert [verdict.holds for verdict in check.verdicts] == [True, False, False, True]
    assert all(verdict.value == pytest.approx(throughput) for verdict in check.verdicts)
    assert "as times are known to 1 s" in check.verdicts[1].reason
    assert check.resolution_s == 1.0
    (told,) = [sentence for sentence in log.findings.sentences() if "whole seconds" in sentence]
    assert told.count("whole seconds") == 1


def test_a_log_of_one_second_has_no_upper_bound() -> None:
    log = frame()[:RATE]
    result = loadlens.summarize(log, by=[])
    assert result.summary["throughput"].item() == RATE
    assert result.bounds["throughput_high"].item() == float("inf")
    check = check_gates(log, ["throughput >= 100/s", "throughput < 1000/s"])
    assert [verdict.holds for verdict in check.verdicts] == [True, False]
    assert "has no upper bound" in check.verdicts[1].reason


def test_a_map_says_which_times_are_logged(tmp_path: Path) -> None:
    rows = [f"{time},{LATENCY_MS}.25" for time in seconds()]
    path = written(tmp_path / "log.csv", "when,ms", rows)
    column_map = ["latency=ms:ms", "start=when:epoch_s"]
    by_text = loadlens.summarize(loadlens.read_log(path, column_map=column_map), by=[])
    table = tmp_path / "log.parquet"
    pl.read_csv(path).write_parquet(table)
    by_table = loadlens.summarize(loadlens.read_log(table, column_map=column_map), by=[])
    by_frame = loadlens.summarize(loadlens.read_log(pl.read_csv(path), column_map=column_map), by=[])
    span = SECONDS - 1 + (LATENCY_MS + 0.25) / 1000
    for result in (by_text, by_table, by_frame):
        assert result.profile.resolution_s == 1.0
        assert result.summary["throughput"].item() == pytest.approx(CALLS / (span + 1), rel=1e-6)


def test_converted_and_profiled_logs_and_workers_know_the_same_clock(tmp_path: Path) -> None:
    path = k6_csv(tmp_path)
    expected = loadlens.summarize(path, by=[]).summary["throughput"].item()
    convert([path], tmp_path / "k6.parquet")
    loadlens.profile_log(path, tmp_path / "k6.profile", by=())
    loadlens.merge_profiles([tmp_path / "k6.profile"], tmp_path / "merged.profile")
    for name in ("k6.parquet", "k6.profile", "merged.profile"):
        log = loadlens.read_log(tmp_path / name)
        assert loadlens.summarize(log, by=[]).summary["throughput"].item() == pytest.approx(
            expected, rel=1e-6
        )
        assert sum("whole seconds" in sentence for sentence in log.findings.sentences()) == 1, name
    with ThreadPoolExecutor(2) as executor:
        parts = loadlens.summarize(tmp_path / "k6.parquet", by=[], executor=executor, partition_rows=300)
    assert parts.profile.resolution_s == 1.0
    assert parts.summary["throughput"].item() == pytest.approx(expected, rel=1e-6)


def test_windows_of_no_whole_number_of_ticks_are_not_judged() -> None:
    gates = ["throughput >= 50/s within 1.5s of every window", "p99 < 1s within 1.5s of every window"]
    for verdict in check_gates(frame(), gates).verdicts:
        assert not verdict.holds
        assert "tells no windows of this width" in verdict.reason


def test_a_gate_on_windows_holds_only_at_both_ends() -> None:
    log = frame()
    # A window of 5 s may be one of 4 s or of 6 s.
    gates = [
        f"throughput {bound} within 5s of every window"
        for bound in (">= 83/s", ">= 90/s", "<= 120/s", "<= 126/s")
    ]
    check = check_gates(log, gates)
    assert [verdict.holds for verdict in check.verdicts] == [True, False, False, True]
    assert {verdict.value for verdict in check.verdicts} == {100.0}
    assert "fails to be safe" in check.verdicts[1].reason
    assert check_gates(log, ["p99 < 10ms within 5s of every window"]).holds


def test_report_summary_and_check_say_what_is_known(tmp_path: Path) -> None:
    path, out = jmeter_text(tmp_path), tmp_path / "out"
    done = loadlens_("analyze", path, "--out", out, "--slo", "throughput >= 105/s")
    assert done.exit_code == 1
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert document["resolution_s"] == 1.0
    (bounds,) = document["throughput_bounds"]
    assert bounds["throughput"] == pytest.approx(LEAST)
    assert bounds["throughput_high"] == pytest.approx(MOST)
    (result,) = document["gates"]["gates"][0]["results"]
    assert (result["low"], result["high"]) == (pytest.approx(LEAST), pytest.approx(MOST))
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Throughput at most" in report
    assert "times are known to 1 s" in report
    assert sum("whole seconds" in warning for warning in document["warnings"]) == 1
    one = json.loads(loadlens_("check", path, "--slo", "throughput >= 99/s", "--json").stdout)
    assert one["resolution_s"] == 1.0
    assert one["holds"]


def test_one_throughput_and_one_maximum_in_table_gates_comparison_and_report(tmp_path: Path) -> None:
    latencies = [1000 if number in {5, 12} else 20 + number % 3 for number in range(20)]
    rows = [
        f"{1000 * ZERO + 100 * number},{latency},Home,200,OK,t,true,10,20"
        for number, latency in enumerate(latencies)
    ]
    path, out = written(tmp_path / "run.jtl", JMETER, rows), tmp_path / "out"
    gates = ("--slo", "throughput >= 9/s", "--slo", "max <= 1000ms")
    done = loadlens_("analyze", path, "--out", out, *gates, "--baseline", path)
    assert done.exit_code == 0, done.output
    summary = pl.read_csv(out / "summary.csv").row(0, named=True)
    expected = 20 / (2.2 + 0.001)
    assert summary["throughput"] == pytest.approx(expected, rel=1e-6)
    assert summary["invocation_latency_max"] == 1000
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    values = [gate["results"][0]["value"] for gate in document["gates"]["gates"]]
    assert values == [pytest.approx(expected, rel=1e-6), 1000]
    (metric,) = [row for row in document["comparison"]["metrics"] if row["metric"] == "throughput"]
    assert metric["base"] == metric["candidate"] == pytest.approx(expected, rel=1e-6)
    assert not document["throughput_bounds"]
    assert "9.09" in (out / "report.html").read_text(encoding="utf-8")


def test_throughput_is_over_the_span_of_all_calls() -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [10.0, 10.0, 10.0, 9_000.0, -1.0],
            "start_time": [1.25, 2.25, 3.25, 1.5, 0.005],
            "end_time": [1.26, 2.26, 3.26, 10.5, 20.005],
            "success": [True, True, True, True, False],
        }
    )
    for outliers, completions in (("none", 4), ("tukey", 3)):
        row = loadlens.summarize(log, by=[], outliers=outliers).summary.row(0, named=True)  # type: ignore[arg-type]
        assert row["throughput"] == pytest.approx(completions / (20.0 + 0.001), rel=1e-6), outliers


ADVICE = {
    "JMeter text times": "timestamp_format=ms",
    "k6 whole seconds": "K6_CSV_TIME_FORMAT=unix_milli",
    "Locust whole seconds": "listener",
    "canonical CSV": "",
    "canonical Parquet": "",
}


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("gate", ["p99 < 1s", "p99 < 1s within 5s of every window"])
def test_the_clock_is_told_of_its_file_with_what_its_tool_can_do(
    name: str, gate: str, tmp_path: Path
) -> None:
    path = LOGS[name][0](tmp_path)
    log = loadlens.read_log(path)
    check_gates(log, [gate])
    (told,) = [sentence for sentence in log.findings.sentences() if "whole seconds" in sentence]
    assert told.startswith(f"{path}: its times are whole seconds")
    assert {advice for advice in ADVICE.values() if advice and advice in told} == {ADVICE[name]} - {""}


def test_several_files_are_told_of_together(tmp_path: Path) -> None:
    log = loadlens.read_log([locust_csv(tmp_path), jmeter_text(tmp_path)], force=True)
    loadlens.summarize(log, by=[])
    (told,) = [sentence for sentence in log.findings.sentences() if "whole seconds" in sentence]
    assert told.startswith(f"{tmp_path / 'locust.csv'} and 1 more: its times")
    assert "listener" in told
    assert "timestamp_format=ms" in told


@pytest.mark.parametrize(
    ("form", "origin_s", "gate"),
    combinations(
        ["csv", "parquet", "arrow", "frame"],
        [0.0, 1_700_000_000.0],
        ["", "p99 < 1s", "p99 < 1s within 10s of every window"],
    ),
)
def test_canonical_times_are_of_a_calendar_where_they_are_of_our_days(
    form: str, origin_s: float, gate: str, tmp_path: Path
) -> None:
    """Whatever the rows come in, their times tell."""
    starts = [origin_s + 0.0017 * number for number in range(30)]
    frame = pl.DataFrame({"invocation_latency": [5.0] * 30, "start_time": starts}).with_columns(
        end_time=pl.col("start_time") + 0.005
    )
    path = tmp_path / f"log.{form}"
    if form == "csv":
        frame.write_csv(path)
    elif form == "parquet":
        frame.write_parquet(path)
    elif form == "arrow":
        frame.write_ipc(path)
    log = loadlens.read_log(frame if form == "frame" else path)
    if gate:
        loadlens.check_gates(log, [gate])
    else:
        loadlens.summarize(log, [])
    told = [sentence for sentence in log.findings.sentences() if "of no calendar" in sentence]
    assert len(told) == (origin_s == 0)
