"""A full disk: the message says which and what to do, the old output stays, and nothing else is left."""

import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from loadlens.cli import app
from tests.faults.logs import invocations, written
from tests.folders import OLD_REPORT, leave_out_drawings, old_report, tree

ROOM = 12 * 1024


def tmpfs(folder: Path) -> Iterator[Path]:
    """A small disk; not everybody may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def limited(folder: Path) -> Iterator[Path]:
    """A disk as full as it is, on which no file may become larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["log.csv", "log.parquet"])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return written(tmp_path / request.param, 20_000)


@pytest.fixture
def large_text(tmp_path: Path) -> Path:
    """More text than is held in memory, which is a sixteenth of the limit."""
    path = tmp_path / "log.csv"
    invocations(20_000).with_columns(note=pl.lit("x" * 900)).write_csv(path)
    assert path.stat().st_size > 2**24
    return path


# The logs lie beside the disk, and are asked for first: nothing else may be written once it is full.
@pytest.fixture(params=[tmpfs, limited], ids=["tmpfs", "limit"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    yield from request.param(folder)


def refused(*arguments: object) -> str:
    """The one line that a run says."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "No space left on device; free space" in line or "File too large; free space" in line
    return line


def test_spilling(large_text: Path, disk: Path) -> None:
    limit = ("--memory-limit", "256MiB")
    line = refused("check", large_text, "--slo", "p99 < 9s", "--spill-folder", disk, *limit)
    assert line.startswith(f"loadlens: spill_folder: {disk}: cannot be written: ")
    assert "name another folder with --spill-folder (spill_folder=)" in line
    assert tree(disk) == {}


@pytest.mark.parametrize("command", ["convert", "profile"])
def test_a_file(log: Path, disk: Path, command: str) -> None:
    out = disk / "out"
    out.write_text("old", encoding="utf-8")
    line = refused(command, log, "--out", out, "--overwrite")
    assert line.startswith(f"loadlens: {out}: cannot be written: ")
    assert tree(disk) == {"out": b"old"}


@pytest.mark.parametrize("log", ["log.parquet"], indirect=True)
@pytest.mark.parametrize("command", ["analyze", "compare"])
def test_a_folder(log: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    leave_out_drawings(monkeypatch)
    out = old_report(disk / "out")
    logs = [log, log] if command == "compare" else [log]
    line = refused(command, *logs, "--out", out, "--overwrite")
    assert line.startswith(f"loadlens: {out}: cannot be written: ")
    assert tree(out) == OLD_REPORT
    assert [path.name for path in disk.iterdir()] == ["out"]


@pytest.fixture
def bad_log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("invocation_latency,end_time\n1,1\n" + "bad,1\n" * 20_000, encoding="utf-8")
    return path


def test_rejected_rows(bad_log: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    line = refused("convert", bad_log, "--out", tmp_path / "out.parquet", "--max-rejects", "100%")
    assert line.startswith(f"loadlens: rejected rows: {disk}: cannot be written: ")
    assert line.endswith("or set TMPDIR to another folder")
    assert not (tmp_path / "out.parquet").exists()
    assert tree(disk) == {}
