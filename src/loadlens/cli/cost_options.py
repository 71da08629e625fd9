"""Options that say what a cost is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from loadlens.cli.grouped_commands import cost_option
from loadlens.cli.option_groups import RequestSize
from loadlens.cost import Capacity, Costing, Objective, Strategy, StrategyName, Traffic, checked_percentile
from loadlens.cost.prices import BUILT_IN_TABLES, load_prices
from loadlens.errors import UsageError

__all__ = ["CostOptions"]

_DEFAULT_PERCENTILE = 95.0


class StrategyChoice(StrEnum):
    """Values of --strategy."""

    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """What a cost is asked for."""

    prices: Annotated[
        list[str] | None,
        cost_option(
            metavar="NAME_OR_FILE",
            help="Price table, see `loadlens prices` (default: its first); repeatable.",
        ),
    ] = None
    traffic: Annotated[
        str | None,
        cost_option(
            metavar="VOLUME", help="50/s, 10M/month, '10M/month peak 40/s', or a CSV of hourly rates."
        ),
    ] = None
    capacity: Annotated[
        list[str] | None,
        cost_option(
            metavar="TYPE=RATE", help="Calls/s that an instance takes, or TYPE=LOG of it; repeatable."
        ),
    ] = None
    strategy: Annotated[
        StrategyChoice | None,
        cost_option(
            metavar="NAME", help="What is best: cost, speed, balanced, or cheapest within --objective."
        ),
    ] = None
    weight: Annotated[
        float,
        cost_option(metavar="NUMBER", help="Weight of cost in strategy balanced, 0 to 1.", show_default=True),
    ] = 0.5
    objective: Annotated[
        str | None, cost_option(metavar="LIMIT", help="Latency that is good enough, e.g. 'p95 < 300ms'.")
    ] = None
    request_size: RequestSize = None

    @property
    def is_asked(self) -> bool:
        """Whether more than prices is told: these may be those of a results folder."""
        given = (self.traffic, self.capacity, self.strategy, self.objective, self.request_size)
        return any(option is not None for option in given)

    @property
    def files(self) -> list[str]:
        """What may be files that a cost is made of, which an output must not replace."""
        loads = _capacities(self.capacity or ())[1]
        return [*(self.prices or ()), *([self.traffic] if self.traffic else []), *loads.values()]

    def costing(self, *, percentile: float | None = None, request_size: float | None = None) -> Costing:
        """What a cost is asked for, with what a command knows besides.

        Raises:
            PriceError: a price table cannot be read.
            UsageError: an option cannot be understood, or two do not go together.
        """
        goal = Objective.parse(self.objective) if self.objective else None
        quantile = checked_percentile(_DEFAULT_PERCENTILE if percentile is None else percentile)
        if goal and percentile is not None and quantile != goal.percentile:
            raise UsageError(
                f"--percentile {percentile:g} and --objective '{self.objective}' are about two percentiles"
            )
        name: StrategyName = self.strategy.value if self.strategy else "cheapest" if goal else "balanced"
        capacities, loads = _capacities(self.capacity or ())
        return Costing(
            prices=tuple(load_prices(name) for name in self.prices or BUILT_IN_TABLES[:1]),
            traffic=Traffic.parse(self.traffic) if self.traffic else None,
            capacities=capacities,
            loads=loads,
            strategy=Strategy(name=name, weight=self.weight, objective=goal),
            percentile=quantile,
            request_size=self.request_size if request_size is None else request_size,
        )


def _capacities(texts: Sequence[str]) -> tuple[tuple[Capacity, ...], dict[str, str]]:
    """Capacities as TYPE=RATE tells them, and the logs that TYPE=LOG names, by type."""
    told: list[Capacity] = []
    loads: dict[str, str] = {}
    for text in texts:
        instance, separator, value = text.partition("=")
        if not separator or not instance or not value:
            raise UsageError(f"--capacity: got {text!r}, expected TYPE=RATE in calls per second, or TYPE=LOG")
        if instance in loads or any(capacity.instance == instance for capacity in told):
            raise UsageError(f"--capacity: {instance} is given more than once; give each once")
        rate = _number(value.removesuffix("/s"))
        if rate is None:
            loads[instance] = value
        else:
            told.append(Capacity.told(instance, rate))
    return tuple(told), loads


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
