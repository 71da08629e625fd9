"""A report as a short text in Markdown, for pull requests and job summaries."""

from collections.abc import Iterator
from typing import Final

from loadlens.messages import as_markdown, counted
from loadlens.report.page import Callout, Card, Report, Table, table_headers, table_rows

__all__ = ["render_markdown"]

_MOST_LINES: Final = 60
_MOST_CARDS: Final = 8
_MOST_REMARKS: Final = 4
_MOST_TABLES: Final = 3
_MOST_ROWS: Final = 12
_LINES_AROUND_ROWS: Final = 9
_LEFT_OUT: Final = frozenset({"at-a-glance", "data-quality", "how-to-read"})
"""Sections whose tables are for those who open the report."""


def render_markdown(report: Report) -> str:
    """A report in at most 60 lines: the verdict first, key figures, then its first tables, folded.

    Charts are left out, and so are rows for which there is no room; the text says how many.
    """
    lines = [f"### {as_markdown(report.title)}: {as_markdown(report.subtitle)}", ""]
    remarks = [block for section in report.sections for block in section.blocks if isinstance(block, Callout)]
    verdicts = [block for block in remarks if block.kind != "note"]
    lines += _listed([f"**{_sign(block)}{as_markdown(block.text)}**" for block in verdicts])
    lines += _cards(report.cards[:_MOST_CARDS])
    notes = [as_markdown(block.text) for block in remarks if block.kind == "note"]
    if notes:
        lines += [*_folded(counted(len(notes), "remark on the data", "remarks on the data"), _listed(notes))]
    tables = [
        block
        for section in report.sections
        if section.anchor not in _LEFT_OUT
        for block in section.blocks
        if isinstance(block, Table) and block.frame.height
    ][:_MOST_TABLES]
    if tables:
        room = (_MOST_LINES - len(lines) - 2) // len(tables) - _LINES_AROUND_ROWS
        for table in tables:
            lines += _folded(as_markdown(table.caption), [*_table(table, max(1, min(room, _MOST_ROWS)))])
    return "\n".join([*lines, as_markdown(report.footer)]) + "\n"


def _sign(callout: Callout) -> str:
    return "❌ " if callout.kind == "failure" else ""


def _listed(texts: list[str]) -> list[str]:
    """Texts as a list with an empty line behind, of many the first ones."""
    more = len(texts) - _MOST_REMARKS
    rest = [f"- {more:,} more: the report has them"] if more > 0 else []
    return [*[f"- {text}" for text in texts[:_MOST_REMARKS]], *rest, *([""] if texts else [])]


def _cards(cards: tuple[Card, ...]) -> list[str]:
    """Key figures as a table of one row."""
    if not cards:
        return []
    cells = [f"**{as_markdown(card.value)}**<br>{as_markdown(card.detail)}" for card in cards]
    return [_row([as_markdown(card.label) for card in cards]), _row(["---"] * len(cards)), _row(cells), ""]


def _folded(title: str, lines: list[str]) -> list[str]:
    """Lines that appear once their title is clicked on."""
    body = lines if lines[-1:] == [""] else [*lines, ""]
    return [f"<details><summary>{title}</summary>", "", *body, "</details>", ""]


def _table(table: Table, most_rows: int) -> Iterator[str]:
    headers = table_headers(table)
    yield _row([as_markdown(header) for header, *_ in headers])
    yield _row(["---:" if is_figure else "---" for _, is_figure, *_ in headers])
    shown = table_rows(table)[:most_rows]
    yield from (_row([as_markdown(cell) for cell in row]) for row in shown)
    rest = table.frame.height - len(shown)
    if rest > 0:
        yield from ("", f"{counted(rest, 'more row')}: the report has them")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
