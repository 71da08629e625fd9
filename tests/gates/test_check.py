import json
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from loadlens.cli.check import check
from loadlens.errors import LoadlensError

app = typer.Typer()


@app.callback()
def root() -> None:
    """Makes the command one of several, as it is in the command line."""


app.command("check")(check)


def run(*arguments: object) -> tuple[Result, LoadlensError | None]:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    error = result.exception
    assert error is None or isinstance(error, LoadlensError), result.output
    return result, error


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = {"invocation_latency": [100.0, 200.0, 400.0], "start_time": [0.0, 1, 2], "end_time": [1.0, 2, 3]}
    pl.DataFrame({**rows, "label": ["a", "a", "b\x1b[31m"]}).write_csv(path)
    return path


def test_gates_that_hold_are_shown_and_the_command_succeeds(log: Path) -> None:
    result, error = run(log, "--slo", "p99 < 1s", "--slo", "count >= 1")
    assert error is None
    assert "All 2 gates hold." in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.count("holds") == 4
    assert run(log, "--slo", "p99 < 1s", "--quiet")[0].output == ""


def test_a_gate_that_fails_exits_with_1_and_says_why(log: Path) -> None:
    result, error = run(log, "--slo", "p99 < 1s", "--slo", "max < 300ms")
    assert error is not None
    assert error.exit_code == 1
    assert error.problems[-1] == "1 of 2 gates failed"
    assert error.problems[0].startswith("gate failed: max < 300ms: got 400 ms for label=b")
    assert "FAILED" in result.stdout


@pytest.mark.parametrize(
    ("gate", "excerpt"),
    [
        ("p99 << 1s", "p99 << 1s\n    ^\n"),
        ("p99 < 1s for label=c\x1b", "p99 < 1s for label=c�\n                   ^\n"),
    ],
)
def test_a_bad_gate_exits_with_2_and_shows_where(log: Path, gate: str, excerpt: str) -> None:
    result, error = run(log, "--slo", gate)
    assert error is not None
    assert error.exit_code == 2
    assert result.stderr == excerpt


def test_other_mistakes_have_their_exit_codes(log: Path, tmp_path: Path) -> None:
    cases = {
        (log,): 2,
        (log, "--slo-file", tmp_path / "no.toml"): 2,
        (log, "--slo", "p9 < 1s", "--max-rejects", "x"): 2,
        (log, "--slo", "p9 < 1s", "--junit", log): 2,
        (tmp_path / "no.csv", "--slo", "p9 < 1s"): 3,
        (log, "--slo", "p9 < 1s", "--by", "region"): 3,
    }
    before = log.read_bytes()
    for arguments, code in cases.items():
        error = run(*arguments)[1]
        assert error is not None
        assert error.exit_code == code
    assert log.read_bytes() == before


def test_files_and_json_are_written_whether_gates_hold_or_not(log: Path, tmp_path: Path) -> None:
    gates = tmp_path / "slo.toml"
    gates.write_text('[[gate]]\nname = "Tail"\nslo = "max < 300ms"\n', encoding="utf-8")
    junit, markdown = tmp_path / "out" / "gates.xml", tmp_path / "out" / "gates.md"
    result, error = run(log, "--slo-file", gates, "--json", "--junit", junit, "--markdown", markdown)
    assert error is not None
    assert error.exit_code == 1
    document = json.loads(result.stdout)
    assert [found["holds"] for found in document["gates"][0]["results"]] == [True, False]
    assert "\x1b" not in result.stdout
    assert len(ET.fromstring(junit.read_text(encoding="utf-8")).findall(".//testcase")) == 2
    assert markdown.read_text(encoding="utf-8").startswith("### 1 of 1 gate failed\n")


def test_nothing_is_written_for_a_bad_gate(log: Path, tmp_path: Path) -> None:
    junit = tmp_path / "gates.xml"
    assert run(log, "--slo", "p99 < 1s for label=z", "--junit", junit)[1] is not None
    assert not junit.exists()


def test_a_long_table_shows_what_failed_first(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    labels = [f"call {number:03}" for number in range(60)]
    pl.DataFrame({"invocation_latency": [float(n) for n in range(1, 61)], "label": labels}).write_parquet(
        path
    )
    result, error = run(path, "--slo", "max <= 55ms")
    assert error is not None
    assert result.stdout.count("FAILED") == 5
    assert "20 more rows: --json has all of them." in result.stdout


def test_a_results_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "stability_benchmark_raw_results"
    folder.mkdir()
    (folder / "invocation_benchmark_results.csv").write_text("invocation_latency\n1\n", encoding="utf-8")
    error = run(tmp_path, "--slo", "p9 < 1s")[1]
    assert error is not None
    assert error.exit_code == 2
    assert "is a results folder" in str(error)


def test_a_home_made_log_is_read_by_its_map(tmp_path: Path) -> None:
    path = tmp_path / "mine_eu.csv"
    path.write_text("took,who\n0.5,a\n0.1,b\n", encoding="utf-8")
    options = ("--map", "latency=took:s", "--key-from-name", r"_(?P<region>\w+)", "--by", "region")
    result, error = run(path, "--slo", "max <= 500ms for region=eu", *options, "--json")
    assert error is None
    assert json.loads(result.stdout)["gates"][0]["results"][0]["value"] == 500.0


def test_a_map_may_be_a_file(tmp_path: Path) -> None:
    path, column_map = tmp_path / "mine.csv", tmp_path / "map.toml"
    path.write_text("took,who\n0.5,a\n0.1,b\n", encoding="utf-8")
    column_map.write_text('latency = "took:s"\n', encoding="utf-8")
    assert run(path, "--slo", "max <= 500ms", "--map-file", column_map)[1] is None
    error = run(path, "--slo", "max <= 500ms", "--map-file", column_map, "--map", "latency=took:s")[1]
    assert error is not None
    assert error.exit_code == 2
    error = run(path, "--slo", "max <= 500ms", "--map-file", column_map, "--junit", column_map)[1]
    assert "is one of the inputs" in str(error)


def test_the_fence_can_be_chosen(log: Path) -> None:
    gate = ("--slo", "max <= 400ms filtered", "--json", "--outliers")
    for fence in ("none", "tukey", "mean-iqr"):
        assert json.loads(run(log, *gate, fence)[0].stdout)["outliers"] == fence


@pytest.fixture
def log_with_bad_rows(tmp_path: Path) -> Path:
    path = tmp_path / "bad.csv"
    path.write_text(
        "invocation_latency,start_time,end_time\n100,0,1\n=x,1,2\n300,2,3\n-5,3,4\n", encoding="utf-8"
    )
    return path


def test_too_many_rejected_rows_are_not_lost(log_with_bad_rows: Path, tmp_path: Path) -> None:
    rejects, junit = tmp_path / "out" / "rejects.csv", tmp_path / "gates.xml"
    gate = ("--slo", "p99 < 1s", "--junit", junit)
    error = run(log_with_bad_rows, *gate)[1]
    assert error is not None
    assert error.exit_code == 3
    assert error.problems[-1] == "--rejects FILE writes all rejected rows"
    error = run(log_with_bad_rows, *gate, "--rejects", rejects, "--safe-csv")[1]
    assert error is not None
    assert error.exit_code == 3
    assert error.problems[-1] == f"{rejects}: has all rejected rows"
    rows = pl.read_csv(rejects)
    assert rows["line"].to_list() == [3, 5]
    assert rows["raw"][0].startswith("'=x")
    assert not junit.exists()


@pytest.mark.parametrize("gate", ["p99 < 1s", "p99 < 1s within 1s of every window"])
def test_allowed_rejected_rows_are_told(log_with_bad_rows: Path, tmp_path: Path, gate: str) -> None:
    rejects, markdown = tmp_path / "rejects.csv", tmp_path / "gates.md"
    options = ("--slo", gate, "--max-rejects", "50%")
    result, error = run(log_with_bad_rows, *options, "--rejects", rejects, "--markdown", markdown)
    assert error is None
    assert f"Rejected rows: 2: {rejects}" in result.stdout
    assert pl.read_csv(rejects).height == 2
    assert "Rejected rows, not judged: 2" in markdown.read_text(encoding="utf-8")
    assert "Rejected rows: 2: --rejects FILE writes them" in run(log_with_bad_rows, *options)[0].stdout
    document = json.loads(run(log_with_bad_rows, *options, "--json")[0].stdout)
    assert document["rejected"] == sum(document["rejects_by_reason"].values()) == 2
    assert document["holds"] is True


def test_a_file_of_rejected_rows_does_not_outlive_them(log: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    rejects.write_text("rows of an earlier log\n", encoding="utf-8")
    assert run(log, "--slo", "p99 < 1s", "--rejects", rejects)[1] is None
    assert pl.read_csv(rejects).height == 0


def test_outputs_that_cannot_be_are_refused_before_the_log_is_read(
    log_with_bad_rows: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    error = run(log_with_bad_rows, "--slo", "p99 < 1s", "--junit", path, "--rejects", path)[1]
    assert "is named for two outputs" in str(error)
    assert not path.exists()
