"""From a log and a plan to statistics: one scan counts, one looks at what decides."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar, Unpack

from loadlens.engine.cells import CellTable
from loadlens.engine.counting import Counted, counted
from loadlens.engine.distributed import counted_by_workers
from loadlens.engine.estimates import Estimates
from loadlens.engine.figures import Figures
from loadlens.engine.refine import ChangedError, Refinement
from loadlens.engine.scan import Scan
from loadlens.errors import InputError, UsageError
from loadlens.profile.buckets import RELATIVE_ERROR
from loadlens.profile.limits import Limits
from loadlens.profile.plan import Execution, Plan, Statistics, runs_here
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.row_warnings import row_warnings
from loadlens.profile.rows import UnusableRowsError
from loadlens.profile.saved import merged_profile, refuse_impossible
from loadlens.schema import LATENCY
from loadlens.sources.log import Log, reading
from loadlens.sources.saved import joint_findings, lost_warning
from loadlens.sources.storage.stamps import refuse_changed

__all__ = ["measure", "on_good_rows", "refined", "scanning"]


def measure(log: Log, plan: Plan, **execution: Unpack[Execution]) -> Statistics:
    """Measures ``log`` as ``plan`` says.

    Args:
        log: the log; it is scanned several times.
        plan: what to measure.
        **execution: how to do so.

    Raises:
        InputError: the log has no rows, or more that break a rule than may be rejected, or cannot be read, or
            needs more memory than allowed.
        UsageError: the memory limit is too small to work with.
    """
    log.refuse_odd_keys(plan.key)
    statistics = (
        _of_profiles(log, plan, execution)
        if log.saved
        else on_good_rows(log, lambda rows: _of_rows(rows, plan, execution))
    )
    profile = statistics.profile
    log.findings.of_rows, log.findings.units = (
        row_warnings(profile, log),
        profile.units.sentence(profile.resolution_s),
    )
    return statistics


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


def _of_rows(log: Log, plan: Plan, execution: Execution) -> Statistics:
    with scanning(log, plan, **execution) as scan, _counted(log, scan, execution) as found:
        profile = found.profile
        if profile.figures.is_empty():
            raise InputError(log.without_rows())
        exact = execution.get("exact", True)
        statistics = _refined(log, found, scan) if exact else _estimated(profile, plan)
        return replace(statistics, spilled_bytes=found.spilled_bytes)


def _of_profiles(log: Log, plan: Plan, execution: Execution) -> Statistics:
    """Statistics of saved profiles and of the logs beside them, which are counted in one pass."""
    refuse_impossible(log, plan, execution)
    beside = None
    if log.unsaved:
        log.unsaved.require((*plan.key, LATENCY))
        how: Execution = {**execution, "exact": False}
        beside = measure(log.unsaved, plan, **how)
        lost = lost_warning(log.unsaved.columns, plan.key)
        log.findings.become(joint_findings(log.saved, log.unsaved.findings, lost))
    with reading(log):
        profile = merged_profile(log.saved, plan.key, beside.profile if beside else None)
        if not execution.get("heatmap", False):
            profile = replace(profile, heat=profile.heat.clear())
        statistics = _estimated(profile, plan)
    return replace(statistics, spilled_bytes=beside.spilled_bytes if beside else 0)


def _counted(log: Log, scan: Scan, execution: Execution) -> AbstractContextManager[Counted]:
    executor = execution.get("executor")
    if executor is None:
        return counted(log, scan)
    return nullcontext(counted_by_workers(log, scan, executor, execution))


@contextmanager
def scanning(log: Log, plan: Plan, **execution: Unpack[Execution]) -> Iterator[Scan]:
    """How to scan a log; what goes wrong while the context lasts says where in the log it does.

    Args:
        log: the log.
        plan: what is measured.
        **execution: how to do so.

    Raises:
        InputError: the log cannot be read, or needs more memory than allowed.
        UnusableRowsError: some row breaks a rule.
        UsageError: the memory limit is too small to work with.
    """
    engine = execution.get("engine", "streaming")
    if not runs_here(engine):
        name = engine if isinstance(engine, str) else type(engine).__name__
        raise UsageError(f"engine: got {name}, expected auto, streaming or in-memory: rows are counted here")
    log.refuse_copies(plan.key)
    limits = Limits.of(execution.get("memory_limit"))
    if execution.get("executor") is None:
        limits.refuse_huge_row_groups(log.files)
    tracker = Tracker(
        execution.get("on_progress"),
        rows_total=sum(file.rows for file in log.files) or None,
        bytes_total=sum(file.size for file in log.files),
    )
    try:
        with reading(log):
            yield Scan(
                plan=plan,
                limits=limits,
                with_heat=execution.get("heatmap", False),
                spill_folder=execution.get("spill_folder"),
                engine=engine,
                tracker=tracker,
            )
        log.refuse_copies(plan.key)  # of two formats, which the calls alone tell
    except (InputError, UnusableRowsError) as error:
        if tracker.raised is not None:
            raise tracker.raised from error
        raise


def _refined(log: Log, found: Counted, scan: Scan) -> Statistics:
    try:
        return refined(found, scan)
    except ChangedError as error:
        refuse_changed(log.files)
        raise InputError(f"{log.name}: changed while it was read") from error


def refined(found: Counted, scan: Scan) -> Statistics:
    """Exact statistics of a log that was counted, from another look at the rows that decide.

    Raises:
        ChangedError: the rows are not those that were counted.
    """
    cells = CellTable(found.profile)
    refinement = Refinement(cells, found.look, most_rows=scan.limits.candidates)
    return _statistics(found.profile, scan.plan, Figures(found.profile, scan.plan, cells, refinement))


def _estimated(profile: Profile, plan: Plan) -> Statistics:
    cells = CellTable(profile)
    statistics = _statistics(profile, plan, Figures(profile, plan, cells, Estimates(cells)))
    return replace(statistics, relative_error=RELATIVE_ERROR)


def _statistics(profile: Profile, plan: Plan, figures: Figures) -> Statistics:
    names = key_names(plan.key)
    table = figures.table()
    named = profile.keys.join(table, on="code", how="left", maintain_order="left").drop("code")
    binned = profile.keys.join(figures.histogram(), on="code").select(*names, "latency_ms", "count")
    return Statistics(
        table=named,
        histogram=binned.sort([*names, "latency_ms"], nulls_last=True),
        profile=profile,
        relative_error=0.0,
    )
