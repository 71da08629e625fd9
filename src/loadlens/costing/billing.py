"""Latencies as they are billed: those of each call rounded up to the step of a price table."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from loadlens.prices import PriceTable
from loadlens.profile.buckets import bucket_bounds
from loadlens.profile.rounding import settled

__all__ = [
    "BUILT_IN_STEPS_MS",
    "ROUNDING_ERROR",
    "billing_steps",
    "rounded_sums_of_cells",
    "step_column",
    "steps_of",
]

BUILT_IN_STEPS_MS: Final = (1.0,)
"""The billing steps of the price tables that come along."""

ROUNDING_ERROR: Final = 0.5
"""By how many steps a call's rounded duration may be off where a saved profile tells ranges alone."""

_CLOSE: Final = 1 - 2.0**-50  # a duration that is a multiple of the step but for its last bit is one


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
