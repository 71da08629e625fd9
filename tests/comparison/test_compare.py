import numpy as np
import polars as pl
import pytest
from benchmarks.coverage import DISTRIBUTIONS, METRICS, coverage, false_alarms, simulated
from hypothesis import given
from polars.testing import assert_frame_equal

from loadlens import compare
from loadlens.comparison import MOST_DRAWN, VERDICTS
from loadlens.comparison.runs import PERCENTILES, run_question
from loadlens.engine import ask
from loadlens.errors import InputError, UsageError
from loadlens.logs import open_log
from loadlens.messages import NO_CALENDAR
from loadlens.profile import MeasureOptions
from tests.comparison.runs import run
from tests.sample_logs import logs


def verdicts(base: pl.DataFrame, candidate: pl.DataFrame, by=("label",), **options) -> dict:
    keys = compare(base, candidate, by, **options).keys
    return dict(zip(keys[by[0]], keys["verdict"], strict=True))


def test_verdicts():
    base = run({"same": 1, "slow": 1, "fast": 1, "little": 1}, calls=40_000)
    candidate = run({"same": 1, "slow": 1.1, "fast": 0.9, "little": 1.01}, calls=40_000, seed=1)
    few = (pl.col("label") != "little") | (pl.int_range(pl.len()).over("label") < 500)
    assert verdicts(base, candidate.filter(few)) == {
        "fast": "better",
        "little": "too little data",
        "same": "no difference",
        "slow": "worse",
    }


def test_figures_are_the_exact_ones_of_all_successes():
    base, candidate = run({"a": 1}, calls=3_001, seed=2), run({"a": 1.3}, calls=2_003, seed=3)
    found = compare(base, candidate, ["label"]).metrics.rows_by_key("metric", named=True)
    for name, log in (("base", base), ("candidate", candidate)):
        latency = log["invocation_latency"].to_numpy()
        successes = latency[latency > 0]
        expected = {metric: np.quantile(successes, q) for metric, q in PERCENTILES.items()}
        expected |= {"mean": successes.mean(), "error_rate": (latency < 0).mean()}
        for metric, value in expected.items():
            assert found[metric][0][name] == pytest.approx(value, rel=1e-9)
    for (row,) in found.values():
        assert row["difference"] == pytest.approx(row["candidate"] - row["base"])
        assert row["ratio"] == pytest.approx(row["candidate"] / row["base"])


def test_counts():
    base, candidate = run({"a": 1}, calls=300, errors=0.2), run({"a": 1}, calls=200, errors=0.3, seed=1)
    row = compare(base, candidate, ["label"]).keys.row(0, named=True)
    assert (row["base_calls"], row["candidate_calls"]) == (300, 200)
    assert row["base_errors"] == (base["invocation_latency"] < 0).sum()
    assert row["candidate_errors"] == (candidate["invocation_latency"] < 0).sum()


def test_throughput_is_shown_and_decides_nothing():
    base = run({"a": 1})
    slower_pace = base.with_columns(pl.col("start_time", "end_time") * 2)
    found = compare(base, slower_pace, ["label"])
    row = found.metrics.filter(pl.col("metric") == "throughput").row(0, named=True)
    assert row["ratio"] == pytest.approx(0.5, rel=1e-6)
    assert row["difference_low"] is row["difference_high"] is row["metric_verdict"] is None
    assert found.keys["verdict"].to_list() == ["no difference"]


def test_limits_are_order_statistics_up_to_their_bucket():
    log = run({"a": 1, "b": 50}, calls=5_000, errors=0)
    opened = open_log(log)
    measured = ask(opened, run_question(opened, "the log", ["label"]), MeasureOptions())
    codes = measured.keys["code"]
    for metric, quantile in PERCENTILES.items():
        found = measured.estimate(metric, codes, 0.95)
        for code, label in enumerate(("a", "b")):
            values = np.sort(log.filter(pl.col("label") == label)["invocation_latency"].to_numpy())
            spread = 1.96 * np.sqrt(5_000 * quantile * (1 - quantile))
            low, high = (values[round(5_000 * quantile + side * spread)] for side in (-1, 1))
            assert found.low[code] == pytest.approx(low, rel=0.02)
            assert found.high[code] == pytest.approx(high, rel=0.02)
            assert found.low[code] < found.value[code] < found.high[code]


def test_latencies_that_are_all_equal_do_not_differ():
    base = run({"a": 1}).with_columns(invocation_latency=pl.lit(12.25))
    found = compare(base, base, ["label"])
    assert found.keys["verdict"].to_list() == ["no difference"]
    limited = found.metrics.filter(pl.col("metric") != "throughput")
    assert (
        limited.select((pl.col("difference_low") <= 0) & (pl.col("difference_high") >= 0)).to_series().all()
    )


def test_a_candidate_without_a_success_is_worse():
    base = run({"a": 1}, calls=2_000)
    broken = base.with_columns(invocation_latency=pl.lit(-1.0))
    found = compare(base, broken, ["label"])
    assert found.keys.row(0)[1:3] == ("worse", "error_rate")
    assert found.metrics.filter(pl.col("metric") == "p99")["candidate"].to_list() == [None]


@given(logs())
def test_a_log_never_differs_from_itself(log):
    found = compare(log, log.reverse(), ["max_concurrency", "memory_size"])
    assert set(found.keys["verdict"]) <= {"no difference", "too little data"}
    known = found.metrics.filter(pl.col("difference").is_not_null())
    assert known["difference"].abs().max() == pytest.approx(0, abs=1e-9)


def test_swapped_runs_have_opposite_verdicts_and_mirrored_intervals():
    base, candidate = run({"a": 1, "b": 1}), run({"a": 1.2, "b": 0.8}, seed=1)
    there, back = compare(base, candidate, ["label"]), compare(candidate, base, ["label"])
    assert there.keys["verdict"].to_list() == back.keys["verdict"].to_list()[::-1] == ["worse", "better"]
    mirrored = back.metrics.select((-pl.col("difference_high")).alias("difference_low"))
    assert_frame_equal(there.metrics.select("difference_low"), mirrored)


def test_keys_in_one_run_only_are_listed_and_not_compared():
    base, candidate = run({"a": 1, "old": 1}, calls=50), run({"a": 1, "new": 1}, calls=60)
    found = compare(base, candidate, ["label"])
    assert found.keys["label"].to_list() == ["a"]
    assert set(found.metrics["label"]) == {"a"}
    assert found.only_in_base.rows() == [("old", 50)]
    assert found.only_in_candidate.rows() == [("new", 60)]


def test_runs_without_a_common_key_are_refused():
    with pytest.raises(InputError, match=r"no key \(label\) in common"):
        compare(run({"a": 1}, calls=9), run({"b": 1}, calls=9), ["label"])


def test_keys_of_different_types_are_the_same_where_they_read_the_same():
    base = run({2: 1, 10: 1}, calls=50, name="size")
    candidate = run({"2": 1, "10": 1, "x": 1}, calls=50, name="size")
    found = compare(base, candidate, ["size"])
    assert sorted(found.keys["size"]) == ["10", "2"]
    assert found.only_in_candidate.rows() == [("x", 50)]
    assert set(found.spectrum["size"]) == set(found.density["size"]) == {"2", "10"}


def test_whole_numbers_and_fractions_are_the_same_key():
    base, candidate = run({2: 1}, calls=50, name="size"), run({2.0: 1}, calls=50, name="size")
    assert compare(base, candidate, ["size"]).keys.height == 1


def test_a_missing_key_is_a_key():
    log = run({"a": 1}, calls=50).with_columns(label=pl.lit(None, dtype=pl.String))
    found = compare(log, log, ["label"])
    assert found.keys["label"].to_list() == [None]
    assert not found.spectrum.is_empty()


def test_by_default_runs_are_compared_by_what_tells_the_rows_of_both_apart():
    base = run({"a": 1}, calls=50).with_columns(memory_size=pl.lit(1024))
    assert compare(base, base).by == ("label", "memory_size")
    assert compare(base, base.drop("memory_size")).by == ("label",)


def test_figures_of_a_profile_alone_say_how_far_they_may_be_off():
    base, candidate = run({"a": 1}), run({"a": 1.1}, seed=1)
    exact, found = compare(base, candidate, ["label"]), compare(base, candidate, ["label"], exact=False)
    assert exact.relative_error == 0
    assert exact.warnings == (NO_CALENDAR,)
    assert found.relative_error == found.document["base"]["relative_error"] == 2**-9
    assert "base: percentiles were read from a profile and are off by at most 0.2%" in found.warnings[0]
    for one, other in zip(exact.metrics.rows(named=True), found.metrics.rows(named=True), strict=True):
        if one["metric"] in PERCENTILES:
            assert one["base"] != other["base"] == pytest.approx(one["base"], rel=2**-9)
            assert other["difference_low"] < one["difference_low"]
            assert other["difference_high"] > one["difference_high"]
        elif one["metric"] != "throughput":
            assert other["base"] == pytest.approx(one["base"], rel=1e-12)


def test_the_bound_of_a_profile_holds_where_chance_has_no_say():
    base = run({"a": 1}).with_columns(invocation_latency=pl.lit(10.3))
    candidate = base.with_columns(invocation_latency=pl.lit(10.3125))  # the first of the next bucket
    found = compare(base, candidate, ["label"], exact=False).metrics.rows_by_key("metric", named=True)
    for metric in PERCENTILES:
        (row,) = found[metric]
        assert row["difference_low"] <= 0.0125 <= row["difference_high"]
    assert found["mean"][0]["base"] == pytest.approx(10.3, rel=1e-12)


def test_idle_seconds_are_told():
    base = run({"a": 1}, calls=2_000)
    halves = pl.col("start_time", "end_time") + pl.when(pl.col("start_time") > 50).then(30).otherwise(0)
    candidate = base.with_columns(halves)
    seconds = set(candidate["end_time"].cast(pl.Int64))
    idle = max(seconds) - min(seconds) + 1 - len(seconds)
    found = compare(base, candidate, ["label"])
    assert found.candidate.seconds_without_completion == idle > 20
    assert found.base.seconds_without_completion == 0
    assert found.warnings[0].startswith(
        f"candidate: {idle} seconds between the first and the last completion"
    )


def test_names_of_files_are_no_key(tmp_path):
    for folder in ("base", "candidate"):
        (tmp_path / folder).mkdir()
        for part in (1, 2):
            rows = [f"{1_700_000_000_000 + time},{time + 1},200,/{folder}{part}" for time in range(30)]
            rows += [f"{1_700_000_001_000 + time},{time + 1},200,/a" for time in range(30)]
            text = "\n".join(["timeStamp,elapsed,responseCode,label", *rows])
            (tmp_path / folder / f"{folder}{part}.csv").write_text(text + "\n")
    assert compare(tmp_path / "base", tmp_path / "candidate").by == ("label",)


def test_by_nothing_the_logs_are_compared_as_a_whole():
    found = compare(run({"a": 1, "b": 2}), run({"a": 1.2, "c": 2.4}, seed=1), [])
    assert found.by == ()
    assert found.keys.row(0)[0] == "worse"
    assert found.metrics.height == 7
    assert found.only_in_base.is_empty()
    assert set(found.density["run"]) == set(found.spectrum["run"]) == {"base", "candidate"}


def test_a_larger_minimum_effect_makes_fewer_keys_worse():
    base, candidate = run({"a": 1}), run({"a": 1.1}, seed=1)
    assert verdicts(base, candidate) == {"a": "worse"}
    assert verdicts(base, candidate, min_effect=0.25) == {"a": "no difference"}


@pytest.mark.parametrize("effect", [0, -0.1, 1, float("nan")])
def test_a_minimum_effect_has_to_be_some_share(effect):
    with pytest.raises(UsageError, match="min_effect"):
        compare(run({"a": 1}, calls=9), run({"a": 1}, calls=9), min_effect=effect)


@pytest.mark.parametrize("by", [["label", "label"], ["verdict"], ["invocation_latency"]])
def test_keys_that_cannot_be_are_refused(by):
    with pytest.raises(UsageError, match="by names"):
        compare(run({"a": 1}, calls=9), run({"a": 1}, calls=9), by)


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="the candidate: missing column: label"):
        compare(run({"a": 1}, calls=9), run({"a": 1}, calls=9).drop("label"), ["label"])


def test_the_gravest_keys_are_drawn():
    factors = {f"k{number:02}": 1 + (number == 13) for number in range(14)}
    found = compare(run(dict.fromkeys(factors, 1), calls=300), run(factors, calls=300, seed=1), ["label"])
    assert found.drawn.height == MOST_DRAWN
    assert found.drawn["label"][0] == "k13"
    assert set(found.density["label"]) == set(found.spectrum["label"]) == set(found.drawn["label"])
    assert list(found.verdicts) == list(VERDICTS)
    assert sum(found.verdicts.values()) == 14


def test_each_curve_has_an_area_of_1():
    found = compare(run({"a": 1, "b": 3}), run({"a": 1, "b": 3}, seed=1), ["label"])
    curves = found.density.partition_by("label", "run")
    assert len(curves) == 4
    for curve in curves:
        area = np.trapezoid(curve["density"].to_numpy(), curve["latency_ms"].to_numpy())
        assert area == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_intervals_cover_and_alarms_are_rare():
    slower = simulated(DISTRIBUTIONS[0], (3_600, 4_000), 300, changed=True)
    covered = coverage(DISTRIBUTIONS[0], slower)
    assert set(covered) == set(METRICS)
    assert all(share is not None and 0.91 <= share <= 0.99 for share in covered.values())
    assert false_alarms(simulated(DISTRIBUTIONS[0], (3_600, 3_600), 300, changed=False), 0.001) <= 0.05
