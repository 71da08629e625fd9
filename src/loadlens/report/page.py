"""A report as one self-contained HTML page: what it is made of, and how it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, Protocol

from loadlens.messages import visible_lines
from loadlens.report.columns import column_format, column_header, format_key, format_value
from loadlens.report.scripts import digest, inert_json, script_text, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = [
    "RUN",
    "Block",
    "Callout",
    "Card",
    "Figure",
    "Heading",
    "Image",
    "Notes",
    "Report",
    "Section",
    "Table",
    "render",
    "table_headers",
    "table_rows",
]

_ROOT: Final = re.compile(r"<svg\b([^>]*)>")
_REPLACED: Final = re.compile(r"""\s(?:width|height|style|role|aria-[a-z]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_SIZE: Final = r"""\s{}\s*=\s*["']([\d.]+)(?:px)?["']"""

RUN: Final = "log"
"""What the run of a log is called among those of a report."""


class Image(Protocol):
    """A chart, which may still be drawn while the page is written up to it."""

    @property
    def svg(self) -> str:
        """The chart as an SVG document."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A key figure.

    Attributes:
        label: what it is.
        value: the figure with its unit.
        detail: what it holds for.
        figure: what it shows of a selection: ``calls``, ``errors``, or ``lowest`` or ``highest`` and a column
            of the summary; empty for nothing.
        run: the run of the report whose selection it follows; empty for none.
    """

    label: str
    value: str
    detail: str = ""
    figure: str = ""
    run: str = ""


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
        run: the run of the report whose selection its figures follow; empty for none.
        rows: what its rows are of, where a selection has rows of its own: ``levels`` or ``failures``; else
            each row is of a key.
    """

    caption: str
    frame: pl.DataFrame
    num_keys: int = 1
    totals: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    currency: str = "USD"
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    run: str = ""
    rows: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart.

    Attributes:
        caption: what the chart shows, also for who cannot see it.
        picture: whose SVG may be trusted: it goes into the page as it is.
        name: what it is called among charts, by which scripts know what to draw in its place.
        run: the run of the report whose selection it follows; empty for none.
    """

    caption: str
    picture: Image
    name: str = ""
    run: str = ""


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
        lead_is_of_run: whether the lead tells figures, so those of the whole run whatever is selected.
    """

    title: str
    anchor: str
    lead: str = ""
    blocks: tuple[Block, ...] = ()
    lead_is_of_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page.

    Attributes:
        title: the heading.
        subtitle: what the report is about, its input above all.
        cards: key figures, shown at the top of the first section.
        sections: the content, from top to bottom.
        footer: a line at the end.
        runs: what scripts compute from, as JSON, by the name of the run; see ``run_data``.
    """

    title: str
    subtitle: str
    cards: tuple[Card, ...] = ()
    sections: tuple[Section, ...]
    footer: str = ""
    runs: Mapping[str, str] = field(default_factory=dict)


def render(report: Report) -> str:
    """The page as HTML; every text of the report is escaped, the SVG of its figures is not.

    Raises:
        ValueError: the text of a figure holds no SVG.
    """
    parts = {"style": text_of("templates/style.css"), "script": script_text()}
    digests = {name: digest(text) for name, text in parts.items()}
    page = _environment().get_template("page.html").render(report=report, parts=parts, digests=digests)
    return visible_lines(page) + "\n"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """The templates, compiled once in a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("loadlens.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "block_name": _block_name,
        "groups": _groups,
        "headers": table_headers,
        "rows": table_rows,
        "totals": _totals,
        "inert_json": inert_json,
        "inline_svg": _inline_svg,
    }
    return environment


def _block_name(block: Block) -> str:
    return type(block).__name__.lower()


def table_headers(table: Table) -> list[tuple[str, bool, str, str]]:
    """Each column's header and whether it holds numbers; its name, and that of its format."""
    return [
        (
            column_header(name, table.currency),
            dtype.is_numeric() or name in table.figures,
            name,
            column_format(name, is_float=dtype.is_float()),
        )
        for name, dtype in table.frame.schema.items()
    ]


def _groups(table: Table) -> list[tuple[str, int]]:
    """The headings above those of the columns, and how many columns each spans; none without any."""
    heading_of = {name: heading for heading, names in table.groups.items() for name in names}
    spans = [
        (heading, len([*names]))
        for heading, names in groupby(table.frame.columns, lambda name: heading_of.get(name, ""))
    ]
    return spans if heading_of else []


def table_rows(table: Table) -> list[list[str]]:
    """The cells as the page shows them."""
    names = table.frame.columns
    forms = [format_key if number < table.num_keys else format_value for number in range(len(names))]
    return [
        [form(name, value) for form, name, value in zip(forms, names, row, strict=True)]
        for row in table.frame.iter_rows()
    ]


def _totals(table: Table) -> list[str]:
    """The cells of the last row after its heading, which spans the key columns."""
    names = table.frame.columns[table.num_keys :]
    return [format_value(name, table.totals[name]) if name in table.totals else "" for name in names]


def _inline_svg(figure: Figure) -> Markup:
    """The SVG element without what stands before it, as wide as the page."""
    from markupsafe import Markup, escape

    svg = figure.picture.svg
    root = _ROOT.search(svg)
    if root is None:
        raise ValueError(f"the figure {figure.caption!r} has no SVG element")
    given = root[1]
    width, height = (re.search(_SIZE.format(name), given) for name in ("width", "height"))
    attributes = _REPLACED.sub("", given)
    if width and height and "viewBox" not in given:
        attributes += f' viewBox="0 0 {width[1]} {height[1]}"'
    label = escape(figure.caption)
    body = svg[root.end() :].strip()
    return Markup(f'<svg role="img" aria-label="{label}"{attributes}>{body}')  # noqa: S704  # made by our charts
