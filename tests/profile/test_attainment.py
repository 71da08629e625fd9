import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.engine import measure
from loadlens.logs import open_log
from loadlens.profile import MeasureOptions, Plan, below_name, percentile_name
from loadlens.profile.progress import Limits
from loadlens.schema import LATENCY
from tests import oracle
from tests import sample_logs as logs
from tests.extent import examples
from tests.profile.cases import SMALLEST, log_of, near_equal, spread

KEY = ("memory_size", "max_concurrency")
HARD = {
    "spread": spread(3000),
    "near equal": near_equal(3000),
    "equal": np.full(500, 100.0),
    "failures": np.where(np.arange(900) % 3 == 0, -1.0, spread(900)),
    "zeros": np.array([0.0, -0.0, SMALLEST, 1.0] * 20),
}


def counted(
    log: pl.DataFrame, limits: list[float], key: tuple[str, ...] = (), **execution: object
) -> pl.DataFrame:
    plan = Plan(key=key, success=pl.col("success") if "success" in log.columns else pl.col(LATENCY) > 0)
    plan = Plan(key=key, success=plan.success, limits_ms=tuple(limits))
    return measure(open_log(log), plan, MeasureOptions(**execution)).table


def expected(log: pl.DataFrame, limit: float) -> int:
    latency = log[LATENCY].to_numpy()
    success = log["success"].to_numpy() if "success" in log.columns else latency > 0
    return int(((latency < limit) & success).sum())


def limits_at(values: np.ndarray) -> list[float]:
    """Limits at values, just below and above them, between them and beyond all."""
    some = np.unique(values[values >= 0])[:: max(len(values) // 5, 1)]
    near = [np.nextafter(some, np.inf), np.nextafter(some, 0), some * 1.001]
    return sorted({0.0, 2.0**39, *some.tolist(), *np.concatenate(near).tolist()})


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("success", ["told", "by latency"])
def test_counts_below_limits_are_exact(name: str, success: str) -> None:
    values = HARD[name]
    succeeded = (np.arange(len(values)) % 4 > 0) & (values >= 0)
    log = log_of(values, success=succeeded if success == "told" else None)
    limits = limits_at(values)
    table = counted(log, limits)
    assert [table[below_name(limit)].item() for limit in limits] == [expected(log, limit) for limit in limits]


@pytest.mark.parametrize("name", HARD)
def test_counts_are_the_same_when_too_many_rows_are_near(name: str) -> None:
    log, limits = log_of(HARD[name]), limits_at(HARD[name])
    table = counted(log, limits, memory_limit=Limits(memory=2**30, most_candidates=1))
    assert [table[below_name(limit)].item() for limit in limits] == [expected(log, limit) for limit in limits]


@given(log=logs.logs(), limits=st.lists(st.floats(0, 200), max_size=3, unique=True))
def test_counts_by_key_are_exact(log: pl.DataFrame, limits: list[float]) -> None:
    table = counted(log, limits, KEY)
    for row in table.iter_rows(named=True):
        mine = log.filter(pl.col(name) == row[f"key:{name}"] for name in KEY)
        for limit in limits:
            assert row[below_name(limit)] == expected(mine.drop_nulls(LATENCY), limit)


def test_counts_from_buckets_are_off_by_one_bucket_at_most() -> None:
    values = spread(5000)
    limits = [10.0, 20.0, 35.5]
    table = counted(log_of(values), limits, exact=False)
    for limit in limits:
        near = ((values > limit * (1 - 1 / 256)) & (values < limit * (1 + 1 / 256))).sum()
        assert abs(table[below_name(limit)].item() - (values < limit).sum()) <= near


@pytest.mark.parametrize("outliers", ["mean-iqr", "tukey", "none"])
@examples(3)
@given(log=logs.logs())
def test_percentiles_of_the_kept_equal_the_oracle(outliers: str, log: pl.DataFrame) -> None:
    quantiles = (0.05, 0.9, 0.99, 0.999)
    plan = Plan(key=KEY, outliers=outliers, kept_percentiles=quantiles)  # type: ignore[arg-type]
    for row in measure(open_log(log), plan).table.iter_rows(named=True):
        mine = log.filter(pl.col(name) == row[f"key:{name}"] for name in KEY)
        fence = oracle.fence_of(mine[LATENCY].to_pandas(), outliers)
        latency = mine[LATENCY].drop_nulls().to_numpy()
        kept = latency[(latency > 0) & (latency <= (np.inf if fence is None else fence))]
        for quantile in quantiles:
            found = row[f"kept_{percentile_name(quantile)}"]
            assert oracle.agree(found, float(np.quantile(kept, quantile)) if len(kept) else None)
