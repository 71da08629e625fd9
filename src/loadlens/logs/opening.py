"""From paths to opened files: what each of them is, and how its rows are scanned."""

import io
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Final, cast

import polars as pl

from loadlens.dialects import (
    RefusedFormatError,
    UnknownFormatError,
    detect,
    dialect_called,
    open_reader,
    refuse_transactions,
)
from loadlens.dialects.base import Level
from loadlens.dialects.canonical import LOADLENS_CSV
from loadlens.errors import InputError, LoadlensError, UsageError
from loadlens.keywords import Takes, checked_arguments, checked_options
from loadlens.logs.calls import Calls
from loadlens.logs.column_map import ColumnMap
from loadlens.logs.copies import appended, copies_among, keep_one_form
from loadlens.logs.discovery import Candidate, Found, NameKeys
from loadlens.logs.discovery import key_from_name as compile_name_keys
from loadlens.logs.files import DataFile, hive_columns, inspect_columns, kind_of, modified_ns
from loadlens.logs.findings import Findings, MaxRejects
from loadlens.logs.labels import Naming
from loadlens.logs.mapped_text import mapped_dialect, mapped_frame
from loadlens.logs.metadata import PROFILE_FACTS, key_of_converted
from loadlens.logs.text_log import TextFile, scan_text
from loadlens.logs.typed_tables import (
    canonical_frame,
    constant,
    good_rows,
    joined_frames,
    raw_scan,
    scan_files,
)
from loadlens.messages import counted, listed, passed_over_sentences, told_once
from loadlens.storage.local import Spool, distinct_names
from loadlens.storage.location import Location, RemotePath, of_each, size_of
from loadlens.storage.secrets import StorageOptions
from loadlens.text.stream import (
    DAMAGED,
    HEAD_BYTES,
    ArchiveError,
    Head,
    compression_of,
    decompressed,
    read_head,
)
from loadlens.text.typed_rows import PARSE_ERRORS

__all__ = ["Level", "Opened", "Reading", "as_data_file", "named", "open_files", "scan_tabular", "text_file"]


_STORAGE: Final = Takes(
    lambda value: isinstance(value, StorageOptions),
    "StorageOptions; Reading.of makes them of plain values",
    is_secret=True,
)

_COLUMNAR_MAGIC: Final = (b"PAR1", b"ARRO")
_LOG: Final = logging.getLogger(__name__)
_NOT_A_LOG: Final = "in no known format passed over"


@checked_options
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read.

    Attributes:
        format: the name of the dialect of text files; without it, their content tells.
        column_map: which columns of any table are what, in the place of a dialect.
        level: what a row is where a log has both: a request or a transaction.
        durations: whether requests have the further durations that their tool logs as columns, in ms.
        keep_query: whether names that are absolute URLs keep query and fragment.
        label_template: whether ids in the paths of labels become ``{id}``.
        key_from_name: columns that the names of files tell.
        max_rejects: how many rows may be rejected.
        force: whether calls that several files hold may count several times.
        spill_folder: where standard input and pipes are kept while they are read.
        storage_options: options of object stores, such as ``aws_region``, under the names of Polars.
    """

    format: str | None = None
    column_map: ColumnMap | None = None
    level: Level = "requests"
    durations: bool = False
    keep_query: bool = False
    label_template: bool = False
    key_from_name: NameKeys | None = None
    max_rejects: MaxRejects = field(default_factory=MaxRejects)
    force: bool = False
    spill_folder: Path | None = None
    storage_options: Annotated[StorageOptions, _STORAGE] = field(default_factory=StorageOptions)

    def __post_init__(self) -> None:
        """Raises a UsageError for a dialect that there is none of, and a level beside a map of columns."""
        if self.format is not None:
            dialect_called(self.format)
        if self.column_map and self.level != "requests":
            raise UsageError(
                f"level: {self.level} cannot be told by a map of columns; leave out --level or --map"
            )

    def measuring(self, measures: Sequence[object]) -> "Reading":
        """The same with the durations that tools log, where any measures are asked for."""
        return replace(self, durations=True) if measures else self

    @classmethod
    @checked_arguments()
    def of(
        cls,
        *,
        format: str | None = None,  # noqa: A002  # the name that the command line has for it
        column_map: ColumnMap | Iterable[str] | None = None,
        no_header: bool = False,
        level: str = "requests",
        durations: bool = False,
        keep_query: bool = False,
        label_template: bool = False,
        key_from_name: str | None = None,
        max_rejects: str | int = 0,
        force: bool = False,
        spill_folder: str | PathLike[str] | None = None,
        storage_options: Mapping[str, str] | Iterable[str] | None = None,
    ) -> "Reading":
        """Understands what a caller says.

        Args:
            format: the name of the dialect of text files; without it, their content tells.
            column_map: which columns of any table are what: ``["latency=elapsed:ms", "end=ts:epoch_ms"]``.
            no_header: whether CSV files read by a map have no header; it names their columns ``c1``, ``c2``
                and so on.
            level: what a row is where a log has both: ``"requests"``, or ``"transactions"``, such as
                JMeter's transaction controllers.
            durations: whether requests have the further durations that their tool logs as columns, such as
                ``connect_ms`` and ``first_byte_ms`` of JMeter.
            keep_query: whether labels that are absolute URLs keep query and fragment.
            label_template: whether ids in the paths of labels (numbers, UUIDs, hexadecimal runs) become
                ``{id}``.
            key_from_name: a regular expression over file names whose named groups become columns.
            max_rejects: how many rows may be rejected: a count, or a percentage such as ``"0.5%"``.
            force: whether calls that several files hold may count several times.
            spill_folder: where standard input (``"-"``) and pipes are kept while they are read; without it,
                where the system puts temporary files.
            storage_options: options of object stores, such as ``{"aws_region": "eu-west-1"}``, under the
                names that Polars has for them.

        Raises:
            UsageError: an argument cannot be understood.
        """
        return cls(
            format=format,
            column_map=_column_map(column_map, no_header=no_header),
            level=cast("Level", level),
            durations=durations,
            keep_query=keep_query,
            label_template=label_template,
            key_from_name=None if key_from_name is None else compile_name_keys(key_from_name),
            max_rejects=MaxRejects.parse(str(max_rejects)),
            force=force,
            spill_folder=None if spill_folder is None else Path(spill_folder),
            storage_options=StorageOptions.parse(storage_options),
        )


def _column_map(given: ColumnMap | Iterable[str] | None, *, no_header: bool) -> ColumnMap | None:
    if no_header and given is None:
        raise UsageError(
            "no_header: without a map of columns a log's content tells whether it has a header; "
            "leave out --no-header, or say which column is what with --map latency=c1:ms"
        )
    if given is None or isinstance(given, ColumnMap):
        return replace(given, no_header=True) if given and no_header else given
    entries = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not all(isinstance(entry, str) for entry in entries):
        raise UsageError(f"column_map: got {given!r}, expected texts such as ['latency=elapsed:ms']")
    return ColumnMap.parse(entries, no_header=no_header)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What is read and what is not.

    Attributes:
        tabular: the columnar files and tables.
        text: the text files.
        by_file: whether they are of several runs, which the column ``file`` tells apart.
        passed_over: files that are not read on purpose: why, and their paths.
        copies: which files hold the same calls, a clause for each, and the names of all but the first of
            them; none where that is meant.
        appended: which files hold the same rows several times, a clause for each; none where that is meant.
    """

    tabular: tuple[DataFile, ...]
    text: tuple[TextFile, ...]
    by_file: bool
    passed_over: Mapping[str, Sequence[str]]
    copies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    appended: tuple[str, ...] = ()


_LogFile = DataFile | TextFile
_Opening = _LogFile | InputError


def open_files(found: Found, options: Reading) -> Opened:
    """The columnar files and the text files among what was found, each looked at but not read.

    Raises:
        InputError: lists every file that cannot be read, and folders that hold no log.
    """
    opened: dict[Location, _Opening] = {}

    def open_once(candidate: Candidate) -> _Opening:
        if candidate.path not in opened:
            opened[candidate.path] = _inspected(candidate, options)
        return opened[candidate.path]

    if not options.force:
        keep_one_form(
            found,
            open_once,
            lambda candidate: not _no_log(candidate, open_once(candidate)),
            lambda candidate: _calls_of(open_once(candidate), options),
        )
    for candidate in filter(lambda candidate: _piped(candidate.path), found.candidates):
        open_once(candidate)  # here, as an interrupt does not reach other threads
    left = {candidate.path: candidate for candidate in found.candidates if candidate.path not in opened}
    of_each(lambda path: open_once(left[path]), list(left))
    pairs = [(candidate, open_once(candidate)) for candidate in found.candidates]
    problems: list[tuple[str, str]] = []
    for candidate, file in pairs:
        why, name = _no_log(candidate, file), str(candidate.path)
        if why:
            found.pass_over(why, candidate.path)
        elif isinstance(file, InputError):
            problems += [(name, problem.removeprefix(f"{name}: ")) for problem in file.problems]
    told = [*_problems_of_folders(pairs), *told_once(problems)]
    if told:
        raise InputError(*told)
    files = [file for _, file in pairs if not isinstance(file, InputError)]
    logs = [file for file in files if not _is_profile(file)]
    named = _with_names(logs)
    tabular = [file for file in logs if isinstance(file, DataFile)]
    text = [file for file in logs if isinstance(file, TextFile)]
    for sentence in passed_over_sentences(found.passed_over):
        _LOG.warning(sentence)
    return Opened(
        tabular=tuple(file for file in (*filter(_is_profile, files), *named) if isinstance(file, DataFile)),
        text=tuple(file for file in named if isinstance(file, TextFile)),
        by_file=_are_runs(logs),
        passed_over=found.passed_over,
        copies={} if options.force else copies_among(tabular, text),
        appended=() if options.force else tuple(filter(None, map(appended, text))),
    )


def _calls_of(file: _Opening, options: Reading) -> Calls | None:
    """What the calls of a file come to; None where it cannot be read, which its reading will tell."""
    try:
        if isinstance(file, TextFile):
            return Calls.of(scan_text([file], Findings(), None), file.name, file.dialect.name)
        if isinstance(file, DataFile) and not _is_profile(file):
            return Calls.of(scan_tabular([file], options, good=True), file.name, file.kind)
    except (LoadlensError, *PARSE_ERRORS):
        pass
    return None


def _no_log(candidate: Candidate, file: _Opening) -> str:
    """Why a file of a folder is passed over; empty for logs, and for what should be one."""
    if candidate.folder is None or not isinstance(file, InputError):
        return ""
    if isinstance(file, RefusedFormatError):
        return f"without single calls ({file.refused.title}) passed over"
    is_empty = candidate.likelihood == "unlikely" and not size_of(candidate.path)
    no_log = isinstance(file, UnknownFormatError | ArchiveError) and candidate.likelihood != "sure"
    return _NOT_A_LOG if is_empty or no_log else ""


def _problems_of_folders(pairs: Sequence[tuple[Candidate, _Opening]]) -> list[str]:
    """One line for each kind of file in folders that hold no log."""
    kinds: dict[Location, dict[str, list[InputError]]] = {}
    logs = {candidate.folder for candidate, file in pairs if not _no_log(candidate, file)}
    for candidate, file in pairs:
        if candidate.folder and candidate.folder not in logs and isinstance(file, InputError):
            why = _no_log(candidate, file).removesuffix(" passed over")
            kinds.setdefault(candidate.folder, {}).setdefault(why, []).append(file)
    return [
        f"{folder}: holds no log, only {counted(len(errors), 'file')} {why}{_told(errors[0])}"
        for folder, found in kinds.items()
        for why, errors in found.items()
    ]


def _told(error: InputError) -> str:
    if isinstance(error, RefusedFormatError):
        return f": {error.refused.reason}; {error.refused.advice}"
    return f", such as {error.problems[0]}"


def _is_profile(file: _LogFile) -> bool:
    return isinstance(file, DataFile) and PROFILE_FACTS in file.metadata


def _with_names(files: list[_LogFile]) -> list[_LogFile]:
    """Several files with the column ``file``: the shortest paths that tell them apart; else as they are."""
    if len(files) == 1 or any("file" in _columns_of(file) for file in files):
        return files
    names = distinct_names(file.path for file in files)
    return [
        replace(file, constants=(*file.constants, ("file", name)))
        for file, name in zip(files, names, strict=True)
    ]


def _columns_of(file: _LogFile) -> Collection[str]:
    return (
        file.schema if isinstance(file, TextFile) else {name for name, _ in (*file.columns, *file.constants)}
    )


def _are_runs(files: Sequence[_LogFile]) -> bool:
    """Whether files are of several runs: logs of tools, or files of one name in several folders.

    Other canonical files are parts of one log, and so are partitions.
    """
    of_tools = [file for file in files if _is_of_a_tool(file)]
    names = Counter(file.path.name for file in files if not file.constants)
    return len(of_tools) > 1 or any(count > 1 for count in names.values())


def _is_of_a_tool(file: _LogFile) -> bool:
    if isinstance(file, DataFile):
        return bool(key_of_converted(file))
    return file.dialect.name != LOADLENS_CSV.name


def _inspected(candidate: Candidate, options: Reading) -> _Opening:
    path = candidate.path
    try:
        _refuse_endless(path, options)
        kind = kind_of(path)
        if kind == "text":
            return text_file(path, options, is_sure=candidate.likelihood == "sure")
        if options.level != "requests":
            raise refuse_transactions(f"{path}: {kind}")
        file = inspect_columns(path, kind)
        constants = (*file.constants, *_name_columns(path, options, [name for name, _ in file.columns]))
        return replace(file, constants=constants)
    except InputError as error:
        return error


def _piped(path: Location) -> Spool | None:
    store = path.store if isinstance(path, RemotePath) else None
    return store if isinstance(store, Spool) else None


def _refuse_endless(path: Location, options: Reading) -> None:
    """Refuses a pipe that begins like no log before all that comes through it is kept.

    Raises:
        InputError: it is no log.
    """
    piped = _piped(path)
    if piped is None or options.column_map:
        return
    begin = piped.begin
    if begin[:4] in _COLUMNAR_MAGIC or compression_of(begin) == "zip":  # known by their ends
        return
    with suppress(*DAMAGED):
        stream = io.BytesIO(begin)
        data = decompressed(path, stream, compression_of(begin)) if compression_of(begin) else stream
        head = Head(path=path, data=data.read(HEAD_BYTES), size=len(begin))
        detect(head, options.format)


def _name_columns(path: Location, options: Reading, columns: Collection[str]) -> list[tuple[str, str | None]]:
    """The columns that the name of a file tells; the file itself must not have them."""
    told = options.key_from_name.values(path) if options.key_from_name else {}
    doubled = [name for name in told if name in columns]
    if doubled:
        raise InputError(
            f"{path}: has the column {listed(doubled)} already, which its name is to give too; "
            f"give the group another name"
        )
    return list(told.items())


def text_file(path: Location, options: Reading, *, is_sure: bool = True) -> TextFile:
    """Opens a text file, whose dialect its content tells unless ``options`` do.

    Args:
        path: the file.
        options: how it is read.
        is_sure: whether it has to be a log: else it need not have the columns of a map.

    Raises:
        InputError: it cannot be read, or is in no known format.
    """
    head = read_head(path)
    dialect = mapped_dialect(options.column_map) if options.column_map else detect(head, options.format)
    if options.column_map and not is_sure and not dialect.matches(head):
        raise UnknownFormatError(f"{path}: lacks columns of the map")
    reader = open_reader(dialect, head, options.level, durations=options.durations)
    constants = (*hive_columns(path), *_name_columns(path, options, reader.schema))
    naming = Naming(cuts=dialect.logs_urls and not options.keep_query, template=options.label_template)
    file = TextFile(head=head, dialect=dialect, reader=reader, constants=constants, naming=naming)
    file.check_constants()
    return file


def scan_tabular(files: Sequence[DataFile], options: Reading, *, good: bool = False) -> pl.LazyFrame:
    """Scans columnar files into canonical columns, by the map of columns if there is one.

    Args:
        files: the files.
        options: how they are read.
        good: whether rows that break a rule are left out.
    """
    if options.column_map is None:
        frame = scan_files(files, good=good)
        is_named = not options.label_template and all(key_of_converted(file) for file in files)
        return frame if is_named else named(frame, options)
    frames = [
        mapped_frame(raw_scan([file]), options.column_map, str(file.path)).with_columns(
            constant(file.path, name, text) for name, text in dict(file.constants).items()
        )
        for file in files
    ]
    frame = canonical_frame(joined_frames(frames), "the log")
    return named(good_rows(frame) if good else frame, options)


def named(frame: pl.LazyFrame, options: Reading) -> pl.LazyFrame:
    """Canonical columns of a table, its labels without credentials and, if asked for, with ids replaced.

    A user has named these calls, so that nothing is cut.
    """
    if "label" not in frame.collect_schema():
        return frame
    return frame.with_columns(Naming(cuts=False, template=options.label_template).of(pl.col("label")))


def as_data_file(file: TextFile) -> DataFile:
    """A text file as others see it; its rows are estimated from its first lines."""
    head = file.head
    rows = head.text_bytes * max(len(head.lines), 1) // len(head.data)
    return DataFile(
        path=head.path,
        kind="text",
        columns=tuple(file.schema.items()),
        constants=file.constants,
        size=head.size,
        rows=rows,
        modified_ns=modified_ns(head.path),
    )
