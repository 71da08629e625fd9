"""Signals that end the command line, all of them in the way of Ctrl-C."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

__all__ = ["EndedBySignal", "signals_heard", "take_signals"]

_INTERRUPTS: Final = frozenset({signal.SIGTERM, signal.SIGHUP})
_ENDING: Final = frozenset({signal.SIGINT, *_INTERRUPTS})
_SECONDS_UNTIL_AGAIN: Final = 0.05


class EndedBySignal(BaseException):  # no error
    """A signal has ended what was done.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Interrupt:
    """What Python does at a signal other than Ctrl-C.

    Attributes:
        number: the last signal that came.
    """

    number: int = signal.SIGINT

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # as after "&" in a script
            raise KeyboardInterrupt


def take_signals() -> None:
    """Lets signals end this process as Ctrl-C does, while ``signals_heard`` lasts and at no other time.

    Python answers signals between queries alone, and Polars breaks a query off at an interrupt alone: so an
    interrupt is sent after every other signal.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    # Polars lets the system go on waiting for a lock or a thread after an interrupt.
    signal.siginterrupt(signal.SIGINT, True)
    interrupt = _Interrupt()
    for number in _INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as hang-ups are after nohup
            signal.signal(number, interrupt)
    numbers, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    threading.Thread(target=_pass_on, args=(numbers, interrupt), daemon=True).start()
    sys.unraisablehook = _raise_again


def _pass_on(numbers: socket.socket, interrupt: _Interrupt) -> None:
    while data := numbers.recv(1):
        if data[0] in _INTERRUPTS:
            interrupt.number = data[0]
            os.kill(os.getpid(), signal.SIGINT)


def _raise_again(lost: Any) -> None:
    """An interrupt is lost where Python has nobody to raise it to, as in a finaliser."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        again = threading.Timer(_SECONDS_UNTIL_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def signals_heard() -> Iterator[None]:
    """Lets the signals come that end the program, for as long as the context lasts.

    Raises:
        EndedBySignal: one has come.
    """
    interrupt = signal.getsignal(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            yield
        finally:
            if blocked >= _ENDING:
                _ignore_signals()
    except KeyboardInterrupt as error:
        raise EndedBySignal(
            interrupt.number if isinstance(interrupt, _Interrupt) else signal.SIGINT
        ) from error


def _ignore_signals() -> None:
    """What is left to do is short: to say how it ended."""
    for number in _ENDING:
        while signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(KeyboardInterrupt):  # Polars and Python both raise the same one
                signal.signal(number, signal.SIG_IGN)
