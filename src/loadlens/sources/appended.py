"""Logs that were put behind themselves: the same rows twice or more in one file, in their order."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from loadlens.sources.calls import FEWEST_CALLS
from loadlens.sources.storage.location import read_part
from loadlens.sources.text.log import TextFile

__all__ = ["appended"]

_MOST_TIMES: Final = 4
_CHUNK_BYTES: Final = 2**20
_LOOK_BYTES: Final = 2**12
_Read = Callable[[int, int], bytes]


def appended(file: TextFile) -> str:
    """Which rows of a text file are there again behind themselves, as a clause; empty where none are.

    That is what comes of ``cat run.csv run.csv``, with the header again or without it. Rows have to tell
    times, and enough of them have to differ: others may be the same by chance. Almost all logs are known
    for single ones by a look at a few kilobytes.
    """
    if not {"start_time", "end_time"} & set(file.schema):
        return ""
    size, read = _text_of(file)
    for begin, end in _bodies(file, size, read):
        for times in range(_MOST_TIMES, 1, -1):
            if (end - begin) % times == 0 and _is_repeated(read, begin, end, (end - begin) // times):
                return f"{file.name} holds the same rows {times} times, one behind the other"
    return ""


def _text_of(file: TextFile) -> tuple[int, _Read]:
    """How much text a file has, and what reads parts of it; none where it would have to be unpacked."""
    head = file.head
    if head.is_whole:
        return len(head.data), lambda start, size: head.data[start : start + size]
    is_at_hand = isinstance(head.path, Path) and not head.compression
    return head.size if is_at_hand else 0, lambda start, size: read_part(head.path, start, size)


def _bodies(file: TextFile, size: int, read: _Read) -> Iterator[tuple[int, int]]:
    """Where rows may begin and end: with or without a header, and what closes an XML document."""
    if not size:
        return
    last = read(max(size - _LOOK_BYTES, 0), _LOOK_BYTES)
    ends = [size]
    if last.rstrip().endswith(b">"):
        ends.append(size - len(last) + last.rstrip().rfind(b"\n") + 1)
    begins = [0]
    for _ in range(2):
        line_end = file.head.data.find(b"\n", begins[-1])
        if line_end >= 0:
            begins.append(line_end + 1)
    for end in ends:
        for begin in begins:
            # The last line may lack its line break, which then stands only between the copies.
            yield from ((begin, end),) if last.endswith(b"\n") or end < size else ((begin, end + 1),)


def _is_repeated(read: _Read, begin: int, end: int, period: int) -> bool:
    """Whether what lies ``period`` bytes behind each byte is the same byte."""
    if period < FEWEST_CALLS:
        return False
    for start in (begin, begin + (end - begin - period) // 2, max(end - period - _LOOK_BYTES, begin)):
        if not _is_same(read, start, start + period, min(_LOOK_BYTES, end - period - start)):
            return False
    lines = set(read(begin, min(period, _CHUNK_BYTES)).splitlines())
    return len(lines) >= FEWEST_CALLS and all(
        _is_same(read, start, start + period, min(_CHUNK_BYTES, end - period - start))
        for start in range(begin, end - period, _CHUNK_BYTES)
    )


def _is_same(read: _Read, one: int, other: int, size: int) -> bool:
    first, second = read(one, size), read(other, size)
    return first == second or (first.endswith(b"\n") and first[:-1] == second)
