"""What names of files tell, what lies below a folder, and standard input, which can be read once."""

import glob
import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import IO, Any, Final, Literal

from loadlens.errors import InputError, OutputError
from loadlens.storage.folders import FREE_TEMPORARY_SPACE, refusing_full_disk
from loadlens.storage.location import Location, RemotePath
from loadlens.storage.remote import ObjectFacts
from loadlens.storage.secrets import StorageOptions, shown

__all__ = [
    "COLUMNAR",
    "LOG_SUFFIXES",
    "STANDARD_INPUT",
    "Likelihood",
    "Spool",
    "dangling",
    "distinct_names",
    "files_below",
    "is_hidden",
    "likelihood",
    "matching",
    "spooled",
    "stem_of",
]


Likelihood = Literal["sure", "likely", "unlikely", "none"]

COLUMNAR: Final = (".parquet", ".arrow", ".feather", ".ipc")
"""Suffixes of tables of typed columns, the preferred first."""

LOG_SUFFIXES: Final = (".parquet", ".csv", ".jtl", ".jsonl", ".ndjson", ".ldjson", ".tsv", *COLUMNAR[1:])
"""Suffixes of files that are logs, or ought to be."""

_OF_MANY_THINGS: Final = (".profile", ".log", ".txt", ".json", ".xml", ".db", ".sqlite", ".bin")
_PACKED: Final = re.compile(
    r"\.(gz|zst|zstd|bz2|xz|zip|tgz|tar|7z|rar|lz4|lzma|lz|br|z|sz|snappy)$", re.IGNORECASE
)
_ROTATED: Final = re.compile(r"[.-](\d{1,6}|\d{4}-?\d{2}-?\d{2}(?:[-_.T]?\d+)*)$")  # as logrotate names them

STANDARD_INPUT: Final = "-"
"""What names standard input in the place of a path."""

_CHUNK_BYTES: Final = 2**20
_SHARE_OF_DISK: Final = 0.9


def is_hidden(relative: PurePath) -> bool:
    """Whether a name, or a folder on the way, begins with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in relative.parts)


def likelihood(name: str) -> Likelihood:
    """Whether a file of a folder is a log by its name; where that is not sure, its content tells."""
    suffix = PurePath(_unpacked(name)).suffix.lower()
    if suffix in LOG_SUFFIXES:
        return "sure"
    if suffix in _OF_MANY_THINGS:
        return "likely"
    return "none" if suffix else "unlikely"


def _unpacked(name: str) -> str:
    """A name without what compression and rotation have put behind it."""
    while (shorter := _ROTATED.sub("", _PACKED.sub("", name))) and shorter != name:
        name = shorter
    return name


def stem_of(path: PurePath) -> PurePath:
    """A path without the suffixes that tell its format and compression: forms of one log have the same."""
    name = path.name
    while _is_of_a_format(name):
        name = PurePath(name).stem
    return path.with_name(name)


def _is_of_a_format(name: str) -> bool:
    suffix = PurePath(name).suffix.lower()
    return suffix in (*LOG_SUFFIXES, *_OF_MANY_THINGS) or bool(suffix and _PACKED.fullmatch(suffix))


def distinct_names(paths: Iterable[Location]) -> list[str]:
    """For each path its last parts, as few as tell it apart from all others."""
    paths = list(paths)
    parts = {path: _parts(path) for path in paths}
    names = {path: path.name for path in parts}
    rest, depth = list(parts), 1
    while rest:
        seen = Counter(own[-depth:] for own in parts.values())
        names |= {path: "/".join(parts[path][-depth:]) for path in rest}
        rest = [path for path in rest if seen[parts[path][-depth:]] > 1 and depth < len(parts[path])]
        depth += 1
    return [names[path] for path in paths]


def _parts(path: Location) -> Sequence[str]:
    if isinstance(path, Path):
        return path.absolute().parts[1:]
    return (path.store.root, *path.parts)


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, links followed.

    Raises:
        InputError: lists the folders that cannot be read, the links to nothing and those that lead in a
            circle, but for those of which the name begins with a dot or an underscore.
    """
    problems: list[str] = []
    found = list(_walk(folder, (), problems, is_hidden=False))
    if problems:
        raise InputError(*problems)
    return found


def matching(pattern: Path) -> list[Path]:
    """The files and folders that a glob matches, sorted; ``**`` stands for any folders, links followed.

    Raises:
        InputError: lists the folders that had to be looked into and cannot be read.
    """
    parts = pattern.parts
    plain = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    problems: list[str] = []
    found = dict.fromkeys(_expand(Path(*parts[:plain]), parts[plain:], (), problems))
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return sorted(found)


def dangling(path: Path) -> str:
    """What is wrong with a link that leads to nothing; empty for everything else."""
    if not os.path.islink(path) or os.path.exists(path):  # noqa: PTH110, PTH114  # False for odd names
        return ""
    return f"{path}: is a link to {os.readlink(path)}, which cannot be found; mend or remove it"  # noqa: PTH115


def _walk(folder: Path, above: tuple[Path, ...], problems: list[str], *, is_hidden: bool) -> Iterator[Path]:
    for entry in _listed(folder, [] if is_hidden else problems):
        path = folder / entry.name
        hidden = is_hidden or entry.name.startswith((".", "_"))
        if entry.is_symlink():
            problem = dangling(path) or _circle(path, (*above, folder))
            if problem:
                problems += [] if hidden else [problem]
                continue
        if entry.is_dir():
            yield from _walk(path, (*above, folder), problems, is_hidden=hidden)
        else:
            yield path


def _expand(
    folder: Path, wanted: Sequence[str], above: tuple[Path, ...], problems: list[str]
) -> Iterator[Path]:
    name, rest = wanted[0], wanted[1:]
    if name == "**":
        yield from _expand(folder, rest, above, problems) if rest else [folder]
        name = "*"
        deeper: Sequence[str] = wanted
    elif glob.has_magic(name):
        deeper = rest
    else:
        path = folder / name
        if rest and path.is_dir():
            yield from _expand(path, rest, (*above, folder), problems)
        elif not rest and os.path.lexists(path):  # False, not an error, for odd names
            yield path
        return
    for entry in _listed(folder, problems):
        if not fnmatchcase(entry.name, name) or (entry.name.startswith(".") and not name.startswith(".")):
            continue
        path = folder / entry.name
        if not rest:
            yield path
        if deeper and entry.is_dir():
            circle = _circle(path, (*above, folder)) if entry.is_symlink() else ""
            if circle:
                problems.append(circle)
            else:
                yield from _expand(path, deeper, (*above, folder), problems)


def _listed(folder: Path, problems: list[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return []


def _circle(link: Path, above: Sequence[Path]) -> str:
    """What is wrong with a link to a folder that it lies in; empty for others."""
    for folder in above:
        if link.samefile(folder):
            return f"{link}: is a link that leads back to {folder}, in which it lies; remove it"
    return ""


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
