"""One set of rules for rows, whatever form of input they come in: the same figures, the same rejects."""

import csv
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from tests.extent import combinations, examples, some_of

pytestmark = pytest.mark.usefixtures("no_drawings")

FORMS = ("csv", "parquet", "arrow", "frame", "lazy")
GOOD: dict[str, Any] = {
    "invocation_latency": 50.0,
    "start_time": 1000.0,
    "end_time": 1000.05,
    "success": True,
    "response_size": 100,
    "memory_size": 1024,
    "throttle_exception": 0,
    "label": "a",
}
SCHEMA = {
    "invocation_latency": pl.Float64,
    "start_time": pl.Float64,
    "end_time": pl.Float64,
    "success": pl.Boolean,
    "response_size": pl.Int64,
    "memory_size": pl.Int64,
    "throttle_exception": pl.Int8,
    "label": pl.String,
}
FAULTS: dict[str, dict[str, Any]] = {
    "end before start": {"end_time": 999.0},
    "success with -1": {"invocation_latency": -1.0},
    "negative latency": {"invocation_latency": -5.0},
    "latency NaN": {"invocation_latency": math.nan},
    "latency infinite": {"invocation_latency": math.inf},
    "absurd latency": {"invocation_latency": 1e13},
    "start NaN": {"start_time": math.nan},
    "times far off": {"start_time": 1e11, "end_time": 1e11},
    "negative size": {"response_size": -1},
    "no memory size": {"memory_size": None},
    "negative memory size": {"memory_size": -1},
    "flag of 2": {"throttle_exception": 2},
    "no outcome": {"success": None},
}
USUAL: dict[str, dict[str, Any]] = {
    "good": {},
    "failed": {"success": False},
    "failed without latency": {"success": False, "invocation_latency": -1.0},
    "failed with none": {"success": False, "invocation_latency": None},
    "success without latency": {"invocation_latency": None},
    "no time": {"start_time": None, "end_time": None},
    "no size": {"response_size": None},
}
ALL = {**FAULTS, **USUAL}


def table(kinds: list[str]) -> pl.DataFrame:
    return pl.DataFrame([{**GOOD, **ALL[kind]} for kind in kinds], schema=SCHEMA)


def source(folder: Path, rows: pl.DataFrame, form: str) -> Any:
    if form in {"frame", "lazy"}:
        return rows if form == "frame" else rows.lazy()
    path = folder / f"log.{form}"
    if form == "csv":
        rows.write_csv(path)
    elif form == "parquet":
        rows.write_parquet(path)
    else:
        rows.write_ipc(path)
    return path


def outcome(folder: Path, rows: pl.DataFrame, form: str) -> tuple[list[tuple[Any, ...]], list[int], int]:
    """The figures, the rows that were rejected (from 1), and how many there are."""
    log = loadlens.read_log(source(folder, rows, form), max_rejects="100%")
    result = loadlens.summarize(log, ["memory_size"])
    log.findings.write_rejects(folder / "rejects.csv")
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as lines:
        found = [int(row["line"]) - (form == "csv") for row in csv.DictReader(lines)]
    return result.summary.rows(), sorted(found), log.findings.rejected


@pytest.mark.parametrize(("fault", "form"), combinations(FAULTS, FORMS))
def test_a_broken_row_is_set_aside_in_every_form(tmp_path: Path, fault: str, form: str) -> None:
    kinds = ["good", "failed", fault, "good"]
    figures, rejected, count = outcome(tmp_path, table(kinds), form)
    assert rejected == [3]
    assert count == 1
    assert figures == loadlens.summarize(table(["good", "failed", "good"]), ["memory_size"]).summary.rows()


@pytest.mark.parametrize(("fault", "form"), combinations(FAULTS, FORMS))
def test_without_leave_the_row_is_told_and_nothing_counted(tmp_path: Path, fault: str, form: str) -> None:
    log = source(tmp_path, table(["good", fault, "good"]), form)
    with pytest.raises(loadlens.InputError) as raised:
        loadlens.summarize(log, by=[])
    place = "line 3" if form == "csv" else "row 2"
    assert f"{place}, column {next(iter(FAULTS[fault]))}: got " in raised.value.problems[0]
    assert raised.value.problems[-1].startswith("1 of 3 rows rejected, allowed: 0;")


@examples(2)
@given(st.lists(st.sampled_from(sorted(ALL)), min_size=1, max_size=30))
def test_all_forms_agree(tmp_path_factory: pytest.TempPathFactory, kinds: list[str]) -> None:
    kinds = ["good", *kinds]
    folder = tmp_path_factory.mktemp("forms")
    expected = [number for number, kind in enumerate(kinds, start=1) if kind in FAULTS]
    found = [outcome(folder, table(kinds), form) for form in FORMS]
    assert all(rejected == expected for _, rejected, _ in found)
    assert all(figures == found[0][0] for figures, _, _ in found)


def test_a_success_without_a_latency_counts_where_none_is_needed() -> None:
    rows = table(["good", "success without latency", "success without latency", "failed"])
    (found,) = loadlens.summarize(rows, by=[]).summary.to_dicts()
    assert (found["num_errors"], found["error_rate"]) == (1, 0.25)
    assert (found["tps_max"], found["invocation_latency_max"]) == (3, 50.0)


@pytest.mark.parametrize("command", some_of(["analyze", "convert", "profile"], 3, first=1))
def test_commands_heed_the_limit(tmp_path: Path, command: str) -> None:
    table(["good", "end before start"] * 5).write_parquet(tmp_path / "log.parquet")
    out = {"analyze": "out", "convert": "out.parquet", "profile": "out.profile"}[command]
    args = [command, str(tmp_path / "log.parquet"), "--out", str(tmp_path / out), "--quiet"]
    assert CliRunner().invoke(app, args).exit_code == 3
    assert CliRunner().invoke(app, [*args, "--max-rejects", "5", "--overwrite"]).exit_code == 0


@pytest.mark.parametrize("form", FORMS)
def test_gates_gain_nothing_from_rejects(tmp_path: Path, form: str) -> None:
    rows = table(["good"] * 98 + ["end before start"] * 2)
    log = loadlens.read_log(source(tmp_path, rows, form), max_rejects="100%")
    gates = ["error_rate < 1%", "error_rate <= 2%", "count >= 98", "count >= 99", "count < 99", "p99 < 1s"]
    found = loadlens.check_gates(log, gates, ["label"])
    assert [verdict.holds for verdict in found.verdicts] == [False, True, True, False, False, True]
    first = found.verdicts[0]
    assert (first.value, first.low, first.high) == (0.0, 0.0, 0.02)
    assert "2 rejected rows may have failed" in first.reason
    within = loadlens.check_gates(log, ["error_rate < 1% within 60s of every window"], ["label"])
    assert not within.holds


@pytest.mark.parametrize("command", ["convert", "profile"])
def test_rows_rejected_before_count_against_gates(tmp_path: Path, command: str) -> None:
    table(["good"] * 98 + ["end before start"] * 2).write_parquet(tmp_path / "log.parquet")
    out = tmp_path / ("out.parquet" if command == "convert" else "out.profile")
    args = [command, str(tmp_path / "log.parquet"), "--out", str(out), "--quiet", "--max-rejects", "2"]
    assert CliRunner().invoke(app, args).exit_code == 0
    check = ["check", str(out), "--slo"]
    assert CliRunner().invoke(app, [*check, "error_rate < 1%"]).exit_code == 1
    result = CliRunner().invoke(app, [*check, "error_rate < 3%"])
    assert result.exit_code == 0
    assert "Not judged, as they were rejected: 2 rows" in result.stdout


def test_an_internal_error_is_no_failed_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("loadlens.cli.check.open_log", fail)
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--slo", "p99 < 1s"])
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith("loadlens: internal error: KeyError: 'boom'; ")
    details = Path(line.rpartition("details: ")[2])
    assert "Traceback" in details.read_text(encoding="utf-8")
    details.unlink()


@pytest.mark.parametrize(
    "values",
    [
        pl.Series("k", [[1], [2]]),
        pl.Series("k", [{"a": 1}, {"a": 2}]),
        pl.Series("k", [b"1", b"2"]),
        pl.Series("k", [1, 2], dtype=pl.Int128),
    ],
    ids=lambda values: str(values.dtype),
)
def test_keys_of_types_that_are_no_keys_are_refused(values: pl.Series) -> None:
    rows = table(["good", "good"]).with_columns(values)
    with pytest.raises(loadlens.InputError, match=r"column k is .*, expected text, numbers"):
        loadlens.summarize(rows, ["k"])


@pytest.mark.parametrize("form", ["parquet", "arrow", "frame", "lazy"])
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float16])
def test_times_that_narrow_floats_tell_to_seconds_only_are_refused(
    tmp_path: Path, form: str, dtype: type[pl.DataType]
) -> None:
    since = 1.7e9 if dtype == pl.Float32 else 5000.0
    seconds = pl.Series([since + n / 10 for n in range(20)])
    rows = pl.DataFrame({"invocation_latency": [50.0] * 20, "end_time": seconds.cast(dtype)})
    source: Any = {"frame": rows, "lazy": rows.lazy()}.get(form, tmp_path / f"log.{form}")
    if form == "parquet":
        rows.write_parquet(source)
    elif form == "arrow":
        rows.write_ipc(source)
    with pytest.raises(loadlens.InputError, match=r"end_time: got .*, expected less than .* of Float"):
        loadlens.summarize(source, by=[])


def test_narrow_floats_tell_short_clocks_well_enough() -> None:
    ends = pl.Series("end_time", [0.5, 1.5, None, 2.5], dtype=pl.Float32)
    rows = pl.DataFrame({"invocation_latency": [50.0] * 4}).with_columns(ends)
    assert loadlens.summarize(rows, by=[]).summary["num_invocations"].item() == 4


def test_a_key_of_nan_is_analysed(tmp_path: Path) -> None:
    rows = pl.DataFrame({"invocation_latency": [10.0, 20.0, 30.0, 40.0], "k": [1.0, 1.0] + [math.nan] * 2})
    rows.write_parquet(tmp_path / "log.parquet")
    args = ["analyze", str(tmp_path / "log.parquet"), "--by", "k", "--out", str(tmp_path / "out"), "--quiet"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.stderr
    summary = (tmp_path / "out" / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:2] for line in summary[1:]] == [["1.0", "2"], ["NaN", "2"]]


def test_whole_numbers_are_one_key_whatever_the_types_of_files(tmp_path: Path) -> None:
    for name, shards in {"a": [1, 2], "b": [1.0, None], "c": [2.5, 2.0], "d": ["1", "x"]}.items():
        rows = pl.DataFrame({"invocation_latency": [10.0, 20.0 + len(name)], "shard": shards})
        rows.write_parquet(tmp_path / f"{name}.parquet")
    pl.DataFrame({"invocation_latency": [10.0, 30.0], "shard": [1, 2]}).write_csv(tmp_path / "e.csv")
    found = loadlens.summarize(tmp_path, ["shard"]).summary
    counts = dict(found.select("shard", "num_invocations").rows())
    assert counts == {"1": 4, "2": 3, "2.5": 1, "x": 1, None: 1}
