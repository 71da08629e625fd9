"""The figures of every configuration in every window of time, exact where a gate hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.engine import Scan
from loadlens.gates.figures import quantile_of
from loadlens.gates.grammar import Gate
from loadlens.gates.narrowing import COARSE_SHIFT, Narrowing, cell_counts, cells_of_all
from loadlens.gates.rows import WindowRows
from loadlens.profile import Outliers, below_name
from loadlens.profile.fence import fence
from loadlens.profile.rounding import settled
from loadlens.profile.table import clipped_mean
from loadlens.schema import LATENCY

__all__ = ["window_table"]

_FENCE_QUARTILES: Final = {"q25": 0.25, "q75": 0.75}


def window_table(rows: WindowRows, gates: Sequence[Gate], outliers: Outliers, scan: Scan) -> pl.DataFrame:
    """What gates judge, a row for each configuration and window in which it saw a call end.

    Args:
        rows: the calls.
        gates: the gates, all of them on windows of this width.
        outliers: the fence of gates that say ``filtered``.
        scan: how rows are scanned.

    Returns:
        ``pair`` and the columns that ``value_of`` and ``values_behind`` ask for. Quantiles are exact where
        they are the worst of a configuration or lie too close to a bound to tell.
    """
    counting = _Counting(rows=rows, scan=scan)
    of_all = [gate for gate in gates if not gate.filtered]
    of_kept = [gate for gate in gates if gate.filtered]
    table = _counts(rows.cells, rows.limits_ms)
    scan.tracker.stage("Narrowing down the worst windows")
    table = counting.with_quantiles(table, counting.successes, _timed_successes(rows.cells), of_all)
    if of_kept:
        kept = counting.kept(counting.fences(rows.cells, outliers))
        counts = cell_counts(kept, ["pair"], COARSE_SHIFT, rows.limits_ms)
        kept_cells = counts.collect(engine=scan.engine)
        described = _described(kept_cells, "kept").rename({"size": "num_kept"})
        table = table.join(described, on="pair", how="left").with_columns(pl.col("num_kept").fill_null(0))
        table = counting.with_quantiles(table, kept, kept_cells, of_kept)
    return table


def _timed_successes(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.filter(pl.col("success") & pl.col("low").is_not_null()).drop("success")


def _counts(cells: pl.DataFrame, limits_ms: Sequence[float]) -> pl.DataFrame:
    """Counts and extremes of the calls of each pair, and how many successes lie below each limit."""
    succeeded = _timed_successes(cells)
    counts = pl.col("count")
    below = [counts.filter(pl.col("high") < limit).sum().alias(below_name(limit)) for limit in limits_ms]
    return (
        cells.group_by("pair")
        .agg(counts.sum().alias("num_rows"), counts.filter("success").sum().alias("num_successes"))
        .join(_described(succeeded, "success").rename({"size": "num_timed_successes"}), on="pair", how="left")
        .join(succeeded.group_by("pair").agg(below), on="pair", how="left")
        .with_columns(pl.col("num_timed_successes", *map(below_name, limits_ms)).fill_null(0))
        .with_columns(completions="num_successes")
    )


def _described(cells: pl.DataFrame, population: str) -> pl.DataFrame:
    """``size``, minimum, maximum and mean of the latencies of each pair."""
    size = pl.col("count").sum()
    figures = cells.group_by("pair").agg(
        size.alias("size"),
        pl.col("low").min().alias(f"{population}_min"),
        pl.col("high").max().alias(f"{population}_max"),
        settled(pl.col("latency_sum").sum() / size).alias(f"{population}_mean"),
    )
    return figures.with_columns(clipped_mean(population))


@dataclass(frozen=True, kw_only=True)
class _Counting:
    """The scans of one width of windows.

    Attributes:
        rows: the calls.
        scan: how rows are scanned.
    """

    rows: WindowRows
    scan: Scan

    @property
    def timed(self) -> pl.LazyFrame:
        return self.rows.frame.filter(pl.col(LATENCY).is_not_null())

    @property
    def successes(self) -> pl.LazyFrame:
        return self.timed.filter("success").select("pair", LATENCY)

    def narrowing(
        self,
        frame: pl.LazyFrame,
        cells: pl.DataFrame,
        wanted: Mapping[str, float],
    ) -> Narrowing:
        return Narrowing(frame, cells, wanted, self.rows.limits_ms, self.scan.engine)

    def with_quantiles(
        self,
        table: pl.DataFrame,
        frame: pl.LazyFrame,
        cells: pl.DataFrame,
        gates: Sequence[Gate],
    ) -> pl.DataFrame:
        """The table with a column for each quantile that gates judge."""
        wanted = dict(filter(None, map(quantile_of, gates)))
        if not wanted:
            return table
        code = self.rows.code
        narrowing = self.narrowing(frame, cells, wanted)
        bounds = narrowing.until(lambda bounds: _decides(bounds, gates, code))
        for name in wanted:
            found = bounds.filter(pl.col("name") == name).select("pair", pl.col("lowest").alias(name))
            table = table.join(found, on="pair", how="left")
        return table

    def fences(self, cells: pl.DataFrame, outliers: Outliers) -> pl.DataFrame:
        """The outlier fence of each pair, of all of its calls with a latency, in ms."""
        cells = cells_of_all(cells.filter(pl.col("low").is_not_null()))
        table = _described(cells, "all")
        if outliers != "none":
            bounds = self.narrowing(self.timed, cells, _FENCE_QUARTILES).until(
                lambda bounds: bounds["pair"].is_not_null()
            )
            quartiles = bounds.pivot("name", index="pair", values="lowest")
            table = table.join(quartiles, on="pair")
        limit = fence(outliers, pl.col("all_mean"), pl.col("q25"), pl.col("q75"))
        return table.select("pair", limit.alias("outlier_fence"))

    def kept(self, fences: pl.DataFrame) -> pl.LazyFrame:
        """The successes at or below the fence."""
        joined = self.successes.join(fences.lazy(), on="pair")
        is_kept = pl.col("outlier_fence").is_null() | (pl.col(LATENCY) <= pl.col("outlier_fence"))
        return joined.filter(is_kept).select("pair", LATENCY)


def _decides(bounds: pl.DataFrame, gates: Sequence[Gate], code: pl.Expr) -> pl.Series:
    """Whether a verdict or the value that is shown hangs on what lies between bounds."""
    lowest, highest = pl.col("lowest"), pl.col("highest")
    found = [pl.lit(value=False)]
    for gate in gates:
        quantile = quantile_of(gate)
        if quantile is None:
            continue
        if gate.is_upper:
            may_be_worst = highest >= lowest.max().over("code", "name")
        else:
            may_be_worst = lowest <= highest.min().over("code", "name")
        is_close = gate.keeps(lowest) != gate.keeps(highest)
        found.append((pl.col("name") == quantile[0]) & (may_be_worst | is_close))
    return bounds.with_columns(code).select(pl.any_horizontal(found).alias("decides")).to_series()
