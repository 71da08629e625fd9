"""Signals that end the command line, all of them in the way of Ctrl-C."""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

__all__ = ["Interrupt", "ignore_signals", "take_signals"]

_INTERRUPTS: Final = frozenset({signal.SIGTERM, signal.SIGHUP})
_ENDING: Final = frozenset({signal.SIGINT, *_INTERRUPTS})
_SECONDS_UNTIL_AGAIN: Final = 0.05
_AGAIN: Final = b"\0"  # no signal has this number


class Interrupt:
    """What Python does at a signal other than Ctrl-C: nothing, as an interrupt follows it.

    Attributes:
        number: the last signal that came, if any; Ctrl-C is the interrupt that follows others.
    """

    number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Takes a signal."""
        self.number = number
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # as after "&" in a script
            raise KeyboardInterrupt


def take_signals(interrupt: Interrupt) -> None:
    """Lets signals raise a KeyboardInterrupt, as Ctrl-C does.

    Python answers signals between queries alone, and Polars breaks a query off at an interrupt alone: so an
    interrupt is sent after every other signal.

    Args:
        interrupt: is told which signal came.
    """
    with suppress(OSError):
        tempfile.gettempdir()  # tries the folder out with a file, once, which an interrupt could leave behind
    # Polars lets the system go on waiting for a lock or a thread after an interrupt.
    signal.siginterrupt(signal.SIGINT, True)
    for number in _INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as hang-ups are after nohup
            signal.signal(number, interrupt)
    numbers, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_pass_on, args=(numbers, interrupt), daemon=True).start()
    sys.unraisablehook = partial(_raise_again, told)


def _pass_on(numbers: socket.socket, interrupt: Interrupt) -> None:
    while data := numbers.recv(1):
        if data == _AGAIN:
            time.sleep(_SECONDS_UNTIL_AGAIN)
        elif data[0] in _INTERRUPTS:
            interrupt.number = data[0]
        else:
            interrupt.number = interrupt.number or data[0]
            continue
        os.kill(os.getpid(), signal.SIGINT)


def _raise_again(told: socket.socket, lost: Any) -> None:
    """An interrupt is lost where Python has nobody to raise it to, as in a finaliser."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        told.send(_AGAIN)
    else:
        sys.__unraisablehook__(lost)


def ignore_signals() -> None:
    """Lets nothing end this process early any more: what is left to do is short."""
    for number in _ENDING:
        while signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(KeyboardInterrupt):  # Polars and Python both raise the same one
                signal.signal(number, signal.SIG_IGN)
