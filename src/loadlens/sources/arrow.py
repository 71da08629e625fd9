"""Tables of other libraries, through the Arrow interfaces that they share."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import polars as pl
from polars.io.plugins import register_io_source

from loadlens.errors import InputError
from loadlens.sources.storage.secrets import cause_of, reason_of

__all__ = ["ArrowDataset", "ArrowStream", "collect_stream", "scan_dataset"]


@runtime_checkable
class ArrowStream(Protocol):
    """Any table that speaks the Arrow stream interface: pandas, PyArrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hands out the table as an Arrow stream."""


@runtime_checkable
class ArrowDataset(Protocol):
    """A dataset as PyArrow has it, which is read anew by each scan."""

    @property
    def schema(self) -> Any:
        """The PyArrow schema."""

    def to_batches(self, *, columns: list[str] | None = None) -> Iterable[Any]:
        """Reads the rows as PyArrow record batches."""


def collect_stream(stream: ArrowStream, name: str) -> pl.DataFrame:
    """Reads an Arrow stream to its end into memory, as many can be read only once.

    Raises:
        InputError: what produces the stream fails, or it has no rows; ``name`` says where.
    """
    try:
        table = pl.DataFrame(stream)
    except Exception as error:  # noqa: BLE001  # whatever the library that produces the stream raises
        raise InputError(f"{name}: cannot be read: {reason_of(error)}") from cause_of(error)
    if table.is_empty():
        raise InputError(
            f"{name}: has no rows; a stream that was read before is empty: open it anew, and analyse it as "
            f"often as you like through read_log"
        )
    return table


def scan_dataset(dataset: ArrowDataset) -> pl.LazyFrame:
    """Scans a dataset batch by batch, only the columns that are asked for."""
    empty = pl.from_arrow(dataset.schema.empty_table())
    assert isinstance(empty, pl.DataFrame)  # noqa: S101  # for the type checker: a table is no series

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, num_rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        left = num_rows
        for batch in dataset.to_batches(columns=columns):
            rows = pl.DataFrame(batch).head(batch.num_rows if left is None else left)
            left = None if left is None else left - rows.height
            yield rows if predicate is None else rows.filter(predicate)
            if left == 0:
                return

    return register_io_source(read, schema=empty.schema)
