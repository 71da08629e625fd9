"""From a log and a plan to statistics: a profile, and exact figures from a second look."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar, Unpack

import polars as pl

from loadlens.errors import InputError
from loadlens.profile.attainment import CountsInside, counts_below, inside_by_middle, inside_by_scan
from loadlens.profile.buckets import RELATIVE_ERROR
from loadlens.profile.candidates import candidate_rows
from loadlens.profile.distributed import counted_by_workers
from loadlens.profile.exact import OrderedCounts, order_statistics
from loadlens.profile.fence import Kept, counts_in_tail, fence, kept_by_bucket, kept_exactly
from loadlens.profile.histogram import kept_histogram
from loadlens.profile.limits import Limits
from loadlens.profile.passes import UnusableRowsError
from loadlens.profile.plan import Execution, Plan, Statistics, percentile_name, runs_here
from loadlens.profile.profile import HugeSizesError, Profile, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.quantiles import OrderStatistics, middle_of_buckets, quantile_ranks, quantiles
from loadlens.profile.row_warnings import row_warnings
from loadlens.profile.rows import Look
from loadlens.profile.saved import merged_profile, refuse_impossible
from loadlens.profile.scan import Counted, Scan, counted
from loadlens.profile.table import (
    FENCE_QUANTILES,
    FIVE,
    clipped_mean,
    count_table,
    kept_columns,
    with_throughput,
)
from loadlens.schema import LATENCY
from loadlens.sources.log import Log, reading
from loadlens.sources.saved import joint_findings, lost_warning
from loadlens.sources.storage.stamps import refuse_changed

__all__ = ["measure", "on_good_rows", "scanning"]


def measure(log: Log, plan: Plan, **execution: Unpack[Execution]) -> Statistics:
    """Measures ``log`` as ``plan`` says.

    Args:
        log: the log; it is scanned several times.
        plan: what to measure.
        **execution: how to do so.

    Raises:
        InputError: the log has no rows, or more that break a rule than may be rejected, or cannot be read, or
            needs more memory than allowed.
        UsageError: the memory limit is too small to work with.
    """
    log.refuse_odd_keys(plan.key)
    statistics = (
        _of_profiles(log, plan, execution)
        if log.saved
        else on_good_rows(log, lambda rows: _of_rows(rows, plan, execution))
    )
    profile = statistics.profile
    log.findings.of_rows, log.findings.units = (
        row_warnings(profile, log),
        profile.units.sentence(profile.resolution_s),
    )
    return statistics


Result = TypeVar("Result")


def on_good_rows(log: Log, run: Callable[[Log], Result]) -> Result:
    """What ``run`` makes of a log; rows that break a rule are set aside first, where it meets any.

    Good logs pay nothing: they are looked at row by row only after a scan has met a row that is broken.

    Args:
        log: the log.
        run: looks at its rows, once or more often.

    Raises:
        InputError: more rows break a rule than may be rejected, or the log changed while it was read.
    """
    if not (log.is_sifted or log.must_be_sifted or log.findings.aside):
        try:
            return run(log)
        except UnusableRowsError:
            refuse_changed(log.files)
    try:
        with reading(log):
            sifted = log.sifted()
        return run(sifted)
    except UnusableRowsError as error:
        raise InputError(f"{log.name}: changed while it was read") from error


def _of_rows(log: Log, plan: Plan, execution: Execution) -> Statistics:
    with scanning(log, plan, **execution) as scan, _counted(log, scan, execution) as found:
        if found.profile.buckets.is_empty():
            raise InputError(log.without_rows())
        if execution.get("exact", True):
            scan.tracker.stage("Fetching the latencies that decide")
            statistics = _exact(found, plan, scan.limits.candidates)
        else:
            statistics = _approximate(found.profile, plan)
        return replace(statistics, spilled_bytes=found.spilled_bytes)


def _of_profiles(log: Log, plan: Plan, execution: Execution) -> Statistics:
    """Statistics of saved profiles and of the logs beside them, which are counted in one pass."""
    refuse_impossible(log, plan, execution)
    beside = None
    if log.unsaved:
        log.unsaved.require((*plan.key, LATENCY))
        how: Execution = {**execution, "exact": False}
        beside = measure(log.unsaved, plan, **how)
        lost = lost_warning(log.unsaved.columns, plan.key)
        log.findings.become(joint_findings(log.saved, log.unsaved.findings, lost))
    with reading(log):
        try:
            profile = merged_profile(log.saved, plan.key, beside.profile if beside else None)
        except HugeSizesError as error:
            raise InputError(f"{log.name}, {error}") from error
        if not execution.get("heatmap", False):
            profile = replace(profile, heat=profile.heat.clear())
        statistics = _approximate(profile, plan)
    return replace(statistics, spilled_bytes=beside.spilled_bytes if beside else 0)


def _counted(log: Log, scan: Scan, execution: Execution) -> AbstractContextManager[Counted]:
    executor = execution.get("executor")
    if executor is None:
        return counted(log, scan)
    return nullcontext(counted_by_workers(log, scan, executor, execution))


@contextmanager
def scanning(log: Log, plan: Plan, **execution: Unpack[Execution]) -> Iterator[Scan]:
    """How to scan a log; what goes wrong while the context lasts says where in the log it does.

    Args:
        log: the log.
        plan: what is measured.
        **execution: how to do so.

    Raises:
        InputError: the log cannot be read, or needs more memory than allowed.
        UnusableRowsError: some row breaks a rule.
        UsageError: the memory limit is too small to work with.
    """
    log.refuse_copies(plan.key)
    limits = Limits.of(execution.get("memory_limit"))
    if execution.get("executor") is None:
        limits.refuse_huge_row_groups(log.files)
    tracker = Tracker(
        execution.get("on_progress"),
        rows_total=sum(file.rows for file in log.files) or None,
        bytes_total=sum(file.size for file in log.files),
        counts_rows=runs_here(execution.get("engine", "streaming")),
    )
    try:
        with reading(log):
            yield Scan(
                plan=plan,
                limits=limits,
                with_heat=execution.get("heatmap", False),
                spill_folder=execution.get("spill_folder"),
                engine=execution.get("engine", "streaming"),
                tracker=tracker,
            )
        log.refuse_copies(plan.key)  # of two formats, which the calls alone tell
    except HugeSizesError as error:
        raise InputError(f"{log.name}, {error}") from error
    except (InputError, UnusableRowsError) as error:
        if tracker.raised is not None:
            raise tracker.raised from error
        raise


def _exact(found: Counted, plan: Plan, most: int) -> Statistics:
    profile, look = found.profile, found.look
    some = candidate_rows(found, plan, most=most)
    statistics_of: OrderStatistics = (
        partial(order_statistics, look, profile.buckets, most_values=most)
        if some.latencies is None
        else some.latencies.order_statistics
    )
    counts_inside: CountsInside = (
        partial(inside_by_scan, look) if some.latencies is None else some.latencies.counts_inside
    )
    table = _unfenced(profile, plan, statistics_of, counts_inside)
    counts = partial(look, "counts_above") if some.tail is None else partial(counts_in_tail, some.tail)
    inside = kept_exactly(profile, table.select("code", "outlier_fence"), counts)
    return _statistics(profile, plan, table, inside=inside, statistics_of=statistics_of, look=look)


def _approximate(profile: Profile, plan: Plan) -> Statistics:
    statistics_of = partial(middle_of_buckets, OrderedCounts.of_buckets(profile.buckets))
    table = _unfenced(profile, plan, statistics_of, partial(inside_by_middle, profile))
    inside = kept_by_bucket(profile, table.select("code", "outlier_fence"))
    statistics = _statistics(profile, plan, table, inside=inside, statistics_of=statistics_of, look=None)
    return replace(statistics, relative_error=RELATIVE_ERROR)


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
    limit = fence(plan.fence, clipped_mean(fenced), pl.col(f"{fenced}_q25"), pl.col(f"{fenced}_q75"))
    return table.with_columns(clipped_mean("success"), _iqr("success"), limit.alias("outlier_fence"))


def _with_kept(table: pl.DataFrame, plan: Plan, kept: Kept, statistics_of: OrderStatistics) -> pl.DataFrame:
    """The figures of the kept successes, which are the lowest of all successes."""
    table = table.join(kept_columns(kept), on="code", how="left")
    percentiles = {f"kept_{percentile_name(quantile)}": quantile for quantile in plan.kept_percentiles}
    wanted = {**_five("kept"), **percentiles}
    table = _quantiles(table, "num_kept", wanted, statistics_of, successes=True)
    removed = (pl.col("num_timed_successes") - pl.col("num_kept")).alias("outliers_removed")
    return table.with_columns(clipped_mean("kept"), _iqr("kept"), removed)


def _with_outliers(table: pl.DataFrame, inside: Kept) -> pl.DataFrame:
    """The table with the successes above the fence, which is there whether or not it removes them."""
    counts = inside.table.select("code", pl.col("num_kept").alias("num_inside"))
    above = (pl.col("num_timed_successes") - pl.col("num_inside")).alias("outliers_above_fence")
    return table.join(counts, on="code", how="left").with_columns(above).drop("num_inside")


def _statistics(
    profile: Profile,
    plan: Plan,
    table: pl.DataFrame,
    *,
    inside: Kept,
    statistics_of: OrderStatistics,
    look: Look | None,
) -> Statistics:
    """Puts a table together with the figures of the kept calls: those ``inside`` the fence, or all."""
    table = _with_outliers(table, inside)
    removing = pl.col("outlier_fence") if plan.outliers != "none" else pl.lit(None, dtype=pl.Float64)
    limits = table.select("code", removing.alias("outlier_fence"))
    kept = inside if plan.outliers == plan.fence else kept_by_bucket(profile, limits)
    table = with_throughput(_with_kept(table, plan, kept, statistics_of), profile)
    histogram = kept_histogram(kept, table.drop("outlier_fence").join(limits, on="code"), look)
    keys = key_names(plan.key)
    named = profile.keys.join(table, on="code", how="left", maintain_order="left")
    binned = profile.keys.join(histogram, on="code").select(*keys, "latency_ms", "count")
    return Statistics(
        table=named.drop("code"),
        histogram=binned.sort([*keys, "latency_ms"], nulls_last=True),
        profile=profile,
        relative_error=0.0,
    )
