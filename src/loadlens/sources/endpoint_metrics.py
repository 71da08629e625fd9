"""CloudWatch metrics of the endpoint, one row for each configuration and metric."""

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import CONFIGURATION_COLUMNS, ENDPOINT_METRIC_COLUMNS, ENDPOINT_STATISTICS
from loadlens.sources.files import kind_of
from loadlens.sources.storage.location import PathSource, location, scan_source
from loadlens.sources.storage.secrets import cause_of, reason_of
from loadlens.sources.wording import counted, listed

__all__ = ["EndpointMetricsSource", "read_endpoint_metrics"]

EndpointMetricsSource = PathSource | pl.DataFrame | pl.LazyFrame

_REQUIRED = ("Average", "Unit", "metric_name")


def read_endpoint_metrics(source: EndpointMetricsSource, key: tuple[str, ...]) -> pl.DataFrame:
    """Reads endpoint metrics, times and sizes in the units that CloudWatch gave them.

    Args:
        source: a CSV or Parquet file, or a frame.
        key: the configuration columns that must be there.

    Returns:
        The columns of ``ENDPOINT_METRIC_COLUMNS`` that the source has; statistics in Float64,
        configuration in Int64.

    Raises:
        InputError: the file cannot be read, lacks columns, or has impossible statistics.
    """
    frame, name = _scan(source)
    try:
        columns = frame.collect_schema()
        missing = [column for column in (*_REQUIRED, *key) if column not in columns]
        if missing:
            raise InputError(f"{name}: missing columns: {listed(missing)}; it has: {listed(columns)}")
        casts = [pl.col(column).cast(dtype) for column, dtype in ENDPOINT_METRIC_COLUMNS.items()]
        metrics = frame.select(cast for cast in casts if cast.meta.output_name() in columns).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise InputError(f"{name}: cannot be read: {reason_of(error)}") from cause_of(error)
    _refuse_impossible(metrics, name)
    return _with_whole_keys(metrics, key, name)


def _refuse_impossible(metrics: pl.DataFrame, name: str) -> None:
    """Raises an InputError at the first statistic that no measurement can be."""
    for column in ENDPOINT_STATISTICS:
        if column not in metrics.columns:
            continue
        values = metrics[column]
        wrong = (values.is_nan() | values.is_infinite() | (values < 0)).arg_true()
        if wrong.len():
            row = wrong[0]
            raise InputError(
                f"{name}: row {row + 1:,}, column {column}: got {values[row]}, expected a finite number of "
                f"0 or more, or nothing; {counted(wrong.len(), 'row is', 'rows are')} wrong there"
            )


def _scan(source: EndpointMetricsSource) -> tuple[pl.LazyFrame, str]:
    if isinstance(source, pl.DataFrame | pl.LazyFrame):
        return source.lazy(), "the endpoint metrics"
    path = location(source)
    if not path.is_file():
        raise InputError(f"{path}: does not exist; expected endpoint metrics as CSV or Parquet")
    if kind_of(path) == "parquet":
        return pl.scan_parquet(**scan_source([path]), glob=False), str(path)
    return pl.scan_csv(**scan_source([path]), glob=False, infer_schema=False), str(path)


def _with_whole_keys(metrics: pl.DataFrame, key: tuple[str, ...], name: str) -> pl.DataFrame:
    """The configuration columns as Int64; they are parsed as Float64, as pandas may write 1024.0."""
    configuration = [column for column in CONFIGURATION_COLUMNS if column in metrics.columns]
    for column in key:
        values = metrics[column]
        wrong = values.is_null() | (values != values.floor()) | values.is_infinite()
        if wrong.any():
            got = values.filter(wrong)[0]
            raise InputError(f"{name}: column {column}: got {got}, expected a whole number")
    return metrics.with_columns(pl.col(configuration).cast(pl.Int64, strict=False))
