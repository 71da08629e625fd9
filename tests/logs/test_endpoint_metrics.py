"""CloudWatch metrics that no measurement can be are refused by row and column."""

import math
from pathlib import Path

import polars as pl
import pytest

from loadlens.errors import InputError
from loadlens.logs.toolkit_folder import read_endpoint_metrics
from loadlens.schema import ENDPOINT_STATISTICS

METRICS = pl.DataFrame(
    {
        **{name: [1.5, None, 0.0] for name in ENDPOINT_STATISTICS},
        "Unit": ["Microseconds", None, "Percent"],
        "metric_name": ["ModelLatency", "ModelSetupTime", "MemoryUtilization"],
        "memory_size": [1024, 1024, 2048],
    }
)


def with_cell(column: str, row: int, value: float) -> pl.DataFrame:
    cells = METRICS[column].to_list()
    cells[row] = value
    return METRICS.with_columns(pl.Series(column, cells, dtype=pl.Float64))


def test_statistics_that_are_not_there_stay_so() -> None:
    read = read_endpoint_metrics(METRICS, ("memory_size",))
    assert read["Average"].to_list() == [1.5, None, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize(("column", "row"), [("Average", 0), ("p75", 2), ("Minimum", 1)])
@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_impossible_statistics_are_refused(
    tmp_path: Path, form: str, column: str, row: int, value: float
) -> None:
    frame = with_cell(column, row, value)
    source: pl.DataFrame | Path = frame
    if form == "csv":
        source = tmp_path / "metrics.csv"
        frame.write_csv(source)
    elif form == "parquet":
        source = tmp_path / "metrics.parquet"
        frame.write_parquet(source)
    name = "the endpoint metrics" if form == "frame" else str(source)
    with pytest.raises(InputError) as told:
        read_endpoint_metrics(source, ("memory_size",))
    (problem,) = told.value.problems
    assert problem.startswith(f"{name}: row {row + 1}, column {column}: got ")
    assert problem.endswith("expected a finite number of 0 or more, or nothing; 1 row is wrong there")
