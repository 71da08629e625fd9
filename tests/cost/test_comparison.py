from dataclasses import replace

import pytest

from loadlens import PriceError, UsageError, load_prices
from loadlens.cost import Capacity, CostComparison, Objective, Strategy, Traffic, compare_costs
from tests.cost.logs import LAMBDA, PROVISIONED, SERVERLESS, usage

# 100 ms at 1,024 MB cost 0.000002, 40 ms at 2,048 MB 0.0000016 for each call.
LOG: dict[str, list[object]] = {"memory_size": [1024, 2048], "invocation_latency": [100.0, 40.0]}


def compared(*capacities: Capacity, traffic: str | None = None, **options: object) -> CostComparison:
    return compare_costs(
        usage(LOG),
        [SERVERLESS],
        traffic=Traffic.parse(traffic) if traffic else None,
        capacities=capacities,
        **options,  # type: ignore[arg-type]
    )


def test_a_month_by_hand() -> None:
    found = compared(Capacity.told("ml.c5.large", 15), traffic="10M/month peak 20/s")
    # ceil(20 / 15) = 2 instances of 0.102 an hour over 720 hours.
    assert found.monthly.rows() == [
        ("1,024 MB", "serverless", None, pytest.approx(20.0), pytest.approx(2.0)),
        ("2,048 MB", "serverless", None, pytest.approx(16.0), pytest.approx(1.6)),
        ("ml.c5.large", "instance", 2, pytest.approx(146.88), pytest.approx(14.688)),
    ]
    assert found.choice.option is not None
    assert found.choice.option["option"] == "2,048 MB"


def test_break_even_by_hand() -> None:
    # 10 a second hold 25.92 M a month for 73.44. At 0.000002 a call that is 36.72 M calls, beyond the first
    # step; two instances at 146.88 hold 51.84 M, where calls cost 103.68. They never pay.
    never = compared(Capacity.told("ml.c5.large", 10)).break_even
    assert (
        never.select("first_invocations", "last_invocations", "cheaper").rows()
        == [(1, None, "serverless")] * 2
    )
    # 100 a second hold 259.2 M: one break-even, at 36.72 M and 45.9 M.
    once = compared(Capacity.told("ml.c5.large", 100)).break_even
    assert once.select("option", "first_invocations", "last_invocations", "cheaper").rows() == [
        ("1,024 MB", 1, 36_720_000, "serverless"),
        ("1,024 MB", 36_720_001, None, "instance"),
        ("2,048 MB", 1, 45_900_000, "serverless"),
        ("2,048 MB", 45_900_001, None, "instance"),
    ]
    row = once.row(1, named=True)
    assert (row["num_instances"], row["instance_monthly_cost"]) == (1, pytest.approx(73.44))
    assert row["serverless_monthly_cost"] == pytest.approx(73.440002)


def test_a_peak_moves_the_steps() -> None:
    # At a peak of ten times the mean, 150 a second hold 38.88 M a month: the first step ends before 45.9 M.
    found = compared(Capacity.told("ml.c5.large", 150), traffic="10/s peak 100/s").break_even
    small = found.filter(option="1,024 MB").select("first_invocations", "last_invocations", "cheaper").rows()
    assert small[:3] == [
        (1, 36_720_000, "serverless"),
        (36_720_001, 38_880_000, "instance"),
        (38_880_001, 73_440_000, "serverless"),
    ]


def test_provisioned_concurrency_needs_traffic_to_be_chosen() -> None:
    tables = [SERVERLESS, PROVISIONED]
    without = compare_costs(usage(LOG), tables)
    costs = dict(without.candidates.select("option", "cost_per_1M_invocations").iter_rows())
    assert costs["sagemaker-provisioned-concurrency · 1,024 MB"] is None
    assert costs["sagemaker-serverless · 1,024 MB"] == pytest.approx(2)
    found = compare_costs(usage(LOG), tables, traffic=Traffic.parse("25/s"))
    # 25 a second of 100 ms each are 2.5 at once: 3 environments of 0.000005 a second.
    row = found.monthly.row(2, named=True)
    assert row["units"] == 3
    volume = 25 * 2_592_000
    assert row["monthly_cost"] == pytest.approx(volume * 0.1 * 0.0000117 + 3 * 0.000005 * 2_592_000)


def test_an_instance_of_known_latency_can_be_chosen() -> None:
    told = Capacity(instance="ml.c5.large", rate=1000, basis="measured", latency_ms=30.0)
    found = compared(told, Capacity.told("ml.t2.medium", 1000), traffic="500/s")
    assert found.choice.option is not None
    assert found.choice.option["option"] == "ml.c5.large"
    latencies = dict(found.candidates.select("option", "latency_ms").iter_rows())
    assert latencies["ml.t2.medium"] is None
    without = compared(told)
    assert without.candidates["option"].to_list() == ["1,024 MB", "2,048 MB"]


def test_options_are_named_by_table_and_key() -> None:
    labelled = usage({**LOG, "label": ["a", None]}, by=("memory_size", "label"))
    found = compare_costs(labelled, [SERVERLESS, LAMBDA])
    assert found.costs["option"].to_list()[:2] == [
        "sagemaker-serverless · 1,024 MB · label a",
        "sagemaker-serverless · 2,048 MB · label (none)",
    ]
    assert found.costs["option"].n_unique() == 4
    assert found.break_even.is_empty()
    assert found.monthly.is_empty()


def test_tables_must_go_together() -> None:
    with pytest.raises(PriceError, match="pass a serverless table"):
        compare_costs(usage(LOG), [load_prices("sagemaker-instances")])
    with pytest.raises(UsageError, match="more than once"):
        compare_costs(usage(LOG), [SERVERLESS, SERVERLESS])
    with pytest.raises(UsageError, match="no price table"):
        compare_costs(usage(LOG), [])
    with pytest.raises(UsageError, match=r"ml\.c5\.large is given more than once"):
        compared(Capacity.told("ml.c5.large", 1), Capacity.told("ml.c5.large", 2))
    with pytest.raises(UsageError, match="EUR, USD"):
        compare_costs(usage(LOG), [SERVERLESS, replace(LAMBDA, currency="EUR")])


def test_an_objective_must_be_about_the_measured_percentile() -> None:
    with pytest.raises(UsageError, match="p99 < 100 ms"):
        compared(strategy=Strategy(name="cheapest", objective=Objective.parse("p99 < 100ms")))
