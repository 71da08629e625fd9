"""The native library: compiled from C when the package is built, loaded with ctypes.

Parts that know nothing of each other: ``_tally.c`` counts rows (``loadlens.engine`` binds it), ``_cells.c``
reads lines of cells, ``_truncation.c`` keeps a process alive whose files are cut while they are
read, ``_abort.c`` lets compiled code that gives up end the command line with a line in words.
"""

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from loadlens.errors import LoadlensError
from loadlens.native.compiling import SOURCES, CompilerError, compile_library, library_name

__all__ = ["Functions", "declared"]

Functions = Mapping[str, tuple[Any, tuple[Any, ...]]]
"""By the name of a function the type of its result and those of its arguments, as ctypes has them."""

_INTERFACE_VERSION: Final = 5


def declared(functions: Functions) -> ctypes.CDLL:
    """The library, with these of its functions declared.

    Raises:
        LoadlensError: it is missing and cannot be compiled, or cannot be loaded; the message says what to do.
    """
    library = _loaded()
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@cache
def _loaded() -> ctypes.CDLL:
    """The library of an installed package, or of a source tree.

    In a source tree it is compiled on first use, and again once a source has changed: packages do not ship
    the sources, so that nothing is ever compiled where the package is installed.
    """
    path = Path(__file__).with_name(library_name())
    try:
        if all(source.exists() for source in SOURCES) and not _is_current(path):
            compile_library(path)
        library = ctypes.CDLL(str(path))
    except CompilerError as error:
        raise LoadlensError(str(error)) from error
    except OSError as error:
        raise LoadlensError(
            f"{path.name}, the native library of loadlens, cannot be loaded: {error}; "
            f"install loadlens again on this machine: pip install --force-reinstall --no-deps loadlens"
        ) from error
    if library.interface_version() != _INTERFACE_VERSION:
        raise LoadlensError(f"{path.name} is of another version of loadlens; install loadlens again")
    return library


def _is_current(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime >= max(source.stat().st_mtime for source in SOURCES)
    return False
