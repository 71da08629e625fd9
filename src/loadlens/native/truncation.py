"""Files that are cut short while they are read: the process lives on, and is told."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from loadlens.native import Functions, declared

__all__ = ["Truncation", "surviving_truncation"]

_FUNCTIONS: Final[Functions] = {
    "truncation_begin": (ctypes.c_int, ()),
    "truncation_end": (None, ()),
    "truncation_pages": (ctypes.c_long, ()),
}


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """What was missing while files were read."""

    pages_before: int

    @property
    def happened(self) -> bool:
        """Whether zeros were read in the place of pages that are gone: no result may come of them."""
        return int(declared(_FUNCTIONS).truncation_pages()) > self.pages_before


class _Handler:
    """The handler of the process, in place while at least one thread wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0

    def want(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                declared(_FUNCTIONS).truncation_begin()

    def leave(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                declared(_FUNCTIONS).truncation_end()


_HANDLER: Final = _Handler()


@contextmanager
def surviving_truncation() -> Iterator[Truncation]:
    """While this lasts, a file that is cut short under a reader does not end the process.

    Polars maps local files into memory. Reading behind the end of a mapped file is a SIGBUS, for which zeros
    are read here instead. Whoever reads must ask ``happened`` in the end. Threads and calls may overlap.
    """
    _HANDLER.want()
    try:
        yield Truncation(pages_before=int(declared(_FUNCTIONS).truncation_pages()))
    finally:
        _HANDLER.leave()
