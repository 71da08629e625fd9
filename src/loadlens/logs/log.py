"""A log: a canonical LazyFrame that remembers where it came from, so that errors can say where."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Concatenate, Final, ParamSpec, Union

import polars as pl

from loadlens.dialects import refuse_transactions
from loadlens.errors import InputError, UsageError
from loadlens.keywords import checked_arguments
from loadlens.logs.copies import look_for_same_runs
from loadlens.logs.discovery import find_files
from loadlens.logs.files import DataFile, refuse_changed
from loadlens.logs.findings import Findings
from loadlens.logs.mapped_text import mapped_frame, table_warnings
from loadlens.logs.metadata import (
    SavedProfile,
    key_of_converted,
    logged_times_of_converted,
    refuse_counted,
    refuse_doubled,
    refuse_other_keys,
    refuse_unknown,
    refuse_unverified,
    rejected_before_conversion,
    saved_columns,
    saved_findings,
    saved_profile,
    success_rule_of,
    warnings_of_converted,
)
from loadlens.logs.opening import Opened, Reading, as_data_file, named, open_files, scan_tabular
from loadlens.logs.text_log import TextFile, scan_text
from loadlens.logs.typed_tables import (
    ArrowDataset,
    ArrowStream,
    TypedRows,
    canonical_frame,
    collect_stream,
    explain,
    good_rows,
    joined_frames,
    rows_of_file,
    scan_dataset,
    set_aside,
)
from loadlens.messages import NOT_ANALYSED, Shown, brief, counted, counted_kind, grouped, listed, told_once
from loadlens.native.truncation import Truncation, surviving_truncation
from loadlens.schema import CONFIGURATION_COLUMNS, LATENCY, Rule, rules_for
from loadlens.storage.location import PathSource, RemotePath, secrets_of
from loadlens.storage.secrets import cause_of
from loadlens.text.common_types import has_no_text

__all__ = ["Log", "Reading", "Source", "is_in_memory", "open_log", "read_log", "reading", "scan_log"]


TIMES: Final = ("start_time", "end_time")

Source = Union[PathSource, Iterable[PathSource], pl.LazyFrame, pl.DataFrame, ArrowStream, ArrowDataset, "Log"]

DEFAULT_KEY: Final = ("label", "method", "app", *CONFIGURATION_COLUMNS, "cold_start")
"""The columns that tell rows apart where no dialect says which."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Log(Shown):
    """Rows of invocations under their canonical columns.

    Attributes:
        frame: the rows, not yet read.
        columns: the names of the frame's columns.
        files: the files behind it; none for a frame from memory.
        name: what messages call it.
        raw: the rows as they were given, before their columns were cast and any were set aside.
        num_rows: how many rows a table in memory has; None for other logs.
        key: the columns that naturally tell its rows apart.
        text: the text files among the files.
        findings: what the last scan of the text files found.
        saved: saved profiles in the place of rows; ``frame`` then has columns alone.
        unsaved: the logs beside saved profiles, which are counted in one pass; None where there are none.
        options: how it was read.
        is_sifted: whether its rows that break a rule have been left out.
        logged_times: which of ``start_time`` and ``end_time`` all of its files hold as their tools wrote
            them, and not as derived from the other by a latency.
        finer_times: how the tools that wrote it are told to log finer times, a clause each.
        is_at_hand: whether its rows have been put where they are cheap to read again.
        spilled_bytes: size of the temporary file that they then lie in, else 0.
    """

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    files: tuple[DataFile, ...] = ()
    name: str = "the log"
    raw: pl.LazyFrame
    num_rows: int | None = None
    key: tuple[str, ...] = ()
    text: tuple[TextFile, ...] = ()
    findings: Findings = field(default_factory=Findings)
    saved: tuple[SavedProfile, ...] = ()
    unsaved: "Log | None" = None
    options: Reading | None = None
    is_sifted: bool = False
    logged_times: tuple[str, ...] = TIMES
    finer_times: tuple[str, ...] = ()
    is_at_hand: bool = False
    spilled_bytes: int = 0

    @property
    def headline(self) -> str:
        """Its name, its natural key and how many columns it has."""
        return f"{self.name}, {grouped(self.key)}, {counted(len(self.columns), 'column')}"

    @property
    def typed_files(self) -> tuple[DataFile, ...]:
        """The files whose rows are typed, and so obey no rule before somebody looks."""
        return tuple(file for file in self.files if file.kind != "text")

    @property
    def is_dear(self) -> bool:
        """Whether its rows are dear to read again: text, objects of a store, a query of unknown cost."""
        if self.is_at_hand:
            return False
        remote = any(isinstance(file.path, RemotePath) for file in self.files)
        return bool(self.text) or remote or (not self.files and self.num_rows is None)

    @property
    def open_rules(self) -> tuple[Rule, ...]:
        """The rules that a scan has to check: those that reading has not, nor statistics in files."""
        files = self.typed_files
        if self.is_sifted or (self.files and not files):
            return ()
        sound = frozenset[str].intersection(*(file.sound for file in files)) if files else frozenset()
        return tuple(rule for rule in rules_for(self.columns) if not rule.needs <= sound)

    @property
    def must_be_sifted(self) -> bool:
        """Whether only a look at each file tells which rows break a rule, as files differ in columns."""
        files = self.typed_files
        if self.is_sifted or not files or len(self.files) == 1:
            return False
        told = [_ruled_columns(file) for file in self.files]
        return len(files) < len(self.files) or any(names != told[0] for names in told)

    def sifted(self) -> "Log":
        """The log without the rows of its typed tables that break a rule, which its findings then tell.

        They are looked for once; from then on every scan adds them to what it finds.

        Raises:
            InputError: they are more than may be rejected, or all rows.
        """
        if self.is_sifted:
            return self
        options = self.options or Reading()
        if self.findings.aside is None:
            aside = Findings()
            set_aside(self._typed_rows(options), aside, options.max_rejects)
            self.findings.aside = aside
            self.findings.become(self.findings.anew())
            if not self.text:  # else the scan of the text judges all of them together
                self.findings.check(options.max_rejects)
        frame = self._good_rows(options) if self.findings.aside.rejected else self.frame
        return replace(self, frame=frame, is_sifted=True)

    def _typed_rows(self, options: Reading) -> list[TypedRows]:
        if not self.files:
            return [TypedRows.of(self.raw, self.name, options.column_map)]
        return [rows_of_file(file, options.column_map) for file in self.typed_files]

    def _good_rows(self, options: Reading) -> pl.LazyFrame:
        if not self.typed_files:
            return good_rows(self.frame)
        frames = [scan_tabular(self.typed_files, options, good=True)]
        if self.text:
            frames.append(scan_text(self.text, self.findings, options.max_rejects))
        return joined_frames(frames)

    def refuse_copies(self, key: Iterable[str]) -> None:
        """Refuses calls that are there twice, in one file or several, unless it is meant.

        Several files may hold the same calls where the key tells them apart by file.

        Args:
            key: what the log is grouped by.

        Raises:
            InputError: names the files.
        """
        is_meant = self.options is None or self.options.force
        by_file = "file" in key and any("file" in dict(file.constants) for file in self.files)
        if is_meant:
            return
        options = self.options or Reading()
        with reading(self):
            look_for_same_runs(
                self.typed_files,
                self.text,
                self.findings,
                lambda file: scan_tabular([file], options, good=True),
            )
        self.findings.refuse_copies(by_file=by_file)

    def refuse_odd_keys(self, key: Iterable[str]) -> None:
        """Refuses key columns whose values no table can show, or whose type holds no single values.

        Raises:
            InputError: names each of them, its type and what to do.
        """
        tables = [(str(file.path), dict(file.columns)) for file in self.typed_files if not self.saved]
        tables = tables or [(self.name, dict(self.frame.collect_schema()))]
        expected = "expected text, numbers, truth values or dates to group by; convert it first, as to text"
        odd = told_once(
            (where, f"column {name} is {columns[name]}, {expected}")
            for where, columns in tables
            for name in dict.fromkeys(key)
            if name in columns and _is_odd_key(columns[name])
        )
        if odd:
            raise InputError(*odd)

    def without_rows(self) -> str:
        """What is wrong with a log that turned out to have no row to count."""
        left_out = [counted_kind(count, what) for what, count in sorted(self.findings.left_out.items())]
        only = f" to count, only {listed(left_out)}" if left_out else ""
        named = [
            f"{brief(what.removeprefix(NOT_ANALYSED))} ({count:,})"
            for what, count in self.findings.facts.items()
            if what.startswith(NOT_ANALYSED)
        ]
        return f"{self.name}: has no rows{only}" + (f", among them of {listed(named)}" if named else "")

    def require(self, columns: Iterable[str], needed_for: str = "") -> None:
        """Raises an InputError that lists all of ``columns`` that are missing, for each file.

        Args:
            columns: what must be there.
            needed_for: what the columns are needed for, where not every analysis needs them.
        """
        wanted = list(columns)
        if self.unsaved:
            self.unsaved.require(wanted, needed_for)
        if self.saved:
            refuse_unknown(self.name, self.key, self.columns, wanted)
        tables = [
            (str(file.path), list(dict.fromkeys(name for name, _ in (*file.columns, *file.constants))))
            for file in (() if self.saved else self.files)
        ] or [(self.name, list(self.columns))]
        lacking = ((name, _missing(wanted, columns, needed_for)) for name, columns in tables)
        found = told_once((name, problem) for name, problem in lacking if problem)
        if found and self.files and not self.saved and LATENCY in wanted and LATENCY not in self.columns:
            path = self.files[0].path
            found[-1] += f"; say which column is what with --map (`loadlens inspect {path}` proposes how)"
        if found:
            raise InputError(*found)


def _is_odd_key(dtype: pl.DataType) -> bool:
    return has_no_text(dtype) or dtype in (pl.Int128, pl.UInt128)


def _ruled_columns(file: DataFile) -> frozenset[str]:
    """The canonical columns of a file in which a missing value breaks a rule."""
    names = {name for name, _ in (*file.columns, *file.constants)}
    return frozenset(names & {"success", *CONFIGURATION_COLUMNS})


def _missing(wanted: Sequence[str], columns: Sequence[str], needed_for: str) -> str:
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return ""
    noun = "column" if len(missing) == 1 else "columns"
    purpose = f", needed for {needed_for}" if needed_for else ""
    own = [name for name in columns if name != "file"]  # which tells files apart
    return f"missing {noun}: {listed(missing)}{purpose}; it has: {listed(own)}"


def open_log(
    source: Source,
    *,
    required: Iterable[str] = (LATENCY,),
    name: str = "the log",
    reading: Reading | None = None,
) -> Log:
    """Opens any source as a canonical log, checking its columns but reading no rows yet.

    Args:
        source: what to open; a log that is open already stays as it is.
        required: columns that it must have.
        name: what messages call a table from memory.
        reading: how files are read.

    Raises:
        InputError: nothing is there, it cannot be read, or ``required`` columns are missing.
    """
    reading = reading or Reading()
    log = source if isinstance(source, Log) else _from_memory(source, name, reading)
    if log is None:
        log = _from_paths(source, reading)  # type: ignore[arg-type]  # what is not from memory is paths
    log.require(required)
    return log


def is_in_memory(source: object) -> bool:
    """Whether a source is a table, or a log that is open already, and no path."""
    return isinstance(source, Log | pl.LazyFrame | pl.DataFrame | ArrowStream | ArrowDataset)


def _from_memory(source: Source, name: str, options: Reading) -> Log | None:
    num_rows = None
    if options.level != "requests" and isinstance(
        source, pl.LazyFrame | pl.DataFrame | ArrowStream | ArrowDataset
    ):
        raise refuse_transactions(f"{name}: a table in memory")
    if isinstance(source, pl.LazyFrame):
        frame = source
    elif isinstance(source, pl.DataFrame):
        frame, num_rows = source.lazy(), source.height
    elif isinstance(source, ArrowStream):
        table = collect_stream(source, name)
        frame, num_rows = table.lazy(), table.height
    elif isinstance(source, ArrowDataset):
        frame = scan_dataset(source)
    else:
        return None
    brought: tuple[tuple[str, str], ...] = ()
    with reading(None):
        mapped = frame
        if options.column_map:
            brought = tuple(
                (name, text) for text in table_warnings(frame.collect_schema(), options.column_map)
            )
            mapped = mapped_frame(frame, options.column_map, name)
        canonical = named(canonical_frame(mapped, name), options)
        columns = tuple(canonical.collect_schema())
    key = _natural_key(DEFAULT_KEY, columns)
    return Log(
        frame=canonical,
        columns=columns,
        name=name,
        raw=frame,
        num_rows=num_rows,
        key=key,
        findings=Findings(brought=brought),
        options=options,
        logged_times=options.column_map.logged_times if options.column_map else TIMES,
    )


def _from_paths(source: PathSource | Iterable[PathSource], options: Reading) -> Log:
    if not isinstance(source, str | PathLike | RemotePath | Iterable):
        got = type(source).__name__
        raise InputError(f"a log must be paths, a LazyFrame, a DataFrame or an Arrow table, got {got}")
    opened = open_files(find_files(source, options.storage_options, options.spill_folder), options)
    found = [saved_profile(file) for file in opened.tabular]
    saved = tuple(profile for profile in found if profile)
    unsaved = [file for file, profile in zip(opened.tabular, found, strict=True) if profile is None]
    if saved and not unsaved and not opened.text:
        log = _saved_log(saved, None, options)
        log.findings.passed_over = opened.passed_over
        return log
    log = _log_of_files(unsaved, opened, options)
    return _saved_log(saved, log, options) if saved else log


def _log_of_files(tabular: Sequence[DataFile], opened: Opened, options: Reading) -> Log:
    text = opened.text
    if not text and not any(file.rows for file in tabular):
        raise InputError(*[f"{file.path}: has columns but no rows" for file in tabular])
    for file in tabular:
        refuse_unverified(file)
    brought = tuple((str(file.path), text) for file in tabular for text in _brought_by(file, options))
    earlier = sum(map(rejected_before_conversion, tabular))
    findings = Findings(
        passed_over=opened.passed_over,
        brought=brought,
        copies=opened.copies,
        appended=opened.appended,
        earlier=earlier,
    )
    with reading(None):
        frames = [scan_tabular(tabular, options)] if tabular else []
        if text:
            frames.append(scan_text(text, findings, options.max_rejects))
        frame = joined_frames(frames)
        columns = tuple(frame.collect_schema())
    if options.column_map:
        mapped = tuple(frame.collect_schema().items())
        tabular = [replace(file, columns=mapped) for file in tabular]
    files = (*tabular, *map(as_data_file, text))
    natural = [name for file in text for name in file.dialect.key]
    natural += [name for file in tabular for name in key_of_converted(file) or DEFAULT_KEY]
    several = ["file"] if opened.by_file else []
    return Log(
        frame=frame,
        columns=columns,
        files=files,
        name=_name_of(files),
        raw=frame,
        key=_natural_key([*natural, *_named_columns(options), *several], _columns_of_all(files)),
        text=tuple(text),
        findings=findings,
        options=options,
        logged_times=_logged_times(tabular, text, options),
        finer_times=tuple(
            dict.fromkeys(file.dialect.finer_times for file in text if file.dialect.finer_times)
        ),
    )


def _brought_by(file: DataFile, options: Reading) -> list[str]:
    """What a columnar file cannot tell, one sentence each."""
    found = warnings_of_converted(file)
    return found + table_warnings(dict(file.columns), options.column_map) if options.column_map else found


def _saved_log(saved: tuple[SavedProfile, ...], unsaved: Log | None, options: Reading) -> Log:
    """A log of saved profiles and of the logs beside them, which are counted by the profiles' key."""
    if options.label_template and "label" in saved[0].key:
        raise UsageError(
            f"{saved[0].file.path}: is a saved profile, whose labels are counted already; profile the log "
            f"again with --label-template, or leave it out"
        )
    refuse_other_keys(saved)
    if not options.force:
        refuse_doubled(saved)
        refuse_counted(saved, unsaved.files if unsaved else ())
    columns = saved_columns(saved)
    if unsaved:
        _refuse_beside(saved, unsaved)
        columns = {name: dtype for name, dtype in columns.items() if name in unsaved.columns}
    frame = pl.LazyFrame(schema=columns)
    files = (*(profile.file for profile in saved), *(unsaved.files if unsaved else ()))
    return Log(
        frame=frame,
        columns=tuple(columns),
        files=files,
        name=_name_of(files),
        raw=frame,
        key=saved[0].key,
        findings=saved_findings(saved, with_logs=unsaved is not None),
        saved=saved,
        unsaved=unsaved,
    )


def _refuse_beside(saved: Sequence[SavedProfile], log: Log) -> None:
    """Refuses a log that cannot be counted together with profiles."""
    rule, other = success_rule_of(log.columns), saved[0].facts["success"]
    if rule != other:
        raise InputError(
            f"{log.name}: its calls count as successful by '{rule}', those of {saved[0].file.path} by "
            f"'{other}'; analyse them apart"
        )


def _logged_times(tabular: Sequence[DataFile], text: Sequence[TextFile], options: Reading) -> tuple[str, ...]:
    """The times that no file derives from another by a latency."""
    told = [file.dialect.logged_times for file in text]
    mapped = options.column_map.logged_times if options.column_map else None
    told += [mapped or logged_times_of_converted(file) or TIMES for file in tabular]
    return tuple(name for name in TIMES if all(name in names for names in told))


def _name_of(files: Sequence[DataFile]) -> str:
    return str(files[0].path) if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"


def _natural_key(names: Iterable[str], columns: Collection[str]) -> tuple[str, ...]:
    wanted = [*names, "cold_start"]
    return tuple(name for name in dict.fromkeys(wanted) if name in columns)


def _columns_of_all(files: Iterable[DataFile]) -> set[str]:
    """The columns that no file lacks."""
    sets = [{name for name, _ in (*file.columns, *file.constants)} for file in files]
    return set.intersection(*sets)


def _named_columns(options: Reading) -> Sequence[str]:
    return options.key_from_name.columns if options.key_from_name else ()


_Keywords = ParamSpec("_Keywords")
_Opening = Callable[[Source, Reading], Log]


def _with_keywords_of(
    understand: Callable[_Keywords, Reading],
) -> Callable[[_Opening], Callable[Concatenate[Source, _Keywords], Log]]:
    """Makes a function that opens a source take how to read it as the keywords of ``understand``."""

    def decorate(opening: _Opening) -> Callable[Concatenate[Source, _Keywords], Log]:
        def opened(source: Source, *none: _Keywords.args, **keywords: _Keywords.kwargs) -> Log:
            return opening(source, understand(*none, **keywords))

        opened.__name__ = opened.__qualname__ = opening.__name__
        opened.__doc__ = opening.__doc__
        return checked_arguments(understand)(opened)  # type: ignore[return-value]  # the source may be named too

    return decorate


@_with_keywords_of(Reading.of)
def read_log(source: Source, how: Reading) -> Log:
    """Opens a log for several analyses.

    Args:
        source: as for ``scan_log``.
        how: given as the keywords of ``Reading.of``, such as ``column_map=["latency=elapsed:ms"]``.

    Returns:
        The log, which every analysis takes as its source. Its ``findings`` tell, after an analysis, what
        was rejected or left out, and what the log cannot tell.

    Raises:
        InputError: nothing is there, it cannot be read, or it has no latencies.
        UsageError: an argument cannot be understood.
    """
    return open_log(source, reading=how)


@checked_arguments()
def scan_log(
    source: Source, *, force: bool = False, storage_options: Mapping[str, str] | None = None
) -> pl.LazyFrame:
    """Scans a log lazily into its canonical columns.

    Args:
        source: a path, glob or folder of logs of any known dialect (hive partitions become columns), a list
            of them, a Polars frame, any table that speaks the Arrow stream interface (which is read into
            memory), or a PyArrow dataset.
        force: whether all forms of a log are read, such as a Parquet file and the text of the same name
            beside it.
        storage_options: options of object stores, for paths such as ``s3://bucket/folder``.

    Returns:
        A LazyFrame with the canonical columns that the log has, in canonical types (latency in ms,
        times in s, sizes in bytes, memory in MB), and its other columns as they are (text from CSV).
        A scan of text that has bad rows raises an InputError in the end; ``read_log`` allows some.

    Raises:
        InputError: nothing is there, it cannot be read, or it has no ``invocation_latency``.
    """
    return open_log(source, reading=Reading.of(force=force, storage_options=storage_options)).frame


@contextmanager
def reading(log: Log | None) -> Iterator[None]:
    """Turns what Polars raises while it reads ``log`` into an InputError that says where and what.

    Nor may a file of the log have changed in the end, whatever came of reading it.
    """
    files = log.files if log else ()
    with surviving_truncation() as truncation:
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, InputError) as error:
            _refuse_changed_or_cut(files, truncation)
            if isinstance(error, InputError):
                raise
            secrets = [secret for file in files for secret in secrets_of(file.path)]
            problems = explain(files, log.name if log else "the log", error)
            raise InputError(*problems) from cause_of(error, secrets)
        _refuse_changed_or_cut(files, truncation)


def _refuse_changed_or_cut(files: Sequence[DataFile], truncation: Truncation) -> None:
    refuse_changed(files)
    if truncation.happened:
        raise InputError("a file was cut short while it was read; analyse it once nothing writes to it")
