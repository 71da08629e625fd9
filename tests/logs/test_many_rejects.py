"""Logs of bad rows without end: reading stops soon, what is written down is bounded, and both are said."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.logs import TooManyRejectsError
from loadlens.logs.findings import MOST_LISTED, Findings
from loadlens.text.typed_rows import REJECT_SCHEMA
from tests.dialect_logs import BLOCKWISE, sample
from tests.extent import some_of

HEADER = b"timeStamp,elapsed,label,responseMessage,success,bytes\n"
ROW = b"1700000000123,120,GET /,OK,true,1000\n"
MANY = 40_000
OTHERS_ARE_NO_RECORDS = {"lambda-report", "lambda-events-json", "lambda-events-csv"}


def refused(path: Path, max_rejects: str | int = 0) -> TooManyRejectsError:
    with pytest.raises(TooManyRejectsError) as caught:
        loadlens.summarize(loadlens.read_log(path, max_rejects=max_rejects), by=())
    return caught.value


@pytest.mark.parametrize("dialect", some_of(BLOCKWISE, 5))
def test_reading_stops_in_every_dialect(tmp_path: Path, dialect: str) -> None:
    found = sample(dialect, rows=50)
    lines = found.data.splitlines(keepends=True)
    torn = lines[-1][: len(lines[-1]) // 2].rstrip() + b'"\n'
    path = tmp_path / "log"
    path.write_bytes(found.data + torn * 40_000)
    error = refused(path)
    assert "and the rest was not read; " in error.problems[-1]
    assert 10_000 < error.findings.rejected < 40_000


@pytest.mark.slow
@pytest.mark.parametrize("bad", [b"x\n", b'"' + ROW])
def test_thirty_million_bad_rows_take_no_longer_than_some(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "log.jtl.gz"
    path.write_bytes(gzip.compress(HEADER + ROW * 3 + bad * (60_000_000 // len(bad))))
    began = time.process_time()
    result = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 1s"])
    assert time.process_time() - began < 20  # it was several minutes
    assert result.exit_code == 3
    assert "of the first " in result.stderr
    assert " rejected, allowed: 0, and the rest was not read; mend them" in result.stderr


def test_a_count_is_passed_by_some_before_reading_stops(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_bytes(HEADER + ROW + b"1,2\n" * MANY)
    error = refused(path, 15_000)
    assert 25_000 < error.findings.rejected <= MANY
    path.write_bytes(HEADER + ROW + b"1,2\n" * 9_000)
    error = refused(path)  # few enough to be told at once
    assert error.problems[-1].startswith("9,000 of 9,001 rows rejected, allowed: 0; mend them")


@pytest.mark.slow
def test_a_share_is_judged_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_bytes(HEADER + b"1,2\n" * MANY + ROW * MANY)
    log = loadlens.read_log(path, max_rejects="50%")
    assert log.frame.collect().height == MANY
    assert log.findings.rejected == MANY
    assert refused(path, "49.9%").problems[-1].startswith(f"{MANY:,} of {2 * MANY:,} rows rejected")


def test_bad_rows_alone_are_told_as_far_as_they_were_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_bytes(HEADER + b"1,2\n" * MANY)
    told = refused(path).problems[-1]
    assert told.startswith("all of the first ")
    assert "rejected, and the rest was not read; mend them, or name the format" in told


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_tables_of_bad_rows_are_left_too(tmp_path: Path, form: str) -> None:
    rows = pl.DataFrame({"invocation_latency": [1.0] + [-7.0] * 2 * MANY})
    path = tmp_path / f"log.{form}"
    rows.write_parquet(path) if form == "parquet" else rows.write_ipc(path)
    error = refused(path)
    assert "and the rest was not read" in error.problems[-1]
    assert error.findings.rejected == 10_000 + 10_000


@pytest.mark.slow
def test_workers_stop_as_soon(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jtl").write_bytes(HEADER + ROW * (number + 1) + b"1,2\n" * MANY)
    with ThreadPoolExecutor(2) as executor, pytest.raises(TooManyRejectsError) as caught:
        loadlens.summarize(tmp_path, by=(), executor=executor)
    assert "and the rest was not read" in caught.value.problems[-1]


def test_the_file_of_rejected_rows_says_what_it_does_not_have(tmp_path: Path) -> None:
    path, out = tmp_path / "log.jtl", tmp_path / "rejects.csv"
    path.write_bytes(HEADER + ROW + b"1,2\n" * MANY)
    result = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 1s", "--rejects", str(out)])
    listed = out.read_text(encoding="utf-8").count("\n") - 1
    assert f"loadlens: {out}: has {listed:,} rejected rows" in result.stderr.splitlines()


def some_rejects(rows: int, raw: str = "1,2") -> pl.DataFrame:
    reason = "got 2 cells, expected 6"
    return pl.DataFrame(
        {"line": range(rows), "column": "", "reason": reason, "raw": raw}, schema=REJECT_SCHEMA
    )


def listed_in(findings: Findings, path: Path) -> list[str]:
    findings.write_rejects(path)
    return path.read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.slow
def test_a_million_rejected_rows_are_written_down_and_all_are_counted(tmp_path: Path) -> None:
    findings = Findings(rows=1)
    for _ in range(3):
        findings.add_rejects("log.jtl", some_rejects(MOST_LISTED // 2 - 1), place="line")
    more = 3 * (MOST_LISTED // 2 - 1) - MOST_LISTED
    assert (findings.unlisted, findings.rejected) == (more, more + MOST_LISTED)
    assert findings.reasons == {"expected 6 cells": more + MOST_LISTED}
    assert findings.document()["rejects_not_listed"] == more
    assert "1,499,997 rows are rejected, of which 1,000,000 are listed" in findings.sentences()
    lines = listed_in(findings, tmp_path / "rejects.csv")
    assert len(lines) == MOST_LISTED + 1
    assert lines[-1] == f',,,"and {more:,} more rejected rows",'


@pytest.mark.slow
def test_bytes_of_rejected_rows_are_bounded(tmp_path: Path) -> None:
    findings = Findings(rows=1)
    for _ in range(5):
        findings.add_rejects("log.jtl", some_rejects(100_000, "x" * 500), place="line")
    lines = listed_in(findings, tmp_path / "rejects.csv")
    assert len(lines) == 300_001
    assert lines[-1] == ',,,"and 200,000 more rejected rows",'


@pytest.mark.slow
def test_findings_of_parts_have_one_bound(tmp_path: Path) -> None:
    whole = Findings(rows=1)
    for raw in ("a,\n1", "b,2"):
        part = Findings()
        part.add_rejects("log.jtl", some_rejects(MOST_LISTED - 10, raw), place="line")
        whole.merge(part)
    assert whole.unlisted == MOST_LISTED - 20
    whole.write_rejects(tmp_path / "rejects.csv")
    rows = pl.read_csv(tmp_path / "rejects.csv")
    assert rows.height == MOST_LISTED + 1
    assert rows["raw"].value_counts().sort("count")["count"].to_list() == [1, 10, MOST_LISTED - 10]


@pytest.mark.slow
def test_a_log_of_many_allowed_rejects_lists_some_of_each_block(tmp_path: Path) -> None:
    path, rows = tmp_path / "log.jtl", 400_000
    path.write_bytes(HEADER + ROW + b"x\n" * rows)
    log = loadlens.read_log(path, max_rejects="100%")
    log.frame.collect()
    found = log.findings
    assert (found.rejected, found.reasons["expected 6 cells"]) == (rows, rows)
    assert 50_000 < rows - found.unlisted <= 100_000
