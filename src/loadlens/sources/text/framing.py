"""What a record of a text log is: a line, or several lines that quotes hold together.

It depends on the text around it only, never on where a block begins. Quotes that do not pair up damage the
one line that they are in.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

__all__ = ["LINES", "MAX_RECORD_BYTES", "Framing", "line_end", "without_break"]

MAX_RECORD_BYTES: Final = 2**20
"""A record over several lines that is longer than this is taken as a stray quote."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What holds a record together.

    Attributes:
        quote: the character that may enclose cells with line breaks in them; None where lines are records.
        separator: what stands between cells.
        width: how many cells a record has.
    """

    quote: str | None = None
    separator: str = ","
    width: int = 1

    def one_line_end(self, data: bytes, position: int) -> int:
        """The end of the records of one line each, without stray quotes, that begin here; 0 for none."""
        match = self._one_line_records.match(data, position)
        return match.end() if match and match.end() > position else 0

    def record_end(self, data: bytes, position: int) -> int:
        """The end of the one record that begins here, over however many lines; 0 for none."""
        limit = min(len(data), position + MAX_RECORD_BYTES)
        match = self._any_record.match(data, position, limit)
        if match is None or not match[0].strip(b"\r\n"):
            return 0
        is_cut = match.end() == limit < len(data) and not match[0].endswith(b"\n")
        return 0 if is_cut or self._swallows_records(match[0]) else match.end()

    def _swallows_records(self, text: bytes) -> bool:
        """Whether lines inside have the cells of a record, as when two stray quotes enclose good ones."""
        inner = text.removesuffix(b"\n").split(b"\n")[1:-1]
        separators = self.width - 1
        return separators > 0 and any(line.count(self.separator.encode()) == separators for line in inner)

    def is_open(self, data: bytes, position: int) -> bool:
        """Whether the text from here to the end could become a record with what follows it."""
        return len(data) - position < MAX_RECORD_BYTES and bool(self._open_record.match(data, position))

    def cells_in(self, line: bytes) -> int:
        """How many cells a line has, or 0 where its quotes do not pair up."""
        line = without_break(line)
        if not self.quote or self.quote.encode() not in line:
            return line.count(self.separator.encode()) + 1
        return len(self._one_cell.sub(b"", line)) + 1 if self._one_line.fullmatch(line) else 0

    def requoted(self, record: bytes) -> bytes:
        """The same record with every cell quoted that has a quote inside."""
        if self.quote is None or self.quote.encode() not in record:
            return record
        quote = self.quote.encode()

        def mend(match: re.Match[bytes]) -> bytes:
            cell = match[0]
            stray = quote in cell and not cell.startswith(quote)
            return quote + cell.replace(quote, quote * 2) + quote if stray else cell

        return self._one_cell.sub(mend, without_break(record)) + b"\n"

    @cached_property
    def _one_line_records(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?:(?!\r?(?:\n|\Z))%b)*+" % self._record(self._clean_cell()))

    @cached_property
    def _any_record(self) -> re.Pattern[bytes]:
        return re.compile(self._record(self._cell()))

    @cached_property
    def _open_record(self) -> re.Pattern[bytes]:
        quote = self._quote
        if not quote:
            return re.compile(rb"(?!)")
        begun = rb"%b(?:[^%b]++|%b%b)*+\Z" % (quote, quote, quote, quote)
        return re.compile(rb"(?:%b%b)*?%b" % (self._cell(), self._separator, begun))

    @cached_property
    def _one_cell(self) -> re.Pattern[bytes]:
        return re.compile(self._cell())

    @cached_property
    def _one_line(self) -> re.Pattern[bytes]:
        cell = self._cell()
        return re.compile(rb"%b(?:%b%b)*+" % (cell, self._separator, cell))

    @property
    def _separator(self) -> bytes:
        return re.escape(self.separator.encode())

    @property
    def _quote(self) -> bytes:
        return re.escape(self.quote.encode()) if self.quote else b""

    def _clean_cell(self) -> bytes:
        """A cell on one line, with quotes around it or none at all."""
        quote, separator = self._quote, self._separator
        plain = rb"[^%b%b\n]*+" % (quote, separator)
        if not quote:
            return plain
        return rb"(?:%b(?:[^%b\n]++|%b%b)*+%b|%b)" % (quote, quote, quote, quote, quote, plain)

    def _cell(self) -> bytes:
        """Any cell; one that does not begin with a quote may have quotes inside."""
        quote, separator = self._quote, self._separator
        if not quote:
            return rb"[^%b\n]*+" % separator
        quoted = rb"%b(?:[^%b]++|%b%b)*+%b" % (quote, quote, quote, quote, quote)
        return rb"(?:%b|[^%b%b\n][^%b\n]*+)?+" % (quoted, quote, separator, separator)

    def _record(self, cell: bytes) -> bytes:
        return rb"%b(?:%b%b){%d}\r?(?:\n|\Z)" % (cell, self._separator, cell, self.width - 1)


LINES: Final = Framing()
"""Every line is a record, whatever is in it."""


def line_end(data: bytes, position: int) -> int:
    """Where the line of ``position`` ends, behind its line break."""
    return data.find(b"\n", position) + 1 or len(data)


def without_break(line: bytes) -> bytes:
    """``line`` without its line break."""
    return line.removesuffix(b"\n").removesuffix(b"\r")
