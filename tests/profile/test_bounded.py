"""With almost no room the engine scans more often and answers the same."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile.plan import Outliers
from loadlens.profile.progress import Limits
from tests import oracle
from tests import sample_logs as logs
from tests.extent import combinations, examples
from tests.profile.cases import LOGS, assert_agree, both, keyed

SMALL_LOGS = [name for name in LOGS if name not in ("near equal", "denormals and zeros")]


def cramped(most_candidates: int) -> dict[str, Any]:
    return {"memory_limit": Limits(memory=2**30, most_candidates=most_candidates)}


@pytest.mark.parametrize(
    ("name", "outliers"), combinations(SMALL_LOGS, ["mean-iqr", "tukey", "none"], one_in=9)
)
def test_hard_logs(name: str, outliers: Outliers) -> None:
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"], execution=cramped(0), outliers=outliers)
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize(
    ("name", "most"),
    combinations(["clusters", "two adjacent values", "several keys", "12 decades"], [0, 1, 20, 200]),
)
def test_a_few_candidates(name: str, most: int) -> None:
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"], execution=cramped(most))
    assert_agree(got.table, expected.table, plan)


@examples(3)
@given(logs.logs(), st.sampled_from(["mean-iqr", "tukey", "none"]))
def test_random_logs(frame: pl.DataFrame, outliers: Outliers) -> None:
    got, expected, plan = both(
        frame, oracle.CONCURRENCY_KEY, execution=cramped(0), outliers=outliers, response_sizes=True
    )
    assert_agree(got.table, expected.table, plan)
