"""The recommended memory size and the break-even, each in one sentence."""

import math

import polars as pl

from loadlens.analysis import CostAnalysis
from loadlens.report.columns import format_money, format_value
from loadlens.report.model import Card

__all__ = ["break_even_sentence", "cost_cards", "recommendation_sentence"]


def recommendation_sentence(cost: CostAnalysis) -> str:
    """Why the recommended size, against the cheapest and the fastest one."""
    priced = cost.metrics_with_cost.drop_nulls(["average_latency", "cost_per_1M_invocations"])
    cheapest = priced.sort("cost_per_1M_invocations", "average_latency").row(0, named=True)
    fastest = priced.sort("average_latency", "cost_per_1M_invocations").row(0, named=True)
    size = cost.optimal_memory_config
    best = priced.row(by_predicate=pl.col("memory_size") == size, named=True)
    is_cheapest = best["cost_per_1M_invocations"] == cheapest["cost_per_1M_invocations"]
    is_fastest = best["average_latency"] == fastest["average_latency"]
    if priced.height == 1:
        comparison = "the only size with all figures"
    elif is_cheapest and is_fastest:
        comparison = f"both the fastest and the cheapest of the {priced.height} sizes"
    elif is_fastest:
        comparison = f"the fastest of the {priced.height} sizes, against {_named(cheapest, 'cheapest', cost)}"
    elif is_cheapest:
        comparison = f"the cheapest of the {priced.height} sizes, against {_named(fastest, 'fastest', cost)}"
    elif cheapest == fastest:
        comparison = f"against {_named(cheapest, 'cheapest and fastest', cost)}"
    else:
        comparison = f"against {_named(cheapest, 'cheapest', cost)} and {_named(fastest, 'fastest', cost)}"
    return (
        f"{_size(size)} has the lowest latency times cost once larger sizes are discounted: "
        f"{_figures(best, cost)}, {comparison}."
    )


def break_even_sentence(cost: CostAnalysis) -> str:
    """Up to which monthly volume the recommended size costs less than the comparable instance."""
    if not math.isfinite(cost.break_even_invocations):
        return f"An invocation costs nothing at these prices, so {cost.comparable_instance} is never cheaper."
    if cost.break_even_invocations <= 0:
        return f"{cost.comparable_instance} costs nothing at these prices, so serverless is never cheaper."
    monthly = format_money(cost.instance_monthly_cost, cost.prices.currency)
    return (
        f"Up to {_volume(cost)} invocations a month, serverless at {_size(cost.optimal_memory_config)} costs "
        f"less than the comparable instance, {cost.comparable_instance} at {monthly} a month."
    )


def cost_cards(cost: CostAnalysis) -> tuple[Card, ...]:
    """Recommendation, its latency and cost, and the break-even as key figures."""
    best = cost.metrics_with_cost.row(
        by_predicate=pl.col("memory_size") == cost.optimal_memory_config, named=True
    )
    size = _size(cost.optimal_memory_config)
    monthly = format_money(cost.instance_monthly_cost, cost.prices.currency)
    per_million = format_money(best["cost_per_1M_invocations"], cost.prices.currency)
    latency = format_value("average_latency", best["average_latency"])
    finite = math.isfinite(cost.break_even_invocations)
    return (
        Card(label="Recommended memory", value=size, detail="lowest discounted latency times cost"),
        Card(label="Average latency", value=f"{latency} ms", detail=f"model and overhead at {size}"),
        Card(label="Cost per 1M invocations", value=per_million, detail=f"at {size}"),
        Card(
            label="Break-even",
            value=_volume(cost) if finite else "none",
            detail=f"invocations a month, against {cost.comparable_instance} at {monthly}",
        ),
    )


def _named(row: dict[str, float], name: str, cost: CostAnalysis) -> str:
    return f"{_figures(row, cost)} for the {name} ({_size(row['memory_size'])})"


def _figures(row: dict[str, float], cost: CostAnalysis) -> str:
    latency = format_value("average_latency", row["average_latency"])
    per_million = format_money(row["cost_per_1M_invocations"], cost.prices.currency)
    return f"{latency} ms at {per_million} per 1M invocations"


def _size(memory_size: float) -> str:
    return f"{format_value('memory_size', memory_size)} MB"


def _volume(cost: CostAnalysis) -> str:
    return f"{math.floor(cost.break_even_invocations):,}"
