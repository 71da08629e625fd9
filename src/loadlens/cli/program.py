"""The commands of the command line: parses, calls, prints, and maps errors to exit codes."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

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
from loadlens.cli.grouped_commands import HELP_WIDTH, GroupedCommand, quick

__all__ = ["app", "import_command", "main"]

_COMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "analyze": ("analyze", "analyze_command", "Analyse logs into summaries, charts and a report."),
    "inspect": ("small_commands", "inspect_command", "Say what a log is and what it cannot tell."),
    "convert": (
        "small_commands",
        "convert_command",
        "Write logs as one Parquet file of canonical columns.",
    ),
    "demo": ("analyze", "demo_command", "Simulate an endpoint under load, then analyse the result."),
    "check": ("check", "check", "Judge gates on logs, for pipelines."),
    "compare": ("compare", "compare_command", "Compare two runs key by key, with intervals and verdicts."),
    "cost": ("cost", "cost_command", "Price each configuration, against instances too, and choose one."),
    "prices": ("small_commands", "prices_command", "List the built-in price tables, or show one."),
    "profile": ("small_commands", "profile_command", "Write the profile of logs, a small file."),
    "merge": ("small_commands", "merge_command", "Merge profiles into that of all their logs together."),
}
"""Of each command its module, its function and what it does: only that which runs is imported."""

_SETTINGS: Final = {"max_content_width": HELP_WIDTH}
_TELL_WARNINGS: Final = ("analyze", "check", "compare", "inspect")
_PASSES_OVER: Final = "loadlens.logs.opening"


class _LazyCommands(Mapping[str, Any]):
    """The commands by name, each imported when it is asked for.

    Args:
        loaded: further ones, which are there.
    """

    def __init__(self, loaded: Mapping[str, Any]) -> None:
        self._loaded = dict(loaded)

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, function, _ = _COMMANDS[name]
            single = typer.Typer(
                add_completion=False,
                rich_markup_mode=None,
                context_settings={"max_content_width": HELP_WIDTH},
            )
            command = getattr(import_module(f"loadlens.cli.{module}"), function)
            single.command(name, cls=GroupedCommand)(_warned(command, name))
            self._loaded[name] = typer.main.get_command(single)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**_COMMANDS, **self._loaded})

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Commands(TyperGroup):
    """The commands, whose errors become exit codes: those of their help and options too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _LazyCommands(self.commands)  # type: ignore[assignment]  # is only read

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of all commands."""
        return quick(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the signature that typer calls
        """The names of the commands."""
        return list(_COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # likewise
        """Writes what each command does."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (*_, told) in _COMMANDS.items()])

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
    context_settings=_SETTINGS,
    help="Turns very large load-test logs into decisions: exact latency, throughput, errors and cost.",
)


def import_command(arguments: Sequence[str]) -> None:
    """Imports the command that a command line names, if it names one, with all that it needs."""
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    if name in _COMMANDS:
        import_module(f"loadlens.cli.{_COMMANDS[name][0]}")


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


def _warned(command: Callable[..., None], name: str) -> Callable[..., None]:
    """The same command, which tells warnings of logs where it has no other place for them."""

    @wraps(command)
    def run(*arguments: object, **options: object) -> None:
        is_told = name in _TELL_WARNINGS and not (options.get("quiet") or options.get("as_json"))
        with _logged_to_stderr(is_told=is_told):
            command(*arguments, **options)

    return run


def _version(value: bool) -> None:  # the signature that typer calls
    if value:
        from loadlens import __version__

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
    gc.freeze()  # what is left goes with the process, and need not be looked through before
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
