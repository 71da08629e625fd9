"""With almost no room the engine scans more often and answers the same."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import progress as limits
from loadlens.profile.plan import Outliers
from tests import oracle
from tests import sample_logs as logs
from tests.extent import combinations, examples
from tests.profile.cases import LOGS, assert_agree, both, keyed

SMALL_LOGS = [name for name in LOGS if name not in ("near equal", "denormals and zeros")]


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", 0)


@pytest.mark.usefixtures("cramped")
@pytest.mark.parametrize(
    ("name", "outliers"), combinations(SMALL_LOGS, ["mean-iqr", "tukey", "none"], one_in=9)
)
def test_hard_logs(name: str, outliers: Outliers) -> None:
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"], outliers=outliers)
    assert_agree(got.table, expected.table, plan)


@pytest.mark.parametrize(
    ("name", "most"),
    combinations(["clusters", "two adjacent values", "several keys", "12 decades"], [0, 1, 20, 200]),
)
def test_a_few_candidates(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    monkeypatch.setattr(limits, "_MOST_CANDIDATES", most)
    got, expected, plan = both(keyed(LOGS[name]()), ["memory_size"])
    assert_agree(got.table, expected.table, plan)


@pytest.mark.usefixtures("cramped")
@examples(3)
@given(logs.logs(), st.sampled_from(["mean-iqr", "tukey", "none"]))
def test_random_logs(frame: pl.DataFrame, outliers: Outliers) -> None:
    got, expected, plan = both(frame, oracle.CONCURRENCY_KEY, outliers=outliers, response_sizes=True)
    assert_agree(got.table, expected.table, plan)
