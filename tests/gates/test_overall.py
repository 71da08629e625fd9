"""Gates on all calls of a log together, beside those on each configuration."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from loadlens import analyze, check_gates, profile_log
from loadlens.cli import app
from loadlens.errors import GateError
from loadlens.gates import parse_gates
from loadlens.gates.verdict_files import markdown_text
from loadlens.schema import LATENCY
from tests.ten_minutes import csv, log_of, parquet, several_files

BY = ["label", "memory_size"]


def value_of(log: Any, gate: str, by: list[str] | None = None) -> float:
    (verdict,) = check_gates(log, [gate], by=BY if by is None else by).verdicts
    assert verdict.key == {}
    assert verdict.value is not None
    return verdict.value


@pytest.mark.parametrize("form", [csv, parquet, several_files])
def test_figures_are_those_of_all_calls(form: Any, tmp_path: Path) -> None:
    log = log_of(3000)
    source = form(log, tmp_path)
    frame = log.to_pandas()
    good = frame[frame[LATENCY] > 0][LATENCY]
    span = frame["end_time"].max() - frame["start_time"].min()
    expected = {
        "overall p95 < 1s": np.percentile(good, 95),
        "overall p99.9 < 1s": np.percentile(good, 99.9),
        "overall mean < 1s": good.mean(),
        "overall max < 1s": good.max(),
        "overall error_rate < 1%": (frame[LATENCY] < 0).mean(),
        "overall count > 0": len(good),
        "overall throughput > 0/s": len(good) / span,
        "overall 90% < 100ms": (good < 100).mean(),
    }
    verdicts = check_gates(source, list(expected), by=BY).verdicts
    for verdict, (gate, value) in zip(verdicts, expected.items(), strict=True):
        assert verdict.key == {}
        assert verdict.value == pytest.approx(value, rel=1e-9 if "throughput" not in gate else 1e-4)


GATES = [
    "overall p95 < 170ms",
    "p95 < 170ms",
    "overall p90 < 1s filtered",
    "p99 < 300ms for label=pay",
    "overall p99 < 300ms within 60s of every window",
    "p99 < 300ms within 60s of every window",
    "overall count >= 3 within 30s of every window",
]


@pytest.mark.parametrize("form", [csv, parquet])
def test_gates_of_both_kinds_are_those_of_checks_of_their_own(form: Any, tmp_path: Path) -> None:
    source = form(log_of(3000), tmp_path)
    gates = parse_gates(GATES)
    together = check_gates(source, gates, by=BY)
    for gate in gates:
        (plain,) = parse_gates([gate.text.removeprefix("overall ")])
        alone = check_gates(source, [plain], by=[] if gate.overall else BY)
        got = [(one.key, one.value, one.low, one.high, one.calls, one.holds) for one in together.of(gate)]
        assert got == [
            (one.key, one.value, one.low, one.high, one.calls, one.holds) for one in alone.verdicts
        ]
        assert [one.windows for one in together.of(gate)] == [one.windows for one in alone.verdicts]


def test_a_log_without_key_columns_is_judged_as_a_whole_anyway() -> None:
    log = log_of(500)
    found = check_gates(log, ["overall p95 < 1s", "p95 < 1s"], by=[])
    assert found.verdicts[0].value == found.verdicts[1].value


def test_saved_profiles_tell_all_calls_too(tmp_path: Path) -> None:
    log = log_of(3000)
    profile_log(log, tmp_path / "log.profile", by=BY)
    exact = value_of(log, "overall p95 < 1s")
    assert value_of(tmp_path / "log.profile", "overall p95 < 1s") == pytest.approx(exact, rel=1 / 512)
    windows = check_gates(tmp_path / "log.profile", ["overall count > 0 within 60s of every window"], by=BY)
    assert (
        windows.verdicts[0].windows
        == check_gates(log, ["count > 0 within 60s of every window"], by=[]).verdicts[0].windows
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("overall p95 < 300ms for label=pay", "expected within, filtered or the end"),
        ("overall", "got nothing, expected p99 or another percentile"),
        ("overall overall p95 < 300ms", "got 'overall', expected p99"),
        ("overallp95 < 300ms", "expected p99"),
        ("p95 overall < 300ms", "got 'overall', expected <"),
    ],
)
def test_what_is_no_gate_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(GateError, match=told):
        parse_gates([text])


def test_all_outputs_tell_them_apart(tmp_path: Path) -> None:
    log_of(500).write_csv(tmp_path / "log.csv")
    (tmp_path / "gates.toml").write_text('[[gate]]\nslo = "overall p95 < 1ms"\nname = "All"\n', "utf-8")
    arguments = ["check", str(tmp_path / "log.csv"), "--slo", "p95 < 1s", "--slo-file"]
    arguments += [str(tmp_path / "gates.toml"), "--by", "memory_size"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 1
    (line,) = [line for line in shown.stdout.splitlines() if "FAILED" in line]
    assert [cell.strip() for cell in line.split("│")[2:4]] == ["All: overall p95 < 1ms", "all"]
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert [(gate["overall"], len(gate["results"])) for gate in document["gates"]] == [(False, 3), (True, 1)]
    found = check_gates(log_of(500), ["overall p95 < 1ms", "p95 < 1s"], by="memory_size")
    assert "| overall p95 &lt; 1ms | all calls |" in markdown_text(found)
    found.save(tmp_path / "out")
    table = pl.read_csv(tmp_path / "out" / "gates.csv")
    assert table["memory_size"].to_list() == [None, 1024, 2048, 4096]


@pytest.mark.usefixtures("no_drawings")
def test_the_report_says_all_in_the_place_of_a_key(tmp_path: Path) -> None:
    analyze(log_of(500), tmp_path / "out", by=BY, gates=["overall p95 < 1s", "p95 < 1s for label=pay"])
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    verdicts = report.rpartition("Verdicts by configuration")[2].split("</table>")[0]
    (row,) = [row for row in verdicts.split("<tr") if "overall p95" in row]
    assert row.count(">all</t") == 2
    assert "–" not in row
