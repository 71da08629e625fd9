"""Folders that go whatever happens, even after a kill; renames in one step; disks that are full."""

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a killed process leaves there stays
    fcntl = None  # type: ignore[assignment]  # a module, or none

__all__ = [
    "FREE_OUTPUT_SPACE",
    "FREE_TEMPORARY_SPACE",
    "claimed_folder",
    "exchange",
    "refusing_full_disk",
    "temporary_folder",
]

FREE_OUTPUT_SPACE: Final = "free space there, or name another place"
"""What to do where the disk of an output is full."""

FREE_TEMPORARY_SPACE: Final = "free space there, or set TMPDIR to another folder"
"""What to do where the system's place for temporary files is full."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_TEMPORARY: Final = re.compile(r"loadlens-[0-9a-f]{16}")
_SPARE_FILES: Final = 3
_SECONDS_UNTIL_LOCKED: Final = 0.1
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2  # Linux's RENAME_EXCHANGE and macOS's RENAME_SWAP


@contextmanager
def temporary_folder(folder: str | PathLike[str] | None = None) -> Iterator[Path]:
    """A temporary folder, gone with the context; those that killed processes have left go too.

    Args:
        folder: where it goes; without it, where the system puts such files.

    Raises:
        OSError: it cannot be made.
    """
    place = Path(folder or tempfile.gettempdir())
    _remove_abandoned(place)
    made = place / f"loadlens-{secrets.token_hex(8)}"
    with claimed_folder(made):
        yield made


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Makes a folder, or takes over one that a killed process has left; it goes with the context.

    While the context lasts, the folder is locked. The lock dies with the process, however that ends, and so
    tells whether somebody still works in the folder.

    Args:
        folder: the folder, its parent made.

    Raises:
        BlockingIOError: another living process has it.
        OSError: it cannot be made.
    """
    claim = _Claim(folder)
    try:  # from before it is made, as an interrupt may come as soon as it is
        claim.take()
        yield
    finally:
        claim.give_back()


class _Claim:
    """A folder that is to be this process's own, and how far that has come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_ours = False
        self._lock: int | None = None
        self._spare: list[int] = []

    def take(self) -> None:
        """Makes the folder or takes it over, and locks it where the system has locks."""
        while not self._is_taken():
            self._unlock()
        if self._lock is not None:  # so that it can be removed even where there are too many open files
            for _ in range(_SPARE_FILES):
                self._spare.append(os.dup(self._lock))

    def _is_taken(self) -> bool:
        """Whether the folder is ours now; False where somebody has just tidied it up."""
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            self._is_ours = True
        try:
            self._lock_it()
        except FileNotFoundError:
            self._is_ours = False
        except OSError as error:
            if error.errno in _NO_LOCKS and self._is_ours:
                return True
            if self._is_ours:  # it is empty
                self._folder.rmdir()
            self._is_ours = False
            raise (_in_use(self._folder) if error.errno in _NO_LOCKS else error) from error
        else:
            self._is_ours = self._is_there()
        return self._is_ours

    def _lock_it(self) -> None:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if self._lock is None:
            self._lock = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_there(self) -> bool:
        """Whether the path still leads to the folder that is locked."""
        try:
            return self._lock is not None and os.path.samestat(self._folder.stat(), os.fstat(self._lock))
        except FileNotFoundError:
            return False

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def give_back(self) -> None:
        """Removes the folder if it is ours, and unlocks it only then."""
        if not self._is_ours:  # or an interrupt has come before that was known
            with suppress(OSError):
                self._lock_it()
                self._is_ours = self._is_there()
        while self._spare:
            os.close(self._spare.pop())
        try:
            if self._is_ours:
                shutil.rmtree(self._folder, ignore_errors=True)
        finally:  # Polars and Python both raise an interrupt: the second comes while the first is dealt with
            if self._is_ours:
                shutil.rmtree(self._folder, ignore_errors=True)
                with suppress(OSError):  # an empty one takes no open file, of which there may be too many
                    self._folder.rmdir()
            self._unlock()


def _in_use(folder: Path) -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(folder))


def _remove_abandoned(place: Path) -> None:
    """Removes the temporary folders of this user's processes that have been killed."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(place) as entries:
        left = [Path(entry) for entry in entries if _TEMPORARY.fullmatch(entry.name) and _is_old(entry)]
        for folder in left:
            with suppress(OSError), claimed_folder(folder):
                pass


def _is_old(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is this user's and not just being made, before its lock."""
    facts = entry.stat(follow_symlinks=False)
    is_own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
    return is_own and time.time() - facts.st_mtime > _SECONDS_UNTIL_LOCKED


def exchange(one: Path, other: Path) -> bool:
    """Exchanges two paths of one file system in one step; False where the system cannot.

    Raises:
        OSError: one of them cannot be renamed.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            done = library.renamex_np(os.fsencode(one), os.fsencode(other), _RENAME_EXCHANGE)
        else:
            names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
            done = library.renameat2(*names, _RENAME_EXCHANGE)
    except (AttributeError, OSError, TypeError):  # another system, or a library that lacks the call
        return False
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


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
