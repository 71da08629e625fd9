"""From a log and a plan to statistics: one scan counts, one looks at what decides."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress, islice
from typing import Any, Generic, TypeVar

import polars as pl

from loadlens.engine.counting import Counted, counted, whole
from loadlens.engine.readout import together
from loadlens.engine.refine import ChangedError
from loadlens.engine.scan import Scan
from loadlens.engine.slicing import located, sliced, tell_outside
from loadlens.engine.tables import estimated, estimates, refined
from loadlens.errors import InputError, UsageError
from loadlens.logs.files import refuse_changed
from loadlens.logs.log import Log, reading
from loadlens.logs.metadata import joint_findings, lost_warning
from loadlens.logs.outside import Outside
from loadlens.profile.execution import MeasureOptions
from loadlens.profile.measures import Measure, broken_told, measures_of
from loadlens.profile.plan import Plan, Statistics, UnusableRowsError
from loadlens.profile.profile import Profile
from loadlens.profile.profile_views import row_warnings
from loadlens.profile.progress import Limits, Tracker
from loadlens.profile.slices import START, Edges, Slice
from loadlens.saved.reading import merged_profile, plan_beside, refuse_impossible, refuse_other_windows
from loadlens.saved.stretches import refuse_other_columns, sliced_profile
from loadlens.schema import LATENCY

__all__ = ["Question", "ask", "ask_all", "measure", "measure_all", "on_good_rows", "scanning"]


def measure(log: Log, plan: Plan, options: MeasureOptions = MeasureOptions()) -> Statistics:
    """Measures ``log`` as ``plan`` says; see ``measure_all``."""
    return measure_all(log, [plan], options)[0]


def measure_all(
    log: Log, plans: Sequence[Plan], options: MeasureOptions = MeasureOptions()
) -> list[Statistics]:
    """Measures ``log`` as each of several plans says.

    Plans of one rule of success share both scans, the one that counts and the one that looks at what decides,
    if they have one key, or keys that are columns of another one's.

    Args:
        log: the log; it is scanned several times.
        plans: what to measure.
        options: how to do so; what is told over time is told of the first plan's key.

    Returns:
        The statistics of each plan.

    Raises:
        InputError: the log has no rows, or more that break a rule than may be rejected, or cannot be read, or
            needs more memory than allowed.
    """
    log.findings.outside = None  # of a slice that was measured before
    if options.slice:
        _refuse_impossible_slice(log, options.slice)
    found: dict[int, Statistics] = {}
    groups = _together(plans, range(len(plans)), alike=bool(log.saved))
    while groups:
        group = groups.pop(0)
        # What is told over time is that of the first plan's key.
        how = options if 0 in group else replace(options, heatmap=False, timeline=False)
        own = [plans[number] for number in group]
        log.refuse_odd_keys(own[0].key)
        several: Sequence[Statistics | None] = (
            _of_profiles(log, own, how)
            if log.saved
            else on_good_rows(log, partial(_of_rows, plans=own, options=how))
        )
        measured = {number: some for number, some in zip(group, several, strict=True) if some is not None}
        if not found:
            _tell_of_rows(log, measured[group[0]].profile)
        edges, outside = _slice_of(log, options)
        found |= {number: replace(some, edges=edges, outside=outside) for number, some in measured.items()}
        left = [number for number in group if number not in measured]
        groups += _together(plans, left, alike=False)
    return [found[number] for number in range(len(plans))]


def _refuse_impossible_slice(log: Log, asked: Slice) -> None:
    if log.saved:
        refuse_other_columns(log.name, log.saved[0].key, asked.where)
    schema = log.frame.collect_schema()
    # What a profile tells of times is no column.
    asked.check(log.name, pl.Schema({**schema, START: pl.Float64()}) if log.saved else schema)


def _tell_of_rows(log: Log, profile: Profile) -> None:
    log.findings.of_rows = row_warnings(profile, log)
    log.findings.units = profile.units.sentence(profile.resolution_s)


def _slice_of(log: Log, options: MeasureOptions) -> tuple[Edges | None, Outside | None]:
    """Where the slice of a log lies that was measured, and the rows outside."""
    outside = log.findings.outside
    if outside is None or not options.slice:
        return None, None
    return Edges(from_s=outside.from_s, to_s=outside.to_s, where=options.slice.where), outside


def _together(plans: Sequence[Plan], numbers: Iterable[int], *, alike: bool) -> list[list[int]]:
    """The numbers of the plans that share their scans, in each group first one whose key has all columns.

    Args:
        plans: plans.
        numbers: which of them.
        alike: whether only those of one key share scans.
    """
    groups: list[list[int]] = []
    for number in sorted(numbers, key=lambda number: -len(plans[number].key)):
        fitting = (
            group for group in groups if _shares(plans[number], [plans[one] for one in group], alike=alike)
        )
        group = next(fitting, None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups


def _shares(plan: Plan, group: Sequence[Plan], *, alike: bool) -> bool:
    """Whether a plan may share the scans of others: it has no columns of its own, nor windows of its own."""
    first = group[0]
    if not first.success.meta.eq(plan.success):
        return False
    if plan.key == first.key:
        return True
    known = {windows.width_s for other in group if other.key == first.key for windows in other.windows}
    return (
        not (alike or plan.keeps_profile)
        and set(plan.key) <= set(first.key)
        and {windows.width_s for windows in plan.windows} <= known
    )


Result = TypeVar("Result")


def on_good_rows(log: Log, run: Callable[[Log], Result]) -> Result:
    """What ``run`` makes of a log; rows that break a rule are set aside first, where it meets any.

    Good logs pay nothing: they are looked at row by row only after a scan has met a row that is broken.

    Args:
        log: the log.
        run: looks at its rows, once or more often.

    Raises:
        InputError: more rows break a rule than may be rejected, or the log changed while it was read.
    """
    if not (log.is_sifted or log.must_be_sifted or log.findings.aside):
        try:
            return run(log)
        except UnusableRowsError:
            refuse_changed(log.files)
    try:
        with reading(log):
            sifted = log.sifted()
        return run(sifted)
    except UnusableRowsError as error:
        raise InputError(f"{log.name}: changed while it was read") from error


def _of_rows(log: Log, plans: Sequence[Plan], options: MeasureOptions) -> list[Statistics | None]:
    """The statistics of each plan; None of one by fewer columns than the keys that were counted in parts."""
    told = broken_told(_measures(plans), log.frame, plans[0].success, log.name)
    with (
        told,
        scanning(log, plans, options) as scan,
        _sliced(log, scan) as part,
        _counted(part, scan) as counts,
    ):
        keeps = plans[0].keeps_profile and not options.is_exact
        try:
            found = _of_parts(iter([whole(part, scan, counts)]) if keeps else counts, plans, scan)
        except ChangedError as error:
            refuse_changed(log.files)
            raise InputError(f"{log.name}: changed while it was read") from error
    if found[0] is None or found[0].profile.figures.is_empty():
        raise InputError(log.without_rows())
    return found


def _of_parts(parts: Iterator[Counted], plans: Sequence[Plan], scan: Scan) -> list[Statistics | None]:
    first = next(parts)
    told = [first.is_whole or plan.key == plans[0].key for plan in plans]
    chosen = list(compress(plans, told))
    several = chain([first], parts)
    if scan.options.is_exact:
        found = iter(together(refined(part, chosen, scan.limits) for part in several))
    else:
        found = iter(together(estimated(part, chosen) for part in several))
    return [next(found) if is_told else None for is_told in told]


def _measures(plans: Sequence[Plan]) -> tuple[Measure, ...]:
    return tuple(dict.fromkeys(measure for plan in plans for measure in plan.measures))


def _of_profiles(log: Log, plans: Sequence[Plan], options: MeasureOptions) -> list[Statistics]:
    """Statistics of saved profiles and of the logs beside them, which are counted in one pass."""
    for plan in plans:
        refuse_impossible(log, plan, options)
    if options.slice:
        return _of_sliced_profiles(log, plans, options)
    key, beside = plans[0].key, None
    if log.unsaved:
        log.unsaved.require((*key, LATENCY))
        plan = replace(plan_beside(plans, log.saved), measures=measures_of(log.unsaved, _measures(plans)))
        beside = measure(log.unsaved, plan, replace(options, exact=False))
        lost = lost_warning(log.unsaved.columns, key)
        log.findings.become(joint_findings(log.saved, log.unsaved.findings, lost))
    with reading(log):
        further = options.timeline or any(plan.windows or plan.measures for plan in plans)
        profile = merged_profile(log.saved, key, beside.profile if beside else None, with_further=further)
        if not options.heatmap:
            profile = replace(profile, heat=profile.heat.clear())
        refuse_other_windows(
            log.name,
            profile.timeline.window_s if profile.timeline else None,
            [windows.width_s for plan in plans for windows in plan.windows],
        )
        several = [estimates(profile, plan) for plan in plans]
    spilled = beside.spilled_bytes if beside else 0
    return [replace(statistics, spilled_bytes=spilled) for statistics in several]


def _of_sliced_profiles(log: Log, plans: Sequence[Plan], options: MeasureOptions) -> list[Statistics]:
    """Statistics of a slice of saved profiles."""
    if log.unsaved:
        raise UsageError(
            f"{log.name}: are logs beside saved profiles, which are not sliced together; slice each"
        )
    saved, asked = log.saved, options.slice
    firsts = [profile.facts["first_s"] for profile in saved if profile.facts["first_s"] is not None]
    with reading(log):
        edges, remark = located(
            asked,
            log.name,
            lambda: min(firsts, default=None),
            lambda: merged_profile(saved, (), with_further=True),
        )
        profile, outside = sliced_profile(log.name, saved, plans[0].key, edges)
        tell_outside(log, asked, replace(outside, remark=remark))
        refuse_other_windows(
            log.name,
            profile.timeline.window_s if profile.timeline else None,
            [windows.width_s for plan in plans for windows in plan.windows],
        )
        return [estimates(profile, plan) for plan in plans]


def _sliced(log: Log, scan: Scan) -> AbstractContextManager[Log]:
    """The rows that are counted; workers slice their parts of a log themselves."""
    return sliced(log, scan) if scan.options.executor is None else nullcontext(log)


def _counted(log: Log, scan: Scan) -> AbstractContextManager[Iterator[Counted]]:
    executor = scan.options.executor
    if executor is None:
        return counted(log, scan)
    from loadlens.engine.distributed import counted_by_workers

    return nullcontext(iter([counted_by_workers(log, scan, executor)]))


@contextmanager
def scanning(log: Log, plans: Sequence[Plan], options: MeasureOptions = MeasureOptions()) -> Iterator[Scan]:
    """How to scan a log; what goes wrong while the context lasts says where in the log it does.

    Args:
        log: the log.
        plans: what is measured, all of one key and one rule of success.
        options: how to do so.

    Raises:
        InputError: the log cannot be read, or needs more memory than allowed.
        UnusableRowsError: some row breaks a rule.
    """
    log.refuse_copies(plans[0].key)
    limits = Limits.of(options.memory_limit)
    if options.executor is None:
        limits.refuse_huge_row_groups(log.files)
    tracker = Tracker(
        options.on_progress,
        rows_total=sum(file.rows for file in log.files) or None,
        bytes_total=sum(file.size for file in log.files),
        seconds_between_reports=limits.seconds_between_reports,
    )
    try:
        with reading(log):
            yield Scan(
                plan=_counting_plan(log, plans, options),
                widths=tuple(dict.fromkeys(some.width_s for plan in plans for some in plan.windows)),
                limits=limits,
                options=options,
                tracker=tracker,
            )
        log.refuse_copies(plans[0].key)  # of two formats, which the calls alone tell
    except (InputError, UnusableRowsError) as error:
        if tracker.raised is not None:
            raise tracker.raised from error
        raise


def _counting_plan(log: Log, plans: Sequence[Plan], options: MeasureOptions) -> Plan:
    """What rows are counted for: the first plan, with what only others or the options ask for."""
    sizes = options.timeline and "response_size" in log.columns
    return replace(
        plans[0],
        response_sizes=sizes or any(plan.response_sizes for plan in plans),
        failures=any(plan.failures for plan in plans),
        measures=_measures(plans),
        with_timeline=options.timeline or any(plan.with_timeline for plan in plans),
    )


Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Question(Generic[Answer]):
    """Something that is asked of a log.

    Attributes:
        plan: what has to be measured.
        further: what else has to be, such as by fewer columns.
        answer: what follows from the statistics of ``plan``, and of each of ``further``.
    """

    plan: Plan
    further: tuple[Plan, ...] = ()
    answer: Callable[..., Answer]


def ask(log: Log, question: Question[Answer], options: MeasureOptions) -> Answer:
    """The answer to one question; see ``measure_all`` for what it raises."""
    (answer,) = ask_all(log, [question], options)
    found: Answer = answer
    return found


def ask_all(log: Log, questions: Sequence[Question[Any]], options: MeasureOptions) -> list[Any]:
    """The answers to several questions, for which the log is measured together.

    Args:
        log: the log.
        questions: what is asked.
        options: how to measure.

    Returns:
        The answer to each question.
    """
    plans = [plan for question in questions for plan in (question.plan, *question.further)]
    found = iter(measure_all(log, plans, options))
    return [question.answer(*islice(found, 1 + len(question.further))) for question in questions]
