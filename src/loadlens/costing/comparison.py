"""All ways to run side by side: costs of a call and of a month, break-even, and a choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from loadlens.costing.capacity import Capacity, running_instance
from loadlens.costing.choosing import Choice, Strategy, choose, with_dominated
from loadlens.costing.configuration import configuration_costs
from loadlens.costing.running import Running, cheaper_intervals
from loadlens.costing.traffic import SECONDS_PER_MONTH, Traffic
from loadlens.costing.usage import MEMORY, Usage
from loadlens.errors import PriceError, UsageError
from loadlens.prices import PriceTable

__all__ = ["CostComparison", "check_tables", "compare_costs"]

_MILLION: Final = 1e6
_MONTHLY_SCHEMA: Final = {
    "option": pl.String,
    "kind": pl.String,
    "units": pl.Int64,
    "monthly_cost": pl.Float64,
    "cost_per_1M_invocations": pl.Float64,
}
_BREAK_EVEN_SCHEMA: Final = {
    "option": pl.String,
    "instance": pl.String,
    "first_invocations": pl.Int64,
    "last_invocations": pl.Int64,
    "cheaper": pl.String,
    "serverless_monthly_cost": pl.Float64,
    "num_instances": pl.Int64,
    "instance_monthly_cost": pl.Float64,
}


@dataclass(frozen=True, kw_only=True)
class CostComparison:
    """What it costs to run. Money in the one currency of the tables.

    Attributes:
        by: the key columns of the configurations.
        percentile: which latency is compared, 0 to 1.
        tables: the price tables.
        traffic: the calls of a month, if known.
        capacities: what instances can take, as far as known.
        costs: ``option`` (the name of a configuration under a table), then the columns of
            ``configuration_costs``.
        monthly: for the traffic, each configuration and instance type: ``option``, ``kind``, ``units``
            (instances or provisioned concurrency; null where none is paid for), ``monthly_cost`` and
            ``cost_per_1M_invocations``; no rows without traffic.
        break_even: which is cheaper over whole monthly volumes, for each configuration and instance type:
            ``option``, ``instance``, ``first_invocations`` and ``last_invocations`` (null: no end) of the
            interval, ``cheaper`` (``serverless``, also where both cost the same, or ``instance``), and at
            its first volume ``serverless_monthly_cost``, ``num_instances``, ``instance_monthly_cost``.
        candidates: ``option``, ``kind``, ``cost_per_1M_invocations`` (at the traffic, if known),
            ``latency_ms``, ``error_rate`` and ``dominated``.
        choice: what to run.
        ways: the configurations and instance types as functions of the monthly volume.
        rounding_error: by how many billing steps the rounded latency of a call may be off; 0 but for saved
            profiles.
        relative_error: bound of the relative error of latencies; 0 for exact figures.
    """

    by: tuple[str, ...]
    percentile: float
    tables: tuple[PriceTable, ...]
    traffic: Traffic | None
    capacities: tuple[Capacity, ...]
    costs: pl.DataFrame
    monthly: pl.DataFrame
    break_even: pl.DataFrame
    candidates: pl.DataFrame
    choice: Choice
    ways: tuple[Running, ...]
    rounding_error: float = 0.0
    relative_error: float = 0.0

    @property
    def currency(self) -> str:
        """ISO 4217 code of all money."""
        return self.tables[0].currency


def compare_costs(
    usage: Usage,
    tables: Sequence[PriceTable],
    *,
    traffic: Traffic | None = None,
    capacities: Sequence[Capacity] = (),
    strategy: Strategy | None = None,
) -> CostComparison:
    """Prices every configuration under every serverless table, and sets them against instances.

    Args:
        usage: what the calls of each configuration used.
        tables: serverless tables, and tables that price the instances of ``capacities``.
        traffic: the calls of a month; without it there are no monthly costs, and break-even holds for calls
            that come evenly spread.
        capacities: the instance types to compare with.
        strategy: what is best; without one, cost and latency balanced.

    Raises:
        PriceError: a memory size or an instance has no price.
        UsageError: the tables have several currencies, or an instance or a table is named twice.
    """
    strategy = strategy or Strategy()
    _check(tables, capacities, usage, strategy)
    serverless = [table for table in tables if table.kind != "instances"]
    if not serverless:
        raise PriceError("the price tables price instances alone; pass a serverless table as well")
    costs = pl.concat(_named(configuration_costs(usage, table), usage, serverless) for table in serverless)
    by_name = {table.short_name: table for table in serverless}
    configurations = [
        _running_configuration(row, by_name[row["prices"]], traffic)
        for row in costs.drop_nulls("cost_per_invocation").iter_rows(named=True)
    ]
    instances = [running_instance(capacity, tables, traffic) for capacity in capacities]
    ways = (*configurations, *instances)
    monthly = _monthly(ways, traffic)
    candidates = with_dominated(_candidates(costs, by_name, monthly, capacities))
    return CostComparison(
        by=usage.by,
        percentile=usage.percentile,
        tables=tuple(tables),
        traffic=traffic,
        capacities=tuple(capacities),
        costs=costs,
        monthly=monthly,
        break_even=_break_even(configurations, instances),
        candidates=candidates,
        choice=choose(candidates, strategy, percentile=usage.percentile, currency=tables[0].currency),
        ways=ways,
        rounding_error=usage.rounding_error,
        relative_error=usage.relative_error,
    )


def check_tables(tables: Sequence[PriceTable]) -> None:
    """Checks that costs under these tables can stand side by side.

    Raises:
        UsageError: there is no table, one is given twice, or they have several currencies.
    """
    if not tables:
        raise UsageError("prices: no price table was given")
    currencies = sorted({table.currency for table in tables})
    if len(currencies) > 1:
        raise UsageError(f"prices: the tables are in {', '.join(currencies)}; pass tables of one currency")
    _refuse_twice("prices", [table.short_name for table in tables])


def _check(
    tables: Sequence[PriceTable], capacities: Sequence[Capacity], usage: Usage, strategy: Strategy
) -> None:
    check_tables(tables)
    _refuse_twice("capacity", [capacity.instance for capacity in capacities])
    if strategy.objective and strategy.objective.percentile != usage.percentile:
        raise UsageError(f"objective: {strategy.objective} is not about the percentile that was measured")


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{what}: {', '.join(twice)} is given more than once; give each once")


def _named(costs: pl.DataFrame, usage: Usage, tables: Sequence[PriceTable]) -> pl.DataFrame:
    """Costs with a name for each configuration, unique among all tables."""
    names = [_name(row, usage.by, several=len(tables) > 1) for row in costs.iter_rows(named=True)]
    return costs.select(pl.Series("option", names, dtype=pl.String), pl.all())


def _name(row: dict[str, Any], by: Sequence[str], *, several: bool) -> str:
    parts = [row["prices"]] if several else []
    parts.append(f"{row[MEMORY]:,} MB")
    parts += [f"{name} {'(none)' if row[name] is None else row[name]}" for name in by if name != MEMORY]
    return " · ".join(parts)


def _running_configuration(row: dict[str, Any], table: PriceTable, traffic: Traffic | None) -> Running:
    """A configuration; one provisioned concurrency serves one call at a time."""
    name, cost = row["option"], row["cost_per_invocation"]
    if table.kind != "provisioned" or not row["billed_ms"]:
        return Running(name=name, kind="serverless", cost_per_call=cost)
    calls_per_s = 1000 / row["billed_ms"]
    return Running(
        name=name,
        kind="serverless",
        cost_per_call=cost,
        unit_cost=table.price_of_provisioned_second(row[MEMORY]) * SECONDS_PER_MONTH,
        unit_calls=calls_per_s * SECONDS_PER_MONTH / (traffic.peak_factor if traffic else 1.0),
    )


def _monthly(ways: Sequence[Running], traffic: Traffic | None) -> pl.DataFrame:
    if traffic is None:
        return pl.DataFrame(schema=_MONTHLY_SCHEMA)
    calls = traffic.monthly_invocations
    rows = [
        (way.name, way.kind, way.units(calls) or None, cost, cost / calls * _MILLION)
        for way in ways
        for cost in (way.monthly_cost(calls),)
    ]
    return pl.DataFrame(rows, schema=_MONTHLY_SCHEMA, orient="row")


def _break_even(configurations: Sequence[Running], instances: Sequence[Running]) -> pl.DataFrame:
    rows = [
        (
            configuration.name,
            instance.name,
            interval.first,
            interval.last,
            interval.cheaper.kind,
            configuration.monthly_cost(interval.first),
            instance.units(interval.first),
            instance.monthly_cost(interval.first),
        )
        for configuration in configurations
        for instance in instances
        for interval in cheaper_intervals(configuration, instance)
    ]
    return pl.DataFrame(rows, schema=_BREAK_EVEN_SCHEMA, orient="row")


def _candidates(
    costs: pl.DataFrame,
    tables: dict[str, PriceTable],
    monthly: pl.DataFrame,
    capacities: Sequence[Capacity],
) -> pl.DataFrame:
    """What can be chosen; what keeps environments ready has no cost of a call without traffic."""
    ready = [name for name, table in tables.items() if table.kind == "provisioned"]
    per_call = pl.when(~pl.col("prices").is_in(ready)).then(pl.col("cost_per_1M_invocations"))
    configurations = costs.select(
        "option",
        pl.lit("serverless").alias("kind"),
        per_call.alias("cost_per_1M_invocations"),
        "latency_ms",
        (pl.col("num_errors") / pl.col("num_rows")).alias("error_rate"),
    )
    instances = pl.DataFrame(
        [(capacity.instance, "instance", None, capacity.latency_ms, None) for capacity in capacities],
        schema=configurations.schema,
        orient="row",
    )
    both = pl.concat([configurations, instances])
    if monthly.is_empty():
        return both.filter(pl.col("kind") == "serverless")
    at_traffic = monthly.select("option", "cost_per_1M_invocations")
    return (
        both.drop("cost_per_1M_invocations")
        .join(at_traffic, on="option", how="left", maintain_order="left")
        .select(both.columns)
    )
