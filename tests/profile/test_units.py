"""Logs whose latencies are in another unit than their start and end: told from all rows, in every form."""

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.gates import check_gates
from loadlens.logs import Log
from loadlens.profile.clock import UnitCounts
from loadlens.tasks.convert import convert
from tests.extent import some_of
from tests.forms import arrow, csv, parquet

pytestmark = pytest.mark.usefixtures("no_drawings")

CALLS = 400
SHIFTED = "another unit"


def log_of(
    latency_ms: Sequence[float], span_s: Sequence[float], start_s: float = 1_700_000_000.123
) -> pl.DataFrame:
    start = [start_s + 0.37 * number for number in range(len(span_s))]
    return pl.DataFrame(
        {
            "invocation_latency": latency_ms,
            "start_time": start,
            "end_time": [time + span for time, span in zip(start, span_s, strict=True)],
            "success": [True] * len(start),
        }
    )


def spans(calls: int = CALLS) -> list[float]:
    """Spans of 10 ms to 2 s."""
    return [
        float(span) for span in np.random.default_rng(7).lognormal(math.log(0.1), 0.6, calls).clip(0.01, 2)
    ]


def told(log: Log | pl.DataFrame | Path) -> list[str]:
    log = loadlens.read_log(log)
    loadlens.summarize(log, by=[])
    return [sentence for sentence in log.findings.sentences() if SHIFTED in sentence]


def in_memory(frame: pl.DataFrame, _folder: Path) -> pl.DataFrame:
    return frame


FORMS: tuple[Callable[[pl.DataFrame, Path], Path | pl.DataFrame], ...] = (csv, parquet, arrow, in_memory)


@pytest.mark.parametrize("form", some_of(FORMS, 2))
def test_latencies_in_seconds_are_told_in_every_form(
    form: Callable[[pl.DataFrame, Path], Path | pl.DataFrame], tmp_path: Path
) -> None:
    source = form(log_of(spans(), spans()), tmp_path)
    (sentence,) = told(source)
    longest = max(spans())
    assert sentence.startswith(f"{CALLS} of {CALLS} calls have a latency that is end_time - start_time")
    assert f"such as {longest:g} ms with end_time - start_time = {longest:.6g} s" in sentence
    assert "--map latency=invocation_latency:s" in sentence
    log = loadlens.read_log(source)
    assert check_gates(log, ["p99 < 10ms", "throughput > 0/s within 10s of every window"]).holds
    assert sentence in log.findings.sentences()
    log = loadlens.read_log(source)
    check_gates(log, ["throughput >= 0/s within 10s of every window"])
    assert sentence in log.findings.sentences()


@pytest.mark.parametrize(
    ("latency_of_second", "span_of_second", "advice"),
    [
        (1.0, 1.0, "latency=invocation_latency:s"),
        (1 / 60, 1.0, "latency=invocation_latency:min"),
        (1e6, 1.0, "latency=invocation_latency:us"),
        (1e9, 1.0, "latency=invocation_latency:ns"),
        (1e3, 1e3, "start=start_time:relative_ms"),
        (1e3, 1e6, "start=start_time:relative_us"),
        (1e3, 1 / 60, "the times are in minutes"),
    ],
)
def test_each_unit_is_told(latency_of_second: float, span_of_second: float, advice: str) -> None:
    latency, span = ([unit * second for second in spans()] for unit in (latency_of_second, span_of_second))
    (sentence,) = told(log_of(latency, span, start_s=17.123))
    assert advice in sentence


@pytest.mark.parametrize("calls", [1, 3])
def test_few_calls_tell(calls: int) -> None:
    frame = pl.DataFrame(
        {
            "invocation_latency": [0.05] * calls,
            "start_time": [float(number) for number in range(calls)],
            "end_time": [number + 0.05 for number in range(calls)],
        }
    )
    (sentence,) = told(frame)
    assert f"{calls} of {calls} call" in sentence


def test_short_calls_on_a_clock_of_milliseconds_tell_where_they_are_the_same() -> None:
    milliseconds = np.random.default_rng(3).integers(1, 5, CALLS)
    start = np.arange(CALLS) * 7 + 1
    frame = pl.DataFrame(
        {
            "invocation_latency": milliseconds / 1000,
            "start_time": start / 1000,
            "end_time": (start + milliseconds) / 1000,
        }
    )
    assert told(frame)


def scattered(parts: int) -> list[float]:
    return [float(part) for part in np.random.default_rng(parts).uniform(1 / parts, 1, CALLS)]


ORDINARY = {
    "as it should be": log_of([1000 * span for span in spans()], spans()),
    "queues before a tenth of the time": log_of(
        [1000 * span * part for span, part in zip(spans(), scattered(10), strict=True)], spans()
    ),
    "queues before a thousandth or so of the time": log_of(
        [1000 * span * part**6 for span, part in zip(spans(), scattered(10), strict=True)], spans()
    ),
    "1 ms on a clock of whole seconds": pl.DataFrame(
        {"invocation_latency": [1.0] * 100, "start_time": np.arange(100.0), "end_time": np.arange(1.0, 101)}
    ),
    "few ms on a clock of whole seconds": pl.DataFrame(
        {
            "invocation_latency": [1.0, 2.0, 3.0, 4.0] * 25,
            "start_time": np.arange(100.0),
            "end_time": np.arange(100.0) + [0, 0, 1, 4] * 25,
        }
    ),
    "under 1 ms on a clock of milliseconds": pl.DataFrame(
        {
            "invocation_latency": np.linspace(0.001, 0.9, 100),
            "start_time": np.arange(100) * 7 / 1000,
            "end_time": (np.arange(100) * 7 + [0, 1] * 50) / 1000,
        }
    ),
    "failures": log_of([-1.0] * CALLS, spans()).with_columns(success=pl.Series([False] * CALLS)),
    "no span": log_of([0.05] * CALLS, [0.0] * CALLS),
    "no times": pl.DataFrame({"invocation_latency": [0.05] * 9}),
    "no starts": pl.DataFrame({"invocation_latency": [0.05] * 9, "end_time": np.arange(9) + 0.05}),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_nothing_is_told_of_ordinary_logs(name: str) -> None:
    assert not told(ORDINARY[name])


def test_less_than_half_of_the_calls_tell_nothing() -> None:
    right = [1000 * span for span in spans()]
    mixed = log_of([*right[:201], *spans()[201:]], spans())
    assert not told(mixed)
    assert told(log_of([*right[:200], *spans()[200:]], spans()))[0].startswith("200 of 400 calls")


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1e6), st.sampled_from([1.0, 1e3, 1e6, 1 / 60])), min_size=1, max_size=60
    ),
    st.integers(1, 7),
)
def test_order_and_division_do_not_matter(calls: list[tuple[float, float]], parts: int) -> None:
    span, unit = (np.array(values) for values in zip(*calls, strict=True))
    frame = pl.DataFrame({"invocation_latency": span * unit, "start_time": 0.0 * span, "end_time": span})
    whole = UnitCounts.of(frame)
    pieces = [frame.reverse()[part::parts] for part in range(parts)]
    divided = UnitCounts.merge_all(map(UnitCounts.of, pieces))
    assert whole.calls == divided.calls == len(calls)
    np.testing.assert_array_equal(whole.near, divided.near)
    np.testing.assert_array_equal(whole.examples, divided.examples)


def test_more_rows_than_are_looked_at_at_once_are_all_counted() -> None:
    span = np.random.default_rng(1).uniform(0.1, 1, 50_000)
    frame = pl.DataFrame(
        {
            "invocation_latency": np.where(np.arange(50_000) % 5 == 0, 1000 * span, span),
            "start_time": np.full(50_000, 0.25),
            "end_time": span + 0.25,
        }
    )
    found = UnitCounts.of(frame)
    assert found.calls == 50_000
    assert found.near[2].max() == 40_000
    assert found.sentence(0.0).startswith("40,000 of 50,000 calls")


def test_workers_converted_logs_and_profiles_tell_the_same(tmp_path: Path) -> None:
    path = parquet(log_of(spans(), spans()), tmp_path)
    (expected,) = told(path)
    log = loadlens.read_log(path)
    with ThreadPoolExecutor(2) as executor:
        loadlens.summarize(log, by=[], executor=executor, partition_rows=100)
    assert expected in log.findings.sentences()
    convert([csv(log_of(spans(), spans()), tmp_path)], tmp_path / "converted.parquet")
    assert len(told(tmp_path / "converted.parquet")) == 1
    loadlens.profile_log(path, tmp_path / "a.profile", by=())
    assert told(tmp_path / "a.profile") == [expected]


def test_check_analyze_and_compare_tell_it(tmp_path: Path) -> None:
    path = csv(log_of(spans(), spans()), tmp_path)
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 10ms", "--json"])
    assert sum(SHIFTED in text for text in json.loads(done.stdout)["warnings"]) == 1
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["analyze", str(path), "--out", str(out)])
    assert done.exit_code == 0
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert sum(SHIFTED in text for text in document["warnings"]) == 1
    assert SHIFTED in (out / "report.html").read_text(encoding="utf-8")


def test_the_map_that_is_named_mends_it(tmp_path: Path) -> None:
    path = csv(log_of(spans(), spans()), tmp_path)
    column_map = ["latency=invocation_latency:s", "start=start_time:epoch_s", "success=success"]
    log = loadlens.read_log(path, column_map=column_map)
    maximum = loadlens.summarize(log, by=[]).summary["invocation_latency_max"].item()
    assert maximum == pytest.approx(1000 * max(spans()))
    assert not [sentence for sentence in log.findings.sentences() if SHIFTED in sentence]
