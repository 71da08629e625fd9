"""A file that changes while it is read is noticed by its size and time; nothing comes of it."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

import loadlens
from loadlens.errors import InputError
from loadlens.logs import open_log, reading
from loadlens.profile import Progress
from loadlens.tasks.convert import convert
from tests.faults.logs import KEY, written
from tests.folders import old_report, tree
from tests.profile.cases import TOLD_ALWAYS

Change = Callable[[Path], None]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def add_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"1,1,1,1,1024\n")


def write_over(path: Path) -> None:
    """Other bytes, as many."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size // 2))


def replace(path: Path) -> None:
    written(path.with_name(f"new{path.suffix}"), 700).replace(path)


CHANGES = (cut, add_to, write_over, replace, Path.unlink)
"""Truncated, appended to, written over, replaced, removed."""

POOL = ThreadPoolExecutor(2)


@pytest.fixture(params=["log.parquet", "log.csv"])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = written(tmp_path / request.param, 5000)
    os.utime(path, ns=(10**18, 10**18))  # clocks of file systems are coarse: a change may come too soon
    return path


@pytest.mark.parametrize("while_read", [False, True], ids=["opened", "being read"])
@pytest.mark.parametrize(
    ("change", "executor"), [*((change, None) for change in CHANGES), (cut, POOL), (write_over, POOL)]
)
def test_nothing_is_published(
    log: Path, tmp_path: Path, change: Change, executor: Executor | None, while_read: bool
) -> None:
    out, changed = tmp_path / "out.profile", []

    def on_progress(moment: Progress) -> None:
        if not changed and bool(moment.rows_done) == while_read:
            changed.append(moment)
            change(log)

    with pytest.raises(InputError, match=rf"{log.name}: (changed|has disappeared) while it was read"):
        loadlens.profile_log(
            log,
            out,
            by=KEY,
            on_progress=on_progress,
            executor=executor,
            partition_rows=1000,
            memory_limit=TOLD_ALWAYS,
        )
    assert changed
    assert [path.name for path in tmp_path.iterdir()] == ([log.name] if change is not Path.unlink else [])


def test_an_analysis_leaves_the_old_output(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = tree(old_report(out))
    with pytest.raises(InputError, match="changed while it was read"):
        loadlens.analyze(
            [log],
            out,
            by=KEY,
            overwrite=True,
            on_progress=lambda _: os.utime(log, ns=(1, 1)),
            memory_limit=TOLD_ALWAYS,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["out", log.name])
    assert tree(out) == before


@pytest.mark.parametrize("change", [add_to, replace])
def test_conversion_notices(log: Path, tmp_path: Path, change: Change) -> None:
    opened = open_log(log)
    change(log)
    with pytest.raises(InputError, match="changed while it was read"):
        convert(opened, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_whoever_reads_a_log_notices(log: Path) -> None:
    opened = open_log(log)
    with pytest.raises(InputError, match="changed while it was read"), reading(opened):
        add_to(log)
