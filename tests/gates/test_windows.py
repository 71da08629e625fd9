"""Gates within windows of time, whoever counts them."""

from pathlib import Path

import polars as pl
import pytest

import loadlens
from tests.profile.cases import keyed, log_of, spread
from tests.profile.test_executor import Inline

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
