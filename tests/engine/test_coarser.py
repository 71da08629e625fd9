"""Figures by fewer columns are those of scans of their own, though they come from the scans of more."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loadlens.engine import measure
from loadlens.engine.measuring import measure_all
from loadlens.logs import open_log
from loadlens.logs.log import Log
from loadlens.profile import MeasureOptions, Outliers, Plan, Statistics, WindowPlan
from loadlens.schema import LATENCY
from tests.extent import combinations
from tests.ten_minutes import csv, log_of, parquet, several_files

KEYS: Sequence[tuple[str, ...]] = [("label", "memory_size"), ("memory_size",), ("label",), ()]


def plan_of(key: tuple[str, ...], **fields: Any) -> Plan:
    return Plan(key=key, limits_ms=(90.0,), histogram=False, response_sizes=False, **fields)


def assert_same(got: Statistics, expected: Statistics) -> None:
    assert got.table.equals(expected.table)
    assert got.profile.figures.equals(expected.profile.figures)
    assert got.profile.buckets.equals(expected.profile.buckets)
    assert list(got.windows) == list(expected.windows)
    for width, windows in got.windows.items():
        assert windows.equals(expected.windows[width])


def separately(
    log: Log, plans: Sequence[Plan], options: MeasureOptions = MeasureOptions()
) -> list[Statistics]:
    return [measure(log, plan, options) for plan in plans]


@pytest.mark.parametrize(
    ("form", "outliers"), combinations([csv, parquet, several_files], ["none", "mean-iqr", "tukey"])
)
def test_keys_of_fewer_columns_share_the_scans(form: Any, outliers: Outliers, tmp_path: Path) -> None:
    log = open_log(form(log_of(3000), tmp_path))
    plans = [plan_of(key, outliers=outliers, counts_outliers=True, kept_percentiles=(0.9,)) for key in KEYS]
    for got, expected in zip(measure_all(log, plans), separately(log, plans), strict=True):
        assert_same(got, expected)


def test_the_order_of_the_plans_does_not_matter() -> None:
    log = open_log(log_of(3000))
    plans = [plan_of(key) for key in reversed(KEYS)]
    for got, expected in zip(measure_all(log, plans), separately(log, plans), strict=True):
        assert_same(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
def test_workers_and_one_pass_tell_the_same(exact: bool, tmp_path: Path) -> None:
    log = open_log(several_files(log_of(3000), tmp_path))
    plans = [plan_of(key) for key in KEYS]
    expected = separately(log, plans, MeasureOptions(exact=exact))
    with ThreadPoolExecutor(2) as executor:
        options = MeasureOptions(exact=exact, executor=executor, partition_rows=500)
        for got, one in zip(measure_all(log, plans, options), expected, strict=True):
            assert_same(got, one)


def test_cells_too_full_to_hold_are_divided() -> None:
    """Latencies that differ by their last bits, more than may be held."""
    rows = 20_000
    frame = log_of(rows).with_columns(pl.Series(LATENCY, 100 + pl.int_range(rows, eager=True) * 1e-9))
    log, plans = open_log(frame), [plan_of(key) for key in KEYS]
    options = MeasureOptions(memory_limit=256 * 2**20)
    for got, expected in zip(measure_all(log, plans, options), separately(log, plans), strict=True):
        assert_same(got, expected)


def test_windows_of_fewer_columns_share_the_scans() -> None:
    def everywhere(lowest: pl.DataFrame, _: pl.DataFrame) -> Any:
        return (lowest["num_rows"] >= 0).to_numpy()

    def windows(key: tuple[str, ...]) -> tuple[WindowPlan, ...]:
        return (WindowPlan(width_s=60.0, figures=plan_of(key), is_open=everywhere),)

    log = open_log(log_of(3000))
    plans = [plan_of(key, windows=windows(key)) for key in KEYS]
    for got, expected in zip(measure_all(log, plans), separately(log, plans), strict=True):
        assert_same(got, expected)


def scans_of(log: Log, plans: Sequence[Plan]) -> int:
    """How often the rows are counted."""
    stages = []
    measure_all(log, plans, MeasureOptions(on_progress=lambda progress: stages.append(progress.stage)))
    return sum(stage.startswith("Counting") for stage in stages)


def test_only_what_adds_no_keys_shares_scans() -> None:
    log = open_log(log_of(3000))
    assert scans_of(log, [plan_of(key) for key in KEYS]) == 1
    assert scans_of(log, [plan_of(("label",)), plan_of(("memory_size",))]) == 2
    narrow = WindowPlan(
        width_s=1.0, figures=plan_of(()), is_open=lambda low, _: low["num_rows"].to_numpy() < 0
    )
    assert scans_of(log, [plan_of(KEYS[0]), plan_of((), windows=(narrow,))]) == 2


@pytest.mark.slow
def test_of_keys_counted_in_parts_fewer_columns_are_counted_apart(tmp_path: Path) -> None:
    rows, stages = 90_000, []
    log_of(rows).with_columns(user=pl.int_range(rows)).write_parquet(tmp_path / "log.parquet")
    log = open_log(tmp_path / "log.parquet")
    plans = [plan_of(("label",)), plan_of(("user", "label")), plan_of(())]
    options = MeasureOptions(
        memory_limit=256 * 2**20, on_progress=lambda progress: stages.append(progress.stage)
    )
    found = measure_all(log, plans, options)
    assert any("part 2 of" in stage for stage in stages)
    assert found[1].table.height == rows
    for number in (0, 2):
        assert_same(found[number], measure(log, plans[number]))
