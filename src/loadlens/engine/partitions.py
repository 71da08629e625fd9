"""Partitions of a log: what travels to a worker of an executor, and what the worker does there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import Any

import polars as pl

from loadlens.engine.counting import Profiles, layers_of, look_again, profiles_of_rows
from loadlens.engine.refine import ChangedError
from loadlens.engine.scan import Scan
from loadlens.engine.selections import Looked, Selections, Wanted
from loadlens.engine.tally import Layers
from loadlens.errors import LoadlensError
from loadlens.profile.execution import Engine
from loadlens.profile.limits import Limits
from loadlens.profile.measures import broken_told
from loadlens.profile.plan import SUCCESS_RULES, Plan, success_rule
from loadlens.profile.profile import Profile
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows
from loadlens.sources.columnar import absent
from loadlens.sources.common_types import as_type
from loadlens.sources.findings import Findings
from loadlens.sources.log import Log, reading
from loadlens.sources.parts import Part, open_part
from loadlens.sources.storage.stamps import changed_files

__all__ = [
    "Counts",
    "PartitionChangedError",
    "PartitionError",
    "Task",
    "count_partition",
    "look_at_partition",
    "plain_plan",
]


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
        with_heat: whether latencies are counted over time.
        widths: of windows of time by which calls are counted besides, in s.
        memory_limit: bytes for the worker to stay within.
        spill_folder: where its temporary files go.
        engine: what runs its queries.
        attempt: how often it has failed; an executor that knows work by its arguments runs it again.
    """

    part: Part
    columns: tuple[tuple[str, pl.DataType], ...]
    logged_times: tuple[str, ...]
    plan: Mapping[str, Any]
    with_heat: bool
    widths: tuple[float, ...]
    memory_limit: int | None
    spill_folder: str | PathLike[str] | None
    engine: Engine
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
        limits = Limits.of(task.memory_limit)
        limits.refuse_huge_row_groups(log.files)
        scan = Scan(
            plan=_plan(task.plan),
            widths=task.widths,
            limits=limits,
            with_heat=task.with_heat,
            spill_folder=task.spill_folder,
            engine=task.engine,
            tracker=Tracker(None, None, 0),
        )
        with broken_told(scan.plan.measures, log.frame, scan.plan.success, log.name):
            profiles = profiles_of_rows(log, layers_of(log, scan), scan)
        packed = {width: _packed(profile) for width, profile in profiles.items()}
        return Counts(packed=packed, findings=log.findings)


def _packed(profile: Profile) -> Profile:
    seconds = profile.seconds.select(column.shrink_dtype() for column in profile.seconds.get_columns())
    return replace(profile, seconds=seconds)


def look_at_partition(
    task: Task, keys: Mapping[float | None, pl.DataFrame], wanted: Sequence[tuple[float | None, Wanted]]
) -> list[Looked]:
    """What a look finds in a partition.

    Args:
        task: the partition.
        keys: the key columns of the whole log, in the order of the codes of each layer.
        wanted: what to look for, each with the width of the windows of its layer.

    Returns:
        What was found of each.

    Raises:
        PartitionError: it cannot be read.
    """
    with _opened(task) as log:
        layers = Layers.of(Rows.of(log, _plan(task.plan)), task.widths, timeline=False)
        selections = [(width, Selections(some)) for width, some in wanted]
        try:
            look_again(layers, keys, task.engine, Tracker(None, None, 0), selections)
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
