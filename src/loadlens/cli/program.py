"""The commands of the command line: parses, calls, prints, and maps errors to exit codes."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from loadlens import __version__
from loadlens.cli.analyze import analyze_command, demo_command
from loadlens.cli.check import check
from loadlens.cli.compare import compare_command
from loadlens.cli.cost import cost_command
from loadlens.cli.endings import (
    INTERNAL_ERROR,
    Interrupt,
    errors_as_exit_codes,
    ignore_signals,
    native_errors_kept,
    output_flushed,
    say,
    take_signals,
    tell,
)
from loadlens.cli.grouped_commands import HELP_WIDTH, GroupedCommand, spelt_out
from loadlens.cli.option_groups import AsJson, FileOptions, LogOptions, Logs, MemoryOptions, Overwrite, Quiet
from loadlens.cli.small_commands import merge_command, prices_command, profile_command
from loadlens.cli.terminal import print_inspection, print_proposal
from loadlens.errors import InputError
from loadlens.messages import counted, json_text
from loadlens.publish.publishing import refuse_file
from loadlens.storage.location import size_of, target
from loadlens.tasks.convert import convert, rejects_beside
from loadlens.tasks.inspection import Inspection, Proposal, inspect_log, propose_map

__all__ = ["app", "main"]

_TELL_WARNINGS = ("analyze_command", "check", "compare_command", "inspect_command")
_PASSES_OVER = "loadlens.logs.opening"


class _Commands(TyperGroup):
    """The commands, whose errors become exit codes: those of their help and options too."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Understands the options of all commands."""
        with errors_as_exit_codes():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        with errors_as_exit_codes():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": HELP_WIDTH},
    help="Turns very large load-test logs into decisions: exact latency, throughput, errors and cost.",
)


@spelt_out
def inspect_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A log.", rich_help_panel="Input")],
    *,
    how: FileOptions,
    memory: MemoryOptions,
    as_json: AsJson = False,
) -> None:
    """Say what a log is and what it cannot tell.

    Shows its format, columns with units, clock, time span, natural key, first rows and warnings. For a
    table of no known format it proposes a map of its columns.
    """
    reading = how.reading()
    try:
        found: Inspection | Proposal = inspect_log(file, reading, memory_limit=memory.memory_bytes)
    except InputError:
        proposal = propose_map(file, reading)
        if proposal is None:
            raise
        found = proposal
    if as_json:
        typer.echo(json_text(found.document), nl=False)
    elif isinstance(found, Proposal):
        print_proposal(found)
    else:
        print_inspection(found)


ParquetFile = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Parquet file to write, on the disk or s3://...",
        rich_help_panel="Output",
    ),
]


@spelt_out
def convert_command(
    inputs: Logs,
    *,
    out: ParquetFile,
    logs: LogOptions,
    memory: MemoryOptions,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write logs as one Parquet file of canonical columns.

    It analyses to the same figures.
    """
    reading = logs.reading()
    place = target(out, reading.storage_options)
    refuse_file(place, [logs.map_file], overwrite=True)
    limit = memory.memory_bytes
    findings = convert(inputs, place, reading=reading, overwrite=overwrite, memory_limit=limit)
    if not quiet:
        typer.echo(f"{place}: {counted(size_of(place), 'byte')}")
        if findings.rejected:
            typer.echo(f"{rejects_beside(place)}: {counted(findings.rejected, 'rejected row')}")


class _ToStderr(logging.Handler):
    """Tells what is found on the way, but for files passed over where the command itself tells these."""

    def __init__(self, *, is_told: bool) -> None:
        super().__init__()
        if is_told:
            self.addFilter(lambda record: record.name != _PASSES_OVER)

    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {record.getMessage()}")


@contextmanager
def _logged_to_stderr(*, is_told: bool) -> Iterator[None]:
    logger, handler = logging.getLogger("loadlens"), _ToStderr(is_told=is_told)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _warned(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, which tells warnings of logs where it has no other place for them."""

    @wraps(command)
    def run(*arguments: object, **options: object) -> None:
        is_told = command.__name__ in _TELL_WARNINGS and not (options.get("quiet") or options.get("as_json"))
        with _logged_to_stderr(is_told=is_told):
            command(*arguments, **options)

    return run


_COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "analyze": analyze_command,
    "inspect": inspect_command,
    "convert": convert_command,
    "demo": demo_command,
    "check": check,
    "compare": compare_command,
    "cost": cost_command,
    "prices": prices_command,
    "profile": profile_command,
    "merge": merge_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, cls=GroupedCommand)(_warned(_command))


def _version(value: bool) -> None:  # the signature that typer calls
    if value:
        typer.echo(f"loadlens {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line."""
    interrupt = Interrupt()
    with native_errors_kept():
        code = _exit_code(interrupt)
        if code is None:
            gc.collect()  # frames that the interrupt came through may hold temporary folders
            say(str(interrupt))
            # Threads of a query that was broken off may crash in a Python that goes down.
            os._exit(interrupt.exit_code)
        if not output_flushed():
            code = INTERNAL_ERROR
    sys.exit(code)


def _exit_code(interrupt: Interrupt) -> int | None:
    """Runs the command line; what it is to exit with, or None if a signal has ended it."""
    code: int | None = None
    try:
        try:
            take_signals(interrupt)
            app()
        finally:
            ignore_signals(interrupt)
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException as error:  # noqa: BLE001  # as where typer itself could not print something
        code = tell(error)
    ignore_signals(interrupt)  # again, as a second interrupt may have come in the way of the first time
    # Typer makes an exit of an interrupt, and compiled code may make any error of it.
    is_interrupted = code == Interrupt().exit_code or (code != 0 and interrupt.number is not None)
    return None if is_interrupted else code
