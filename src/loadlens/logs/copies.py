"""The same calls twice: copies of a file, a file behind itself, one log in several forms."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, TypeVar

import polars as pl

from loadlens.logs.calls import FEWEST_CALLS, Calls, same_runs, values_of
from loadlens.logs.discovery import Candidate, Found
from loadlens.logs.files import DataFile, content_digest, extents, modified_ns
from loadlens.logs.findings import Findings
from loadlens.logs.metadata import key_of_converted, sources_of_converted
from loadlens.logs.text_log import TextFile, scan_text
from loadlens.messages import counted
from loadlens.storage.local import COLUMNAR, stem_of
from loadlens.storage.location import Location, read_part, size_of, store_of
from loadlens.text.stream import open_stream

__all__ = ["appended", "copies_among", "keep_one_form", "look_for_same_runs", "newest_form"]


_MOST_TIMES: Final = 4
_CHUNK_BYTES: Final = 2**20
_LOOK_BYTES: Final = 2**12
_Read = Callable[[int, int], bytes]

_LIKE_AGE_NS: Final = 60 * 10**9
_OLDER = "passed over, as another form of the same log is newer"
_STALE = "passed over, as the log that they were converted from holds other calls by now"
_COVERED = "passed over for a Parquet or Arrow form of the same log, which is not older"

_SAMPLE_BYTES: Final = 2**14
_SAMPLES: Final = 16
_MOST_TOLD: Final = 12
_MOST_OF_ONE_SIZE: Final = 1000


def appended(file: TextFile) -> str:
    """Which rows of a text file are there again behind themselves, as a clause; empty where none are.

    That is what comes of ``cat run.csv run.csv``, with the header again or without it. Rows have to tell
    times, and enough of them have to differ: others may be the same by chance. Almost all logs are known
    for single ones by a look at a few kilobytes.
    """
    if not {"start_time", "end_time"} & set(file.schema):
        return ""
    size, read = _text_of(file)
    for begin, end in _bodies(file, size, read):
        for times in range(_MOST_TIMES, 1, -1):
            if (end - begin) % times == 0 and _is_repeated(read, begin, end, (end - begin) // times):
                return f"{file.name} holds the same rows {times} times, one behind the other"
    return ""


def _text_of(file: TextFile) -> tuple[int, _Read]:
    """How much text a file has, and what reads parts of it; none where it would have to be unpacked."""
    head = file.head
    if head.is_whole:
        return len(head.data), lambda start, size: head.data[start : start + size]
    is_at_hand = isinstance(head.path, Path) and not head.compression
    return head.size if is_at_hand else 0, lambda start, size: read_part(head.path, start, size)


def _bodies(file: TextFile, size: int, read: _Read) -> Iterator[tuple[int, int]]:
    """Where rows may begin and end: with or without a header, and what closes an XML document."""
    if not size:
        return
    last = read(max(size - _LOOK_BYTES, 0), _LOOK_BYTES)
    ends = [size]
    if last.rstrip().endswith(b">"):
        ends.append(size - len(last) + last.rstrip().rfind(b"\n") + 1)
    begins = [0]
    for _ in range(2):
        line_end = file.head.data.find(b"\n", begins[-1])
        if line_end >= 0:
            begins.append(line_end + 1)
    for end in ends:
        for begin in begins:
            # The last line may lack its line break, which then stands only between the copies.
            yield from ((begin, end),) if last.endswith(b"\n") or end < size else ((begin, end + 1),)


def _is_repeated(read: _Read, begin: int, end: int, period: int) -> bool:
    """Whether what lies ``period`` bytes behind each byte is the same byte."""
    if period < FEWEST_CALLS:
        return False
    for start in (begin, begin + (end - begin - period) // 2, max(end - period - _LOOK_BYTES, begin)):
        if not _is_same(read, start, start + period, min(_LOOK_BYTES, end - period - start)):
            return False
    lines = set(read(begin, min(period, _CHUNK_BYTES)).splitlines())
    return len(lines) >= FEWEST_CALLS and all(
        _is_same(read, start, start + period, min(_CHUNK_BYTES, end - period - start))
        for start in range(begin, end - period, _CHUNK_BYTES)
    )


def _is_same(read: _Read, one: int, other: int, size: int) -> bool:
    first, second = read(one, size), read(other, size)
    return first == second or (first.endswith(b"\n") and first[:-1] == second)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """Files that are one form of a log: one file, or those of a folder such as ``run.parquet``."""

    path: PurePath
    files: tuple[Candidate, ...]

    @property
    def preference(self) -> int:
        suffix = self.path.suffix.lower()
        return COLUMNAR.index(suffix) if suffix in COLUMNAR else len(COLUMNAR)

    @property
    def is_columnar(self) -> bool:
        return self.preference < len(COLUMNAR)

    @property
    def modified_ns(self) -> int:
        return max(modified_ns(file.path) or 0 for file in self.files)


def keep_one_form(
    found: Found,
    opened: Callable[[Candidate], object],
    is_log: Callable[[Candidate], bool],
    calls_of: Callable[[Candidate], Calls | None],
) -> None:
    """Passes over Parquet and Arrow files that are older than the text of the same stem, else over the text.

    A file that ``convert`` wrote has the calls of the text it was made of, else it is passed over whatever
    its age. Where nothing says what a columnar file was made of, and both were written at about the same
    time, as by a checkout or from an archive, ages tell little: it is said if they hold different calls.

    Args:
        found: loses the candidates that are passed over.
        opened: opens a candidate: a ``DataFile`` where it has typed columns.
        is_log: whether a candidate turns out to be a log.
        calls_of: what the calls of a candidate come to; None where they cannot be read.
    """
    left_out: set[int] = set()
    for forms in _forms(found.candidates):
        rest = sorted(forms, key=lambda form: form.preference)
        while len(rest) > 1 and rest[0].is_columnar:
            first, *others = rest
            file = opened(first.files[0]) if len(first.files) == 1 else None
            others = [form for form in others if not _is_of_other_logs(file, form)]
            newer = [form for form in others if not _covers(first, file, form, calls_of)]
            read = [form for form in newer if any(map(is_log, form.files))]
            dropped = [first] if read else [form for form in others if form not in newer]
            for form in dropped:
                left_out |= {id(candidate) for candidate in form.files}
                read_path = (read or [first])[0].path
                is_known = isinstance(file, DataFile) and bool(sources_of_converted(file))
                doubt = "" if read or is_known else _doubt(first, form, calls_of)
                why = _why_left_out(first, file, read) if read else _COVERED + doubt
                found.pass_over(why, f"{_shown(form)} ({read_path.name} is read)")
            rest = rest[1:] if read else []
    found.candidates = [candidate for candidate in found.candidates if id(candidate) not in left_out]


def newest_form(paths: Iterable[Location]) -> tuple[Location | None, str]:
    """Of the forms of one log that exist, the first that is not older than the others, and what to say of it.

    Args:
        paths: the forms, the preferred first.
    """
    there = [path for path in paths if path.exists()]
    if len(there) < 2:  # noqa: PLR2004  # nothing to choose
        return next(iter(there), None), ""
    newest = max(modified_ns(path) or 0 for path in there)
    chosen = next(path for path in there if (modified_ns(path) or 0) == newest)
    others = ", ".join(path.name for path in there if path != chosen)
    why = "is not older" if chosen == there[0] else "is newer"
    return chosen, f"{chosen} is read and not {others} beside it: it {why}"


def _forms(candidates: Iterable[Candidate]) -> list[list[_Form]]:
    """The forms of each log that has several, one of them columnar."""
    files: dict[tuple[str, PurePath], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if candidate.is_named:  # each of the forms is asked for
            continue
        files[store_of(candidate.path), _form_path(candidate)].append(candidate)
    logs: dict[tuple[str, PurePath], list[_Form]] = defaultdict(list)
    for (store, path), own in files.items():
        logs[store, stem_of(path)].append(_Form(path=path, files=tuple(own)))
    return [forms for forms in logs.values() if len(forms) > 1 and any(form.is_columnar for form in forms)]


def _form_path(candidate: Candidate) -> PurePath:
    """The path of a file, or of the outermost folder that is named like a columnar file."""
    path = PurePath(*candidate.path.parts)
    begin = len(candidate.folder.parts) if candidate.folder else len(path.parts)
    for count in range(begin + 1, len(path.parts)):
        if PurePath(path.parts[count - 1]).suffix.lower() in COLUMNAR:
            return PurePath(*path.parts[:count])
    return path


def _is_of_other_logs(file: object, form: _Form) -> bool:
    """Whether a converted file says that it was made of logs of other names."""
    sources = sources_of_converted(file) if isinstance(file, DataFile) else {}
    stems = {stem_of(PurePath(source)).name for source in sources}
    return bool(stems) and stem_of(form.path).name not in stems


def _covers(first: _Form, file: object, form: _Form, calls_of: Callable[[Candidate], Calls | None]) -> bool:
    """Whether a columnar form has all that another has: it is not older, nor made of another content."""
    if first.modified_ns < form.modified_ns:
        return False
    sources = sources_of_converted(file) if isinstance(file, DataFile) else {}
    contents = [content for name, content in sources.items() if PurePath(name).name == form.path.name]
    if contents and len(form.files) == 1:
        path = form.files[0].path
        return content_digest(path, size_of(path)) in contents
    # Converted before digests of the sources were kept.
    is_of_unknown = isinstance(file, DataFile) and not sources and bool(key_of_converted(file))
    return not (is_of_unknown and _other_calls(first, form, calls_of))


def _why_left_out(first: _Form, file: object, read: Iterable[_Form]) -> str:
    is_older = any(first.modified_ns < form.modified_ns for form in read)
    return _OLDER if is_older or not isinstance(file, DataFile) or sources_of_converted(file) else _STALE


def _doubt(first: _Form, form: _Form, calls_of: Callable[[Candidate], Calls | None]) -> str:
    """What else is to be said of two forms whose ages do not tell which is the log; empty if they are one."""
    differ = first.modified_ns - form.modified_ns <= _LIKE_AGE_NS and _other_calls(first, form, calls_of)
    if not differ:
        return ""
    return (
        f" but holds {differ}: written within a minute, they do not tell by their ages which is meant, so "
        f"name that one"
    )


def _other_calls(first: _Form, form: _Form, calls_of: Callable[[Candidate], Calls | None]) -> str:
    """In what way two forms hold different calls; empty where they do not, or cannot be compared."""
    if len(first.files) > 1 or len(form.files) > 1:
        return ""
    one, other = calls_of(first.files[0]), calls_of(form.files[0])
    if one is None or other is None or one.is_same_run(other):
        return ""
    return "other calls" if one.rows == other.rows else f"{counted(one.rows, 'call')}, not {other.rows:,}"


def _shown(form: _Form) -> object:
    return form.files[0].path if len(form.files) == 1 else form.path


_Item = TypeVar("_Item")


def copies_among(tabular: Sequence[DataFile], text: Sequence[TextFile]) -> dict[str, tuple[str, ...]]:
    """Which files have the same content, whatever their names, links and compression.

    Files of which the paths tell different columns, such as ``day=1`` and ``day=2``, are different. Whole
    files are compared only where size, beginning and samples are the same, up to the first difference.

    Returns:
        A clause for each kind of content, and the names of all files with it but the first.
    """
    paths = [*(file.path for file in tabular), *(file.path for file in text)]
    linked = list(_alike(paths, _identity))
    names = {path for group in linked for path in group[1:]}
    own = [file for file in text if file.path not in names]
    groups = [[file.path for file in group] for group in _same_text(own) if _has_rows(group[0])]
    own_tables = [file for file in tabular if file.rows and not file.version and file.path not in names]
    groups += _same_bytes(own_tables)
    found = {f"{_listed(group)} are one file": _copies_in(group) for group in linked}
    found |= {f"{_listed(group)} have the same content": _copies_in(group) for group in groups}
    return dict(list((found | dict(_held(tabular, text))).items())[:_MOST_TOLD])


def _copies_in(group: Sequence[Location]) -> tuple[str, ...]:
    return tuple(str(path) for path in group[1:])


def look_for_same_runs(
    typed: Sequence[DataFile],
    text: Sequence[TextFile],
    findings: Findings,
    scan: Callable[[DataFile], pl.LazyFrame],
) -> None:
    """Looks what the calls of files come to where another file seems to have the same ones.

    What text holds is known once it has been scanned. Files of typed columns are scanned for it only where
    their number of calls and their extents leave that open.

    Args:
        typed: files of typed columns.
        text: files of text.
        findings: what a scan of the text has found; they are told of the calls of typed columns.
        scan: the canonical rows of a file of typed columns.
    """
    for file in [*_of_two_forms(typed, findings), *_of_one_kind(typed)]:
        if file.name not in findings.typed_calls:
            findings.typed_calls[file.name] = Calls.of(scan(file), file.name, file.kind)
    texts = {file.name: file for file in text}
    # What has other values than the one before it may have those of one before that.
    while unknown := _of_unknown_values([*findings.calls, *findings.typed_calls.values()]):
        for calls in unknown:
            calls.values = values_of(scan_text([texts[calls.path]], Findings(), None))


def _of_unknown_values(files: Sequence[Calls]) -> list[Calls]:
    """The files whose values have to tell whether they are one run; two formats of text spell them apart."""
    pairs = [
        pair for pair in same_runs(files) if any(calls.values for calls in pair) or _is_one_format(*pair)
    ]
    return [calls for pair in pairs for calls in pair if calls.values is None]


def _is_one_format(one: Calls, other: Calls) -> bool:
    return one.dialect == other.dialect


def _of_two_forms(typed: Sequence[DataFile], findings: Findings) -> Iterator[DataFile]:
    """The files of as many calls as another one of another format."""
    counts = {(calls.dialect, calls.rows) for calls in findings.calls}
    counts |= {(file.kind, file.rows) for file in typed}
    most_rejected = findings.rejected
    for file in typed:
        if file.rows >= FEWEST_CALLS and any(
            dialect != file.kind and 0 <= file.rows - rows <= most_rejected for dialect, rows in counts
        ):
            yield file


def _of_one_kind(typed: Sequence[DataFile]) -> Iterator[DataFile]:
    """The files of as many calls as another one of their format, and of the same extents of columns."""
    enough = [file for file in typed if file.rows >= FEWEST_CALLS and not file.version]
    groups = _alike(enough, lambda file: (file.kind, file.rows, _told_apart(file)))
    # So many files of one size are pieces of one log; opening the footer of each takes its time.
    for group in (group for group in groups if len(group) <= _MOST_OF_ONE_SIZE):
        for same in _alike(group, lambda file: extents(file.path) if file.kind == "parquet" else ()):
            yield from same


def _told_apart(file: DataFile) -> tuple[tuple[str, str | None], ...]:
    """The columns that a file's path tells, but for its name."""
    return tuple((name, value) for name, value in file.constants if name != "file")


def _identity(path: Location) -> Hashable:
    """What paths have in common that lead to one file, through hard or symbolic links or named again."""
    if not isinstance(path, Path):
        return path
    status = path.stat()
    return status.st_dev, status.st_ino


def _same_text(files: Iterable[TextFile]) -> Iterator[list[TextFile]]:
    """Groups of text files with the same decompressed content."""
    for group in _alike(files, lambda file: (file.constants, _digest(file.head.data))):
        if group[0].head.is_whole:
            yield group
        else:
            yield from _equal(group, _is_same_text)


def _is_same_text(one: TextFile, other: TextFile) -> bool:
    compressed = one.head.compression or other.head.compression
    if not compressed and not _may_be_same_bytes(one.path, other.path):
        return False
    with open_stream(one.path) as first, open_stream(other.path) as second:
        while chunk := first.read(_CHUNK_BYTES):
            if chunk != second.read(_CHUNK_BYTES):
                return False
        return not second.read(1)


def _same_bytes(files: Iterable[DataFile]) -> Iterator[list[Location]]:
    """Groups of files that are the same byte for byte."""
    for group in _alike(files, lambda file: (file.constants, file.size)):
        yield from _equal([file.path for file in group], _is_same_bytes)


def _is_same_bytes(one: Location, other: Location) -> bool:
    size = size_of(one)
    return _may_be_same_bytes(one, other) and all(
        read_part(one, start, _CHUNK_BYTES) == read_part(other, start, _CHUNK_BYTES)
        for start in range(0, size, _CHUNK_BYTES)
    )


def _may_be_same_bytes(one: Location, other: Location) -> bool:
    """Whether two files are of one size and the same at some places, both ends among them."""
    size = size_of(one)
    places = {max(size - _SAMPLE_BYTES, 0) * number // (_SAMPLES - 1) for number in range(_SAMPLES)}
    return size == size_of(other) and all(
        read_part(one, start, _SAMPLE_BYTES) == read_part(other, start, _SAMPLE_BYTES)
        for start in sorted(places, reverse=True)
    )


def _has_rows(file: TextFile) -> bool:
    """Whether a file has a row that counts: many runs leave files with a header alone."""
    return scan_text([file], Findings(), None).head(1).collect().height > 0


def _held(tabular: Sequence[DataFile], text: Sequence[TextFile]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Which logs a converted file beside them was made of: a clause for each, and the log's name."""
    holders: dict[str, DataFile] = {}
    for file in tabular:
        for name, content in sources_of_converted(file).items():
            other = holders.setdefault(content, file)
            if other is not file:
                yield f"{other.path} and {file.path} were both made of {name}", (str(file.path),)
    if holders:
        files = [file.path for file in tabular if not file.version]
        for path in (*files, *(file.path for file in text)):
            holder = holders.get(content_digest(path, size_of(path)))
            if holder:
                yield f"{holder.path} was made of {path}", (str(path),)


def _alike(items: Iterable[_Item], trait: Callable[[_Item], Hashable]) -> Iterator[list[_Item]]:
    """Items of which several have one trait, together."""
    found: dict[Hashable, list[_Item]] = defaultdict(list)
    for item in items:
        found[trait(item)].append(item)
    return (group for group in found.values() if len(group) > 1)


def _equal(items: Iterable[_Item], is_same: Callable[[_Item, _Item], bool]) -> Iterator[list[_Item]]:
    """Items of which several are the same, together."""
    groups: list[list[_Item]] = []
    for item in items:
        for group in groups:
            if is_same(group[0], item):
                group.append(item)
                break
        else:
            groups.append([item])
    return (group for group in groups if len(group) > 1)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _listed(paths: Sequence[Location]) -> str:
    rest = len(paths) - 2
    return f"{paths[0]} and {paths[1]}" + (f" and {rest:,} more" if rest else "")
