"""What lines tell of calls whose rows are other lines, perhaps far away or in another file of the log."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadlens.errors import InputError
from loadlens.sources.dialects import Reader, on_calendar
from loadlens.sources.text.stream import open_stream

if TYPE_CHECKING:
    from loadlens.sources.text.log import TextFile

__all__ = ["MOST_TOLD", "knowing"]

MOST_TOLD: Final = 1_000_000
"""Of how many calls at most other lines may tell: what they tell is held in memory."""

_CHUNK_BYTES: Final = 2**20
_KEPT_BYTES: Final = 4096  # more than such a line needs to tell what it does


def knowing(files: Sequence["TextFile"]) -> tuple[list["TextFile"], Collection[str]]:
    """Files whose readers know what lines of all of them tell of their calls, and of which calls.

    Such a line may stand before the row of its call or behind it, and be in another file: all files whose
    tool writes such lines are looked through before any is read.

    Raises:
        InputError: they tell of too many calls.
    """
    asked = [file for file in files if file.dialect.elsewhere]
    told = dict(_told_in(asked))
    if not told:
        return list(files), ()
    readers = {id(file.reader): _reader_knowing(file, told) for file in asked}
    return [replace(file, reader=readers.get(id(file.reader), file.reader)) for file in files], told


def _reader_knowing(file: "TextFile", told: Mapping[str, str]) -> Reader:
    reader = file.dialect.elsewhere.open(file.head, told) if file.dialect.elsewhere else file.reader
    return on_calendar(file.dialect, reader)


def _told_in(files: Iterable["TextFile"]) -> Iterator[tuple[str, str]]:
    count = 0
    for file in files:
        elsewhere = file.dialect.elsewhere
        for chunk in _chunks(file) if elsewhere else ():
            if elsewhere and any(sign in chunk for sign in elsewhere.signs):
                found = dict(elsewhere.find(chunk))
                count += len(found)
                if count > MOST_TOLD:
                    raise InputError(
                        f"{file.path}: more than {MOST_TOLD:,} lines of the log tell of calls that failed, "
                        f"more than are held in memory; split the log by time and analyse the parts"
                    )
                yield from found.items()


def _chunks(file: "TextFile") -> Iterator[bytes]:
    """The text of a file, each part with the end of the one before it."""
    if file.head.is_whole:
        yield file.head.data
        return
    kept = b""
    with open_stream(file.path) as stream:
        while data := stream.read(_CHUNK_BYTES):
            yield kept + data
            kept = data[-_KEPT_BYTES:].partition(b" ")[2]  # an id that is cut would be another
