"""Any log as one Parquet file: the same numbers, whole or not at all."""

import gzip
import json
import os
import stat
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.logs import Reading
from loadlens.tasks.convert import convert, rejects_beside
from tests.dialect_logs import KINDS, sample
from tests.extent import some_of
from tests.folders import leave_out_drawings, tree

HEADER = b"timeStamp,elapsed,label,responseMessage,success,bytes\n"
ROW = b"1700000000123,120,GET /,OK,true,1000\n"
BAD = ROW.replace(b"120", b"abc")


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


def file(folder: Path, data: bytes, name: str = "log.jtl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def facts(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["loadlens"])
    return found


@pytest.mark.parametrize("dialect", some_of(KINDS, 4))
def test_a_converted_log_gives_the_same_numbers(tmp_path: Path, dialect: str) -> None:
    path, out = file(tmp_path, sample(dialect).data), tmp_path / "out.parquet"
    findings = convert([path], out)
    log, again = loadlens.read_log(path), loadlens.read_log(out)
    assert again.key == log.key
    assert_frame_equal(
        loadlens.summarize(again, again.key).summary, loadlens.summarize(log, log.key).summary, rel_tol=1e-9
    )
    assert_frame_equal(pl.read_parquet(out), log.frame.collect())
    assert (findings.rows, findings.rejected) == (120, 0)


def test_the_command_line_gives_the_same_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_drawings(monkeypatch)
    path, out = file(tmp_path, sample("k6-csv").data, "log.csv"), tmp_path / "out.parquet"
    result = run("convert", path, "--out", out)
    assert result.exit_code == 0
    assert result.stdout == f"{out}: {out.stat().st_size:,} bytes\n"
    assert result.stderr == ""
    for source, name in ((path, "a"), (out, "b")):
        assert run("analyze", source, "--out", tmp_path / name).exit_code == 0
    one, other = (pl.read_csv(tmp_path / name / "summary.csv") for name in "ab")
    assert_frame_equal(one, other, rel_tol=1e-9)
    assert run("convert", path, "--out", tmp_path / "again.parquet", "--quiet").output == ""


def test_several_converted_logs_have_the_same_key(tmp_path: Path) -> None:
    for seed in (1, 2):
        file(tmp_path, sample("k6-csv", seed=seed).data, f"run_{seed}.csv")
    reading = Reading.of(key_from_name=r"run_(?P<run>\d)")
    convert([tmp_path], tmp_path / "out" / "all.parquet", reading=reading)
    again = loadlens.read_log(tmp_path / "out" / "all.parquet")
    assert again.key == ("label", "method", "run", "file")


def test_rows_keep_their_order_over_files_and_blocks(tmp_path: Path) -> None:
    rows = [ROW.replace(b"120", str(number).encode()) for number in range(30_000)]
    first = file(tmp_path, HEADER + b"".join(rows[:20_000]), "a.jtl")
    second = file(tmp_path, gzip.compress(HEADER + b"".join(rows[20_000:])), "b.jtl.gz")
    convert([first, second], tmp_path / "out.parquet")
    latencies = pl.read_parquet(tmp_path / "out.parquet")["invocation_latency"]
    assert latencies.equals(pl.Series("invocation_latency", range(30_000), dtype=pl.Float64))


def test_facts_of_the_source_are_in_the_metadata(tmp_path: Path) -> None:
    sums = ROW.replace(b"OK", b"Number of samples in transaction : 1")
    path, out = file(tmp_path, HEADER + ROW * 3 + BAD + sums * 2), tmp_path / "out.parquet"
    convert([path], out, reading=Reading.of(max_rejects=1))
    found = facts(out)
    warnings = found.pop("warnings")
    assert found == {
        "version": loadlens.__version__,
        "sources": [{"file": str(path), "bytes": path.stat().st_size, "format": "jmeter-csv"}],
        "key": ["label"],
        "logged_times": ["start_time"],
        "rejected": 1,
        "rejects_by_reason": {"elapsed: expected a whole number": 1},
        "left_out": {"transaction controllers": 2},
    }
    assert any("2 transaction controllers are left out" in text for text in warnings)
    assert any("coordinated omission" in text for text in warnings)


def test_a_converted_log_still_says_what_it_cannot_tell(tmp_path: Path) -> None:
    path, out = file(tmp_path, sample("hey-csv").data), tmp_path / "out.parquet"
    findings = convert([path], out)
    told = [text.replace(str(path), str(out)) for text in findings.sentences()]
    assert any("transport errors" in text for text in told)
    log = loadlens.read_log(out)
    assert log.findings.sentences() == told
    loadlens.summarize(log, log.key)
    assert log.findings.sentences() == told
    convert([out], tmp_path / "again.parquet")
    again = loadlens.read_log(tmp_path / "again.parquet").findings
    assert again.sentences() == [text.replace("out.parquet", "again.parquet") for text in told]


def test_warnings_of_converted_logs_and_of_text_stand_together(tmp_path: Path) -> None:
    path = file(tmp_path, sample("hey-csv").data, "c.csv")
    for name in ("a", "b"):
        convert([path], tmp_path / f"{name}.parquet")
    log = loadlens.read_log([tmp_path / "a.parquet", tmp_path / "b.parquet", path], force=True)
    for _ in range(2):
        loadlens.summarize(log, ["status"])
        told = [text for text in log.findings.sentences() if "transport errors" in text]
        assert len(told) == 1
        assert told[0].startswith(f"{tmp_path / 'a.parquet'} and 2 more: ")


def test_of_several_sources_the_warning_names_its_own(tmp_path: Path) -> None:
    paths = [file(tmp_path, sample(name).data, f"{name}.csv") for name in ("hey-csv", "gatling-text")]
    out = tmp_path / "out.parquet"
    findings = convert(paths, out)
    assert loadlens.read_log(out).findings.sentences() == [f"{out}: {text}" for text in findings.sentences()]


def test_rows_rejected_when_a_log_was_converted_are_told(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    convert([file(tmp_path, HEADER + ROW * 3 + BAD)], out, reading=Reading.of(max_rejects=1))
    findings = loadlens.read_log(out).findings
    assert f"{out}: 1 row was rejected when the log was converted" in findings.sentences()
    assert findings.rejected == 0


def test_the_command_line_tells_the_warnings_of_a_converted_log(tmp_path: Path) -> None:
    path, out = file(tmp_path, sample("hey-csv").data), tmp_path / "out.parquet"
    convert([path], out)
    inspected = run("inspect", out)
    assert f"Warning: {out}: " in inspected.output
    assert "transport errors" in inspected.output
    run("profile", out, "--out", tmp_path / "out.profile")
    found = loadlens.read_log(tmp_path / "out.profile").findings.sentences()
    assert any("transport errors" in text for text in found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[" * 100_000,
        "7",
        '["warnings"]',
        '{"warnings": 1, "sources": {"file": 1}, "rejected": "many", "key": "label"}',
        '{"warnings": [1, null, {}], "sources": [1, {}], "rejected": null}',
        '{"warnings": {"a": 1}, "sources": null, "rejected": -1, "key": {"a": 1}}',
    ],
)
def test_metadata_of_somebody_else_tell_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.parquet"
    frame = pl.DataFrame({"invocation_latency": [1.0, 2.0], "memory_size": [1024, 1024]})
    frame.write_parquet(path, metadata={"loadlens": text})
    log = loadlens.read_log(path)
    assert log.key == ("memory_size",)
    assert loadlens.summarize(log, log.key).summary["num_invocations"].to_list() == [2]
    assert log.findings.sentences() == []


def test_facts_of_a_mixed_source(tmp_path: Path) -> None:
    paths = [file(tmp_path, sample(name).data, f"{name}.csv") for name in ("vegeta-json", "gatling-text")]
    convert(paths, tmp_path / "out.parquet")
    assert [source["format"] for source in facts(tmp_path / "out.parquet")["sources"]] == [
        "vegeta-json",
        "gatling-text",
    ]
    convert([tmp_path / "out.parquet"], tmp_path / "again.parquet")
    assert [source["format"] for source in facts(tmp_path / "again.parquet")["sources"]] == ["parquet"]


def test_rejects_lie_beside(tmp_path: Path) -> None:
    path, out = file(tmp_path, HEADER + ROW + BAD + ROW), tmp_path / "out.parquet"
    result = run("convert", path, "--out", out, "--max-rejects", "1")
    assert result.exit_code == 0
    beside = rejects_beside(out)
    assert beside.name == "out.rejects.csv"
    assert f"{beside}: 1 rejected row\n" in result.stdout
    assert pl.read_csv(beside).rows() == [
        (str(path), 3, "elapsed", "got 'abc', expected a whole number", BAD.decode().strip())
    ]
    assert pl.read_parquet(out).height == 2


def test_too_many_rejects_leave_nothing_but_the_rejects(tmp_path: Path) -> None:
    path, out = file(tmp_path, HEADER + ROW + BAD + ROW), tmp_path / "new" / "out.parquet"
    result = run("convert", path, "--out", out)
    assert result.exit_code == 3
    assert result.stdout == ""
    row, total, place = result.stderr.splitlines()
    assert row == f"loadlens: {path}, line 3, column elapsed: got 'abc', expected a whole number"
    assert total.startswith("loadlens: 1 of 3 rows rejected, allowed: 0; ")
    assert place == f"loadlens: {rejects_beside(out)}: has all rejected rows"
    assert [entry.name for entry in out.parent.iterdir()] == ["out.rejects.csv"]


def test_an_existing_file_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    good, bad = file(tmp_path, HEADER + ROW, "a.jtl"), file(tmp_path, HEADER + ROW + BAD, "b.jtl")
    out = tmp_path / "out.parquet"
    convert([bad], out, reading=Reading.of(max_rejects=1))
    before = tree(tmp_path)
    assert run("convert", good, "--out", out).exit_code == 2
    assert tree(tmp_path) == before
    convert([good], out, overwrite=True)
    assert pl.read_parquet(out).height == 1
    assert not rejects_beside(out).exists()  # those were of the file that is gone


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    good, bad = file(tmp_path, HEADER + ROW, "a.jtl"), file(tmp_path, HEADER + BAD + ROW, "b.jtl")
    out = tmp_path / "out.parquet"
    convert([good], out)
    before = out.read_bytes()
    with pytest.raises(loadlens.InputError):
        convert([bad], out, overwrite=True)
    assert out.read_bytes() == before


def test_the_file_of_rejects_is_not_replaced_unasked(tmp_path: Path) -> None:
    path, out = file(tmp_path, HEADER + ROW + BAD), tmp_path / "out.parquet"
    rejects_beside(out).write_text("mine")
    with pytest.raises(loadlens.OutputError, match=r"out\.rejects\.csv: exists"):
        convert([path], out, reading=Reading.of(max_rejects=1))
    assert rejects_beside(out).read_text() == "mine"
    assert not out.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_written_to(tmp_path: Path, overwrite: bool) -> None:
    path = file(tmp_path, HEADER + ROW)
    rejects = file(tmp_path, HEADER + ROW, "log.rejects.csv")
    (tmp_path / "link.out").symlink_to(path)
    os.link(path, tmp_path / "same.out")
    before = tree(tmp_path)
    for inputs, out in (
        ([path], path),
        ([tmp_path], path),
        ([path], tmp_path / "x" / ".." / "log.jtl"),
        ([path], tmp_path / "link.out"),
        ([path], tmp_path / "same.out"),
        ([rejects], tmp_path / "log.parquet"),
    ):
        with pytest.raises(loadlens.OutputError, match="is one of the inputs"):
            convert(inputs, out, overwrite=overwrite)
        assert tree(tmp_path) == before


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + ROW + BAD)
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "out.rejects.csv").mkdir()
    for name in ("folder.parquet", "out.parquet"):
        with pytest.raises(loadlens.OutputError, match="is a folder"):
            convert([path], tmp_path / name, overwrite=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEADER, "no rows"),
        (gzip.compress(HEADER + ROW * 1000, mtime=0)[:-9], "is damaged or cut off"),
        (b"a,b\n1,2\n", "no known format"),
        (HEADER.replace(b"timeStamp", b"time"), "missing column: timeStamp"),
    ],
)
def test_nothing_is_left_of_a_failed_conversion(tmp_path: Path, data: bytes, message: str) -> None:
    path = file(tmp_path, data)
    result = run("convert", path, "--out", tmp_path / "new" / "deep" / "out.parquet")
    assert result.exit_code == 3
    assert message in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_rows_of_a_typed_file_that_break_a_rule_are_refused(tmp_path: Path) -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, -5.0], "label": ["a", "b"]})
    log.write_parquet(tmp_path / "log.parquet")
    text = file(tmp_path, HEADER + ROW)
    for inputs in ([tmp_path / "log.parquet"], [tmp_path / "log.parquet", text]):
        with pytest.raises(loadlens.InputError, match=r"invocation_latency: got -5\.0"):
            convert(inputs, tmp_path / "out.parquet", overwrite=True)
    rejects = "out.rejects.csv"
    assert {entry.name for entry in tmp_path.iterdir()} == {"log.parquet", "log.jtl", rejects}


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + ROW)
    result = run("convert", path, "--out", path / "out.parquet")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    path, out = file(tmp_path, HEADER + ROW), tmp_path / "out.parquet"
    convert([path], out)
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE(path.stat().st_mode)


def test_a_home_made_log_is_converted_by_its_map(tmp_path: Path) -> None:
    path = file(tmp_path, b"ms,url\n5,http://u:p@host/a?token=x\n7,/b\n")
    out = tmp_path / "out.parquet"
    assert run("convert", path, "--out", out, "--map", "latency=ms:ms", "--map", "label=url").exit_code == 0
    assert pl.read_parquet(out)["label"].to_list() == ["http://host/a?token=***", "/b"]
    assert b"token=x" not in out.read_bytes()
