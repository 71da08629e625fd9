"""Workers of the command line: processes of this machine, or of a Dask cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.cli.executors import workforce
from loadlens.errors import UsageError, WorkerError
from loadlens.profile import MeasureOptions, Progress
from tests.profile.cases import TOLD_ALWAYS, keyed, log_of, spread

KEY = ["memory_size"]
MOST_SECONDS = 120


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    frame = keyed(log_of([*spread(9000), *[-1.0] * 1000]))
    frame.head(6000).write_parquet(folder / "a.parquet", row_group_size=500)
    frame.tail(4000).write_csv(folder / "b.csv")
    return folder


def assert_same(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal counts, TPS and order statistics; sums within 1e-12."""
    sums = ["invocation_latency_mean", "outlier_fence"]
    assert got.drop(sums).equals(expected.drop(sums))
    for name in sums:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-12)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_dask_cluster_in_this_process(log: Path) -> None:
    from distributed import LocalCluster

    expected = loadlens.summarize(log, KEY).summary
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, **options) as cluster,
        workforce(cluster=cluster.scheduler_address) as work,
    ):
        got = loadlens.summarize(log, KEY, partition_rows=1000, executor=work.executor).summary
    assert_same(got, expected)


@pytest.mark.slow
def test_a_dask_cluster_of_two_processes(log: Path) -> None:
    expected = loadlens.summarize(log, KEY).summary
    with workforce(cluster="local:2") as work:
        got = loadlens.summarize(log, KEY, partition_rows=1000, executor=work.executor).summary
        assert work.executor is not None
        threads = work.executor.submit(pl.thread_pool_size).result()
    assert_same(got, expected)
    assert threads == max(pl.thread_pool_size() // 2, 1)


@pytest.mark.slow
def test_a_dask_worker_that_is_killed(log: Path) -> None:
    from distributed import Client, LocalCluster

    expected = loadlens.summarize(log, KEY).summary
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        alive = list(client.run(os.getpid).values())
        killed: list[int] = []

        def kill(moment: Progress) -> None:
            if moment.partitions_done == 3 and not killed:
                killed.append(alive[0])
                os.kill(alive[0], signal.SIGKILL)

        got = loadlens.summarize(
            log,
            KEY,
            executor=client.get_executor(),
            partition_rows=500,
            on_progress=kill,
            memory_limit=TOLD_ALWAYS,
        ).summary
    assert killed
    assert_same(got, expected)


@pytest.mark.slow
def test_processes_have_a_part_of_the_threads_and_of_the_memory() -> None:
    before = dict(os.environ)
    with workforce(MeasureOptions(memory_limit=2**30), workers=2) as work:
        assert work.memory_limit == 2**29
        assert work.executor is not None
        threads = work.executor.submit(pl.thread_pool_size).result()
    assert threads == max(pl.thread_pool_size() // 2, 1)
    assert dict(os.environ) == before


LEFT = """
import os, signal
from loadlens.cli.executors import workforce

if __name__ == "__main__":
    with workforce(workers=1) as work:
        print(work.executor.submit(os.getpid).result(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(process: str) -> bool:
    try:
        state = Path("/proc", process, "stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
    except OSError:  # it has ended
        return False
    return state not in "ZX"


@pytest.mark.slow
def test_processes_leave_when_theirs_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "left.py"
    script.write_text(LEFT, encoding="utf-8")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        check=False,
        text=True,
        env=environment,
        timeout=MOST_SECONDS,
    )
    deadline = time.monotonic() + MOST_SECONDS
    while is_running(done.stdout.strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_workers_unless_asked_for() -> None:
    options = MeasureOptions(memory_limit=2**30)
    with workforce(options) as work:
        assert work == options


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--slo", "p99 < 1 s", "--by", *KEY),
        pytest.param(("cost", "--overwrite", "--out", "costs"), marks=pytest.mark.slow),
    ],
    ids=["check", "cost"],
)
def test_the_command_line(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    here, there = (run(command, log, *options, "--json", "--quiet", *more) for more in ((), ("--workers", 2)))
    assert (there.exit_code, there.stderr) == (0, "")
    assert there.stdout == here.stdout


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"cluster": "local:2", "workers": 2}, "both say who works"),
        ({"cluster": "local:0"}, "got 'local:0', expected tcp://HOST:PORT"),
        ({"cluster": "host:8786"}, "got 'host:8786', expected tcp://HOST:PORT"),
        ({"workers": 0}, "--workers: got 0, expected 1 to 9,999"),
    ],
)
def test_what_makes_no_sense(how: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message), workforce(**how):
        pass


def test_without_dask_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'loadlens\[dask\]'"), workforce(cluster="local:2"):
        pass


def test_a_scheduler_that_does_not_answer() -> None:
    work = workforce(cluster="tcp://127.0.0.1:9", seconds_to_connect=0.2)
    with pytest.raises(WorkerError, match=r"no scheduler answers at .* within 0\.2 s"), work:
        pass
