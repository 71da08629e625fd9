"""Between which two figures the true one lies, where latencies are known to a bucket and not exactly."""

import math
from collections.abc import Sequence

import polars as pl

from loadlens.errors import GateError
from loadlens.gates.figures import value_of
from loadlens.gates.grammar import Gate
from loadlens.profile.clock import FINE_S
from loadlens.profile.saved import refuse_other_windows
from loadlens.sources import Log
from loadlens.sources.saved import saved_width

__all__ = ["refuse_unbounded", "value_bounds"]


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
