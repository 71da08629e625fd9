"""Measures: further durations of calls, counted, merged and saved as latencies are."""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError, UsageError
from loadlens.profile import Profile
from loadlens.profile.measures import Measure, checked_measures
from loadlens.profile.profile import FRACTION_BITS
from tests import sample_logs as logs
from tests.extent import examples, some_of
from tests.profile.cases import bytes_of, kept, keyed, log_of, shuffled, spread
from tests.profile.damage import changed_row, column_with, facts_with, rewritten, without_part

FIRST_BYTE = Measure(name="first_byte_ms", column="ttfb", unit="s")
CONNECT = Measure(name="connect", column="connect")
BOTH = (FIRST_BYTE, CONNECT)


def with_measures(frame: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    """A log with the time to the first byte in s, of one call in nine none, and to connect in whole ms."""
    rng = np.random.default_rng(seed)
    rows = frame.height
    first = pl.Series(rng.lognormal(2, 1, rows) / 1000)
    connect = pl.Series(rng.integers(0, 9, rows))
    failed = pl.col("invocation_latency") <= 0
    return frame.with_columns(
        ttfb=pl.when(pl.int_range(rows) % 9 > 0).then(pl.when(failed).then(-1.0).otherwise(first)),
        connect=connect,
    )


def expected(frame: pl.DataFrame, value: pl.Expr, by: Sequence[str]) -> dict[tuple[object, ...], Any]:
    """The successes' values of a measure in ms by key, sorted."""
    good = frame.filter(pl.col("invocation_latency") > 0).with_columns(value.alias("value"))
    return {
        key if by else (): np.sort(rows["value"].drop_nulls().to_numpy())
        for key, rows in good.group_by(by or pl.lit(0))
        if rows["value"].count()
    }


def assert_measured(profile: Profile, frame: pl.DataFrame, by: Sequence[str] = ("memory_size",)) -> None:
    values_ms = {"first_byte_ms": pl.col("ttfb") * 1000, "connect": pl.col("connect").cast(pl.Float64)}
    for name, value in values_ms.items():
        true = expected(frame, value, by)
        figures = profile.measures[name].figures.filter("success").join(profile.keys, on="code")
        assert figures["calls"].sum() == frame.filter(pl.col("invocation_latency") > 0).height
        for row in figures.iter_rows(named=True):
            values = true.get(tuple(row[f"key:{column}"] for column in by), np.empty(0))
            assert row["timed"] == len(values)
            if len(values):
                assert (row["latency_min"], row["latency_max"]) == (values[0], values[-1])
                assert np.isclose(row["latency_sum"] / 2**FRACTION_BITS, values.sum(), rtol=1e-12)
        for q in (0.0, 0.5, 0.99):
            found = profile.quantile(q, measure=name)
            assert {row[:-3] for row in found.iter_rows()} == set(true)
            for *key, told, low, high in found.iter_rows():
                exact = np.quantile(true[tuple(key)], q)
                assert low <= exact <= high
                assert abs(told - exact) <= exact / 512


def test_measures_have_the_quantiles_of_their_column() -> None:
    frame = with_measures(shuffled(keyed(log_of([*spread(3000), *[-1.0] * 200]))))
    assert_measured(kept(frame, measures=BOTH), frame)
    assert_measured(kept(frame, [], measures=BOTH), frame, [])


@examples(3)
@given(logs.logs(), st.lists(st.integers(0, 100), max_size=3), st.data())
def test_any_parts_in_any_order_give_the_same_bytes(
    tmp_path: Path, frame: pl.DataFrame, cuts: list[int], data: st.DataObject
) -> None:
    frame = with_measures(frame)
    order = data.draw(st.permutations(range(frame.height)))
    edges = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    profiles = [
        kept(frame[order[low:high]], measures=BOTH) for low, high in itertools.pairwise(edges) if low < high
    ]
    while len(profiles) > 1:  # any tree
        place = data.draw(st.integers(0, len(profiles) - 2))
        profiles[place : place + 2] = [profiles[place].merge(profiles[place + 1])]
    whole = bytes_of(kept(frame, measures=BOTH), tmp_path / "whole")
    assert bytes_of(profiles[0], tmp_path / "parts") == whole


@pytest.mark.slow
def test_files_workers_and_parts_by_key_measure_the_same(tmp_path: Path) -> None:
    frame = with_measures(keyed(log_of([*spread(5500), *[-1.0] * 500])))
    for number in range(3):
        frame[number::3].write_parquet(tmp_path / f"{number}.parquet", row_group_size=300)
    whole = bytes_of(kept(frame, measures=BOTH), tmp_path / "whole")
    with ThreadPoolExecutor(2) as pool:
        several = kept(tmp_path / "*.parquet", measures=BOTH, executor=pool, partition_rows=900)
    assert bytes_of(several, tmp_path / "several") == whole
    many = with_measures(log_of(spread(120_000))).with_columns(
        region=pl.Series([f"{'x' * 20}{value}" for value in np.arange(120_000) // 2])
    )
    small = kept(many, ["region"], measures=BOTH, memory_limit=256 * 2**20)
    large = kept(many, ["region"], measures=BOTH)
    assert bytes_of(small, tmp_path / "small") == bytes_of(large, tmp_path / "large")


@pytest.mark.parametrize("suffix", some_of(["csv", "parquet"], 2))
def test_saved_measures_are_those_that_were_counted(suffix: str, tmp_path: Path) -> None:
    frames = [with_measures(keyed(log_of([*spread(600, seed=seed), -1.0]))) for seed in (1, 2)]
    paths = []
    for number, frame in enumerate(frames):
        log = tmp_path / f"{number}.{suffix}"
        frame.write_parquet(log) if suffix == "parquet" else frame.write_csv(log)
        paths.append(tmp_path / f"{number}.profile")
        texts = ["first_byte_ms=ttfb:s", "connect"]
        loadlens.profile_log(log, paths[-1], by=["memory_size"], measures=texts)
    assert_measured(loadlens.load_profile(paths[0]), frames[0])
    loadlens.merge_profiles(paths, tmp_path / "all.profile")
    loadlens.merge_profiles(paths, tmp_path / "whole.profile", by=[])
    assert_measured(loadlens.load_profile(tmp_path / "all.profile"), pl.concat(frames))
    assert_measured(loadlens.load_profile(tmp_path / "whole.profile"), pl.concat(frames), [])


def test_measures_that_one_part_lacks_are_left_out() -> None:
    frame = with_measures(keyed(log_of(spread(90))))
    one, other = kept(frame, measures=BOTH), kept(frame, measures=[CONNECT])
    assert set(one.merge(other).measures) == set(other.merge(one).measures) == {"connect"}
    assert set(one.merge(Profile.empty(("memory_size",))).measures) == {"connect", "first_byte_ms"}
    with pytest.raises(UsageError, match="measure: got 'first_byte_ms', expected one of connect"):
        other.quantile(0.5, measure="first_byte_ms")
    with pytest.raises(UsageError, match="expected one of none"):
        kept(frame).quantile(0.5, measure="connect")
    with pytest.raises(UsageError, match="between: got a profile without a timeline"):
        one.quantile(0.5, measure="connect", between=(0, 10))


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s", "min"])
def test_units(unit: str) -> None:
    factor = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4}[unit]
    frame = log_of([1.0, 2.0, 3.0], column=[2.0, 4.0, 8.0])
    profile = kept(frame, [], measures=[Measure(name="m", column="column", unit=unit)])
    assert profile.measures["m"].figures["latency_max"].item() == pytest.approx(8 * factor, rel=1e-15)


BROKEN = {
    "negative": ([1.0, 2.0, -7.0, 3.0], r"row 3, column column: got -7.0"),
    "minus one of a success": ([1.0, -1.0, 3.0, 3.0], r"row 2, column column: got -1.0"),
    "nan": ([1.0, float("nan"), 3.0, 3.0], r"row 2, column column: got nan"),
    "infinite": ([1.0, 2.0, 3.0, float("inf")], r"row 4, column column: got inf"),
    "too long": ([1e300, 2.0, 3.0, 3.0], r"row 1, column column: got 1e\+300"),
    "text": (["1", "2", "3", "soon"], r"row 4, column column: got 'soon'"),
    "dates": ([None, None, None, True], r"holds Boolean, expected numbers of s"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_duration_is_refused(name: str, tmp_path: Path) -> None:
    values, told = BROKEN[name]
    frame = log_of([1.0, 2.0, 3.0, 4.0]).with_columns(pl.Series("column", values))
    frame.write_parquet(tmp_path / "log.parquet")
    for log in (frame, tmp_path / "log.parquet"):
        with pytest.raises(InputError, match=told):
            loadlens.profile_log(log, tmp_path / "run.profile", by=[], measures=["m=column:s"])
    assert not (tmp_path / "run.profile").exists()
    with (
        ThreadPoolExecutor(2) as pool,
        pytest.raises(InputError, match=told.partition(",")[2] or told),
    ):
        loadlens.profile_log(
            tmp_path / "log.parquet", tmp_path / "a.profile", by=[], measures=["m=column:s"], executor=pool
        )


def test_numbers_in_text_and_failures_without_one() -> None:
    frame = log_of([1.0, -1.0, 3.0], column=["10", "-1", None])
    figures = kept(frame, [], measures=[Measure(name="m", column="column")]).measures["m"].figures
    assert figures.select("success", "calls", "timed").rows() == [(False, 1, 0), (True, 2, 1)]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["a=b:days"], "'a=b:days', expected NAME=COLUMN:UNIT"),
        (["a="], "expected NAME=COLUMN:UNIT"),
        (["=b:s"], "expected NAME=COLUMN:UNIT"),
        (["a=b:s", "a=c:s"], "a named twice"),
        (["invocation_latency"], "invocation_latency named twice"),
    ],
)
def test_what_is_no_measure_is_refused_before_a_row_is_read(
    texts: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        loadlens.profile_log(tmp_path / "missing.csv", tmp_path / "run.profile", measures=texts)


def test_a_measure_of_its_column_alone_is_in_ms() -> None:
    assert checked_measures("connect") == (CONNECT,)
    assert checked_measures(["a:b=c:d:us"]) == (Measure(name="a:b", column="c:d", unit="us"),)


DAMAGES: dict[str, tuple[Callable[[dict[bytes, bytes], Any], Any], str]] = {
    "another sum": (
        changed_row("measures", "latency_sum_low", 2**60),
        "(latencies|measures) do not add",
    ),
    "more calls": (changed_row("measures", "calls", 1), "its measures do not add up"),
    "a code of no key": (changed_row("measure_buckets", "code", 77), "counts without a key"),
    "another count": (changed_row("measure_buckets", "count", 1), "its measures do not add up"),
    "more than a bucket is wide": (
        changed_row("measure_buckets", "excess", 2.0**50),
        "sums that its buckets",
    ),
    "another name": (
        column_with("measure", lambda name: name.replace("connect", "other")),
        "measures do not add",
    ),
    "a name of its facts": (facts_with(b'["connect"', b'["other"'), "its measures do not add up"),
    "no name of its facts": (
        facts_with(b'["connect", "first_byte_ms"]', b"[]"),
        "its measures do not add up",
    ),
    "names of none": (facts_with(b'"measures": [', b'"measures": [7, '), "it lacks measures"),
    "rows that are gone": (without_part("measures"), "its measures do not add up"),
}


@pytest.mark.parametrize("name", some_of(DAMAGES, 4))
def test_profiles_with_damaged_measures_are_refused(name: str, tmp_path: Path) -> None:
    frame = with_measures(keyed(log_of(spread(50))))
    path = tmp_path / "run.profile"
    loadlens.profile_log(frame, path, by=["memory_size"], measures=BOTH)
    damage, told = DAMAGES[name]
    rewritten(path, damage)
    with pytest.raises(InputError, match=told):
        loadlens.load_profile(path)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_command_takes_measures(tmp_path: Path) -> None:
    frame = with_measures(keyed(log_of(spread(500))))
    frame.write_parquet(tmp_path / "log.parquet")
    made = ("profile", tmp_path / "log.parquet", "--by", "memory_size", "--out", tmp_path / "run.profile")
    result = run(*made, "--measure", "first_byte_ms=ttfb:s", "--measure", "connect")
    assert result.exit_code == 0, result.stderr
    assert_measured(loadlens.load_profile(tmp_path / "run.profile"), frame)
    missing = run(*made, "--overwrite", "--measure", "m=nowhere:s")
    assert missing.exit_code == 3
    assert "nowhere" in missing.stderr
