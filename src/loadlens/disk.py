"""Temporary folders that go whatever happens, and disks that are full."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import OutputError

__all__ = [
    "FREE_OUTPUT_SPACE",
    "FREE_TEMPORARY_SPACE",
    "refusing_full_disk",
    "temporary_folder",
    "unused_path",
]

FREE_OUTPUT_SPACE: Final = "free space there, or name another place"
"""What to do where the disk of an output is full."""

FREE_TEMPORARY_SPACE: Final = "free space there, or set TMPDIR to another folder"
"""What to do where the system's place for temporary files is full."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def unused_path(folder: Path, *, prefix: str, suffix: str = "") -> Path:
    """A path that nothing has, known before it is made: an interrupt may come as soon as that is done.

    Args:
        folder: the folder.
        prefix: what the name begins with.
        suffix: what the name ends with.
    """
    return folder / f"{prefix}{secrets.token_hex(8)}{suffix}"


@contextmanager
def temporary_folder(
    folder: str | PathLike[str] | None = None, *, prefix: str = "loadlens-", suffix: str = ""
) -> Iterator[Path]:
    """A temporary folder, gone with the context.

    Args:
        folder: where it goes; without it, where the system puts such files.
        prefix: what its name begins with.
        suffix: what its name ends with.

    Raises:
        OSError: it cannot be made.
    """
    made = unused_path(Path(folder or tempfile.gettempdir()), prefix=prefix, suffix=suffix)
    try:
        made.mkdir(mode=0o700)
        yield made
    finally:
        try:
            shutil.rmtree(made, ignore_errors=True)
        finally:  # Polars and Python both raise an interrupt: the second comes while the first is dealt with
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def refusing_full_disk(place: object, remedy: str) -> Iterator[None]:
    """Turns what a full disk raises into an error that says so.

    Args:
        place: what is written, or where.
        remedy: what to do.

    Raises:
        OutputError: the disk is full, a quota is used up, or a file is larger than the system allows.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        full = _full(error)
        if full is None:
            raise
        raise OutputError(f"{place}: cannot be written: {os.strerror(full)}; {remedy}") from error


def _full(error: Exception) -> int | None:
    """The number of the system's error; Polars tells it in the text alone."""
    told = getattr(error, "errno", None)
    return next((number for number in _FULL if number == told or f"(os error {number})" in str(error)), None)
