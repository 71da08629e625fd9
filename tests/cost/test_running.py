import math
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.cost import Running, cheaper_intervals, cost_curves, instances_needed
from tests.extent import examples


def calls(price: float) -> Running:
    return Running(name="calls", kind="serverless", cost_per_call=price)


def instances(price: float, capacity: float) -> Running:
    return Running(name="instances", kind="instance", unit_cost=price, unit_calls=capacity)


def told(base: Running, other: Running) -> list[tuple[int, int | None, str]]:
    return [(found.first, found.last, found.cheaper.name) for found in cheaper_intervals(base, other)]


@pytest.mark.parametrize(
    ("peak", "capacity", "needed"),
    [(0.1, 5, 1), (5, 5, 1), (5.001, 5, 2), (10, 5, 2), (1.1, 0.1, 11), (0.3, 0.1, 3), (200, 30, 7)],
)
def test_needed_instances_are_the_peak_over_the_capacity_rounded_up(
    peak: float, capacity: float, needed: int
) -> None:
    assert instances_needed(peak, capacity) == needed


def test_monthly_costs_by_hand() -> None:
    way = instances(10, 15)
    assert [way.monthly_cost(volume) for volume in (0, 1, 15, 16, 30, 31)] == [10, 10, 10, 20, 20, 30]
    assert [way.units(volume) for volume in (1, 15, 16)] == [1, 1, 2]
    assert calls(0.5).monthly_cost(7) == 3.5
    assert calls(0.5).units(7) == 0


def test_an_instance_that_is_cheaper_within_each_step_only_and_then_for_good() -> None:
    # 1 a call against 10 for each 15 calls: 10 calls cost the same as one instance, 20 as two, 30 as three,
    # which hold up to 45 and are needed from 31 on.
    assert told(calls(1), instances(10, 15)) == [
        (1, 10, "calls"),
        (11, 15, "instances"),
        (16, 20, "calls"),
        (21, None, "instances"),
    ]


def test_an_instance_with_room_breaks_even_once() -> None:
    # One instance holds 1,000 calls, the break-even at 40 lies in its first step, and so far below its end
    # that the second instance is cheaper too: 1,001 calls cost 1,001 against 80.
    assert told(calls(1), instances(40, 1000)) == [(1, 40, "calls"), (41, None, "instances")]


def test_an_instance_that_never_pays() -> None:
    assert told(calls(1), instances(40, 30)) == [(1, None, "calls")]


def test_equal_costs_count_for_the_calls() -> None:
    # 15 calls cost 15 and so does the instance that holds 15: each step ends in a tie.
    first = told(calls(1), instances(15, 15))[0]
    assert first[0] == 1
    assert first[2] == "calls"
    assert {name for _, _, name in told(calls(1), instances(15, 15))} == {"calls"}


def test_calls_that_cost_nothing_are_never_beaten() -> None:
    assert told(calls(0), instances(40, 30)) == [(1, None, "calls")]
    assert told(calls(1), instances(0, 30)) == [(1, None, "instances")]


def test_two_prices_of_a_call() -> None:
    assert told(calls(2), calls(1)) == [(1, None, "calls")]
    assert cheaper_intervals(calls(2), calls(1))[0].cheaper.cost_per_call == 1
    assert cheaper_intervals(calls(1), calls(1))[0].cheaper.cost_per_call == 1


def test_provisioned_capacity_climbs_in_steps_of_its_own() -> None:
    # 0.5 a call and 4 for each 10 calls, against 10 for each 20 calls:
    # 1 to 10: 4.5 to 9 < 10. 11 to 20: 8 + 5.5 and more > 10. 21 to 30: 12 + 10.5 and more > 20, and 31 to
    # 40: 16 + 15.5 > 20. 41 to 50: 20 + 20.5 > 30: the instance stays the cheaper one.
    ready = Running(name="ready", kind="serverless", cost_per_call=0.5, unit_cost=4, unit_calls=10)
    assert told(ready, instances(10, 20)) == [(1, 10, "ready"), (11, None, "instances")]


def test_nearly_equal_slopes_are_followed_for_200_steps() -> None:
    found = cheaper_intervals(calls(1), instances(9.99, 10))
    assert found[-1].last == 2000
    assert len(found) == 1 + 2 * 199 + 1


WAYS = st.builds(
    Running,
    name=st.just("a"),
    kind=st.just("serverless"),
    cost_per_call=st.integers(0, 8).map(lambda n: n / 4),
    unit_cost=st.integers(0, 40).map(float),
    unit_calls=st.one_of(st.just(math.inf), st.integers(1, 60).map(lambda n: n / 2)),
)


@examples(20)
@given(base=WAYS, other=WAYS)
def test_intervals_say_for_every_volume_which_is_cheaper(base: Running, other: Running) -> None:
    found = cheaper_intervals(base, other)
    assert found[0].first == 1
    assert all(one.last is not None and two.first == one.last + 1 for one, two in pairwise(found))
    assert all(one.cheaper is not two.cheaper for one, two in pairwise(found))
    for volume in range(1, 400):
        at = [one for one in found if one.first <= volume and (one.last is None or volume <= one.last)]
        if at:
            beaten = base.monthly_cost(volume) - other.monthly_cost(volume) > 1e-9
            assert at[0].cheaper is (other if beaten else base) or base == other


def test_curves_have_a_corner_on_both_sides_of_a_step() -> None:
    curve = cost_curves([calls(0.5), instances(10, 15)], 40)
    steps = curve.filter(pl.col("option") == "instances")
    assert list(zip(steps["monthly_invocations"], steps["monthly_cost"], strict=True)) == [
        (0, 10),
        (15, 10),
        (15, 20),
        (30, 20),
        (30, 30),
        (40, 30),
    ]
    line = curve.filter(pl.col("option") == "calls")
    assert line["monthly_cost"].to_list() == [0, 20]


def test_a_curve_of_very_many_steps_stays_small() -> None:
    curve = cost_curves([instances(1, 1)], 1e9)
    assert curve.height < 500
    assert curve["monthly_cost"].max() == pytest.approx(1e9)
