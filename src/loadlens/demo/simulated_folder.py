"""The files of a simulated benchmark, in the layout of the reference toolkit."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from loadlens.demo.simulated_endpoint import (
    CLOCK_START_S,
    METRIC_UNITS,
    REQUEST_BYTES,
    Configuration,
    Floats,
    Load,
    even_parts,
    simulate_load,
)
from loadlens.errors import UsageError
from loadlens.logs.discovery import INVOCATION_LOG_STEM
from loadlens.logs.toolkit_folder import EXAMPLES_NAME, RAW_FOLDER
from loadlens.schema import CANONICAL_COLUMNS, ENDPOINT_METRIC_COLUMNS, ERROR_COLUMNS, LATENCY

__all__ = ["simulate_results_folder"]

_MOST_ROWS: Final = 10**10
STABILITY_SHARE: Final = 0.3  # of all rows
STABILITY_MEMORY_MB: Final = (1024, 2048, 3072, 4096, 5120, 6144)
CONCURRENCY_MEMORY_MB: Final = 4096
MAX_CONCURRENCIES: Final = (2, 4, 8)
CLIENTS_PER_SLOT: Final = (1, 1.5, 1.75, 2)
CLOCK_ZERO: Final = datetime(2026, 1, 5, tzinfo=UTC)  # the date of second 0 of the log's clock

STABILITY_KEY: Final = ("memory_size",)
CONCURRENCY_KEY: Final = ("memory_size", "max_concurrency", "num_clients")
MEASURED_COLUMNS: Final = (LATENCY, "response_size", *ERROR_COLUMNS, "start_time", "end_time")
STABILITY_COLUMNS: Final = (*MEASURED_COLUMNS, "invoke_arg_index", *STABILITY_KEY)
CONCURRENCY_COLUMNS: Final = (*MEASURED_COLUMNS, *CONCURRENCY_KEY)
METRIC_STATISTICS: Final = ("Timestamp", "Average", "Minimum", "Maximum", "Unit", "p25", "p50", "p75")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One of the benchmarks: where its files go, the log's columns, its key and what to simulate."""

    folder: Path
    columns: tuple[str, ...]
    key: tuple[str, ...]
    loads: list[Load]


def simulate_results_folder(
    folder: Path, *, rows: int = 200_000, seed: int = 0, on_rows: Callable[[int], None] | None = None
) -> None:
    """Writes the logs of a simulated benchmark in the layout of the reference toolkit.

    The stability part holds about 30 % of the rows: one client at each memory size. The concurrency part
    holds the others: one memory size, several ``max_concurrency``, and from as many clients as slots to
    twice as many. With fewer rows than configurations only the first configurations are there; a single
    row makes a stability part alone. Memory use does not grow with ``rows``.

    Args:
        folder: where to write; created if it is not there, files of the same names are replaced.
        rows: calls in both parts together, at least 1.
        seed: the same ``rows`` and ``seed`` give the same logs.
        on_rows: called with the number of rows just written, again and again.

    Raises:
        UsageError: ``rows`` or ``seed`` is too small, or ``rows`` too large.
    """
    _check(rows, seed)
    report = on_rows or (lambda _rows: None)
    stability_rows = max(1, round(rows * STABILITY_SHARE))
    stability_seed, concurrency_seed = np.random.SeedSequence(seed).spawn(2)
    stability = _Part(
        folder=folder / RAW_FOLDER["stability"],
        columns=STABILITY_COLUMNS,
        key=STABILITY_KEY,
        loads=_shared_out(_stability_configurations(), stability_rows, stability_seed),
    )
    concurrency = _Part(
        folder=folder / RAW_FOLDER["concurrency"],
        columns=CONCURRENCY_COLUMNS,
        key=CONCURRENCY_KEY,
        loads=_shared_out(_concurrency_configurations(), rows - stability_rows, concurrency_seed),
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_examples(folder / EXAMPLES_NAME)
    clock_s = _write_part(stability, CLOCK_START_S, report)
    if concurrency.loads:
        _write_part(concurrency, clock_s, report)


def _check(rows: int, seed: int) -> None:
    problems = []
    if rows < 1:
        problems.append(f"rows is {rows}; simulate at least 1")
    if rows > _MOST_ROWS:
        problems.append(f"rows is {rows}; simulate at most {_MOST_ROWS:,}")
    if seed < 0:
        problems.append(f"seed is {seed}; it must be 0 or more")
    if problems:
        raise UsageError(*problems)


def _stability_configurations() -> list[Configuration]:
    return [Configuration(memory_size=size) for size in STABILITY_MEMORY_MB]


def _concurrency_configurations() -> list[Configuration]:
    return [
        Configuration(memory_size=CONCURRENCY_MEMORY_MB, max_concurrency=slots, num_clients=clients)
        for slots in MAX_CONCURRENCIES
        for clients in sorted({int(slots * ratio) for ratio in CLIENTS_PER_SLOT})
    ]


def _shared_out(
    configurations: Sequence[Configuration], rows: int, seed: np.random.SeedSequence
) -> list[Load]:
    """Gives each configuration its share of the rows; one without a row is left out."""
    shares = even_parts(rows, len(configurations))
    seeds = seed.spawn(len(configurations))
    return [
        Load(configuration=configuration, rows=share, seed=own_seed)
        for configuration, share, own_seed in zip(configurations, shares, seeds, strict=True)
        if share
    ]


def _write_examples(path: Path) -> None:
    requests = ({"Body": _payload(size), "ContentType": "text/csv"} for size in REQUEST_BYTES)
    path.write_text(
        "".join(f"{json.dumps(request)}\n" for request in requests), encoding="utf-8", newline="\n"
    )


def _payload(size: int) -> str:
    """A line of comma-separated features, ``size`` bytes long."""
    features = ",".join(f"{index % 97 / 97:.4f}" for index in range(size // 7 + 1))
    return features[:size]


def _write_part(part: _Part, clock_s: float, report: Callable[[int], None]) -> float:
    """Writes the log and the endpoint metrics of one part; returns the clock at its end."""
    part.folder.mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    with _LogWriter(part.folder / f"{INVOCATION_LOG_STEM}.parquet", part.columns, report) as log:
        for load in part.loads:
            configuration = {name: getattr(load.configuration, name) for name in part.key}
            metrics = {name: _Metric() for name in METRIC_UNITS}
            started_s = clock_s
            for batch in simulate_load(load, clock_s):
                log.write(batch.columns, configuration)
                for name, values in batch.metrics.items():
                    metrics[name].add(values)
                clock_s = batch.end_s
            rows.extend(_metric_row(name, metrics[name], started_s) | configuration for name in metrics)
    _write_metrics(part.folder / "endpoint_metrics.csv", rows)
    return clock_s


class _LogWriter:
    """Writes batches to a Parquet file, each as one row group."""

    def __init__(self, path: Path, columns: Sequence[str], report: Callable[[int], None]) -> None:
        declared = {name: CANONICAL_COLUMNS[name].dtype for name in columns}
        self._schema = pl.DataFrame(schema=declared).to_arrow().schema
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def write(self, columns: Mapping[str, pa.Array], configuration: Mapping[str, int]) -> None:
        count = len(columns[LATENCY])
        constants = {
            name: pa.repeat(pa.scalar(value, pa.int64()), count) for name, value in configuration.items()
        }
        table = {**columns, **constants}
        batch = pa.table([table[name] for name in self._schema.names], schema=self._schema)
        self._writer.write_table(batch, row_group_size=count)
        self._report(count)


@dataclass
class _Metric:
    """Statistics of one endpoint metric, batch by batch; quartiles are those of the first batch."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    quartiles: tuple[float, ...] = ()

    def add(self, values: Floats) -> None:
        if not len(values):
            return
        if not self.count:
            self.quartiles = tuple(np.quantile(values, (0.25, 0.5, 0.75)).tolist())
        self.count += len(values)
        self.total += float(values.sum(dtype=np.float64))
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))


def _metric_row(name: str, metric: _Metric, clock_s: float) -> dict[str, object]:
    """A row of the endpoint metrics; one without data has a name and nothing else, as CloudWatch has it."""
    statistics: tuple[object, ...] = (None,) * len(METRIC_STATISTICS)
    if metric.count:
        time = CLOCK_ZERO + timedelta(seconds=round(clock_s))
        figures = (metric.total / metric.count, metric.least, metric.most)
        statistics = (time.isoformat(" "), *figures, METRIC_UNITS[name], *metric.quartiles)
    return dict(zip(METRIC_STATISTICS, statistics, strict=True)) | {"metric_name": name}


def _write_metrics(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    integers = dict.fromkeys(CONCURRENCY_KEY, pl.Int64())
    schema = {name: {**ENDPOINT_METRIC_COLUMNS, **integers}[name] for name in rows[0]}
    pl.DataFrame(rows, schema=schema, orient="row").write_csv(path)
