"""How many calls a second an instance can take: measured under load, or told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.analysis.shared import error_rate, key_columns, with_numeric_keys
from loadlens.costing.objective import Objective, percentile_text
from loadlens.costing.running import Running, units_needed
from loadlens.costing.traffic import HOURS_PER_MONTH, SECONDS_PER_MONTH, Traffic
from loadlens.engine import measure
from loadlens.errors import InputError, UsageError
from loadlens.prices import PriceTable
from loadlens.profile import MeasureOptions, Plan, percentile_name, success_of
from loadlens.schema import LATENCY
from loadlens.sources import Log
from loadlens.sources.wording import counted

__all__ = ["MOST_ERRORS", "Capacity", "instances_needed", "measured_capacity", "running_instance"]

MOST_ERRORS: Final = 0.01
"""Share of failed calls up to which an instance counts as keeping up."""

_LOAD_COLUMNS: Final = ("max_concurrency", "num_clients", "file")


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What one instance can take.

    Attributes:
        instance: its type.
        rate: successful calls per second.
        basis: where the rate comes from.
        latency_ms: the latency percentile at this load; None where it was not measured.
        levels: the load levels that were measured: the columns that tell them apart, ``num_rows``,
            ``error_rate``, ``latency_ms``, ``throughput`` (per s), ``sustained``; None without a log.
    """

    instance: str
    rate: float
    basis: str
    latency_ms: float | None = None
    levels: pl.DataFrame | None = None

    @classmethod
    def told(cls, instance: str, rate: float) -> "Capacity":
        """A capacity that the user knows, in calls per second.

        Raises:
            UsageError: the rate is not above 0.
        """
        if not 0 < rate < math.inf:
            raise UsageError(f"capacity of {instance}: got {rate:g}, expected calls per second above 0")
        return cls(instance=instance, rate=rate, basis="as told")


def measured_capacity(
    instance: str,
    log: Log,
    *,
    objective: Objective | None = None,
    percentile: float = 0.95,
    options: MeasureOptions = MeasureOptions(),
) -> Capacity:
    """The capacity of an instance, from a log of it under load.

    The load levels of the log are its ``max_concurrency``, ``num_clients`` and files, as far as it has
    them; without any, it is one level. A level is sustained when at most 1 % of its calls failed and, given
    an objective, its latency meets it. The capacity is the highest throughput (successful calls over the
    time from first start to last end, no outlier removed) of a sustained level.

    Args:
        instance: its type.
        log: the log.
        objective: what latency is good enough.
        percentile: which latency to report; that of the objective if there is one.
        options: how to measure.

    Raises:
        InputError: the log cannot be read, has no times, or no level was sustained.
    """
    quantile = objective.percentile if objective else percentile
    key = tuple(name for name in _LOAD_COLUMNS if name in log.columns)
    log.require((*key, LATENCY, "start_time", "end_time"), "the capacity of an instance")
    success = success_of(log.columns)
    plan = Plan(key=key, success=success, outliers="none", percentiles=(quantile,), histogram=False)
    table = with_numeric_keys(measure(log, plan, options), key).table
    latency = pl.col(f"{LATENCY}_{percentile_name(quantile)}").alias("latency_ms")
    holds = pl.col("latency_ms") < objective.limit_ms if objective else pl.lit(value=True)
    sustained = ((pl.col("error_rate") <= MOST_ERRORS) & holds & (pl.col("throughput") > 0)).fill_null(
        value=False
    )
    levels = table.select(*key_columns(key), "num_rows", error_rate(), latency, "throughput").with_columns(
        sustained.alias("sustained")
    )
    best = levels.filter("sustained").sort("throughput", descending=True).head(1)
    if best.is_empty():
        raise InputError(_nothing_sustained(instance, log, levels, objective))
    row = best.row(0, named=True)
    where = ", ".join(f"{name} {row[name]}" for name in key)
    return Capacity(
        instance=instance,
        rate=row["throughput"],
        basis=f"highest sustained throughput in {log.name}" + (f", at {where}" if where else ""),
        latency_ms=row["latency_ms"],
        levels=levels,
    )


def _nothing_sustained(instance: str, log: Log, levels: pl.DataFrame, objective: Objective | None) -> str:
    rates = levels["error_rate"].drop_nulls().to_list()
    wanted = f"at most {MOST_ERRORS:.0%} errors" + (f" and {objective}" if objective else "")
    found = f"the fewest errors are {min(rates):.2%}" if rates else "it has no calls"
    if objective and (latencies := levels["latency_ms"].drop_nulls().to_list()):
        found += f" and the lowest {percentile_text(objective.percentile)} is {min(latencies):,.4g} ms"
    return (
        f"{log.name}: no load level of {instance} kept {wanted} over a span of time ({found}, in "
        f"{counted(levels.height, 'level')}); measure a lower load, or say its capacity as {instance}=RATE"
    )


def instances_needed(peak_rate: float, capacity: float) -> int:
    """How many instances hold the peak: ceil(peak rate / capacity), at least 1; both in calls per s."""
    return units_needed(peak_rate, capacity)


def running_instance(capacity: Capacity, tables: Sequence[PriceTable], traffic: Traffic | None) -> Running:
    """An instance type as a function of the monthly volume, shaped like ``traffic`` (else evenly spread).

    Raises:
        PriceError: no table prices the instance.
    """
    priced = [table for table in tables if capacity.instance in table.instance_price_per_hour]
    hourly = (priced or tables)[0].price_of_instance_hour(capacity.instance)
    return Running(
        name=capacity.instance,
        kind="instance",
        unit_cost=hourly * HOURS_PER_MONTH,
        unit_calls=capacity.rate * SECONDS_PER_MONTH / (traffic.peak_factor if traffic else 1.0),
    )
