import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.comparison.runs import (
    FEWEST_FOR_MEAN,
    Estimate,
    difference_limits,
    mean_estimate,
    percentile_ranks,
    share_estimate,
)

LEVEL = 0.95


def some(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def binomial_cdf(count: int, size: int, share: float) -> float:
    """From the formula, in logarithms."""
    terms = [
        math.lgamma(size + 1)
        - math.lgamma(k + 1)
        - math.lgamma(size - k + 1)
        + k * math.log(share)
        + (size - k) * math.log1p(-share)
        for k in range(count + 1)
    ]
    return math.fsum(map(math.exp, terms))


# Newcombe 1998, table II: rows (a), (b) and (c) under method 10.
@pytest.mark.parametrize(
    ("first", "second", "limits"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ],
)
def test_error_rates_have_newcombes_interval(first, second, limits):
    candidate, base = (share_estimate(some(hits), some(size), LEVEL) for hits, size in (first, second))
    found = [round(float(limit[0]), 4) for limit in difference_limits(base, candidate)]
    assert found == list(limits)


def test_shares_at_the_ends_have_limits_within_the_possible():
    found = share_estimate(some(0, 10), some(10, 10), LEVEL)
    assert found.low[0] == 0 < found.high[0] < 1
    assert 0 < found.low[1] < found.high[1] == 1


def test_means_have_welchs_interval():
    base, candidate = (
        mean_estimate(some(mean), some(variance), some(size), LEVEL)
        for mean, variance, size in ((20, 9, 400), (22, 16, 1000))
    )
    half = NormalDist().inv_cdf(0.975) * math.sqrt(9 / 400 + 16 / 1000)
    low, high = difference_limits(base, candidate)
    np.testing.assert_allclose([low[0], high[0]], [2 - half, 2 + half])


def test_few_latencies_set_no_limits_to_their_mean():
    sizes = some(0, 1, FEWEST_FOR_MEAN - 1, FEWEST_FOR_MEAN)
    found = mean_estimate(some(np.nan, 5, 5, 5), some(np.nan, np.nan, 1, 1), sizes, LEVEL)
    assert np.isfinite(found.high).tolist() == [False, False, False, True]
    assert found.high[2] == np.inf


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("beyond", [30, 31, 37, 60, 100, 400])
@pytest.mark.parametrize("level", [0.95, 1 - 0.05 / 6])
def test_ranks_hold_the_quantile_as_often_as_they_say(quantile, beyond, level):
    size = round(beyond / (1 - quantile))
    low, high = (int(rank[0]) for rank in percentile_ranks(some(size), quantile, level))
    # The quantile lies between the order statistics if more than `low` and at most `high` values are below.
    covered = binomial_cdf(high, size, quantile) - binomial_cdf(low, size, quantile)
    assert abs(covered - level) < 0.3 * (1 - level)


def test_too_few_latencies_beyond_a_percentile_set_no_limits():
    low, high = percentile_ranks(some(0, 59, 60), 0.5, LEVEL)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, True, False]
    assert not np.isnan(percentile_ranks(some(3000), 0.99, LEVEL)[0][0])
    assert not np.isnan(percentile_ranks(some(300), 0.9, LEVEL)[0][0])


@given(st.integers(20, 10**9), st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.sampled_from([0.95, 0.99]))
def test_ranks_are_whole_and_exist(size, quantile, level):
    low, high = (rank[0] for rank in percentile_ranks(some(size), quantile, level))
    if not np.isnan(low):
        assert 0 <= low < high < size
        assert low == int(low)
        assert high == int(high)


estimates = st.builds(
    lambda value, down, up: Estimate(value=some(value), low=some(value - down), high=some(value + up)),
    st.floats(-100, 100),
    st.floats(0, 50),
    st.floats(0, 50),
)


@given(estimates, estimates)
def test_the_interval_of_the_opposite_difference_is_the_mirrored_one(base, candidate):
    low, high = difference_limits(base, candidate)
    mirrored_low, mirrored_high = difference_limits(candidate, base)
    np.testing.assert_allclose([low, high], [-mirrored_high, -mirrored_low], atol=1e-9)
    assert low[0] <= candidate.value[0] - base.value[0] <= high[0]


def test_errors_of_figures_widen_the_interval_as_they_are():
    base = Estimate(value=some(10), low=some(9), high=some(12), error=some(0.5))
    candidate = Estimate(value=some(20), low=some(16), high=some(21), error=some(1))
    exact = [Estimate(value=it.value, low=it.low, high=it.high) for it in (base, candidate)]
    low, high = difference_limits(*exact)
    wide_low, wide_high = difference_limits(base, candidate)
    np.testing.assert_allclose([low - wide_low, wide_high - high], 1.5)
