"""The command line as a process of its own: what it prints, how it ends, what signals leave."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command_line import (
    command,
    process,
)
from tests.extent import combinations
from tests.folders import (
    LOG,
    assert_log_files,
    old_report,
    tree,
)


@pytest.mark.slow
def test_a_process_prints_results_and_nothing_else(log: Path, tmp_path: Path) -> None:
    done = process("analyze", log, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert all(line.startswith("Warning: ") for line in done.stderr.splitlines())
    assert "Invocations" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "exit_code"),
    [(["demo", "--out", "{out}", "--rows", "0"], 2), (["analyze", "{nothing}", "--out", "{out}"], 3)],
)
def test_a_process_that_fails(tmp_path: Path, args: list[str], exit_code: int) -> None:
    filled = [arg.format(out=tmp_path / "out", nothing=tmp_path / "nothing") for arg in args]
    done = process(*filled)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert "Traceback" not in done.stderr
    assert tree(tmp_path) == {}


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error_of_ours(log: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    args = command("analyze", log, "--out", tmp_path / "out", "--json")
    with subprocess.Popen(args, stdout=write, stderr=subprocess.PIPE) as running:
        os.close(write)
        _, errors = running.communicate()
    assert b"Traceback" not in errors
    assert_log_files(tmp_path / "out", "png")


MORE_THAN_ARE_EVER_WRITTEN = 1_000_000_000


def wait_for_rows(running: subprocess.Popen[bytes], parent: Path) -> None:
    """Waits until a demo has begun to write its log."""
    deadline = time.monotonic() + 120
    while not list(parent.glob(f".*/**/{LOG}.parquet")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize(
    ("number", "overwrite"), combinations([signal.SIGTERM, signal.SIGINT], [False, True], one_in=3)
)
def test_a_signal_leaves_all_as_it_was(tmp_path: Path, number: signal.Signals, overwrite: bool) -> None:
    out = tmp_path / "made" / "out"
    options = []
    if overwrite:
        out.parent.mkdir()
        old_report(out)
        options = ["--overwrite"]
    before = tree(tmp_path)
    args = command("demo", "--rows", MORE_THAN_ARE_EVER_WRITTEN, "--out", out, *options)
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_for_rows(running, out.parent)
        running.send_signal(number)
        printed, errors = running.communicate()
    assert running.returncode == 128 + number
    assert printed == b""
    assert b"Traceback" not in errors
    assert len(errors.splitlines()) <= 1
    assert tree(tmp_path) == before
