"""Ctrl-C and SIGTERM at any moment: the old output or the new one, one line, and nothing left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.extent import combinations
from tests.faults.logs import written
from tests.faults.runs import MOST_SECONDS, Place, is_old, is_whole, processes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

SLO = ("--slo", "p99 < 9s", "--spill-folder", "spill", "--memory-limit")
COMMANDS = {
    "analyze": ("analyze", "log.csv", "--out", "out", "--overwrite"),
    "analyze by workers": (
        "analyze",
        "log.csv",
        "log.parquet",
        "--out",
        "out",
        "--overwrite",
        "--workers",
        "2",
    ),
    "convert": ("convert", "log.csv", "--out", "out", "--overwrite"),
    "profile": ("profile", "log.csv", "--out", "out", "--overwrite", "--memory-limit", "256MiB"),
    "check": ("check", "log.csv", "--junit", "out", *SLO, "256MiB"),
    "check by workers": ("check", "log.csv", "log.parquet", "--workers", "2", *SLO, "512MiB"),
    "compare": ("compare", "log.csv", "log.parquet", "--out", "out", "--overwrite"),
}
MOMENTS = 8
ATTEMPTS = 8
HEARD = 1 << (signal.SIGTERM - 1)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text log that does not fit in memory by the limit above, and a columnar one."""
    folder = tmp_path_factory.mktemp("logs")
    written(folder / "log.csv", 300_000)
    written(folder / "log.parquet", 300_000, seed=2)
    return folder


def wait_until(is_so: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not is_so() and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def hears_signals(running: subprocess.Popen[str]) -> bool:
    """Whether the program is loaded; before, there is nothing to leave behind."""
    status = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii")
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) & HEARD)


def assert_ended_well(running: subprocess.Popen[str], place: Place, number: signal.Signals) -> None:
    """Asserts that the signal ended the run, or came when all was done."""
    _, errors = running.communicate(timeout=MOST_SECONDS)
    told = [line for line in errors.splitlines() if not line.startswith("Warning: ")]
    if running.returncode:
        assert running.returncode == 128 + number, errors
        assert told == [f"loadlens: interrupted by {number.name}; no output is left half-written"]
    else:
        assert told == []
    work = place.folder / "work"
    assert {path.name for path in work.iterdir()} == {"out", "spill", "log.csv", "log.parquet"}
    assert is_old(work / "out") or is_whole(work / "out")
    assert place.temporary() == []
    deadline = time.monotonic() + MOST_SECONDS
    while processes_of(running.pid):
        assert time.monotonic() < deadline, processes_of(running.pid)
        time.sleep(0.02)


def send(running: subprocess.Popen[str], number: signal.Signals, *, to_all: bool) -> None:
    """To the program, as a scheduler does, or to its workers too, as a terminal does at Ctrl-C."""
    with suppress(ProcessLookupError):  # it has ended
        if to_all:
            os.killpg(running.pid, number)
        else:
            os.kill(running.pid, number)


@pytest.mark.parametrize(
    ("name", "number", "to_all"),
    [
        ("analyze", signal.SIGTERM, False),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("profile", signal.SIGINT, False),
                ("analyze by workers", signal.SIGINT, True),
                ("convert", signal.SIGTERM, False),
                ("check", signal.SIGTERM, False),
                ("compare", signal.SIGINT, False),
            )
        ),
    ],
)
def test_a_signal_while_something_lies_about(
    tmp_path: Path, logs: Path, name: str, number: signal.Signals, to_all: bool
) -> None:
    for attempt in range(ATTEMPTS):
        place = Place.of(tmp_path / str(attempt), logs, name)
        running = place.started(COMMANDS[name])
        wait_until(place.is_busy, running)
        send(running, number, to_all=to_all)
        assert_ended_well(running, place, number)
        if running.returncode:
            assert is_old(place.folder / "work" / "out")
            return
    pytest.fail("the signal always came too late")


def seconds_of_work(running: subprocess.Popen[str]) -> float:
    """How long a run works once it hears signals."""
    wait_until(lambda: hears_signals(running), running)
    started = time.monotonic()
    running.communicate()
    assert running.returncode == 0
    return time.monotonic() - started


WAIT = """
import os, signal, sys, threading
from loadlens.cli.endings import Interrupt, ignore_signals, take_signals

interrupt = Interrupt()
interrupt.seconds_to_tidy_up = 1
number = signal.Signals(int(sys.argv[1]))
if signal.getsignal(number) is signal.SIG_IGN:  # as nohup and "&" let some be
    signal.signal(number, signal.default_int_handler)
take_signals(interrupt)

def signalled():
    \"\"\"The system hands the signal to this thread; what the main thread waits in goes on.\"\"\"
    event.wait(0.3)
    signal.pthread_kill(threading.get_ident(), number)

class Lost:
    def __del__(self):
        os.kill(os.getpid(), number)
        threading.Event().wait()

event = threading.Event()
def reading():
    threading.Thread(target=signalled, daemon=True).start()
    sys.stdin.buffer.read()

def finaliser():
    Lost()
    sys.stdin.buffer.read()

def swallowing():
    os.kill(os.getpid(), number)
    while True:
        try:
            sys.stdin.buffer.read()
        except KeyboardInterrupt:
            pass

try:
    {"reading": reading, "finaliser": finaliser, "swallowing": swallowing}[sys.argv[2]]()
except KeyboardInterrupt:
    event.set()
    ignore_signals(interrupt)
    sys.exit(interrupt.exit_code)
"""


@pytest.mark.parametrize(
    ("number", "what"),
    combinations(
        [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ["reading", "finaliser", "swallowing"], one_in=5
    ),
)
def test_no_wait_outlasts_a_signal(number: signal.Signals, what: str) -> None:
    waiting = [sys.executable, "-c", WAIT, str(int(number)), what]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.wait(MOST_SECONDS) == 128 + number
        finally:
            running.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_random_moments(tmp_path: Path, logs: Path, name: str, number: signal.Signals) -> None:
    chance = random.Random(f"{name} {number}")
    seconds = seconds_of_work(Place.of(tmp_path / "whole", logs, name).started(COMMANDS[name]))
    ended = []
    for moment in range(MOMENTS):
        place = Place.of(tmp_path / str(moment), logs, name)
        running = place.started(COMMANDS[name])
        wait_until(lambda running=running: hears_signals(running), running)
        time.sleep(chance.uniform(0, seconds))
        send(running, number, to_all=bool(chance.getrandbits(1)))
        assert_ended_well(running, place, number)
        ended.append(running.returncode)
    assert 128 + number in ended
