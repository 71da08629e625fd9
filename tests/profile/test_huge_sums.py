"""Sums of response sizes near 2^63: exact below, refused above, in every form of input and any division."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError
from tests import forms

HALF = 2**62
WRITERS = {"csv": forms.csv, "parquet": forms.parquet, "arrow": forms.arrow}


def calls(*sizes: int, memory: int = 1024) -> pl.DataFrame:
    rows = len(sizes)
    return pl.DataFrame(
        {
            "invocation_latency": [10.0 + index for index in range(rows)],
            "start_time": [float(index) for index in range(rows)],
            "end_time": [float(index + 1) for index in range(rows)],
            "success": [True] * rows,
            "response_size": sizes,
            "memory_size": [memory] * rows,
        }
    )


def mean_size(log: loadlens.Log | pl.DataFrame | Path, **options: object) -> float | None:
    result = loadlens.summarize_stability_results(log, **options)  # type: ignore[arg-type]
    return result.average_response_size


@pytest.mark.parametrize("form", WRITERS)
def test_a_sum_that_fits_is_exact(tmp_path: Path, form: str) -> None:
    sizes = (HALF, HALF - 4096, 2048)
    assert mean_size(WRITERS[form](calls(*sizes), tmp_path)) == sum(sizes) / 3


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("sizes", [(HALF, HALF), (2**63 - 1024,) * 2, (HALF,) * 5, (2**63 - 1024, 1024)])
def test_a_sum_that_wraps_is_refused_by_file_and_column(
    tmp_path: Path, form: str, sizes: tuple[int, ...]
) -> None:
    path = WRITERS[form](calls(*sizes), tmp_path)
    with pytest.raises(InputError) as caught:
        mean_size(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}, column response_size: the sizes add up to ")
    assert "expected less than 9.22e+18 (8 EiB)" in problem


def split(rows: pl.DataFrame, folder: Path) -> Path:
    for index in range(rows.height):
        rows.slice(index, 1).write_parquet(folder / f"{index}.parquet")
    return folder


def test_sums_over_files_wrap_no_more(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column response_size: the sizes add up to"):
        mean_size(split(calls(HALF, HALF + 1), tmp_path))


def test_workers_refuse_them_as_well(tmp_path: Path) -> None:
    folder = split(calls(HALF, HALF), tmp_path)
    with ThreadPoolExecutor(2) as executor, pytest.raises(InputError, match="column response_size") as caught:
        mean_size(folder, executor=executor, partition_rows=1)
    assert len(caught.value.problems) == 1


def test_frames_and_keys_apart() -> None:
    frame = pl.concat([calls(HALF), calls(HALF, memory=2048)])
    with pytest.raises(InputError, match=r"^the log, column response_size"):
        mean_size(frame)


def test_profiles_and_their_merges(tmp_path: Path) -> None:
    saved = []
    for index in range(2):
        saved.append(str(tmp_path / f"{index}.profile"))
        loadlens.profile_log(calls(HALF, *[0] * index), saved[-1], by=("memory_size",))
    merged = str(tmp_path / "merged.profile")
    for arguments in (["check", *saved, "--slo", "p99 < 1s"], ["merge", *saved, "--out", merged]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 3
        assert "column response_size: the sizes add up to" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_costs_are_refused_not_wrong(tmp_path: Path) -> None:
    path = forms.parquet(calls(HALF, HALF, HALF), tmp_path)
    result = CliRunner().invoke(app, ["cost", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert result.stderr.startswith(f"loadlens: {path}, column response_size: the sizes add up to ")
