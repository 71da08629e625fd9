"""Results show themselves in a line, and in a notebook as their table."""

from pathlib import Path

import nbformat
import polars as pl
import pytest
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

import loadlens
import loadlens.polars_namespace
from loadlens.errors import OutputError, UsageError
from loadlens.logs import open_log
from tests.folders import files_below, results_folder
from tests.sample_logs import small_log

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e"


def log(label: str = "/a") -> pl.DataFrame:
    return small_log().with_columns(label=pl.lit(label))


@pytest.mark.usefixtures("no_drawings")
def test_results_are_shown_in_a_line(tmp_path: Path) -> None:
    summary = loadlens.summarize(log(), by=["memory_size", "label"])
    assert repr(summary) == "<SummaryResult: by memory_size, label, 2 configurations of 120 calls>"
    assert repr(summary.profile) == "<Profile: by memory_size, label, 2 configurations of 120 calls>"
    assert (
        repr(loadlens.summarize(log(), by=[])) == "<SummaryResult: as a whole, 1 configuration of 120 calls>"
    )
    check = loadlens.check_gates(log(), ["p99 < 1us", "count > 0"], by="label")
    assert repr(check) == "<GateCheck: 1 of 2 gates failed, by label>"
    same = loadlens.compare(log(), log(), by="label", base_name="old", candidate_name="new")
    (verdict,) = same.keys["verdict"]
    assert repr(same) == f"<ComparisonResult: new against old, by label: 1 {verdict}>"
    opened = open_log(log())
    assert repr(opened) == f"<Log: the log, by {', '.join(opened.key)}, 11 columns>"
    analysis = loadlens.analyze(log(), tmp_path / "out", by="label")
    assert repr(analysis) == "<LogAnalysis: the log: by label, 1 configuration of 120 calls>"
    folder = loadlens.analyze(results_folder(tmp_path / "in", rows=400), tmp_path / "toolkit")
    assert repr(folder) == f"<ToolkitAnalysis: {tmp_path / 'in'}: stability, concurrency, cost>"
    assert isinstance(folder, loadlens.ToolkitAnalysis)
    for part in (folder.stability, folder.concurrency, folder.cost):
        assert part is not None
        assert len(repr(part)) < 120
        assert repr(part).startswith(f"<{type(part).__name__}: ")


def test_rejected_rows_are_counted_in_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jtl"
    path.write_text("timeStamp,elapsed,label,success\n1700000000000,5,a,true\nx,5,a,true\n", encoding="utf-8")
    read = loadlens.read_log(path, max_rejects=1)
    read.frame.collect()
    assert repr(read.findings) == "<Findings: 1 row rejected, 0 rows left out>"


@pytest.mark.parametrize("call", ["summarize", "check_gates", "compare"])
def test_a_notebook_shows_text_as_text(call: str) -> None:
    found = {
        "summarize": lambda: loadlens.summarize(log(HOSTILE), by="label"),
        "check_gates": lambda: loadlens.check_gates(log(HOSTILE), ["count > 0"], by="label"),
        "compare": lambda: loadlens.compare(log(HOSTILE), log(HOSTILE), by="label", base_name=HOSTILE),
    }[call]()
    html = found._repr_html_()
    assert html.startswith("<p>&lt;")
    assert "<table" in html
    assert "<script>" not in html
    assert "alert(1)" in html
    assert not {"\x1b", "\u202e"} & set(repr(found))


def test_results_become_frames_of_others() -> None:
    summary = loadlens.summarize(log(), by="label")
    assert (
        summary.to_pandas()["invocation_latency_p99"].tolist()
        == summary.summary["invocation_latency_p99"].to_list()
    )
    assert pl.DataFrame(summary.to_arrow()).equals(summary.summary)
    check = loadlens.check_gates(log(), ["count > 0"], by="label")
    assert check.to_arrow().num_rows == 1
    with pytest.raises(UsageError, match="has no table"):
        loadlens.read_log(log()).findings.to_pandas()


def test_show_prints_the_line_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    loadlens.summarize(log(), by="label").show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "<SummaryResult: by label, 1 configuration of 120 calls>"
    assert lines[1] == "shape: (1, 23)" or lines[1].startswith("shape: (1, ")
    loadlens.read_log(log()).findings.show()
    assert capsys.readouterr().out == "<Findings: 0 rows rejected, 0 rows left out>\n"


def test_frames_of_polars_summarise_themselves() -> None:
    expected = loadlens.summarize(log(), by="label").summary
    assert log().loadlens.summarize(by="label").summary.equals(expected)  # type: ignore[attr-defined]
    assert log().lazy().loadlens.summarize("label").summary.equals(expected)  # type: ignore[attr-defined]
    assert log().loadlens.check_gates(["count > 0"], by="label").holds  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="memory_limit"):
        log().loadlens.summarize(memory_limt=1)  # type: ignore[attr-defined]


NOTEBOOK = """
import loadlens, polars as pl
log = pl.DataFrame({"label": ["a", "b"] * 50, "invocation_latency": range(1, 101)})
loadlens.summarize(log, by="label").show()
loadlens.check_gates(log, ["p99 < 1ms"], by="label").show()
loadlens.compare(log, log, by="label")
"""


def test_a_notebook_holds_tables_and_charts() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(book)
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(book)
    assert page.count("<svg") >= 3
    assert page.count("<table") == 3
    for told in ("SummaryResult: by label", "GateCheck: 1 of 1 gate failed", "Comparison"):
        assert told in page


@pytest.mark.slow
def test_a_summary_is_saved_as_a_folder_and_replaced_on_request_alone(tmp_path: Path) -> None:
    summary = loadlens.summarize(log(), by="label")
    summary.save(tmp_path / "out", ["svg"])
    files = files_below(tmp_path / "out")
    assert {"summary.csv", "charts/latency_density.svg", "charts/latency_spectrum.svg"} <= files
    assert pl.read_csv(tmp_path / "out" / "summary.csv")["num_invocations"].sum() > 0
    with pytest.raises(OutputError, match="exists"):
        summary.save(tmp_path / "out", ["svg"])
    summary.save(tmp_path / "out", ["png"], overwrite=True)
    assert "charts/latency_density.png" in files_below(tmp_path / "out")
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(OutputError):
        summary.save(tmp_path / "out", overwrite=True)
