"""A log's files in parts that other processes can open, and what a worker does there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import polars as pl

from loadlens.dialects import NestingReader
from loadlens.engine.counting import Profiles, layers_of, look_again, profiles_of_rows
from loadlens.engine.refine import ChangedError
from loadlens.engine.scan import Scan
from loadlens.engine.selections import Looked, Selections, Wanted
from loadlens.engine.slicing import first_start, sliced_part
from loadlens.engine.tally import Layer, Layers
from loadlens.errors import LoadlensError
from loadlens.logs.files import DataFile, changed_files, row_groups
from loadlens.logs.findings import Findings
from loadlens.logs.log import Log, Reading, reading
from loadlens.logs.opening import scan_tabular, text_file
from loadlens.logs.text_log import TextFile, common_schema, scan_text
from loadlens.logs.typed_tables import absent, good_rows
from loadlens.profile.execution import MeasureOptions
from loadlens.profile.measures import broken_told
from loadlens.profile.plan import SUCCESS_RULES, Plan, Rows, success_rule
from loadlens.profile.profile import Profile
from loadlens.profile.progress import Limits, Tracker
from loadlens.profile.slices import Edges
from loadlens.storage.location import absolute
from loadlens.text.common_types import as_type

__all__ = [
    "Counts",
    "Part",
    "PartitionChangedError",
    "PartitionError",
    "Task",
    "count_partition",
    "first_start_of_partition",
    "look_at_partition",
    "open_part",
    "parts_of",
    "plain_plan",
]


_BYTES_PER_ROW = 16  # of a compressed log, whose rows nothing tells


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of a log's files, or some rows of one of them.

    Attributes:
        files: the files, all of them text or none.
        first_row: the first row of a part of a single file, from 0.
        num_rows: how many rows of a single file; None for files as a whole.
        options: how the files are read.
        text_columns: what the columns of the log's text files come to together.
        is_all_text: whether these are all the text files of the log.
        good: whether rows that break a rule are left out, as somebody else has told them.
    """

    files: tuple[DataFile, ...]
    first_row: int = 0
    num_rows: int | None = None
    options: Reading
    text_columns: tuple[tuple[str, pl.DataType], ...] = ()
    is_all_text: bool = True
    good: bool = False

    def __str__(self) -> str:
        name = self.files[0].name
        if self.num_rows is not None:
            return f"{name}, rows {self.first_row + 1:,} to {self.first_row + self.num_rows:,}"
        return name if len(self.files) == 1 else f"{name} and {len(self.files) - 1} more"

    @property
    def rows(self) -> int:
        """How many rows there are about."""
        return self.num_rows if self.num_rows is not None else sum(map(_rows_of, self.files))


def parts_of(log: Log, most_rows: int) -> list[Part]:
    """Divides the files of a log into parts of about ``most_rows`` rows.

    Large Parquet files are cut between row groups and Arrow files between rows; text files stay whole, and
    so do tables. Several small files of one sort make one part.
    """
    # The names of files have told their columns, and the rejected rows of all parts are judged together.
    options = replace(log.options or Reading(), key_from_name=None)
    columns = tuple(common_schema(log.text).items()) if log.text else ()
    tabular = [_for_elsewhere(file) for file in log.files if file.kind != "text"]
    text = [_for_elsewhere(file) for file in log.files if file.kind == "text"]
    groups = list(_text_groups(log, text, most_rows))
    large = [file for file in tabular if file.kind in {"parquet", "arrow"} and file.rows > most_rows]
    small = [file for file in tabular if file not in large]
    parts = [
        *(part for file in large for part in _cut(file, most_rows, options)),
        *(Part(files=files, options=options) for files in _grouped(small, most_rows)),
        *(
            Part(files=files, options=options, text_columns=columns, is_all_text=len(groups) == 1)
            for files in groups
        ),
    ]
    return [replace(part, good=log.is_sifted) for part in parts]


def _text_groups(log: Log, files: Sequence[DataFile], most_rows: int) -> Iterator[tuple[DataFile, ...]]:
    """Text files that go together: those whose lines may tell of rows of others, and small ones."""
    readers = [file.reader for file in log.text]
    is_nested = any(isinstance(reader, NestingReader) and reader.is_nested for reader in readers)
    pairs = zip(files, readers, strict=True)
    nesting = [file for file, reader in pairs if is_nested and isinstance(reader, NestingReader)]
    telling = [file for file, text in zip(files, log.text, strict=True) if text.dialect.elsewhere]
    yield from (tuple(group) for group in (nesting, telling) if group)
    yield from _grouped([file for file in files if file not in (*nesting, *telling)], most_rows)


def _for_elsewhere(file: DataFile) -> DataFile:
    """A file as a process with another working folder finds it."""
    return replace(file, path=absolute(file.path), metadata={}, shown=file.name)


def _rows_of(file: DataFile) -> int:
    return file.rows or file.size // _BYTES_PER_ROW


def _grouped(files: Iterable[DataFile], most_rows: int) -> Iterator[tuple[DataFile, ...]]:
    group: list[DataFile] = []
    rows = 0
    for file in files:
        if group and rows + _rows_of(file) > most_rows:
            yield tuple(group)
            group, rows = [], 0
        group.append(file)
        rows += _rows_of(file)
    if group:
        yield tuple(group)


def _cut(file: DataFile, most_rows: int, options: Reading) -> Iterator[Part]:
    groups = [rows for rows, _ in row_groups(file.path)] if file.kind == "parquet" else _even(file, most_rows)
    first = rows = 0
    for group in groups:
        if rows and rows + group > most_rows:
            yield Part(files=(file,), first_row=first, num_rows=rows, options=options)
            first, rows = first + rows, 0
        rows += group
    yield Part(files=(file,), first_row=first, num_rows=rows, options=options)


def _even(file: DataFile, most_rows: int) -> list[int]:
    whole, rest = divmod(file.rows, most_rows)
    return [*([most_rows] * whole), *([rest] if rest else [])]


def open_part(part: Part) -> Log:
    """Opens a part as a log of its own; what is wrong with its text is in its findings alone.

    Raises:
        InputError: a file cannot be read.
    """
    findings = Findings()
    text: Sequence[TextFile] = ()
    with reading(None):
        if part.text_columns:
            text = [
                replace(text_file(file.path, part.options), constants=file.constants, shown=file.name)
                for file in part.files
            ]
            schema = pl.Schema(part.text_columns)
            frame = scan_text(
                text,
                findings,
                part.options.max_rejects,
                schema,
                is_part=not part.is_all_text,
                is_judged_elsewhere=True,
            )
        else:
            frame = scan_tabular(part.files, part.options, good=part.good and part.num_rows is None)
        if part.num_rows is not None:
            frame = frame.slice(part.first_row, part.num_rows)
            frame = good_rows(frame) if part.good else frame
        columns = tuple(frame.collect_schema())
    return Log(
        frame=frame,
        columns=columns,
        files=part.files,
        name=str(part),
        raw=frame,
        text=tuple(text),
        findings=findings,
        is_sifted=part.good,
    )


class PartitionError(Exception):
    """A worker could not read its partition; the arguments are lines that a person can act on."""


class PartitionChangedError(PartitionError):
    """A file is not what it was when the log was opened."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A partition and how it is measured: paths, names, numbers and types of columns, nothing that runs.

    Attributes:
        part: the partition.
        columns: the columns that are needed, in the types that they have in the log as a whole.
        logged_times: which times the log as a whole holds as they were logged.
        plan: the fields of the plan, its success by name.
        widths: of windows of time by which calls are counted besides, in s.
        options: how the caller wants it; without what can be told to no other process.
        edges: where the slice of the log lies that is measured; None for the whole log.
        attempt: how often it has failed; an executor that knows work by its arguments runs it again.
    """

    part: Part
    columns: tuple[tuple[str, pl.DataType], ...]
    logged_times: tuple[str, ...]
    plan: Mapping[str, Any]
    widths: tuple[float, ...]
    options: MeasureOptions
    edges: Edges | None = None
    attempt: int = 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What counting a partition gives.

    Attributes:
        packed: its profiles, the seconds of which are in types as small as they will do.
        findings: what was found in its text beside rows.
    """

    packed: Profiles
    findings: Findings

    @property
    def profiles(self) -> Profiles:
        """The profiles of the partition."""
        return {
            width: replace(packed, seconds=packed.seconds.cast(pl.Int64))
            for width, packed in self.packed.items()
        }


def plain_plan(plan: Plan) -> dict[str, Any]:
    """A plan as plain values; its success must be in ``SUCCESS_RULES``."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {**values, "success": success_rule(plan.success), "windows": ()}


def _plan(values: Mapping[str, Any]) -> Plan:
    return Plan(**{**values, "success": SUCCESS_RULES[values["success"]]})


def count_partition(task: Task) -> Counts:
    """Makes the profiles of a partition.

    Raises:
        UnusableRowsError: some row breaks a rule.
        PartitionError: it cannot be read.
    """
    with _opened(task) as log:
        limits = Limits.of(task.options.memory_limit)
        limits.refuse_huge_row_groups(log.files)
        scan = Scan(
            plan=_plan(task.plan),
            widths=task.widths,
            limits=limits,
            options=task.options,
            tracker=Tracker(None, None, 0),
        )
        with (
            broken_told(scan.plan.measures, log.frame, scan.plan.success, log.name),
            sliced_part(log, scan, task.edges) as rows,
        ):
            profiles = profiles_of_rows(rows, layers_of(rows, scan), scan)
        packed = {width: _packed(profile) for width, profile in profiles.items()}
        return Counts(packed=packed, findings=log.findings)


def first_start_of_partition(task: Task) -> float | None:
    """The first start of a partition; None where no row has one.

    Raises:
        PartitionError: it cannot be read.
    """
    with _opened(task) as log:
        return first_start(log, task.options.engine)


def _packed(profile: Profile) -> Profile:
    seconds = profile.seconds.select(column.shrink_dtype() for column in profile.seconds.get_columns())
    return replace(profile, seconds=seconds)


def look_at_partition(
    task: Task, keys: Mapping[Layer, pl.DataFrame], wanted: Sequence[tuple[Layer, Wanted]]
) -> list[Looked]:
    """What a look finds in a partition.

    Args:
        task: the partition.
        keys: the key columns of the whole log, in the order of the codes of each layer.
        wanted: what to look for, each with its layer.

    Returns:
        What was found of each.

    Raises:
        PartitionError: it cannot be read.
    """
    with _opened(task) as log:
        rows = replace(log, frame=log.frame.filter(task.edges.holds())) if task.edges else log
        layers = Layers.of(Rows.of(rows, _plan(task.plan)), task.widths, timeline=False)
        selections = [(layer, Selections(some)) for layer, some in wanted]
        try:
            look_again(layers, keys, task.options.engine, Tracker(None, None, 0), selections)
        except ChangedError as error:
            raise PartitionChangedError(f"{task.part}: changed while it was read") from error
        return [some.looked() for _, some in selections]


@contextmanager
def _opened(task: Task) -> Iterator[Log]:
    try:
        _refuse_changed(task.part)
        log = _with_columns(open_part(task.part), task.columns)
        log = replace(log, logged_times=task.logged_times)
        with reading(log):
            yield log
    except LoadlensError as error:
        _refuse_changed(task.part)
        raise PartitionError(*error.problems) from None  # with its cause it might not travel
    _refuse_changed(task.part)


def _refuse_changed(part: Part) -> None:
    changed = changed_files(part.files)
    if changed:
        raise PartitionChangedError(*changed)


def _with_columns(log: Log, columns: tuple[tuple[str, pl.DataType], ...]) -> Log:
    """The log with the columns that others of its parts have, in types that all of them can hold."""
    schema = log.frame.collect_schema()
    frame = log.frame.select(
        as_type(pl.col(name), schema[name], dtype) if name in schema else absent(name).cast(dtype)
        for name, dtype in columns
    )
    return replace(log, frame=frame, columns=tuple(name for name, _ in columns))
