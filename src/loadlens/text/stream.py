"""Files as streams of decompressed bytes, guarded against compression bombs."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import IO, Final, Literal, Protocol, cast

from loadlens.errors import InputError
from loadlens.messages import counted
from loadlens.storage.local import likelihood
from loadlens.storage.location import Location, read_part, size_of

__all__ = [
    "BOM",
    "DAMAGED",
    "HEAD_BYTES",
    "MAGIC_BYTES",
    "MAX_EXPANSION",
    "MAX_STREAM_BYTES",
    "UNCHECKED_BYTES",
    "ArchiveError",
    "Compression",
    "Head",
    "compression_of",
    "decompressed",
    "open_stream",
    "read_head",
]


Compression = Literal["", "gzip", "zstd", "bzip2", "xz", "zip"]

DAMAGED: Final = (
    OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip
"""What reading compressed data raises where it is damaged."""

MAGIC_BYTES: Final = 10

_MAGIC: Final[dict[bytes, Compression]] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")  # the first block, or the end of nothing
_MOST_XZ_BYTES: Final = 2**28  # of memory: a file may ask for 4 GiB
_CHUNK_BYTES: Final = 2**18
_ZIP_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)

BOM: Final = b"\xef\xbb\xbf"

HEAD_BYTES: Final = 256 * 2**10
"""How much of a file, decompressed, is looked at to know what it is."""

MAX_EXPANSION: Final = 1000
"""A compressed file that grows more than this many times is refused ..."""

UNCHECKED_BYTES: Final = 64 * 2**20
"""... once it has given more than this many bytes."""

MAX_STREAM_BYTES: Final = 2**42
"""A compressed file that gives more than this many bytes (4 TiB) is refused."""

_BUFFER_BYTES = 2**20
_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_XML_ENCODING: Final = re.compile(r"""(<\?xml[^>]{0,200}encoding=["'])utf-16\w*""", re.IGNORECASE)


class ArchiveError(InputError):
    """An archive that has not one file in it."""


def compression_of(magic: bytes) -> Compression:
    """How a file is compressed, from its first ``MAGIC_BYTES`` bytes; empty where it is not."""
    if magic[:3] == b"BZh" and magic[4:10] in _BZIP2_BLOCKS:
        return "bzip2"
    return next((name for begin, name in _MAGIC.items() if magic.startswith(begin)), "")


def decompressed(path: Location, file: IO[bytes], compression: Compression) -> IO[bytes]:
    """What is in a compressed file that is open; reading raises one of ``DAMAGED`` where it is damaged.

    Raises:
        ArchiveError: it is a ZIP archive of no file, or of several that need not be logs.
        InputError: it is one of several logs, or encrypted.
    """
    if compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if compression == "zstd":
        import pyarrow as pa

        return cast("IO[bytes]", pa.CompressedInputStream(file, "zstd"))
    if compression == "bzip2":
        return cast("IO[bytes]", _Members(file, bz2.BZ2Decompressor))
    if compression == "xz":
        return cast("IO[bytes]", _Members(file, _xz))
    return _only_member(path)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_XZ_BYTES)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Members:
    """Compressed streams one after another, as files put together are."""

    def __init__(self, file: IO[bytes], make: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._make = make
        self._decoder = make()

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof:
                rest = (self._decoder.unused_data or self._file.read(_CHUNK_BYTES)).lstrip(b"\0")  # padding
                if not rest and not (rest := self._file.read(_CHUNK_BYTES).lstrip(b"\0")):
                    return b""
                self._decoder = self._make()
                data = self._decoder.decompress(rest, size)
            else:
                more = self._file.read(_CHUNK_BYTES) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not more:
                    raise EOFError("it ends in the middle of its compressed data")
                data = self._decoder.decompress(more, size)
            if data:
                return data

    def close(self) -> None:
        self._file.close()


def _only_member(path: Location) -> IO[bytes]:
    archive = zipfile.ZipFile(io.BufferedReader(_Parts(path), _CHUNK_BYTES))
    inside = (member for member in archive.infolist() if not member.is_dir())
    members = [member for member in inside if not member.filename.startswith("__MACOSX/")]
    names = [member.filename for member in members]
    if len(members) != 1:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")  # noqa: PLR2004
        problem = (
            f"{path}: is in no known format: a ZIP archive of {counted(len(members), 'file')}"
            f"{names and ': '}{shown}; unpack it, and name the logs in it"
        )
        raise (InputError if any(likelihood(name) == "sure" for name in names) else ArchiveError)(problem)
    if members[0].flag_bits & 1:
        raise InputError(f"{path}: is an encrypted ZIP archive; unpack it, and name the log in it")
    if members[0].compress_type not in _ZIP_METHODS:
        raise NotImplementedError(f"its method of compression, {members[0].compress_type}, is not supported")
    return archive.open(members[0])


class _Parts(io.RawIOBase):
    """A file, wherever it lies, as one that is read at any place."""

    def __init__(self, path: Location) -> None:
        super().__init__()
        self._path = path
        self._size = size_of(path)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(begin + offset, 0)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader passes
        data = read_part(self._path, self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_stream(path: Location) -> io.BufferedReader:
    """Opens a file for reading, as UTF-8 where it is UTF-16, decompressing what is compressed.

    Its first bytes tell. Text in UTF-16 must begin with a byte order mark, as what PowerShell writes does.

    Reading raises an InputError when the compressed data is damaged, or grows beyond
    ``MAX_EXPANSION`` or ``MAX_STREAM_BYTES``.

    Raises:
        InputError: the file cannot be opened.
    """
    try:
        file = path.open("rb")
        compression = compression_of(file.peek(MAGIC_BYTES))
        if not compression:
            return _in_utf8(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return _in_utf8(io.BufferedReader(_Guarded(path, file, compression), _BUFFER_BYTES))
    except BaseException:
        file.close()
        raise


def _in_utf8(stream: io.BufferedReader) -> io.BufferedReader:
    encoding = _UTF16.get(stream.peek(2)[:2])
    return io.BufferedReader(_Recoded(stream, encoding), _BUFFER_BYTES) if encoding else stream


class _Recoded(io.RawIOBase):
    """A stream of text in UTF-16 as UTF-8, without its byte order mark; what is no character is replaced."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._left = b""
        stream.read(2)
        begin = self._decoder.decode(stream.read(HEAD_BYTES))
        self._left = _XML_ENCODING.sub(r"\1utf-8", begin, count=1).encode(errors="replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader passes
        while not self._left:
            data = self._stream.read(len(buffer))
            self._left = self._decoder.decode(data, final=not data).encode(errors="replace")
            if not data:
                break
        given = self._left[: len(buffer)]
        buffer[: len(given)] = given
        self._left = self._left[len(given) :]
        return len(given)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Guarded(io.RawIOBase):
    """A decompressed stream that stops a compression bomb and says what is damaged."""

    def __init__(self, path: Location, file: IO[bytes], compression: Compression) -> None:
        super().__init__()
        self._path = path
        self._file = file
        self._size = size_of(path)
        self._compression = compression
        try:
            self._source = decompressed(path, file, compression)
        except DAMAGED as error:
            raise InputError(self._damaged(error, 0)) from error
        self._limit = min(max(UNCHECKED_BYTES, self._size * MAX_EXPANSION), MAX_STREAM_BYTES)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader passes
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > self._limit:
            raise InputError(self._bomb())
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except DAMAGED as error:
            raise InputError(self._damaged(error, self._given)) from error

    def _damaged(self, error: Exception, given: int) -> str:
        if not given and self._compression in {"bzip2", "xz", "zip"}:
            return f"{self._path}: begins like {self._compression}, but is in no known format: {error}"
        return f"{self._path}: is damaged or cut off after {given:,} decompressed bytes: {error}"

    def _bomb(self) -> str:
        return (
            f"{self._path}: {self._size:,} compressed bytes give more than {self._limit:,}; at most "
            f"{MAX_EXPANSION} times the size (from {UNCHECKED_BYTES:,} bytes on) and {MAX_STREAM_BYTES:,} "
            f"bytes are read; decompress it first if it is a log"
        )

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            self._file.close()  # closing a gzip stream leaves its file open
        super().close()


@dataclass(frozen=True, kw_only=True)
class Head:
    """The beginning of a file.

    Attributes:
        path: where the file is.
        data: its first bytes, decompressed, at most ``HEAD_BYTES``.
        size: its size in bytes as it lies on the disk.
        compression: how it is compressed, or empty.
    """

    path: Location
    data: bytes
    size: int
    compression: Compression = ""

    @cached_property
    def is_whole(self) -> bool:
        """Whether ``data`` is all that the file holds."""
        return len(self.data) < HEAD_BYTES

    @cached_property
    def text_bytes(self) -> int:
        """How many bytes the file has decompressed; estimated from how well ``data`` compresses."""
        if self.is_whole or not self.compression:
            return len(self.data) if self.is_whole else self.size
        return self.size * len(self.data) // len(zlib.compress(self.data))

    @property
    def lines(self) -> tuple[str, ...]:
        """The complete lines of ``data`` as text, without line breaks; invalid bytes are replaced."""
        return _lines(self.data, self.is_whole)


@lru_cache(maxsize=16)  # every format looks at the same lines; those of thousands of files would fill memory
def _lines(data: bytes, is_whole: bool) -> tuple[str, ...]:
    text = data.removeprefix(BOM).decode(errors="replace")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    # After the last line break comes nothing, or a line that may have been cut.
    return tuple(lines if is_whole and lines[-1] else lines[:-1])


def read_head(path: Location) -> Head:
    """Reads the beginning of a file.

    Raises:
        InputError: the file cannot be read, is empty, or its compressed data is damaged.
    """
    try:
        with open_stream(path) as stream:
            data = stream.read(HEAD_BYTES)
        compression = compression_of(read_part(path, 0, MAGIC_BYTES))
        size = size_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise InputError(f"{path}: is empty ({len(data)} bytes); expected a log")
    return Head(path=path, data=data, size=size, compression=compression)
