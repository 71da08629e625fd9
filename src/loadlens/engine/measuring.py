"""From a log and a plan to statistics: one scan counts, one looks at what decides."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.cells import CellTable
from loadlens.engine.counting import Counted, Profiles, counted
from loadlens.engine.distributed import counted_by_workers
from loadlens.engine.estimates import End, Estimates
from loadlens.engine.figures import Figures
from loadlens.engine.refine import ChangedError, Refinement
from loadlens.engine.scan import Scan
from loadlens.engine.selections import Selections
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
        if found.profiles[None].figures.is_empty():
            raise InputError(log.without_rows())
        exact = execution.get("exact", True)
        statistics = _refined(log, found, scan) if exact else _estimated(found.profiles, plan)
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
        statistics = _estimated({None: profile}, plan)
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
                widths=tuple(dict.fromkeys(windows.width_s for windows in plan.windows)),
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
    layers: dict[float | None, Figures] = {
        None: _exact(found, None, found.profiles[None], scan.plan, scan.limits)
    }
    bounds: dict[float, pl.DataFrame] = {}
    for windows in scan.plan.windows:
        width, profile = windows.width_s, found.profiles[windows.width_s]
        cells = CellTable(profile)
        lowest, highest = (_bound(profile, windows.figures, cells, end) for end in ("low", "high"))
        bounds[width] = lowest
        some = _of_codes(profile, np.flatnonzero(windows.is_open(lowest, highest)))
        layers[width] = _exact(found, width, some, windows.figures, scan.limits)
    _look_together(found, layers)
    tables = {width: _in_place(lowest, layers[width].table()) for width, lowest in bounds.items()}
    statistics = _statistics(found.profiles[None], scan.plan, layers[None])
    return replace(statistics, windows=tables)


def _exact(found: Counted, width: float | None, profile: Profile, plan: Plan, limits: Limits) -> Figures:
    """Figures of a layer, or of some of its keys."""

    def look(selections: Selections) -> None:
        found.look({width: selections})

    cells = CellTable(profile)
    return Figures(profile, plan, cells, Refinement(cells, look, most_rows=limits.candidates))


def _look_together(found: Counted, layers: Mapping[float | None, Figures]) -> None:
    """Looks once for all that the figures of all layers are known to hang on."""
    asked = {width: asked for width, figures in layers.items() if (asked := figures.asked())}
    selections = {width: Selections(some.wanted) for width, some in asked.items()}
    if selections:
        found.look(selections)
    for width, some in asked.items():
        some.take(selections[width].looked())


def _of_codes(profile: Profile, codes: NDArray[np.int64]) -> Profile:
    """A profile without the calls of other codes; all keys stay."""
    chosen = pl.Series("code", codes, dtype=pl.Int64).implode()
    figures, buckets = (
        frame.filter(pl.col("code").is_in(chosen)) for frame in (profile.figures, profile.buckets)
    )
    return replace(profile, figures=figures, buckets=buckets)


def _bound(profile: Profile, plan: Plan, cells: CellTable, end: End) -> pl.DataFrame:
    """What figures are at least, or at most, with the key columns."""
    table = Figures(profile, plan, cells, Estimates(cells, end)).table()
    return pl.concat([profile.keys.drop("code"), table.drop("code")], how="horizontal")


def _in_place(lowest: pl.DataFrame, exact: pl.DataFrame) -> pl.DataFrame:
    """Exact figures where there are any; both tables are by code, ascending."""
    known = exact["num_rows"] > 0
    return lowest.with_columns(
        pl.when(known).then(exact[name]).otherwise(lowest[name]).alias(name) for name in exact.columns[1:]
    )


def _estimated(profiles: Profiles, plan: Plan) -> Statistics:
    profile = profiles[None]
    cells = CellTable(profile)
    statistics = _statistics(profile, plan, Figures(profile, plan, cells, Estimates(cells)))
    return replace(statistics, relative_error=RELATIVE_ERROR)


def _statistics(profile: Profile, plan: Plan, figures: Figures) -> Statistics:
    names = key_names(plan.key)
    table = figures.table()
    bins = figures.histogram() if plan.histogram else Figures.no_bins()
    named = profile.keys.join(table, on="code", how="left", maintain_order="left").drop("code")
    binned = profile.keys.join(bins, on="code").select(*names, "latency_ms", "count")
    return Statistics(
        table=named,
        histogram=binned.sort([*names, "latency_ms"], nulls_last=True),
        profile=profile,
        relative_error=0.0,
    )
