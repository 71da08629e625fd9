"""The figures of every configuration in every window of time, exact where a gate hangs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.errors import InputError
from loadlens.gates.figures import quantile_of
from loadlens.gates.grammar import Gate
from loadlens.gates.narrowing import COARSE_SHIFT, UNDIVIDED_SHIFT, Narrowing, cell_counts, cells_of_all
from loadlens.profile import Outliers, Scan, below_name, key_names
from loadlens.profile.fence import fence
from loadlens.profile.keys import find_key_codec
from loadlens.profile.passes import UnusableRowsError
from loadlens.profile.rounding import settled
from loadlens.profile.rows import breaks_rule
from loadlens.profile.table import clipped_mean
from loadlens.schema import ERROR_COLUMNS, LATENCY
from loadlens.sources import Log

__all__ = ["WindowRows", "window_rows", "window_table"]

_FENCE_QUARTILES: Final = {"q25": 0.25, "q75": 0.75}


@dataclass(frozen=True, kw_only=True)
class WindowRows:
    """A log's calls by configuration and window.

    Attributes:
        frame: ``pair`` (configuration and window in one number), ``success`` and the latency.
        configurations: ``code``, the key columns as ``key:<name>``, ``first_start`` and ``last_end`` in s.
        width_s: the width of the windows in s.
        first: the first window of the log, as a multiple of the width.
        count: how many windows there are from the first to the last.
    """

    frame: pl.LazyFrame
    configurations: pl.DataFrame
    width_s: float
    first: int
    count: int

    @property
    def code(self) -> pl.Expr:
        """The configuration of a pair."""
        return (pl.col("pair") // self.count).alias("code")

    @property
    def window(self) -> pl.Expr:
        """The window of a pair, as a multiple of the width."""
        return (pl.col("pair") % self.count + self.first).alias("window")


def window_rows(log: Log, key: Sequence[str], window_s: float, scan: Scan) -> WindowRows:
    """Tells the configurations and windows of a log apart, by two scans of its keys and times.

    Raises:
        InputError: no call has an end, or the keys have too many combinations.
        UnusableRowsError: some row breaks a rule.
    """
    scan.tracker.stage("Finding windows of time")
    codec = find_key_codec(log, key, scan.engine)
    code = codec.encode().alias("code")
    window = (pl.col("end_time") / window_s).floor().cast(pl.Int64, strict=False)
    found = _spans(log, key, code, window).collect(engine=scan.engine)
    if found["broken"].any():
        raise UnusableRowsError
    if found.is_empty():
        raise InputError(log.without_rows())
    first, last = found.select(pl.col("first").min(), pl.col("last").max()).row(0)
    if first is None:
        raise InputError(f"{log.name}: no call has an end_time, which 'within' needs")
    count = last - first + 1
    pair = (code * count + (window - first)).alias("pair")
    success = pl.col("success") if "success" in log.columns else pl.col(LATENCY) > 0
    frame = log.frame.select(pair, success.fill_null(value=False).alias("success"), LATENCY)
    named = zip(codec.decode(pl.col("code")), key_names(key), strict=True)
    keys = [column.alias(name) for column, name in named]
    return WindowRows(
        frame=frame.filter(pl.col("pair").is_not_null()),
        configurations=found.select("code", *keys, "first_start", "last_end"),
        width_s=window_s,
        first=first,
        count=count,
    )


def _spans(log: Log, key: Sequence[str], code: pl.Expr, window: pl.Expr) -> pl.LazyFrame:
    """First start, last end, first and last window of each configuration; whether a row breaks a rule."""
    checked = [*key, LATENCY, "start_time", "end_time", "success", *ERROR_COLUMNS]
    broken = breaks_rule([name for name in checked if name in log.columns])
    start = pl.col("start_time") if "start_time" in log.columns else pl.lit(None, dtype=pl.Float64)
    columns = (code, start.alias("start"), pl.col("end_time").alias("end"), window.alias("window"))
    return (
        log.frame.select(*columns, broken.alias("broken"))
        .group_by("code")
        .agg(
            pl.col("start").min().alias("first_start"),
            pl.col("end").max().alias("last_end"),
            pl.col("window").min().alias("first"),
            pl.col("window").max().alias("last"),
            pl.col("broken").any(),
        )
    )


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
    limits = tuple(sorted({gate.below_ms for gate in gates if gate.below_ms is not None}))
    counting = _Counting(rows=rows, limits_ms=limits, scan=scan)
    of_all = [gate for gate in gates if not gate.filtered]
    of_kept = [gate for gate in gates if gate.filtered]
    divided = bool(of_kept) or any(map(quantile_of, of_all))
    scan.tracker.stage("Counting latencies by window of time")
    watched = scan.tracker.watch(rows.frame)
    cells = counting.cells(watched, ["pair", "success"], COARSE_SHIFT if divided else UNDIVIDED_SHIFT)
    table = _counts(cells, limits)
    scan.tracker.stage("Narrowing down the worst windows")
    table = counting.with_quantiles(table, counting.successes, _timed_successes(cells), of_all)
    if of_kept:
        kept = counting.kept(counting.fences(cells, outliers))
        kept_cells = counting.cells(kept, ["pair"], COARSE_SHIFT)
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
        .join(_described(succeeded, "success").rename({"size": "completions"}), on="pair", how="left")
        .join(succeeded.group_by("pair").agg(below), on="pair", how="left")
        .with_columns(pl.col("completions", *map(below_name, limits_ms)).fill_null(0))
        .with_columns(num_timed_successes="completions")
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
        limits_ms: latencies that no cell lies on both sides of.
        scan: how rows are scanned.
    """

    rows: WindowRows
    limits_ms: tuple[float, ...]
    scan: Scan

    @property
    def timed(self) -> pl.LazyFrame:
        return self.rows.frame.filter(pl.col(LATENCY).is_not_null())

    @property
    def successes(self) -> pl.LazyFrame:
        return self.timed.filter("success").select("pair", LATENCY)

    def cells(self, frame: pl.LazyFrame, by: Sequence[str], shift: int) -> pl.DataFrame:
        return cell_counts(frame, by, shift, self.limits_ms).collect(engine=self.scan.engine)

    def narrowing(self, frame: pl.LazyFrame, cells: pl.DataFrame, wanted: Mapping[str, float]) -> Narrowing:
        return Narrowing(frame, cells, wanted, self.limits_ms, self.scan.engine)

    def with_quantiles(
        self, table: pl.DataFrame, frame: pl.LazyFrame, cells: pl.DataFrame, gates: Sequence[Gate]
    ) -> pl.DataFrame:
        """The table with a column for each quantile that gates judge."""
        wanted = dict(filter(None, map(quantile_of, gates)))
        if not wanted:
            return table
        code = self.rows.code
        bounds = self.narrowing(frame, cells, wanted).until(lambda bounds: _decides(bounds, gates, code))
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
