"""Slices on the command line, of every command."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from loadlens.cli import app
from tests.ten_minutes import WHERE, log_of, sliced_by_pandas, toolkit_log

pytestmark = pytest.mark.usefixtures("no_drawings")

SLICE = ("--skip", "60s", "--to", "5min", "--where", WHERE)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log_of().write_csv(tmp_path / "log.csv")
    return tmp_path / "log.csv"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """The rows of the slice as a log of its own."""
    sliced_by_pandas(log_of(), 60, 300).write_csv(tmp_path / "part.csv")
    return tmp_path / "part.csv"


def test_analyze_gives_the_summary_of_the_rows_inside(log: Path, part: Path, tmp_path: Path) -> None:
    assert run("analyze", log, "--out", tmp_path / "sliced", *SLICE).exit_code == 0
    assert run("analyze", part, "--out", tmp_path / "whole").exit_code == 0
    got, expected = (tmp_path / name / "summary.csv" for name in ("sliced", "whole"))
    assert got.read_bytes() == expected.read_bytes()


def test_rows_outside_are_told_everywhere(log: Path, tmp_path: Path) -> None:
    done = run("analyze", log, "--out", tmp_path / "out", *SLICE)
    told = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["slice"]
    outside = 400 - sliced_by_pandas(log_of(), 60, 300).height
    assert told["rows_outside"] == outside == told["rows_before"] + told["rows_after"] + told["rows_where"]
    sentence = f"{outside} of 400 rows lie outside the slice --skip 60s --to 5min"
    assert sentence in done.stderr
    assert sentence in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_check_judges_the_slice(log: Path, part: Path) -> None:
    gates = ("--slo", "p99 < 250ms", "--slo", "count > 10", "--json")
    sliced, whole = (json.loads(run("check", *source, *gates).stdout) for source in ((log, *SLICE), (part,)))
    assert sliced["gates"] == whole["gates"]
    assert sliced["slice"]["rows_inside"] == sliced_by_pandas(log_of(), 60, 300).height


def test_compare_slices_both_runs_each_from_its_own_start(log: Path, tmp_path: Path) -> None:
    log_of(begin=5000.0, seed=8).write_csv(tmp_path / "other.csv")
    done = run("compare", log, tmp_path / "other.csv", "--skip", "60s", "--to", "5min", "--json")
    found = json.loads(done.stdout)
    for role, begin, seed in (("base", 1000.0, 7), ("candidate", 5000.0, 8)):
        start = log_of(begin=begin, seed=seed)["start_time"].to_pandas()
        since = start - start.min()
        assert found[role]["slice"]["rows_inside"] == ((since >= 60) & (since < 300)).sum()
        assert found[role]["slice"]["first_start_s"] == start.min()


def test_cost_is_that_of_the_calls_inside(tmp_path: Path) -> None:
    """Durations rounded up and cold starts take a scan of their own, which is sliced too."""
    whole = log_of().with_columns((pl.col("node") == "a").alias("cold_start"))
    whole.write_parquet(tmp_path / "log.parquet")
    sliced_by_pandas(whole, 60, 300).write_parquet(tmp_path / "part.parquet")
    options = ("--by", "memory_size", "--traffic", "1M/month", "--prices", "lambda-arm")
    for name, slicing in (("log", SLICE), ("part", ())):
        source = tmp_path / f"{name}.parquet"
        done = run("cost", source, "--out", tmp_path / name, *options, *slicing)
        assert done.exit_code == 0, done.stderr
    found = [json.loads((tmp_path / name / "choice.json").read_text("utf-8")) for name in ("log", "part")]
    for document in found:
        del document["inputs"]
    assert found[0] == found[1]


def test_a_profile_of_a_slice_has_its_rows_alone(log: Path, part: Path, tmp_path: Path) -> None:
    assert run("profile", log, *SLICE, "--out", tmp_path / "sliced.profile").exit_code == 0
    assert run("profile", part, "--out", tmp_path / "part.profile").exit_code == 0
    frames = [pl.read_parquet(tmp_path / f"{name}.profile") for name in ("sliced", "part")]
    assert frames[0].equals(frames[1])
    done = run("check", tmp_path / "sliced.profile", "--slo", "count > 1")
    assert "rows lie outside the slice --skip 60s" in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--skip", "60"), "skip: got '60', expected a length of time such as 60s"),
        (("--from", "2026-11-22"), "of no calendar"),
        (("--where", "memory_sise > 1"), "did you mean memory_size"),
        (("--where", "SUM(memory_size) > 1"), "several rows at once"),
        (("--from", "10min", "--to", "5min"), "is not before"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    options: tuple[str, ...], told: str, log: Path, tmp_path: Path
) -> None:
    done = run("analyze", log, "--out", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_results_folder_is_sliced_log_by_log_and_says_so(tmp_path: Path) -> None:
    logs = {}
    for number, name in enumerate(("stability", "concurrency")):
        raw = tmp_path / "run" / f"{name}_benchmark_raw_results"
        raw.mkdir(parents=True)
        logs[name] = toolkit_log(begin=1000.0 * (number + 1))
        logs[name].write_csv(raw / "invocation_benchmark_results.csv")
    done = run("analyze", tmp_path / "run", "--out", tmp_path / "out", "--skip", "60s")
    assert done.exit_code == 0, done.stderr
    document = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    for name, log in logs.items():
        start = log["start_time"].to_pandas()
        before = int((start < start.min() + 60).sum())
        assert document[name]["slice"]["rows_before"] == before
        sentence = f"{name} log: {before} of 400 rows lie outside the slice --skip 60s"
        assert sentence in done.stderr
        assert any(warning.startswith(sentence) for warning in document["warnings"])
    inside = logs["concurrency"].filter(pl.col("start_time") >= pl.col("start_time").min() + 60)
    assert sum(row["num_invocations"] for row in document["concurrency"]["summary"]) == inside.height
