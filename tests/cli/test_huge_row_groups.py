"""A row group far above the memory limit is refused by every command that reads rows, before it does."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app

ROWS = 136 * 2**20 // 8  # one row group alone is more than half of the smallest limit
LIMIT = ["--memory-limit", "256MiB"]
COMMANDS = {
    "analyze": ["--out", "out"],
    "check": ["--slo", "p99 < 1s"],
    "compare": ["--out", "out"],
    "profile": ["--out", "out.profile"],
    "cost": ["--out", "out"],
    "convert": ["--out", "out.parquet"],
    "inspect": [],
}


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huge") / "log.parquet"
    latency = pl.Series("invocation_latency", np.arange(ROWS, dtype=np.float64) / 1000)
    memory = pl.lit(1024).alias("memory_size")
    frame = latency.to_frame().with_columns(memory)
    frame.write_parquet(path, compression="uncompressed", row_group_size=ROWS, statistics=False)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_huge_row_group_is_refused(
    huge: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = [str(huge)] * (2 if command == "compare" else 1)
    result = CliRunner().invoke(app, [command, *inputs, *COMMANDS[command], *LIMIT])
    assert result.exit_code == 3, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"loadlens: {huge}: has row groups of up to ")
    assert line.endswith("write the file with smaller row groups, or raise the memory limit of 256 MiB")
    assert list(tmp_path.iterdir()) == []


def test_the_library_refuses_it_too(huge: Path) -> None:
    with pytest.raises(loadlens.InputError, match="has row groups of up to"):
        loadlens.check_gates(huge, ["p99 < 1s"], memory_limit=2**28)
    with pytest.raises(loadlens.InputError, match="has row groups of up to"):
        loadlens.summarize(huge, by=(), memory_limit=2**28)


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_limit_that_is_no_size_is_refused(huge: Path, tmp_path: Path, command: str) -> None:
    out = ["--out", str(tmp_path / "out.parquet")] if command == "convert" else []
    result = CliRunner().invoke(app, [command, str(huge), *out, "--memory-limit", "some"])
    assert result.exit_code == 2
    assert "--memory-limit: got 'some', expected a size such as 2GiB or 500MB" in result.stderr
