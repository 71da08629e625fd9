"""Gates within windows of time, whoever counts them."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.profile.buckets import window_of
from tests.profile.cases import Inline, keyed, log_of, spread

GATES = [
    "p99 < 90ms within 5s of every window",
    "median < 21ms within 5s of every window",
    "share(<50ms) > 70% within 3s of every window",
    "p90 < 50ms filtered within 5s of every window",
    "throughput > 10/s within 5s of every window",
    "p99 < 80ms",
]


def test_workers_judge_windows_as_this_process_does(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(4000)))
    path = tmp_path / "log.parquet"
    frame.write_parquet(path, row_group_size=500)
    workers = Inline()
    here = loadlens.check_gates(path, GATES, ["memory_size"])
    there = loadlens.check_gates(path, GATES, ["memory_size"], executor=workers, partition_rows=1000)
    assert there.verdicts == here.verdicts
    assert {verdict.holds for verdict in here.verdicts} == {True, False}
    assert len(workers.submitted) == 8  # four partitions, counted and looked at once


def test_a_log_without_any_end_has_no_windows(tmp_path: Path) -> None:
    frame = log_of(spread(50)).with_columns(end_time=pl.lit(None, dtype=pl.Float64))
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(loadlens.InputError, match="no call has an end_time, which 'within' needs"):
        loadlens.check_gates(tmp_path / "log.parquet", ["p99 < 1s within 5s of every window"])


@pytest.mark.parametrize("width", ["1", "3", "49", "98", "103", "60", "0.1", "0.3", "0.7", "2.5", "0.05"])
def test_a_call_that_ends_where_a_window_begins_is_in_it(width: str) -> None:
    windows = [*range(-30, 2000), 10**6, 2**24 + 1]
    ends = [float(Decimal(width) * window) for window in windows]
    frame = pl.DataFrame({"end_time": [*ends, None]}).lazy().select(window_of(float(width)))
    assert frame.collect(engine="streaming").to_series().to_list() == [*windows, None]


def test_gates_count_calls_at_the_beginning_of_a_window_in_it() -> None:
    ends = [98.0, 147.0, 147.0, 196.0, 245.0]  # multiples of 49 s
    log = log_of([1.0] * 5).with_columns(end_time=pl.Series(ends), start_time=pl.Series(ends) - 0.001)
    (verdict,) = loadlens.check_gates(log, ["count <= 1 within 49s of every window"], []).verdicts
    assert verdict.windows is not None
    assert (verdict.value, verdict.windows.failed, verdict.windows.worst_start_s) == (2.0, 1, 147.0)


@pytest.mark.slow
def test_more_windows_of_a_whole_log_than_fit_at_once_are_judged_in_parts() -> None:
    calls = 60_000  # one a second: a window each
    frame = log_of(spread(calls), seconds=calls)
    gates = [
        "p50 < 20ms",
        "p99 < 900ms within 1s of every window",
        "throughput > 0/s within 1s of every window",
    ]
    small, large = (loadlens.check_gates(frame, gates, [], memory_limit=2**20 * size) for size in (256, 8192))
    assert small.verdicts == large.verdicts
    assert [verdict.calls for verdict in small.verdicts][:2] == [calls, calls]
