"""What the page computes of a selection is what the library and the rows say."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import loadlens
from loadlens.profile import Profile
from loadlens.profile.buckets import COARSE_ERROR
from tests.report.browser import chosen, opened

pytestmark = pytest.mark.slow

BY = ["endpoint", "size"]
PERCENTILES = {
    "invocation_latency_median": 0.5,
    "invocation_latency_p90": 0.9,
    "invocation_latency_p999": 0.999,
}


def run_rows(num_rows: int = 60_000, seconds: float = 7_000) -> pl.DataFrame:
    """Two endpoints of three sizes, one of which is slow for a while, with some failed calls."""
    random = np.random.default_rng(7)
    start = np.sort(random.uniform(0, seconds, num_rows)).round(3) + 1_000
    endpoint = random.choice(["/cart", "/search?<b>"], num_rows)
    size = random.choice([1, 2, 12], num_rows)
    latency = random.lognormal(3, 0.6, num_rows) * np.where((start > 4_000) & (size == 12), 5, 1)
    failed = random.random(num_rows) < 0.03
    return pl.DataFrame(
        {
            "endpoint": endpoint,
            "size": size,
            "start_time": start,
            "end_time": start + latency / 1000,
            "invocation_latency": np.where(failed, -1.0, latency),
        }
    )


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return run_rows()


@pytest.fixture(scope="module")
def page(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rows.write_parquet(folder / "run.parquet")
    loadlens.analyze(folder / "run.parquet", folder / "out", by=BY)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def profile(rows: pl.DataFrame) -> Profile:
    return loadlens.summarize(rows.lazy(), by=BY, timeline=True).profile


def cells(page: Any) -> dict[tuple[str, str], dict[str, float]]:
    """The figures that the page has of each key, as exactly as it knows them."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (
        labels,
        figures,
    ) in page.evaluate("""() => [...document.querySelectorAll("table[data-run]")].flatMap(table => {
        const names = [...table.querySelectorAll("th[data-column]")].map(cell => cell.dataset.column);
        return [...table.tBodies[0].rows].map(row => [
            [...row.querySelectorAll("th")].map(cell => cell.textContent),
            Object.fromEntries([...row.cells].map((cell, i) => [names[i], cell.dataset.value])
                .filter(([, value]) => value !== undefined)),
        ]);
    })"""):
        found.setdefault(tuple(labels), {}).update({name: float(value) for name, value in figures.items()})
    return found


def test_fifty_selections_are_what_the_library_says(page: Path, rows: pl.DataFrame, profile: Profile) -> None:
    timeline = profile.timeline
    assert timeline is not None
    width = int(timeline.window_s or 0)
    windows = timeline.keys[f"window:{timeline.window_s}"]
    random = np.random.default_rng(1)
    with opened(page) as shown:
        for _ in range(50):
            first, last = (
                np.sort(random.choice(np.arange(windows.min(), windows.max() + 2), 2, replace=False)) * width
            )
            chosen(shown, f"#select={first}-{last}")
            compare(cells(shown), rows.filter(pl.col("end_time").is_between(first, last, closed="left")))
            compare_quantiles(cells(shown), profile, (float(first), float(last)))


def compare(found: dict[tuple[str, str], dict[str, float]], rows: pl.DataFrame) -> None:
    """Counts, sums and extremes are exact, percentiles within the bound."""
    good = rows.filter(pl.col("invocation_latency") > 0)
    for (endpoint, size), figures in found.items():
        own = rows.filter(endpoint=endpoint, size=int(size))
        latency = good.filter(endpoint=endpoint, size=int(size))["invocation_latency"].to_numpy()
        if own.is_empty():
            assert figures == {"num_invocations": 0, "num_errors": 0} or not figures
            continue
        assert figures["num_invocations"] == own.height
        assert figures["num_errors"] == own.height - len(latency)
        assert figures["error_rate"] == pytest.approx(1 - len(latency) / own.height, abs=1e-12)
        if not len(latency):
            continue
        assert figures["invocation_latency_min"] == latency.min()
        assert figures["invocation_latency_max"] == latency.max()
        assert figures["invocation_latency_mean"] == pytest.approx(latency.mean(), rel=1e-12)
        for name, q in PERCENTILES.items():
            assert figures[name] == pytest.approx(np.quantile(latency, q), rel=COARSE_ERROR)


def compare_quantiles(
    found: dict[tuple[str, str], dict[str, float]], profile: Profile, between: tuple[float, float]
) -> None:
    for name, q in PERCENTILES.items():
        told = profile.quantile(q, BY, between=between)
        expected = {
            (endpoint, str(size)): value for endpoint, size, value in told.select(*BY, "latency_ms").rows()
        }
        assert {key: figures[name] for key, figures in found.items() if name in figures} == pytest.approx(
            expected, rel=1e-12
        )
