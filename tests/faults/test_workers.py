"""Workers that are killed, and partitions that cannot be read: nothing is published, the old output stays."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.cli.executors import workforce
from loadlens.errors import InputError, WorkerError
from loadlens.profile import MeasureOptions, Progress
from tests.faults.logs import KEY, written
from tests.folders import OLD_REPORT, leave_out_drawings, old_report, tree
from tests.profile.cases import TOLD_ALWAYS


@pytest.fixture(autouse=True)
def _without_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_drawings(monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """An old output, which is to stay as it is and alone beside the log."""
    folder = old_report(tmp_path / "results" / "out")
    yield folder
    assert tree(folder) == OLD_REPORT
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_worker_that_is_killed(tmp_path: Path, out: Path) -> None:
    log = written(tmp_path / "log.parquet", 5000)
    spill = tmp_path / "spill"
    spill.mkdir()
    killed = []

    def kill(moment: Progress) -> None:
        if moment.partitions_done == 1 and not killed:
            killed.append(max(process.pid or 0 for process in active_children()))
            os.kill(killed[0], signal.SIGKILL)

    with (
        pytest.raises(
            WorkerError, match=r"log\.parquet.*a worker ended suddenly.*fewer workers|takes no work"
        ),
        workforce(MeasureOptions(spill_folder=spill), workers=2) as work,
    ):
        loadlens.analyze(
            [log],
            out,
            by=KEY,
            overwrite=True,
            on_progress=kill,
            partition_rows=1000,
            memory_limit=TOLD_ALWAYS,
            executor=work.executor,
            spill_folder=work.spill_folder,
        )
    assert killed
    assert tree(spill) == {}


def damage(path: Path, row_group: int) -> None:
    """Spoils the latencies of a row group; the footer stays as it is."""
    from pyarrow import parquet

    column = parquet.ParquetFile(path).metadata.row_group(row_group).column(0)
    assert column.path_in_schema == "invocation_latency"
    start = column.dictionary_page_offset or column.data_page_offset
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * column.total_compressed_size)


def test_a_damaged_row_group_is_named(tmp_path: Path, out: Path) -> None:
    log = written(tmp_path / "log.parquet", 5000)
    damage(log, 3)
    assert pl.scan_parquet(log).select(pl.len()).collect().item() == 5000
    with pytest.raises(InputError, match=r"log\.parquet: is damaged: "):
        loadlens.analyze([log], out, by=KEY, overwrite=True)


def test_a_damaged_partition_is_named_after_some_attempts(tmp_path: Path, out: Path) -> None:
    log = written(tmp_path / "log.parquet", 5000)
    damage(log, 3)
    with (
        ThreadPoolExecutor(2) as threads,
        pytest.raises(InputError, match=r"log\.parquet, rows 3,001 to 4,000: failed in 3 attempts: ") as told,
    ):
        loadlens.analyze([log], out, by=KEY, overwrite=True, executor=threads, partition_rows=1000)
    assert len(told.value.problems) == 1
    assert "\n" not in told.value.problems[0]
