"""What a cost is asked for, and the answer from a log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Annotated, Final

from loadlens.cost.capacity import Capacity, Traffic, measured_capacity
from loadlens.cost.prices import PriceTable, load_prices
from loadlens.cost.usage import MEMORY, Usage, billing_steps, usage_question
from loadlens.cost.ways_to_run import CostComparison, Strategy, compare_costs
from loadlens.engine import Question, ask
from loadlens.keywords import BYTES, Takes, checked_options
from loadlens.logs import Log, Reading, Source, open_log
from loadlens.profile import MeasureOptions

__all__ = ["Costing", "cost_comparison", "priced", "priced_usage_question"]


_LOADS: Final = Takes(lambda value: isinstance(value, Mapping), "logs by instance type")
_QUANTILE: Final = Takes(
    lambda value: isinstance(value, Real) and 0 < float(value) < 1, "a quantile between 0 and 1"
)


@checked_options
@dataclass(frozen=True, kw_only=True)
class Costing:
    """What a cost is asked for.

    Attributes:
        prices: the price tables; by default the reference's for us-east-1 alone.
        traffic: the calls of a month; without it there are no monthly costs.
        capacities: what instances can take, as told.
        loads: logs of instances under load, by instance type, which tell their capacity.
        strategy: what is best; its objective, if any, says which latency percentile is compared.
        percentile: which latency is compared without an objective, 0 to 1.
        request_size: mean bytes of a request, for a log that does not tell sizes.
    """

    prices: tuple[PriceTable, ...] = field(default_factory=lambda: (load_prices(),))
    traffic: Traffic | None = None
    capacities: tuple[Capacity, ...] = ()
    loads: Annotated[Mapping[str, Source], _LOADS] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    percentile: Annotated[float, _QUANTILE] = 0.95
    request_size: Annotated[float | None, BYTES.or_none()] = None

    @property
    def quantile(self) -> float:
        """The latency percentile that is compared, 0 to 1."""
        objective = self.strategy.objective
        return objective.percentile if objective else self.percentile


def cost_comparison(
    log: Log,
    costing: Costing,
    by: Sequence[str] = (MEMORY,),
    *,
    reading: Reading | None = None,
    options: MeasureOptions = MeasureOptions(),
) -> CostComparison:
    """Prices every configuration of a log and sets it against instances.

    Args:
        log: the log.
        costing: what is asked for.
        by: the key columns of the configurations, ``memory_size`` among them.
        reading: how the logs of instances are read; the names of their files tell nothing.
        options: how logs are measured.

    Raises:
        InputError: a log cannot be read, lacks a column, or holds a duration that is none.
        PriceError: a memory size or an instance has no price.
        UsageError: ``by`` lacks ``memory_size``, or the price tables do not go together.
    """
    usage = ask(log, priced_usage_question(log, costing, by), options)
    return priced(usage, costing, reading, options)


def priced_usage_question(log: Log, costing: Costing, by: Sequence[str]) -> Question[Usage]:
    """Asks what each configuration used of what is to be priced; see ``usage_question``."""
    return usage_question(
        log,
        by,
        steps_ms=billing_steps(costing.prices),
        percentile=costing.quantile,
        request_size=costing.request_size,
    )


def priced(
    usage: Usage, costing: Costing, reading: Reading | None, options: MeasureOptions
) -> CostComparison:
    """Prices what each configuration used; measures the logs of instances."""
    loads_reading = replace(reading or Reading(), key_from_name=None)
    measured = [
        measured_capacity(
            instance,
            open_log(load, reading=loads_reading),
            objective=costing.strategy.objective,
            percentile=costing.quantile,
            options=options,
        )
        for instance, load in costing.loads.items()
    ]
    return compare_costs(
        usage,
        costing.prices,
        traffic=costing.traffic,
        capacities=(*costing.capacities, *measured),
        strategy=costing.strategy,
    )
