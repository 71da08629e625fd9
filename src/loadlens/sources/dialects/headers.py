"""The columns by which a tool's tables are known, and what is told of a table that lacks some."""

import csv
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from loadlens.errors import InputError
from loadlens.sources.text.stream import Head
from loadlens.sources.wording import listed

__all__ = ["Columns", "cells_of", "fields_of", "header_of", "is_value"]

_LEAST_MARKS: Final = 2
_SAMPLED_LINES: Final = 20


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
