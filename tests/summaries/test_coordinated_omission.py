"""Percentiles corrected for coordinated omission: against a loop over values, and against the open loop."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError, UsageError

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
Floats = NDArray[np.float64]


def corrected_by_loop(latencies: Floats, interval: float) -> Floats:
    """What HdrHistogram counts: each value, and what it kept from being sent."""
    found = list(latencies)
    for latency in latencies:
        missing = latency - interval
        while missing >= interval * (1 - 1e-9):
            found.append(missing)
            missing -= interval
    return np.sort(np.array(found))


def by_quantile(result: loadlens.SummaryResult) -> dict[float, dict[str, float]]:
    assert result.corrected is not None
    return {row["quantile"]: row for row in result.corrected.iter_rows(named=True)}


def assert_as_the_loop(result: loadlens.SummaryResult, latencies: Floats, interval: float) -> None:
    expected = corrected_by_loop(latencies, interval)
    for quantile, row in by_quantile(result).items():
        true = np.quantile(expected, quantile)
        assert row["latency_ms"] == pytest.approx(np.quantile(latencies, quantile), rel=1e-12)
        assert row["corrected_low_ms"] <= true * (1 + 1e-9)
        assert true * (1 - 1e-9) <= row["corrected_high_ms"]
        assert row["corrected_low_ms"] <= row["corrected_ms"] <= row["corrected_high_ms"]
        assert row["calls"] == len(latencies)


def test_it_is_the_method_of_hdr_histogram():
    random = np.random.default_rng(4)
    latencies = np.concatenate([random.lognormal(3, 0.4, 5000), random.uniform(200, 9000, 40)])
    log = pl.DataFrame({"invocation_latency": latencies})
    result = loadlens.summarize(log, by=[], expected_interval="100ms")
    assert_as_the_loop(result, latencies, 100.0)
    expected = corrected_by_loop(latencies, 100.0)
    for quantile, row in by_quantile(result).items():
        assert row["corrected_ms"] == pytest.approx(np.quantile(expected, quantile), rel=5e-3)
        assert row["added"] == pytest.approx(len(expected) - len(latencies), rel=2e-3)


@given(
    st.lists(st.floats(0.01, 2000), min_size=1, max_size=40),
    st.sampled_from([0.5, 1.0, 7.3, 100.0, 5000.0]),
)
def test_the_bounds_hold_whatever_the_latencies(values: list[float], interval: float):
    latencies = np.array(values)
    log = pl.DataFrame({"invocation_latency": latencies})
    assert_as_the_loop(loadlens.summarize(log, by=[], expected_interval=f"{interval}ms"), latencies, interval)


def loops(seed: int, *, stall_s: float = 5.0, interval_s: float = 0.1) -> dict[str, pl.DataFrame]:
    """A server that stalls once, seen by clients that wait for it and by ones that send as they meant to.

    Each worker means to send a call at fixed times. One that waits (closed) leaves out the times that pass
    meanwhile; the latency of one that does not (open) counts from when the call was due.
    """
    random = np.random.default_rng(seed)
    begin, end, run_s = 30.0, 30.0 + stall_s, 120.0
    closed, opened = [], []
    for worker in range(20):
        due = np.arange(random.uniform(0, interval_s), run_s, interval_s)
        service = random.lognormal(-4, 0.3, len(due))  # about 18 ms
        done = np.where((due >= begin) & (due < end), end + service, due + service)
        opened.append(pl.DataFrame({"worker": f"t{worker}", "start_time": due, "end_time": done}))
        sent, free = [], 0.0
        for number, time in enumerate(due):
            if time >= free:
                sent.append(number)
                free = done[number]
        closed.append(opened[-1][sent])
    return {
        name: pl.concat(parts).with_columns(
            ((pl.col("end_time") - pl.col("start_time")) * 1000).alias("invocation_latency")
        )
        for name, parts in (("closed", closed), ("open", opened))
    }


@pytest.mark.parametrize(("seed", "stall_s"), [(1, 5.0), (2, 2.0), (3, 20.0)])
@pytest.mark.parametrize("interval", ["100ms", "auto"])
def test_a_stall_that_clients_waited_for_is_put_back(seed: int, stall_s: float, interval: str):
    log = loops(seed, stall_s=stall_s)
    result = loadlens.summarize(log["closed"], by=[], expected_interval=interval)
    truth = log["open"]["invocation_latency"].to_numpy()
    rows = by_quantile(result)
    for quantile in (0.99, 0.999):
        right = np.quantile(truth, quantile)
        assert rows[quantile]["corrected_ms"] == pytest.approx(right, rel=0.02)
    assert rows[0.99]["latency_ms"] < 0.1 * np.quantile(truth, 0.99)
    assert rows[0.5]["expected_interval_ms"] == pytest.approx(100, rel=1e-6)
    assert rows[0.5]["added"] + rows[0.5]["calls"] == pytest.approx(len(truth), rel=5e-3)


def test_without_a_slow_call_nothing_changes():
    latencies = np.random.default_rng(1).uniform(1, 90, 1000)
    result = loadlens.summarize(
        pl.DataFrame({"invocation_latency": latencies}), by=[], expected_interval="100ms"
    )
    for row in by_quantile(result).values():
        assert row["corrected_ms"] == row["corrected_low_ms"] == row["corrected_high_ms"] == row["latency_ms"]
        assert row["added"] == 0


def test_each_key_has_the_cadence_of_its_own_workers():
    log = pl.concat(
        [
            loops(5)["closed"].with_columns(node=pl.lit("10")),
            loops(6, interval_s=0.25)["closed"].with_columns(node=pl.lit("9")),
            pl.DataFrame(
                {
                    "worker": "x",
                    "start_time": 1.0,
                    "end_time": 2.0,
                    "invocation_latency": 1000.0,
                    "node": "11",
                }
            ),
        ]
    )
    found = loadlens.summarize(log, by=["node"], expected_interval="auto").corrected
    assert found is not None
    first = found.filter(pl.col("quantile") == 0.5)
    assert first["node"].to_list() == [9, 10, 11]
    assert first["expected_interval_ms"].to_list()[:2] == pytest.approx([250, 100], rel=1e-6)
    assert first["expected_interval_ms"][2] is None
    alone = found.filter(pl.col("node") == 11)
    assert alone["corrected_ms"].to_list() == alone["latency_ms"].to_list()


def test_failed_calls_take_no_part():
    latencies = [10.0] * 50 + [5000.0] * 10
    log = pl.DataFrame({"invocation_latency": latencies, "success": [True] * 50 + [False] * 10})
    found = loadlens.summarize(log, by=[], expected_interval="100ms").corrected
    assert found is not None
    assert found["added"].to_list() == [0] * 5


def test_a_saved_profile_is_corrected_by_a_given_interval(tmp_path: Path):
    log = loops(1)["closed"]
    loadlens.profile_log(log, tmp_path / "a.profile", by=[])
    saved = loadlens.summarize(tmp_path / "a.profile", expected_interval="100ms").corrected
    own = loadlens.summarize(log, by=[], expected_interval="100ms").corrected
    assert saved is not None
    assert own is not None
    assert saved["corrected_ms"].to_list() == own["corrected_ms"].to_list()
    with pytest.raises(InputError, match="auto takes columns worker"):
        loadlens.summarize(tmp_path / "a.profile", expected_interval="auto")


@pytest.mark.parametrize("interval", ["100", "0ms", "-1ms", "soon", "", 100])
def test_intervals_that_make_no_sense_are_refused(interval: object):
    with pytest.raises(UsageError, match="expected_interval"):
        loadlens.summarize(loops(1)["closed"], by=[], expected_interval=interval)  # type: ignore[arg-type]


def test_a_log_without_workers_is_refused_before_it_is_read():
    with pytest.raises(InputError, match="say the interval, such as 100ms"):
        loadlens.summarize(loops(1)["closed"].drop("worker"), by=[], expected_interval="auto")


def jtl(log: pl.DataFrame) -> str:
    rows = log.sort("end_time").select(
        (pl.col("start_time") * 1000 + 1.7e12).round().cast(pl.Int64).alias("timeStamp"),
        pl.col("invocation_latency").round().cast(pl.Int64).alias("elapsed"),
        label=pl.lit("home"),
        responseCode=pl.lit("200"),
        threadName="worker",
        success=pl.lit("true"),
    )
    return rows.write_csv()


def test_threads_of_jmeter_are_workers(tmp_path: Path):
    log = loops(1)
    (tmp_path / "run.jtl").write_text(jtl(log["closed"]))
    found = by_quantile(loadlens.summarize(tmp_path / "run.jtl", expected_interval="auto"))
    truth = log["open"]["invocation_latency"].to_numpy()
    assert found[0.99]["expected_interval_ms"] == pytest.approx(100, abs=1)
    assert found[0.99]["corrected_ms"] == pytest.approx(np.quantile(truth, 0.99), rel=0.02)


@pytest.mark.usefixtures("no_drawings")
def test_an_analysis_has_them_in_each_output(tmp_path: Path):
    (tmp_path / "run.jtl").write_text(jtl(loops(1)["closed"]))
    out = tmp_path / "out"
    arguments = ["analyze", str(tmp_path / "run.jtl"), "--expected-interval", "100ms", "--out", str(out)]
    run = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert run.exit_code == 0, run.output
    table = pl.read_csv(out / "corrected.csv")
    assert table.columns == [
        "label", "quantile", "latency_ms", "corrected_ms", "corrected_low_ms", "corrected_high_ms",
        "expected_interval_ms", "calls", "added",
    ]  # fmt: skip
    document = json.loads((out / "summary.json").read_text())
    assert [row["corrected_ms"] for row in document["corrected"]] == table["corrected_ms"].to_list()
    assert 'id="coordinated-omission"' in (out / "report.html").read_text()


def test_what_was_not_asked_for_is_not_there():
    assert loadlens.summarize(loops(1)["closed"], by=[]).corrected is None
