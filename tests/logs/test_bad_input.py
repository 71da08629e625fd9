import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import loadlens
from loadlens.dialects import DIALECTS
from tests import sample_logs as logs
from tests.extent import some_rows

HEADER = "invocation_latency,memory_size,throttle_exception,response_size,end_time,success\n"
GOOD = "1.5,1024,0,10,3.5,true\n"


def problems_of(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(loadlens.LoadlensError) as caught:
        call()
    assert isinstance(caught.value, loadlens.InputError)
    assert caught.value.exit_code == 3
    assert all(problem and "\n" not in problem and len(problem) < 1000 for problem in caught.value.problems)
    return caught.value.problems


def problems_in(source: object, **options: object) -> tuple[str, ...]:
    return problems_of(lambda: loadlens.summarize(source, **options))  # type: ignore[arg-type]


def rejected_in(source: object, **options: object) -> tuple[str, ...]:
    """One line for each of the first rejected rows; the last line of the message is checked here."""
    *rows, total = problems_in(source, **options)
    assert "rejected" in total
    assert "mend them" in total
    return tuple(rows)


def file_of(folder: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet_bytes(folder: Path) -> bytes:
    path = folder / "whole.parquet"
    logs.small_log().write_parquet(path)
    content = path.read_bytes()
    path.unlink()
    return content


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    assert problems_in(path) == (f"{path}: does not exist; check the path",)


def test_a_pattern_without_a_match(tmp_path: Path) -> None:
    pattern = f"{tmp_path}/*.csv"
    assert problems_in(pattern) == (f"{pattern}: matches no file; check the path",)


def test_an_empty_folder(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path)
    assert problem.startswith(f"{tmp_path}: holds no log")


def test_a_folder_of_other_files(tmp_path: Path) -> None:
    file_of(tmp_path, "hello", "notes.txt")
    (problem,) = problems_in(tmp_path)
    assert problem.startswith(f"{tmp_path}: holds no log")


@pytest.mark.parametrize(
    ("name", "content"), [("notes.csv", "hello"), ("notes.txt", b"\x80\x04K\x01."), ("notes.log", "")]
)
def test_files_of_a_folder_that_are_not_passed_over(tmp_path: Path, name: str, content: str | bytes) -> None:
    file_of(tmp_path, HEADER + GOOD)
    path = file_of(tmp_path, content, name)
    (problem,) = problems_in(tmp_path)
    assert problem.startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, "", name)
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is empty (0 bytes)")


@pytest.mark.parametrize(
    "content",
    [HEADER, HEADER.strip(), HEADER + "\n", HEADER.replace("\n", "\r\n")],
    ids=["whole", "cut", "blank", "crlf"],
)
def test_a_header_only(tmp_path: Path, content: str) -> None:
    path = file_of(tmp_path, content)
    assert problems_in(path) == (f"{path}: has no rows",)


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    logs.small_log().head(0).write_parquet(path)
    assert problems_in(path) == (f"{path}: has columns but no rows",)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_frame_without_rows(*, lazy: bool) -> None:
    frame = logs.small_log().head(0)
    (problem,) = problems_in(frame.lazy() if lazy else frame)
    assert "no rows" in problem


def test_all_missing_columns_are_listed_for_each_file(tmp_path: Path) -> None:
    first = file_of(tmp_path, "invocation_latency,end_time,memory_size\n1,2,3\n", "a.csv")
    second = file_of(tmp_path, "zone,num_clients,invocation_latency\nx,2,1\n", "b.csv")
    problems = problems_of(lambda: loadlens.summarize_concurrency_results([first, second]))
    of_the_first = (
        "insufficient_memory_error, max_concurrency, num_clients, other_model_error, throttle_exception; "
        "it has: end_time, invocation_latency, memory_size"
    )
    of_the_second = (
        "end_time, insufficient_memory_error, max_concurrency, memory_size, "
        "other_model_error, throttle_exception; it has: invocation_latency, num_clients, zone"
    )
    assert problems == (
        f"{first}: missing columns: {of_the_first}",
        f"{second}: missing columns: {of_the_second}",
    )


def test_what_is_missing_in_many_files_alike_is_told_once(tmp_path: Path) -> None:
    for name in "abc":
        file_of(tmp_path, f"label,invocation_latency\n{name},2\n", f"{name}.csv")
    told = "missing column: zone; it has: invocation_latency, label"
    assert problems_in(tmp_path, by=["zone"]) == (f"{tmp_path / 'a.csv'} and 2 more files: {told}",)
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    for name in "de":
        file_of(lacking, f"timeStamp,label,responseCode,threadName\n1,{name},200,g\n", f"{name}.jtl")
    (problem,) = problems_in(lacking, by=["label"])
    assert problem.startswith(
        f"{lacking / 'd.jtl'} and 1 more file: looks like JMeter CSV, but lacks the col"
    )


def test_a_missing_column_of_a_stability_log() -> None:
    log = logs.small_log().drop("response_size")
    (problem,) = problems_of(lambda: loadlens.summarize_stability_results(log))
    assert "missing column: response_size;" in problem


@pytest.mark.parametrize("as_file", [True, False])
def test_missing_key_columns(tmp_path: Path, *, as_file: bool) -> None:
    source = file_of(tmp_path, HEADER + GOOD) if as_file else logs.small_log()
    (problem,) = problems_in(source, by=["zone", "memory_size", "area"])
    assert "missing columns: area, zone;" in problem


def test_doubled_columns_are_all_listed(tmp_path: Path) -> None:
    path = file_of(tmp_path, "b,invocation_latency,a,b,a,c\n1,2,3,4,5,6\n")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: the header has doubled columns: a, b;")


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    good = file_of(tmp_path, HEADER + GOOD, "good.csv")
    empty = file_of(tmp_path, "", "empty.csv")
    doubled = file_of(tmp_path, "a,a,invocation_latency\n1,2,3\n", "doubled.csv")
    other = file_of(tmp_path, "a,b\n1,2\n", "other.csv")
    problems = problems_in([good, empty, doubled, other])
    assert [problem.split(": ")[0] for problem in problems] == [str(empty), str(doubled), str(other)]


@pytest.mark.parametrize(
    ("column", "value", "got", "expected"),
    some_rows(
        [
            ("invocation_latency", "fast", "'fast'", "a number"),
            ("invocation_latency", "1,5", "'1,5'", "a number"),
            ("invocation_latency", "NaN", "nan", "a finite number"),
            ("invocation_latency", "inf", "inf", "a finite number"),
            ("invocation_latency", "-inf", "-inf", "a finite number"),
            ("invocation_latency", "-2", "-2.0", "or -1 for a failed call"),
            ("invocation_latency", "-0.5", "-0.5", "or -1 for a failed call"),
            ("invocation_latency", "1e13", "10000000000000.0", "1e+12 ms"),
            ("memory_size", "1024.5", "1024.5", "a whole number"),
            ("memory_size", "-5", "-5", "a whole number, 0 or more"),
            ("memory_size", "", "nothing", "a whole number"),
            ("memory_size", "big", "'big'", "a number"),
            ("memory_size", "1e30", "1e+30", "a whole number"),
            ("throttle_exception", "2", "2", "0, 1 or empty"),
            ("throttle_exception", "0.5", "0.5", "a whole number"),
            ("throttle_exception", "-1", "-1", "0, 1 or empty"),
            ("throttle_exception", "300", "300", "0, 1 or empty"),
            ("response_size", "-3", "-3", "a whole number of bytes"),
            ("response_size", "10.5", "10.5", "a whole number"),
            ("end_time", "inf", "inf", "a finite number"),
            ("end_time", "1e11", "100000000000.0", "a finite number of seconds"),
            ("end_time", "2026-01-01", "'2026-01-01'", "a number"),
            ("success", "maybe", "'maybe'", "true or false"),
            ("success", "", "nothing", "true or false"),
        ],
        3,
    ),
)
def test_a_wrong_value_is_shown_with_its_place(
    tmp_path: Path, column: str, value: str, got: str, expected: str
) -> None:
    columns = HEADER.strip().split(",")
    cells = GOOD.strip().split(",")
    cells[columns.index(column)] = f'"{value}"' if value else ""
    path = file_of(tmp_path, HEADER + 2 * GOOD + ",".join(cells) + "\n" + GOOD)
    # A row is rejected whichever columns are asked for.
    for by in (["memory_size"], []):
        (problem,) = rejected_in(path, by=by)
        assert problem.startswith(f"{path}, line 4, column {column}: got {got}, expected ")
        assert expected in problem
    assert rejected_in(path) == problems_of(lambda: loadlens.summarize_stability_results(path))[:-1]


def test_the_file_at_fault_among_several(tmp_path: Path) -> None:
    paths = [file_of(tmp_path, HEADER + (5 + number) * GOOD, f"{number}.csv") for number in range(3)]
    bad = file_of(tmp_path, HEADER + GOOD + GOOD.replace("1.5", "nan"), "1.csv")
    (problem,) = rejected_in(paths)
    assert problem.startswith(f"{bad}, line 3, column invocation_latency: got nan")
    bad = file_of(tmp_path, HEADER + GOOD + GOOD.replace("1.5", "soon"), "1.csv")
    (problem,) = rejected_in(tmp_path)
    assert problem.startswith(f"{bad}, line 3, column invocation_latency: got 'soon'")


def test_how_many_rows_are_wrong(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER + GOOD + 1200 * GOOD.replace("1.5", "-7"))
    *rows, total = problems_in(path)
    assert [row.split(", column")[0] for row in rows] == [f"{path}, line {line}" for line in range(3, 8)]
    assert total.startswith("1,200 of 1,201 rows rejected, allowed: 0;")


def test_one_line_for_each_broken_row(tmp_path: Path) -> None:
    bad = ["nan,-5,7,10,inf,true", "1,-5,0,10,3,true", "1,1024,7,10,3,true", "1,1024,0,10,inf,true"]
    path = file_of(tmp_path, HEADER + "\n".join([*bad, GOOD]))
    places = [problem.split(": ")[0] for problem in rejected_in(path)]
    columns = ["invocation_latency", "memory_size", "throttle_exception", "end_time"]
    assert places == [f"{path}, line {line}, column {name}" for line, name in enumerate(columns, start=2)]


def test_no_row_that_can_be_read(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER + 2 * GOOD.replace("1.5", "soon"))
    for max_rejects in (0, 2, "100%"):
        log = loadlens.read_log(path, max_rejects=max_rejects)
        problems = problems_in(log)
        assert [problem.split(":")[0] for problem in problems[:-1]] == [
            f"{path}, line {line}, column invocation_latency" for line in (2, 3)
        ]
        assert problems[-1].startswith("all 2 rows rejected")


def test_a_row_without_a_value(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER + GOOD + ",,,,,\n" + "\n" + GOOD)
    (problem,) = rejected_in(path)
    assert (
        problem == f"{path}, line 3, column invocation_latency: got nothing, expected a value in any column"
    )


@pytest.mark.parametrize("name", ["memory_size", "max_concurrency", "num_clients"])
@pytest.mark.parametrize("value", [None, 0.5, float("nan"), float("inf"), -1])
def test_configurations_of_a_frame_are_whole_numbers(name: str, value: float | None) -> None:
    whole = logs.small_log()
    log = whole.with_columns(
        pl.when(pl.int_range(pl.len()) == 4).then(pl.lit(value)).otherwise(name).alias(name)
    )
    problem, _total = problems_of(lambda: loadlens.summarize_concurrency_results(log))
    got = "nothing" if value is None else value
    assert f"row 5, column {name}: got {got}, expected a whole number" in problem


def test_nan_in_a_frame() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, float("nan"), 2.0]})
    (problem,) = rejected_in(log)
    assert "row 2, column invocation_latency: got nan, expected a finite latency" in problem


@pytest.mark.parametrize("name", ["invocation_latency", "memory_size", "end_time"])
def test_text_in_a_frame(name: str) -> None:
    (problem,) = problems_in(logs.small_log().cast({name: pl.String}))
    assert f"column {name} is String" in problem


@pytest.mark.parametrize("as_file", [True, False])
def test_timestamps_are_no_seconds(tmp_path: Path, *, as_file: bool) -> None:
    log = logs.small_log().with_columns(pl.from_epoch(pl.col("end_time") * 1e6, time_unit="us"))
    log.write_parquet(tmp_path / "log.parquet")
    (problem,) = problems_in(tmp_path / "log.parquet" if as_file else log)
    assert "column end_time" in problem
    assert "Datetime" in problem


def test_text_in_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"invocation_latency": ["1.5", "2", "fast"]}).write_parquet(path)
    (problem,) = problems_in(path)
    assert problem.startswith(str(path))
    assert "column invocation_latency" in problem
    assert "damaged" not in problem


def test_a_wrong_value_in_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"invocation_latency": [1.0, 2.0, 1e13]}).write_parquet(path)
    (problem,) = rejected_in(path)
    assert problem.startswith(f"{path}, row 3, column invocation_latency: got 10000000000000.0")


@pytest.mark.parametrize("name", ["log.pkl", "log.csv", "log.parquet"])
def test_a_pickle_is_refused_unread(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, pickle.dumps({"invocation_latency": [1.0]}), name)
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is a Python pickle")


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    content = parquet_bytes(tmp_path)
    path = file_of(tmp_path, content[: len(content) // 2], "log.parquet")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is a damaged Parquet file")


@pytest.mark.parametrize("seed", range(5))
def test_a_scrambled_parquet_file(tmp_path: Path, seed: int) -> None:
    content = bytearray(parquet_bytes(tmp_path))
    content[8:2000] = np.random.default_rng(seed).bytes(1992)
    path = file_of(tmp_path, bytes(content), "log.parquet")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is damaged")


def test_a_scrambled_parquet_footer(tmp_path: Path) -> None:
    content = bytearray(parquet_bytes(tmp_path))
    content[-200:-8] = bytes(192)
    path = file_of(tmp_path, bytes(content), "log.parquet")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is a damaged Parquet file")


def test_text_under_the_name_of_parquet(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER + GOOD, "log.parquet")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is not a Parquet file")


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_under_the_name_of_csv(tmp_path: Path, seed: int) -> None:
    path = file_of(tmp_path, np.random.default_rng(seed).bytes(4000))
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is binary data")


def test_bytes_that_are_no_text_far_into_a_file(tmp_path: Path) -> None:
    text = (HEADER + 20_000 * GOOD).encode()
    path = file_of(tmp_path, text + b"\xff\xfe\xfa,1\n")
    assert rejected_in(path) == (f"{path}, line 20002: got 2 cells, expected 6",)
    path = file_of(tmp_path, text + GOOD.replace("true", "yes\xff").encode("latin-1"))
    assert rejected_in(path) == (f"{path}, line 20002, column success: is not valid UTF-8",)


def compressed(data: bytes, name: str) -> bytes:
    return gzip.compress(data) if name.endswith(".gz") else pa.compress(data, "zstd", asbytes=True)


@pytest.mark.parametrize("name", ["log.csv.gz", "log.csv.zst"])
@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_compressed_file_that_is_cut_off(tmp_path: Path, name: str, rows: int) -> None:
    latencies = np.random.default_rng(0).random(rows).round(9)
    text = "\n".join(["invocation_latency", *map(str, latencies), ""])
    data = compressed(text.encode(), name)
    path = file_of(tmp_path, data[: len(data) // 2], name)
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is damaged or cut off after ")


@pytest.mark.parametrize("name", ["log.csv.gz", "log.csv.zst"])
def test_a_wrong_value_in_a_compressed_file(tmp_path: Path, name: str) -> None:
    text = HEADER + 2 * GOOD + GOOD.replace("1.5", "soon") + GOOD
    (problem,) = rejected_in(path := file_of(tmp_path, compressed(text.encode(), name), name))
    assert problem == f"{path}, line 4, column invocation_latency: got 'soon', expected a number"


def test_utf_16_text_without_a_byte_order_mark(tmp_path: Path) -> None:
    (problem,) = problems_in(file_of(tmp_path, (HEADER + GOOD).encode("utf-16-le")))
    assert "is binary data" in problem


def test_another_separator(tmp_path: Path) -> None:
    path = file_of(tmp_path, (HEADER + GOOD).replace(",", ";"))
    (problem,) = problems_in(path)
    assert problem.startswith(
        f"{path}: fits no known format, its first line is 'invocation_latency;memory_size;"
    )
    assert "--map" in problem


def test_every_known_format_is_listed(tmp_path: Path) -> None:
    (problem,) = problems_in(file_of(tmp_path, "a,b\n1,2\n"))
    known = problem.partition("expected one of: ")[2].partition(";")[0].split(", ")
    assert known == sorted(dialect.name for dialect in DIALECTS)


@pytest.mark.parametrize("cells", [1, 5, 7, 8])
def test_another_number_of_cells(tmp_path: Path, cells: int) -> None:
    row = ",".join([*GOOD.strip().split(","), "7", "8"][:cells])
    path = file_of(tmp_path, HEADER + GOOD + row + "\n" + GOOD)
    noun = "cell" if cells == 1 else "cells"
    assert rejected_in(path) == (f"{path}, line 3: got {cells} {noun}, expected 6",)


def test_an_empty_list_of_paths() -> None:
    (problem,) = problems_in([])
    assert "list of paths is empty" in problem


@pytest.mark.parametrize("source", [None, 5, [1, 2], [logs.small_log()]])
def test_what_is_no_source(source: object) -> None:
    (problem,) = problems_in(source)
    assert "paths" in problem


@pytest.mark.parametrize("outliers", ["mean", "", None, "MEAN-IQR"])
@pytest.mark.parametrize(
    "analysis",
    [loadlens.summarize, loadlens.summarize_stability_results, loadlens.summarize_concurrency_results],
)
def test_an_unknown_fence_is_refused(analysis: Callable[..., object], outliers: str | None) -> None:
    with pytest.raises(loadlens.UsageError, match="expected one of mean-iqr, tukey, none") as caught:
        analysis(logs.small_log(), outliers=outliers)
    assert caught.value.exit_code == 2


def test_a_lazy_frame_over_a_file_that_is_gone(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER + GOOD)
    frame = pl.scan_csv(path)
    path.unlink()
    (problem,) = problems_in(frame)
    assert str(path) in problem


def metrics_problems(source: object) -> tuple[str, ...]:
    log = logs.stability_log(logs.small_log())
    return problems_of(lambda: loadlens.summarize_stability_results(log, source))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "m.csv", "is empty"),
        ("a,Unit,metric_name\n1,2,3\n", "m.csv", "missing columns: Average, memory_size;"),
        ("metric_name,Average,Unit,memory_size\nModelLatency,fast,Percent,1024\n", "m.csv", "fast"),
        ("metric_name,Average,Unit,memory_size\nModelLatency,1,Percent,1024.5\n", "m.csv", "1024.5"),
        ("metric_name,Average,Unit,memory_size\nModelLatency,1,Percent,\n", "m.csv", "memory_size"),
        (b"PAR1nonsense", "m.parquet", ""),
        (b"\x80\x04K\x01.", "m.csv", "pickle"),
        (np.random.default_rng(0).bytes(2000), "m.csv", ""),
    ],
    ids=["empty", "columns", "text", "fraction", "no size", "parquet", "pickle", "random bytes"],
)
def test_bad_endpoint_metrics(tmp_path: Path, content: str | bytes, name: str, said: str) -> None:
    path = file_of(tmp_path, content, name)
    (problem,) = metrics_problems(path)
    assert problem.startswith(str(path))
    assert said in problem


def test_missing_endpoint_metrics(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    (problem,) = metrics_problems(path)
    assert problem.startswith(f"{path}: does not exist")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("memory_size", "big", "a number"),
        ("memory_size", "1024.5", "a whole number, 0 or more"),
        ("memory_size", "-1", "a whole number, 0 or more"),
        ("num_clients", "nan", "a whole number, 0 or more"),
        ("throttle_exception", "300", "0, 1 or empty"),
        ("success", "maybe", "true or false"),
    ],
)
def test_a_partition_of_a_wrong_value(
    tmp_path: Path, suffix: str, column: str, value: str, expected: str
) -> None:
    path = tmp_path / f"{column}={value}" / f"log.{suffix}"
    path.parent.mkdir()
    frame = pl.DataFrame({"invocation_latency": [1.0]})
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    assert problems_in(tmp_path) == (
        f"{path}: its path says column {column} is '{value}', expected {expected}",
    )
