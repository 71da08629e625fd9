import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile.buckets import settled


def rounded(value: float | None) -> float | None:
    frame = pl.DataFrame({"figure": [value]}, schema={"figure": pl.Float64})
    found: float | None = frame.select(settled(pl.col("figure"))).item()
    return found


@pytest.mark.parametrize("value", [None, 0.0, -1.0, 12.25, 0.1, 1234.567, math.inf, 5e-324, 1e-310, 2.0**40])
def test_short_figures_stay_as_they_are(value: float | None) -> None:
    assert rounded(value) == value


@given(st.floats(1e-300, 1e300))
def test_figures_move_by_half_a_digit_at_most(value: float) -> None:
    found = rounded(value)
    assert found is not None
    assert math.isclose(found, value, rel_tol=5e-13 * (1 + 1e-3))


def test_last_digits_go() -> None:
    assert rounded(0.1 + 0.2) == rounded(0.3) == 0.3


def test_a_name_is_kept() -> None:
    frame = pl.DataFrame({"figure": [1 / 3]})
    assert frame.with_columns(settled(pl.col("figure"))).columns == ["figure"]
