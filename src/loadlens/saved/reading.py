"""Saved profiles read and merged, a bounded number of rows at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.logs.log import Log
from loadlens.logs.metadata import SavedProfile, saved_width
from loadlens.logs.typed_tables import explain
from loadlens.profile.buckets import RELATIVE_ERROR, window_name
from loadlens.profile.execution import MeasureOptions
from loadlens.profile.merging import Pace, new_codes, numbered, pace_of, recoded, summed_paces, summed_seconds
from loadlens.profile.plan import Plan, success_rule
from loadlens.profile.profile import Parts, Profile, joint_timeline, key_names
from loadlens.saved.soundness import refuse_other_columns, refuse_unsound, refuse_unsound_seconds
from loadlens.saved.storing import FURTHER_PARTS, PARTS, with_wholes
from loadlens.schema import ERROR_COLUMNS
from loadlens.storage.location import address_of, scan_source, store_of
from loadlens.text.common_types import with_common_types, with_types

__all__ = [
    "Steps",
    "damage_told",
    "merged_profile",
    "merged_seconds",
    "plan_beside",
    "refuse_impossible",
    "refuse_other_windows",
]

_SMALL_PARTS: Final = ("keys", "figures", "heat", "classes", "rates", "windows")

_Frames = Mapping[str, pl.DataFrame]
"""The rows of several profiles by part, each with the number of its profile as ``part``."""

_SPAN: Final = ("first_second", "last_second", "num_seconds")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How much of saved profiles is held at a time.

    Attributes:
        rows: of profiles that are put together, but for their seconds.
        seconds: rows of seconds.
    """

    rows: int = 1_500_000
    seconds: int = 1_000_000


def refuse_impossible(log: Log, plan: Plan, options: MeasureOptions) -> None:
    """Refuses what saved profiles cannot tell.

    Raises:
        InputError: the profiles cannot tell what the plan wants.
        UsageError: exact figures are asked for.
    """
    if options.exact:
        raise UsageError(
            f"exact: {log.name} is a saved profile, whose latencies are known to {RELATIVE_ERROR:.1%} and "
            f"not exactly; leave exact (--exact) out, or analyse the log itself"
        )
    rule, told = success_rule(plan.success), log.saved[0].facts["success"]
    if rule != told:
        raise InputError(
            f"{log.name}: counts calls as successful by '{told}', but this analysis goes by "
            f"'{rule or 'a rule of its own'}'; analyse the log itself"
        )
    if plan.response_sizes:
        log.require(["response_size"])


def refuse_other_windows(name: str, width_s: float | None, wanted_s: Iterable[float]) -> None:
    """Refuses windows of time that are no whole multiples of those of saved profiles.

    Args:
        name: what to call the profiles.
        width_s: the width of their windows in s; None for none.
        wanted_s: the widths that are asked for.

    Raises:
        InputError: names the widths, and what to do.
    """
    for wanted in wanted_s:
        again = f"profile the logs again with windows of {wanted:g} s (--window {wanted:g}s)"
        if width_s is None:
            raise InputError(f"{name}: tells of no windows of time; {again}, or take the logs themselves")
        if wanted % width_s:
            raise InputError(
                f"{name}: tells of windows of {width_s:g} s, which do not add up to windows of {wanted:g} s; "
                f"take a multiple of {width_s:g} s, or {again}"
            )


def plan_beside(plans: Sequence[Plan], saved: Sequence[SavedProfile]) -> Plan:
    """What is measured of logs beside saved profiles: where there are windows, a timeline like theirs."""
    windowed = any(plan.windows for plan in plans)
    return replace(plans[0], windows=(), keeps_profile=windowed, window_s=saved_width(saved))


@contextmanager
def damage_told(saved: Sequence[SavedProfile]) -> Iterator[None]:
    """Turns what Polars raises while it reads profiles into an InputError that names the file."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        files = [profile.file for profile in saved]
        raise InputError(*explain(files, str(files[0].path), error)) from error


def merged_profile(
    saved: Sequence[SavedProfile],
    key: Sequence[str],
    beside: Profile | None = None,
    *,
    with_further: bool = False,
    steps: Steps = Steps(),
) -> Profile:
    """The profile of all logs behind saved profiles, with a pace in the place of seconds.

    Args:
        saved: the profiles.
        key: columns that all of them have; fewer than their own make coarser groups.
        beside: the profile by ``key`` of logs beside them, with its seconds.
        with_further: whether their timelines are read.
        steps: how much is held at a time.

    Raises:
        InputError: a profile is damaged.
    """
    # Where no second is shared the paces add up, and nobody has to look at the seconds.
    adds_up = set(key) == set(saved[0].key) and not _overlap(_spans(saved, beside))
    whole: Profile | None = None
    for step in _steps(saved, steps, with_further=with_further):
        part = _profile(step, key, with_pace=adds_up, with_further=with_further)
        whole = whole.merge(part) if whole else part
    assert whole is not None  # noqa: S101  # there is a profile, so there is a step
    if beside:
        whole = whole.merge(beside if adds_up else replace(beside, seconds=beside.seconds.clear()))
    if not adds_up:
        several = merged_seconds(saved, whole.keys, key, beside, steps)
        paces = [pace_of(seconds) for seconds in several]
        whole = replace(whole, pace=summed_paces(paces or [Pace.empty()]))
    return replace(whole, pace=whole.pace or Pace.empty())


def _steps(
    saved: Sequence[SavedProfile], steps: Steps, *, with_further: bool
) -> Iterator[list[SavedProfile]]:
    """The profiles in lists of a bounded number of rows."""
    step: list[SavedProfile] = []
    rows = 0
    for profile in saved:
        own = profile.file.rows - profile.facts["num_seconds"]
        own -= 0 if with_further else profile.facts["num_further"]
        if step and rows + own > steps.rows:
            yield step
            step, rows = [], 0
        step.append(profile)
        rows += own
    yield step


def _profile(
    saved: Sequence[SavedProfile], key: Sequence[str], *, with_pace: bool, with_further: bool
) -> Profile:
    """The profile of a few saved ones, with a pace or without anything in the place of seconds."""
    several = dict(enumerate(saved))
    frames = _frames(several, ("buckets",)) | _frames(several, _SMALL_PARTS)
    frames["figures"] = with_wholes(frames["figures"])
    for part in FURTHER_PARTS if with_further else ():
        frames |= _frames(several, (part,))
    for part in ("timeline", "measures") if with_further else ():
        frames[part] = with_wholes(frames[part])
    refuse_unsound(saved, frames)
    known = {name for profile in saved for name in profile.facts["errors"]}
    unknown = [name for name in ERROR_COLUMNS if name not in known]
    return Parts(
        key=tuple(key),
        keys=frames["keys"].select("part", "code", *key_names(key)),
        figures=frames["figures"].drop(unknown),
        buckets=frames["buckets"],
        seconds=numbered([Profile.empty(key).seconds]),
        heat=frames["heat"].drop("part"),
        classes=frames["classes"],
        rates=frames["rates"] if with_pace else None,
        windows=frames["windows"].drop("part") if with_pace else None,
        resolution_s=min(float(profile.facts.get("resolution_s", 0.0)) for profile in saved),
        timeline=_timeline(saved, frames, key, unknown) if with_further else None,
        measures=_measures(saved, frames, key) if with_further else {},
    ).merged()


def _measures(saved: Sequence[SavedProfile], frames: _Frames, key: Sequence[str]) -> dict[str, Profile]:
    """The measures that all of a few saved profiles have, by ``key``."""
    several = [set(profile.facts["measures"]) for profile in saved if profile.rows]
    found = {}
    for name in sorted(set.intersection(*several)) if several else ():
        figures, buckets = (
            frames[part].filter(pl.col("measure") == name).drop("measure")
            for part in ("measures", "measure_buckets")
        )
        keys = frames["keys"].select("part", "code", *key_names(key))
        found[name] = _without_times(key, keys, figures, buckets).merged()
    return found


def _without_times(
    key: Sequence[str], keys: pl.DataFrame, figures: pl.DataFrame, buckets: pl.DataFrame
) -> Parts:
    """Calls of several profiles that are told by other things than their times."""
    empty = Profile.empty(key)
    lacking = [
        pl.lit(0 if dtype.is_integer() else None, dtype=dtype).alias(name)
        for name, dtype in empty.figures.schema.items()
        if name not in figures.columns
    ]
    return Parts(
        key=tuple(key),
        keys=keys,
        figures=figures.with_columns(lacking),
        buckets=buckets,
        seconds=numbered([empty.seconds]),
        heat=empty.heat,
        classes=numbered([empty.classes]),
    )


def _timeline(
    saved: Sequence[SavedProfile], frames: _Frames, key: Sequence[str], unknown: Sequence[str]
) -> Profile | None:
    """The timeline of a few saved profiles, by ``key``; None where one has none."""
    common = saved_width(saved)
    if common is None:
        return None
    width = float(common)
    own = {
        number: common // profile.facts["window_s"] for number, profile in enumerate(saved) if profile.rows
    }
    times = pl.col("part").replace_strict(own, return_dtype=pl.Int64)
    name, names = window_name(width), key_names(key)
    rows, buckets = (
        frames[part].with_columns((pl.col("window") // times).alias(name)).drop("window")
        for part in ("timeline", "timeline_buckets")
    )
    places = rows.select("part", "code", name).unique()
    places = places.with_columns(pl.int_range(pl.len()).over("part").alias("place"))
    placed = frames["keys"].select("part", "code", *names).join(places, on=["part", "code"])
    figures, counts = (
        frame.join(places, on=["part", "code", name], nulls_equal=True)
        .drop("code", name)
        .rename({"place": "code"})
        for frame in (rows.drop(unknown), buckets)
    )
    keys = placed.select("part", pl.col("place").alias("code"), *names, name)
    is_fitted = all(profile.facts["window_is_fitted"] for profile in saved if profile.rows)
    whole = replace(_without_times(key, keys, figures, counts), window_s=width, is_fitted=is_fitted)
    return joint_timeline([whole.merged()])


def _frames(
    saved: Mapping[int, SavedProfile], parts: Sequence[str], where: pl.Expr | None = None
) -> dict[str, pl.DataFrame]:
    """The rows of some parts of profiles that have these numbers, or those of them that are asked for."""
    groups = _of_one_schema(saved.values())
    numbers = {address_of(profile.file.path): number for number, profile in saved.items()}
    found = [
        _with_numbers(_rows(group, parts, where).collect(engine="streaming"), numbers) for group in groups
    ]
    rows = pl.concat(with_common_types(found), how="diagonal_relaxed")
    keys = [name for name in rows.columns if name.startswith("key:")]
    return {
        part: rows.filter(pl.col("part") == part).select(
            pl.col("number").alias("part"), *PARTS[part], *(keys if part == "keys" else [])
        )
        for part in parts
    }


def _with_numbers(rows: pl.DataFrame, numbers: Mapping[str, int]) -> pl.DataFrame:
    """Rows with the number of their file in the place of its path."""
    runs = rows["path"].rle().struct.unnest()
    of_runs = np.array([numbers[path] for path in runs["value"]], dtype=np.int32)
    return rows.drop("path").with_columns(pl.Series("number", np.repeat(of_runs, runs["len"].to_numpy())))


def _of_one_schema(saved: Iterable[SavedProfile]) -> list[list[SavedProfile]]:
    """The profiles of one store whose key columns have the same types, which one scan can read."""
    groups: dict[tuple[str, str], list[SavedProfile]] = {}
    for profile in saved:
        refuse_other_columns(profile)
        types = str(sorted((name, str(dtype)) for name, dtype in profile.key_types.items()))
        groups.setdefault((store_of(profile.file.path), types), []).append(profile)
    return list(groups.values())


def _rows(saved: Sequence[SavedProfile], parts: Sequence[str], where: pl.Expr | None) -> pl.LazyFrame:
    paths = [profile.file.path for profile in saved]
    names = dict.fromkeys(name for part in parts for name in PARTS[part])
    keys = key_names(saved[0].key) if "keys" in parts else []
    scan = pl.scan_parquet(
        **scan_source(paths), glob=False, hive_partitioning=False, include_file_paths="path"
    )
    rows = scan.filter(pl.col("part").is_in(parts))
    return (rows if where is None else rows.filter(where)).select("path", "part", *names, *keys)


def merged_seconds(
    saved: Sequence[SavedProfile],
    keys: pl.DataFrame,
    key: Sequence[str],
    beside: Profile | None = None,
    steps: Steps = Steps(),
) -> Iterator[pl.DataFrame]:
    """The seconds of all profiles together, slice of time by slice of time.

    Args:
        saved: the profiles.
        keys: the keys of the profile of all: ``code`` and the key columns.
        key: the key columns.
        beside: the profile by ``key`` of logs beside them.
        steps: how much is held at a time.

    Yields:
        ``code``, ``second``, ``calls``, ``completions``, ascending from frame to frame.
    """
    for first, last in _slices(_spans(saved, beside), keys.height, steps):
        inside = pl.col("second").is_between(first, last)
        sums = Profile.empty(key).seconds
        if beside:
            sums = _under_keys(numbered([beside.keys]), numbered([beside.seconds.filter(inside)]), keys)
        for some in _steps_between(saved, first, last, steps):
            frames = _frames(some, ("keys", "seconds"), inside | (pl.col("part") == "keys"))
            refuse_unsound_seconds(some, frames["keys"], frames["seconds"])
            rows = _under_keys(frames["keys"], frames["seconds"], keys)
            sums = summed_seconds(pl.concat([sums, rows], how="diagonal"))
        yield sums


def _under_keys(own_keys: pl.DataFrame, seconds: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """The seconds of numbered profiles under the codes of ``keys`` in the place of their own."""
    return recoded(seconds, new_codes(with_types(own_keys.select("part", *keys.columns), keys.schema), keys))


def _steps_between(
    saved: Sequence[SavedProfile], first: int, last: int, steps: Steps
) -> Iterator[dict[int, SavedProfile]]:
    """The profiles with seconds from ``first`` to ``last``, by number, about as many rows at a time."""
    step: dict[int, SavedProfile] = {}
    rows = 0.0
    for number, profile in enumerate(saved):
        begins, ends, count = (profile.facts[name] for name in _SPAN)
        if not count or begins > last or ends < first:
            continue
        own = count * (min(ends, last) - max(begins, first) + 1) / (ends - begins + 1)
        if step and rows + own > steps.seconds:
            yield step
            step, rows = {}, 0.0
        step[number] = profile
        rows += own
    if step:
        yield step


_Span = tuple[int, int, int]


def _spans(saved: Sequence[SavedProfile], beside: Profile | None) -> list[_Span]:
    """First and last second of each profile that has some, and how many rows; ascending."""
    found = [tuple(profile.facts[name] for name in _SPAN) for profile in saved]
    if beside:
        seconds = beside.seconds["second"]
        found.append((seconds.min(), seconds.max(), len(seconds)))
    return sorted((first, last, rows) for first, last, rows in found if rows)


def _overlap(spans: Sequence[_Span]) -> bool:
    """Whether two profiles may have counted the same second."""
    return any(later[0] <= earlier[1] for earlier, later in pairwise(spans))


def _slices(spans: Sequence[_Span], num_keys: int, steps: Steps) -> list[tuple[int, int]]:
    """First and last second of slices of time with about as many rows each, equal seconds counted once."""
    if not spans:
        return []
    # Ascending, since the last digits of a sum depend on its order.
    first, last, rows = np.array(spans, dtype=np.int64).T
    times = np.unique(np.concatenate([first, last + 1]))
    most = num_keys * (int(times[-1]) - int(times[0]))
    count = min(int(rows.sum()), most) // steps.seconds + 1
    if count == 1:
        return [(int(times[0]), int(times[-1]) - 1)]
    shares = (times - first[:, None]) / (last + 1 - first)[:, None]
    before = (np.clip(shares, 0, 1) * rows[:, None]).sum(axis=0)
    edges = np.interp(np.arange(1, count) * (rows.sum() / count), before, times).astype(np.int64)
    starts = np.unique(np.concatenate([times[:1], edges]))
    return list(zip(starts.tolist(), [*(starts[1:] - 1).tolist(), int(times[-1]) - 1], strict=True))
