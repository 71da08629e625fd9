"""Events of AWS Lambda as they are copied from the console of CloudWatch, or printed by jq."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loadlens
from loadlens.dialects.lambda_events import LAMBDA_JSON
from loadlens.text.stream import read_head


def event(number: int, kind: str = "platform.report", **record: Any) -> dict[str, Any]:
    metrics = {"durationMs": 10.5 + number, "billedDurationMs": 11 + number, "memorySizeMB": 256}
    time = f"2026-10-08T07:30:{number % 60:02}.{number % 1000:03}Z"
    content = {"requestId": f"id-{number}", "status": "success", **record}
    if kind == "platform.report":
        content["metrics"] = {**metrics, "maxMemoryUsedMB": 120}
    return {"time": time, "type": kind, "record": content}


EVENTS = [
    event(0, "platform.start"),
    event(1),
    event(2, status="timeout"),
    event(3, "platform.runtimeDone"),
    event(4, status="error", errorType="Runtime.ExitError"),
    event(5),
]


def block(value: dict[str, Any], *, pretty: bool = True, plain: bool = True) -> str:
    shown = [json.dumps(value, indent=4)] if pretty else []
    return "\n".join([value["time"], *shown, "", *([json.dumps(value)] if plain else []), ""])


LAYOUTS = {
    "expanded": "".join(block(value) for value in EVENTS),
    "pretty": "".join(block(value, plain=False) for value in EVENTS),
    "folded": "".join(block(value, pretty=False) for value in EVENTS),
    "windows": "".join(block(value) for value in EVENTS).replace("\n", "\r\n"),
    "jq": "".join(json.dumps(value, indent=2) + "\n" for value in EVENTS),
    "some expanded": "".join(block(value, pretty=bool(at % 2)) for at, value in enumerate(EVENTS)),
    "copied from within": "".join(block(value) for value in EVENTS).partition("\n")[2],
}


def rows_of(path: Path) -> tuple[pl.DataFrame, loadlens.Log]:
    log = loadlens.read_log(path)
    rows = log.frame.collect()
    assert isinstance(rows, pl.DataFrame)
    return rows, log


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_report_is_a_call_once(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "console.txt"
    path.write_text(LAYOUTS[layout], encoding="utf-8", newline="")
    assert LAMBDA_JSON.matches(read_head(path))
    rows, log = rows_of(path)
    assert rows["invocation_latency"].to_list() == [11.5, 12.5, 14.5, 15.5]
    assert rows["error"].to_list() == [None, "timeout", "Runtime.ExitError", None]
    assert log.findings.left_out == {"other lines": 2}


def test_lines_of_other_text_are_counted_wherever_the_file_is_cut_into_parts(tmp_path: Path) -> None:
    path = tmp_path / "console.txt"
    parts = []
    for number in range(3000):
        filler = "x" * (number * 37 % 900)
        parts.append(f'2026-10-08T07:30:28.235Z\nINFO got {{"a": 1}} {filler}\n  at line 7 {{\n')
        parts.append(block(event(number)))
    path.write_text("".join(parts), encoding="utf-8")
    rows, log = rows_of(path)
    assert sorted(rows["invocation_latency"]) == [10.5 + number for number in range(3000)]
    assert log.findings.left_out == {"other lines": 6000}


def test_a_copy_that_ends_within_an_event_is_told(tmp_path: Path) -> None:
    path = tmp_path / "console.txt"
    path.write_text(LAYOUTS["pretty"][:-60], encoding="utf-8")
    log = loadlens.read_log(path, max_rejects=1)
    assert log.frame.collect().height == 3
    assert log.findings.rejected == 1
