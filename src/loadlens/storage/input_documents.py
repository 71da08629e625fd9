"""Small files that say what to do: prices, gates, maps of columns, rates of traffic."""

import errno
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from loadlens.errors import InputError, LoadlensError
from loadlens.storage.location import PathSource, location, read_part
from loadlens.storage.secrets import shown

__all__ = ["parse_toml", "read_document", "read_toml"]

_MOST_BYTES: Final = 16 * 2**20
_MOST_CHARACTERS: Final = 2**20
_MOST_PARTS: Final = 100
_PART: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY: Final = re.compile(rf"(?<![\w-])(?:{_PART}){{{_MOST_PARTS}}}")


def read_toml(path: PathSource, error: type[LoadlensError], expected: str) -> dict[str, Any]:
    """What a small TOML file says.

    Args:
        path: the file.
        error: what is raised.
        expected: what the file should be.

    Raises:
        LoadlensError: it cannot be read, is too large, or is not TOML.
    """
    name = shown(path)
    try:
        text = read_document(path)
    except UnicodeDecodeError as wrong:
        raise error(f"{name}: is not TOML: it is not UTF-8 text; expected {expected}") from wrong
    except InputError as wrong:
        raise error(*(f"{problem}; expected {expected}" for problem in wrong.problems)) from None
    except (OSError, ValueError) as wrong:  # ValueError: of a name that no file can have
        reason = getattr(wrong, "strerror", None) or wrong
        raise error(f"{name}: cannot be read: {reason}; expected {expected}") from wrong
    return parse_toml(text, name, error)


def parse_toml(text: str, name: str, error: type[LoadlensError]) -> dict[str, Any]:
    """What a TOML text says.

    Args:
        text: the text.
        name: what messages call it.
        error: what is raised.

    Raises:
        LoadlensError: it is not TOML, is too large, or nested too deeply.
    """
    if len(text) > _MOST_CHARACTERS:
        raise error(f"{name}: is not TOML of ours: it has more than {_MOST_CHARACTERS:,} characters")
    if _LONG_KEY.search(text):  # tomllib takes time with the square of its length
        raise error(f"{name}: is not TOML of ours: a key has more than {_MOST_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as wrong:
        raise error(f"{name}: is not TOML: it is nested too deeply") from wrong
    except ValueError as wrong:
        raise error(f"{name}: is not TOML: {wrong}") from wrong


def read_document(path: PathSource) -> str:
    """The text of a small file, which may be an endless one such as ``/dev/zero``.

    Raises:
        OSError: it cannot be read, is a pipe, or holds more than 16 MiB.
        UnicodeDecodeError: it is not UTF-8.
    """
    place = location(path)
    if isinstance(place, Path) and (place.is_fifo() or place.is_socket()):
        raise OSError(errno.EINVAL, "it is a pipe, which may never begin; name a file")
    data = read_part(place, 0, _MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it holds more than {_MOST_BYTES:,} bytes")
    return data.decode()
