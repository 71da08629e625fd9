"""The figures that gates are judged by: a row for each configuration, or for each of its windows of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from loadlens.analysis.shared import error_rate, with_numeric_keys
from loadlens.gates.grammar import Gate
from loadlens.gates.windows import WINDOW, window_key
from loadlens.profile import (
    Execution,
    Outliers,
    Plan,
    Statistics,
    below_name,
    key_names,
    measure,
    percentile_name,
)
from loadlens.profile.buckets import NULL_BUCKET
from loadlens.schema import LATENCY
from loadlens.sources import Log

__all__ = ["Measures", "measures", "value_of", "values_behind"]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Figures for the gates of one window width.

    Attributes:
        key: the key columns.
        table: the columns of ``Statistics.table``; ``group``, the number of the configuration; ``window``,
            which multiple of the width it is; ``completions`` and ``success_throughput`` of the successes.
        spans: for each group, the first start and the last end of all of its calls in s.
        window_s: the width of the windows in s; None for the whole run.
    """

    key: tuple[str, ...]
    table: pl.DataFrame
    spans: Mapping[int, tuple[float | None, float | None]]
    window_s: float | None


def measures(
    log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers, execution: Execution
) -> Measures:
    """Measures once all that ``gates``, which are of one window width, are judged by.

    Raises:
        InputError: the log cannot be read, or lacks the times that a gate needs.
    """
    window_s = gates[0].window_s
    timed = ["start_time"] if any(gate.metric == "throughput" for gate in gates) else []
    if timed or window_s is not None:
        log.require([*timed, "end_time"])
    if window_s is None:
        statistics = measure(log, _plan(log, key, gates, outliers), **execution)
        return _measures(with_numeric_keys(statistics, key), key, None)
    windows = window_key(log, key, window_s, execution)
    statistics = measure(windows.log, _plan(windows.log, (WINDOW,), gates, outliers), **execution)
    return _measures(with_numeric_keys(windows.decoded(statistics), (*key, WINDOW)), key, window_s)


def _plan(log: Log, key: tuple[str, ...], gates: Sequence[Gate], outliers: Outliers) -> Plan:
    def quantiles(*, filtered: bool) -> tuple[float, ...]:
        found = {gate.quantile for gate in gates if gate.quantile is not None and gate.filtered == filtered}
        return tuple(sorted(found))

    any_filtered = any(gate.filtered for gate in gates)
    return Plan(
        key=key,
        success=pl.col("success") if "success" in log.columns else pl.col(LATENCY) > 0,
        outliers=outliers if any_filtered else "none",
        fence_over_failures=any_filtered,
        percentiles=quantiles(filtered=False),
        kept_percentiles=quantiles(filtered=True),
        limits_ms=tuple(sorted({gate.below_ms for gate in gates if gate.below_ms is not None})),
    )


def _measures(statistics: Statistics, key: tuple[str, ...], window_s: float | None) -> Measures:
    profile, names = statistics.profile, key_names(key)
    succeeded = profile.buckets.filter(pl.col("success") & (pl.col("bucket") != NULL_BUCKET))
    completions = profile.seconds.group_by("code").agg(pl.col("completions").sum())
    span = pl.col("last_end") - pl.col("first_start")
    throughput = pl.when(span > 0).then(pl.col("completions") / span).alias("success_throughput")
    # The rows of the table and of the keys are in one order.
    table = (
        statistics.table.with_columns(profile.keys["code"])
        .join(completions, on="code", how="left", maintain_order="left")
        .join(_spans(succeeded, "code"), on="code", how="left", maintain_order="left")
        .with_columns(throughput)
        .drop("first_start", "last_end")
    )
    groups = table.select(names).unique(maintain_order=True) if names else pl.DataFrame({"": [0]})
    groups = groups.with_row_index("group")
    table = (
        table.join(groups, on=names, how="left", nulls_equal=True, maintain_order="left")
        if names
        else table.with_columns(pl.lit(0, dtype=groups.schema["group"]).alias("group"))
    )
    all_calls = profile.buckets.join(table.select("code", "group"), on="code")
    if window_s is not None:
        table = table.rename({key_names([WINDOW])[0]: "window"}).filter(pl.col("window").is_not_null())
    spans = {group: (first, last) for group, first, last in _spans(all_calls, "group").iter_rows()}
    return Measures(key=key, table=table, spans=spans, window_s=window_s)


def _spans(buckets: pl.DataFrame, by: str) -> pl.DataFrame:
    return buckets.group_by(by).agg(pl.col("first_start").min(), pl.col("last_end").max())


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
    if gate.metric == "throughput":
        return _throughput(gate)
    if gate.metric == "error_rate":
        return error_rate()
    if gate.metric == "count":
        return values_behind(gate)
    return pl.col(f"{population}_{gate.metric}")


def _throughput(gate: Gate) -> pl.Expr:
    if gate.window_s is not None:
        return pl.col("num_kept" if gate.filtered else "completions").fill_null(0) / gate.window_s
    return pl.col("throughput" if gate.filtered else "success_throughput")


def values_behind(gate: Gate) -> pl.Expr:
    """How many calls the figure of a gate is made of."""
    if gate.metric == "error_rate":
        return pl.col("num_rows")
    return pl.col("num_kept" if gate.filtered else "num_successes")
