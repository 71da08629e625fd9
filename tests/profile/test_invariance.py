"""The same rows give the same figures, whatever their order, their files and the engine."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.engine import measure
from loadlens.logs import open_log
from loadlens.profile import MeasureOptions, Plan, Statistics
from tests import oracle
from tests import sample_logs as logs
from tests.extent import combinations, examples, some_of
from tests.profile.cases import LOGS, assert_agree, assert_same_profile, keyed, log_of, plan_of, spread


def assert_same(got: Statistics, expected: Statistics, plan: Plan) -> None:
    assert_agree(got.table, expected.table, plan)
    assert_same_profile(got.profile, expected.profile)


def measured(source: Any, plan: Plan, **execution: Any) -> Statistics:
    return measure(open_log(source), plan, MeasureOptions(heatmap=True, **execution))


@pytest.mark.parametrize(("name", "exact"), combinations(LOGS, [True, False], one_in=4))
def test_the_order_of_rows(name: str, exact: bool) -> None:
    frame = keyed(LOGS[name]())
    plan = plan_of(frame, ["memory_size"])
    shuffled = frame[np.random.default_rng(9).permutation(frame.height)]
    assert_same(measured(shuffled, plan, exact=exact), measured(frame, plan, exact=exact), plan)


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=1))
def test_the_engine(name: str) -> None:
    frame = keyed(LOGS[name]())
    plan = plan_of(frame, ["memory_size"])
    assert_same(measured(frame, plan, engine="in-memory"), measured(frame, plan, engine="streaming"), plan)


@examples(3)
@given(logs.logs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_of_random_logs(frame: pl.DataFrame, random: Any) -> None:
    plan = plan_of(frame, oracle.CONCURRENCY_KEY)
    order = random.sample(range(frame.height), frame.height)
    assert_same(measured(frame[order], plan), measured(frame, plan), plan)


@pytest.mark.parametrize(("rows", "suffix"), combinations([100, 999, 2000], [".parquet", ".csv"]))
def test_the_partition_into_files(tmp_path: Path, rows: int, suffix: str) -> None:
    frame = keyed(log_of([*spread(1900), *[-1.0] * 100]))
    plan = plan_of(frame, ["memory_size"])
    for index, part in enumerate(frame.iter_slices(rows)):
        path = tmp_path / f"{index}{suffix}"
        part.write_csv(path) if suffix == ".csv" else part.write_parquet(path)
    assert_same(measured(tmp_path, plan), measured(frame, plan), plan)


def test_one_file_for_each_configuration(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(2000)))
    plan = plan_of(frame, ["memory_size"])
    for (size,), part in frame.partition_by("memory_size", as_dict=True).items():
        folder = tmp_path / f"memory_size={size}"
        folder.mkdir()
        part.drop("memory_size").write_parquet(folder / "part.parquet")
    assert_same(measured(tmp_path, plan), measured(frame, plan), plan)


def test_row_groups_and_chunks(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(5000)))
    plan = plan_of(frame, ["memory_size"])
    frame.write_parquet(tmp_path / "log.parquet", row_group_size=100)
    chunked = pl.concat(list(frame.iter_slices(77)), rechunk=False)
    for source in (tmp_path / "log.parquet", chunked, frame.lazy(), frame.to_arrow()):
        assert_same(measured(source, plan), measured(frame, plan), plan)


def test_the_order_of_keys_changes_the_order_of_rows_alone() -> None:
    frame = logs.small_log()
    keys = list(oracle.CONCURRENCY_KEY)
    one, other = (measured(frame, plan_of(frame, key)).table for key in (keys, keys[::-1]))
    names = [f"key:{name}" for name in keys]
    counts = [*names, "num_rows", "kept_min", "kept_max", "tps_max", "num_kept"]
    assert other.sort(names).select(counts).equals(one.select(counts))
