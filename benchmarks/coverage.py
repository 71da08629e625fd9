"""Simulates how often the intervals of `loadlens compare` hold, and how often it raises a false alarm.

Every key of the compared logs is one replicate, so what is tested is `compare` itself, from rows to verdicts.
Run it with `python -m benchmarks.coverage`; it prints Markdown tables and exits with 1 where a figure is
outside of what docs/comparison.md promises.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens import Comparison, compare

__all__ = ["DISTRIBUTIONS", "METRICS", "Distribution", "coverage", "false_alarms", "main", "simulated"]

Floats = NDArray[np.float64]
Sizes = tuple[int, int]

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
METRICS: Final = ("error_rate", "mean", *QUANTILES)
SIZES: Final[Sequence[Sizes]] = ((400, 400), (4_000, 4_000), (16_000, 4_000))
EVEN_SIZES: Final = (400, 4_000)
COVERAGE: Final = (0.93, 0.97)
MOST_FALSE_ALARMS: Final = 0.05
SLOWER: Final = 1.1  # candidate's latencies against the base's
ERROR_RATES: Final = (0.05, 0.08)
MIN_EFFECT: Final = 0.05
HARDLY_ANY_EFFECT: Final = 0.001
ROWS_AT_ONCE: Final = 2_000_000
CORRELATION: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution of latencies in ms, whose mean and quantiles are known.

    Attributes:
        name: what the tables call it.
        draw: latencies of a shape.
        quantile: the latency at a quantile.
        mean: the mean latency.
    """

    name: str
    draw: Callable[[np.random.Generator, Sizes], Floats]
    quantile: Callable[[float], float]
    mean: float


def _log_normal(sigma: float) -> Distribution:
    return Distribution(
        name=f"log-normal, σ = {sigma:g}",
        draw=lambda rng, shape: rng.lognormal(3, sigma, shape),
        quantile=lambda p: math.exp(3 + sigma * NormalDist().inv_cdf(p)),
        mean=math.exp(3 + sigma**2 / 2),
    )


def _two_peaks() -> Distribution:
    """Hits of a cache and, four times as rare, misses."""
    hit, miss, share = NormalDist(2, 0.3), NormalDist(4, 0.3), 0.2

    def draw(rng: np.random.Generator, shape: Sizes) -> Floats:
        missed = rng.random(shape) < share
        return np.exp(rng.normal(np.where(missed, miss.mean, hit.mean), hit.stdev))

    def quantile(p: float) -> float:
        low, high = -5.0, 15.0
        for _ in range(80):
            middle = (low + high) / 2
            below = (1 - share) * hit.cdf(middle) + share * miss.cdf(middle) < p
            low, high = (middle, high) if below else (low, middle)
        return math.exp(low)

    means = [math.exp(peak.mean + peak.variance / 2) for peak in (hit, miss)]
    return Distribution(
        name="two peaks (80 % and 20 %)",
        draw=draw,
        quantile=quantile,
        mean=(1 - share) * means[0] + share * means[1],
    )


DISTRIBUTIONS: Final = (
    _log_normal(0.5),
    _log_normal(1),
    Distribution(
        name="exponential",
        draw=lambda rng, shape: rng.exponential(20, shape),
        quantile=lambda p: -20 * math.log(1 - p),
        mean=20,
    ),
    Distribution(
        name="Pareto, α = 3",
        draw=lambda rng, shape: 20 * (1 - rng.random(shape)) ** (-1 / 3),
        quantile=lambda p: 20 * (1 - p) ** (-1 / 3),
        mean=30,
    ),
    _two_peaks(),
)


def _whole_ms(distribution: Distribution) -> Distribution:
    return Distribution(
        name=f"{distribution.name}, whole ms",
        draw=lambda rng, shape: np.ceil(distribution.draw(rng, shape)),
        quantile=lambda p: math.ceil(distribution.quantile(p)),
        mean=math.nan,
    )


def _correlated() -> Distribution:
    """The logarithm of a latency follows that of the call before."""

    def draw(rng: np.random.Generator, shape: Sizes) -> Floats:
        keys, calls = shape
        normal = rng.normal(size=(calls, keys))
        for call in range(1, calls):
            normal[call] = CORRELATION * normal[call - 1] + math.sqrt(1 - CORRELATION**2) * normal[call]
        return np.exp(3 + 0.5 * normal.T)

    independent = _log_normal(0.5)
    return Distribution(
        name=f"{independent.name}, calls correlated by {CORRELATION:g}",
        draw=draw,
        quantile=independent.quantile,
        mean=independent.mean,
    )


def _log(rng: np.random.Generator, latencies: Floats, errors: float) -> pl.DataFrame:
    keys, calls = latencies.shape
    failed = rng.random(latencies.shape) < errors
    return pl.DataFrame(
        {
            "label": np.repeat(np.arange(keys), calls),
            "invocation_latency": np.where(failed, -1.0, latencies).ravel(),
        }
    )


def simulated(
    distribution: Distribution, sizes: Sizes, replicates: int, *, changed: bool
) -> Sequence[Comparison]:
    """Comparisons of as many keys as there are ``replicates``.

    Args:
        distribution: of the latencies.
        sizes: calls of each key in the base and in the candidate.
        replicates: how many keys.
        changed: whether the candidate is slower and fails more often; if not, any change counts.
    """
    rng = np.random.default_rng([crc32(distribution.name.encode()), *sizes])
    factors = (1, SLOWER if changed else 1)
    errors = ERROR_RATES if changed else (ERROR_RATES[0], ERROR_RATES[0])
    min_effect = MIN_EFFECT if changed else HARDLY_ANY_EFFECT
    keys = max(ROWS_AT_ONCE // sum(sizes), 1)
    found = []
    for start in range(0, replicates, keys):
        count = min(keys, replicates - start)
        base, candidate = (
            _log(rng, factor * distribution.draw(rng, (count, size)), rate)
            for factor, size, rate in zip(factors, sizes, errors, strict=True)
        )
        found.append(compare(base, candidate, ["label"], min_effect=min_effect))
    return found


def coverage(distribution: Distribution, comparisons: Sequence[Comparison]) -> dict[str, float | None]:
    """How often each metric's interval holds the true difference; None where calls are too few for one."""
    truth = {
        "error_rate": ERROR_RATES[1] - ERROR_RATES[0],
        "mean": (SLOWER - 1) * distribution.mean,
        **{name: (SLOWER - 1) * distribution.quantile(quantile) for name, quantile in QUANTILES.items()},
    }
    metrics = pl.concat(comparison.metrics for comparison in comparisons)
    covered: dict[str, float | None] = {}
    for metric in METRICS:
        rows = metrics.filter(pl.col("metric") == metric)
        limited = rows.filter(pl.all_horizontal(pl.col("difference_low", "difference_high").is_not_null()))
        holds = limited.select(
            (pl.col("difference_low") <= truth[metric]) & (truth[metric] <= pl.col("difference_high"))
        )
        covered[metric] = float(holds.to_series().mean()) if limited.height == rows.height else None  # type: ignore[arg-type]
    return covered


def _share(comparisons: Sequence[Comparison], *verdicts: str) -> float:
    keys = sum(comparison.keys.height for comparison in comparisons)
    return sum(comparison.verdicts[verdict] for comparison in comparisons for verdict in verdicts) / keys


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _sizes(sizes: Sizes) -> str:
    return " / ".join(f"{size:,}" for size in sizes)


def _coverage_table(replicates: int) -> tuple[str, bool]:
    rows, good = [], True
    for distribution in DISTRIBUTIONS:
        for sizes in SIZES:
            found = simulated(distribution, sizes, replicates, changed=True)
            covered = coverage(distribution, found)
            low, high = COVERAGE
            good &= all(share is None or low <= share <= high for share in covered.values())
            worse = _share(found, "worse")
            rows.append([distribution.name, _sizes(sizes), *map(_percent, covered.values()), _percent(worse)])
            print(*rows[-1], file=sys.stderr, flush=True)
    return _table(["latencies", "calls", *METRICS, "called worse"], rows), good


def false_alarms(comparisons: Sequence[Comparison], min_effect: float) -> float:
    """Share of the keys that one with this minimum effect calls worse or better."""
    changed = pl.col("metric_verdict").is_in(("worse", "better"))
    large = pl.col("difference").abs() >= min_effect * pl.col("base")
    keys = sum(comparison.keys.height for comparison in comparisons)
    alarms = [comparison.metrics.filter(changed & large)["label"].n_unique() for comparison in comparisons]
    return sum(alarms) / keys


def _alarm_rates(distribution: Distribution, replicates: int) -> list[float]:
    rates = []
    for size in EVEN_SIZES:
        found = simulated(distribution, (size, size), replicates, changed=False)
        rates += [false_alarms(found, effect) for effect in (MIN_EFFECT, HARDLY_ANY_EFFECT)]
    return rates


def _alarm_table(replicates: int) -> tuple[str, bool]:
    independent = (*DISTRIBUTIONS, _whole_ms(DISTRIBUTIONS[0]))
    rows, good = [], True
    for distribution in (*independent, _correlated()):
        rates = _alarm_rates(distribution, replicates)
        rows.append([distribution.name, *map(_percent, rates)])
        print(*rows[-1], file=sys.stderr, flush=True)
        good &= distribution not in independent or max(rates) <= MOST_FALSE_ALARMS
    header = [
        f"{size:,} calls, {effect:.1%}" for size in EVEN_SIZES for effect in (MIN_EFFECT, HARDLY_ANY_EFFECT)
    ]
    return _table(["latencies", *header], rows), good


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both tables; 1 if a figure is out of bounds, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--replicates", type=int, default=2_000, help="of each case (default: 2,000)")
    options = parser.parse_args(arguments)
    intervals, covers = _coverage_table(options.replicates)
    alarms, quiet = _alarm_table(options.replicates)
    print(f"Coverage of the 95 % intervals, {options.replicates:,} replicates:\n\n{intervals}\n")
    print(f"Keys called worse or better though nothing changed, by minimum effect:\n\n{alarms}")
    return 0 if covers and quiet else 1


if __name__ == "__main__":
    sys.exit(main())
