"""A checksum over the whole content of the Parquet files that loadlens writes.

It lies between the rows and the footer, where no reader of Parquet looks: 16 bytes that say what it is, then
the SHA-256 over the SHA-256 of each 8 MiB of all other bytes, so that several threads check a large file.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from loadlens.storage.location import Location, read_part, size_of

__all__ = ["DamagedFileError", "has_checksum", "write_checksum"]

_MAGIC: Final = b"PAR1"
_TITLE: Final = b"loadlens-sha256\n"
_LENGTH: Final = len(_TITLE) + hashlib.sha256().digest_size
_TAIL: Final = 8  # the length of the footer, and PAR1
_BLOCK: Final = 8 * 2**20
_MOST_THREADS: Final = 4


class DamagedFileError(ValueError):
    """The bytes of a file are not those that were written."""


def write_checksum(path: Path) -> None:
    """Puts the checksum into a Parquet file that is complete.

    Args:
        path: the file.
    """
    size = path.stat().st_size
    start = _footer_start(path, size)
    footer = read_part(path, start, size - start)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(_TITLE + bytes(_LENGTH - len(_TITLE)) + footer)
    digest = _digest(path, start, size + _LENGTH)
    with path.open("r+b") as file:
        file.seek(start + len(_TITLE))
        file.write(digest)


def has_checksum(path: Location) -> bool:
    """Whether a Parquet file carries a checksum.

    Raises:
        DamagedFileError: it does, and its content is another.
        OSError: it cannot be read.
    """
    size = size_of(path)
    start = _footer_start(path, size) - _LENGTH
    if start < len(_MAGIC):
        return False
    found = read_part(path, start, _LENGTH)
    if not found.startswith(_TITLE):
        return False
    if found[len(_TITLE) :] != _digest(path, start, size):
        raise DamagedFileError("its content is not what was written: the checksum differs")
    return True


def _footer_start(path: Location, size: int) -> int:
    tail = read_part(path, max(size - _TAIL, 0), _TAIL)
    if size < len(_MAGIC) + _TAIL or not tail.endswith(_MAGIC):
        raise DamagedFileError("it does not end as a Parquet file does")
    return max(size - _TAIL - int.from_bytes(tail[:4], "little"), 0)


def _digest(path: Location, start: int, size: int) -> bytes:
    """The digest of a file without the checksum that begins at ``start``."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        blocks = list(_blocks(start, size))
        digests = threads.map(lambda block: hashlib.sha256(read_part(path, *block)).digest(), blocks)
        return hashlib.sha256(b"".join(digests)).digest()


def _blocks(start: int, size: int) -> Iterator[tuple[int, int]]:
    for first, last in ((0, start), (start + _LENGTH, size)):
        for at in range(first, last, _BLOCK):
            yield at, min(_BLOCK, last - at)
