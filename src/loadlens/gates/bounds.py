"""Between which two figures the true one lies, where latencies are known to a bucket and not exactly."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from loadlens.errors import GateError
from loadlens.gates.figures import value_of
from loadlens.gates.grammar import Gate
from loadlens.profile import below_name
from loadlens.profile.buckets import bucket_bounds, bucket_of
from loadlens.profile.clock import FINE_S
from loadlens.sources import Log

__all__ = ["edges_of", "refuse_unbounded", "value_bounds"]

_LATENCIES: Final = ("percentile", "mean", "median", "min", "max")


def refuse_unbounded(gates: Sequence[Gate], log: Log) -> None:
    """Refuses gates that a saved profile cannot judge, as no bound of their error is known.

    Raises:
        GateError: names all of them.
    """
    found = [gate for gate in gates if gate.filtered or gate.window_s is not None]
    if log.saved and found:
        raise GateError(
            *[
                f"gate '{gate.text}': a saved profile does not tell which calls "
                f"{'lie below the fence' if gate.filtered else 'fall into a window'}; check the log itself"
                for gate in found
            ]
        )


def edges_of(limit_ms: float) -> tuple[float, float]:
    """The latencies nearest to a limit, below and above, up to which a profile counts exactly."""
    low, high = (edge.item() for edge in bucket_bounds(bucket_of(np.array([limit_ms]))))
    return (low, low) if low == limit_ms else (low, high)


def value_bounds(
    gate: Gate, relative_error: float, resolution_s: float, unjudged: int = 0
) -> tuple[pl.Expr, pl.Expr]:
    """The least and the greatest that the figure of a gate can be, of a table of measures.

    Args:
        gate: the gate.
        relative_error: bound of the relative error of latencies; 0 for exact figures.
        resolution_s: the resolution of the log's clock, which leaves open how long spans and windows are.
        unjudged: rows that were rejected; each may be a call of any configuration, failed or not.
    """
    value = value_of(gate)
    if unjudged and gate.metric == "error_rate":
        failed, calls = pl.col("num_rows") - pl.col("num_successes"), pl.col("num_rows") + unjudged
        return failed / calls, (failed + unjudged) / calls
    if unjudged and gate.metric == "count":
        return value, value + unjudged
    if gate.metric == "throughput" or (gate.window_s is not None and gate.metric == "count"):
        return _by_clock(gate, value, resolution_s)
    if relative_error and gate.metric in _LATENCIES:
        return value / (1 + relative_error), value / (1 - relative_error)
    if relative_error and gate.below_ms is not None:
        calls = pl.col("num_timed_successes")
        low, high = (
            pl.when(calls > 0).then(pl.col(below_name(edge)) / calls) for edge in edges_of(gate.below_ms)
        )
        return low, high
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
