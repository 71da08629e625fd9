"""What of k6's samples is a call and which of them failed, in CSV and JSON alike."""

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from tests.extent import examples

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = ("error", "error_code", "expected_response", "group", "method", "name", "scenario", "status", "url")
HTTP_PARTS = ("http_reqs", "http_req_blocked", "http_req_waiting", "http_req_failed")


class Sample(NamedTuple):
    metric: str
    ms: int
    value: float
    tags: dict[str, str]


def http(ms: int, value: float, status: int, expected: bool | None, **tags: str) -> Sample:
    told = {} if expected is None else {"expected_response": str(expected).lower()}
    code = {"error_code": str(1000 + status)} if status >= 400 else {}
    name = {"name": "http://a.test/x", "url": "http://a.test/x", "method": "GET"}
    return Sample("http_req_duration", ms, value, {**name, **told, **code, "status": str(status), **tags})


def rpc(ms: int, value: float, status: int, **tags: str) -> Sample:
    name = {"name": "/shop.Cart/Add", "url": "a.test:443/shop.Cart/Add", "method": "Add"}
    return Sample("grpc_req_duration", ms, value, {**name, "status": str(status), **tags})


def websocket(ms: int, value: float, status: int | None, **tags: str) -> Sample:
    told = {} if status is None else {"status": str(status)}
    return Sample(
        "ws_connecting", ms, value, {"name": "ws://a.test/live", "url": "ws://a.test/live", **told, **tags}
    )


def other(metric: str, ms: int = 0, value: float = 1, **tags: str) -> Sample:
    return Sample(metric, ms, value, {"scenario": "default", **tags})


def write_csv(path: Path, samples: Sequence[Sample]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["metric_name", "timestamp", "metric_value", *TAGS])
        epoch = round(BEGIN.timestamp() * 1000)
        writer.writerows(
            [one.metric, epoch + one.ms, f"{one.value:f}", *(one.tags.get(name, "") for name in TAGS)]
            for one in samples
        )
    return path


def write_json(path: Path, samples: Sequence[Sample]) -> Path:
    lines: list[dict[str, Any]] = [
        {"type": "Metric", "data": {"name": name, "type": "trend"}, "metric": name}
        for name in dict.fromkeys(one.metric for one in samples)
    ]
    for one in samples:
        time = (BEGIN + timedelta(milliseconds=one.ms)).isoformat(timespec="milliseconds")
        data = {"time": time.replace("+00:00", "Z"), "value": one.value, "tags": {"group": "", **one.tags}}
        lines.append({"metric": one.metric, "type": "Point", "data": data})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


WRITERS = pytest.mark.parametrize("write", [write_csv, write_json])


def rows_of(path: Path, level: str = "requests") -> pl.DataFrame:
    frame = loadlens.read_log(path, level=level).frame.collect()
    assert isinstance(frame, pl.DataFrame)
    return frame


def warnings_of(path: Path, level: str = "requests") -> str:
    log = loadlens.read_log(path, level=level)
    loadlens.summarize(log, by=[])
    return "\n".join(log.findings.sentences())


@WRITERS
def test_requests_rpcs_and_connections_are_calls(write: Any, tmp_path: Path) -> None:
    samples = [
        http(1000, 20, 200, True),
        rpc(2000, 900, 0),
        rpc(3000, 5, 14),
        rpc(3100, 5, 42),
        websocket(4000, 30, 101),
        websocket(5000, 40, 403),
        websocket(6000, 50, None),
        other("ws_session_duration", 9000, 5000),
        other("ws_session_duration", 9000, 5000),
        *(other(metric, 1000) for metric in HTTP_PARTS),
    ]
    path = write(tmp_path / "log", samples)
    rows = rows_of(path)
    assert rows["invocation_latency"].to_list() == [20, 900, 5, 5, 30, 40, 50]
    assert rows["success"].to_list() == [True, True, False, False, True, False, False]
    assert rows["error"].to_list() == [
        None,
        None,
        "gRPC UNAVAILABLE",
        "gRPC 42",
        None,
        "403",
        "no response",
    ]
    assert rows["label"].to_list() == ["http://a.test/x"] + ["/shop.Cart/Add"] * 3 + ["ws://a.test/live"] * 3
    assert rows["method"].to_list() == ["GET", "Add", "Add", "Add", None, None, None]
    begin = BEGIN.timestamp()
    assert rows["end_time"].to_list() == pytest.approx([begin + s for s in (1, 2, 3, 3.1, 4.03, 5.04, 6.05)])
    assert rows["start_time"].to_list() == pytest.approx(
        [begin + s for s in (0.98, 1.1, 2.995, 3.095, 4, 5, 6)]
    )
    said = warnings_of(path)
    assert "1 WebSocket call has no status" in said
    assert "not analysed" not in said


@WRITERS
def test_calls_without_a_response_that_the_script_expects_are_told_with_their_count(
    write: Any, tmp_path: Path
) -> None:
    samples = [
        http(1000, 20, 200, True),
        http(2000, 0, 0, True, error_code="1212", error="dial: connection refused"),
        http(3000, 60_000, 0, True, error_code="1050"),
        http(4000, 5, 0, True),
        http(5000, 5, 0, False, error_code="1101"),
        http(6000, 5, 404, True),
        http(7000, 5, 200, True, error_code="1701"),
    ]
    path = write(tmp_path / "log", samples)
    assert rows_of(path)["success"].to_list() == [True, True, True, True, False, True, True]
    said = warnings_of(path)
    assert "expected_response is true of 3 requests that got no response (status 0): they count" in said
    rarely = write(tmp_path / "other", [*samples[:2], *samples[4:]])
    assert "of 1 request that got no response (status 0): it counts as successful" in warnings_of(rarely)
    assert "no response" not in warnings_of(write(tmp_path / "good", samples[4:]))


@WRITERS
def test_what_may_tell_of_calls_and_is_not_analysed_is_named_with_its_count(
    write: Any, tmp_path: Path
) -> None:
    everyday = [
        other(name) for name in (*HTTP_PARTS, "iterations", "vus", "data_sent", "checks", "ws_msgs_sent")
    ]
    calls = [http(1000, 20, 200, True), *everyday]
    assert "not analysed" not in warnings_of(write(tmp_path / "a", calls))
    hidden = [
        *(other("browser_http_req_duration", value=900) for _ in range(3)),
        *(other("kafka_writer_write_seconds") for _ in range(2)),
        other("http_req_duration_of_mine"),
        other("ws_session_duration", value=5000),
        other("dropped_iterations", value=4),
        other("dropped_iterations", value=2),
        other("browser_web_vital_lcp"),
    ]
    said = warnings_of(write(tmp_path / "b", calls + hidden))
    assert (
        "not analysed, though they may tell of calls: browser_http_req_duration (3), "
        "kafka_writer_write_seconds (2), http_req_duration_of_mine (1), ws_session_duration (1); only"
    ) in said
    assert "k6 dropped 6 iterations" in said


@WRITERS
def test_the_level_of_transactions_takes_groups_and_iterations(write: Any, tmp_path: Path) -> None:
    samples = [
        http(1000, 20, 200, True, group="::shop"),
        other("group_duration", 1500, 450, group="::shop::pay"),
        other("group_duration", 1700, 700, group="::shop"),
        other("iteration_duration", 2000, 1200),
        Sample("iteration_duration", 2100, 1300, {}),
    ]
    path = write(tmp_path / "log", samples)
    rows = rows_of(path, "transactions")
    assert rows["label"].to_list() == ["shop / pay", "shop", "iteration of default", "iteration"]
    assert rows["invocation_latency"].to_list() == [450, 700, 1200, 1300]
    assert rows["success"].all()
    assert rows["start_time"].to_list() == pytest.approx([BEGIN.timestamp() + s for s in (1.05, 1, 0.8, 0.8)])
    log = loadlens.read_log(path, level="transactions")
    assert loadlens.summarize(log, log.key).summary["num_invocations"].sum() == 4
    assert log.findings.left_out["requests"] == 1
    assert "does not tell whether groups and iterations failed" in "\n".join(log.findings.sentences())


def test_names_under_several_methods_are_several_requests(tmp_path: Path) -> None:
    samples = [http(1000 * n, n, 200, True, method=("GET", "POST", "DELETE")[n % 3]) for n in range(1, 10)]
    path = write_csv(tmp_path / "log.csv", samples)
    log = loadlens.read_log(path)
    assert log.key == ("label", "method")
    summary = loadlens.summarize(log, log.key).summary.sort("method")
    assert summary.select("method", "num_invocations", "invocation_latency_mean").rows() == [
        ("DELETE", 3, 5),
        ("GET", 3, 6),
        ("POST", 3, 4),
    ]


def test_expected_statuses_that_come_late_fail_no_gate(tmp_path: Path) -> None:
    samples = [http(n, 10, 200 if n < 4000 else 404, True) for n in range(5000)]
    path = write_csv(tmp_path / "log.csv", samples)
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "error_rate < 1%"])
    assert done.exit_code == 0, done.output
    path = write_csv(tmp_path / "log.csv", [*samples, *(http(n, 10, 404, False) for n in range(60))])
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "error_rate < 1%"])
    assert done.exit_code == 1, done.output


def test_slow_rpcs_fail_a_gate(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", [http(1, 5, 200, True), *(rpc(n, 900, 0) for n in range(9))])
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 100ms"])
    assert done.exit_code == 1, done.output


SAMPLES = st.one_of(
    st.builds(
        http,
        st.integers(0, 10**6),
        st.integers(0, 10**6).map(lambda us: us / 1000),
        st.sampled_from([0, 101, 200, 302, 401, 404, 500]),
        st.sampled_from([True, False, None]),
        group=st.sampled_from(["", "::a", "::a::b"]),
        error=st.sampled_from(["", 'lookup "x": no such host', "dial\ntcp"]),
    ),
    st.builds(rpc, st.integers(0, 10**6), st.integers(0, 999), st.integers(0, 20)),
    st.builds(websocket, st.integers(0, 10**6), st.integers(0, 999), st.sampled_from([None, 101, 200, 403])),
    st.builds(
        other,
        st.sampled_from(
            ["group_duration", "iteration_duration", "http_reqs", "vus", "mine", "dropped_iterations"]
        ),
        st.integers(0, 10**6),
        st.integers(0, 99),
        group=st.sampled_from(["", "::a", "::a::b"]),
    ),
)


@examples(5)
@given(
    samples=st.lists(SAMPLES, min_size=1, max_size=30), level=st.sampled_from(["requests", "transactions"])
)
def test_csv_and_json_of_one_run_agree(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], level: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    calls = {"requests": {"http_req_duration", "grpc_req_duration", "ws_connecting"}}.get(
        level, {"group_duration", "iteration_duration"}
    )
    expected = [one for one in samples if one.metric in calls]
    found = {}
    for write in (write_csv, write_json):
        log = loadlens.read_log(write(folder / write.__name__, samples), level=level)
        rows = log.frame.collect()
        assert isinstance(rows, pl.DataFrame)
        assert rows["invocation_latency"].to_list() == [one.value for one in expected]
        found[write] = (rows, {what: n for what, n in log.findings.facts.items() if "second" not in what})
    (table, facts), (lines, other_facts) = found.values()
    assert_frame_equal(table, lines.select(table.columns))
    assert facts == other_facts
