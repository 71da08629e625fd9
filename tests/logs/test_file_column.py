"""The column ``file``: which of several files a row is from, in every format and mixture of formats."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.gates import check_gates
from loadlens.logs import read_log
from loadlens.tasks.convert import convert
from tests.jmeter_runs import jtl

Write = Callable[[pl.DataFrame, Path], None]


def rows(*latencies: float) -> pl.DataFrame:
    count = len(latencies)
    return pl.DataFrame(
        {
            "invocation_latency": latencies,
            "start_time": [float(number) for number in range(count)],
            "end_time": [number + latency / 1000 for number, latency in enumerate(latencies)],
            "memory_size": [1024] * count,
        }
    )


def mapped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.rename({"invocation_latency": "ms", "end_time": "end"})


FORMS: dict[str, tuple[str, Write]] = {
    "Parquet": ("q.parquet", lambda frame, path: frame.write_parquet(path)),
    "Arrow": ("q.arrow", lambda frame, path: frame.write_ipc(path)),
    "canonical CSV": ("q.csv", lambda frame, path: frame.write_csv(path)),
}
MAP = ["latency=ms:ms", "end=end:relative_s", "memory_size=memory_size"]


def two_runs(
    folder: Path, form: str, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame
) -> Path:
    name, write = FORMS[form]
    for run, latencies in {"a": (100.0, 110.0, 120.0), "b": (900.0,)}.items():
        path = folder / "runs" / run / name
        path.parent.mkdir(parents=True)
        write(change(rows(*latencies)), path)
    return folder / "runs"


def counts(source: object, **options: object) -> dict[str, int]:
    summary = loadlens.summarize(read_log(source, **options), by=["file"]).summary  # type: ignore[arg-type]
    return dict(summary.select("file", "num_invocations").iter_rows())


@pytest.mark.parametrize("form", FORMS)
def test_files_of_one_name_in_several_folders_are_runs(form: str, tmp_path: Path) -> None:
    runs, name = two_runs(tmp_path, form), FORMS[form][0]
    log = read_log(runs)
    assert log.key == ("memory_size", "file")
    assert counts(runs) == {f"a/{name}": 3, f"b/{name}": 1}
    verdicts = check_gates(log, ["p50 < 600ms"], by=log.key).verdicts
    assert [(verdict.key["file"], verdict.holds) for verdict in verdicts] == [
        (f"a/{name}", True),
        (f"b/{name}", False),
    ]
    done = CliRunner().invoke(app, ["check", str(runs), "--slo", "p50 < 600ms", "--by", "file"])
    assert done.exit_code == 1
    assert f"b/{name}" in done.output


@pytest.mark.parametrize("form", FORMS)
def test_maps_tell_files_apart_too(form: str, tmp_path: Path) -> None:
    runs, name = two_runs(tmp_path, form, mapped), FORMS[form][0]
    assert read_log(runs, column_map=MAP).key == ("memory_size", "file")
    assert counts(runs, column_map=MAP) == {f"a/{name}": 3, f"b/{name}": 1}


@pytest.mark.parametrize("form", FORMS)
def test_parts_and_partitions_of_one_log_are_no_runs(form: str, tmp_path: Path) -> None:
    name, write = FORMS[form]
    suffix = Path(name).suffix
    for path in ("parts/part-1", "parts/part-2", "lake/day=1/part-1", "lake/day=2/part-1"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        write(rows(5.0, 6.0 + len(path)), tmp_path / f"{path}{suffix}")
    for folder, names in (
        ("parts", {f"part-1{suffix}", f"part-2{suffix}"}),
        ("lake", {f"day=1/part-1{suffix}", f"day=2/part-1{suffix}"}),
    ):
        source = [tmp_path / folder] if folder == "lake" else sorted((tmp_path / folder).iterdir())
        log = read_log(source, force=True)
        assert log.key == ("memory_size",)
        assert set(counts(source, force=True)) == names  # asked for, it is there all the same


def test_converted_logs_are_told_apart_as_their_sources(tmp_path: Path) -> None:
    for run, latencies in {"one": (100, 110), "two": (900,)}.items():
        convert([jtl(tmp_path / f"{run}.jtl", *latencies)], tmp_path / "out" / f"{run}.parquet")
    assert read_log(tmp_path / "out").key == ("label", "file")
    assert counts(tmp_path / "out") == {"one.parquet": 2, "two.parquet": 1}


def test_a_mixture_of_formats_has_the_column_throughout(tmp_path: Path) -> None:
    jtl(tmp_path / "runs" / "a" / "run.jtl", 100, 110)
    for name, (file, write) in FORMS.items():
        path = tmp_path / "runs" / name / file
        path.parent.mkdir()
        write(rows(len(name) * 1.5), path)
    assert counts(tmp_path / "runs") == {"run.jtl": 2, "q.parquet": 1, "q.arrow": 1, "q.csv": 1}


@pytest.mark.parametrize("form", ["Parquet", "Arrow"])
def test_files_of_different_columns_and_workers_agree(form: str, tmp_path: Path) -> None:
    runs, (name, write) = two_runs(tmp_path, form), FORMS[form]
    (runs / "c").mkdir()
    write(rows(5.0, 6.0).with_columns(zone=pl.lit("x")), runs / "c" / name)
    expected = {f"a/{name}": 3, f"b/{name}": 1, f"c/{name}": 2}
    assert counts(runs) == expected
    with ThreadPoolExecutor(2) as executor:
        found = loadlens.summarize(runs, by=["file"], executor=executor, partition_rows=1).summary
    assert dict(found.select("file", "num_invocations").iter_rows()) == expected


def test_broken_rows_are_set_aside_by_file(tmp_path: Path) -> None:
    runs = two_runs(tmp_path, "Parquet")
    rows(-5.0, 7.0, 8.0).write_parquet(runs / "b" / "q.parquet")
    assert counts(runs, max_rejects=1) == {"a/q.parquet": 3, "b/q.parquet": 2}


def test_a_column_of_that_name_stays_as_it_is(tmp_path: Path) -> None:
    runs = two_runs(tmp_path, "Parquet", lambda frame: frame.with_columns(file=pl.lit("mine")))
    assert counts(runs) == {"mine": 4}


def test_one_file_has_no_such_column(tmp_path: Path) -> None:
    runs = two_runs(tmp_path, "Parquet")
    assert "file" not in read_log(runs / "a").columns


@pytest.mark.slow
def test_a_list_of_very_many_files_is_one_scan(tmp_path: Path) -> None:
    for number in range(200):
        rows(5.0 + number).write_parquet(tmp_path / f"{number}.parquet")
    log = read_log(tmp_path)
    assert log.frame.explain().count("Parquet SCAN") == 1
    assert counts(tmp_path) == {f"{number}.parquet": 1 for number in range(200)}
