"""A comparison of costs as plain values."""

from typing import Any

from loadlens.costing.capacity import Capacity
from loadlens.costing.comparison import CostComparison

__all__ = ["cost_document"]


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
