"""Tables of other libraries as logs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from pyarrow import dataset

import loadlens
from loadlens.errors import InputError
from tests.stores import small_log

LOG = small_log()


def duckdb_relation(path: Path) -> Any:
    return duckdb.connect().sql(f"SELECT * FROM '{path}'")


TABLES: dict[str, Callable[[Path], Any]] = {
    "PyArrow table": lambda _: LOG.to_arrow(),
    "PyArrow batch": lambda _: LOG.to_arrow().combine_chunks().to_batches()[0],
    "PyArrow reader": lambda _: LOG.to_arrow().to_reader(max_chunksize=7),
    "PyArrow dataset": dataset.dataset,
    "pandas": lambda _: LOG.to_pandas(),
    "DuckDB": duckdb_relation,
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_another_library_gives_the_same_summary(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log.parquet"
    LOG.write_parquet(path)
    found = loadlens.summarize(TABLES[kind](path), ["memory_size"])
    assert_frame_equal(found.summary, loadlens.summarize(LOG, ["memory_size"]).summary)


@pytest.mark.parametrize("kind", TABLES)
def test_a_log_of_it_is_analysed_as_often_as_one_likes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log.parquet"
    LOG.write_parquet(path)
    log = loadlens.read_log(TABLES[kind](path))
    assert_frame_equal(log.frame.collect(), log.frame.collect())
    assert loadlens.summarize(log, by=[]).summary["num_invocations"].item() == LOG.height


def test_a_reader_that_was_read_before_is_refused() -> None:
    reader = LOG.to_arrow().to_reader()
    loadlens.summarize(reader, by=[])
    with pytest.raises(InputError, match="a stream that was read before is empty"):
        loadlens.summarize(reader, by=[])


def test_what_fails_in_a_stream_is_an_input_error() -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield LOG.to_arrow().to_batches()[0]
        raise OSError("the line went down")

    reader = pa.RecordBatchReader.from_batches(LOG.to_arrow().schema, batches())
    with pytest.raises(InputError, match=r"the log: cannot be read: .*the line went down"):
        loadlens.summarize(reader, by=[])


class Counted:
    """A dataset that remembers which columns were asked for and how many batches were read."""

    def __init__(self, table: pa.Table) -> None:
        self.schema = table.schema
        self.table = table
        self.columns: list[list[str] | None] = []
        self.batches = 0

    def to_batches(self, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        self.columns.append(columns)
        for batch in (self.table.select(columns) if columns else self.table).to_batches(max_chunksize=10):
            self.batches += 1
            yield batch


def test_a_dataset_is_read_in_batches_of_the_needed_columns() -> None:
    counted = Counted(LOG.with_columns(other=pl.lit("unused")).to_arrow())
    frame = loadlens.scan_log(counted)
    assert counted.batches == 0
    found = frame.select(pl.col("invocation_latency").sum()).collect(engine="streaming").item()
    assert found == LOG["invocation_latency"].sum()
    assert counted.columns == [["invocation_latency"]]
    counted.batches = 0
    assert_frame_equal(frame.select("end_time").head(15).collect(), LOG.select("end_time").head(15))
    assert counted.batches == 2
    late = frame.filter(pl.col("start_time") > 5).select("end_time").collect()
    assert_frame_equal(late, LOG.filter(pl.col("start_time") > 5).select("end_time"))
