"""Where warnings are told: by ``analyze`` and ``check`` alike, on standard error, each once."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from loadlens.cli import app
from loadlens.tasks.inspection import inspect_log

pytestmark = pytest.mark.usefixtures("no_drawings")

HEADER = "timeStamp,elapsed,label,responseCode,success,bytes"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def jtl(path: Path, labels: Sequence[str]) -> Path:
    """A log of whole seconds, by which a coarse clock is told, and out of order."""
    rows = [
        f"{1700000000000 + 1000 * (n ^ 1)},{20 + n % 7},{label},200,true,10" for n, label in enumerate(labels)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def ids(count: int = 60) -> list[str]:
    return [f"/user/{8731 + number}/cart" for number in range(count)]


def warnings_of(result: Result) -> list[str]:
    lines = [line for line in result.stderr.splitlines() if "arning: " in line]
    return [line.split("arning: ", 1)[1] for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with much to tell of, beside a summary that is passed over."""
    jtl(tmp_path / "runs" / "run.jtl", ids())
    (tmp_path / "runs" / "ab.txt").write_text("This is ApacheBench, Version 2.3\n", encoding="utf-8")
    return tmp_path / "runs"


def test_analyze_and_check_tell_the_same_on_standard_error_each_once(folder: Path, tmp_path: Path) -> None:
    checked = run("check", folder, "--slo", "p99 < 1s")
    analysed = run("analyze", folder, "--out", tmp_path / "out")
    assert checked.exit_code == analysed.exit_code == 0
    told = warnings_of(checked)
    assert len(told) == len(set(told))
    for words in (
        "1 file without single calls (ApacheBench's report) passed over",
        "60 different labels in 60 calls",
        "whole seconds",
        "closed",
    ):
        assert sum(words in text for text in told) == (words != "closed"), words
    assert warnings_of(analysed) == told
    for result in (checked, analysed):
        assert "arning" not in result.stdout
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["warnings"] == told


def test_json_has_them_and_standard_error_what_is_passed_over(folder: Path) -> None:
    checked = run("check", folder, "--slo", "p99 < 1s", "--json")
    told = json.loads(checked.stdout)["warnings"]
    assert any("different labels" in text for text in told)
    assert [text for text in warnings_of(checked) if "passed over" not in text] == []
    assert len(warnings_of(checked)) == 1


def test_a_baseline_is_told_of_as_such(folder: Path, tmp_path: Path) -> None:
    base = jtl(tmp_path / "base.jtl", ids(40))
    done = run("analyze", folder, "--out", tmp_path / "out", "--baseline", base, "--by", "label")
    assert done.exit_code == 0, done.output
    told = warnings_of(done)
    assert len(told) == len(set(told))
    assert any(text.startswith("base: ") and "whole seconds" in text for text in told)
    assert any(not text.startswith("base: ") and "whole seconds" in text for text in told)


def forms(folder: Path, labels: Sequence[str]) -> list[Path]:
    path = jtl(folder / "run.jtl", labels)
    frame = pl.DataFrame({"invocation_latency": [5.0] * len(labels), "label": labels})
    frame.write_parquet(folder / "log.parquet")
    frame.write_ipc(folder / "log.arrow")
    frame.write_csv(folder / "log.csv")
    frame.with_columns(pl.col("label").cast(pl.Categorical)).write_parquet(folder / "categories.parquet")
    return [path, *(folder / name for name in ("log.parquet", "log.arrow", "log.csv", "categories.parquet"))]


def test_inspect_tells_of_too_many_labels(tmp_path: Path) -> None:
    for path in forms(tmp_path, ids()):
        (told,) = [text for text in inspect_log(path).findings.sentences() if "labels" in text]
        assert told.startswith("60 different labels in 60 calls, such as '/user/8731/cart'"), path
        assert "--label-template" in told
        assert "60 different labels" in " ".join(run("inspect", path).stdout.split())


def test_inspect_tells_nothing_of_few_labels(tmp_path: Path) -> None:
    for path in forms(tmp_path, ["/cart", "/pay"] * 30):
        found = inspect_log(path)
        assert found.rows == 60
        assert not [text for text in found.findings.sentences() if "labels" in text]


K6 = "metric_name,timestamp,metric_value,method,name,status"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            ["ws_connecting,1700000000,5.5,,ws://x/,101", "ws_session_duration,1700000001,500,,ws://x/,101"],
            "1 sample of ws_session_duration is left out: of a WebSocket session the handshake",
        ),
        (
            ["http_req_duration,1700000000,5.5,GET,u,200", "ws_session_duration,1700000001,500,,ws://x/,101"],
            "not analysed, though they may tell of calls: ws_session_duration (1)",
        ),
        (
            [
                *["ws_connecting,1700000000,5.5,,ws://x/,101"] * 2,
                *["ws_session_duration,1700000001,500,,ws://x/,101"] * 2,
                "my_trend,1700000001,7,,,",
            ],
            "2 samples of ws_session_duration are left out",
        ),
    ],
)
def test_sessions_that_are_left_out_are_told(rows: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "k6.csv"
    path.write_text("\n".join([K6, *rows]) + "\n", encoding="utf-8")
    told = warnings_of(run("check", path, "--slo", "p99 < 1s"))
    assert sum(words in text for text in told) == 1
    assert sum("ws_session_duration" in text for text in told) == 1


def test_a_log_of_sessions_alone_names_them(tmp_path: Path) -> None:
    path = tmp_path / "k6.csv"
    path.write_text(f"{K6}\n" + "ws_session_duration,1700000001,500,,ws://x/,101\n" * 2, encoding="utf-8")
    done = run("check", path, "--slo", "p99 < 1s")
    assert done.exit_code == 3
    assert "only 2 samples of other metrics, among them of ws_session_duration (2)" in done.stderr
