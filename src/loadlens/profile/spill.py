"""Text is parsed once: its needed columns go into memory if they are few, else into a temporary file."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path

import polars as pl

from loadlens.errors import UsageError
from loadlens.profile.limits import Limits
from loadlens.profile.plan import Engine, Plan
from loadlens.profile.progress import Tracker
from loadlens.schema import ERROR_COLUMNS, LATENCY
from loadlens.sources.log import Log

__all__ = ["Spilled", "columnar"]

Spilled = tuple[Log, int]
"""A log that is cheap to scan again, and the size in bytes of the temporary file behind it."""


@contextmanager
def columnar(
    log: Log,
    plan: Plan,
    *,
    limits: Limits,
    folder: str | PathLike[str] | None,
    engine: Engine,
    tracker: Tracker,
) -> Iterator[Spilled]:
    """Makes a log of text files columnar for as long as the context lasts; other logs stay as they are.

    Args:
        log: the log.
        plan: tells the needed columns.
        limits: tell what fits in memory.
        folder: where the temporary file goes; without it, where the system puts such files.
        engine: what runs the query.
        tracker: is told of the rows.
    """
    text = [file.size for file in log.files if file.kind == "csv"]
    if not text:
        yield log, 0
        return
    tracker.stage("Parsing text")
    needed = tracker.watch(log.frame.select(_needed_columns(log, plan)))
    if sum(text) <= limits.text_bytes and len(text) == len(log.files):
        yield replace(log, frame=needed.collect(engine=engine).lazy()), 0
        return
    spill = _temporary_folder(folder)
    try:
        path = Path(spill) / "log.parquet"
        # Uncompressed Parquet takes a tenth less time than lz4 to write, and half the space of Arrow IPC.
        needed.sink_parquet(path, compression="uncompressed", maintain_order=False, engine=engine)
        yield replace(log, frame=pl.scan_parquet(path, glob=False)), path.stat().st_size
    finally:
        try:
            shutil.rmtree(spill, ignore_errors=True)
        finally:  # an interrupt that arrives only now must not leave the folder behind
            shutil.rmtree(spill, ignore_errors=True)


def _temporary_folder(folder: str | PathLike[str] | None) -> str:
    try:
        return tempfile.mkdtemp(prefix="loadlens-", dir=folder)
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise UsageError(
            f"spill_folder: {where} cannot be written: {error.strerror}; name another"
        ) from error


def _needed_columns(log: Log, plan: Plan) -> list[str]:
    sizes = ["response_size"] if plan.response_sizes else []
    wanted = [
        *plan.key, LATENCY, *ERROR_COLUMNS, "start_time", "end_time", *sizes, *plan.success.meta.root_names()
    ]  # fmt: skip
    return [name for name in dict.fromkeys(wanted) if name in log.columns]
