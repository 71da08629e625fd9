"""All ways to run side by side: costs of a call and of a month, break-even, and a choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from loadlens.cost.capacity import (
    SECONDS_PER_MONTH,
    Capacity,
    Objective,
    Running,
    Traffic,
    cheaper_intervals,
    percentile_text,
    running_instance,
)
from loadlens.cost.configuration_cost import configuration_costs
from loadlens.cost.prices import PriceTable
from loadlens.cost.usage import MEMORY, Usage
from loadlens.errors import PriceError, UsageError
from loadlens.messages import Shown, counted, grouped

__all__ = [
    "Choice",
    "CostComparison",
    "Strategy",
    "StrategyName",
    "check_tables",
    "choose",
    "compare_costs",
    "cost_document",
    "with_dominated",
]


StrategyName = Literal["cost", "speed", "balanced", "cheapest"]
_COST = "cost_per_1M_invocations"
_LATENCY = "latency_ms"
_WORTH_TELLING = 0.01

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
class Strategy:
    """What makes an option the best.

    Attributes:
        name: ``cost`` is the lowest cost, ``speed`` the lowest latency, ``balanced`` the lowest
            cost ** weight * latency ** (1 - weight), ``cheapest`` the lowest cost that meets the objective.
        weight: of cost in ``balanced``, 0 to 1; 0.5 weighs a percent of cost like a percent of latency.
        objective: for ``cheapest``.
    """

    name: StrategyName = "balanced"
    weight: float = 0.5
    objective: Objective | None = None

    def __post_init__(self) -> None:
        """Raises a UsageError for a weight that is none, or a missing objective."""
        if not 0 <= self.weight <= 1:
            raise UsageError(f"weight: got {self.weight:g}, expected a number from 0 to 1")
        if self.name == "cheapest" and self.objective is None:
            raise UsageError("strategy cheapest: needs an objective such as 'p95 < 300ms'")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The option that a strategy takes.

    Attributes:
        strategy: the strategy.
        option: its row among the candidates; None where none can be chosen.
        reason: why, in one sentence with the numbers.
    """

    strategy: Strategy
    option: dict[str, Any] | None
    reason: str


def with_dominated(candidates: pl.DataFrame) -> pl.DataFrame:
    """Adds ``dominated``: whether another candidate costs no more and takes no longer, one of it strictly.

    Args:
        candidates: ``cost_per_1M_invocations`` and ``latency_ms``; where one is null so is ``dominated``.
    """
    known = candidates.select(_COST, _LATENCY).drop_nulls().rows()
    dominated = [
        None
        if cost is None or latency is None
        else any(c <= cost and ms <= latency and (c < cost or ms < latency) for c, ms in known)
        for cost, latency in candidates.select(_COST, _LATENCY).iter_rows()
    ]
    return candidates.with_columns(pl.Series("dominated", dominated, dtype=pl.Boolean))


def choose(
    candidates: pl.DataFrame, strategy: Strategy, *, percentile: float, currency: str = "USD"
) -> Choice:
    """Takes the best candidate; ties go to the cheaper one, then to the faster one, then to the first.

    Args:
        candidates: ``option`` (its name), ``cost_per_1M_invocations`` (null: cannot be chosen) and
            ``latency_ms``, the percentile of its successful calls; ``error_rate`` (0 to 1) if known.
        strategy: what is best.
        percentile: which percentile ``latency_ms`` is, 0 to 1.
        currency: of the costs.
    """
    words = _Words(percentile=percentile, currency=currency)
    known = candidates.drop_nulls([_COST, _LATENCY])
    if known.is_empty():
        reason = "Nothing to choose from: no configuration has a successful call and so a cost and a latency."
        return Choice(strategy=strategy, option=None, reason=reason)
    if strategy.name == "cheapest" and strategy.objective:
        return _cheapest_that_meets(known, strategy, strategy.objective, words)
    best = _best(known, strategy)
    what = {"cost": "cost", "speed": percentile_text(percentile)}.get(
        strategy.name, f"cost^{strategy.weight:g} × latency^{1 - strategy.weight:g}"
    )
    reason = (
        f"{words.told(best)}, {_the_lowest(what, known)}"
        f"{words.against(best, _first(known, _COST, _LATENCY), 'cheapest')}"
        f"{words.against(best, _first(known, _LATENCY, _COST), 'fastest')}."
    )
    return Choice(strategy=strategy, option=best, reason=reason)


def _best(known: pl.DataFrame, strategy: Strategy) -> dict[str, Any]:
    if strategy.name == "cost":
        return _first(known, _COST, _LATENCY)
    if strategy.name == "speed":
        return _first(known, _LATENCY, _COST)
    score = pl.col(_COST) ** strategy.weight * pl.col(_LATENCY) ** (1 - strategy.weight)
    best = known.with_columns(score.alias("score")).sort(["score", _COST, _LATENCY], maintain_order=True)
    return best.drop("score").row(0, named=True)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How options read in a reason."""

    percentile: float
    currency: str

    def told(self, option: dict[str, Any]) -> str:
        rate = option.get("error_rate") or 0.0
        failed = f" ({rate:.1%} of its calls failed)" if rate >= _WORTH_TELLING else ""
        return f"{option['option']}{failed} at {self.figures(option)}"

    def figures(self, option: dict[str, Any]) -> str:
        cost, latency = option[_COST], option[_LATENCY]
        money = f"{cost:,.2f}" if cost >= 0.1 or not cost else f"{cost:.3g}"  # noqa: PLR2004
        sign = "$" if self.currency == "USD" else f"{self.currency} "
        return (
            f"{sign}{money} per 1M invocations and a {percentile_text(self.percentile)} of "
            f"{latency:,.{1 if latency >= 10 else 3}f} ms"  # noqa: PLR2004
        )

    def against(self, chosen: dict[str, Any], other: dict[str, Any], what: str) -> str:
        """The other end of the trade, unless it is the same option."""
        return "" if chosen["option"] == other["option"] else f"; the {what}, {self.told(other)}"


def _first(known: pl.DataFrame, *columns: str) -> dict[str, Any]:
    return known.sort(columns, maintain_order=True).row(0, named=True)


def _the_lowest(what: str, known: pl.DataFrame) -> str:
    return "the only option" if known.height == 1 else f"the lowest {what} of {known.height} options"


def _cheapest_that_meets(
    known: pl.DataFrame, strategy: Strategy, objective: Objective, words: _Words
) -> Choice:
    meeting = known.filter(pl.col(_LATENCY) < objective.limit_ms)
    if meeting.is_empty():
        fastest = _first(known, _LATENCY, _COST)
        reason = f"No option of {known.height} meets {objective}; the closest is {words.told(fastest)}."
        return Choice(strategy=strategy, option=None, reason=reason)
    best, cheapest = _first(meeting, _COST, _LATENCY), _first(known, _COST, _LATENCY)
    options = f"{meeting.height} of {counted(known.height, 'option')}"
    reason = (
        f"{words.told(best)}, the lowest cost of the {options} that meet "
        f"{objective}{words.against(best, cheapest, 'cheapest of all')}."
    )
    return Choice(strategy=strategy, option=best, reason=reason)


@dataclass(frozen=True, kw_only=True, repr=False)
class CostComparison(Shown):
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
    def headline(self) -> str:
        """How many ways to run there are, and which one is chosen."""
        ways = counted(self.candidates.height, "way", "ways")
        return f"{grouped(self.by)}, {ways} to run; {self.choice.reason}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """The ways to run."""
        return self.candidates

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


def cost_document(comparison: CostComparison) -> dict[str, Any]:
    """What was asked, the choice with its reason, and what there was to choose from."""
    strategy, traffic = comparison.choice.strategy, comparison.traffic
    return {
        "prices": [
            {
                name: getattr(table, name)
                for name in ("short_name", "region", "currency", "valid_from", "from_memory")
            }
            for table in comparison.tables
        ],
        "by": list(comparison.by),
        "percentile": comparison.percentile,
        "relative_error": comparison.relative_error,
        "rounding_error_steps": comparison.rounding_error,
        "strategy": strategy.name,
        "weight": strategy.weight if strategy.name == "balanced" else None,
        "objective": str(strategy.objective) if strategy.objective else None,
        "traffic": traffic
        and {
            "monthly_invocations": traffic.monthly_invocations,
            "peak_rate": traffic.peak_rate,
            "description": traffic.description,
        },
        "capacities": [_capacity_document(capacity) for capacity in comparison.capacities],
        "choice": comparison.choice.option,
        "reason": comparison.choice.reason,
        "candidates": comparison.candidates.to_dicts(),
    }


def _capacity_document(capacity: Capacity) -> dict[str, Any]:
    return {
        "instance": capacity.instance,
        "rate": capacity.rate,
        "basis": capacity.basis,
        "latency_ms": capacity.latency_ms,
        "levels": None if capacity.levels is None else capacity.levels.to_dicts(),
    }
