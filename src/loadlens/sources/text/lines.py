"""Logs of lines of text, of which a regular expression knows the parts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from loadlens.sources.parsed import (
    BLANK_LINES,
    Fault,
    Kinds,
    Parsed,
    Recipe,
    Reject,
    bounded,
    cast_cells,
    invalid_cells,
)
from loadlens.sources.text.blocks import Block, joined_until, parts_of
from loadlens.sources.text.framing import LINES, Framing

__all__ = ["OTHER_LINES", "TextLines"]

_TORN: Final = Fault("", "torn last line")

OTHER_LINES = "other lines"
"""What lines that are no records are counted as, among the facts."""


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
        lines = _lines(text, block.first_line)
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


def _lines(text: str, first: int) -> pl.DataFrame:
    """The lines with their numbers, without line breaks."""
    lines = text.split("\n")
    column = pl.Series("text", lines if lines[-1] else lines[:-1], dtype=pl.String)
    numbers = pl.Series("line", range(first, first + column.len()), dtype=pl.Int64)
    return pl.DataFrame([numbers, column.str.strip_suffix("\r")])


def _groups(text: pl.Series, pattern: str) -> pl.DataFrame:
    """The named groups of ``pattern``; an empty one is null."""
    groups = text.to_frame("text").select(pl.col("text").str.extract_groups(pattern)).unnest("text")
    return groups.select(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))
