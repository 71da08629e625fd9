"""The phases of a run: where they are told, and where nothing is."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from loadlens.profile.phases import Phases


def windows(load: Sequence[float], *, width_s: float = 5.0, start_s: float = 1000.0) -> pl.DataFrame:
    rows = len(load)
    return pl.DataFrame(
        {
            "window_start_s": start_s + width_s * np.arange(rows),
            "window_s": [width_s] * rows,
            "active_calls": np.asarray(load, dtype=float),
            "calls": [100] * rows,
        }
    )


def noisy(load: Sequence[float], seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).poisson(load).astype(float).tolist()


RAMP = [*range(0, 100, 5), *[100] * 60]


def test_a_ramp_ends_where_the_load_reaches_its_level() -> None:
    found = Phases.of(windows(RAMP))
    assert (found.ramp_end_s, found.cool_down_s, found.level) == (1000 + 5 * 19, None, 100)


def test_a_cool_down_begins_where_it_falls() -> None:
    found = Phases.of(windows(RAMP[::-1]))
    assert (found.ramp_end_s, found.cool_down_s) == (None, 1000 + 5 * 61)


def test_a_run_has_both() -> None:
    found = Phases.of(windows([*RAMP, *range(90, 0, -10)]))
    assert (found.ramp_end_s, found.cool_down_s) == (1095, 1000 + 5 * 80)


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_hide_a_ramp(seed: int) -> None:
    found = Phases.of(windows(noisy(RAMP, seed)))
    assert found.ramp_end_s == pytest.approx(1100, abs=20)
    assert found.cool_down_s is None


@pytest.mark.parametrize("level", [0.5, 3, 20, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_steady_run_has_no_phases(level: float, seed: int) -> None:
    found = Phases.of(windows(noisy([level] * 100, seed)))
    assert (found.ramp_end_s, found.cool_down_s) == (None, None)


@pytest.mark.parametrize(
    "load",
    {
        "stairs": [level for level in (10, 20, 40, 80, 160, 320) for _ in range(15)],
        "a ramp to the end": list(range(100)),
        "waves": (100 + 80 * np.sin(np.arange(120) / 6)).tolist(),
        "bursts": [100, 0, 0, 0] * 30,
        "nothing": [0] * 30,
        "few windows": [0, 50, 100, 100],
    }.values(),
)
def test_what_is_not_clear_is_not_told(load: list[float]) -> None:
    found = Phases.of(windows(load))
    assert (found.ramp_end_s, found.cool_down_s) == (None, None)


def test_a_run_whose_first_windows_alone_are_low_has_no_ramp() -> None:
    assert Phases.of(windows([40, *[100] * 60])).ramp_end_s is None


def test_a_short_stall_does_not_hide_the_ramp() -> None:
    load = [*RAMP, *[900] * 6, *[100] * 30]
    assert Phases.of(windows(load)).ramp_end_s == 1095


def test_without_active_calls_the_calls_tell() -> None:
    frame = windows(RAMP).with_columns(calls=pl.col("active_calls").cast(pl.Int64) * 5, active_calls=None)
    found = Phases.of(frame.with_columns(pl.col("active_calls").cast(pl.Float64)))
    assert (found.ramp_end_s, found.level) == (1095, 100)  # calls per second


def test_no_windows_have_no_phases() -> None:
    assert Phases.of(windows([])) == Phases()
