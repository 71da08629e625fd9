"""Logs of one JSON object a line: the NDJSON family."""

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from loadlens.sources.parsed import (
    BLANK_LINES,
    PARSE_ERRORS,
    Fault,
    Parsed,
    Recipe,
    Reject,
    begins_oddly,
    bounded,
)
from loadlens.sources.text.blocks import Block, count_byte, read_by_parts
from loadlens.sources.text.framing import LINES, Framing
from loadlens.sources.wording import shortened

__all__ = ["JsonLines"]

_MAX_INT64 = 2**63
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # Polars reads a lone one as another character


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


_NOT_JSON: Final = Fault("", "is not JSON")


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
