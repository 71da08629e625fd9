"""Only what loadlens wrote is replaced."""

from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.errors import OutputError
from loadlens.publish.publishing import publish_folder
from tests.folders import tree, write_report


def test_a_report_is_replaced(tmp_path: Path) -> None:
    publish_folder(tmp_path / "out", write_report)
    (tmp_path / "out" / "charts" / "a.png").unlink()
    publish_folder(tmp_path / "out", write_report, overwrite=True)
    assert (tmp_path / "out" / "charts" / "a.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "mine"},
        {"sub/thesis.tex": "mine"},
        {"summary.json": "{}"},
        {"summary.json": "[1, 2"},
        {"summary.json": "[" * 100_000},
        {"summary.json": '["loadlens_version"]'},
        {"report.html": "<html>", "summary.csv": "a,b"},
        {"sub/summary.json": '{"loadlens_version": "0.1.0"}'},
        {".git/config": "mine"},
    ],
    ids=",".join,
)
def test_what_loadlens_did_not_write_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"was not written by loadlens, so --overwrite .* does not replace"):
        publish_folder(tmp_path / "out", write_report, overwrite=True)
    assert tree(tmp_path) == before


def test_an_empty_subfolder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "kept").mkdir(parents=True)
    with pytest.raises(OutputError, match="was not written by loadlens"):
        publish_folder(tmp_path / "out", write_report, overwrite=True)
    assert (tmp_path / "out" / "kept").is_dir()


@pytest.mark.parametrize("name", ["notes.md", "charts/mine.txt", "deep/er/x"])
def test_files_that_were_put_into_a_report_are_named(tmp_path: Path, name: str) -> None:
    publish_folder(tmp_path / "out", write_report)
    (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=rf"holds files that loadlens did not write: {name};"):
        publish_folder(tmp_path / "out", write_report, overwrite=True)
    assert tree(tmp_path) == before


def test_many_such_files_are_counted(tmp_path: Path) -> None:
    publish_folder(tmp_path / "out", write_report)
    for number in range(5):
        (tmp_path / "out" / f"{number}.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"0\.txt, 1\.txt, 2\.txt and 2 more; move them"):
        publish_folder(tmp_path / "out", write_report, overwrite=True)


def test_a_saved_result_is_replaced_in_another_chart_format(tmp_path: Path) -> None:
    log = pl.DataFrame(
        {"invocation_latency": [1.0, 2.0], "response_size": [5, 6], "memory_size": [1024, 1024]}
    )
    result = loadlens.summarize_stability_results(log.with_columns(start_time=0.0, end_time=1.0))
    folder = tmp_path / "stability_benchmark_summary_results"
    result.save(tmp_path, ["svg"])
    result.save(tmp_path, ["svg", "svg"], overwrite=True)
    (folder / "notes.md").write_text("mine")
    with pytest.raises(OutputError, match="was not written by loadlens"):
        result.save(tmp_path, ["svg"], overwrite=True)
    assert (folder / "notes.md").read_text() == "mine"
