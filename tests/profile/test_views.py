"""What a profile shows: percentile spectrum, timeline and heat map."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given

import loadlens
from loadlens.profile import Profile, heatmap, spectrum
from loadlens.profile.timeline import timeline as timeline_overall
from loadlens.results import SummaryResult
from loadlens.schema import LATENCY
from tests import sample_logs as logs
from tests.extent import some_of
from tests.profile.cases import LOGS, keyed, log_of, spread

POSITIVE_LOGS = [name for name in LOGS if name != "denormals and zeros"]
TEN_YEARS_S = 3.156e8


def summary_of(frame: pl.DataFrame, *by: str) -> SummaryResult:
    return loadlens.summarize(frame, by, heatmap=True)


def successes_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col(LATENCY) > 0)


@pytest.mark.parametrize("name", some_of(POSITIVE_LOGS, 3, first=0))
def test_the_spectrum_is_within_half_a_bucket(name: str) -> None:
    frame = keyed(LOGS[name]())
    found = summary_of(frame, "memory_size").spectrum
    assert found.columns == ["memory_size", "quantile", "latency_ms"]
    for row in found.to_dicts():
        latencies = successes_of(frame).filter(pl.col("memory_size") == row["memory_size"])[LATENCY].sort()
        exact = latencies[int(np.floor((len(latencies) - 1) * row["quantile"]))]
        assert abs(row["latency_ms"] - exact) <= exact / 512 * (1 + 1e-12)


def test_a_latency_of_zero_stays_zero() -> None:
    frame = log_of([0.0, 20.0, 30.0]).with_columns(success=pl.lit(value=True))
    assert summary_of(frame).spectrum["latency_ms"][0] == 0
    approximate = loadlens.summarize(frame, by=[], exact=False).summary
    assert approximate[f"{LATENCY}_min"].to_list() == [0.0]


@pytest.mark.parametrize("name", some_of(LOGS, 3, first=1))
def test_the_spectrum_rises(name: str) -> None:
    found = summary_of(keyed(LOGS[name]()), "memory_size").spectrum
    for _, curve in found.group_by("memory_size"):
        assert curve["quantile"].is_sorted()
        assert curve["quantile"].is_unique().all()
        assert curve["latency_ms"].is_sorted()


@pytest.mark.parametrize(("rows", "last"), [(1, 0.0), (10, 0.9), (1000, 0.999), (200_000, 0.99999)])
def test_the_spectrum_ends_where_there_are_calls(rows: int, last: float) -> None:
    quantiles = summary_of(log_of(spread(rows))).spectrum["quantile"]
    assert quantiles.min() == 0
    assert quantiles.max() <= last + 1e-12
    assert quantiles.max() >= 1 - 1.2 * (1 - last)
    assert len(quantiles) <= 100


@given(logs.logs())
def test_the_timeline_sums_to_the_counts(frame: pl.DataFrame) -> None:
    assert_timeline_sums(frame)


def assert_timeline_sums(frame: pl.DataFrame) -> None:
    windows = summary_of(frame).timeline_overall
    ended = frame.filter(pl.col("end_time").is_not_null())
    assert windows["calls"].sum() == ended.height
    assert windows["errors"].sum() == ended.height - successes_of(ended).height
    assert (windows["throughput"] * windows["covered_s"]).sum() <= successes_of(ended).height + 1e-6
    assert (windows["covered_s"] <= windows["window_s"]).all()
    assert windows.height <= 256
    start, width = windows["window_start_s"].to_list(), windows["window_s"][0]
    assert start == [start[0] + number * width for number in range(len(start))]
    assert start[0] <= ended["end_time"].min() < start[0] + width  # type: ignore[operator]


@pytest.mark.parametrize(
    "seconds", some_of([0.001, 0.9, 1.0, 30.0, 199.5, 200.0, 201.0, 399.0, 401.0, 5000.5, TEN_YEARS_S], 3)
)
def test_any_span_has_a_bounded_number_of_windows(seconds: float) -> None:
    frame = log_of([*spread(300), *[-1.0] * 20], seconds=seconds)
    assert_timeline_sums(frame)
    found = summary_of(frame).heatmap
    assert found["time_s"].n_unique() <= 256
    assert found["count"].sum() == 300
    assert found["time_s"].max() <= seconds + 0.001


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_ten_years_of_few_calls(rows: int) -> None:
    frame = log_of(spread(rows), seconds=TEN_YEARS_S * rows / max(rows - 1, 1))
    assert_timeline_sums(frame)
    result = summary_of(frame)
    assert result.heatmap["count"].sum() == rows
    assert result.timeline_overall.height <= 256
    assert result.profile.seconds.height == rows


def test_an_instant_is_one_window() -> None:
    frame = log_of(spread(50)).with_columns(end_time=pl.lit(1783.25), start_time=pl.lit(1783.2))
    result = summary_of(frame)
    (window,) = result.timeline_overall.to_dicts()
    assert (window["window_start_s"], window["window_s"], window["calls"]) == (1783.0, 1.0, 50)
    assert window["covered_s"] == pytest.approx(0.05 + 0.01)  # and the resolution of the clock
    assert window["throughput"] == pytest.approx(50 / (0.05 + 0.01))
    assert result.heatmap["time_s"].unique().to_list() == [0.0]
    assert result.heatmap["count"].sum() == 50


@given(logs.logs())
def test_the_heat_map_holds_every_success_with_an_end(frame: pl.DataFrame) -> None:
    missing = pl.int_range(pl.len()) % 5 == 0
    frame = frame.with_columns(pl.when(~missing).then("end_time").alias("end_time"))
    found = summary_of(frame).heatmap
    expected = successes_of(frame).filter(pl.col("end_time").is_not_null())
    assert found["count"].sum() == expected.height


@pytest.mark.parametrize("name", some_of(POSITIVE_LOGS, 3, first=2))
def test_the_heat_map_holds_latencies_within_its_cells(name: str) -> None:
    frame = LOGS[name]()
    cells = summary_of(frame).heatmap.group_by("latency_low_ms", "latency_high_ms").agg(pl.col("count").sum())
    for low, high, count in cells.iter_rows():
        assert low < high
        # An edge is drawn where an eighth of a doubling is, and counted at the next bucket's edge.
        inside = pl.col(LATENCY).is_between(low * (1 - 1 / 256), high * (1 + 1 / 256))
        assert frame.filter(inside).height >= count


def test_cells_of_the_heat_map_are_equally_high() -> None:
    found = summary_of(log_of(10 ** np.random.default_rng(0).uniform(-3, 6, 5000))).heatmap
    ratio = found["latency_high_ms"] / found["latency_low_ms"]
    assert ratio.to_list() == pytest.approx([2**0.125] * found.height)
    lows = found["latency_low_ms"].unique().sort()
    assert lows.is_unique().all()


def test_cells_of_the_heat_map_do_not_overlap() -> None:
    found = summary_of(log_of(spread(5000))).heatmap
    for _, column in found.group_by("time_s"):
        edges = column.sort("latency_low_ms")
        assert (edges["latency_high_ms"].head(-1) <= edges["latency_low_ms"].slice(1) * (1 + 1e-12)).all()


def test_successes_without_a_latency_above_0_keep_the_heat_map_upright() -> None:
    succeeded = [False] * 60 + [True, True, False, True, True]
    found = summary_of(log_of([-1.0] * 60 + [0.0] * 3 + [5.0, None], success=succeeded)).heatmap
    assert (found["latency_low_ms"] <= found["latency_high_ms"]).all()
    assert found["count"].sum() == 3  # no latency has a place on a logarithmic axis


def test_logs_without_times_have_no_timeline() -> None:
    result = summary_of(log_of(spread(10)).drop("start_time", "end_time"))
    assert result.timeline.is_empty()
    assert result.heatmap.is_empty()
    assert not result.spectrum.is_empty()


def test_the_heat_map_is_empty_unless_asked_for() -> None:
    assert loadlens.summarize(log_of(spread(10)), by=[]).heatmap.is_empty()


@pytest.mark.parametrize("key", [(), ("memory_size",)])
def test_the_empty_profile_shows_nothing(key: tuple[str, ...]) -> None:
    empty = Profile.empty(key)
    for view in (spectrum, timeline_overall, heatmap):
        assert view(empty).is_empty()


def test_a_key_may_be_called_count() -> None:
    frame = keyed(log_of(spread(50))).rename({"memory_size": "count"})
    assert summary_of(frame, "count").summary.height == 3


@pytest.mark.parametrize("name", ["quantile", "latency_ms", "density", "num_rows", "error_rate", "tps_p50"])
def test_a_key_named_like_a_figure_is_refused(name: str) -> None:
    frame = keyed(log_of(spread(50))).rename({"memory_size": name})
    with pytest.raises(loadlens.UsageError, match=name):
        summary_of(frame, name)


def test_a_key_may_be_named_like_an_inner_column() -> None:
    frame = keyed(log_of(spread(50))).rename({"memory_size": "count"})
    assert summary_of(frame, "count").summary.height == 3
