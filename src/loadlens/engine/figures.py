"""The figures by configuration: counts and exact sums of a profile, put together with what was refined."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.refine import CellTable, Estimates, Population, Refinement, Wants
from loadlens.engine.selections import Removed
from loadlens.profile.buckets import FAILED, RELATIVE_ERROR
from loadlens.profile.clock import FINE_S
from loadlens.profile.distributions import cell_of
from loadlens.profile.merging import rates_of
from loadlens.profile.plan import Outliers, Plan, below_name, percentile_name
from loadlens.profile.profile import FRACTION_BITS, Profile
from loadlens.schema import LATENCY

__all__ = ["Figures", "fine_bins", "mean_of", "too_coarse", "tps_of", "upper_fence", "with_throughput"]


Number = TypeVar("Number", pl.Expr, float, NDArray[np.float64])

IQRS_ABOVE_MEAN: Final = 5.0
IQRS_ABOVE_Q75: Final = 1.5


def upper_fence(outliers: Outliers, mean: Number, q25: Number, q75: Number) -> Number:
    """The upper fence in ms, of figures, arrays or expressions."""
    if outliers == "tukey":
        return q75 + IQRS_ABOVE_Q75 * (q75 - q25)
    return mean + IQRS_ABOVE_MEAN * (q75 - q25)


_BINS_PER_BANDWIDTH = 8
_WIDEST_BINS_PER_BANDWIDTH = 2
_MAX_BINS = 4096
_IQR_OF_NORMAL = 1.349  # IQR of a normal distribution, in standard deviations
_RANGE_OF_NORMAL = 6.0


def fine_bins(rows: pl.DataFrame, coarse: pl.DataFrame) -> pl.DataFrame:
    """Latencies in bins of a given width.

    Args:
        rows: ``code``, ``latency_ms`` and ``count``.
        coarse: ``code``, ``kept_min`` and ``width`` in ms.

    Returns:
        ``code``, ``latency_ms`` (mean of the bin) and ``count``.
    """
    latency, count = pl.col("latency_ms"), pl.col("count")
    number = ((latency - pl.col("kept_min")) / pl.col("width")).floor().cast(pl.Int64).alias("bin")
    binned = rows.join(coarse.select("code", "kept_min", "width"), on="code").group_by("code", number)
    mean = ((latency * count).sum() / count.sum()).alias("latency_ms")
    return binned.agg(mean, count.sum()).select("code", "latency_ms", "count")


def too_coarse(table: pl.DataFrame) -> pl.DataFrame:
    """The codes whose buckets are wide against the bandwidth, with the ``width`` of better bins in ms."""
    spread = pl.col("kept_max") - pl.col("kept_min")
    deviation = pl.when(pl.col("kept_iqr") > 0).then(pl.col("kept_iqr") / _IQR_OF_NORMAL)
    bandwidth = deviation.otherwise(spread / _RANGE_OF_NORMAL) * pl.col("num_kept").cast(pl.Float64).pow(-0.2)
    bucket = pl.col("kept_median") * 2 * RELATIVE_ERROR
    width = pl.max_horizontal(bandwidth / _BINS_PER_BANDWIDTH, spread / _MAX_BINS)
    coarse = table.filter((spread > 0) & (bucket > bandwidth / _WIDEST_BINS_PER_BANDWIDTH))
    return coarse.select("code", "kept_min", width.alias("width"))


def with_throughput(table: pl.DataFrame, profile: Profile) -> pl.DataFrame:
    """A table by ``code`` with the rate of its ``completions`` in their place, per s.

    The span is that of all calls, from the first start to the last end, and the resolution of the clock:
    one of whole seconds that shows seconds 0 to 9 saw 10 s. ``throughput`` is what a clock of that
    resolution can tell at least; ``throughput_high`` what it can tell at most, infinite where the
    span may have been nothing.
    """
    resolution = profile.resolution_s
    span = pl.col("last_end") - pl.col("first_start")
    completions = pl.col("completions")
    lowest = pl.when(span + resolution > 0).then(completions / (span + resolution))
    shortest = span - resolution if resolution > FINE_S else span + resolution
    highest = pl.when(shortest > 0).then(completions / shortest).otherwise(math.inf)
    rates = (lowest.alias("throughput"), pl.when(lowest.is_not_null()).then(highest).alias("throughput_high"))
    joined = table.join(profile.spans, on="code", how="left", maintain_order="left")
    return joined.with_columns(rates).drop("first_start", "last_end", "completions")


def tps_of(rates: pl.DataFrame) -> pl.DataFrame:
    """Completions per second over the seconds that saw one, truncated to integers, and ``completions``."""
    completions, seconds = pl.col("completions"), pl.col("num_seconds")
    ranked = rates.sort("code", "completions")
    totals = ranked.group_by("code", maintain_order=True).agg(
        seconds.sum(), (completions * seconds).sum(), completions.max().alias("tps_max")
    )
    # All keys at once: of very many, an expression for each takes seconds.
    size = totals["num_seconds"].to_numpy()
    begin, ends = np.cumsum(size) - size, np.cumsum(ranked["num_seconds"].to_numpy())
    values = ranked["completions"].to_numpy()

    def at(rank: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = values[cell_of(ends, begin + rank)]
        return found

    def quantile(q: float) -> pl.Series:
        position = (size - 1) * q
        low, high = (at(whole(position).astype(np.int64)) for whole in (np.floor, np.ceil))
        return pl.Series(low + (high - low) * (position - np.floor(position)), dtype=pl.Float64)

    quantiles = {name: quantile(q) for name, q in (("tps_p25", 0.25), ("tps_p50", 0.5), ("tps_p75", 0.75))}
    return totals.with_columns((completions / seconds).alias("tps_avg"), **quantiles).select(
        "code", pl.col("tps_avg", *quantiles, "tps_max").cast(pl.Int64), "completions"
    )


Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Source = Refinement | Estimates
"""Tells order statistics: exact ones, or those of buckets."""


def mean_of(sums: list[int], counts: Ints) -> Floats:
    """Means in ms of exact sums in units of 2^-55 ms, each the nearest Float64; NaN of nothing."""
    pairs = zip(sums, counts.tolist(), strict=True)
    return np.array([total / (count << FRACTION_BITS) if count else np.nan for total, count in pairs])


@dataclass(frozen=True, kw_only=True)
class _Ranks:
    """The two ranks that a quantile of each key lies between, and the weight of the upper one."""

    code: Ints
    low: Ints
    high: Ints
    weight: Floats

    @classmethod
    def of(cls, size: Ints, quantile: float) -> "_Ranks":
        """Linear interpolation between order statistics (Hyndman and Fan's type 7) among so many calls."""
        code = np.flatnonzero(size)
        position = (size[code] - 1) * quantile
        low = np.floor(position).astype(np.int64)
        return cls(code=code, low=low, high=low + (position > low), weight=position - low)


def _quantile(refinement: Source, population: Population, size: Ints, quantile: float) -> Floats:
    """A quantile in ms of the lowest ``size`` calls of each key; NaN where there are none."""
    ranks = _Ranks.of(size, quantile)
    low = refinement.values(population, ranks.code, ranks.low)
    high = refinement.values(population, ranks.code, ranks.high)
    found = np.full(len(size), np.nan)
    found[ranks.code] = low + (high - low) * ranks.weight
    return found


def _cells_of(population: Population, size: Ints, quantiles: Iterable[float]) -> Ints:
    """The cells that quantiles lie in."""
    cells = []
    for quantile in quantiles:
        ranks = _Ranks.of(size, quantile)
        for rank in (ranks.low, ranks.high):
            inner = (rank > 0) & (rank < population.size[ranks.code] - 1)
            cells.append(population.located(ranks.code[inner], rank[inner])[0])
    return np.concatenate([np.empty(0, dtype=np.int64), *cells])


class Figures:
    """Makes the table of ``Statistics`` from a profile.

    Args:
        profile: the profile.
        plan: what is wanted.
        table: the profile's cells.
        refinement: tells exact order statistics.
    """

    def __init__(self, profile: Profile, plan: Plan, table: CellTable, refinement: Source) -> None:
        self._profile, self._plan, self._cells, self._refinement = profile, plan, table, refinement
        self._keys = profile.keys.height
        self._of_all = _figures_by_code(profile, self._keys, successes=False)
        self._of_successes = _figures_by_code(profile, self._keys, successes=True)

    def table(self) -> pl.DataFrame:
        """One row for each code, ascending; the columns are those of ``Statistics.table``.

        What is ``wanted`` is best looked for before; what is not known yet costs a look of its own.
        """
        plan, good = self._plan, self._of_successes
        columns: dict[str, pl.Series] = self._counts()
        sums = good["latency_sum"].tolist()
        found = self._described(self._cells.successes.size, sums, plan.percentiles)
        percentiles = {percentile_name(q) for q in plan.percentiles}
        for name, values in found.items():
            prefix = LATENCY if name in percentiles else "success"
            columns[f"{prefix}_{name}"] = pl.Series(values, nan_to_null=True)
        fence = self._fence()
        removed = self._refinement.above(fence)
        columns |= self._below()
        columns["outlier_fence"] = pl.Series(fence, nan_to_null=True, dtype=pl.Float64)
        columns["outliers_above_fence"] = pl.Series(removed.counts)
        if plan.outliers == "none":
            removed, fence = Removed.nothing(self._keys), np.full(self._keys, np.nan)
        self._limit = np.where(np.isnan(fence), np.inf, fence)
        size = good["timed"] - removed.counts
        if plan.outliers == "none" and not plan.kept_percentiles:  # all are kept
            kept = {name: found[name] for name in found if name not in percentiles}
        else:  # the lowest of all
            left = [total - one for total, one in zip(sums, removed.sums, strict=True)]
            kept = self._described(size, left, plan.kept_percentiles)
        columns |= {"num_kept": pl.Series(size), "outliers_removed": pl.Series(removed.counts)}
        columns |= {f"kept_{name}": pl.Series(values, nan_to_null=True) for name, values in kept.items()}
        codes = pl.Series("code", np.arange(self._keys), dtype=pl.Int64)
        table = pl.DataFrame({"code": codes, **columns})
        tps = tps_of(_rates(self._profile, removed))
        if removed.seconds.is_empty():  # buckets tell how many calls lie above a fence, not when they ended
            gone = pl.DataFrame({"code": codes, "gone": removed.counts})
            tps = tps.join(gone, on="code", maintain_order="left")
            tps = tps.with_columns((pl.col("completions") - pl.col("gone")).clip(0)).drop("gone")
        table = table.join(tps, on="code", how="left", maintain_order="left")
        self._table = with_throughput(table, self._profile)
        return self._table

    def _described(self, size: Ints, sums: list[int], percentiles: Sequence[float]) -> dict[str, Floats]:
        """Figures of the lowest ``size`` successes of each key, whose latencies come to ``sums``."""
        quantiles = {**self._plan.described, **{percentile_name(q): q for q in percentiles}}
        successes = self._cells.successes
        found = {name: _quantile(self._refinement, successes, size, q) for name, q in quantiles.items()}
        found["mean"] = np.clip(mean_of(sums, size), found["min"], found["max"])
        if {"q25", "q75"} <= set(found):
            found["iqr"] = found["q75"] - found["q25"]
        return found

    def _counts(self) -> dict[str, pl.Series]:
        every, good = self._of_all, self._of_successes
        errors = {name: pl.Series(every[name]) for name in self._profile.errors}
        return {
            "num_rows": pl.Series(every["calls"]),
            "num_invocations": pl.Series(every["timed"]),
            "num_successes": pl.Series(good["calls"]),
            "num_timed_successes": pl.Series(good["timed"]),
            **errors,
            "response_size_sum": pl.Series(good["response_size_sum"].tolist(), dtype=pl.Int128),
            "response_size_count": pl.Series(good["response_size_count"]),
        }

    def _mean(self, figures: Mapping[str, "np.ndarray"], low: Floats, high: Floats) -> Floats:
        """Rounding could carry a mean past the minimum or the maximum."""
        return np.clip(mean_of(figures["latency_sum"].tolist(), figures["timed"]), low, high)

    # ---- the fence ----

    @property
    def _fenced(self) -> tuple[Population, Mapping[str, "np.ndarray"]]:
        if self._plan.fence_over_failures:
            return self._cells.all, self._of_all
        return self._cells.successes, self._of_successes

    def _fence(self) -> Floats:
        """The fence of each key in ms; NaN for none."""
        outliers = self._plan.fence
        if outliers == "none":
            return np.full(self._keys, np.nan)
        population, figures = self._fenced
        q25, q75 = (_quantile(self._refinement, population, population.size, q) for q in (0.25, 0.75))
        mean = self._mean(figures, population.lowest, population.highest)
        return upper_fence(outliers, mean, q25, q75)

    def _possible_fences(self) -> tuple[Floats, Floats]:
        """What the fence of each key is at least and at most, by the cells of its quartiles; NaN for none."""
        population, figures = self._fenced
        edges = {}
        for name, quantile in (("q25", 0.25), ("q75", 0.75)):
            ranks = _Ranks.of(population.size, quantile)
            low, high = np.full(self._keys, np.nan), np.full(self._keys, np.nan)
            low[ranks.code] = self._cells.edges[0][population.located(ranks.code, ranks.low)[0]]
            high[ranks.code] = self._cells.edges[1][population.located(ranks.code, ranks.high)[0]]
            edges[name] = low, high
        mean = self._mean(figures, population.lowest, population.highest)
        (q25_low, q25_high), (q75_low, q75_high) = edges["q25"], edges["q75"]
        lowest = upper_fence(self._plan.fence, mean, q25_high, q75_low)
        highest = upper_fence(self._plan.fence, mean, q25_low, q75_high)
        slack = 1e-9 * (np.abs(lowest) + np.abs(highest)) + 1e-9
        return lowest - slack, highest + slack

    # ---- one look at what decides ----

    def wanted(self) -> Wants:
        """All that any figure may hang on, for one look."""
        plan, table = self._plan, self._cells
        successes = table.successes
        wanted = [
            (successes, _cells_of(successes, successes.size, (*plan.described.values(), *plan.percentiles))),
            (successes, self._cells_of_limits()[1]),
        ]
        limits = None
        if plan.fence != "none":
            population, _ = self._fenced
            wanted.append((population, _cells_of(population, population.size, (0.25, 0.75))))
            lowest, highest = self._possible_fences()
            if plan.outliers != "none":
                wanted.append((successes, self._cells_of_kept(lowest, highest)))
            limits = np.where(np.isnan(lowest), np.inf, lowest)
            first, _ = table.of_limit(limits)
            higher = successes.size - successes.up_to(first, np.arange(self._keys))
            limits = np.where(higher > 0, limits, np.inf)
            if higher.sum() > self._refinement.most_rows:
                limits = None  # too many to hold: they are counted once the fence is known
        return Wants(cells=wanted, limits_ms=limits)

    def _cells_of_limits(self) -> tuple[Ints, Ints, Ints]:
        """Numbers of limits, the cells that these lie in and the keys of the cells, where there are such."""
        number, cells, codes = [], [], []
        for index, limit in enumerate(self._plan.limits_ms):
            cell, own = self._cells.of_limit(np.full(self._keys, float(limit)))
            inside = own & (np.append(self._cells.successes.counts, 0)[cell] > 0)
            number.append(np.full(int(inside.sum()), index))
            cells.append(cell[inside])
            codes.append(np.flatnonzero(inside))
        nothing = np.empty(0, dtype=np.int64)
        return (
            np.concatenate([nothing, *number]),
            np.concatenate([nothing, *cells]),
            np.concatenate([nothing, *codes]),
        )

    def _cells_of_kept(self, lowest: Floats, highest: Floats) -> Ints:
        """The cells that quantiles of the kept calls may lie in, however many these turn out to be."""
        table, codes = self._cells, np.arange(self._keys)
        first, _ = table.of_limit(np.where(np.isnan(lowest), np.inf, lowest))
        last, own = table.of_limit(np.where(np.isnan(highest), np.inf, highest))
        fewest = table.successes.up_to(first, codes)
        most = table.successes.up_to(np.minimum(last + own, table.start[1:]), codes)
        cells = []
        for quantile in (*self._plan.described.values(), *self._plan.kept_percentiles):
            some = np.flatnonzero(most)
            low = np.floor(np.maximum(fewest[some] - 1, 0) * quantile).astype(np.int64)
            high = np.minimum(np.floor((most[some] - 1) * quantile).astype(np.int64) + 1, most[some] - 1)
            begin = table.successes.located(some, low)[0]
            count = table.successes.located(some, high)[0] - begin + 1
            offsets = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
            cells.append(np.repeat(begin, count) + offsets)
        found = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *cells]))
        kept: Ints = found[table.successes.counts[found] > 0]
        return kept

    # ---- what limits and fences leave ----

    def _below(self) -> dict[str, pl.Series]:
        """The successes below each limit."""
        number, cells, codes = self._cells_of_limits()
        limits = np.array(self._plan.limits_ms, dtype=np.float64)
        inside = self._refinement.below(cells, limits[number]) if len(cells) else np.empty(0, dtype=np.int64)
        found = {}
        for index, limit in enumerate(self._plan.limits_ms):
            first, _ = self._cells.of_limit(np.full(self._keys, float(limit)))
            below = self._cells.successes.up_to(first, np.arange(self._keys))
            own = number == index
            below[codes[own]] += inside[own]
            found[below_name(limit)] = pl.Series(below)
        return found

    # ---- the distribution of the kept calls ----

    @staticmethod
    def no_bins() -> pl.DataFrame:
        """What ``histogram`` returns where there is nothing."""
        return pl.DataFrame(schema={"code": pl.Int64, "latency_ms": pl.Float64, "count": pl.Int64})

    def histogram(self) -> pl.DataFrame:
        """The kept successes in bins that are narrow against the bandwidth of their density.

        The buckets serve as bins where they are narrow enough. Where a configuration's latencies lie so close
        that they are not, one more look counts its rows in finer ones. To be asked for after ``table``.

        Returns:
            ``code``, ``latency_ms`` (mean of the bin) and ``count``.
        """
        bins = self._within_extremes(self._bins_of_cells())
        coarse = too_coarse(self._table)
        if coarse.is_empty():
            return bins
        found = self._refinement.fine_counts(coarse["code"].to_numpy())
        if found is None:
            return bins
        rows = pl.DataFrame(
            {
                "code": self._cells.code[found.cell],
                "latency_ms": found.bits.view(np.float64),
                "count": found.calls,
            }
        )
        limits = pl.DataFrame({"code": np.arange(self._keys), "limit": self._limit})
        kept = rows.join(limits, on="code").filter(pl.col("latency_ms") <= pl.col("limit"))
        fine = self._within_extremes(fine_bins(kept, coarse))
        return pl.concat([bins.join(coarse, on="code", how="anti"), fine])

    def _within_extremes(self, bins: pl.DataFrame) -> pl.DataFrame:
        """Means of bins are rounded, which may carry them past the extremes."""
        extremes = self._table.select("code", "kept_min", "kept_max")
        mean = pl.col("latency_ms").clip("kept_min", "kept_max")
        return bins.join(extremes, on="code").select("code", mean, "count")

    def _bins_of_cells(self) -> pl.DataFrame:
        table, counts = self._cells, self._cells.successes.counts
        first, own = table.of_limit(self._limit)
        number = np.arange(len(counts))
        whole = (number < first[table.code]) & (counts > 0) & (table.bucket != FAILED)
        code, bins, sums = table.code[whole], counts[whole], table.success_sums[whole]
        rest = self._table["num_kept"].to_numpy() - np.bincount(code, weights=bins, minlength=self._keys)
        total = self._table["kept_mean"].cast(pl.Float64).fill_null(0.0) * self._table["num_kept"]
        rest_sum = total.to_numpy() - np.bincount(code, weights=sums, minlength=self._keys)
        cut = np.flatnonzero((rest > 0) & own)
        low, high = (edges[first[cut]] for edges in table.edges)
        middle = np.clip(rest_sum[cut] / rest[cut], low, np.minimum(high, self._limit[cut]))
        return pl.DataFrame(
            {
                "code": np.concatenate([code, cut]),
                "latency_ms": np.concatenate([sums / bins, middle]),
                "count": np.concatenate([bins, rest[cut].astype(np.int64)]),
            }
        )


def _figures_by_code(profile: Profile, keys: int, *, successes: bool) -> dict[str, "np.ndarray"]:
    """Sums of the figures of all calls, or of the successes, an array each with an element for each code."""
    figures = profile.figures
    code, some = figures["code"].to_numpy(), figures["success"].to_numpy() | (not successes)
    sums = {}
    for name in (
        "calls",
        "timed",
        "latency_sum",
        "response_size_sum",
        "response_size_count",
        *profile.errors,
    ):
        column = figures[name]  # of 128 bits, which NumPy lacks, or less
        values = np.array(column.to_list(), object) if column.dtype == pl.Int128 else column.to_numpy()
        sums[name] = np.zeros(keys, values.dtype)
        np.add.at(sums[name], code[some], values[some])
    return sums


def _rates(profile: Profile, removed: Removed) -> pl.DataFrame:
    """How many seconds saw how many completions of kept calls: ``code``, ``completions``, ``num_seconds``."""
    if removed.seconds.is_empty():
        return profile.rates
    first, last = profile.seconds.select(pl.col("second").min(), pl.col("second").max().alias("last")).row(0)
    place = (pl.col("code") * (last - first + 1) + (pl.col("second") - first)).alias("place")
    seconds = profile.seconds.lazy().filter(pl.col("completions") > 0).select(place, "code", "completions")
    gone = removed.seconds.lazy().select(place, "removed")
    left = (pl.col("completions") - pl.col("removed").fill_null(0)).alias("completions")
    return rates_of(seconds.join(gone, on="place", how="left").select("code", left).collect())
