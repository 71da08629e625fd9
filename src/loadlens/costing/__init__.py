"""From measured calls and price tables to what it costs to run, and what to run."""

from loadlens.costing.capacity import Capacity, instances_needed, measured_capacity
from loadlens.costing.choosing import Choice, Strategy, StrategyName, choose, with_dominated
from loadlens.costing.comparison import CostComparison, compare_costs
from loadlens.costing.configuration import configuration_costs
from loadlens.costing.objective import Objective, checked_percentile, percentile_text
from loadlens.costing.running import Interval, Running, cheaper_intervals, cost_curves
from loadlens.costing.traffic import Traffic
from loadlens.costing.usage import Usage, usage_of

__all__ = [
    "Capacity",
    "Choice",
    "CostComparison",
    "Interval",
    "Objective",
    "Running",
    "Strategy",
    "StrategyName",
    "Traffic",
    "Usage",
    "cheaper_intervals",
    "checked_percentile",
    "choose",
    "compare_costs",
    "configuration_costs",
    "cost_curves",
    "instances_needed",
    "measured_capacity",
    "percentile_text",
    "usage_of",
    "with_dominated",
]
