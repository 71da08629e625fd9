"""Files that loadlens has written verify themselves: flipped bits and made-up contents are refused."""

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.errors import InputError
from loadlens.storage.checksum import DamagedFileError, has_checksum, write_checksum
from loadlens.tasks.convert import convert
from tests.extent import combinations

FLIPS = 150


def log(rows: int = 500) -> pl.DataFrame:
    times = pl.Series("start_time", [1_700_000_000 + number * 0.02 for number in range(rows)])
    latency = pl.Series("invocation_latency", [20.0 + number % 7 for number in range(rows)])
    frame = pl.DataFrame([times, latency]).with_columns(success=pl.lit(True), label=pl.lit("home"))
    return frame.with_columns(end_time=pl.col("start_time") + pl.col("invocation_latency") / 1000)


def made_profile(folder: Path) -> Path:
    loadlens.profile_log(log(), folder / "run.profile", by=["label"])
    return folder / "run.profile"


def made_log(folder: Path) -> Path:
    log().write_csv(folder / "run.csv")
    convert([folder / "run.csv"], folder / "run.parquet")
    return folder / "run.parquet"


@pytest.mark.parametrize("make", [made_profile, made_log])
def test_any_flipped_bit_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    intact, chance = path.read_bytes(), random.Random(11)  # no secret
    assert loadlens.summarize(path, ["label"]).summary["num_invocations"].to_list() == [500]
    for _ in range(FLIPS):
        damaged = bytearray(intact)
        damaged[chance.randrange(len(intact))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError) as error:
            loadlens.summarize(path, ["label"])
        assert len(error.value.problems) == 1


@pytest.mark.parametrize(
    ("make", "keep"), combinations([made_profile, made_log], [0, 1, 7, 12, 100, -1, -9, -60])
)
def test_any_cut_is_refused(make: Callable[[Path], Path], tmp_path: Path, keep: int) -> None:
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError):
        loadlens.summarize(path, ["label"])


@pytest.mark.parametrize("make", [made_profile, made_log])
def test_a_file_that_was_written_again_without_its_checksum_is_refused(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    frame, metadata = pl.read_parquet(path), pl.read_parquet_metadata(path)
    facts = {name: text for name, text in metadata.items() if name.startswith("loadlens")}
    frame.write_parquet(path, metadata=facts)
    with pytest.raises(InputError, match="checksum"):
        loadlens.summarize(path, ["label"])


def test_other_tools_read_a_file_with_a_checksum(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "log.parquet"
    log().write_parquet(path)
    assert not has_checksum(path)
    write_checksum(path)
    assert has_checksum(path)
    assert pl.read_parquet(path).equals(log())
    assert parquet.read_table(path).num_rows == 500


def test_a_file_of_several_blocks_is_checked_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    noise = random.Random(1).randbytes(20 * 2**20)  # no secret
    path.write_bytes(b"PAR1" + noise + (0).to_bytes(4, "little") + b"PAR1")
    write_checksum(path)
    assert has_checksum(path)
    with path.open("r+b") as file:
        file.seek(17 * 2**20)
        byte = file.read(1)
        file.seek(17 * 2**20)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DamagedFileError, match="checksum differs"):
        has_checksum(path)
