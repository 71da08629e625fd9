"""Whether files are still what they were when they were opened."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from loadlens.errors import InputError
from loadlens.sources.storage.location import Location, RemotePath, of_each, read_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadlens.sources.files import DataFile

__all__ = ["changed_files", "content_digest", "modified_ns", "refuse_changed"]

_ENDS_BYTES: Final = 2**16


def modified_ns(path: Location) -> int | None:
    """When a file was last written, in ns since 1970; None for folders and where nothing tells.

    Raises:
        OSError: it does not exist.
    """
    if isinstance(path, RemotePath):
        return path.facts.modified_ns if path.facts else None
    return path.stat().st_mtime_ns if path.is_file() else None


def content_digest(path: Location, size: int) -> str:
    """What tells a file's content apart, wherever it lies: a digest of its size, beginning and end.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    digest = hashlib.sha256(f"{size}:".encode())
    digest.update(read_part(path, 0, _ENDS_BYTES))
    digest.update(read_part(path, max(size - _ENDS_BYTES, 0), _ENDS_BYTES))
    return digest.hexdigest()[:32]


def changed_files(files: Iterable[DataFile]) -> list[str]:
    """One line for each file that has another size or time than when it was opened, or another entity tag."""
    known = {file.path: file for file in files}
    found = of_each(lambda path: _change(known[path]), list(known))
    return [problem for problem in found if problem]


def refuse_changed(files: Iterable[DataFile]) -> None:
    """Raises an InputError that names the files that are no longer what they were when they were opened."""
    changed = changed_files(files)
    if changed:
        raise InputError(*changed)


def _change(file: DataFile) -> str:
    if isinstance(file.path, RemotePath):
        return "" if file.version else _change_of_object(file.path)
    if file.modified_ns is None:
        return ""
    try:
        now = file.path.stat()
    except OSError:
        return f"{file.path}: has disappeared while it was read"
    if (now.st_size, now.st_mtime_ns) == (file.size, file.modified_ns):
        return ""
    return (
        f"{file.path}: changed while it was read: {file.size:,} bytes when it was opened, "
        f"{now.st_size:,} now; run again once it is written whole"
    )


def _change_of_object(path: RemotePath) -> str:
    try:
        now = path.anew().facts
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    if now == path.facts:
        return ""
    return f"{path}: " + ("changed" if now else "has disappeared") + " while it was read; run again"
