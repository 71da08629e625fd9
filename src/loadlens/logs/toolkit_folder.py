"""A results folder of the reference toolkit: its parts, and the metrics of its endpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from loadlens.errors import InputError
from loadlens.logs.copies import newest_form
from loadlens.logs.discovery import INVOCATION_LOG_STEM
from loadlens.logs.files import kind_of
from loadlens.messages import counted, listed, shortened
from loadlens.schema import CONFIGURATION_COLUMNS, ENDPOINT_METRIC_COLUMNS, ENDPOINT_STATISTICS
from loadlens.storage.location import Location, PathSource, location, scan_source
from loadlens.storage.secrets import cause_of, reason_of

__all__ = [
    "EXAMPLES_NAME",
    "RAW_FOLDER",
    "EndpointMetricsSource",
    "ToolkitFolder",
    "average_request_size",
    "find_toolkit_folder",
    "read_endpoint_metrics",
]


EndpointMetricsSource = PathSource | pl.DataFrame | pl.LazyFrame

_REQUIRED = ("Average", "Unit", "metric_name")

EXAMPLES_NAME = "invoke_args_examples.jsonl"


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
    statistics = pl.col([column for column in ENDPOINT_STATISTICS if column in metrics.columns])
    is_wrong = metrics.select(~(statistics.is_finite() & (statistics >= 0)))
    for column in is_wrong.columns:
        if is_wrong[column].any():
            wrong = is_wrong[column].arg_true()
            row = wrong[0]
            raise InputError(
                f"{name}: row {row + 1:,}, column {column}: got {metrics[column][row]}, expected a finite "
                f"number of 0 or more, or nothing; {counted(wrong.len(), 'row is', 'rows are')} wrong there"
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
    values = pl.col(list(key))
    is_wrong = metrics.select(((values != values.floor()) | values.is_infinite()).fill_null(value=True))
    for column in key:
        if is_wrong[column].any():
            got = metrics[column].filter(is_wrong[column])[0]
            raise InputError(f"{name}: column {column}: got {got}, expected a whole number")
    return metrics.with_columns(pl.col(configuration).cast(pl.Int64, strict=False))


Part = Literal["stability", "concurrency"]
RAW_FOLDER: dict[Part, str] = {
    "stability": "stability_benchmark_raw_results",
    "concurrency": "concurrency_benchmark_raw_results",
}


@dataclass(frozen=True, kw_only=True)
class ToolkitFolder:
    """The parts of a results folder; a part that is not there is None.

    Attributes:
        path: the folder.
        stability: invocation log of the stability benchmark.
        stability_metrics: its endpoint metrics.
        concurrency: invocation log of the concurrency benchmark.
        concurrency_metrics: its endpoint metrics.
        examples: the example requests, as JSON Lines.
        notes: which of several forms of a file is read, one sentence each.
    """

    path: Location
    stability: Location | None
    stability_metrics: Location | None
    concurrency: Location | None
    concurrency_metrics: Location | None
    examples: Location | None
    notes: tuple[str, ...] = ()


def find_toolkit_folder(path: PathSource, options: Mapping[str, str] | None = None) -> ToolkitFolder | None:
    """Recognises a results folder by its raw folders; ``options`` are those of object stores.

    Raises:
        InputError: a raw folder without an invocation log, or example requests as a pickle.
    """
    folder = location(path, options)
    if not any(_is_folder(folder / raw) for raw in RAW_FOLDER.values()):
        return None
    try:
        return _parts_in(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _parts_in(folder: Location) -> ToolkitFolder:
    notes: list[str] = []
    logs = {part: _log(folder / raw, notes) for part, raw in RAW_FOLDER.items()}
    return ToolkitFolder(
        path=folder,
        stability=logs["stability"],
        stability_metrics=_table(folder / RAW_FOLDER["stability"], "endpoint_metrics", notes),
        concurrency=logs["concurrency"],
        concurrency_metrics=_table(folder / RAW_FOLDER["concurrency"], "endpoint_metrics", notes),
        examples=_examples(folder),
        notes=tuple(notes),
    )


def _is_folder(path: Location) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # what is wrong is told when it is opened
        return False


def _table(folder: Location, stem: str, notes: list[str]) -> Location | None:
    path, note = newest_form(folder / f"{stem}{suffix}" for suffix in (".parquet", ".csv"))
    notes += [note] if note else []
    return path


def _log(folder: Location, notes: list[str]) -> Location | None:
    if not folder.is_dir():
        return None
    log = _table(folder, INVOCATION_LOG_STEM, notes)
    if log is None:
        raise InputError(f"{folder}: holds no invocation log; expected {INVOCATION_LOG_STEM}.csv or .parquet")
    return log


def _examples(folder: Location) -> Location | None:
    path = folder / EXAMPLES_NAME
    if path.exists():
        return path
    for other in sorted(folder.glob("invoke_args_examples.*")):
        raise InputError(
            f"{other}: example requests are read only as JSON Lines; write {EXAMPLES_NAME} with one object "
            f"with a Body a line (a pickle may run code, so it is refused)"
        )
    return None


def average_request_size(path: PathSource) -> float:
    """Mean size in bytes of the UTF-8 payloads (``Body``) of a JSON Lines file of example requests.

    Raises:
        InputError: a pickle, a line that is no object with a text ``Body``, or no line at all.
    """
    file = location(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    if data[:1] == b"\x80":
        raise InputError(f"{file}: is a Python pickle, which may run code; write the requests as JSON Lines")
    lines = [(number, line) for number, line in enumerate(data.splitlines(), start=1) if line.strip()]
    if not lines:
        raise InputError(f"{file}: is empty; expected one JSON object with a Body a line")
    return sum(_body_size(file, number, line) for number, line in lines) / len(lines)


def _body_size(file: Location, number: int, line: bytes) -> int:
    try:
        request = json.loads(line)
    except ValueError:  # invalid JSON or invalid UTF-8
        raise InputError(f"{file}, line {number}: is not JSON: {shortened(line[:60])}") from None
    body = request.get("Body") if isinstance(request, dict) else None
    if not isinstance(body, str):
        raise InputError(
            f"{file}, line {number}: expected an object with a text Body, got {shortened(request)}"
        )
    return len(body.encode("utf-8", errors="surrogatepass"))
