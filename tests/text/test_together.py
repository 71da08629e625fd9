"""Small files of one layout give the rows, rejects and counts that each of them gives alone."""

import cProfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.logs.text_log import read_together
from tests.dialect_logs import KINDS, sample
from tests.extent import some_of
from tests.jmeter_runs import HEADER

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
    ((group, together),) = read_together(loadlens.read_log(paths).text)
    assert together is not None
    assert len(group) == len(paths)
    assert together.rows["invocation_latency"].to_list() == [1, 2, 3, 4, 5, 6]
    assert [part.rows["invocation_latency"].to_list() for part in together.parts] == [
        [1, 2],
        [3],
        [4, 5, 6],
        [],
    ]


def test_one_odd_file_among_many_is_read_alone_and_most_others_together(tmp_path: Path) -> None:
    bodies = [rows(number % 60, (number * 7) % 60) for number in range(NUM_FILES)]
    bodies[150] = "\n" + bodies[150]
    found = list(read_together(loadlens.read_log(files(tmp_path, *bodies), max_rejects="100%").text))
    assert sum(len(group) for group, _ in found) == NUM_FILES
    assert 1 <= sum(together is None for _, together in found) <= 8


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
    counts = dict(found.group_by("file").len().iter_rows())
    assert counts == {log.files[0].path.name: log.findings.rows for log in alone if log.findings.rows}


DOCUMENTS = {"jmeter-xml", "gatling-binary", "oha-sqlite"}
"""Each file is read from front to back, with a state."""

TELLING = {"aiperf-jsonl"}
"""More is told of each file than what its lines are."""

LINES = [name for name in KINDS if name not in DOCUMENTS]


@pytest.mark.parametrize("dialect", LINES)
def test_files_of_one_layout_share_their_reader(tmp_path: Path, dialect: str) -> None:
    for seed in (1, 2):
        (tmp_path / f"{seed}.log").write_bytes(sample(dialect, rows=5, seed=seed).data)
    one, other = loadlens.read_log(tmp_path, format=dialect).text
    assert one.reader is other.reader


def written(folder: Path, dialect: str, count: int) -> list[Path]:
    """Files of which each call has an id of its own, where the tool writes one."""
    paths = [folder / f"{number}.log" for number in range(count)]
    for number, path in enumerate(paths):
        data = sample(dialect, rows=2 + number % 3, seed=number).data
        path.write_bytes(data.replace(b"8f507cfc", f"{number:08x}".encode()))
    return paths


@pytest.mark.parametrize("dialect", some_of(LINES, 2, first=1))
def test_files_that_are_read_together_are_as_each_alone(tmp_path: Path, dialect: str) -> None:
    paths = written(tmp_path, dialect, 12)
    whole = loadlens.read_log(paths, format=dialect)
    groups = [len(group) for group, together in read_together(whole.text) if together]
    assert dialect in TELLING or groups == [len(paths)]
    found = whole.frame.collect()
    alone = [loadlens.read_log(path, format=dialect) for path in paths]
    parts = [log.frame.collect() for log in alone]
    columns = [name for name in found.columns if name != "file"]
    assert_frame_equal(found.select(columns), pl.concat(parts, how="diagonal_relaxed").select(columns))
    by_file = dict(found.group_by("file", maintain_order=True).len().iter_rows())
    assert by_file == {path.name: part.height for path, part in zip(paths, parts, strict=True)}
    for kind in ("left_out", "facts"):
        totals: Counter[str] = Counter()
        for log in alone:
            totals.update(getattr(log.findings, kind))
        assert getattr(whole.findings, kind) == totals
    assert [calls.rows for calls in whole.findings.calls] == [part.height for part in parts]
    told = {warning for log in alone for warning in log.findings.warned}
    assert set(whole.findings.warned) == told


def test_names_that_became_one_are_told_of_files_read_together(tmp_path: Path) -> None:
    paths = files(
        tmp_path, *(rows(number).replace(",a,", f",http://h/p?id={number},") for number in range(30))
    )
    log = loadlens.read_log(paths)
    assert log.frame.collect()["label"].unique().to_list() == ["http://h/p"]
    assert "30 names became 1 label" in log.findings.joined.sentence()
    assert all(together for _, together in read_together(log.text))


@pytest.mark.parametrize(
    "dialect", some_of(["jmeter-csv", "k6-csv", "k6-json", "lambda-report", "lambda-json", "lambda-csv"], 6)
)
def test_many_small_files_take_few_steps_each(tmp_path: Path, dialect: str) -> None:
    written(tmp_path, dialect, NUM_FILES)
    loadlens.read_log(tmp_path / "0.log").frame.collect()
    with cProfile.Profile() as counted:
        (row,) = loadlens.summarize(loadlens.read_log(tmp_path, force=True), by=()).summary.iter_rows(
            named=True
        )
    assert row["num_invocations"] == sum(2 + number % 3 for number in range(NUM_FILES))
    steps = counted.getstats()
    calls = sum(entry.callcount for entry in steps)
    queries = sum(
        entry.callcount for entry in steps if "'collect' of 'builtins.PyLazyFrame'" in str(entry.code)
    )
    assert calls / NUM_FILES < 10_000
    assert queries / NUM_FILES < 1
