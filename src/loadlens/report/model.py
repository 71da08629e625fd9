"""What a report is made of: a title, key figures, and sections of blocks that any feature can fill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

__all__ = ["Block", "Callout", "Card", "Figure", "Heading", "Notes", "Report", "Section", "Table"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A key figure.

    Attributes:
        label: what it is.
        value: the figure with its unit.
        detail: what it holds for.
    """

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A frame as a table; headers and formats follow from its column names.

    Attributes:
        caption: what the table shows.
        frame: the rows; a null is shown as an en dash.
        num_keys: how many leading columns name the row.
        totals: figures of a last row by column; none for no such row.
        note: a remark below the table.
        currency: ISO 4217 code of the columns that hold money.
        groups: columns that a heading above theirs brings together, by that heading.
        figures: columns of text that hold figures, each with a format of its own, set like numbers.
    """

    caption: str
    frame: pl.DataFrame
    num_keys: int = 1
    totals: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    currency: str = "USD"
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart.

    Attributes:
        caption: what the chart shows, also for who cannot see it.
        svg: an SVG document that may be trusted: it goes into the page as it is.
    """

    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class Callout:
    """A remark that must not be missed."""

    text: str
    kind: Literal["result", "failure", "note"] = "note"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The beginning of a part of a section.

    Attributes:
        text: the heading.
        lead: a sentence or two on what is shown.
    """

    text: str
    lead: str = ""


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Remarks, each a term and what it means."""

    items: Mapping[str, str]


Block = Table | Figure | Callout | Heading | Notes


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    Attributes:
        title: the heading.
        anchor: the fragment that links lead to; one of its own in each report.
        lead: a sentence or two on what is shown.
        blocks: the content, from top to bottom.
    """

    title: str
    anchor: str
    lead: str = ""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page.

    Attributes:
        title: the heading.
        subtitle: what the report is about, its input above all.
        cards: key figures, shown at the top of the first section.
        sections: the content, from top to bottom.
        footer: a line at the end.
    """

    title: str
    subtitle: str
    cards: tuple[Card, ...] = ()
    sections: tuple[Section, ...]
    footer: str = ""
