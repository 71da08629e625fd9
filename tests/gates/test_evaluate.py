import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.errors import GateError, InputError, UsageError
from loadlens.gates import GateCheck, Verdict, check_gates
from loadlens.profile.progress import Limits
from tests import oracle
from tests import sample_logs as logs
from tests.extent import combinations, examples
from tests.gates import numbers
from tests.sample_logs import Configuration, log_of
from tests.watching import opened_files

BY = ("memory_size", "max_concurrency")
METRICS = {
    "p50 {} {}ms": ("percentile", 50),
    "p90 {} {}ms": ("percentile", 90),
    "p99.9 {} {}ms": ("percentile", 99.9),
    "mean {} {}ms": ("mean", 0),
    "median {} {}ms": ("median", 0),
    "min {} {}ms": ("min", 0),
    "max {} {}ms": ("max", 0),
    "throughput {} {}/s": ("throughput", 0),
    "count {} {}": ("count", 0),
    "share(<20ms) {} {}%": ("below", 20),
    "share(<=20.25ms) {} {}%": ("upto", 20.25),
    "error_rate {} {}%": ("error_rate", 0),
}


def rows_of(log: pl.DataFrame, key: dict[str, object]) -> pl.DataFrame:
    return log.filter(pl.col(name).eq_missing(pl.lit(value)) for name, value in key.items())


def timed(latencies: Sequence[float], ends: Sequence[float], **columns: object) -> pl.DataFrame:
    end = pl.Series("end_time", ends, dtype=pl.Float64)
    latency = pl.Series("invocation_latency", latencies, dtype=pl.Float64)
    start = (end - latency.clip(0) / 1000).alias("start_time")
    return pl.DataFrame([latency, start, end]).with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )


def only(check: GateCheck) -> Verdict:
    (verdict,) = check.verdicts
    return verdict


@pytest.mark.parametrize("text", METRICS)
@examples(3)
@given(
    log=logs.logs(),
    sign=st.sampled_from(list(numbers.COMPARE)),
    bound=st.integers(0, 99),
    filtered=st.booleans(),
)
def test_every_metric_equals_the_oracle(
    text: str, log: pl.DataFrame, sign: str, bound: int, filtered: bool
) -> None:
    metric, argument = METRICS[text]
    filtered = filtered and metric != "error_rate"
    gate = text.format(sign, bound) + (" filtered" if filtered else "")
    check = check_gates(log, [gate], by=BY)
    assert check.by == BY
    assert len(check.verdicts) == log.select(BY).n_unique()
    for verdict in check.verdicts:
        expected = numbers.value(rows_of(log, dict(verdict.key)), metric, argument, filtered=filtered)
        assert oracle.agree(None if verdict.value is None else float(verdict.value), expected)
        limit = bound / 100 if text.endswith("%") else bound
        assert verdict.holds == (verdict.value is not None and numbers.COMPARE[sign](verdict.value, limit))
    assert check.holds == all(verdict.holds for verdict in check.verdicts)


@pytest.mark.parametrize("text", METRICS)
@examples(2)
@given(
    log=logs.logs(),
    sign=st.sampled_from(list(numbers.COMPARE)),
    bound=st.integers(0, 99),
)
def test_every_metric_equals_the_oracle_in_every_window(
    text: str, log: pl.DataFrame, sign: str, bound: int
) -> None:
    metric, argument = METRICS[text]
    limit = bound / 100 if text.endswith("%") else bound
    check = check_gates(log, [f"{text.format(sign, bound)} within 1s of every window"], by=BY)
    for verdict in check.verdicts:
        rows = rows_of(log, dict(verdict.key))
        found = numbers.windows(rows, 1)
        if metric in ("count", "throughput"):
            counts = {
                n: numbers.value(found.get(n, rows.clear()), "count") for n in numbers.whole_windows(rows, 1)
            }
            values = counts
        else:
            values = {n: numbers.value(part, metric, argument) for n, part in found.items()}
        good = [value is not None and numbers.COMPARE[sign](value, limit) for value in values.values()]
        windows = verdict.windows
        assert windows is not None
        assert (windows.judged, windows.failed) == (len(good), good.count(False))
        assert verdict.holds == (bool(good) and all(good))
        known = {n: value for n, value in values.items() if value is not None}
        if not known:
            assert verdict.value is windows.worst_start_s is None
            continue
        worst = (max if sign.startswith("<") else min)(known.values())
        assert verdict.value is not None
        assert oracle.agree(float(verdict.value), float(worst))
        assert windows.worst_start_s is not None
        assert oracle.agree(float(known[int(windows.worst_start_s)] or 0), float(worst))


@pytest.mark.parametrize("text", [text for text in METRICS if "error" not in text])
@examples(2)
@given(
    log=logs.logs(),
    sign=st.sampled_from(list(numbers.COMPARE)),
    bound=st.integers(0, 99),
)
def test_the_fence_of_each_window_is_that_of_its_own_calls(
    text: str, log: pl.DataFrame, sign: str, bound: int
) -> None:
    metric, argument = METRICS[text]
    limit = bound / 100 if text.endswith("%") else bound
    check = check_gates(log, [f"{text.format(sign, bound)} filtered within 2s of every window"], by=BY)
    for verdict in check.verdicts:
        rows = rows_of(log, dict(verdict.key))
        found = numbers.windows(rows, 2)
        counted = metric in ("count", "throughput")
        wanted = numbers.whole_windows(rows, 2) if counted else found
        values = {n: kept_figure(found.get(n, rows.clear()), metric, argument) for n in wanted}
        known = [value for value in values.values() if value is not None]
        good = [value is not None and numbers.COMPARE[sign](value, limit) for value in values.values()]
        assert verdict.windows is not None
        assert (verdict.windows.judged, verdict.windows.failed) == (len(good), good.count(False))
        worst = (max if sign.startswith("<") else min)(known) if known else None
        assert oracle.agree(None if verdict.value is None else float(verdict.value), worst)


def kept_figure(rows: pl.DataFrame, metric: str, argument: float) -> float | None:
    if metric == "throughput":
        return numbers.value(rows, "count", filtered=True) / 2  # type: ignore[operator]
    return numbers.value(rows, metric, argument, filtered=True)


@given(log=logs.logs(), seed=st.integers(0, 1000))
def test_success_says_what_a_success_is(log: pl.DataFrame, seed: int) -> None:
    lucky = np.random.default_rng(seed).random(log.height) < 0.7
    log = log.with_columns(
        success=pl.Series(lucky) & (pl.col("invocation_latency") > 0).fill_null(value=False)
    )
    check = check_gates(
        log, ["error_rate < 50%", "p90 < 20ms", "90% < 20ms", "count > 3"], by=["memory_size"]
    )
    asked = {
        "error_rate": ("error_rate", 0),
        "percentile": ("percentile", 90),
        "attainment": ("below", 20),
        "count": ("count", 0),
    }
    for verdict in check.verdicts:
        metric, argument = asked[verdict.gate.metric]
        expected = numbers.value(rows_of(log, dict(verdict.key)), metric, argument)
        assert oracle.agree(None if verdict.value is None else float(verdict.value), expected)


def test_attainment_is_exact_where_calls_crowd_the_limit() -> None:
    limit = 300.0
    crowd = limit + np.spacing(limit) * np.arange(-500, 500)
    log = pl.DataFrame({"invocation_latency": np.random.default_rng(1).permutation(np.tile(crowd, 3))})
    strict, lax = check_gates(log, ["50% < 300ms", "share(<=0.3s) > 50%"]).verdicts
    assert strict.value == 0.5
    assert strict.holds
    assert lax.value == 501 / 1000
    assert lax.holds
    assert not check_gates(log, ["share(<300ms) > 50%"]).holds


def test_gates_are_reported_in_their_order_and_by_ascending_key() -> None:
    log = log_of([Configuration(memory_size=size) for size in (2048, 1024, 3072)])
    texts = ["count >= 1 within 1s of every window", "p99 < 1s", "count > 5 for memory_size=2048", "p99 < 1s"]
    check = check_gates(log, texts, by=["memory_size"])
    assert [gate.text for gate in check.gates] == texts
    found = [(verdict.gate.text, verdict.key["memory_size"]) for verdict in check.verdicts]
    all_sizes = (1024, 2048, 3072)
    expected = [(text, size) for text in texts for size in (all_sizes if "for" not in text else (2048,))]
    assert found == expected
    assert check.of(check.gates[2]) == check.verdicts[6:7]


def test_without_by_the_natural_key_tells_configurations_apart() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0, 50.0], "label": ["a", "a", "b"]})
    check = check_gates(log, ["max < 10ms"])
    assert [(dict(verdict.key), verdict.holds) for verdict in check.verdicts] == [
        ({"label": "a"}, True),
        ({"label": "b"}, False),
    ]
    assert check_gates(log.drop("label"), ["max < 10ms"]).verdicts[0].key == {}


@pytest.mark.parametrize(
    ("scope", "values"),
    [
        ("size=2", [2]),
        ("size=2.0", [2]),
        ("text=x", ["x"]),
        ("text='10'", ["10"]),
        ("text=null", [None]),
        ("real=0.5", [0.5]),
        ("real=.50", [0.5]),
        ("flag=true", [True]),
        ("size=2, flag=False", [2, False]),
    ],
)
def test_scope_chooses_configurations_by_value(scope: str, values: list[object]) -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [1.0, 2.0, 3.0, 4.0],
            "size": [2, 2, 3, 10],
            "text": ["x", "10", None, "x"],
            "real": [0.5, 1.5, 2.5, 2.5],
            "flag": [True, False, False, False],
        }
    )
    by = [part.split("=")[0].strip() for part in scope.split(",")]
    verdict = only(check_gates(log, [f"count > 0 for {scope}"], by=by))
    assert list(verdict.key.values()) == values
    assert (
        verdict.value
        == log.filter(pl.col(n).eq_missing(pl.lit(v)) for n, v in zip(by, values, strict=True)).height
    )


def test_text_keys_that_are_numbers_are_named_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    timed([1, 2, 4], [1, 2, 3], users=[10, 2, 2]).write_csv(path)
    gates = ["count > 1 for users=2", "count > 0", "max < 9ms within 1s of every window"]
    check = check_gates(path, gates, by=["users"])
    assert [verdict.key["users"] for verdict in check.verdicts] == [2, 2, 10, 2, 10]


@pytest.mark.parametrize(
    ("gate", "problem", "caret"),
    [
        ("p99 < 1s for label=c", "character 20: got 'c', expected one of the values of label: a, b", 19),
        (
            "p99 < 1s for file=c",
            "character 14: got 'file', expected a column that the log is grouped by, which is label",
            13,
        ),
        (
            "p99 < 1s for extra=1",
            (
                "character 14: got 'extra', expected a column that the log is grouped by, which is label; "
                "to group by it too, pass --by label --by extra"
            ),
            13,
        ),
    ],
)
def test_a_scope_that_the_log_does_not_have_is_a_bad_gate(gate: str, problem: str, caret: int) -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "b"], "extra": [1, 1]})
    with pytest.raises(GateError) as caught:
        check_gates(log, ["p50 < 1s", gate])
    assert caught.value.problems == (f"gate '{gate}', {problem}",)
    assert caught.value.excerpts == (f"{gate}\n{' ' * caret}^",)


def test_values_that_do_not_meet_are_a_bad_gate() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "b"], "size": [1, 2]})
    with pytest.raises(GateError, match="got '2', expected one of the values of size: 1"):
        check_gates(log, ["p99 < 1s for label=a, size=2"], by=["label", "size"])


@pytest.mark.parametrize(
    "gate", ["p99 < 1s", "mean < 1s", "max > 0ms", "0% < 1s", "p99 < 1s filtered", "throughput < 9"]
)
def test_where_no_call_succeeded_no_latency_holds(gate: str) -> None:
    verdict = only(check_gates(timed([-1, -1], [1, 2]), [gate]))
    assert (verdict.value, verdict.holds, verdict.calls) == (None, False, 0)
    assert verdict.reason.startswith("no successful calls")


def test_failures_are_counted_where_no_call_succeeded() -> None:
    rate, count = check_gates(timed([-1, -1], [1, 2]), ["error_rate <= 100%", "count >= 1"]).verdicts
    assert (rate.value, rate.holds, rate.calls) == (1.0, True, 2)
    assert (count.value, count.holds) == (0, False)


def test_an_empty_window_fails_a_throughput_and_no_latency() -> None:
    ends = [*np.arange(0.5, 10, 0.5), *np.arange(20, 30.1, 0.5)]
    log = timed([10.0] * len(ends), ends)
    rate, tail = check_gates(
        log, ["throughput >= 1/s within 5s of every window", "p99 < 20ms within 5s of every window"]
    ).verdicts
    assert (rate.value, rate.holds) == (0.0, False)
    assert rate.windows is not None
    # The first window begins before the first call and so is not whole: 5, 10, 15, 20 and 25 s are judged.
    assert (rate.windows.judged, rate.windows.failed, rate.windows.worst_start_s) == (5, 2, 10.0)
    assert rate.windows.worst_after_s == 10.0 - 0.49  # the first call started 10 ms before its end at 0.5 s
    assert tail.holds
    assert tail.windows is not None
    assert tail.windows.judged == 5  # 0, 5, 20, 25 and the one that 30 s begins


def test_a_window_without_a_success_fails_a_latency() -> None:
    verdict = only(
        check_gates(timed([10, 10, -1, -1], [0.5, 1, 2.5, 3]), ["p9 < 1s within 2s of every window"])
    )
    assert (verdict.value, verdict.holds) == (10.0, False)
    assert verdict.reason == "no successful calls in 1 window"
    assert verdict.windows is not None
    assert (verdict.windows.judged, verdict.windows.failed) == (2, 1)


def test_a_run_shorter_than_a_window_cannot_show_its_throughput() -> None:
    verdict = only(check_gates(timed([10, 10], [1.5, 3]), ["throughput >= 0/s within 60s of every window"]))
    assert (verdict.value, verdict.holds) == (None, False)
    assert verdict.reason == "no window of 60 s lies wholly in the run"


def test_calls_without_an_end_are_in_no_window() -> None:
    log = timed([10, 99], [1, 2]).with_columns(
        end_time=pl.when(pl.col("invocation_latency") < 50).then("end_time")
    )
    verdict = only(check_gates(log, ["max < 50ms within 1s of every window"]))
    assert verdict.holds
    missing = "no call has an end_time, which 'within' needs"
    with pytest.raises(InputError, match=missing):
        check_gates(
            log.with_columns(end_time=pl.lit(None, pl.Float64)), ["p9 < 1s within 1s of every window"]
        )


@pytest.mark.parametrize(
    ("gate", "missing"),
    [
        (
            "throughput > 1",
            "missing columns: end_time, start_time, needed for gates on throughput or on windows of time;",
        ),
        ("p9 < 1s within 9s of every window", "missing column: end_time"),
    ],
)
def test_times_that_are_needed_must_be_there(gate: str, missing: str) -> None:
    with pytest.raises(InputError, match=missing):
        check_gates(pl.DataFrame({"invocation_latency": [1.0]}), [gate])


def test_what_cannot_be_judged_is_refused() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0]})
    with pytest.raises(UsageError, match="no gates"):
        check_gates(log, [])
    with pytest.raises(UsageError, match="exact"):
        check_gates(log, ["p9 < 1s"], exact=False)
    with pytest.raises(GateError, match="character 3"):
        check_gates(log, ["p9 "])
    with pytest.raises(InputError, match="missing column: region"):
        check_gates(log, ["p9 < 1s"], by=["region"])


@pytest.mark.parametrize("outliers", ["mean-iqr", "tukey", "none"])
def test_filtered_gates_agree_with_the_summary(outliers: str) -> None:
    log = log_of([Configuration(memory_size=size, rows=300, shape="tail") for size in (1024, 2048)])
    summary = loadlens.summarize(log, by=["memory_size"], outliers=outliers).summary  # type: ignore[arg-type]
    names = {
        "mean": "invocation_latency_mean",
        "median": "invocation_latency_median",
        "max": "invocation_latency_max",
        "throughput": "throughput",
    }
    gates = [f"{name} >= 0{'/s' if name == 'throughput' else 'ms'} filtered" for name in names]
    check = check_gates(log, gates, by=["memory_size"], outliers=outliers)  # type: ignore[arg-type]
    assert check.outliers == outliers
    for gate, column in zip(check.gates, names.values(), strict=True):
        for verdict, expected in zip(check.of(gate), summary[column], strict=True):
            assert oracle.agree(verdict.value, expected)


def test_text_is_parsed_once_for_the_run_and_all_windows(tmp_path: Path) -> None:
    path, frame = tmp_path / "log.csv", log_of([Configuration(memory_size=size) for size in (1024, 2048)])
    frame.with_columns(note=pl.lit("x" * 20_000)).write_csv(path)  # a file that is more than its head
    gates = ["p99 < 1s", *(f"p{n} < 1s filtered within {n}s of every window" for n in (5, 5, 9))]
    for text_bytes in (2**26, 0):
        log, limits = loadlens.read_log(path), Limits(memory=2**30, most_held_bytes=text_bytes)
        with opened_files() as opened:
            check = check_gates(log, gates, by=["memory_size"], memory_limit=limits)
        assert opened.count(str(path)) == 1
        assert [(one.value, one.windows) for one in check.verdicts] == [
            (one.value, one.windows) for one in check_gates(frame, gates, by=["memory_size"]).verdicts
        ]


@pytest.mark.parametrize(
    ("text", "sign"),
    combinations(["p50 {} 100ms", "median {} 100ms filtered", "p90 {} 101.3ms"], numbers.COMPARE),
)
def test_windows_close_to_the_bound_are_told_apart(text: str, sign: str) -> None:
    values = np.random.default_rng(7).normal(100, 1, (100, 40))
    # One window that is by far the worst, for either sign, so that the others need not be known.
    values[0], values[1] = 900, 1
    ends = np.repeat(np.arange(100), 40) + 0.5
    gate = f"{text.format(sign)} within 1s of every window"
    verdict = only(check_gates(timed(values.ravel().tolist(), ends.tolist()), [gate]))
    quantile, bound = (0.9, 101.3) if "p90" in text else (0.5, 100)
    figures = np.quantile(values, quantile, axis=1)
    assert verdict.windows is not None
    assert verdict.windows.failed == sum(not numbers.COMPARE[sign](float(one), bound) for one in figures)
    assert 10 < verdict.windows.failed < 90
    assert verdict.value == (900 if sign.startswith("<") else 1)


def test_rows_that_break_a_rule_are_refused_by_gates_on_windows_too() -> None:
    log = timed([10, 20, 30], [1, 2, 3])
    gate = "count > 0 within 1s of every window"
    broken_columns = {
        "invocation_latency": [1.0, -7.0, 1.0],
        "end_time": [1.0, math.inf, 1.0],
        "throttle_exception": [0, 5, 0],
    }
    for column, values in broken_columns.items():
        broken = log.with_columns(pl.Series(column, values))
        with pytest.raises(InputError, match=f"row 2, column {column}"):
            check_gates(broken, [gate])
    with pytest.raises(InputError, match="no rows"):
        check_gates(log.clear(), [gate])
