import gzip
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from tests import sample_logs as logs
from tests.extent import combinations, examples, some_of

KEY = ["memory_size", "max_concurrency"]
SUFFIXES = ("csv", "parquet")


def write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def text_file(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def assert_same_summary(source: object, log: pl.DataFrame, by: list[str] = KEY) -> None:
    got = loadlens.summarize(source, by=by).summary  # type: ignore[arg-type]
    assert_frame_equal(got, loadlens.summarize(log, by=by).summary, rel_tol=1e-9)


def split(log: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    bounds = [0, *sorted(cut % (log.height + 1) for cut in cuts), log.height]
    return [log[start:end] for start, end in pairwise(bounds)]


def as_lazy(log: pl.DataFrame, _: Path) -> object:
    return log.lazy()


def as_pandas(log: pl.DataFrame, _: Path) -> object:
    return log.to_pandas()


def as_arrow(log: pl.DataFrame, _: Path) -> object:
    return log.to_arrow()


def as_csv(log: pl.DataFrame, folder: Path) -> object:
    return write(log, folder / "log.csv")


def as_text_path(log: pl.DataFrame, folder: Path) -> object:
    return str(write(log, folder / "log.csv"))


def as_parquet(log: pl.DataFrame, folder: Path) -> object:
    return write(log, folder / "log.parquet")


def as_pandas_csv(log: pl.DataFrame, folder: Path) -> object:
    log.to_pandas().to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def as_pandas_parquet(log: pl.DataFrame, folder: Path) -> object:
    log.to_pandas().to_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def as_gzipped_csv(log: pl.DataFrame, folder: Path) -> Path:
    return text_file(folder / "log.csv.gz", gzip.compress(log.write_csv().encode()))


def as_zstd_csv(log: pl.DataFrame, folder: Path) -> object:
    return text_file(folder / "log.csv.zst", pa.compress(log.write_csv().encode(), "zstd", asbytes=True))


def as_arrow_file(log: pl.DataFrame, folder: Path) -> object:
    log.write_ipc(folder / "log.arrow")
    return folder / "log.arrow"


FORMS = (
    as_lazy,
    as_pandas,
    as_arrow,
    as_csv,
    as_text_path,
    as_parquet,
    as_pandas_csv,
    as_pandas_parquet,
    as_gzipped_csv,
    as_zstd_csv,
    as_arrow_file,
)


@given(log=logs.logs(max_rows=15), form=st.sampled_from(FORMS))
def test_every_form_of_a_log_gives_the_same_summary(
    log: pl.DataFrame, form: Callable[[pl.DataFrame, Path], object]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_same_summary(form(log, Path(folder)), log)


@pytest.mark.parametrize("form", some_of(FORMS, 4))
def test_every_form_serves_every_analysis(
    tmp_path: Path, form: Callable[[pl.DataFrame, Path], object]
) -> None:
    log = logs.small_log()
    for analysis in (loadlens.summarize_stability_results, loadlens.summarize_concurrency_results):
        got, expected = analysis(form(log, tmp_path)), analysis(log)  # type: ignore[arg-type]
        assert_frame_equal(got.summary, expected.summary, rel_tol=1e-9)
        assert_frame_equal(got.quality, expected.quality, rel_tol=1e-9)
        assert got.average_response_size == pytest.approx(expected.average_response_size, rel=1e-9)
        assert_frame_equal(got.density, expected.density, rel_tol=1e-6)


@examples(2)
@given(
    log=logs.logs(max_rows=15),
    cuts=st.lists(st.integers(0, 500), max_size=4),
    suffixes=st.lists(st.sampled_from(SUFFIXES), min_size=5, max_size=5),
)
def test_a_log_in_several_files_is_one_log(log: pl.DataFrame, cuts: list[int], suffixes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, parts = Path(name), split(log, cuts)
        paths = [
            write(part, folder / f"part-{number}.{suffix}")
            for number, (part, suffix) in enumerate(zip(parts, suffixes, strict=False))
        ]
        assert_same_summary(paths, log)
        assert_same_summary([str(path) for path in reversed(paths)], log)
        assert_same_summary(folder, log)
        assert_same_summary(f"{folder}/part-*", log)


def test_a_generator_of_paths(tmp_path: Path) -> None:
    log = logs.small_log()
    paths = [write(part, tmp_path / f"{number}.csv") for number, part in enumerate(split(log, [10, 50]))]
    assert_same_summary((path for path in paths), log)


def test_folders_are_read_in_depth_and_hidden_files_are_not(tmp_path: Path) -> None:
    log = logs.small_log()
    first, second = split(log, [40])
    write(first, tmp_path / "logs" / "a.csv")
    write(second, tmp_path / "logs" / "deep" / "er" / "b.parquet")
    write(first, tmp_path / "logs" / ".hidden.csv")
    write(first, tmp_path / "logs" / "_temporary" / "c.parquet")
    notes = text_file(tmp_path / "logs" / "notes.txt", "not a log")
    text_file(tmp_path / "logs" / "README.md", "invocation_latency")
    assert_same_summary(tmp_path / "logs", log)
    assert_same_summary(f"{tmp_path}/**/[a-b].*", log)
    read = loadlens.read_log(tmp_path / "logs")
    for _ in range(2):
        assert f"1 file in no known format passed over: {notes}" in read.findings.sentences()
        loadlens.summarize(read, by=[])


@pytest.mark.parametrize("name", ["log.txt", "log.bin", "log.xml.gz"])
def test_logs_of_a_folder_under_odd_names(tmp_path: Path, name: str) -> None:
    log = logs.small_log()
    data = log.write_csv().encode()
    text_file(tmp_path / name, gzip.compress(data) if name.endswith(".gz") else data)
    assert_same_summary(tmp_path, log)
    assert not any("passed over" in sentence for sentence in loadlens.read_log(tmp_path).findings.sentences())


@pytest.mark.parametrize("again", ["a.csv", "../nested/a.csv", ".."])
def test_a_file_named_twice_is_read_once(tmp_path: Path, again: str) -> None:
    log = logs.small_log()
    path = write(log, tmp_path / "nested" / "a.csv")
    assert_same_summary([path, path.parent / again], log)


def test_parquet_is_preferred_to_text_of_the_same_stem(tmp_path: Path) -> None:
    log = logs.small_log()
    write(log.head(3), tmp_path / "a.csv")
    text_file(tmp_path / "a.jtl", log.head(3).write_csv())
    as_gzipped_csv(log.head(3), tmp_path).rename(tmp_path / "a.csv.gz")
    write(log, tmp_path / "a.parquet")
    assert_same_summary(tmp_path, log)


def test_the_invocation_log_of_a_raw_folder_is_taken_alone(tmp_path: Path) -> None:
    log = logs.small_log()
    write(log, tmp_path / "invocation_benchmark_results.csv")
    text_file(tmp_path / "endpoint_metrics.csv", "Average,Unit,metric_name\n1,Percent,x\n")
    assert_same_summary(tmp_path, log)
    write(log.head(50), tmp_path / "invocation_benchmark_results.parquet")
    assert_same_summary(tmp_path, log.head(50))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_hive_partitions_become_columns(tmp_path: Path, suffix: str) -> None:
    log = logs.small_log().with_columns(
        zone=pl.when(pl.int_range(pl.len()) < 50).then(pl.lit("a b")).otherwise(None)
    )
    for (memory, zone), part in log.group_by("memory_size", "zone"):
        hive = tmp_path / f"memory_size={memory}" / f"zone={zone or '__HIVE_DEFAULT_PARTITION__'}"
        write(part.drop("memory_size", "zone"), hive / f"part.{suffix}")
    assert_same_summary(tmp_path, log, ["memory_size", "zone"])
    assert_same_summary([tmp_path], log, ["zone"])
    assert loadlens.scan_log(tmp_path).collect_schema()["memory_size"] == pl.Int64
    result = loadlens.summarize_concurrency_results(tmp_path).summary
    assert_frame_equal(result, loadlens.summarize_concurrency_results(log).summary, rel_tol=1e-9)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", ["9", "big"])
def test_a_column_of_the_file_wins_over_its_partition(tmp_path: Path, suffix: str, value: str) -> None:
    log = logs.small_log()
    write(log, tmp_path / f"memory_size={value}" / f"part.{suffix}")
    assert_same_summary(tmp_path, log)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_inner_partition_wins(tmp_path: Path, suffix: str) -> None:
    log = logs.small_log().drop("memory_size")
    write(log, tmp_path / "memory_size=1" / "memory_size=2" / f"part.{suffix}")
    assert loadlens.summarize(tmp_path, by=["memory_size"]).summary["memory_size"].to_list() == [2]


def test_partition_values_sort_as_numbers(tmp_path: Path) -> None:
    for users in (10, 2, 100):
        write(logs.small_log(), tmp_path / f"users={users}" / "part.csv")
    assert loadlens.summarize(tmp_path, by=["users"]).summary["users"].to_list() == [2, 10, 100]


def test_parquet_files_may_differ_in_numeric_types(tmp_path: Path) -> None:
    log = logs.small_log()
    whole = log.with_columns(pl.col("invocation_latency", "start_time", "end_time").round())
    first, second = split(whole, [60])
    narrow = {"invocation_latency": pl.Int32, "end_time": pl.Int64, "memory_size": pl.UInt16}
    wide = {"memory_size": pl.Float64, "response_size": pl.Float64, "throttle_exception": pl.Float64}
    write(first.cast(narrow), tmp_path / "a.parquet")  # type: ignore[arg-type]
    write(second.cast(wide), tmp_path / "b.parquet")  # type: ignore[arg-type]
    assert_same_summary(tmp_path, whole)


def test_integers_that_pandas_wrote_with_decimal_points(tmp_path: Path) -> None:
    log = logs.small_log()
    log.to_pandas().astype(float).to_csv(tmp_path / "a.csv", index=False)
    assert ".0," in (tmp_path / "a.csv").read_text()
    assert_same_summary(tmp_path, log)
    sizes = loadlens.scan_log(tmp_path).collect()["response_size"]
    assert sizes.dtype == pl.Int64
    assert sizes.to_list() == log["response_size"].to_list()


def test_columns_that_only_some_files_have(tmp_path: Path) -> None:
    log = logs.small_log().with_columns(label=pl.lit("x"))
    first, second = split(log, [60])
    write(first.drop("label", "response_size"), tmp_path / "a.csv")
    write(second, tmp_path / "b.parquet")
    summary = loadlens.summarize(loadlens.scan_log(tmp_path), by=["label"]).summary
    assert summary.select("label", "num_invocations").rows() == [
        ("x", second["invocation_latency"].count()),
        (None, first["invocation_latency"].count()),
    ]


def test_a_header_without_rows_beside_a_log(tmp_path: Path) -> None:
    log = logs.small_log()
    write(log, tmp_path / "a.csv")
    write(log.head(0), tmp_path / "b.csv")
    write(log.head(0), tmp_path / "c.parquet")
    assert_same_summary(tmp_path, log)


@pytest.mark.parametrize(("mark", "ends"), combinations([b"", b"\xef\xbb\xbf"], ["\n", "\r\n"]))
def test_byte_order_mark_and_line_ends(tmp_path: Path, mark: bytes, ends: str) -> None:
    log = logs.small_log()
    text = log.write_csv().replace("\n", ends)
    assert_same_summary(text_file(tmp_path / "a.csv", mark + text.encode()), log)
    bare = text.removesuffix(ends)
    assert_same_summary(text_file(tmp_path / "b.csv", mark + bare.encode()), log)


@pytest.mark.parametrize("blank", ["", "\n\n", "\r\n"])
def test_blank_lines_are_no_rows(tmp_path: Path, blank: str) -> None:
    path = text_file(tmp_path / "a.csv", f"invocation_latency,label\n1,a\n{blank}3,a\n{blank}")
    row = loadlens.summarize(path, by=[]).summary.row(0, named=True)
    assert (row["num_invocations"], row["num_errors"]) == (2, 0)


def test_quoted_fields(tmp_path: Path) -> None:
    rows = 'a "b"', "c, d", "e\nf", "g"
    quoted = ['a ""b""', *rows[1:]]
    lines = [f'"{number}","{label}","1024"' for number, label in enumerate(quoted, start=1)]
    header = '"invocation_latency","label","memory_size"'
    path = text_file(tmp_path / "a.csv", "\n".join([header, *lines, ""]))
    summary = loadlens.summarize(path, by=["label"]).summary
    assert summary.select("label", "invocation_latency_max").rows() == list(
        zip(rows, (1, 2, 3, 4), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "suffix"),
    combinations(["run [2]", "a*b", "what?", "ünï cødé", "50% {x}", "a=b"], SUFFIXES, one_in=3),
)
def test_names_that_look_like_patterns(tmp_path: Path, name: str, suffix: str) -> None:
    log = logs.small_log()
    path = write(log, tmp_path / name / f"{name}.{suffix}")
    assert_same_summary(path, log)
    assert_same_summary(str(path), log)
    assert_same_summary(tmp_path / name, log)
    assert_same_summary([tmp_path], log)


def test_a_parquet_file_under_another_name(tmp_path: Path) -> None:
    log = logs.small_log()
    write(log, tmp_path / "a.parquet").rename(tmp_path / "a.csv")
    assert_same_summary(tmp_path / "a.csv", log)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.small_log()
    write(log, tmp_path / "logs" / "a.csv")
    monkeypatch.chdir(tmp_path)
    assert_same_summary("logs", log)
    assert_same_summary(os.path.join("logs", "*.csv"), log)  # noqa: PTH118


def test_an_empty_by_is_the_log_as_a_whole(tmp_path: Path) -> None:
    log = logs.small_log()
    summary = loadlens.summarize(write(log, tmp_path / "a.csv"), by=[]).summary
    assert summary.height == 1
    assert summary.columns[0] == "num_invocations"
    assert summary["num_invocations"].item() == log["invocation_latency"].count()
    assert_frame_equal(loadlens.summarize(log, by=[]).summary, summary, rel_tol=1e-9)


def test_scan_log_gives_canonical_types_lazily(tmp_path: Path) -> None:
    log = logs.small_log().with_columns(zone=pl.lit("7"), success=pl.col("invocation_latency") > 0)
    log = log.with_columns(pl.col("success").fill_null(value=False))
    scanned = loadlens.scan_log(write(log, tmp_path / "a.csv"))
    assert isinstance(scanned, pl.LazyFrame)
    assert scanned.collect_schema() == log.schema
    assert_frame_equal(scanned.collect(), log)


def test_success_as_other_tools_write_it(tmp_path: Path) -> None:
    text = "invocation_latency,success\n1,true\n2,False\n3,TRUE\n4,0\n5,1\n"
    summary = loadlens.summarize(text_file(tmp_path / "a.csv", text), by=[], outliers="none").summary
    assert summary.select("num_invocations", "num_errors", "invocation_latency_max").row(0) == (5, 2, 5)


def test_boolean_flags_and_decimals(tmp_path: Path) -> None:
    log = logs.small_log()
    flags = log.with_columns(pl.col("throttle_exception").cast(pl.Boolean))
    assert_same_summary(flags, log)
    assert_same_summary(write(flags, tmp_path / "a.parquet"), log)


def test_a_pandas_index_is_no_column() -> None:
    log = logs.small_log()
    frame = log.to_pandas()
    frame.index = pd.Index(np.random.default_rng(0).permutation(len(frame)))
    assert_same_summary(frame, log)
