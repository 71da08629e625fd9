"""A log measured by the workers of an executor, partition by partition."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, Final

from loadlens.engine.counting import (
    COUNTING,
    LOOKING,
    Counted,
    Profiles,
    Wanted,
    looked_at,
    merged_profiles,
)
from loadlens.engine.partitions import (
    Counts,
    PartitionChangedError,
    PartitionError,
    Task,
    count_partition,
    first_start_of_partition,
    look_at_partition,
    parts_of,
    plain_plan,
)
from loadlens.engine.scan import Scan, needed_names
from loadlens.engine.slicing import SLICING, located, tell_outside, whole_run
from loadlens.errors import InputError, UsageError, WorkerError
from loadlens.logs.findings import Findings
from loadlens.logs.log import Log
from loadlens.logs.outside import Outside
from loadlens.profile.plan import SUCCESS_RULES, UnusableRowsError, success_rule
from loadlens.profile.profile import Profile
from loadlens.profile.progress import Tracker
from loadlens.profile.slices import Edges

__all__ = ["PARTITION_ROWS", "Merging", "counted_by_workers"]

PARTITION_ROWS: Final = 4_000_000
"""How many rows make a partition at least where the caller does not say."""

_MOST_PARTITION_ROWS: Final = 16_000_000
_PARTITIONS: Final = 16
"""Of a large log, as each costs time however few its rows are."""

_ATTEMPTS: Final = 3
_MERGED_AT_ONCE: Final = 64
_SECONDS_BETWEEN_LOOKS: Final = 0.5  # an interrupt that another thread has taken is answered only then


def counted_by_workers(log: Log, scan: Scan, executor: Executor) -> Counted:
    """Counts a log, a partition in each task.

    Raises:
        InputError: the log is no files, or a partition cannot be read, several times over; names it.
        UsageError: the plan or the engine cannot be told to other processes.
        UnusableRowsError: some row breaks a rule.
        WorkerError: the executor broke.
    """
    tasks, remark = _tasks(log, scan), ""
    if scan.options.slice:
        edges, remark = _located(log, scan, executor, tasks)
        tasks = [replace(task, edges=edges) for task in tasks]
    merging = Merging()
    findings: dict[int, Findings] = {}
    scan.tracker.stage(COUNTING, partitions=len(tasks))
    counts: Counts
    for number, counts in _results(executor, count_partition, tasks, (), scan.tracker):
        merging.add(counts.profiles)
        findings[number] = counts.findings
        if counts.findings.is_cut_short:
            break
    _tell_findings(log, [findings[number] for number in sorted(findings)])
    if outside := [part.outside for part in findings.values() if part.outside]:
        tell_outside(log, scan.options.slice, replace(Outside.together(outside), remark=remark))
    profiles = merging.merged()

    def look(selections: Wanted) -> None:
        scan.tracker.stage(LOOKING, partitions=len(tasks))
        known = looked_at(profiles)
        keys = {layer: known[layer].keys for layer, _ in selections}
        arguments = (keys, [(layer, some.wanted) for layer, some in selections])
        for _, found in _results(executor, look_at_partition, tasks, arguments, scan.tracker):
            for (_, some), looked in zip(selections, found, strict=True):
                some.take(looked)

    return Counted(profiles=profiles, look=look)


def _located(log: Log, scan: Scan, executor: Executor, tasks: Sequence[Task]) -> tuple[Edges, str]:
    """Where the slice of a log lies, of which workers find the first start or what it is as a whole."""

    def first() -> float | None:
        scan.tracker.stage(SLICING, partitions=len(tasks))
        found = _results(executor, first_start_of_partition, tasks, (), scan.tracker)
        return min((start for _, start in found if start is not None), default=None)

    def run() -> Profile:
        return counted_by_workers(log, whole_run(scan), executor).profiles[None]

    return located(scan.options.slice, log.name, first, run)


def _tasks(log: Log, scan: Scan) -> list[Task]:
    if not log.files or log.options is None or (log.frame is not log.raw and not log.is_sifted):
        raise InputError(
            f"{log.name}: is no log of files, of which an executor's workers could open their parts; "
            f"give paths, or leave the executor out"
        )
    if success_rule(scan.plan.success) is None:
        known = ", ".join(SUCCESS_RULES)
        raise UsageError(
            f"success: got {scan.plan.success}, expected one of {known}: workers are sent names alone"
        )
    engine = scan.options.engine
    if not isinstance(engine, str):
        raise UsageError(
            f"engine: got {type(engine).__name__}, expected the name of one, such as 'streaming': "
            f"workers are sent names, no objects"
        )
    rows = scan.options.partition_rows or _partition_rows(log)
    schema, parts = log.frame.collect_schema(), parts_of(log, rows)
    first = Task(
        part=parts[0],
        columns=tuple((name, schema[name]) for name in _names(log, scan)),
        logged_times=log.logged_times,
        plan=plain_plan(scan.plan),
        widths=scan.widths,
        options=replace(scan.options, executor=None, on_progress=None),
    )
    return [replace(first, part=part) for part in parts]


def _names(log: Log, scan: Scan) -> list[str]:
    return list(dict.fromkeys([*needed_names(log, scan.plan), *scan.options.slice.columns]))


def _partition_rows(log: Log) -> int:
    share = sum(file.rows for file in log.files) // _PARTITIONS
    return min(max(share, PARTITION_ROWS), _MOST_PARTITION_ROWS)


def _tell_findings(log: Log, parts: Sequence[Findings]) -> None:
    """Lets the log have the findings of all its parts, in the order of its files, and judges the rejects."""
    if not log.text or log.options is None:
        return
    whole = log.findings.anew()
    for part in parts:
        whole.merge(part)
    log.findings.become(whole)
    log.findings.check(log.options.max_rejects)


class Merging:
    """Merges profiles as they arrive, many at once, so that the work is linear and few are held."""

    def __init__(self, at_once: int = _MERGED_AT_ONCE) -> None:
        self._at_once = at_once
        self._levels: list[list[Profiles]] = []

    def add(self, profiles: Profiles, level: int = 0) -> None:
        """Takes the profiles of a partition."""
        if level == len(self._levels):
            self._levels.append([])
        waiting = self._levels[level]
        waiting.append(profiles)
        if len(waiting) == self._at_once:
            self._levels[level] = []
            self.add(merged_profiles(waiting), level + 1)

    @property
    def waiting(self) -> list[Profiles]:
        """Profiles that together are all that were taken."""
        return [profiles for level in self._levels for profiles in level]

    def merged(self) -> Profiles:
        """The profiles of all together, at least one of each layer, under codes from 0."""
        return merged_profiles(self.waiting)


def _results(
    executor: Executor,
    work: Callable[..., Any],
    tasks: Sequence[Task],
    arguments: tuple[Any, ...],
    tracker: Tracker,
) -> Iterator[tuple[int, Any]]:
    """The number and the result of each task as they arrive, each task once however often it was run."""
    finished: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()
    running: dict[int, Future[Any]] = {}
    failures: Counter[int] = Counter()

    def submit(number: int) -> None:
        try:
            task = replace(tasks[number], attempt=failures[number])
            running[number] = executor.submit(work, task, *arguments)
        except RuntimeError as error:  # it was shut down, or is broken
            raise WorkerError(f"executor: takes no work: {error}; start another one") from error
        running[number].add_done_callback(lambda future: finished.put((number, future)))

    try:
        for number in range(len(tasks)):
            submit(number)
        while running:
            try:
                number, future = finished.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except Empty:
                continue
            del running[number]
            error = _error_of(future)
            if error is None:
                tracker.add_partition(tasks[number].part.rows)
                yield number, future.result()
                continue
            if isinstance(error, BrokenExecutor):
                running.clear()  # it ends the others itself, and crashes over one that is cancelled meanwhile
            failures[number] += 1
            _refuse_failure(error, tasks[number], failures[number])
            submit(number)
    finally:
        for future in running.values():
            future.cancel()


def _error_of(future: Future[Any]) -> BaseException | None:
    if future.cancelled():
        return WorkerError("executor: cancelled the work; start another one")
    return future.exception()


def _refuse_failure(error: BaseException, task: Task, attempts: int) -> None:
    """Raises what ends the run; returns where another attempt may go well."""
    if isinstance(error, BrokenExecutor):
        raise WorkerError(
            f"{task.part}: a worker ended suddenly while it was read, or another one beside it; it may have "
            f"been killed for lack of memory: run again with fewer workers or smaller partitions ({error})"
        ) from error
    if isinstance(error, PartitionChangedError):
        raise InputError(*error.args) from error
    if isinstance(error, UnusableRowsError | WorkerError):
        raise error
    if attempts == _ATTEMPTS:
        causes = error.args if isinstance(error, PartitionError) else [f"{type(error).__name__}: {error}"]
        raise InputError(
            *[f"{task.part}: failed in {attempts} attempts: {cause}" for cause in causes]
        ) from error
