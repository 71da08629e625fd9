"""The command line, run in this process or as one of its own."""

import subprocess
import sys

from typer.testing import CliRunner, Result

from loadlens.cli import app

# A program that is started in the background may have been told to ignore interrupts.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from loadlens.cli import main; main()"
)


def loadlens_(*args: object, color: bool = False) -> Result:
    """Runs the command line in this process; an exception that it lets out is raised here."""
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False, color=color)


def command(*args: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, args)]


def process(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a process of its own, its output piped."""
    return subprocess.run(
        command(*args), capture_output=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL
    )


def assert_done(result: Result) -> None:
    assert result.exit_code == 0, result.stderr
    assert all(line.startswith("Warning: ") for line in result.stderr.splitlines())


def assert_fails(exit_code: int, *args: object) -> list[str]:
    """Asserts that a run fails and prints one line for each problem, and returns the lines."""
    result = loadlens_(*args)
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("loadlens: ") and len(line) > 15 for line in lines)
    return lines


# Rich markup, a terminal's colour and title, a C1 control, then what a page and a drawing would run.
HOSTILE = "[red]x[/red]\x1b[31mred\x1b]0;title\x07\x9b31m</script><img src=x onerror=alert(1)>"
CONTROLS = {"\x1b", "\x07", "\x9b"}

TABLE_OF_PRICES = """
name = "Test prices"
currency = "EUR"
per_second = { 1024 = 3.0, 2048 = 0.5, 3072 = 3.0, 4096 = 3.0, 5120 = 3.0, 6144 = 3.0 }
data = { per_gib = 0.0 }
instance_per_hour = { "small.instance" = 2.0 }

[comparable_instance]
1024 = "small.instance"
2048 = "small.instance"
3072 = "small.instance"
4096 = "small.instance"
5120 = "small.instance"
6144 = "small.instance"
"""
