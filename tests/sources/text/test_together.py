"""Small files of one layout give the rows, rejects and counts that each of them gives alone."""

import cProfile
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.sources.text.together import grouped, read_together
from tests.dialect_logs import sample
from tests.sources.test_finding import HEADER

NUM_FILES = 400
ROW = "17000000{0:02}000,{0},a,200,true,10\n"


def files(folder: Path, *bodies: str) -> list[Path]:
    paths = [folder / f"{number}.jtl" for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_text(HEADER + body, encoding="utf-8", newline="")
    return paths


def rows(*numbers: int) -> str:
    return "".join(map(ROW.format, numbers))


def test_small_files_of_one_layout_are_read_at_once(tmp_path: Path) -> None:
    paths = files(tmp_path, rows(1, 2), rows(3), rows(4, 5, 6).rstrip("\n"), "")
    (group,) = grouped(loadlens.read_log(paths).text)
    together = read_together(group)
    assert together is not None
    assert together[0]["invocation_latency"].to_list() == [1, 2, 3, 4, 5, 6]
    assert together[1] == [2, 1, 3, 0]


@pytest.mark.parametrize(
    "odd",
    [
        rows(7, 8), "x,1,a,200,true,10\n" + rows(7), "\n\n" + rows(7), rows(8, 7).replace("\n", "\r\n"),
        '1700000000000,7,"a\nb",200,true,10\n', rows(7) + "1700000000000,8", "", rows(9, 1, 5),
    ],
)  # fmt: skip
def test_an_odd_file_among_others_changes_nothing_for_them(tmp_path: Path, odd: str) -> None:
    paths = files(tmp_path, rows(1, 2), odd, rows(3, 4))
    whole = loadlens.read_log(paths, max_rejects=5)
    found = whole.frame.collect()
    alone = [
        loadlens.read_log(path, max_rejects="100%")
        for path in paths
        if path.read_text(encoding="utf-8") != HEADER
    ]
    parts = [log.frame.collect() for log in alone]
    assert_frame_equal(found.drop("file"), pl.concat(parts))
    assert whole.findings.rejected == sum(log.findings.rejected for log in alone)
    assert whole.findings.out_of_order == sum(log.findings.out_of_order for log in alone)
    counts = dict(found.group_by("file").len().iter_rows())
    assert counts == {log.files[0].path.name: log.findings.rows for log in alone if log.findings.rows}


@pytest.mark.parametrize(
    "dialect", ["loadlens-csv", "jmeter-csv", "k6-csv", "k6-json", "vegeta-csv", "locust-csv"]
)
def test_files_of_one_layout_share_their_reader(tmp_path: Path, dialect: str) -> None:
    for seed in (1, 2):
        (tmp_path / f"{seed}.log").write_bytes(sample(dialect, rows=5, seed=seed).data)
    one, other = loadlens.read_log(tmp_path, format=dialect).text
    assert one.reader is other.reader


def test_many_small_files_take_few_steps_each(tmp_path: Path) -> None:
    header = "timeStamp,elapsed,label,responseMessage,success,bytes\n"
    for at in range(NUM_FILES):
        rows = "".join(f"{1_700_000_000_123 + 7 * at + row},{100 + at % 37},/,OK,true,9\n" for row in (0, 1))
        (tmp_path / f"{at}.jtl").write_text(header + rows, encoding="utf-8")
    with cProfile.Profile() as counted:
        (row,) = loadlens.summarize(tmp_path, by=()).summary.iter_rows(named=True)
    assert row["num_invocations"] == 2 * NUM_FILES
    calls = sum(entry.callcount for entry in counted.getstats())
    assert calls / NUM_FILES < 5_000  # half of them it takes; each file on its own took 13 ms
