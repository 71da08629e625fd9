"""What names tell: whether a file may be a log, which forms of one log there are, how to tell files apart."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Final, Literal

from loadlens.sources.storage.location import Location

__all__ = ["COLUMNAR", "LOG_SUFFIXES", "Likelihood", "distinct_names", "is_hidden", "likelihood", "stem_of"]

Likelihood = Literal["sure", "likely", "unlikely", "none"]

COLUMNAR: Final = (".parquet", ".arrow", ".feather", ".ipc")
"""Suffixes of tables of typed columns, the preferred first."""

LOG_SUFFIXES: Final = (".parquet", ".csv", ".jtl", ".jsonl", ".ndjson", ".ldjson", ".tsv", *COLUMNAR[1:])
"""Suffixes of files that are logs, or ought to be."""

_OF_MANY_THINGS: Final = (".profile", ".log", ".txt", ".json", ".xml", ".db", ".sqlite", ".bin")
_PACKED: Final = re.compile(
    r"\.(gz|zst|zstd|bz2|xz|zip|tgz|tar|7z|rar|lz4|lzma|lz|br|z|sz|snappy)$", re.IGNORECASE
)
_ROTATED: Final = re.compile(r"[.-](\d{1,6}|\d{4}-?\d{2}-?\d{2}(?:[-_.T]?\d+)*)$")  # as logrotate names them


def is_hidden(relative: PurePath) -> bool:
    """Whether a name, or a folder on the way, begins with a dot or an underscore."""
    return any(part.startswith((".", "_")) for part in relative.parts)


def likelihood(name: str) -> Likelihood:
    """Whether a file of a folder is a log by its name; where that is not sure, its content tells."""
    suffix = PurePath(_unpacked(name)).suffix.lower()
    if suffix in LOG_SUFFIXES:
        return "sure"
    if suffix in _OF_MANY_THINGS:
        return "likely"
    return "none" if suffix else "unlikely"


def _unpacked(name: str) -> str:
    """A name without what compression and rotation have put behind it."""
    while (shorter := _ROTATED.sub("", _PACKED.sub("", name))) and shorter != name:
        name = shorter
    return name


def stem_of(path: PurePath) -> PurePath:
    """A path without the suffixes that tell its format and compression: forms of one log have the same."""
    name = path.name
    while _is_of_a_format(name):
        name = PurePath(name).stem
    return path.with_name(name)


def _is_of_a_format(name: str) -> bool:
    suffix = PurePath(name).suffix.lower()
    return suffix in (*LOG_SUFFIXES, *_OF_MANY_THINGS) or bool(suffix and _PACKED.fullmatch(suffix))


def distinct_names(paths: Iterable[Location]) -> list[str]:
    """For each path its last parts, as few as tell it apart from all others."""
    paths = list(paths)
    parts = {path: _parts(path) for path in paths}
    names = {path: path.name for path in parts}
    rest, depth = list(parts), 1
    while rest:
        seen = Counter(own[-depth:] for own in parts.values())
        names |= {path: "/".join(parts[path][-depth:]) for path in rest}
        rest = [path for path in rest if seen[parts[path][-depth:]] > 1 and depth < len(parts[path])]
        depth += 1
    return [names[path] for path in paths]


def _parts(path: Location) -> Sequence[str]:
    if isinstance(path, Path):
        return path.absolute().parts[1:]
    return (path.store.root, *path.parts)
