"""From measured calls and price tables to what it costs to run, and what to run."""

from loadlens.cost.capacity import (
    Capacity,
    Interval,
    Objective,
    Running,
    Traffic,
    cheaper_intervals,
    checked_percentile,
    cost_curves,
    instances_needed,
    measured_capacity,
    percentile_text,
)
from loadlens.cost.configuration_cost import configuration_costs, priced_text, require_memory_prices
from loadlens.cost.cost_of_log import Costing, cost_comparison
from loadlens.cost.usage import FIGURES, MEMORY, Usage, billing_steps, usage_from, usage_of
from loadlens.cost.ways_to_run import (
    Choice,
    CostComparison,
    Strategy,
    StrategyName,
    check_tables,
    choose,
    compare_costs,
    with_dominated,
)

__all__ = [
    "FIGURES",
    "MEMORY",
    "Capacity",
    "Choice",
    "CostComparison",
    "Costing",
    "Interval",
    "Objective",
    "Running",
    "Strategy",
    "StrategyName",
    "Traffic",
    "Usage",
    "billing_steps",
    "cheaper_intervals",
    "check_tables",
    "checked_percentile",
    "choose",
    "compare_costs",
    "configuration_costs",
    "cost_comparison",
    "cost_curves",
    "instances_needed",
    "measured_capacity",
    "percentile_text",
    "priced_text",
    "require_memory_prices",
    "usage_from",
    "usage_of",
    "with_dominated",
]
