"""The universal scalability law, fitted to throughput against load: where a system saturates and peaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.messages import counted

__all__ = ["Scalability", "fitted_scalability", "scalability_by"]

Floats = NDArray[np.float64]

_FEWEST_POINTS: Final = 8
_FEWEST_LOADS: Final = 4
_LEAST_RANGE: Final = 1.5  # of the 95th percentile of the load to the 5th: less is one load
_MOST_ROUGHNESS: Final = 1.0  # of von Neumann's ratio, which is 2 for values that change by chance alone
_LEAST_DETERMINATION: Final = 0.5
_MOST_EFFICIENCY: Final = 0.8  # at the highest load, from which on the system is not near saturation
_SAME: Final = 0.1
_EVEN: Final = 0.5
_DIRECTIONS: Final = (2, 60, 400)  # along a line, a circle, a sphere
_APPROACHES: Final = 5
_TOLERANCE: Final = 0.02  # of the room for error
_NO_DENOMINATOR: Final = 1e-30
_LEAST_SHARE: Final = 0.05  # of the mean throughput, for a start
_SMALLEST_STEP: Final = 1e-9
_SEED: Final = 20_240_229
_STEPS: Final = 20
_SETS: Final = tuple(product((True, False), repeat=2))
"""Which of contention and coherency are free, the others being 0."""


@dataclass(frozen=True, kw_only=True)
class Scalability:
    """Throughput against load by the universal scalability law, or why a log cannot tell it.

    X(N) = rate * N / (1 + contention * (N - 1) + coherency * N * (N - 1)), with contention and coherency of 0
    or more. The peak is where X is highest: N = sqrt((1 - contention) / coherency). The knee is the load at
    which the straight line of the first calls would reach that throughput: up to there more load brings more
    throughput, beyond it mostly latency.

    Source: N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, chapters 4 to 6. The knee is where the
    asymptotic bounds of P. J. Denning and J. P. Buzen, The operational analysis of queueing network models,
    ACM Computing Surveys 10 (1978), cross.

    Attributes:
        reason: why nothing is told; None where something is.
        num_points: how many measurements it is fitted to.
        loads: the lowest and the highest load of these.
        figures: ``rate_per_s``, ``contention``, ``coherency``, ``knee_load``, ``peak_load``,
            ``peak_throughput``; infinite where throughput has a limit that it never reaches, or none.
        intervals: of each figure the 95 % confidence interval.
        determination: the share of the throughput's variance that the law explains (R squared, weighted).
        is_extrapolated: whether the peak lies beyond the highest load.
    """

    reason: str | None = None
    num_points: int = 0
    loads: tuple[float, float] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    determination: float | None = None
    is_extrapolated: bool = False

    def throughput(self, load: Floats) -> Floats:
        """What the law says of some loads, per s; only where it is told."""
        rate, contention, coherency = (
            self.figures[name] for name in ("rate_per_s", "contention", "coherency")
        )
        found: Floats = rate * load / (1 + contention * (load - 1) + coherency * load * (load - 1))
        return found

    @property
    def sentence(self) -> str:
        """What it says of the log."""
        if self.reason is not None:
            return f"The log cannot tell how throughput scales with load: {self.reason}."
        knee, peak = self.figures["knee_load"], self.figures["peak_load"]
        low, high = self.intervals["knee_load"]
        told = (
            f"Throughput rises with the load up to a knee at {knee:,.3g} active calls ({low:,.3g} to "
            f"{high:,.3g})"
        )
        if np.isinf(peak):
            return f"{told}; beyond it, more load brings mostly latency."
        beyond = ", beyond the load that was measured" if self.is_extrapolated else ""
        highest = f"{self.figures['peak_throughput']:,.4g} per s, at {peak:,.3g}{beyond}"
        return f"{told} and is highest, {highest}; from there on more load costs throughput."

    @property
    def document(self) -> dict[str, Any]:
        """All of it as it stands in summary.json; what is infinite is null."""

        def told(value: float) -> float | None:
            return value if np.isfinite(value) else None

        return {
            "reason": self.reason,
            "num_points": self.num_points,
            "loads": self.loads and list(self.loads),
            **{name: told(value) for name, value in self.figures.items()},
            "intervals_95": {name: [told(one) for one in ends] for name, ends in self.intervals.items()},
            "determination": self.determination,
            "is_extrapolated": self.is_extrapolated,
        }


def fitted_scalability(
    load: Sequence[float] | Floats, throughput: Sequence[float] | Floats, seconds: Sequence[float] | Floats
) -> Scalability:
    """Fits the law to measurements in the order of time, weighted as counts are.

    Weighted least squares by Gauss-Newton steps from the linear fit of N / X; contention and coherency that
    would be negative are 0. Intervals are those of the profile likelihood: what a figure comes to among all
    parameters whose weighted sum of squares exceeds the least one by no more than its dispersion times the
    square of Student's t. Dispersion is that of the residuals, or of blocks of neighbours in time where
    these go together. The same measurements give the same intervals.

    Source: D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its Applications, Wiley 1988,
    chapter 6 (profiles); blocks: H. R. Kuensch, Annals of Statistics 17 (1989).

    Args:
        load: calls or clients that were active.
        throughput: successful calls per s.
        seconds: for how long each was measured.
    """
    load, throughput, seconds = (
        np.asarray(values, dtype=np.float64) for values in (load, throughput, seconds)
    )
    some = (load > 0) & (seconds > 0) & np.isfinite(load) & np.isfinite(throughput)
    load, throughput, seconds = load[some], throughput[some], seconds[some]
    if reason := _untold(load, throughput):
        return Scalability(reason=reason, num_points=len(load))
    measured = _Measured(
        load=load, throughput=throughput, weight=seconds / np.maximum(throughput, 1 / seconds)
    )
    measured = replace(measured, weight=seconds / measured.law(_fit(measured))[0])
    found = _fit(measured)
    determination = _determination(measured, found)
    figures = {name: float(values[0]) for name, values in _figures(found).items()}
    highest = float(load.max())
    efficiency = float(_law(np.array([highest]), found)[0, 0]) / (figures["rate_per_s"] * highest)
    ends = (float(load.min()), highest)
    if reason := _unconvincing(load, throughput, determination, efficiency):
        return Scalability(reason=reason, num_points=len(load), loads=ends, determination=determination)
    return Scalability(
        num_points=len(load),
        loads=ends,
        figures=figures,
        intervals=_intervals(measured, found),
        determination=determination,
        is_extrapolated=figures["peak_load"] > highest,
    )


def scalability_by(
    windows: pl.DataFrame, systems: Sequence[str], load: str
) -> dict[tuple[Any, ...], Scalability]:
    """The law of each of several systems in one log, fitted to windows of time.

    Args:
        windows: the columns ``systems`` and ``load``, ``window_start_s``, ``covered_s``, ``throughput``.
        systems: what tells the systems apart.
        load: the column with the load of a window.

    Returns:
        By the values of ``systems``, ascending.
    """
    told = windows.filter(pl.col("covered_s") > 0).drop_nulls(["throughput", load])
    ordered = told.sort(*systems, "window_start_s", nulls_last=True)
    parts = ordered.group_by(systems, maintain_order=True)
    return {
        key: fitted_scalability(*(own[name].to_numpy() for name in (load, "throughput", "covered_s")))
        for key, own in parts
    }


def _untold(load: Floats, throughput: Floats) -> str | None:
    """Why measurements cannot tell how throughput depends on load."""
    if len(load) < _FEWEST_POINTS or not throughput.any():
        return f"it has {len(load)} windows with active calls and throughput, and it takes {_FEWEST_POINTS}"
    low, high = np.quantile(load, [0.05, 0.95])
    if high < _LEAST_RANGE * low:
        return f"its load is constant: between {low:.3g} and {high:.3g} most of the time"
    if (loads := len(np.unique(load))) < _FEWEST_LOADS:
        return f"it has {counted(loads, 'load')}, and it takes {_FEWEST_LOADS}"
    roughness = np.square(np.diff(load)).sum() / np.square(load - load.mean()).sum()
    if roughness > _MOST_ROUGHNESS:
        return "its load is constant but for chance: it goes up and down from one window to the next"
    return None


def _unconvincing(load: Floats, throughput: Floats, determination: float, efficiency: float) -> str | None:
    """Why a fit tells nothing of the system."""
    if efficiency > _MOST_EFFICIENCY and determination > _LEAST_DETERMINATION:
        return (
            f"it was never near saturation: at the highest load, {load.max():.3g}, throughput is still "
            f"{efficiency:.0%} of what a system without limits would have"
        )
    if determination < _LEAST_DETERMINATION:
        low = throughput[load <= np.median(load)].mean()
        high = throughput[load > np.median(load)].mean()
        is_even = throughput.std() < _EVEN * throughput.mean()
        if is_even and abs(high - low) < _SAME * high:
            return (
                "throughput is the same at every load: the system was saturated throughout, or calls came at "
                "a fixed rate"
            )
        share = f"{max(determination, 0):.0%}"
        return f"throughput does not follow the load: the law explains {share} of its variance"
    return None


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Measurements and how much each weighs."""

    load: Floats
    throughput: Floats
    weight: Floats

    @property
    def freedom(self) -> int:
        """Measurements beyond the parameters."""
        return len(self.load) - 3

    def law(self, parameters: Floats) -> Floats:
        """Throughput by the law for each row of parameters: 1, contention, coherency, each over the rate."""
        return _law(self.load, parameters)

    def jacobian(self, parameters: Floats) -> Floats:
        """How throughput by the law changes with each parameter."""
        slope = -np.square(self.law(parameters)) / self.load
        found: Floats = slope[..., np.newaxis] * _columns(self.load)
        return found

    def error(self, parameters: Floats) -> Floats:
        """The weighted sum of squares that each row of parameters leaves."""
        found: Floats = np.square(self.throughput - self.law(parameters)) @ self.weight
        return found

    def dispersion(self, parameters: Floats) -> float:
        """The variance of a weighted residual, more where neighbours in time differ in the same direction."""
        residuals = (self.throughput - self.law(parameters)[0]) * np.sqrt(self.weight)
        length = max(1, round(len(residuals) ** (1 / 3)))
        blocks = residuals[: len(residuals) // length * length].reshape(-1, length)
        of_blocks = np.square(blocks.sum(axis=1)).mean() / length
        alone = np.square(residuals).mean()
        return float(max(alone, of_blocks) * len(residuals) / self.freedom)


def _columns(load: Floats) -> Floats:
    return np.stack([np.ones_like(load), load - 1, load * (load - 1)], axis=-1)


def _law(load: Floats, parameters: Floats) -> Floats:
    """Throughput by the law for each row of parameters: 1, contention, coherency, each over the rate."""
    with np.errstate(divide="ignore"):
        found: Floats = load / np.maximum(parameters @ _columns(load).T, _NO_DENOMINATOR)
    return found


def _fit(measured: _Measured) -> Floats:
    """The parameters of the best fit that has none below 0, as one row."""
    best, least = np.zeros((1, 3)), np.inf
    for contended, coherent in _SETS:
        free = np.flatnonzero([True, contended, coherent])
        parameters = _least_squares(measured, free)
        error = measured.error(parameters)[0]
        if parameters[0, 0] > 0 and (parameters >= 0).all() and error < least:
            best, least = parameters, error
    return best


def _least_squares(measured: _Measured, free: NDArray[np.intp]) -> Floats:
    """Gauss-Newton steps from the linear fit of N / X, halved where they lead astray."""
    parameters = np.zeros((1, 3))
    some = np.maximum(measured.throughput, _LEAST_SHARE * measured.throughput.mean())
    of_inverse = np.sqrt(measured.weight) * np.square(some) / measured.load  # what N / X weighs
    columns = _columns(measured.load)[:, free]
    parameters[0, free] = _solved(columns, measured.load / some, of_inverse)
    error = measured.error(parameters)[0]
    for _ in range(_STEPS):
        step = np.zeros((1, 3))
        residuals = measured.throughput - measured.law(parameters)[0]
        jacobian = measured.jacobian(parameters)[0][:, free]
        step[0, free] = _solved(jacobian, residuals, np.sqrt(measured.weight))
        while np.abs(step).max() > 0 and measured.error(parameters + step)[0] > error:
            step = np.where(np.abs(step) > _SMALLEST_STEP * np.abs(parameters), step / 2, 0)
        parameters = parameters + step
        error = measured.error(parameters)[0]
    return parameters


def _solved(columns: Floats, values: Floats, weight: Floats) -> Floats:
    """Weighted least squares; each weight is a root, and columns are scaled, as their sizes differ widely."""
    weighted = columns * weight[:, np.newaxis]
    scale = np.linalg.norm(weighted, axis=0)
    found: Floats = np.linalg.lstsq(weighted / scale, values * weight, rcond=None)[0] / scale
    return found


def _determination(measured: _Measured, parameters: Floats) -> float:
    mean = np.average(measured.throughput, weights=measured.weight)
    total = float(measured.weight @ np.square(measured.throughput - mean))
    return float(1 - measured.error(parameters)[0] / total) if total > 0 else 0.0


def _figures(parameters: Floats) -> dict[str, Floats]:
    first, contention, coherency = parameters.T
    rate, contention, coherency = 1 / first, contention / first, coherency / first
    with np.errstate(divide="ignore", invalid="ignore"):
        at_peak = np.sqrt(np.maximum(1 - contention, 0) / coherency)
        peak_load = np.where(coherency > 0, np.maximum(at_peak, 1), np.inf)
        slowed = 1 + contention * (peak_load - 1) + coherency * peak_load * (peak_load - 1)
        reached = np.where(coherency > 0, rate * peak_load / slowed, rate / contention)
    peak = np.where((coherency > 0) | (contention > 0), reached, np.inf)
    return {
        "rate_per_s": rate,
        "contention": contention,
        "coherency": coherency,
        "knee_load": peak / rate,
        "peak_load": peak_load,
        "peak_throughput": peak,
    }


def _intervals(measured: _Measured, parameters: Floats) -> dict[str, tuple[float, float]]:
    """What figures come to among all parameters that fit nearly as well as the best: profile likelihood."""
    least = measured.error(parameters)[0]
    room = measured.dispersion(parameters) * _student(measured.freedom) ** 2
    points = [parameters]
    for contended, coherent in _SETS:
        free = np.flatnonzero([True, contended, coherent])
        centre = _least_squares(measured, free)
        if measured.error(centre)[0] < least + room:
            points.append(_edge(measured, centre, free, least + room))
    found = np.concatenate(points)
    possible = (found[:, 0] > 0) & (found >= 0).all(axis=1)
    found = found[possible & (measured.error(found) <= least + room * (1 + _TOLERANCE))]
    found = np.concatenate([parameters, found])
    return {name: (float(values.min()), float(values.max())) for name, values in _figures(found).items()}


def _edge(measured: _Measured, centre: Floats, free: NDArray[np.intp], allowed: float) -> Floats:
    """Parameters in all directions from a fit where the error comes to what is allowed."""
    jacobian = measured.jacobian(centre)[0][:, free] * np.sqrt(measured.weight)[:, np.newaxis]
    scale = np.linalg.norm(jacobian, axis=0)
    _, sizes, axes = np.linalg.svd(jacobian / scale, full_matrices=False)
    around = _around(len(free))
    directions = np.zeros((len(around), 3))
    directions[:, free] = around / np.maximum(sizes, _SMALLEST_STEP) @ axes / scale
    room = allowed - measured.error(centre)[0]
    distance = np.full((len(around), 1), room**0.5)  # if the law were linear
    for _ in range(_APPROACHES):
        more = measured.error(centre + distance * directions) - allowed + room
        distance *= np.sqrt(room / np.maximum(more, _NO_DENOMINATOR))[:, np.newaxis].clip(0.2, 2)
    return centre + distance * directions


def _around(dimensions: int) -> Floats:
    """Directions that are spread evenly, always the same."""
    if dimensions == 1:
        return np.array([[1.0], [-1.0]])
    points = np.random.default_rng(_SEED).normal(size=(_DIRECTIONS[dimensions - 1], dimensions))
    found: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return found


def _student(freedom: float) -> float:
    """The 97.5th percentile of Student's t, by the expansion of Abramowitz and Stegun (26.7.5)."""
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (number + 1) for number, term in enumerate(terms))
