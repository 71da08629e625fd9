"""The figures that gates are judged by: a row for each configuration, or for each of its windows of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from loadlens.analysis.shared import with_numeric_keys
from loadlens.engine import Scan, measure, on_good_rows, parsed, scanning
from loadlens.gates.bounds import edges_of
from loadlens.gates.grammar import Gate
from loadlens.gates.rows import WindowRows, window_rows
from loadlens.gates.windows import window_table
from loadlens.profile import Execution, Outliers, Plan, key_names, success_of
from loadlens.profile.row_warnings import window_warnings
from loadlens.profile.table import with_throughput
from loadlens.sources import Log
from loadlens.sources.common_types import numeric_casts

__all__ = ["Measures", "measures"]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Figures for the gates of one window width.

    Attributes:
        key: the key columns.
        table: the columns that ``value_of`` and ``values_behind`` ask for, the key columns as ``key:<name>``
            and ``group``, the number of the configuration, both ascending; for windows, ``window``: which
            multiple of the width it is. A quantile of a window that is neither the worst of its
            configuration nor hard to judge may be off, on its own side of the bound.
        spans: for windows, the first start and the last end of all calls of each group in s.
        first_start: when the first call of the log started, in s on its clock; None if no call tells.
        last_end: when the last one ended.
        window_s: the width of the windows in s; None for the whole run.
        resolution_s: the resolution of the log's clock; see ``Profile.resolution_s``.
        relative_error: bound of the relative error of latencies.
        of_rows: for windows, what the counts of all rows show, one sentence each.
        units: for windows, what is in another unit than it is read in.
    """

    key: tuple[str, ...]
    table: pl.DataFrame
    spans: Mapping[int, tuple[float | None, float | None]] = field(default_factory=dict)
    first_start: float | None = None
    last_end: float | None = None
    window_s: float | None = None
    resolution_s: float = 0.0
    relative_error: float = 0.0
    of_rows: tuple[str, ...] = ()
    units: str = ""


def measures(
    log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers, execution: Execution
) -> dict[float | None, Measures]:
    """Measures what gates are judged by, for each width of windows; text is parsed once.

    Raises:
        InputError: the log cannot be read, or lacks the times that a gate needs.
    """
    by_width = {width: [gate for gate in gates if gate.window_s == width] for width in _widths(gates)}
    _require_times(log, gates)
    if list(by_width) == [None]:
        return {None: _of_the_run(log, key, gates, outliers, execution)}
    execution = {**execution, "executor": None}  # windows are keys that no file has

    def run(log: Log) -> dict[float | None, Measures]:
        with scanning(log, _plan(log, key, gates, outliers), **execution) as scan, parsed(log, scan) as rows:
            return {
                width: _of_the_run(rows, key, chosen, outliers, execution)
                if width is None
                else _of_windows(window_rows(rows, key, width, chosen, scan), key, chosen, outliers, scan)
                for width, chosen in by_width.items()
            }

    found = on_good_rows(log, run)
    if None not in found:  # what all rows show is told with the figures of the run
        figures = next(iter(found.values()))
        log.findings.of_rows, log.findings.units = figures.of_rows, figures.units
    return found


def _widths(gates: Sequence[Gate]) -> list[float | None]:
    return list(dict.fromkeys(gate.window_s for gate in gates))


def _require_times(log: Log, gates: Sequence[Gate]) -> None:
    started = any(gate.metric == "throughput" for gate in gates)
    if started or any(gate.window_s is not None for gate in gates):
        needed_for = "gates on throughput or on windows of time"
        log.require([*(["start_time"] if started else []), "end_time"], needed_for)


def _plan(log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers) -> Plan:
    def quantiles(*, filtered: bool) -> tuple[float, ...]:
        found = {gate.quantile for gate in gates if gate.quantile is not None and gate.filtered == filtered}
        return tuple(sorted(found))

    any_filtered = any(gate.filtered for gate in gates)
    limits = {gate.below_ms for gate in gates if gate.below_ms is not None}
    edges = {edge for limit in limits for edge in edges_of(limit)} if log.saved else set()
    return Plan(
        key=key,
        success=success_of(log.columns),
        outliers=outliers if any_filtered else "none",
        fence_over_failures=any_filtered,
        percentiles=quantiles(filtered=False),
        kept_percentiles=quantiles(filtered=True),
        limits_ms=tuple(sorted(limits | edges)),
    )


def _of_the_run(
    log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers, execution: Execution
) -> Measures:
    statistics = with_numeric_keys(measure(log, _plan(log, key, gates, outliers), **execution), key)
    profile = statistics.profile
    rates = profile.rates.group_by("code")
    completions = rates.agg((pl.col("completions") * pl.col("num_seconds")).sum())
    throughput = with_throughput(completions, profile).rename(
        {"throughput": "success_throughput", "throughput_high": "success_throughput_high"}
    )
    # The rows of the table and of the keys are in one order.
    table = (
        statistics.table.with_columns(profile.keys["code"])
        .join(throughput, on="code", how="left", maintain_order="left")
        .with_row_index("group")
    )
    first, last = profile.figures.select(pl.col("first_start").min(), pl.col("last_end").max()).row(0)
    return Measures(
        key=key,
        table=table,
        first_start=first,
        last_end=last,
        resolution_s=profile.resolution_s,
        relative_error=statistics.relative_error,
    )


def _of_windows(
    rows: WindowRows, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers, scan: Scan
) -> Measures:
    names = key_names(key)
    casts = numeric_casts(rows.configurations.select(names))
    groups = (
        rows.configurations.with_columns(casts)
        .sort([*names, "code"], nulls_last=True)
        .with_row_index("group")
    )
    figures = window_table(rows, gates, outliers, scan).with_columns(rows.code, rows.window)
    table = figures.join(groups.drop("first_start", "last_end"), on="code").sort("group", "window")
    latest_end = groups.select(pl.col("last_end").max()).item()
    spans = groups.select("group", "first_start", "last_end").iter_rows()
    return Measures(
        key=key,
        table=table,
        spans={group: (first, last) for group, first, last in spans},
        first_start=groups.select(pl.col("first_start").min()).item(),
        last_end=latest_end,
        window_s=rows.width_s,
        resolution_s=rows.clock.resolution_s,
        of_rows=window_warnings(rows.cells, rows.clock, rows.log, latest_end),
        units=rows.clock.unit_warning,
    )
