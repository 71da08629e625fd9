"""Sums of response sizes near 2^63 and beyond are exact, in every form of input and any division."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.cost.usage import usage_of
from loadlens.logs import open_log
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
@pytest.mark.parametrize("sizes", [(HALF, HALF - 4096, 2048), (HALF, HALF), (2**63 - 1024,) * 2, (HALF,) * 5])
def test_a_sum_of_any_size_is_exact(tmp_path: Path, form: str, sizes: tuple[int, ...]) -> None:
    assert mean_size(WRITERS[form](calls(*sizes), tmp_path)) == sum(sizes) / len(sizes)


def split(rows: pl.DataFrame, folder: Path) -> Path:
    for index in range(rows.height):
        rows.slice(index, 1).write_parquet(folder / f"{index}.parquet")
    return folder


def test_sums_over_files_do_not_wrap(tmp_path: Path) -> None:
    folder = split(calls(HALF, HALF + 1024), tmp_path)
    assert mean_size(folder) == float(HALF + 512)
    with ThreadPoolExecutor(2) as executor:
        assert mean_size(folder, executor=executor, partition_rows=1) == float(HALF + 512)


def test_frames_and_keys_apart() -> None:
    assert mean_size(pl.concat([calls(HALF), calls(HALF, memory=2048)])) == HALF


def test_profiles_and_their_merges(tmp_path: Path) -> None:
    saved = []
    for index in range(2):
        saved.append(str(tmp_path / f"{index}.profile"))
        loadlens.profile_log(calls(HALF, *[HALF] * index), saved[-1], by=("memory_size",))
    merged = str(tmp_path / "merged.profile")
    loadlens.merge_profiles(saved, merged)
    figures = loadlens.load_profile(merged).figures
    assert figures["response_size_sum"].to_list() == [3 * HALF]


def test_costs_are_right() -> None:
    usage = usage_of(open_log(calls(HALF, HALF, HALF)), ["memory_size"]).table
    assert usage["response_size"].to_list() == [HALF]
