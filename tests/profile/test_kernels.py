"""Compiled loops are a matter of speed alone: they work without a cache, and the engine without them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numba.core.caching import CacheImpl

from loadlens.compiled import compiled
from loadlens.profile import scan
from loadlens.profile.buckets import BUCKET_SHIFT, prefix
from loadlens.profile.kernels import place_of
from loadlens.profile.limits import Limits
from loadlens.profile.places import buckets_of_places
from loadlens.profile.plan import Plan
from loadlens.profile.progress import Tracker
from loadlens.schema import LATENCY
from loadlens.sources import open_log
from tests.profile.cases import log_of, spread

LOGGED_BY = """
import sys
sys.modules["numba"] = None
import loadlens
from loadlens.profile import scan
scan.FEWEST_ROWS_FOR_TABLES = 0
print(loadlens.summarize(sys.argv[1], ["memory_size"]).summary.height)
"""


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """What is tested here chooses the way."""


def doubled(number: int) -> int:
    return 2 * number


def test_code_is_kept_only_where_there_is_a_place_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    assert compiled(doubled)(21) == 42
    assert list(tmp_path.rglob("*.nbc"))
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert compiled(doubled)(21) == 42


def test_without_the_compiler_rows_are_counted_by_group_bys(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    log_of(spread(100), memory_size=np.arange(100) % 4).write_parquet(path)
    command = [sys.executable, "-c", LOGGED_BY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("4", "")


def test_with_the_compiler_large_logs_are_counted_in_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(log_of(spread(100)))
    way = scan.Scan(
        plan=Plan(key=()),
        limits=Limits.of(None),
        with_heat=False,
        spill_folder=None,
        engine="streaming",
        tracker=Tracker(None, None, 0),
    )
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", 100)
    assert scan.worth_tables(log, way)
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", 101)
    assert not scan.worth_tables(log, way)
    assert scan.worth_tables(log, replace(way, num_rows=101))
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", 0)
    assert not scan.worth_tables(log, way)


EDGES = [2.0**-32, np.nextafter(2.0**32, 0), 1.0, np.nextafter(1.0, 0), 0.0, -0.0, 5e-324, -1.0, 99.9]
BEYOND = [
    2.0**32,
    np.nextafter(2.0**-32, 0),
    2.3e-308,
    np.inf,
    -np.inf,
    np.nan,
    -np.nan,
    -0.5,
    -1.0 - 2**-52,
    -2.0,
]


@pytest.mark.parametrize("latency", EDGES)
def test_the_place_of_a_latency_is_that_of_its_bucket(latency: float) -> None:
    bucket = pl.DataFrame({LATENCY: [float(latency)]}).select(prefix(BUCKET_SHIFT)).item()
    assert buckets_of_places(np.array([place_of(latency)])).tolist() == [bucket]


@pytest.mark.parametrize("latency", BEYOND)
def test_other_latencies_have_no_place(latency: float) -> None:
    assert place_of(latency) == -1
