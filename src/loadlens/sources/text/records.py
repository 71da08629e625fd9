"""A block of text split into its records, the lines that are none, and blank lines."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadlens.sources.parsed import Reject, bounded
from loadlens.sources.text.blocks import Block
from loadlens.sources.text.framing import Framing, line_end

__all__ = ["Records", "find_records"]

_LINE_BREAK: Final = ord("\n")
_BLANK_LINES: Final = re.compile(rb"(?:[ \r]*+\n)++")


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of a block.

    Attributes:
        kept: the records of the right width, one after the other, their quotes in order.
        ends: where each of them ends in ``kept``.
        lines: the line that each begins at.
        rejects: the other records, each a line.
        blank: how many blank lines there were.
    """

    kept: bytes
    ends: np.ndarray
    lines: np.ndarray
    rejects: tuple[Reject, ...]
    blank: int

    def raw(self, index: int) -> bytes:
        """The text of the record of that index."""
        return self.kept[self.ends[index - 1] if index else 0 : self.ends[index]]


class _Collector:
    """Gathers the records of a block in the order of its lines."""

    def __init__(self, block: Block, framing: Framing) -> None:
        self.data, self.framing, self.is_last = block.data, framing, block.is_last
        self.line = block.first_line
        self.kept: list[bytes] = []
        self.length = 0
        self.ends: list[np.ndarray] = [np.empty(0, np.int64)]
        self.lines: list[np.ndarray] = [np.empty(0, np.int64)]
        self.rejects: list[Reject] = []
        self.blank = 0

    def keep_lines(self, start: int, end: int) -> None:
        """Takes records of one line each."""
        text = self.data[start:end]
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_BREAK) + 1
        if not text.endswith(b"\n"):
            ends = np.append(ends, len(text))
        self._keep(text, ends, np.arange(self.line, self.line + ends.size))

    def keep_record(self, start: int, end: int) -> None:
        """Takes one record, over however many lines."""
        text = self.framing.requoted(self.data[start:end])
        self._keep(text, np.array([len(text)]), np.array([self.line]))

    def _keep(self, text: bytes, ends: np.ndarray, lines: np.ndarray) -> None:
        self.kept.append(text)
        self.ends.append(ends + self.length)
        self.lines.append(lines)
        self.length += len(text)
        self.line += text.count(b"\n")

    def pass_over(self, start: int, end: int) -> None:
        """Counts blank lines."""
        lines = self.data.count(b"\n", start, end)
        self.blank += lines
        self.line += lines

    def put_aside(self, start: int, end: int) -> None:
        """Takes a line that is no record."""
        text = self.data[start:end]
        if text.strip(b" \r\n"):
            self.rejects.append(Reject(self.line, "", self._reason(text, end), bounded(text)))
        else:
            self.blank += 1
        self.line += 1

    def _reason(self, text: bytes, end: int) -> str:
        if self.is_last and end == len(self.data) and not text.endswith(b"\n"):
            return "torn last line"
        width = self.framing.cells_in(text)
        if not width or width == self.framing.width:
            return "its quotes do not enclose whole cells"
        return f"got {width} cell{'s' if width > 1 else ''}, expected {self.framing.width}"

    def records(self) -> Records:
        return Records(
            kept=b"".join(self.kept),
            ends=np.concatenate(self.ends),
            lines=np.concatenate(self.lines),
            rejects=tuple(self.rejects),
            blank=self.blank,
        )


def find_records(block: Block, framing: Framing) -> Records:
    """Splits a block into records of the right width, lines that are none, and blank lines."""
    data, position = block.data, 0
    found = _Collector(block, framing)
    while position < len(data):
        if end := framing.one_line_end(data, position):
            found.keep_lines(position, end)
        elif end := framing.record_end(data, position):
            found.keep_record(position, end)
        elif blank := _BLANK_LINES.match(data, position):
            end = blank.end()
            found.pass_over(position, end)
        else:
            end = line_end(data, position)
            found.put_aside(position, end)
        position = end
    return found.records()
