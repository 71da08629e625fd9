"""Logs and results folders for the commands."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.command_line import HOSTILE
from tests.folders import results_folder
from tests.sample_logs import small_log


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_folder(tmp_path_factory.mktemp("simulated") / "run")


@pytest.fixture
def folder(simulated: Path, tmp_path: Path) -> Path:
    """A results folder that a test may change."""
    return Path(shutil.copytree(simulated, tmp_path / "run"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "log.csv"
    path.parent.mkdir()
    small_log().write_csv(path)
    return path


@pytest.fixture
def hostile_log(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "hostile.parquet"
    path.parent.mkdir()
    small_log().with_columns(label=pl.lit(HOSTILE)).write_parquet(path)
    return path
