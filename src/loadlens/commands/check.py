"""``loadlens check``: judges gates on logs, for pipelines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from loadlens.analyze import json_text
from loadlens.commands.options import By, Format, KeyFromName, Logs, Map, MaxRejects, Quiet
from loadlens.errors import GateError, GateFailedError, UsageError
from loadlens.gates import (
    Gate,
    GateCheck,
    Verdict,
    check_document,
    check_gates,
    junit_xml,
    markdown_text,
    parse_gates,
    read_gates,
    write_texts,
)
from loadlens.gates.output import detail, failures, gate_text, summary_line
from loadlens.report.columns import column_header, format_value
from loadlens.sources import Reading, find_toolkit_folder, open_log
from loadlens.terminal import MOST_ROWS, console_of_width, inert, progress_display

__all__ = ["check"]

Slo = Annotated[
    list[str] | None,
    typer.Option(
        "--slo",
        help="Gate, e.g. 'p99 < 300ms', 'error_rate < 1%' or '99% < 300ms for label=pay'; repeatable.",
        metavar="GATE",
        show_default=False,
    ),
]
SloFile = Annotated[
    Path | None, typer.Option(help="Gates as a TOML file of [[gate]] tables.", show_default=False)
]
Junit = Annotated[
    Path | None, typer.Option(help="JUnit XML file to write; replaces one that is there.", show_default=False)
]
Markdown = Annotated[
    Path | None, typer.Option(help="Markdown file to write; replaces one that is there.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def check(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Logs,
    slo: Slo = None,
    slo_file: SloFile = None,
    by: By = None,
    log_format: Format = None,
    column_map: Map = None,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge gates on logs: exit 0 if all hold, 1 if one fails, 2 for a bad gate, 3 for bad input."""
    reading = Reading.of(
        format=log_format, column_map=column_map, key_from_name=key_from_name, max_rejects=max_rejects
    )
    with _excerpts_shown():
        gates = _gates(slo or (), slo_file)
        _refuse_results_folder(inputs)
        log = open_log(inputs, reading=reading)
        with progress_display(quiet=quiet) as display:
            found = check_gates(log, gates, by or (), on_progress=display.on_progress)
    texts: list[tuple[Path, str]] = []
    if junit is not None:
        texts.append((junit, junit_xml(found, inputs)))
    if markdown is not None:
        texts.append((markdown, markdown_text(found)))
    write_texts(texts, [*(file.path for file in log.files), *([slo_file] if slo_file else [])])
    if as_json:
        typer.echo(json_text(check_document(found, inputs)), nl=False)
    elif not quiet:
        _print(found)
    if not found.holds:
        raise GateFailedError(*failures(found), summary_line(found))


@contextmanager
def _excerpts_shown() -> Iterator[None]:
    """Shows bad gates with a caret under the mistake; the message itself is left to the caller."""
    try:
        yield
    except GateError as error:
        for excerpt in error.excerpts:
            typer.echo("\n".join(inert(line) for line in excerpt.split("\n")), err=True)
        raise


def _gates(texts: Sequence[str], path: Path | None) -> tuple[Gate, ...]:
    if not texts and path is None:
        raise UsageError("no gates: pass --slo 'p99 < 300ms', or --slo-file with a TOML file")
    return (*parse_gates(texts), *(read_gates(path) if path else ()))


def _refuse_results_folder(inputs: Sequence[str]) -> None:
    folders = [folder for item in inputs if (folder := find_toolkit_folder(item))]
    if folders:
        raise UsageError(f"{folders[0].path}: is a results folder; name one of the invocation logs in it")


def _print(found: GateCheck) -> None:
    console = console_of_width()
    # Where not all have room, those that failed come first.
    verdicts = found.verdicts
    if len(verdicts) > MOST_ROWS:
        verdicts = tuple(sorted(verdicts, key=lambda verdict: verdict.holds))
    console.print(_table(found.by, verdicts[:MOST_ROWS]))
    if len(verdicts) > MOST_ROWS:
        console.print(Text(f"{len(verdicts) - MOST_ROWS:,} more rows: --json has all of them."))
    if found.holds:
        console.print(Text(f"{summary_line(found)}."))


def _table(by: Sequence[str], verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Gates", title_justify="left", title_style="bold")
    details = any(detail(verdict) for verdict in verdicts)
    headers = ["", "Gate", *map(column_header, by), "Value", "Calls", *(["Detail"] if details else [])]
    for number, header in enumerate(headers):
        is_figure = header in {"Value", "Calls"} and number > len(by) + 1
        table.add_column(Text(inert(header)), justify="right" if is_figure else "left")
    for verdict in verdicts:
        outcome = Text("holds", style="green") if verdict.holds else Text("FAILED", style="bold red")
        cells = [
            gate_text(verdict.gate),
            *(format_value(name, value) for name, value in verdict.key.items()),
            verdict.gate.shown(verdict.value),
            f"{verdict.calls:,}",
            *([detail(verdict)] if details else []),
        ]
        table.add_row(outcome, *[Text(inert(cell)) for cell in cells])
    return table
