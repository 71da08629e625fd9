"""How messages list and shorten what they name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

__all__ = [
    "CLOSED_LOOP",
    "NOT_ANALYSED",
    "NO_CALENDAR",
    "are",
    "brief",
    "counted",
    "counted_kind",
    "listed",
    "notes_last",
    "passed_over_sentences",
    "shortened",
    "told_once",
]

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


def shortened(value: object) -> str:
    """``value`` as a message shows it: quoted, on one line and of bounded length."""
    text = " ".join(repr(value).split("\n"))
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
