"""What a dialect of load-test logs declares, and the two kinds of readers."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import polars as pl

from loadlens.sources.parsed import Parsed
from loadlens.sources.storage.location import Location
from loadlens.sources.text.blocks import Block
from loadlens.sources.text.framing import Framing
from loadlens.sources.text.stream import Head

__all__ = [
    "BlockReader",
    "Clock",
    "Dialect",
    "Elsewhere",
    "Level",
    "NestingReader",
    "Reader",
    "Refused",
    "StreamReader",
]

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
        matches: whether a file is of this dialect, judged by the content of its head. Never raises.
        open: makes the reader of a file of this dialect. Raises an InputError that says what is missing.
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
    matches: Callable[[Head], bool]
    open: Callable[[Head], Reader]
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
        logs_urls: whether the names of its requests may be URLs as the tool called them, whose queries are
            of no group of requests; False where somebody chose the names.
        matches: whether a file is of this kind, judged by the content of its head. Never raises.
    """

    title: str
    reason: str
    advice: str
    matches: Callable[[Head], bool]
