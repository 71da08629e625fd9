"""The short result tables that the command line prints."""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadlens.analyze import LogAnalysis, ToolkitAnalysis
from loadlens.report.columns import column_header, format_value
from loadlens.schema import CONFIGURATION_COLUMNS, LATENCY

__all__ = ["print_results"]

_WIDTH_WITHOUT_TERMINAL = 160
_MOST_ROWS = 40
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LATENCIES = (f"{LATENCY}_median", f"{LATENCY}_mean", f"{LATENCY}_p99")


def print_results(analysis: ToolkitAnalysis | LogAnalysis, out: Path) -> None:
    """Prints the main figures of ``analysis`` and where its files are."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    if isinstance(analysis, LogAnalysis):
        summary = analysis.summary.summary
        _print_table(console, "Invocations", summary, [*analysis.summary.by, *_SUMMARY_COLUMNS])
        report = out / "report.html"
    else:
        _print_toolkit(console, analysis)
        report = out / "benchmarking_report" / "benchmarking_report.html"
    console.print(Text(f"Report: {_inert(str(report))}"), soft_wrap=True)


_SUMMARY_COLUMNS = ("num_invocations", "error_rate", *_LATENCIES, "tps_p50", "outliers_removed")


def _print_toolkit(console: Console, analysis: ToolkitAnalysis) -> None:
    if analysis.stability:
        columns = ["memory_size", "successful_invocations", "error_rate", *_LATENCIES, "outliers_removed"]
        _print_table(console, "Stability", analysis.stability.summary, columns)
    if analysis.concurrency:
        columns = [*CONFIGURATION_COLUMNS, *_SUMMARY_COLUMNS]
        _print_table(console, "Concurrency", analysis.concurrency.summary, columns)
    if analysis.cost:
        cost = analysis.cost
        columns = ["memory_size", "average_latency", "cost_per_1M_invocations"]
        _print_table(console, "Cost", cost.metrics_with_cost, columns)
        console.print(
            Text(
                f"Recommended: {cost.optimal_memory_config:,} MB; up to {cost.break_even_invocations:,.0f} "
                f"invocations a month it costs less than an {cost.comparable_instance} instance."
            ),
            soft_wrap=True,
        )
    else:
        console.print(Text(f"No cost part: {_inert(analysis.no_cost_reason or '')}"), soft_wrap=True)


def _print_table(console: Console, title: str, frame: pl.DataFrame, columns: Sequence[str]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        numeric = frame.schema[name].is_numeric()
        table.add_column(Text(_inert(column_header(name))), justify="right" if numeric else "left")
    for row in frame.select(columns).head(_MOST_ROWS).iter_rows():
        table.add_row(*[Text(_inert(_cell(name, value))) for name, value in zip(columns, row, strict=True)])
    console.print(table)
    if frame.height > _MOST_ROWS:
        console.print(Text(f"{frame.height - _MOST_ROWS:,} more rows are in the files."))


def _cell(name: str, value: object) -> str:
    return format_value(name, value)


def _inert(text: str) -> str:
    """Text without control characters, so that a log cannot steer the terminal."""
    return _CONTROL.sub("�", text)
