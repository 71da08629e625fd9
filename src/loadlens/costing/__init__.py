"""From measured calls and price tables to what it costs to run, and what to run."""

from loadlens.costing.billing import billing_steps
from loadlens.costing.capacity import Capacity, instances_needed, measured_capacity
from loadlens.costing.choosing import Choice, Strategy, StrategyName, choose, with_dominated
from loadlens.costing.comparison import CostComparison, check_tables, compare_costs
from loadlens.costing.configuration import configuration_costs, priced_text, require_memory_prices
from loadlens.costing.objective import Objective, checked_percentile, percentile_text
from loadlens.costing.question import Costing, cost_comparison
from loadlens.costing.running import Interval, Running, cheaper_intervals, cost_curves
from loadlens.costing.traffic import Traffic
from loadlens.costing.usage import FIGURES, MEMORY, Usage, usage_from, usage_of

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
