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


def combinations(*axes: Collection[Any], one_in: int | None = None) -> list[Any]:
    """All combinations of values, as rows for ``pytest.mark.parametrize``, most of them marked slow.

    Of two axes the rows of the default suite show every value, of three every pair of values, and so on:
    those whose places add up to a multiple of the length of the shortest axis, or of ``one_in``.
    """
    step = one_in or min(map(len, axes))
    return [
        pytest.param(*(value for _, value in row), marks=_slow_unless(sum(n for n, _ in row) % step == 0))
        for row in product(*map(enumerate, axes))
    ]


def some_of(values: Collection[Any], one_in: int, first: int = 0) -> list[Any]:
    """All values, as rows for ``pytest.mark.parametrize``; all but one in some of them are marked slow.

    Several tests that run over the same values begin at different ones, so that each is met in some test.
    """
    return [
        pytest.param(value, marks=_slow_unless(number % one_in == first))
        for number, value in enumerate(values)
    ]


def some_rows(rows: Collection[tuple[Any, ...]], one_in: int, first: int = 0) -> list[Any]:
    """The same for rows of several parameters."""
    return [
        pytest.param(*row, marks=_slow_unless(number % one_in == first)) for number, row in enumerate(rows)
    ]


def _slow_unless(chosen: bool, /) -> Any:
    return () if chosen else pytest.mark.slow
