"""Outputs whose names are those of devices, pipes and streams, in whose place a file must not stand."""

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadlens.cli.program import app
from tests.sample_logs import Configuration, log_of

PLACES = ("/dev/null", "/dev/zero", "/dev/stdout", "/dev/fd/1", "pipe")
OUTPUTS = (
    ("check", "--slo", "p99 < 1s", "--rejects"),
    ("check", "--slo", "p99 < 1s", "--junit"),
    ("check", "--slo", "p99 < 1s", "--markdown"),
    ("profile", "--overwrite", "--out"),
    ("convert", "--overwrite", "--out"),
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
def test_a_device_is_no_place_for_a_file(tmp_path: Path, output: tuple[str, ...], place: str) -> None:
    log = tmp_path / "log.parquet"
    log_of([Configuration()]).write_parquet(log)
    target = tmp_path / "pipe" if place == "pipe" else Path(place)
    if place == "pipe":
        os.mkfifo(target)
    before = target.lstat()
    command, *options = output
    done = CliRunner().invoke(app, [command, str(log), *options, str(target)])
    assert done.exit_code == 2
    assert f"{target}: is a device, a pipe or a stream" in f"{done.stderr}{done.exception}"
    after = target.lstat()
    assert (before.st_ino, stat.S_IFMT(before.st_mode)) == (after.st_ino, stat.S_IFMT(after.st_mode))
