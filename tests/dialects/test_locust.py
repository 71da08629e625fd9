"""Locust's requests. The files in ``recorded`` were written by Locust 2.47 against a server on loopback."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects.locust import LOCUST_CSV, LOCUST_STATISTICS, LOCUST_WORKERS
from loadlens.errors import InputError
from loadlens.text.stream import read_head

from .reading import (
    LOGS,
    RECORDED,
    TIMES_DAMAGED,
    check_damage,
    check_one_bad_byte,
    head,
    logs_of_others,
    read,
)

REQUESTS = RECORDED / "locust_requests.csv"
FOLDER = LOGS / "locust"

HEADER = "timestamp,request_type,name,response_time_ms,response_length,status_code,exception"
REFUSED = "\"ConnectionRefusedError(111, 'Connection refused')\""
TWO_LINES = '"CatchResponseError(""got \'a, b\'"")\nand more"'
ROWS = [
    "1700000000.25,GET,/a?token=b#c,12.5,1000,200,",
    "1700000000.5,POST,http://u:p@host/b,80,300,404,HTTPError('404 Client Error: Not Found for url: /b')",
    f"1700000001,GET,/c,2.25,0,0,{REFUSED}",
    f'1700000001.125,GET,"/d, or so",0,300,200,{TWO_LINES}',
    "1700000002,SQL,Query #1,4,,,None",
]
ERRORS = [None, "404", "ConnectionRefusedError", "CatchResponseError", None]


def table(*rows: str, header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in (header, *rows))


@pytest.mark.parametrize("block_bytes", [60, 2**20])
def test_requests_become_canonical_rows(block_bytes: int) -> None:
    parsed = read(LOCUST_CSV, table(*ROWS), block_bytes=block_bytes)
    rows = parsed.rows
    assert parsed.rejects.is_empty()
    assert rows.get_column("success").to_list() == [True, False, False, False, True]
    assert rows.get_column("error").to_list() == ERRORS
    assert rows.get_column("label").to_list() == [
        "/a?token=b#c",
        "http://u:p@host/b",
        "/c",
        "/d, or so",
        "Query #1",
    ]
    assert rows.get_column("method").to_list() == ["GET", "POST", "GET", "GET", "SQL"]
    assert rows.get_column("start_time").to_list() == [
        1700000000.25,
        1700000000.5,
        1700000001,
        1700000001.125,
        1700000002,
    ]
    assert rows.get_column("end_time").to_list() == pytest.approx(
        [1700000000.2625, 1700000000.58, 1700000001.00225, 1700000001.125, 1700000002.004], abs=1e-6
    )
    assert rows.get_column("invocation_latency").to_list() == [12.5, 80, 2.25, 0, 4]
    assert rows.get_column("response_size").to_list() == [1000, 300, 0, 300, None]
    assert rows.get_column("status").to_list() == ["200", "404", None, "200", None]


def test_columns_may_be_in_any_order_and_others_between_them() -> None:
    header = "name,user,exception,response_time_ms,request_type,timestamp"
    rows = read(LOCUST_CSV, table("/a,7,,12.5,GET,1.5", "/a,7,KeyError('x'),1,GET,2", header=header)).rows
    assert rows.get_column("error").to_list() == [None, "KeyError"]
    assert rows.get_column("end_time").to_list() == [1.5125, 2.001]
    assert "status" not in rows.columns


@pytest.mark.parametrize(
    ("exception", "expected"),
    [
        ("requests.exceptions.ReadTimeout(x)", "requests.exceptions.ReadTimeout"),
        ("[Errno 111] Connection refused", "[Errno N] Connection refused"),
        ("HTTPConnectionPool(host='x'): Max retries exceeded with url: /?token=a", "HTTPConnectionPool"),
        ("too slow: 17 ms", "too slow"),
        ("took 17 ms", "took N ms"),
        ("?token", "failed"),
        ("x" * 100, "x" * 60),
    ],
)
def test_a_failed_request_is_classed_by_its_exception(exception: str, expected: str) -> None:
    rows = read(LOCUST_CSV, table(f"1,GET,/,1,1,200,{exception}", ROWS[0])).rows
    assert rows.get_column("error").to_list() == [expected, None]


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("1700000000.5,", "yesterday,", "timestamp"),
        ("1700000000.5,", "NaN,", "timestamp"),
        ("1700000000.5,", "inf,", "timestamp"),
        ("1700000000.5,", ",", "timestamp"),
        ("1700000000.5,", "1700000000500,", "start_time"),
        (",80,", ",-1,", "response_time_ms"),
        (",80,", ",-5,", "response_time_ms"),
        (",80,", ",none,", "response_time_ms"),
        (",80,", ",fast,", "response_time_ms"),
        (",80,", ",1e99,", "invocation_latency"),
        (",300,404", ",-300,404", "response_size"),
        (",300,404", ",many,404", "response_length"),
        (",300,404", ",404", ""),
        (",300,404", ",300,,404", ""),
        ("http://u:p@host/b", "\xff", "name"),
    ],
)
def test_bad_rows_are_rejected_alone(old: str, new: str, column: str) -> None:
    log = table(*ROWS)
    assert old in log
    parsed = read(LOCUST_CSV, log.replace(old, new, 1).encode("latin-1"))
    assert parsed.rows.height == len(ROWS) - 1
    assert parsed.rejects.get_column("line").to_list() == [3]
    assert parsed.rejects.item(0, "column").startswith(column)


@pytest.mark.parametrize("missing", ["", "None", '"None"', " "])
def test_a_call_without_a_latency_is_a_call(missing: str) -> None:
    log = table(
        f"1700000000.25,TASK,login,{missing},{missing},{missing},",
        f"1700000000.5,TASK,login,{missing},,0,{REFUSED}",
        ROWS[0],
    )
    parsed = read(LOCUST_CSV, log)
    assert parsed.rejects.is_empty()
    rows = parsed.rows.select("success", "invocation_latency", "start_time", "end_time", "response_size")
    assert rows.rows()[:2] == [
        (True, None, 1700000000.25, 1700000000.25, None),
        (False, -1.0, 1700000000.5, 1700000000.5, None),
    ]
    summary = loadlens.summarize(parsed.rows, ["label"]).summary.filter(label="login").to_dicts()
    assert [(row["num_errors"], row["invocation_latency_max"]) for row in summary] == [(1, None)]


def test_a_torn_last_line_is_rejected() -> None:
    parsed = read(LOCUST_CSV, table(*ROWS)[: -len(",4,,,None\n")])
    assert parsed.rows.height == len(ROWS) - 1
    assert parsed.rejects.select("line", "reason").rows() == [(7, "torn last line")]  # one row has two lines


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_is_refused_or_costs_what_it_hits(times: int) -> None:
    check_damage(LOCUST_CSV, table(*ROWS), times)
    check_one_bad_byte(LOCUST_CSV, table(*ROWS), times)


def test_a_file_that_does_not_tell_failures_is_refused() -> None:
    header = "timestamp,request_type,name,response_time_ms,success"
    log = table("1,GET,/,5,True", header=header)
    assert LOCUST_CSV.matches(head(log))
    with pytest.raises(InputError, match=r"lacks the column exception; it has: .*events\.request.*--map"):
        LOCUST_CSV.open(head(log))
    with pytest.raises(InputError, match="doubled columns: name"):
        LOCUST_CSV.open(head(table(header=HEADER + ",name")))


@pytest.mark.parametrize("log", ["", "a,b\n", "timestamp,name\n", "{}", "[]", '"', "\xff\n", "x" * 300_000])
def test_what_is_no_locust_is_not_taken(log: str) -> None:
    assert not any(kind.matches(head(log)) for kind in (LOCUST_CSV, LOCUST_STATISTICS, LOCUST_WORKERS))


def test_the_dialect_says_what_it_is_and_what_it_cannot_tell() -> None:
    assert (LOCUST_CSV.key, LOCUST_CSV.clock, LOCUST_CSV.closed_loop) == (("label", "method"), "epoch", True)
    assert dict(LOCUST_CSV.open(head(table())).meaning)["response_time_ms"] == "latency, ms"
    (warning,) = LOCUST_CSV.warnings(head(table()), 0, {})
    assert "taken as the starts" in warning


def test_recorded_requests_agree_with_an_independent_reading() -> None:
    assert LOCUST_CSV.matches(read_head(REQUESTS))
    parsed = read(LOCUST_CSV, REQUESTS.read_bytes())
    with REQUESTS.open(newline="", encoding="utf-8") as file:
        expected = list(csv.DictReader(file))
    assert parsed.rejects.is_empty()
    rows = parsed.rows
    assert rows.get_column("start_time").to_list() == [float(row["timestamp"]) for row in expected]
    assert rows.get_column("success").to_list() == [not row["exception"] for row in expected]
    latencies = [float(row["response_time_ms"]) for row in expected]
    assert rows.get_column("invocation_latency").to_list() == latencies
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))
    errors = {"404", "ConnectionRefusedError", "CatchResponseError"}
    assert set(rows.get_column("error").drop_nulls()) == errors
    assert set(rows.get_column("label")) == {row["name"] for row in expected}


def test_recorded_requests_add_up_to_what_locust_says() -> None:
    statistics = json.loads((RECORDED / "locust_stats.json").read_text(encoding="utf-8"))
    said = defaultdict(list)
    for entry in statistics:
        name = entry["name"]
        times = (entry["min_response_time"], entry["max_response_time"], entry["total_response_time"])
        said[name] = [entry["num_requests"], entry["num_failures"], *times, entry["total_content_length"]]
    latency = pl.col("invocation_latency")
    rows = read(LOCUST_CSV, REQUESTS.read_bytes()).rows
    found = rows.group_by("label").agg(
        pl.len(),
        (~pl.col("success")).sum().alias("failures"),
        latency.min().alias("least"),
        latency.max().alias("most"),
        latency.sum().alias("total"),
        pl.col("response_size").sum(),
    )
    assert {name: list(figures) for name, *figures in found.iter_rows()} == {
        name: pytest.approx(figures) for name, figures in said.items()
    }


def rounded(ms: float) -> str:
    """The key of a latency in Locust's statistics: two digits, and no fractions."""
    digits = 0 if ms < 100 else 1 if ms < 1000 else 2 if ms < 10_000 else 3
    return str(int(round(ms, -digits)))


@pytest.mark.parametrize("run", ["fast", "events", "users", "workers"])
def test_further_runs_add_up_to_what_locust_says(run: str) -> None:
    """``fast`` is of a FastHttpUser and names that hold anything, ``events`` of events without a time.

    In ``users`` tasks judge otherwise than statuses do, and ``workers`` are the logs of two processes.
    """
    said = {
        (entry["method"], entry["name"]): entry
        for entry in json.loads((RECORDED / f"locust_{run}_stats.json").read_text(encoding="utf-8"))
    }
    logs = [RECORDED / f"locust_{run}{part}.csv" for part in (["_0", "_1"] if run == "workers" else [""])]
    parts = [read(LOCUST_CSV, log.read_bytes()) for log in logs]
    assert all(part.rejects.is_empty() for part in parts)
    groups = pl.concat([part.rows for part in parts]).group_by("method", "label")
    found = {(str(method), str(label)): rows for (method, label), rows in groups}
    assert found.keys() == said.keys()
    for key, rows in found.items():
        told, latencies = said[key], rows["invocation_latency"].drop_nulls()
        assert rows.height == told["num_requests"]
        assert rows.height - latencies.len() == told["num_none_requests"]
        assert int((~rows["success"]).sum()) == told["num_failures"]
        assert latencies.sum() == pytest.approx(told["total_response_time"])
        assert (latencies.max() or 0) == told["max_response_time"]
        assert latencies.min() == told["min_response_time"]
        assert rows["response_size"].sum() == told["total_content_length"]
        assert Counter(map(rounded, latencies)) == told["response_times"]


@pytest.mark.parametrize(("run", "logs"), [("users", 1), ("workers", 2)])
def test_recorded_logs_are_summed_up_by_name_and_method(run: str, logs: int) -> None:
    said = json.loads((RECORDED / f"locust_{run}_stats.json").read_text(encoding="utf-8"))
    paths = sorted(RECORDED.glob(f"locust_{run}*.csv"))
    assert len(paths) == logs
    by_name = loadlens.summarize(paths, ["method", "label"]).summary.to_dicts()
    assert {(row["method"], row["label"], row["num_invocations"], row["num_errors"]) for row in by_name} == {
        (entry["method"], entry["name"], entry["num_requests"], entry["num_failures"]) for entry in said
    }


@pytest.mark.parametrize("kind", ["stats", "stats_history", "failures", "exceptions"])
def test_recorded_aggregates_are_refused(kind: str) -> None:
    top = read_head(RECORDED / f"locust_{kind}.csv")
    assert LOCUST_STATISTICS.matches(top)
    assert not LOCUST_CSV.matches(top)
    assert not LOCUST_WORKERS.matches(top)


@pytest.mark.parametrize(
    "header",
    [
        '"Type","Name","# requests","# failures","Median response time","Average response time"',
        '"Method","Name","# requests","# failures","Requests/s"',
        '"Name","# requests","50%","66%"',
        '"Method","Name","Error","Occurrences"',
    ],
)
def test_aggregates_of_old_versions_are_refused(header: str) -> None:
    assert LOCUST_STATISTICS.matches(head(header + "\n"))


def test_statistics_as_json_are_refused() -> None:
    top = read_head(RECORDED / "locust_stats.json")
    assert LOCUST_WORKERS.matches(top)
    assert not LOCUST_STATISTICS.matches(top)
    assert "events.request" in LOCUST_WORKERS.advice


@pytest.mark.skipif(not FOLDER.exists(), reason="the recorded logs are not here")
def test_every_recorded_aggregate_is_refused() -> None:
    for path in FOLDER.iterdir():
        top = read_head(path)
        assert LOCUST_STATISTICS.matches(top) == (path.suffix == ".csv")
        assert LOCUST_WORKERS.matches(top) == (path.suffix == ".ldjson")
        assert not LOCUST_CSV.matches(top)


@pytest.mark.parametrize("path", logs_of_others("locust"), ids=lambda path: path.name)
def test_logs_of_other_tools_are_left_alone(path: Path) -> None:
    kinds = (LOCUST_CSV, LOCUST_STATISTICS, LOCUST_WORKERS)
    assert not any(kind.matches(read_head(path)) for kind in kinds)


def test_line_endings_do_not_matter() -> None:
    log = REQUESTS.read_text(encoding="utf-8")
    assert_frame_equal(
        read(LOCUST_CSV, log.replace("\n", "\r\n")).rows, read(LOCUST_CSV, "\ufeff" + log).rows
    )
