"""A log in several forms, such as a Parquet file beside the text that it was made of: one of them is read."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from loadlens.sources.calls import Calls
from loadlens.sources.converted import key_of_converted, sources_of_converted
from loadlens.sources.filenames import COLUMNAR, stem_of
from loadlens.sources.files import DataFile
from loadlens.sources.finding import Candidate, Found
from loadlens.sources.storage.location import Location, size_of, store_of
from loadlens.sources.storage.stamps import content_digest, modified_ns
from loadlens.sources.wording import counted

__all__ = ["keep_one_form", "newest_form"]

_LIKE_AGE_NS: Final = 60 * 10**9
_OLDER = "passed over, as another form of the same log is newer"
_STALE = "passed over, as the log that they were converted from holds other calls by now"
_COVERED = "passed over for a Parquet or Arrow form of the same log, which is not older"


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
