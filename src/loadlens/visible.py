"""Text of users as it may be shown: what cannot be seen, or steers what shows it, is made visible."""

import json
import re
from collections.abc import Callable
from typing import Final

__all__ = ["escaped_lines", "visible", "visible_lines"]

_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_BREAKS: Final = r"\t\n\r"
_INVISIBLE: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
"""Soft hyphens, directions, spaces without width, fillers, annotations, tags, and what is no character."""

_NO_UNICODE: Final = r"\ud800-\udfff"  # halves of pairs, as of arguments in another encoding
_JOINERS: Final = "\u200c\u200d"
_VARIANTS: Final = r"\ufe00-\ufe0f"
_HIDDEN: Final = rf"{_CONTROLS}{_INVISIBLE}{_NO_UNICODE}{_JOINERS}{_VARIANTS}"
_IN_LINE: Final = re.compile(rf"[{_HIDDEN}{_BREAKS}]")
_IN_LINES: Final = re.compile(rf"[{_HIDDEN}]")

# Persian and Indic words and emoji hold joiners and variants between signs of their own.
_JOINED: Final = re.compile(rf"(?=[\u0590-\U0010ffff])[^{_CONTROLS}{_INVISIBLE}{_NO_UNICODE}{_JOINERS}]")
_VARIED: Final = re.compile(rf"[#*0-9\u00a9\u00ae]|(?=[\u0590-\U0010ffff])[^{_HIDDEN}]")


def visible(text: str) -> str:
    """Text of one line, each hidden character of it replaced by ``�``.

    Hidden are controls, breaks of lines, directions (a name may read backwards), what has no width, and
    joiners between other signs than those that need them. Letters of every script stay.
    """
    return _IN_LINE.sub(_shown_by(_replaced), text)


def visible_lines(text: str) -> str:
    """Text of several lines, each hidden character but tabs and line ends replaced by ``�``."""
    return _IN_LINES.sub(_shown_by(_replaced), text)


def escaped_lines(text: str) -> str:
    """JSON of several lines, each hidden character escaped as JSON has it."""
    return _IN_LINES.sub(_shown_by(_escaped), text)


def _shown_by(show: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    return lambda found: found[0] if _is_in_its_place(found) else show(found[0])


def _is_in_its_place(found: re.Match[str]) -> bool:
    """Whether it is a joiner or a variant beside signs that have such."""
    before, after = (
        found.string[max(found.start() - 1, 0) : found.start()],
        found.string[found.end() : found.end() + 1],
    )
    if found[0] in _JOINERS:
        return bool(_JOINED.match(before) and _JOINED.match(after))
    return "\ufe00" <= found[0] <= "\ufe0f" and bool(_VARIED.match(before))


def _replaced(_character: str) -> str:
    return "\N{REPLACEMENT CHARACTER}"


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]
