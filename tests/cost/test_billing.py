"""Each call is rounded up to the billing step by itself."""

import math
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens import UsageError, compare, load_prices, read_log
from loadlens.cost import Costing, configuration_costs, cost_comparison, usage_of
from loadlens.cost.configuration_cost import priced_text
from loadlens.cost.prices import PriceTable
from tests.cost.logs import LAMBDA, SERVERLESS, per_ms, usage

pytestmark = pytest.mark.usefixtures("no_drawings")

ARM = load_prices("lambda-arm")
SECONDS = replace(LAMBDA, path="seconds.toml", billed_step_ms=1000.0)
SLOW_ONE = [100.0] * 10 + [101.0] * 9 + [10_000.0]


def billed(latencies: list[float], prices: PriceTable = LAMBDA, **columns: object) -> float:
    steps = [prices.billed_step_ms]
    found = usage({"invocation_latency": latencies, **columns}, steps_ms=steps)
    return configuration_costs(found, prices)["billed_ms"].item()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("latencies", "step_ms", "expected"),
    [
        (SLOW_ONE, 1, 595.45),
        ([1, 2], 1, 1.5),
        ([0.2, 0.2, 0.2], 1, 1),
        ([0.2, 1, 1.0001], 1, (1 + 1 + 2) / 3),
        ([100, 101, 200], 100, (100 + 200 + 200) / 3),
        ([0.28], 0.01, 0.28),  # 0.28 / 0.01 is 28.000000000000004
        ([0.1, 0.3, 0.7], 0.1, 1.1 / 3),
        ([999.9, 1000, 1000.1], 1000, 4000 / 3),
    ],
)
def test_each_call_is_rounded_up_by_itself(latencies: list[float], step_ms: float, expected: float) -> None:
    assert billed(latencies, replace(LAMBDA, billed_step_ms=float(step_ms))) == pytest.approx(
        expected, rel=1e-15
    )


def test_what_a_slow_call_costs_by_hand() -> None:
    found = configuration_costs(usage({"invocation_latency": SLOW_ONE}), LAMBDA)
    assert found["cost_per_1M_invocations"].item() == pytest.approx(595.45 * per_ms(LAMBDA) * 1e6 + 0.2)
    assert round(found["cost_per_1M_invocations"].item(), 2) == 10.12


@given(
    st.lists(st.floats(0, 5000, allow_nan=False), min_size=1, max_size=40),
    st.sampled_from([0.5, 1.0, 64.0, 100.0]),
    st.randoms(use_true_random=False),
)
def test_sums_are_exact_and_do_not_hang_on_the_order(latencies: list[float], step: float, random) -> None:  # type: ignore[no-untyped-def]
    prices = replace(LAMBDA, billed_step_ms=step)
    success = [True] * len(latencies)  # a latency of 0 is a success where the log says so
    expected = sum(math.ceil(latency / step * (1 - 2**-50)) for latency in latencies) * step / len(latencies)
    assert billed(latencies, prices, success=success) == expected
    random.shuffle(latencies)
    assert billed(latencies, prices, success=success) == expected


def test_tables_of_several_steps_price_one_log() -> None:
    tables = (LAMBDA, SECONDS, SERVERLESS)
    frame = pl.DataFrame({"memory_size": 1024, "invocation_latency": [0.5, 1.5]})
    found = cost_comparison(read_log(frame), Costing(prices=tables))
    assert dict(found.costs.select("prices", "billed_ms").rows()) == {
        "lambda-x86": 1.5,
        "seconds": 1000.0,
        "sagemaker-serverless": 1.0,
    }


def test_failures_are_rounded_up_by_themselves() -> None:
    found = usage(
        {
            "invocation_latency": [10.0, 0.2, 0.2, 0.2, -1.0],
            "success": [True, False, False, False, False],
            "throttle_exception": [0, 0, 0, 1, 0],
        }
    )
    row = configuration_costs(found, LAMBDA).row(0, named=True)
    assert row["failures_without_duration"] == 2
    assert row["failure_cost_per_1M"] == pytest.approx((2 * per_ms(LAMBDA) + 2 * 2e-7) * 1e6)
    row = configuration_costs(found, replace(LAMBDA, billed_step_ms=0.0)).row(0, named=True)
    assert row["failure_cost_per_1M"] == pytest.approx((0.4 * per_ms(LAMBDA) + 2 * 2e-7) * 1e6)


def test_a_success_without_a_latency_has_no_part_in_the_mean() -> None:
    assert billed([1.0, 2.0, None], success=[True, True, True]) == 1.5  # type: ignore[list-item]


def test_comparisons_and_reports_price_each_call(tmp_path: Path) -> None:
    log = pl.DataFrame({"memory_size": 1024, "label": "a", "invocation_latency": [1.0, 2.0]})
    expected = pytest.approx((1.5 * per_ms(LAMBDA) + 2e-7) * 1e6)
    found = compare(log, log, ["label"], prices=LAMBDA)
    assert found.costs["base"].item() == found.costs["candidate"].item() == expected
    costing = Costing(prices=(LAMBDA,))
    log.write_parquet(tmp_path / "run.parquet")
    analysis = loadlens.analyze(tmp_path / "run.parquet", tmp_path / "report", costing=costing)
    assert analysis.decisions.costing
    assert analysis.decisions.costing.costs["cost_per_1M_invocations"].item() == expected
    assert "latency of all successful calls, each rounded up to 1 ms." in (
        tmp_path / "report" / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("engine_key", ["label", "zone"])
def test_keys_of_odd_types_find_their_sums(engine_key: str) -> None:
    keys = pl.Series(engine_key, ["a", None, "a", "b"], dtype=pl.Enum(["a", "b"]))
    frame = pl.DataFrame({"memory_size": 1024, "invocation_latency": [0.5, 1.5, 2.5, 3.5]})
    costs = configuration_costs(
        usage_of(read_log(frame.with_columns(keys)), ["memory_size", engine_key]), LAMBDA
    )
    assert dict(costs.select(engine_key, "billed_ms").rows()) == {"a": 2.0, None: 2.0, "b": 4.0}


def test_a_usage_without_a_step_is_refused() -> None:
    with pytest.raises(UsageError, match=r"not measured for its step of 1000 ms"):
        configuration_costs(usage({"invocation_latency": [1.0]}), SECONDS)


def profiled(tmp_path: Path, latencies: list[float]) -> loadlens.Log:
    log, saved = tmp_path / "run.parquet", tmp_path / "run.profile"
    frame = pl.DataFrame({"memory_size": 1024, "invocation_latency": latencies, "success": True})
    frame.write_parquet(log)
    loadlens.profile_log(log, saved, by=["memory_size"])
    return read_log(saved)


@pytest.mark.parametrize("latencies", [[1.0, 2.0, 2.0, 130.0], [0.2, 0.7, 0.71], [17.25]])
def test_saved_profiles_round_exactly_where_their_ranges_tell(tmp_path: Path, latencies: list[float]) -> None:
    found = configuration_costs(usage_of(profiled(tmp_path, latencies)), LAMBDA)
    assert found["billed_ms"].item() == pytest.approx(sum(map(math.ceil, latencies)) / len(latencies))


def test_saved_profiles_are_off_by_half_a_step_at_most_and_say_so(tmp_path: Path) -> None:
    latencies = [1000 + number / 7 for number in range(500)]
    found = cost_comparison(profiled(tmp_path, latencies), Costing(prices=(LAMBDA,)))
    exact = sum(map(math.ceil, latencies)) / len(latencies)
    assert found.rounding_error == 0.5
    assert found.costs["billed_ms"].item() == pytest.approx(exact, abs=0.5)
    unrounded = cost_comparison(read_log(tmp_path / "run.profile"), Costing(prices=(SERVERLESS,)))
    assert unrounded.rounding_error == 0
    compared = compare(tmp_path / "run.profile", tmp_path / "run.parquet", ["memory_size"], prices=LAMBDA)
    told = [text for text in compared.remarks if "at most 0.5 of a billing step" in text]
    assert [text.partition(":")[0] for text in told] == ["base"]


def test_the_sentence_says_what_was_priced() -> None:
    client = "A latency seen by a client includes the network"
    plain = priced_text({"mean latency"}, [SERVERLESS])
    assert plain.startswith(f"The mean latency of all successful calls. {client}")
    assert "each rounded up to 1 ms. " in priced_text({"mean latency"}, [LAMBDA, ARM])
    several = priced_text({"mean latency"}, [LAMBDA, SERVERLESS])
    assert "each rounded up to 1 ms for lambda-x86, as logged for sagemaker-serverless." in several
    told = priced_text({"billed duration"}, [LAMBDA])
    assert "mean billed duration" in told
    assert "latency" not in told
    both = priced_text({"billed duration", "mean latency"}, [LAMBDA])
    assert "Where no billed duration is told, the mean latency of all successful calls, each rounded" in both
    assert "within 0.5 of a step" in priced_text({"mean latency"}, [LAMBDA], rounding_error=0.5)
    with_instances = [LAMBDA, load_prices("sagemaker-instances")]
    assert "each rounded up to 1 ms. " in priced_text({"mean latency"}, with_instances)


@pytest.mark.parametrize("restore", [0, 107])
def test_a_billed_restore_is_priced_as_a_cold_start(tmp_path: Path, restore: int) -> None:
    def report(duration: int, billed: int, rest: str = "") -> str:
        return (
            f"REPORT RequestId: 1\tDuration: {duration}.00 ms\tBilled Duration: {billed} ms\t"
            f"Memory Size: 1024 MB\tMax Memory Used: 66 MB\t{rest}"
        )

    restored = f"Restore Duration: 616.53 ms\tBilled Restore Duration: {restore} ms\t"
    log = tmp_path / "restored.log"
    log.write_text("\n".join([report(100, 100), report(100, 100 + restore, restored)]), encoding="utf-8")
    found = cost_comparison(read_log(log), Costing(prices=(LAMBDA,)))
    row = found.costs.row(0, named=True)
    assert (row["billed_ms"], row["cold_starts"]) == (100, 1)
    assert row["cold_start_cost_per_1M"] == pytest.approx(restore / 2 * per_ms(LAMBDA) * 1e6)
