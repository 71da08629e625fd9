"""How a log is measured, as callers say it."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Annotated, Final, Literal, TypedDict, get_args

import polars as pl

from loadlens.keywords import FOLDER, Takes, checked_options
from loadlens.profile.progress import Limits, OnProgress
from loadlens.profile.slices import Slice, Span, When, is_span, is_when

__all__ = ["Engine", "Execution", "MeasureOptions"]

Engine = Literal["auto", "in-memory", "streaming"] | pl.Engine


def _runs_here(engine: object) -> bool:
    """Whether an engine runs queries in this process, so that they may call its functions."""
    names: tuple[str, ...] = get_args(get_args(Engine)[0])
    return engine in names if isinstance(engine, str) else isinstance(engine, _ENGINES)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_ENGINES: Final = (pl.InMemoryEngine, pl.StreamingEngine)
_ENGINE: Final = Takes(_runs_here, "auto, streaming or in-memory: rows are counted here")
_MEMORY: Final = Takes(
    lambda value: _is_whole(value) or isinstance(value, Limits), "a whole number of bytes"
).or_none()
_EXECUTOR: Final = Takes(
    lambda value: callable(getattr(value, "submit", None)), "an executor, such as ProcessPoolExecutor()"
).or_none()
_ON_PROGRESS: Final = Takes(callable, "a function that takes a Progress").or_none()
_SPAN: Final = Takes(is_span, "a length of time: '60s', seconds or a timedelta").or_none()
_WHEN: Final = Takes(is_when, "a length of time after the first start, or a date and time").or_none()
_WHERE: Final = Takes(lambda value: isinstance(value, str | pl.Expr), "a text in SQL or a pl.Expr").or_none()
_ROWS: Final = Takes(lambda value: _is_whole(value) and value > 0, "a whole number of rows, 1 or more")


class Execution(TypedDict, total=False):
    """How a log is measured: keywords of every function that does; see ``MeasureOptions`` for their defaults.

    Attributes:
        exact: whether latencies are the very values that were logged (default, of logs), which takes further
            scans; if not, they are read from their buckets in one pass, and TPS are of all successes.
        memory_limit: bytes to stay within; by default half of what the machine or its cgroup allows.
            ``Limits`` say more: how many rows, how much text.
        spill_folder: where the temporary file goes that text, objects of a store and lazy queries are read
            through, so that they are read once; by default the system's place.
        heatmap: whether to count latencies over time as well, whatever their key.
        timeline: whether to count calls by key and window of time as well, for what is told over time.
        engine: what runs the queries in the process that reads the rows: ``streaming`` (default),
            ``in-memory``, ``auto``, or, without an executor, an engine object of Polars for one of these.
        on_progress: is told how far the run is, some times a second, from any thread; what it raises
            ends the run.
        executor: any executor of ``concurrent.futures``, whose workers measure partitions of the log's
            files, each worker within ``memory_limit``; by default everything happens in this process.
        partition_rows: about how many rows of the log's files make a partition; by default a sixteenth of
            them, between 4 and 16 million.
        skip: how long after the log's first start its slice begins: ``"60s"``, seconds, or a timedelta; or
            ``"auto"`` for the end of its ramp-up, if it has one that can be told.
        from_: the same, or a date and time: ``"2026-11-22T10:30"`` or a datetime, of UTC without an offset.
        to: where the slice ends; a call belongs to the slice in which it starts.
        where: a condition on its rows, in SQL or as a ``pl.Expr``, over all of the log's columns.
    """

    exact: bool | None
    memory_limit: int | Limits | None
    spill_folder: str | PathLike[str] | None
    heatmap: bool
    timeline: bool
    engine: Engine
    on_progress: OnProgress | None
    executor: Executor | None
    partition_rows: int | None
    skip: Span | None
    from_: When | None
    to: When | None
    where: str | pl.Expr | None


@checked_options
@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """``Execution`` with its defaults, checked when it is made."""

    exact: bool | None = None
    memory_limit: Annotated[int | Limits | None, _MEMORY] = None
    spill_folder: Annotated[str | PathLike[str] | None, FOLDER] = None
    heatmap: bool = False
    timeline: bool = False
    engine: Annotated[Engine, _ENGINE] = "streaming"
    on_progress: Annotated[OnProgress | None, _ON_PROGRESS] = None
    executor: Annotated[Executor | None, _EXECUTOR] = None
    partition_rows: Annotated[int | None, _ROWS] = None
    skip: Annotated[Span | None, _SPAN] = None
    from_: Annotated[When | None, _WHEN] = None
    to: Annotated[When | None, _WHEN] = None
    where: Annotated[str | pl.Expr | None, _WHERE] = None

    def __post_init__(self) -> None:
        """Raises a UsageError for a memory limit that is too small to work with, and a slice that is none."""
        if self.memory_limit is not None:
            Limits.of(self.memory_limit)
        _ = self.slice

    @property
    def is_exact(self) -> bool:
        """Whether figures are exact, for which rows are read again; those of saved profiles never are."""
        return self.exact is not False

    @cached_property
    def slice(self) -> Slice:
        """The rows that are looked at."""
        return Slice.of(skip=self.skip, from_=self.from_, to=self.to, where=self.where)
