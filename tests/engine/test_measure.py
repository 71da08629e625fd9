"""The engine's figures against the direct formulation, however the rows come and whatever memory there is."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.engine.counting import Counted, Wanted, counted
from loadlens.engine.measuring import scanning
from loadlens.engine.readout import profile_of, together
from loadlens.engine.scan import Scan
from loadlens.engine.tables import refined
from loadlens.engine.tally import Layers, Tallies
from loadlens.errors import InputError
from loadlens.logs import open_log
from loadlens.profile import MeasureOptions, Plan, Profile, Statistics, WindowPlan
from loadlens.profile.clock import UnitCounts
from loadlens.profile.plan import Rows, below_name
from loadlens.profile.progress import Limits
from loadlens.schema import LATENCY
from tests import direct
from tests.extent import combinations, examples, some_of
from tests.profile.cases import LOGS, TOLERANCE, keyed, log_of, near_equal, plan_of, spread
from tests.profile.cases import assert_agree as assert_agree_but_for_throughput

KEY = ("memory_size",)
LIMITS = Limits.of(2**30)
UNIT_MS = 2.0**-55  # of sums: latencies far below it add up to nothing


@contextmanager
def counts_of(
    source: Any, plan: Plan, limits: Limits = LIMITS, spill: Path | None = None
) -> Iterator[tuple[Iterator[Counted], Scan]]:
    log = open_log(source)
    with scanning(log, [plan]) as whole:
        scan = replace(whole, limits=limits, options=replace(whole.options, spill_folder=spill))
        with counted(log, scan) as counts:
            yield counts, scan


@contextmanager
def counted_of(source: Any, plan: Plan, limits: Limits = LIMITS) -> Iterator[tuple[Counted, Scan]]:
    with counts_of(source, plan, limits) as (counts, scan):
        yield next(counts), scan


def measured_of(source: Any, plan: Plan, **options: Any) -> Statistics:
    with counts_of(source, plan, **options) as (counts, scan):
        return together(refined(part, [plan], scan.limits) for part in counts)[0]


def assert_agree(got: pl.DataFrame, frame: pl.DataFrame, plan: Plan) -> None:
    expected = direct.measure(open_log(frame), plan).table
    throughput = expected_throughput(frame, got, plan.key)
    for one, other in zip(got["throughput"], throughput, strict=True):
        assert (one is None) == (other is None)
        assert one is None or math.isclose(one, other, rel_tol=TOLERANCE)
    same = got.with_columns(expected["throughput"])
    assert_agree_but_for_throughput(same, expected, plan)


def expected_throughput(frame: pl.DataFrame, got: pl.DataFrame, key: Sequence[str]) -> list[float | None]:
    """Kept completions over the span of all calls, which ends one tick of the clock after the last."""
    names = [f"key:{name}" for name in key]
    spans = (
        frame.group_by(key, maintain_order=True) if key else frame.group_by(pl.lit(0), maintain_order=True)
    )
    found = spans.agg(pl.col("start_time").min(), pl.col("end_time").max())
    table = (
        got.join(found, left_on=names, right_on=list(key), how="left")
        if key
        else pl.concat([got, found.drop("literal")], how="horizontal")
    )
    times = np.concatenate([frame["start_time"].drop_nulls(), frame["end_time"].drop_nulls()])
    tick = next((tick for parts, tick in TICKS if (np.round(times * parts) / parts == times).all()), 0.0)
    kept = table["num_kept"] + table["num_successes"] - table["num_timed_successes"]
    return [
        calls / (last - first + tick) if calls and last - first + tick > 0 else None
        for calls, first, last in zip(kept, table["start_time"], table["end_time"], strict=True)
    ]


TICKS = ((1, 1.0), (10, 0.1), (100, 0.01), (1000, 0.001))


@pytest.mark.parametrize(
    ("name", "outliers", "over_failures"),
    combinations(
        [name for name in LOGS if name != "denormals and zeros"],
        ["mean-iqr", "tukey", "none"],
        [True, False],
        one_in=4,
    ),
)
def test_figures_are_those_of_the_direct_formulation(name: str, outliers: Any, over_failures: bool) -> None:
    for key in ((), KEY):
        frame = keyed(LOGS[name]()) if key else LOGS[name]()
        plan = plan_of(frame, key, outliers=outliers, fence_over_failures=over_failures)
        assert_agree(measured_of(frame, plan).table, frame, plan)


def test_order_statistics_of_the_smallest_numbers_are_exact() -> None:
    frame = LOGS["denormals and zeros"]()
    plan = plan_of(frame, outliers="none")
    got, expected = measured_of(frame, plan).table, direct.measure(open_log(frame), plan).table
    for name in ("success_min", "success_median", "success_max", f"{LATENCY}_p99"):
        assert got[name].to_list() == expected[name].to_list()
    assert 0 <= got["success_mean"].item() < UNIT_MS


def test_limits() -> None:
    frame = keyed(log_of([*spread(3000), 100.0, 100.0, -1.0]))
    limits = (0.0, 5e-324, 20.0, 100.0, float(np.nextafter(100.0, 101.0)), 1e9)
    got = measured_of(frame, plan_of(frame, KEY, limits_ms=limits)).table
    for limit in limits:
        below = frame.filter(pl.col(LATENCY) > 0).group_by(KEY).agg((pl.col(LATENCY) < limit).sum()).sort(KEY)
        assert got[below_name(limit)].to_list() == below[LATENCY].to_list()


def test_kept_percentiles() -> None:
    frame = keyed(LOGS["several keys"]())
    plan = plan_of(frame, KEY, outliers="tukey", kept_percentiles=(0.5, 0.99))
    got = measured_of(frame, plan).table
    for row in got.iter_rows(named=True):
        own = frame.filter(pl.col("memory_size") == row["key:memory_size"], pl.col(LATENCY) > 0)
        kept = own.filter(pl.col(LATENCY) <= row["outlier_fence"])[LATENCY].to_numpy()
        assert row["kept_p99"] == np.quantile(kept, 0.99)
        assert row["kept_p50"] == row["kept_median"]


# ---- nothing hangs on order, division or threads ----


def profiles_equal(one: Profile, other: Profile) -> bool:
    frames = ("keys", "figures", "buckets", "classes")
    same = all(getattr(one, name).equals(getattr(other, name)) for name in frames)
    by = ("code", "second")
    return (
        same
        and one.seconds.sort(by).equals(other.seconds.sort(by))
        and one.resolution_s == other.resolution_s
    )


def divided(frame: pl.DataFrame, folder: Path, cuts: Sequence[int]) -> list[Path]:
    paths = []
    ends = [*sorted(cuts), frame.height]
    for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if end > begin:
            paths.append(folder / f"{number}.parquet")
            frame[begin:end].write_parquet(paths[-1], row_group_size=700)
    return paths


@examples(12)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 6000), max_size=5), data=st.data())
def test_figures_are_the_same_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: list[int], data: st.DataObject
) -> None:
    latencies = np.random.default_rng(seed).lognormal(3, 1, 6000)
    frame = keyed(log_of(np.where(latencies > 100, -1, latencies)))
    plan = plan_of(frame, KEY, outliers=data.draw(st.sampled_from(["mean-iqr", "tukey", "none"])))
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    expected = measured_of(frame, plan)
    got = measured_of(divided(shuffled, tmp_path_factory.mktemp("parts"), cuts), plan)
    assert got.table.equals(expected.table)
    assert profiles_equal(got.profile, expected.profile)


# ---- bounded memory ----


def small(most: int) -> Limits:
    """Limits under which so many latencies may be held."""

    class Small(Limits):
        @property
        def candidates(self) -> int:
            return most

    return Small(memory=2**30)


@pytest.mark.parametrize(
    "name", ["near equal", "clusters", "12 decades", "all equal", "several keys", "sorted"]
)
@pytest.mark.parametrize("most", some_of([10, 1000], 2))
def test_cells_too_full_to_hold_are_split(name: str, most: int) -> None:
    frame = keyed(LOGS[name]())
    for outliers in ("none", "mean-iqr"):
        plan = plan_of(frame, KEY, outliers=outliers, limits_ms=(100.0, 3.0))
        whole = measured_of(frame, plan)
        assert measured_of(frame, plan, limits=small(most)).table.equals(whole.table)


def test_equal_latencies_are_counted_where_they_lie() -> None:
    frame, looks = log_of(np.full(100_000, 100.0)), []
    plan = plan_of(frame, outliers="none")
    with counted_of(frame, plan, small(10)) as (found, scan):

        def look(selections: Wanted) -> None:
            looks.append(selections)
            found.look(selections)

        refined(replace(found, look=look), [plan], scan.limits)
    assert len(looks) <= 1


class WithoutText(Limits):
    """Text is never held in memory."""

    @property
    def held_bytes(self) -> int:
        return 0


class Tight(WithoutText):
    """So little memory that keys are counted in parts."""

    @property
    def tally_bytes(self) -> int:
        return 2**20


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_keys_that_outgrow_the_memory_are_counted_in_parts(tmp_path: Path, suffix: str) -> None:
    frame = keyed(log_of(spread(20_000)), keys=5000)
    path = tmp_path / f"log.{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)
    plan = plan_of(frame, KEY)
    whole, stages = measured_of(path, plan), []
    log = open_log(path)
    with scanning(
        log, [plan], MeasureOptions(on_progress=lambda moment: stages.append(moment.stage))
    ) as wide:
        scan = replace(wide, limits=Tight(memory=2**30))
        with counted(log, scan) as counts:
            (got,) = together(refined(part, [plan], scan.limits) for part in counts)
    assert any(re.search(r"part 9 of \d+ of the keys", stage) for stage in stages), "so many are put together"
    assert got.table.equals(whole.table)
    same = ("keys", "figures", "classes")
    assert all(getattr(got.profile, name).equals(getattr(whole.profile, name)) for name in same)
    of_seconds = ["code", "completions"]
    assert got.profile.rates.sort(of_seconds).equals(whole.profile.rates.sort(of_seconds))
    assert got.profile.windows.sort("second").equals(whole.profile.windows.sort("second"))
    busiest = whole.table.sort("num_rows", "key:memory_size", descending=[True, False]).head(1000)
    kept = got.profile.buckets.join(got.profile.keys, on="code")["key:memory_size"].unique().sort()
    assert kept.equals(busiest["key:memory_size"].sort())
    some = got.histogram.filter(pl.col("key:memory_size") == busiest["key:memory_size"][0])
    assert some.equals(whole.histogram.filter(pl.col("key:memory_size") == busiest["key:memory_size"][0]))


def test_more_rows_than_a_tally_counts_are_counted_in_several() -> None:
    frame = keyed(log_of(spread(5000)), keys=7)
    plan, log = plan_of(frame, KEY), open_log(frame)
    layers = Layers.of(Rows.of(log, plan), [], timeline=True)
    tallies = Tallies(layers, most_bytes=2**30, most_rows=500)
    for batch in layers.frame.collect().iter_slices(120):
        tallies.add(batch)
    merged = tallies.merged(None)
    assert (len(tallies.all), len(merged)) == (9, 8)
    got = Profile.merge_all([profile_of(tally, layers.run, KEY, UnitCounts()) for tally in merged])
    with counted_of(frame, plan) as (found, _):
        assert profiles_equal(got, found.profiles[None])


# ---- windows of time ----

WINDOW_S = 2.5


def with_windows(plan: Plan, is_open: Callable[[pl.DataFrame], Any]) -> Plan:
    windows = WindowPlan(width_s=WINDOW_S, figures=plan, is_open=lambda lowest, _: is_open(lowest))
    return replace(plan, windows=(windows,))


def everywhere(table: pl.DataFrame) -> Any:
    return np.ones(table.height, dtype=np.bool_)


def nowhere(table: pl.DataFrame) -> Any:
    return np.zeros(table.height, dtype=np.bool_)


def by_window(frame: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The figures of each window where it is a key as any other, without those that need the clock."""
    number = (pl.col("end_time") / WINDOW_S).floor().cast(pl.Int64).alias("number")
    key = (*plan.key, "number")
    return of_latencies(measured_of(frame.with_columns(number), replace(plan, key=key)).table)


def of_latencies(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(pl.exclude("^tps_.*|throughput.*|response_size_.*|.*_exception|.*_error$")).rename(
        {"key:number": f"window:{WINDOW_S}"}, strict=False
    )


@pytest.mark.parametrize(
    ("name", "outliers"),
    combinations(["95 % fail", "all equal", "spread"], ["none", "mean-iqr", "tukey"]),
)
def test_figures_of_windows_are_those_of_the_window_as_a_key(name: str, outliers: Any) -> None:
    logs = {"95 % fail": LOGS["5 % succeed"], "all equal": lambda: log_of([7.25] * 300)}
    frame = keyed(logs.get(name, lambda: log_of(spread(3000)))())
    plan = plan_of(frame, KEY, outliers=outliers, limits_ms=(20.0,))
    got = measured_of(frame, with_windows(plan, everywhere))
    assert got.table.equals(measured_of(frame, plan).table)
    assert of_latencies(got.windows[WINDOW_S]).equals(by_window(frame, plan))


def test_windows_that_need_not_be_exact_are_bounded_from_below() -> None:
    frame = keyed(log_of(spread(3000)))
    plan = plan_of(frame, KEY, outliers="none", limits_ms=(20.0,))
    loose = measured_of(frame, with_windows(plan, nowhere)).windows[WINDOW_S]
    exact = measured_of(frame, with_windows(plan, everywhere)).windows[WINDOW_S]
    for name in (f"{LATENCY}_p99", "success_median", "num_below_20.0"):
        ratio = loose[name] / exact[name]
        assert 1 - 1 / 16 <= ratio.min() <= ratio.max() <= 1, name
    same = ("num_rows", "num_successes", "success_min", "success_max")
    assert loose.select(same).equals(exact.select(same))


@pytest.mark.parametrize(("suffix", "limits"), combinations(["parquet", "csv"], ["in parts", "plenty"]))
def test_windows_are_the_same_however_rows_are_read(tmp_path: Path, suffix: str, limits: str) -> None:
    frame = keyed(log_of(spread(5000)), keys=3 if limits == "plenty" else 1000)
    path = tmp_path / f"log.{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)
    plan = plan_of(frame, KEY, outliers="none")
    memory = WithoutText(memory=2**30) if limits == "plenty" else Tight(memory=2**30)
    got = measured_of(path, with_windows(plan, everywhere), limits=memory)
    assert of_latencies(got.windows[WINDOW_S]).equals(by_window(frame, plan))


# ---- where the rows come from ----


def test_a_lazy_query_runs_once() -> None:
    frame, read = keyed(log_of(spread(3000))), []

    def watched(rows: pl.DataFrame) -> pl.DataFrame:
        read.append(rows.height)
        return rows

    lazy = frame.lazy().map_batches(watched, schema=frame.schema, streamable=True)
    plan = plan_of(frame, KEY)
    assert measured_of(lazy, plan).table.equals(measured_of(frame, plan).table)
    assert sum(read) == frame.height


class Tighter(Tight):
    """So little that not even the profile fits."""

    @property
    def profile_bytes(self) -> int:
        return 2**20


def test_more_keys_than_memory_holds_are_refused_with_their_number() -> None:
    frame = keyed(log_of(spread(60_000)), keys=20_000)
    told = r"memory_size have about \d+,\d{3} different values, whose counts outgrow the memory limit of"
    with (
        pytest.raises(InputError, match=told),
        counts_of(frame, plan_of(frame, KEY), Tighter(memory=2**30)) as (counts, _),
    ):
        list(counts)


@pytest.mark.parametrize("name", ["several keys", "some without latency"])
def test_what_the_second_scan_needs_is_spilled(name: str, tmp_path: Path) -> None:
    frame = keyed(LOGS[name]())
    path = tmp_path / "log.csv"
    frame.write_csv(path)
    for outliers in ("none", "tukey"):
        plan = plan_of(frame, KEY, outliers=outliers)
        with counted_of(path, plan, WithoutText(memory=2**30)) as (found, scan):
            assert found.spilled_bytes > 0
            (spilled,) = refined(found, [plan], scan.limits)
        assert spilled.table.equals(measured_of(path, plan).table)


KEYS: dict[str, pl.Series] = {
    "text": pl.Series(["b", None, "", "a long label of more than twelve bytes", "b"]),
    "integer": pl.Series([2**62, None, -(2**63), 0, 2**62]),
    "unsigned": pl.Series([2**64 - 1, None, 0, 2**63, 2**64 - 1], dtype=pl.UInt64),
    "small": pl.Series([1, None, -128, 127, 1], dtype=pl.Int8),
    "truth": pl.Series([True, None, False, True, True]),
    "float": pl.Series([0.0, None, math.nan, -0.0, 0.1]),
    "float32": pl.Series([0.1, None, math.inf, -0.0, 0.1], dtype=pl.Float32),
    "date": pl.Series(["2026-01-01", None, "1900-01-01", "2026-01-01", "2026-01-02"]).str.to_date(),
    "datetime": pl.Series(["2026-01-01", None, "1900-01-01", "2026-01-01", "2026-01-02"]).str.to_datetime(),
    "duration": pl.Series([1, None, -1, 1, 2]).cast(pl.Duration("ms")),
    "categorical": pl.Series(["x", None, "y", "x", "z"], dtype=pl.Categorical),
    "enum": pl.Series(["x", None, "y", "x", "z"], dtype=pl.Enum(["z", "y", "x"])),
    "binary": pl.Series([b"\x00", None, b"", b"\xff" * 20, b"\x00"]),
    "decimal": pl.Series(["1.10", None, "-0.01", "1.10", "99.99"]).str.to_decimal(scale=2),
    "wide": pl.Series([2**100, None, -(2**100), 2**100, 0], dtype=pl.Int128),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_any_type(name: str) -> None:
    frame = log_of(spread(50)).with_columns(KEYS[name].gather(np.arange(50) % 5).alias("k"))
    got = measured_of(frame, plan_of(frame, ("k",))).table
    expected = frame.group_by("k").len().sort("k", nulls_last=True)
    assert got.schema["key:k"] == frame.schema["k"]
    assert got["key:k"].equals(expected["k"].alias("key:k"), null_equal=True)
    assert got["num_rows"].to_list() == expected["len"].to_list()


@pytest.mark.parametrize("name", ["\0", "a\0b", "code", "key:k", "", "ü" * 300])
def test_keys_of_any_name(name: str) -> None:
    frame = log_of([1.0, 2.0, 3.0]).with_columns(pl.Series(name, ["x\0", None, "x\0"]))
    got = measured_of(frame, plan_of(frame, (name,))).table
    assert got[f"key:{name}"].to_list() == ["x\0", None]
    assert got["num_rows"].to_list() == [2, 1]


def test_near_equal_latencies_keep_their_last_bits() -> None:
    frame = log_of(near_equal(5000))
    got = measured_of(frame, plan_of(frame, outliers="none"), limits=small(100)).table
    assert got["success_median"].item() == np.quantile(frame[LATENCY].to_numpy(), 0.5)
