"""What the default suite runs in part, and ``pytest -m slow`` as a whole."""

from collections.abc import Collection
from itertools import product
from typing import Any

import pytest
from hypothesis import settings

THOROUGH = "thorough"
"""The profile of Hypothesis under which property tests draw ten times as many examples."""


def examples(count: int) -> settings:
    """How many examples a property test draws in the default suite."""
    return settings(max_examples=10 * count if settings.get_current_profile_name() == THOROUGH else count)


def combinations(*axes: Collection[Any]) -> list[Any]:
    """All combinations of values, as rows for ``pytest.mark.parametrize``, most of them marked slow.

    Of two axes the rows of the default suite show every value, of three every pair of values, and so on:
    those whose places add up to a multiple of the length of the shortest axis.
    """
    shortest = min(map(len, axes))
    return [
        pytest.param(*(value for _, value in row), marks=_slow_unless(sum(n for n, _ in row) % shortest == 0))
        for row in product(*map(enumerate, axes))
    ]


def _slow_unless(chosen: bool) -> Any:
    return () if chosen else pytest.mark.slow
