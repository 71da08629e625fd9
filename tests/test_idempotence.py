"""The same calls give the same files, byte for byte, however they are divided into files and in any order."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.cli.check import check
from loadlens.cli.compare import compare_command
from loadlens.cli.cost import cost_command
from loadlens.tasks.convert import convert
from tests.comparison.runs import run
from tests.sample_logs import Configuration, log_of

LAYOUTS = ("whole", "parts")


def calls() -> pl.DataFrame:
    """Calls whose sums of floats have other last digits in another order."""
    memory = [Configuration(memory_size=size, rows=3_000, failure_share=0.02) for size in (1024, 2048)]
    latency = pl.col("invocation_latency").abs()
    return log_of(memory).with_columns(
        pl.col("start_time", "end_time") + 1.7e9,  # of a calendar: a warning of others names the files
        billed_duration=latency.sqrt(),
        request_size=latency.log1p(),
        label=pl.lit("/pay"),
    )


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """The same calls as one file and as three in another order, each as ``logs`` in a folder of its own."""
    frame = calls()
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    parts = {"whole": [frame], "parts": [mixed[4_000:], mixed[:700], mixed[700:4_000]]}
    for layout, frames in parts.items():
        (tmp_path / layout / "logs").mkdir(parents=True)
        for number, part in enumerate(frames):
            part.write_parquet(tmp_path / layout / "logs" / f"{number}.parquet", row_group_size=900)
    return {layout: tmp_path / layout for layout in LAYOUTS}


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_files(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    found = {}
    for layout, folder in folders.items():
        monkeypatch.chdir(folder)  # files name their inputs as they were given
        write(Path("out"))
        found[layout] = files_in(folder / "out")
    whole, parts = (found[layout] for layout in LAYOUTS)
    assert whole.keys() == parts.keys()
    assert whole
    assert [name for name, content in whole.items() if content != parts[name]] == []


def test_analyze(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def write(out: Path) -> None:
        loadlens.analyze(
            ["logs"],
            out,
            by=["memory_size"],
            chart_formats=["svg"],
            gates=["p99 < 300ms", "mean < 1s", "mean < 1s within 10s of every window"],
            baseline="logs",
            costing=loadlens.Costing(prices=(loadlens.load_prices("lambda-arm"),)),
        )

    assert_same_files(folders, monkeypatch, write)


def test_compare(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_files(
        folders,
        monkeypatch,
        lambda out: compare_command(
            "logs", "logs", by=["memory_size"], prices=["lambda-arm"], out=str(out), quiet=True
        ),
    )


def test_cost(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_files(
        folders,
        monkeypatch,
        lambda out: cost_command(["logs"], out=str(out), prices=["lambda-arm"], traffic="20/s", quiet=True),
    )


def test_check(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(out: Path) -> None:
        out.mkdir()
        check(["logs"], slo=["mean < 1s", "p99 < 10s filtered"], junit=out / "gates.xml", as_json=True)
        (out / "check.json").write_text(capsys.readouterr().out, encoding="utf-8")

    assert_same_files(folders, monkeypatch, write)


def test_convert_and_profile_of_the_same_files(folders: dict[str, Path], tmp_path: Path) -> None:
    logs = folders["parts"] / "logs"
    for number in ("first", "second"):
        convert([logs], tmp_path / number / "log.parquet")
        loadlens.profile_log(logs, tmp_path / number / "log.profile", by=["memory_size"])
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_parts_measured_by_workers(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.chdir(folders["whole"])
    loadlens.analyze(["logs"], "here", by=["memory_size"], chart_formats=["svg"])
    with ThreadPoolExecutor(2) as threads:
        loadlens.analyze(
            ["logs"], "there", by=["memory_size"], chart_formats=["svg"], executor=threads, partition_rows=900
        )
    assert files_in(Path("here")) == files_in(Path("there"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_rejected_rows_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = run({"/pay": 1.0}, calls=3_000).write_csv().splitlines()
    lines[10::50] = [line.replace(",", ",x", 1) for line in lines[10::50]]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for out in ("first", "second"):
        reading = loadlens.Reading.of(max_rejects="5%")
        loadlens.analyze(["log.csv"], out, by=["label"], chart_formats=["svg"], reading=reading)
    assert "rejects.csv" in files_in(tmp_path / "first")
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


@pytest.mark.slow
def test_any_number_of_threads(folders: dict[str, Path]) -> None:
    program = "import loadlens, sys; loadlens.analyze(['logs'], sys.argv[1], by=['memory_size'])"
    found = []
    for threads in ("1", "2", "7"):
        subprocess.run(
            [sys.executable, "-c", program, threads],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            cwd=folders["parts"],
            check=True,
        )
        found.append(files_in(folders["parts"] / threads))
    assert found[0] == found[1] == found[2]
