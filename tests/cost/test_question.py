import polars as pl
from polars.testing import assert_frame_equal

from loadlens import load_prices, read_log
from loadlens.cost import (
    Capacity,
    Costing,
    Objective,
    Strategy,
    Traffic,
    compare_costs,
    cost_comparison,
    usage_of,
)
from loadlens.logs import Reading

LOG = pl.DataFrame(
    {
        "memory_size": [1024, 1024, 2048, 2048],
        "invocation_latency": [100.0, 140.0, 60.0, 80.0],
        "start_time": [0.0, 1.0, 2.0, 3.0],
        "end_time": [0.1, 1.1, 2.1, 3.1],
    }
)


def test_the_answer_is_that_of_its_parts() -> None:
    tables = (load_prices(), load_prices("lambda-arm"))
    traffic, capacity = Traffic.parse("5/s"), Capacity.told("ml.c5.large", 4)
    strategy = Strategy(name="speed")
    log = read_log(LOG)
    found = cost_comparison(
        log,
        Costing(prices=tables, traffic=traffic, capacities=(capacity,), strategy=strategy, percentile=0.5),
    )
    parts = compare_costs(
        usage_of(log, percentile=0.5), tables, traffic=traffic, capacities=[capacity], strategy=strategy
    )
    assert_frame_equal(found.costs, parts.costs)
    assert_frame_equal(found.monthly, parts.monthly)
    assert found.choice == parts.choice


def test_by_default_the_reference_prices_each_memory_size() -> None:
    found = cost_comparison(read_log(LOG), Costing())
    assert found.costs["option"].to_list() == ["1,024 MB", "2,048 MB"]
    assert [table.short_name for table in found.tables] == ["sagemaker-serverless"]
    assert found.percentile == 0.95


def test_the_objective_says_which_percentile() -> None:
    goal = Objective.parse("p50 < 100ms")
    costing = Costing(strategy=Strategy(name="cheapest", objective=goal), percentile=0.99)
    found = cost_comparison(read_log(LOG), costing)
    assert found.costs["latency_ms"].to_list() == [120.0, 70.0]
    assert found.choice.option is not None
    assert found.choice.option["option"] == "2,048 MB"


def test_a_log_under_load_tells_the_capacity() -> None:
    reading = Reading.of(key_from_name=r"(?P<build>\d+)")
    found = cost_comparison(read_log(LOG), Costing(loads={"ml.c5.large": LOG}), reading=reading)
    (capacity,) = found.capacities
    assert capacity.instance == "ml.c5.large"
    assert capacity.rate == 4 / (3.1 + 0.1)  # the clock tells tenths of a second
