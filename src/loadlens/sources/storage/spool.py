"""Standard input and pipes, which can be read once: kept in a temporary file, and read from there."""

import os
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from loadlens.disk import FREE_TEMPORARY_SPACE, refusing_full_disk
from loadlens.errors import InputError, OutputError
from loadlens.sources.storage.location import Location, RemotePath
from loadlens.sources.storage.secrets import StorageOptions, shown
from loadlens.sources.storage.store import ObjectFacts

__all__ = ["STANDARD_INPUT", "Spool", "spooled"]

STANDARD_INPUT: Final = "-"
"""What names standard input in the place of a path."""

_CHUNK_BYTES: Final = 2**20
_SHARE_OF_DISK: Final = 0.9


def spooled(source: Location, folder: Path | None) -> RemotePath | None:
    """Standard input or a pipe as a file that can be read again and again; None for files and folders.

    Only its beginning is read here: see ``Spool.fill``.

    Args:
        source: ``-`` or a path.
        folder: where the temporary file goes; without it, where the system puts such files.

    Raises:
        InputError: it is a terminal, a device or a socket, or empty.
    """
    if not isinstance(source, Path):
        return None
    title = str(source)
    if title == STANDARD_INPUT:
        stream = _standard_input()
    else:
        mode = source.stat().st_mode if source.exists() else stat.S_IFREG
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return None
        if not stat.S_ISFIFO(mode):
            raise InputError(f"{title}: is a device or a socket, not a log; name a file, or pipe it in as -")
        stream = source.open("rb")
    title = shown(title)
    begin = _read(title, stream)
    if not begin:
        raise InputError(f"{title}: is empty (0 bytes), or has been read before; expected a log")
    store = Spool(root=title, begin=begin, folder=folder, rest=stream)
    if stream is not sys.stdin.buffer:
        weakref.finalize(store, stream.close)
    return RemotePath(store=store, key=title.strip("/"))


def _standard_input() -> IO[bytes]:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("standard input: is a terminal; pipe a log into it, or name a file")
    return sys.stdin.buffer


class _Kept:
    """A temporary file that others can open, gone with the last that holds this.

    Where the system has names for open files, it is gone with this process, however that ends.
    """

    def __init__(self, folder: Path | None) -> None:
        file = tempfile.NamedTemporaryFile(prefix="loadlens-", dir=folder, delete=False)  # noqa: SIM115  # below
        opened = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        self.file: IO[bytes] = file
        self.path = opened if opened.exists() else Path(file.name)
        named = Path(file.name)
        if self.path == opened:
            named.unlink()
        weakref.finalize(self, _forget, file, named)


def _forget(file: IO[bytes], path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)


@dataclass(kw_only=True, eq=False)
class Spool:
    """A store of the one file that standard input or a pipe becomes.

    Attributes:
        root: what messages call it.
        begin: its first bytes.
        folder: where the temporary file goes; None where the system puts such files.
        rest: what gives the bytes behind ``begin``; None once the file is filled.
        path: the temporary file; None until it is filled.
    """

    root: str
    begin: bytes
    folder: Path | None = None
    rest: IO[bytes] | None = None
    path: Path | None = None
    options: StorageOptions = field(default_factory=StorageOptions)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "rest": None, "_kept": None}

    def fill(self) -> None:
        """Reads all that comes into the temporary file.

        Raises:
            InputError: it cannot be read.
            OutputError: there is no room for it.
        """
        if self.rest is None:
            return
        where = self.folder or Path(tempfile.gettempdir())
        try:
            self._kept = _Kept(self.folder)
            room = int(shutil.disk_usage(where).free * _SHARE_OF_DISK)
        except OSError as error:
            raise OutputError(
                f"spill_folder: {where} cannot be written: {error.strerror}; name another"
            ) from error
        with refusing_full_disk(f"{self.root}: {where}", FREE_TEMPORARY_SPACE):
            self._copy(self.rest, self._kept.file, room)
        if self.rest is not sys.stdin.buffer:
            self.rest.close()
        self.path, self.rest = self._kept.path, None

    def _copy(self, source: IO[bytes], target: IO[bytes], room: int) -> None:
        size = target.write(self.begin)
        while chunk := _read(self.root, source):
            size += target.write(chunk)
            if size > room:
                raise OutputError(
                    f"{self.root}: does not end after {size:,} bytes, all that the temporary folder has room "
                    f"for; {FREE_TEMPORARY_SPACE}"
                )
        target.flush()

    def shown(self, key: str) -> str:  # noqa: ARG002  # as other stores
        """What messages call it."""
        return self.root

    def url(self, key: str) -> str:  # noqa: ARG002  # as other stores
        """The path of the temporary file."""
        return str(self.path)

    def facts(self, key: str) -> ObjectFacts | None:  # noqa: ARG002  # as other stores
        """Its size, and when it was written; all of it is read first."""
        self.fill()
        assert self.path is not None  # noqa: S101  # it has just been filled
        status = self.path.stat()
        return ObjectFacts(size=status.st_size, etag=str(status.st_mtime_ns), modified_ns=status.st_mtime_ns)

    def below(self, prefix: str) -> Iterator[tuple[str, ObjectFacts]]:  # noqa: ARG002  # as other stores
        """Nothing: it is a file."""
        return iter(())

    def chunks(self, key: str, facts: ObjectFacts) -> Iterator[bytes]:
        """Its bytes from the beginning."""
        for start in range(0, facts.size, _CHUNK_BYTES):
            yield self.part(key, start, _CHUNK_BYTES)

    def part(self, key: str, start: int, length: int) -> bytes:  # noqa: ARG002  # as other stores
        """Some of its bytes."""
        if self.path is None:
            return self.begin[start : start + length]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)


def _read(name: str, source: IO[bytes]) -> bytes:
    try:
        return source.read(_CHUNK_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read: {error}") from error
