"""What the command line prints: short result tables on standard output, warnings on standard error."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from loadlens.gates.verdict_files import summary_line
from loadlens.logs import REJECTS_FILE
from loadlens.messages import counted, notes_last, visible
from loadlens.report.columns import column_header, format_key, format_value
from loadlens.report.comparison_report import verdict_sentence
from loadlens.report.sections import ALL_CALLS, KEPT_CALLS, totals_of
from loadlens.schema import CONFIGURATION_COLUMNS, LATENCY
from loadlens.tasks.analysis_folder import LogAnalysis, ToolkitAnalysis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from loadlens.cost.break_even import CostAnalysis
    from loadlens.storage.location import Location
    from loadlens.summaries import InvocationStatistics
    from loadlens.summaries.load import Load
    from loadlens.tasks.decisions import Decisions
    from loadlens.tasks.inspection import Inspection, Proposal

__all__ = [
    "MOST_ROWS",
    "console_of_width",
    "print_frame",
    "print_inspection",
    "print_line",
    "print_results",
]

_WIDTH_WITHOUT_TERMINAL = 160
MOST_ROWS = 40
_MOST_REASONS = 10
_LATENCIES = (f"{LATENCY}_median", f"{LATENCY}_mean", f"{LATENCY}_p99")

_SUMMARY_COLUMNS = ("num_invocations", "error_rate", *_LATENCIES, "tps_p50", "throughput")


class _Console(Console):
    """Standard output; where that is closed, it says so as other files do, and does not end the process."""

    def on_broken_pipe(self) -> None:
        """Raises the error that is being dealt with."""
        raise  # noqa: PLE0704  # rich calls this where it has caught the error


def console_of_width(width: int = _WIDTH_WITHOUT_TERMINAL) -> Console:
    """Standard output, ``width`` characters wide where it is no terminal."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=width)


def print_frame(
    title: str,
    frame: pl.DataFrame,
    *,
    currency: str = "USD",
    rest: str = "the files",
    groups: Mapping[str, str] | None = None,
    num_keys: int = 0,
    totals: Mapping[str, object] | None = None,
) -> None:
    """Prints the first rows of a frame; headers and formats follow from its column names.

    Args:
        title: stands above the table.
        frame: the rows.
        currency: ISO 4217 code of columns that hold money.
        rest: where the rows are that are not shown.
        groups: what stands above the header of a column, by its name.
        num_keys: how many leading columns name the row.
        totals: the figures of a last row by column; none for no such row.
    """
    forms = [format_key if number < num_keys else format_value for number in range(frame.width)]
    console = console_of_width()
    table = Table(title=Text(visible(title)), title_justify="left", title_style="bold")
    for name, dtype in frame.schema.items():
        above = f"{groups[name]}\n" if groups and name in groups else ""
        header = Text(f"{above}{visible(column_header(name, currency))}")
        table.add_column(header, justify="right" if dtype.is_numeric() else "left")
    for row in frame.head(MOST_ROWS).iter_rows():
        cells = zip(forms, frame.columns, row, strict=True)
        table.add_row(*[Text(visible(form(name, value))) for form, name, value in cells])
    if totals:
        table.add_section()
        named = [""] * (num_keys - 1)
        figures = [format_value(name, totals[name]) if name in totals else "" for name in frame.columns]
        table.add_row("Total", *named, *figures[num_keys:])
    console.print(table)
    if frame.height > MOST_ROWS:
        console.print(
            Text(f"{counted(frame.height - MOST_ROWS, 'more row is', 'more rows are')} in {visible(rest)}.")
        )


def print_line(text: str) -> None:
    """Prints a line, wrapped by the terminal alone."""
    console_of_width().print(Text(visible(text)), soft_wrap=True)


def print_warnings(sentences: Iterable[str]) -> None:
    """Prints what a reader has to know, a line each, to standard error."""
    console = Console(highlight=False, stderr=True)
    for sentence in sentences:
        console.print(Text(f"Warning: {visible(sentence)}"), soft_wrap=True)


def print_results(analysis: ToolkitAnalysis | LogAnalysis, out: Location) -> None:
    """Prints the main figures of ``analysis`` and where its files are."""
    console = console_of_width()
    if isinstance(analysis, LogAnalysis):
        _print_summary("Invocations", analysis.summary, analysis.summary.by, _SUMMARY_COLUMNS)
        report = out / "report.html"
        print_warnings(analysis.findings.sentences(analysis.summary.seconds_without_completion))
        _print_load(analysis.summary.load)
        _print_decisions(analysis.decisions)
        if analysis.findings.rejected:
            where = visible(str(out / REJECTS_FILE))
            console.print(Text(f"Rejected rows: {analysis.findings.rejected:,}: {where}"), soft_wrap=True)
    else:
        _print_toolkit(console, analysis)
        print_warnings(analysis.notes)
        report = out / "benchmarking_report" / "benchmarking_report.html"
    error = analysis.relative_error
    if error:
        console.print(Text(f"Not exact: percentiles are off by at most {error:.1%}."))
    if analysis.spilled_bytes:
        size = decimal(analysis.spilled_bytes)
        console.print(Text(f"Temporary file, now gone: {size}."))
    console.print(Text(f"Report: {visible(str(report))}"), soft_wrap=True)


def _print_load(load: Load) -> None:
    """What tells of a wrong log, and where throughput ends, if the log tells."""
    print_warnings([load.warning] if load.warning else [])
    if load.scalability.reason is None:
        print_line(f"Load: {load.headline}. {load.scalability.sentence}")


def _print_decisions(decisions: Decisions) -> None:
    """A line for each answer; the report has all of it."""
    if decisions.gates:
        print_line(f"Gates: {summary_line(decisions.gates)}.")
    if decisions.comparison:
        found = decisions.comparison
        of_base = [f"base: {sentence}" for sentence in found.base.sentences]
        print_warnings(notes_last([*of_base, *found.remarks]))
        print_line(f"Compared with {found.base.name}: {verdict_sentence(found)}")
    if decisions.costing:
        print_line(f"Choice: {decisions.costing.choice.reason}")


def _print_toolkit(console: Console, analysis: ToolkitAnalysis) -> None:
    if analysis.stability:
        calls = ("successful_invocations", "error_rate", *_LATENCIES)
        _print_summary("Stability", analysis.stability, ("memory_size",), calls)
    if analysis.concurrency:
        _print_summary("Concurrency", analysis.concurrency, CONFIGURATION_COLUMNS, _SUMMARY_COLUMNS)
    if analysis.cost:
        cost = analysis.cost
        columns = ["memory_size", "average_latency", "cost_per_1M_invocations"]
        _print_columns("Cost", cost.metrics_with_cost, columns, cost.prices.currency)
        console.print(
            Text(f"Recommended: {cost.optimal_memory_config:,} MB. {_break_even(cost)}"), soft_wrap=True
        )
    else:
        console.print(Text(f"No cost part: {visible(analysis.no_cost_reason or '')}"), soft_wrap=True)


def _break_even(cost: CostAnalysis) -> str:
    if not math.isfinite(cost.break_even_invocations):
        return "At these prices an invocation costs nothing."
    invocations = math.floor(cost.break_even_invocations)
    instance = visible(cost.comparable_instance)
    return f"Up to {invocations:,} invocations a month it costs less than {instance}."


def _print_summary(
    title: str, part: InvocationStatistics, key: Sequence[str], columns: Sequence[str]
) -> None:
    """Prints the main figures by key; where calls were removed, which figures leave them out."""
    removes = part.outliers != "none"
    outliers = "outliers_removed" if removes else "outliers_above_fence"
    shown = [name for name in (*key, *columns, outliers) if name in part.summary.columns]
    groups = {}
    if removes:
        latencies = {name: ALL_CALLS for name in shown if name.startswith(LATENCY)}
        groups = latencies | dict.fromkeys(part.kept_columns, KEPT_CALLS)
    figures = part.summary.select(shown)
    if figures.height > MOST_ROWS and "num_invocations" in shown:
        title = f"{title}: those with the most calls"
        figures = figures.sort("num_invocations", descending=True, maintain_order=True)
    print_frame(
        title, figures, groups=groups, num_keys=len(set(key) & set(shown)), totals=totals_of(part, figures)
    )


def _print_columns(title: str, frame: pl.DataFrame, columns: Sequence[str], currency: str = "USD") -> None:
    """Prints those of ``columns`` that there are: percentiles are the user's choice."""
    print_frame(title, frame.select(name for name in columns if name in frame.columns), currency=currency)


def print_inspection(found: Inspection) -> None:
    """Prints what a log is."""
    console = console_of_width()
    facts = {
        "File": found.path,
        "Format": f"{found.format[1]} ({found.format[0]})",
        "Clock": found.clock or "not told",
        "Rows": f"{found.rows:,}",
        "Time span": _span(found),
        "Natural key": ", ".join(found.key) or "none",
    }
    if found.findings.rejected:
        facts["Rejected rows"] = f"{found.findings.rejected:,}"
    reasons = found.findings.reasons.most_common(_MOST_REASONS)
    facts |= {f"Rejected: {reason}": f"{count:,}" for reason, count in reasons}
    facts |= {f"Left out: {what}": f"{count:,}" for what, count in found.findings.left_out.items()}
    _print_pairs(console, "What it is", facts.items())
    if found.meaning:
        _print_pairs(console, "Columns of the file", found.meaning)
    _print_pairs(
        console,
        "Canonical columns",
        ((name, f"{dtype} {unit}".strip()) for name, dtype, unit in found.columns),
    )
    if found.sources:
        _print_pairs(console, "Logs in the profile", found.sources)
    if found.first.height:
        _print_first(console, found.first)
    for sentence in found.findings.sentences():
        console.print(Text(f"Warning: {visible(sentence)}"), soft_wrap=True)


def print_proposal(found: Proposal) -> None:
    """Prints a map of columns that may fit a table of no known format."""
    console = console_of_width()
    _print_pairs(
        console, "What it is", {"File": found.path, "Format": f"no known one: {found.title}"}.items()
    )
    _print_pairs(console, "Columns of the file, and their first values", found.columns)
    print_line("A map that may fit; mend what is wrong:")
    print_line(found.command)
    for doubt in found.doubts:
        print_line(f"Unsure: {doubt}")
    print_line(f"Read so: {found.outcome}")


def _print_first(console: Console, rows: pl.DataFrame) -> None:
    first = Table(title="First rows", title_justify="left")
    for name in rows.columns:
        first.add_column(Text(visible(name)))
    for row in rows.iter_rows():
        first.add_row(*[Text("–" if cell is None else visible(str(cell))) for cell in row])
    console.print(first)


def _print_pairs(console: Console, title: str, pairs: Iterable[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in pairs:
        table.add_row(Text(visible(name)), Text(visible(value)))
    console.print(table)


def _span(found: Inspection) -> str:
    if found.first_s is None or found.last_s is None:
        return "no times"
    span = f"{found.last_s - found.first_s:,.3f} s"
    if found.clock != "epoch":
        return span
    first, last = (
        datetime.fromtimestamp(time, tz=UTC).isoformat(timespec="milliseconds")
        for time in (found.first_s, found.last_s)
    )
    return f"{span}, from {first} to {last}"
