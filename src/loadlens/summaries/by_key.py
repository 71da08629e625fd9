"""The same figures by any configuration columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from loadlens.engine import Question, ask
from loadlens.errors import UsageError
from loadlens.keywords import columns_of
from loadlens.logs import Log, Reading, Source, open_log
from loadlens.profile import (
    DEFAULT_PERCENTILES,
    MeasureOptions,
    Outliers,
    Plan,
    Profile,
    Statistics,
    key_names,
    percentile_name,
    success_of,
)
from loadlens.profile.measures import measures_of
from loadlens.schema import LATENCY
from loadlens.summaries.apdex import Apdex, apdex_limits, apdex_scores, total_apdex
from loadlens.summaries.coordinated_omission import (
    AUTO,
    corrected_percentiles,
    refuse_without_workers,
    worker_intervals,
)
from loadlens.summaries.details import Details
from loadlens.summaries.summary_columns import (
    TPS_COLUMNS,
    InvocationStatistics,
    checked_percentiles,
    common,
    error_classes,
    error_rate,
    extras,
    key_columns,
    num_errors,
    total_plan,
    with_numeric_keys,
)

__all__ = ["SummaryStatistics", "checked_key", "summary_question", "summary_statistics"]


_TAKEN = frozenset(
    {
        "apdex",
        "density",
        "end_time",
        "error_rate",
        "latency_ms",
        "num_errors",
        "num_invocations",
        "num_rows",
        "num_successes",
        "outlier_fence",
        "outliers_above_fence",
        "outliers_removed",
        "quantile",
        "start_time",
        "throughput",
    }
)
"""Columns of the results beside the latencies and TPS, which no key may be called."""

_TAKEN_IN_DETAIL = frozenset(
    {
        *("active_calls", "bytes_per_s", "covered_s", "errors", "window_s", "window_start_s"),
        *("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"),
        *("calls", "count", "error", "first_start_s", "last_end_s", "num_timed", "share"),
        *("latency_min_ms", "latency_mean_ms", "latency_median_ms", "latency_p99_ms", "latency_max_ms"),
        *("frustrated", "rating", "satisfied", "target_ms", "tolerating"),
        *("added", "corrected_high_ms", "corrected_low_ms", "corrected_ms", "expected_interval_ms"),
        *("mean_ms", "measure", "part", "throughput_high"),
    }
)
"""Those of its further tables, such as the timeline, where these are written."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SummaryStatistics(InvocationStatistics):
    """Result of a summary by any key.

    Attributes:
        by: the key columns.
        summary: the key columns, ``num_invocations`` (calls with a latency, -1 included, and successes
            without one), ``num_errors``, ``error_rate`` (0 to 1, of all rows),
            ``invocation_latency_min``, ``_mean``, ``_median``, ``_max``, ``_iqr`` of the kept successes
            (ms), the five ``tps_`` columns (per s), then the extras of every summary, then the calls of
            each error class as ``error_<class>`` where the log tells classes, then ``apdex`` (0 to 1) where
            it was asked for.
        apdex: scores of each key; see ``apdex_scores``. None where they were not asked for.
        corrected: percentiles beside those that are corrected for coordinated omission; see
            ``corrected_percentiles``. None where they were not asked for.
    """

    by: tuple[str, ...]
    apdex: pl.DataFrame | None = None
    corrected: pl.DataFrame | None = None


def summary_statistics(
    source: Source,
    by: str | Sequence[str] | None = None,
    *,
    outliers: Outliers = "none",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    details: Details,
    options: MeasureOptions,
) -> SummaryStatistics:
    """Summarises a log; see ``summary_question``."""
    key = None if by is None else checked_key(by)
    reading = Reading().measuring(details.further_columns)
    log = open_log(source, required=(*(key or ()), LATENCY), reading=reading)
    key = log.key if key is None else key
    question = summary_question(log, key, outliers=outliers, percentiles=percentiles, details=details)
    return ask(log, question, options)


def summary_question(
    log: Log,
    by: Sequence[str],
    *,
    outliers: Outliers,
    percentiles: Sequence[float],
    details: Details,
) -> Question[SummaryStatistics]:
    """Asks for the figures of a log by the columns ``by``; by none, as a whole.

    A call is a success when the log's ``success`` says so or, without that column, when its latency is
    above 0. Nothing is filtered unless a fence is asked for; the fence is taken over all rows as logged.

    Raises:
        InputError: the log does not have what ``details`` ask for.
        UsageError: ``by`` names a column twice, or one that is measured and not configured.
    """
    plan = Plan(
        key=checked_key(by),
        success=success_of(log.columns),
        outliers=outliers,
        counts_outliers=True,
        percentiles=checked_percentiles(percentiles),
        limits_ms=apdex_limits(details.apdex),
        bounds=details.apdex is not None,
        failures=details.failures,
        measures=measures_of(log, details.measures),
    )
    if details.apdex:
        details.apdex.check(plan.key)
    if details.expected_interval == AUTO:
        refuse_without_workers(log)
    further = (total_plan(plan),) if details.totals else ()
    return Question(plan=plan, further=further, answer=partial(_summary, log, plan, details))


def _summary(
    log: Log, plan: Plan, details: Details, found: Statistics, *whole: Statistics
) -> SummaryStatistics:
    summary = _by_key(plan, found)
    totals = [_by_key(total_plan(plan), one).summary for one in whole]
    summary = replace(summary, total=totals[0]) if totals else summary
    if details.apdex:
        summary = _with_apdex(summary, plan, details.apdex, found)
    if details.expected_interval is None:
        return summary
    intervals = _intervals(log, plan.key, details.expected_interval, found.profile)
    return replace(summary, corrected=_corrected(intervals, plan, found))


def _intervals(log: Log, key: Sequence[str], interval: float | str, profile: Profile) -> pl.DataFrame:
    """``code`` of each key and ``interval_ms``, the expected interval; null for none."""
    codes, names = profile.keys.select("code"), key_names(key)
    if interval != AUTO:
        return codes.with_columns(interval_ms=pl.lit(interval, dtype=pl.Float64))
    known = worker_intervals(log, key, int(profile.figures["calls"].sum()))
    if not names:
        return codes.with_columns(interval_ms=pl.lit(known["interval_ms"].first(), dtype=pl.Float64))
    return profile.keys.join(known, on=names, how="left", nulls_equal=True).select("code", "interval_ms")


def _corrected(intervals: pl.DataFrame, plan: Plan, found: Statistics) -> pl.DataFrame:
    """Percentiles that are corrected for coordinated omission."""
    statistics = with_numeric_keys(found, plan.key)
    quantiles = {0.5: "success_median", **{q: f"{LATENCY}_{percentile_name(q)}" for q in plan.percentiles}}
    own = statistics.profile.keys.join(intervals, on="code", how="left", maintain_order="left")
    return corrected_percentiles(
        statistics.profile,
        own["interval_ms"].to_list(),
        statistics.table.select(pl.col(name).alias(f"q{q}") for q, name in quantiles.items()),
        tuple(quantiles),
    )


def _with_apdex(summary: SummaryStatistics, plan: Plan, apdex: Apdex, found: Statistics) -> SummaryStatistics:
    """The same with scores, which its tables have as a last column too."""
    scores = apdex_scores(with_numeric_keys(found, plan.key).table, plan, apdex)
    total = summary.total
    return replace(
        summary,
        summary=summary.summary.with_columns(scores["apdex"]),
        total=None if total is None else total.with_columns(total_apdex(scores)),
        apdex=scores,
    )


def _by_key(plan: Plan, found: Statistics) -> SummaryStatistics:
    key = plan.key
    statistics = with_numeric_keys(found, key)
    classes = error_classes(statistics)
    table = (
        statistics.table.join(classes, on=key_names(key), how="left", nulls_equal=True, maintain_order="left")
        if key
        else pl.concat([statistics.table, classes], how="horizontal")
    )
    figures = [
        pl.col(f"kept_{name}").alias(f"{LATENCY}_{name}") for name in ("min", "mean", "median", "max", "iqr")
    ]
    return SummaryStatistics(
        by=key,
        summary=table.select(
            *key_columns(key),
            (pl.col("num_invocations") + pl.col("num_successes") - pl.col("num_timed_successes")).alias(
                "num_invocations"
            ),
            num_errors(),
            error_rate(),
            *figures,
            *TPS_COLUMNS,
            *extras(plan, with_error_rate=False),
            *[name for name in classes.columns if not name.startswith("key:")],
        ),
        **common(statistics, plan),
    )


def checked_key(by: str | Sequence[str], *, in_detail: bool = False) -> tuple[str, ...]:
    """The key columns of a summary.

    Args:
        by: their names.
        in_detail: whether all of its tables are written.

    Raises:
        UsageError: ``by`` names a column twice, or one that is measured and not configured.
    """
    key = columns_of(by)
    taken = _TAKEN | _TAKEN_IN_DETAIL if in_detail else _TAKEN
    measured = sorted(name for name in key if name in taken or name.startswith((LATENCY, "tps_")))
    if measured:
        raise UsageError(f"by names {', '.join(measured)}, which names a figure; name configuration columns")
    return key
