"""``--whole`` groups by nothing, as ``by=[]`` does."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from loadlens import analyze, check_gates, load_profile
from loadlens.cli import app
from tests.ten_minutes import log_of

pytestmark = pytest.mark.usefixtures("no_drawings")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log_of().write_csv(tmp_path / "log.csv")
    return tmp_path / "log.csv"


def test_analyze_has_one_row(log: Path, tmp_path: Path) -> None:
    assert run("analyze", log, "--out", tmp_path / "whole", "--whole").exit_code == 0
    analyze(log, tmp_path / "nothing", by=[])
    got, expected = ((tmp_path / name / "summary.csv").read_bytes() for name in ("whole", "nothing"))
    assert got == expected
    assert pl.read_csv(tmp_path / "whole" / "summary.csv").height == 1


def test_check_judges_all_calls_together(log: Path) -> None:
    found = json.loads(run("check", log, "--slo", "p95 < 1s", "--whole", "--json").stdout)
    (verdict,) = check_gates(log, ["p95 < 1s"], by=[]).verdicts
    assert [one["value"] for one in found["gates"][0]["results"]] == [verdict.value]


def test_compare_compares_the_runs(log: Path, tmp_path: Path) -> None:
    log_of(seed=8).write_csv(tmp_path / "other.csv")
    found = json.loads(run("compare", log, tmp_path / "other.csv", "--whole", "--json").stdout)
    assert found["by"] == []
    assert len(found["keys"]) == 1


def test_profile_has_no_key(log: Path, tmp_path: Path) -> None:
    assert run("profile", log, "--out", tmp_path / "log.profile", "--whole").exit_code == 0
    assert load_profile(tmp_path / "log.profile").key == ()


@pytest.mark.parametrize("command", ["analyze", "check", "compare", "profile"])
def test_it_goes_with_no_columns(command: str, log: Path, tmp_path: Path) -> None:
    further = {"check": ["--slo", "p95 < 1s"], "compare": [log]}
    out = [] if command == "check" else ["--out", tmp_path / "out"]
    done = run(command, log, *further.get(command, []), *out, "--whole", "--by", "label")
    assert done.exit_code == 2
    assert "--whole groups by nothing and --by by columns; give one of them" in done.stderr
