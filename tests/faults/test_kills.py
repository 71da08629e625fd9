"""Runs that are killed at random moments: the old output or the new one; the next run leaves nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import process
from tests.faults.logs import written
from tests.faults.runs import MOST_SECONDS, Place, is_old, is_whole, processes_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]

OUT = ("--out", "out", "--overwrite", "--quiet")
WORKERS = ("--workers", "2")
SPILL = ("--spill-folder", "spill", "--memory-limit", "256MiB")
COMMANDS = {
    "analyze": ("analyze", "log.csv", *OUT, *SPILL),
    "analyze by workers": ("analyze", "log.csv", "log.parquet", *OUT, *WORKERS, "--spill-folder", "spill"),
    "compare": ("compare", "log.csv", "log.parquet", *OUT),
    "compare by workers": ("compare", "log.csv", "log.parquet", *OUT, *WORKERS),
    "convert": ("convert", "log.csv", *OUT),
    "profile": ("profile", "log.csv", *OUT, *SPILL),
    "profile by workers": ("profile", "log.csv", "log.parquet", *OUT, *WORKERS, "--spill-folder", "spill"),
    "merge": ("merge", "one.profile", "other.profile", *OUT),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS = int(os.environ.get("LOADLENS_KILLS", "200"))
"""In all, dealt out evenly to commands and signals."""

RUNS = [(name, number) for name in COMMANDS for number in SIGNALS]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    written(folder / "log.csv", 60_000)
    written(folder / "log.parquet", 60_000, seed=2)
    for name, log in (("one", "log.csv"), ("other", "log.parquet")):
        done = process("profile", folder / log, "--out", folder / f"{name}.profile", "--quiet")
        assert done.returncode == 0, done.stderr
    return folder


def ended(running: subprocess.Popen[str]) -> str:
    """What a run says on standard error, once all its processes are gone."""
    _, errors = running.communicate(timeout=MOST_SECONDS)
    wait_until_gone(running.pid)
    return errors


def wait_until_gone(session: int) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while processes_of(session):
        assert time.monotonic() < deadline, processes_of(session)
        time.sleep(0.02)


@pytest.mark.parametrize(("name", "number"), RUNS, ids=lambda value: getattr(value, "name", value))
def test_kills_at_random_moments(tmp_path: Path, logs: Path, name: str, number: signal.Signals) -> None:
    chance = random.Random(f"{name} {number}")
    place = Place.of(tmp_path, logs, name)
    out = place.folder / "work" / "out"
    before = time.monotonic()
    assert ended(whole := place.started(COMMANDS[name])) == ""
    assert whole.returncode == 0
    seconds = time.monotonic() - before
    at = RUNS.index((name, number))
    for _ in range(at, KILLS, len(RUNS)):
        running = place.started(COMMANDS[name])
        time.sleep(chance.uniform(0, seconds))
        if running.poll() is None:
            os.kill(running.pid, number)
        errors = ended(running)
        assert running.returncode in {0, -number, 128 + number} or is_of_python_start(errors), errors
        assert is_old(out) or is_whole_of(out, name)
        if number != signal.SIGKILL and running.returncode == 128 + number and errors:
            assert place.temporary() == []
    time.sleep(0.2)  # younger folders may belong to a process that is about to lock them
    assert ended(last := place.started(COMMANDS[name])) == ""
    assert last.returncode == 0
    assert is_whole_of(out, name)
    assert place.temporary() == []


def is_of_python_start(errors: str) -> bool:
    """Whether Python itself was starting when an interrupt came: it ends with 1, before any line of ours."""
    files = [line for line in errors.splitlines() if line.lstrip().startswith('File "')]
    return errors.startswith("Fatal Python error: init_") and not any("loadlens" in file for file in files)


def is_whole_of(out: Path, name: str) -> bool:
    if out.is_dir():
        return is_whole(out)
    if name == "convert":
        return out.read_bytes().endswith(b"PAR1")
    return out.stat().st_size > 3 and process("inspect", out, "--json").returncode == 0
