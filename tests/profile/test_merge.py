"""Profiles merge like sums: in any order and grouping, to the profile of the whole log."""

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.profile import Profile
from loadlens.profile.merging import coarsened
from loadlens.text.common_types import with_common_types
from tests import sample_logs as logs
from tests.extent import examples, some_of
from tests.profile.cases import assert_same_profile, assert_same_rows, keyed, log_of, spread


def profile_of(frame: pl.DataFrame, by: Sequence[str] = (), **execution: Any) -> Profile:
    return loadlens.summarize(frame, by, heatmap=True, **execution).profile


def parts_of(frame: pl.DataFrame, cuts: Sequence[int]) -> list[pl.DataFrame]:
    edges = [0, *sorted(cuts), frame.height]
    parts = [frame.slice(low, high - low) for low, high in itertools.pairwise(edges)]
    return [part for part in parts if part.height]


def merged(profiles: Sequence[Profile], key: Sequence[str]) -> Profile:
    whole = Profile.empty(key)
    for profile in profiles:
        whole = whole.merge(profile)
    return whole


def assert_same_heat(got: Profile, expected: Profile) -> None:
    """Asserts equal counts over time, brought to the wider windows of the two."""
    width = pl.concat([got.heat["window_s"], expected.heat["window_s"]]).max()
    assert_same_rows(*(_widened(profile.heat, width) for profile in (got, expected)))


def _widened(heat: pl.DataFrame, width: Any) -> pl.DataFrame:
    time = ((pl.col("time_s") / width).floor() * width).alias("time_s")
    return heat.group_by(time, "octave_part").agg(pl.col("count").sum())


KEYS = ((), ("memory_size",), ("max_concurrency", "num_clients", "memory_size"))


@examples(3)
@given(logs.logs(), st.lists(st.integers(0, 100), max_size=4), st.sampled_from(KEYS))
def test_parts_merge_to_the_whole(frame: pl.DataFrame, cuts: list[int], key: tuple[str, ...]) -> None:
    parts = parts_of(frame, [min(cut, frame.height) for cut in cuts])
    whole = profile_of(frame, key)
    got = merged([profile_of(part, key) for part in parts], key)
    assert_same_profile(got, whole, with_heat=False)
    assert_same_heat(got, whole)
    assert got.keys.select(whole.keys.columns[1:]).rows() == whole.keys.select(whole.keys.columns[1:]).rows()


@examples(3)
@given(logs.logs(), logs.logs(), logs.logs(), st.sampled_from(KEYS))
def test_merging_is_associative_and_commutative(
    one: pl.DataFrame, two: pl.DataFrame, three: pl.DataFrame, key: tuple[str, ...]
) -> None:
    a, b, c = (profile_of(frame, key) for frame in (one, two, three))
    assert_same_profile(a.merge(b), b.merge(a))
    assert_same_profile(a.merge(b).merge(c), a.merge(b.merge(c)))


@given(logs.logs(), st.sampled_from(KEYS))
def test_the_empty_profile_changes_nothing(frame: pl.DataFrame, key: tuple[str, ...]) -> None:
    profile, empty = profile_of(frame, key), Profile.empty(key)
    for got in (profile.merge(empty), empty.merge(profile)):
        assert_same_profile(got, profile)
        assert got.keys.drop("code").equals(profile.keys.drop("code"))


@pytest.mark.parametrize("key", KEYS)
def test_two_empty_profiles_are_empty(key: tuple[str, ...]) -> None:
    empty = Profile.empty(key)
    got = empty.merge(empty)
    assert got.keys.is_empty()
    assert_same_profile(got, empty)


def test_profiles_by_different_keys_do_not_merge() -> None:
    frame = keyed(log_of(spread(10)))
    with pytest.raises(ValueError, match="do not merge"):
        profile_of(frame).merge(profile_of(frame, ["memory_size"]))


def by_key(keys: Sequence[object] | pl.Series, seed: int = 0) -> pl.DataFrame:
    values = keys if isinstance(keys, pl.Series) else pl.Series(keys)
    chosen = np.random.default_rng(seed).integers(0, len(values), 100)
    return log_of(spread(100, seed=seed)).with_columns(values.gather(chosen).alias("k"))


KEY_PAIRS: dict[str, tuple[pl.Series, pl.Series]] = {
    "new keys": (pl.Series([1, 2]), pl.Series([2, 3])),
    "nulls in one": (pl.Series([1, None]), pl.Series([1, 2])),
    "nulls in both": (pl.Series(["a", None]), pl.Series([None, "b"])),
    "no key but null": (pl.Series([None], dtype=pl.Null), pl.Series(["b", None])),
    "narrow and wide integers": (
        pl.Series([1, 2], dtype=pl.Int8),
        pl.Series([2, 2**53, 2**53 + 1, -(2**62)]),
    ),
    "integers and floats": (pl.Series([1, 2]), pl.Series([1.0, 2.5])),
    "dates and datetimes": (
        pl.Series([dt.date(2024, 1, 1)]),
        pl.Series([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 12)]),
    ),
    "categoricals": (
        pl.Series(["a", "b"], dtype=pl.Categorical),
        pl.Series(["b", "c"], dtype=pl.Categorical),
    ),
    "booleans": (pl.Series([True]), pl.Series([False, None])),
}


@pytest.mark.parametrize("name", some_of(KEY_PAIRS, 3))
def test_keys_of_both_are_keys_of_the_whole(name: str) -> None:
    frames = [by_key(keys, seed) for seed, keys in enumerate(KEY_PAIRS[name])]
    whole = profile_of(pl.concat(with_common_types(frames), how="vertical_relaxed"), ["k"])
    a, b = (profile_of(frame, ["k"]) for frame in frames)
    assert_same_profile(a.merge(b), whole, with_heat=False)
    assert_same_profile(b.merge(a), whole, with_heat=False)
    assert a.merge(b).keys.drop("code").equals(whole.keys.drop("code"))


def counts_by_key(profile: Profile) -> dict[object, int]:
    joined = profile.buckets.join(profile.keys, on="code")
    return dict(joined.group_by("key:k").agg(pl.col("count").sum()).iter_rows())


@pytest.mark.parametrize("text", [["a", "b"], ["2", "b"]], ids=["other text", "one of them a number"])
def test_keys_that_read_as_numbers_in_one_log_alone(text: list[str]) -> None:
    frames = [by_key(["1", "2", "10"], 1), by_key(text, 2)]
    a, b = (profile_of(frame, ["k"]) for frame in frames)
    expected = counts_by_key(profile_of(pl.concat(frames), ["k"]))
    assert counts_by_key(a.merge(b)) == expected
    assert counts_by_key(b.merge(a)) == expected


def test_large_integers_of_different_types_stay_apart() -> None:
    large = [2**53, 2**53 + 1, 2**53 + 2]
    frames = [by_key(pl.Series(large, dtype=dtype), 3) for dtype in (pl.Int64, pl.UInt64)]
    a, b = (profile_of(frame, ["k"]) for frame in frames)
    expected = {key: sum(frame.filter(pl.col("k") == key).height for frame in frames) for key in large}
    assert counts_by_key(a.merge(b)) == expected


def test_enums_of_different_categories() -> None:
    frames = [
        by_key(pl.Series(["a", "b"], dtype=pl.Enum(names)), 3) for names in (["a", "b"], ["b", "a", "c"])
    ]
    a, b = (profile_of(frame, ["k"]) for frame in frames)
    expected = {key: sum(frame.filter(pl.col("k") == key).height for frame in frames) for key in "ab"}
    assert counts_by_key(a.merge(b)) == expected


def test_logs_of_different_error_columns() -> None:
    errors = ["insufficient_memory_error", "other_model_error"]
    frames = [log_of([1.0, -1.0, 2.0]).drop(errors), log_of([1.0, -1.0])]
    a, b = (profile_of(frame) for frame in frames)
    for got in (a.merge(b), b.merge(a), a.merge(b).merge(Profile.empty(()))):
        thrown = got.figures.select(pl.col("throttle_exception", *errors).sum())
        assert thrown.row(0) == (2, 0, 0)
        assert got.buckets["count"].sum() == 5
    assert_same_profile(a.merge(b), b.merge(a))
    assert_same_profile(a.merge(b).merge(a), a.merge(b.merge(a)))


def at(*times: float) -> pl.DataFrame:
    frame = log_of([10.0] * len(times))
    return frame.with_columns(end_time=pl.Series(times), start_time=pl.Series(times) - 0.01)


FAR_APART = {
    "same width": (at(0.5, 100.0), at(0.0, 60.0), at(3.0)),
    "a second and an hour": (at(10.0, 10.5), at(0.0, 3600.0), at(7200.0)),
    "an instant and a year": (at(5.0), at(0.0, 3e7), at(6e7, 6e7 + 1)),
    "exactly a power of two": (at(0.5), at(256.25), at(512.0)),
    "a power of two, windows on either side": (at(0.5), at(256.25), at(255.9)),
    "just below a power of two": (at(0.999), at(255.99), at(128.0, 256.9)),
    "before zero": (at(-1000.0, -999.0), at(1000.0), at(0.0)),
    "ten years": (at(0.0), at(3.15e8), at(1.0, 3.15e8)),
}


@pytest.mark.parametrize("name", some_of(FAR_APART, 3))
def test_windows_of_different_widths(name: str) -> None:
    frames = FAR_APART[name]
    a, b, c = (profile_of(frame) for frame in frames)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert_same_heat(left, profile_of(pl.concat(frames)))
    for got in (left, right, b.merge(c).merge(a)):
        assert got.heat["time_s"].n_unique() <= 256
        assert got.heat["count"].sum() == sum(frame.height for frame in frames)
        assert_same_profile(got, left)
        assert_same_profile(got.merge(Profile.empty(())), got)


@pytest.mark.parametrize("name", some_of(FAR_APART, 3, first=1))
def test_nothing_widens_windows_but_a_longer_span(name: str) -> None:
    both = profile_of(FAR_APART[name][0]).merge(profile_of(FAR_APART[name][1]))
    assert_same_profile(both.merge(Profile.empty(())), both)


TIMES = st.lists(
    st.floats(-1e4, 1e4) | st.sampled_from([0.0, 0.5, 127.9, 256.0, 512.25]), min_size=1, max_size=3
)


@given(TIMES, TIMES, TIMES)
def test_any_windows(one: list[float], two: list[float], three: list[float]) -> None:
    a, b, c = (profile_of(at(*times)) for times in (one, two, three))
    assert_same_profile(a.merge(b), b.merge(a))
    assert_same_profile(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_same_profile(a.merge(b).merge(Profile.empty(())), a.merge(b))


def test_coarsening_twice_is_coarsening_once() -> None:
    heat = pl.concat([profile_of(at(0.5)).heat, profile_of(at(256.25)).heat])
    once = coarsened(heat)
    assert_same_rows(coarsened(once), once)
    assert once["time_s"].n_unique() <= 256


def test_a_profile_without_heat_merges_with_one_that_has_it() -> None:
    frame = log_of(spread(50))
    with_heat, without = profile_of(frame), loadlens.summarize(frame, by=[]).profile
    assert_same_rows(with_heat.merge(without).heat, with_heat.heat)
    assert_same_rows(without.merge(without).heat, without.heat)


@pytest.mark.parametrize("apart", [1, 3, 10**9], ids=["near", "with gaps", "far"])
@pytest.mark.parametrize("pause_s", [0, 10**8], ids=["dense", "sparse"])
def test_codes_and_seconds_however_far_apart_merge_to_the_same(apart: int, pause_s: int) -> None:
    first = keyed(log_of(spread(200)))
    second = keyed(log_of(spread(150, seed=3))).with_columns(pl.col("start_time", "end_time") + pause_s)
    codes = pl.col("code").max() - pl.col("code")  # another order than that of the keys
    profiles = [profile_of(frame, ["memory_size"]) for frame in (first, second)]
    recoded = [
        Profile(
            key=profile.key,
            heat=profile.heat,
            classes=profile.classes,
            **{
                name: getattr(profile, name).with_columns(code=codes * apart)
                for name in ("keys", "figures", "buckets", "seconds")
            },
        )
        for profile in profiles
    ]
    assert_same_profile(
        Profile.merge_all(recoded), profile_of(pl.concat([first, second]), ["memory_size"]), with_heat=False
    )
