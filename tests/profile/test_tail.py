"""Rows above the fence are held back while a log is counted, or fetched afterwards; both are exact."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import engine
from loadlens.profile.coding import KeyCoder
from loadlens.profile.counter import Counter, held_keys_by_table, with_code
from loadlens.profile.plan import Outliers, Plan
from loadlens.profile.rows import Rows
from loadlens.profile.scan import Counted
from loadlens.profile.steps import CodedRows, local_look
from loadlens.profile.tail import Histogram, Tail
from loadlens.schema import LATENCY
from loadlens.sources import open_log
from tests import direct
from tests.extent import combinations, examples
from tests.profile.cases import assert_agree, keyed, log_of, plan_of, spread

MANY = 10**6
PLANS: dict[str, dict[str, Any]] = {
    "mean-iqr": {"outliers": "mean-iqr"},
    "mean-iqr of successes": {"outliers": "mean-iqr", "fence_over_failures": False},
    "tukey": {"outliers": "tukey"},
}


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """Only tables hold a tail."""


def counted_in_order(frame: pl.DataFrame, plan: Plan, *, rows: int = 500, most: int = MANY) -> Counted:
    """The log counted batch by batch."""
    log = open_log(frame)
    uncoded = Rows.uncoded(log, plan)
    batches = uncoded.frame.collect()
    names = [name for name in batches.columns if name.startswith("key:")]
    coder = KeyCoder({name: batches.schema[name] for name in names})
    counter = Counter(uncoded, coder, most_bytes=2**26, most_tail_rows=most, with_heat=False)
    for batch in batches.iter_slices(rows):
        counter.add(batch)
    coded = CodedRows(
        rows=uncoded.over(with_code(uncoded.frame, coder), with_code(uncoded.latencies, coder)),
        held_keys=partial(held_keys_by_table, uncoded.latencies, coder=coder),
    )
    return Counted(
        profile=counter.profile(),
        look=local_look(coded, "streaming"),
        tail=counter.tail,
        brackets=counter.brackets,
    )


def assert_exact(found: Counted, frame: pl.DataFrame, plan: Plan) -> None:
    table = engine._exact(found, plan, MANY).table
    assert_agree(table, direct.measure(open_log(frame), plan).table, plan)


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the tails that were asked for were complete."""
    asked: list[bool] = []
    complete = Tail.complete

    def noted(tail: Tail, fences: pl.DataFrame) -> bool:
        asked.append(complete(tail, fences))
        return asked[-1]

    monkeypatch.setattr(Tail, "complete", noted)
    return asked


def held(found: Counted) -> int:
    assert found.tail is not None
    return found.tail.frame().height


def with_outliers(rows: int = 20_000) -> np.ndarray[Any, Any]:
    latencies = np.random.default_rng(8).lognormal(3, 0.3, rows)
    latencies[np.random.default_rng(9).permutation(rows)[: rows // 100]] *= 30
    return latencies


@pytest.mark.parametrize("name", PLANS)
def test_an_even_log_holds_few_rows_and_needs_no_others(outcomes: list[bool], name: str) -> None:
    frame = keyed(log_of(with_outliers()))
    plan = plan_of(frame, ["memory_size"], **PLANS[name])
    found = counted_in_order(frame, plan)
    assert_exact(found, frame, plan)
    assert outcomes == [True]
    assert 200 <= held(found) < 8000


@pytest.mark.parametrize(("rows", "name"), combinations([1, 37, 500, 10**6], PLANS))
def test_the_size_of_batches(name: str, rows: int) -> None:
    frame = keyed(log_of(with_outliers(4000)))
    plan = plan_of(frame, ["memory_size"], **PLANS[name])
    assert_exact(counted_in_order(frame, plan, rows=rows), frame, plan)


@pytest.mark.parametrize("name", PLANS)
def test_latencies_that_fall_over_time(outcomes: list[bool], name: str) -> None:
    slow, fast = spread(3000) * 1000, with_outliers(60_000)
    frame = log_of([*slow, *fast])
    plan = plan_of(frame, **PLANS[name])
    found = counted_in_order(frame, plan)
    assert_exact(found, frame, plan)
    assert outcomes == [False]
    assert found.tail is not None
    assert not found.tail.lost


@pytest.mark.parametrize("name", PLANS)
def test_reversed_input(outcomes: list[bool], name: str) -> None:
    frame = log_of(np.sort(with_outliers())[::-1])
    plan = plan_of(frame, **PLANS[name])
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [False]


@pytest.mark.parametrize("name", PLANS)
def test_sorted_input(outcomes: list[bool], name: str) -> None:
    frame = log_of(np.sort(with_outliers()))
    plan = plan_of(frame, **PLANS[name])
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [True]


@pytest.mark.parametrize("name", PLANS)
def test_key_by_key(outcomes: list[bool], name: str) -> None:
    frame = keyed(log_of(with_outliers())).sort("memory_size", maintain_order=True)
    plan = plan_of(frame, ["memory_size"], **PLANS[name])
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [True]


@pytest.mark.parametrize("name", PLANS)
def test_configurations_without_one_success(outcomes: list[bool], name: str) -> None:
    latencies = np.where(np.arange(6000) % 3 == 0, -1.0, with_outliers(6000))
    frame = log_of(latencies).with_columns(memory_size=pl.Series(np.arange(6000) % 3))
    plan = plan_of(frame, ["memory_size"], **PLANS[name])
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert len(outcomes) == 1


def test_more_rows_than_may_be_held(outcomes: list[bool]) -> None:
    frame = log_of(with_outliers())
    plan = plan_of(frame)
    found = counted_in_order(frame, plan, most=600)
    assert_exact(found, frame, plan)
    assert outcomes == [False]
    assert found.tail is not None
    assert found.tail.lost
    assert held(found) == 0


@pytest.mark.parametrize(
    "columns",
    [
        {LATENCY: 2.0**35},
        {"start_time": None},
        {"end_time": None},
    ],
)
def test_a_success_out_of_the_usual_range_loses_the_tail(
    outcomes: list[bool], columns: dict[str, float | None]
) -> None:
    frame = log_of(with_outliers(5000))
    (name, value), *_ = columns.items()
    odd = pl.when(pl.int_range(pl.len()) == 4321).then(pl.lit(value)).otherwise(name).alias(name)
    frame = frame.with_columns(odd)
    plan = plan_of(frame)
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [False]


def test_a_failure_out_of_the_usual_range_does_not(outcomes: list[bool]) -> None:
    end = pl.when(pl.col(LATENCY) == -1).then(None).otherwise("end_time").alias("end_time")
    frame = log_of([*with_outliers(5000), *[-1.0] * 100]).with_columns(end)
    plan = plan_of(frame)
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [True]


def test_the_successes_from_the_limit_on_are_held() -> None:
    below, above = np.nextafter(5.0, 0), np.nextafter(5.0, 6)
    frame = log_of([below, 5.0, above, 9.0, 9.0, None], success=[True, True, True, False, True, True])
    plan = plan_of(frame)
    uncoded = Rows.uncoded(open_log(frame), plan)
    counter = Counter(uncoded, KeyCoder({}), most_bytes=2**26, most_tail_rows=MANY, with_heat=False)
    counter.tail.cover(1)
    counter.tail.keep_from[0] = 5.0
    counter.add(uncoded.frame.collect())
    held_rows = counter.tail.frame().sort(LATENCY)
    assert held_rows[LATENCY].to_list() == [5.0, above, 9.0]
    assert held_rows["end_time"].to_list() == frame["end_time"].gather([1, 2, 4]).to_list()


@pytest.mark.parametrize("missing", [["start_time"], ["end_time"], ["start_time", "end_time"]])
def test_logs_without_times(outcomes: list[bool], missing: Sequence[str]) -> None:
    frame = log_of(with_outliers(5000)).drop(missing)
    plan = plan_of(frame)
    assert_exact(counted_in_order(frame, plan), frame, plan)
    assert outcomes == [True]


@examples(4)
@given(
    st.lists(
        st.tuples(st.integers(1, 1500), st.sampled_from([1e-3, 1.0, 50.0, 1e5])), min_size=1, max_size=5
    ),
    st.sampled_from(["mean-iqr", "tukey"]),
    st.integers(50, 2000),
)
def test_phases_of_any_speed(phases: list[tuple[int, float]], outliers: Outliers, rows: int) -> None:
    parts = [spread(number, seed=index) * scale for index, (number, scale) in enumerate(phases)]
    frame = log_of(np.concatenate(parts))
    plan = plan_of(frame, outliers=outliers)
    assert_exact(counted_in_order(frame, plan, rows=rows), frame, plan)


def tail_of(outliers: Outliers = "tukey", most_rows: int = 100) -> Tail:
    return Tail(Plan(key=(), outliers=outliers), most_rows)


def hold(tail: Tail, latencies: Sequence[float]) -> None:
    times = np.full(len(latencies), np.nan)
    tail.hold(np.zeros(len(latencies), dtype=np.int64), np.array(latencies), times, times + 1)


def fences(*lowest: float | None) -> pl.DataFrame:
    return pl.DataFrame({"code": range(len(lowest)), "lowest": pl.Series(lowest, dtype=pl.Float64)})


def quartiles(low: float, high: float) -> Any:
    """A histogram whose quartiles are two numbers."""

    def histogram(code: int, *, successes: bool) -> Histogram:
        del code, successes
        counts = np.array([100_000, 100_000])
        return np.array([low, high]), counts, counts * np.array([low, high])

    return histogram


def test_a_tail_is_complete_up_to_the_limit_of_each_code() -> None:
    tail = tail_of()
    tail.cover(2)
    assert tail.complete(fences(-1.0, 1e300))
    tail.keep_from[:] = [5.0, 7.0]
    assert tail.complete(fences(5.0, 7.5))
    assert not tail.complete(fences(4.9, 7.5))
    assert not tail.complete(fences(5.0, 6.9))
    assert tail.complete(fences(None, 7.0))


def test_limits_move_when_a_code_has_grown_fourfold_and_only_up() -> None:
    tail = tail_of()
    tail.cover(2)
    tail.rows_of_code[:] = [999, 0]
    tail.move_limits(quartiles(1.0, 2.0))
    assert tail.keep_from.tolist() == [-np.inf, -np.inf]
    tail.rows_of_code[0] = 1000
    tail.move_limits(quartiles(1.0, 2.0))
    limit = tail.keep_from[0]
    assert 2.5 < limit < 3.5
    assert tail.keep_from[1] == -np.inf
    tail.rows_of_code[0] = 3999
    tail.move_limits(quartiles(10.0, 20.0))
    assert tail.keep_from[0] == limit
    tail.rows_of_code[0] = 4000
    tail.move_limits(quartiles(10.0, 20.0))
    assert tail.keep_from[0] == pytest.approx(10 * limit)
    tail.rows_of_code[0] = 10**6
    tail.move_limits(quartiles(1.0, 2.0))
    assert tail.keep_from[0] == pytest.approx(10 * limit)


def test_in_the_end_all_limits_move_and_rows_below_them_go() -> None:
    tail = tail_of()
    tail.cover(2)
    tail.hold(np.array([0, 1, 0]), np.array([1.0, 1.0, 5.0]), np.zeros(3), np.arange(3.0))
    tail.rows_of_code[:] = [1000, 999]
    tail.move_limits(quartiles(1.0, 2.0))
    tail.rows_of_code[0] = 3999
    tail.narrow(quartiles(1.1, 2.1))
    assert tail.keep_from[1] == -np.inf
    assert 3.1 < tail.keep_from[0] < 3.5
    assert tail.frame().select("code", LATENCY, "end_time").rows() == [(1, 1.0, 1.0), (0, 5.0, 2.0)]


def test_tails_of_parts_are_as_complete_as_the_least_of_them() -> None:
    tail = tail_of()
    tail.cover(3)
    tail.share(np.array([2, 0]), np.array([5.0, 7.0]))
    tail.share(np.array([2, 1]), np.array([4.0, 6.0]))
    assert tail.keep_from.tolist() == [7.0, 6.0, 5.0]
    tail.hold(np.array([2, 0]), np.array([5.5, 8.0]), np.zeros(2), np.ones(2))
    tail.recode(np.array([1, 2, 0]))
    assert tail.keep_from.tolist() == [5.0, 7.0, 6.0]
    assert tail.frame().select("code", LATENCY).rows() == [(0, 5.5), (1, 8.0)]


def test_covering_more_codes_keeps_what_is_known() -> None:
    tail = tail_of()
    tail.cover(1)
    tail.keep_from[0], tail.rows_of_code[0] = 3.0, 17
    tail.cover(3)
    tail.cover(2)
    assert tail.keep_from.tolist() == [3.0, -np.inf, -np.inf]
    assert tail.rows_of_code.tolist() == [17, 0, 0]


def test_a_lost_tail_stays_lost() -> None:
    tail = tail_of()
    tail.cover(1)
    hold(tail, [1.0] * 100)
    assert not tail.lost
    hold(tail, [1.0])
    assert tail.lost
    tail.cover(2)
    assert tail.keep_from.tolist() == [np.inf, np.inf]
    hold(tail, [1.0])
    tail.rows_of_code[:] = 10**6
    tail.move_limits(quartiles(1.0, 2.0))
    assert tail.keep_from.tolist() == [np.inf, np.inf]
    assert tail.frame().is_empty()
    assert not tail.complete(fences(1e300))


def test_without_a_fence_nothing_is_held() -> None:
    tail = tail_of("none")
    tail.cover(1)
    assert tail.lost
    assert tail.keep_from.tolist() == [np.inf]


def test_what_is_held_is_a_frame() -> None:
    tail = tail_of()
    schema = {"code": pl.Int64, LATENCY: pl.Float64, "start_time": pl.Float64, "end_time": pl.Float64}
    assert tail.frame().schema == {**schema, "success": pl.Boolean}
    tail.hold(np.array([4]), np.array([5.0]), np.array([np.nan]), np.array([7.0]))
    hold(tail, [6.0])
    assert tail.frame().rows() == [(4, 5.0, None, 7.0, True), (0, 6.0, None, None, True)]
