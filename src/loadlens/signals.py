"""Signals that end the command line, all of them in the way of Ctrl-C."""

import ctypes
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Final

__all__ = ["Interrupt", "ignore_signals", "take_signals"]

_INTERRUPTS: Final = frozenset({signal.SIGTERM, signal.SIGHUP})
_ENDING: Final = frozenset({signal.SIGINT, *_INTERRUPTS})
_SECONDS_BETWEEN_CALLS: Final = 0.05
_BYTES_OF_A_HANDLER: Final = 1024  # more than any system's ``struct sigaction`` takes
_ENDED_BY: Final = 128  # plus the signal's number, as shells report it


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
