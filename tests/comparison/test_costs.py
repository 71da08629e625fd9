from typing import Any

import numpy as np
import polars as pl
import pytest

from loadlens import Comparison, InputError, PriceError, UsageError, compare, load_prices, read_log
from loadlens.cost import configuration_costs, usage_of
from loadlens.messages import NO_CALENDAR
from tests.comparison.runs import run

SERVERLESS = load_prices()
LAMBDA = load_prices("lambda-x86")


def sized(memory_size: int = 1024, seed: int = 0, **factors: float) -> pl.DataFrame:
    log = run(factors, calls=2_000, seed=seed)
    sizes = pl.int_range(100, 100 + pl.len()).alias("response_size")
    return log.with_columns(sizes, pl.lit(memory_size).alias("memory_size"))


def cost_by_hand(log: pl.DataFrame) -> float:
    """Of 1,000,000 successful calls under the default table, by NumPy."""
    latency, sizes = log["invocation_latency"].to_numpy(), log["response_size"].to_numpy()
    (memory_size,) = set(log["memory_size"])
    per_ms = SERVERLESS.price_per_second[memory_size] / 1000
    return 1e6 * (latency[latency > 0].mean() * per_ms + sizes[latency > 0].mean() * 0.016 / 2**30)


def row(found: Comparison) -> dict[str, Any]:
    return found.costs.row(0, named=True)


def test_costs_are_those_of_every_successful_call() -> None:
    base, candidate = sized(a=1), sized(a=1.2, seed=1)
    slow = pl.when(pl.int_range(pl.len()) < 3).then(9_000.0).otherwise(pl.col("invocation_latency"))
    candidate = candidate.with_columns(slow.alias("invocation_latency"))
    found = row(compare(base, candidate, ["label", "memory_size"], prices="sagemaker-serverless"))
    own, other = cost_by_hand(base), cost_by_hand(candidate)
    assert found["base"] == pytest.approx(own, rel=1e-9)
    assert found["candidate"] == pytest.approx(other, rel=1e-9)
    assert found["difference"] == pytest.approx(other - own, rel=1e-9)
    assert found["ratio"] == pytest.approx(other / own, rel=1e-9)
    assert (found["base_basis"], found["base_memory_size"]) == ("mean latency", 1024)


def test_requests_cost_what_their_size_says() -> None:
    base, candidate = sized(a=1), sized(a=1.2, seed=1)
    with_sizes = [log.with_columns(request_size=pl.lit(5e6)) for log in (base, candidate)]
    key, prices = ["label", "memory_size"], "sagemaker-serverless"
    found = compare(base, candidate, key, prices=prices, request_size=5e6)
    assert row(found)["base"] == pytest.approx(cost_by_hand(base) + 1e6 * 5e6 * 0.016 / 2**30, rel=1e-9)
    told = compare(*with_sizes, key, prices=prices, request_size=1)
    assert found.costs.equals(told.costs), "what the log tells goes first"


@pytest.mark.parametrize(
    ("prices", "size", "reason"),
    [((), 5.0, "name a price table"), ("sagemaker-serverless", -1.0, "got -1.0, expected")],
)
def test_sizes_of_requests_that_make_no_sense_are_refused(prices: Any, size: float, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        compare(sized(a=1), sized(a=1), prices=prices, request_size=size)


def test_costs_are_those_of_the_command_for_costs() -> None:
    base = sized(a=1, b=2).with_columns(
        billed_duration=pl.col("invocation_latency").ceil().clip(1, None) + 5,
        cold_start=pl.int_range(pl.len()) % 50 == 0,
    )
    candidate = base.with_columns(pl.col("billed_duration") * 2)
    key, tables = ["label", "memory_size"], [SERVERLESS, LAMBDA]
    found = compare(base, candidate, key, prices=tables)
    assert found.costs["prices"].to_list() == ["sagemaker-serverless", "lambda-x86"] * 2
    for role, log in (("base", base), ("candidate", candidate)):
        usage = usage_of(read_log(log), key)
        for table in tables:
            expected = configuration_costs(usage, table).sort("label")["cost_per_1M_invocations"]
            costs = found.costs.filter(prices=table.short_name).sort("label")
            assert costs[role].to_list() == pytest.approx(expected.to_list(), rel=1e-12)
            assert set(costs[f"{role}_basis"]) == {"billed duration"}


def test_memory_sizes_may_differ_where_the_key_does_not_name_them() -> None:
    base, candidate = sized(a=1, b=2), sized(2048, a=1, b=2)
    found = compare(base, candidate, ["label"], prices=SERVERLESS)
    assert found.by == ("label",)
    assert found.keys["label"].to_list() == found.costs["label"].to_list() == ["a", "b"]
    assert set(found.costs["base_memory_size"]) == {1024}
    assert set(found.costs["candidate_memory_size"]) == {2048}
    for cost in found.costs.iter_rows(named=True):
        own = base.filter(label=cost["label"])
        assert cost["base"] == pytest.approx(cost_by_hand(own), rel=1e-9)
        assert cost["candidate"] == pytest.approx(cost_by_hand(own.with_columns(memory_size=2048)), rel=1e-9)
    assert set(found.spectrum["label"]) == set(found.density["label"]) == {"a", "b"}


def test_prices_change_nothing_but_costs() -> None:
    base, candidate = sized(a=1, b=2), sized(2048, a=1.3, b=2, seed=3)
    plain, priced = (compare(base, candidate, ["label"], prices=prices) for prices in ((), SERVERLESS))
    assert plain.keys.equals(priced.keys)
    assert plain.costs.is_empty()
    assert plain.document["costs"] == plain.document["prices"] == []
    assert plain.document["currency"] is None
    assert priced.document["currency"] == "USD"
    same = ["base", "candidate", "difference"]
    np.testing.assert_allclose(plain.metrics.select(same), priced.metrics.select(same), rtol=1e-9, atol=1e-12)


def test_as_a_whole_a_log_of_one_memory_size_has_a_cost() -> None:
    base = sized(a=1, b=1)
    found = compare(base, base, [], prices=SERVERLESS)
    assert row(found)["base"] == pytest.approx(cost_by_hand(base), rel=1e-9)
    assert found.by == ()


def test_calls_of_several_memory_sizes_have_no_one_price() -> None:
    mixed = pl.concat([sized(a=1), sized(2048, a=1)])
    expected = "the candidate: calls of label a used 1024, 2048 MB.* group by memory_size as well"
    with pytest.raises(UsageError, match=expected):
        compare(sized(a=1), mixed, ["label"], prices=SERVERLESS)


def test_a_memory_size_without_a_price_is_an_error_of_the_table() -> None:
    with pytest.raises(PriceError, match=r"sagemaker-serverless.toml: \[per_second\].* 1536 MB"):
        compare(sized(1024, a=1), sized(1536, a=1), ["label"], prices=SERVERLESS)


def test_costs_need_memory_sizes() -> None:
    with pytest.raises(InputError, match="the base: missing column: memory_size"):
        compare(run({"a": 1}, calls=9), run({"a": 1}, calls=9), ["label"], prices=SERVERLESS)


@pytest.mark.parametrize(
    ("prices", "error", "message"),
    [
        (["lambda-arm", "lambda-arm"], UsageError, "lambda-arm is given more than once"),
        ("sagemaker-instances", PriceError, "prices instances, not memory"),
        ("no-such-table", PriceError, "no-such-table: cannot be read"),
    ],
)
def test_tables_that_cannot_price_calls_are_refused(prices: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        compare("nothing-is-read.csv", "nothing-is-read.csv", prices=prices)


@pytest.mark.parametrize("name", ["prices", "billed_ms", "mean_ms", "base_basis"])
def test_a_key_may_not_be_called_like_a_figure_of_the_costs(name: str) -> None:
    log = sized(a=1).rename({"label": name})
    assert compare(log, log, [name]).by == (name,)
    with pytest.raises(UsageError, match=f"by names {name}"):
        compare(log, log, [name], prices=SERVERLESS)


def test_what_is_priced_differently_or_not_at_all_is_told() -> None:
    base = sized(a=1)
    candidate = base.with_columns(billed_duration=pl.lit(30.0))
    failed = (base["invocation_latency"] < 0).sum()
    found = compare(base, candidate, ["label"], prices=[SERVERLESS, LAMBDA])
    assert [text.partition(":")[0] for text in found.remarks] == ["lambda-x86", "costs", "base"]
    assert "base was priced by its mean latency, the candidate by its billed duration" in found.remarks[1]
    assert f"{failed} failures were throttled or have no duration" in found.remarks[2]
    assert found.warnings == (*found.remarks, NO_CALENDAR)


def test_provisioned_concurrency_is_said_to_be_left_out() -> None:
    found = compare(sized(a=1), sized(a=1), ["label"], prices="sagemaker-provisioned-concurrency")
    assert any("keeping environments ready costs is left out" in remark for remark in found.remarks)
