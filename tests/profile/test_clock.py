"""The resolution of a log's clock, against a search in whole numbers of ticks."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.engine import measure
from loadlens.logs import open_log
from loadlens.profile import Plan, Profile
from loadlens.profile.clock import clock_warning

BOTH = ("start_time", "end_time")
TICKS = (1, 10, 100, 1000)


def log_at(start: Sequence[float | None], end: Sequence[float | None]) -> pl.DataFrame:
    """Calls that have a start or an end, so that none ends before it starts."""
    return pl.DataFrame(
        {
            "invocation_latency": [5.0] * (len(start) + len(end)),
            "start_time": [*start, *[None] * len(end)],
            "end_time": [*[None] * len(start), *end],
        },
        schema_overrides=dict.fromkeys(BOTH, pl.Float64),
    )


def resolution(frame: pl.DataFrame, logged: tuple[str, ...] = BOTH) -> float:
    log = replace(open_log(frame), logged_times=logged)
    return measure(log, Plan(key=())).profile.resolution_s


def is_tick(time: float, ticks: int) -> bool:
    """Whether a time is the Float64 of some whole number of ticks: neighbours of the nearest are tried."""
    nearest = round(Fraction(time) * ticks)
    return any(float(Fraction(number, ticks)) == time for number in (nearest - 1, nearest, nearest + 1))


def expected(found: list[float]) -> float:
    return next((1 / ticks for ticks in TICKS if all(is_tick(time, ticks) for time in found)), 0.0)


@st.composite
def clocks(draw: st.DrawFn) -> list[float]:
    ticks = draw(st.sampled_from([*TICKS, 10_000, 3]))
    zero = draw(st.sampled_from([0, 1_700_000_000, -5_000]))
    counts = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=40))
    return [zero + count / ticks for count in counts]


@given(clocks(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_division_do_not_matter(found: list[float], random: object, parts: int) -> None:
    random.shuffle(found)  # type: ignore[attr-defined]
    profiles = [
        measure(open_log(log_at(found[part::parts], [])), Plan(key=())).profile
        for part in range(parts)
        if found[part::parts]
    ]
    assert Profile.merge_all(profiles).resolution_s == expected(found) == resolution(log_at([], found))


@given(clocks(), clocks())
def test_the_finer_of_start_and_end_counts(start: list[float], end: list[float]) -> None:
    assert resolution(log_at(start, end)) == expected([*start, *end])


def test_one_time_out_of_millions_counts() -> None:
    end = np.arange(1_000_000.0)
    end[777_777] += 0.25
    assert resolution(pl.DataFrame({"invocation_latency": 5.0, "end_time": end})) == 0.01


@pytest.mark.parametrize(
    ("start", "end", "logged", "found"),
    [
        ([0.0, 1.0], [0.2501, 1.1337], ("start_time",), 1.0),
        ([0.0, 1.0], [0.2501, 1.1337], ("end_time",), 0.0),
        ([0.0, 1.0], [0.2501, 1.1337], BOTH, 0.0),
        ([0.0, 1.0], [0.2501, 1.1337], (), 0.0),
        # Calls that begin at even tenths of a second do not make a clock of ms a coarse one.
        ([0.0, 0.1, 0.2], [0.02, 0.121, 1.2], ("start_time",), 0.001),
        ([0.5, 1.5], [1.0, 2.0], BOTH, 0.1),
        ([None, None], [None, None], BOTH, 1.0),
        ([None, 3.0], [2.0, None], BOTH, 1.0),
    ],
)
def test_a_time_that_is_derived_tells_nothing_of_whole_seconds(
    start: list[float | None], end: list[float | None], logged: tuple[str, ...], found: float
) -> None:
    assert resolution(log_at(start, end), logged) == found


@pytest.mark.parametrize(
    ("resolution_s", "words"), [(1.0, "whole seconds"), (0.1, "of 0.1 s"), (0.001, ""), (0.0, "")]
)
def test_only_a_coarse_clock_is_told(resolution_s: float, words: str) -> None:
    told = clock_warning(resolution_s, open_log(pl.DataFrame({"invocation_latency": [5.0]}), name="run 7"))
    assert told.startswith("run 7: its times are ") == bool(words)
    assert words in told
    assert bool(words) == bool(told)


def test_the_finer_profile_decides_a_merge() -> None:
    fine, coarse = (
        measure(
            open_log(pl.DataFrame({"invocation_latency": [5.0], "start_time": [0.0], "end_time": [end]})),
            Plan(key=()),
        ).profile
        for end in (0.25, 3.0)
    )
    assert (fine.resolution_s, coarse.resolution_s) == (0.01, 1.0)
    assert fine.merge(coarse).resolution_s == coarse.merge(fine).resolution_s == 0.01
    assert coarse.merge(Profile.empty(())).resolution_s == 1.0
