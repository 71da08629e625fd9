"""Profiles in files: the same figures as from the log in one pass, the same bytes from the same calls."""

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError, OutputError, UsageError
from loadlens.logs import saved_profiles
from loadlens.logs.metadata import PROFILE_FACTS
from loadlens.saved.reading import Steps, merged_profile, merged_seconds
from loadlens.tasks.convert import convert
from loadlens.tasks.inspection import inspect_log, propose_map
from tests import sample_logs as logs
from tests.extent import combinations, examples, some_of
from tests.profile.cases import LOGS, assert_same_profile, keyed, log_of, spread
from tests.profile.damage import FACTS, changed_row, column_with, facts_with, rewritten, without_part

pytestmark = pytest.mark.usefixtures("no_drawings")

KEY = ("max_concurrency", "num_clients", "memory_size")
SUMS = 1e-7  # sums are saved with eight digits

quick = examples(3)


def saved(frame: pl.DataFrame, path: Path, by: Sequence[str] = ("memory_size",)) -> Path:
    loadlens.profile_log(frame, path, by=by, overwrite=True)
    return path


def assert_same_summary(got: loadlens.SummaryResult, expected: loadlens.SummaryResult) -> None:
    for name in ("summary", "quality", "spectrum"):
        assert_frame_equal(getattr(got, name), getattr(expected, name), rel_tol=SUMS, abs_tol=1e-300)
    counts = [
        result.timeline_overall.select("window_start_s", "window_s", "calls", "errors", "error_rate")
        for result in (got, expected)
    ]
    assert_frame_equal(*counts)
    # Points of a curve lie around 0, where the last digits of a bandwidth are large.
    close = 1e-5 + 1e-8 * float(expected.density["latency_ms"].max() or 0.0)  # type: ignore[arg-type]
    assert_frame_equal(got.density, expected.density, rel_tol=1e-5, abs_tol=close)
    # How wide windows of the heat map are depends on the parts that it is made of.
    heats = [
        result.heatmap.group_by("latency_low_ms").agg(pl.col("count").sum()).sort("latency_low_ms")
        for result in (got, expected)
    ]
    assert_frame_equal(*heats)
    assert got.seconds_without_completion == expected.seconds_without_completion
    assert got.relative_error == expected.relative_error > 0


def one_pass(frame: pl.DataFrame, by: Sequence[str]) -> loadlens.SummaryResult:
    return loadlens.summarize(frame, by, exact=False, heatmap=True)


def from_files(paths: Path | Sequence[Path], by: Sequence[str]) -> loadlens.SummaryResult:
    return loadlens.summarize(paths, by, heatmap=True)


@quick
@given(logs.logs(), st.sampled_from([(), ("memory_size",), KEY, KEY[:2]]))
def test_a_profile_gives_the_figures_of_one_pass(
    tmp_path: Path, frame: pl.DataFrame, by: tuple[str, ...]
) -> None:
    path = saved(frame, tmp_path / "run.profile", KEY)
    assert_same_summary(from_files(path, by), one_pass(frame, by))


@pytest.mark.parametrize(
    "name", some_of(["12 decades", "denormals and zeros", "some without latency", "none succeeds"], 2)
)
def test_hard_logs_keep_their_figures(name: str, tmp_path: Path) -> None:
    frame = keyed(LOGS[name]())
    path = saved(frame, tmp_path / "run.profile")
    assert_same_summary(from_files(path, ["memory_size"]), one_pass(frame, ["memory_size"]))


def test_order_statistics_are_within_the_stated_bound(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(3000)))
    got = loadlens.summarize(saved(frame, tmp_path / "run.profile"), ["memory_size"])
    exact = loadlens.summarize(frame, ["memory_size"])
    for name in ("invocation_latency_p90", "invocation_latency_p99", "invocation_latency_p999"):
        off = (got.summary[name] - exact.summary[name]).abs() / exact.summary[name]
        assert off.max() <= got.relative_error  # type: ignore[operator]
    assert got.summary["num_invocations"].equals(exact.summary["num_invocations"])


def parts_in_time(rows: int, parts: int, *, overlap: float) -> list[pl.DataFrame]:
    """Logs one after the other, each longer by ``overlap`` than the way to the next."""
    return [
        keyed(log_of(spread(rows, seed=part), seconds=60)).with_columns(
            pl.col("start_time", "end_time") + part * 61 * (1 - overlap)
        )
        for part in range(parts)
    ]


@pytest.mark.parametrize(("overlap", "by"), combinations([0.0, 1.0, 0.5], [(), ("memory_size",)], one_in=3))
def test_profiles_of_parts_give_the_figures_of_the_whole(
    overlap: float, by: tuple[str, ...], tmp_path: Path
) -> None:
    frames = parts_in_time(400, 4, overlap=overlap)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(frames)]
    expected = one_pass(pl.concat(frames), by)
    assert_same_summary(from_files(paths, by), expected)
    loadlens.merge_profiles(paths, tmp_path / "all.profile")
    assert_same_summary(from_files(tmp_path / "all.profile", by), expected)


def test_a_long_run_keeps_its_throughput_in_coarser_windows(tmp_path: Path) -> None:
    frame = log_of(spread(4000), seconds=50_000).with_columns(
        pl.when(pl.int_range(4000) % 7 == 0)
        .then(-1.0)
        .otherwise("invocation_latency")
        .alias("invocation_latency")
    )
    got = from_files(saved(frame, tmp_path / "run.profile", []), [])
    timeline = got.timeline_overall
    assert timeline.height <= 256
    width = int(timeline["window_s"][0])
    assert width % 64 == 0
    ends = frame.filter(pl.col("invocation_latency") > 0)["end_time"].to_numpy().astype(int)
    start = int(timeline["window_start_s"][0])
    counts = np.bincount((ends - start) // width, minlength=timeline.height)
    assert timeline["throughput"].null_count() == 2  # of the windows in which the run begins and ends
    assert np.allclose(timeline["throughput"][1:-1], counts[1:-1] / width, rtol=1e-12)
    assert got.seconds_without_completion == one_pass(frame, []).seconds_without_completion


@pytest.mark.slow
def test_steps_and_slices_of_any_size_give_the_same(tmp_path: Path) -> None:
    frames = parts_in_time(300, 5, overlap=0.7)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(frames)]
    several, small = saved_profiles(paths), Steps(rows=1, seconds=20)
    once, stepped = (merged_profile(several, ["memory_size"], steps=steps) for steps in (Steps(), small))
    for name in ("keys", "figures", "buckets", "rates"):
        assert_frame_equal(getattr(stepped, name), getattr(once, name), check_row_order=name != "rates")
    assert_same_summary(from_files(paths, ["memory_size"]), one_pass(pl.concat(frames), ["memory_size"]))
    whole, *slices = (
        list(merged_seconds(several, once.keys, ["memory_size"], steps=steps)) for steps in (Steps(), small)
    )
    assert len(whole) == 1 < len(slices[0])
    assert pl.concat(slices[0]).equals(whole[0]), "but for where they are cut the seconds are the same"


def test_a_loaded_profile_is_the_profile_of_the_log(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(500)))
    loaded = loadlens.load_profile(saved(frame, tmp_path / "run.profile"))
    profile = one_pass(frame, ["memory_size"]).profile
    assert_same_profile(loaded, replace(profile, heat=profile.even_heat))
    assert loaded.merge(loaded).seconds["calls"].sum() == 1000


@quick
@given(logs.logs(), st.randoms(use_true_random=False))
def test_the_same_calls_give_the_same_bytes(tmp_path: Path, frame: pl.DataFrame, random: Any) -> None:
    order = list(range(frame.height))
    random.shuffle(order)
    first, second = (
        saved(rows, tmp_path / "run.profile", KEY).read_bytes() for rows in (frame, frame[order])
    )
    assert first == second


def test_merging_in_any_order_gives_the_same_bytes(tmp_path: Path) -> None:
    frames = parts_in_time(100, 3, overlap=0.3)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(frames)]
    found = set()
    for order in itertools.permutations(paths):
        loadlens.merge_profiles(order, tmp_path / "all.profile", overwrite=True)
        found.add((tmp_path / "all.profile").read_bytes())
    assert len(found) == 1


KEYS: dict[str, pl.Series] = {
    "nulls": pl.Series(["a", None]),
    "numbers as text": pl.Series(["2", "10"]),
    "booleans": pl.Series([True, False, None]),
    "dates": pl.Series([dt.date(2024, 1, 1), dt.date(2023, 1, 1)]),
    "floats": pl.Series([1.5, 2.5]),
    "categories": pl.Series(["b", "a"], dtype=pl.Categorical),
    "nothing": pl.Series([None], dtype=pl.Null),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_any_type(name: str, tmp_path: Path) -> None:
    values = KEYS[name]
    frame = log_of(spread(60)).with_columns(values.gather(np.arange(60) % len(values)).alias("k"))
    got = from_files(saved(frame, tmp_path / "run.profile", ["k"]), ["k"])
    expected = (
        one_pass(frame, ["k"]).summary.with_columns(pl.col("k").cast(got.summary.schema["k"])).sort("k")
    )
    assert_frame_equal(got.summary.sort("k"), expected, rel_tol=SUMS)


def test_keys_of_two_types_come_together(tmp_path: Path) -> None:
    numbers, texts = (log_of(spread(20)).with_columns(k=pl.lit(value)) for value in (7, "x"))
    paths = [
        saved(numbers, tmp_path / "1.profile", ["k"]),
        saved(texts.head(19), tmp_path / "2.profile", ["k"]),
    ]
    assert sorted(from_files(paths, ["k"]).summary["k"].to_list()) == ["7", "x"]


def test_error_classes_and_columns_are_kept(tmp_path: Path) -> None:
    frame = log_of([10.0, -1.0, -1.0], success=[True, False, False]).with_columns(
        error=pl.Series([None, "timeout", "refused"])
    )
    plain = log_of([11.0, 12.0], success=[True, True]).drop("throttle_exception")
    paths = [saved(frame, tmp_path / "1.profile", []), saved(plain, tmp_path / "2.profile", [])]
    summary = from_files(paths, []).summary
    assert summary.select("error_timeout", "error_refused", "num_errors").row(0) == (1, 1, 2)


def test_logs_without_times_or_successes(tmp_path: Path) -> None:
    for number, frame in enumerate([log_of([-1.0] * 5), log_of([3.0] * 5).drop("start_time", "end_time")]):
        path = saved(frame, tmp_path / f"{number}.profile", [])
        assert_same_summary(from_files(path, []), one_pass(frame, []))


# Logs beside profiles.


@pytest.mark.parametrize(
    ("overlap", "by", "suffix"),
    combinations([0.0, 0.5, 1.0], [("memory_size",), ()], ["parquet", "csv"], one_in=5),
)
def test_a_log_beside_profiles_gives_the_figures_of_all_calls(
    overlap: float, by: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    *days, today = parts_in_time(400, 4, overlap=overlap)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(days)]
    log = tmp_path / f"today.{suffix}"
    today.write_parquet(log) if suffix == "parquet" else today.write_csv(log)
    expected = one_pass(pl.concat([*days, today]), by)
    assert_same_summary(from_files([log, *paths], by), expected)
    assert_same_summary(from_files(tmp_path, by), expected)


def test_a_log_beside_profiles_is_measured_in_slices_of_any_size(tmp_path: Path) -> None:
    *days, today = parts_in_time(300, 3, overlap=0.7)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(days)]
    today.write_parquet(tmp_path / "today.parquet")
    got = from_files([*paths, tmp_path / "today.parquet"], ["memory_size"])
    assert_same_summary(got, one_pass(pl.concat([*days, today]), ["memory_size"]))
    beside, several = one_pass(today, ["memory_size"]).profile, saved_profiles(paths)
    once, stepped = (
        merged_profile(several, ["memory_size"], beside, steps=steps)
        for steps in (Steps(), Steps(seconds=20))
    )
    assert_frame_equal(stepped.rates, once.rates, check_row_order=False)
    assert_frame_equal(stepped.figures, once.figures)


def test_a_log_beside_profiles_is_judged_and_compared(tmp_path: Path) -> None:
    *days, today = parts_in_time(400, 3, overlap=0.0)
    paths = [saved(frame, tmp_path / f"{number}.profile") for number, frame in enumerate(days)]
    today.write_parquet(tmp_path / "today.parquet")
    week, whole = [*paths, tmp_path / "today.parquet"], pl.concat([*days, today])
    checked = loadlens.check_gates(week, ["p50 < 1s", "error_rate < 1%"])
    assert checked.by == ("memory_size",)
    assert checked.relative_error > 0
    assert sum(verdict.calls for verdict in checked.of(checked.gates[1])) == whole.height
    compared = loadlens.compare(paths, week)
    assert compared.keys["candidate_calls"].sum() == whole.height
    exact = loadlens.compare(pl.concat(days), whole, ["memory_size"])
    figures = [
        # Throughput of a profile counts the calls above the fence too.
        found.metrics.filter(pl.col("metric") != "throughput").select("memory_size", "metric", "candidate")
        for found in (compared, exact)
    ]
    assert_frame_equal(*figures, rel_tol=1 / 256)


def test_bad_rows_of_a_log_beside_profiles_are_written_and_all_findings_told(tmp_path: Path) -> None:
    text = "invocation_latency,start_time,end_time,billed_duration\n1.5,0,1,2\nx,1,2,2\n2.5,3,4,3\n"
    for day, rows in enumerate((text, text.replace("2.5", "3.5"))):
        (tmp_path / f"{day}.csv").write_text(rows)
    reading = loadlens.Reading.of(max_rejects=1)
    loadlens.profile_log(tmp_path / "0.csv", tmp_path / "0.profile", reading=reading)
    inputs = [tmp_path / "0.profile", tmp_path / "1.csv"]
    found = loadlens.analyze(inputs, tmp_path / "report", reading=reading)
    assert found.relative_error > 0
    rejects = pl.read_csv(tmp_path / "report" / "rejects.csv")
    assert rejects["file"].to_list() == [str(tmp_path / "1.csv")]
    document = (tmp_path / "report" / "summary.json").read_text()
    for sentence in (
        "figures come from a saved profile of 2 calls, and from logs read in one pass",
        "1 row was rejected when the logs were profiled",
        "profiles keep no billed_duration",
        '"rejected": 1',
    ):
        assert sentence in document
    with pytest.raises(InputError, match="1 of 3 rows rejected"):
        loadlens.summarize(inputs, by=[])


def test_keys_of_a_log_beside_profiles_may_be_of_another_type(tmp_path: Path) -> None:
    log, paths = tmp_path / "today.parquet", []
    for name, values in {"numbers": [1, 2], "texts": ["a", "2"]}.items():
        rows = log_of(spread(40)).with_columns(k=pl.Series(values * 20))
        paths.append(saved(rows, tmp_path / f"{name}.profile", ["k"]))
    categories = pl.Series(["2", "b"] * 20, dtype=pl.Categorical)
    log_of(spread(40)).with_columns(k=categories).write_parquet(log)
    for profile, expected in zip(
        paths, [{"1": 20, "2": 40, "b": 20}, {"a": 20, "2": 40, "b": 20}], strict=True
    ):
        summary = from_files([profile, log], ["k"]).summary
        assert dict(summary.select("k", "num_invocations").iter_rows()) == expected


def test_a_log_that_a_profile_holds_is_refused_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    keyed(log_of(spread(30))).write_parquet(log)
    loadlens.profile_log(log, tmp_path / "run.profile")
    with pytest.raises(InputError, match=r"run\.profile holds the log .*log\.parquet already"):
        loadlens.summarize(tmp_path, by=[])


@pytest.mark.parametrize(
    ("log", "by", "reason"),
    [
        (log_of(spread(9)), None, "today.parquet: missing column: memory_size"),
        (keyed(log_of(spread(9))), ("region",), "today.parquet: missing column: region"),
        (keyed(log_of(spread(9))).with_columns(success=True), None, "by 'success', those of .* by"),
    ],
    ids=["without its key", "without another column", "another rule of success"],
)
def test_a_log_that_does_not_fit_profiles_is_refused_beside_them(
    log: pl.DataFrame, by: tuple[str, ...] | None, reason: str, tmp_path: Path
) -> None:
    path = saved(keyed(log_of(spread(31))), tmp_path / "run.profile")
    log.write_parquet(tmp_path / "today.parquet")
    with pytest.raises(InputError, match=reason):
        loadlens.check_gates([path, tmp_path / "today.parquet"], ["p50 < 1s"], by)


def test_a_log_beside_profiles_may_lack_columns_that_are_not_asked_for(tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(31))), tmp_path / "run.profile")
    log_of(spread(9)).write_parquet(tmp_path / "today.parquet")
    both = [path, tmp_path / "today.parquet"]
    assert loadlens.summarize(both, by=[]).summary["num_invocations"].to_list() == [40]
    with pytest.raises(UsageError, match=r"leave exact"):
        loadlens.summarize(both, by=[], exact=True)
    with pytest.raises(InputError, match="is a saved profile already"):
        loadlens.profile_log(both, tmp_path / "again.profile")
    with pytest.raises(InputError, match="one at a time"):
        inspect_log(tmp_path)
    with pytest.raises(InputError, match="no rows to convert"):
        convert(path, tmp_path / "rows.parquet")


# What is refused, each with a reason.


def deep(metadata: dict[bytes, bytes], table: Any) -> Any:
    metadata[FACTS] = b'{"format": ' + b"[" * 100_000
    return table


DAMAGES: dict[str, tuple[Callable[[dict[bytes, bytes], Any], Any], str]] = {
    "another format": (facts_with(b'"format": 4', b'"format": 3'), "format 3, expected 4"),
    "facts that are none": (facts_with(b'{"', b"{"), "facts cannot be read"),
    "facts lacking": (facts_with(b'"rows"', b'"sorw"'), "it lacks rows"),
    "facts of other rows": (facts_with(b'"rows": 50', b'"rows": 51'), "add up to 50 calls, its facts say 51"),
    "no key column": (lambda _, table: table.drop_columns(["key:memory_size"]), "it lacks memory_size"),
    "no counts": (lambda _, table: table.drop_columns(["count"]), "count"),
    "negative counts": (column_with("count", lambda count: -count), "negative counts"),
    "empty sums": (
        column_with("latency_sum_low", lambda _: pl.lit(None, dtype=pl.Int64)),
        "lacks figures",
    ),
    "other sums": (column_with("latency_sum_low", lambda low: low ^ (1 << 50)), "do not add up"),
    "negative sums": (column_with("latency_sum_high", lambda high: high - 1), "do not add up"),
    "minima above maxima": (
        column_with("latency_min", lambda _: pl.col("latency_max") * 2),
        "latencies that cannot be",
    ),
    "more excess than a bucket is wide": (
        column_with("excess", lambda excess: excess + 2**40),
        "sums that its buckets cannot have",
    ),
    "unknown codes": (column_with("code", lambda code: code + 9), "without a key"),
    "negative codes": (column_with("code", lambda code: code - 1), "without a key"),
    "buckets of no latency": (
        column_with("bucket", lambda bucket: bucket * 0 - 2),
        "latencies that cannot be",
    ),
    "buckets of other latencies": (
        column_with("bucket", lambda bucket: bucket + 300),
        "latencies do not add up",
    ),
    "windows of no width": (column_with("window_s", lambda width: -width), "times that cannot be"),
    "times of no clock": (column_with("last_end", lambda end: end * 0 / 0), "times that cannot be"),
    "more completions than calls": (
        column_with("completions", lambda completions: completions + 1000),
        "more completions than calls",
    ),
    "a part that is gone": (
        without_part("seconds"),
        "it lacks rows",
    ),
    "sources of nothing": (facts_with(b'"sources": [{', b'"sources": [null, {'), "it lacks sources"),
    "a key of no text": (facts_with(b'"key": ["memory_size"]', b'"key": 1.5'), "it lacks key"),
    "a time of no number": (facts_with(b'"first_s": ', b'"first_s": "x", "other": '), "it lacks first_s"),
    "facts too deep": (deep, "facts cannot be read"),
}


@pytest.mark.parametrize("name", some_of(DAMAGES, 3))
def test_damaged_profiles_are_refused(name: str, tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(50))), tmp_path / "run.profile")
    damage, reason = DAMAGES[name]
    rewritten(path, damage)
    with pytest.raises(InputError, match=reason) as error:
        loadlens.summarize(path, ["memory_size"])
    assert len(error.value.problems) == 1
    assert str(path) in str(error.value)


def test_no_map_is_proposed_for_a_profile_of_another_format(tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(50))), tmp_path / "run.profile")
    rewritten(path, DAMAGES["another format"][0])
    assert propose_map(path) is None


DAMAGED_TIMELINES: dict[str, tuple[Callable[[dict[bytes, bytes], Any], Any], str]] = {
    "other windows": (column_with("window", lambda window: window + 1), "do not reach its end"),
    "windows of no clock": (column_with("window", lambda window: window + 2**40), "times that cannot be"),
    "another width": (facts_with(b'"window_s": 1', b'"window_s": 7'), "do not reach its end"),
    "a width of none": (facts_with(b'"window_s": 1', b'"window_s": 0'), "it lacks window_s"),
    "a width beyond all numbers": (
        facts_with(b'"window_s": 1', b'"window_s": 1' + b"0" * 400),
        "lacks window_s",
    ),
    "a width of no number": (facts_with(b'"window_s": 1', b'"window_s": true'), "it lacks window_s"),
    "no timeline by its facts": (facts_with(b'"window_s": 1', b'"window_s": null'), "do not reach its end"),
    "another sum of one window": (changed_row("timeline", "calls", 1), "its windows do not add up"),
    "another latency of one window": (changed_row("timeline", "latency_max", 1e6), "its windows do not add"),
    "another error of one window": (
        changed_row("timeline", "throttle_exception", 1),
        "its windows do not add",
    ),
    "another count of one bucket": (changed_row("timeline_buckets", "count", 1), "its windows do not add up"),
    "another bucket": (changed_row("timeline_buckets", "bucket", 400), "its windows do not add up"),
    "a bucket of no latency": (changed_row("timeline_buckets", "bucket", 40000), "latencies that cannot be"),
    "a code of no key": (changed_row("timeline", "code", 99), "counts without a key"),
    "rows that are gone": (without_part("timeline"), "its windows do not add up"),
    "buckets that are gone": (without_part("timeline_buckets"), "its windows do not add up"),
}


@pytest.mark.parametrize("name", some_of(DAMAGED_TIMELINES, 5))
def test_profiles_with_a_damaged_timeline_are_refused(name: str, tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(50))), tmp_path / "run.profile")
    damage, reason = DAMAGED_TIMELINES[name]
    rewritten(path, damage)
    with pytest.raises(InputError, match=reason):
        loadlens.load_profile(path)


@pytest.mark.parametrize("share", [0.2, 0.9, 0.99])
def test_a_truncated_profile_is_refused(share: float, tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(50))), tmp_path / "run.profile")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=r"run\.profile: is a damaged"):
        loadlens.summarize(path, by=[])


def test_a_profile_damaged_within_is_refused(tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(5000))), tmp_path / "run.profile")
    content = bytearray(path.read_bytes())
    content[200:4000] = bytes(3800)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"run\.profile"):
        loadlens.summarize(path, by=[])


def two(tmp_path: Path, by: Sequence[str] = ("memory_size",), **columns: Any) -> list[Path]:
    """A profile by ``memory_size``, and another one."""
    frame = keyed(log_of(spread(30)))
    other = keyed(log_of(spread(31, seed=5))).with_columns(**columns)
    return [saved(frame, tmp_path / "a.profile"), saved(other, tmp_path / "b.profile", by)]


def test_profiles_by_other_keys_are_refused_until_merged_by_one(tmp_path: Path) -> None:
    paths = two(tmp_path, by=("memory_size", "region"), region=pl.lit("eu"))
    with pytest.raises(InputError, match=r"by memory_size, .* by memory_size, region.*merge --by"):
        loadlens.summarize(paths, by=[])
    loadlens.merge_profiles(paths, tmp_path / "all.profile", by=["memory_size"])
    assert from_files(tmp_path / "all.profile", ["memory_size"]).summary["num_invocations"].sum() == 61
    with pytest.raises(InputError, match="by memory_size, which cannot tell region"):
        loadlens.merge_profiles(paths, tmp_path / "none.profile", by=["region"])
    assert not (tmp_path / "none.profile").exists()


def test_profiles_by_other_rules_of_success_are_refused(tmp_path: Path) -> None:
    paths = two(tmp_path, success=pl.lit(value=True))
    with pytest.raises(InputError, match=r"successful by 'invocation_latency > 0', .* by 'success'"):
        loadlens.summarize(paths, by=[])


def test_an_analysis_by_another_rule_of_success_is_refused(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(30))).with_columns(response_size=pl.lit(10))
    path = saved(frame, tmp_path / "run.profile")
    with pytest.raises(InputError, match="goes by 'invocation_latency > 0 and response_size > 0'"):
        loadlens.summarize_stability_results(path)


def test_a_concurrency_log_may_be_a_profile(tmp_path: Path) -> None:
    frame = log_of(spread(90)).with_columns(
        max_concurrency=2, num_clients=pl.int_range(90) % 3, memory_size=1024, response_size=5
    )
    got = loadlens.summarize_concurrency_results(saved(frame, tmp_path / "run.profile", KEY))
    expected = loadlens.summarize_concurrency_results(frame, exact=False)
    assert_frame_equal(got.summary, expected.summary, rel_tol=SUMS)
    assert got.average_response_size == 5


@pytest.mark.parametrize("by", [["region"], ["memory_size", "region"]])
def test_columns_that_are_not_in_the_key_are_refused(by: list[str], tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(9))).with_columns(region=pl.lit("eu")), tmp_path / "run.profile")
    with pytest.raises(InputError, match="by memory_size, which cannot tell region"):
        loadlens.summarize(path, by)


def test_the_same_log_twice_is_refused_wherever_it_lies(tmp_path: Path) -> None:
    log, copy = tmp_path / "log.parquet", tmp_path / "copy.parquet"
    keyed(log_of(spread(30))).write_parquet(log)
    copy.write_bytes(log.read_bytes())
    for path in (log, copy):
        loadlens.profile_log(path, path.with_suffix(".profile"))
    both = [log.with_suffix(".profile"), copy.with_suffix(".profile")]
    with pytest.raises(InputError, match=r"both hold the log .*\.parquet, .*--force"):
        loadlens.summarize(both, by=[])
    with pytest.raises(InputError, match="both hold"):
        loadlens.merge_profiles(both, tmp_path / "all.profile")
    loadlens.merge_profiles(both, tmp_path / "all.profile", force=True)
    assert loadlens.summarize(tmp_path / "all.profile", by=[]).summary["num_invocations"].item() == 60
    with pytest.raises(InputError, match="both hold"):
        loadlens.summarize([tmp_path / "all.profile", both[0]], by=[])


def test_the_same_table_twice_is_refused_whatever_it_is_grouped_by(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(30)))
    paths = [saved(frame, tmp_path / "1.profile"), saved(frame, tmp_path / "2.profile", [])]
    with pytest.raises(InputError, match="both hold"):
        loadlens.merge_profiles(paths, tmp_path / "all.profile", by=[])


def test_exact_figures_are_refused(tmp_path: Path) -> None:
    path = saved(log_of(spread(30)), tmp_path / "run.profile", [])
    with pytest.raises(UsageError, match=r"0\.2%"):
        loadlens.summarize(path, by=[], exact=True)


def test_a_profile_is_known_by_content_and_found_in_folders(tmp_path: Path) -> None:
    for number, frame in enumerate(parts_in_time(20, 3, overlap=0)):
        saved(frame, tmp_path / f"{number}{('.profile', '.parquet', '.profile')[number]}")
    (tmp_path / "profile.profile").write_text("export PATH\n")
    assert loadlens.summarize(tmp_path, by=[]).summary["num_invocations"].item() == 60
    assert loadlens.summarize(str(tmp_path / "[012].p*"), by=[]).summary["num_invocations"].item() == 60


def test_what_is_no_profile_does_not_merge(tmp_path: Path) -> None:
    keyed(log_of(spread(30))).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="is no saved profile"):
        loadlens.merge_profiles(tmp_path / "log.parquet", tmp_path / "all.profile")
    path = saved(keyed(log_of(spread(31))), tmp_path / "run.profile")
    with pytest.raises(InputError, match="is a saved profile already"):
        loadlens.profile_log(path, tmp_path / "again.profile")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.parquet", "run.profile"]


def test_a_profile_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = saved(keyed(log_of(spread(31))), tmp_path / "run.profile")
    content = path.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        loadlens.profile_log(log_of(spread(9)), path)
    with pytest.raises(OutputError, match="one of the inputs"):
        loadlens.merge_profiles(path, path, overwrite=True)
    with pytest.raises(InputError, match="expected a finite latency"):
        loadlens.profile_log(log_of([1.0, -7.0]), path, overwrite=True)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_found_in_the_logs_is_told_again(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("invocation_latency,start_time,end_time\n1.5,0,1\nx,1,2\n2.5,3,4\n")
    reading = loadlens.Reading.of(max_rejects=1)
    loadlens.profile_log(log, tmp_path / "run.profile", reading=reading)
    found = loadlens.read_log(tmp_path / "run.profile")
    assert found.findings.sentences()[0].startswith("figures come from a saved profile of 2 calls")
    assert any("1 row was rejected" in sentence for sentence in found.findings.sentences())
    assert found.findings.rejected == 0, "the rows themselves are not there"


def test_facts_have_no_time_of_their_own(tmp_path: Path) -> None:
    path = saved(log_of(spread(5)), tmp_path / "run.profile", [])
    facts = pl.read_parquet_metadata(path)[PROFILE_FACTS]
    assert '"loadlens_version"' in facts
    assert '"polars_version"' in facts
    assert str(dt.datetime.now(tz=dt.UTC).year) not in facts.replace(loadlens.__version__, "")
