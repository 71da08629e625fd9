"""Documents as JSON text."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from loadlens.visible import escaped_lines

__all__ = ["json_text"]

_LONG_LIST: Final = 100


def json_text(document: Mapping[str, Any]) -> str:
    """A document as JSON in which all characters are seen, on lines of its own.

    Keys of configurations may be of any type: what JSON cannot say, such as a date, becomes text. Each item
    of a list of more than 100 is one line.
    """
    return escaped_lines(_text(document, "\n")) + "\n"


def _text(value: object, line: str) -> str:
    """A value whose lines begin with ``line``, a line end and spaces."""
    deeper = f"{line}  "
    if isinstance(value, Mapping) and value:
        return _bracketed(
            "{}", (f"{_compact(str(name))}: {_text(cell, deeper)}" for name, cell in value.items()), line
        )
    if isinstance(value, list | tuple) and value:
        is_long = len(value) > _LONG_LIST
        return _bracketed("[]", (_compact(item) if is_long else _text(item, deeper) for item in value), line)
    return _compact(value)


def _bracketed(brackets: str, items: Iterable[str], line: str) -> str:
    deeper = f"{line}  "
    return f"{brackets[0]}{deeper}{f',{deeper}'.join(items)}{line}{brackets[1]}"


def _compact(value: object) -> str:
    """A value on one line, by the compiled encoder, which cannot indent."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):  # some value that JSON cannot say
        return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(cell) for name, cell in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(cell) for cell in value]
    finite = isinstance(value, float) and math.isfinite(value)
    return value if value is None or finite or isinstance(value, str | int) else str(value)
