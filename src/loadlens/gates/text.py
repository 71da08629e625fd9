"""A line of text that is read from left to right, and where in it a mistake is."""

import re
import unicodedata
from dataclasses import dataclass, field

from loadlens.errors import GateError
from loadlens.visible import visible

__all__ = ["Place", "Scanner"]

_TOKEN = re.compile(r"[<>=!~≤≥]+|[\w.%/µμ+-]+|\S")


@dataclass(frozen=True)
class Place:
    """A text, and what messages call it."""

    text: str
    source: str

    def refuse_broken_text(self) -> None:
        """Raises a GateError if the text is not Unicode, such as an argument in another encoding."""
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise GateError(f"{self.source}: is not UTF-8 text") from None

    def error(self, at: int, expected: str) -> GateError:
        """An error that shows the text with a caret under the character ``at``."""
        found = _TOKEN.match(self.text, at)
        got = repr(found[0]) if found else "nothing"
        shown = visible(self.text)
        caret = " " * sum(map(_cells, shown[:at])) + "^"
        problem = f"{self.source}, character {at + 1}: got {got}, expected {expected}"
        return GateError(problem, excerpts=(f"{shown}\n{caret}",))


def _cells(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@dataclass
class Scanner:
    """Reads a text piece by piece, skipping the space between the pieces.

    Attributes:
        place: the text.
        at: where the next piece, or the space before it, begins.
        start: where the last piece began.
    """

    place: Place
    at: int = 0
    start: int = field(default=0, init=False)

    def at_match(self, pattern: str, *, skip: bool = True) -> bool:
        """Whether the next piece has a form."""
        if skip:
            self._skip()
        return re.compile(pattern).match(self.place.text, self.at) is not None

    def at_end(self) -> bool:
        """Whether nothing but space is left."""
        self._skip()
        return self.at == len(self.place.text)

    def take(self, pattern: str) -> str | None:
        """Takes the next piece if it has a form."""
        self._skip()
        found = re.compile(pattern).match(self.place.text, self.at)
        if found is None:
            return None
        self.start, self.at = self.at, found.end()
        return found[0]

    def back(self) -> None:
        """Gives the last piece back."""
        self.at = self.start

    def require(self, pattern: str, expected: str) -> str:
        """Takes the next piece, which must have a form.

        Raises:
            GateError: it has not.
        """
        found = self.take(pattern)
        if found is None:
            raise self.error(expected)
        return found

    def word(self, pattern: str, expected: str) -> tuple[str, bool]:
        """Takes a text in quotes, or one without that has a form; tells whether there were quotes.

        Raises:
            GateError: there is neither.
        """
        quote = self.take("['\"]")
        if quote is None:
            return self.require(pattern, expected), False
        opened = self.start
        end = self.place.text.find(quote, self.at)
        if end < 0:
            raise self.error(f"a closing {quote} after it", at=opened)
        word, self.at = self.place.text[self.at : end], end + 1
        return word, True

    def error(self, expected: str, *, at: int | None = None) -> GateError:
        """An error at the next piece, or at another place."""
        self._skip()
        return self.place.error(self.at if at is None else at, expected)

    def _skip(self) -> None:
        while self.at < len(self.place.text) and self.place.text[self.at].isspace():
            self.at += 1
