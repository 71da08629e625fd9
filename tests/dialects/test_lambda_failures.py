"""Calls of AWS Lambda that failed as lines beside their reports tell, in every form of its log."""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import polars as pl
import pytest

import loadlens
from loadlens.dialects.aws_lambda import failures_in

START_MS: Final = 1_700_000_000_000


def request(number: int) -> str:
    return f"8f507cfc-aaaa-4697-b07a-{number:012x}"


def report(number: int, ms: float, rest: str = "") -> str:
    return (
        f"REPORT RequestId: {request(number)}\tDuration: {ms:.2f} ms\tBilled Duration: {ms:.0f} ms\t"
        f"Memory Size: 128 MB\tMax Memory Used: 66 MB\t{rest}"
    )


UNCAUGHT: Final = '{"errorType":"TypeError","errorMessage":"x is no function","stack":["TypeError: x"]}'

RUN: Final = [
    f"START RequestId: {request(0)} Version: $LATEST",
    report(0, 12.5),
    f"2023-11-14T22:13:20.000Z {request(1)} Task timed out after 3.07 seconds",
    report(1, 3071.27),
    report(2, 80.25),
    f"RequestId: {request(2)} Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
    report(3, 90.5),
    f"RequestId: {request(3)} Process exited before completing request",
    f"2023-11-14T22:13:20.000Z\t{request(4)}\tERROR\tInvoke Error \t{UNCAUGHT}",
    report(4, 33),
    report(5, 18018.26),
    f"RequestId: {request(5)} Error: Task timed out after 18.02 seconds",
    f"RequestId: {request(6)} Error: Couldn't find valid bootstrap(s): [/opt/bootstrap]",
    report(6, 2),
    f"2023-11-14T22:13:20.000Z\t{request(7)}\tERROR\tthe order was not found",
    f"the job of {request(7)} says: Task timed out, after 3 seconds of waiting",
    report(7, 44.5),
    report(8, 3000, "Status: timeout"),
    f"2023-11-14T22:13:20.000Z {request(8)} Task timed out after 3.00 seconds",
]
"""Events of one log."""

EXPECTED: Final = {
    12.5: None,
    3071.27: "timeout",
    80.25: "Runtime.ExitError",
    90.5: "Runtime.Failed",
    33: "TypeError",
    18018.26: "timeout",
    2: "Runtime.Failed",
    44.5: None,
    3000: "timeout",
}


def as_lines(events: Sequence[str]) -> bytes:
    return "".join(
        f"2023-11-14T22:13:{at % 60:02}.000Z {event}\n" for at, event in enumerate(events)
    ).encode()


def as_export(events: Sequence[str]) -> bytes:
    out = io.StringIO()
    rows = [[START_MS + at, f"{event}\n"] for at, event in enumerate(events)]
    csv.writer(out, lineterminator="\n").writerows([["timestamp", "message"], *rows])
    return out.getvalue().encode()


def as_events(events: Sequence[str]) -> bytes:
    found = [{"timestamp": START_MS + at, "message": f"{event}\n"} for at, event in enumerate(events)]
    return json.dumps({"events": found}, indent=2).encode()


def as_json_lines(events: Sequence[str]) -> bytes:
    found = [{"timestamp": START_MS + at, "message": event} for at, event in enumerate(events)]
    return "".join(json.dumps(event) + "\n" for event in found).encode()


def as_insights(events: Sequence[str]) -> bytes:
    found = [
        [
            {"field": "@timestamp", "value": f"2023-11-14 22:13:{at % 60:02}.000"},
            {"field": "@message", "value": event},
        ]
        for at, event in enumerate(events)
    ]
    return json.dumps({"results": found}).encode()


FORMS: Final[dict[str, Callable[[Sequence[str]], bytes]]] = {
    "lines": as_lines,
    "export": as_export,
    "events": as_events,
    "json lines": as_json_lines,
    "insights": as_insights,
}


def rows_of(source: Path | list[Path]) -> tuple[pl.DataFrame, str]:
    log = loadlens.read_log(source)
    rows = log.frame.collect()
    assert isinstance(rows, pl.DataFrame)
    return rows, "\n".join(log.findings.sentences())


def errors(rows: pl.DataFrame) -> dict[float, str | None]:
    assert rows["success"].to_list() == [error is None for error in rows["error"]]
    return dict(rows.select("invocation_latency", "error").rows())


@pytest.mark.parametrize("form", FORMS)
def test_a_call_failed_of_which_another_line_tells_so(form: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(FORMS[form](RUN))
    rows, said = rows_of(path)
    assert errors(rows) == EXPECTED
    assert "6 calls count as failed because other lines tell so" in said
    assert "no report here" not in said
    assert "a retry has" not in said


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_lines_does_not_matter(form: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(FORMS[form](random.Random(seed).sample(RUN, len(RUN))))
    assert errors(rows_of(path)[0]) == EXPECTED


def test_lines_far_from_the_report_and_in_another_file_count(tmp_path: Path) -> None:
    telling = [event for event in RUN if not event.startswith("REPORT")]
    reports = [event for event in RUN if event.startswith("REPORT")]
    idle = [f"INFO nothing happened {'.' * 200}"] * 30_000
    (tmp_path / "a.log").write_bytes(as_lines([reports[0], *idle, *telling]))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(as_lines(reports[1:])))
    paths = sorted(tmp_path.iterdir())
    rows, said = rows_of(paths)
    assert errors(rows) == EXPECTED
    assert "no report here" not in said
    with ThreadPoolExecutor(2) as pool:
        summary = loadlens.summarize(paths, [], executor=pool).summary
    assert summary["num_errors"].to_list() == [sum(error is not None for error in EXPECTED.values())]


@pytest.mark.slow
def test_a_line_that_is_cut_between_two_reads_of_a_file_is_known(tmp_path: Path) -> None:
    line = as_lines([RUN[2]])
    first = as_lines([report(0, 5)])
    filled = (2**20 - len(first)) // 32 * 32
    for at in range(0, len(line), 16):
        idle = (
            (b"x" * 31 + b"\n") * (filled // 32 - 4) + b"y" * (2**20 - len(first) - filled + 127 - at) + b"\n"
        )
        path = tmp_path / "log"
        path.write_bytes(first + idle + line + as_lines([report(1, 3071.27)]))
        rows, said = rows_of(path)
        assert errors(rows) == {5: None, 3071.27: "timeout"}
        assert "no report here" not in said


def test_a_retry_has_the_id_of_the_first_attempt(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(as_lines([report(1, 20), RUN[2], RUN[3]]))
    rows, said = rows_of(path)
    assert errors(rows) == {20: None, 3071.27: "timeout"}
    assert "a retry has" not in said
    path.write_bytes(as_lines([report(2, 20), RUN[4], RUN[5]]))
    rows, said = rows_of(path)
    assert rows["success"].to_list() == [False, False]
    assert "2 reports are of 1 requests" not in said
    assert "2 reports are of 1 request that exited or threw" in said


def test_calls_of_which_the_report_is_not_there_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(as_lines([RUN[1], RUN[2], RUN[4], RUN[5]]))
    rows, said = rows_of(path)
    assert rows.height == 2
    assert "1 of 2 requests that timed out, exited or threw, as lines tell, has no report here" in said


def test_a_status_that_the_report_has_decides(tmp_path: Path) -> None:
    record = {"requestId": request(2), "status": "success"}
    metrics = {"durationMs": 5, "billedDurationMs": 5, "memorySizeMB": 128, "maxMemoryUsedMB": 60}
    lines = [
        {
            "time": "2023-11-14T22:13:20.000Z",
            "type": "platform.report",
            "record": {**record, "metrics": metrics},
        },
        {"timestamp": START_MS, "message": RUN[5]},
    ]
    path = tmp_path / "log"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert errors(rows_of(path)[0]) == {5: None}


@pytest.mark.parametrize(
    "text",
    [
        b"Task timed out after 3.00 seconds",
        b"RequestId: 8f507cfc Error: the order was not found",
        b"8f507cfc Task timed out after a while",
        b"\t8f507cfc\tERROR\tno stock",
    ],
)
def test_what_a_function_logs_tells_of_no_failure(text: bytes) -> None:
    assert not list(failures_in(text))
