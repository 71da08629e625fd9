"""Whatever goes wrong, the command line ends with one line and a code; 1 means a verdict and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extent import combinations
from tests.faults.logs import written
from tests.test_cli import command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and limits of processes")

FAILS = ("check", "log.csv", "--slo", "p99 < 1ms")
TOO_MANY = "loadlens: too many open files; raise the limit of this process (ulimit -n), or name fewer files\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    written(path / "log.csv", 1000)
    return path


def run(
    folder: Path, *arguments: object, shell: str = '"$@"', **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", shell, "bash", *command(*arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


SINKS = {
    "No space left on device": '"$@" > /dev/full',
    "Broken pipe": '("$@"; echo $? > code) | true; exit $(cat code)',
}


@pytest.mark.parametrize(
    ("arguments", "why"), combinations([FAILS, (*FAILS, "--json"), ("--help",)], list(SINKS), one_in=4)
)
def test_results_that_cannot_be_shown_are_no_verdict(
    folder: Path, arguments: tuple[str, ...], why: str
) -> None:
    shell = SINKS[why]
    done = run(folder, *arguments, shell=shell)
    told = f"loadlens: standard output cannot be written: {why}; the results are not all shown"
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[-1]) == (70, told)
    assert lines[:-1] == (["loadlens: p99 < 1ms: 3 of 3 configurations fail"] if len(lines) > 1 else [])


@pytest.mark.slow
def test_closed_streams_change_nothing(folder: Path) -> None:
    assert run(folder, *FAILS, shell='"$@" >&- 2>&- <&-').returncode == 1
    done = run(folder, *FAILS, shell='"$@" 2>&-')
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAILED" in done.stdout


@pytest.mark.parametrize(("subcommand", "limit"), combinations(["convert", "analyze"], [12, 15], one_in=3))
def test_too_few_files(folder: Path, subcommand: str, limit: int) -> None:
    done = run(folder, subcommand, "log.csv", "--out", "out", shell=f'ulimit -n {limit}; "$@"')
    left = {path.name for path in folder.iterdir()} - {"log.csv", "code"}
    if done.returncode:
        assert (done.returncode, done.stderr, left) == (70, TOO_MANY, set())
    else:
        assert left == {"out"}
        (folder / "out").unlink()  # a file


@pytest.mark.slow
def test_no_threads(folder: Path) -> None:
    done = run(folder, *FAILS, POLARS_MAX_THREADS="0")
    told = "loadlens: POLARS_MAX_THREADS: got 0, expected 1 or more, or unset\n"
    assert (done.returncode, done.stderr, done.stdout) == (70, told, "")


PANICS = """
import os
import sys
from loadlens import cli
from loadlens.errors import InputError

def panics(_file):
    os.write(2, b"thread 'x' panicked at src/lib.rs:1:1\\n")
    raise InputError("log: is damaged")

cli.app.command("panics")(panics)
sys.argv = ["loadlens", "panics", "x"]
cli.main()
"""


def test_what_is_told_in_words_is_not_told_by_compiled_code_too() -> None:
    done = subprocess.run([sys.executable, "-c", PANICS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "loadlens: log: is damaged\n")
