"""Compressed files as streams of what is in them: gzip, zstd, bzip2, xz, and ZIP archives of one file."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Final, Literal, Protocol, cast

from loadlens.errors import InputError
from loadlens.sources.filenames import likelihood
from loadlens.sources.storage.location import Location, read_part, size_of
from loadlens.sources.wording import counted

__all__ = ["DAMAGED", "MAGIC_BYTES", "ArchiveError", "Compression", "compression_of", "decompressed"]

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
