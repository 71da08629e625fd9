"""Latencies near wanted ranks are held back while a log is counted, or read again; both are exact."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import brackets as module
from loadlens.profile.brackets import Brackets, keys_held_back
from loadlens.profile.buckets import FAILED_BUCKET, bucket_of
from loadlens.profile.exact import numbered_buckets
from loadlens.profile.places import NUM_PLACES, PLACE_OF_FAILED, places_of_buckets
from loadlens.profile.plan import Outliers, Plan
from loadlens.profile.scan import Counted
from loadlens.schema import LATENCY
from tests.extent import combinations, examples, some_of
from tests.profile.cases import keyed, log_of, plan_of, spread
from tests.profile.test_tail import MANY, assert_exact, counted_in_order, with_outliers

PLANS: dict[str, dict[str, Any]] = {
    "mean-iqr": {"outliers": "mean-iqr"},
    "mean-iqr of successes": {"outliers": "mean-iqr", "fence_over_failures": False},
    "tukey": {"outliers": "tukey"},
    "none": {"outliers": "none"},
    "limits": {"outliers": "tukey", "limits_ms": (0.0, 10.0, 25.5), "kept_percentiles": (0.5, 0.99)},
}


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """Only tables hold rows back."""


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small logs give buckets up as large ones do."""
    monkeypatch.setattr(module, "_FEWEST_HELD", 2_000)


def read_once(found: Counted) -> Counted:
    """The same, but it may not look for latencies again."""

    def look(step: str, **arguments: Any) -> pl.DataFrame:
        assert step not in {"held_keys", "rows_at"}, "the log was to be read again"
        return found.look(step, **arguments)

    return replace(found, look=look)


@pytest.mark.parametrize("name", some_of(PLANS, 3, first=2))
def test_an_even_log_is_read_once(name: str) -> None:
    failures = np.where(np.arange(60_000) % 50 == 0, -1.0, with_outliers(60_000))
    frame = keyed(log_of(failures))
    plan = plan_of(frame, ["memory_size"], **PLANS[name])
    found = counted_in_order(frame, plan)
    assert found.brackets is not None
    assert 0 < len(found.brackets.rows()[0]) < 40_000
    assert_exact(read_once(found), frame, plan)


@pytest.mark.parametrize(("name", "backwards"), combinations(PLANS, [False, True]))
def test_sorted_latencies_are_exact_too(name: str, backwards: bool) -> None:
    latencies = np.sort(with_outliers())
    frame = log_of(latencies[::-1] if backwards else latencies)
    plan = plan_of(frame, **PLANS[name])
    assert_exact(counted_in_order(frame, plan), frame, plan)


def test_a_log_whose_latencies_drift_is_read_again() -> None:
    frame = log_of(np.sort(with_outliers()))
    plan = plan_of(frame)
    found = counted_in_order(frame, plan)
    with pytest.raises(AssertionError, match="read again"):
        assert_exact(read_once(found), frame, plan)


def test_rows_with_a_latency_out_of_the_usual_range_lose_what_is_held() -> None:
    frame = log_of([*with_outliers(5000), 2.0**35])
    plan = plan_of(frame)
    found = counted_in_order(frame, plan)
    assert found.brackets is not None
    assert found.brackets.lost
    assert_exact(found, frame, plan)


def test_rows_without_a_latency_are_not_held() -> None:
    frame = log_of([1.0, None, 3.0])
    found = counted_in_order(frame, plan_of(frame))
    assert found.brackets is not None
    assert sorted(found.brackets.rows()[1].tolist()) == [1.0, 3.0]


def test_failures_with_a_latency_are_held_as_such() -> None:
    frame = log_of([1.0, 2.0, -1.0], success=[True, False, False])
    found = counted_in_order(frame, plan_of(frame))
    assert found.brackets is not None
    code, latency, success = found.brackets.rows()
    assert sorted(zip(code.tolist(), latency.tolist(), success.tolist(), strict=True)) == [
        (0, 1.0, True),
        (0, 2.0, False),
    ]


@examples(4)
@given(
    st.lists(
        st.tuples(st.integers(1, 6000), st.sampled_from([1e-3, 1.0, 1.001, 50.0])), min_size=1, max_size=4
    ),
    st.sampled_from(["mean-iqr", "tukey", "none"]),
    st.integers(200, 3000),
    st.sampled_from([700, 5000, MANY]),
)
def test_phases_of_any_speed(
    phases: list[tuple[int, float]], outliers: Outliers, rows: int, most: int
) -> None:
    parts = [spread(number, seed=index) * scale for index, (number, scale) in enumerate(phases)]
    latencies = np.concatenate(parts)
    latencies[::37] = -1
    frame = keyed(log_of(latencies))
    plan = plan_of(frame, ["memory_size"], outliers=outliers, limits_ms=(1.0,))
    assert_exact(counted_in_order(frame, plan, rows=rows, most=most), frame, plan)


def place_counts(latencies: np.ndarray[Any, Any]) -> Any:
    places = places_of_buckets(bucket_of(latencies))
    counts = np.bincount(places, minlength=NUM_PLACES)
    return lambda _: (counts, counts)


def held(latencies: np.ndarray[Any, Any], most_rows: int = MANY) -> Brackets:
    brackets = Brackets(Plan(key=(), outliers="none", percentiles=()), most_rows)
    brackets.cover(1)
    size = len(latencies)
    brackets.hold(
        np.zeros(size, dtype=np.int64),
        latencies.copy(),
        np.ones(size, dtype=np.bool_),
        place_counts(latencies),
    )
    return brackets


def test_all_is_held_of_a_small_log() -> None:
    brackets = held(spread(2000))
    assert len(brackets.rows()[0]) == 2000
    assert brackets.covers(np.array([0, 0]), bucket_of(np.array([1e-5, 1e5]))).all()


def test_buckets_far_from_wanted_ranks_are_given_up() -> None:
    latencies = spread(100_000)
    brackets = held(latencies)
    quartiles = np.quantile(latencies, [0, 0.25, 0.5, 0.75, 1])
    assert brackets.covers(np.zeros(5, dtype=np.int64), bucket_of(quartiles)).all()
    assert not brackets.covers(np.array([0]), bucket_of(np.quantile(latencies, [0.6]))).any()
    kept = brackets.rows()[1]
    assert len(kept) < 30_000
    wanted = brackets.wanted[places_of_buckets(bucket_of(latencies))]
    assert np.array_equal(np.sort(kept), np.sort(latencies[wanted]))


def test_latencies_beyond_the_known_ones_stay_wanted() -> None:
    brackets = held(spread(100_000))
    assert brackets.covers(np.array([0, 0]), bucket_of(np.array([1e-9, 1e9]))).all()
    assert brackets.covers(np.array([0]), np.array([0])).all()  # the bucket of 0


def test_the_sentinel_is_known_and_not_held() -> None:
    brackets = held(spread(10))
    assert not brackets.wanted[PLACE_OF_FAILED]
    assert not brackets.covers(np.array([0]), np.array([FAILED_BUCKET])).any()


def test_too_many_rows_lose_all_for_good() -> None:
    brackets = held(np.full(10_000, 5.0), most_rows=3000)
    assert brackets.lost
    assert len(brackets.rows()[0]) == 0
    assert not brackets.covers(np.array([0]), bucket_of(np.array([5.0]))).any()
    brackets.cover(2)
    assert not len(brackets.wanted)


def test_too_many_codes_hold_nothing() -> None:
    brackets = held(spread(10))
    brackets.cover(100_000)
    assert brackets.lost
    assert not len(brackets.wanted)


def test_codes_that_arrive_late_are_held_from_then_on() -> None:
    brackets = held(spread(100_000))
    brackets.cover(2)
    assert brackets.wanted[NUM_PLACES:].sum() == NUM_PLACES - 1
    assert brackets.covers(np.array([1]), bucket_of(np.quantile(spread(100_000), [0.6]))).all()


def test_a_bucket_is_covered_where_every_part_covers_it() -> None:
    latencies = spread(500)
    places = places_of_buckets(bucket_of(latencies))
    brackets = Brackets(Plan(key=()), MANY)
    brackets.cover(2)
    given_up = np.ones((2, NUM_PLACES), dtype=np.bool_)
    given_up[1, places[0]] = False
    code = np.repeat([1, 0], 250)
    rows = code.copy(), latencies.copy(), np.ones(500, dtype=np.bool_)
    brackets.share(np.array([1, 0]), given_up, rows, place_counts(latencies))
    held_rows = dict(zip(*np.unique(brackets.rows()[0], return_counts=True), strict=True))
    same = (places == places[0]) & (code == 0)
    assert held_rows == {0: 250 - same.sum(), 1: 250}
    brackets.recode(np.array([1, 0]))
    held_rows = dict(zip(*np.unique(brackets.rows()[0], return_counts=True), strict=True))
    assert held_rows == {0: 250, 1: 250 - same.sum()}
    assert brackets.covers(np.array([0, 1]), bucket_of(latencies[[0, 0]])).tolist() == [True, False]


def test_successes_in_the_tail_make_up_for_a_given_up_bucket() -> None:
    frame = log_of(with_outliers())
    found = counted_in_order(frame, plan_of(frame))
    assert found.brackets is not None
    assert found.tail is not None
    outlier = float(np.sort(with_outliers())[-40])
    chosen = numbered_buckets(pl.DataFrame({"code": [0], "bucket": bucket_of(np.array([outlier]))}))
    place = places_of_buckets(bucket_of(np.array([outlier])))
    found.brackets.wanted[place] = False
    keys = keys_held_back(found.brackets, found.tail, chosen, chosen)
    assert keys is not None
    assert keys_held_back(found.brackets, found.tail, chosen, chosen.clear()) is None
    same = bucket_of(frame[LATENCY].to_numpy()) == bucket_of(np.array([outlier]))
    assert keys.height == same.sum() > 0
