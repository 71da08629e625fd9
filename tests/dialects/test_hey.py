"""hey's CSV. ``recorded/hey*`` were written by hey 0.1.4 against a server on loopback; the rest by hand.

The summaries of ``hey_items`` and ``hey_drop`` are of the very runs of their logs: its template was
changed for them, so that it prints both.
"""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import loadlens
from loadlens.dialects.hey import HEY_CSV, HEY_SUMMARY
from loadlens.errors import InputError

from .reading import RECORDED, TIMES_DAMAGED, check_damage, head, logs_of_others, read

HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
LOG = (RECORDED / "hey.csv").read_text()
SUMMARY = (RECORDED / "hey_summary.txt").read_text()
ROWS = ["0.0123,0.0010,0.0000,0.0001,0.0100,0.0001,200,0.5000", "1.1000,0,0,0,0,0,503,0.1001"]


def table(*rows: str) -> str:
    return "".join(f"{row}\n" for row in (HEADER, *rows))


def test_answers_become_canonical_rows() -> None:
    parsed = read(HEY_CSV, table(*ROWS))
    assert parsed.rows.to_dicts() == [
        {
            "success": True,
            "error": None,
            "status": "200",
            "start_time": 0.5,
            "end_time": 0.5123,
            "invocation_latency": 12.3,
        },
        {
            "success": False,
            "error": "503",
            "status": "503",
            "start_time": 0.1001,
            "end_time": 1.2001,
            "invocation_latency": 1100.0,
        },
    ]
    assert parsed.rejects.is_empty()


@pytest.mark.parametrize("block_bytes", [100, 2**20])
def test_a_recorded_log_agrees_with_an_independent_reading(block_bytes: int) -> None:
    rows = read(HEY_CSV, LOG, block_bytes=block_bytes).rows
    expected = list(csv.DictReader(LOG.splitlines()))
    assert HEY_CSV.matches(head(LOG))
    assert rows.height == len(expected) == 60
    assert Counter(rows["status"]) == Counter(row["status-code"] for row in expected)
    assert rows["success"].sum() == sum(int(row["status-code"]) < 400 for row in expected)
    assert rows["start_time"].to_list() == [float(row["offset"]) for row in expected]
    latencies = [float(row["response-time"]) * 1000 for row in expected]
    assert rows["invocation_latency"].to_list() == pytest.approx(latencies)
    for share in (0.5, 0.9, 0.99):
        got = rows["invocation_latency"].quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


@pytest.mark.parametrize(
    ("name", "rows", "failed"), [("hey_flaky", 120, {"503"}), ("hey_missing", 60, {"404"})]
)
def test_further_recorded_logs_tell_every_answer(name: str, rows: int, failed: set[str]) -> None:
    log = (RECORDED / f"{name}.csv").read_text()
    found = read(HEY_CSV, log).rows
    expected = Counter(row["status-code"] for row in csv.DictReader(log.splitlines()))
    assert found.height == rows
    assert Counter(found["status"]) == expected
    assert set(found["error"].drop_nulls()) == failed
    assert int((~found["success"]).sum()) == sum(expected[status] for status in failed)


@pytest.mark.parametrize(("name", "lost"), [("hey_items", 0), ("hey_drop", 49)])
def test_a_recorded_log_agrees_with_the_summary_of_its_run(name: str, lost: int) -> None:
    said = (RECORDED / f"{name}_summary.txt").read_text(encoding="utf-8")
    rows = read(HEY_CSV, (RECORDED / f"{name}.csv").read_text()).rows
    seconds = sorted(round(ms / 1000, 4) for ms in rows["invocation_latency"])
    told = {what: float(s) for what, s in re.findall(r"(Slowest|Fastest|Average):\t(\S+) secs", said)}
    assert (seconds[-1], seconds[0]) == (told["Slowest"], told["Fastest"])
    assert sum(seconds) / len(seconds) == pytest.approx(told["Average"], abs=1e-4)
    shares = re.findall(r"(\d+)% in (\S+) secs", said)
    assert len(shares) == 7
    for share, s in shares:  # hey's own rule: the first row with that share of the rows before it
        assert seconds[-(-int(share) * len(seconds) // 100)] == float(s)
    statuses = re.findall(r"\[(\d+)\]\t(\d+) responses", said)
    assert Counter(rows["status"]) == {status: int(count) for status, count in statuses}
    errors = re.findall(r"^  \[(\d+)\]\t\S+ \"http", said, re.MULTILINE)
    assert sum(map(int, errors)) == lost  # hey logs no call without an answer, as the warning says


@pytest.mark.parametrize(("name", "calls", "failed"), [("hey_items", 300, 38), ("hey_drop", 160, 0)])
def test_a_recorded_log_is_summed_up(name: str, calls: int, failed: int) -> None:
    path = RECORDED / f"{name}.csv"
    (found,) = loadlens.summarize(path, []).summary.to_dicts()
    assert (found["num_invocations"], found["num_errors"]) == (calls, failed)
    with path.open(newline="") as file:
        good = [float(row["response-time"]) for row in csv.DictReader(file) if int(row["status-code"]) < 400]
    for share in (90, 95, 99):
        expected = np.percentile(good, share) * 1000
        assert found[f"invocation_latency_p{share}"] == pytest.approx(expected)
    assert found["invocation_latency_mean"] == pytest.approx(np.mean(good) * 1000)


def test_columns_are_taken_by_name() -> None:
    rows = read(HEY_CSV, "DNS+dialup,offset,status-code,Request-write,response-time\n0,2,404,0,0.5\n").rows
    assert rows.row(0) == (False, "404", "404", 2.0, 2.5, 500.0)


def test_a_log_of_no_answers_has_no_rows() -> None:
    assert read(HEY_CSV, HEADER + "\n").rows.is_empty()


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (ROWS[0].replace("0.0123", "fast"), "response-time"),
        (ROWS[0].replace("0.0123", "NaN"), "response-time"),
        (ROWS[0].replace("0.0123", "inf"), "response-time"),
        (ROWS[0].replace("0.0123", "-0.001"), "response-time"),  # -1 ms would be a failed call's
        (ROWS[0].replace("0.0123", ""), "response-time"),
        (ROWS[0].replace(",200,", ",,"), "status-code"),
        (ROWS[0].replace(",200,", ",20,"), "status-code"),
        (ROWS[0].replace("0.5000", "-1"), "offset"),
        (ROWS[0].replace("0.5000", "1e99"), "start_time"),
        (ROWS[0].replace(",200,", ","), ""),
    ],
)
def test_bad_rows_are_rejected_alone(row: str, column: str) -> None:
    parsed = read(HEY_CSV, table(ROWS[0], row, ROWS[1]))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column", "raw").rows() == [(3, column, row)]


def test_a_torn_last_line_and_invalid_bytes_are_rejects() -> None:
    torn = read(HEY_CSV, table(ROWS[0]) + ROWS[1][:9])
    assert torn.rejects["reason"].to_list() == ["torn last line"]
    broken = read(HEY_CSV, table(*ROWS).encode().replace(b",503,", b",5\xff3,"))
    assert (broken.rows.height, broken.rejects["column"].to_list()) == (1, ["status-code"])


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_never_escapes(times: int) -> None:
    check_damage(HEY_CSV, LOG, times)


def test_warnings_say_what_hey_leaves_out() -> None:
    few = HEY_CSV.warnings(head(LOG), 60, {})
    assert "transport errors" in few[0]
    assert "0.1 ms" in few[1]
    assert "the rest was dropped" not in " ".join(few)
    assert "exactly 1,000,000 rows" in HEY_CSV.warnings(head(LOG), 1_000_000, {})[-1]


def test_an_old_layout_without_times_is_refused() -> None:
    old = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read\n0.1,0,0,0,0,0\n"
    assert HEY_CSV.matches(head(old))
    with pytest.raises(
        InputError, match=r"lacks the columns offset, status-code; it has: DNS, .* 0\.1\.2 or"
    ):
        HEY_CSV.open(head(old))


def test_the_summary_is_told_from_the_log() -> None:
    assert HEY_SUMMARY.matches(head(SUMMARY))
    assert not HEY_SUMMARY.matches(head(LOG))
    assert not HEY_CSV.matches(head(SUMMARY))
    assert "hey -o csv" in HEY_SUMMARY.advice


@pytest.mark.parametrize(
    "log", ["", "\n", "a,b\n1,2\n", "Summary:\n", "Summary:\n  Success rate:\t100.00%\n"]
)
def test_other_texts_do_not_match(log: str) -> None:
    assert not HEY_CSV.matches(head(log))
    assert not HEY_SUMMARY.matches(head(log))


@pytest.mark.parametrize("path", logs_of_others(), ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    assert not HEY_CSV.matches(head(path.read_bytes()))
    assert not HEY_SUMMARY.matches(head(path.read_bytes()))


def test_the_dialect_says_what_it_is() -> None:
    assert dict(HEY_CSV.open(head(LOG)).meaning)["response-time"] == "latency, s with 4 decimals"
    assert (HEY_CSV.key, HEY_CSV.clock, HEY_CSV.closed_loop) == ((), "relative", True)
