"""Slices of saved profiles: whole windows of their timeline, and some of their keys."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loadlens import analyze, check_gates, compare, merge_profiles, profile_log, read_log, summarize
from loadlens.cost.cost_of_log import Costing, cost_comparison
from loadlens.errors import InputError, UsageError
from loadlens.logs import open_log
from loadlens.profile import MeasureOptions
from loadlens.schema import LATENCY
from tests.extent import combinations
from tests.simulated_ramps import ramp
from tests.ten_minutes import BY, log_of

BEGIN = 1000.0


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """Begins at a whole second, so that windows begin some whole seconds after the first start."""
    return log_of(3000).with_columns(
        start_time=pl.when(pl.int_range(pl.len()) == 0).then(BEGIN).otherwise("start_time")
    )


@pytest.fixture(scope="module")
def saved(log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "log.profile"
    profile_log(log, path, by=BY, window_s=10)
    return path


def ended(log: pl.DataFrame, from_s: float, to_s: float) -> pd.DataFrame:
    """The calls that ended so long after the first start."""
    frame = log.to_pandas()
    return frame[(frame["end_time"] >= BEGIN + from_s) & (frame["end_time"] < BEGIN + to_s)]


@pytest.mark.parametrize(
    ("stretch", "by"), combinations([(60, 300), (0, 300), (120, 5000), (590, 600)], [BY, ["label"], []])
)
def test_counts_are_exact_and_percentiles_within_the_stated_bound(
    log: pl.DataFrame, saved: Path, stretch: tuple[float, float], by: list[str]
) -> None:
    from_s, to_s = stretch
    result = summarize(saved, by, from_=from_s, to=to_s)
    frame = ended(log, from_s, to_s)
    groups = dict(iter(frame.groupby(by if len(by) != 1 else by[0]))) if by else {(): frame}
    assert result.summary.height == len(groups)
    assert 0 < result.relative_error <= 1 / 32
    for row in result.summary.iter_rows(named=True):
        key = tuple(row[name] for name in by)
        calls = groups[key[0] if len(by) == 1 else key]
        good = calls[calls[LATENCY] > 0][LATENCY]
        assert row["num_invocations"] == len(calls)
        assert row["num_errors"] == (calls[LATENCY] < 0).sum()
        assert row[f"{LATENCY}_mean"] == pytest.approx(good.mean(), rel=1e-12)
        assert row[f"{LATENCY}_max"] == good.max()
        assert row[f"{LATENCY}_min"] == good.min()
        for name, quantile in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            lower, higher = good.quantile(quantile, "lower"), good.quantile(quantile, "higher")
            bound = result.relative_error
            assert lower * (1 - bound) <= row[f"{LATENCY}_{name}"] <= higher * (1 + bound)
        per_second = calls[calls[LATENCY] > 0].groupby(np.trunc(calls["end_time"])).size()
        assert row["tps_max"] == per_second.max()
        assert row["tps_avg"] == int(per_second.mean())


def test_rates_are_those_of_the_stretch_of_time(log: pl.DataFrame, saved: Path) -> None:
    got = summarize(saved, [], from_=60, to=300).summary["throughput"].item()
    good = ended(log, 60, 300)
    assert got == pytest.approx((good[LATENCY] > 0).sum() / 240, rel=1e-9)


def test_rates_are_of_the_time_in_which_the_chosen_keys_have_calls(log: pl.DataFrame, tmp_path: Path) -> None:
    late = (pl.col("label") != "login") | (pl.col("start_time") > BEGIN + 200)
    some = log.filter(late)
    profile_log(some, tmp_path / "log.profile", by=BY, window_s=10)
    got = summarize(tmp_path / "log.profile", [], from_=60, to=300, where="label = 'login'")
    calls = ended(some.filter(label="login"), 60, 300)
    first = some.filter(label="login")["start_time"].min()
    expected = (calls[LATENCY] > 0).sum() / (BEGIN + 300 - first)
    assert got.summary["throughput"].item() == pytest.approx(expected, rel=1e-9)


def test_calls_outside_are_counted(log: pl.DataFrame, saved: Path) -> None:
    opened = read_log(saved)
    summarize(opened, BY, from_=60, to=300, where="label <> 'login'")
    outside = opened.findings.outside
    assert outside is not None
    end = log["end_time"].to_pandas() - BEGIN
    assert outside.before == (end < 60).sum()
    assert outside.after == (end >= 300).sum()
    assert outside.inside == (ended(log, 60, 300)["label"] != "login").sum()
    assert outside.rows + outside.inside == 3000


@pytest.mark.parametrize(
    ("by", "where"),
    combinations(
        [BY, ["label"], ["memory_size"], []],
        ["memory_size >= 2048 AND label <> 'login'", pl.col("label") == "pay"],
    ),
)
def test_conditions_on_the_key_are_those_of_a_profile_of_these_calls(
    log: pl.DataFrame, saved: Path, by: list[str], where: Any, tmp_path: Path
) -> None:
    condition = pl.sql_expr(where) if isinstance(where, str) else where
    profile_log(log.filter(condition), tmp_path / "part.profile", by=BY, window_s=10)
    got, expected = summarize(saved, by, where=where), summarize(tmp_path / "part.profile", by)
    assert got.relative_error == expected.relative_error
    assert got.summary.equals(expected.summary)


def test_several_profiles_are_sliced_as_one(log: pl.DataFrame, saved: Path, tmp_path: Path) -> None:
    for number, part in enumerate(log.iter_slices(1000)):
        profile_log(part, tmp_path / f"part_{number}.profile", by=BY, window_s=10)
    parts = [tmp_path / f"part_{number}.profile" for number in range(3)]
    merge_profiles(parts, tmp_path / "merged.profile")
    expected = summarize(saved, BY, from_=60, to=300).summary
    for source in (parts, tmp_path / "merged.profile"):
        assert summarize(source, BY, from_=60, to=300).summary.equals(expected)  # type: ignore[arg-type]


def test_edges_between_windows_are_refused_with_what_to_do(saved: Path) -> None:
    with pytest.raises(
        InputError, match=r"windows of 10 s, of which none begins 65 s after.*take 60s or 70s"
    ):
        summarize(saved, BY, skip="65s")
    with pytest.raises(InputError, match=r"none begins 299\.5 s after"):
        summarize(saved, BY, to=299.5)
    assert summarize(saved, BY, skip="0s", to="2h").summary["num_invocations"].sum() == 3000


def test_what_a_profile_does_not_tell_is_refused(saved: Path, log: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="told apart by label, memory_size alone, and not by node"):
        summarize(saved, BY, where="node = 'a'")
    with pytest.raises(InputError, match="no call lies in the slice"):
        summarize(saved, BY, skip="20min")
    log.write_csv(tmp_path / "log.csv")
    with pytest.raises(UsageError, match="are not sliced together"):
        summarize([saved, tmp_path / "log.csv"], BY, skip="60s")
    with pytest.raises(UsageError, match="of no calendar"):
        summarize(saved, BY, from_="2026-11-22")


def test_gates_are_judged_safely(log: pl.DataFrame, saved: Path) -> None:
    good = ended(log, 60, 300)
    p95 = float(good[good[LATENCY] > 0][LATENCY].quantile(0.95))
    gates = [f"overall p95 < {p95 * factor:.6f}ms" for factor in (1.1, 1.001, 0.9)]
    found = check_gates(
        saved, [*gates, "overall count > 0 within 30s of every window"], by=BY, from_=60, to=300
    )
    assert [verdict.holds for verdict in found.verdicts] == [True, False, False, True]
    assert "too close to the bound" in found.verdicts[1].reason
    assert all(verdict.low <= p95 <= verdict.high for verdict in found.verdicts[:3])  # type: ignore[operator]
    assert found.verdicts[3].windows is not None
    assert found.verdicts[3].windows.judged == 7  # from 1080 s to 1290 s, multiples of 30 s


@pytest.mark.usefixtures("no_drawings")
def test_profiles_compare_and_are_analysed(saved: Path, log: pl.DataFrame, tmp_path: Path) -> None:
    profile_log(log_of(3000, seed=9), tmp_path / "other.profile", by=BY, window_s=10)
    first = log_of(3000, seed=9)["start_time"].min()
    assert isinstance(first, float)
    found = compare(saved, saved, by=BY, from_=60, to=300)
    assert found.base.relative_error == found.candidate.relative_error > 1 / 64
    analysis = analyze(saved, tmp_path / "out", by=["label"], from_=60, to=300)
    assert analysis.summary.total is not None  # type: ignore[union-attr]
    assert analysis.summary.total["num_invocations"].item() == len(ended(log, 60, 300))  # type: ignore[union-attr]


def test_the_ramp_up_of_a_profile_is_left_out(tmp_path: Path) -> None:
    run = ramp(ramp_s=60, run_s=600)
    profile_log(run, tmp_path / "run.profile", by=[])
    saved = read_log(tmp_path / "run.profile")
    result = summarize(saved, [], skip="auto")
    opened = read_log(run)
    summarize(opened, [], skip="auto")
    assert saved.findings.outside is not None
    assert opened.findings.outside is not None
    assert opened.findings.outside.from_s is not None
    begin = saved.findings.outside.from_s
    # By calls per second in the place of active calls, so maybe a window later or earlier.
    assert begin == pytest.approx(opened.findings.outside.from_s, abs=5)
    assert result.summary["num_invocations"].item() == run.filter(pl.col("end_time") >= begin).height


def test_costs_of_a_stretch_of_time_are_refused(saved: Path) -> None:
    options = MeasureOptions(from_=60, to=300)
    with pytest.raises(InputError, match="too roughly for a cost"):
        cost_comparison(open_log(saved), Costing(), options=options)
