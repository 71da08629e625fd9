"""The engine against the direct formulation and against NumPy."""

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.engine import measure
from loadlens.logs import open_log
from loadlens.profile import Plan
from loadlens.profile.plan import Outliers
from loadlens.schema import LATENCY
from tests import direct, oracle
from tests import sample_logs as logs
from tests.extent import combinations, examples, some_of
from tests.profile.cases import (
    LOGS,
    SMALLEST,
    assert_agree,
    both,
    close,
    keyed,
    largest,
    log_of,
    near_equal,
    plan_of,
    spread,
)

OUTLIERS: tuple[Outliers, ...] = ("mean-iqr", "tukey", "none")
FENCED = [name for name in LOGS if name != "denormals and zeros"]
"""Sums are whole numbers of 2^-55 ms: a fence among latencies far below that has no digits."""


def assert_agrees_with_numpy(
    frame: pl.DataFrame, by: list[str], outliers: Outliers = "mean-iqr", **execution: Any
) -> None:
    """Asserts the summary that NumPy and pandas make of the log, to 1e-12."""
    summary = loadlens.summarize(frame, by, outliers=outliers, **execution).summary
    expected = oracle.summary(frame, by, outliers)
    assert summary.columns == list(expected[0])
    assert summary.height == len(expected)
    scale = largest(summary.rename({f"{LATENCY}_p999": "success_max"}))
    for got, row in zip(summary.to_dicts(), expected, strict=True):
        for name, value in row.items():
            assert _same(got[name], value, scale if name == "outlier_fence" else 0.0), (
                f"{name}: got {got[name]!r}, expected {value!r}"
            )
    order = [f"{LATENCY}_min", f"{LATENCY}_max"]
    assert summary.select(order).rows() == [tuple(row[name] for name in order) for row in expected]


def _same(got: object, expected: object, scale: float) -> bool:
    numbers = isinstance(got, float) and isinstance(expected, float)
    return close(got, expected, scale) if numbers else got == expected


@pytest.mark.parametrize(("name", "outliers"), combinations(FENCED, OUTLIERS, one_in=6))
def test_hard_logs_as_the_direct_formulation(name: str, outliers: Outliers) -> None:
    frame = LOGS[name]()
    got, expected, plan = both(frame, outliers=outliers)
    assert_agree(got.table, expected.table, plan)


def test_200_000_values_that_differ_in_their_last_bits() -> None:
    got, expected, plan = both(log_of(near_equal(200_000)))
    assert_agree(got.table, expected.table, plan)


def test_the_smallest_numbers_as_the_direct_formulation() -> None:
    got, expected, plan = both(LOGS["denormals and zeros"](), outliers="none")
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize("name", some_of(FENCED, 3, first=2))
def test_hard_logs_by_key_as_the_direct_formulation(name: str) -> None:
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"])
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize(("name", "outliers"), combinations(FENCED, OUTLIERS))
def test_hard_logs_as_numpy(name: str, outliers: Outliers) -> None:
    assert_agrees_with_numpy(LOGS[name](), [], outliers)


@pytest.mark.parametrize("name", some_of(FENCED, 3, first=0))
def test_fence_over_the_successes_alone(name: str) -> None:
    got, expected, plan = both(LOGS[name](), fence_over_failures=False)
    assert_agree(got.table, expected.table, plan)


@examples(3)
@given(logs.logs(), st.sampled_from(OUTLIERS))
def test_random_logs_as_both_oracles(frame: pl.DataFrame, outliers: Outliers) -> None:
    key = list(oracle.CONCURRENCY_KEY)
    got, expected, plan = both(frame, key, outliers=outliers, response_sizes=True)
    assert_agree(got.table, expected.table, plan)
    assert_agrees_with_numpy(frame, key, outliers)


@given(logs.logs())
def test_random_stability_logs(frame: pl.DataFrame) -> None:
    plan = Plan(
        key=("memory_size",),
        success=(pl.col(LATENCY) > 0) & (pl.col("response_size") > 0),
        fence_over_failures=False,
        response_sizes=True,
    )
    log = open_log(frame)
    assert_agree(measure(log, plan).table, direct.measure(log, plan).table, plan)


FEW_LATENCIES = st.sampled_from([-1.0, 0.0, -0.0, 1.0, np.nextafter(1.0, 2.0), 1.5, 300.0, 1e9])
ANY_LATENCY = st.floats(2.0**-20, 2.0**40, exclude_max=True) | FEW_LATENCIES | st.none()
ROWS = st.lists(
    st.tuples(ANY_LATENCY, st.booleans(), st.sampled_from([None, -3, 0, 2**53 + 1])), min_size=1, max_size=60
)


@given(ROWS, st.sampled_from(OUTLIERS), st.booleans())
def test_any_latencies(
    rows: list[tuple[float | None, bool, int | None]], outliers: Outliers, declared: bool
) -> None:
    latencies, success, keys = zip(*rows, strict=True)
    columns = {"k": pl.Series("k", keys, dtype=pl.Int64)}
    frame = log_of(latencies, success=success if declared else None, **columns)
    got, expected, plan = both(frame, ["k"], outliers=outliers)
    assert_agree(got.table, expected.table, plan)


KEYS = {
    "small integers": pl.Series([-7, 0, 3, None]),
    "wide integers": pl.Series([-(2**62), 0, 2**53, 2**53 + 1, None]),
    "all of Int64": pl.Series([-(2**63), 2**63 - 1]),
    "bytes": pl.Series([0, 255, None], dtype=pl.UInt8),
    "narrow range of large UInt64": pl.Series([2**63, 2**63 + 1, 2**64 - 1], dtype=pl.UInt64).head(2),
    "wide range of UInt64": pl.Series([0, 2**53 + 1, 2**64 - 1, None], dtype=pl.UInt64),
    "text": pl.Series(["b", "a", "", "ä", None]),
    "numbers as text": pl.Series(["10", "9", None]),
    "booleans": pl.Series([True, False, None]),
    "floats": pl.Series([-0.5, 0.1, 0.1 + 2**-55, 1e300, None]),
    "dates": pl.Series([dt.date(2024, 2, 29), dt.date(1969, 1, 1), None]),
    "datetimes in ms": pl.Series([0, 1, None], dtype=pl.Datetime("ms")),
    "datetimes in us": pl.Series([0, 1, None], dtype=pl.Datetime("us")),
    "datetimes in ns": pl.Series([1, 1500, 1501, None], dtype=pl.Datetime("ns")),
    "datetimes of a time zone": pl.Series(
        [1698537600000, 1698541200000, 1698544800000, None], dtype=pl.Datetime("ms", "Europe/Zurich")
    ),
    "durations in ns": pl.Series([1, 1500, 1501, None], dtype=pl.Duration("ns")),
    "times": pl.Series([0, 1500, 1501, None], dtype=pl.Int64).cast(pl.Time),
    "categoricals": pl.Series(["b", "a", None], dtype=pl.Categorical),
    "enums": pl.Series(["z", "a", None], dtype=pl.Enum(["z", "a", "unused"])),
    "decimals": pl.Series(["1.10", "-2.20", None]).cast(pl.Decimal(10, 2)),
    "nothing but null": pl.Series([None, None], dtype=pl.String),
    "no type": pl.Series([None, None]),
}


def log_by(keys: pl.Series, name: str = "k", rows: int = 400) -> pl.DataFrame:
    chosen = np.random.default_rng(7).integers(0, len(keys), rows)
    return log_of(spread(rows)).with_columns(keys.gather(chosen).alias(name))


@pytest.mark.parametrize("name", some_of(KEYS, 2))
def test_keys_of_every_type(name: str) -> None:
    got, expected, plan = both(log_by(KEYS[name]), ["k"])
    assert_agree(got.table, expected.table, plan)
    assert got.table.schema["key:k"] == KEYS[name].dtype


def test_several_keys_at_once() -> None:
    frame = log_of(spread(2000))
    names = ["small integers", "text", "booleans", "floats", "dates", "enums"]
    rng = np.random.default_rng(8)
    columns = [KEYS[name].gather(rng.integers(0, len(KEYS[name]), 2000)).alias(name) for name in names]
    got, expected, plan = both(frame.with_columns(columns), names)
    assert_agree(got.table, expected.table, plan)


def test_a_key_that_is_also_a_measure() -> None:
    frame = log_of(spread(200), success=[index % 3 > 0 for index in range(200)])
    got, expected, plan = both(frame, ["success", "throttle_exception"])
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize("name", ["code", "cell", "count", "bucket", "second", "unusable", "parent", "kept"])
def test_a_key_named_like_an_inner_column(name: str) -> None:
    got, expected, plan = both(log_by(KEYS["text"], name), [name])
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize("absent", [["start_time"], ["end_time"], ["start_time", "end_time"]])
def test_logs_without_times(absent: list[str]) -> None:
    got, expected, plan = both(log_of(spread(300)).drop(absent))
    assert_agree(got.table, expected.table, plan)


def test_calls_without_times() -> None:
    missing = pl.int_range(pl.len()) % 7 == 0
    frame = log_of(spread(300)).with_columns(
        pl.when(~missing).then("end_time").alias("end_time"),
        pl.when(~missing.shift(1, fill_value=False)).then("start_time").alias("start_time"),
    )
    got, expected, plan = both(frame)
    assert_agree(got.table, expected.table, plan)


def test_times_before_zero() -> None:
    frame = log_of(spread(300)).with_columns(pl.col("start_time", "end_time") - 1800)
    got, expected, plan = both(frame)
    assert_agree(got.table, expected.table, plan)
    assert_agrees_with_numpy(frame, [])


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=1))
def test_the_histogram_holds_the_kept_rows(name: str) -> None:
    got, _, _ = both(keyed(LOGS[name]()), ["memory_size"])
    bins = got.histogram.group_by("key:memory_size").agg(
        pl.col("count").sum(),
        ((pl.col("count") * pl.col("latency_ms")).sum() / pl.col("count").sum()).alias("mean"),
        pl.col("latency_ms").min().alias("low"),
        pl.col("latency_ms").max().alias("high"),
    )
    for row in got.table.join(bins, on="key:memory_size", how="left").to_dicts():
        assert row["num_kept"] == (row["count"] or 0)
        if row["num_kept"]:
            assert math.isclose(row["mean"], row["kept_mean"], rel_tol=1e-9, abs_tol=SMALLEST)
            assert row["low"] >= row["kept_min"] * (1 - 1e-12) - 1e-9 * (row["kept_min"] < 0)
            assert row["high"] <= row["kept_max"] * (1 + 1e-12) + 1e-9 * (row["kept_max"] < 0)


def test_percentiles_on_request() -> None:
    frame = log_of(spread(200_001))
    wanted = [0.5, 0.999, 0.99999]
    summary = loadlens.summarize(frame, by=[], percentiles=wanted).summary
    latencies = np.sort(frame[LATENCY].to_numpy())
    assert [name for name in summary.columns if name.startswith(f"{LATENCY}_p")] == [
        f"{LATENCY}_{name}" for name in ("p50", "p999", "p99999")
    ]
    # 200,000 times each of them is a whole number, so each is one of the logged values.
    assert summary[f"{LATENCY}_p50"].item() == latencies[100_000]
    assert summary[f"{LATENCY}_p999"].item() == pytest.approx(latencies[199_800], rel=1e-12)
    assert summary[f"{LATENCY}_p99999"].item() == pytest.approx(latencies[199_998], rel=1e-12)


def test_no_percentiles() -> None:
    got, expected, plan = both(log_of(spread(100)), percentiles=())
    assert_agree(got.table, expected.table, plan)


def test_percentiles_whose_digits_agree_stay_apart() -> None:
    summary = loadlens.summarize(log_of(spread(1000)), by=[], percentiles=[0.055, 0.55]).summary
    latencies = spread(1000)
    found = [summary[name].item() for name in summary.columns if name.startswith(f"{LATENCY}_p")]
    assert found == pytest.approx(np.quantile(latencies, [0.055, 0.55]), rel=1e-12)


def test_an_empty_frame_has_no_rows() -> None:
    frame = log_of([1.0]).clear()
    with pytest.raises(loadlens.InputError, match="has no rows"):
        measure(open_log(frame), plan_of(frame))
    with pytest.raises(loadlens.InputError, match="has no rows"):
        measure(open_log(keyed(frame)), plan_of(frame, ["memory_size"]))
