"""The timeline of a profile: calls by key and window of time, in windows that follow from the calls alone."""

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.errors import UsageError
from loadlens.profile import Profile
from loadlens.schema import LATENCY
from tests import sample_logs as logs
from tests.extent import examples, some_of
from tests.profile.cases import bytes_of, kept, keyed, log_of, shuffled, spread

KEYS = ((), ("memory_size",), ("max_concurrency", "num_clients", "memory_size"))
WIDTHS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600)


def counted(frame: pl.DataFrame, width: float, by: Sequence[str]) -> pl.DataFrame:
    """What the timeline of a log has to be, by Polars: a row for each key, window and outcome."""
    success = pl.col(LATENCY) > 0
    return (
        frame.with_columns(
            window=pl.col("end_time").map_elements(lambda end: math.floor(end / width), pl.Int64),
            success=success.fill_null(value=False),
        )
        .group_by(*by, "window", "success")
        .agg(
            calls=pl.len().cast(pl.Int64),
            timed=pl.col(LATENCY).count().cast(pl.Int64),
            latency_min=pl.col(LATENCY).min(),
            latency_max=pl.col(LATENCY).max(),
            throttle_exception=pl.col("throttle_exception").sum().cast(pl.Int64),
        )
        .sort(*by, "window", "success")
    )


def told(profile: Profile, by: Sequence[str]) -> pl.DataFrame:
    """The timeline of a profile in the columns of ``counted``."""
    timeline = profile.timeline
    assert timeline is not None
    named = {f"key:{name}": name for name in by} | {f"window:{timeline.window_s!r}": "window"}
    joined = timeline.figures.join(timeline.keys, on="code").rename(named)
    names = (*by, "window", "success", "calls", "timed", "latency_min", "latency_max", "throttle_exception")
    return joined.select(names).sort(*by, "window", "success")


@pytest.mark.parametrize(
    ("seconds", "width"), [(5, 1), (250, 1), (300, 5), (2600, 30), (20_000, 300), (9e6, 43200), (1e8, 691200)]
)
def test_a_timeline_has_the_calls_of_each_window(seconds: float, width: int) -> None:
    frame = keyed(log_of([*spread(1900), *[-1.0] * 100], seconds=seconds)).sample(
        fraction=1, shuffle=True, seed=1
    )
    profile = kept(frame)
    assert profile.timeline is not None
    assert (profile.timeline.window_s, profile.timeline.is_fitted) == (width, True)
    assert told(profile, ["memory_size"]).equals(counted(frame, width, ["memory_size"]))
    assert profile.timeline.buckets["count"].sum() == 2000


@given(
    st.floats(-1e9, 1e9),
    st.sampled_from([0.0, 1.0, 255.0, 256.0, 257.0, 1279.5, 1280.0, 15360.0, 1e5, 3.2e7]) | st.floats(0, 1e9),
)
def test_the_width_is_the_smallest_that_gives_256_windows(first: float, span: float) -> None:
    ends = [first, first + span / 3, first + span]
    profile = kept(log_of([1.0, 2.0, 3.0]).with_columns(end_time=pl.Series(ends), start_time=None), by=())
    assert profile.timeline is not None
    fitting = (
        width
        for width in (*WIDTHS_S, *(86400 * 2**n for n in range(3, 20)))
        if math.floor(ends[2] / width) - math.floor(ends[0] / width) < 256
    )
    assert profile.timeline.window_s == next(fitting)


@examples(4)
@given(logs.logs(), st.lists(st.integers(0, 100), max_size=4), st.sampled_from(KEYS), st.data())
def test_any_parts_in_any_order_give_the_same_bytes(
    tmp_path: Path, frame: pl.DataFrame, cuts: list[int], key: tuple[str, ...], data: st.DataObject
) -> None:
    spread_out = frame.with_columns(
        end_time=pl.col("end_time") + pl.int_range(pl.len()) * data.draw(st.sampled_from([0.0, 7.5, 900.0])),
    )
    order = data.draw(st.permutations(range(frame.height)))
    edges = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    profiles = [
        kept(spread_out[order[low:high]], key) for low, high in itertools.pairwise(edges) if low < high
    ]
    while len(profiles) > 1:  # any tree
        place = data.draw(st.integers(0, len(profiles) - 2))
        profiles[place : place + 2] = [profiles[place].merge(profiles[place + 1])]
    whole = kept(spread_out, key)
    assert bytes_of(profiles[0], tmp_path / "parts") == bytes_of(whole, tmp_path / "whole")


def test_workers_and_files_give_the_same_bytes(tmp_path: Path) -> None:
    frame = keyed(log_of([*spread(5500), *[-1.0] * 500], seconds=4000))
    for number in range(3):
        frame[number::3].write_parquet(tmp_path / f"{number}.parquet", row_group_size=200)
    expected = bytes_of(kept(frame), tmp_path / "whole")
    with ThreadPoolExecutor(2) as pool:
        several = kept(tmp_path / "*.parquet", executor=pool, partition_rows=900)
    assert bytes_of(several, tmp_path / "several") == expected
    assert bytes_of(kept(tmp_path / "*.parquet"), tmp_path / "files") == expected
    assert bytes_of(kept(frame.lazy()), tmp_path / "lazy") == expected


@pytest.mark.slow
def test_keys_that_are_counted_in_parts_have_their_windows() -> None:
    # So many values that they do not fit into the smallest limit at once.
    values = np.arange(120_000) // 2
    frame = log_of(spread(120_000), seconds=3000).with_columns(
        memory_size=pl.Series(values), region=pl.Series([f"{'x' * 200}{value}" for value in values])
    )
    small = kept(frame, ["region"], memory_limit=256 * 2**20)
    assert told(small, ["region"]).equals(told(kept(frame, ["region"]), ["region"]))


@pytest.mark.slow
def test_more_keys_than_windows_may_have_leave_no_timeline(tmp_path: Path) -> None:
    def log(keys: int) -> pl.DataFrame:
        return log_of(np.full(keys, 3.0), seconds=90).with_columns(memory_size=pl.Series(range(keys)))

    assert kept(log(70_000)).timeline is None
    half = kept(log(40_000))
    assert half.timeline is not None
    assert half.timeline.window_s == 1
    others = kept(log(70_000)[40_000:])
    assert half.merge(others).timeline is None
    assert half.merge(others).merge(half).timeline is None
    loadlens.profile_log(log(70_000), tmp_path / "many.profile", by=["memory_size"])
    assert loadlens.load_profile(tmp_path / "many.profile").timeline is None


@pytest.mark.slow
def test_many_keys_make_wider_windows() -> None:
    frame = log_of(spread(40_000), seconds=200).with_columns(memory_size=pl.int_range(40_000) % 1000)
    twice = pl.concat([frame, frame.with_columns(pl.col("memory_size") + 1000)])
    pairs = {width: counted(twice, width, ["memory_size"]).height for width in WIDTHS_S[:3]}
    assert [pairs[width] <= 2**16 for width in WIDTHS_S[:3]] == [False, False, True]
    several = [kept(frame), kept(shuffled(twice)), kept(twice[:30_000]).merge(kept(twice[30_000:]))]
    assert [profile.timeline.window_s for profile in several if profile.timeline] == [1, 10, 10]


@pytest.mark.parametrize(("one", "other", "width"), [(60, 60, 60), (30, 60, 60), (45, 60, 180), (7, 3, 21)])
def test_widths_that_are_asked_for_come_to_one_that_both_divide(one: int, other: int, width: int) -> None:
    early, late = (
        keyed(log_of(spread(900), seconds=3600)),
        keyed(log_of(spread(500, seed=2), seconds=20_000)),
    )
    both = kept(early, window_s=one).merge(kept(late, window_s=other))
    assert both.timeline is not None
    assert (both.timeline.window_s, both.timeline.is_fitted) == (width, False)
    assert told(both, ["memory_size"]).equals(counted(pl.concat([early, late]), width, ["memory_size"]))


def test_a_profile_without_a_timeline_leaves_none() -> None:
    frame = keyed(log_of(spread(40)))
    profile = kept(frame)
    assert profile.merge(replace(profile, timeline=None)).timeline is None
    assert profile.merge(Profile.empty(("memory_size",))).timeline is not None
    assert loadlens.summarize(frame, ["memory_size"]).profile.timeline is None, "nobody asked for one"


def test_a_saved_timeline_is_the_one_that_was_counted(tmp_path: Path) -> None:
    frame = keyed(log_of([*spread(800), *[-1.0] * 30], seconds=700)).with_columns(
        end_time=pl.when(pl.int_range(830) % 50 > 0).then("end_time")
    )
    loadlens.profile_log(frame, tmp_path / "run.profile", by=["memory_size"])
    loaded = loadlens.load_profile(tmp_path / "run.profile")
    assert told(loaded, ["memory_size"]).equals(told(kept(frame), ["memory_size"]))
    assert loaded.timeline is not None
    assert loaded.timeline.keys["window:5.0"].null_count() > 0, "calls without an end have no window"
    loadlens.profile_log(frame, tmp_path / "minute.profile", by=["memory_size"], window_s=60)
    minutes = loadlens.load_profile(tmp_path / "minute.profile")
    assert told(minutes, ["memory_size"]).equals(counted(frame, 60, ["memory_size"]))


def test_merged_files_have_the_timeline_of_all(tmp_path: Path) -> None:
    frames = [
        keyed(log_of(spread(300, seed=seed), seconds=200)).with_columns(
            pl.col("start_time", "end_time") + 900.0 * seed
        )
        for seed in range(4)
    ]
    paths = [tmp_path / f"{number}.profile" for number in range(4)]
    for frame, path in zip(frames, paths, strict=True):
        loadlens.profile_log(frame, path, by=["memory_size"])
    loadlens.merge_profiles(paths, tmp_path / "all.profile")
    loadlens.merge_profiles(paths, tmp_path / "whole.profile", by=[])
    merged = loadlens.load_profile(tmp_path / "all.profile")
    assert told(merged, ["memory_size"]).equals(told(kept(pl.concat(frames)), ["memory_size"]))
    whole = loadlens.load_profile(tmp_path / "whole.profile")
    assert told(whole, []).equals(told(kept(pl.concat(frames), []), []))


def test_quantiles_of_whole_windows_are_those_of_their_calls() -> None:
    frame = keyed(log_of([*spread(5000), *[-1.0] * 200], seconds=2000)).sample(
        fraction=1, shuffle=True, seed=2
    )
    profile = kept(frame)
    assert profile.timeline is not None
    assert profile.timeline.window_s == 10
    for q, (start, end) in itertools.product(
        (0.0, 0.5, 0.99, 1.0), ((1790, 2000), (-100, 1800), (1780, 1790))
    ):
        found = profile.quantile(q, between=(start, end))
        inside = pl.col("end_time").is_between(start, end, closed="left") & (pl.col(LATENCY) > 0)
        calls = frame.filter(inside).partition_by("memory_size", as_dict=True)
        assert {(size,) for size in found["memory_size"]} == set(calls)
        for size, latency, low, high in found.iter_rows():
            true = np.quantile(calls[size,][LATENCY].to_numpy(), q)
            assert low <= true <= high
            assert abs(latency - true) <= true / 32


@pytest.mark.parametrize("between", [(1785, 1800), (1780, 1785), (1800, 1790), (1790, 1790)])
def test_times_that_no_window_begins_at_are_refused(between: tuple[float, float]) -> None:
    profile = kept(log_of(spread(500), seconds=2000), [])
    with pytest.raises(UsageError, match="expected a multiple of 10 s and a later one"):
        profile.quantile(0.5, between=between)
    with pytest.raises(UsageError, match="without a timeline"):
        replace(profile, timeline=None).quantile(0.5, between=(0, 10))


@pytest.mark.parametrize("window_s", [0, -1, 1.5, math.nan, math.inf, 86401, True])
def test_a_width_that_is_none_is_refused_before_a_row_is_read(window_s: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="window_s: got"):
        loadlens.profile_log(tmp_path / "missing.csv", tmp_path / "run.profile", window_s=window_s)


ODD_KEYS: dict[str, list[object]] = {
    "NaN": [1.5, float("nan"), None, -3.0],
    "NaN and a number": [float("nan"), 2.5],
    "zeros": [0.0, -0.0, 7.25],
    "infinite": [float("inf"), -float("inf"), float("nan")],
    "null alone": [None, None],
    "text and null": ["b", None, "a"],
    "booleans": [True, None, False],
}


def named(key: object) -> str:
    """A key by its text, as NaN equals nothing; both zeros are one."""
    return str(key + 0.0) if isinstance(key, float) else str(key)


@pytest.mark.parametrize("name", some_of(ODD_KEYS, 3))
def test_keys_of_any_kind_have_their_windows_and_quantiles(name: str, tmp_path: Path) -> None:
    keys = ODD_KEYS[name]
    frame = log_of(spread(400), seconds=40).with_columns(
        k=pl.Series([keys[number % len(keys)] for number in range(400)])
    )
    true: dict[str, int] = {}
    for number in range(400):
        true[named(keys[number % len(keys)])] = true.get(named(keys[number % len(keys)]), 0) + 1
    paths = [tmp_path / f"{number}.profile" for number in range(2)]
    for part, path in zip((frame[::3], frame.filter(pl.int_range(400) % 3 > 0)), paths, strict=True):
        loadlens.profile_log(part, path, by=["k"])
    loadlens.merge_profiles(paths, tmp_path / "all.profile")
    profile = loadlens.load_profile(tmp_path / "all.profile")
    for found in (profile.quantile(0.5), profile.quantile(0.5, between=(1780, 1840))):
        assert sorted(named(key) for key in found["k"]) == sorted(true)
    gate = ["p99 < 1s within 10s of every window"]
    for log in (frame, tmp_path / "all.profile"):
        verdicts = loadlens.check_gates(log, gate, by=["k"]).verdicts
        assert {named(verdict.key["k"]): verdict.calls for verdict in verdicts} == true
