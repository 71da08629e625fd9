"""Progress: what a callback is told, and that what it raises ends the run as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loadlens
from loadlens.profile import Progress
from tests.extent import combinations
from tests.profile.cases import TOLD_ALWAYS, keyed, log_of, spread

ROWS = 20_000
COUNTING = "Counting latencies"
LAST = "Fetching the latencies that decide"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of many row groups."""
    path = tmp_path / "log.parquet"
    keyed(log_of(spread(ROWS))).write_parquet(path, row_group_size=1000)
    return path


def moments(source: Any, **execution: Any) -> list[Progress]:
    told: list[Progress] = []
    loadlens.summarize(
        source, ["memory_size"], on_progress=told.append, memory_limit=TOLD_ALWAYS, **execution
    )
    return told


def stages_of(told: Sequence[Progress]) -> list[str]:
    return list(dict.fromkeys(moment.stage for moment in told))


def test_stages_come_in_order(log: Path) -> None:
    told = moments(log, heatmap=True)
    stages = ["Reading rows", COUNTING, LAST]
    assert stages_of(told) == stages
    names = [moment.stage for moment in told]
    assert names == sorted(names, key=stages.index)


def test_text_is_parsed_first(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    keyed(log_of(spread(ROWS))).write_csv(path)
    told = moments(path)
    assert stages_of(told)[:2] == ["Parsing text", COUNTING]
    parsed = [moment for moment in told if moment.stage == "Parsing text"]
    assert parsed[-1].rows_done == ROWS
    # The total is an estimate from the first lines.
    assert parsed[-1].rows_total == pytest.approx(ROWS, rel=0.2)


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_rows_grow_to_the_total_in_each_stage(log: Path, engine: str) -> None:
    told = moments(log, heatmap=True, engine=engine)
    for stage in (COUNTING, LAST):
        rows = [moment.rows_done for moment in told if moment.stage == stage]
        assert rows[0] == 0
        assert rows == sorted(rows)
        assert rows[-1] == ROWS


def test_many_batches_make_many_moments(log: Path) -> None:
    counting = [moment for moment in moments(log) if moment.stage == COUNTING]
    assert len(counting) > 2
    assert any(0 < moment.rows_done < ROWS for moment in counting)


def test_bytes_follow_rows(log: Path) -> None:
    size = log.stat().st_size
    for moment in moments(log):
        assert moment.rows_total == ROWS
        assert moment.bytes_total == size
        assert moment.bytes_done == int(size * min(moment.rows_done / ROWS, 1))
        assert moment.elapsed_s >= 0


def test_a_frame_has_no_total_until_it_is_scanned() -> None:
    told = moments(keyed(log_of(spread(100))))
    assert {moment.rows_total for moment in told} == {None}
    assert {moment.remaining_s for moment in told} == {None}
    assert max(moment.rows_done for moment in told) == 100


def test_rate_and_time_left() -> None:
    moment = Progress(stage="", rows_done=30, rows_total=120, bytes_done=1, bytes_total=4, elapsed_s=3.0)
    assert moment.rows_per_s == 10
    assert moment.remaining_s == 9
    begun = Progress(stage="", rows_done=0, rows_total=120, bytes_done=0, bytes_total=4, elapsed_s=0.0)
    assert begun.rows_per_s == 0
    assert begun.remaining_s is None


def test_more_rows_than_estimated_take_no_negative_time() -> None:
    moment = Progress(stage="", rows_done=130, rows_total=120, bytes_done=4, bytes_total=4, elapsed_s=3.0)
    assert moment.remaining_s == 0


class CancelledError(Exception):
    """What a job raises to stop a run."""


ERRORS = (CancelledError, KeyboardInterrupt, SystemExit, ValueError, OSError, BrokenPipeError)


@pytest.mark.parametrize(
    ("engine", "error", "with_rows"), combinations(["streaming", "in-memory"], ERRORS, [False, True])
)
def test_what_a_callback_raises_ends_the_run(
    log: Path, with_rows: bool, error: type[BaseException], engine: Any
) -> None:
    told: list[Progress] = []
    thrown = error("enough")

    def stop(moment: Progress) -> None:
        told.append(moment)
        if moment.stage == COUNTING and bool(moment.rows_done) == with_rows:
            raise thrown

    with pytest.raises(error) as caught:
        loadlens.summarize(log, ["memory_size"], on_progress=stop, engine=engine, memory_limit=TOLD_ALWAYS)
    assert caught.value is thrown
    assert LAST not in stages_of(told)


def test_a_callback_changes_no_figure(log: Path) -> None:
    told = loadlens.summarize(log, ["memory_size"], on_progress=lambda _: None, memory_limit=TOLD_ALWAYS)
    silent = loadlens.summarize(log, ["memory_size"])
    exact = [
        name for name in silent.summary.columns if name not in ("invocation_latency_mean", "outlier_fence")
    ]
    assert told.summary.select(exact).equals(silent.summary.select(exact))


def test_a_log_that_fails_while_it_is_watched_still_says_where(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    frame = log_of(spread(100)).with_columns(pl.lit("soon").alias("end_time"))
    frame.write_csv(path)
    with pytest.raises(loadlens.InputError, match="line 2, column end_time: got 'soon'"):
        loadlens.summarize(path, by=[], on_progress=lambda _: None, memory_limit=TOLD_ALWAYS)
