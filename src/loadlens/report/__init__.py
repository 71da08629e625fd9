"""One self-contained HTML page of what was found."""

from loadlens.report.model import Callout, Card, Figure, Heading, Notes, Report, Section, Table
from loadlens.report.page import render
from loadlens.report.summary import summary_report
from loadlens.report.toolkit import toolkit_report

__all__ = [
    "Callout",
    "Card",
    "Figure",
    "Heading",
    "Notes",
    "Report",
    "Section",
    "Table",
    "render",
    "summary_report",
    "toolkit_report",
]
