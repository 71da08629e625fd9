"""Markdown, JUnit and OpenMetrics files of the commands."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from loadlens.errors import OutputError
from tests.command_line import assert_done, assert_fails, loadlens_
from tests.comparison.runs import run

GATE = ("--slo", "p99 < 1ms")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs, of which the second is slower on one key."""
    paths = tmp_path / "base.parquet", tmp_path / "candidate.parquet"
    run({"/a": 1, "/slow": 1}, calls=4_000).write_parquet(paths[0])
    run({"/a": 1, "/slow": 1.3}, calls=4_000, seed=1).write_parquet(paths[1])
    return paths


@pytest.mark.usefixtures("no_drawings")
def test_analyze_writes_them_beside_its_folder_and_fails_all_the_same(log: Path, tmp_path: Path) -> None:
    markdown, metrics = tmp_path / "run.md", tmp_path / "run.prom"
    outputs = ("--markdown", markdown, "--openmetrics", metrics)
    found = loadlens_("analyze", log, "--out", tmp_path / "out", *GATE, *outputs, "--quiet")
    assert found.exit_code == 1
    lines = markdown.read_text(encoding="utf-8").splitlines()
    assert lines[2] == "- **❌ The gate failed.**" or "failed" in lines[2]
    assert len(lines) <= 60
    families = text_string_to_metric_families(metrics.read_text(encoding="utf-8"))
    assert {"loadlens_calls", "loadlens_latency_seconds"} <= {family.name for family in families}


@pytest.mark.usefixtures("no_drawings")
def test_a_results_folder_has_them_too(folder: Path, tmp_path: Path) -> None:
    markdown, metrics = tmp_path / "run.md", tmp_path / "run.prom"
    outputs = ("--markdown", markdown, "--openmetrics", metrics)
    assert_done(loadlens_("analyze", folder, "--out", tmp_path / "out", *outputs, "--quiet"))
    assert markdown.read_text(encoding="utf-8").startswith("### ")
    assert metrics.read_text(encoding="utf-8").endswith("# EOF\n")


def test_compare_tells_what_is_worse(runs: tuple[Path, Path], tmp_path: Path) -> None:
    markdown, junit = tmp_path / "compare.md", tmp_path / "compare.xml"
    assert_done(loadlens_("compare", *runs, "--markdown", markdown, "--junit", junit, "--quiet"))
    text = markdown.read_text(encoding="utf-8")
    assert "Of 2 keys: 1 worse" in text.splitlines()[2]
    assert len(text.splitlines()) <= 60
    suite = ET.parse(junit).getroot()[0]  # loadlens has just written it
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert [case.get("name") for case in failed] == ["/slow"]
    failure = failed[0].find("failure")
    assert failure is not None
    assert "worse: mean" in str(failure.get("message"))
    assert "Mean (ms): " in str(failure.text)


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("command", ["analyze", "check", "compare"])
def test_a_step_of_github_actions_gets_a_summary_added(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("Before.\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = {
        "analyze": (runs[0], "--out", tmp_path / "out"),
        "check": (runs[0], "--slo", "p99 < 60s"),
        "compare": runs,
    }[command]
    assert_done(loadlens_(command, *arguments, "--step-summary", "--quiet"))
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("Before.\n### ")
    assert text.endswith("\n")


def test_elsewhere_a_step_summary_is_refused_before_a_row_is_read(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    out = tmp_path / "out"
    lines = assert_fails(2, "analyze", log, "--out", out, "--step-summary")
    assert "GITHUB_STEP_SUMMARY is not set" in lines[0]
    assert not out.exists()


def test_inputs_and_folders_are_not_replaced(runs: tuple[Path, Path], log: Path, tmp_path: Path) -> None:
    before = log.read_bytes()
    assert_fails(OutputError.exit_code, "analyze", log, "--out", tmp_path / "out", "--markdown", log)
    assert_fails(OutputError.exit_code, "analyze", log, "--out", tmp_path / "out", "--openmetrics", tmp_path)
    assert_fails(OutputError.exit_code, "compare", *runs, "--junit", runs[0])
    assert log.read_bytes() == before
    assert not (tmp_path / "out").exists()
