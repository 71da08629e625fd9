"""CloudWatch metrics of the endpoint, one row for each configuration and metric."""

from pathlib import Path

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import ENDPOINT_METRIC_COLUMNS
from loadlens.sources.files import PathSource
from loadlens.sources.log import reading
from loadlens.sources.wording import listed

__all__ = ["EndpointMetricsSource", "read_endpoint_metrics"]

EndpointMetricsSource = PathSource | pl.DataFrame | pl.LazyFrame

_REQUIRED = ("Average", "Unit", "metric_name")


def read_endpoint_metrics(source: EndpointMetricsSource, key: tuple[str, ...]) -> pl.DataFrame:
    """Reads endpoint metrics, times and sizes in the units that CloudWatch gave them.

    Args:
        source: a CSV or Parquet file, or a frame.
        key: the configuration columns that must be there.

    Returns:
        The columns of ``ENDPOINT_METRIC_COLUMNS`` that the source has; statistics in Float64 with NaN
        as null, configuration in Int64.

    Raises:
        InputError: the file cannot be read, or lacks columns.
    """
    frame, name = _scan(source)
    with reading(None):
        columns = frame.collect_schema()
        missing = [column for column in (*_REQUIRED, *key) if column not in columns]
        if missing:
            raise InputError(f"{name}: missing columns: {listed(missing)}; it has: {listed(columns)}")
        kept = [column for column in ENDPOINT_METRIC_COLUMNS if column in columns]
        try:
            return frame.select(_cast(column) for column in kept).collect()
        except pl.exceptions.InvalidOperationError as error:
            raise InputError(f"{name}: holds text where a number is expected: {_reason(error)}") from error


def _scan(source: EndpointMetricsSource) -> tuple[pl.LazyFrame, str]:
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return source.lazy(), "the endpoint metrics"
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: does not exist; expected endpoint metrics as CSV or Parquet")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); expected endpoint metrics")
    if path.suffix.lower() == ".parquet":
        return pl.scan_parquet(path, glob=False), str(path)
    return pl.scan_csv(path, glob=False, infer_schema=False), str(path)


def _cast(column: str) -> pl.Expr:
    dtype = ENDPOINT_METRIC_COLUMNS[column]
    cast = pl.col(column).cast(dtype)
    if dtype != pl.Float64:
        return cast
    return cast.fill_nan(None) if column[0].isupper() or column[0] == "p" else cast.cast(pl.Int64)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]
