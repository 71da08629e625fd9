"""``loadlens check``: judges gates on logs, for pipelines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.table import Table
from rich.text import Text

from loadlens.cli.grouped_commands import spelt_out
from loadlens.cli.option_groups import (
    GateOptions,
    KeyOptions,
    LogOptions,
    Logs,
    Outliers,
    PrintOptions,
    RunningOptions,
    SafeCsv,
    excerpts_shown,
    fence_of,
    refuse_results_folder,
)
from loadlens.cli.pipeline_files import Junit, MarkdownFiles, written_file
from loadlens.cli.progress_display import progress_display
from loadlens.cli.terminal import MOST_ROWS, console_of_width, print_line, print_warnings
from loadlens.engine import ask
from loadlens.errors import GateFailedError, InputError, UsageError
from loadlens.gates import GateCheck, Verdict, check_document, gates_question, junit_xml, markdown_text
from loadlens.gates.verdict_files import detail, failures, gate_text, summary_line
from loadlens.logs import Findings, TooManyRejectsError, open_log
from loadlens.messages import counted, visible
from loadlens.publish.publishing import publish_files, write_text
from loadlens.report.columns import column_header, format_key

__all__ = ["check"]


Rejects = Annotated[Path | None, written_file("CSV file for rejected rows; replaces one that is there.")]


@spelt_out
@excerpts_shown()
def check(
    inputs: Logs,
    *,
    logs: LogOptions,
    key: KeyOptions,
    outliers: Outliers = None,
    slos: GateOptions,
    running: RunningOptions,
    rejects: Rejects = None,
    safe_csv: SafeCsv = False,
    junit: Junit = None,
    files: MarkdownFiles,
    output: PrintOptions,
) -> None:
    """Judge gates on logs, for pipelines.

    Exit codes: 0 all gates hold, 1 one fails, 2 a gate or an option is wrong, 3 the logs cannot be read.
    """
    reading = logs.reading(running.spill_folder)
    if not slos.slo and slos.slo_file is None:
        raise UsageError("no gates: pass --slo 'p99 < 300ms', or --slo-file with a TOML file")
    gates = slos.gates()
    refuse_results_folder(inputs, reading)
    log = open_log(inputs, reading=reading)
    files.refuse([*(file.path for file in log.files), slos.slo_file, logs.map_file], junit, rejects)
    with (
        progress_display(quiet=output.quiet) as display,
        running.workforce(display.on_progress) as options,
        _rejects_kept(rejects, safe=safe_csv),
    ):
        found = ask(log, gates_question(log, gates, key.columns, outliers=fence_of(outliers)), options)
    rejected = log.findings.unjudged
    files.publish(
        lambda: markdown_text(found, rejected=rejected),
        (junit, lambda path: write_text(path, junit_xml(found, inputs, rejected=rejected))),
        (rejects, partial(log.findings.write_rejects, safe=safe_csv)),
    )
    output.show(
        lambda: {**check_document(found, inputs), **log.findings.document()},
        lambda: _print(found, log.findings, rejects),
    )
    if not found.holds:
        raise GateFailedError(*failures(found), summary_line(found))


@contextmanager
def _rejects_kept(path: Path | None, *, safe: bool) -> Iterator[None]:
    """Writes the rejected rows of a log that has too many of them, or says how to get at them."""
    try:
        yield
    except TooManyRejectsError as error:
        if path is None:
            raise InputError(*error.problems, f"--rejects FILE writes {error.findings.listed}") from error
        publish_files([(path, partial(error.findings.write_rejects, safe=safe))])
        raise InputError(*error.problems, f"{path}: has {error.findings.listed}") from error


def _print(found: GateCheck, findings: Findings, rejects: Path | None) -> None:
    console = console_of_width()
    # Where not all have room, those that failed come first.
    verdicts = found.verdicts
    if len(verdicts) > MOST_ROWS:
        verdicts = tuple(sorted(verdicts, key=lambda verdict: verdict.holds))
    console.print(_table(found.by, verdicts[:MOST_ROWS]))
    if len(verdicts) > MOST_ROWS:
        console.print(Text(f"{counted(len(verdicts) - MOST_ROWS, 'more row')}: --json has all of them."))
    print_warnings(findings.sentences())
    if findings.rejected:
        print_line(f"Rejected rows: {findings.rejected:,}: {rejects or '--rejects FILE writes them'}")
    if findings.unjudged:
        print_line(f"Not judged, as they were rejected: {counted(findings.unjudged, 'row')}")
    if found.relative_error:
        print_line(f"Not exact: percentiles are off by at most {found.relative_error:.1%}.")
    if found.holds:
        print_line(f"{summary_line(found)}.")


def _table(by: Sequence[str], verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Gates", title_justify="left", title_style="bold")
    details = any(detail(verdict) for verdict in verdicts)
    headers = ["", "Gate", *map(column_header, by), "Value", "Calls", *(["Detail"] if details else [])]
    for number, header in enumerate(headers):
        is_figure = header in {"Value", "Calls"} and number > len(by) + 1
        table.add_column(Text(visible(header)), justify="right" if is_figure else "left")
    for verdict in verdicts:
        outcome = Text("holds", style="green") if verdict.holds else Text("FAILED", style="bold red")
        cells = [
            gate_text(verdict.gate),
            *(format_key(name, verdict.key[name]) if verdict.key else "all" for name in by),
            verdict.gate.shown(verdict.value),
            f"{verdict.calls:,}",
            *([detail(verdict)] if details else []),
        ]
        table.add_row(outcome, *[Text(visible(cell)) for cell in cells])
    return table
