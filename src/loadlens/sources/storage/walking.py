"""What lies below a folder of the disk, and what a glob matches; what cannot be read is an error."""

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from loadlens.errors import InputError

__all__ = ["dangling", "files_below", "matching"]


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, links followed.

    Raises:
        InputError: lists the folders that cannot be read, the links to nothing and those that lead in a
            circle, but for those of which the name begins with a dot or an underscore.
    """
    problems: list[str] = []
    found = list(_walk(folder, (), problems, is_hidden=False))
    if problems:
        raise InputError(*problems)
    return found


def matching(pattern: Path) -> list[Path]:
    """The files and folders that a glob matches, sorted; ``**`` stands for any folders, links followed.

    Raises:
        InputError: lists the folders that had to be looked into and cannot be read.
    """
    parts = pattern.parts
    plain = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    problems: list[str] = []
    found = dict.fromkeys(_expand(Path(*parts[:plain]), parts[plain:], (), problems))
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return sorted(found)


def dangling(path: Path) -> str:
    """What is wrong with a link that leads to nothing; empty for everything else."""
    if not os.path.islink(path) or os.path.exists(path):  # noqa: PTH110, PTH114  # False for odd names
        return ""
    return f"{path}: is a link to {os.readlink(path)}, which cannot be found; mend or remove it"  # noqa: PTH115


def _walk(folder: Path, above: tuple[Path, ...], problems: list[str], *, is_hidden: bool) -> Iterator[Path]:
    for entry in _listed(folder, [] if is_hidden else problems):
        path = folder / entry.name
        hidden = is_hidden or entry.name.startswith((".", "_"))
        if entry.is_symlink():
            problem = dangling(path) or _circle(path, (*above, folder))
            if problem:
                problems += [] if hidden else [problem]
                continue
        if entry.is_dir():
            yield from _walk(path, (*above, folder), problems, is_hidden=hidden)
        else:
            yield path


def _expand(
    folder: Path, wanted: Sequence[str], above: tuple[Path, ...], problems: list[str]
) -> Iterator[Path]:
    name, rest = wanted[0], wanted[1:]
    if name == "**":
        yield from _expand(folder, rest, above, problems) if rest else [folder]
        name = "*"
        deeper: Sequence[str] = wanted
    elif glob.has_magic(name):
        deeper = rest
    else:
        path = folder / name
        if rest and path.is_dir():
            yield from _expand(path, rest, (*above, folder), problems)
        elif not rest and os.path.lexists(path):  # False, not an error, for odd names
            yield path
        return
    for entry in _listed(folder, problems):
        if not fnmatchcase(entry.name, name) or (entry.name.startswith(".") and not name.startswith(".")):
            continue
        path = folder / entry.name
        if not rest:
            yield path
        if deeper and entry.is_dir():
            circle = _circle(path, (*above, folder)) if entry.is_symlink() else ""
            if circle:
                problems.append(circle)
            else:
                yield from _expand(path, deeper, (*above, folder), problems)


def _listed(folder: Path, problems: list[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return []


def _circle(link: Path, above: Sequence[Path]) -> str:
    """What is wrong with a link to a folder that it lies in; empty for others."""
    for folder in above:
        if link.samefile(folder):
            return f"{link}: is a link that leads back to {folder}, in which it lies; remove it"
    return ""
