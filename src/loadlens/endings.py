"""How the command line ends: errors as one line and an exit code; 1 means a verdict and nothing else."""

import ctypes
import errno
import faulthandler
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import typer
from typer.exceptions import TyperException

from loadlens.errors import LoadlensError
from loadlens.native import Functions, declared
from loadlens.visible import visible

__all__ = ["INTERNAL_ERROR", "errors_as_exit_codes", "native_errors_kept", "output_flushed", "say", "tell"]

INTERNAL_ERROR: Final = 70  # as sysexits.h has it

_THREADS: Final = "POLARS_MAX_THREADS"
_ABORTED: Final = (
    "loadlens: compiled code gave up, most likely as it was out of memory; set --memory-limit lower, free "
    "some memory, or raise the limit of this process (ulimit -v)\n"
)
_FUNCTIONS: Final[Functions] = {
    "abort_told": (None, (ctypes.c_int, ctypes.c_char_p, ctypes.c_int)),
    "abort_expected": (None, ()),
}
_MOST_CHARACTERS: Final = 200
_MOST_KEPT_BYTES: Final = 2**20
_SHORT_OF: Final = {
    errno.EMFILE: "too many open files; raise the limit of this process (ulimit -n), or name fewer files",
    errno.ENFILE: "too many open files on this machine; end other programs, or try again later",
    errno.EAGAIN: "out of memory or of threads; raise the limits of this process (ulimit -v, ulimit -u)",
    errno.ENOMEM: "out of memory; set --memory-limit lower, or free some memory",
}
"""What a machine may be short of, whoever says so, and what to do."""

_NO_THREAD: Final = "can't start new thread"
_NO_TEMPORARY_FOLDER: Final = "No usable temporary directory found"


def say(line: str) -> None:
    """Prints a line on standard error, where that takes any."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"loadlens: {visible(' '.join(line.split()))}\n")
        sys.stderr.flush()


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Says each problem of an error in a line of its own, and raises an exit."""
    try:
        _refuse_no_threads()
        yield
    except TyperException as error:
        if error.format_message().startswith("Usage: "):  # without arguments, the help
            raise
        raise typer.Exit(_tell_wrong_usage(error)) from None
    except (typer.Exit, typer.Abort, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # whatever it is, panics of Polars too, it is no verdict
        raise typer.Exit(tell(error)) from None


def _tell_wrong_usage(error: TyperException) -> int:
    """Says what is wrong with a command line, and where its options are listed."""
    context = getattr(error, "ctx", None)
    help_of = f"{context.command_path} --help" if context else "loadlens --help"
    say(f"{error.format_message().rstrip('.').replace('Value error, ', '')}; see {help_of}")
    return error.exit_code


def tell(error: BaseException) -> int:
    """Says each problem of an error in a line of its own; returns the exit code."""
    lines, code = _told(error)
    for line in lines:
        say(line)
    return code


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
    what = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_CHARACTERS]
    where = _details_of(error)
    return (f"internal error: {what}; this is a mistake of loadlens; details: {where}",), INTERNAL_ERROR


def _short_of(error: BaseException) -> str | None:
    """What to do where the machine is short of something; Polars and others tell it in the text alone.

    What came before an error counts where that is no error of ours, and so is what compiled code has printed.
    """
    if isinstance(error, MemoryError):
        return _SHORT_OF[errno.ENOMEM]
    told = [str(error)]
    if not isinstance(error, LoadlensError):
        told += [*map(str, _before(error)), _printed_by_compiled_code()]
    if any(_NO_THREAD in text for text in told):
        return _SHORT_OF[errno.EAGAIN]
    if any(_NO_TEMPORARY_FOLDER in text for text in told):
        return "no folder for temporary files can be written; name one that can with --spill-folder or TMPDIR"
    for number, remedy in _SHORT_OF.items():
        signs = (os.strerror(number), f"(os error {number})", f"code: {number},")
        if any(sign in text for text in told for sign in signs):
            return remedy
    return None


def _before(error: BaseException) -> Iterator[BaseException]:
    """The errors that an error came from, or came in the way of."""
    earlier = error.__cause__ or error.__context__
    if earlier is not None:
        yield earlier
        yield from _before(earlier)


def _printed_by_compiled_code() -> str:
    """What is kept from the terminal, if anything is."""
    try:
        return os.pread(2, _MOST_KEPT_BYTES, 0).decode(errors="replace")
    except OSError:  # it is no file, or is not to be read
        return ""


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
    with _memory_file() as kept:
        shown = os.dup(2)
        old = sys.stderr
        sys.stderr = open(  # noqa: SIM115  # for as long as the context lasts
            shown, "w", buffering=1, encoding=old.encoding, errors="backslashreplace", closefd=False
        )
        os.dup2(kept.fileno(), 2)
        faulthandler.enable(shown)
        _tell_aborts(shown)
        old_hook, sys.excepthook = sys.excepthook, partial(_print_on, kept)
        try:
            yield
        finally:
            with suppress(OSError):
                sys.stderr.flush()
            faulthandler.disable()
            sys.excepthook = old_hook
            _expect_the_end()
            os.dup2(shown, 2)
            sys.stderr = old


def _memory_file() -> IO[bytes]:
    """A file that takes no disk, which may be full; where the system has none, one that keeps nothing."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            return os.fdopen(os.memfd_create("loadlens"), "w+b")
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


def _print_on(kept: IO[bytes], *error: Any) -> None:
    """Keeps what compiled code lets Python print of errors that it has caught: they are told in words."""
    kept.write("".join(traceback.format_exception(*error)).encode(errors="replace"))
    kept.flush()


def _tell_aborts(shown: int) -> None:
    """Lets compiled code that gives up, as Rust does without memory, end with a line and a code."""
    with suppress(LoadlensError):  # a library that cannot be loaded is told where it is needed
        declared(_FUNCTIONS).abort_told(shown, _ABORTED.encode(), INTERNAL_ERROR)


def _expect_the_end() -> None:
    with suppress(LoadlensError):
        declared(_FUNCTIONS).abort_expected()


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
