"""Workers send the rows that decide exact figures with their counts; where they cannot, they look again."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import Plan, Statistics, brackets, distributed, limits, measure, partitions, scan
from loadlens.profile.held import Gathering, HeldBack
from loadlens.profile.partitions import Counts, count_partition, look_at_partition
from loadlens.profile.scan import Scan
from loadlens.sources import open_log
from loadlens.sources.log import Log
from tests import direct
from tests.extent import combinations, examples, some_of
from tests.profile.cases import assert_agree, keyed, log_of, plan_of, spread
from tests.profile.test_executor import Inline, assert_same
from tests.profile.test_tail import with_outliers

KEY = ["memory_size"]
PLANS: dict[str, dict[str, Any]] = {
    "mean-iqr": {"outliers": "mean-iqr"},
    "mean-iqr of successes": {"outliers": "mean-iqr", "fence_over_failures": False},
    "tukey": {"outliers": "tukey", "kept_percentiles": (0.5, 0.99)},
    "none": {"outliers": "none"},
    "limits": {"outliers": "tukey", "limits_ms": (0.0, 10.0, 25.5)},
}


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """Only tables hold rows back."""


@pytest.fixture(autouse=True)
def _small_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small logs are counted in tables, and give buckets up as large ones do."""
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", 0)
    monkeypatch.setattr(brackets, "_FEWEST_HELD", 2_000)


class Noting(Inline):
    """Runs work at once and remembers what it came to."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future = super().submit(work, *arguments)
        if future.exception() is None:
            self.results.append(future.result())
        return future

    def times(self, work: Callable[..., Any]) -> int:
        return sum(done is work for done, _ in self.submitted)


class Shuffled(Noting):
    """Waits until it has the work of all partitions, and does that in a random order."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__()
        self._count, self._random = count, np.random.default_rng(seed)
        self._waiting: list[tuple[Future[Any], Callable[[], Future[Any]]]] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        run = super().submit
        self._waiting.append((future, lambda: run(work, *arguments)))
        if len(self._waiting) == self._count:
            waiting, self._waiting = self._waiting, []
            for number in self._random.permutation(len(waiting)):
                waiting[number][0].set_result(waiting[number][1]().result())
        return future


def with_failures(rows: int = 60_000) -> pl.DataFrame:
    """An even log, of which one call in 50 fails without a latency and one in 70 with one."""
    number = np.arange(rows)
    latency = np.where(number % 50 == 0, -1.0, with_outliers(rows))
    return keyed(log_of(latency, success=(latency > 0) & (number % 70 != 0)))


def stored(frame: pl.DataFrame, folder: Path, partitions: int = 6) -> tuple[Path, int]:
    """The log as a file, and how many rows make one of so many partitions of it."""
    path, rows = folder / "log.parquet", -(-frame.height // partitions)
    frame.write_parquet(path, row_group_size=rows)
    return path, rows


def by_workers(
    frame: pl.DataFrame, plan: Plan, folder: Path, executor: Inline, partitions: int = 6
) -> Statistics:
    path, rows = stored(frame, folder, partitions)
    return measure(open_log(path), plan, executor=executor, partition_rows=rows)


def assert_exact(got: Statistics, frame: pl.DataFrame, plan: Plan) -> None:
    assert_agree(got.table, direct.measure(open_log(frame), plan).table, plan)


@pytest.mark.parametrize("name", some_of(PLANS, 3, first=1))
def test_an_even_log_is_read_once(tmp_path: Path, name: str) -> None:
    frame, executor = with_failures(), Noting()
    plan = plan_of(frame, KEY, **PLANS[name])
    got = by_workers(frame, plan, tmp_path, executor)
    assert_exact(got, frame, plan)
    assert_same(got, measure(open_log(frame), plan), plan)
    assert executor.times(count_partition) == 6
    assert executor.times(look_at_partition) == 0


@pytest.mark.parametrize(("name", "backwards"), combinations(PLANS, [False, True]))
def test_a_log_whose_latencies_drift_is_exact_too(tmp_path: Path, name: str, backwards: bool) -> None:
    latencies = np.sort(with_outliers(60_000))
    frame, executor = keyed(log_of(latencies[::-1] if backwards else latencies)), Noting()
    plan = plan_of(frame, KEY, **PLANS[name])
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert executor.times(look_at_partition) > 0


@pytest.mark.parametrize("seed", some_of(range(3), 3))
def test_the_order_of_arrival_changes_no_figure(tmp_path: Path, seed: int) -> None:
    frame = with_failures(20_000).with_columns(memory_size=pl.int_range(pl.len()) // 700 * 3 % 7)
    plan = plan_of(frame, KEY)
    here = by_workers(frame, plan, tmp_path, Noting())
    shuffled = Shuffled(6, seed)
    there = by_workers(frame, plan, tmp_path, shuffled)
    assert_same(there, here, plan)
    assert (
        there.table.select("^success_[mq].*$")
        .drop("success_mean")
        .equals(here.table.select("^success_[mq].*$").drop("success_mean"))
    )
    assert shuffled.times(look_at_partition) == 0


@pytest.mark.parametrize(
    ("key", "dtype"),
    [
        ([], pl.String()),
        (["memory_size", "region"], pl.String()),
        (["region"], pl.Categorical()),
        (["region"], pl.Enum(["late", "all"])),
    ],
)
def test_keys_of_one_partition_alone(tmp_path: Path, key: list[str], dtype: pl.DataType) -> None:
    part = pl.int_range(pl.len()) // 10_000
    region = pl.when(part == 4).then(pl.lit("late")).when(part == 1).then(None).otherwise(pl.lit("all"))
    frame, executor = with_failures().with_columns(region=region.cast(dtype)), Noting()
    plan = plan_of(frame, key)
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert executor.times(look_at_partition) == 0


def test_a_large_log_is_divided_into_few_partitions() -> None:
    def rows_of(*sizes: int) -> int:
        files = tuple(SimpleNamespace(rows=size) for size in sizes)
        return distributed._partition_rows(cast("Log", SimpleNamespace(files=files)))

    assert rows_of(10) == rows_of(32_000_000, 32_000_000) == 4_000_000
    assert rows_of(80_000_000, 80_000_000) == 10_000_000
    assert rows_of(10**12) == 16_000_000


def test_many_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_MERGED_AT_ONCE", 4)
    frame, executor = with_failures(), Noting()
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor, 40), frame, plan)
    assert Counter(work for work, _ in executor.submitted) == {count_partition: 40}


def test_what_arrives_is_narrowed_by_the_counts_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", 40_000)
    held = []

    def noted(plan: Plan, most_rows: int) -> Gathering:
        held.append(Gathering(plan, most_rows))
        return held[-1]

    monkeypatch.setattr(distributed, "Gathering", noted)
    frame, executor = with_failures(120_000), Noting()
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor, 24), frame, plan)
    assert executor.times(look_at_partition) == 0
    sent = sum(len(counts.held.near[0]) for counts in executor.results)
    assert sent > 40_000  # more than may be held here at once


@pytest.mark.parametrize("most", some_of([0, 500, 5_000], 3, first=1))
def test_more_rows_than_may_be_held_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", most)
    frame, executor = with_failures(), Noting()
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert executor.times(look_at_partition) > 0


def test_a_partition_that_group_bys_count_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worth_tables = scan.worth_tables

    def but_of_one(log: Log, how: Scan) -> bool:
        return "rows 20,001 to" not in log.name and worth_tables(log, how)

    monkeypatch.setattr(scan, "worth_tables", but_of_one)
    frame, executor = with_failures(), Noting()
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert [counts.held is None for counts in executor.results[:6]].count(True) == 1
    assert executor.times(look_at_partition) > 0


def test_rows_of_an_unusual_latency_are_looked_for(tmp_path: Path) -> None:
    frame, executor = keyed(log_of([*with_outliers(5000), 2.0**35, *with_outliers(5000)])), Noting()
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert executor.times(look_at_partition) > 0


def test_text_is_parsed_once(tmp_path: Path) -> None:
    frame, executor = with_failures(12_000), Noting()
    for number, part in enumerate(frame.iter_slices(4000)):
        part.write_csv(tmp_path / f"{number}.csv")
    plan = plan_of(frame, KEY)
    assert_exact(measure(open_log(tmp_path), plan, executor=executor, partition_rows=1), frame, plan)
    assert Counter(work for work, _ in executor.submitted) == {count_partition: 3}


def test_a_partition_that_failed_before_is_gathered_once(tmp_path: Path) -> None:
    attempts = Counter[str]()

    def spoil(_number: int, task: Any) -> None:
        attempts[str(task.part)] += 1
        if attempts[str(task.part)] == 1:
            raise OSError("the network is away")

    frame, executor = with_failures(20_000), Inline(spoil)
    plan = plan_of(frame, KEY)
    assert_exact(by_workers(frame, plan, tmp_path, executor), frame, plan)
    assert set(attempts.values()) == {2}


def test_few_rows_travel_and_only_as_arrays(tmp_path: Path) -> None:
    frame, executor = with_failures(), Noting()
    by_workers(frame, plan_of(frame, KEY), tmp_path, executor)
    for counts in executor.results:
        assert isinstance(counts, Counts)
        assert counts.held is not None
        values = [getattr(counts.held, field.name) for field in fields(HeldBack)]
        arrays = [array for value in values for array in (value if isinstance(value, tuple) else [value])]
        assert {type(array) for array in arrays} == {np.ndarray}
        assert {array.dtype.str for array in arrays} == {"|u1", "|b1", "<f8"}
        assert counts.packed.seconds.estimated_size() < counts.profile.seconds.estimated_size() / 2
        assert set(counts.profile.seconds.dtypes) == {pl.Int64}
        assert 0 < len(counts.held.near[0]) < 8_000
        assert 50 <= len(counts.held.tail[0]) < 1_000


def test_without_exact_figures_no_rows_travel(tmp_path: Path) -> None:
    frame, executor = with_failures(12_000), Noting()
    path, rows = stored(frame, tmp_path)
    measure(open_log(path), plan_of(frame, KEY), executor=executor, partition_rows=rows, exact=False)
    assert [counts.held for counts in executor.results] == [None] * 6


def test_a_missing_row_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the figures above are known to come from the rows that were sent."""
    of = HeldBack.of

    def without(found: Any) -> HeldBack | None:
        held = of(found)
        assert held is not None
        empty = tuple(array[:0] for array in held.near)
        return replace(held, near=empty)

    monkeypatch.setattr(partitions.HeldBack, "of", without)
    frame = with_failures(12_000)
    plan = plan_of(frame, KEY)
    with pytest.raises((AssertionError, IndexError)):
        assert_exact(by_workers(frame, plan, tmp_path, Noting()), frame, plan)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("phases")


@examples(3)
@given(
    st.lists(
        st.tuples(st.integers(1, 6000), st.sampled_from([1e-3, 1.0, 1.001, 50.0])), min_size=1, max_size=4
    ),
    st.sampled_from(["mean-iqr", "tukey", "none"]),
    st.integers(1, 9),
    st.sampled_from([1, 4000]),
)
def test_phases_of_any_speed(
    folder: Path, phases: list[tuple[int, float]], outliers: Any, partitions: int, rows_of_key: int
) -> None:
    parts = [spread(number, seed=index) * scale for index, (number, scale) in enumerate(phases)]
    latencies = np.concatenate(parts)
    latencies[::37] = -1
    frame = log_of(latencies).with_columns(memory_size=pl.int_range(pl.len()) // rows_of_key % 3)
    plan = plan_of(frame, KEY, outliers=outliers, limits_ms=(1.0,))
    assert_exact(by_workers(frame, plan, folder, Noting(), partitions), frame, plan)
