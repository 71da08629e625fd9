"""How many calls an instance can take, how many come, and what latency is good enough."""

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from typing import Final, Literal

import polars as pl

from loadlens.cost.prices import PriceTable
from loadlens.engine import measure
from loadlens.errors import InputError, UsageError
from loadlens.logs import Log
from loadlens.messages import counted
from loadlens.profile import MeasureOptions, Plan, percentile_name, success_of
from loadlens.schema import LATENCY
from loadlens.storage.input_documents import read_document
from loadlens.summaries.summary_columns import error_rate, key_columns, with_numeric_keys

__all__ = [
    "HOURS_PER_MONTH",
    "MOST_ERRORS",
    "SECONDS_PER_MONTH",
    "Capacity",
    "Interval",
    "Objective",
    "Running",
    "Traffic",
    "cheaper_intervals",
    "checked_percentile",
    "cost_curves",
    "instances_needed",
    "measured_capacity",
    "percentile_text",
    "running_instance",
    "units_needed",
]


_OBJECTIVE: Final = re.compile(r"\s*p(\d{1,2}(?:\.\d+)?)\s*<\s*(\d+(?:\.\d+)?)\s*(ms|s)\s*")
_MS: Final = {"ms": 1.0, "s": 1000.0}

MOST_STEPS: Final = 200
"""Up to how many steps of capacity intervals are looked for."""

_TOLERANCE: Final = 1e-9  # a load that fits but for rounding needs no further unit
_TIE: Final = 1e-12
_MOST_CORNERS: Final = 400  # of a curve; more are closer than pixels

HOURS_PER_MONTH: Final = 24 * 30
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "month": SECONDS_PER_MONTH}
_THOUSANDS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_AMOUNT: Final = r"(\d[\d,_]*(?:\.\d+)?)\s*([kMB]?)\s*/\s*(s|min|h|day|month)"
_TRAFFIC: Final = re.compile(rf"\s*{_AMOUNT}(?:\s+peak\s+{_AMOUNT})?\s*")
_MOST_CALLS: Final = 1e15
_RATE_COLUMNS: Final = {"rate_per_s": 1, "invocations": 3600}
_EXPECTED: Final = (
    "a rate or a count such as 50/s, 10M/month or '10M/month peak 40/s', or a CSV file of hourly rates"
)

MOST_ERRORS: Final = 0.01
"""Share of failed calls up to which an instance counts as keeping up."""

_LOAD_COLUMNS: Final = ("max_concurrency", "num_clients", "file")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A latency percentile of the successful calls that must lie below a limit.

    Attributes:
        percentile: 0 to 1.
        limit_ms: what it must be below.
    """

    percentile: float
    limit_ms: float

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Understands ``p95 < 300ms`` or ``p99.9 < 1.5s``.

        Raises:
            UsageError: the text is no objective.
        """
        match = _OBJECTIVE.fullmatch(text)
        if match is None or not float(match[2]):
            raise UsageError(f"objective: got {text!r}, expected one such as 'p95 < 300ms' or 'p99.9 < 1.5s'")
        return cls(percentile=checked_percentile(float(match[1])), limit_ms=float(match[2]) * _MS[match[3]])

    def __str__(self) -> str:
        return f"{percentile_text(self.percentile)} < {self.limit_ms:,g} ms"


def checked_percentile(percent: float) -> float:
    """The quantile of a percentile.

    Raises:
        UsageError: it is not between 0 and 100.
    """
    if not 0 < percent < 100:  # noqa: PLR2004
        raise UsageError(f"percentile: got {percent:g}, expected a number between 0 and 100, such as 95")
    return round(percent / 100, 12)


def percentile_text(quantile: float) -> str:
    """A quantile as people write it: 0.999 is p99.9."""
    return f"p{round(quantile * 100, 10):g}"


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


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The calls of a month of 30 days.

    Attributes:
        monthly_invocations: how many there are.
        peak_rate: calls per second in the busiest hour, which capacity must hold.
        description: where these come from.
    """

    monthly_invocations: float
    peak_rate: float
    description: str

    @property
    def mean_rate(self) -> float:
        """Calls per second over the whole month."""
        return self.monthly_invocations / SECONDS_PER_MONTH

    @property
    def peak_factor(self) -> float:
        """How many times the mean rate the peak rate is."""
        return self.peak_rate / self.mean_rate

    @classmethod
    def constant(cls, rate: float, description: str = "") -> "Traffic":
        """``rate`` calls per second all the time."""
        return cls(
            monthly_invocations=rate * SECONDS_PER_MONTH,
            peak_rate=rate,
            description=description or f"{rate:,g} calls per second all the time",
        )

    @classmethod
    def parse(cls, text: str) -> "Traffic":
        """Understands ``50/s``, ``10M/month``, ``10M/month peak 40/s``, or the path of a CSV file.

        An amount is a number, perhaps with k, M or B, per s, min, h, day or month; without a peak it comes
        evenly spread.

        Raises:
            UsageError: the text is none of these, or the peak is below the mean.
            InputError: the file is no CSV of hourly rates.
        """
        match = _TRAFFIC.fullmatch(text)
        if match is None:
            if not os.path.isfile(text):  # noqa: PTH113  # False, not an error, for odd names
                raise UsageError(f"traffic: got {text!r}, expected {_EXPECTED}")
            return cls.from_csv(text)
        mean = _rate(text, match[1], match[2], match[3])
        if match[4] is None:
            return cls.constant(mean, f"{text.strip()}, evenly spread")
        peak = _rate(text, match[4], match[5], match[6])
        if peak < mean:
            raise UsageError(f"traffic: got {text!r}, whose peak is below its mean of {mean:,.4g}/s")
        return cls(monthly_invocations=mean * SECONDS_PER_MONTH, peak_rate=peak, description=text.strip())

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> "Traffic":
        """Reads hourly rates: a row for each hour, repeated to fill a month (24 rows make a day).

        The file has a header and a column ``rate_per_s`` (calls per second in that hour) or
        ``invocations`` (calls in that hour); other columns are not used.

        Raises:
            InputError: the file cannot be read, lacks the column, or holds a value that is no rate.
        """
        rates = _hourly_rates(path)
        return cls(
            monthly_invocations=sum(rates) / len(rates) * SECONDS_PER_MONTH,
            peak_rate=max(rates),
            description=f"{path}: {counted(len(rates), 'hourly rate')}",
        )


def _rate(text: str, number: str, thousands: str, unit: str) -> float:
    calls = float(number.replace(",", "").replace("_", "")) * _THOUSANDS[thousands]
    if not 0 < calls <= _MOST_CALLS:
        raise UsageError(f"traffic: got {text!r}, expected more than 0 and at most {_MOST_CALLS:.0e} calls")
    return calls / _SECONDS[unit]


def _hourly_rates(path: str | PathLike[str]) -> list[float]:
    try:
        table = pl.read_csv(read_document(path).encode(), infer_schema=False)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise InputError(f"traffic {path}: cannot be read: {reason}; expected {_EXPECTED}") from error
    found = [name for name in _RATE_COLUMNS if name in table.columns]
    if len(found) != 1:
        raise InputError(
            f"traffic {path}: expected one column of {', '.join(_RATE_COLUMNS)}; it has "
            f"{', '.join(table.columns)}"
        )
    texts = table[found[0]].str.strip_chars()
    calls = texts.cast(pl.Float64, strict=False).to_list()
    for row, value in enumerate(calls, start=2):
        if value is None or not math.isfinite(value) or not 0 <= value <= _MOST_CALLS:
            raise InputError(
                f"traffic {path}, line {row}: {found[0]} is {texts[row - 2]!r}, expected a number, 0 or more"
            )
    if not sum(calls):
        raise InputError(f"traffic {path}: has no calls in any hour; expected a rate above 0")
    return [value / _RATE_COLUMNS[found[0]] for value in calls]


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What one instance can take.

    Attributes:
        instance: its type.
        rate: successful calls per second.
        basis: where the rate comes from.
        latency_ms: the latency percentile at this load; None where it was not measured.
        levels: the load levels that were measured: the columns that tell them apart, ``num_rows``,
            ``error_rate``, ``latency_ms``, ``throughput`` (per s), ``sustained``; None without a log.
    """

    instance: str
    rate: float
    basis: str
    latency_ms: float | None = None
    levels: pl.DataFrame | None = None

    @classmethod
    def told(cls, instance: str, rate: float) -> "Capacity":
        """A capacity that the user knows, in calls per second.

        Raises:
            UsageError: the rate is not above 0.
        """
        if not 0 < rate < math.inf:
            raise UsageError(f"capacity of {instance}: got {rate:g}, expected calls per second above 0")
        return cls(instance=instance, rate=rate, basis="as told")


def measured_capacity(
    instance: str,
    log: Log,
    *,
    objective: Objective | None = None,
    percentile: float = 0.95,
    options: MeasureOptions = MeasureOptions(),
) -> Capacity:
    """The capacity of an instance, from a log of it under load.

    The load levels of the log are its ``max_concurrency``, ``num_clients`` and files, as far as it has
    them; without any, it is one level. A level is sustained when at most 1 % of its calls failed and, given
    an objective, its latency meets it. The capacity is the highest throughput (successful calls over the
    time from first start to last end, no outlier removed) of a sustained level.

    Args:
        instance: its type.
        log: the log.
        objective: what latency is good enough.
        percentile: which latency to report; that of the objective if there is one.
        options: how to measure.

    Raises:
        InputError: the log cannot be read, has no times, or no level was sustained.
    """
    quantile = objective.percentile if objective else percentile
    key = tuple(name for name in _LOAD_COLUMNS if name in log.columns)
    log.require((*key, LATENCY, "start_time", "end_time"), "the capacity of an instance")
    success = success_of(log.columns)
    plan = Plan(key=key, success=success, outliers="none", percentiles=(quantile,), histogram=False)
    table = with_numeric_keys(measure(log, plan, options), key).table
    latency = pl.col(f"{LATENCY}_{percentile_name(quantile)}").alias("latency_ms")
    holds = pl.col("latency_ms") < objective.limit_ms if objective else pl.lit(value=True)
    sustained = ((pl.col("error_rate") <= MOST_ERRORS) & holds & (pl.col("throughput") > 0)).fill_null(
        value=False
    )
    levels = table.select(*key_columns(key), "num_rows", error_rate(), latency, "throughput").with_columns(
        sustained.alias("sustained")
    )
    best = levels.filter("sustained").sort("throughput", descending=True).head(1)
    if best.is_empty():
        raise InputError(_nothing_sustained(instance, log, levels, objective))
    row = best.row(0, named=True)
    where = ", ".join(f"{name} {row[name]}" for name in key)
    return Capacity(
        instance=instance,
        rate=row["throughput"],
        basis=f"highest sustained throughput in {log.name}" + (f", at {where}" if where else ""),
        latency_ms=row["latency_ms"],
        levels=levels,
    )


def _nothing_sustained(instance: str, log: Log, levels: pl.DataFrame, objective: Objective | None) -> str:
    rates = levels["error_rate"].drop_nulls().to_list()
    wanted = f"at most {MOST_ERRORS:.0%} errors" + (f" and {objective}" if objective else "")
    found = f"the fewest errors are {min(rates):.2%}" if rates else "it has no calls"
    if objective and (latencies := levels["latency_ms"].drop_nulls().to_list()):
        found += f" and the lowest {percentile_text(objective.percentile)} is {min(latencies):,.4g} ms"
    return (
        f"{log.name}: no load level of {instance} kept {wanted} over a span of time ({found}, in "
        f"{counted(levels.height, 'level')}); measure a lower load, or say its capacity as {instance}=RATE"
    )


def instances_needed(peak_rate: float, capacity: float) -> int:
    """How many instances hold the peak: ceil(peak rate / capacity), at least 1; both in calls per s."""
    return units_needed(peak_rate, capacity)


def running_instance(capacity: Capacity, tables: Sequence[PriceTable], traffic: Traffic | None) -> Running:
    """An instance type as a function of the monthly volume, shaped like ``traffic`` (else evenly spread).

    Raises:
        PriceError: no table prices the instance.
    """
    priced = [table for table in tables if capacity.instance in table.instance_price_per_hour]
    hourly = (priced or tables)[0].price_of_instance_hour(capacity.instance)
    return Running(
        name=capacity.instance,
        kind="instance",
        unit_cost=hourly * HOURS_PER_MONTH,
        unit_calls=capacity.rate * SECONDS_PER_MONTH / (traffic.peak_factor if traffic else 1.0),
    )
