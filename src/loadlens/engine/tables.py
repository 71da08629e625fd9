"""Statistics of a log that was counted: exact ones from another look, or those that its buckets tell."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.coarser import View
from loadlens.engine.counting import Counted
from loadlens.engine.figures import Figures
from loadlens.engine.refine import Asked, CellTable, End, Estimates, Refinement
from loadlens.engine.selections import Selections
from loadlens.engine.tally import Layer
from loadlens.profile.measures import Measure
from loadlens.profile.plan import Plan, Statistics, WindowPlan
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import Limits

__all__ = ["estimated", "estimates", "refined"]


def refined(found: Counted, plans: Sequence[Plan], limits: Limits) -> list[Statistics]:
    """Exact statistics of a log that was counted, from another look at the rows that decide.

    Returns:
        The statistics of each plan.

    Raises:
        ChangedError: the rows are not those that were counted.
    """
    own = _by_key(plans)
    views = {key: View.of(found, key, with_further=_with_further(some)) for key, some in own.items()}
    refining = {key: _Refining.of(view, own[key], limits) for key, view in views.items()}
    _look_together(found, [asked for some in refining.values() for asked in some.asked()])
    statistics = {key: iter(some.statistics()) for key, some in refining.items()}
    return [replace(next(statistics[plan.key]), spilled_bytes=found.spilled_bytes) for plan in plans]


def _by_key(plans: Sequence[Plan]) -> dict[tuple[str, ...], list[Plan]]:
    return {one.key: [plan for plan in plans if plan.key == one.key] for one in plans}


def _with_further(plans: Sequence[Plan]) -> bool:
    return any(plan.with_further for plan in plans)


@dataclass(frozen=True, kw_only=True)
class _Refining:
    """Figures by one key, of several plans.

    Attributes:
        view: the log by this key.
        plans: the plans.
        refinement: looks at what decides, of the log as a whole.
        figures: those of each plan.
        windows: those by window, of each plan.
        measures: those of measures, of each plan.
    """

    view: View
    plans: Sequence[Plan]
    refinement: Refinement
    figures: Sequence[Figures]
    windows: Sequence[Sequence["_Windows"]]
    measures: Sequence[Sequence["_Measured"]]

    @classmethod
    def of(cls, view: View, plans: Sequence[Plan], limits: Limits) -> "_Refining":
        """Those of a log that was counted."""
        run = view.profiles[None]
        cells = CellTable(run)
        refinement = _refinement(view, None, cells, limits)
        return cls(
            view=view,
            plans=plans,
            refinement=refinement,
            figures=[Figures(run, plan, cells, refinement) for plan in plans],
            windows=[[_Windows.of(view, some, limits) for some in plan.windows] for plan in plans],
            measures=[[_Measured.of(view, some, plan, limits) for some in plan.measures] for plan in plans],
        )

    def asked(self) -> Iterator[tuple[Layer, Asked]]:
        """All that is known to be needed, each with its layer."""
        others: Iterable[_Windows | _Measured] = chain(*self.windows, *self.measures)
        pairs: list[tuple[Layer, Asked | None]] = [
            (None, self.refinement.asked([own.wanted() for own in self.figures])),
            *((some.layer, some.refinement.asked([some.figures.wanted()])) for some in others),
        ]
        for layer, asked in pairs:
            if asked is not None:
                yield layer, self.view.asked(layer, asked)

    def statistics(self) -> Iterator[Statistics]:
        """The statistics of each plan."""
        run = self.view.profiles[None]
        for number, (plan, figures) in enumerate(zip(self.plans, self.figures, strict=True)):
            windows = {some.layer: some.table() for some in self.windows[number]}
            measures = {some.layer: some.table() for some in self.measures[number]}
            yield replace(_statistics(run, plan, figures), windows=windows, measures=measures)


def _look_together(found: Counted, asking: Sequence[tuple[Layer, Asked]]) -> None:
    """Looks once for all that is known to be needed."""
    asked = [(layer, some, Selections(some.wanted)) for layer, some in asking]
    if asked:
        found.look([(layer, selections) for layer, _, selections in asked])
    for _, some, selections in asked:
        some.take(selections.looked())


def _refinement(view: View, layer: Layer, cells: CellTable, limits: Limits) -> Refinement:
    return Refinement(cells, partial(view.look_at, layer), most_rows=limits.candidates)


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """Figures by window of time, of one plan and one width.

    Attributes:
        layer: the width in s.
        lowest: what each figure is at least, in every window.
        refinement: looks at what decides.
        figures: make them exact where they have to be.
    """

    layer: float
    lowest: pl.DataFrame
    refinement: Refinement
    figures: Figures

    @classmethod
    def of(cls, view: View, windows: WindowPlan, limits: Limits) -> "_Windows":
        """Those of a log that was counted."""
        profile, plan = view.profiles[windows.width_s], windows.figures
        cells = CellTable(profile)
        lowest, highest = (_bound(profile, plan, cells, end) for end in ("low", "high"))
        some = _of_codes(profile, np.flatnonzero(windows.is_open(lowest, highest)))
        own = CellTable(some)
        refinement = _refinement(view, windows.width_s, own, limits)
        return cls(
            layer=windows.width_s,
            lowest=lowest,
            refinement=refinement,
            figures=Figures(some, plan, own, refinement),
        )

    def table(self) -> pl.DataFrame:
        """Exact figures where they have to be, with the key columns; elsewhere the least that they can be."""
        exact = self.figures.table()  # both are by code, ascending
        known = exact["num_rows"] > 0
        return self.lowest.with_columns(
            pl.when(known).then(exact[name]).otherwise(self.lowest[name]).alias(name)
            for name in exact.columns[1:]
        )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Figures of one measure, of one plan.

    Attributes:
        layer: its name.
        profile: the calls by it.
        refinement: looks at what decides.
        figures: those that follow.
    """

    layer: str
    profile: Profile
    refinement: Refinement
    figures: Figures

    @classmethod
    def of(cls, view: View, measure: Measure, plan: Plan, limits: Limits) -> "_Measured":
        """That of a log that was counted."""
        profile = view.profiles[measure.name]
        cells = CellTable(profile)
        refinement = _refinement(view, measure.name, cells, limits)
        figures = Figures(profile, plan.of_measures, cells, refinement)
        return cls(layer=measure.name, profile=profile, refinement=refinement, figures=figures)

    def table(self) -> pl.DataFrame:
        """Exact figures, with the key columns."""
        return _named(self.profile, self.figures)


def _named(profile: Profile, figures: Figures) -> pl.DataFrame:
    """The table of figures in the order of the keys, with the key columns in the place of the code."""
    return profile.keys.join(figures.table(), on="code", how="left", maintain_order="left").drop("code")


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


def estimated(found: Counted, plans: Sequence[Plan]) -> list[Statistics]:
    """What the buckets of a log that was counted tell, for each plan."""
    run = found.profiles[None]
    own = _by_key(plans)
    views = {
        key: run if key == run.key else run.by(key, with_further=_with_further(some))
        for key, some in own.items()
    }
    several = [estimates(views[plan.key], plan) for plan in plans]
    return [replace(statistics, spilled_bytes=found.spilled_bytes) for statistics in several]


def estimates(profile: Profile, plan: Plan) -> Statistics:
    """What the buckets of a profile by the key of a plan tell."""
    cells = CellTable(profile)
    statistics = _statistics(profile, plan, Figures(profile, plan, cells, Estimates(cells)))
    if plan.bounds:
        bounded = _with_bounds(profile, plan, cells, statistics.table)
        statistics = replace(statistics, table=bounded, windows=_windows_of(profile, plan))
    measures = {one.name: _estimated_measure(profile.measures[one.name], plan) for one in plan.measures}
    return replace(statistics, measures=measures, relative_error=profile.relative_error)


def _estimated_measure(profile: Profile, plan: Plan) -> pl.DataFrame:
    cells = CellTable(profile)
    return _named(profile, Figures(profile, plan.of_measures, cells, Estimates(cells)))


def _with_bounds(profile: Profile, plan: Plan, cells: CellTable, table: pl.DataFrame) -> pl.DataFrame:
    """A table in the order of the keys, with what its figures are at least and at most."""
    lowest, highest = (
        _bound(profile, plan, cells, end).drop(profile.keys.columns[1:]) for end in ("low", "high")
    )
    bounds = [lowest.select(pl.all().name.prefix("low:")), highest.select(pl.all().name.prefix("high:"))]
    return pl.concat([table, *bounds], how="horizontal")


def _windows_of(profile: Profile, plan: Plan) -> dict[float, pl.DataFrame]:
    """Figures by window, from the timeline of a profile."""
    found = {}
    for windows in plan.windows:
        assert profile.timeline is not None  # noqa: S101  # else windows were refused
        own = profile.timeline.in_windows_of(windows.width_s)
        cells = CellTable(own)
        middle = _bound(own, windows.figures, cells, "middle")
        found[windows.width_s] = _with_bounds(own, windows.figures, cells, middle)
    return found


def _statistics(profile: Profile, plan: Plan, figures: Figures) -> Statistics:
    names = key_names(plan.key)
    named = _named(profile, figures)
    bins = figures.histogram() if plan.histogram else Figures.no_bins()
    binned = profile.keys.join(bins, on="code").select(*names, "latency_ms", "count")
    return Statistics(
        table=named,
        histogram=binned.sort([*names, "latency_ms"], nulls_last=True),
        profile=profile,
        relative_error=0.0,
    )
