import pytest

from loadlens.charts import Picture, break_even_chart, pareto_chart
from loadlens.cost import Capacity, CostComparison, Traffic, compare_costs
from tests.charts.curves import marks, rows_of, valid
from tests.cost.logs import SERVERLESS, usage
from tests.extent import combinations


def comparison(
    *capacities: Capacity, traffic: str | None = None, sizes: int = 3, **columns: list[object]
) -> CostComparison:
    memory: list[object] = [1024 * (number + 1) for number in range(sizes)]
    latency: list[object] = [200.0 / (number + 1) ** 0.7 for number in range(sizes)]
    found = usage({"memory_size": memory, "invocation_latency": latency, **columns})
    month = Traffic.parse(traffic) if traffic else None
    return compare_costs(found, [SERVERLESS], capacities=capacities, traffic=month)


def test_configurations_and_instances_are_drawn_with_their_first_break_even() -> None:
    spec = valid(break_even_chart(comparison(Capacity.told("ml.c5.large", 50))))
    curves, dots = marks(spec)
    assert {row["option"] for row in rows_of(curves)} == {"1,024 MB", "2,048 MB", "3,072 MB", "ml.c5.large"}
    assert [row["monthly_invocations"] for row in rows_of(dots)] == sorted(
        [row["monthly_invocations"] for row in rows_of(dots)], reverse=True
    )
    assert len(rows_of(dots)) == 3
    assert "130M on ml.c5.large" in spec["title"]["subtitle"][0]


def test_axes_are_logarithmic_where_costs_lie_far_apart() -> None:
    far = valid(break_even_chart(comparison(Capacity.told("ml.c5.large", 50), traffic="100/month")))
    curves = next(marks(far))
    assert curves["encoding"]["x"]["scale"]["type"] == "log"
    assert min(row["monthly_cost"] for row in rows_of(curves)) > 0
    near = valid(break_even_chart(comparison(Capacity.told("ml.c5.large", 50), traffic="20/s")))
    assert next(marks(near))["encoding"]["x"]["scale"]["type"] == "linear"
    assert any(row.get("text") == "your traffic" for part in marks(near) for row in rows_of(part))


@pytest.mark.parametrize(
    ("capacity", "traffic"), combinations([0.001, 3.0, 1e6], [None, "1/month", "5000/s"])
)
def test_charts_of_all_scales_are_drawn(capacity: float, traffic: str | None) -> None:
    found = comparison(Capacity.told("ml.c5.large", capacity), traffic=traffic)
    for chart in (break_even_chart(found), pareto_chart(found)):
        svg = Picture(chart).svg
        assert svg.startswith("<svg")
        assert "NaN" not in svg


def test_without_capacity_or_cost_a_chart_says_so() -> None:
    assert "no capacity of an instance is known" in Picture(break_even_chart(comparison())).svg
    failed = comparison(Capacity.told("ml.c5.large", 5), success=[False] * 3)
    assert "no configuration has a cost" in Picture(break_even_chart(failed)).svg
    assert "Nothing to draw" in Picture(pareto_chart(failed)).svg


def test_the_front_is_coloured_and_dominated_options_are_grey() -> None:
    found = comparison(invocation_latency=[200.0, 90.0, 120.0])
    spec = valid(pareto_chart(found))
    points = [part for part in marks(spec) if "color" in part["encoding"]]
    roles = {row["option"]: row["role"] for row in rows_of(points[0])}
    assert roles == {"3,072 MB": "dominated", "2,048 MB": "chosen", "1,024 MB": "dominated"}
    colours = points[0]["encoding"]["color"]["scale"]
    assert dict(zip(colours["domain"], colours["range"], strict=True))["dominated"] == "#b6bcc2"


def test_labels_that_have_no_room_are_left_out_and_counted() -> None:
    same: list[object] = [50.0 + number / 1000 for number in range(6)]
    spec = valid(pareto_chart(comparison(sizes=6, invocation_latency=same)))
    assert sum("text" in part["encoding"] for part in marks(spec)) >= 1
    many = [f"{number}" for number in range(40)]
    log = usage({"invocation_latency": [50.0] * 40, "label": list(many)}, by=("memory_size", "label"))
    crowded = valid(pareto_chart(compare_costs(log, [SERVERLESS])))
    assert "Without a label" in crowded["title"]["subtitle"][0]
