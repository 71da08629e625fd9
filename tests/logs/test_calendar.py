"""Times that no calendar of our days holds: mistaken units, and floats too narrow for them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from loadlens import InputError, read_log, summarize
from loadlens.schema import told_date
from tests import dialect_logs
from tests.dialect_logs import START_MS, Call

EPOCH_LOGS: list[Callable[[Sequence[Call]], bytes]] = [
    dialect_logs.jmeter_csv,
    dialect_logs.jmeter_xml,
    dialect_logs.locust_csv,
    dialect_logs.gatling_text,
    dialect_logs.aiperf,
    dialect_logs.vegeta_json,
]


def calls(start_ms: int, step_ms: int) -> list[Call]:
    return [Call("GET /a", True, start_ms + index * step_ms, 20, False) for index in range(5)]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "log"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("write", EPOCH_LOGS)
def test_a_log_of_1970_is_refused_and_its_true_unit_told(tmp_path: Path, write: Callable[..., bytes]) -> None:
    path = written(tmp_path, write(calls(START_MS // 1000, 1)))
    with pytest.raises(InputError, match=r"1970-01-20.*2023-11-14.*from 1990 to 2242"):
        summarize(path, by=[])


def test_a_log_of_k6_of_1970_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, dialect_logs.k6_json(calls(START_MS // 1000, 1)))
    with pytest.raises(InputError, match="expected a time of 2000 to 2099"):
        summarize(path, by=[])


@pytest.mark.parametrize("write", [dialect_logs.jmeter_csv, dialect_logs.gatling_text])
def test_us_in_a_field_of_ms_are_refused(tmp_path: Path, write: Callable[..., bytes]) -> None:
    path = written(tmp_path, write(calls(START_MS * 1000, 1000)))
    with pytest.raises(InputError, match=r"2023-11-14.*from 1990 to 2242"):
        summarize(path, by=[])


@pytest.mark.parametrize("write", EPOCH_LOGS)
def test_one_row_of_1970_is_a_reject(tmp_path: Path, write: Callable[..., bytes]) -> None:
    odd = Call("GET /a", True, 5_000, 20, False)
    log = read_log(written(tmp_path, write([*calls(START_MS, 1000), odd])), max_rejects=1)
    assert summarize(log, by=[]).summary["num_invocations"].sum() == 5
    assert log.findings.rejected == 1


@pytest.mark.parametrize(("factor", "unit"), [(1000, "ms"), (10**6, "us"), (10**9, "ns")])
def test_canonical_times_that_are_no_seconds_name_their_unit(factor: int, unit: str) -> None:
    frame = pl.DataFrame({"invocation_latency": [20.0], "start_time": [1.7e9 * factor]})
    with pytest.raises(InputError, match=f"in {unit} it would be 2023-11-14"):
        summarize(frame, by=[])


def test_a_date_is_told_in_every_unit_that_makes_sense() -> None:
    assert told_date(1_709_546_400, unit="ms") == "1970-01-20, in s it would be 2024-03-04"
    assert told_date(float("nan")) == told_date("x") == told_date(float("inf")) == ""


def narrow(dtype: pl.DataType, times: Sequence[float]) -> pl.DataFrame:
    latency = pl.Series([20.0] * len(times))
    return pl.DataFrame({"invocation_latency": latency, "start_time": times}).with_columns(
        pl.col("start_time").cast(dtype)
    )


@pytest.mark.parametrize(
    ("dtype", "times"),
    [(pl.Float32(), [1.7e9, 1.7e9 + 128]), (pl.Float32(), [2.0**14]), (pl.Float16(), [2.0])],
)
def test_narrow_floats_of_large_times_are_refused(
    tmp_path: Path, dtype: pl.DataType, times: list[float]
) -> None:
    frame = narrow(dtype, times)
    with pytest.raises(InputError, match=f"in a column of {dtype}.*keep times as Float64"):
        summarize(frame, by=[])
    if dtype == pl.Float32():
        frame.write_parquet(tmp_path / "log.parquet")
        with pytest.raises(InputError, match="keep times as Float64"):
            summarize(tmp_path / "log.parquet", by=[])


def test_narrow_floats_of_small_times_are_read() -> None:
    frame = narrow(pl.Float32(), [0.0, 0.5, 16_383.5])
    assert summarize(frame, by=[]).summary["num_invocations"].to_list() == [3]


def test_small_times_of_any_clock_stay_valid_in_canonical_tables(tmp_path: Path) -> None:
    path = written(tmp_path, dialect_logs.loadlens_csv(calls(START_MS, 1000)))
    assert summarize(path, by=[]).summary["num_invocations"].sum() == 5
