import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens import UsageError
from loadlens.cost import Objective, Strategy, StrategyName, choose, with_dominated
from tests.extent import examples

OPTIONS = {"small": (1.0, 400.0), "medium": (1.5, 200.0), "large": (3.0, 150.0), "wasteful": (3.5, 210.0)}


def candidates(options: dict[str, tuple[float | None, float | None]] | None = None) -> pl.DataFrame:
    rows = [(name, cost, latency) for name, (cost, latency) in (options or OPTIONS).items()]
    schema = {"option": pl.String, "cost_per_1M_invocations": pl.Float64, "latency_ms": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def chosen(name: StrategyName, weight: float = 0.5, objective: str | None = None) -> tuple[str | None, str]:
    goal = Objective.parse(objective) if objective else None
    found = choose(candidates(), Strategy(name=name, weight=weight, objective=goal), percentile=0.95)
    return (found.option["option"] if found.option else None, found.reason)


def test_dominated_options_are_beaten_in_both() -> None:
    assert with_dominated(candidates())["dominated"].to_list() == [False, False, False, True]


def test_equal_options_do_not_dominate_each_other() -> None:
    table = with_dominated(candidates({"a": (1.0, 1.0), "b": (1.0, 1.0), "c": (1.0, 2.0), "d": (None, 1.0)}))
    assert table["dominated"].to_list() == [False, False, True, None]


@examples(20)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=12))
def test_the_front_holds_what_every_strategy_chooses(points: list[tuple[int, int]]) -> None:
    table = with_dominated(candidates({str(at): (float(c), float(ms)) for at, (c, ms) in enumerate(points)}))
    front = set(table.filter(~pl.col("dominated"))["option"])
    for name in ("cost", "speed", "balanced"):
        found = choose(table, Strategy(name=name), percentile=0.9)
        assert found.option is not None
        assert found.option["option"] in front


@pytest.mark.parametrize(
    ("name", "weight", "expected"),
    [
        ("cost", 0.5, "small"),
        ("speed", 0.5, "large"),
        ("balanced", 0.5, "medium"),  # 400, 300, 450, 735
        ("balanced", 1.0, "small"),
        ("balanced", 0.0, "large"),
        ("balanced", 0.8, "small"),  # 3.31, 3.99, 6.56
    ],
)
def test_strategies(name: StrategyName, weight: float, expected: str) -> None:
    assert chosen(name, weight)[0] == expected


def test_the_cheapest_that_meets_the_objective() -> None:
    name, reason = chosen("cheapest", objective="p95 < 205ms")
    assert name == "medium"
    assert reason == (
        "medium at $1.50 per 1M invocations and a p95 of 200.0 ms, the lowest cost of the 2 of 4 options "
        "that meet p95 < 205 ms; the cheapest of all, small at $1.00 per 1M invocations and a p95 of "
        "400.0 ms."
    )


def test_no_option_meets_the_objective() -> None:
    name, reason = chosen("cheapest", objective="p95 < 0.1s")
    assert name is None
    assert reason.startswith("No option of 4 meets p95 < 100 ms; the closest is large at $3.00")


def test_the_reason_names_both_ends_of_the_trade() -> None:
    _, reason = chosen("balanced")
    assert reason == (
        "medium at $1.50 per 1M invocations and a p95 of 200.0 ms, the lowest cost^0.5 × latency^0.5 of 4 "
        "options; the cheapest, small at $1.00 per 1M invocations and a p95 of 400.0 ms; the fastest, large "
        "at $3.00 per 1M invocations and a p95 of 150.0 ms."
    )


def test_an_only_option_and_none() -> None:
    one = choose(candidates({"a": (0.0123, 4.5)}), Strategy(name="cost"), percentile=0.5, currency="EUR")
    assert one.reason == "a at EUR 0.0123 per 1M invocations and a p50 of 4.500 ms, the only option."
    none = choose(candidates({"a": (None, 4.5)}), Strategy(), percentile=0.5)
    assert none.option is None


def test_many_failures_are_told() -> None:
    table = candidates({"a": (1.0, 4.0)}).with_columns(error_rate=pl.lit(0.25))
    assert "(25.0% of its calls failed)" in choose(table, Strategy(), percentile=0.5).reason


def test_ties_go_to_the_cheaper_then_the_first() -> None:
    table = candidates({"a": (2.0, 2.0), "b": (1.0, 4.0), "c": (1.0, 4.0)})
    found = choose(table, Strategy(name="balanced"), percentile=0.5)
    assert found.option is not None
    assert found.option["option"] == "b"


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_lies_between_0_and_1(weight: float) -> None:
    with pytest.raises(UsageError, match="weight"):
        Strategy(weight=weight)


def test_cheapest_needs_an_objective() -> None:
    with pytest.raises(UsageError, match="objective"):
        Strategy(name="cheapest")


@pytest.mark.parametrize(
    ("text", "percentile", "limit"),
    [("p95 < 300ms", 0.95, 300), ("p99.9<1.5s", 0.999, 1500), (" p50 < 20 ms ", 0.5, 20)],
)
def test_objectives(text: str, percentile: float, limit: float) -> None:
    found = Objective.parse(text)
    assert (found.percentile, found.limit_ms) == (percentile, limit)
    assert Objective.parse(str(found).replace(",", "")) == found


@pytest.mark.parametrize(
    "text", ["", "p95", "p95 < 300", "p95 > 300ms", "p100 < 1s", "p0 < 1s", "p95 < 0ms", "mean < 1s"]
)
def test_wrong_objectives(text: str) -> None:
    with pytest.raises(UsageError):
        Objective.parse(text)
