"""The memory limit: where it comes from, what it decides, what it refuses before a row is read."""

import os
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.engine import measure
from loadlens.logs import Log, open_log
from loadlens.logs.files import DataFile
from loadlens.profile import MeasureOptions, Plan
from loadlens.profile.progress import Limits, default_memory_limit
from tests import direct
from tests.extent import some_of
from tests.profile.cases import assert_agree, keyed, log_of, plan_of, spread

MIB = 2**20


@pytest.mark.parametrize("memory_limit", [0, -1, 1, 100 * MIB, 256 * MIB - 1])
def test_too_small_a_limit_is_refused(memory_limit: int) -> None:
    with pytest.raises(
        loadlens.UsageError, match=r"memory_limit: got .* bytes, expected at least 268,435,456"
    ):
        loadlens.summarize(log_of([1.0]), by=[], memory_limit=memory_limit)


def test_the_smallest_limit_is_enough() -> None:
    frame = keyed(log_of(spread(1000)))
    summary = loadlens.summarize(frame, ["memory_size"], memory_limit=256 * MIB).summary
    free = loadlens.summarize(frame, ["memory_size"]).summary
    assert summary.equals(free)


def test_steps_grow_with_the_limit_but_not_forever() -> None:
    small, large, huge = (Limits.of(size * MIB) for size in (256, 1024, 2**20))
    for name in ("candidates", "tally_bytes", "held_bytes"):
        sizes = [getattr(limit, name) for limit in (small, large, huge)]
        assert 0 < sizes[0] <= sizes[1] <= sizes[2]
    assert huge.candidates == huge.most_candidates


def cgroup(tmp_path: Path, *texts: str) -> tuple[str, ...]:
    paths = [tmp_path / f"limit{index}" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="ascii")
    return (*map(str, paths), str(tmp_path / "absent"))


PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("1073741824\n",), 512 * MIB),
        (("max\n", "1073741824\n"), 512 * MIB),
        (("2147483648\n", "1073741824\n"), 512 * MIB),
        (("max\n",), PHYSICAL // 2),
        (("9223372036854771712\n",), PHYSICAL // 2),
        ((), PHYSICAL // 2),
        (("",), PHYSICAL // 2),
    ],
)
def test_the_default_respects_the_cgroup(tmp_path: Path, texts: tuple[str, ...], expected: int) -> None:
    assert default_memory_limit(cgroup(tmp_path, *texts)) == expected


def test_without_a_limit_the_default_holds() -> None:
    assert Limits.of(None).memory == default_memory_limit()


def data_file(name: str, row_group_bytes: int) -> DataFile:
    return DataFile(
        path=Path(name), kind="parquet", columns=(), size=1, rows=1, row_group_bytes=row_group_bytes
    )


def test_huge_row_groups_are_refused() -> None:
    files = [
        data_file("huge.parquet", 900 * MIB),
        data_file("fine.parquet", MIB),
        data_file("vast.parquet", 2**40),
    ]
    with pytest.raises(loadlens.InputError) as refused:
        Limits.of(512 * MIB).refuse_huge_row_groups(files)
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["huge.parquet", "vast.parquet"]
    for problem in refused.value.problems:
        assert "smaller row groups" in problem
        assert "raise the memory limit of 512 MiB" in problem


def test_row_groups_that_fit_are_not() -> None:
    each = 512 * MIB // 2 // pl.thread_pool_size()
    Limits.of(512 * MIB).refuse_huge_row_groups([data_file("fits.parquet", each)])
    with pytest.raises(loadlens.InputError):
        Limits.of(512 * MIB).refuse_huge_row_groups([data_file("fits_not.parquet", each + 1)])


def test_they_are_refused_before_any_scan() -> None:
    scanned = []
    frame = log_of(spread(10))

    def noted(batch: pl.DataFrame) -> pl.DataFrame:
        scanned.append(batch.height)
        return batch

    rows = frame.lazy().map_batches(noted, schema=frame.schema)
    log = Log(frame=rows, raw=rows, columns=tuple(frame.columns), files=(data_file("huge.parquet", 2**40),))
    with pytest.raises(loadlens.InputError, match=r"huge\.parquet"):
        measure(log, Plan(key=()), MeasureOptions(memory_limit=512 * MIB))
    assert not scanned


@pytest.mark.parametrize("suffix", some_of([".parquet", ".csv"], 2, first=1))
def test_hundreds_of_small_files_are_as_one(tmp_path: Path, suffix: str) -> None:
    frame = keyed(log_of(spread(3000)))
    for index, part in enumerate(frame.iter_slices(10)):
        path = tmp_path / f"{index}{suffix}"
        part.write_csv(path) if suffix == ".csv" else part.write_parquet(path)
    assert len(list(tmp_path.iterdir())) == 300
    plan = plan_of(frame, ["memory_size"])
    got = measure(open_log(tmp_path), plan, MeasureOptions(memory_limit=256 * MIB))
    assert_agree(got.table, direct.measure(open_log(frame), plan).table, plan)
