"""A log measured by workers, partition by partition, is the log measured here."""

import io
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import loadlens
from loadlens.engine import measure
from loadlens.engine.distributed import Merging
from loadlens.errors import InputError, UsageError, WorkerError
from loadlens.logs import Reading, open_log
from loadlens.profile import MeasureOptions, Plan, Profile, Progress, Statistics
from loadlens.profile.progress import Limits
from loadlens.schema import LATENCY
from tests import sample_logs as logs
from tests.extent import combinations, some_of
from tests.profile.cases import (
    LOGS,
    TOLD_ALWAYS,
    Inline,
    assert_agree,
    assert_same_profile,
    keyed,
    log_of,
    plan_of,
    spread,
)

KEY = ["memory_size"]


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder of three files, one of them of many row groups."""
    frame = keyed(log_of([*spread(4500), *[-1.0] * 500]))
    for name, (first, rows) in {"a": (0, 3000), "b": (3000, 1500), "c": (4500, 500)}.items():
        frame.slice(first, rows).write_parquet(tmp_path / f"{name}.parquet", row_group_size=400)
    return tmp_path


def measured(source: Any, plan: Plan, **execution: Any) -> Statistics:
    return measure(open_log(source), plan, MeasureOptions(heatmap=True, **execution))


def assert_same(got: Statistics, expected: Statistics, plan: Plan) -> None:
    """The same figures; the windows of latencies over time may be of another width."""
    assert_agree(got.table, expected.table, plan)
    assert_same_profile(got.profile, expected.profile, with_heat=False)
    assert got.profile.heat["count"].sum() == expected.profile.heat["count"].sum()
    assert got.histogram["count"].sum() == expected.histogram["count"].sum()


def assert_same_in_partitions(
    frame: pl.DataFrame, executor: Executor, folder: Path, **execution: Any
) -> None:
    plan = plan_of(frame, KEY, limits_ms=(12.3, 100.0), kept_percentiles=(0.9,))
    frame.write_parquet(folder / "log.parquet", row_group_size=max(frame.height // 7, 1))
    rows = frame.height // 3 + 1
    got = measured(folder / "log.parquet", plan, executor=executor, partition_rows=rows, **execution)
    assert_same(got, measured(frame, plan, **execution), plan)


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=0))
def test_hard_logs(threads: Executor, tmp_path: Path, name: str) -> None:
    assert_same_in_partitions(keyed(LOGS[name]()), threads, tmp_path)


@pytest.mark.parametrize("name", ["some without latency", "several keys"])
def test_one_pass(threads: Executor, tmp_path: Path, name: str) -> None:
    assert_same_in_partitions(keyed(LOGS[name]()), threads, tmp_path, exact=False)


@pytest.mark.parametrize(
    ("name", "outliers"),
    combinations(
        ["near equal", "clusters", "several keys", "denormals and zeros"],
        ["mean-iqr", "tukey", "none"],
        one_in=5,
    ),
)
def test_more_candidates_than_fit(threads: Executor, tmp_path: Path, name: str, outliers: Any) -> None:
    frame = keyed(LOGS[name]())
    plan = plan_of(frame, KEY, outliers=outliers, limits_ms=(100.0,))
    frame.write_parquet(tmp_path / "log.parquet", row_group_size=frame.height // 7)
    cramped = Limits(memory=2**30, most_candidates=0)
    how = {"executor": threads, "partition_rows": frame.height // 3, "memory_limit": cramped}
    got, expected = measured(tmp_path, plan, **how), measured(frame, plan, memory_limit=cramped)
    assert_same(got, expected, plan)
    assert got.table.select("^num_below.*$").equals(expected.table.select("^num_below.*$"))
    assert_bins_agree(got.histogram, expected.histogram)


def assert_bins_agree(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert got.height == expected.height
    np.testing.assert_allclose(got["latency_ms"], expected["latency_ms"], rtol=1e-12)
    assert got["count"].to_list() == expected["count"].to_list()


@pytest.mark.parametrize("rows", some_of([1, 399, 400, 1000, 2**40], 3, first=1))
def test_any_size_of_partition(threads: Executor, log: Path, rows: int) -> None:
    plan = Plan(key=("memory_size",))
    assert_same(measured(log, plan, executor=threads, partition_rows=rows), measured(log, plan), plan)


def test_processes(processes: Executor, log: Path) -> None:
    here = loadlens.summarize(log, KEY)
    there = loadlens.summarize(log, KEY, executor=processes, partition_rows=1000)
    sums = ["invocation_latency_mean", "outlier_fence"]
    assert there.summary.drop(sums).equals(here.summary.drop(sums))
    assert_close(there.summary, here.summary)


def test_every_analysis_takes_an_executor(threads: Executor, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    logs.small_log().write_parquet(path, row_group_size=50)
    there: dict[str, Any] = {"executor": threads, "partition_rows": 100}
    for analysis in (loadlens.summarize_stability_results, loadlens.summarize_concurrency_results):
        assert_close(analysis(path, **there).summary, analysis(path).summary)
    assert_close(loadlens.compare(path, path, KEY, **there).keys, loadlens.compare(path, path, KEY).keys)
    gates = ["p99 < 10 s", "mean < 10 s", "p50 < 10 s within 5 s of every window"]
    found = [loadlens.check_gates(path, gates, KEY, **how) for how in (there, {})]
    assert [verdict.holds for verdict in found[0].verdicts] == [
        verdict.holds for verdict in found[1].verdicts
    ]
    for got, expected in zip(*(check.verdicts for check in found), strict=True):
        assert got.value == pytest.approx(expected.value, rel=1e-12)


def assert_close(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal but for the last digits of floats."""
    floats = [name for name, dtype in expected.schema.items() if dtype.is_float()]
    assert got.drop(floats).equals(expected.drop(floats))
    for name in floats:
        assert got[name].null_count() == expected[name].null_count()
        np.testing.assert_allclose(got[name].drop_nulls(), expected[name].drop_nulls(), rtol=1e-12)


def test_a_worker_that_dies_breaks_a_plain_pool(log: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(os._exit, 1)
        with pytest.raises(WorkerError, match=r"a worker ended suddenly|takes no work"):
            loadlens.summarize(log, KEY, executor=pool)


def test_files_of_different_columns_and_types(threads: Executor, tmp_path: Path) -> None:
    frame = keyed(log_of([*spread(900), *[-1.0] * 100]))
    first = frame.head(300).with_columns(region=pl.lit(7))
    second = frame.slice(300, 300).drop("other_model_error").with_columns(region=pl.lit("eu"))
    for name, part in {"a": first, "b": second}.items():
        part.write_parquet(tmp_path / f"{name}.parquet")
    third = frame.tail(400).select(LATENCY, "end_time", "memory_size", region=pl.lit(8))
    third.write_csv(tmp_path / "c.csv")
    by = ["region", "memory_size"]
    here = loadlens.summarize(tmp_path, by)
    there = loadlens.summarize(tmp_path, by, executor=threads, partition_rows=1)
    assert there.summary.schema == here.summary.schema
    assert there.summary["region"].to_list() == ["7"] * 3 + ["8"] * 3 + ["eu"] * 3
    assert there.quality.equals(here.quality)


def test_runs_as_text_are_told_apart_by_their_file(threads: Executor, tmp_path: Path) -> None:
    for name in ("base", "candidate"):
        rows = [f"{1700000000000 + n},{10 + n},get,200,true,{n}" for n in range(50)]
        text = "\n".join(["timeStamp,elapsed,label,responseCode,success,bytes", *rows])
        (tmp_path / f"{name}.jtl").write_text(text + "\n", encoding="utf-8")
    log = open_log(tmp_path)
    assert "file" in log.key
    here, there = (loadlens.summarize(log, log.key, **how) for how in ({}, {"executor": threads}))
    apart = loadlens.summarize(log, log.key, executor=threads, partition_rows=1)
    assert here.summary["file"].to_list() == ["base.jtl", "candidate.jtl"]
    for summary in (there.summary, apart.summary):
        assert summary["file"].to_list() == here.summary["file"].to_list()
        assert summary["num_invocations"].to_list() == [50, 50]


def test_large_text_goes_through_a_temporary_file_here_alone(threads: Executor, tmp_path: Path) -> None:
    frame = keyed(log_of([*spread(900), *[-1.0] * 100]))
    for name, part in {"a": frame.head(600), "b": frame.tail(400)}.items():
        part.write_csv(tmp_path / f"{name}.csv")
    plan = plan_of(frame, KEY)
    large = {"memory_limit": Limits(memory=2**30, most_held_bytes=0)}
    here = measured(tmp_path, plan, **large)
    there = measured(tmp_path, plan, executor=threads, partition_rows=1, **large)
    assert_same(there, here, plan)
    assert (here.spilled_bytes > 0, there.spilled_bytes) == (True, 0)


def bad_csv(folder: Path) -> None:
    for number in range(3):
        good = [f"{10 + n + number},{100 + n},1024" for n in range(100)]
        bad = [f"bad{number},{n},1024" for n in range(number)]
        text = "\n".join(["invocation_latency,end_time,memory_size", *good, *bad])
        (folder / f"{number}.csv").write_text(text + "\n", encoding="utf-8")


def test_rejects_of_all_partitions_add_up(processes: Executor, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    bad_csv(logs)
    found = []
    for how in ({}, {"executor": processes, "partition_rows": 1}):
        log = open_log(logs, reading=Reading.of(max_rejects=3))
        loadlens.summarize(log, KEY, **how)
        log.findings.write_rejects(tmp_path / "rejects")
        found.append((log.findings.document(), (tmp_path / "rejects").read_text(encoding="utf-8")))
    assert found[0] == found[1]
    assert found[0][0]["rejected"] == 3


def test_rejects_are_judged_on_their_sum(threads: Executor, tmp_path: Path) -> None:
    bad_csv(tmp_path)
    log = open_log(tmp_path, reading=Reading.of(max_rejects=2))
    with pytest.raises(InputError, match=r"3 of 303 rows rejected, allowed: 2"):
        loadlens.summarize(log, KEY, executor=threads, partition_rows=1)


def test_a_partition_of_rejects_alone_is_no_error(threads: Executor, tmp_path: Path) -> None:
    bad_csv(tmp_path)
    (tmp_path / "3.csv").write_text("invocation_latency,end_time,memory_size\nx,1,1024\n", encoding="utf-8")
    log = open_log(tmp_path, reading=Reading.of(max_rejects=4))
    assert (
        loadlens.summarize(log, KEY, executor=threads, partition_rows=1).summary["num_invocations"][0] == 300
    )


def test_a_broken_rule_is_told_as_ever(threads: Executor, log: Path) -> None:
    bad = (
        pl.read_parquet(log / "b.parquet")
        .with_row_index()
        .with_columns(pl.when(pl.col("index") == 700).then(-3.0).otherwise(LATENCY).alias(LATENCY))
    )
    bad.drop("index").write_parquet(log / "b.parquet")
    told = []
    for how in ({}, {"executor": threads, "partition_rows": 500}):
        with pytest.raises(InputError) as raised:
            loadlens.summarize(log, KEY, **how)
        told.append(raised.value.problems)
    assert told[0] == told[1]
    assert "b.parquet, row 701" in told[0][0]


def test_a_worker_that_fails_now_and_then_is_tried_again(log: Path) -> None:
    attempts: Counter[str] = Counter()

    def spoil(_number: int, task: Any) -> None:
        attempts[str(task.part)] += 1
        if attempts[str(task.part)] <= 2:
            raise OSError("the network is away")

    flaky, plan = Inline(spoil), Plan(key=("memory_size",))
    assert_same(measured(log, plan, executor=flaky, partition_rows=500), measured(log, plan), plan)
    assert set(attempts.values()) == {4}
    # Dask, for one, does not run work again that it has done with equal arguments.
    assert len({pickle.dumps(arguments) for _, arguments in flaky.submitted}) == len(flaky.submitted)


def test_a_partition_that_always_fails_is_named_and_nothing_is_published(log: Path, tmp_path: Path) -> None:
    def spoil(_number: int, task: Any) -> None:
        if task.part.first_row == 800:
            raise OSError("the disk is broken")

    failing, out = Inline(spoil), tmp_path / "out"
    with pytest.raises(InputError) as raised:
        loadlens.analyze([log / "a.parquet"], out, by=KEY, executor=failing, partition_rows=400)
    wanted = f"{log / 'a.parquet'}, rows 801 to 1,200: failed in 3 attempts: OSError: the disk is broken"
    assert raised.value.problems == (wanted,)
    assert not out.exists()
    tried = [arguments[0].part.first_row for _, arguments in failing.submitted]
    assert tried.count(800) == 3
    assert tried.count(0) == 1


def test_a_damaged_partition_is_named(threads: Executor, log: Path) -> None:
    path = log / "a.parquet"
    opened, stat = open_log(log), path.stat()
    damaged = bytearray(path.read_bytes())
    damaged[100:2000] = bytes(1900)
    path.write_bytes(damaged)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match=r"a\.parquet.*failed in 3 attempts"):
        loadlens.summarize(opened, KEY, executor=threads)


def test_an_executor_that_breaks(log: Path) -> None:
    def spoil(_number: int, _task: Any) -> None:
        raise BrokenProcessPool("a child process terminated abruptly")

    with pytest.raises(WorkerError, match=r"a\.parquet.*a worker ended suddenly"):
        loadlens.summarize(log, KEY, executor=Inline(spoil))


def test_work_of_an_executor_that_breaks_is_left_to_it(log: Path) -> None:
    class Breaking(Executor):
        def submit(self, *_arguments: Any, **_options: Any) -> Future[Any]:
            futures.append(Future())
            if len(futures) == 2:
                futures[1].set_exception(BrokenProcessPool("a child process terminated abruptly"))
            return futures[-1]

    futures: list[Future[Any]] = []
    with pytest.raises(WorkerError, match="a worker ended suddenly"):
        loadlens.summarize(log, KEY, executor=Breaking(), partition_rows=1500)
    assert len(futures) > 2
    assert not any(future.cancelled() for future in futures)


def test_an_executor_that_was_shut_down(log: Path) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(WorkerError, match="takes no work"):
        loadlens.summarize(log, KEY, executor=pool)


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_file_that_changes_is_noticed_by_workers(log: Path, at: int) -> None:
    def spoil(number: int, _task: Any) -> None:
        if number == at:
            os.utime(log / "c.parquet", ns=(1, 1))

    with pytest.raises(InputError, match=r"c\.parquet: changed while it was read"):
        loadlens.summarize(log, KEY, executor=Inline(spoil), partition_rows=1500)


def test_a_file_that_shrinks_is_noticed_here(log: Path) -> None:
    opened = open_log(log)
    pl.read_parquet(log / "b.parquet").head(100).write_parquet(log / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: changed while it was read: [\d,]+ bytes when"):
        loadlens.summarize(opened, KEY)


def test_only_files_and_named_rules_are_sent(threads: Executor, log: Path) -> None:
    frame = pl.read_parquet(log / "a.parquet")
    for source in (frame, frame.lazy(), open_log(frame)):
        with pytest.raises(InputError, match="no log of files"):
            loadlens.summarize(source, KEY, executor=threads)
    own = Plan(key=("memory_size",), success=pl.col(LATENCY) < 1000)
    with pytest.raises(UsageError, match="success: got"):
        measure(open_log(log), own, MeasureOptions(executor=threads))
    with pytest.raises(UsageError, match="engine: got StreamingEngine"):
        loadlens.summarize(log, KEY, executor=threads, engine=pl.StreamingEngine())
    with pytest.raises(UsageError, match="partition_rows: got 0"):
        loadlens.summarize(log, KEY, executor=threads, partition_rows=0)


def test_what_travels_is_data(log: Path) -> None:
    inline = Inline()
    loadlens.summarize(log, KEY, executor=inline, partition_rows=1000)
    names: set[str] = set()

    class Noting(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            names.add(f"{module}.{name}")
            return super().find_class(module, name)

    for _, arguments in inline.submitted:
        Noting(io.BytesIO(pickle.dumps(arguments))).load()
    foreign = {name for name in names if not name.startswith(("loadlens.", "polars.datatypes."))}
    arrays = {"numpy.ndarray", "numpy.dtype", "numpy._core.multiarray._reconstruct"}
    assert foreign <= {"polars.dataframe.frame.DataFrame", "pathlib.PosixPath", *arrays}
    assert len(names) > len(foreign)


def test_progress_counts_partitions(log: Path) -> None:
    told: list[Progress] = []
    how: loadlens.Execution = {"memory_limit": TOLD_ALWAYS, "on_progress": told.append}
    loadlens.summarize(log, KEY, executor=Inline(), partition_rows=1500, **how)
    last = {moment.stage: moment for moment in told}
    counting = last["Counting latencies"]
    assert (counting.partitions_done, counting.partitions_total, counting.rows_done) == (5, 5, 5000)
    assert last["Fetching the latencies that decide"].partitions_done == 5


def test_what_progress_raises_ends_the_run(log: Path) -> None:
    def stop(_: Progress) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        loadlens.summarize(log, KEY, executor=Inline(), on_progress=stop)


@pytest.mark.parametrize("count", [1, 3, 4, 17])
def test_many_profiles_merge_as_they_arrive(count: int) -> None:
    frame = keyed(log_of(spread(4 * count)))
    parts = [loadlens.summarize(part, KEY, exact=False).profile for part in frame.iter_slices(4)]
    merging = Merging(at_once=4)
    for part in parts:
        merging.add({None: part})
    assert_same_profile(merging.merged()[None], Profile.merge_all(parts), with_heat=False)
    assert merging.merged()[None].buckets["count"].sum() == frame.height


@pytest.mark.parametrize("executor", [None, Inline()])
def test_an_engine_that_calls_nothing_here_is_refused(log: Path, executor: Executor | None) -> None:
    with pytest.raises(UsageError, match=r"engine: got 'gpu', expected auto, streaming or in-memory"):
        loadlens.summarize(log, KEY, engine="gpu", executor=executor)
