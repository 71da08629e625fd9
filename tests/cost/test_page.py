"""The examples of docs/prices.md: one for each kind of table, each of them read and run."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from loadlens import Log, load_prices, read_log
from loadlens.cost import Capacity, Costing, cost_comparison
from loadlens.cost.prices import _BY_NAME, _ENTRIES, _REQUIRED, _TEXTS, Kind, PriceTable

PAGE = Path(__file__).parents[2].joinpath("docs", "prices.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def example(kind: str, folder: Path) -> PriceTable:
    (text,) = (text for text in EXAMPLES if tomllib.loads(text)["kind"] == kind)
    path = folder / f"{kind}.toml"
    path.write_text(text, encoding="utf-8")
    return load_prices(path)


def log(**columns: Any) -> Log:
    return read_log(pl.DataFrame({"memory_size": 1024, "invocation_latency": [1.0, 2.2], **columns}))


def cost(table: PriceTable, **columns: Any) -> dict[str, Any]:
    return cost_comparison(log(**columns), Costing(prices=(table,))).costs.row(0, named=True)


def test_the_page_has_an_example_of_each_kind() -> None:
    assert sorted(tomllib.loads(text)["kind"] for text in EXAMPLES) == sorted(get_args(Kind))


@pytest.mark.parametrize(
    "name",
    ["kind", "currency", "from_memory", *_TEXTS, *_BY_NAME, *(n for e in _ENTRIES.values() for n in e)],
)
def test_the_page_names_all_that_a_table_may_have(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)
    assert any(re.search(rf"\b{name}\b", text) for text in EXAMPLES)


@pytest.mark.parametrize("kind", _REQUIRED)
def test_the_examples_are_read_with_all_they_say(kind: str, tmp_path: Path) -> None:
    table = example(kind, tmp_path)
    assert (table.kind, table.currency, table.valid_from) == (kind, "EUR", "2026-01-01")


def test_serverless(tmp_path: Path) -> None:
    row = cost(example("serverless", tmp_path), response_size=2**30)
    assert row["billed_ms"] == pytest.approx(1.6)
    assert row["cost_per_invocation"] == pytest.approx(1.6 * 0.00002 / 1000 + 0.016)


def test_provisioned(tmp_path: Path) -> None:
    table = example("provisioned", tmp_path)
    row = cost(table)
    assert row["billed_ms"] == 2
    assert row["cost_per_invocation"] == pytest.approx(2 * 0.0000117 / 1000)
    assert table.price_of_provisioned_second(2048) == 0.00001


def test_gb_second(tmp_path: Path) -> None:
    row = cost(example("gb-second", tmp_path), init_duration=[None, 10.0])
    assert row["billed_ms"] == 2
    per_ms = 0.0000166667 / 1000
    assert row["cost_per_invocation"] == pytest.approx((2 + 5) * per_ms + 0.0000002)


def test_instances(tmp_path: Path) -> None:
    tables = (example("gb-second", tmp_path), example("instances", tmp_path))
    capacity = Capacity.told("small", 50.0)
    found = cost_comparison(log(), Costing(prices=tables, capacities=(capacity,)))
    assert set(found.break_even["instance"]) == {"small"}
    assert found.break_even["instance_monthly_cost"].drop_nulls().min() == pytest.approx(0.06 * 24 * 30)
