"""From a log and a plan to statistics: a profile, and exact figures from a second look."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Unpack

import polars as pl

from loadlens.errors import InputError
from loadlens.profile.attainment import CountsInside, counts_below, inside_by_middle, inside_by_scan
from loadlens.profile.buckets import RELATIVE_ERROR
from loadlens.profile.candidates import candidate_rows
from loadlens.profile.exact import order_statistics
from loadlens.profile.fence import Kept, fence, kept_by_bucket, kept_exactly
from loadlens.profile.histogram import kept_histogram
from loadlens.profile.limits import Limits
from loadlens.profile.passes import UnusableRowsError
from loadlens.profile.plan import Engine, Execution, Plan, Statistics, percentile_name
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.quantiles import OrderStatistics, middle_of_buckets, quantile_ranks, quantiles
from loadlens.profile.scan import Counted, Scan, counted
from loadlens.profile.table import FENCE_QUANTILES, FIVE, clipped_mean, count_table, kept_columns
from loadlens.schema import LATENCY
from loadlens.sources.log import Log, reading

__all__ = ["measure"]


def measure(log: Log, plan: Plan, **execution: Unpack[Execution]) -> Statistics:
    """Measures ``log`` as ``plan`` says.

    Args:
        log: the log; it is scanned several times.
        plan: what to measure.
        **execution: how to do so.

    Raises:
        InputError: the log has no rows, or rows that break a rule, or cannot be read, or needs more memory
            than allowed.
        UsageError: the memory limit is too small to work with.
    """
    limits = Limits.of(execution.get("memory_limit"))
    limits.refuse_huge_row_groups(log.files)
    tracker = Tracker(
        execution.get("on_progress"),
        rows_total=sum(file.rows for file in log.files) or None,
        bytes_total=sum(file.size for file in log.files),
    )
    try:
        with reading(log):
            return _measure(log, plan, execution, limits, tracker)
    except InputError as error:
        if tracker.raised is not None:
            raise tracker.raised from error
        raise
    except UnusableRowsError as error:
        raise InputError(*(log.broken_rules() or [f"{log.name}: changed while it was read"])) from error


def _measure(log: Log, plan: Plan, execution: Execution, limits: Limits, tracker: Tracker) -> Statistics:
    scan = Scan(
        plan=plan,
        limits=limits,
        with_heat=execution.get("heatmap", False),
        spill_folder=execution.get("spill_folder"),
        engine=execution.get("engine", "streaming"),
        tracker=tracker,
    )
    with counted(log, scan) as found:
        if found.profile.buckets.is_empty():
            raise InputError(log.without_rows())
        if execution.get("exact", True):
            tracker.stage("Fetching the latencies that decide")
            statistics = _exact(found, plan, scan.engine, limits.candidates)
        else:
            statistics = _approximate(found.profile, plan)
        return replace(statistics, spilled_bytes=found.spilled_bytes)


def _exact(found: Counted, plan: Plan, engine: Engine, most: int) -> Statistics:
    rows, profile = found.rows, found.profile
    some = candidate_rows(found, plan, engine, most=most)
    statistics_of: OrderStatistics = (
        partial(order_statistics, rows.latencies, profile.buckets, engine=engine, most_values=most)
        if some.latencies is None
        else some.latencies.order_statistics
    )
    counts_inside: CountsInside = (
        partial(inside_by_scan, rows.latencies, engine=engine)
        if some.latencies is None
        else some.latencies.counts_inside
    )
    table = _unfenced(profile, plan, statistics_of, counts_inside)
    kept = kept_exactly(some.tail, profile, table.select("code", "outlier_fence"), engine)
    table = _fenced(table, plan, kept, statistics_of)
    return _statistics(profile, plan, table, kept_histogram(kept, table, rows, engine))


def _approximate(profile: Profile, plan: Plan) -> Statistics:
    statistics_of = partial(middle_of_buckets, profile.buckets)
    table = _unfenced(profile, plan, statistics_of, partial(inside_by_middle, profile))
    kept = kept_by_bucket(profile, table.select("code", "outlier_fence"))
    table = _fenced(table, plan, kept, statistics_of)
    histogram = kept_histogram(kept, table, None, "in-memory")
    return replace(_statistics(profile, plan, table, histogram), relative_error=RELATIVE_ERROR)


def _quantiles(
    table: pl.DataFrame,
    size: str,
    wanted: Mapping[str, float],
    statistics_of: OrderStatistics,
    *,
    successes: bool,
) -> pl.DataFrame:
    sizes = table.select("code", pl.lit(successes).alias("successes"), pl.col(size).alias("size"))
    found = quantiles(statistics_of, quantile_ranks(sizes, wanted))
    missing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in wanted if name not in found.columns]
    return table.join(found.with_columns(missing), on="code", how="left")


def _five(population: str) -> dict[str, float]:
    return {f"{population}_{name}": quantile for name, quantile in FIVE.items()}


def _iqr(population: str) -> pl.Expr:
    return (pl.col(f"{population}_q75") - pl.col(f"{population}_q25")).alias(f"{population}_iqr")


def _unfenced(
    profile: Profile, plan: Plan, statistics_of: OrderStatistics, counts_inside: CountsInside
) -> pl.DataFrame:
    """Counts, the figures of the successes, and the fence."""
    percentiles = {f"{LATENCY}_{percentile_name(quantile)}": quantile for quantile in plan.percentiles}
    table = count_table(profile)
    wanted = {**_five("success"), **percentiles}
    table = _quantiles(table, "num_timed_successes", wanted, statistics_of, successes=True)
    if plan.limits_ms:
        table = table.join(counts_below(profile, plan.limits_ms, counts_inside), on="code", how="left")
    fenced = "success"
    if plan.fence_over_failures:
        fenced = "all"
        quantiles_of_all = {f"all_{name}": quantile for name, quantile in FENCE_QUANTILES.items()}
        table = _quantiles(table, "num_invocations", quantiles_of_all, statistics_of, successes=False)
    limit = fence(plan.outliers, clipped_mean(fenced), pl.col(f"{fenced}_q25"), pl.col(f"{fenced}_q75"))
    return table.with_columns(clipped_mean("success"), _iqr("success"), limit.alias("outlier_fence"))


def _fenced(table: pl.DataFrame, plan: Plan, kept: Kept, statistics_of: OrderStatistics) -> pl.DataFrame:
    """The figures of the kept successes, which are the lowest of all successes."""
    table = table.join(kept_columns(kept), on="code", how="left")
    percentiles = {f"kept_{percentile_name(quantile)}": quantile for quantile in plan.kept_percentiles}
    wanted = {**_five("kept"), **percentiles}
    table = _quantiles(table, "num_kept", wanted, statistics_of, successes=True)
    removed = (pl.col("num_timed_successes") - pl.col("num_kept")).alias("outliers_removed")
    return table.with_columns(clipped_mean("kept"), _iqr("kept"), removed)


def _statistics(profile: Profile, plan: Plan, table: pl.DataFrame, histogram: pl.DataFrame) -> Statistics:
    keys = key_names(plan.key)
    named = profile.keys.join(table, on="code", how="left", maintain_order="left")
    binned = profile.keys.join(histogram, on="code").select(*keys, "latency_ms", "count")
    return Statistics(
        table=named.drop("code"),
        histogram=binned.sort([*keys, "latency_ms"], nulls_last=True),
        profile=profile,
        relative_error=0.0,
    )
