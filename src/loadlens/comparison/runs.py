"""One run of a comparison: its exact figures by key, and their confidence intervals.

Every figure of a run gets an interval of its own that need not be symmetric; two of them combine into the
interval of the difference by adding the squares of the distances between figure and limit. For shares that
is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10); Zou and Donner (Statistics
in Medicine 27, 2008) show that it holds for any two independent figures. For means it is Welch's interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.cost import MEMORY, Usage, billing_steps, usage_from
from loadlens.cost.prices import PriceTable
from loadlens.engine import Question
from loadlens.errors import UsageError
from loadlens.logs import Findings, Log
from loadlens.profile import Plan, Statistics, key_names, percentile_name, success_of
from loadlens.profile.buckets import FAILED, bucket_bounds, settled
from loadlens.schema import LATENCY
from loadlens.summaries.summary_columns import (
    error_rate,
    key_columns,
    num_errors,
    seconds_without_completion,
    with_numeric_keys,
)
from loadlens.text.common_types import common_type, numeric_casts, with_types

__all__ = [
    "FEWEST_BEYOND",
    "FEWEST_FOR_MEAN",
    "PERCENTILES",
    "Estimate",
    "Floats",
    "Run",
    "difference_limits",
    "mean_estimate",
    "percentile_ranks",
    "run_question",
    "share_estimate",
    "with_common_types",
]


Floats = NDArray[np.float64]

FEWEST_FOR_MEAN = 100
"""Latencies that the interval of a mean takes at least."""

FEWEST_BEYOND = 30
"""Latencies that are expected above, and below, a percentile with an interval: p99 takes 3,000."""

PERCENTILES: Final = {percentile_name(quantile): quantile for quantile in (0.5, 0.9, 0.95, 0.99)}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure of many keys with its limits; a limit is infinite where the data set none.

    Attributes:
        value: the figures; NaN where there is none.
        low: lower limits, at most the figure.
        high: upper limits, at least the figure.
        error: by how much the figure may be off what the run's own calls say; 0 where it is exact.
    """

    value: Floats
    low: Floats
    high: Floats
    error: Floats | float = 0.0


def difference_limits(base: Estimate, candidate: Estimate) -> tuple[Floats, Floats]:
    """Limits of ``candidate - base``; infinite where a limit that they need is, NaN without a figure.

    Errors of the figures are bounds, not chance: they add up as they are.
    """
    difference = candidate.value - base.value
    error = base.error + candidate.error
    down = np.hypot(candidate.value - candidate.low, base.high - base.value)
    up = np.hypot(candidate.high - candidate.value, base.value - base.low)
    return difference - down - error, difference + up + error


def share_estimate(hits: Floats, size: Floats, level: float) -> Estimate:
    """Shares with Wilson's score limits.

    Args:
        hits: how many are counted.
        size: of how many, at least 1.
        level: confidence, 0 to 1.
    """
    z = _normal_quantile(level)
    share = hits / size
    centre = (hits + z**2 / 2) / (size + z**2)
    half = z / (size + z**2) * np.sqrt(hits * (1 - share) + z**2 / 4)
    return Estimate(value=share, low=np.clip(centre - half, 0, share), high=np.clip(centre + half, share, 1))


def mean_estimate(mean: Floats, variance: Floats, size: Floats, level: float) -> Estimate:
    """Means with normal limits; infinite ones below ``FEWEST_FOR_MEAN`` latencies.

    Args:
        mean: in any unit; NaN without latencies.
        variance: in the square of that unit, with n - 1.
        size: how many latencies there are.
        level: confidence, 0 to 1.
    """
    enough = size >= FEWEST_FOR_MEAN
    error = np.sqrt(np.where(enough, variance, 0) / np.maximum(size, 1))
    half = np.where(enough, _normal_quantile(level) * error, np.inf)
    return Estimate(value=mean, low=mean - half, high=mean + half)


def percentile_ranks(size: Floats, quantile: float, level: float) -> tuple[Floats, Floats]:
    """Ranks (from 0) of two order statistics with a quantile between them, whatever the distribution.

    How many of ``size`` independent latencies lie below the quantile is a binomial number. The ranks are
    its quantiles, a count on the limit taken as half beyond it (mid-p), by the normal approximation with
    its skewness term.

    Args:
        size: how many latencies there are.
        quantile: 0 to 1.
        level: confidence, 0 to 1.

    Returns:
        Whole numbers; NaN where fewer than ``FEWEST_BEYOND`` latencies are expected on one of its sides.
    """
    z = _normal_quantile(level)
    centre = size * quantile + (1 - 2 * quantile) * (z**2 - 1) / 6
    reach = z * np.sqrt(size * quantile * (1 - quantile))
    # 1 - 0.9 is a little less than 0.1, and 300 latencies must do for p90.
    enough = np.round(size * min(quantile, 1 - quantile), 9) >= FEWEST_BEYOND
    low, high = np.floor(centre - reach), np.ceil(centre + reach) - 1
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A measured log.

    Attributes:
        name: what messages call it.
        statistics: its statistics by key; all figures are of every success.
        seconds_without_completion: seconds between its first and its last completion that saw none.
        findings: what was rejected or left out of its log, and what the log cannot tell.
        usage: what its calls used, a row for each row of the statistics; None without prices.
    """

    name: str
    statistics: Statistics
    seconds_without_completion: int
    findings: Findings
    usage: Usage | None

    @cached_property
    def keys(self) -> pl.DataFrame:
        """``code`` and the key columns as ``key:<name>``."""
        return self.statistics.profile.keys

    @cached_property
    def figures(self) -> pl.DataFrame:
        """By ascending ``code``: ``num_rows``, ``num_errors``, every metric, ``size`` and ``variance`` (ms²).

        The mean is that of the sums, which are exact even where percentiles are not.
        """
        table = self.statistics.table.with_columns(self.keys["code"]).select(
            "code",
            "num_rows",
            num_errors(),
            error_rate(),
            *[pl.col(f"{LATENCY}_{name}").alias(name) for name in PERCENTILES],
            pl.col("success_mean").alias("mean"),
            "throughput",
        )
        return table.join(_moments(self._cells), on="code", how="left").sort("code")

    def column(self, name: str, codes: pl.Series) -> Floats:
        """A column of the figures for some keys, all of this run; NaN where there is no value."""
        values: Floats = self.figures[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        found: Floats = values[self.figures["code"].search_sorted(codes, side="left").to_numpy()]
        return found

    def estimate(self, metric: str, codes: pl.Series, level: float) -> Estimate:
        """A metric of some keys with limits at a level of confidence.

        Throughput has none: how fast calls complete in one second depends on the seconds before.
        """
        values = self.column(metric, codes)
        if metric == "error_rate":
            return share_estimate(self.column("num_errors", codes), self.column("num_rows", codes), level)
        size = np.nan_to_num(self.column("size", codes))  # null without a success
        if metric == "mean":
            return mean_estimate(values, self.column("variance", codes), size, level)
        unknown = np.full(len(values), np.nan)
        low, high = (
            percentile_ranks(size, PERCENTILES[metric], level)
            if metric in PERCENTILES
            else (unknown, unknown)
        )
        return Estimate(
            value=values,
            low=np.minimum(self._latencies_at(codes, low, -np.inf), values),
            high=np.maximum(self._latencies_at(codes, high, np.inf), values),
            error=self.statistics.relative_error * values,
        )

    @cached_property
    def _cells(self) -> pl.DataFrame:
        """Buckets of the successes: ``code``, ``bucket``, ``count``, ``latency_sum``, ``low``, ``high``."""
        profile = self.statistics.profile
        timed = profile.bucket_sums.filter(pl.col("success") & (pl.col("bucket") != FAILED))
        cells = timed.sort("code", "bucket")
        low, high = bucket_bounds(cells["bucket"].to_numpy(), profile.bucket_shift)
        return cells.with_columns(pl.Series("low", low), pl.Series("high", high))

    def _latencies_at(self, codes: pl.Series, ranks: Floats, otherwise: float) -> Floats:
        """The latency (ms) at each key's rank, those of a bucket taken as spread evenly; for NaN another."""
        found = np.full(len(ranks), otherwise)
        known = ~np.isnan(ranks)
        if not known.any():
            return found
        counts = self._cells["count"].to_numpy()
        starts = np.cumsum(counts) - counts
        first = self._cells["code"].search_sorted(codes.to_numpy()[known], side="left").to_numpy()
        position = starts[first] + ranks[known]
        cell = np.searchsorted(starts, position, side="right") - 1
        part = (position - starts[cell] + 0.5) / counts[cell]
        low, high = self._cells["low"].to_numpy()[cell], self._cells["high"].to_numpy()[cell]
        found[known] = low + (high - low) * part
        return found


def run_question(
    log: Log,
    name: str,
    key: Sequence[str],
    *,
    prices: Sequence[PriceTable] = (),
    request_size: float | None = None,
) -> Question[Run]:
    """Asks for the figures of one of two runs that are compared.

    Args:
        log: the log.
        name: what messages call it.
        key: the key columns.
        prices: tables to price what calls used, which takes the column ``memory_size``.
        request_size: mean bytes of a request, for a log that does not tell sizes.

    Raises:
        UsageError: the answer: the calls of a key used several memory sizes, so that they have no one price.
    """
    plan = Plan(
        key=(*key, MEMORY) if prices and MEMORY not in key else tuple(key),
        success=success_of(log.columns),
        percentiles=tuple(PERCENTILES.values()),
        response_sizes="response_size" in log.columns and any(table.price_per_gib for table in prices),
    )

    def answer(measured: Statistics) -> Run:
        steps_ms = billing_steps(prices)
        usage = None
        if prices:
            usage = usage_from(log, plan, measured, steps_ms=steps_ms, request_size=request_size)
        statistics = with_numeric_keys(measured, plan.key)
        if len(plan.key) > len(key):
            statistics = _without_memory(statistics, key, name)
        # The seconds make up most of a profile, and nothing here needs them while the other log is measured.
        profile = replace(statistics.profile, seconds=statistics.profile.seconds.clear())
        return Run(
            name=name,
            statistics=replace(statistics, profile=profile),
            seconds_without_completion=seconds_without_completion(measured.profile),
            findings=log.findings,
            usage=usage,
        )

    return Question(plan=plan, answer=answer)


def _without_memory(statistics: Statistics, key: Sequence[str], name: str) -> Statistics:
    """Statistics by ``key`` from those by the key and the memory size, of which each key has only one."""
    table = statistics.table.select(*key_columns(key), pl.col(*key_names([MEMORY])).alias(MEMORY))
    sizes = table.group_by(key, maintain_order=True).agg(MEMORY).filter(pl.col(MEMORY).list.len() > 1)
    if not sizes.is_empty():
        *values, several = sizes.row(0)
        where = ", ".join(f"{column} {value}" for column, value in zip(key, values, strict=True))
        raise UsageError(
            f"{name}: calls{f' of {where}' if where else ''} used {', '.join(map(str, several))} MB, which "
            f"have no one price; group by {MEMORY} as well"
        )
    memory = key_names([MEMORY])
    profile = replace(statistics.profile, key=tuple(key), keys=statistics.profile.keys.drop(memory))
    return replace(
        statistics,
        table=statistics.table.drop(memory),
        histogram=statistics.histogram.drop(memory),
        profile=profile,
    )


def with_common_types(base: Run, candidate: Run) -> tuple[Run, Run]:
    """Both runs with key columns of one type each, numbers where all keys of both read as numbers."""
    names = key_names(base.statistics.profile.key)
    types = {name: common_type([run.keys.schema[name] for run in (base, candidate)]) for name in names}
    both = pl.concat([with_types(run.keys.select(names), types) for run in (base, candidate)])
    casts = numeric_casts(both)
    return _cast(base, types, casts), _cast(candidate, types, casts)


def _cast(run: Run, types: Mapping[str, pl.DataType], casts: Sequence[pl.Expr]) -> Run:
    statistics = run.statistics
    profile, table, histogram = statistics.profile, statistics.table, statistics.histogram
    keys, table, histogram = (
        with_types(frame, types).with_columns(casts) for frame in (profile.keys, table, histogram)
    )
    profile = replace(profile, keys=keys)
    return replace(run, statistics=replace(statistics, profile=profile, table=table, histogram=histogram))


def _moments(cells: pl.DataFrame) -> pl.DataFrame:
    """``size`` and ``variance`` (ms²) by ``code``.

    The variance is that between buckets by their means, and within them that of an even spread.
    """
    count = pl.col("count")
    mean = pl.col("latency_sum").sum() / count.sum()
    between = (count * (pl.col("latency_sum") / count - mean) ** 2).sum()
    within = ((count - 1) * (pl.col("high") - pl.col("low")) ** 2 / 12).sum()
    variance = pl.when(count.sum() > 1).then((between + within) / (count.sum() - 1))
    return cells.group_by("code").agg(count.sum().alias("size"), settled(variance).alias("variance"))
