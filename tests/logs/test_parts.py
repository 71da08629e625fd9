"""Logs in parts: every row is in one of them, and each part opens by itself to its rows of the whole."""

import os
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loadlens.engine.partitions import open_part, parts_of
from loadlens.logs import Reading, open_log
from loadlens.logs.files import changed_files
from loadlens.schema import LATENCY


def frame_of(rows: int, first: int = 0) -> pl.DataFrame:
    numbers = pl.int_range(first, first + rows, eager=True).cast(pl.Float64)
    return pl.DataFrame({LATENCY: numbers, "end_time": numbers, "memory_size": 1024})


def rows_of(log: Any, most_rows: int) -> list[list[float]]:
    """The latencies of each part."""
    return [
        open_part(part).frame.select(LATENCY).collect().to_series().to_list()
        for part in parts_of(log, most_rows)
    ]


def test_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    frame_of(1000).write_parquet(tmp_path / "log.parquet", row_group_size=100)
    log = open_log(tmp_path / "log.parquet")
    parts = parts_of(log, 250)
    assert [(part.first_row, part.num_rows) for part in parts] == [(n, 200) for n in range(0, 1000, 200)]
    assert [part.rows for part in parts] == [200] * 5
    assert str(parts[1]) == f"{tmp_path / 'log.parquet'}, rows 201 to 400"
    assert rows_of(log, 250) == [list(range(n, n + 200)) for n in range(0, 1000, 200)]


def test_a_row_group_larger_than_a_part_stays_whole(tmp_path: Path) -> None:
    frame_of(1000).write_parquet(tmp_path / "log.parquet", row_group_size=500)
    assert [part.num_rows for part in parts_of(open_log(tmp_path), 10)] == [500, 500]


def test_arrow_is_cut_between_rows(tmp_path: Path) -> None:
    frame_of(1000).write_ipc(tmp_path / "log.arrow")
    log = open_log(tmp_path / "log.arrow")
    assert [part.num_rows for part in parts_of(log, 300)] == [300, 300, 300, 100]
    assert list(chain(*rows_of(log, 300))) == list(range(1000))


def test_small_files_of_one_sort_go_together(tmp_path: Path) -> None:
    for number in range(6):
        frame_of(100, number * 100).write_parquet(tmp_path / f"{number}.parquet")
        frame_of(100, 600 + number * 100).write_csv(tmp_path / f"{number}-text.csv")
    log = open_log(tmp_path)
    parts = parts_of(log, 250)
    assert [len(part.files) for part in parts] == [2] * 6
    assert str(parts[0]).endswith("0.parquet and 1 more")
    assert sorted(chain(*rows_of(log, 250))) == list(range(1200))


def test_columns_of_paths_and_names_go_with_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for region in ("eu", "us"):
        folder = tmp_path / f"region={region}"
        folder.mkdir()
        frame_of(10).write_parquet(folder / "run_7.parquet")
        frame_of(10).write_csv(folder / "run_8.csv")
    monkeypatch.chdir(tmp_path)
    log = open_log(".", reading=Reading.of(key_from_name=r"^run_(?P<run>\d)"))
    parts = parts_of(log, 10)
    monkeypatch.chdir("/")
    found = {
        row
        for part in parts
        for row in open_part(part).frame.select("region", "run").unique().collect().iter_rows()
    }
    assert found == {("eu", "7"), ("us", "7"), ("eu", "8"), ("us", "8")}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_mapped_columns(tmp_path: Path, suffix: str) -> None:
    end = (pl.col("end_time") + 1.7e9).alias("ts")
    frame = frame_of(20).select(pl.col(LATENCY).alias("took"), end)
    getattr(frame, f"write_{suffix}")(tmp_path / f"log.{suffix}")
    log = open_log(tmp_path, reading=Reading.of(column_map=["latency=took:s", "end=ts:epoch_s"]))
    assert rows_of(log, 10**6) == [[float(n * 1000) for n in range(20)]]


def test_files_that_changed_are_told(tmp_path: Path) -> None:
    for name in "abc":
        frame_of(10 + ord(name)).write_parquet(tmp_path / f"{name}.parquet")
    files = open_log(tmp_path).files
    assert changed_files(files) == []
    (tmp_path / "a.parquet").unlink()
    with (tmp_path / "b.parquet").open("ab") as file:
        file.write(b"more")
    os.utime(tmp_path / "c.parquet", ns=(0, 0))
    gone, longer, newer = changed_files(files)
    assert gone == f"{tmp_path / 'a.parquet'}: has disappeared while it was read"
    assert longer.startswith(f"{tmp_path / 'b.parquet'}: changed while it was read: ")
    assert newer.startswith(f"{tmp_path / 'c.parquet'}: changed while it was read: ")
