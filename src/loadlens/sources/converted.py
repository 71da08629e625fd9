"""What a Parquet file that ``convert`` has written says of its source: its key, and what it cannot tell."""

import json
from collections.abc import Mapping
from typing import Any, Final

from loadlens.errors import InputError
from loadlens.sources.files import CHECKSUM, FACTS, DataFile
from loadlens.sources.wording import counted

__all__ = [
    "SOURCES",
    "key_of_converted",
    "logged_times_of_converted",
    "refuse_unverified",
    "rejected_before_conversion",
    "sources_of_converted",
    "warnings_of_converted",
]

SOURCES: Final = f"{FACTS}:sources"
"""Under which name a converted log has the logs that it was made of in the metadata, with their digests."""


def key_of_converted(file: DataFile) -> tuple[str, ...]:
    """The natural key that a file written by ``convert`` has in its metadata; none for other files."""
    return tuple(_texts(_facts(file), "key"))


def sources_of_converted(file: DataFile) -> dict[str, str]:
    """The logs that a file was converted from, each with a digest of its content; none for other files."""
    sources = _json(file.metadata.get(SOURCES, "{}"))
    return {name: content for name, content in sources.items() if isinstance(content, str)}


def logged_times_of_converted(file: DataFile) -> tuple[str, ...]:
    """Which of start and end the logs held that ``convert`` read; none for other files."""
    return tuple(_texts(_facts(file), "logged_times"))


def warnings_of_converted(file: DataFile) -> list[str]:
    """What the log that a file was converted from cannot tell, one sentence each; none for other files."""
    facts = _facts(file)
    names = [source.get("file") for source in facts.get("sources") or () if isinstance(source, dict)]
    # Of several sources, the name tells which one cannot.
    known = f"{names[0]}: " if len(names) == 1 else ""
    told = [text.removeprefix(known) for text in _texts(facts, "warnings")]
    rejected = rejected_before_conversion(file)
    if rejected:
        told.append(f"{counted(rejected, 'row was', 'rows were')} rejected when the log was converted")
    return told


def refuse_unverified(file: DataFile) -> None:
    """Refuses a file that was written with a checksum and has none.

    Raises:
        InputError: the file is damaged.
    """
    if CHECKSUM in file.metadata and not file.is_verified:
        raise InputError(f"{file.path}: is a damaged Parquet file: its checksum is gone; convert it again")


def rejected_before_conversion(file: DataFile) -> int:
    """How many rows of the source were rejected when a file was written by ``convert``; else 0."""
    facts = _facts(file)
    counts = [facts.get(name) for name in ("rejected", "rejected_earlier")]
    return sum(count for count in counts if isinstance(count, int) and count > 0)


def _facts(file: DataFile) -> Mapping[str, Any]:
    """The facts in the metadata, which somebody else may have written."""
    facts = _json(file.metadata.get(FACTS, "{}"))
    return facts if isinstance(facts.get("sources", []), list) else {}


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(facts: Mapping[str, Any], name: str) -> list[str]:
    found = facts.get(name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
