"""What a call of each configuration costs, from the invocation log alone."""

from collections.abc import Collection, Iterable
from typing import Final

import polars as pl

from loadlens.cost.prices import PriceTable
from loadlens.cost.usage import MEMORY, Usage, step_column
from loadlens.errors import PriceError, UsageError

__all__ = ["BILLED", "MEAN_LATENCY", "configuration_costs", "priced_text", "require_memory_prices"]

BILLED: Final = "billed duration"
MEAN_LATENCY: Final = "mean latency"

_MS_PER_SECOND: Final = 1000
_MILLION: Final = 1e6


def configuration_costs(usage: Usage, prices: PriceTable) -> pl.DataFrame:
    """Prices the calls of each configuration.

    Everything is per successful call: what a warm call costs, what cold starts add, what failures add, and
    the three together.

    - A call is billed the mean billed duration where the log tells one, else the mean of the latencies,
      each rounded up to the table's step.
    - Cold starts add what they were billed beyond warm calls; without billed durations, their init
      durations where the table bills these; null where the log tells neither.
    - Failures add their billed durations, else their latencies; a throttled call or one without a duration
      adds nothing and ``failures_without_duration`` counts it.

    Args:
        usage: what the calls used.
        prices: a table that prices memory.

    Returns:
        ``prices`` (the table), the key columns, ``num_rows``, ``num_successes``, ``num_errors``,
        ``latency_ms`` (the percentile of ``usage``), ``duration_basis``, ``billed_ms`` of a warm call,
        ``cold_starts``, ``failures_without_duration``; then in the currency of the table
        ``call_cost_per_1M``, ``cold_start_cost_per_1M``, ``failure_cost_per_1M``, ``cost_per_invocation``
        and ``cost_per_1M_invocations``. Costs are null without a successful call.

    Raises:
        PriceError: the table lacks a memory size, or prices instances alone.
        UsageError: the usage was measured without this table's billing step.
    """
    require_memory_prices(prices)
    if prices.billed_step_ms not in {0.0, *usage.steps_ms}:
        step = f"{prices.billed_step_ms:g} ms"
        raise UsageError(f"{prices.path}: the usage was not measured for its step of {step}; see usage_of")
    table = _durations(usage.table, prices)
    per_ms, calls = pl.col("price_per_ms"), pl.col("num_successes")
    size = pl.col("request_size").fill_null(0) + pl.col("response_size").fill_null(0)
    call = per_ms * pl.col("billed_ms") + prices.price_per_request + size * prices.price_per_byte
    failures = per_ms * pl.col("failed_ms") + prices.price_per_request * pl.col("failures_priced")
    parts = {
        "call_cost_per_1M": call,
        "cold_start_cost_per_1M": per_ms * pl.col("cold_ms"),
        "failure_cost_per_1M": pl.when(calls > 0).then(failures / calls),
    }
    costs = table.with_columns((part * _MILLION).alias(name) for name, part in parts.items())
    per_million = (
        pl.col("call_cost_per_1M")
        + pl.col("cold_start_cost_per_1M").fill_null(0)
        + pl.col("failure_cost_per_1M").fill_null(0)
    )
    return costs.select(
        pl.lit(prices.short_name).alias("prices"),
        *usage.by,
        *("num_rows", "num_successes", "num_errors", "latency_ms", "duration_basis", "billed_ms"),
        "cold_starts",
        (pl.col("num_errors") - pl.col("failures_priced")).alias("failures_without_duration"),
        *parts,
        (per_million / _MILLION).alias("cost_per_invocation"),
        per_million.alias("cost_per_1M_invocations"),
    )


def priced_text(
    bases: Collection[str | None], prices: Iterable[PriceTable], *, rounding_error: float = 0.0
) -> str:
    """What a call was billed, in sentences.

    Args:
        bases: the ``duration_basis`` of the configurations.
        prices: the tables.
        rounding_error: see ``Usage``.
    """
    parts = []
    if BILLED in bases:
        parts.append(
            "The mean billed duration of the successful calls that have one; of the warm ones where cold "
            "starts are told."
        )
    if MEAN_LATENCY in bases:
        where = "Where no billed duration is told, the" if parts else "The"
        parts.append(f"{where} mean latency of all successful calls{_as_rounded(prices)}.")
        if rounding_error:
            parts.append(
                f"A saved profile tells ranges of latencies: a call's is rounded up to within "
                f"{rounding_error:g} of a step."
            )
        parts.append(
            "A latency seen by a client includes the network, which is not billed, so that this is rather "
            "too much."
        )
    return " ".join(parts)


def _as_rounded(prices: Iterable[PriceTable]) -> str:
    tables = [table for table in prices if table.kind != "instances"]
    steps = {table.short_name: table.billed_step_ms for table in tables}
    if not any(steps.values()):
        return ""
    if len(set(steps.values())) == 1:
        return f", each rounded up to {tables[0].billed_step_ms:g} ms"
    texts = [
        f"each rounded up to {step:g} ms for {name}" if step else f"as logged for {name}"
        for name, step in steps.items()
    ]
    return f": {', '.join(texts)}"


def require_memory_prices(prices: PriceTable) -> None:
    """Raises a PriceError for a table that prices instances alone."""
    if prices.kind == "instances":
        raise PriceError(f"{prices.path}: prices instances, not memory; pass a serverless table")


def _durations(table: pl.DataFrame, prices: PriceTable) -> pl.DataFrame:
    """Adds what is billed, in ms: of a warm call, more of cold starts, and of all failures."""
    step_ms = prices.billed_step_ms
    per_ms = {size: prices.price_of_second(size) / _MS_PER_SECOND for size in _sizes(table)}
    told = pl.col("billed_count") > 0
    warm = _mean(
        pl.col("billed_sum") - pl.col("cold_billed_sum"), pl.col("billed_count") - pl.col("cold_billed_count")
    )
    everything = _mean(pl.col("billed_sum"), pl.col("billed_count"))
    split = told & pl.col("cold_starts").is_not_null() & warm.is_not_null()
    init = _mean(pl.col("init_sum"), pl.col("num_successes")) if prices.bills_init else pl.lit(None)
    failures_told = pl.col("billed_count").is_not_null() & (told | (pl.col("failed_billed_count") > 0))
    return table.with_columns(
        pl.col(MEMORY).replace_strict(per_ms, return_dtype=pl.Float64).alias("price_per_ms"),
        pl.when(told).then(pl.lit(BILLED)).otherwise(pl.lit(MEAN_LATENCY)).alias("duration_basis"),
        pl.when(split)
        .then(warm)
        .when(told)
        .then(everything)
        .otherwise(_mean_duration(step_ms))
        .alias("billed_ms"),
        pl.when(split).then(everything - warm).when(~told.fill_null(value=False)).then(init).alias("cold_ms"),
        pl.when(failures_told)
        .then(pl.col("failed_billed_sum"))
        .otherwise(pl.col(step_column("failed", step_ms) if step_ms else "failed_ms_sum"))
        .alias("failed_ms"),
        pl.when(failures_told)
        .then(pl.col("failed_billed_count"))
        .otherwise(pl.col("failed_count"))
        .alias("failures_priced"),
    )


def _sizes(table: pl.DataFrame) -> list[int]:
    sizes = table[MEMORY]
    if not sizes.dtype.is_integer() or sizes.null_count():
        wrong = next((str(size) for size in sizes if not isinstance(size, int)), "nothing")
        raise PriceError(f"{MEMORY}: got {wrong}, expected a whole number of MB, which prices go by")
    return sorted(set(sizes.to_list()))


def _mean(total: pl.Expr, count: pl.Expr) -> pl.Expr:
    return pl.when(count > 0).then(total / count)


def _mean_duration(step_ms: float) -> pl.Expr:
    """The mean latency of the successes, each rounded up to the step; plain where there is no step."""
    if not step_ms:
        return pl.col("mean_ms")
    return _mean(pl.col(step_column("success", step_ms)), pl.col("timed_count"))
