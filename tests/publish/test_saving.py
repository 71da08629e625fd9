"""Results save themselves as folders, and show themselves in short."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

import loadlens
from loadlens.errors import OutputError
from tests.folders import tree

pytestmark = pytest.mark.usefixtures("no_drawings")

KEYS = ("a", "b")


def run(latency_ms: float, calls: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "invocation_latency": [latency_ms + index for index in range(calls)],
            "label": KEYS * (calls // 2),
            "memory_size": [1024, 2048] * (calls // 2),
            "response_size": 10,
        }
    )


def analysis(folder: Path) -> loadlens.LogAnalysis:
    found = loadlens.analyze(
        run(30.0),
        folder / "analysis",
        gates=["p99 < 1s"],
        baseline=run(10.0),
        costing=loadlens.Costing(prices=(loadlens.load_prices("lambda-arm"),)),
    )
    assert isinstance(found, loadlens.LogAnalysis)
    return found


def part_of(folder: Path, name: str) -> Any:
    return getattr(analysis(folder).decisions, name)


RESULTS: dict[str, Callable[[Path], Any]] = {
    "summary": lambda _: loadlens.summarize(run(10.0)),
    "gates": lambda _: loadlens.check_gates(run(10.0), ["p99 < 1s"]),
    "comparison": lambda _: loadlens.compare(run(10.0), run(30.0)),
    "analysis": analysis,
    "gates of an analysis": lambda folder: part_of(folder, "gates"),
    "comparison of an analysis": lambda folder: part_of(folder, "comparison"),
    "costs of an analysis": lambda folder: part_of(folder, "costing"),
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", RESULTS)
def test_a_folder_is_whole_and_replaced_only_if_asked(tmp_path: Path, name: str) -> None:
    found, out = RESULTS[name](tmp_path), tmp_path / "out"
    found.save(out)
    before = tree(out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files
    assert not found.file_names or files <= set(found.file_names)
    with pytest.raises(OutputError, match="exists"):
        found.save(out)
    found.save(out, overwrite=True)
    assert set(tree(out)) == set(before)
    (out / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"loadlens did not write|was not written by loadlens"):
        found.save(out, overwrite=True)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself_in_short(tmp_path: Path, name: str) -> None:
    found = RESULTS[name](tmp_path)
    assert repr(found).startswith(f"<{type(found).__name__}: ")
    assert "\n" not in repr(found)
    assert len(repr(found)) < 300
    assert "<table" in found._repr_html_()


def test_options_and_price_tables_show_themselves_in_short() -> None:
    table = loadlens.load_prices("lambda-arm")
    assert repr(table) == "<PriceTable: AWS Lambda, arm, us-east-1, in USD>"
    assert len(repr(loadlens.Costing(prices=(table,)))) < 400


def test_a_comparison_is_saved(tmp_path: Path) -> None:
    found = loadlens.compare(run(10.0), run(30.0), "label")
    found.save(tmp_path / "out", chart_formats=("svg",))
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {
        "comparison.csv",
        "comparison.json",
        "report.html",
        "charts/latency_density.svg",
        "charts/latency_spectrum.svg",
    }
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["verdicts"] == found.verdicts
    assert len(rows(tmp_path / "out" / "comparison.csv")) == found.metrics.height


@pytest.mark.parametrize("limit", ["1s", "1ms"])
def test_judged_gates_are_saved(tmp_path: Path, limit: str) -> None:
    found = loadlens.check_gates(run(10.0), [f"p99 < {limit}", "error_rate < 1%"], by="label")
    found.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == found.file_names
    table = rows(tmp_path / "out" / "gates.csv")
    assert [(row["gate"], row["label"]) for row in table] == [
        (gate, key) for gate in (f"p99 < {limit}", "error_rate < 1%") for key in KEYS
    ]
    assert [float(row["value"]) for row in table] == [verdict.value for verdict in found.verdicts]
    assert [row["holds"] for row in table] == [str(verdict.holds).lower() for verdict in found.verdicts]
    failed = 2 if limit == "1ms" else 0
    assert [line.partition(" (")[0] for line in found.failures] == (
        [f"gate failed: p99 < 1ms: got {found.verdicts[1].gate.shown(found.verdicts[1].value)} for label=b"]
        if failed
        else []
    )
    suite = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert len(list(suite.iter("failure"))) == failed
    document = json.loads((tmp_path / "out" / "gates.json").read_text(encoding="utf-8"))
    assert document["holds"] is found.holds is (failed == 0)
    assert document["inputs"] == ["the log"]
    assert "p99" in (tmp_path / "out" / "gates.md").read_text(encoding="utf-8")


def test_a_key_that_is_called_like_a_figure_keeps_its_column(tmp_path: Path) -> None:
    frame = run(10.0).rename({"label": "unit"})
    loadlens.check_gates(frame, ["p99 < 1s"], by="unit").save(tmp_path / "out")
    table = rows(tmp_path / "out" / "gates.csv")
    assert [(row["unit"], row["unit_key"]) for row in table] == [("ms", key) for key in KEYS]


def test_gates_in_windows_tell_the_worst(tmp_path: Path) -> None:
    frame = run(10.0).with_columns(end_time=pl.int_range(40, dtype=pl.Int64).cast(pl.Float64))
    found = loadlens.check_gates(frame, ["p99 < 45ms within 10s of every window"], by=[])
    found.save(tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "gates.csv")
    assert (row["judged_windows"], row["failed_windows"], row["worst_start_s"]) == ("4", "1", "30.0")


def test_rejected_rows_are_counted_in_the_files_of_gates(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("invocation_latency,label\n1,a\nbad,a\n2,a\n")
    found = loadlens.check_gates(log, ["p99 < 1s"], reading=loadlens.Reading.of(max_rejects=1))
    found.save(tmp_path / "out")
    assert found.unjudged == 1
    assert found.failures == []
    assert "Rejected rows, not judged: 1" in (tmp_path / "out" / "gates.md").read_text(encoding="utf-8")
