"""A slice of a log is the log of its rows, however these come."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens import read_log, summarize
from loadlens.errors import InputError, UsageError
from loadlens.logs.outside import Outside
from loadlens.schema import LATENCY
from tests import readings
from tests.extent import combinations, examples
from tests.ten_minutes import BY, FORMS, WHERE, csv, log_of, mapped, parquet, several_files, sliced_by_pandas


def assert_same(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert got.columns == expected.columns
    assert got.rows() == expected.rows()


@pytest.mark.parametrize("form", FORMS)
def test_a_slice_is_the_log_of_its_rows(form: str, tmp_path: Path) -> None:
    log = log_of()
    source: Any = FORMS[form](log, tmp_path)
    got = summarize(source, BY, skip="60s", to="5min", where=WHERE)
    assert_same(got.summary, summarize(sliced_by_pandas(log, 60, 300), BY).summary)


@pytest.mark.parametrize("exact", [True, False])
def test_times_and_conditions_on_mapped_columns(exact: bool, tmp_path: Path) -> None:
    log = log_of().filter(pl.col(LATENCY) > 0)
    source: Any = mapped(log, tmp_path)
    expected = sliced_by_pandas(log, 60, 300)
    for begin in (
        "60s",
        "2026-11-22T00:01",
        "2026-11-22 01:01+01:00",
        datetime(2026, 11, 22, 0, 1, tzinfo=UTC),
    ):
        shift = log["start_time"].min()
        assert isinstance(shift, float)
        is_date = begin != "60s"
        rows = sliced_by_pandas(log, 1060 - shift, 1300 - shift) if is_date else expected
        to = "2026-11-22T00:05" if is_date else "5min"
        got = summarize(source, ["label"], from_=begin, to=to, where=WHERE, exact=exact)
        assert got.summary["num_invocations"].sum() == rows.height
        if exact:
            medians = rows.to_pandas().groupby("label")[LATENCY].median()
            assert got.summary["invocation_latency_median"].to_list() == pytest.approx(medians.to_list())


@pytest.mark.parametrize("form", ["csv", "parquet", "several files", "text beside Parquet"])
def test_workers_slice_their_parts_alike(form: str, tmp_path: Path) -> None:
    log = log_of()
    source: Any = FORMS[form](log, tmp_path)
    with ThreadPoolExecutor(2) as executor:
        got = summarize(source, BY, skip=60, to=300, where=WHERE, executor=executor, partition_rows=80)
    assert_same(got.summary, summarize(sliced_by_pandas(log, 60, 300), BY).summary)


def test_dates_are_refused_where_workers_find_no_calendar(tmp_path: Path) -> None:
    source: Any = several_files(log_of(), tmp_path)
    with ThreadPoolExecutor(2) as executor, pytest.raises(UsageError, match="of no calendar"):
        summarize(source, BY, to="2026-11-22", executor=executor, partition_rows=80)


@examples(10)
@given(
    seed=st.integers(0, 1000),
    skip_s=st.floats(0, 500),
    length_s=st.floats(50, 1000),
    form=st.sampled_from(["csv", "parquet", "several files", "frame", "lazy frame"]),
)
def test_any_slice_is_the_log_of_its_rows(
    seed: int, skip_s: float, length_s: float, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = log_of(seed=seed)
    source: Any = FORMS[form](log, tmp_path_factory.mktemp("any"))
    expected = sliced_by_pandas(log, skip_s, skip_s + length_s)
    keywords = {"skip": timedelta(seconds=skip_s), "to": skip_s + length_s, "where": WHERE}
    if timedelta(seconds=skip_s).total_seconds() != skip_s:
        keywords["skip"] = skip_s  # a timedelta has whole microseconds
    if expected.is_empty():
        with pytest.raises(InputError, match="no call lies in the slice"):
            summarize(source, BY, **keywords)  # type: ignore[arg-type]  # of several types
        return
    got = summarize(source, BY, **keywords)  # type: ignore[arg-type]  # of several types
    assert_same(got.summary, summarize(expected, BY).summary)


def outside_of(source: Any, **options: Any) -> Outside:
    log = read_log(source)
    summarize(log, [], **options)
    assert log.findings.outside is not None
    return log.findings.outside


@pytest.mark.parametrize("form", ["csv", "parquet", "several files", "frame", "lazy frame"])
def test_rows_outside_are_counted_by_why(form: str, tmp_path: Path) -> None:
    log = log_of()
    outside = outside_of(FORMS[form](log, tmp_path), skip="60s", to="5min", where=WHERE)
    frame = log.to_pandas()
    since = frame["start_time"] - frame["start_time"].min()
    assert outside.before == (since < 60).sum()
    assert outside.after == (since >= 300).sum()
    assert outside.inside == sliced_by_pandas(log, 60, 300).height
    assert outside.rows + outside.inside == len(frame)
    assert outside.first_start_s == frame["start_time"].min()


def test_a_log_tells_of_the_last_slice_alone(tmp_path: Path) -> None:
    log = read_log(csv(log_of(), tmp_path))  # type: ignore[arg-type]  # a path
    sliced = summarize(log, [], skip="60s")
    assert sliced.outside is log.findings.outside is not None
    whole = summarize(log, [])
    assert whole.outside is log.findings.outside is None
    assert whole.summary["num_invocations"].item() == 400


def test_slices_side_by_side_are_the_whole(tmp_path: Path) -> None:
    source: Any = parquet(log_of(), tmp_path)
    edges = [None, "100s", "250s", "400s", None]
    parts = [
        summarize(source, [], from_=begin, to=end).summary["num_invocations"].item()
        for begin, end in pairwise(edges)
    ]
    assert sum(parts) == 400


def test_a_row_without_a_start_lies_in_no_stretch_of_time() -> None:
    log = log_of().with_columns(
        pl.when(pl.int_range(pl.len()) % 4 != 0).then(pl.col("start_time")).alias("start_time")
    )
    outside = outside_of(log, to="10h")
    assert outside.without_start == 100
    assert summarize(log, [], where="start_time IS NULL").summary["num_invocations"].item() == 100


def test_a_condition_that_is_null_does_not_hold() -> None:
    log = log_of().with_columns(pl.when(pl.col("node") == "a").then(pl.lit("x")).alias("tag"))
    with_tag = log.filter(pl.col("node") == "a").height
    assert outside_of(log, where="tag = 'x'").inside == with_tag
    assert outside_of(log, where="NOT tag = 'y'").inside == with_tag
    assert outside_of(log, where="tag IS NULL").inside == 400 - with_tag


@pytest.mark.parametrize(
    "where",
    [
        pl.col("node") == "a",
        "node = 'a'",
        "node IN ('a', 'x')",
        "NOT (node LIKE 'b%')",
        pl.col("node").is_in(["a"]),
        "CASE WHEN node = 'a' THEN true ELSE false END",
    ],
)
def test_conditions_may_be_written_in_many_ways(where: str | pl.Expr) -> None:
    assert outside_of(log_of(), where=where).inside == log_of().filter(pl.col("node") == "a").height


@pytest.mark.parametrize("form", ["parquet", "several files", "frame", "lazy frame"])
def test_bad_rows_outside_are_told_as_ever(form: str, tmp_path: Path) -> None:
    latency = pl.when(pl.col("start_time") == pl.col("start_time").min()).then(-5.0).otherwise(LATENCY)
    log = log_of().with_columns(latency.alias(LATENCY))
    source: Any = FORMS[form](log, tmp_path)
    with pytest.raises(InputError, match="1 of 400 rows rejected"):
        summarize(source, [], skip="60s")
    allowed = read_log(source, max_rejects=1)
    got = summarize(allowed, [], skip="60s")
    good = log.filter(pl.col(LATENCY) != -5)
    assert allowed.findings.rejected == 1
    assert got.summary.rows() == summarize(good, [], skip="60s").summary.rows()
    assert allowed.findings.outside is not None
    assert allowed.findings.outside.first_start_s == good["start_time"].min()


def test_bad_lines_of_text_are_told_over_the_whole_log(tmp_path: Path) -> None:
    log_of().write_csv(tmp_path / "log.csv")
    with (tmp_path / "log.csv").open("a", encoding="utf-8") as file:
        file.write("oops,1.0,2.0,1024,login,a\n")
    with pytest.raises(InputError, match="1 of 401 rows rejected"):
        summarize(tmp_path / "log.csv", [], skip="60s")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no condition": ({"where": "memory_size +"}, "expected a condition in SQL"),
    "a query": ({"where": "SELECT 1"}, "expected a condition in SQL"),
    "a number": ({"where": "memory_size"}, "which is Int64, expected a condition"),
    "an unknown column": ({"where": "memory_sise > 1"}, "no column memory_sise; did you mean memory_size"),
    "a sum": ({"where": "SUM(memory_size) > 3"}, "several rows at once"),
    "a mean": ({"where": pl.col(LATENCY) > pl.col(LATENCY).mean()}, "several rows at once"),
    "a window": ({"where": "MAX(memory_size) OVER (PARTITION BY label) > 3"}, "several rows at once"),
    "the row before": ({"where": pl.col(LATENCY).shift() > 3}, "several rows at once"),
    "a rank": ({"where": "RANK() OVER (ORDER BY memory_size) = 1"}, "several rows at once"),
    "another query": ({"where": "memory_size > (SELECT 1)"}, "where: got"),
    "a column in capitals": ({"where": "LABEL = 'x'"}, "did you mean label"),
    "several columns": ({"where": pl.all().is_null()}, "several columns at once"),
    "a bad pattern": ({"where": "label ~ '('"}, "regex parse error"),
    "nothing": ({"where": " "}, "expected a condition in SQL"),
    "text as a number": ({"where": "label > 3"}, "CAST"),
    "no length": ({"skip": "60"}, "expected a length of time such as 60s"),
    "a date to skip": ({"skip": "2026-11-22"}, "expected a length of time such as 60s"),
    "less than nothing": ({"from_": -1}, "expected a length of time after"),
    "no time": ({"to": "noon"}, "a date and time, such as"),
    "nothing between": ({"from_": "5min", "to": "60s"}, "from 5min is not before to 60s"),
    "two begins": ({"skip": "5s", "from_": "60s"}, "both say where the slice begins"),
    "no calendar": ({"from_": "2026-11-22"}, "of no calendar"),
    "no calendar for an end": ({"to": datetime(2026, 11, 22)}, "of no calendar"),
    "of another type": ({"skip": [60]}, "skip: got"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("form", ["csv", "frame"])
def test_what_is_wrong_is_told_in_one_line(case: str, form: str, tmp_path: Path) -> None:
    options, told = WRONG[case]
    source: Any = FORMS[form](log_of(), tmp_path)
    with pytest.raises(UsageError, match=told.replace("(", r"\(")) as caught:
        summarize(source, [], **options)
    assert "\n" not in str(caught.value)


def test_a_log_without_starts_has_no_stretches_of_time() -> None:
    log = log_of().drop("start_time")
    with pytest.raises(UsageError, match=r"has no start_time.*--map start="):
        summarize(log, [], skip="60s")
    assert summarize(log, [], where="node = 'a'").summary.height == 1


def test_a_slice_without_calls_says_where_the_calls_are() -> None:
    with pytest.raises(
        InputError, match=r"no call lies in the slice --skip 1h, 400 lie outside \(400 before it\)"
    ):
        summarize(log_of(), [], skip="1h")


def test_the_first_start_is_that_of_all_files(tmp_path: Path) -> None:
    late, early = log_of(begin=1300.0, seed=1), log_of(begin=1000.0, seed=2)
    for name, log in (("a", late), ("b", early)):
        log.write_parquet(tmp_path / f"{name}.parquet")
    got = summarize([tmp_path / "a.parquet", tmp_path / "b.parquet"], [], skip="400s")
    frame = pd.concat([late.to_pandas(), early.to_pandas()])
    assert (
        got.summary["num_invocations"].item()
        == (frame["start_time"] >= frame["start_time"].min() + 400).sum()
    )


@pytest.mark.parametrize("skip", ["60s", "0s"])
def test_a_temporary_file_is_told_and_gone(skip: str, tmp_path: Path) -> None:
    log_of().write_parquet(tmp_path / "log.parquet")
    query = pl.scan_parquet(tmp_path / "log.parquet")
    (tmp_path / "spill").mkdir()
    result = summarize(query, [], skip=skip, spill_folder=tmp_path / "spill")
    assert result.spilled_bytes > 0
    assert not list((tmp_path / "spill").iterdir())


SHARED = Path(__file__).parents[3] / "shared" / "logs"
RECORDED = {
    "toolkit-run/stability_benchmark_raw_results/invocation_benchmark_results.csv": "loadlens-csv",
    "toolkit-run/concurrency_benchmark_raw_results/invocation_benchmark_results.csv": "loadlens-csv",
    "jmeter/taurus_slow-stdev.jtl": "jmeter-csv",
    "k6/gateway_json_get_user_id_1000_r1.csv": "k6-csv",
    "k6/gateway_json_get_user_id_1000_r1.ndjson": "k6-json",
    "vegeta/converted_tomelia_quick_test.csv": "vegeta-csv",
    "gatling/taurus_gatling-4-000.log": "gatling-text",
    "azure/Azure2021_200.csv": "azure-trace",
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("name", "part"), combinations(RECORDED, [(0.25, 0.75, False), (0.1, 2, True), (0, 0.5, False)])
)
def test_slices_of_recorded_logs_equal_those_of_another_reader(
    name: str, part: tuple[float, float, bool]
) -> None:
    """A part of the run, told by shares of its length; of the slow calls alone where that is asked for."""
    begin, end, slow = part
    rows = readings.frame(SHARED / name, RECORDED[name]).to_pandas()
    rows["success"] = rows.get("success", rows[LATENCY] > 0)
    start, middle = rows["start_time"], float(rows[LATENCY].median())
    from_s, to_s = round(begin * np.ptp(start), 3), round(end * np.ptp(start), 3)
    inside = (start >= start.min() + from_s) & (start < start.min() + to_s)
    chosen = rows[inside & (rows[LATENCY] > middle)] if slow else rows[inside]
    where = f"{LATENCY} > {middle!r}" if slow else None
    log = read_log(SHARED / name)
    (got,) = summarize(log, [], from_=from_s, to=to_s, where=where).summary.rows(named=True)
    assert log.findings.outside is not None
    assert log.findings.outside.inside == len(chosen)
    assert got["num_errors"] == (~chosen["success"]).sum()
    good = chosen[chosen["success"]][LATENCY]
    expected = {"p95": good.quantile(0.95), "median": good.median(), "mean": good.mean(), "max": good.max()}
    for column, value in expected.items():
        assert got[f"{LATENCY}_{column}"] == pytest.approx(value, rel=1e-9)
