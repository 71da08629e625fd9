"""How logs are scanned, and text that several looks share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.profile.execution import Engine
from loadlens.profile.limits import Limits
from loadlens.profile.plan import Plan
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import UnusableRowsError
from loadlens.profile.spill import write_spill
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY
from loadlens.sources.log import Log

PARSING: Final = "Parsing text"

_RAISED: Final[tuple[type[BaseException], ...]] = (
    UnusableRowsError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)

__all__ = ["PARSING", "Scan", "in_memory", "is_small_text", "needed_names", "run_batches", "spilled"]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How a log is scanned.

    Attributes:
        plan: what rows are counted for: the key, the rule of success, and whether sizes are.
        limits: sizes of steps.
        widths: of windows of time by which calls are counted besides, in s.
        with_heat: whether latencies are counted over time.
        looks_again: whether rows are read again, as figures are exact.
        spill_folder: where the temporary file goes that rows go through; by default the system's place.
        engine: what runs the queries.
        tracker: is told of the rows.
    """

    plan: Plan
    widths: tuple[float, ...] = ()
    limits: Limits
    with_heat: bool
    looks_again: bool = True
    spill_folder: str | PathLike[str] | None
    engine: Engine
    tracker: Tracker


def is_small_text(log: Log, limits: Limits) -> bool:
    """Whether a log is text alone, and so little that memory holds it."""
    size = sum(file.head.text_bytes for file in log.text)
    return bool(log.text) and len(log.text) == len(log.files) and size <= limits.text_bytes


def in_memory(log: Log, scan: Scan) -> Log:
    """The log, its text parsed."""
    frame = _parsing(log, scan).collect(engine=scan.engine).lazy()
    return _over_parsed(log, scan, frame)


def spilled(log: Log, scan: Scan, path: Path) -> Log:
    """The log, its rows in a file."""
    write_spill(_parsing(log, scan), path, scan.engine)
    return _over_parsed(log, scan, pl.scan_parquet(path, glob=False))


def _parsing(log: Log, scan: Scan) -> pl.LazyFrame:
    scan.tracker.stage(PARSING if log.text else "Reading rows")
    return scan.tracker.watch(log.frame.select(needed_names(log, scan.plan)))


def _over_parsed(log: Log, scan: Scan, frame: pl.LazyFrame) -> Log:
    return replace(log, frame=frame, columns=tuple(needed_names(log, scan.plan)), text=())


def needed_names(log: Log, plan: Plan) -> list[str]:
    """The columns of a log that ``plan`` needs."""
    sizes = ["response_size"] if plan.response_sizes else []
    measures = (LATENCY, ERROR_CLASS, *ERROR_COLUMNS, "start_time", "end_time", *sizes)
    further = [measure.column for measure in plan.measures]
    wanted = [*plan.key, *measures, *further, *plan.success.meta.root_names()]
    return [name for name in dict.fromkeys(wanted) if name in log.columns]


def run_batches(
    frame: pl.LazyFrame,
    step: Callable[[pl.DataFrame], pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    run: Callable[[pl.LazyFrame], object],
    *,
    expected: tuple[type[BaseException], ...] = (),
) -> None:
    """Runs rows through a step, a batch at a time and several at once.

    Args:
        frame: the rows.
        step: is given a batch; what it returns is handed on.
        schema: the columns that are handed on.
        run: runs the query.
        expected: what the step may raise besides ``UnusableRowsError``.

    Raises:
        Exception: what the step raised, as it is and not as the reader wraps it.
    """
    raised: list[BaseException] = []

    def watched(batch: pl.DataFrame) -> pl.DataFrame:
        try:
            return step(batch)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        run(frame.map_batches(watched, schema=schema, streamable=True))
    except (*_RAISED, *expected):
        if not raised:
            raise
    if raised:
        # Neither in a list of a frame of its own traceback nor beside what the reader made of it: the frames
        # would live on in a circle, and with them all that was counted.
        del raised[1:]  # of other threads
        raise raised.pop()
