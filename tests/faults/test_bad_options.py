"""Every option and argument of every command with values that make no sense: refused before a row is read.

What there is to try comes from the command line itself, so that new options are tried too.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import loadlens
from loadlens.cli import app
from tests.command_line import loadlens_
from tests.extent import some_rows
from tests.faults.logs import KEY, invocations

REJECTED = "1 of 201 rows rejected, allowed: 0"
"""What a run says that has taken all its options: the last row of its log is bad."""

RUNS = {
    "analyze": ("log.jtl", "--out", "out"),
    "inspect": ("log.jtl",),
    "convert": ("log.jtl", "--out", "out.parquet"),
    "demo": ("--out", "out", "--rows", "20"),
    "check": ("log.jtl", "--slo", "p99 < 1s"),
    "compare": ("log.jtl", "log.jtl", "--force", "--out", "out"),
    "cost": ("log.jtl", "--out", "out"),
    "prices": (),
    "profile": ("log.jtl", "--out", "out.profile"),
    "merge": ("run.profile", "--out", "out.profile"),
}
NOTHING = ("", "a\0b")
"""What no option takes."""

OTHERS = (
    "-1", "0", "9" * 30, "nan", "inf", "1e999", "nonsense", "gone/gone", ".", "/dev/zero", "/dev/full",
    "\x1b[31m", "\u202e",
)  # fmt: skip


def parameters() -> Iterator[tuple[str, str]]:
    """The commands with each of their arguments, and of their options that take a value."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    for name, command in commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                yield name, "argument"
            elif not parameter.is_flag and not parameter.count:
                yield name, parameter.opts[0]


def arguments(command: str, parameter: str, value: str) -> list[str]:
    """A run whose only fault is one value."""
    run = list(RUNS[command])
    if parameter == "argument":
        return [command, value, *run[1:]] if run else [command, value]
    if parameter in run:
        run[run.index(parameter) + 1] = value
        return [command, *run]
    return [command, *run, parameter, value]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    header = "timeStamp,elapsed,label,responseCode,success\n"
    rows = "".join(f"{1_700_000_000_000 + n},5,a,200,true\n" for n in range(200))
    (folder / "log.jtl").write_text(f"{header}{rows}x\n", encoding="utf-8")
    loadlens.profile_log(invocations(20), folder / "run.profile", by=KEY)
    return folder


@pytest.mark.parametrize(("command", "parameter"), some_rows(list(parameters()), one_in=4))
def test_what_no_option_takes_is_refused_before_a_row_is_read(
    work: Path, monkeypatch: pytest.MonkeyPatch, command: str, parameter: str
) -> None:
    monkeypatch.chdir(work)
    for value in NOTHING:
        result = loadlens_(*arguments(command, parameter, value))
        told = [line for line in result.stderr.splitlines() if line.startswith(("loadlens: ", "Error: "))]
        assert result.exit_code in {2, 3}, (value, result.output)
        assert REJECTED not in result.stderr, value
        assert len(told) == 1, (value, result.stderr)
        assert sorted(path.name for path in work.iterdir()) == ["log.jtl", "run.profile"]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "parameter"), list(parameters()))
def test_other_values_are_taken_or_refused_in_words(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, parameter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in work.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for value in OTHERS:
        result = loadlens_(*arguments(command, parameter, value))
        assert result.exit_code in {0, 2, 3}, (value, result.output)
        assert not result.exit_code or "loadlens: " in result.stderr or "Error: " in result.stderr, value
        assert "Traceback" not in result.output
