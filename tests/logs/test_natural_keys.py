"""What belongs together without --by: what the tool that wrote the log takes for one request."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from tests.extent import combinations

pytestmark = pytest.mark.usefixtures("no_drawings")

START = 1_700_000_000
CALLS = [
    ("GET", "/cart", 10),
    ("POST", "/cart", 900),
    ("GET", "/", 5),
    ("POST", "/cart", 700),
    ("GET", "/cart", 20),
]


def k6() -> str:
    rows = [
        f"http_req_duration,{START + n},{ms},true,{method},{name},200"
        for n, (method, name, ms) in enumerate(CALLS)
    ]
    return "\n".join(["metric_name,timestamp,metric_value,expected_response,method,name,status", *rows, ""])


def locust() -> str:
    rows = [f"{START + n},{method},{name},{ms},7,200," for n, (method, name, ms) in enumerate(CALLS)]
    header = "timestamp,request_type,name,response_time_ms,response_length,status_code,exception"
    return "\n".join([header, *rows, ""])


def vegeta() -> str:
    rows = [
        f"{(START + n) * 10**9},200,{ms * 10**6},1,7,,,,{n},{method},{name},"
        for n, (method, name, ms) in enumerate(CALLS)
    ]
    return "\n".join([*rows, ""])


def azure() -> str:
    rows = [f"{method},{name},{n + 10},{ms / 1000}" for n, (method, name, ms) in enumerate(CALLS)]
    return "\n".join(["app,func,end_timestamp,duration", *rows, ""])


WRITERS = {"k6": k6, "locust": locust, "vegeta": vegeta, "azure": azure}


@pytest.mark.parametrize(("tool", "form"), combinations(WRITERS, ["text", "parquet", "frame"]))
def test_one_name_under_several_methods_or_apps_is_several_requests(
    tmp_path: Path, tool: str, form: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(WRITERS[tool](), encoding="utf-8")
    second = "app" if tool == "azure" else "method"
    source: object = path
    if form != "text":
        frame = loadlens.scan_log(path).collect()
        assert isinstance(frame, pl.DataFrame)
        frame.write_parquet(tmp_path / "log.parquet")
        source = frame if form == "frame" else tmp_path / "log.parquet"
    log = loadlens.read_log(source)  # type: ignore[arg-type]  # a path or a frame
    assert log.key == ("label", second)
    summary = loadlens.summarize(log, log.key).summary
    counts = {(row["label"], row[second]): row["num_invocations"] for row in summary.to_dicts()}
    assert counts == Counter((name, method) for method, name, _ in CALLS)
    mean = summary.filter(pl.col("label") == "/cart", pl.col(second) == "POST")["invocation_latency_mean"]
    assert mean.to_list() == [800]


def test_calls_without_a_method_are_of_their_own_key(tmp_path: Path) -> None:
    """WebSockets have none."""
    path = tmp_path / "log.csv"
    path.write_text(k6() + f"ws_connecting,{START},30,,,ws://a.test/live,101\n", encoding="utf-8")
    summary = loadlens.summarize(path, ["label", "method"]).summary
    assert summary.filter(pl.col("method").is_null())["label"].to_list() == ["ws://a.test/live"]
    for arguments in (
        ["check", str(path), "--slo", "p99 < 2s"],
        ["analyze", str(path), "--out", str(tmp_path / "o")],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert "ws://a.test/live" in done.output


def test_a_gate_on_all_methods_names_the_one_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(locust(), encoding="utf-8")
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 100ms"])
    assert done.exit_code == 1
    assert "label=/cart, method=POST" in done.output.replace("\n", " ")
