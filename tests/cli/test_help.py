"""What ``--help`` shows, and what is said of a command line that cannot be parsed."""

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from loadlens.cli import app
from loadlens.cli.grouped_commands import spelt_out

GROUPS = ["Input", "Slices", "Figures", "Gates", "Comparison", "Cost", "Running", "Output"]
COMMANDS = ["analyze", "inspect", "convert", "demo", "check", "compare", "cost", "prices", "profile", "merge"]


def help_of(command: str) -> list[str]:
    done = CliRunner().invoke(app, [command, "--help"], terminal_width=100)
    assert done.exit_code == 0
    return done.stdout.splitlines()


def test_the_help_of_all_says_of_each_command_what_its_own_help_says() -> None:
    done = CliRunner().invoke(app, ["--help"], terminal_width=100)
    lines = done.stdout.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[lines.index("Commands:") + 1 :] if line)
    assert list(told) == COMMANDS
    assert told == {command: help_of(command)[2].strip() for command in COMMANDS}


def test_the_help_of_all_needs_no_command() -> None:
    program = (
        "import sys; from loadlens.cli import main; sys.argv = ['loadlens', '--help']\n"
        "try: main()\n"
        "finally: assert not {'polars', 'numpy', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_less_than_60_lines_of_100_columns(command: str) -> None:
    lines = help_of(command)
    assert len(lines) < 60
    assert max(map(len, lines)) <= 100


def test_options_of_analyze_are_grouped_by_subject() -> None:
    assert [line[:-1] for line in help_of("analyze") if re.fullmatch(r"[A-Z]\w+:", line)] == GROUPS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_group_has_options_and_every_option_is_in_one(command: str) -> None:
    lines = help_of(command)
    first = next(number for number, line in enumerate(lines) if re.fullmatch(r"[A-Z]\w+:", line))
    names = [match[0] for line in lines[first:] if (match := re.match(r"  (--[\w-]+|[A-Z_]+)(?= )", line))]
    assert names
    assert "  --help" not in names
    assert len(names) == len(set(names))
    for above, below in zip(lines[first:], lines[first + 1 :], strict=False):
        assert below.startswith("  ") or above.startswith("  ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze", "log.csv"], "Missing option '--out'; see "),
        (["analyze", "log.csv", "--out", "x", "--baselin", "y"], "No such option: --baselin "),
        (["check"], "Missing argument 'LOGS'; see "),
        (["check", "log.csv", "--level", "steps"], "'--level': 'steps' is not one of 'requests'"),
        (["nothing"], "No such command 'nothing'; see "),
        (["compare", "a", "b", "c"], "Got unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("loadlens: ")
    assert told in line
    assert line.endswith("--help")


@dataclass(frozen=True, kw_only=True)
class Group:
    size: Annotated[int, typer.Option()]
    colour: Annotated[str, typer.Option()] = "red"


def test_the_options_of_a_group_are_spelt_out_and_handed_over_whole() -> None:
    given: list[object] = []

    @spelt_out
    def command(name: str, *, group: Group, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        given.extend([name, group, loud])

    own = typer.Typer()
    own.command()(command)
    done = CliRunner().invoke(own, ["a", "--size", "3", "--loud"])
    assert done.exit_code == 0, done.output
    assert given == ["a", Group(size=3), True]
    command("b", size=1, colour="blue")
    assert given[3:] == ["b", Group(size=1, colour="blue"), False]
