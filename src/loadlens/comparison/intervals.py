"""Confidence intervals of means, shares and percentiles, and of the difference between two of them.

Every figure of a run gets an interval of its own that need not be symmetric; two of them combine into the
interval of the difference by adding the squares of the distances between figure and limit. For shares that
is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10); Zou and Donner (Statistics
in Medicine 27, 2008) show that it holds for any two independent figures. For means it is Welch's interval.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST_BEYOND",
    "FEWEST_FOR_MEAN",
    "Estimate",
    "Floats",
    "difference_limits",
    "mean_estimate",
    "percentile_ranks",
    "share_estimate",
]

Floats = NDArray[np.float64]

FEWEST_FOR_MEAN = 100
"""Latencies that the interval of a mean takes at least."""

FEWEST_BEYOND = 30
"""Latencies that are expected above, and below, a percentile with an interval: p99 takes 3,000."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure of many keys with its limits; a limit is infinite where the data set none.

    Attributes:
        value: the figures; NaN where there is none.
        low: lower limits, at most the figure.
        high: upper limits, at least the figure.
        error: by how much the figure may be off what the run's own calls say; 0 where it is exact.
    """

    value: Floats
    low: Floats
    high: Floats
    error: Floats | float = 0.0


def difference_limits(base: Estimate, candidate: Estimate) -> tuple[Floats, Floats]:
    """Limits of ``candidate - base``; infinite where a limit that they need is, NaN without a figure.

    Errors of the figures are bounds, not chance: they add up as they are.
    """
    difference = candidate.value - base.value
    error = base.error + candidate.error
    down = np.hypot(candidate.value - candidate.low, base.high - base.value)
    up = np.hypot(candidate.high - candidate.value, base.value - base.low)
    return difference - down - error, difference + up + error


def share_estimate(hits: Floats, size: Floats, level: float) -> Estimate:
    """Shares with Wilson's score limits.

    Args:
        hits: how many are counted.
        size: of how many, at least 1.
        level: confidence, 0 to 1.
    """
    z = _normal_quantile(level)
    share = hits / size
    centre = (hits + z**2 / 2) / (size + z**2)
    half = z / (size + z**2) * np.sqrt(hits * (1 - share) + z**2 / 4)
    return Estimate(value=share, low=np.clip(centre - half, 0, share), high=np.clip(centre + half, share, 1))


def mean_estimate(mean: Floats, variance: Floats, size: Floats, level: float) -> Estimate:
    """Means with normal limits; infinite ones below ``FEWEST_FOR_MEAN`` latencies.

    Args:
        mean: in any unit; NaN without latencies.
        variance: in the square of that unit, with n - 1.
        size: how many latencies there are.
        level: confidence, 0 to 1.
    """
    enough = size >= FEWEST_FOR_MEAN
    error = np.sqrt(np.where(enough, variance, 0) / np.maximum(size, 1))
    half = np.where(enough, _normal_quantile(level) * error, np.inf)
    return Estimate(value=mean, low=mean - half, high=mean + half)


def percentile_ranks(size: Floats, quantile: float, level: float) -> tuple[Floats, Floats]:
    """Ranks (from 0) of two order statistics with a quantile between them, whatever the distribution.

    How many of ``size`` independent latencies lie below the quantile is a binomial number. The ranks are
    its quantiles, a count on the limit taken as half beyond it (mid-p), by the normal approximation with
    its skewness term.

    Args:
        size: how many latencies there are.
        quantile: 0 to 1.
        level: confidence, 0 to 1.

    Returns:
        Whole numbers; NaN where fewer than ``FEWEST_BEYOND`` latencies are expected on one of its sides.
    """
    z = _normal_quantile(level)
    centre = size * quantile + (1 - 2 * quantile) * (z**2 - 1) / 6
    reach = z * np.sqrt(size * quantile * (1 - quantile))
    # 1 - 0.9 is a little less than 0.1, and 300 latencies must do for p90.
    enough = np.round(size * min(quantile, 1 - quantile), 9) >= FEWEST_BEYOND
    low, high = np.floor(centre - reach), np.ceil(centre + reach) - 1
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
