"""Ways to run as functions of the monthly volume: a price for each call and steps of capacity."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import polars as pl

__all__ = ["Interval", "Running", "cheaper_intervals", "cost_curves", "units_needed"]

MOST_STEPS: Final = 200
"""Up to how many steps of capacity intervals are looked for."""

_TOLERANCE: Final = 1e-9  # a load that fits but for rounding needs no further unit
_TIE: Final = 1e-12
_MOST_CORNERS: Final = 400  # of a curve; more are closer than pixels


def units_needed(load: float, unit: float) -> int:
    """How many units hold ``load``: ceil(load / unit), at least 1."""
    return max(1, math.ceil(load / unit * (1 - _TOLERANCE)))


@dataclass(frozen=True, kw_only=True)
class Running:
    """A way to run, as a function of how many calls a month brings.

    Attributes:
        name: what people call it.
        kind: whether calls or instances are paid for.
        cost_per_call: price of a call.
        unit_cost: price of a unit of capacity a month: an instance, or a provisioned concurrency.
        unit_calls: calls a month that one unit holds; infinite where no capacity is paid for.
    """

    name: str
    kind: Literal["serverless", "instance"]
    cost_per_call: float = 0.0
    unit_cost: float = 0.0
    unit_calls: float = math.inf

    def units(self, calls: float) -> int:
        """Units of capacity that ``calls`` a month need; 0 where no capacity is paid for."""
        return units_needed(calls, self.unit_calls) if math.isfinite(self.unit_calls) else 0

    def monthly_cost(self, calls: float) -> float:
        """Cost of a month with so many calls."""
        return calls * self.cost_per_call + self.units(calls) * self.unit_cost

    @property
    def slope(self) -> float:
        """Cost of a further call in the long run."""
        return self.cost_per_call + self.unit_cost / self.unit_calls

    def step_ends(self, most: float) -> Iterable[int]:
        """The largest whole volumes that 1, 2, ... units hold, up to ``most``."""
        if not math.isfinite(self.unit_calls):
            return
        for units in range(1, MOST_STEPS + 1):
            end = math.floor(units * self.unit_calls * (1 + _TOLERANCE))
            if end > most:
                return
            yield end


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Whole monthly volumes over which one of two ways to run is the cheaper one.

    Attributes:
        first: the least volume.
        last: the greatest; None where there is no end.
        cheaper: which of the two; equal costs count for the first.
    """

    first: int
    last: int | None
    cheaper: Running


def cheaper_intervals(base: Running, other: Running) -> list[Interval]:
    """Where ``other`` costs less than ``base``, and where it does not, from one call a month upwards.

    Both costs climb in steps, so they can cross many times. A cost lies between its slope times the volume
    and one unit above it; beyond the larger unit cost over the difference of the slopes the one of the
    lower slope is cheaper for good. If this lies beyond 200 steps, the last interval ends there.
    """
    gap = abs(base.slope - other.slope)
    even = gap <= _TIE * max(base.slope, other.slope)
    settled = math.inf if even else max(base.unit_cost, other.unit_cost) / gap
    most = min(settled, *(MOST_STEPS * way.unit_calls for way in (base, other)))
    ends = _stretches(base, other, math.ceil(most)) if math.isfinite(most) else []
    found = [piece for low, high in pairwise([0, *ends]) for piece in _pieces(base, other, low + 1, high)]
    if most in {settled, math.inf}:
        found.append((ends[-1] + 1 if ends else 1, None, not even and other.slope < base.slope))
    return _merged(base, other, found)


_Piece = tuple[int, int | None, bool]  # first and last volume, and whether the other one is cheaper


def _stretches(base: Running, other: Running, most: int) -> list[int]:
    """The ends of the stretches of volumes without a step, up to ``most``."""
    ends = {*base.step_ends(most), *other.step_ends(most), most}
    return sorted(ends - {0})


def _pieces(base: Running, other: Running, low: int, high: int) -> list[_Piece]:
    """A stretch from ``low`` to ``high`` without a step within, cut where the costs cross."""
    at_low, at_high = _is_cheaper(base, other, low), _is_cheaper(base, other, high)
    if at_low == at_high:
        return [(low, high, at_low)]
    below, above = low, high
    while above - below > 1:
        middle = (below + above) // 2
        if _is_cheaper(base, other, middle) == at_low:
            below = middle
        else:
            above = middle
    return [(low, below, at_low), (above, high, at_high)]


def _is_cheaper(base: Running, other: Running, calls: int) -> bool:
    cost = base.monthly_cost(calls)
    return cost - other.monthly_cost(calls) > _TIE * cost


def _merged(base: Running, other: Running, pieces: Sequence[_Piece]) -> list[Interval]:
    found: list[_Piece] = []
    for first, last, is_other in pieces:
        if found and found[-1][2] == is_other:
            found[-1] = (found[-1][0], last, is_other)
        else:
            found.append((first, last, is_other))
    return [
        Interval(first=first, last=last, cheaper=other if is_other else base)
        for first, last, is_other in found
    ]


def cost_curves(ways: Sequence[Running], most: float) -> pl.DataFrame:
    """Monthly costs up to ``most`` calls a month, by their corners.

    Returns:
        ``option``, ``kind``, ``monthly_invocations``, ``monthly_cost``; a step has two rows of one volume.
    """
    rows = [(way.name, way.kind, calls, cost) for way in ways for calls, cost in _corners(way, most)]
    schema = {
        "option": pl.String,
        "kind": pl.String,
        "monthly_invocations": pl.Float64,
        "monthly_cost": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _corners(way: Running, most: float) -> list[tuple[float, float]]:
    steps = most / way.unit_calls
    if steps > _MOST_CORNERS:
        volumes = [most * number / _MOST_CORNERS for number in range(_MOST_CORNERS + 1)]
        return [(calls, way.monthly_cost(calls)) for calls in volumes]
    found = [(0.0, way.monthly_cost(0.0))]
    for units in range(1, math.ceil(steps) if math.isfinite(way.unit_calls) else 1):
        end = units * way.unit_calls
        called = end * way.cost_per_call
        found += [(end, called + units * way.unit_cost), (end, called + (units + 1) * way.unit_cost)]
    return [*found, (float(most), way.monthly_cost(most))]
