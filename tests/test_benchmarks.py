"""The benchmark answers correctly, notices who does not, and measures from a process that stays small."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from benchmarks.__main__ import main
from benchmarks.answers import COUNTS, FIGURES, differences
from benchmarks.chart import comparison_chart
from benchmarks.contenders import CONTENDERS, FLOOR, LOADLENS, Contender
from benchmarks.contenders.harness import KEY
from benchmarks.data import log_path
from benchmarks.report import markdown_table, results
from benchmarks.runner import Outcome, Run, measure

from tests.charts.curves import valid
from tests.extent import combinations

ROWS = 20_000
ROOT = Path(__file__).resolve().parent.parent


def answer(configurations: int = 3) -> list[dict[str, Any]]:
    """An answer in which every figure has a value of its own."""
    names = {**dict.fromkeys(COUNTS, 1), **dict.fromkeys(FIGURES, 1.5)}
    figures = {name: value + number for number, (name, value) in enumerate(names.items())}
    return [{**dict.fromkeys(KEY, number), **figures} for number in range(configurations)]


def outcome(name: str, *, rows: int = 1_000_000, seconds: float = 1.0, skipped: str = "") -> Outcome:
    """What the contender ``name`` did in two runs over a Parquet log."""
    contender = next(contender for contender in CONTENDERS if contender.name == name)
    runs = [Run(wall_s=seconds + extra, query_s=seconds, cpu_s=seconds, peak_mib=100) for extra in (0.5, 1.5)]
    return Outcome(
        rows=rows, format="parquet", contender=contender, runs=[] if skipped else runs, skipped=skipped
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log_path(tmp_path_factory.mktemp("logs"), 2_000, "parquet")


NEEDS = {"polars_direct": "polars", "duckdb_sql": "duckdb", "pandas_chain": "scipy"}


@pytest.mark.parametrize(("name", "suffix"), combinations(NEEDS, ["parquet", "csv"], one_in=5))
def test_contenders_answer_as_loadlens_does(tmp_path: Path, name: str, suffix: str) -> None:
    pytest.importorskip(NEEDS[name])
    path = log_path(tmp_path, ROWS, suffix)
    expected, got = (
        import_module(f"benchmarks.contenders.{module}").query(path) for module in (LOADLENS, name)
    )
    assert len(expected) == 66
    assert differences(expected, got) == []


@pytest.mark.slow
def test_quick_runs_every_contender_in_its_own_process(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("scipy")
    status = main(["--quick", "--rows", str(ROWS), "--formats", "csv", "--data", str(tmp_path)])
    found = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))["results"]
    assert [line for result in found for line in result["problems"]] == []
    assert status == 0
    assert [result["contender"] for result in found] == [contender.name for contender in CONTENDERS]
    assert [result["same_answers"] for result in found] == [None, *[True] * (len(CONTENDERS) - 1)]
    assert all(result["query_s"] > 0 and result["peak_mib"] > 0 for result in found)
    table = (tmp_path / "results" / "results.md").read_text(encoding="utf-8")
    assert sum(line.startswith(f"| {ROWS:,} |") for line in table.splitlines()) == len(CONTENDERS)
    assert (tmp_path / "results" / "results.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "results" / "results.svg").read_text(encoding="utf-8").startswith("<svg")


def test_equal_answers_have_no_differences_whatever_their_order() -> None:
    assert differences(answer(), answer()[::-1]) == []


@pytest.mark.parametrize("column", [*COUNTS, *FIGURES])
def test_every_column_is_compared(column: str) -> None:
    got = answer()
    got[1][column] += 1
    (line,) = differences(answer(), got)
    assert line.startswith(f"{column}: differs in 1 of 3 configurations, first (1, 1, 1): got ")


def test_floats_may_differ_by_what_the_order_of_a_sum_makes() -> None:
    near, far = answer(), answer()
    near[0]["invocation_latency_mean"] *= 1 + 5e-10
    far[0]["invocation_latency_mean"] *= 1 + 5e-9
    assert differences(answer(), near) == []
    assert len(differences(answer(), far)) == 1


def test_a_missing_figure_is_a_difference() -> None:
    got = answer()
    got[0]["throughput"] = None
    del got[0]["tps_max"]
    assert [line.split(":")[0] for line in differences(answer(), got)] == ["tps_max", "throughput"]


def test_missing_unknown_and_doubled_configurations_are_differences() -> None:
    assert "missing [(2, 2, 2)]" in differences(answer(), answer(2))[0]
    assert "unknown [(3, 3, 3)]" in differences(answer(), answer(4))[0]
    assert "got 3 in 6 rows, expected 3" in differences(answer(), answer() * 2)[0]


@pytest.mark.slow
def test_a_contender_that_fails_is_named_and_not_run_again(log: Path) -> None:
    absent = Contender(name="absent", label="nobody")
    loadlens = next(contender for contender in CONTENDERS if contender.name == LOADLENS)
    lines: list[str] = []
    outcomes = measure(log, 2_000, 2, lines.append, (absent, loadlens))
    assert outcomes[0].runs == []
    assert len(outcomes[0].problems) == 1
    assert outcomes[0].problems[0].startswith("nobody: ended with status 1")
    assert outcomes[1].problems == []
    assert len(outcomes[1].runs) == 2
    assert len(lines) == 3


def test_answers_without_those_of_loadlens_are_a_problem(log: Path) -> None:
    direct = next(contender for contender in CONTENDERS if contender.name == "polars_direct")
    (outcome,) = measure(log, 2_000, 1, lambda _: None, (direct,))
    assert "nothing to compare with" in outcome.problems[0]


def test_a_contender_is_not_given_more_rows_than_it_can_hold(log: Path) -> None:
    small = Contender(name="absent", label="nobody", max_rows=1_000, reason="too large")
    (outcome,) = measure(log, 2_000, 1, lambda _: None, (small,))
    assert (outcome.skipped, outcome.runs, outcome.problems) == ("too large", [], [])


@pytest.mark.slow
def test_a_difference_makes_the_command_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = outcome("polars_direct")
    wrong.problems.append("one Polars query: tps_max: differs")
    monkeypatch.setattr("benchmarks.__main__.measure", lambda *_: [outcome(FLOOR), outcome(LOADLENS), wrong])
    status = main(["--quick", "--rows", "10", "--formats", "parquet", "--data", str(tmp_path)])
    assert status == 1
    table = (tmp_path / "results" / "results.md").read_text(encoding="utf-8")
    assert "**no**" in table
    assert "- one Polars query: tps_max: differs" in table


def test_ratios_are_those_of_the_query_on_the_same_log() -> None:
    outcomes = [
        outcome(FLOOR, seconds=0.5),
        outcome(LOADLENS, seconds=1),
        outcome("duckdb_sql", seconds=4),
        outcome(FLOOR, seconds=5, rows=10),
    ]
    found = results(outcomes)["results"]
    assert [result["query_to_floor"] for result in found] == [1, 2, 8, 1]
    assert [result["query_to_loadlens"] for result in found] == [0.5, 1, 4, None]
    assert found[2]["wall_s"] == 5


def test_who_was_not_run_keeps_a_place_in_table_and_chart() -> None:
    outcomes = [outcome(FLOOR), outcome(LOADLENS), outcome("pandas_chain", skipped="too large")]
    found = results(outcomes)
    assert "| pandas chain, with curves | – | – | – | – | – | – | not run: too large |" in markdown_table(
        found
    )
    assert "not run" in json.dumps(valid(comparison_chart(found)))


def test_what_starts_the_contenders_does_not_load_what_they_load() -> None:
    heavy = ["polars", "numpy", "pyarrow", "pandas", "altair", "loadlens"]
    code = f"import sys, benchmarks.__main__; print([name for name in {heavy!r} if name in sys.modules])"
    # The command is this interpreter and a constant.
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_log_is_the_same_in_both_formats(tmp_path: Path) -> None:
    parquet = pl.read_parquet(log_path(tmp_path, 500, "parquet"))
    csv = pl.read_csv(log_path(tmp_path, 500, "csv"), schema=parquet.schema)
    assert parquet.equals(csv)
    assert len(parquet) == 500
