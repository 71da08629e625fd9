"""Folders to analyse and to compare."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from loadlens import charts
from loadlens.demo import simulate_results_folder

STABILITY = "stability_benchmark_raw_results"
CONCURRENCY = "concurrency_benchmark_raw_results"
EXAMPLES = "invoke_args_examples.jsonl"
LOG = "invocation_benchmark_results"
METRICS = "endpoint_metrics"

REPORT = "benchmarking_report/benchmarking_report.html"
STABILITY_FILES = {
    "stability_benchmark_summary_results/invocation_benchmark_summary.csv",
    "stability_benchmark_summary_results/endpoint_metrics_summary.csv",
    "stability_benchmark_summary_results/stability_benchmark_distribution.png",
}
CONCURRENCY_FILES = {
    "concurrency_benchmark_summary_results/concurrency_benchmark_summary.csv",
    "concurrency_benchmark_summary_results/endpoint_metrics_summary.csv",
    "concurrency_benchmark_summary_results/concurrency_benchmark_distribution.png",
}
COST_FILES = {
    "cost_analysis_summary_results/metrics_with_cost.csv",
    "cost_analysis_summary_results/cost_savings_summary.csv",
    "cost_analysis_summary_results/cost_vs_performance.png",
    "cost_analysis_summary_results/cost_savings.png",
}
LOG_FILES = {"summary.csv", "summary.json", "report.html"}
RESULT_FILES = {*STABILITY_FILES, *CONCURRENCY_FILES, *COST_FILES, REPORT, "summary.json"}


def results_folder(path: Path, rows: int = 1200, seed: int = 5) -> Path:
    """A simulated results folder with both parts, their metrics and the example requests."""
    simulate_results_folder(path, rows=rows, seed=seed)
    return path


def leave_out_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes all charts empty, for tests of something else: drawing takes most of an analysis' time."""
    for name in charts.__all__:
        if name.endswith("_chart"):
            monkeypatch.setattr(charts, name, lambda *_args, **_options: {})
    monkeypatch.setattr(charts, "Picture", _NoPicture)


class _NoPicture:
    """A picture of nothing."""

    svg = "<svg></svg>"

    def __init__(self, chart: dict[str, object]) -> None:
        self.chart = chart

    def begin(self, formats: Sequence[str]) -> None:
        """Nothing is to begin."""

    def save(self, path: Path) -> None:
        path.touch()


def as_csv(log: Path) -> Path:
    """Writes a Parquet log as CSV instead."""
    csv = log.with_suffix(".csv")
    pl.read_parquet(log).write_csv(csv)
    log.unlink()
    return csv


OLD_REPORT: dict[str, bytes | None] = {
    "summary.csv": b"old",
    "summary.json": b'{"loadlens_version": "0.1.0"}',
}


def old_report(out: Path) -> Path:
    """Makes a folder that an earlier run has written; its ``tree`` is ``OLD_REPORT``."""
    out.mkdir(parents=True)
    for name, content in OLD_REPORT.items():
        assert content is not None
        (out / name).write_bytes(content)
    return out


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden files too: bytes of files and targets of links, None for folders."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> bytes | None:
    if path.is_symlink():
        return str(path.readlink()).encode()
    return path.read_bytes() if path.is_file() else None


def assert_log_files(out: Path, *formats: str) -> None:
    """Asserts the files of any other log: no others, and each chart once in each format."""
    found = files_below(out)
    charts = {name for name in found if name.startswith("charts/")}
    # A log without failed calls has no table of these, and one without times tells nothing of windows.
    assert found - charts - {"failures.csv", "timeline.csv", "load.csv"} == LOG_FILES
    stems = {name.rpartition(".")[0] for name in charts}
    assert "charts/latency_density" in stems
    assert charts == {f"{stem}.{suffix}" for stem in stems for suffix in formats}


def files_below(folder: Path) -> set[str]:
    """The relative paths of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write_report(folder: Path) -> None:
    (folder / "charts").mkdir()
    (folder / "charts" / "a.png").write_bytes(b"png")
    (folder / "summary.json").write_text('{"loadlens_version": "0.2.0"}')
