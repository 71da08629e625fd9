"""Where files lie: on a disk, in an object store, on a web server. Printing a location shows no secret."""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from os import PathLike
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

from loadlens.errors import InputError, OutputError
from loadlens.messages import shortened
from loadlens.storage.folders import FREE_TEMPORARY_SPACE, refusing_full_disk, temporary_folder
from loadlens.storage.remote import WEB_SCHEMES, Bucket, ObjectFacts, StorageError, Store, WebServer
from loadlens.storage.secrets import OBJECT_SCHEMES, StorageOptions, shown

__all__ = [
    "Location",
    "PathSource",
    "RemotePath",
    "absolute",
    "address_of",
    "local_copy",
    "location",
    "locations",
    "of_each",
    "read_part",
    "scan_source",
    "secrets_of",
    "size_of",
    "store_of",
    "target",
]

_BUFFER_BYTES: Final = 2**20
_REQUESTS: Final = 16
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # one letter is a drive
_QUERY: Final = re.compile(r"\?[\w.%-]+=")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class RemotePath:
    """A file or folder in an object store or on a web server, with what of ``Path`` reading needs.

    Attributes:
        store: the bucket, container or server.
        key: the path in it, without a slash at its ends.
        listed: what a listing told of it.
    """

    store: Store
    key: str
    listed: ObjectFacts | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "key": self.key, "listed": self.__dict__.get("facts", self.listed)}

    def __str__(self) -> str:
        """Its address without credentials."""
        return self.store.shown(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __lt__(self, other: "RemotePath") -> bool:
        return (self.store.root, self.key) < (other.store.root, other.key)

    def __truediv__(self, part: str | PurePath) -> "RemotePath":
        return self._at(str(PurePosixPath(self.key) / part))

    @property
    def url(self) -> str:
        """Its whole address, for Polars and nobody else: it may hold a signature."""
        return self.store.url(self.key)

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders in the store and the name."""
        return PurePosixPath(self.key).parts

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The last suffix of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "RemotePath":
        """The folder that it lies in."""
        return self._at(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "RemotePath":
        """The same folder with another name in it."""
        return self._at(str(PurePosixPath(self.key).with_name(name)))

    def with_suffix(self, suffix: str) -> "RemotePath":
        """The same with another last suffix."""
        return self._at(str(PurePosixPath(self.key).with_suffix(suffix)))

    def as_posix(self) -> str:
        """Its address without credentials."""
        return str(self)

    def resolve(self) -> "RemotePath":
        """Itself: there are no links."""
        return self

    def with_options(self, options: Mapping[str, str]) -> "RemotePath":
        """The same with options of its store, if it has none."""
        if not isinstance(self.store, Bucket) or self.store.options:
            return self
        return replace(self, store=replace(self.store, options=StorageOptions.parse(options)))

    def anew(self) -> "RemotePath":
        """The same, with nothing known of what lies there."""
        return self._at(self.key)

    @cached_property
    def facts(self) -> ObjectFacts | None:
        """What lies there; None if nothing does."""
        return self.listed or (self.store.facts(self.key) if self.key else None)

    def is_file(self) -> bool:
        """Whether it is an object."""
        return self.facts is not None

    def is_dir(self) -> bool:
        """Whether objects lie below it, and it is none itself."""
        return not self.listed and any(True for _ in self.store.below(self.key)) and self.facts is None

    def exists(self) -> bool:
        """Whether it is a file or a folder."""
        return self.is_file() or self.is_dir()

    def size(self) -> int:
        """Its size in bytes.

        Raises:
            StorageError: nothing lies there.
        """
        return self._known().size

    def rglob(self, _everything: str = "*") -> "list[RemotePath]":
        """All files below it."""
        return [self._at(key, facts) for key, facts in self.store.below(self.key)]

    def glob(self, pattern: str) -> "list[RemotePath]":
        """The files and folders below it that match, sorted; ``**`` stands for any folders."""
        wanted = pattern.split("/")
        found: dict[str, ObjectFacts | None] = {}
        for key, facts in self.store.below(self.key):
            parts = PurePosixPath(key).relative_to(self.key).parts
            for count in range(1, len(parts) + 1):
                if _matches(parts[:count], wanted):
                    whole = str(PurePosixPath(self.key, *parts[:count]))
                    found[whole] = facts if count == len(parts) else None
        return sorted(self._at(key, facts) for key, facts in found.items())

    def open(self, mode: str = "rb") -> io.BufferedReader:  # noqa: ARG002  # as Path
        """Opens it for reading bytes from front to back; it must stay as it was."""
        return io.BufferedReader(
            _Stream(self.store.chunks(self.key, self._known()), self.size()), _BUFFER_BYTES
        )

    def read_bytes(self) -> bytes:
        """All that it holds."""
        with self.open() as stream:
            return stream.read()

    def part(self, start: int, length: int) -> bytes:
        """``length`` bytes from ``start`` on, or fewer at its end."""
        length = min(length, self.size() - start)
        return self.store.part(self.key, start, length) if length > 0 else b""

    def is_relative_to(self, other: "Location") -> bool:
        """Whether it is ``other`` or lies below it."""
        if not isinstance(other, RemotePath) or self.store.root != other.store.root:
            return False
        return PurePosixPath(self.key).is_relative_to(other.key)

    def put(self, file: Path) -> None:
        """Writes a local file here; it appears whole or not at all, in the place of what is there."""
        self._bucket().put(self.key, file)
        self.__dict__.pop("facts", None)  # what was known lies there no more

    def unlink(self, missing_ok: bool = True) -> None:  # noqa: ARG002  # as Path
        """Removes the object, if there is one."""
        self._bucket().delete([self.key])
        self.__dict__.pop("facts", None)

    @property
    def is_writable(self) -> bool:
        """Whether something can be written here, if the store permits it: web servers are only read."""
        return isinstance(self.store, Bucket)

    def _bucket(self) -> Bucket:
        assert isinstance(self.store, Bucket)  # noqa: S101  # callers have looked at is_writable
        return self.store

    def _known(self) -> ObjectFacts:
        if self.facts is None:
            raise StorageError("does not exist")
        return self.facts

    def _at(self, key: str, facts: ObjectFacts | None = None) -> "RemotePath":
        return RemotePath(store=self.store, key=key.strip("/"), listed=facts)


Location: TypeAlias = Path | RemotePath
PathSource: TypeAlias = str | PathLike[str] | RemotePath


class _Stream(io.RawIOBase):
    """Chunks as a file that notices when some are missing."""

    def __init__(self, chunks: Iterator[bytes], size: int) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""
        self._size = size
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader passes
        if not self._rest:
            self._rest = next(self._chunks, b"")
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        self._given += len(data)
        if not data and self._given != self._size:
            raise StorageError(f"ends after {self._given:,} of {self._size:,} bytes; read it again")
        return len(data)

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._chunks, "close", None)
            if close:
                close()
        super().close()


def location(source: PathSource, options: Mapping[str, str] | None = None) -> Location:
    """Where a path or address leads; ``options`` are those of object stores.

    Raises:
        InputError: the address is of no known scheme, names no bucket or server, or holds a password.
    """
    if isinstance(source, RemotePath):
        return source.with_options(options) if options else source
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputError(f"path: got {shortened(source)}, expected text or a pathlib.Path")
    if not text:
        raise InputError("path: got an empty text, expected a path, or . for the current folder")
    if "\0" in text:
        raise InputError(f"{shown(text)}: cannot be read: it holds a NUL character, which no name can")
    found = _SCHEME.match(text)
    if not found:
        return source if isinstance(source, Path) else Path(text)
    if isinstance(source, Path):
        raise InputError(
            f"{shown(text)}: is an address in a Path, which has lost one of its slashes; give it as text"
        )
    scheme = found[1].lower()
    if scheme == "file":
        return _of_file(text)
    if scheme not in {*OBJECT_SCHEMES, *WEB_SCHEMES} or not text.startswith("//", found.end() - 1):
        raise InputError(
            f"{shown(text)}: {found[1]}: is no scheme that can be read or written; expected a path, or an "
            f"address with s3://, gs://, az://, abfss://, https:// or file://"
        )
    return _on_the_web(text) if scheme in WEB_SCHEMES else _in_a_bucket(text, scheme, options)


def target(out: PathSource, options: Mapping[str, str] | None = None) -> Location:
    """Where an output goes; ``options`` are those of object stores.

    Raises:
        OutputError: nothing can be written there.
    """
    try:
        place = location(out, options)
    except InputError as error:
        raise OutputError(*error.problems) from None
    if str(place) == "-":
        raise OutputError("-: results are files, which standard output cannot take; name a file or folder")
    if isinstance(place, RemotePath) and not place.is_writable:
        raise OutputError(
            f"{place}: web servers are only read; name a folder, or a prefix such as s3://bucket/folder"
        )
    if isinstance(place, RemotePath) and _QUERY.search(place.key):
        raise OutputError(f"{place}: results have addresses without a query; leave out all from the ? on")
    return place


def _of_file(text: str) -> Path:
    """The path that a ``file://`` address names on this machine."""
    parts = urlsplit(text)
    if parts.netloc.lower() not in {"", "localhost"} or parts.query or parts.fragment:
        raise InputError(
            f"{shown(text)}: names a file of another machine, or has a query; expected file:///folder/file, "
            f"with %3F for ? and %23 for #"
        )
    return Path(os.fsdecode(unquote(parts.path).encode(errors="surrogateescape")))


def _in_a_bucket(text: str, scheme: str, options: Mapping[str, str] | None) -> RemotePath:
    authority, _, key = text.partition("://")[2].partition("/")
    if not authority:
        raise InputError(f"{text}: names no bucket; expected an address such as {scheme}://bucket/folder")
    if ":" in authority or ("@" in authority and scheme[:2] not in {"ab", "ad", "az"}):
        raise InputError(
            f"{shown(text)}: holds credentials; pass them as storage options or in the environment"
        )
    bucket = Bucket(scheme=scheme, authority=authority, options=StorageOptions.parse(options))
    return RemotePath(store=bucket, key=key.strip("/"))


def locations(sources: Iterable[PathSource], options: Mapping[str, str] | None = None) -> list[Location]:
    """Where several paths and addresses lead; those of one bucket share its connections."""
    buckets: dict[str, Store] = {}
    found: list[Location] = []
    for source in sources:
        path = location(source, options)
        if isinstance(path, RemotePath) and isinstance(path.store, Bucket):
            path = replace(path, store=buckets.setdefault(path.store.root, path.store))
        found.append(path)
    return found


def absolute(path: Location) -> Location:
    """A path as a process with another working folder finds it."""
    return path.absolute() if isinstance(path, Path) else path


def of_each(ask: Callable[[Location], _Answer], paths: Sequence[Location]) -> list[_Answer]:
    """What ``ask`` tells of each path; of several at a time where waiting for a store takes longest."""
    if not any(isinstance(path, RemotePath) for path in paths):
        return [ask(path) for path in paths]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(ask, paths))


def _on_the_web(text: str) -> RemotePath:
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    if not host or host != parts.netloc:
        problem = "holds a user or password, which is not supported" if host else "names no server"
        raise InputError(f"{shown(text)}: {problem}; use an address that is open or signed")
    return RemotePath(
        store=WebServer(root=f"{parts.scheme}://{host}", query=parts.query), key=parts.path.strip("/")
    )


def scan_source(paths: Sequence[Location]) -> dict[str, Any]:
    """The arguments of Polars' scans that say what to read; all paths must be of one store."""
    first = paths[0]
    return {
        "source": [path.url if isinstance(path, RemotePath) else path for path in paths],
        "storage_options": dict(first.store.options) or None if isinstance(first, RemotePath) else None,
    }


def address_of(path: Location) -> str:
    """What Polars calls a file that it scans."""
    return path.url if isinstance(path, RemotePath) else str(path)


def store_of(path: Location) -> str:
    """The address of the store that a file lies in; empty for the disk."""
    return path.store.root if isinstance(path, RemotePath) else ""


def size_of(path: Location) -> int:
    """The size of a file in bytes.

    Raises:
        OSError: it does not exist, or cannot be asked for.
    """
    return path.size() if isinstance(path, RemotePath) else path.stat().st_size


def read_part(path: Location, start: int, length: int) -> bytes:
    """``length`` bytes of a file from ``start`` on, or fewer at its end.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    if isinstance(path, RemotePath):
        return path.part(start, length)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


@contextmanager
def local_copy(path: Location) -> Iterator[Path]:
    """A file on the disk with the same content: the file itself, or a copy that is gone in the end."""
    if isinstance(path, Path):
        yield path
        return
    with temporary_folder() as folder, path.open() as stream:
        copy = folder / path.name
        with refusing_full_disk(tempfile.gettempdir(), FREE_TEMPORARY_SPACE), copy.open("wb") as file:
            shutil.copyfileobj(stream, file, _BUFFER_BYTES)
        yield copy


def secrets_of(path: Location) -> tuple[str, ...]:
    """What of the address and the options of a file nobody may see."""
    if not isinstance(path, RemotePath):
        return ()
    query = getattr(path.store, "query", "") or (_QUERY.search(path.key) and path.key.partition("?")[2])
    return (*path.store.options.secrets, *([query, quote(query)] if query else []))


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether names match the parts of a pattern, as in ``glob``."""
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[start:], wanted[1:]) for start in range(len(parts) + 1))
    if not parts or (parts[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])
