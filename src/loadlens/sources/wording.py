"""How messages list and shorten what they name."""

from collections.abc import Iterable

__all__ = ["counted", "listed", "shortened"]

_MAX_LISTED = 12
_MAX_LENGTH = 80


def counted(count: int, noun: str) -> str:
    """A count with its noun, ``1 file`` or ``2,000 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[object]) -> str:
    """``names`` sorted and separated by commas, the tail of a long list only counted."""
    texts = sorted(str(name) for name in names)
    rest = len(texts) - _MAX_LISTED
    return ", ".join(texts[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def shortened(value: object) -> str:
    """``value`` as a message shows it: quoted, on one line and of bounded length."""
    text = " ".join(repr(value).split("\n"))
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
