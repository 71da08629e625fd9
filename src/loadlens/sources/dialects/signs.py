"""Signs by which files are known that are no tables and no logs of lines: each a test of a file's head."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from loadlens.sources.dialects.headers import header_of
from loadlens.sources.text.stream import BOM, Head

__all__ = ["any_of", "begins", "document", "has_line", "table"]

_LOOKED_AT_BYTES: Final = 16 * 2**10
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")

Matches = Callable[[Head], bool]


@lru_cache(maxsize=4)  # every sign looks at the same beginning
def _text(head: Head) -> str:
    """The beginning of a file, without the colours of a terminal and line ends of Windows."""
    start = head.data.removeprefix(BOM)[:_LOOKED_AT_BYTES].decode(errors="replace")
    return _STYLE.sub("", start).replace("\r\n", "\n").lstrip()


def begins(pattern: str) -> Matches:
    """Matches files that begin so, after blank lines."""
    compiled = re.compile(pattern)
    return lambda head: compiled.match(_text(head)) is not None


def has_line(*patterns: str) -> Matches:
    """Matches files with a line near their beginning that begins in one of these ways, after blanks.

    So a report is known of which somebody kept a part.
    """
    # Blanks are given back to no pattern, so that a long line of them is not looked at again from each.
    compiled = re.compile(rf"(?m)^[ \t]*+(?:{'|'.join(patterns)})")
    return lambda head: compiled.search(_text(head)) is not None


def document(*names: str) -> Matches:
    """Matches files that begin as one JSON object and have all of these names near their beginning."""
    compiled = [re.compile(rf'"{re.escape(name)}"\s*:') for name in names]

    def matches(head: Head) -> bool:
        text = _text(head)
        return text.startswith("{") and all(name.search(text) for name in compiled)

    return matches


def table(*columns: str) -> Matches:
    """Matches CSV files with these columns."""
    return lambda head: set(header_of(head)) >= set(columns)


def any_of(*kinds: Matches) -> Matches:
    """Matches files that one of these matches."""
    return lambda head: any(matches(head) for matches in kinds)
