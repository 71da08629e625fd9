"""Which figure a gate judges: expressions over a table of measures."""

import polars as pl

from loadlens.analysis.shared import error_rate
from loadlens.gates.grammar import Gate
from loadlens.profile import below_name, percentile_name
from loadlens.schema import LATENCY

__all__ = ["quantile_of", "value_of", "values_behind"]

_MEDIAN = 0.5


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
        return pl.col("num_kept" if gate.filtered else "num_successes") / gate.window_s
    return pl.col("throughput" if gate.filtered else "success_throughput")


def values_behind(gate: Gate) -> pl.Expr:
    """How many calls the figure of a gate is made of."""
    if gate.metric == "error_rate":
        return pl.col("num_rows")
    return pl.col("num_kept" if gate.filtered else "num_successes")


def quantile_of(gate: Gate) -> tuple[str, float] | None:
    """The column that a gate judges and which quantile, 0 to 1, that is; None for what is no quantile."""
    quantile = _MEDIAN if gate.metric == "median" else gate.quantile
    return None if quantile is None else (value_of(gate).meta.output_name(), quantile)
