"""Inputs and outputs that cannot be used: one line for each problem, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.command_line import (
    TABLE_OF_PRICES,
    assert_fails,
    loadlens_,
)
from tests.folders import (
    CONCURRENCY,
    EXAMPLES,
    LOG,
    METRICS,
    OLD_REPORT,
    STABILITY,
    old_report,
    tree,
)
from tests.sample_logs import Configuration, log_of, small_log


def a_file(out: Path) -> None:
    out.write_text("a file")


def a_link(out: Path) -> None:
    out.symlink_to(out.with_name("in"), target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (old_report, []),
        (a_file, []),
        (a_file, ["--overwrite"]),
        (a_link, []),
        (a_link, ["--overwrite"]),
    ],
)
def test_an_output_that_is_there_already(
    log: Path, tmp_path: Path, make: Callable[[Path], object], options: list[str]
) -> None:
    make(tmp_path / "out")
    before = tree(tmp_path)
    for args in (("demo", "--rows", 10), ("analyze", log)):
        (line,) = assert_fails(2, *args, "--out", tmp_path / "out", *options)
        assert "out" in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "out"),
    [("run", "run"), ("run", "run/out"), ("run", f"run/{STABILITY}/out"), ("in", "in"), ("in/log.csv", "in")],
)
def test_an_output_that_overlaps_an_input(
    folder: Path, log: Path, tmp_path: Path, source: str, out: str
) -> None:
    before = tree(tmp_path)
    (line,) = assert_fails(2, "analyze", tmp_path / source, "--out", tmp_path / out, "--overwrite")
    assert "overlaps the input" in line
    assert tree(tmp_path) == before
    assert {folder, log} <= set(tmp_path.rglob("*"))


def missing(folder: Path) -> Path:
    return folder / "nothing.csv"


def glob_without_match(folder: Path) -> Path:
    return folder / "*.nothing"


def folder_without_log(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def empty_file(folder: Path) -> Path:
    (folder / "log.csv").touch()
    return folder / "log.csv"


def header_alone(folder: Path) -> Path:
    small_log().clear().write_csv(folder / "log.csv")
    return folder / "log.csv"


def no_log_at_all(folder: Path) -> Path:
    (folder / "log.csv").write_text("a,b\n1,2\n")
    return folder / "log.csv"


def latency_nan(folder: Path) -> Path:
    nan = small_log().with_columns(pl.col("invocation_latency").replace(-1.0, float("nan")))
    nan.write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def pickled_log(folder: Path) -> Path:
    (folder / "log.pkl").write_bytes(b"\x80\x04\x95abc.")
    return folder / "log.pkl"


def damaged_parquet(folder: Path) -> Path:
    small_log().write_parquet(folder / "log.parquet")
    content = (folder / "log.parquet").read_bytes()
    (folder / "log.parquet").write_bytes(content[: len(content) // 2])
    return folder / "log.parquet"


def pickled_requests(folder: Path) -> Path:
    (folder / EXAMPLES).rename(folder / "invoke_args_examples.pkl")
    return folder


def pickled_requests_in_disguise(folder: Path) -> Path:
    (folder / EXAMPLES).write_bytes(b"\x80\x04\x95abc.")
    return folder


def malformed_requests(folder: Path) -> Path:
    (folder / EXAMPLES).write_text('{"Body": "fine"}\n{"Body": \n')
    return folder


def raw_folder_without_log(folder: Path) -> Path:
    (folder / CONCURRENCY / f"{LOG}.parquet").unlink()
    return folder


def folder_with_nan(folder: Path) -> Path:
    path = folder / STABILITY / f"{LOG}.parquet"
    nan = pl.read_parquet(path).with_columns(invocation_latency=pl.lit(float("nan")))
    nan.write_parquet(path)
    return folder


def size_without_price(folder: Path) -> Path:
    path = folder / STABILITY / f"{METRICS}.csv"
    path.write_text(path.read_text().replace("6144", "7168"))
    return folder


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "does not exist"),
        (glob_without_match, "matches no file"),
        (folder_without_log, "holds no log"),
        (empty_file, "is empty"),
        (header_alone, "no rows"),
        (no_log_at_all, "fits no known format"),
        (pickled_log, "pickle"),
        (damaged_parquet, "damaged"),
        (pickled_requests, "JSON Lines"),
        (pickled_requests_in_disguise, "JSON Lines"),
        (malformed_requests, "line 2"),
        (raw_folder_without_log, "holds no invocation log"),
        (size_without_price, "7168 MB"),
    ],
)
def test_an_input_that_cannot_be_used(
    folder: Path, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    source = make(folder)
    old = tmp_path / "old"
    old_report(old)
    before = tree(tmp_path)
    for out in (tmp_path / "made" / "out", old):
        (line,) = assert_fails(3, "analyze", source, "--out", out, "--overwrite")
        assert says in line
        assert str(folder) in line or make is size_without_price
        assert tree(tmp_path) == before


@pytest.mark.parametrize("make", [latency_nan, folder_with_nan])
def test_a_latency_that_is_no_number(folder: Path, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source, old = make(folder), old_report(tmp_path / "old")
    *lines, total, where = assert_fails(3, "analyze", source, "--out", old, "--overwrite")
    assert all(str(folder) in line and "got nan, expected a finite latency" in line for line in lines)
    assert "rejected" in total
    assert where == f"loadlens: {old}.rejects.csv: has all rejected rows"
    assert tree(old) == OLD_REPORT


@pytest.mark.parametrize(
    ("cell", "fault"),
    [("inf", "got inf, expected a finite number"), ("slow", "got 'slow', expected a number")],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_rows_that_cannot_be_used(
    folder: Path, tmp_path: Path, cell: str, fault: str, *, in_folder: bool
) -> None:
    source = folder / "log.csv"
    if in_folder:
        (folder / STABILITY / f"{LOG}.parquet").unlink()
        source = folder / STABILITY / f"{LOG}.csv"
    frame = log_of([Configuration()]).with_columns(pl.col("invocation_latency").cast(pl.String))
    bad = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(cell)).otherwise("invocation_latency")
    frame.with_columns(bad.alias("invocation_latency")).write_csv(source)
    old = tmp_path / "old"
    old_report(old)
    before = tree(folder)
    for out in (tmp_path / "made" / "out", old):
        *lines, where = assert_fails(
            3, "analyze", folder if in_folder else source, "--out", out, "--overwrite"
        )
        first, total = lines
        assert first == f"loadlens: {source}, line 3, column invocation_latency: {fault}"
        assert total.startswith("loadlens: 1 of 20 rows rejected, allowed: 0; mend them, or allow more")
        rejects = out.with_name(f"{out.name}.rejects.csv")
        assert where == f"loadlens: {rejects}: has all rejected rows"
        (row,) = pl.read_csv(rejects).rows(named=True)
        raw = source.read_text().splitlines()[2]
        expected = {"file": str(source), "line": 3, "column": "invocation_latency", "reason": fault}
        assert row == {**expected, "raw": raw}
    assert tree(folder) == before
    assert tree(old) == OLD_REPORT
    assert {path.name for path in tmp_path.iterdir()} == {"run", "made", "old", "old.rejects.csv"}
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.rejects.csv"]


def test_a_column_that_is_not_there(log: Path, tmp_path: Path) -> None:
    (line,) = assert_fails(3, "analyze", log, "--out", tmp_path / "out", "--by", "region")
    assert "missing column: region" in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("not toml", "is not TOML"),
        ("[data]\n", "missing sections"),
        (TABLE_OF_PRICES.replace("6144 = 3.0", "7168 = 3.0"), "6144 MB"),
    ],
)
def test_a_price_table_that_cannot_be_used(
    folder: Path, tmp_path: Path, content: str | None, says: str
) -> None:
    prices = tmp_path / "prices.toml"
    if content is not None:
        prices.write_text(content)
    before = tree(tmp_path)
    for args in (("analyze", folder), ("demo", "--rows", 600)):
        (line,) = assert_fails(3, *args, "--out", tmp_path / "made" / "out", "--prices", prices)
        assert says in line
        assert str(prices) in line
        assert tree(tmp_path) == before


def test_each_problem_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").write_bytes(b"\x80\x04\x95abc.")
    first, second = assert_fails(3, "analyze", tmp_path / "?.csv", "--out", tmp_path / "out")
    assert "a.csv: is empty" in first
    assert "b.csv: is a Python pickle" in second


def test_a_name_that_is_too_long(log: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert_fails(3, "analyze", "n" * 300, "--out", tmp_path / "out")
    assert_fails(2, "analyze", log, "--out", tmp_path / ("n" * 300))
    assert tree(tmp_path) == before


def test_a_bad_gate_is_shown_with_the_place_of_the_mistake(log: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    result = loadlens_("analyze", log, "--out", tmp_path / "out", "--slo", "p99 << 1s")
    assert result.exit_code == 2
    assert result.stderr.startswith("p99 << 1s\n    ^\nloadlens: gate ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["--slo-file", "--prices", "--traffic", "--capacity", "--baseline"])
def test_a_file_that_an_option_names_is_never_overwritten(log: Path, tmp_path: Path, kind: str) -> None:
    old = tmp_path / "old"
    old.mkdir()
    contents = {
        "--slo-file": '[[gate]]\nslo = "max < 1us"\n',
        "--prices": TABLE_OF_PRICES,
        "--traffic": "rate_per_s\n5\n",
    }
    file = old / "file"
    file.write_text(contents.get(kind) or log.read_text(encoding="utf-8"), encoding="utf-8")
    value = f"ml.c5.large={file}" if kind == "--capacity" else file
    before = tree(tmp_path)
    (line,) = assert_fails(2, "analyze", log, "--out", old, "--overwrite", kind, value)
    assert "overlaps" in line
    assert tree(tmp_path) == before
