"""The trace of Azure Functions. The rows are written here by its documented layout, not recorded."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from loadlens.dialects.azure import AZURE_TRACE
from loadlens.errors import InputError
from loadlens.text.stream import read_head

from .reading import LOGS, TIMES_DAMAGED, check_damage, check_one_bad_byte, head, logs_of_others, read

RECORDED_LOGS = sorted((LOGS / "azure").glob("*.csv"))
HEADER = "app,func,end_timestamp,duration"
ROWS = ["a1,f1,0.0794909,0.078", "a1,f2,57.5,57.25", "b2,f1,3.0,4.0", "b2,f1,5,0"]


def table(*rows: str, header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in (header, *rows))


@pytest.mark.parametrize("block_bytes", [20, 2**20])
def test_invocations_become_canonical_rows(block_bytes: int) -> None:
    assert AZURE_TRACE.matches(head(table(*ROWS)))
    parsed = read(AZURE_TRACE, table(*ROWS), block_bytes=block_bytes)
    rows = parsed.rows
    assert parsed.rejects.is_empty()
    assert rows.get_column("success").to_list() == [True] * 4
    assert rows.get_column("error").to_list() == [None] * 4
    assert rows.get_column("label").to_list() == ["f1", "f2", "f1", "f1"]
    assert rows.get_column("app").to_list() == ["a1", "a1", "b2", "b2"]
    assert rows.get_column("start_time").to_list() == pytest.approx([0.0014909, 0.25, -1, 5])
    assert rows.get_column("end_time").to_list() == [0.0794909, 57.5, 3, 5]
    assert rows.get_column("invocation_latency").to_list() == [78, 57250, 4000, 0]


def test_a_header_alone_gives_no_rows() -> None:
    assert read(AZURE_TRACE, table()).rows.is_empty()


def test_columns_may_be_in_any_order_and_others_between_them() -> None:
    rows = read(AZURE_TRACE, table("1.5,x,f,0.5,a", header='"duration",more,func,end_timestamp,app')).rows
    assert rows.get_column("invocation_latency").to_list() == [1500]
    assert rows.get_column("start_time").to_list() == [-1]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("a1,f1,NaN,1", "end_timestamp"),
        ("a1,f1,inf,1", "end_timestamp"),
        ("a1,f1,1e11,1", "start_time"),
        ("a1,f1,,1", "end_timestamp"),
        ("a1,f1,5,-1", "duration"),
        ("a1,f1,5,-0.001", "duration"),
        ("a1,f1,5,soon", "duration"),
        ("a1,f1,5,", "duration"),
        ("a1,f1,5,1e10", "invocation_latency"),
        ("a1,,5,1", "func"),
        ("a1,f\xff,5,1", "func"),
        ("a1,f1,5", ""),
        ("a1,f1,5,1,1", ""),
    ],
)
def test_bad_rows_are_rejected_alone(row: str, column: str) -> None:
    parsed = read(AZURE_TRACE, table(ROWS[0], row, *ROWS[1:]).encode("latin-1"))
    assert parsed.rows.height == len(ROWS)
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]


def test_a_torn_last_line_is_rejected() -> None:
    parsed = read(AZURE_TRACE, table(*ROWS).removesuffix(",0\n"))
    assert parsed.rows.height == len(ROWS) - 1
    assert parsed.rejects.select("line", "reason").rows() == [(5, "torn last line")]


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_is_refused_or_costs_what_it_hits(times: int) -> None:
    check_damage(AZURE_TRACE, table(*ROWS), times)
    check_one_bad_byte(AZURE_TRACE, table(*ROWS), times)


@pytest.mark.parametrize("log", ["", "\n", "app,func\n", "{}\n", "\xff", "app;func;end_timestamp;duration\n"])
def test_what_is_no_trace_is_refused(log: str) -> None:
    assert not AZURE_TRACE.matches(head(log))
    with pytest.raises(
        InputError, match=r"Azure Functions invocation trace(: missing|, but lacks the) columns:? "
    ):
        AZURE_TRACE.open(head(log))


def test_the_dialect_says_what_it_is_and_what_it_cannot_tell() -> None:
    assert (AZURE_TRACE.key, AZURE_TRACE.clock, AZURE_TRACE.closed_loop) == (
        ("label", "app"),
        "relative",
        False,
    )
    assert dict(AZURE_TRACE.open(head(table())).meaning)["duration"] == "execution time, s"
    success, latency = AZURE_TRACE.warnings(head(table()), 0, {})
    assert "all count as successful" in success
    assert "without what callers waited for" in latency


@pytest.mark.skipif(not RECORDED_LOGS, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", RECORDED_LOGS, ids=lambda path: path.name)
@pytest.mark.parametrize("block_bytes", [500, 2**20])
def test_recorded_traces_agree_with_an_independent_reading(path: Path, block_bytes: int) -> None:
    assert AZURE_TRACE.matches(read_head(path))
    parsed = read(AZURE_TRACE, path.read_bytes(), block_bytes=block_bytes)
    with path.open(newline="", encoding="utf-8") as file:
        expected = list(csv.DictReader(file))
    rows = parsed.rows
    assert parsed.rejects.is_empty()
    assert rows.height == len(expected) > 0
    assert rows.get_column("end_time").to_list() == [float(row["end_timestamp"]) for row in expected]
    assert Counter(rows.get_column("label")) == Counter(row["func"] for row in expected)
    latencies = [float(row["duration"]) * 1000 for row in expected]
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


@pytest.mark.parametrize("path", logs_of_others("azure"), ids=lambda path: path.name)
def test_logs_of_other_tools_are_left_alone(path: Path) -> None:
    assert not AZURE_TRACE.matches(read_head(path))
