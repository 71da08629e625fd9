"""The map of a home-made log: which column is what, and in which unit.

``latency=elapsed:ms`` and the like, from the command line or from a TOML file.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from os import PathLike
from typing import Final, Literal

import polars as pl

from loadlens.errors import UsageError
from loadlens.messages import shortened
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS
from loadlens.storage.input_documents import read_toml
from loadlens.text.typed_rows import PARSE_ERRORS

__all__ = [
    "COUNTS_PER_SECOND",
    "DURATION_UNITS",
    "MEMORY_UNITS",
    "SIZE_UNITS",
    "TIME_UNITS",
    "ColumnMap",
    "Condition",
    "Duration",
    "Moment",
]

DURATION_UNITS: Final = ("s", "ms", "us", "ns", "min")

COUNTS_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

TIME_UNITS: Final = (
    *(f"epoch_{unit}" for unit in COUNTS_PER_SECOND),
    "rfc3339",
    *(f"relative_{unit}" for unit in COUNTS_PER_SECOND),
    "format",
)

SIZE_UNITS: Final[Mapping[str, int]] = {
    "bytes": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(("k", "M", "G"), start=1)},
    "KB": 1000,
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(("K", "M", "G"), start=1)},
}
"""Units of what is sent and received, in bytes: as networks count, MB is 10^6 and MiB 2^20."""

MEMORY_UNITS: Final[Mapping[str, tuple[Fraction, ...]]] = {
    "bytes": (Fraction(1, 2**20), Fraction(1, 10**6)),
    **dict.fromkeys(("kB", "KB", "KiB"), (Fraction(1, 2**10),)),
    **dict.fromkeys(("MB", "MiB"), (Fraction(1),)),
    **dict.fromkeys(("GB", "GiB"), (Fraction(2**10),)),
}
"""Units of memory, in MB as AWS has them (2^20 bytes).

Bytes that are no whole number of these are taken by 10^6, as CloudWatch Logs Insights writes 128 MB as
128000000 bytes; up to 16 GB no size is whole in both.
"""

_DURATIONS: Final = ("latency", "billed_duration", "init_duration")
_MOMENTS: Final = ("start", "end")
_MEMORY: Final = ("memory_size", "memory_used")
_SIZES: Final = ("response_size", "request_size", *_MEMORY)
_COLUMNS: Final = ("label", "error", "status", "response_size", "request_size", "cold_start", "memory_used")
_TARGETS: Final = ("latency", *_MOMENTS, "success", *_COLUMNS, "billed_duration", "init_duration")
_RESERVED: Final = set(CANONICAL_COLUMNS) - set(_TARGETS) - set(CONFIGURATION_COLUMNS)

_FORMAT: Final = ":format:"
_TIME_UNITS_TEXT: Final = ", ".join([*TIME_UNITS[:-1], "format:STRFTIME"])
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NEARLY_A_SIZE: Final = re.compile(r"[kmgt]?i?(b|bytes?)", re.IGNORECASE)
_OPERATORS: Final = "<, <=, >, >=, ==, != or in"
_CONDITION: Final = re.compile(
    r"(?P<column>.*?)(?:\s*(?P<sign><=|>=|==|!=|<|>)\s*|\s+(?P<word>in)\s+)(?P<operand>.*)", re.DOTALL
)
_NEARLY: Final = 0.8  # as difflib measures how much two names are alike
_SAMPLE: Final = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Duration:
    """A column that holds a length of time, in one of ``DURATION_UNITS``."""

    column: str
    unit: str

    def __str__(self) -> str:
        return f"{self.column}:{self.unit}"


@dataclass(frozen=True)
class Moment:
    """A column that holds a point in time.

    Attributes:
        column: its name.
        unit: one of ``TIME_UNITS``.
        form: how its text is written, as strftime says it; for the unit ``format`` only.
    """

    column: str
    unit: str
    form: str = ""

    def __str__(self) -> str:
        return f"{self.column}:{self.unit}" + (f":{self.form}" if self.form else "")

    @property
    def clock(self) -> Literal["epoch", "relative"]:
        """Whether it is calendar time."""
        return "relative" if self.unit.startswith("relative_") else "epoch"

    @property
    def per_second(self) -> int | None:
        """How many counts a second has; None where the column holds text."""
        return COUNTS_PER_SECOND.get(self.unit.rpartition("_")[2])

    @property
    def lacks_offset(self) -> bool:
        """Whether nothing tells in which time zone it is."""
        return self.unit == "format" and not any(
            code in self.form for code in ("%z", "%:z", "%#z", "%+", "%s")
        )


@dataclass(frozen=True)
class Condition:
    """When a call succeeded: a column of truth values, or what a column must hold.

    Attributes:
        column: its name.
        operator: one of ``< <= > >= == != in``; empty for a column of truth values.
        operand: a number or a text (always a text in quotes), several with commas between them for ``in``.
    """

    column: str
    operator: str = ""
    operand: str = ""

    def __str__(self) -> str:
        operator = f" {self.operator} " if self.operator == "in" else self.operator
        return f"{self.column}{operator}{self.operand}"

    @property
    def is_order(self) -> bool:
        """Whether it asks for a smaller or larger number."""
        return self.operator[:1] in {"<", ">"}

    @property
    def numbers(self) -> tuple[float, ...]:
        """The operands that are numbers."""
        return tuple(float(text) for text in _operands(self) if _NUMBER.fullmatch(text))

    @property
    def texts(self) -> tuple[str, ...]:
        """The other operands, without quotes."""
        others = [text for text in _operands(self) if not _NUMBER.fullmatch(text)]
        return tuple(text[1:-1] if _is_quoted(text) else text for text in others)


def _operands(condition: Condition) -> list[str]:
    parts = condition.operand.split(",") if condition.operator == "in" else [condition.operand]
    return [part.strip() for part in parts]


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """Which column of a log is what.

    Either a latency is named, with or without one of start and end, or both start and end.

    Attributes:
        latency: the latency seen by the client; None where it is the time from start to end.
        start: when calls start; None where it follows from end and latency, or is not known.
        end: when calls end; None where it follows from start and latency, or is not known.
        success: when a call succeeded.
        durations: further lengths of time, by their canonical name.
        columns: further columns, by their canonical name or the name of a configuration column.
        size_units: the units of those that are sizes, where they are not bytes of data or MB of memory.
        no_header: whether CSV files have no header; their columns are ``c1``, ``c2`` and so on.
    """

    latency: Duration | None = None
    start: Moment | None = None
    end: Moment | None = None
    success: Condition | None = None
    durations: Mapping[str, Duration] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    size_units: Mapping[str, str] = field(default_factory=dict)
    no_header: bool = False

    @property
    def logged_times(self) -> tuple[str, ...]:
        """Which of ``start_time`` and ``end_time`` a column tells."""
        told = {"start_time": self.start, "end_time": self.end}
        return tuple(name for name, moment in told.items() if moment)

    def __post_init__(self) -> None:
        if self.latency and self.start and self.end:
            raise UsageError(
                "column map: got latency, start and end, of which each two tell the third; leave one out"
            )
        if not self.latency and not (self.start and self.end):
            got = ", ".join(self.texts) or "nothing"
            raise UsageError(
                f"column map: got {got}, expected latency=COLUMN:UNIT, or both start=COLUMN:UNIT and "
                f"end=COLUMN:UNIT"
            )
        if self.start and self.end and self.start.clock != self.end.clock:
            raise UsageError(
                f"column map: got start as {self.start.unit} and end as {self.end.unit}, expected one clock"
            )

    @classmethod
    def parse(cls, texts: Iterable[str], *, no_header: bool = False) -> "ColumnMap":
        """Reads texts such as ``latency=elapsed:ms``, one for each target.

        Args:
            texts: the texts.
            no_header: whether CSV files have no header; their columns are ``c1``, ``c2`` and so on.

        Raises:
            UsageError: a text is not what is expected (with the position of the mistake), a target is named
                twice, or the targets do not tell a latency.
        """
        return cls._of([_entry(text) for text in texts], no_header=no_header)

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> "ColumnMap":
        """Reads a map that was saved as TOML: one line ``target = "text"`` for each target.

        ``no_header = true`` says that CSV files have no header.

        Raises:
            UsageError: the file cannot be read, or does not hold such a map.
        """
        found = read_toml(path, UsageError, "a map of columns as TOML")
        try:
            no_header = found.pop("no_header", False)
            if not isinstance(no_header, bool):
                raise UsageError(f"column map: no_header is {shortened(no_header)}, expected true or false")
            entries = [_toml_entry(target, value) for target, value in found.items()]
            return cls._of(entries, no_header=no_header)
        except UsageError as error:
            raise UsageError(*(f"{path}: {problem}" for problem in error.problems)) from error

    @classmethod
    def _of(cls, entries: Iterable[tuple[str, str, str]], *, no_header: bool) -> "ColumnMap":
        texts: dict[str, str] = {}
        durations, moments, conditions = {}, {}, {}
        columns: dict[str, str] = {}
        units: dict[str, str] = {}
        for target, value, text in entries:
            if target in texts:
                raise UsageError(f"column map: {target} is named twice: {texts[target]!r} and {text!r}")
            texts[target] = text
            here = _Place(text, len(text) - len(value))
            if target in _DURATIONS:
                durations[target] = _duration(value, here)
            elif target in _MOMENTS:
                moments[target] = _moment(value, here)
            elif target == "success":
                conditions[target] = _condition(value, here)
            elif target in _SIZES:
                columns[target], unit = _size(target, value, here)
                units |= {target: unit} if unit else {}
            else:
                columns[target] = value
        return cls(
            latency=durations.pop("latency", None),
            start=moments.get("start"),
            end=moments.get("end"),
            success=conditions.get("success"),
            durations=durations,
            columns=columns,
            size_units=units,
            no_header=no_header,
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The map as texts that ``parse`` reads."""
        own = {"latency": self.latency, "start": self.start, "end": self.end, "success": self.success}
        values = {target: str(value) for target, value in own.items() if value}
        values |= {target: str(value) for target, value in self.durations.items()}
        values |= {
            target: ":".join([column, *([self.size_units[target]] if target in self.size_units else [])])
            for target, column in self.columns.items()
        }
        return tuple(f"{target}={value}" for target, value in values.items())

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The configuration columns, and the label before them if there is one."""
        named = [target for target in self.columns if target not in _TARGETS]
        return (*(["label"] if "label" in self.columns else []), *named)

    @property
    def doubts(self) -> list[str]:
        """What may be meant otherwise: names of key columns that are nearly those of known targets."""
        return [
            f"{target} is taken for the name of a key column; if {meant[0]} is meant, write {meant[0]}="
            for target in self.keys
            if target not in CANONICAL_COLUMNS and (meant := get_close_matches(target, _TARGETS, 1, _NEARLY))
        ]


@dataclass(frozen=True)
class _Place:
    """Where in the text of an entry its value begins, for messages."""

    text: str
    start: int = 0

    def error(self, at: int, expected: str) -> UsageError:
        at += self.start
        got = shortened(self.text[at:]) if at < len(self.text) else "nothing"
        return UsageError(
            f"column map {shortened(self.text)}, character {at + 1}: got {got}, expected {expected}"
        )


def _entry(text: str) -> tuple[str, str, str]:
    """Target, value and the text that they stand in."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"column map {shortened(text)}: is not UTF-8 text") from None
    text = text.strip()
    target, sign, value = text.partition("=")
    target, value = target.strip(), value.strip()
    if not target:
        raise _Place(text).error(0, f"TARGET=COLUMN, with TARGET one of {_targets()}")
    if not value:
        raise _Place(text).error(len(text), "a column" if sign else "'=' and a column")
    if target in _RESERVED:
        raise _Place(text).error(0, f"one of {_targets()}")
    return target, value, text


def _targets() -> str:
    return f"{', '.join(_TARGETS)}, or the name of a configuration column"


def _toml_entry(target: str, value: object) -> tuple[str, str, str]:
    if not isinstance(value, str):
        raise UsageError(f'column map: {target} is {shortened(value)}, expected {target} = "COLUMN"')
    if "=" in target or target != target.strip():
        raise UsageError(f"column map: got the target {target!r}, expected one of {_targets()}")
    return _entry(f"{target}={value}")


def _split(value: str, here: _Place, expected: str) -> tuple[str, str, int]:
    """Column, what stands after the last colon, and where that is."""
    column, colon, unit = value.rpartition(":")
    if not colon:
        raise here.error(len(value), f"':' and a unit: {expected}")
    _check_column(column, here)
    return column.strip(), unit.strip(), value.rindex(":") + 1


def _check_column(column: str, here: _Place) -> None:
    if not column.strip():
        raise here.error(0, "a column")


def _duration(value: str, here: _Place) -> Duration:
    expected = ", ".join(DURATION_UNITS)
    column, unit, at = _split(value, here, expected)
    if unit not in DURATION_UNITS:
        raise here.error(at, f"a unit: {expected}")
    return Duration(column, unit)


def _size(target: str, value: str, here: _Place) -> tuple[str, str]:
    """Column and unit; a colon may be part of the column's name, unless a unit was meant."""
    known = MEMORY_UNITS if target in _MEMORY else SIZE_UNITS
    column, _, unit = (part.strip() for part in value.rpartition(":"))
    if column and unit in known:
        return column, unit
    if column and _NEARLY_A_SIZE.fullmatch(unit):
        raise here.error(value.rindex(":") + 1, f"a unit: {', '.join(known)}")
    return value, ""


def _moment(value: str, here: _Place) -> Moment:
    column, is_format, form = value.partition(_FORMAT)
    if is_format:
        _check_column(column, here)
        return Moment(column.strip(), "format", _checked_form(form, here, len(column) + len(_FORMAT)))
    column, unit, at = _split(value, here, _TIME_UNITS_TEXT)
    if unit not in TIME_UNITS or unit == "format":
        raise here.error(at, f"a unit: {_TIME_UNITS_TEXT}")
    return Moment(column, unit)


def _checked_form(form: str, here: _Place, at: int) -> str:
    """A strftime format that tells a moment; ``.%f`` becomes what it means in Python."""
    form = form.strip().replace(".%f", "%.f")
    if "%f" in form:
        raise here.error(at, "%.f for a fraction with its point, or %3f, %6f or %9f for one without")
    if "%Z" in form:
        raise here.error(at, "%z, an offset: names of time zones cannot be read")
    if not _tells_a_moment(form):
        raise here.error(at, "a strftime format that tells the date, hour, minute and second")
    return form


def _tells_a_moment(form: str) -> bool:
    """Whether a moment that is written so can be read again; Polars fills in what a text does not tell."""
    try:
        text = pl.Series([_SAMPLE]).dt.strftime(form)
        return bool(text.str.to_datetime(form, time_unit="us").dt.epoch("s").item() == _SAMPLE.timestamp())
    except PARSE_ERRORS:
        return False


def _condition(value: str, here: _Place) -> Condition:
    match = _CONDITION.fullmatch(value)
    column = match["column"] if match else value
    if "=" in column:
        raise here.error(column.index("="), f"one of {_OPERATORS}")
    _check_column(column, here)
    if not match:
        return Condition(column)
    condition = Condition(column.strip(), match["sign"] or match["word"], match["operand"])
    _check_operand(condition, lambda expected: here.error(match.start("operand"), expected))
    return condition


def _check_operand(condition: Condition, error: Callable[[str], UsageError]) -> None:
    if condition.is_order and condition.texts:
        raise error("a number")
    if not all(_operands(condition)):
        raise error("a number or a text")
