import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.gates import narrowing
from loadlens.gates.narrowing import COARSE_SHIFT, Narrowing, cell_counts
from tests.extent import examples

QUANTILES = {"p01": 0.01, "median": 0.5, "p99": 0.99, "p999": 0.999}
CROWD = 300.0 + np.spacing(300.0) * np.arange(-4000, 4000)


def narrowed(latencies: dict[int, np.ndarray], *limits: float) -> Narrowing:
    pairs = np.repeat(list(latencies), [len(values) for values in latencies.values()])
    values = np.concatenate(list(latencies.values()))
    order = np.random.default_rng(1).permutation(len(values))
    rows = pl.DataFrame({"pair": pairs[order], "invocation_latency": values[order]}).lazy()
    cells = cell_counts(rows, ["pair"], COARSE_SHIFT, limits).collect()
    return Narrowing(rows, cells, QUANTILES, limits, "in-memory")


def everything(bounds: pl.DataFrame) -> pl.Series:
    return bounds["pair"].is_not_null()


def nothing(bounds: pl.DataFrame) -> pl.Series:
    return bounds["pair"].is_null()


def type_7(values: np.ndarray, quantile: float) -> float:
    """Hyndman and Fan's definition, word by word."""
    ordered = np.sort(values)
    position = (len(ordered) - 1) * quantile
    low = int(np.floor(position))
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (position - low))


latency = st.one_of(
    st.sampled_from([-1.0, 0.0, 5e-324, 20.0, *CROWD[::1000]]), st.floats(0, 2.0**39, allow_subnormal=True)
)


@examples(15)
@given(
    st.dictionaries(
        st.integers(0, 2**40), st.lists(latency, min_size=1, max_size=40), min_size=1, max_size=5
    ),
    st.lists(latency, max_size=2),
)
def test_quantiles_are_those_of_the_very_values(groups: dict[int, list[float]], limits: list[float]) -> None:
    latencies = {pair: np.array(values) for pair, values in groups.items()}
    exact = narrowed(latencies, *limits).until(everything)
    loose = narrowed(latencies, *limits).until(nothing)
    assert exact.height == len(groups) * len(QUANTILES)
    for bounds in (exact, loose):
        for pair, name, lowest, highest in bounds.iter_rows():
            assert lowest <= type_7(latencies[pair], QUANTILES[name]) <= highest
    assert (exact["lowest"] == exact["highest"]).all()


def test_only_what_is_open_becomes_exact() -> None:
    latencies = {1: CROWD, 2: CROWD + 1}
    bounds = narrowed(latencies).until(lambda found: (found["pair"] == 2) & (found["name"] == "median"))
    known = bounds.filter(pl.col("lowest") == pl.col("highest")).select("pair", "name").rows()
    assert known == [(2, "median")]


@pytest.mark.parametrize("most_cells", [narrowing._MOST_CELLS, 1])
def test_cells_stay_few_however_close_latencies_lie(monkeypatch: pytest.MonkeyPatch, most_cells: int) -> None:
    monkeypatch.setattr(narrowing, "_MOST_CELLS", most_cells)
    counts = []

    def watched(*arguments: object) -> pl.LazyFrame:
        found = cell_counts(*arguments).collect()  # type: ignore[arg-type]
        counts.append(found.height)
        return found.lazy()

    monkeypatch.setattr(narrowing, "cell_counts", watched)
    latencies = {pair: np.tile(CROWD, 2) for pair in range(4)}
    bounds = narrowed(latencies).until(everything)
    for pair, name, lowest, highest in bounds.iter_rows():
        assert lowest == highest == type_7(latencies[pair], QUANTILES[name])
    if most_cells == 1:
        # No cell becomes more than 16 in one step, and each of 4 pairs has at most 8 that are open.
        assert max(counts) <= 4 * 8 * 16
        assert len(counts) <= COARSE_SHIFT / 4 + 1
    else:
        assert len(counts) <= 5


def test_a_part_is_replaced_on_both_sides_of_a_limit() -> None:
    values = CROWD[[0, 1000, 1000, 2000]]
    bounds = narrowed({0: values}, float(values[1])).until(everything)
    expected = [type_7(values, quantile) for quantile in QUANTILES.values()]
    assert bounds["lowest"].to_list() == bounds["highest"].to_list() == expected


def test_limits_are_between_cells() -> None:
    limits = (float(CROWD[10]), float(CROWD[4000]))
    rows = pl.LazyFrame({"pair": 1, "invocation_latency": CROWD})
    cells = cell_counts(rows, ["pair"], COARSE_SHIFT, limits).collect()
    for limit in limits:
        assert ((cells["high"] < limit) | (cells["low"] >= limit)).all()
        assert cells.filter(pl.col("high") < limit)["count"].sum() == (limit > CROWD).sum()
