"""What ``loadlens inspect`` says of a file."""

import json
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.logs import Reading
from loadlens.schema import CANONICAL_COLUMNS
from loadlens.tasks.inspection import inspect_log, propose_map
from tests.dialect_logs import KINDS, START_MS, sample
from tests.extent import combinations, some_of

pytestmark = pytest.mark.usefixtures("no_drawings")

ALL = Reading.of(max_rejects="100%")
JMETER = b"timeStamp,elapsed,label,responseMessage,success,bytes\n"
ROW = b"1700000000123,120,GET /,OK,true,1000\n"


def inspect(*args: object) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, args)], catch_exceptions=False)


def document(*args: object) -> dict[str, Any]:
    result = inspect(*args, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def file(folder: Path, data: bytes, name: str = "log") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("dialect", some_of(KINDS, 2))
def test_a_log_of_every_dialect_is_described(tmp_path: Path, dialect: str) -> None:
    expected = sample(dialect, rows=7)
    found = inspect_log(file(tmp_path, expected.data))
    assert found.format[0] == dialect
    assert found.key == expected.key
    assert found.rows == 7
    assert found.first_s == pytest.approx(expected.truth["start_time"].min(), abs=1e-6)
    assert found.last_s == pytest.approx(expected.truth["end_time"].max(), abs=1e-6)
    assert found.first.select(expected.key).equals(expected.truth.select(expected.key).head(5))
    assert found.first["invocation_latency"].to_list() == expected.truth["invocation_latency"].to_list()[:5]
    assert (found.clock == "epoch") == (found.last_s > 1e9)
    assert found.meaning
    assert all(name and meaning for name, meaning in found.meaning)
    units = {name: CANONICAL_COLUMNS[name].unit for name in found.first.columns if name in CANONICAL_COLUMNS}
    assert {name: unit for name, _, unit in found.columns if name in CANONICAL_COLUMNS} == units


def test_tables_say_what_a_log_is(tmp_path: Path) -> None:
    path = file(tmp_path, JMETER + ROW + ROW.replace(b"120", b"abc"))
    result = inspect(path)
    assert result.exit_code == 0
    for text in (
        "JMeter CSV (jmeter-csv)",
        "epoch",
        "2023-11-14T22:13:20.123+00:00",
        "0.120 s",
        "name of the sampler",
        "Float64 ms",
        "Rejected: elapsed: expected a whole number",
        "coordinated omission",
    ):
        assert text in result.stdout
    assert result.stderr == ""


def test_json_says_the_same(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        JMETER
        + ROW * 7
        + ROW.replace(b"120", b"abc")
        + ROW.replace(b"OK", b"Number of samples in transaction : 1"),
    )
    found = document(path)
    first = found.pop("first_rows")
    warnings = found.pop("warnings")
    columns = found.pop("columns")
    assert found.pop("source_columns")["elapsed"] == "latency, ms"
    assert found == {
        "file": str(path),
        "format": "jmeter-csv",
        "title": "JMeter CSV",
        "clock": "epoch",
        "key": ["label"],
        "rows": 7,
        "first_s": START_MS / 1000,
        "last_s": (START_MS + 120) / 1000,
        "rejected": 1,
        "rejects_by_reason": {"elapsed: expected a whole number": 1},
        "left_out": {"transaction controllers": 1},
    }
    assert {"name": "start_time", "type": "Float64", "unit": "s"} in columns
    assert len(first) == 5
    assert first[0]["label"] == "GET /"
    assert any("1 transaction controller is left out" in text for text in warnings)


def test_nothing_is_written(tmp_path: Path) -> None:
    path = file(tmp_path, JMETER + ROW.replace(b"120", b"-7") + ROW)
    inspect(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_is_counted_does_not_depend_on_the_first_rows(tmp_path: Path) -> None:
    bad = ROW.replace(b"true", b"maybe")
    found = inspect_log(file(tmp_path, JMETER + (ROW + bad) * 3000), ALL)
    assert (found.rows, found.findings.rows, found.findings.rejected) == (3000, 3000, 3000)
    assert found.findings.reasons == {"success: expected true or false": 3000}


def test_a_log_without_one_good_row_is_refused_with_reasons(tmp_path: Path) -> None:
    result = inspect(file(tmp_path, JMETER + ROW.replace(b"120", b"abc") * 2))
    assert result.exit_code == 3
    assert "line 2, column elapsed: got 'abc', expected a whole number" in result.stderr
    assert "all 2 rows rejected" in result.stderr


def test_a_format_may_be_named_and_columns_mapped(tmp_path: Path) -> None:
    jmeter = file(tmp_path, JMETER + ROW, "a")
    assert document(jmeter, "--format", "jmeter-csv")["format"] == "jmeter-csv"
    assert inspect(jmeter, "--format", "nothing").exit_code == 2
    log = file(tmp_path, b"ms,at\n5,1\n7,2\n", "b")
    found = document(log, "--map", "latency=ms:ms", "--map", "end=at:relative_s")
    assert (found["rows"], found["clock"], found["last_s"]) == (2, "relative", 2.0)
    assert found["source_columns"]["ms"] == "latency, ms"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"a,b,c\n1,2,3\n", "no known format"),
        (b"\x80\x04pickle", "is a Python pickle"),
        (b"Type,Name,Request Count,Failure Count\n,Aggregated,1,0\n", "Locust's --csv"),
        (b"\x1f\x8b\x08nothing", "is damaged or cut off"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    result = inspect(file(tmp_path, data))
    assert result.exit_code == 3
    assert message in result.stderr
    assert result.stdout == ""


def test_a_typed_file_with_cells_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        {
            "invocation_latency": [1.5],
            "start_time": pl.Series([None], dtype=pl.Float64),
            "when": [datetime(2024, 5, 6)],
            "raw": [b"\xff"],
            "ratio": [float("inf")],
            "nested": [{"a": [1]}],
        }
    ).write_parquet(path)
    found = document(path)
    assert (found["format"], found["clock"], found["rows"]) == ("parquet", "", 1)
    assert found["first_s"] is found["last_s"] is None
    assert found["first_rows"][0]["when"] == "2024-05-06 00:00:00"
    assert inspect(path).exit_code == 0


def test_a_log_without_times_has_no_span(tmp_path: Path) -> None:
    path = file(tmp_path, b"invocation_latency\n1.5\n")
    assert "no times" in inspect(path).stdout
    assert document(path)["first_s"] is None


def test_a_converted_log_looks_the_same(tmp_path: Path) -> None:
    path = file(tmp_path, sample("vegeta-json").data)
    loadlens.scan_log(path).collect().write_parquet(tmp_path / "b.parquet")
    text, typed = inspect_log(path), inspect_log(tmp_path / "b.parquet")
    assert (text.columns, text.rows, text.first_s, text.last_s) == (
        typed.columns,
        typed.rows,
        typed.first_s,
        typed.last_s,
    )


TABLES: dict[str, dict[str, list[object]]] = {
    "flat": {
        "start_time": [1700000000.5, 1700000001.5, 1700000003.0],
        "end_time": [1700000000.75, 1700000002.0, 1700000003.5],
        "elapsed_ms": [250.0, 500.0, 500.0],
        "url": ["/a", "/b", "/b"],
        "status": ["200", "timeout", "503"],
    },
    "times": {
        "began": ["2024-01-31T10:00:00Z", "2024-01-31T10:00:01Z", "2024-01-31T10:00:02Z"],
        "finished": ["2024-01-31T10:00:00.5Z", "2024-01-31T10:00:01.25Z", "2024-01-31T10:00:02.5Z"],
        "name": ["a b", "a b ", "c"],
        "error": ["", "reset", "N/A"],
    },
    "names with blanks": {
        "Response Time (ms)": [5, 7, 9],
        "End Time": [1700000000123, 1700000000124, 1700000000125],
        "Success": [True, False, True],
        "Endpoint": ["x", "y", "z"],
    },
}
WRITERS = {
    "csv": pl.DataFrame.write_csv,
    "ndjson": pl.DataFrame.write_ndjson,
    "parquet": pl.DataFrame.write_parquet,
    "arrow": pl.DataFrame.write_ipc,
}


@pytest.mark.parametrize(("name", "suffix"), combinations(TABLES, WRITERS, one_in=6))
def test_a_map_that_is_proposed_without_doubt_works_as_it_stands(
    tmp_path: Path, name: str, suffix: str
) -> None:
    table = pl.DataFrame(TABLES[name])
    path = tmp_path / f"a log.{suffix}"
    WRITERS[suffix](table, path)
    found = inspect(path)
    assert found.exit_code == 0
    assert "Unsure" not in found.stdout
    assert "Read so: 3 rows read, 0 rejected" in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("loadlens analyze ")]
    arguments = shlex.split(line)[1:]
    arguments[arguments.index("report")] = str(tmp_path / "report")
    analysed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert analysed.exit_code == 0, analysed.output
    summary = pl.read_csv(tmp_path / "report" / "summary.csv")
    failed = {"flat": 2, "times": 1, "names with blanks": 1}[name]
    assert summary.select("num_invocations", "num_errors").sum().row(0) == (3, failed)
    said = document(path)
    assert said["command"] == line
    assert (said["format"], said["doubts"], said["no_header"]) == (None, [], False)


def test_what_is_unsure_of_a_proposed_map_is_marked(tmp_path: Path) -> None:
    found = inspect(file(tmp_path, b"1700000000000,44.0\n1700000000010,39.0\n"))
    assert "--map latency=c2:ms --map end=c1:epoch_ms --no-header" in found.stdout
    for text in ("Unsure: latency=c2:ms: ", "Unsure: end=c1:epoch_ms: ", "Unsure: no column seems to tell"):
        assert text in found.stdout
    rejecting = inspect(file(tmp_path, b"latency_ms,ok\n5,true\nfast,true\n5,\n"))
    assert "Read so: 1 row read, 2 rejected: " in rejecting.stdout


def test_unknown_tables_are_sent_to_inspect(tmp_path: Path) -> None:
    text = file(tmp_path, b"elapsed_ms\n5\n", "a.csv")
    typed = tmp_path / "a.parquet"
    pl.DataFrame({"elapsed_ms": [5]}).write_parquet(typed)
    for path in (text, typed):
        for arguments in (["check", str(path), "--slo", "p99 < 1s"], ["analyze", str(path), "--out", "x"]):
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert result.exit_code == 3
            assert f"`loadlens inspect {path}` proposes how" in result.stderr


def test_known_logs_and_near_misses_get_no_proposal(tmp_path: Path) -> None:
    near = file(tmp_path, b"timeStamp,label,responseCode,threadName,success,Latency\n1,a,200,t,true,5\n")
    assert inspect(near).exit_code == 3
    assert propose_map(file(tmp_path, JMETER + ROW)) is None
    assert propose_map(tmp_path / "none.csv") is None
    known = file(tmp_path, b"latency_ms\n5\n")
    assert propose_map(known, Reading.of(column_map=["latency=latency_ms:ms"])) is None


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_it_tells_what_all_rows_show_as_an_analysis_does(form: str, tmp_path: Path) -> None:
    """The clock, units, and successes without a latency."""
    frame = pl.DataFrame(
        {
            "invocation_latency": [0.25, 0.5, 0.75, 0.5, None],
            "start_time": [float(number) for number in range(5)],
            "success": [True] * 5,
        }
    ).with_columns(end_time=pl.col("start_time") + pl.col("invocation_latency").fill_null(1))
    path = tmp_path / f"log.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    log = loadlens.read_log(path)
    loadlens.summarize(log, [])
    expected = log.findings.sentences()
    for sign in ("1 of 5 successful calls has no latency", "of no calendar", "latency=invocation_latency:s"):
        assert any(sign in sentence for sentence in expected)
    assert inspect_log(path).findings.sentences() == expected


def test_it_tells_of_whole_seconds(tmp_path: Path) -> None:
    frame = pl.DataFrame({"invocation_latency": [5.0] * 3, "start_time": [1.7e9, 1.7e9 + 1, 1.7e9 + 2]})
    frame.write_parquet(tmp_path / "log.parquet")
    told = "\n".join(inspect_log(tmp_path / "log.parquet").findings.sentences())
    assert "its times are whole seconds" in told
    assert "calendar" not in told
