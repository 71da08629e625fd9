"""Order statistics: every rank of a log is the very value that was logged, however few rows fit in memory."""

import numpy as np
import polars as pl
import pytest

from loadlens.profile import steps
from loadlens.profile.exact import order_statistics
from loadlens.profile.keys import find_key_codec
from loadlens.profile.passes import profile_rows
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows
from loadlens.profile.steps import CodedRows, local_look
from loadlens.schema import LATENCY
from loadlens.sources import open_log
from tests.extent import combinations
from tests.profile.cases import LOGS, keyed, near_equal, plan_of

SMALL_LOGS = [name for name in LOGS if name != "near equal"]


def statistics_of(frame: pl.DataFrame, ranks: pl.DataFrame, most_values: int) -> pl.DataFrame:
    plan, log = plan_of(frame, ["memory_size"]), open_log(frame)
    codec = find_key_codec(log, plan.key, "streaming")
    rows = Rows.of(log, plan, codec)
    tracker = Tracker(None, rows_total=None, bytes_total=0)
    profile = profile_rows(rows, codec, "streaming", max_groups=1000, with_heat=False, tracker=tracker)
    named = ranks.join(profile.keys, on="key:memory_size")
    found = order_statistics(
        local_look(CodedRows(rows=rows), "streaming"),
        profile.buckets,
        named.select("code", "successes", "rank"),
        most_values=most_values,
    )
    return found.join(profile.keys, on="code")


def all_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The latency at every rank, among all rows and among the successes."""
    timed = frame.filter(pl.col(LATENCY).is_not_null()).select(
        pl.col("memory_size").alias("key:memory_size"),
        LATENCY,
        (pl.col("success") if "success" in frame.columns else pl.col(LATENCY) > 0).alias("success"),
    )
    parts = [
        part.sort(LATENCY).select(
            "key:memory_size",
            pl.lit(successes).alias("successes"),
            pl.int_range(pl.len()).over("key:memory_size").alias("rank"),
            pl.col(LATENCY).alias("expected"),
        )
        for successes, part in ((False, timed), (True, timed.filter("success")))
    ]
    return pl.concat(parts)


@pytest.mark.parametrize(("name", "most_values"), combinations(SMALL_LOGS, [0, 3, 10**9]))
def test_every_rank(name: str, most_values: int) -> None:
    frame = keyed(LOGS[name]())
    expected = all_values(frame)
    found = statistics_of(frame, expected.drop("expected"), most_values)
    joined = expected.join(found, on=["key:memory_size", "successes", "rank"])
    assert joined.height == expected.height
    assert (joined["value"] == joined["expected"]).all()


@pytest.mark.parametrize("most_values", [100, 5000, 10**9])
def test_near_equal_values_are_found_in_a_few_scans(
    monkeypatch: pytest.MonkeyPatch, most_values: int
) -> None:
    frame = pl.DataFrame({LATENCY: near_equal(200_000), "memory_size": 1024})
    scans, groups = [], []

    def counted(rows: pl.LazyFrame, *, chosen: pl.DataFrame, shift: int, finer: int) -> pl.LazyFrame:
        found = counts(rows, chosen, shift, finer).collect()
        scans.append(finer)
        groups.append(found.height)
        return found.lazy()

    counts = steps.finer_counts
    monkeypatch.setattr(steps, "finer_counts", counted)
    wanted = [0, 1, 77_777, 100_000, 199_999]
    ranks = pl.DataFrame({"key:memory_size": 1024, "successes": True, "rank": wanted})
    found = statistics_of(frame, ranks, most_values).sort("rank")
    assert found["value"].to_list() == np.sort(near_equal(200_000))[wanted].tolist()
    if most_values == 10**9:
        assert scans == [0]
    else:
        assert scans == [32, 20, 8, 0]
        assert max(groups) <= 4096 * len(wanted)
