"""How the command line ends: by signals, or with errors as one line; exit code 1 means a verdict alone."""

import ctypes
import errno
import faulthandler
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

import typer
from typer.exceptions import TyperException

from loadlens.errors import LoadlensError
from loadlens.messages import visible
from loadlens.native import Functions, declared

__all__ = [
    "INTERNAL_ERROR",
    "Interrupt",
    "errors_as_exit_codes",
    "ignore_signals",
    "native_errors_kept",
    "output_flushed",
    "say",
    "take_signals",
    "tell",
]


_INTERRUPTS: Final = frozenset({signal.SIGTERM, signal.SIGHUP})
_ENDING: Final = frozenset({signal.SIGINT, *_INTERRUPTS})
_SECONDS_BETWEEN_CALLS: Final = 0.05
_BYTES_OF_A_HANDLER: Final = 1024  # more than any system's ``struct sigaction`` takes
_ENDED_BY: Final = 128  # plus the signal's number, as shells report it

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


class Interrupt:
    """What Python does at a signal: it raises a KeyboardInterrupt, once.

    Attributes:
        number: the signal that came, if any; Ctrl-C is also what follows others.
        is_raised: whether the main thread has got to raise it.
        is_over: whether what it interrupted has ended.
        seconds_to_tidy_up: how long that may take.
    """

    number: int | None = None
    is_raised: bool = False
    is_over: bool = False
    seconds_to_tidy_up: float = 30

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Takes a signal."""
        self.note(number)
        if not self.is_raised:
            self.is_raised = True
            raise KeyboardInterrupt

    def note(self, number: int) -> None:
        """Keeps the number of a signal."""
        self.number = number if number in _INTERRUPTS else self.number or number

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that the signal ended."""
        return _ENDED_BY + (self.number or signal.SIGINT)

    def __str__(self) -> str:
        name = signal.Signals(self.number or signal.SIGINT).name
        return f"interrupted by {name}; no output is left half-written"


def take_signals(interrupt: Interrupt) -> None:
    """Lets signals raise a KeyboardInterrupt in the main thread, whatever that does or waits for.

    Polars breaks a query off at Ctrl-C alone: so that is sent after every other signal. A signal that comes
    just before a system call, such as a read from a pipe, does not end the wait in it: so it is sent again
    and again until it has been raised. Whatever then still keeps the process from its end is left there.

    Args:
        interrupt: is told which signal came.
    """
    with suppress(OSError):
        tempfile.gettempdir()  # tries the folder out with a file, once, which an interrupt could leave behind
    numbers, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_insist, args=(numbers, told, interrupt), daemon=True).start()
    sys.unraisablehook = partial(_raise_again, interrupt)
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as Ctrl-C is after "&", and hang-ups after nohup
            with _handler_of_polars(number):
                signal.signal(number, interrupt)
    # Polars lets the system go on waiting for a lock or a thread after an interrupt.
    signal.siginterrupt(signal.SIGINT, True)


@contextmanager
def _handler_of_polars(number: int) -> Iterator[None]:
    """Keeps what the system calls at a signal: Polars hears Ctrl-C there, and then calls Python."""
    if number != signal.SIGINT or os.name == "nt" or signal.getsignal(number) is signal.SIG_DFL:
        yield
        return
    library, handler = ctypes.CDLL(None), ctypes.create_string_buffer(_BYTES_OF_A_HANDLER)
    library.sigaction(number, None, handler)
    yield
    library.sigaction(number, handler, None)


def _insist(numbers: socket.socket, _told: socket.socket, interrupt: Interrupt) -> None:
    """Calls the main thread from the first signal on, until it has ended what it does."""
    while (number := numbers.recv(1)[0]) not in _ENDING:
        pass
    interrupt.note(number)
    deadline = time.monotonic() + interrupt.seconds_to_tidy_up
    while not interrupt.is_over:
        if not interrupt.is_raised:
            for again in {signal.SIGINT, interrupt.number or signal.SIGINT}:
                signal.pthread_kill(threading.main_thread().ident or 0, again)
        time.sleep(_SECONDS_BETWEEN_CALLS)
        if time.monotonic() > deadline:
            with suppress(OSError):
                sys.stderr.write(f"loadlens: {interrupt}\n")
            os._exit(interrupt.exit_code)


def _raise_again(interrupt: Interrupt, lost: Any) -> None:
    """An interrupt is lost where Python has nobody to raise it to, as in a finaliser."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        interrupt.is_raised = False
    else:
        sys.__unraisablehook__(lost)


def ignore_signals(interrupt: Interrupt) -> None:
    """Lets nothing end this process early any more: what is left to do is short.

    Args:
        interrupt: is told that it is over.
    """
    for number in _ENDING:
        while signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(KeyboardInterrupt):  # Polars and Python both raise the same one
                signal.signal(number, signal.SIG_IGN)
    interrupt.is_over = True


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
