"""Apdex against pandas: at its edges, by key, of profiles, and in each output."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import GateError, UsageError
from loadlens.gates import parse_gate
from loadlens.summaries import Apdex

SHARED = Path(__file__).parents[3] / "shared" / "logs"


def calls(rows: int = 3000, seed: int = 2) -> pl.DataFrame:
    """Calls of whole ms, so that many take exactly the target; some failed, fast or slow."""
    random = np.random.default_rng(seed)
    start = np.sort(random.uniform(0, 60, rows))
    latency = np.round(random.lognormal(3, 1, rows))
    return pl.DataFrame(
        {
            "label": random.choice(["login", "pay", "search"], rows),
            "invocation_latency": latency,
            "success": random.uniform(size=rows) < 0.95,
            "start_time": start,
            "end_time": start + latency / 1000,
        }
    )


def by_pandas(log: pl.DataFrame, target_ms: float) -> tuple[int, int, int]:
    """Satisfied, tolerating and frustrated calls."""
    frame = log.to_pandas()
    good = frame[frame["success"]]
    satisfied = int((good["invocation_latency"] <= target_ms).sum())
    tolerated = int((good["invocation_latency"] <= 4 * target_ms).sum())
    return satisfied, tolerated - satisfied, len(frame) - tolerated


def assert_scores(found: pl.DataFrame, log: pl.DataFrame, targets: dict[str, float]) -> None:
    assert found["label"].to_list() == sorted(targets)
    for label, target in targets.items():
        own = log.filter(pl.col("label") == label)
        row = found.filter(pl.col("label") == label).row(0, named=True)
        satisfied, tolerating, frustrated = by_pandas(own, target)
        assert (row["satisfied"], row["tolerating"], row["frustrated"]) == (satisfied, tolerating, frustrated)
        assert row["calls"] == own.height
        assert row["target_ms"] == target
        assert row["apdex"] == pytest.approx((satisfied + tolerating / 2) / own.height, rel=1e-15)


@pytest.mark.parametrize("target", [20.0, 7.0, 0.5])
def test_scores_equal_those_of_pandas(target: float):
    log = calls()
    result = loadlens.summarize(log, by=["label"], apdex=f"{target}ms", totals=True)
    assert result.apdex is not None
    assert_scores(result.apdex, log, dict.fromkeys(("login", "pay", "search"), target))
    assert result.summary["apdex"].to_list() == result.apdex["apdex"].to_list()
    satisfied, tolerating, _ = by_pandas(log, target)
    assert result.total is not None
    assert result.total["apdex"].item() == pytest.approx((satisfied + tolerating / 2) / log.height)


@given(latencies=st.lists(st.sampled_from([99.9, 100.0, 100.1, 399.9, 400.0, 400.1]), min_size=1))
def test_both_edges_belong_to_the_better_side(latencies: list[float]):
    log = pl.DataFrame({"invocation_latency": latencies})
    found = loadlens.summarize(log, by=[], apdex="100ms").apdex
    assert found is not None
    satisfied = sum(latency <= 100 for latency in latencies)
    tolerated = sum(latency <= 400 for latency in latencies)
    assert found["satisfied"].item() == satisfied
    assert found["tolerating"].item() == tolerated - satisfied


def test_failures_frustrate_however_fast_and_calls_without_a_latency_are_left_out():
    log = pl.DataFrame(
        {
            "invocation_latency": [1.0, 2.0, -1.0, None, None],
            "success": [True, False, False, True, False],
        },
        schema={"invocation_latency": pl.Float64, "success": pl.Boolean},
    )
    found = loadlens.summarize(log, by=[], apdex="100ms").apdex
    assert found is not None
    assert found.select("calls", "satisfied", "tolerating", "frustrated", "apdex").rows() == [
        (4, 1, 0, 3, 0.25)
    ]


@pytest.mark.parametrize(
    ("good", "rating"),
    [(94, "excellent"), (93, "good"), (85, "good"), (84, "fair"), (69, "poor"), (49, "unacceptable")],
)
def test_ratings_are_those_of_the_specification(good: int, rating: str):
    latencies = [1.0] * good + [1000.0] * (100 - good)
    found = loadlens.summarize(pl.DataFrame({"invocation_latency": latencies}), by=[], apdex="10ms").apdex
    assert found is not None
    assert found["rating"].item() == rating


def test_targets_by_key(tmp_path: Path):
    (tmp_path / "apdex.toml").write_text(
        'target = "20ms"\n[[override]]\ntarget = "0.005 s"\nkey = { label = "pay" }\n'
    )
    log = calls()
    for source in (tmp_path / "apdex.toml", str(tmp_path / "apdex.toml"), Apdex.of(tmp_path / "apdex.toml")):
        result = loadlens.summarize(log, by=["label"], apdex=source, totals=True)
        assert result.apdex is not None
        assert_scores(result.apdex, log, {"login": 20.0, "pay": 5.0, "search": 20.0})
    assert result.total is not None
    points = (result.apdex["satisfied"] + result.apdex["tolerating"] / 2).sum()
    assert result.total["apdex"].item() == pytest.approx(points / log.height)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('target = "20"', "expected a target such as"),
        ('goal = "20ms"', "expected target ="),
        ('target = "20ms"\n[[override]]\ntarget = "5ms"', "override 1"),
        ('target = "20ms"\n[[override]]\ntarget = "5ms"\nkey = {}', "names no key column"),
        (
            'target = "20ms"\n[[override]]\ntarget = "5ms"\nkey = {region = "eu"}',
            "expected key columns: label",
        ),
        ('target = "20ms"\n[[override]]\ntarget = "5ms"\nkey = {label = "x"}', "which no configuration has"),
        ("target = ", "is not TOML"),
    ],
)
def test_files_that_make_no_sense_are_refused(text: str, message: str, tmp_path: Path):
    (tmp_path / "apdex.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        loadlens.summarize(calls(50), by=["label"], apdex=tmp_path / "apdex.toml")


@pytest.mark.parametrize("target", ["500", "-5ms", "0ms", "5 minutes", "", 500, "1e300ms"])
def test_targets_that_make_no_sense_are_refused(target: object):
    with pytest.raises(UsageError, match="apdex"):
        loadlens.summarize(calls(50), by=["label"], apdex=target)  # type: ignore[arg-type]


def test_scores_of_one_pass_and_of_saved_profiles_have_bounds(tmp_path: Path):
    log = calls()
    loadlens.profile_log(log, tmp_path / "a.profile", by=["label"])
    exact = loadlens.summarize(log, by=["label"], apdex="20ms").apdex
    assert exact is not None
    assert "apdex_low" not in exact.columns
    for found in (
        loadlens.summarize(log, by=["label"], apdex="20ms", exact=False).apdex,
        loadlens.summarize(tmp_path / "a.profile", by=["label"], apdex="20ms").apdex,
    ):
        assert found is not None
        assert (found["apdex_low"] <= exact["apdex"]).all()
        assert (exact["apdex"] <= found["apdex_high"]).all()
        assert (found["apdex_high"] - found["apdex_low"]).max() < 0.1


def test_what_was_not_asked_for_is_not_there():
    result = loadlens.summarize(calls(100), by=["label"])
    assert result.apdex is None
    assert "apdex" not in result.summary.columns


@pytest.mark.usefixtures("no_drawings")
def test_an_analysis_has_it_in_each_output(tmp_path: Path):
    log = calls()
    log.write_csv(tmp_path / "log.csv")
    out = tmp_path / "out"
    arguments = ["analyze", str(tmp_path / "log.csv"), "--apdex", "20ms", "--out", str(out), "--quiet"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    table = pl.read_csv(out / "apdex.csv")
    assert_scores(table, log, dict.fromkeys(("login", "pay", "search"), 20.0))
    document = json.loads((out / "summary.json").read_text())
    assert [row["apdex"] for row in document["apdex"]] == table["apdex"].to_list()
    assert pl.read_csv(out / "summary.csv")["apdex"].to_list() == table["apdex"].to_list()
    page = (out / "report.html").read_text()
    assert 'id="apdex"' in page


def test_gates_on_apdex():
    log = calls()
    gates = [
        "apdex(20ms) >= 0.5",
        "apdex(20ms) >= 99%",
        "overall apdex(7ms) > 0.2",
        "apdex(20ms) > 0.3 within 10s of every window",
    ]
    check = loadlens.check_gates(log, gates, by=["label"])
    by_gate = {gate.text: check.of(gate) for gate in check.gates}
    for verdict in by_gate[gates[0]]:
        satisfied, tolerating, _ = by_pandas(log.filter(pl.col("label") == verdict.key["label"]), 20.0)
        own = log.filter(pl.col("label") == verdict.key["label"]).height
        assert verdict.value == pytest.approx((satisfied + tolerating / 2) / own)
        assert verdict.calls == own
        assert verdict.holds == (verdict.value >= 0.5)
    assert not any(verdict.holds for verdict in by_gate[gates[1]])
    satisfied, tolerating, _ = by_pandas(log, 7.0)
    assert by_gate[gates[2]][0].value == pytest.approx((satisfied + tolerating / 2) / log.height)
    worst = by_gate[gates[3]][0]
    own = log.filter(pl.col("label") == worst.key["label"])
    scores = []
    for _, window in own.group_by(pl.col("end_time") // 10):
        satisfied, tolerating, _ = by_pandas(window, 20.0)
        scores.append((satisfied + tolerating / 2) / window.height)
    assert worst.value == pytest.approx(min(scores))


@pytest.mark.parametrize(
    "text",
    ["apdex(20) > 0.5", "apdex(0ms) > 0.5", "apdex > 0.5", "apdex(20ms) > 2", "apdex(20ms) > 0.5 filtered"],
)
def test_gates_that_make_no_sense_are_refused(text: str):
    with pytest.raises(GateError):
        parse_gate(text)


def test_rejected_rows_are_no_gain(tmp_path: Path):
    log = calls(100)
    log.write_csv(tmp_path / "log.csv")
    with (tmp_path / "log.csv").open("a") as file:
        file.write("pay,broken,true,1,2\n" * 10)
    reading = loadlens.read_log(tmp_path / "log.csv", max_rejects=10)
    check = loadlens.check_gates(reading, ["apdex(20ms) >= 0.1"], by=[])
    satisfied, tolerating, _ = by_pandas(log, 20.0)
    verdict = check.verdicts[0]
    assert verdict.low == pytest.approx((satisfied + tolerating / 2) / 110)
    assert verdict.high == pytest.approx((satisfied + tolerating / 2 + 10) / 110)


def test_recorded_runs_score_as_pandas_says():
    path = SHARED / "jmeter" / "taurus_slow-stdev.jtl"
    if not path.exists():
        pytest.skip("recorded logs are not here")
    raw = pd.read_csv(path)
    target = float(raw["elapsed"].median())
    good = raw[raw["success"].astype(str).str.lower() == "true"]
    points = ((good["elapsed"] <= target).sum() + (good["elapsed"] <= 4 * target).sum()) / 2
    found = loadlens.summarize(path, by=[], apdex=f"{target}ms").apdex
    assert found is not None
    assert found["apdex"].item() == pytest.approx(points / len(raw))
