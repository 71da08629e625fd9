"""What a dialect of load-test logs declares, the signs by which it is known, and what it calls things."""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, Protocol, TypedDict, runtime_checkable

import polars as pl

from loadlens.errors import InputError
from loadlens.messages import listed
from loadlens.storage.location import Location
from loadlens.text.record_blocks import Block, Framing
from loadlens.text.stream import BOM, Head
from loadlens.text.typed_rows import Parsed

__all__ = [
    "BlockReader",
    "Clock",
    "Columns",
    "Dialect",
    "Elsewhere",
    "Level",
    "NestingReader",
    "Reader",
    "Refused",
    "StreamReader",
    "any_of",
    "begins",
    "cells_of",
    "document",
    "error_class",
    "fields_of",
    "filled",
    "fits",
    "has_line",
    "header_of",
    "is_value",
    "numberless",
    "table",
    "without_credentials",
]


_MAX_CLASS_CHARACTERS: Final = 60


_USER = r"//[^/?#\s]*@"
_CREDENTIAL = (
    r"(?i)([?&#;](?:[\w.-]*(?:token|secret|passw|pwd|signature|credential|api[_-]?key|jwt|session[_-]?id)"
    r"[\w.-]*|sig|auth|authorization)=)[^&#;\s\[{<$:*][^&#;\s]*"
)

_LEAST_MARKS: Final = 2
_SAMPLED_LINES: Final = 20

_LOOKED_AT_BYTES: Final = 16 * 2**10
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


def without_credentials(text: pl.Expr) -> pl.Expr:
    """Text whose URLs have no user and password, and ``***`` in the place of tokens, keys and signatures.

    A placeholder, such as ``token=[token]`` or ``token=${}``, is none of these.
    """
    return text.map_batches(_without_credentials, return_dtype=pl.String(), is_elementwise=True)


def _without_credentials(text: pl.Series) -> pl.Series:
    if not text.str.contains_any(["@", "="]).any():
        return text
    return text.str.replace_all(_USER, "//").str.replace_all(_CREDENTIAL, "${1}***")


def error_class(message: pl.Expr, until: str = "") -> pl.Expr:
    r"""The class of errors of that message: how it begins, in up to 60 characters, without secrets.

    Queries of URLs are cut and credentials masked, wherever they stand.

    Args:
        message: what went wrong.
        until: characters that end a class, as within brackets of a regular expression, such as ``\n:(``.
    """
    bare = without_credentials(message.str.replace_all(r"(//[^\s?#]*)[?#]\S*", "$1"))
    kept = rf"[^{until}]" if until else "."
    return bare.str.extract(rf"(?s)^\s*({kept}{{1,{_MAX_CLASS_CHARACTERS}}})")


def numberless(text: pl.Expr) -> pl.Expr:
    """Messages with ``N`` for every number, so that ids and ports do not make an error class each."""
    return text.str.replace_all(r"\d+", "N")


def filled(text: pl.Expr) -> pl.Expr:
    """``text`` without blanks around it; null where nothing is left."""
    text = text.str.strip_chars()
    return pl.when(text != "").then(text)


@lru_cache(maxsize=32)  # every format looks at the same first line
def cells_of(line: str, separator: str = ",") -> tuple[str, ...]:
    """The cells of a line of CSV, without blanks around them; none where it is no CSV."""
    try:
        return tuple(cell.strip() for cell in next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return ()


def header_of(head: Head, separator: str = ",") -> tuple[str, ...]:
    """The cells of the first line that is not blank."""
    return cells_of(next((line for line in head.lines if line.strip()), ""), separator)


def fields_of(head: Head) -> tuple[str, ...]:
    """The names in the first line that is a JSON object."""
    for line in [line for line in head.lines if line.lstrip().startswith("{")][:_SAMPLED_LINES]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return tuple(value)
    return ()


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a time, as names of columns hardly are."""
    for read in (float, datetime.fromisoformat):
        with suppress(ValueError):
            read(cell)
            return True
    return False


class KnownByColumns(TypedDict):
    """The arguments of ``Dialect`` that follow from its columns; see there."""

    title: str
    signs: tuple[bytes, ...]
    matches: Callable[[Head], bool]
    near_miss: Callable[[Head], tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a tool's table, or the fields of its JSON lines.

    Attributes:
        title: what people call it, as the dialect does.
        known_by: a table that has all of these is one of the tool's.
        needed: without these no call can be read.
        marks: names that other tools and people hardly use; a table that has some of them but lacks what is
            needed is told to be nearly one of the tool's.
        advice: how to write a table that has all that is needed.
        separators: what may stand between cells; none for JSON lines.
    """

    title: str
    known_by: frozenset[str]
    needed: frozenset[str]
    marks: frozenset[str]
    advice: str
    separators: tuple[str, ...] = (",",)

    def match(self, head: Head) -> bool:
        """Whether a file has a header by which the table is known."""
        return any(self.known_by <= set(names) for names in self._headers(head))

    def checked(self, head: Head, read: Iterable[str]) -> tuple[str, ...]:
        """The names in the header of a table that can be read.

        Args:
            head: the beginning of the file.
            read: columns that are read where they are there.

        Raises:
            InputError: columns are missing, or doubled.
        """
        names = max(self._headers(head), key=lambda names: len(self._wanted & set(names)))
        if self.needed - set(names):
            raise InputError(f"{head.path}: {self._lacking(names, self.needed)}")
        doubled = {name for name in read if names.count(name) > 1}
        if doubled:
            raise InputError(
                f"{head.path}: the header has doubled columns: {listed(doubled)}; rename or remove one"
            )
        return names

    def near_miss(self, head: Head) -> tuple[int, str]:
        """How many of its marks a file has that is nearly such a table, and what it lacks; 0 for others."""
        names = max(self._headers(head), key=self._marks_in)
        marks = self._marks_in(names)
        if marks < min(_LEAST_MARKS, len(self.marks)) or self._wanted <= set(names):
            return 0, ""
        return marks, self._lacking(names, self._wanted)

    @property
    def known(self) -> "KnownByColumns":
        """How a dialect tells its files by these columns, as arguments of ``Dialect``."""
        sign = max(self.known_by, key=len).encode()
        return {
            "title": self.title,
            "signs": (sign,),
            "matches": self.match,
            "near_miss": self.near_miss,
        }

    @property
    def _wanted(self) -> frozenset[str]:
        return self.known_by | self.needed

    def _headers(self, head: Head) -> list[tuple[str, ...]]:
        return [header_of(head, separator) for separator in self.separators] or [fields_of(head)]

    def _marks_in(self, names: Iterable[str]) -> int:
        """Letters may differ in case, as where a table was written by another program."""
        folded = {name.casefold() for name in names}
        return sum(mark.casefold() in folded for mark in self.marks)

    def _lacking(self, names: Sequence[str], wanted: Iterable[str]) -> str:
        missing = sorted(set(wanted) - set(names))
        kind = "column" if self.separators else "field"
        kinds = kind if len(missing) == 1 else f"{kind}s"
        near = f"looks like {self.title}, but lacks the {kinds} {listed(missing)}"
        what = near if self._marks_in(names) else f"is no {self.title}: missing {kinds}: {listed(missing)}"
        return f"{what}; it has: {listed(names)}; {self.advice}"


# The patterns of signs are compiled where a file is looked at by them: most need not be.
Matches = Callable[[Head], bool]


@lru_cache(maxsize=4)  # every sign looks at the same beginning
def _text(head: Head) -> str:
    """The beginning of a file, without the colours of a terminal and line ends of Windows."""
    start = head.data.removeprefix(BOM)[:_LOOKED_AT_BYTES].decode(errors="replace")
    return _STYLE.sub("", start).replace("\r\n", "\n").lstrip()


def begins(pattern: str) -> Matches:
    """Matches files that begin so, after blank lines."""
    return lambda head: re.match(pattern, _text(head)) is not None


def has_line(*patterns: str) -> Matches:
    """Matches files with a line near their beginning that begins in one of these ways, after blanks.

    So a report is known of which somebody kept a part.
    """
    # Blanks are given back to no pattern, so that a long line of them is not looked at again from each.
    pattern = rf"(?m)^[ \t]*+(?:{'|'.join(patterns)})"
    return lambda head: re.search(pattern, _text(head)) is not None


def document(*names: str) -> Matches:
    """Matches files that begin as one JSON object and have all of these names near their beginning."""

    def matches(head: Head) -> bool:
        text = _text(head)
        return text.startswith("{") and all(re.search(rf'"{re.escape(name)}"\s*:', text) for name in names)

    return matches


def table(*columns: str) -> Matches:
    """Matches CSV files with these columns."""
    return lambda head: set(header_of(head)) >= set(columns)


def any_of(*kinds: Matches) -> Matches:
    """Matches files that one of these matches."""
    return lambda head: any(matches(head) for matches in kinds)


Clock = Literal["epoch", "relative", "monotonic"]

Level = Literal["requests", "transactions"]
"""What a row is: a request, or what a tool sums requests up to: a transaction, a group, an iteration."""


class _Described(Protocol):
    @property
    def schema(self) -> pl.Schema:
        """The canonical columns that it yields, and their types."""

    @property
    def meaning(self) -> tuple[tuple[str, str], ...]:
        """Source columns and what they are, with unit."""


@runtime_checkable
class BlockReader(_Described, Protocol):
    """Reads blocks of whole records, each independently of the others, from any thread."""

    @property
    def framing(self) -> Framing:
        """What a record is, for the block cutter."""

    def read(self, block: Block) -> Parsed:
        """Reads one block."""


@runtime_checkable
class StreamReader(_Described, Protocol):
    """Reads a whole file from front to back: formats that cannot be cut at lines."""

    def batches(self, path: Location) -> Iterator[Parsed]:
        """Reads the file in parts of bounded size.

        Raises:
            InputError: the file cannot be read on.
        """


Reader = BlockReader | StreamReader


@runtime_checkable
class NestingReader(Protocol):
    """A reader of logs in which rows may be parts or sums of others, which may be in other files."""

    @property
    def is_nested(self) -> bool:
        """Whether the head of the file has such rows."""

    @property
    def spanning(self) -> Reader:
        """Reads the same rows, with the spans of all of them."""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """How lines that are no rows tell of calls.

    Attributes:
        signs: one of these is in every such line.
        find: which calls lines tell of, and what, in a part of the text that may begin and end anywhere.
        open: makes the reader of a file that knows all that was found in all files of the log.
        warning: what is wrong, given which calls lines tell of and how many of these there are; nothing where
            they go together.
        fact: what calls are counted as, among the facts, that such lines tell of.
    """

    signs: tuple[bytes, ...]
    find: Callable[[bytes], Iterator[tuple[str, str]]]
    open: Callable[[Head, Mapping[str, str]], Reader]
    warning: Callable[[Collection[str], int], str]
    fact: str


def _no_warnings(_head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    return []


def _no_near_miss(_head: Head) -> tuple[int, str]:
    return 0, ""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One format of one tool.

    Attributes:
        name: what ``--format`` calls it, such as ``jmeter-csv``.
        title: what people call it, such as ``JMeter CSV``.
        key: the canonical columns that naturally tell its rows apart.
        clock: whether its times are calendar times, begin with the test, or have no meaning alone.
        closed_loop: whether the tool's usual clients wait for an answer before they ask again, so that
            slow answers thin out the load that is measured (coordinated omission).
        logs_urls: whether the names of its requests may be URLs as the tool called them, whose queries are
            of no group of requests; False where somebody chose the names.
        logged_times: which of ``start_time`` and ``end_time`` the tool logs; the other one is derived from
            it by the latency.
        finer_times: how its tool is told to log finer times than whole seconds, as a clause; empty where it
            cannot be, or always does.
        signs: each of its files has one of these in its head, which is quick to look for; none where no
            bytes tell.
        matches: whether a file is of this dialect, judged by the content of its head. Never raises.
        open: makes the reader of a file of this dialect. Raises an InputError that says what is missing.
        open_durations: the same as ``open``, with the further durations that the tool logs as columns; None
            where it logs none, or rows have them anyway.
        open_transactions: the same for the level of transactions; None where its logs hold requests alone.
        elsewhere: how its lines tell of calls whose rows are other lines; None where they do not.
        near_miss: of a file that is of no dialect, how much of this one it has, and what it lacks and how to
            write it; 0 where it has too little to say so. Never raises.
        warnings: what the log cannot tell, given its head, the rows read, and the sums of all facts and of
            all rows left out, in one mapping.
    """

    name: str
    title: str
    key: tuple[str, ...]
    clock: Clock
    closed_loop: bool
    logs_urls: bool = True
    logged_times: tuple[str, ...] = ("start_time", "end_time")
    finer_times: str = ""
    signs: tuple[bytes, ...] = ()
    matches: Callable[[Head], bool]
    open: Callable[[Head], Reader]
    open_durations: Callable[[Head], Reader] | None = None
    open_transactions: Callable[[Head], Reader] | None = None
    elsewhere: Elsewhere | None = None
    near_miss: Callable[[Head], tuple[int, str]] = _no_near_miss
    warnings: Callable[[Head, int, Mapping[str, int]], list[str]] = _no_warnings


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that holds no invocations, such as a tool's summary, and where to get them from.

    Attributes:
        title: what the file is, such as ``Locust's statistics (--csv)``.
        reason: why it cannot be used, such as ``it holds aggregates, not single requests``.
        advice: what to do instead, with the command.
        signs: as of a ``Dialect``.
        matches: whether a file is of this kind, judged by the content of its head. Never raises.
    """

    title: str
    reason: str
    advice: str
    signs: tuple[bytes, ...] = ()
    matches: Callable[[Head], bool]


def fits(kind: Dialect | Refused, head: Head) -> bool:
    """Whether a file is of a kind, judged by the content of its head."""
    return (not kind.signs or any(sign in head.data for sign in kind.signs)) and kind.matches(head)
