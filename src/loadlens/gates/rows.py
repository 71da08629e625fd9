"""A log's calls by configuration and window of time, and the scans that first count them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from loadlens.engine import Scan
from loadlens.errors import InputError
from loadlens.gates.figures import quantile_of
from loadlens.gates.grammar import Gate
from loadlens.gates.keys import KeyCodec, find_key_codec
from loadlens.gates.narrowing import COARSE_SHIFT, UNDIVIDED_SHIFT, cell_counts
from loadlens.profile import key_names, success_of
from loadlens.profile.clock import ClockWatch
from loadlens.profile.rows import UnusableRowsError
from loadlens.schema import LATENCY, breaks_one_of
from loadlens.sources import Log

__all__ = ["WindowRows", "window_rows"]

_COUNTING: Final = "Counting latencies by window of time"


@dataclass(frozen=True, kw_only=True)
class WindowRows:
    """A log's calls by configuration and window.

    Attributes:
        log: the log.
        frame: ``pair`` (configuration and window in one number), ``success`` and the latency.
        configurations: ``code``, the key columns as ``key:<name>``, ``first_start`` and ``last_end`` in s.
        width_s: the width of the windows in s.
        first: the first window of the log, as a multiple of the width.
        count: how many windows there are from the first to the last.
        limits_ms: latencies that no cell lies on both sides of.
        cells: the calls counted by ``pair`` and ``success``, as ``cell_counts`` does.
        clock: has looked at the times of all rows.
    """

    log: Log
    frame: pl.LazyFrame
    configurations: pl.DataFrame
    width_s: float
    first: int
    count: int
    limits_ms: tuple[float, ...]
    cells: pl.DataFrame
    clock: ClockWatch

    @property
    def code(self) -> pl.Expr:
        """The configuration of a pair."""
        return (pl.col("pair") // self.count).alias("code")

    @property
    def window(self) -> pl.Expr:
        """The window of a pair, as a multiple of the width."""
        return (pl.col("pair") % self.count + self.first).alias("window")


def window_rows(
    log: Log, key: Sequence[str], window_s: float, gates: Sequence[Gate], scan: Scan
) -> WindowRows:
    """Tells the configurations and windows of a log apart and counts its calls.

    Two scans that read keys and times alone tell them apart; one more counts.

    Args:
        log: the log.
        key: the columns that configurations are told by.
        window_s: the width of the windows in s.
        gates: the gates, all of them on windows of this width.
        scan: how rows are scanned.

    Raises:
        InputError: no call has an end, or the keys have too many combinations.
        UnusableRowsError: some row breaks a rule.
    """
    cut = _Cut.of(gates)
    clock = ClockWatch(log.logged_times)
    columns = _Columns(log=log, key=tuple(key), window_s=window_s, clock=clock)
    found = _windows_of(columns, scan)
    if found.spans.is_empty():
        raise InputError(log.without_rows())
    if found.first is None or found.last is None:
        raise InputError(f"{log.name}: no call has an end_time, which 'within' needs")
    first, count = found.first, found.last - found.first + 1

    def pair(code: pl.Expr, window: pl.Expr) -> pl.Expr:
        return (code * count + (window - first)).alias("pair")

    paired = log.frame.select(pair(found.codec.encode(), columns.window), columns.success, LATENCY)
    frame = paired.filter(pl.col("pair").is_not_null())
    scan.tracker.stage(_COUNTING)
    watched = scan.tracker.watch(frame)
    cells = cell_counts(watched, ["pair", "success"], cut.shift, cut.limits_ms).collect(engine=scan.engine)
    named = zip(found.codec.decode(pl.col("code")), key_names(key), strict=True)
    keys = [column.alias(name) for column, name in named]
    return WindowRows(
        log=log,
        frame=frame,
        configurations=found.spans.select("code", *keys, "first_start", "last_end"),
        width_s=window_s,
        first=first,
        count=count,
        limits_ms=cut.limits_ms,
        cells=cells,
        clock=clock,
    )


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """How latencies are cut into cells at first.

    Attributes:
        shift: how many bits of the latency a cell leaves open.
        limits_ms: latencies that no cell lies on both sides of.
    """

    shift: int
    limits_ms: tuple[float, ...]

    @classmethod
    def of(cls, gates: Sequence[Gate]) -> "_Cut":
        """As gates need it: those on counts and extremes need next to no cells."""
        divided = any(gate.filtered or quantile_of(gate) for gate in gates)
        limits = {gate.below_ms for gate in gates if gate.below_ms is not None}
        return cls(
            shift=COARSE_SHIFT if divided else UNDIVIDED_SHIFT,
            limits_ms=tuple(sorted(limits)),
        )


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """What is asked of each row of a log."""

    log: Log
    key: tuple[str, ...]
    window_s: float
    clock: ClockWatch

    @property
    def window(self) -> pl.Expr:
        """The window in which a call ended, as a multiple of the width; null without an end."""
        return (pl.col("end_time") / self.window_s).floor().cast(pl.Int64, strict=False).alias("window")

    @property
    def success(self) -> pl.Expr:
        """Whether the call succeeded."""
        return success_of(self.log.columns).fill_null(value=False).alias("success")

    @property
    def start(self) -> pl.Expr:
        """When the call started in s, null where the log does not say."""
        known = "start_time" in self.log.columns
        return pl.col("start_time") if known else pl.lit(None, dtype=pl.Float64).alias("start_time")

    @property
    def broken(self) -> pl.Expr:
        """Whether the row breaks a rule."""
        return breaks_one_of(self.log.open_rules).alias("broken")


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a first scan finds.

    Attributes:
        codec: codes the keys.
        spans: ``code``, ``first_start`` and ``last_end`` in s.
        first: the first window, as a multiple of the width; None if no call has an end.
        last: the last one.
    """

    codec: KeyCodec
    spans: pl.DataFrame
    first: int | None
    last: int | None


def _windows_of(columns: _Columns, scan: Scan) -> _Found:
    scan.tracker.stage("Finding windows of time")
    codec = find_key_codec(columns.log, columns.key, scan.engine)
    rows = columns.log.frame.select(
        codec.encode().alias("code"), LATENCY, columns.start, "end_time", columns.window, columns.broken
    )
    aggregates = (
        pl.col("start_time").min().alias("first_start"),
        pl.col("end_time").max().alias("last_end"),
        pl.col("window").min().alias("first"),
        pl.col("window").max().alias("last"),
        pl.col("broken").any(),
    )
    watched = scan.tracker.watch(rows)
    watched = columns.clock.watch(watched)
    spans = watched.group_by("code").agg(aggregates).collect(engine=scan.engine)
    if spans["broken"].any():
        raise UnusableRowsError
    first, last = spans.select(pl.col("first").min(), pl.col("last").max()).row(0)
    return _Found(codec=codec, spans=spans, first=first, last=last)
