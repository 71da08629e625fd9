"""JSON documents that hold all records in one array, read an element at a time."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import polars as pl

from loadlens.errors import InputError
from loadlens.sources.parsed import Parsed, Reject, bounded, rejects_frame
from loadlens.sources.storage.location import Location
from loadlens.sources.text.blocks import Block
from loadlens.sources.text.jsonlines import JsonLines
from loadlens.sources.text.lines import OTHER_LINES
from loadlens.sources.text.stream import BOM, open_stream

__all__ = ["JsonDocument"]

_CHUNK_BYTES: Final = 2**20
_MAX_ELEMENT_CHARACTERS: Final = 8 * 2**20
_LONGEST_KEY: Final = 256  # with the blanks around it
_LONGEST_LITERAL: Final = 24  # a number, or an escaped character, that has begun
_BATCH_ELEMENTS: Final = 8192
_BETWEEN: Final = re.compile(r"[\s,]*")
_OTHER_TEXT: Final = re.compile(r"(?:\s|[^{\s][^\n]*\n)*+")
_OTHER_LINE: Final = re.compile(r"^(?!\d{4}-\d\d-\d\d[T ][\d:.,+-]+Z?\s*$)[^\n]*\S", re.MULTILINE)
"""A line that holds more than a time."""

_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True)
class JsonDocument:
    """Reads a document, or several one after another, whose records are the elements of arrays.

    The line of a record is its number among all elements, from 1.

    Attributes:
        lines: reads the records, each as a line.
        keys: under which names the arrays are; none for an array, or single objects, at the top.
        record: makes the record of an element that is no object.
        is_mixed: whether lines of other text may stand between objects at the top, and an object twice, one
            behind the other, as in what is copied from a console.
    """

    lines: JsonLines
    keys: tuple[str, ...] = ()
    record: Callable[[Any], Any] = lambda element: element
    is_mixed: bool = False

    @property
    def schema(self) -> pl.Schema:
        """The canonical columns and their types."""
        return self.lines.schema

    @property
    def meaning(self) -> tuple[tuple[str, str], ...]:
        """Source columns and what they are, with unit."""
        return self.lines.meaning

    def batches(self, path: Location) -> Iterator[Parsed]:
        """Reads the elements from the first to the last.

        Raises:
            InputError: an element is not JSON, or longer than 8 Mi characters.
        """
        text = _Text(path, is_mixed=self.is_mixed)
        elements = _elements(text, self.keys)
        records, first = map(self._line, _each_once(elements) if self.is_mixed else elements), 1
        while batch := list(islice(records, _BATCH_ELEMENTS)):
            data = "\n".join([*batch, ""]).encode(errors="replace")
            yield self.lines.read(Block(data=data, first_line=first, is_last=False, index=0))
            first += len(batch)
        if text.is_cut:
            rest = Reject(first, "", "the document is cut off here", bounded(text.rest[text.at :]))
            yield Parsed(rows=pl.DataFrame(schema=self.schema), rejects=rejects_frame([rest]))
        if text.other_lines:
            yield Parsed(rows=pl.DataFrame(schema=self.schema), left_out={OTHER_LINES: text.other_lines})

    def _line(self, element: tuple[Any, str]) -> str:
        value, text = element
        if isinstance(value, dict):  # a line break within a string would be escaped
            return text.replace("\n", " ").replace("\r", " ")
        return json.dumps(self.record(value))


class _Text:
    """The text of a file, of which more is read as it is asked for.

    Attributes:
        rest: what was read last.
        at: up to where of it all is taken.
        taken: how many elements are taken.
        is_open: whether an array has begun that has not ended.
        is_cut: whether the file has ended inside of one.
        other_lines: how many lines of other text there were, but for times.
    """

    def __init__(self, path: Location, *, is_mixed: bool = False) -> None:
        self.path = path
        self.rest = ""
        self.at = self.taken = 0
        self.is_open = self.is_cut = False
        self.other_lines = 0
        self._is_mixed = is_mixed
        self._chunks = _decoded(path)

    def more(self) -> bool:
        """Whether there was more to read."""
        chunk = next(self._chunks, None)
        self.rest = self.rest[self.at :] + (chunk or "")
        self.at = 0
        return chunk is not None

    def following(self) -> str:
        """The next character that is not between elements; nothing at the end of the file."""
        between = _OTHER_TEXT if self._is_mixed else _BETWEEN
        while True:
            match = between.match(self.rest, self.at)
            if match and self._is_mixed:
                self.other_lines += len(_OTHER_LINE.findall(match[0]))
            self.at = match.end() if match else self.at
            following = self.rest[self.at : self.at + 1]
            if following and (following == "{" or not self._is_mixed):
                return following
            if not self.more():
                self.other_lines += bool(self.rest[self.at :].strip())
                self.at = len(self.rest)
                return ""

    def element(self) -> tuple[Any, str] | None:
        """The next element, decoded and as text; None where the file ends inside of it.

        Raises:
            InputError: it is not JSON, or too long.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self.rest, self.at)
            except (ValueError, RecursionError) as error:
                if len(self.rest) - self.at > _MAX_ELEMENT_CHARACTERS or not self.more():
                    self._refuse_damage(error)
                    return None
            else:
                text = self.rest[self.at : end]
                self.at, self.taken = end, self.taken + 1
                return value, text

    def _refuse_damage(self, error: ValueError | RecursionError) -> None:
        """Lets a file pass that merely ends too early."""
        if isinstance(error, json.JSONDecodeError):
            left = len(error.doc.rstrip()) - error.pos
            if left <= _LONGEST_LITERAL or error.msg.startswith("Unterminated string"):
                return
        reason = getattr(error, "msg", "it is nested too deeply")
        raise InputError(
            f"{self.path}: element {self.taken + 1:,} of the document is not JSON: {reason}"
        ) from None


def _each_once(elements: Iterator[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
    """Elements without those that are equal to the one before them."""
    before = None
    for value, text in elements:
        if value != before:
            yield value, text
        before = value


def _decoded(path: Location) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with open_stream(path) as stream:
        if stream.peek(len(BOM)).startswith(BOM):
            stream.read(len(BOM))
        while data := stream.read(_CHUNK_BYTES):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)


def _elements(text: _Text, keys: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    start = re.compile(rf'"(?:{"|".join(map(re.escape, keys))})"\s*:\s*\[') if keys else None
    while _begins(text, start):
        while text.following() not in {"", "]"}:
            element = text.element()
            if element is None:
                text.is_cut = True
                return
            yield element
        if not text.following():
            text.is_cut = text.is_open
            return
        text.at += 1
        text.is_open = False


def _begins(text: _Text, start: re.Pattern[str] | None) -> bool:
    """Whether there is a further array, or element at the top; the place is then where its content begins."""
    if start is None:
        if text.following() == "[":
            text.at, text.is_open = text.at + 1, True
        return bool(text.following())
    while True:
        match = start.search(text.rest, text.at)
        if match:
            text.at, text.is_open = match.end(), True
            return True
        text.at = max(text.at, len(text.rest) - _LONGEST_KEY)
        if not text.more():
            return False
