"""Counting in tables gives the profile that group-bys give, however the rows are dealt out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import Plan, counter
from loadlens.profile.coding import KeyCoder
from loadlens.profile.counter import Counter, held_keys_by_table
from loadlens.profile.exact import held_keys, numbered_buckets
from loadlens.profile.keys import find_key_codec
from loadlens.profile.passes import TooSparseError, UnusableRowsError, profile_rows
from loadlens.profile.plan import latency_is_positive
from loadlens.profile.profile import Profile, coarsened, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows
from loadlens.schema import LATENCY
from loadlens.sources import open_log
from tests import logs, oracle
from tests.extent import examples, some_of
from tests.profile.cases import LOGS, assert_same_profile, assert_same_rows, keyed, log_of, plan_of, spread

KEY = tuple(oracle.CONCURRENCY_KEY)


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """Both ways are compared."""


def counter_of(
    frame: pl.DataFrame, plan: Plan, *, most_bytes: int = 2**26
) -> tuple[Counter, pl.DataFrame, KeyCoder]:
    """An empty counter, the rows that it is to count and what codes their keys."""
    log = open_log(frame)
    rows = Rows.uncoded(log, plan)
    schema = log.frame.select(plan.key).collect_schema()
    coder = KeyCoder(dict(zip(key_names(plan.key), schema.dtypes(), strict=True)))
    made = Counter(rows, coder, most_bytes=most_bytes, most_tail_rows=1000, with_heat=True)
    return made, rows.frame.collect(), coder


def by_tables(frame: pl.DataFrame, plan: Plan, cuts: Sequence[int] = (), threads: int = 1) -> Profile:
    """The profile of the rows in batches that end at ``cuts``."""
    made, rows, _ = counter_of(frame, plan)
    edges = [0, *sorted(cut % (rows.height + 1) for cut in cuts), rows.height]
    batches = [rows[first:last] for first, last in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(made.add, batches))
    return made.profile()


def by_groups(frame: pl.DataFrame, plan: Plan) -> Profile:
    log = open_log(frame)
    codec = find_key_codec(log, plan.key, "streaming")
    tracker = Tracker(None, rows_total=None, bytes_total=0)
    rows = Rows.of(log, plan, codec)
    return profile_rows(rows, codec, "streaming", max_groups=10**6, with_heat=True, tracker=tracker)


def assert_same(got: Profile, expected: Profile) -> None:
    assert_same_profile(got, expected)
    names = key_names(expected.key)
    assert got.keys.select(names).equals(expected.keys.select(names))
    assert got.errors == expected.errors
    classes = [
        profile.classes.join(profile.keys, on="code", how="left").drop("code") for profile in (got, expected)
    ]
    assert_same_rows(*classes)


@st.composite
def odd_logs(draw: st.DrawFn) -> pl.DataFrame:
    """Logs with cells that few logs have: no times, times far away, latencies of any size, error classes."""
    frame = draw(logs.logs())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shift = draw(st.sampled_from([0.0, -1800.0, -1783.75, 1.7e9, -1e10]))
    values: dict[str, list[Any]] = {
        LATENCY: [0.0, -0.0, 5e-324, 2.0**-40, 2.0**33, 1e12, np.nextafter(2.0**32, 0), None],
        "start_time": [None],
        "end_time": [None],
        "response_size": [None, 0, 2**50],
        "throttle_exception": [None, 1],
    }
    changes = [(pl.col("start_time", "end_time") + shift)]
    frame = frame.with_columns(changes)
    for name, some in values.items():
        if draw(st.booleans()):
            hit = pl.Series(random.random(frame.height) < draw(st.sampled_from([0.1, 0.5, 1.0])))
            chosen = pl.Series([some[index] for index in random.integers(0, len(some), frame.height)])
            replaced = pl.when(hit).then(chosen.cast(frame.schema[name])).otherwise(name)
            frame = frame.with_columns(replaced.alias(name))
    if draw(st.booleans()):
        names = pl.Series("error", ["timeout", "reset", None], dtype=pl.String)
        frame = frame.with_columns(names.gather(random.integers(0, 3, frame.height)))
    if draw(st.booleans()):
        succeeded = pl.Series(random.random(frame.height) < 0.7)
        frame = frame.with_columns(success=succeeded & (pl.col(LATENCY) >= 0).fill_null(value=True))
    in_order = (pl.col("end_time") >= pl.col("start_time")).fill_null(value=True)
    return frame.filter(in_order)


def plan_for(frame: pl.DataFrame, key: Sequence[str] = KEY) -> Plan:
    success = pl.col("success") if "success" in frame.columns else latency_is_positive()
    return Plan(key=tuple(key), success=success, response_sizes=True)


CUTS = st.lists(st.integers(0, 2000), max_size=8)


@examples(15)
@given(logs.logs(), CUTS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_random_logs_in_random_batches(
    frame: pl.DataFrame, cuts: list[int], threads: int, random: Any
) -> None:
    order = random.sample(range(frame.height), frame.height)
    plan = plan_for(frame)
    assert_same(by_tables(frame[order], plan, cuts, threads), by_groups(frame, plan))


@examples(5)
@given(odd_logs(), CUTS, st.integers(1, 4), st.sampled_from([KEY, KEY[:1], ()]))
def test_odd_logs_in_random_batches(
    frame: pl.DataFrame, cuts: list[int], threads: int, key: tuple[str, ...]
) -> None:
    plan = plan_for(frame, key)
    got, expected = by_tables(frame, plan, cuts, threads), by_groups(frame, plan)
    assert_same_heat(got.heat, expected.heat)
    assert_same(*(_without_heat(profile) for profile in (got, expected)))


def _without_heat(profile: Profile) -> Profile:
    return Profile(**{**vars(profile), "heat": Profile.empty(()).heat})


def assert_same_heat(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Asserts the same counts at the wider of both widths; where starts are missing, these may differ."""
    assert got.is_empty() == expected.is_empty()
    for heat in (got, expected):
        assert heat.select((pl.col("time_s") / pl.col("window_s")).floor().n_unique()).item() <= 256
        assert heat.select((pl.col("time_s") % pl.col("window_s") == 0).all()).item()
    widest = pl.concat([got, expected])["window_s"].max()
    assert_same_rows(*(_at_width(heat, widest) for heat in (got, expected)))


def _at_width(heat: pl.DataFrame, width: Any) -> pl.DataFrame:
    return coarsened(
        heat.with_columns(time_s=(pl.col("time_s") / width).floor() * width, window_s=pl.lit(width))
    )


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=1))
def test_hard_logs(name: str) -> None:
    frame = keyed(LOGS[name]())
    plan = plan_of(frame, ["memory_size"])
    expected = by_groups(frame, plan)
    assert_same(by_tables(frame, plan), expected)
    assert_same(by_tables(frame.reverse(), plan, range(0, frame.height, 97), threads=3), expected)


def test_several_threads_count_each_row_once() -> None:
    frame = keyed(log_of(spread(20_000), seconds=300), keys=50)
    plan = plan_of(frame, ["memory_size"])
    assert_same(by_tables(frame, plan, range(0, 20_000, 113), threads=8), by_groups(frame, plan))


@pytest.mark.parametrize("start", [None, 0.0, -1e6])
def test_heat_of_starts_that_are_missing_or_of_another_clock(start: float | None) -> None:
    frame = log_of(spread(3000), seconds=1000)
    frame = frame.drop("start_time") if start is None else frame.with_columns(start_time=pl.lit(start))
    plan = plan_of(frame)
    for cuts in ((), range(0, 3000, 100)):
        got, expected = by_tables(frame, plan, cuts), by_groups(frame, plan)
        assert got.heat["count"].sum() == expected.heat["count"].sum() == 3000
        assert_same_heat(got.heat, expected.heat)


def test_rows_without_times_among_others() -> None:
    times = [
        pl.when(pl.int_range(pl.len()) % 3 > 0).then(name).alias(name) for name in ("start_time", "end_time")
    ]
    frame = keyed(log_of(spread(3000))).with_columns(times)
    plan = plan_of(frame, ["memory_size"])
    assert_same(by_tables(frame, plan, range(0, 3000, 50), threads=4), by_groups(frame, plan))


def test_many_irregular_counts_are_joined_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "_MOST_IRREGULAR_COUNTS", 1200)  # twice 256 windows and 2 latencies
    latencies = np.where(np.arange(2000) % 2 == 0, 2.0**33, 2.0**34)
    frame = log_of(latencies, seconds=10)
    plan = plan_of(frame)
    assert_same(by_tables(frame, plan, range(0, 2000, 10)), by_groups(frame, plan))


def test_too_many_irregular_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "_MOST_IRREGULAR_COUNTS", 150)
    made, rows, _ = counter_of(log_of(2.0**33 * np.arange(1, 120)), Plan(key=()))
    made.add(rows)
    with pytest.raises(TooSparseError):
        made.add(rows)


def test_more_keys_than_fit() -> None:
    frame = log_of(spread(3000), memory_size=range(3000))
    made, rows, _ = counter_of(frame, Plan(key=("memory_size",)), most_bytes=2**22)
    made.add(rows.head(100))
    with pytest.raises(TooSparseError):
        made.add(rows)


BROKEN = {
    "NaN": {LATENCY: np.nan},
    "infinite": {LATENCY: np.inf},
    "negative": {LATENCY: -0.5},
    "almost the sentinel": {LATENCY: np.nextafter(-1.0, 0)},
    "too long": {LATENCY: 2.0**40},
    "start of NaN": {"start_time": np.nan},
    "end too late": {"end_time": 2.0**34},
    "end too early": {"end_time": -np.inf},
    "error flag of 2": {"throttle_exception": 2},
    "error flag of -1": {"other_model_error": -1},
    "error flag of -128": {"insufficient_memory_error": -128},
    "negative size": {"response_size": -1},
    "negative key": {"memory_size": -1},
}


@pytest.mark.parametrize("name", BROKEN)
def test_rows_that_break_a_rule(name: str) -> None:
    frame = keyed(log_of(spread(200), response_size=range(200)))
    ((column, value),) = BROKEN[name].items()
    bad = pl.when(pl.int_range(pl.len()) == 123).then(pl.lit(value)).otherwise(column)
    frame = frame.with_columns(bad.cast(frame.schema[column]).alias(column))
    plan = Plan(key=("memory_size",), response_sizes=True)
    for count in (by_tables, by_groups):
        with pytest.raises(UnusableRowsError):
            count(frame, plan)


def test_a_log_without_rows() -> None:
    frame = log_of(spread(10)).clear()
    for key in ((), ("throttle_exception",)):
        assert by_tables(frame, Plan(key=key)).buckets.is_empty()


@examples(15)
@given(odd_logs(), st.integers(1, 5))
def test_held_latencies_as_by_a_join(frame: pl.DataFrame, step: int) -> None:
    plan = plan_for(frame)
    made, rows, coder = counter_of(frame, plan)
    code = made.add(rows)
    profile = made.profile()
    chosen = numbered_buckets(profile.buckets.filter(pl.col("bucket") > -(2**19))).gather_every(step)
    expected = held_keys(made.with_code(rows, code).lazy(), chosen).collect()
    assert_same_rows(held_keys_by_table(rows.lazy(), chosen, coder=coder).collect(), expected)
    coded = held_keys_by_table(made.with_code(rows, code).lazy(), chosen, coder=None)
    assert_same_rows(coded.collect(), expected)
