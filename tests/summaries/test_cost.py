from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens

REFERENCE = loadlens.load_prices()
PER_SECOND = {1024: 0.00002, 2048: 0.00004, 3072: 0.00006, 4096: 0.00008, 5120: 0.0001, 6144: 0.00012}
SIZES = list(PER_SECOND)
COMPARABLE = {
    1024: "ml.t2.medium",
    2048: "ml.t2.medium",
    3072: "ml.c5.large",
    4096: "ml.c5.large",
    5120: "ml.c5.large",
    6144: "ml.c5.xlarge",
}
HOURLY = {"ml.t2.medium": 0.056, "ml.c5.large": 0.102, "ml.c5.xlarge": 0.204}


def table_of(
    model: Mapping[int, float | None], overhead: Sequence[float | None] | float | None = 0.0
) -> pl.DataFrame:
    overheads = overhead if isinstance(overhead, Sequence) else [overhead] * len(model)
    return pl.DataFrame(
        {"memory_size": list(model), "ModelLatency": list(model.values()), "OverheadLatency": overheads},
        schema={"memory_size": pl.Int64, "ModelLatency": pl.Float64, "OverheadLatency": pl.Float64},
    )


def cost_of(metrics: pl.DataFrame, **options: object) -> loadlens.CostResult:
    return loadlens.compute_cost_savings(
        metrics,
        **{"average_request_size": 0, "average_response_size": 0, **options},  # type: ignore[arg-type]
    )


def with_break_even(invocations: float) -> loadlens.CostResult:
    """One memory size whose cost makes the instance cheaper from ``invocations`` a month."""
    prices = replace(
        REFERENCE,
        price_per_second={1024: 1000.0},
        comparable_instance={1024: "x"},
        instance_price_per_hour={"x": invocations / 720},
    )
    return cost_of(table_of({1024: 1.0}), prices=prices)


def test_costs_by_hand() -> None:
    metrics = table_of({1024: 100.0, 2048: 60.0}, overhead=[4.0, 8.0])
    result = loadlens.compute_cost_savings(
        metrics, average_request_size=1024**3, average_response_size=1024**3
    )
    frame = result.metrics_with_cost
    new = ["average_latency", "cost_per_invocation", "cost_per_1M_invocations"]
    assert frame.columns == ["memory_size", "ModelLatency", "OverheadLatency", *new]
    assert frame["average_latency"].to_list() == [106, 66]
    data = 2 * 0.016
    expected = [106 * 0.00002 / 1000 + data, 66 * 0.00004 / 1000 + data]
    assert frame["cost_per_invocation"].to_list() == pytest.approx(expected, rel=1e-12)
    assert frame["cost_per_1M_invocations"].to_list() == pytest.approx(
        [1e6 * cost for cost in expected], rel=1e-12
    )


def test_response_size_is_a_thousand_bytes_unless_given() -> None:
    result = loadlens.compute_cost_savings(table_of({1024: 1.0}), average_request_size=24)
    assert result.average_response_size == 1000
    expected = 0.00002 / 1000 + 1024 * 0.016 / 1024**3
    assert result.metrics_with_cost["cost_per_invocation"].item() == pytest.approx(expected, rel=1e-12)


def test_overhead_is_averaged_over_the_sizes_that_have_one() -> None:
    frame = cost_of(
        table_of({1024: 10.0, 2048: 10.0, 3072: 10.0}, overhead=[2.0, None, 4.0])
    ).metrics_with_cost
    assert frame["average_latency"].to_list() == [13, 13, 13]


def test_memory_sizes_are_priced_in_ascending_order_and_come_first() -> None:
    metrics = table_of({2048: 5.0, 1024: 20.0}).select("OverheadLatency", "ModelLatency", "memory_size")
    frame = cost_of(metrics).metrics_with_cost
    assert frame.columns[0] == "memory_size"
    assert frame["memory_size"].to_list() == [1024, 2048]


@given(
    model=st.dictionaries(
        st.sampled_from(SIZES), st.one_of(st.none(), st.integers(1, 500).map(lambda n: n / 4)), min_size=1
    ),
    overhead=st.integers(0, 40),
    size=st.integers(0, 10**6),
)
def test_the_analysis_equals_the_formulas(model: dict[int, float | None], overhead: float, size: int) -> None:
    sizes = sorted(model)
    latency = np.array(
        [np.nan if model[key] is None else model[key] + overhead for key in sizes], dtype=float
    )
    cost = np.array([PER_SECOND[key] for key in sizes]) / 1000 * latency + size * 0.016 / 1024**3
    score = latency * cost * 1e6 * np.linspace(1, 0.5, 6)[: len(sizes)]
    metrics = table_of(model, float(overhead))
    if np.isnan(score).all():
        with pytest.raises(loadlens.InputError, match="ModelLatency"):
            cost_of(metrics, average_request_size=size)
        return
    result = cost_of(metrics, average_request_size=size)
    best = int(np.nanargmin(score))
    instance = COMPARABLE[sizes[best]]
    monthly = HOURLY[instance] * 24 * 30
    assert result.optimal_memory_config == sizes[best]
    assert result.comparable_instance == instance
    assert result.instance_monthly_cost == pytest.approx(monthly, rel=1e-12)
    assert result.break_even_invocations == pytest.approx(monthly / cost[best], rel=1e-9)
    assert result.savings["instance_monthly_cost"].to_list() == pytest.approx(
        [monthly] * result.savings.height
    )
    assert result.savings["serverless_monthly_cost"].to_list() == pytest.approx(
        (result.savings["monthly_invocations"].to_numpy() * cost[best]).tolist(), rel=1e-9
    )


def test_savings_by_hand() -> None:
    savings = with_break_even(35_000).savings
    assert savings.columns == [
        "monthly_invocations",
        "serverless_monthly_cost",
        "instance_monthly_cost",
        "monthly_percent_savings",
    ]
    assert savings.schema["monthly_invocations"] == pl.Int64
    assert savings["monthly_invocations"].to_list() == [10_000, 20_000, 30_000]
    assert savings["serverless_monthly_cost"].to_list() == pytest.approx([10_000, 20_000, 30_000])
    assert savings["instance_monthly_cost"].to_list() == pytest.approx([35_000] * 3)
    assert savings["monthly_percent_savings"].to_list() == [71.43, 42.86, 14.29]


@pytest.mark.parametrize(
    ("break_even", "stride"),
    [
        (199_999, 10_000),
        (200_001, 50_000),
        (999_999, 50_000),
        (1_000_001, 100_000),
        (1_999_999, 100_000),
        (2_000_001, 200_000),
        (4_999_999, 200_000),
        (5_000_001, 500_000),
        (60_000_001, 500_000),
    ],
)
def test_stride_follows_the_break_even(break_even: int, stride: int) -> None:
    volumes = with_break_even(break_even).savings["monthly_invocations"].to_list()
    assert volumes == list(range(stride, break_even, stride))


@pytest.mark.parametrize("break_even", [7200.0, 9999.0])
def test_a_break_even_below_the_first_step_has_no_rows(break_even: float) -> None:
    assert with_break_even(break_even).savings.is_empty()


def test_steps_lie_strictly_below_the_break_even() -> None:
    result = with_break_even(180_000)  # a multiple of its stride of 10,000
    assert result.break_even_invocations == 180_000
    assert result.savings["monthly_invocations"].max() == 170_000


def test_a_tie_goes_to_the_smaller_size() -> None:
    prices = replace(
        REFERENCE,
        price_per_second={1024: 1.0, 2048: 2.0},
        comparable_instance={1024: "x", 2048: "x"},
        instance_price_per_hour={"x": 1.0},
    )
    # 8 * 8 * 1 * factor 1 equals 8 * 8 * 2 * factor 0.5
    assert cost_of(table_of({1024: 8.0, 2048: 8.0}), prices=prices).optimal_memory_config == 1024


def test_discount_spans_the_sizes_of_the_price_table_not_of_the_run() -> None:
    # 10 * 10 * 2 = 200 against 8 * 8 * 4 * factor: 0.9, the second of six, or 0.5, the second of two.
    metrics = table_of({1024: 10.0, 2048: 8.0})
    two = replace(REFERENCE, price_per_second={1024: 0.00002, 2048: 0.00004})
    assert cost_of(metrics).optimal_memory_config == 1024
    assert cost_of(metrics, prices=two).optimal_memory_config == 2048


def test_sizes_without_a_latency_are_passed_over() -> None:
    result = cost_of(table_of({1024: None, 2048: 50.0, 3072: 49.0}))
    assert result.optimal_memory_config == 2048
    assert result.metrics_with_cost["cost_per_invocation"][0] is None


@pytest.mark.parametrize("overhead", [None, [None, None]])
def test_no_complete_configuration_is_an_input_error(overhead: list[None] | None) -> None:
    with pytest.raises(loadlens.InputError, match="ModelLatency and OverheadLatency"):
        cost_of(table_of({1024: 1.0, 2048: 1.0}, overhead))


def test_a_missing_price_names_the_sizes_and_the_table() -> None:
    with pytest.raises(loadlens.PriceError) as caught:
        cost_of(table_of({1024: 1.0, 8192: 1.0, 512: 1.0}))
    (problem,) = caught.value.problems
    assert "sagemaker-serverless.toml" in problem
    assert "512, 8192" in problem
    assert "1024, 2048, 3072, 4096, 5120, 6144" in problem


@pytest.mark.parametrize("name", ["memory_size", "ModelLatency", "OverheadLatency"])
def test_missing_metrics_are_named(name: str) -> None:
    with pytest.raises(loadlens.InputError, match=name):
        cost_of(table_of({1024: 1.0}).drop(name))


def test_no_metrics_at_all() -> None:
    with pytest.raises(loadlens.InputError, match="no rows"):
        cost_of(table_of({}))


def test_several_rows_of_one_memory_size_are_refused() -> None:
    metrics = table_of({1024: 1.0})
    with pytest.raises(loadlens.LoadlensError, match="1024"):
        cost_of(pl.concat([metrics] * 7))


def test_a_free_endpoint_never_breaks_even() -> None:
    prices = replace(REFERENCE, price_per_second=dict.fromkeys(SIZES, 0.0), price_per_gib=0.0)
    result = cost_of(table_of({1024: 1.0}), prices=prices)
    assert result.break_even_invocations == float("inf")
    assert result.savings.is_empty()
