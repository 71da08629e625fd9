"""The temporary file that text is parsed into, so that further scans need not parse it again."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path

import polars as pl

from loadlens.disk import refusing_full_disk, temporary_folder
from loadlens.errors import UsageError
from loadlens.profile.execution import Engine

__all__ = ["spill_file", "spill_place", "write_spill"]


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
