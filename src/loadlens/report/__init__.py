"""One self-contained HTML page of what was found."""

from loadlens.report.detail_sections import apdex_section, corrected_section, failures_section, parts_section
from loadlens.report.markdown import render_markdown
from loadlens.report.page import Callout, Card, Figure, Heading, Notes, Report, Section, Table, render
from loadlens.report.summary_report import summary_report
from loadlens.report.toolkit_report import toolkit_report

__all__ = [
    "Callout",
    "Card",
    "Figure",
    "Heading",
    "Notes",
    "Report",
    "Section",
    "Table",
    "apdex_section",
    "corrected_section",
    "failures_section",
    "parts_section",
    "render",
    "render_markdown",
    "summary_report",
    "toolkit_report",
]
