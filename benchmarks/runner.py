"""Runs contenders, each in its own process, and measures that process from outside.

The system starts a child's peak of memory at that of the process that started it. So whoever calls this
has to stay small: neither this module nor what it imports loads Polars, and logs are made in a process of
their own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from resource import struct_rusage
from statistics import median
from typing import Final, Literal

from benchmarks.answers import differences
from benchmarks.contenders import CONTENDERS, FLOOR, LOADLENS, Contender
from benchmarks.contenders.harness import Rows

__all__ = ["Format", "Outcome", "Run", "make_log", "measure"]

Format = Literal["parquet", "csv"]

_ROOT: Final = Path(__file__).resolve().parent.parent
_READ_BYTES: Final = 1 << 24
_MAXRSS_PER_MIB: Final = 1 << 20 if sys.platform == "darwin" else 1 << 10


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one contender.

    Attributes:
        wall_s: from starting the process until it has ended.
        query_s: the query alone, after imports, by the contender's own clock.
        cpu_s: user and system time of the process.
        peak_mib: the largest resident memory of the process.
    """

    wall_s: float
    query_s: float
    cpu_s: float
    peak_mib: float


@dataclass(kw_only=True)
class Outcome:
    """What one contender did with one log.

    Attributes:
        rows: of the log.
        format: of the log.
        contender: who.
        runs: those that ended well.
        problems: how a run failed, or how its answer differs from that of loadlens.
        skipped: why the contender was not given this log, if so.
    """

    rows: int
    format: Format
    contender: Contender
    runs: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""

    def median(self, figure: str) -> float | None:
        """The median over the runs of one of their figures; none without a run."""
        return median(getattr(run, figure) for run in self.runs) if self.runs else None


def make_log(folder: Path, rows: int, suffix: Format) -> Path:
    """The log of ``rows`` rows below ``folder``, made where it is missing."""
    command = [sys.executable, "-m", "benchmarks.data", str(folder.resolve()), str(rows), suffix]
    done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def measure(
    path: Path,
    rows: int,
    runs: int,
    say: Callable[[str], None],
    contenders: Sequence[Contender] = CONTENDERS,
) -> list[Outcome]:
    """Runs every contender ``runs`` times over one log, in rounds, and compares the answers."""
    suffix: Format = "parquet" if path.suffix == ".parquet" else "csv"
    outcomes = [
        Outcome(rows=rows, format=suffix, contender=contender, skipped=_too_large(contender, rows))
        for contender in contenders
    ]
    answers: dict[str, list[Rows]] = {contender.name: [] for contender in contenders}
    _read_through(path)
    for number in range(1, runs + 1):
        for outcome in outcomes:
            if not outcome.skipped and not outcome.problems:
                answers[outcome.contender.name] += _attempt(outcome, path)
                say(_progress(outcome, f"run {number} of {runs}"))
    _compare(outcomes, answers)
    return outcomes


def _too_large(contender: Contender, rows: int) -> str:
    fits = contender.max_rows is None or rows <= contender.max_rows
    return "" if fits else contender.reason


def _read_through(path: Path) -> None:
    """So that the first contender does not pay for the disk alone."""
    with path.open("rb") as file:
        while file.read(_READ_BYTES):
            pass


def _attempt(outcome: Outcome, path: Path) -> list[Rows]:
    """Adds one run to ``outcome``; returns its answer, or nothing where it failed."""
    try:
        run, answer = _run(outcome.contender, path)
    except ChildProcessError as error:
        outcome.problems.append(str(error))
        return []
    outcome.runs.append(run)
    return [answer]


def _run(contender: Contender, path: Path) -> tuple[Run, Rows]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        answer, errors = Path(folder, "answer.json"), Path(folder, "errors.txt")
        module = f"benchmarks.contenders.{contender.name}"
        command = [sys.executable, "-m", module, str(path.resolve()), "--answer", str(answer)]
        wall_s, status, usage = _timed(command, errors)
        if status:
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ChildProcessError(f"{contender.label}: ended with status {status}: {' '.join(lines[-1:])}")
        told = json.loads(answer.read_text(encoding="utf-8"))
    run = Run(
        wall_s=wall_s,
        query_s=told["query_s"],
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / _MAXRSS_PER_MIB,
    )
    return run, told["rows"]


def _timed(command: list[str], errors: Path) -> tuple[float, int, struct_rusage]:
    """Wall time (s), exit status and resource usage of one command."""
    with errors.open("wb") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return seconds, process.returncode, usage


def _progress(outcome: Outcome, number: str) -> str:
    name = f"{outcome.rows:>11,} rows {outcome.format:<7} {outcome.contender.label:<24} {number}"
    if outcome.problems:
        return f"{name}: {outcome.problems[-1]}"
    run = outcome.runs[-1]
    times = f"{run.wall_s:7.2f} s, query {run.query_s:7.2f} s, CPU {run.cpu_s:7.2f} s"
    return f"{name}: {times}, {run.peak_mib:6,.0f} MiB"


def _compare(outcomes: list[Outcome], answers: dict[str, list[Rows]]) -> None:
    """Notes where an answer is not the first one of loadlens; its own later ones are held to that too."""
    expected = answers.get(LOADLENS, [])[:1]
    for outcome in outcomes:
        if outcome.contender.name == FLOOR or outcome.skipped:
            continue
        if not expected:
            outcome.problems.append(f"{outcome.contender.label}: nothing to compare with, loadlens failed")
        for rows in answers[outcome.contender.name] if expected else []:
            found = differences(expected[0], rows)
            outcome.problems += [f"{outcome.contender.label}: {line}" for line in found]
