"""Cost of an invocation by memory size, the best size, and when an instance becomes cheaper."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from loadlens.cost.prices import PriceTable
from loadlens.errors import InputError
from loadlens.messages import Shown, counted

__all__ = ["CostAnalysis", "cost_analysis"]

_HOURS_PER_MONTH = 24 * 30
_MS_PER_SECOND = 1000
_LOWEST_DISCOUNT_FACTOR = 0.5
_STRIDES = ((200_000, 10_000), (1_000_000, 50_000), (2_000_000, 100_000), (5_000_000, 200_000))
_LONGEST_STRIDE = 500_000


@dataclass(frozen=True, kw_only=True, repr=False)
class CostAnalysis(Shown):
    """Result of the cost analysis. Money in the currency of the price table.

    Attributes:
        metrics_with_cost: the endpoint metric summary, then ``average_latency`` (ms),
            ``cost_per_invocation``, ``cost_per_1M_invocations``.
        savings: ``monthly_invocations``, ``serverless_monthly_cost``, ``instance_monthly_cost``,
            ``monthly_percent_savings``, up to the break-even.
        optimal_memory_config: the recommended memory size in MB.
        comparable_instance: the instance type that it compares with.
        instance_monthly_cost: cost of a month (30 days) of that instance.
        break_even_invocations: monthly invocations from which the instance is cheaper.
        average_request_size: mean size of a request in bytes.
        average_response_size: mean size of a response in bytes.
        prices: the price table.
    """

    metrics_with_cost: pl.DataFrame
    savings: pl.DataFrame
    optimal_memory_config: int
    comparable_instance: str
    instance_monthly_cost: float
    break_even_invocations: float
    average_request_size: float
    average_response_size: float
    prices: PriceTable

    @property
    def headline(self) -> str:
        """What is recommended."""
        sizes = counted(self.metrics_with_cost.height, "memory size")
        return f"{self.optimal_memory_config:,} MB of {sizes}, against {self.comparable_instance}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """The cost of each configuration."""
        return self.metrics_with_cost


def cost_analysis(
    metrics: pl.DataFrame, *, average_request_size: float, average_response_size: float, prices: PriceTable
) -> CostAnalysis:
    """Prices the configurations of an endpoint metric summary.

    Args:
        metrics: ``memory_size`` (MB), ``ModelLatency`` and ``OverheadLatency`` (ms), and more.
        average_request_size: bytes.
        average_response_size: bytes.
        prices: the price table.

    Raises:
        InputError: columns are missing, or no configuration has all that a cost needs.
        PriceError: a memory size has no price.
    """
    metrics = _checked(metrics, prices)
    costs = _with_costs(metrics, average_request_size + average_response_size, prices)
    best = _optimal_row(costs, len(prices.price_per_second))
    size = int(costs["memory_size"][best])
    instance = prices.comparable_instance[size]
    instance_cost = prices.instance_price_per_hour[instance] * _HOURS_PER_MONTH
    cost_per_invocation = float(costs["cost_per_invocation"][best])
    break_even = instance_cost / cost_per_invocation if cost_per_invocation > 0 else math.inf
    return CostAnalysis(
        metrics_with_cost=costs,
        savings=_savings(cost_per_invocation, instance_cost, break_even),
        optimal_memory_config=size,
        comparable_instance=instance,
        instance_monthly_cost=instance_cost,
        break_even_invocations=break_even,
        average_request_size=average_request_size,
        average_response_size=average_response_size,
        prices=prices,
    )


def _checked(metrics: pl.DataFrame, prices: PriceTable) -> pl.DataFrame:
    needed = ("memory_size", "ModelLatency", "OverheadLatency")
    missing = [name for name in needed if name not in metrics.columns]
    if missing:
        raise InputError(f"the endpoint metric summary lacks {', '.join(missing)}, which a cost needs")
    if metrics.is_empty():
        raise InputError("the endpoint metric summary has no rows: CloudWatch had no data to price")
    doubled = metrics.filter(pl.col("memory_size").is_duplicated())["memory_size"].unique().sort()
    if len(doubled):
        sizes = ", ".join(str(size) for size in doubled)
        raise InputError(f"the endpoint metric summary has several rows for memory size {sizes} MB; keep one")
    prices.require(metrics["memory_size"].to_list())
    return metrics.sort("memory_size").select("memory_size", pl.exclude("memory_size"))


def _with_costs(metrics: pl.DataFrame, bytes_per_call: float, prices: PriceTable) -> pl.DataFrame:
    per_ms = [prices.price_per_second[size] / _MS_PER_SECOND for size in metrics["memory_size"]]
    latency = metrics["ModelLatency"] + metrics["OverheadLatency"].mean()
    cost = pl.Series(per_ms) * latency + bytes_per_call * prices.price_per_byte
    return metrics.with_columns(
        latency.alias("average_latency"),
        cost.alias("cost_per_invocation"),
        (cost * 1e6).alias("cost_per_1M_invocations"),
    )


def _optimal_row(costs: pl.DataFrame, num_priced_sizes: int) -> int:
    """The row with the least latency times cost, larger sizes discounted step by step."""
    factors = np.linspace(1, _LOWEST_DISCOUNT_FACTOR, num_priced_sizes)[: costs.height]
    scores = costs["average_latency"] * costs["cost_per_1M_invocations"] * pl.Series(factors)
    best = scores.arg_min()
    if best is None:
        raise InputError("no memory size has both ModelLatency and OverheadLatency, which a cost needs")
    return best


def _savings(cost_per_invocation: float, instance_cost: float, break_even: float) -> pl.DataFrame:
    volumes = np.arange(1, _num_steps(break_even) + 1, dtype=np.int64) * _stride(break_even)
    serverless = volumes * cost_per_invocation
    percent = (1 - serverless / instance_cost) * 100 if instance_cost else serverless
    return pl.DataFrame(
        {
            "monthly_invocations": volumes,
            "serverless_monthly_cost": serverless,
            "instance_monthly_cost": np.full(len(volumes), instance_cost),
            "monthly_percent_savings": np.round(percent, 2),
        }
    )


def _num_steps(break_even: float) -> int:
    """How many multiples of the stride lie strictly below the break-even; none where there is none."""
    return max(math.ceil(break_even / _stride(break_even)) - 1, 0) if math.isfinite(break_even) else 0


def _stride(break_even: float) -> int:
    return next((stride for limit, stride in _STRIDES if break_even < limit), _LONGEST_STRIDE)
