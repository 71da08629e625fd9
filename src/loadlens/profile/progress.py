"""How far a run is, and how much memory it may take."""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.logs.files import DataFile

__all__ = ["Limits", "OnProgress", "Progress", "Tracker", "default_memory_limit"]


_SHARE_OF_MACHINE: Final = 0.5
_SMALLEST_LIMIT: Final = 256 * 2**20
_BYTES_PER_CANDIDATE: Final = 48
_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def default_memory_limit(cgroup_files: Sequence[str] = _CGROUP_LIMITS) -> int:
    """Half of the memory that this process may use, in bytes: the machine's, or its cgroup's if less.

    Args:
        cgroup_files: where cgroups tell their limits.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min([physical, *_limits_in(cgroup_files)]) * _SHARE_OF_MACHINE)


def _limits_in(files: Sequence[str]) -> list[int]:
    texts = [path.read_text(encoding="ascii").strip() for name in files if (path := Path(name)).exists()]
    return [int(text) for text in texts if text.isdecimal()]  # "max" means no limit


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes of the steps of a run under a memory limit.

    Attributes:
        memory: the limit in bytes.
        most_candidates: how many rows are fetched at most, however much memory there is.
        most_held_bytes: how large a log is at most that is held in memory.
        seconds_between_reports: how far apart in time progress is told, at least.
    """

    memory: int
    most_candidates: int = 6_000_000
    most_held_bytes: int = 96 * 2**20
    seconds_between_reports: float = 0.1

    @classmethod
    def of(cls, memory_limit: "int | Limits | None") -> "Limits":
        """The limits under ``memory_limit`` bytes; without one, under the machine's default.

        Raises:
            UsageError: the limit is too small to work with.
        """
        if isinstance(memory_limit, Limits):
            return memory_limit
        memory = default_memory_limit() if memory_limit is None else memory_limit
        if not isinstance(memory, int | float) or not _SMALLEST_LIMIT <= memory < math.inf:
            got = f"{memory:,}" if isinstance(memory, int | float) else repr(memory)
            raise UsageError(
                f"memory_limit: got {got} bytes, expected at least {_SMALLEST_LIMIT:,} (256 MiB)"
            )
        return cls(memory=memory)

    @property
    def candidates(self) -> int:
        """How many rows may be fetched into memory."""
        return min(self.memory // 8 // _BYTES_PER_CANDIDATE, self.most_candidates)

    @property
    def tally_bytes(self) -> int:
        """How large the tally of one thread may become, which grows by doubling; merging takes one more."""
        return self.memory // 4 // (pl.thread_pool_size() + 1)

    @property
    def profile_bytes(self) -> int:
        """How large the counts of a log may become as a profile, for a time several times over."""
        return self.memory * 2 // 3

    @property
    def held_bytes(self) -> int:
        """How large a log may be to be held in memory, in place of a spill file or a second reading."""
        return min(self.memory // 16, self.most_held_bytes)

    def refuse_huge_row_groups(self, files: Sequence[DataFile]) -> None:
        """Refuses Parquet files whose row groups, one for each thread, do not fit in half of the limit.

        Raises:
            InputError: names the files, and what to change.
        """
        allowed = self.memory // 2
        threads = pl.thread_pool_size()
        problems = [
            f"{file.path}: has row groups of up to {_mib(file.row_group_bytes)}, of which {threads} threads "
            f"hold one each; expected at most {_mib(allowed // threads)}: write the file with smaller row "
            f"groups, or raise the memory limit of {_mib(self.memory)}"
            for file in files
            if file.row_group_bytes * threads > allowed
        ]
        if problems:
            raise InputError(*problems)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


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
        seconds_between_reports: float = 0.0,
    ) -> None:
        self._seconds_between = seconds_between_reports
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
            if time.monotonic() - self._told >= self._seconds_between:
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
