"""The program: its version, its help, and command lines that cannot be parsed or make no sense."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import loadlens
from loadlens.cli import main
from tests.command_line import (
    assert_done,
    assert_fails,
    loadlens_,
)
from tests.folders import (
    tree,
)


def test_version() -> None:
    result = loadlens_("--version")
    assert_done(result)
    assert result.stdout == f"loadlens {loadlens.__version__}\n"


def test_help_names_every_option() -> None:
    common = ["--out", "--outliers", "--prices", "--chart-format", "--overwrite", "--quiet", "--json"]
    for name, options in (("analyze", ["--by", *common]), ("demo", ["--rows", "--seed", *common])):
        result = loadlens_(name, "--help")
        assert_done(result)
        assert all(option in result.stdout for option in options)
    result = loadlens_("--help")
    assert all(text in result.stdout for text in ("analyze", "demo", "--version"))


def test_the_installed_command_is_main() -> None:
    (found,) = entry_points(group="console_scripts", name="loadlens")
    assert found.load() is main


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["analyze"],
        ["analyze", "--out", "{out}"],
        ["analyze", "{log}"],
        ["analyze", "{log}", "--out"],
        ["analyze", "{log}", "--out", "{out}", "--colour"],
        ["analyze", "{log}", "--out", "{out}", "--outliers", "sigma"],
        ["analyze", "{log}", "--out", "{out}", "--chart-format", "pdf"],
        ["analyze", "{log}", "--out", "{out}", "--rows", "10"],
        ["analyse", "{log}", "--out", "{out}"],
        ["demo"],
        ["demo", "{log}", "--out", "{out}"],
        ["demo", "--out", "{out}", "--rows", "0"],
        ["demo", "--out", "{out}", "--rows", "-1"],
        ["demo", "--out", "{out}", "--rows", "many"],
        ["demo", "--out", "{out}", "--seed", "-1"],
        ["demo", "--out", "{out}", "--by", "memory_size"],
        ["--colour"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_parsed(log: Path, tmp_path: Path, args: list[str]) -> None:
    before = tree(tmp_path)
    result = loadlens_(*[arg.format(log=log, out=tmp_path / "made" / "out") for arg in args])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("loadlens: " if args else "Usage: ")
    assert not args or result.stderr.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["analyze", "{folder}", "--by", "memory_size"], "has its own keys"),
        (["analyze", "{folder}", "{log}"], "alone"),
        (["analyze", "{log}", "{folder}"], "alone"),
        (["analyze", "{log}", "--by", "num_clients", "--by", "num_clients"], "num_clients"),
        (["analyze", "{log}", "--by", "invocation_latency"], "invocation_latency"),
        (["analyze", "{log}", "--percentile", "101"], "percentile"),
        (["analyze", "{log}", "--percentile", "nan"], "percentile"),
        (["analyze", "{log}", "--memory-limit", "much"], "--memory-limit"),
        (["analyze", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["compare", "{log}", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["cost", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["analyze", "{folder}", "--slo", "p99 < 1s"], "name an invocation log"),
        (["analyze", "{folder}", "--prices", "lambda-x86", "--prices", "lambda-arm"], "invocation log"),
        (["analyze", "{log}", "--slo", "p99 < 1s", "--one-pass"], "exact"),
        (["analyze", "{log}", "--baseline", "{log}", "--min-effect", "5"], "--min-effect"),
        (["analyze", "{log}", "--capacity", "ml.c5.large"], "--capacity"),
        (["analyze", "{log}", "--capacity", "a=1", "--capacity", "a=x.csv"], "more than once"),
        (["analyze", "{log}", "--strategy", "cheapest"], "objective"),
        (["analyze", "{log}", "--traffic", "many"], "traffic"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_arguments_that_make_no_sense_together(
    folder: Path, log: Path, tmp_path: Path, args: list[str], says: str
) -> None:
    before = tree(tmp_path)
    filled = [arg.format(folder=folder, log=log) for arg in args]
    (line,) = assert_fails(2, *filled, "--out", tmp_path / "made" / "out")
    assert says in line
    assert tree(tmp_path) == before


def test_an_analysis_imports_nothing_that_it_does_not_use(log: Path, tmp_path: Path) -> None:
    unused = ("altair", "multiprocessing", "pandas", "pyarrow", "pydantic", "rich.progress")
    program = (
        "import sys; from loadlens.cli import main\n"
        f"sys.argv = ['loadlens', 'analyze', {str(log)!r}, '--out', {str(tmp_path / 'out')!r}, '--quiet']\n"
        "try: main()\n"
        f"finally: print([name for name in {unused!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
