"""Which files are the log: what paths, globs and folders lead to, and what names tell."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path, PurePath
from typing import Final

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.logs.files import TITLES
from loadlens.logs.lakes import PARTS_OF_TABLES, table_kind, table_roots
from loadlens.messages import listed, shortened
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS
from loadlens.storage.local import (
    LOG_SUFFIXES,
    STANDARD_INPUT,
    Likelihood,
    dangling,
    files_below,
    is_hidden,
    likelihood,
    matching,
    spooled,
)
from loadlens.storage.location import Location, PathSource, RemotePath, locations, of_each

__all__ = ["INVOCATION_LOG_STEM", "Candidate", "Found", "NameKeys", "find_files", "key_from_name"]

INVOCATION_LOG_STEM: Final = "invocation_benchmark_results"

_OF_THE_TOOLKIT: Final = (INVOCATION_LOG_STEM, "endpoint_metrics", "invoke_args_examples")
_TOOLKIT_SUFFIXES: Final = (".parquet", ".csv")


@dataclass(frozen=True, kw_only=True)
class NameKeys:
    """A regular expression whose named groups become key columns of a file's rows.

    Polars' own, whose time grows with the name alone, whatever the expression.

    Attributes:
        pattern: the expression.
        columns: the key columns, all of them text, in the order of the groups.
    """

    pattern: str
    columns: tuple[str, ...]

    def values(self, path: Location) -> dict[str, str]:
        """What the name of a file says for each key column; a group that takes no part is empty.

        It is searched for in the file's own name first, then in the whole path as it was given.

        Raises:
            InputError: the name does not match, or tells no number for a column of whole numbers.
        """
        texts = pl.Series([text.encode(errors="replace").decode() for text in (path.name, path.as_posix())])
        matches = texts.str.contains(self.pattern)
        if not matches.any():
            raise InputError(
                f"{path}: its name does not match {self.pattern!r}, which gives the key "
                f"{listed(self.columns)}; rename it or leave it out"
            )
        found = texts.filter(matches).head(1).str.extract_groups(self.pattern).struct.unnest()
        values = {
            name: value or "" for name, value in found.row(0, named=True).items() if name in self.columns
        }
        for name in CONFIGURATION_COLUMNS:
            if name in values and not values[name].isdecimal():
                raise InputError(f"{path}: its name says {name} is {values[name]!r}, expected a whole number")
        return values


def key_from_name(pattern: str) -> NameKeys:
    r"""Understands a regular expression over file names, such as ``run_(?P<run>\d+)``.

    Raises:
        UsageError: it is none, or asks to look around or back, which takes time without a bound; it has no
            named group, or a group has the name of a canonical column other than those of the configuration.
    """
    if not isinstance(pattern, str):
        raise UsageError(f"key from name: got {pattern!r}, expected a regular expression as text")
    columns = _named_groups(pattern)
    if not columns:
        raise UsageError(
            rf"key from name {pattern!r}: has no named group; expected one such as (?P<run>\d+), of which "
            f"the name becomes the column"
        )
    taken = set(columns) & set(CANONICAL_COLUMNS) - set(CONFIGURATION_COLUMNS)
    if taken:
        raise UsageError(
            f"key from name {pattern!r}: the group {listed(taken)} has the name of a column of the log; "
            f"choose another name"
        )
    return NameKeys(pattern=pattern, columns=columns)


def _named_groups(pattern: str) -> tuple[str, ...]:
    """The names of groups; Polars calls the others by their numbers."""
    try:
        dtype = pl.select(pl.lit("").str.extract_groups(pattern)).to_series().dtype
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeEncodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if line.startswith("error:")), lines[0])
        raise UsageError(
            f"key from name {shortened(pattern)}: is no regular expression: {reason.removeprefix('error: ')}"
        ) from error
    names = [field.name for field in dtype.fields] if isinstance(dtype, pl.Struct) else []
    return tuple(name for name in names if not name.isdecimal())


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file or table that may be part of the log.

    Attributes:
        path: where it is.
        likelihood: whether it is a log by its name; ``sure`` if the caller names it.
        folder: the folder in which it was found; None if the caller names it.
        is_named: whether the caller names it alone, and not by a glob or a folder.
    """

    path: Location
    likelihood: Likelihood = "sure"
    folder: Location | None = None
    is_named: bool = False


@dataclass(kw_only=True)
class Found:
    """What paths, globs and folders lead to.

    Attributes:
        candidates: what may be part of the log.
        passed_over: files that are not read on purpose: why, and their paths.
    """

    candidates: list[Candidate] = field(default_factory=list)
    passed_over: dict[str, list[str]] = field(default_factory=dict)

    def pass_over(self, why: str, path: object) -> None:
        """Adds a file that is not read on purpose; bytes of its name that are no UTF-8 are replaced."""
        name = str(path).encode(errors="surrogateescape").decode(errors="replace")
        self.passed_over.setdefault(why, []).append(name)


def find_files(
    source: PathSource | Iterable[PathSource],
    options: Mapping[str, str] | None = None,
    spill_folder: Path | None = None,
) -> Found:
    """Finds the files and tables that ``source`` names, each once however often it is named.

    Args:
        source: paths, globs and folders, on the disk or in object stores, and addresses of web servers.
        options: options of object stores.
        spill_folder: where standard input and pipes are kept; without it, where the system puts such files.

    Raises:
        InputError: a path or glob leads to nothing, or something that should be read cannot be.
    """
    sources = [source] if isinstance(source, str | PathLike | RemotePath) else list(source)
    if not sources:
        raise InputError("no input: the list of paths is empty; name at least one file or folder")
    wrong = [item for item in sources if not isinstance(item, str | PathLike | RemotePath) or not str(item)]
    if wrong:
        raise InputError(
            f"a list of logs must hold paths, got {type(wrong[0]).__name__} {shortened(wrong[0])}"
        )
    named = locations(sources, options)
    if sum(str(path) == STANDARD_INPUT for path in named) > 1:
        raise InputError("standard input: is named more than once; it can be read once")
    found = Found()
    seen: set[object] = set()
    for part in of_each(lambda path: _found(path, spill_folder), named):
        found.candidates += _once(part, seen, found)
        for why, paths in part.passed_over.items():
            found.passed_over.setdefault(why, []).extend(paths)
    return found


def _once(part: Found, seen: set[object], found: Found) -> Iterator[Candidate]:
    """What a path leads to and none before it has; files with two names in one file system stay."""
    own = {_identity(candidate.path): candidate for candidate in reversed(part.candidates)}
    for identity, candidate in reversed(own.items()):
        if identity in seen:
            found.pass_over("named more than once, read once", candidate.path)
        else:
            yield candidate
    seen.update(own)


def _identity(path: Location) -> object:
    if isinstance(path, RemotePath):
        return path
    return os.path.normpath(path.absolute()), path.stat().st_ino if path.exists() else 0


def _found(path: Location, spill_folder: Path | None) -> Found:
    if not _is_text(path):
        raise InputError(f"{shortened(str(path))}: its name is not UTF-8 text; rename it")
    try:
        piped = spooled(path, spill_folder)
        return Found(candidates=[Candidate(path=piped, is_named=True)]) if piped else _find(path)
    except OSError as error:
        check = "the path and the credentials" if isinstance(path, RemotePath) else "the path"
        raise InputError(f"{path}: cannot be read: {error.strerror}; check {check}") from error


def _find(path: Location) -> Found:
    if path.is_dir():
        return _found_in(path)
    if path.exists():
        _refuse_parts_of_tables([path])
        return Found(candidates=[Candidate(path=path, is_named=True)])
    matches = _matches(path)
    if not matches:
        broken = dangling(path) if isinstance(path, Path) else ""
        what = "matches no file" if _is_pattern(path) else "does not exist"
        raise InputError(broken or f"{path}: {what}; check the path")
    _refuse_parts_of_tables(matches)
    return _joined(of_each(_matched, matches))


def _matched(path: Location) -> Found:
    try:
        if path.is_dir():
            return _found_in(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if isinstance(path, Path) and (problem := dangling(path)):
        raise InputError(problem)
    return Found(candidates=[Candidate(path=path)])


def _joined(parts: Iterable[Found]) -> Found:
    found = Found()
    for part in parts:
        found.candidates += part.candidates
        for why, paths in part.passed_over.items():
            found.passed_over.setdefault(why, []).extend(paths)
    return found


def _found_in(folder: Location) -> Found:
    if table_kind(folder):
        return Found(candidates=[Candidate(path=folder)])
    _refuse_part_of_table(folder, folder)
    return _files_in(folder)


def _refuse_parts_of_tables(files: Iterable[Location]) -> None:
    first = {file.parent: file for file in files if file.suffix == ".parquet"}
    for folder, file in first.items():
        _refuse_part_of_table(file, folder)


def _refuse_part_of_table(path: Location, folder: Location) -> None:
    """A file of a table may hold rows that the table holds no more."""
    while "=" in folder.name:
        folder = folder.parent
    for table in (folder, *([folder.parent] if folder.name in PARTS_OF_TABLES else [])):
        kind = table_kind(table)
        if kind:
            raise InputError(
                f"{path}: is part of the {TITLES[kind]} {table}, which alone knows which of its rows still "
                f"count; name the table"
            )


def _is_pattern(path: Location) -> bool:
    return glob.has_magic(path.key if isinstance(path, RemotePath) else str(path))


def _matches(path: Location) -> Sequence[Location]:
    if not _is_pattern(path):
        return []
    if isinstance(path, Path):
        return matching(path)
    plain = next((index for index, part in enumerate(path.parts) if glob.has_magic(part)), len(path.parts))
    folder = replace(path, key="/".join(path.parts[:plain]))
    return folder.glob("/".join(path.parts[plain:]))


def _files_in(folder: Location) -> Found:
    """All that may be part of a log below a folder; the log of a raw folder of the toolkit is taken alone."""
    begin = len(folder.parts)
    below = files_below(folder) if isinstance(folder, Path) else folder.rglob("*")
    everything = {PurePath(*path.parts[begin:]): path for path in below}
    tables = [root for root in table_roots(everything) if not is_hidden(root)]
    files = {
        relative: path
        for relative, path in everything.items()
        if not any(table in relative.parents for table in tables)
    }
    _refuse_unreadable(files)
    found = Found()
    found.candidates = [Candidate(path=folder / table, folder=folder) for table in tables]
    for relative, path in files.items():
        _sort_out(relative, path, folder, found)
    found.candidates.sort(key=lambda candidate: candidate.path)
    _keep_log_of_toolkit(found, folder)
    if not found.candidates:
        raise InputError(_without_logs(folder, found))
    return found


def _refuse_unreadable(files: Mapping[PurePath, Location]) -> None:
    wrong = [path for name, path in files.items() if not is_hidden(name) and not _is_text(path)]
    problems = [f"{shortened(str(path))}: its name is not UTF-8 text; rename it" for path in sorted(wrong)]
    problems += [
        f"{path}: is no file but a pipe, a socket or a device; name it by itself, or remove it"
        for name, path in sorted(files.items())
        if likelihood(name.name) in {"sure", "likely"} and not is_hidden(name) and not path.is_file()
    ]
    if problems:
        raise InputError(*problems)


def _sort_out(relative: PurePath, path: Location, folder: Location, found: Found) -> None:
    likely = likelihood(relative.name)
    if is_hidden(relative):
        if likely == "sure":
            found.pass_over("with names that begin with . or _ passed over", path)
    elif likely == "none" or (likely == "unlikely" and not path.is_file()):
        found.pass_over("not named like logs passed over", path)
    else:
        found.candidates.append(Candidate(path=path, likelihood=likely, folder=folder))


def _keep_log_of_toolkit(found: Found, folder: Location) -> None:
    logs = {folder / f"{INVOCATION_LOG_STEM}{suffix}" for suffix in _TOOLKIT_SUFFIXES}
    kept = [candidate for candidate in found.candidates if logs & {candidate.path, candidate.path.parent}]
    if not kept:
        return
    for candidate in found.candidates:
        if candidate not in kept and candidate.path.stem not in _OF_THE_TOOLKIT:
            found.pass_over(f"beside {kept[0].path.name} passed over", candidate.path)
    found.candidates = kept


def _without_logs(folder: Location, found: Found) -> str:
    passed = sum(map(len, found.passed_over.values()))
    has = f"; none of its {passed:,} files has the name of one" if passed else ""
    return f"{folder}: holds no log; expected files such as {', '.join(LOG_SUFFIXES[:5])} in it{has}"


def _is_text(path: Location) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))
