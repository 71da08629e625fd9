"""Slices of saved profiles: whole windows of their timeline, and some of their keys."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import InputError, UsageError
from loadlens.logs.metadata import SavedProfile
from loadlens.logs.outside import Outside
from loadlens.messages import listed
from loadlens.profile.buckets import window_name
from loadlens.profile.merging import (
    EXCESS_UNITS,
    Pace,
    new_codes,
    numbered,
    pace_of,
    recoded,
    summed_paces,
    summed_seconds,
)
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.slices import INSIDE, START, Edges, rows_of_kinds
from loadlens.saved.reading import merged_profile, merged_seconds

__all__ = ["refuse_other_columns", "sliced_profile"]

_CLOSE_S = 1e-6


def refuse_other_columns(name: str, key: Sequence[str], where: pl.Expr | None) -> None:
    """Refuses a condition on what a profile does not tell.

    Raises:
        UsageError: names the columns, and those that there are.
    """
    roots = [] if where is None else where.meta.root_names()
    if other := [column for column in dict.fromkeys(roots) if column not in key]:
        raise UsageError(
            f"where: {name} is a saved profile, whose calls are told apart by {listed(key) or 'nothing'} "
            f"alone, and not by {listed(other)}; slice the log that it is of"
        )


def sliced_profile(
    name: str, saved: Sequence[SavedProfile], key: Sequence[str], edges: Edges
) -> tuple[Profile, Outside]:
    """The profile by ``key`` of the calls of a slice, and how many calls lie outside.

    A call is part of the windows in which it ended. Its rates are those of the stretch of time from the begin
    of the slice to its end, as far as the key has calls.

    Args:
        name: what messages call the profiles.
        saved: the profiles.
        key: the key columns, some of those of the profiles.
        edges: where the slice lies.

    Raises:
        InputError: the profiles have no windows, or windows that begin and end elsewhere.
    """
    whole = merged_profile(saved, saved[0].key, with_further=True)
    first, last = whole.figures.select(pl.col("first_start").min(), pl.col("last_end").max()).row(0)
    edges = edges.within(first, last)
    source = _timeline(name, whole, edges) if edges.has_times else whole
    told = _told(source, edges)
    chosen = source.keys.filter(pl.Series(told == 0))
    names = key_names(whole.key)
    part = replace(
        source,
        keys=chosen.select("code", *names),
        classes=source.classes.clear() if edges.has_times else source.classes,
        heat=source.heat.clear(),
        pace=None,
        resolution_s=whole.resolution_s,
        units=whole.units,
        timeline=whole.timeline and _chosen(whole.timeline, edges),
        measures={}
        if edges.has_times
        else {measure: _chosen(one, edges) for measure, one in whole.measures.items()},
        failures=None,
    ).by(key)
    calls = source.figures.group_by("code").agg(pl.col("calls").sum())
    counted = np.zeros(len(told), dtype=np.int64)
    counted[calls["code"].to_numpy()] = calls["calls"].to_numpy()
    rows = rows_of_kinds([*range(5)], np.bincount(told, counted, 5).astype(np.int64).tolist())
    outside = Outside.of(edges.from_s, edges.to_s, first, rows)
    if edges.has_times:
        part = _with_spans(part, whole, edges)
    return replace(part, pace=_pace(saved, whole, part, edges)), outside


def _told(source: Profile, edges: Edges) -> NDArray[np.int64]:
    """What the calls of each code are to a slice."""
    named = {internal: name for name, internal in zip(source.key, key_names(source.key), strict=True)}
    keys = source.keys.rename(named)
    if source.window_s is not None:
        start = pl.col(window_name(source.window_s)) * source.window_s
        keys = keys.with_columns(start.cast(pl.Float64).alias(START))
    return keys.with_columns(edges.kind())[INSIDE].to_numpy().astype(np.int64)


def _chosen(profile: Profile, edges: Edges) -> Profile:
    """A profile, a timeline or a measure with the keys of a slice alone."""
    own = edges if profile.window_s is not None else replace(edges, from_s=None, to_s=None)
    return replace(profile, keys=profile.keys.filter(pl.Series(_told(profile, own) == 0)))


def _timeline(name: str, whole: Profile, edges: Edges) -> Profile:
    """The timeline of a profile, of which a slice takes whole windows; sums of buckets are about right."""
    own = whole.timeline
    if own is None or own.window_s is None:
        raise InputError(f"{name}: tells of no windows of time; slice the log that it is of")
    begin = whole.figures["first_start"].min()
    for edge in (edges.from_s, edges.to_s):
        if edge is not None and abs(edge - round(edge / own.window_s) * own.window_s) > _CLOSE_S:
            raise _between_windows(
                name, edge, own.window_s, float(begin) if isinstance(begin, float) else 0.0
            )
    excess = pl.col("count") * (EXCESS_UNITS // 2)
    return replace(own, buckets=own.buckets.with_columns(excess=excess.cast(whole.buckets.schema["excess"])))


def _between_windows(name: str, edge: float, width: float, first_start_s: float) -> InputError:
    below = edge // width * width - first_start_s
    near = [f"{after_s:.9g}s" for after_s in (below, below + width) if after_s >= 0]
    return InputError(
        f"{name}: is a saved profile with windows of {width:g} s, of which none begins "
        f"{edge - first_start_s:.9g} s after its first start; take {' or '.join(near)}, or slice the log "
        f"that it is of"
    )


def _with_spans(part: Profile, whole: Profile, edges: Edges) -> Profile:
    """A slice with the stretch of time of each key, as far as the key has calls."""
    kept = _chosen(whole, edges)
    spans = replace(kept, pace=None, timeline=None, measures={}, failures=None).by(part.key)
    codes = new_codes(numbered([part.keys]), spans.keys).select("code", "new")
    found = codes.join(spans.spans.rename({"code": "new"}), on="new").drop("new")
    first, last = pl.col("first_start"), pl.col("last_end")
    if edges.from_s is not None:
        first = first.clip(lower_bound=edges.from_s)
    if edges.to_s is not None:  # a span ends a tick after the last end
        last = pl.when(last <= edges.to_s).then(last).otherwise(edges.to_s - whole.resolution_s)
    found = found.select("code", first, last)
    figures = part.figures.drop("first_start", "last_end").join(found, on="code", how="left")
    return replace(part, figures=figures.select(part.figures.columns).sort("code", "success"))


def _pace(saved: Sequence[SavedProfile], whole: Profile, part: Profile, edges: Edges) -> Pace:
    """The completions by second of a slice."""
    kept = whole.keys.filter(pl.Series(_told(whole, replace(edges, from_s=None, to_s=None)) == 0))
    codes = new_codes(numbered([kept.select("code", *key_names(part.key))]), part.keys)
    inside = pl.lit(value=True)
    if edges.from_s is not None:
        inside &= pl.col("second") >= round(edges.from_s)
    if edges.to_s is not None:
        inside &= pl.col("second") < round(edges.to_s)
    paces = [
        pace_of(summed_seconds(recoded(numbered([seconds.filter(inside)]), codes)))
        for seconds in merged_seconds(saved, whole.keys, whole.key)
    ]
    return summed_paces(paces or [Pace.empty()])
