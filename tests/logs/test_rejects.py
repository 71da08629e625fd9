"""Rows that cannot be read are set aside, counted and written down; no other row is lost."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.logs.findings import MaxRejects
from tests.dialect_logs import sample
from tests.folders import leave_out_drawings

HEADER = b"timeStamp,elapsed,label,responseMessage,success,bytes\n"
ROW = b"1700000000123,120,GET /,OK,true,1000\n"
SUMS = ROW.replace(b"OK", b"Number of samples in transaction : 1")
BAD_ROWS = {
    ROW.replace(b"120", b"abc"): ("elapsed", "got 'abc', expected a whole number"),
    ROW.replace(b"120", b"NaN"): ("elapsed", "got 'NaN', expected a whole number"),
    ROW.replace(b"120", b"-7"): ("elapsed", "got -7, expected 0 or more"),
    ROW.replace(b"120", b""): ("elapsed", "got nothing, expected a value"),
    ROW.replace(b"true", b"maybe"): ("success", "got 'maybe', expected true or false"),
    ROW.replace(b"1700000000123", b"99999999999999999"): ("timeStamp", None),
    ROW.replace(b"GET /", b"GET \xff"): ("label", "is not valid UTF-8"),
    b"1700000000123,120,GET /\n": ("", "got 3 cells, expected 6"),
    ROW.replace(b"1000", b"1000,more"): ("", "got 7 cells, expected 6"),
    ROW.replace(b"GET /", b'"GET /'): ("", "its quotes do not enclose whole cells"),
}


@pytest.fixture(autouse=True)
def _no_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_drawings(monkeypatch)


def analyze(*args: object) -> Result:
    return CliRunner().invoke(app, ["analyze", *map(str, args)], catch_exceptions=False)


def file(folder: Path, data: bytes, name: str = "log.jtl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def rejects(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def document(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return found


def test_each_bad_row_is_written_down_with_its_reason(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + b"".join(ROW + bad for bad in BAD_ROWS) + ROW)
    result = analyze(path, "--out", tmp_path / "out", "--max-rejects", len(BAD_ROWS))
    assert result.exit_code == 0, result.stderr
    found = rejects(tmp_path / "out" / "rejects.csv")
    assert list(found[0]) == ["file", "line", "column", "reason", "raw"]
    for number, ((bad, (column, reason)), row) in enumerate(zip(BAD_ROWS.items(), found, strict=True)):
        assert (row["file"], row["line"], row["column"]) == (str(path), str(3 + 2 * number), column)
        assert row["reason"] == reason or reason is None
        assert row["raw"] == bad.decode(errors="replace").rstrip("\n")
    assert pl.read_csv(tmp_path / "out" / "summary.csv")["num_invocations"].sum() == len(BAD_ROWS) + 1


def test_rejects_are_counted_by_reason_everywhere(tmp_path: Path) -> None:
    many = (
        ROW.replace(b"120", b"abc") * 3 + ROW.replace(b"120", b"def") + ROW.replace(b"true", b"t") + b"1,2\n"
    )
    path = file(tmp_path, HEADER + ROW * 5 + many + SUMS * 2)
    out = tmp_path / "out"
    result = analyze(path, "--out", out, "--max-rejects", "100%")
    assert result.exit_code == 0
    assert f"Rejected rows: 6: {out / 'rejects.csv'}" in result.stdout
    expected = {
        "elapsed: expected a whole number": 4,
        "success: expected true or false": 1,
        "expected 6 cells": 1,
    }
    found = document(out)
    assert (found["rejected"], found["rejects_by_reason"]) == (6, expected)
    assert found["left_out"] == {"transaction controllers": 2}
    assert found["quality"][0]["num_rows"] == 5
    assert any("2 transaction controllers are left out" in text for text in found["warnings"])
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (*expected, "6 rows were rejected: rejects.csv has each.", "transaction controllers"):
        assert text in page


def test_a_report_without_rejects_has_none(tmp_path: Path) -> None:
    analyze(file(tmp_path, HEADER + ROW), "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "rejects.csv").exists()
    assert "rejected" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8").lower()
    assert document(tmp_path / "out")["rejects_by_reason"] == {}


def test_many_reasons_do_not_fill_the_report(tmp_path: Path) -> None:
    bad = [b'{"a": %d}\n' % number for number in range(70)] + [b"%d\n" % number for number in range(70)]
    out = tmp_path / "out"
    path = file(tmp_path, sample("vegeta-json").data + b"".join(bad))
    assert analyze(path, "--out", out, "--max-rejects", "140").exit_code == 0
    assert len(document(out)["rejects_by_reason"]) < 5


@pytest.mark.parametrize(
    ("allowed", "exit_code"),
    [("0", 3), ("1", 3), ("2", 0), ("19%", 3), ("20%", 0), ("100%", 0), ("0%", 3), ("3", 0)],
)
def test_a_count_or_a_share_may_be_rejected(tmp_path: Path, allowed: str, exit_code: int) -> None:
    path = file(tmp_path, HEADER + ROW * 8 + b"1,2\n" * 2)
    result = analyze(path, "--out", tmp_path / "out", "--max-rejects", allowed)
    assert result.exit_code == exit_code
    beside, within = tmp_path / "out.rejects.csv", tmp_path / "out" / "rejects.csv"
    assert (tmp_path / "out" / "summary.csv").exists() == within.exists() == (exit_code == 0)
    assert len(rejects(beside if exit_code else within)) == 2


@pytest.mark.parametrize("allowed", ["-1", "many", "101%", "-1%", "nan%", "5%%", "%", "", "1.5"])
def test_what_is_neither_is_refused(tmp_path: Path, allowed: str) -> None:
    result = analyze(file(tmp_path, HEADER + ROW), "--out", tmp_path / "out", f"--max-rejects={allowed}")
    assert result.exit_code == 2
    assert "expected a count such as 100 or a percentage such as 0.5%" in result.stderr


def test_too_many_end_the_run_after_they_are_written(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + ROW + b"1,2\n" * 7 + ROW)
    out = tmp_path / "out"
    result = analyze(path, "--out", out, "--max-rejects", "6")
    assert result.exit_code == 3
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[:5] == [f"loadlens: {path}, line {line}: got 2 cells, expected 6" for line in range(3, 8)]
    assert lines[5].startswith("loadlens: 7 of 9 rows rejected, allowed: 6; ")
    assert lines[6] == f"loadlens: {out}.rejects.csv: has all rejected rows"
    assert not out.exists()
    assert len(rejects(tmp_path / "out.rejects.csv")) == 7


def test_a_log_of_bad_rows_alone_is_refused_with_all_of_them(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + b"1,2\n" * 3)
    result = analyze(path, "--out", tmp_path / "out", "--max-rejects", "100%")
    assert result.exit_code == 3
    assert "all 3 rows rejected" in result.stderr
    assert len(rejects(tmp_path / "out.rejects.csv")) == 3


def test_rows_rejects_and_what_is_left_out_are_all_records(tmp_path: Path) -> None:
    parts = [HEADER, ROW, b"1,2\n", b"\n", SUMS, HEADER, ROW.replace(b"OK", b'"two\nlines"'), ROW[:-9]]
    for times in (1, 4000):
        path = file(tmp_path, HEADER + b"".join(parts[1:-1]) * times + parts[-1])
        log = loadlens.read_log(path, max_rejects="100%")
        rows = log.frame.collect().height
        found = log.findings
        assert (rows, found.rows, found.rejected) == (2 * times, 2 * times, times + 1)
        assert found.left_out == {"transaction controllers": times, "repeated headers": times}
        assert found.facts == {"blank lines": times}


def test_numbers_of_lines_hold_in_large_files(tmp_path: Path) -> None:
    bad = ROW.replace(b"120", b"abc")
    lines = 600_000  # more than one block of text
    path = file(tmp_path, HEADER + ROW * (lines - 1) + bad + ROW + bad)
    log = loadlens.read_log(path, max_rejects=2)
    assert log.frame.select(pl.len()).collect().item() == lines
    log.findings.write_rejects(tmp_path / "rejects.csv")
    assert [row["line"] for row in rejects(tmp_path / "rejects.csv")] == [str(lines + 1), str(lines + 3)]


def test_several_files_are_named(tmp_path: Path) -> None:
    paths = [file(tmp_path, HEADER + ROW + b"1,2\n", f"{name}.jtl") for name in "ab"]
    paths.append(file(tmp_path, sample("vegeta-json").data + b"{\n", "c.json"))
    out = tmp_path / "out"
    assert analyze(*paths, "--out", out, "--max-rejects", "3").exit_code == 0
    assert [(row["file"], row["line"]) for row in rejects(out / "rejects.csv")] == [
        (str(paths[0]), "3"),
        (str(paths[1]), "3"),
        (str(paths[2]), "121"),
    ]


def test_raw_text_is_bounded_and_survives_the_csv(tmp_path: Path) -> None:
    long = b"x" * 5000
    odd = 'a "q", \r\t\0 \x1b[31m ü \u2028'.encode()
    path = file(tmp_path, HEADER + ROW + long + b"\n" + odd + b"\n")
    analyze(path, "--out", tmp_path / "out", "--max-rejects", "2")
    first, second = rejects(tmp_path / "out" / "rejects.csv")
    assert first["raw"] == "x" * 499 + "…"
    assert second["raw"] == odd.decode()


def test_the_library_allows_and_tells_them_too(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + ROW * 3 + b"1,2\n")
    with pytest.raises(loadlens.InputError, match="1 of 4 rows rejected, allowed: 0"):
        loadlens.summarize(path, by=[])
    with pytest.raises(loadlens.InputError, match="1 of 4 rows rejected, allowed: 0"):
        loadlens.scan_log(path).collect()
    log = loadlens.read_log(path, max_rejects="50%")
    assert loadlens.summarize(log, by=[]).summary["num_invocations"].item() == 3
    assert log.findings.rejected == 1
    assert log.frame.head(1).collect().height == 1
    assert log.findings.rejected == 1  # a scan that is broken off does not count


def test_scans_at_the_same_time_do_not_mix_what_they_find(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + (ROW * 2 + b"1,2\n") * 2000)
    log = loadlens.read_log(path, max_rejects="50%")
    label, success = pl.collect_all([log.frame.select("label"), log.frame.select("success")])
    assert label.height == success.height == 4000
    assert (log.findings.rows, log.findings.rejected) == (4000, 2000)
    log.findings.write_rejects(tmp_path / "rejects.csv")
    assert len(rejects(tmp_path / "rejects.csv")) == 2000


@pytest.mark.parametrize(
    ("allowed", "text"), [("0", "0"), ("1000", "1,000"), ("0.5%", "0.5%"), ("100%", "100%"), ("0%", "0%")]
)
def test_what_is_allowed_is_shown_as_it_was_given(allowed: str, text: str) -> None:
    assert str(MaxRejects.parse(allowed)) == text


FORMULAS = ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1")


def test_safe_csv_disarms_formulas(tmp_path: Path) -> None:
    rows = [ROW.replace(b"GET /", b'"%b"' % text.encode()) for text in FORMULAS]
    bad = [text.encode() + b",2\n" for text in FORMULAS]
    path = file(tmp_path, HEADER + b"".join([*rows, *bad]), "=log.jtl")
    for name, options in (("safe", ["--safe-csv"]), ("plain", [])):
        out = tmp_path / name
        result = analyze(path, "--out", out, "--max-rejects", "50%", *options)
        assert result.exit_code == 0, result.stderr
        labels = {row["label"] for row in rejects(out / "summary.csv")}
        raws = [row["raw"] for row in rejects(out / "rejects.csv")]
        sign = "'" if options else ""
        assert labels == {f"{sign}{text}" for text in FORMULAS}
        assert raws == [f"{sign}{text},2" for text in FORMULAS]


def test_safe_csv_disarms_the_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, HEADER + ROW + b"1,2\n", "=log.jtl")
    file(tmp_path, HEADER + ROW, "@b.jtl")
    result = analyze("=log.jtl", "@b.jtl", "--out", "out", "--max-rejects", "1", "--safe-csv")
    assert result.exit_code == 0, result.stderr
    assert rejects(Path("out/rejects.csv"))[0]["file"] == "'=log.jtl"
    assert {row["file"] for row in rejects(Path("out/summary.csv"))} == {"'=log.jtl", "'@b.jtl"}


def test_numbers_stay_numbers_in_safe_csv(tmp_path: Path) -> None:
    log = pl.DataFrame({"invocation_latency": [-1.0, 2.0], "region": ["a", "-b"]})
    log.write_csv(tmp_path / "log.csv")
    assert (
        analyze(tmp_path / "log.csv", "--out", tmp_path / "out", "--by", "region", "--safe-csv").exit_code
        == 0
    )
    summary = pl.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["region"].to_list() == ["'-b", "a"]
    assert summary["num_errors"].to_list() == [0, 1]
