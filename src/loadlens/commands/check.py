"""``loadlens check``: judges gates on logs, for pipelines."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from loadlens.commands.options import (
    By,
    Cluster,
    Force,
    Format,
    KeepQuery,
    KeyFromName,
    LabelTemplate,
    LevelChoice,
    LevelOption,
    Logs,
    Map,
    MapFile,
    MaxRejects,
    MemoryLimit,
    NoHeader,
    Outliers,
    Quiet,
    SafeCsv,
    SpillFolder,
    Storage,
    Workers,
    fence_of,
    local_file,
    reading_of,
    refuse_results_folder,
    workforce_of,
)
from loadlens.documents import json_text
from loadlens.engine import ask
from loadlens.errors import GateError, GateFailedError, InputError, UsageError
from loadlens.gates import (
    Gate,
    GateCheck,
    Verdict,
    check_document,
    gates_question,
    junit_xml,
    markdown_text,
    parse_gates,
    read_gates,
)
from loadlens.gates.output import detail, failures, gate_text, summary_line
from loadlens.publish import publish_files, refuse_files, write_text
from loadlens.report.columns import column_header, format_key
from loadlens.sources import Findings, TooManyRejectsError, open_log
from loadlens.sources.wording import counted
from loadlens.terminal import MOST_ROWS, console_of_width, print_line, print_warnings, progress_display
from loadlens.visible import visible

__all__ = ["Slo", "SloFile", "check", "excerpts_shown", "gates_of"]

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
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FILE",
        help="Gates as a TOML file of [[gate]] tables.",
        show_default=False,
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FILE",
        help="JUnit XML file to write; replaces one that is there.",
        show_default=False,
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FILE",
        help="Markdown file to write; replaces one that is there.",
        show_default=False,
    ),
]
Rejects = Annotated[
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FILE",
        help="CSV file to write rejected rows to; replaces one that is there.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def check(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Logs,
    slo: Slo = None,
    slo_file: SloFile = None,
    by: By = None,
    outliers: Outliers = None,
    memory_limit: MemoryLimit = None,
    spill_folder: SpillFolder = None,
    cluster: Cluster = None,
    workers: Workers = None,
    log_format: Format = None,
    column_map: Map = None,
    map_file: MapFile = None,
    no_header: NoHeader = False,
    level: LevelOption = LevelChoice.REQUESTS,
    keep_query: KeepQuery = False,
    label_template: LabelTemplate = False,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    force: Force = False,
    storage_option: Storage = None,
    rejects: Rejects = None,
    safe_csv: SafeCsv = False,
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge gates on logs, for pipelines.

    Exit codes: 0 all gates hold, 1 one fails, 2 a gate or an option is wrong, 3 the logs cannot be read.
    """
    reading = reading_of(
        log_format,
        column_map,
        map_file,
        key_from_name,
        max_rejects,
        force=force,
        spill_folder=spill_folder,
        no_header=no_header,
        level=level,
        keep_query=keep_query,
        label_template=label_template,
        storage_option=storage_option,
    )
    with excerpts_shown():
        gates = gates_of(slo or (), slo_file)
        refuse_results_folder(inputs, reading)
        log = open_log(inputs, reading=reading)
        outputs = [path for path in (junit, markdown, rejects) if path is not None]
        refuse_files(outputs, [*(file.path for file in log.files), slo_file, map_file])
        kept = _rejects_kept(rejects, safe=safe_csv)
        with (
            progress_display(quiet=quiet) as display,
            workforce_of(cluster, workers, memory_limit, spill_folder, display.on_progress) as options,
            kept,
        ):
            found = ask(log, gates_question(log, gates, by or None, outliers=fence_of(outliers)), options)
    rejected = log.findings.unjudged
    files: list[tuple[Path, Callable[[Path], None]]] = []
    if junit is not None:
        files.append((junit, partial(write_text, text=junit_xml(found, inputs, rejected=rejected))))
    if markdown is not None:
        files.append((markdown, partial(write_text, text=markdown_text(found, rejected=rejected))))
    if rejects is not None:
        files.append((rejects, partial(log.findings.write_rejects, safe=safe_csv)))
    publish_files(files)
    if as_json:
        typer.echo(json_text({**check_document(found, inputs), **log.findings.document()}), nl=False)
    elif not quiet:
        _print(found, log.findings, rejects)
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


@contextmanager
def excerpts_shown() -> Iterator[None]:
    """Shows bad gates with a caret under the mistake; the message itself is left to the caller."""
    try:
        yield
    except GateError as error:
        for excerpt in error.excerpts:
            typer.echo("\n".join(visible(line) for line in excerpt.split("\n")), err=True)
        raise


def gates_of(texts: Sequence[str], path: Path | None) -> tuple[Gate, ...]:
    """The gates of the command line and of a file.

    Raises:
        GateError: some cannot be understood.
        UsageError: there are none.
    """
    if not texts and path is None:
        raise UsageError("no gates: pass --slo 'p99 < 300ms', or --slo-file with a TOML file")
    return (*parse_gates(texts), *(read_gates(path) if path else ()))


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
            *(format_key(name, value) for name, value in verdict.key.items()),
            verdict.gate.shown(verdict.value),
            f"{verdict.calls:,}",
            *([detail(verdict)] if details else []),
        ]
        table.add_row(outcome, *[Text(visible(cell)) for cell in cells])
    return table
