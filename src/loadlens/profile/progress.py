"""How far a run is, told while its scans go on."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

__all__ = ["OnProgress", "Progress", "Tracker"]

_SECONDS_BETWEEN_CALLS = 0.1


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A moment of a run.

    Attributes:
        stage: what goes on.
        rows_done: rows that this stage has read.
        rows_total: rows that it will read, or None where a scan has to tell.
        bytes_done: bytes of the log's files that this stands for.
        bytes_total: bytes of the log's files.
        elapsed_s: seconds since the stage began.
        partitions_done: partitions that workers have read in this stage.
        partitions_total: partitions that they will read; 0 where this process reads the log itself.
    """

    stage: str
    rows_done: int
    rows_total: int | None
    bytes_done: int
    bytes_total: int
    elapsed_s: float
    partitions_done: int = 0
    partitions_total: int = 0

    @property
    def rows_per_s(self) -> float:
        """Rows read per second."""
        return self.rows_done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds that this stage still takes at its rate so far, or None where that is unknown."""
        if not self.rows_total or not self.rows_done:
            return None
        return max(self.rows_total - self.rows_done, 0) / self.rows_per_s


OnProgress = Callable[[Progress], None]


class Tracker:
    """Counts the rows that pass through a query and tells a callback, some times a second.

    What the callback raises ends the run.

    Attributes:
        raised: what the callback raised, to tell it from what a reader raises.
    """

    raised: BaseException | None = None

    def __init__(
        self,
        on_progress: OnProgress | None,
        rows_total: int | None,
        bytes_total: int,
    ) -> None:
        self._on_progress = on_progress
        self._rows_total = rows_total
        self._bytes_total = bytes_total
        self._lock = threading.Lock()
        self._begin("")

    def _begin(self, stage: str, partitions: int = 0) -> None:
        self._stage = stage
        self._rows = 0
        self._partitions = partitions
        self._partitions_done = 0
        self._started = self._told = time.monotonic()

    def stage(self, name: str, partitions: int = 0) -> None:
        """Begins a stage, in which workers read so many partitions."""
        self._begin(name, partitions)
        self._tell()

    def add_partition(self, rows: int) -> None:
        """Counts a partition that a worker has read."""
        self._partitions_done += 1
        self._add(rows)

    def watch(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The same frame, its rows counted as they pass."""
        if self._on_progress is None:
            return frame
        return frame.map_batches(self._count, schema=frame.collect_schema(), streamable=True)

    def _count(self, rows: pl.DataFrame) -> pl.DataFrame:
        self._add(rows.height)
        return rows

    def _add(self, rows: int) -> None:
        with self._lock:
            self._rows += rows
            if time.monotonic() - self._told >= _SECONDS_BETWEEN_CALLS:
                self._tell()

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        self._told = time.monotonic()
        try:
            self._on_progress(self._progress())
        except BaseException as error:
            self.raised = error
            raise

    def _progress(self) -> Progress:
        share = min(self._rows / self._rows_total, 1.0) if self._rows_total else 0.0
        return Progress(
            stage=self._stage,
            rows_done=self._rows,
            rows_total=self._rows_total,
            bytes_done=int(self._bytes_total * share),
            bytes_total=self._bytes_total,
            elapsed_s=self._told - self._started,
            partitions_done=self._partitions_done,
            partitions_total=self._partitions,
        )
