"""How the command line ends: errors as one line and an exit code; 1 means a verdict and nothing else."""

import errno
import faulthandler
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import typer
from typer.exceptions import TyperException

from loadlens.errors import LoadlensError
from loadlens.visible import visible

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # a module, or none

__all__ = ["INTERNAL_ERROR", "errors_as_exit_codes", "native_errors_kept", "output_flushed", "say"]

INTERNAL_ERROR: Final = 70  # as sysexits.h has it

_THREADS: Final = "POLARS_MAX_THREADS"
_MOST_CHARACTERS: Final = 200
_FEW_FILES: Final = 64
_SHORT_OF: Final = {
    errno.EMFILE: "too many open files; raise the limit of this process (ulimit -n), or name fewer files",
    errno.ENFILE: "too many open files on this machine; end other programs, or try again later",
    errno.ENOMEM: "out of memory; set --memory-limit lower, or free some memory",
}
"""What a machine may be short of, whoever says so, and what to do."""


def say(line: str) -> None:
    """Prints a line on standard error, where that takes any."""
    with suppress(OSError, ValueError):
        typer.echo(f"loadlens: {visible(' '.join(line.split()))}", err=True)


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Says each problem of an error in a line of its own, and raises an exit."""
    try:
        _refuse_no_threads()
        yield
    except (typer.Exit, typer.Abort, TyperException, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # whatever it is, panics of Polars too, it is no verdict
        lines, code = _told(error)
        for line in lines:
            say(line)
        raise typer.Exit(code) from None


def _refuse_no_threads() -> None:
    """Without threads Polars panics; what is no number it warns of, and ignores."""
    threads = os.environ.get(_THREADS, "")
    if threads.isdecimal() and not int(threads):
        raise _WrongEnvironmentError(f"{_THREADS}: got {threads}, expected 1 or more, or unset")


class _WrongEnvironmentError(LoadlensError):
    exit_code = INTERNAL_ERROR


def _told(error: BaseException) -> tuple[tuple[str, ...], int]:
    """The lines and the exit code of an error."""
    short_of = _short_of(error)
    if short_of:
        return (short_of,), INTERNAL_ERROR
    if isinstance(error, LoadlensError):
        return error.problems, error.exit_code
    if isinstance(error, OSError) and error.filename is None and error.errno in {errno.EPIPE, errno.ENOSPC}:
        return (_of_output(error),), INTERNAL_ERROR
    if _has_few_files():  # compiled code tells it in many ways
        return (_SHORT_OF[errno.EMFILE],), INTERNAL_ERROR
    what = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_CHARACTERS]
    where = _details_of(error)
    return (f"internal error: {what}; this is a mistake of loadlens; details: {where}",), INTERNAL_ERROR


def _short_of(error: BaseException) -> str | None:
    """What to do where the machine is short of something; Polars and others tell it in the text alone."""
    if isinstance(error, MemoryError):
        return _SHORT_OF[errno.ENOMEM]
    text = str(error)
    return next(
        (
            remedy
            for number, remedy in _SHORT_OF.items()
            if os.strerror(number) in text or f"(os error {number})" in text
        ),
        None,
    )


def _has_few_files() -> bool:
    return resource is not None and 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _FEW_FILES


def _of_output(error: OSError) -> str:
    return f"standard output cannot be written: {error.strerror}; the results are not all shown"


def _details_of(error: BaseException) -> str:
    """Writes what went wrong into a file; where that is."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="loadlens-error-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.writelines(traceback.format_exception(error))
            return file.name
    except OSError:
        return "could not be written"


@contextmanager
def native_errors_kept() -> Iterator[None]:
    """Keeps what compiled code prints on standard error, such as Rust's panics, from the terminal.

    What Python prints is shown as before, as is where compiled code was if it ends the process.
    """
    _open_the_closed()
    with tempfile.TemporaryFile() as kept:
        shown = os.dup(2)
        old = sys.stderr
        sys.stderr = open(  # noqa: SIM115  # for as long as the context lasts
            shown, "w", buffering=1, encoding=old.encoding, errors="backslashreplace", closefd=False
        )
        os.dup2(kept.fileno(), 2)
        faulthandler.enable(shown)
        try:
            yield
        finally:
            with suppress(OSError):
                sys.stderr.flush()
            faulthandler.disable()
            os.dup2(shown, 2)
            sys.stderr = old


def _open_the_closed() -> None:
    """Lets standard streams that are closed lead nowhere, so that no other file takes their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def output_flushed() -> bool:
    """Prints what is left to print; says so and is False where standard output takes no more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        say(_of_output(error))
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), 1
        )  # else Python tries again, and ends with a code of its own
        return False
    return True
