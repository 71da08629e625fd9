"""The entry point of the command line: told of signals before anything that takes time is imported."""

import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadlens.cli.program import app

__all__ = ["app", "main"]

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_ENDED_BY = 128  # plus the signal's number, as shells report it
_NOT_STARTED = 70  # as sysexits.h has it
_LEAST_ADDRESS_SPACE = 2**31
_MANY_PROCESSES = 2**14  # with such a limit nobody runs out of threads
_LEAST_THREADS, _THREADS_PER_CPU = 16, 8
_MOST_CHARACTERS = 200
_TOO_MANY_FILES = "too many open files; raise the limit of this process (ulimit -n), or name fewer files"
_MOST_HELD_BYTES = 2**16
_standard_error = [2]  # where it is shown, last


def __getattr__(name: str) -> object:
    """Imports the commands when they are first asked for."""
    if name == "app":
        from loadlens.cli import program

        return program.app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Runs the command line."""
    for name in _ENDING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as after "&" or nohup
            signal.signal(number, _end)
    _refuse_little_address_space()
    _refuse_few_threads()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads have nothing to do, and spin
    gc.disable()
    with _native_errors_held():
        try:
            from loadlens.cli.program import import_command
            from loadlens.cli.program import main as run

            import_command(sys.argv[1:])
        except BaseException as error:  # noqa: BLE001  # panics of Polars too: nothing has been judged
            _refuse(_cause_of(error))
    gc.freeze()  # what is imported stays: looking through it again and again takes long
    gc.enable()
    run()


@contextmanager
def _native_errors_held() -> Iterator[None]:
    """Holds back what compiled code prints, such as Rust's panics; it is shown if modules can be imported."""
    if not hasattr(os, "memfd_create"):
        yield
        return
    try:
        shown, held = os.dup(2), os.memfd_create("loadlens")
    except OSError:  # standard error is closed, or there are too few files
        yield
        return
    _standard_error.append(shown)
    os.dup2(held, 2)
    yield
    os.dup2(shown, 2)
    with suppress(OSError):
        os.write(2, os.pread(held, _MOST_HELD_BYTES, 0))
    _standard_error.pop()
    os.close(held)
    os.close(shown)


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends the process at once: while modules are imported there is nothing to tidy up."""
    _say(f"interrupted by {signal.Signals(number).name}; no output is left half-written")
    os._exit(_ENDED_BY + number)


def _refuse_little_address_space() -> None:
    """Refuses what the libraries cannot be loaded in: some of them end the process there, with code 1."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
        _refuse(
            f"out of memory: the limit on address space (ulimit -v) is {limit // 2**10:,} KiB, expected "
            f"{_LEAST_ADDRESS_SPACE // 2**10:,} KiB or more; raise it"
        )


def _refuse_few_threads() -> None:
    """Refuses a limit on processes that leaves no room for threads: compiled code panics without them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if not 0 <= limit < _MANY_PROCESSES:  # unlimited is -1
        return
    is_over, threads = threading.Event(), 0
    needed = _LEAST_THREADS + _THREADS_PER_CPU * (os.cpu_count() or 1)
    try:
        for _ in range(needed):
            threading.Thread(target=is_over.wait, daemon=True).start()
            threads += 1
    except RuntimeError:
        _refuse(
            f"out of threads: the limit on processes (ulimit -u) of {limit:,} leaves room for {threads}, "
            f"expected {needed} or more; raise it"
        )
    is_over.set()


def _refuse(problem: str) -> None:
    _say(problem)
    sys.stdout.flush()
    os._exit(_NOT_STARTED)


def _cause_of(error: BaseException) -> str:
    """What an error came from, in its first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return _TOO_MANY_FILES
    text = " ".join(f"cannot be started: {type(error).__name__}: {error}".split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _say(line: str) -> None:
    with suppress(OSError):
        os.write(_standard_error[-1], f"loadlens: {line}\n".encode(errors="backslashreplace"))
