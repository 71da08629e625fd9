from collections.abc import Mapping

import polars as pl
import pytest

from loadlens import InputError, PriceError, UsageError, load_prices, read_log
from loadlens.cost import configuration_costs, usage_of
from loadlens.cost.prices import PriceTable
from tests.cost.logs import LAMBDA, SERVERLESS, per_ms, usage


def costs(columns: Mapping[str, object], prices: PriceTable, **options: object) -> dict[str, object]:
    return configuration_costs(usage(columns, **options), prices).row(0, named=True)


def test_the_mean_of_all_calls_prices_a_log_without_billed_durations() -> None:
    # One slow call makes the mean of 99 calls of 20 ms and one of 2,020 ms twice as long, and is paid for.
    row = costs({"invocation_latency": [20.0] * 99 + [2020.0]}, SERVERLESS)
    assert row["duration_basis"] == "mean latency"
    assert row["billed_ms"] == 40
    assert row["cost_per_invocation"] == pytest.approx(40 * 0.00002 / 1000, rel=1e-12)
    assert row["cost_per_1M_invocations"] == pytest.approx(0.8, rel=1e-12)
    assert row["cold_start_cost_per_1M"] is None
    assert row["cold_starts"] is None


def test_data_is_paid_for_both_ways() -> None:
    columns = {"invocation_latency": [10.0, 10.0], "response_size": [2**30, 3 * 2**30]}
    row = costs(columns, SERVERLESS, request_size=2**30)
    assert row["cost_per_invocation"] == pytest.approx(10 * 0.00002 / 1000 + 3 * 0.016, rel=1e-12)
    told = costs({**columns, "request_size": [2**30, 5 * 2**30]}, SERVERLESS, request_size=1)
    assert told["cost_per_invocation"] == pytest.approx(10 * 0.00002 / 1000 + 5 * 0.016, rel=1e-12)


def test_durations_are_rounded_up_to_the_step_of_the_table() -> None:
    row = costs({"invocation_latency": [20.25] * 4}, LAMBDA)
    assert row["billed_ms"] == 21
    assert row["cost_per_invocation"] == pytest.approx(21 * per_ms(LAMBDA) + 2e-7, rel=1e-12)
    assert costs({"invocation_latency": [20.0] * 4}, LAMBDA)["billed_ms"] == 20


def test_billed_durations_with_cold_starts_and_failures_apart() -> None:
    # Warm 10 and 20 ms, one cold start of 115, a failure of 40 that is billed 41.
    row = costs(
        {
            "invocation_latency": [9.5, 19.5, 14.5, 40.0],
            "billed_duration": [10, 20, 115, 41],
            "cold_start": [False, False, True, False],
            "success": [True, True, True, False],
        },
        LAMBDA,
    )
    price = per_ms(LAMBDA)
    assert row["duration_basis"] == "billed duration"
    assert (row["billed_ms"], row["cold_starts"], row["failures_without_duration"]) == (15, 1, 0)
    assert row["call_cost_per_1M"] == pytest.approx((15 * price + 2e-7) * 1e6, rel=1e-12)
    # (10 + 20 + 115) / 3 less 15
    assert row["cold_start_cost_per_1M"] == pytest.approx((145 / 3 - 15) * price * 1e6, rel=1e-12)
    assert row["failure_cost_per_1M"] == pytest.approx((41 * price + 2e-7) / 3 * 1e6, rel=1e-12)
    spent = (10 + 20 + 115 + 41) * price + 4 * 2e-7
    assert row["cost_per_invocation"] == pytest.approx(spent / 3, rel=1e-12)


@pytest.mark.parametrize("cold", [["true", "false"], [1, 0], [True, False]])
def test_cold_starts_in_other_types(cold: list[object]) -> None:
    columns = {"invocation_latency": [9.0, 9.0], "billed_duration": [30.0, 10.0], "cold_start": cold}
    row = costs(columns, LAMBDA)
    assert (row["billed_ms"], row["cold_starts"]) == (10, 1)


def test_cold_starts_alone_cannot_be_told_apart() -> None:
    columns = {"invocation_latency": [9.0, 9.0], "billed_duration": [30.0, 10.0], "cold_start": [True, True]}
    row = costs(columns, LAMBDA)
    assert (row["billed_ms"], row["cold_starts"], row["cold_start_cost_per_1M"]) == (20, 2, None)


@pytest.mark.parametrize(("prices", "added"), [(LAMBDA, 100.0), (SERVERLESS, None)])
def test_init_durations_count_where_the_table_bills_them(prices: PriceTable, added: float | None) -> None:
    columns = {"invocation_latency": [10.0] * 4, "init_duration": [400.0, None, None, None]}
    expected = None if added is None else pytest.approx(added * per_ms(prices) * 1e6, rel=1e-12)
    assert costs(columns, prices)["cold_start_cost_per_1M"] == expected


def test_failures_without_billed_durations_cost_their_latency() -> None:
    row = costs(
        {
            "invocation_latency": [10.0, 10.0, 30.0, -1.0, 5.0],
            "success": [True, True, False, False, False],
            "throttle_exception": [0, 0, 0, None, 1],
        },
        LAMBDA,
    )
    # The one without a latency and the throttled one cost nothing that is known.
    assert (row["num_errors"], row["failures_without_duration"]) == (3, 2)
    assert row["failure_cost_per_1M"] == pytest.approx((30 * per_ms(LAMBDA) + 2e-7) / 2 * 1e6, rel=1e-12)


def test_a_configuration_without_a_success_has_no_cost() -> None:
    columns = {"memory_size": [1024, 2048], "invocation_latency": [10.0, -1.0]}
    table = configuration_costs(usage(columns), SERVERLESS)
    assert table["cost_per_invocation"].to_list() == [pytest.approx(2e-7), None]


def test_one_configuration_may_lack_billed_durations() -> None:
    columns = {
        "memory_size": [128, 128, 256, 256],
        "invocation_latency": [10.0] * 4,
        "billed_duration": [50.0, None, None, None],
    }
    table = configuration_costs(usage(columns), LAMBDA)
    assert table["duration_basis"].to_list() == ["billed duration", "mean latency"]
    assert table["billed_ms"].to_list() == [50, 10]


@pytest.mark.parametrize("billed", [[-1.0, 1.0], [float("nan"), 1.0], [1.0, float("inf")], ["soon", "1"]])
def test_a_billed_duration_that_is_none_is_refused(billed: list[object]) -> None:
    with pytest.raises(InputError, match="1 row has a billed_duration"):
        usage({"invocation_latency": [10.0, 10.0], "billed_duration": billed})


def test_a_missing_size_is_an_error() -> None:
    with pytest.raises(PriceError, match=r"memory size 1536 MB; it has 1024, 2048"):
        costs({"memory_size": [1536], "invocation_latency": [10.0]}, SERVERLESS)
    with pytest.raises(PriceError, match="memory size 64 MB; it has 128 to 10240"):
        costs({"memory_size": [64], "invocation_latency": [10.0]}, LAMBDA)


def test_instances_price_no_memory() -> None:
    with pytest.raises(PriceError, match="prices instances"):
        costs({"invocation_latency": [10.0]}, load_prices("sagemaker-instances"))


@pytest.mark.parametrize("by", [(), ("label",), ("memory_size", "memory_size")])
def test_keys_must_hold_the_memory_size_once(by: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="memory_size"):
        usage({"invocation_latency": [10.0], "label": ["a"]}, by=by)


def test_text_keys_and_nulls_stay_apart() -> None:
    columns = {
        "invocation_latency": [10.0, 20.0, 30.0],
        "label": ["10", None, "9"],
        "billed_duration": [11, 21, 31],
    }
    table = configuration_costs(usage(columns, by=("memory_size", "label")), LAMBDA)
    assert dict(zip(table["label"], table["billed_ms"], strict=True)) == {9: 31, 10: 11, None: 21}


def test_the_latency_percentile_is_of_all_successes() -> None:
    found = usage({"invocation_latency": [*map(float, range(1, 101)), -1.0]}, percentile=0.9)
    assert found.table["latency_ms"].item() == pytest.approx(90.1)
    assert found.percentile == 0.9


def test_a_log_must_have_its_columns() -> None:
    with pytest.raises(InputError, match="memory_size"):
        usage_of(read_log(pl.DataFrame({"invocation_latency": [1.0]})))
