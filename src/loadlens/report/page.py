"""A report as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from loadlens.report.columns import column_header, format_key, format_value
from loadlens.visible import visible_lines

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from loadlens.report.model import Block, Figure, Report, Table

__all__ = ["render"]

_ROOT: Final = re.compile(r"<svg\b([^>]*)>")
_REPLACED: Final = re.compile(r"""\s(?:width|height|style|role|aria-[a-z]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_SIZE: Final = r"""\s{}\s*=\s*["']([\d.]+)(?:px)?["']"""


def render(report: Report) -> str:
    """The page as HTML; every text of the report is escaped, the SVG of its figures is not.

    Raises:
        ValueError: the text of a figure holds no SVG.
    """
    page = _environment().get_template("page.html").render(report=report)
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
        "headers": _headers,
        "rows": _rows,
        "totals": _totals,
        "inline_svg": _inline_svg,
    }
    return environment


def _block_name(block: Block) -> str:
    return type(block).__name__.lower()


def _headers(table: Table) -> list[tuple[str, bool]]:
    """Each column's header and whether it holds numbers."""
    return [
        (column_header(name, table.currency), dtype.is_numeric() or name in table.figures)
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


def _rows(table: Table) -> list[list[str]]:
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
    """The SVG element without what stands before it, as wide as the page allows up to its own width."""
    from markupsafe import Markup, escape

    root = _ROOT.search(figure.svg)
    if root is None:
        raise ValueError(f"the figure {figure.caption!r} has no SVG element")
    given = root[1]
    width, height = (re.search(_SIZE.format(name), given) for name in ("width", "height"))
    attributes = _REPLACED.sub("", given)
    if width and height and "viewBox" not in given:
        attributes += f' viewBox="0 0 {width[1]} {height[1]}"'
    if width:
        attributes += f' style="max-width: {width[1]}px"'
    label = escape(figure.caption)
    body = figure.svg[root.end() :].strip()
    return Markup(f'<svg role="img" aria-label="{label}"{attributes}>{body}')  # noqa: S704  # made by our charts
