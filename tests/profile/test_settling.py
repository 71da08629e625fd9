"""``skip="auto"``: where a ramp-up ends, of simulated runs of which that is known."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from loadlens import compare, profile_log, read_log, summarize
from loadlens.errors import UsageError
from loadlens.logs.outside import Outside
from loadlens.schema import LATENCY
from tests.extent import some_of
from tests.simulated_ramps import ramp


def outside_of(source: Any, **options: Any) -> Outside:
    log = read_log(source)
    summarize(log, [], skip="auto", **options)
    assert log.findings.outside is not None
    return log.findings.outside


def begin_of(source: Any) -> float | None:
    """How long after the first start the slice begins; None where nothing is left out."""
    outside = outside_of(source)
    if outside.from_s is None:
        assert outside.rows == 0
        return None
    assert outside.first_start_s is not None
    return outside.from_s - outside.first_start_s


@pytest.mark.parametrize("seed", some_of([1, 2, 3], 3))
@pytest.mark.parametrize(
    ("run", "end_s"),
    [
        ({"ramp_s": 60, "run_s": 600}, 60),
        ({"ramp_s": 120, "run_s": 600}, 120),
        ({"ramp_s": 30, "run_s": 300}, 30),
        ({"ramp_s": 60, "run_s": 600, "stall": (300, 330)}, 60),
        ({"ramp_s": 60, "run_s": 600, "cool_down_s": 60}, 60),
        ({"ramp_s": 0, "run_s": 600, "warm_up_s": 60}, 60),
        ({"ramp_s": 60, "run_s": 600, "warm_up_s": 120}, 120),
        ({"ramp_s": 60, "run_s": 600, "begin": 1.79e9}, 60),
        ({"ramp_s": 900, "run_s": 7200, "clients": 20, "median_ms": 3000.0}, 900),
    ],
)
def test_the_end_of_a_ramp_is_found(run: dict[str, Any], end_s: float, seed: int) -> None:
    """To two windows, of which a run has at most 256, or to the last 6 % of the ramp."""
    begin = begin_of(ramp(**run, seed=seed))
    assert begin == pytest.approx(end_s, abs=max(0.06 * end_s, 2 * run["run_s"] / 100))


@pytest.mark.parametrize("seed", some_of([1, 2, 3], 3))
@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"ramp_s": 0, "run_s": 300}, "steady from the start"),
        ({"ramp_s": 0, "run_s": 600, "clients": 1, "median_ms": 1000.0}, "steady from the start"),
        ({"ramp_s": 2, "run_s": 4}, "too few to tell"),
        ({"ramp_s": 600, "run_s": 600}, "at no level"),
        ({"ramp_s": 60, "run_s": 600, "drift": 1.5}, "do not settle"),
        ({"ramp_s": 60, "run_s": 600, "warm_up_s": 590}, "do not settle"),
    ],
)
def test_a_log_is_left_whole_where_nothing_tells(run: dict[str, Any], reason: str, seed: int) -> None:
    log = ramp(**run, seed=seed)
    outside = outside_of(log)
    assert outside.from_s is None
    assert (outside.rows, outside.inside) == (0, log.height)
    assert "skip auto leaves nothing out" in outside.remark
    assert reason in outside.remark


def open_loop(rate_of: Any, run_s: float, seed: int) -> pl.DataFrame:
    """Calls that come at random, by a rate per second over time, whoever waits for an answer."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson([rate_of(second) for second in range(int(run_s))])
    start = np.repeat(np.arange(int(run_s)), counts) + rng.random(counts.sum()) + 500
    latency = rng.lognormal(np.log(0.3), 0.4, len(start))
    return pl.DataFrame({LATENCY: latency * 1000, "start_time": start, "end_time": start + latency})


@pytest.mark.parametrize("seed", some_of([1, 2, 3], 3))
def test_ramps_of_an_open_loop_are_found(seed: int) -> None:
    begin = begin_of(open_loop(lambda second: min(second / 90, 1) * 60, 900, seed))
    assert begin == pytest.approx(90, abs=18)
    assert begin_of(open_loop(lambda _: 60, 900, seed)) is None


def test_the_slice_is_the_log_of_its_rows_and_says_why() -> None:
    log = ramp(ramp_s=60, run_s=600)
    outside = outside_of(log)
    assert outside.from_s is not None
    expected = summarize(log.filter(pl.col("start_time") >= outside.from_s), []).summary
    assert summarize(log, [], skip="auto").summary.equals(expected)
    assert "skip auto leaves out the first 5" in outside.remark
    assert "the load had reached its level of 30, and median latencies stay near" in outside.remark
    assert outside.remark in outside.sentences()


def test_whoever_reads_finds_the_same_end(tmp_path: Path) -> None:
    log = ramp(ramp_s=60, run_s=600)
    log.write_csv(tmp_path / "log.csv")
    log.write_parquet(tmp_path / "log.parquet", row_group_size=5000)
    log.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "shuffled.parquet")
    expected = outside_of(log)
    for name in ("log.csv", "log.parquet", "shuffled.parquet"):
        got = outside_of(tmp_path / name)
        assert (got.from_s, got.rows) == (expected.from_s, expected.rows)
    with ThreadPoolExecutor(2) as executor:
        got = outside_of(tmp_path / "log.parquet", executor=executor, partition_rows=20_000)
    assert (got.from_s, got.rows) == (expected.from_s, expected.rows)


def test_each_of_two_runs_has_its_own() -> None:
    runs = [ramp(ramp_s=60, run_s=600), ramp(ramp_s=120, run_s=600, begin=7000.0)]
    found = compare(*runs, by=[], skip="auto")
    for run, told in zip(runs, (found.base.findings.outside, found.candidate.findings.outside), strict=True):
        assert told is not None
        assert told.from_s == outside_of(run).from_s


def test_an_end_may_be_said_besides() -> None:
    log = ramp(ramp_s=60, run_s=600)
    outside = outside_of(log, to="5min")
    assert outside.before > 0
    assert outside.after == log.filter(pl.col("start_time") >= log["start_time"].min() + 300).height
    with pytest.raises(UsageError, match="skip auto is not before to 10s"):
        outside_of(log, to="10s")


def test_a_profile_can_be_made_without_the_ramp(tmp_path: Path) -> None:
    log = ramp(ramp_s=60, run_s=600)
    profile_log(log, tmp_path / "log.profile", by=[], skip="auto")
    got = summarize(tmp_path / "log.profile", []).summary["num_invocations"].item()
    assert got == outside_of(log).inside
