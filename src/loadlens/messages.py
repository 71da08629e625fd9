"""How messages name, count and shorten what they tell, and show text that cannot be seen."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from loadlens.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = [
    "CLOSED_LOOP",
    "NOT_ANALYSED",
    "NO_CALENDAR",
    "Shown",
    "are",
    "as_markdown",
    "brief",
    "counted",
    "counted_kind",
    "escaped_lines",
    "grouped",
    "json_text",
    "listed",
    "notes_last",
    "passed_over_sentences",
    "sentence",
    "shortened",
    "told_once",
    "visible",
    "visible_lines",
]


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
_IN_LINE: Final = rf"[{_HIDDEN}{_BREAKS}]"  # compiled where they are needed: most texts are plain
_IN_LINES: Final = rf"[{_HIDDEN}]"

# Persian and Indic words and emoji hold joiners and variants between signs of their own.
_JOINED: Final = rf"(?=[\u0590-\U0010ffff])[^{_CONTROLS}{_INVISIBLE}{_NO_UNICODE}{_JOINERS}]"
_VARIED: Final = rf"[#*0-9\u00a9\u00ae]|(?=[\u0590-\U0010ffff])[^{_HIDDEN}]"

_MAX_LISTED = 12
_MAX_LENGTH = 80
_MAX_NAME_LENGTH = 40

CLOSED_LOOP: Final = (
    "such logs usually come from clients that wait for an answer before they ask again: slow answers thin "
    "the load out (coordinated omission), so real users may see higher percentiles"
)
NOT_ANALYSED: Final = "not analysed: "
"""What stands before the name of samples that are counted and not read."""

NO_CALENDAR: Final = "its times are of no calendar: they tell spans and rates, not when the test ran"

_MARKDOWN: Final = re.compile(r"([\\`*_\[\]|~])")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;"}

_LONG_LIST: Final = 100


def visible(text: str) -> str:
    """Text of one line, each hidden character of it replaced by ``�``.

    Hidden are controls, breaks of lines, directions (a name may read backwards), what has no width, and
    joiners between other signs than those that need them. Letters of every script stay.
    """
    is_plain = text.isascii() and text.isprintable()
    return text if is_plain else re.sub(_IN_LINE, _shown_by(_replaced), text)


def visible_lines(text: str) -> str:
    """Text of several lines, each hidden character but tabs and line ends replaced by ``�``."""
    return re.sub(_IN_LINES, _shown_by(_replaced), text)


def escaped_lines(text: str) -> str:
    """JSON of several lines, each hidden character escaped as JSON has it."""
    return re.sub(_IN_LINES, _shown_by(_escaped), text)


def _shown_by(show: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    return lambda found: found[0] if _is_in_its_place(found) else show(found[0])


def _is_in_its_place(found: re.Match[str]) -> bool:
    """Whether it is a joiner or a variant beside signs that have such."""
    before, after = (
        found.string[max(found.start() - 1, 0) : found.start()],
        found.string[found.end() : found.end() + 1],
    )
    if found[0] in _JOINERS:
        return bool(re.match(_JOINED, before) and re.match(_JOINED, after))
    return "\ufe00" <= found[0] <= "\ufe0f" and bool(re.match(_VARIED, before))


def _replaced(_character: str) -> str:
    return "\N{REPLACEMENT CHARACTER}"


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def as_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no tags, no mentions."""
    text = "".join(_ENTITIES.get(character, character) for character in visible(text))
    return _MARKDOWN.sub(r"\\\1", text)


def notes_last(sentences: Iterable[str]) -> list[str]:
    """``sentences`` with those last, and each once, that every log of its kind has.

    What one log alone shows must not stand behind them. Of several logs a note stands without their names.
    """
    texts, notes = list(sentences), (CLOSED_LOOP, NO_CALENDAR)
    told = [[text for text in texts if text.endswith(note)] for note in notes]
    own = [text for text in texts if not text.endswith(notes)]
    return own + [same[0] if len(same) == 1 else note for note, same in zip(notes, told, strict=True) if same]


def are(count: int) -> str:
    """The verb that goes with a count."""
    return "is" if count == 1 else "are"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun, and what goes with that: ``1 file``, ``2,000 files``, ``2 rows were``.

    Args:
        count: the count.
        one: what stands after it where it is 1, such as ``row was``.
        many: what stands after it otherwise; without it, ``one`` with an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def counted_kind(count: int, kinds: str) -> str:
    """A count of what ``kinds`` names in the plural: of ``parts of samples``, ``1 part of samples``."""
    noun, of, whole = kinds.partition(" of ")
    return counted(count, f"{noun.removesuffix('s')}{of}{whole}", kinds)


def passed_over_sentences(passed_over: Mapping[str, Sequence[str]]) -> list[str]:
    """One sentence for each reason why files are not read, with their number and some of their paths."""
    return [f"{counted(len(paths), 'file')} {why}: {listed(paths)}" for why, paths in passed_over.items()]


def listed(names: Iterable[object]) -> str:
    """``names`` sorted and separated by commas, the tail of a long list only counted."""
    texts = sorted(str(name) for name in names)
    rest = len(texts) - _MAX_LISTED
    return ", ".join(texts[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def told_once(problems: Iterable[tuple[str, str]]) -> list[str]:
    """What is wrong with files, each once however many files it is wrong with.

    Args:
        problems: the name of a file, and what is wrong with it.
    """
    names: dict[str, list[str]] = {}
    for name, problem in problems:
        names.setdefault(problem, []).append(name)
    return [f"{_and_more(*files)}: {problem}" for problem, files in names.items()]


def _and_more(first: str, *others: str) -> str:
    return f"{first} and {counted(len(others), 'more file')}" if others else first


def brief(name: str) -> str:
    """A name in a sentence, of bounded length."""
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…"


def sentence(clause: str) -> str:
    """A clause as a sentence; the name of a file that it begins with stays as it is."""
    first, _, _ = clause.partition(" ")
    begins_with_file = any(sign in first for sign in "./\\")
    return f"{clause if begins_with_file else clause[:1].upper() + clause[1:]}."


def shortened(value: object) -> str:
    """``value`` as a message shows it: quoted, on one line and of bounded length."""
    text = " ".join(repr(value).split("\n"))
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"


class Shown:
    """A result that shows itself in short; dataclasses of it are declared with ``repr=False``."""

    @property
    def headline(self) -> str:
        """What was found, in a few words."""
        raise NotImplementedError

    @property
    def shown_table(self) -> pl.DataFrame | None:
        """What a notebook shows below the headline; None for nothing."""
        return None

    @property
    def shown_pictures(self) -> Sequence[str]:
        """Charts that a notebook shows below the table, each as an SVG document."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {visible(self.headline)}>"

    def _repr_html_(self) -> str:
        table = self.shown_table
        shown = [f"<p>{escape(repr(self))}</p>", *([] if table is None else [table._repr_html_()])]
        return "".join([*shown, *[f"<div>{picture}</div>" for picture in self.shown_pictures]])

    def show(self) -> None:
        """Shows this in a notebook as that does, elsewhere its line and its table on standard output."""
        notebook = sys.modules.get("IPython")
        if notebook is not None and notebook.get_ipython() is not None:
            import_module("IPython.display").display(self)
            return
        table = self.shown_table
        sys.stdout.write(f"{self!r}\n{'' if table is None else f'{table}{chr(10)}'}")

    def to_arrow(self) -> pa.Table:
        """The table that is shown, as a table of PyArrow.

        Raises:
            UsageError: there is no table.
            ModuleNotFoundError: PyArrow is not installed.
        """
        return self._own_table().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """The table that is shown, as a frame of pandas.

        Raises:
            UsageError: there is no table.
            ModuleNotFoundError: pandas or PyArrow is not installed.
        """
        return self._own_table().to_pandas()

    def _own_table(self) -> pl.DataFrame:
        table = self.shown_table
        if table is None:
            raise UsageError(f"{self!r} has no table")
        return table


def grouped(by: tuple[str, ...]) -> str:
    """How a log was grouped."""
    return f"by {', '.join(by)}" if by else "as a whole"


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
