"""The figures that gates are judged by, and between which two values the true one lies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.figures import with_throughput
from loadlens.errors import GateError, InputError
from loadlens.gates.grammar import Gate
from loadlens.logs import Log
from loadlens.logs.metadata import saved_width
from loadlens.profile import (
    Outliers,
    Plan,
    Statistics,
    WindowPlan,
    below_name,
    key_names,
    percentile_name,
    success_of,
)
from loadlens.profile.buckets import COARSE_ERROR, window_name
from loadlens.profile.clock import FINE_S
from loadlens.saved.reading import refuse_other_windows
from loadlens.schema import LATENCY
from loadlens.summaries.apdex import judged_calls, limits_of, score_of
from loadlens.summaries.summary_columns import error_rate, with_numeric_keys

__all__ = [
    "Measures",
    "gates_plan",
    "hangs_on_rejects",
    "is_of_whole_windows",
    "measures",
    "quantile_of",
    "refuse_unbounded",
    "value_bounds",
    "value_of",
    "values_behind",
]


_MEDIAN = 0.5

_ROUNDING: Final = 4 * float(np.finfo(np.float64).eps)


def value_of(gate: Gate) -> pl.Expr:
    """The figure that a gate judges, of a table of measures; null where there is none."""
    population = "kept" if gate.filtered else "success"
    if gate.metric == "percentile" and gate.quantile is not None:
        prefix = "kept" if gate.filtered else LATENCY
        return pl.col(f"{prefix}_{percentile_name(gate.quantile)}")
    if gate.metric == "attainment" and gate.below_ms is not None:
        # All that are kept lie below a limit above the fence, else all below the limit are kept.
        calls = pl.col("num_kept" if gate.filtered else "num_timed_successes")
        below = pl.min_horizontal(below_name(gate.below_ms), calls)
        return pl.when(calls > 0).then(below / calls)
    others = {
        "apdex": lambda gate: score_of(*[pl.col(below_name(limit)) for limit in limits_of(gate.target_ms)]),
        "throughput": _throughput,
        "error_rate": lambda _: error_rate(),
        "count": values_behind,
    }
    if gate.metric in others:
        return others[gate.metric](gate)
    return pl.col(f"{population}_{gate.metric}")


def _throughput(gate: Gate) -> pl.Expr:
    if gate.window_s is not None:
        return pl.col("num_kept" if gate.filtered else "num_successes") / gate.window_s
    return pl.col("throughput" if gate.filtered else "success_throughput")


def values_behind(gate: Gate) -> pl.Expr:
    """How many calls the figure of a gate is made of."""
    if gate.metric == "error_rate":
        return pl.col("num_rows")
    if gate.metric == "apdex":
        return judged_calls()
    return pl.col("num_kept" if gate.filtered else "num_successes")


def _limits(gate: Gate) -> tuple[float, ...]:
    """The latencies in ms below which calls have to be counted."""
    if gate.target_ms is not None:
        return limits_of(gate.target_ms)
    return () if gate.below_ms is None else (gate.below_ms,)


def quantile_of(gate: Gate) -> tuple[str, float] | None:
    """The column that a gate judges and which quantile, 0 to 1, that is; None for what is no quantile."""
    quantile = _MEDIAN if gate.metric == "median" else gate.quantile
    return None if quantile is None else (value_of(gate).meta.output_name(), quantile)


def refuse_unbounded(gates: Sequence[Gate], log: Log) -> None:
    """Refuses gates that a saved profile cannot judge, as no bound of their error is known.

    Raises:
        GateError: names all of them.
        InputError: windows are no multiples of those of the profiles.
    """
    if not log.saved:
        return
    if found := [gate for gate in gates if gate.filtered]:
        reason = "a saved profile does not tell which calls lie below the fence; check the log itself"
        raise GateError(*[f"gate '{gate.text}': {reason}" for gate in found])
    widths = [gate.window_s for gate in gates if gate.window_s is not None]
    refuse_other_windows(log.name, saved_width(log.saved), widths)


def hangs_on_rejects(gate: Gate) -> bool:
    """Whether rows that were rejected leave its figure open: each may be a call, failed or not."""
    return gate.metric in ("error_rate", "count", "apdex")


def is_of_whole_windows(gate: Gate) -> bool:
    """Whether its figure grows with time, so that a window which is cut off tells too little."""
    return gate.metric in ("throughput", "count")


def value_bounds(gate: Gate, resolution_s: float, unjudged: int = 0) -> tuple[pl.Expr, pl.Expr]:
    """The least and the greatest that the figure of a gate can be.

    Args:
        gate: the gate.
        resolution_s: the resolution of the log's clock, which leaves open how long spans and windows are.
        unjudged: rows that were rejected; each may be a call of any configuration, failed or not.

    Returns:
        The one of a table of the least that measures can be, the other of one of the greatest.
    """
    value = value_of(gate)
    if unjudged and gate.metric == "error_rate":
        failed, calls = pl.col("num_rows") - pl.col("num_successes"), pl.col("num_rows") + unjudged
        return failed / calls, (failed + unjudged) / calls
    if unjudged and gate.metric == "count":
        return value, value + unjudged
    if unjudged and gate.metric == "apdex":
        calls = judged_calls()
        points = value.fill_null(0.0) * calls
        return points / (calls + unjudged), (points + unjudged) / (calls + unjudged)
    if gate.metric == "throughput" or (gate.window_s is not None and gate.metric == "count"):
        return _by_clock(gate, value, resolution_s)
    return value, value


def _by_clock(gate: Gate, value: pl.Expr, resolution_s: float) -> tuple[pl.Expr, pl.Expr]:
    """What a rate over a span, or within windows, can be by a clock that tells lengths of time so finely."""
    if gate.window_s is None:
        return value, pl.col("throughput_high" if gate.filtered else "success_throughput_high")
    if resolution_s <= FINE_S:
        return value, value
    width, shortest = gate.window_s, gate.window_s - resolution_s
    unbounded = pl.when(value > 0).then(math.inf).otherwise(0.0)
    highest = value * (width / shortest) if shortest > 0 else unbounded
    return value * (width / (width + resolution_s)), highest


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
        relative_error: bound of the relative error of latencies; where they have one, ``table`` has bounds as
            in ``Statistics``.
    """

    key: tuple[str, ...]
    table: pl.DataFrame
    spans: Mapping[int, tuple[float | None, float | None]] = field(default_factory=dict)
    first_start: float | None = None
    last_end: float | None = None
    window_s: float | None = None
    resolution_s: float = 0.0
    relative_error: float = 0.0

    def bound(self, side: Literal["low", "high"]) -> pl.DataFrame:
        """The table of the least that figures can be, or of the greatest."""
        bounds = pl.col(f"^{side}:.*$").name.map(lambda name: name.removeprefix(f"{side}:"))
        return self.table.with_columns(bounds)


def gates_plan(log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers) -> Plan:
    """What has to be measured to judge gates.

    Raises:
        InputError: the log lacks the times that a gate needs.
    """
    _require_times(log, gates)
    by_width = _by_width(gates)
    windows = [
        WindowPlan(
            width_s=width,
            figures=_plan(log, key, chosen, outliers),
            is_open=partial(_is_open, chosen, key_names(key)),
        )
        for width, chosen in by_width.items()
        if width is not None
    ]
    return replace(_plan(log, key, by_width.get(None, []), outliers), windows=tuple(windows))


def measures(
    log: Log, key: tuple[str, ...], gates: Sequence[Gate], found: Statistics
) -> dict[float | None, Measures]:
    """What gates are judged by, for each width of windows.

    Raises:
        InputError: there are gates on windows, and no call has an end.
    """
    statistics = with_numeric_keys(found, key)
    run = _of_the_run(statistics, key)
    return {
        width: run if width is None else _of_windows(log, statistics, run, width)
        for width in _by_width(gates)
    }


def _by_width(gates: Sequence[Gate]) -> dict[float | None, list[Gate]]:
    found: dict[float | None, list[Gate]] = {}
    for gate in gates:
        found.setdefault(gate.window_s, []).append(gate)
    return found


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
    limits = {limit for gate in gates for limit in _limits(gate)}
    medians = ("median",) if any(gate.metric == "median" for gate in gates) else ()
    return Plan(
        key=key,
        success=success_of(log.columns),
        outliers=outliers if any_filtered else "none",
        fence_over_failures=any_filtered,
        percentiles=quantiles(filtered=False),
        kept_percentiles=quantiles(filtered=True),
        limits_ms=tuple(sorted(limits)),
        described_by=("min", *medians, "max"),
        histogram=False,
        bounds=True,
    )


def _is_open(
    gates: Sequence[Gate], key: Sequence[str], lowest: pl.DataFrame, highest: pl.DataFrame
) -> NDArray[np.bool_]:
    """In which windows a verdict, or the worst value of a configuration, hangs on what is not known yet."""
    found = np.zeros(lowest.height, dtype=np.bool_)
    if any(gate.filtered for gate in gates):  # wherever the fence turns out to lie, it changes every figure
        return ~found
    for gate in gates:
        if quantile_of(gate) is None and not _limits(gate):
            continue  # counts, sums and extremes are exact
        bounds = lowest.select(*key, value_of(gate).alias("low"))
        bounds = bounds.with_columns(highest.select(value_of(gate).alias("high")))
        found |= bounds.select(_hangs_on(gate, key)).to_series().to_numpy()
    return found


def _hangs_on(gate: Gate, key: Sequence[str]) -> pl.Expr:
    """Whether a window may be the worst of its configuration, or may or may not keep to a gate."""
    # Between two latencies, a quantile may be rounded past what was rounded elsewhere.
    low, high = pl.col("low") * (1 - _ROUNDING), pl.col("high") * (1 + _ROUNDING)
    best = low.max() if gate.is_upper else high.min()
    worst = best.over(key) if key else best
    may_be_worst = high >= worst if gate.is_upper else low <= worst
    is_close = gate.keeps(low) != gate.keeps(high)
    return ((pl.col("low") < pl.col("high")) & (may_be_worst | is_close)).fill_null(value=False)


def _of_the_run(statistics: Statistics, key: tuple[str, ...]) -> Measures:
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


def _of_windows(log: Log, statistics: Statistics, run: Measures, width_s: float) -> Measures:
    if run.last_end is None:
        raise InputError(f"{log.name}: no call has an end_time, which 'within' needs")
    names = key_names(run.key)
    groups = run.table.select("group", "code", *names).join(statistics.profile.spans, on="code", how="left")
    windows = (
        statistics.windows[width_s]
        .rename({window_name(width_s): "window"})
        .filter(pl.col("window").is_not_null())
    )
    numbers = groups.select("group", *names)
    table = windows.join(numbers, on=names, nulls_equal=True) if names else windows.join(numbers, how="cross")
    spans = groups.select("group", "first_start", "last_end").iter_rows()
    return replace(
        run,
        table=table.sort("group", "window"),
        spans={group: (first, last) for group, first, last in spans},
        window_s=width_s,
        relative_error=COARSE_ERROR if run.relative_error else 0.0,
    )
