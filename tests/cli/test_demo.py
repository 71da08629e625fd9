"""``loadlens demo``."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import Result

from tests.command_line import (
    assert_done,
    loadlens_,
)
from tests.folders import (
    CONCURRENCY,
    EXAMPLES,
    LOG,
    METRICS,
    REPORT,
    RESULT_FILES,
    STABILITY,
    files_below,
    tree,
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("demo") / "made" / "D"
    return loadlens_("demo", "--out", out, "--rows", 5000, "--seed", 1), out


def test_the_demo_writes_a_results_folder_and_its_analysis(demo: tuple[Result, Path]) -> None:
    result, out = demo
    assert_done(result)
    raw = {f"{part}/{LOG}.parquet" for part in (STABILITY, CONCURRENCY)}
    metrics = {f"{part}/{METRICS}.csv" for part in (STABILITY, CONCURRENCY)}
    assert files_below(out) == {*raw, *metrics, EXAMPLES, *RESULT_FILES}
    logs = [pl.read_parquet(out / name) for name in raw]
    assert sum(log.height for log in logs) == 5000
    assert [path.name for path in out.parent.iterdir()] == ["D"]


def test_the_demo_prints_each_part_and_where_the_report_is(demo: tuple[Result, Path]) -> None:
    result, out = demo
    for expected in ("Stability", "Concurrency", "Cost", "Recommended: ", f"Report: {out / REPORT}"):
        assert expected in result.stdout
    assert (out / REPORT).is_file()


def test_the_demo_says_in_its_files_that_it_is_one(demo: tuple[Result, Path]) -> None:
    document = json.loads((demo[1] / "summary.json").read_text())
    assert document["inputs"] == ["simulated endpoint, 5,000 invocations, seed 1"]
    assert ".partial" not in (demo[1] / REPORT).read_text()
    assert ".partial" not in (demo[1] / "summary.json").read_text()


@pytest.mark.parametrize("rows", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_a_demo_of_a_few_rows(tmp_path: Path, rows: int) -> None:
    assert_done(loadlens_("demo", "--out", tmp_path / "D", "--rows", rows))
    assert (tmp_path / "D" / REPORT).is_file()


@pytest.mark.usefixtures("no_drawings")
def test_a_demo_can_be_analysed_again(demo: tuple[Result, Path], tmp_path: Path) -> None:
    before = tree(demo[1])
    assert_done(loadlens_("analyze", demo[1], "--out", tmp_path / "E"))
    assert files_below(tmp_path / "E") == RESULT_FILES
    for name in (name for name in RESULT_FILES if name.endswith(".csv")):
        again = pl.read_csv(tmp_path / "E" / name)
        assert_frame_equal(again, pl.read_csv(demo[1] / name), rel_tol=1e-9)
    assert tree(demo[1]) == before


@pytest.mark.usefixtures("no_drawings")
def test_json_of_a_demo(tmp_path: Path) -> None:
    result = loadlens_("demo", "--out", tmp_path / "D", "--rows", 300, "--json")
    assert_done(result)
    assert result.stdout == (tmp_path / "D" / "summary.json").read_text(encoding="utf-8")
