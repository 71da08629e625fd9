"""What the calls of each configuration used, and latencies as they are billed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import polars as pl

from loadlens.cost.prices import PriceTable
from loadlens.engine import Question, ask, on_good_rows
from loadlens.errors import InputError, UsageError
from loadlens.keywords import columns_of
from loadlens.logs import Log, reading
from loadlens.messages import counted
from loadlens.profile import MeasureOptions, Plan, Profile, Statistics, key_names, percentile_name, success_of
from loadlens.profile.buckets import FAILED, bucket_bounds, settled
from loadlens.schema import LATENCY, MAX_LATENCY_MS
from loadlens.summaries.summary_columns import key_columns, num_errors, with_numeric_keys

__all__ = [
    "BUILT_IN_STEPS_MS",
    "FIGURES",
    "MEMORY",
    "ROUNDING_ERROR",
    "Usage",
    "billing_steps",
    "rounded_sums_of_cells",
    "step_column",
    "steps_of",
    "usage_from",
    "usage_of",
    "usage_question",
]


BUILT_IN_STEPS_MS: Final = (1.0,)
"""The billing steps of the price tables that come along."""

ROUNDING_ERROR: Final = 0.5
"""By how many steps a call's rounded duration may be off where a saved profile tells ranges alone."""

_CLOSE: Final = 1 - 2.0**-50  # a duration that is a multiple of the step but for its last bit is one

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
_DURATIONS: Final = {"timed_count": pl.Int64, "failed_ms_sum": pl.Float64, "failed_count": pl.Int64}

FIGURES: Final = frozenset(
    {
        *_EMPTY,
        *_DURATIONS,
        *("option", "prices", "num_rows", "num_successes", "num_errors", "latency_ms", "mean_ms"),
        *("response_size", "failed_ms", "failures_priced", "cold_ms"),
        *("price_per_ms", "duration_basis", "billed_ms", "failures_without_duration"),
        *("call_cost_per_1M", "cold_start_cost_per_1M", "failure_cost_per_1M"),
        *("cost_per_invocation", "cost_per_1M_invocations"),
    }
)
"""Columns of usages and costs, which no key may be called."""


def billing_steps(prices: Iterable[PriceTable]) -> tuple[float, ...]:
    """The steps in ms that price tables round durations up to, each once, ascending."""
    return tuple(sorted({table.billed_step_ms for table in prices if table.billed_step_ms}))


def step_column(population: str, step_ms: float) -> str:
    """The column of the summed durations (ms) of ``success`` or ``failed``, each rounded up to a step."""
    return f"{population}_ms_rounded_to:{step_ms!r}"


def steps_of(duration_ms: pl.Expr, step_ms: float) -> pl.Expr:
    """How many steps each duration is billed as: whole numbers, so that sums do not hang on their order."""
    return (duration_ms / step_ms * _CLOSE).ceil().cast(pl.Int64)


def rounded_sums_of_cells(cells: pl.DataFrame, population: str, steps_ms: Sequence[float]) -> pl.DataFrame:
    """Sums of rounded durations from counts by range of latency.

    The rounded durations of a cell lie between its sum and a step more for each call, and between what its
    lowest and its highest latency round to; the middle of both is off by at most half a step a call. A cell
    within one step, of one call, or of calls that all have its lowest latency is exact.

    Args:
        cells: ``code``, ``bucket``, ``count`` and ``latency_sum`` (ms), none of calls without a latency.
        population: what the columns are named after.
        steps_ms: the steps.

    Returns:
        ``code``, and for each step ``step_column``, in ms.
    """
    low, high = bucket_bounds(cells["bucket"].to_numpy())
    bounded = cells.with_columns(pl.Series("low", low), pl.Series("high", high))
    return bounded.group_by("code").agg(
        settled(_middle(step_ms).sum()).alias(step_column(population, step_ms)) for step_ms in steps_ms
    )


def _middle(step_ms: float) -> pl.Expr:
    count, total, low = pl.col("count"), pl.col("latency_sum"), pl.col("low")
    all_lowest = count * steps_of(low, step_ms) * step_ms
    least = pl.max_horizontal(total, all_lowest)
    most = pl.min_horizontal(total + count * step_ms, count * steps_of(pl.col("high"), step_ms) * step_ms)
    return (
        pl.when(count == 1)
        .then(steps_of(total, step_ms) * step_ms)
        .when(total <= count * low)
        .then(all_lowest)
        .otherwise((least + most) / 2)
    )


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
            calls left out. What the log does not tell is null. For each of ``steps_ms`` two columns besides,
            named by ``step_column``: the sums (ms) of the latencies of the successes, and of the durations
            of those failures, each call's rounded up to the step.
        steps_ms: the billing steps that durations were rounded up to.
        rounding_error: by how many steps the rounded duration of a call may be off; 0 for exact figures.
        relative_error: bound of the relative error of latencies; 0 for exact figures.
    """

    by: tuple[str, ...]
    percentile: float
    table: pl.DataFrame
    steps_ms: tuple[float, ...] = ()
    rounding_error: float = 0.0
    relative_error: float = 0.0


def usage_of(
    log: Log,
    by: Sequence[str] = (MEMORY,),
    *,
    steps_ms: Sequence[float] = BUILT_IN_STEPS_MS,
    percentile: float = 0.95,
    request_size: float | None = None,
    options: MeasureOptions = MeasureOptions(),
) -> Usage:
    """Measures what each configuration used; see ``usage_question``."""
    question = usage_question(log, by, steps_ms=steps_ms, percentile=percentile, request_size=request_size)
    return ask(log, question, options)


def usage_question(
    log: Log,
    by: Sequence[str],
    *,
    steps_ms: Sequence[float],
    percentile: float = 0.95,
    request_size: float | None = None,
) -> Question[Usage]:
    """Asks what each configuration used.

    The log is measured as for a summary. One more scan sums up what else a cost is made of, if anything:
    billed durations, cold starts and request sizes that the log tells, and latencies rounded up to the steps
    of the price tables. A saved profile is not scanned: it tells ranges of latencies, see ``rounding_error``.

    Args:
        log: the log.
        by: the key columns.
        steps_ms: the billing steps of the price tables; by default those of the built-in ones.
        percentile: which latency to report, 0 to 1.
        request_size: mean bytes of a request, for a log that does not tell sizes.

    Raises:
        InputError: the log lacks a key column; the answer: it holds a duration that is none.
        UsageError: ``by`` lacks ``memory_size``, which prices go by, or names a column twice or a figure.
    """
    key = columns_of(by)
    if MEMORY not in key:
        raise UsageError(f"by: got {', '.join(key) or 'nothing'}, expected {MEMORY} among them")
    if taken := sorted(FIGURES.intersection(key)):
        raise UsageError(f"by names {', '.join(taken)}, which names a figure; name configuration columns")
    log.require((*key, LATENCY), "the cost of calls")
    plan = Plan(
        key=key,
        success=success_of(log.columns),
        percentiles=(percentile,),
        response_sizes="response_size" in log.columns,
        histogram=False,
    )
    return Question(
        plan=plan,
        answer=partial(usage_from, log, plan, steps_ms=steps_ms, request_size=request_size),
    )


def usage_from(
    log: Log,
    plan: Plan,
    statistics: Statistics,
    *,
    steps_ms: Sequence[float] = (),
    request_size: float | None = None,
) -> Usage:
    """What each configuration used, of a log that is measured already.

    Args:
        log: the log; scanned once more where the statistics do not tell all, as in ``usage_of``.
        plan: what it was measured by: ``memory_size`` is in its key, the first
            percentile is the one to report, and response sizes are summed up where bytes are paid for.
        statistics: what was measured.
        steps_ms: the billing steps of the price tables.
        request_size: mean bytes of a request, for a log that does not tell sizes.

    Raises:
        InputError: the log holds a duration that is none.
    """
    key, percentile = plan.key, plan.percentiles[0]
    told = [name for name in (*_MEASURED, "cold_start") if name in log.columns]
    if not log.saved and (told or steps_ms):
        found = on_good_rows(
            log, lambda rows: _scanned(statistics.measured_rows(rows), key, plan.success, steps_ms)
        )
    else:
        found = _of_profile(statistics.profile, steps_ms)
    table = statistics.table.join(
        found, on=key_names(key), how="left", nulls_equal=True, maintain_order="left"
    )
    numeric = with_numeric_keys(replace(statistics, table=table), key).table
    latency = pl.col(f"{LATENCY}_{percentile_name(percentile)}").alias("latency_ms")
    figures = numeric.select(*key_columns(key), latency, *_figures(request_size, steps_ms))
    return Usage(
        by=key,
        percentile=percentile,
        table=figures,
        steps_ms=tuple(steps_ms),
        rounding_error=ROUNDING_ERROR if log.saved and steps_ms else 0.0,
        relative_error=statistics.relative_error,
    )


def _figures(request_size: float | None, steps_ms: Sequence[float]) -> list[pl.Expr]:
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
        pl.col("timed_count", "failed_ms_sum", "failed_count", *_rounded(steps_ms)).fill_null(0),
    ]


def _rounded(steps_ms: Sequence[float]) -> list[str]:
    return [step_column(population, step) for step in steps_ms for population in ("success", "failed")]


def _may_have_run(columns: Iterable[str]) -> pl.Expr:
    """The failed calls that were not throttled; a throttled call never ran."""
    failed = ~pl.col("success")
    return (
        failed & (pl.col("throttle_exception").fill_null(0) == 0)
        if "throttle_exception" in columns
        else failed
    )


def _of_profile(profile: Profile, steps_ms: Sequence[float]) -> pl.DataFrame:
    """By key, what the counts by range of latency tell of durations.

    Raises:
        InputError: the ranges are those of windows of time, too wide to tell what is billed.
    """
    if profile.window_s is not None:
        raise InputError(
            "a stretch of time of a saved profile tells latencies too roughly for a cost; slice the log that "
            "it is of, or price the whole profile"
        )
    timed = profile.bucket_sums.filter(pl.col("bucket") != FAILED)
    successes, failures = timed.filter("success"), timed.filter(~pl.col("success"))
    parts = [
        successes.group_by("code").agg(pl.col("count").sum().alias("timed_count")),
        failures.group_by("code").agg(
            settled(pl.col("latency_sum").sum()).alias("failed_ms_sum"),
            pl.col("count").sum().alias("failed_count"),
        ),
        rounded_sums_of_cells(successes, "success", steps_ms),
        rounded_sums_of_cells(failures, "failed", steps_ms),
    ]
    found = profile.keys
    for part in parts:
        found = found.join(part, on="code", how="left")
    return found.drop("code").with_columns(_columns(found, _EMPTY))


def _scanned(log: Log, key: Sequence[str], success: pl.Expr, steps_ms: Sequence[float]) -> pl.DataFrame:
    """By key, what the rows tell beside latencies, and each call's duration rounded up."""
    named = [pl.col(name).alias(internal) for name, internal in zip(key, key_names(key), strict=True)]
    told = [name for name in _MEASURED if name in log.columns]
    with reading(log):
        schema = log.frame.collect_schema()
        rows = log.frame.select(
            *named,
            success.fill_null(value=False).alias("success"),
            *[pl.col(name).cast(pl.Float64, strict=False) for name in told],
            *[_is_bad(name).alias(f"bad_{name}") for name in told],
            _cold(schema).alias("cold"),
            *[pl.col(name) for name in ("throttle_exception",) if name in schema],
            pl.when(pl.col(LATENCY) >= 0).then(pl.col(LATENCY)).alias("duration"),
        )
        sums = rows.group_by(key_names(key)).agg(
            *_sums(told),
            *_durations(rows.collect_schema().names(), steps_ms),
            *[pl.col(f"bad_{name}").sum() for name in told],
        )
        found = sums.collect(engine="streaming")
    _refuse_bad(found, told, log.name)
    return found.select(*key_names(key), *_columns(found, {**_EMPTY, **_DURATIONS}), *_rounded(steps_ms))


def _durations(columns: Iterable[str], steps_ms: Sequence[float]) -> list[pl.Expr]:
    duration = pl.col("duration")
    populations = {"success": pl.col("success"), "failed": _may_have_run(columns)}
    return [
        duration.filter(populations["success"]).count().alias("timed_count"),
        duration.filter(populations["failed"]).sum().alias("failed_ms_sum"),
        duration.filter(populations["failed"]).count().alias("failed_count"),
        *[
            (steps_of(duration.filter(rows), step).sum() * step).alias(step_column(population, step))
            for step in steps_ms
            for population, rows in populations.items()
        ],
    ]


def _columns(found: pl.DataFrame, dtypes: Mapping[str, type[pl.DataType]]) -> list[pl.Expr]:
    """Columns of these types, null where nothing tells them, and sums of floats without their last digits."""
    return [_column(found, name, dtype) for name, dtype in dtypes.items()]


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
