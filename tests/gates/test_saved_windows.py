"""Gates within windows of time on saved profiles: judged by bounds, against the calls themselves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import GateError, InputError
from loadlens.gates import Verdict
from loadlens.schema import LATENCY
from tests import sample_logs as logs
from tests.extent import examples, some_rows
from tests.profile.cases import keyed, log_of, spread

METRICS = (
    "p50 < 20ms", "p99 < 90ms", "p99 < 900ms", "p99 > 60ms", "median > 15ms",
    "mean < 30ms", "max < 300ms", "min > 2ms",
    "share(<50ms) > 80%", "share(<8ms) < 5%", "error_rate < 5%", "throughput > 4/s", "count > 40",
)  # fmt: skip
EXACT = ("mean", "max", "min", "error_rate", "throughput", "count")


def within(metrics: Sequence[str], width: str) -> list[str]:
    return [f"{metric} within {width} of every window" for metric in metrics]


def saved(frame: pl.DataFrame, path: Path, by: Sequence[str] = ("memory_size",), **how: Any) -> Path:
    loadlens.profile_log(frame, path, by=by, overwrite=True, **how)
    return path


def mixed(calls: int) -> np.ndarray[Any, Any]:
    """Latencies, one in thirty of them of a failure."""
    return np.where(np.random.default_rng(3).random(calls) < 1 / 30, -1.0, spread(calls))


def assert_bounded(got: Verdict, exact: Verdict) -> None:
    """Asserts that a verdict from a profile is that from the calls, or fails to be safe."""
    assert (got.gate.text, got.key, got.calls) == (exact.gate.text, exact.key, exact.calls)
    assert not got.holds or exact.holds
    assert got.windows is not None
    assert exact.windows is not None
    assert got.windows.judged == exact.windows.judged
    assert got.windows.failed >= exact.windows.failed
    if got.holds != exact.holds or got.windows.failed != exact.windows.failed:
        assert "too close to the bound for the figures of a saved profile: fails to be safe" in got.reason
    if any(got.gate.text.startswith(metric) for metric in EXACT):
        assert (got.value, got.holds, got.windows) == (exact.value, exact.holds, exact.windows)
        return
    if got.value is None or exact.value is None:
        assert got.value is exact.value
        return
    assert got.low is not None
    assert got.high is not None
    assert got.low <= got.value <= got.high
    if got.windows.worst_start_s == exact.windows.worst_start_s:
        assert got.low * (1 - 1e-12) <= exact.value <= got.high * (1 + 1e-12)


@examples(4)
@given(logs.logs(), st.sampled_from([(), ("memory_size",)]), st.sampled_from(["1s", "2s", "5s"]))
def test_a_profile_judges_as_the_calls_do_or_fails_to_be_safe(
    tmp_path: Path, frame: pl.DataFrame, by: tuple[str, ...], width: str
) -> None:
    gates = within(METRICS, width)
    got = loadlens.check_gates(saved(frame, tmp_path / "run.profile", ("memory_size",)), gates, by)
    exact = loadlens.check_gates(frame, gates, by)
    for one, other in zip(got.verdicts, exact.verdicts, strict=True):
        assert_bounded(one, other)


@pytest.mark.parametrize(
    ("width", "own"),
    some_rows([("30s", None), ("1min", None), ("5min", None), ("45s", 15), ("7s", 7)], 2),
)
def test_windows_that_are_multiples_of_those_of_the_profile(
    width: str, own: int | None, tmp_path: Path
) -> None:
    frame = keyed(log_of(mixed(6000), seconds=2000)).sample(fraction=1, shuffle=True, seed=4)
    path = saved(frame, tmp_path / "run.profile", window_s=own)
    gates = [*within(METRICS, width), "p99 < 80ms"]
    got, exact = (loadlens.check_gates(log, gates, ["memory_size"]) for log in (path, frame))
    assert got.relative_error == 2**-5
    for one, other in zip(got.verdicts, exact.verdicts, strict=True):
        if one.windows:
            assert_bounded(one, other)
    assert {verdict.holds for verdict in got.verdicts} == {True, False}


def test_the_bounds_of_the_worst_window_are_told(tmp_path: Path) -> None:
    frame = log_of([10.0, 20.2, 30.3, 40.0]).with_columns(
        end_time=pl.Series([1.0, 1.1, 1.2, 1.3]), start_time=None
    )
    path = saved(frame, tmp_path / "run.profile", [])
    close, far = loadlens.check_gates(path, within(["median < 25.5ms", "median < 20ms"], "1s")).verdicts
    # Buckets of 16 to 32 ms are 1 ms wide: the median lies half way between those of 20.2 and 30.3 ms.
    assert (close.low, close.value, close.high) == (25.0, 25.5, 26.0)
    assert not close.holds
    assert (
        close.reason == "1 window too close to the bound for the figures of a saved profile: fails to be safe"
    )
    assert not far.holds
    assert not far.reason
    assert [one.windows and one.windows.failed for one in (close, far)] == [1, 1]


@pytest.mark.parametrize(
    ("width", "told"), [("45s", "windows of 30 s"), ("29.5s", "windows of 30 s"), ("20s", "30 s")]
)
def test_windows_that_are_no_multiples_are_refused(width: str, told: str, tmp_path: Path) -> None:
    path = saved(log_of(spread(50), seconds=4000), tmp_path / "run.profile", [])
    with pytest.raises(
        InputError, match=f"run.profile: tells of .*{told}.* take a multiple of 30 s, or profile"
    ):
        loadlens.check_gates(path, within(["p50 < 1s"], width))


def test_without_a_timeline_there_are_no_windows(tmp_path: Path) -> None:
    frame = log_of(np.full(70_000, 3.0)).with_columns(memory_size=pl.int_range(70_000))
    path = saved(frame, tmp_path / "run.profile")
    with pytest.raises(InputError, match=r"tells of no windows of time; profile the logs again"):
        loadlens.check_gates(path, within(["p50 < 1s"], "60s"))
    with pytest.raises(GateError, match="does not tell which calls lie below the fence"):
        loadlens.check_gates(path, ["p50 < 1s filtered"])


@pytest.mark.slow
def test_profiles_of_several_days_are_judged_together(tmp_path: Path) -> None:
    days = [
        keyed(log_of(spread(900, seed=day), seconds=1000)).with_columns(
            pl.col("start_time", "end_time") + 1001 * day
        )
        for day in range(3)
    ]
    paths = [saved(day, tmp_path / f"{number}.profile") for number, day in enumerate(days)]
    gates = within(METRICS, "60s")
    got, exact = (loadlens.check_gates(log, gates, ["memory_size"]) for log in (paths, pl.concat(days)))
    for one, other in zip(got.verdicts, exact.verdicts, strict=True):
        assert_bounded(one, other)
    apart = days[0].with_columns(pl.col("start_time", "end_time") + 1e6)
    saved(apart, tmp_path / "9.profile")
    with pytest.raises(
        InputError, match="tells of windows of 7200 s, which do not add up to windows of 60 s"
    ):
        loadlens.check_gates([*paths, tmp_path / "9.profile"], gates)


def test_logs_beside_profiles_are_judged_by_windows_too(tmp_path: Path) -> None:
    frame = keyed(log_of(mixed(3000), seconds=1500))
    path = saved(frame[:2000], tmp_path / "run.profile")
    frame[2000:].write_parquet(tmp_path / "rest.parquet")
    gates = [*within(METRICS, "60s"), "p99 < 80ms"]
    got = loadlens.check_gates([path, tmp_path / "rest.parquet"], gates, ["memory_size"])
    exact = loadlens.check_gates(frame, gates, ["memory_size"])
    for one, other in zip(got.verdicts, exact.verdicts, strict=True):
        if one.windows:
            assert_bounded(one, other)


def test_figures_of_the_run_that_a_profile_knows_are_exact(tmp_path: Path) -> None:
    frame = keyed(log_of([*spread(3000), *[-1.0] * 99]))
    path = saved(frame, tmp_path / "run.profile")
    limits = {name: f"{name} < {bound}ms" for name, bound in (("mean", 28), ("max", 480.0), ("min", 1.9))}
    for got, exact in zip(
        *[
            loadlens.check_gates(log, list(limits.values()), ["memory_size"]).verdicts
            for log in (path, frame)
        ],
        strict=True,
    ):
        assert (got.low, got.value, got.high, got.holds) == (
            exact.value,
            exact.value,
            exact.value,
            exact.holds,
        )


def test_the_documents_of_a_check_tell_the_bounds(tmp_path: Path) -> None:
    frame = keyed(log_of(spread(600), seconds=100))
    path = saved(frame, tmp_path / "run.profile")
    check = loadlens.check_gates(path, within(["p90 < 50ms"], "10s"))
    document = json.loads(json.dumps(loadlens.gates.check_document(check, [str(path)])))
    assert document["relative_error"] == 2**-5
    for result, size in zip(
        document["gates"][0]["results"], sorted(frame["memory_size"].unique()), strict=True
    ):
        start = result["windows"]["worst_start_s"]
        inside = pl.col("end_time").is_between(start, start + 10, closed="left")
        calls = frame.filter(inside & (pl.col("memory_size") == size))
        true = float(np.quantile(calls[LATENCY].to_numpy(), 0.9))
        assert result["low"] <= true <= result["high"]
        assert math.isclose(result["high"], result["low"], rel_tol=1 / 15)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_commands_take_a_width_and_judge_by_it(tmp_path: Path) -> None:
    keyed(log_of(spread(2000), seconds=2000)).write_parquet(tmp_path / "log.parquet")
    made = ("profile", tmp_path / "log.parquet", "--by", "memory_size", "--out")
    assert run(*made, tmp_path / "own.profile").exit_code == 0
    assert run(*made, tmp_path / "quarter.profile", "--window", "15s").exit_code == 0
    gate = ("--slo", "p99 < 2s within 45s of every window")
    refused = run("check", tmp_path / "own.profile", *gate)
    assert refused.exit_code == 3
    assert "take a multiple of 10 s, or profile the logs again with windows of 45 s" in refused.stderr
    good = run("check", tmp_path / "quarter.profile", *gate, "--json")
    assert good.exit_code == 0, good.output
    document = json.loads(good.stdout)
    assert {result["windows"]["width_s"] for result in document["gates"][0]["results"]} == {45.0}
    bad = run("check", tmp_path / "quarter.profile", "--slo", "p50 < 20.5ms within 5min of every window")
    assert bad.exit_code == 1
    assert "too close to the bound for the figures of a saved profile" in bad.output + bad.stderr


@pytest.mark.parametrize(
    ("width", "told"),
    [
        ("60", "--window, character 3: got nothing, expected a unit of time: s, min or h"),
        ("60s x", "--window, character 5: got 'x', expected nothing more"),
        ("1.5s", "window_s: got 1.5, expected whole seconds"),
        ("25h", "window_s: got 90000"),
        ("", "--window"),
    ],
)
def test_what_is_no_width_is_refused(width: str, told: str, tmp_path: Path) -> None:
    log_of(spread(20)).write_parquet(tmp_path / "log.parquet")
    result = run("profile", tmp_path / "log.parquet", "--out", tmp_path / "x.profile", "--window", width)
    assert result.exit_code == 2
    assert told in result.stderr
