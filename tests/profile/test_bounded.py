"""With almost no room the engine scans more often and answers the same."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import limits, passes, scan, steps
from loadlens.profile.plan import Outliers
from tests import logs, oracle
from tests.extent import combinations, examples
from tests.profile.cases import LOGS, assert_agree, both, keyed, log_of, near_equal, spread

SMALL_LOGS = [name for name in LOGS if name != "near equal"]


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", 0)


@pytest.mark.usefixtures("cramped")
@pytest.mark.parametrize(
    ("name", "outliers"), combinations(SMALL_LOGS, ["mean-iqr", "tukey", "none"], one_in=9)
)
def test_hard_logs(name: str, outliers: Outliers) -> None:
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"], outliers=outliers)
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize(
    ("name", "most"),
    combinations(["clusters", "two adjacent values", "several keys", "12 decades"], [0, 1, 20, 200]),
)
def test_a_few_candidates(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", most)
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"])
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize("most", [1, 2, 3, 10, 29, 100])
def test_windows_of_time(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(limits, "_MOST_GROUPS", most)
    frame = keyed(log_of(spread(3000), seconds=20.4))
    got, expected, plan = both(frame, ["memory_size"])
    assert_agree(got.table, expected.table, plan)


def test_windows_of_time_name_each_second_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_GROUPS", 7)
    got, _, _ = both(log_of(spread(3000)))
    assert not got.profile.seconds.select("code", "second").is_duplicated().any()
    assert got.profile.seconds["calls"].sum() == 3000


@pytest.mark.parametrize(("first", "most"), combinations([-20.3, -10.0, -1.5, -0.5, 0.0, 0.5], [1, 3, 10]))
def test_windows_around_time_0(monkeypatch: pytest.MonkeyPatch, most: int, first: float) -> None:
    monkeypatch.setattr(limits, "_MOST_GROUPS", most)
    frame = keyed(log_of(spread(1000), seconds=20.4))
    moved = frame.with_columns(pl.col("start_time", "end_time") - (1783.25 - first))
    # Whole seconds too, which are where windows meet.
    whole = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("end_time").round()).otherwise("end_time")
    ended = moved.with_columns(whole.alias("end_time"), pl.col("start_time") - 1.0)
    got, expected, plan = both(ended, ["memory_size"])
    assert_agree(got.table, expected.table, plan)


def test_windows_of_time_and_calls_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_GROUPS", 7)
    frame = log_of(spread(500)).with_columns(
        pl.when(pl.int_range(pl.len()) % 5 > 0).then("end_time").alias("end_time")
    )
    got, expected, plan = both(frame)
    assert_agree(got.table, expected.table, plan)


@pytest.mark.usefixtures("cramped")
@examples(3)
@given(logs.logs(), st.sampled_from(["mean-iqr", "tukey", "none"]))
def test_random_logs(frame: pl.DataFrame, outliers: Outliers) -> None:
    got, expected, plan = both(frame, oracle.CONCURRENCY_KEY, outliers=outliers, response_sizes=True)
    assert_agree(got.table, expected.table, plan)


def test_more_candidates_than_allowed_are_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> pl.LazyFrame:
        raise AssertionError("rows were fetched")

    monkeypatch.setattr(limits, "_MOST_CANDIDATES", 50)
    monkeypatch.setattr(steps, "rows_at", refuse)
    monkeypatch.setattr(steps, "held_keys", refuse)
    got, expected, plan = both(log_of(near_equal(2000)))
    assert_agree(got.table, expected.table, plan)


def test_near_equal_values_of_several_keys_take_several_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = []

    def counted(rows: pl.LazyFrame, **arguments: Any) -> pl.LazyFrame:
        scans.append(arguments["finer"])
        return counts(rows, **arguments)

    counts = steps.finer_counts
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", 100)
    monkeypatch.setattr(steps, "finer_counts", counted)
    got, expected, plan = both(keyed(log_of(near_equal(50_000))), ["memory_size"])
    assert_agree(got.table, expected.table, plan)
    assert set(scans) == {32, 20, 8, 0}


def test_windows_of_an_even_load_hold_few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = []

    def noted(*arguments: Any) -> list[pl.Expr]:
        windows.extend(split(*arguments))
        return list(windows)

    split = passes._windows
    monkeypatch.setattr(passes, "_windows", noted)
    monkeypatch.setattr(limits, "_MOST_GROUPS", 10)
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", 10**12)
    frame = keyed(log_of(spread(3000), seconds=60))
    both(frame, ["memory_size"])
    second = pl.col("end_time").cast(pl.Int64)
    pairs = [frame.filter(window).select("memory_size", second).unique().height for window in windows]
    assert len(pairs) > 1
    # Edges are moved to whole seconds, at most one on either side.
    assert max(pairs) <= 10 + 2 * 3
