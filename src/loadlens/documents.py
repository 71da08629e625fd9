"""Documents as JSON text."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["json_text"]

_CONTROL = re.compile(r"[\x7f-\x9f]")  # those below 0x20 are escaped by JSON itself


def json_text(document: Mapping[str, Any]) -> str:
    """A document as JSON that no terminal takes for commands, on lines of its own.

    Keys of configurations may be of any type: what JSON cannot say, such as a date, becomes text.
    """
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(cell) for name, cell in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(cell) for cell in value]
    finite = isinstance(value, float) and math.isfinite(value)
    return value if value is None or finite or isinstance(value, str | int) else str(value)
