"""Compiled loops count what group-bys count, and hold back what they say."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from loadlens.gates import check_gates, counter, highest, kernels, rows
from loadlens.gates.counter import WindowCounter
from loadlens.gates.highest import Highest
from loadlens.gates.narrowing import COARSE_SHIFT, UNDIVIDED_SHIFT, cell_counts, side_of
from loadlens.profile.coding import KeyCoder, TooSparseError
from loadlens.profile.limits import Limits
from loadlens.schema import LATENCY
from tests.extent import combinations

CELL = ["code", "window", "success", "part", "side"]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_FEWEST_ROWS_FOR_TABLES", 0)
    monkeypatch.setattr(counter, "_FEWEST_CELLS", 4)
    monkeypatch.setattr(highest, "_FEWEST_HELD", 50)


def log_of(size: int, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    special = np.array([-1.0, -0.0, 0.0, 5e-324, 1e12])
    latency = np.where(random.random(size) < 0.1, random.choice(special, size), random.lognormal(3, 1, size))
    end = random.uniform(-50, 50, size)
    frame = pl.DataFrame(
        {
            "key": random.integers(0, 5, size),
            LATENCY: latency,
            "start_time": end - 1,
            "end_time": end,
            "window": np.floor(end / 7).astype(np.int64),
            "success": (random.random(size) < 0.7) & (latency >= 0),
            "broken": np.zeros(size, dtype=bool),
        }
    )
    for name in (LATENCY, "start_time", "window"):
        frame = frame.with_columns(pl.when(pl.Series(random.random(size) < 0.9)).then(name).alias(name))
    return frame.with_columns(pl.when(pl.col("window").is_not_null()).then("end_time").alias("end_time"))


def counted(
    log: pl.DataFrame, shift: int, *, share: float = 0.0, most_rows: int = 10**6, step: int = 100
) -> tuple[WindowCounter, pl.DataFrame]:
    """The counter of a log, and the log with the codes that it has there."""
    coder = KeyCoder({"key": log.schema["key"]})
    found = WindowCounter(coder, shift, 2**20, Highest(share, shift, most_rows))
    for first in range(0, log.height, step):
        found.add(log[first : first + step])
    return found, log.with_columns(code=pl.Series(coder.encode(log)))


@pytest.mark.parametrize(
    ("shift", "limits", "step"),
    combinations([COARSE_SHIFT, UNDIVIDED_SHIFT], [(), (0.0, 20.0, 30.5)], [7, 5000]),
)
def test_cells_are_those_of_group_bys(shift: int, limits: tuple[float, ...], step: int) -> None:
    log = log_of(5000)
    log = log.with_columns(side_of(limits)) if limits else log
    found, coded = counted(log, shift, step=step)
    by = ["code", "window", "success"]
    expected = cell_counts(coded.filter(pl.col("window").is_not_null()).lazy(), by, shift, limits).collect()
    assert found.cells().schema == expected.select(found.cells().columns).schema
    assert_frame_equal(found.cells().sort(CELL), expected.sort(CELL), check_column_order=False)


def test_spans_are_those_of_all_calls_of_a_configuration() -> None:
    found, coded = counted(log_of(500), COARSE_SHIFT)
    expected = coded.group_by("code").agg(
        first_start=pl.col("start_time").min(), last_end=pl.col("end_time").max()
    )
    assert_frame_equal(found.spans().drop("keep_from"), expected.sort("code"))
    nothing = log_of(20).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("start_time", "end_time")
    )
    found, _ = counted(nothing.with_columns(window=pl.lit(None, pl.Int64)), COARSE_SHIFT)
    assert found.spans()["first_start"].null_count() == found.spans()["last_end"].null_count() == 5
    assert found.cells().is_empty()


@pytest.mark.parametrize("step", [40, 100, 5000])
def test_the_highest_successes_are_held_and_no_others(step: int) -> None:
    found, coded = counted(log_of(5000), COARSE_SHIFT, share=0.1, step=step)
    timed = coded.filter(pl.col("success"), pl.col("window").is_not_null(), pl.col(LATENCY).is_not_null())
    above = timed.join(found.spans().select("code", "keep_from"), on="code").filter(
        pl.col(LATENCY) >= pl.col("keep_from")
    )
    # Which share that is, the counts so far can only tell about.
    assert 0.08 < above.height / timed.height < 0.3
    by = ["code", "window", LATENCY]
    assert_frame_equal(found.held().sort(by), above.select(by).sort(by))  # type: ignore[union-attr]


def test_too_many_are_not_held() -> None:
    found, _ = counted(log_of(5000), COARSE_SHIFT, share=0.2, most_rows=300)
    assert found.held() is None
    assert counted(log_of(500), COARSE_SHIFT)[0].held() is None


def test_windows_too_far_apart_are_told() -> None:
    log = log_of(100).with_columns(window=pl.Series([0] * 99 + [2**kernels.WINDOW_BITS]))
    with pytest.raises(TooSparseError):
        counted(log, COARSE_SHIFT)


def written(path: Path, log: pl.DataFrame) -> Path:
    kept = log.drop("window", "broken").filter(~(pl.col(LATENCY) > 1e11)).rename({"key": "memory_size"})
    kept.write_parquet(path, row_group_size=100)
    return path


GATES = tuple(
    f"{gate} within 7s of every window"
    for gate in ("p95 < 80ms", "p90 < 70ms", "share(<20ms) > 40%", "p90 < 60ms filtered", "mean < 40ms")
)


def verdicts(path: Path, gates: tuple[str, ...] = GATES) -> list[object]:
    check = check_gates(path, gates, by=["memory_size"])
    return [(dict(one.key), one.value, one.calls, one.holds, one.windows) for one in check.verdicts]


def by_group_bys(path: Path, gates: tuple[str, ...] = GATES) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_FEWEST_ROWS_FOR_TABLES", 10**12)
        return verdicts(path, gates)


def nothing_more(*_: object) -> None:
    pytest.fail("group-bys count what the table has no room for")


def test_both_ways_judge_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "log.parquet", log_of(3000))
    expected = by_group_bys(path)
    monkeypatch.setattr(rows, "_by_groups", nothing_more)
    assert verdicts(path) == expected


@pytest.mark.parametrize("narrow", ["table_bytes", "CODE_BITS", "MOST_LIMITS"])
def test_what_the_table_cannot_hold_is_counted_by_group_bys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrow: str
) -> None:
    path = written(tmp_path / "log.parquet", log_of(300))
    expected = by_group_bys(path)
    owner = {"table_bytes": Limits, "CODE_BITS": kernels, "MOST_LIMITS": counter}[narrow]
    monkeypatch.setattr(owner, narrow, 0)
    by_groups, used = rows._by_groups, []
    monkeypatch.setattr(rows, "_by_groups", lambda *way: used.append(1) or by_groups(*way))
    assert verdicts(path) == expected
    assert used


def test_windows_half_the_clock_apart_are_judged(tmp_path: Path) -> None:
    log = log_of(300).with_columns(
        end_time=pl.col("end_time") + pl.int_range(pl.len()) % 2 * 2**33, start_time=pl.lit(-100.0)
    )
    path = written(tmp_path / "log.parquet", log)
    gates = ("p95 < 80ms within 1s of every window",)
    assert verdicts(path, gates) == by_group_bys(path, gates)


def scans(path: Path, gate: str, monkeypatch: pytest.MonkeyPatch) -> tuple[float, int]:
    """The worst of the windows, and how many rows ``Narrowing`` read of the log again."""
    read = []
    window_rows = rows.window_rows

    def watched(*arguments: object) -> rows.WindowRows:
        found = window_rows(*arguments)  # type: ignore[arg-type]
        seen = found.frame.map_batches(
            lambda batch: read.append(batch.height) or batch, schema=found.frame.collect_schema()
        )
        return rows.WindowRows(**{**vars(found), "frame": seen})

    monkeypatch.setattr("loadlens.gates.measures.window_rows", watched)
    (verdict,) = check_gates(path, [gate]).verdicts
    assert verdict.value is not None
    return verdict.value, sum(read)


@pytest.mark.parametrize("falls", [False, True])
def test_a_log_is_read_again_only_where_what_is_held_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, falls: bool
) -> None:
    # Where latencies fall, the highest of the first calls say nothing of what the worst window comes to.
    random = np.random.default_rng(3)
    latency = np.concatenate([random.uniform(500, 600, 60), random.uniform(10, 20, 3000)])
    latency = latency if falls else random.permutation(latency)
    end = np.linspace(1, 59, len(latency)) if falls else np.arange(len(latency)) / 10
    log = pl.DataFrame({LATENCY: latency, "start_time": end - 1, "end_time": end})
    path = tmp_path / "log.parquet"
    log.write_parquet(path, row_group_size=60)
    worst, read = scans(path, "p90 < 300ms within 60s of every window", monkeypatch)
    windows = log.group_by((pl.col("end_time") / 60).floor()).agg(LATENCY)[LATENCY]
    assert worst == max(np.quantile(values, 0.9) for values in windows)
    assert (read > 0) == falls
