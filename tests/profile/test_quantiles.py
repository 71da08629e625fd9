"""Quantiles of a profile against those of the latencies themselves."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.errors import UsageError
from tests.extent import examples
from tests.profile.cases import log_of

KEY = ["memory_size", "label"]

calls = st.lists(
    st.tuples(
        st.sampled_from([1024, 2048]),
        st.sampled_from(["a", "b", None]),
        st.one_of(st.just(-1.0), st.floats(0.001, 1e9)),
    ),
    min_size=1,
    max_size=60,
)


@examples(40)
@given(
    calls, st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0]), st.sampled_from([None, "label", ["memory_size"], []])
)
def test_the_true_quantile_lies_between_the_bounds(rows: list, q: float, by: object) -> None:
    memory, label, latency = zip(*rows, strict=True)
    frame = log_of(list(latency)).with_columns(
        memory_size=pl.Series(memory), label=pl.Series(label, dtype=pl.String)
    )
    profile = loadlens.summarize(frame, KEY, exact=False).profile
    found = profile.quantile(q, by)  # type: ignore[arg-type]
    names = KEY if by is None else [by] if isinstance(by, str) else by
    good = frame.filter(pl.col("invocation_latency") > 0)
    groups = good.partition_by(names) if names else [good] * (not good.is_empty())
    expected = {
        tuple(group.select(names).row(0) if names else ()): float(
            np.quantile(group["invocation_latency"].to_numpy(), q)
        )
        for group in groups
    }
    assert [tuple(row) for row in found.select(names).iter_rows()] == sorted(
        expected, key=lambda key: [(value is None, value or 0) for value in key]
    ) or not names
    for *key, value, low, high in found.iter_rows():
        true = expected.pop(tuple(key))
        slack = 1e-12 * true
        assert low - slack <= true <= high + slack
        assert low <= value <= high
        assert abs(value - true) <= true / 256
    assert not expected


@pytest.mark.parametrize(
    ("q", "by", "told"),
    [
        (1.5, None, "q: got 1.5, expected a quantile from 0 to 1"),
        (0.5, "region", "by: got region, expected columns of the profile's key: memory_size"),
    ],
)
def test_what_makes_no_sense_is_refused(q: float, by: str | None, told: str) -> None:
    frame = log_of([1.0, 2.0]).with_columns(memory_size=pl.lit(1))
    with pytest.raises(UsageError, match=told):
        loadlens.summarize(frame, ["memory_size"]).profile.quantile(q, by)
