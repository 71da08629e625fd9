import polars as pl
import pytest

from loadlens import InputError, PriceError, UsageError, load_prices, read_log
from loadlens.cost import Capacity, Objective, Traffic, measured_capacity
from loadlens.cost.capacity import running_instance


def level(clients: int, rate: int, latency_ms: float, failed: int = 0, seconds: int = 10) -> pl.DataFrame:
    """``seconds`` s of ``rate`` calls per second, of which ``failed`` in all fail."""
    calls = rate * seconds
    start = [number / rate for number in range(calls)]
    latency = [-1.0 if number < failed else latency_ms for number in range(calls)]
    end = [begin + latency_ms / 1000 for begin in start]
    return pl.DataFrame(
        {"num_clients": clients, "invocation_latency": latency, "start_time": start, "end_time": end}
    )


def of(*levels: pl.DataFrame, objective: str | None = None) -> Capacity:
    log = read_log(pl.concat(levels))
    return measured_capacity("ml.c5.large", log, objective=Objective.parse(objective) if objective else None)


LEVELS = (level(1, 10, 50.0), level(2, 20, 60.0), level(4, 40, 200.0), level(8, 60, 400.0, failed=60))


def test_capacity_is_the_highest_throughput_with_few_errors() -> None:
    found = of(*LEVELS)
    # 400 calls from 0 to 399/40 + 0.2 s; the level of 8 clients lost 10 % of its calls.
    assert found.rate == pytest.approx(400 / (399 / 40 + 0.2))
    assert found.latency_ms == 200
    assert found.basis.endswith("at num_clients 4")
    assert found.levels is not None
    assert found.levels["sustained"].to_list() == [True, True, True, False]


def test_an_objective_lowers_it() -> None:
    found = of(*LEVELS, objective="p95 < 100ms")
    assert found.rate == pytest.approx(200 / (199 / 20 + 0.06))
    assert found.latency_ms == 60


def test_a_level_without_failures_counts_whatever_its_outliers() -> None:
    slow = level(1, 10, 10.0).with_columns(
        pl.when(pl.int_range(pl.len()) == 3)
        .then(5000.0)
        .otherwise("invocation_latency")
        .alias("invocation_latency")
    )
    assert of(slow).rate == pytest.approx(100 / (99 / 10 + 0.01))


def test_no_sustained_level_is_an_error_with_its_numbers() -> None:
    with pytest.raises(InputError, match=r"no load level of ml.c5.large kept at most 1% errors .* 10.00%"):
        of(LEVELS[3])
    with pytest.raises(InputError, match=r"p95 < 20 ms .* lowest p95 is 50 ms"):
        of(*LEVELS, objective="p95 < 20ms")


def test_a_log_without_times_tells_no_capacity() -> None:
    log = read_log(pl.DataFrame({"invocation_latency": [1.0]}))
    with pytest.raises(InputError, match="start_time"):
        measured_capacity("x", log)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_told_capacity_is_above_0(rate: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Capacity.told("x", rate)


def test_a_month_of_an_instance() -> None:
    tables = [load_prices("lambda-arm"), load_prices("sagemaker-instances")]
    even = running_instance(Capacity.told("ml.c5.large", 10), tables, None)
    assert even.unit_cost == pytest.approx(0.102 * 720)
    assert even.unit_calls == 10 * 720 * 3600
    peaked = running_instance(Capacity.told("ml.c5.large", 10), tables, Traffic.parse("10/s peak 40/s"))
    assert peaked.unit_calls == pytest.approx(2.5 * 720 * 3600)
    # Four times the mean rate at the peak: ceil(40 / 10) instances.
    assert peaked.units(10 * 720 * 3600) == 4


def test_an_instance_without_a_price_is_an_error() -> None:
    with pytest.raises(PriceError, match=r"no entry for ml.huge; it has ml.c5.large"):
        running_instance(Capacity.told("ml.huge", 1), [load_prices()], None)
