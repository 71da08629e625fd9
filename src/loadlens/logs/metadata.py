"""What files that loadlens wrote say of themselves: saved profiles and converted logs."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from os import PathLike
from typing import Any, Final

import polars as pl

from loadlens.errors import InputError
from loadlens.logs.discovery import find_files
from loadlens.logs.files import CHECKSUM, FACTS, DataFile, content_digest, inspect_columns, kind_of
from loadlens.logs.findings import Findings
from loadlens.messages import counted, listed, shortened
from loadlens.schema import CANONICAL_COLUMNS, ERROR_COLUMNS, LATENCY, MAX_TIME_S
from loadlens.storage.location import Location, PathSource, RemotePath

__all__ = [
    "PROFILE_FACTS",
    "PROFILE_FORMAT",
    "SOURCES",
    "SavedProfile",
    "content_of",
    "joint_findings",
    "key_of_converted",
    "logged_times_of_converted",
    "lost_warning",
    "refuse_counted",
    "refuse_doubled",
    "refuse_other_keys",
    "refuse_unknown",
    "refuse_unverified",
    "rejected_before_conversion",
    "saved_columns",
    "saved_findings",
    "saved_profile",
    "saved_profiles",
    "saved_width",
    "sources_of_converted",
    "success_rule_of",
    "told_columns",
    "warnings_of_converted",
]


SOURCES: Final = f"{FACTS}:sources"
"""Under which name a converted log has the logs that it was made of in the metadata, with their digests."""

PROFILE_FACTS: Final = "loadlens:profile"
"""Under which name a saved profile has its facts in the metadata, as JSON."""

PROFILE_FORMAT: Final = 4

_LEFT_BEHIND: Final = ("billed_duration", "init_duration", "request_size", "cold_start")
"""Columns that a cost is made of, and that a profile does not keep."""

_MOST_ROWS_PER_BYTE: Final = 1000
"""More rows than a profile of any log has; a file that says so would fill the memory."""


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


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_second(value: object) -> bool:
    return value is None or (isinstance(value, int) and abs(value) <= MAX_TIME_S)


def _is_time(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) <= MAX_TIME_S)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_sources(value: object) -> bool:
    names = ("file", "content")
    return isinstance(value, list) and all(
        isinstance(item, dict) and all(isinstance(item.get(name), str) for name in names) for item in value
    )


def _are_findings(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    left_out = value.get("left_out", {})
    return (
        _is_count(value.get("rejected", 0))
        and _are_texts(value.get("warnings", []))
        and isinstance(left_out, dict)
        and all(map(_is_count, left_out.values()))
    )


def _is_error(value: object) -> bool:
    return isinstance(value, float) and 0 <= value < 1


_FACTS: Final[Mapping[str, Callable[[object], bool]]] = {
    "loadlens_version": lambda value: isinstance(value, str),
    "key": _are_texts,
    "columns": _are_texts,
    "errors": lambda value: _are_texts(value) and set(value) <= set(ERROR_COLUMNS),  # type: ignore[call-overload]  # texts
    "success": lambda value: isinstance(value, str),
    "rows": _is_count,
    "num_seconds": _is_count,
    "num_further": _is_count,
    "window_s": lambda value: value is None or (_is_count(value) and value in range(1, 2**40)),
    "measures": _are_texts,
    "window_is_fitted": lambda value: isinstance(value, bool),
    "first_s": _is_time,
    "last_s": _is_time,
    "first_second": _is_second,
    "last_second": _is_second,
    "sources": _are_sources,
    "findings": _are_findings,
    "relative_error": _is_error,
}
"""What the facts are, and what they can be."""


@dataclass(frozen=True, kw_only=True)
class SavedProfile:
    """A file that holds a profile.

    Attributes:
        file: the file.
        facts: what its metadata says: ``format``, ``loadlens_version`` and ``polars_version`` that wrote it;
            ``key``; ``columns`` that the logs had and the profile can tell of; ``errors``, the error columns
            among them; ``success``, the rule by which calls count as successful; ``rows``; ``first_s`` and
            ``last_s`` on the logs' clock and its resolution, ``resolution_s``; ``num_seconds``,
            ``first_second``, ``last_second`` of its seconds; ``num_further``, the rows of its timeline,
            ``window_s``, the width of its windows (None without a timeline), and ``window_is_fitted``,
            whether nobody asked for that; ``sources``, the logs, each with ``file``, ``bytes``, ``format``
            and ``content``; ``findings``, what was rejected or left out, and what the logs cannot tell;
            ``relative_error``, the bound of that of latencies.
    """

    file: DataFile
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, ...]:
        """The configuration columns."""
        return tuple(self.facts["key"])

    @property
    def rows(self) -> int:
        """How many calls were counted."""
        return int(self.facts["rows"])

    @cached_property
    def key_types(self) -> dict[str, pl.DataType]:
        """The types of the configuration columns."""
        types = dict(self.file.columns)
        return {name: types[f"key:{name}"] for name in self.key}

    @property
    def contents(self) -> dict[str, str]:
        """The logs behind it by what tells their content apart, with their names."""
        return {source["content"]: str(source["file"]) for source in self.facts["sources"]}


def saved_profile(file: DataFile) -> SavedProfile | None:
    """The profile that a file holds; None if it is something else.

    Raises:
        InputError: the profile is of another format, or damaged.
    """
    text = file.metadata.get(PROFILE_FACTS)
    if text is None:
        return None
    again = "make it again from the log with `loadlens profile`"
    try:
        facts = json.loads(text)
        found = facts["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{file.path}: is a damaged profile: its facts cannot be read; {again}") from None
    if found != PROFILE_FORMAT:
        raise InputError(
            f"{file.path}: is a profile of format {shortened(found)}, expected {PROFILE_FORMAT}; read it "
            f"with the loadlens that wrote it, or {again}"
        )
    if not file.is_verified:
        raise InputError(f"{file.path}: is a profile without a checksum, so it may be damaged; {again}")
    wrong = _wrong_facts(facts, file)
    if wrong:
        raise InputError(f"{file.path}: is a damaged profile: it lacks {listed(wrong)}; {again}")
    return SavedProfile(file=file, facts=facts)


def _wrong_facts(facts: Mapping[str, object], file: DataFile) -> list[str]:
    """What of the facts is missing or cannot be so."""
    wrong = [name for name, is_sound in _FACTS.items() if name not in facts or not is_sound(facts[name])]
    columns = {name for name, _ in file.columns}
    if "key" not in wrong:
        wrong += [name for name in facts["key"] if f"key:{name}" not in columns]  # type: ignore[attr-defined]  # texts
    has_seconds = bool(facts.get("num_seconds"))
    span = (facts.get("first_second"), facts.get("last_second"))
    if any((second is not None) != has_seconds for second in span):
        wrong.append("the span of its seconds")
    if file.rows > _MOST_ROWS_PER_BYTE * file.size:
        wrong.append("rows of a believable number")
    return wrong


def saved_profiles(
    source: PathSource | Iterable[PathSource], options: Mapping[str, str] | None = None
) -> tuple[SavedProfile, ...]:
    """The saved profiles that paths, globs and folders lead to.

    Args:
        source: where they are.
        options: options of object stores.

    Raises:
        InputError: nothing is there, or a file is no profile, or damaged.
    """
    if source is None or not isinstance(source, str | PathLike | RemotePath | Iterable):
        raise InputError(f"path: got {shortened(source)}, expected the path of a saved profile")
    found = find_files(source, options).candidates
    paths = [one.path for one in found if one.likelihood == "sure" or kind_of(one.path) == "parquet"]
    return tuple(map(_known_profile, paths))


def _known_profile(path: Location) -> SavedProfile:
    kind = kind_of(path)
    profile = saved_profile(inspect_columns(path, kind)) if kind == "parquet" else None
    if profile is None:
        raise InputError(
            f"{path}: is no saved profile; make one with `loadlens profile LOGS --out RUN.profile`"
        )
    return profile


def told_columns(columns: Iterable[str], key: Sequence[str], success: str) -> list[str]:
    """The columns of a log that a profile of it can tell of."""
    measured = ["invocation_latency", "start_time", "end_time", "response_size", "error"]
    flags = [name for name in CANONICAL_COLUMNS if name.endswith(("_exception", "_error"))]
    kept = {*key, *measured, *flags, *(["success"] if success == "success" else [])}
    return [name for name in columns if name in kept]


def saved_columns(saved: Sequence[SavedProfile]) -> dict[str, pl.DataType]:
    """The columns that all profiles can tell of, with their types, the key columns first."""
    first = saved[0]
    shared = set.intersection(*({*profile.key, *profile.facts["columns"]} for profile in saved))
    types = {
        name: CANONICAL_COLUMNS[name].dtype for name in first.facts["columns"] if name in CANONICAL_COLUMNS
    }
    types = {**first.key_types, **types, **first.key_types}
    return {name: dtype for name, dtype in types.items() if name in shared}


def success_rule_of(columns: Iterable[str]) -> str:
    """By what calls of a log with these columns count as successful where nobody says otherwise."""
    return "success" if "success" in columns else f"{LATENCY} > 0"


def saved_width(saved: Sequence[SavedProfile]) -> int | None:
    """The smallest width in s that the windows of all profiles come to; None where some have none."""
    widths = [profile.facts["window_s"] for profile in saved if profile.rows]
    return None if not widths or None in widths else lcm(*widths)


def lost_warning(columns: Iterable[str], key: Sequence[str]) -> list[str]:
    """What a cost is made of and a profile by ``key`` of a log with these columns loses, as a sentence."""
    lost = [name for name in _LEFT_BEHIND if name in columns and name not in key]
    return [f"profiles keep no {listed(lost)}, which the log has: costs come from latencies"] if lost else []


def refuse_counted(saved: Sequence[SavedProfile], files: Iterable[DataFile]) -> None:
    """Refuses logs that profiles beside them hold already.

    Raises:
        InputError: names a profile and the log.
    """
    holders = {content: profile for profile in saved for content in profile.contents}
    for file in files:
        profile = holders.get(content_of(file))
        if profile:
            raise InputError(
                f"{profile.file.path} holds the log {file.path} already, whose calls would count twice; "
                f"leave one out, or pass --force (force=True) if it is meant"
            )


def refuse_unknown(name: str, key: Sequence[str], columns: Sequence[str], wanted: Iterable[str]) -> None:
    """Refuses columns that a profile cannot tell of.

    Args:
        name: what to call the profile.
        key: its configuration columns.
        columns: all columns that it can tell of.
        wanted: the columns that are needed.

    Raises:
        InputError: it lacks some.
    """
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(
            f"{name}: is a saved profile by {_named(key)}, which cannot tell {listed(missing)}; "
            f"profile the log again with these in its key (--by), or analyse the log itself"
        )


def refuse_other_keys(saved: Sequence[SavedProfile], by: Sequence[str] | None = None) -> None:
    """Refuses profiles that do not merge.

    Args:
        saved: the profiles.
        by: columns that all of them must have; without them, their keys must be the same.

    Raises:
        InputError: keys, or the rules of success, differ.
    """
    first = saved[0]
    for other in saved:
        if by is not None:
            refuse_unknown(str(other.file.path), other.key, other.key, by)
        elif set(other.key) != set(first.key):
            raise InputError(
                f"{first.file.path} is a profile by {_named(first.key)}, {other.file.path} by "
                f"{_named(other.key)}; bring them to columns that both have with "
                f"`loadlens merge --by COLUMN --out MERGED.profile`, or profile the logs again by one key"
            )
        if other.facts["success"] != first.facts["success"]:
            raise InputError(
                f"{first.file.path} counts calls as successful by '{first.facts['success']}', "
                f"{other.file.path} by '{other.facts['success']}'; such profiles do not merge"
            )


def _named(key: Sequence[str]) -> str:
    return ", ".join(key) or "nothing"


def refuse_doubled(saved: Sequence[SavedProfile]) -> None:
    """Refuses profiles of which two hold the same log.

    Raises:
        InputError: names the profiles and the log.
    """
    seen: dict[str, SavedProfile] = {}
    for profile in saved:
        for content, name in profile.contents.items():
            other = seen.setdefault(content, profile)
            if other is not profile:
                raise InputError(
                    f"{other.file.path} and {profile.file.path} both hold the log {name}, whose calls would "
                    f"count twice; leave one out, or merge them with `loadlens merge --force` if it is meant"
                )


def saved_findings(saved: Sequence[SavedProfile], *, with_logs: bool = False) -> Findings:
    """What is known of the logs behind profiles, and that figures come from profiles.

    Args:
        saved: the profiles.
        with_logs: whether there are logs beside them, of which nothing is known here.
    """
    rejected: int = sum(profile.facts["findings"].get("rejected", 0) for profile in saved)
    left_out: Counter[str] = Counter()
    warnings: dict[str, None] = {}
    for profile in saved:
        left_out.update(profile.facts["findings"].get("left_out", {}))
        warnings |= dict.fromkeys(profile.facts["findings"].get("warnings", []))
    rows = sum(profile.rows for profile in saved)
    files = "a saved profile" if len(saved) == 1 else counted(len(saved), "saved profile")
    bound = max(profile.facts["relative_error"] for profile in saved)
    beside = ", and from logs read in one pass" if with_logs else ""
    calls = counted(rows, "call")
    sentences = [f"figures come from {files} of {calls}{beside}: percentiles are off by at most {bound:.1%}"]
    if rejected:
        sentences.append(f"{counted(rejected, 'row was', 'rows were')} rejected when the logs were profiled")
    return Findings(rows=rows, left_out=left_out, warnings=[*sentences, *warnings], earlier=rejected)


def joint_findings(saved: Sequence[SavedProfile], own: Findings, lost: Sequence[str]) -> Findings:
    """What is known of the logs behind profiles and of those beside them.

    Args:
        saved: the profiles.
        own: what the scan of the logs beside them has found.
        lost: what the profiles' figures leave out of these logs, one sentence each.
    """
    found = saved_findings(saved, with_logs=True)
    sentences = found.warnings
    found.merge(own)
    found.warnings = [*sentences, *own.warnings, *lost]
    found.passed_over = own.passed_over
    return found


def content_of(file: DataFile) -> str:
    """What tells a file's content apart, wherever it lies: a digest of its size, beginning and end."""
    if not file.version:
        return content_digest(file.path, file.size)
    # A table has no bytes of its own.
    return hashlib.sha256(f"{file.size}:{file.path}:{file.version}".encode()).hexdigest()[:32]
