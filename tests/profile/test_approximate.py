"""One pass: counts are exact, latencies within the bound that the result states."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.engine import measure
from loadlens.logs import open_log
from loadlens.profile import MeasureOptions, percentile_name
from loadlens.profile.plan import Outliers
from loadlens.schema import LATENCY
from tests import oracle
from tests import sample_logs as logs
from tests.extent import some_of
from tests.profile.cases import LOGS, keyed, log_of, plan_of, spread

SMALLEST_NORMAL = 2.2250738585072014e-308  # below it numbers lose digits, and with them relative precision
BEFORE_THE_FENCE = (
    "num_rows",
    "num_invocations",
    "num_successes",
    "throttle_exception",
    "response_size_sum",
)
OUTLIERS: tuple[Outliers, ...] = ("mean-iqr", "tukey", "none")
ORDER_STATISTICS = (
    "success_min",
    "success_median",
    "success_max",
    *[f"{LATENCY}_{percentile_name(q)}" for q in (0.9, 0.95, 0.99, 0.999)],
)


def assert_within_bound(
    frame: pl.DataFrame, key: list[str], names: tuple[str, ...], outliers: Outliers
) -> None:
    plan, log = plan_of(frame, key, outliers=outliers), open_log(frame)
    got, exact = measure(log, plan, MeasureOptions(exact=False)), measure(log, plan)
    assert 0 < got.relative_error <= 1 / 512
    assert got.table.select(f"key:{name}" for name in key).equals(
        exact.table.select(f"key:{name}" for name in key)
    )
    counts = [name for name in BEFORE_THE_FENCE if name in exact.table.columns]
    assert got.table.select(counts).equals(exact.table.select(counts))
    for name in names:
        for approximate, true in zip(got.table[name], exact.table[name], strict=True):
            if true is None:
                assert approximate is None
            else:
                allowed = abs(true) * got.relative_error * (1 + 1e-12) + SMALLEST_NORMAL
                assert abs(approximate - true) <= allowed, f"{name}: got {approximate}, exact is {true}"


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=2))
def test_order_statistics_of_hard_logs(name: str) -> None:
    assert_within_bound(keyed(LOGS[name]()), ["memory_size"], ORDER_STATISTICS, "mean-iqr")


@given(logs.logs(), st.sampled_from(OUTLIERS))
def test_order_statistics_of_random_logs(frame: pl.DataFrame, outliers: Outliers) -> None:
    assert_within_bound(frame, list(oracle.CONCURRENCY_KEY), ORDER_STATISTICS, outliers)


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=0))
def test_without_a_fence_the_kept_rows_are_the_successes(name: str) -> None:
    names = ("kept_min", "kept_max", "kept_median")
    assert_within_bound(keyed(LOGS[name]()), ["memory_size"], names, "none")


def test_no_scan_but_the_passes_of_the_profile() -> None:
    scanned = []
    frame = log_of(spread(100))

    def noted(rows: pl.DataFrame) -> pl.DataFrame:
        scanned.append(rows.height)
        return rows

    watched = frame.lazy().map_batches(noted, schema=frame.schema)
    loadlens.summarize(watched, by=[], exact=False)
    assert len(scanned) <= 2


def test_exact_results_say_so() -> None:
    assert loadlens.summarize(log_of(spread(10)), by=[]).relative_error == 0


@pytest.mark.usefixtures("no_drawings")
def test_summary_and_report_state_the_bound(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    keyed(log_of(spread(500))).write_parquet(log)
    loadlens.analyze([log], tmp_path / "approximate", exact=False)
    loadlens.analyze([log], tmp_path / "exact")
    document = json.loads((tmp_path / "approximate" / "summary.json").read_text())
    assert document["relative_error"] == 1 / 512
    assert json.loads((tmp_path / "exact" / "summary.json").read_text())["relative_error"] == 0
    pages = [(tmp_path / name / "report.html").read_text() for name in ("approximate", "exact")]
    words = [
        re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
        for page in pages
    ]
    bound = re.compile(r"0\.2 ?%|0\.195\d* ?%")
    assert bound.search(words[0])
    assert words[0] != words[1]


def test_both_ways_agree_on_what_is_counted() -> None:
    frame = keyed(log_of(spread(1000)))
    exact, one_pass = (
        loadlens.summarize(frame, ["memory_size"], exact=exact, heatmap=True) for exact in (True, False)
    )
    names = ["memory_size", "num_invocations", "num_errors", "error_rate"]
    assert one_pass.summary.select(names).equals(exact.summary.select(names))
    assert one_pass.timeline.equals(exact.timeline)
    assert one_pass.heatmap.equals(exact.heatmap)
    assert one_pass.spectrum.equals(exact.spectrum)


def test_a_plan_is_measured_in_one_pass_for_every_success_rule() -> None:
    frame = log_of(spread(50), success=[index % 2 == 0 for index in range(50)])
    assert plan_of(frame).success.meta.root_names() == ["success"]
    assert_within_bound(frame, [], ORDER_STATISTICS, "mean-iqr")


def test_throughput_is_of_the_calls_at_or_below_the_fence() -> None:
    """Buckets tell how many calls lie above it, if not when they ended."""
    latency = [5000.0 if number % 50 == 0 else 20.0 + number / 1000 for number in range(1000)]
    start = [1.7e9 + 0.1003 * number for number in range(1000)]
    end = [time + ms / 1000 for time, ms in zip(start, latency, strict=True)]
    frame = pl.DataFrame({LATENCY: latency, "start_time": start, "end_time": end, "memory_size": 128})
    plan, log = plan_of(frame, ["memory_size"], outliers="mean-iqr"), open_log(frame)
    got, exact = measure(log, plan, MeasureOptions(exact=False)), measure(log, plan)
    expected = 980 / (max(end) - start[0])
    assert got.table["throughput"].to_list() == pytest.approx([expected], rel=1e-9)
    assert exact.table["throughput"].to_list() == pytest.approx([expected], rel=1e-9)
