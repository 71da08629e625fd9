"""How logs are scanned, and the temporary file that several scans share."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import UsageError
from loadlens.logs.log import Log
from loadlens.profile.execution import Engine, MeasureOptions
from loadlens.profile.plan import Plan, UnusableRowsError
from loadlens.profile.progress import Limits, Tracker
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY
from loadlens.storage.folders import refusing_full_disk, temporary_folder

__all__ = [
    "PARSING",
    "Scan",
    "at_hand",
    "is_small",
    "needed_names",
    "run_batches",
    "spill_file",
    "spill_place",
    "write_spill",
]


_VALUE_BYTES: Final = 8


@contextmanager
def spill_file(folder: str | PathLike[str] | None, *, wanted: bool) -> Iterator[Path | None]:
    """The path of a temporary file, gone with the context; None if none is ``wanted``.

    Args:
        folder: where it goes; without it, where the system puts such files.
        wanted: whether there is to be one.

    Raises:
        UsageError: the folder cannot be written.
    """
    if not wanted:
        yield None
        return
    with spill_place(folder) as spill:
        yield spill / "log.parquet"


@contextmanager
def spill_place(folder: str | PathLike[str] | None) -> Iterator[Path]:
    """A temporary folder for such files, gone with the context.

    Args:
        folder: where it goes; without it, where the system puts such files.

    Raises:
        UsageError: the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            place = stack.enter_context(temporary_folder(folder))
        except OSError as error:
            where = folder or tempfile.gettempdir()
            raise UsageError(
                f"spill_folder: {where} cannot be written: {error.strerror}; name another"
            ) from error
        yield place


def write_spill(frame: pl.LazyFrame, path: Path, engine: Engine) -> None:
    """Runs ``frame`` into the file.

    Uncompressed Parquet takes a tenth less time than lz4 to write, and half the space of Arrow IPC.

    Raises:
        OutputError: the disk is full.
    """
    remedy = "free space there, or name another folder with --spill-folder (spill_folder=) or TMPDIR"
    with refusing_full_disk(f"spill_folder: {path.parent.parent}", remedy):
        frame.sink_parquet(
            path, compression="uncompressed", statistics=False, maintain_order=False, engine=engine
        )


PARSING: Final = "Parsing text"

_RAISED: Final[tuple[type[BaseException], ...]] = (
    UnusableRowsError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How a log is scanned.

    Attributes:
        plan: what rows are counted for: the key, the rule of success, and whether sizes are.
        limits: sizes of steps.
        widths: of windows of time by which calls are counted besides, in s.
        options: how the caller wants it.
        tracker: is told of the rows.
    """

    plan: Plan
    widths: tuple[float, ...] = ()
    limits: Limits
    options: MeasureOptions
    tracker: Tracker


def is_small(log: Log, scan: Scan) -> bool:
    """Whether memory holds a log, so that its files are read once; of one pass, whether it holds its text."""
    if log.is_at_hand or not (log.text or scan.options.is_exact):
        return False
    rows = sum(file.rows for file in log.typed_files)
    size = (
        sum(file.head.text_bytes for file in log.text) + rows * len(held_names(log, scan.plan)) * _VALUE_BYTES
    )
    return bool(log.files) and size <= scan.limits.held_bytes


def at_hand(log: Log, scan: Scan, path: Path | None, columns: Sequence[str] = ()) -> Log:
    """The log, its rows where they may be read several times.

    Args:
        log: the log.
        scan: how it is scanned.
        path: the file that rows go into; None for memory.
        columns: which are needed besides those of the scan.
    """
    names = held_names(log, scan.plan, columns)
    scan.tracker.stage(PARSING if log.text else "Reading rows")
    frame = scan.tracker.watch(log.frame.select(names))
    if path is None:
        rows = frame.collect(engine=scan.options.engine).lazy()
    else:
        write_spill(frame, path, scan.options.engine)
        rows = pl.scan_parquet(path, glob=False)
    return replace(log, frame=rows, columns=tuple(names), text=(), is_at_hand=True)


def held_names(log: Log, plan: Plan, columns: Sequence[str] = ()) -> list[str]:
    """The columns of a log that a plan needs, further ones, and those of the rules that are open."""
    checked = {name for rule in log.open_rules for name in rule.needs}
    wanted = [*needed_names(log, plan), *columns, *sorted(checked)]
    return [name for name in dict.fromkeys(wanted) if name in log.columns]


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
