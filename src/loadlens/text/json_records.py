"""Logs of JSON: one object a line, or documents that hold all records in one array."""

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import numpy as np
import polars as pl

from loadlens.errors import InputError
from loadlens.messages import shortened
from loadlens.storage.location import Location
from loadlens.text.record_blocks import (
    LINES,
    Block,
    Framing,
    count_byte,
    joined_until,
    parts_of,
    read_by_parts,
)
from loadlens.text.stream import BOM, open_stream
from loadlens.text.typed_rows import (
    BLANK_LINES,
    PARSE_ERRORS,
    Fault,
    Kinds,
    Parsed,
    Recipe,
    Reject,
    begins_oddly,
    bounded,
    cast_cells,
    invalid_cells,
    rejects_frame,
)

__all__ = ["OTHER_LINES", "JsonDocument", "JsonLines", "TextLines"]


_MAX_INT64 = 2**63
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # Polars reads a lone one as another character

_NOT_JSON: Final = Fault("", "is not JSON")

_TORN: Final = Fault("", "torn last line")

OTHER_LINES = "other lines"
"""What lines that are no records are counted as, among the facts."""

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


class _MisfitError(Exception):
    """A line that is not what it should be."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.fault = Fault(column, reason)


@dataclass(frozen=True, kw_only=True)
class JsonLines(Recipe):
    """Reads blocks of JSON objects, one a line.

    A block is parsed at once by its declared types. Only where that fails, or a row breaks a rule, is
    every line of it looked at, and the bad ones are picked out. Fields that are not declared are ignored;
    fields that are missing are null. Rules may name a field of a struct as ``column.field``.

    Attributes:
        types: the fields that are needed: Int64, Float64 (takes integers too), Boolean, String (takes
            any value as text), or a Struct or List of these.
    """

    @property
    def framing(self) -> Framing:
        """Every line is a record."""
        return LINES

    def read(self, block: Block) -> Parsed:
        """Reads one block; bad lines become rejects."""
        return self._fast(block) or read_by_parts(block, LINES, self._careful, fast=self._fast)

    def _fast(self, block: Block) -> Parsed | None:
        if begins_oddly(block.data) or _SURROGATE.search(block.data):
            return None
        try:
            typed = pl.read_ndjson(block.data, schema=dict(self.types))
        except PARSE_ERRORS:
            return None
        # A blank line is no row, so that the rows after it would be told with wrong lines.
        lines = count_byte(block.data, ord("\n")) + (not block.data.endswith(b"\n"))
        return self.quick(typed) if typed.height == lines else None

    def _careful(self, block: Block) -> Parsed:
        lines = _lines(block.data)
        rejects, rows, numbers = [], [], []
        for number, raw in enumerate(lines, start=block.first_line):
            if not raw.strip():
                continue
            try:
                rows.append(self._row(raw))
                numbers.append(number)
            except _MisfitError as error:
                is_torn = block.is_last and number - block.first_line == len(lines) - 1
                fault = _torn(error.fault) if is_torn and not block.data.endswith(b"\n") else error.fault
                rejects.append(Reject(number, *fault, bounded(raw)))
        blank = len(lines) - len(rows) - len(rejects)
        return self.finish(
            pl.DataFrame(rows, schema=dict(self.types), orient="row"),
            lines=numbers,
            raw=lambda index: lines[numbers[index] - block.first_line],
            rejects=rejects,
            facts={BLANK_LINES: blank} if blank else {},
        )

    def _row(self, raw: bytes) -> tuple[object, ...]:
        """The needed fields of a line. Raises a _MisfitError."""
        value = _decoded(raw)
        if not isinstance(value, dict):
            raise _MisfitError("", f"got {shortened(value)}, expected a JSON object")
        return tuple(_fitted(value.get(name), dtype, name) for name, dtype in self.types.items())


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _torn(fault: Fault) -> Fault:
    return Fault("", "torn last line") if fault == _NOT_JSON else fault


def _decoded(raw: bytes) -> object:
    try:
        # Of a repeated name the parser of whole blocks takes the first value, Python's the last.
        value: object = json.loads(raw.decode(), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise _MisfitError("", "is not valid Unicode") from None
    except (ValueError, RecursionError):
        raise _MisfitError(*_NOT_JSON) from None
    return value


def _fitted(value: Any, dtype: pl.DataType, column: str) -> object:  # whatever JSON holds
    """``value`` as what ``dtype`` holds. Raises a _MisfitError."""
    if value is None:
        return None
    if isinstance(dtype, pl.Struct) and isinstance(value, dict):
        return {
            field.name: _fitted(value.get(field.name), field.dtype, f"{column}.{field.name}")  # type: ignore[arg-type]  # instances, as declared
            for field in dtype.fields
        }
    if isinstance(dtype, pl.List) and isinstance(value, list):
        return [_fitted(item, dtype.inner, column) for item in value]  # type: ignore[arg-type]
    if dtype == pl.String:
        return value if isinstance(value, str) else _as_text(value)
    expected = _expected(value, dtype)
    if expected:
        raise _MisfitError(column, f"got {shortened(value)}, expected {expected}")
    return float(value) if dtype.is_float() else value


def _as_text(value: object) -> str:
    """A value as the quick parser writes it: numbers without an exponent, whole ones without a point."""
    if isinstance(value, float) and math.isfinite(value):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return json.dumps(value)


def _expected(value: object, dtype: pl.DataType) -> str:
    """What ``value`` is not though it should be, or nothing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(dtype, pl.Struct):
        return "an object"
    if isinstance(dtype, pl.List):
        return "a list"
    if dtype == pl.Boolean:
        return "" if isinstance(value, bool) else "true or false"
    if dtype.is_integer():
        is_whole = is_number and isinstance(value, int) and -_MAX_INT64 <= value < _MAX_INT64
        return "" if is_whole else "a whole number"
    return "" if is_number and _is_finite(value) else "a finite number"


def _is_finite(value: Any) -> bool:  # a number of any size
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


@dataclass(frozen=True, kw_only=True)
class TextLines(Recipe):
    """Reads blocks of lines of text.

    Attributes:
        types: the groups that are needed: Int64, Float64, Boolean or String. A group that is empty or
            takes no part is null.
        pattern: matches the line of a record (Rust's syntax: no look-around); its named groups are the
            source columns.
        candidate: matches lines that ought to be records (Rust's syntax): one that ``pattern`` does not
            match is a reject. Any other line is counted in the facts. Without it every line ought to.
        fields: further source columns, as text that is taken from the groups, in steps: each step's are
            expressions over the columns that are there before it.
        opaque: source columns that nothing but a hash is made of, so that any bytes will do.
    """

    pattern: str
    candidate: str | None = None
    fields: tuple[Mapping[str, pl.Expr], ...] = ()
    opaque: frozenset[str] = frozenset()

    @property
    def framing(self) -> Framing:
        """Every line is a record."""
        return LINES

    def read(self, block: Block) -> Parsed:
        """Reads one block; bad lines become rejects."""
        return joined_until(block.halt, map(self._read, parts_of(block, LINES)))

    def _read(self, block: Block) -> Parsed:
        raws = block.data.split(b"\n")
        text = block.data.decode(errors="replace")
        lines = _numbered_lines(text, block.first_line)
        blank = lines.filter(pl.col("text").str.strip_chars() == "").height
        lines = lines.filter(pl.col("text").str.strip_chars() != "")
        found = lines.filter(pl.col("text").str.contains(self.candidate)) if self.candidate else lines
        is_record = found.get_column("text").str.contains(self.pattern)
        records = found.filter(is_record)
        numbers: list[int] = records.get_column("line").to_list()

        def raw(index: int) -> bytes:
            return raws[numbers[index] - block.first_line]

        groups = _groups(records.get_column("text"), self.pattern)
        for step in self.fields:
            groups = groups.with_columns(**step)
        groups = groups.select(list(self.types))
        typed, faults = cast_cells(groups, self.types)
        if block.is_last and not block.data.endswith(b"\n") and self._lacks_cells(typed.tail(1)):
            faults[typed.height - 1] = _TORN
        facts = {BLANK_LINES: blank, OTHER_LINES: lines.height - found.height}
        parsed = self.finish(
            typed,
            lines=numbers,
            raw=raw,
            faults={**faults, **(invalid_cells(groups.drop(self.opaque), raw) if "\ufffd" in text else {})},
            rejects=self._rejects(block, found.filter(~is_record)),
            facts={what: count for what, count in facts.items() if count},
        )
        if parsed.rejects.height or parsed.left_out:
            return parsed
        codes = np.zeros(len(raws) - (not raws[-1]), np.int16)
        codes[lines.get_column("line").to_numpy() - block.first_line] = 1
        codes[np.array(numbers, np.int64) - block.first_line] = -1
        return replace(parsed, kinds=Kinds(names=tuple(facts), codes=codes))

    def _lacks_cells(self, last: pl.DataFrame) -> bool:
        return any(last[name].has_nulls() for name in self.required)

    def _rejects(self, block: Block, lines: pl.DataFrame) -> list[Reject]:
        last = block.first_line + block.data.count(b"\n")  # there is such a line if it lacks a line break
        return [
            Reject(
                line,
                "",
                _TORN.reason if block.is_last and line == last else "is not what such a line looks like",
                bounded(text),
            )
            for line, text in lines.iter_rows()
        ]


def _numbered_lines(text: str, first: int) -> pl.DataFrame:
    """The lines with their numbers, without line breaks."""
    lines = text.split("\n")
    column = pl.Series("text", lines if lines[-1] else lines[:-1], dtype=pl.String)
    numbers = pl.Series("line", range(first, first + column.len()), dtype=pl.Int64)
    return pl.DataFrame([numbers, column.str.strip_suffix("\r")])


def _groups(text: pl.Series, pattern: str) -> pl.DataFrame:
    """The named groups of ``pattern``; an empty one is null."""
    groups = text.to_frame("text").select(pl.col("text").str.extract_groups(pattern)).unnest("text")
    return groups.select(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))


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
        self._chunks = _decoded_chunks(path)

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


def _decoded_chunks(path: Location) -> Iterator[str]:
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
