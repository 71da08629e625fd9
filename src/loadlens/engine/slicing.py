"""A slice of a log: where it lies, how many rows lie outside, and the log of the rows inside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.engine.counting import layers_of, profiles_of_rows
from loadlens.engine.scan import Scan, at_hand, is_small, spill_file
from loadlens.errors import InputError
from loadlens.logs.log import Log
from loadlens.logs.outside import Outside
from loadlens.profile.execution import Engine
from loadlens.profile.plan import Plan, UnusableRowsError
from loadlens.profile.profile import Profile
from loadlens.profile.settling import Settling
from loadlens.profile.slices import INSIDE, START, Edges, Slice, rows_of_kinds
from loadlens.profile.timeline import timeline
from loadlens.schema import breaks_one_of

__all__ = [
    "SLICING",
    "first_start",
    "located",
    "sliced",
    "sliced_part",
    "tell_outside",
    "whole_run",
]

SLICING: Final = "Finding the slice"


@contextmanager
def sliced(log: Log, scan: Scan) -> Iterator[Log]:
    """The rows of a slice of a log; its findings then tell those outside.

    Rows that are dear to read again are put into memory or a temporary file first, for as long as the context
    lasts. A row outside that breaks a rule is as bad as one inside.

    Args:
        log: the whole log.
        scan: how it is scanned; its options have the slice.

    Raises:
        InputError: no row lies inside.
        UnusableRowsError: some row outside breaks a rule.
        UsageError: the log cannot have such a slice.
    """
    asked = scan.options.slice
    if not asked:
        yield log
        return
    with _at_hand(log, scan, asked.columns) as whole:
        scan.tracker.stage(SLICING)

        def run() -> Profile:
            own = whole_run(scan)
            return profiles_of_rows(whole, layers_of(whole, own), own)[None]

        edges, remark = located(asked, log.name, lambda: first_start(whole, scan.options.engine), run)
        part, outside = _inside(whole, scan, edges)
        tell_outside(log, asked, replace(outside, remark=remark))
        yield part


@contextmanager
def sliced_part(part: Log, scan: Scan, edges: Edges | None) -> Iterator[Log]:
    """The same of a part of a log, of which no row need lie inside.

    Args:
        part: the part.
        scan: how it is scanned.
        edges: where the slice lies; None for the whole log.

    Raises:
        UnusableRowsError: some row outside breaks a rule.
    """
    if edges is None:
        yield part
        return
    with _at_hand(part, scan, edges.columns) as whole:
        rows, part.findings.outside = _inside(whole, scan, edges)
        yield rows


def located(
    asked: Slice, name: str, first: Callable[[], float | None], run: Callable[[], Profile]
) -> tuple[Edges, str]:
    """Where a slice lies on the clock of a log, and what a slice that begins by itself goes by.

    Args:
        asked: the slice.
        name: what messages call the log.
        first: finds the first start of the log.
        run: makes the profile of the log as a whole, with its timeline; see ``whole_run``.

    Raises:
        UsageError: the log cannot have such a slice.
    """
    if not asked.is_auto:
        return asked.edges(name, first() if asked.needs_first_start else None), ""
    profile = run()
    start_s = profile.figures["first_start"].min()
    first_s = start_s if isinstance(start_s, float) else None
    found = Settling.of(timeline(profile))
    return asked.edges(name, first_s, found.begin_s), found.sentence(name, first_s)


def whole_run(scan: Scan) -> Scan:
    """How the whole of a log is counted over time."""
    options = replace(scan.options, skip=None, from_=None, to=None, where=None, exact=False, heatmap=False)
    plan = Plan(key=(), success=scan.plan.success, with_timeline=True)
    return replace(scan, plan=plan, widths=(), options=options)


def first_start(log: Log, engine: Engine) -> float | None:
    """The first start of all rows of a log."""
    found = log.frame.select(pl.col(START).min()).collect(engine=engine)
    first: float | None = found.item()
    return first


def _inside(whole: Log, scan: Scan, edges: Edges) -> tuple[Log, Outside]:
    """The rows of a log in a slice, and how many lie outside.

    Args:
        whole: the log.
        scan: how it is scanned.
        edges: where the slice lies.

    Raises:
        UnusableRowsError: some row outside breaks a rule.
    """
    start = pl.col(START).min() if edges.has_times else pl.lit(None, dtype=pl.Float64).alias(START)
    kinds = (
        whole.frame.with_columns(edges.kind())
        .select(INSIDE, *([START] if edges.has_times else []))
        .group_by(INSIDE)
        .agg(start, pl.len().alias("rows"))
        .collect(engine=scan.options.engine)
    )
    first = kinds[START].min()
    rows = rows_of_kinds(kinds[INSIDE].to_list(), kinds["rows"].to_list())
    outside = Outside.of(edges.from_s, edges.to_s, first if isinstance(first, float) else None, rows)
    _refuse_broken(whole, scan, edges, outside)
    return replace(whole, frame=whole.frame.filter(edges.holds())), outside


def _refuse_broken(whole: Log, scan: Scan, edges: Edges, outside: Outside) -> None:
    rules = whole.open_rules
    if not rules or not outside.rows:
        return
    others = whole.frame.filter(edges.kind() != 0)
    if others.select(breaks_one_of(rules).any()).collect(engine=scan.options.engine).item():
        raise UnusableRowsError


def tell_outside(log: Log, asked: Slice, outside: Outside) -> None:
    """Lets the findings of a log tell the rows outside a slice.

    Raises:
        InputError: no row lies inside; says where they lie.
        UsageError: the slice has dates, and the clock of the log has none.
    """
    asked.refuse_dates(log.name, outside.first_start_s)
    if not outside.inside and outside.rows:
        raise InputError(
            f"{log.name}: no call lies in the slice {asked}, {outside.rows:,} lie outside "
            f"({outside.told}); choose a wider one"
        )
    log.findings.outside = replace(outside, asked=str(asked))


@contextmanager
def _at_hand(log: Log, scan: Scan, columns: list[str]) -> Iterator[Log]:
    """The log where it may be read several times, with the columns that a scan and the slice need."""
    is_held = is_small(log, scan)
    if not (is_held or log.is_dear):
        yield log
        return
    with spill_file(None if is_held else scan.options.spill_folder, wanted=not is_held) as path:
        found = at_hand(log, scan, path, columns)
        yield replace(found, spilled_bytes=path.stat().st_size if path else 0)
