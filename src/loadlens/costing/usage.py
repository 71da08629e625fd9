"""What the calls of each configuration used: durations, bytes, failures, cold starts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Unpack

import polars as pl

from loadlens.analysis.shared import key_columns, num_errors, with_numeric_keys
from loadlens.errors import InputError, UsageError
from loadlens.keywords import columns_of
from loadlens.profile import (
    Execution,
    Plan,
    Profile,
    Statistics,
    key_names,
    measure,
    on_good_rows,
    percentile_name,
    success_of,
)
from loadlens.profile.buckets import FAILED_BUCKET, NULL_BUCKET
from loadlens.profile.rounding import settled
from loadlens.schema import LATENCY, MAX_LATENCY_MS
from loadlens.sources import Log, reading
from loadlens.sources.wording import counted

__all__ = ["FIGURES", "MEMORY", "Usage", "usage_from", "usage_of"]

MEMORY: Final = "memory_size"
_MEASURED: Final = ("billed_duration", "init_duration", "request_size")
"""Columns beside the canonical ones that a cost may be made of; ms, ms and bytes."""

_MOST: Final = {"billed_duration": MAX_LATENCY_MS, "init_duration": MAX_LATENCY_MS, "request_size": 2.0**53}
_EMPTY: Final = {
    "billed_sum": pl.Float64,
    "billed_count": pl.Int64,
    "cold_billed_sum": pl.Float64,
    "cold_billed_count": pl.Int64,
    "failed_billed_sum": pl.Float64,
    "failed_billed_count": pl.Int64,
    "init_sum": pl.Float64,
    "cold_starts": pl.Int64,
    "request_size": pl.Float64,
}

FIGURES: Final = frozenset(
    {
        *_EMPTY,
        *("option", "prices", "num_rows", "num_successes", "num_errors", "latency_ms", "mean_ms"),
        *("response_size", "failed_ms_sum", "failed_count", "failed_ms", "failures_priced", "cold_ms"),
        *("price_per_ms", "duration_basis", "billed_ms", "failures_without_duration"),
        *("call_cost_per_1M", "cold_start_cost_per_1M", "failure_cost_per_1M"),
        *("cost_per_invocation", "cost_per_1M_invocations"),
    }
)
"""Columns of usages and costs, which no key may be called."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What calls used, whatever it costs.

    Attributes:
        by: the key columns, ``memory_size`` (MB) among them.
        percentile: the quantile of ``latency_ms``.
        table: the key columns; ``num_rows``, ``num_successes``, ``num_errors``; ``latency_ms``, the
            percentile of all successes; ``mean_ms`` of all successes; of the
            successes ``response_size`` and ``request_size`` (mean bytes), ``billed_sum`` (ms) and
            ``billed_count`` where the log tells billed durations, the same with ``cold_`` for its cold
            starts, ``init_sum`` (ms) and ``cold_starts``; of the failures ``failed_billed_sum`` and
            ``_count``, ``failed_ms_sum`` and ``failed_count``, which are those with a latency, throttled
            calls left out. What the log does not tell is null.
        relative_error: bound of the relative error of latencies; 0 for exact figures.
    """

    by: tuple[str, ...]
    percentile: float
    table: pl.DataFrame
    relative_error: float = 0.0


def usage_of(
    log: Log,
    by: Sequence[str] = (MEMORY,),
    *,
    percentile: float = 0.95,
    request_size: float | None = None,
    **execution: Unpack[Execution],
) -> Usage:
    """Measures what each configuration used.

    The log is measured as for a summary; where it tells billed durations, cold starts or request sizes,
    one more scan sums these up.

    Args:
        log: the log.
        by: the key columns.
        percentile: which latency to report, 0 to 1.
        request_size: mean bytes of a request, for a log that does not tell sizes.
        **execution: how to measure; see ``Execution``.

    Raises:
        InputError: the log cannot be read, lacks a key column, or holds a duration that is none.
        UsageError: ``by`` lacks ``memory_size``, which prices go by, or names a column twice or a figure.
    """
    key = columns_of(by)
    if MEMORY not in key or len(set(key)) < len(key):
        raise UsageError(f"by: got {', '.join(key) or 'nothing'}, expected each column once and {MEMORY}")
    if taken := sorted(FIGURES.intersection(key)):
        raise UsageError(f"by names {', '.join(taken)}, which names a figure; name configuration columns")
    log.require((*key, LATENCY), "the cost of calls")
    success = success_of(log.columns)
    plan = Plan(
        key=key,
        success=success,
        percentiles=(percentile,),
        response_sizes="response_size" in log.columns,
    )
    return usage_from(log, plan, measure(log, plan, **execution), request_size=request_size)


def usage_from(log: Log, plan: Plan, statistics: Statistics, *, request_size: float | None = None) -> Usage:
    """What each configuration used, of a log that is measured already.

    Args:
        log: the log; scanned once more where it tells billed durations, cold starts or request sizes.
        plan: what it was measured by: ``memory_size`` is in its key, the first
            percentile is the one to report, and response sizes are summed up where bytes are paid for.
        statistics: what was measured.
        request_size: mean bytes of a request, for a log that does not tell sizes.

    Raises:
        InputError: the log holds a duration that is none.
    """
    key, percentile = plan.key, plan.percentiles[0]
    table = _joined(statistics.table, _failed(statistics.profile), key)
    told = [name for name in _MEASURED if name in log.columns]
    if told or "cold_start" in log.columns:
        found = on_good_rows(log, lambda rows: _told(rows, key, plan.success, told))
        table = _joined(table, found, key)
    else:
        table = table.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in _EMPTY.items())
    numeric = with_numeric_keys(replace(statistics, table=table), key).table
    latency = pl.col(f"{LATENCY}_{percentile_name(percentile)}").alias("latency_ms")
    figures = numeric.select(*key_columns(key), latency, *_figures(request_size))
    return Usage(by=key, percentile=percentile, table=figures, relative_error=statistics.relative_error)


def _figures(request_size: float | None) -> list[pl.Expr]:
    """The columns of a usage table after the key and the latency."""
    mean_size = pl.col("response_size_sum") / pl.col("response_size_count")
    return [
        pl.col("num_rows"),
        pl.col("num_successes"),
        num_errors(),
        pl.col("success_mean").alias("mean_ms"),
        mean_size.fill_nan(None).alias("response_size"),
        *[pl.col(name) for name in _EMPTY if name != "request_size"],
        pl.coalesce("request_size", pl.lit(request_size, dtype=pl.Float64)),
        pl.col("failed_ms_sum").fill_null(0.0),
        pl.col("failed_count").fill_null(0),
    ]


def _joined(table: pl.DataFrame, more: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    return table.join(more, on=key_names(key), how="left", nulls_equal=True, maintain_order="left")


def _failed(profile: Profile) -> pl.DataFrame:
    """Latencies of the failed calls that have one; a throttled call never ran."""
    ran = ~pl.col("success") & ~pl.col("bucket").is_in([FAILED_BUCKET, NULL_BUCKET])
    if "throttle_exception" in profile.buckets.columns:
        ran &= pl.col("throttle_exception").fill_null(0) == 0
    sums = profile.buckets.filter(ran).group_by("code")
    totals = sums.agg(
        settled(pl.col("latency_sum").sum()).alias("failed_ms_sum"),
        pl.col("count").sum().alias("failed_count"),
    )
    return profile.keys.join(totals, on="code").drop("code")


def _told(log: Log, key: Sequence[str], success: pl.Expr, told: Sequence[str]) -> pl.DataFrame:
    """What the log tells beside latencies, by key."""
    named = [pl.col(name).alias(internal) for name, internal in zip(key, key_names(key), strict=True)]
    with reading(log):
        schema = log.frame.collect_schema()
        rows = log.frame.select(
            *named,
            success.fill_null(value=False).alias("success"),
            *[pl.col(name).cast(pl.Float64, strict=False) for name in told],
            *[_is_bad(name).alias(f"bad_{name}") for name in told],
            _cold(schema).alias("cold"),
        )
        sums = rows.group_by(key_names(key)).agg(
            *_sums(told), *[pl.col(f"bad_{name}").sum() for name in told]
        )
        found = sums.collect(engine="streaming")
    _refuse_bad(found, told, log.name)
    return found.select(*key_names(key), *[_column(found, name, dtype) for name, dtype in _EMPTY.items()])


def _column(found: pl.DataFrame, name: str, dtype: type[pl.DataType]) -> pl.Expr:
    value = (pl.col(name) if name in found.columns else pl.lit(None)).cast(dtype)
    return (settled(value) if dtype == pl.Float64 else value).alias(name)


def _is_bad(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Float64, strict=False)
    ordinary = number.is_between(0, _MOST[name], closed="left").fill_null(value=False)
    return pl.col(name).is_not_null() & ~ordinary


def _cold(schema: pl.Schema) -> pl.Expr:
    """Whether a call met a new environment; null where the log does not tell."""
    if "cold_start" not in schema:
        return pl.lit(None, dtype=pl.Boolean)
    if schema["cold_start"] == pl.String:
        return pl.col("cold_start").str.strip_chars().str.to_lowercase().is_in(["true", "1"])
    return pl.col("cold_start").cast(pl.Boolean)


def _sums(told: Sequence[str]) -> list[pl.Expr]:
    success, cold = pl.col("success"), pl.col("cold").fill_null(value=False)
    some = pl.col("cold").is_not_null().any()
    found = [pl.when(some).then((success & cold).sum()).alias("cold_starts")]
    if "billed_duration" in told:
        billed = pl.col("billed_duration")
        wanted = {"": success, "cold_": success & cold, "failed_": ~success}
        for name, rows in wanted.items():
            found += [
                billed.filter(rows).sum().alias(f"{name}billed_sum"),
                billed.filter(rows).count().alias(f"{name}billed_count"),
            ]
    if "init_duration" in told:
        found.append(pl.col("init_duration").filter(success).sum().alias("init_sum"))
    if "request_size" in told:
        found.append(pl.col("request_size").filter(success).mean().alias("request_size"))
    return found


def _refuse_bad(found: pl.DataFrame, told: Sequence[str], name: str) -> None:
    problems = [
        f"{name}: {counted(bad, 'row has', 'rows have')} a {column} that is no number of 0 or more"
        for column in told
        if (bad := int(found[f"bad_{column}"].sum()))
    ]
    if problems:
        raise InputError(*problems)
