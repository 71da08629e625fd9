"""Whatever goes wrong, the command line ends with one line and a code; 1 means a verdict and nothing else."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import command
from tests.extent import combinations, some_of
from tests.faults.logs import written

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


@pytest.mark.slow
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
import shutil
import signal
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


@pytest.mark.slow
@pytest.mark.parametrize("limit", some_of([5, 7, 8, 10, 20, 23, 26], 3, first=1))
def test_too_few_files_for_charts_leave_nothing(folder: Path, limit: int) -> None:
    done = run(folder, "analyze", "log.csv", "--out", "report", "--quiet", shell=f'ulimit -n {limit}; "$@"')
    left = {path.name for path in folder.iterdir()} - {"log.csv", "code"}
    if done.returncode == 0:
        assert left == {"report"}
        shutil.rmtree(folder / "report")
        return
    assert (done.returncode, done.stderr, left) == (70, TOO_MANY, set())


FAILS_OTHERWISE = """
import resource
from loadlens.cli.endings import errors_as_exit_codes
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
with errors_as_exit_codes():
    {problem}
"""


def ending(problem: str) -> subprocess.CompletedProcess[str]:
    program = FAILS_OTHERWISE.format(problem=problem)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_another_error_under_a_limit_of_files_is_told_as_it_is() -> None:
    done = ending("raise RuntimeError('odd')")
    assert "loadlens: internal error: RuntimeError: odd; this is a mistake of loadlens" in done.stderr
    done = ending("raise ValueError('odd') from OSError(24, 'Too many open files')")
    assert done.stderr.splitlines()[0] == TOO_MANY.rstrip("\n")


INTERRUPTED = """
import os, signal, sys
module, number = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Finder())
sys.argv = ["loadlens", "check", "log.csv", "--slo", "p99 < 1s"]
from loadlens.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "number"),
    combinations(
        ["loadlens.cli.program", "numpy", "polars", "typer", "loadlens.logs"],
        [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ),
)
def test_an_interrupt_while_modules_are_imported_is_quiet(
    folder: Path, module: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module, str(int(number))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = f"loadlens: interrupted by {number.name}; no output is left half-written\n"
    assert (done.returncode, done.stderr, done.stdout) == (128 + number, told, "")


def test_a_library_that_cannot_be_loaded_is_told_in_a_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "polars.py").write_text("raise ImportError('failed to map segment')\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = run(folder, *FAILS, PYTHONPATH=path)
    told = "loadlens: cannot be started: ImportError: failed to map segment\n"
    assert (done.returncode, done.stderr) == (70, told)


@pytest.mark.parametrize("kib", some_of([300_000, 700_000, 1_000_000, 2_000_000], 3))
def test_too_little_address_space_is_refused(folder: Path, kib: int) -> None:
    done = run(folder, *FAILS, shell=f'ulimit -v {kib}; "$@"')
    told = (
        f"loadlens: out of memory: the limit on address space (ulimit -v) is {kib:,} KiB, expected "
        f"2,097,152 KiB or more; raise it\n"
    )
    assert (done.returncode, done.stderr) == (70, told)


@pytest.mark.parametrize(
    ("arguments", "kib"),
    combinations([FAILS, ("analyze", "log.csv", "--out", "small", "--quiet")], [2_100_000, 2_300_000]),
)
def test_running_out_of_memory_is_no_verdict(folder: Path, arguments: tuple[str, ...], kib: int) -> None:
    done = run(folder, *arguments, shell=f'ulimit -v {kib}; "$@"')
    shutil.rmtree(folder / "small", ignore_errors=True)
    if done.returncode == 70:
        (line,) = done.stderr.splitlines()
        assert "memory" in line
    else:  # it has sufficed on this machine
        assert done.returncode == (1 if arguments is FAILS else 0)


@pytest.mark.slow
def test_charts_that_cannot_be_drawn_cost_no_run(folder: Path) -> None:
    arguments = ("analyze", "log.csv", "--out", "bare", "--quiet")
    done = run(folder, *arguments, shell='ulimit -v 8000000; "$@"')
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "no charts are drawn" in line]
    assert len(warnings) == 1
    assert "(ulimit -v); all figures are as ever" in warnings[0]
    assert "Not drawn" in (folder / "bare" / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(folder / "bare")


ABORTED = """
import ctypes, os, signal, sys
from loadlens import cli
how = sys.argv[1]
exits = ctypes.CDLL(None).exit
aborts = lambda _file: exits(1) if how == "exit" else os.kill(os.getpid(), getattr(signal, how))
cli.app.command("aborts")(aborts)
sys.argv = ["loadlens", "aborts", "x"]
cli.main()
"""


@pytest.mark.parametrize("how", some_of(["SIGABRT", "SIGTRAP", "SIGILL", "exit"], 3))
def test_compiled_code_that_gives_up_is_told_in_a_line(how: str) -> None:
    command = [sys.executable, "-c", ABORTED, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 70
    assert line.startswith("loadlens: compiled code gave up, most likely as it was out of memory; set ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("check", "log.csv", "--slo", "p99 < 1000s"), 0), (("profile", "log.csv", "--out", "out"), 2)],
    ids=["check", "profile"],
)
def test_where_no_file_may_be_written_only_what_writes_fails(
    folder: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = run(folder, *arguments, shell='ulimit -f 0; "$@" 2>&1 | cat; exit ${PIPESTATUS[0]}')
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    assert ("loadlens: out: cannot be written: File too large" in done.stdout) is bool(code)


CAPABILITIES = "-all,+dac_override,+dac_read_search"
AS_ANOTHER = f"setpriv --reuid=12345 --inh-caps={CAPABILITIES} --ambient-caps={CAPABILITIES}"
"""The system lets root start any number of processes."""


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root has no such limit")
@pytest.mark.parametrize("limit", [2, 12])
def test_too_few_processes_are_refused_in_one_line(folder: Path, limit: int) -> None:
    another = AS_ANOTHER if os.geteuid() == 0 else ""
    done = run(folder, *FAILS, shell=f'{another} bash -c \'ulimit -u {limit}; exec "$@"\' bash "$@"')
    assert (done.returncode, done.stdout) == (70, "")
    assert re.fullmatch(
        rf"loadlens: out of threads: the limit on processes \(ulimit -u\) of {limit} leaves room for \d+, "
        r"expected \d+ or more; raise it\n",
        done.stderr,
    )
