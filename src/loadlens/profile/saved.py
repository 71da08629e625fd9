"""Saved profiles read and merged, a bounded number of rows at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.profile.buckets import RELATIVE_ERROR
from loadlens.profile.pace import Pace, pace_of, summed_paces
from loadlens.profile.plan import Execution, Plan, success_rule
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.storing import COLUMNS, PARTS
from loadlens.schema import ERROR_COLUMNS
from loadlens.sources.diagnosis import explain
from loadlens.sources.log import Log
from loadlens.sources.saved import SavedProfile, overlaps
from loadlens.sources.storage.location import Location, RemotePath, scan_source, store_of
from loadlens.sources.wording import listed

__all__ = ["damage_told", "merged_profile", "merged_seconds", "profile_for_plan"]

_CELLS_A_STEP: Final = 1_500_000
_SECONDS_A_STEP: Final = 1_000_000
_SCANS_A_STEP: Final = 64
_SMALL_PARTS: Final = ("keys", "heat", "classes", "rates", "windows")
_EMPTY: Final = {
    part: pl.DataFrame(schema={name: COLUMNS[name] for name in names}) for part, names in PARTS.items()
}

_Frames = Mapping[tuple[str, str], pl.DataFrame]


def profile_for_plan(log: Log, plan: Plan, execution: Execution) -> Profile:
    """The profile of a log that is made of saved profiles.

    Raises:
        InputError: the profiles are damaged, or cannot tell what the plan wants.
        UsageError: exact figures are asked for.
    """
    if execution.get("exact", False):
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
    found = merged_profile(log.saved, plan.key)
    return found if execution.get("heatmap", False) else replace(found, heat=found.heat.clear())


@contextmanager
def damage_told(saved: Sequence[SavedProfile]) -> Iterator[None]:
    """Turns what Polars raises while it reads profiles into an InputError that names the file."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        files = [profile.file for profile in saved]
        raise InputError(*explain(files, str(files[0].path), error)) from error


def merged_profile(saved: Sequence[SavedProfile], key: Sequence[str]) -> Profile:
    """The profile of all logs behind saved profiles, with a pace in the place of seconds.

    Args:
        saved: the profiles.
        key: columns that all of them have; fewer than their own make coarser groups.

    Raises:
        InputError: a profile is damaged.
    """
    # Where no second is shared the paces add up, and nobody has to look at the seconds.
    adds_up = set(key) == set(saved[0].key) and not overlaps(saved)
    whole: Profile | None = None
    for step in _steps(saved):
        parts = _profiles(step, key, with_pace=adds_up)
        whole = Profile.merge_all([*([whole] if whole else []), *parts])
    assert whole is not None  # noqa: S101  # there is a profile, so there is a step
    if not adds_up:
        paces = [pace_of(seconds) for seconds in merged_seconds(saved, whole.keys, key)]
        whole = replace(whole, pace=summed_paces(paces or [Pace.empty()]))
    return replace(whole, pace=whole.pace or Pace.empty())


def _steps(saved: Sequence[SavedProfile]) -> Iterator[list[SavedProfile]]:
    """The profiles in lists of a bounded number of rows."""
    step: list[SavedProfile] = []
    rows = 0
    for profile in saved:
        own = profile.file.rows - profile.facts["num_seconds"]
        if step and rows + own > _CELLS_A_STEP:
            yield step
            step, rows = [], 0
        step.append(profile)
        rows += own
    yield step


def _profiles(saved: Sequence[SavedProfile], key: Sequence[str], *, with_pace: bool) -> list[Profile]:
    frames = _frames(saved, ("buckets",)) | _frames(saved, _SMALL_PARTS)
    return [_profile(profile, frames, key, with_pace=with_pace) for profile in saved]


def _profile(profile: SavedProfile, frames: _Frames, key: Sequence[str], *, with_pace: bool) -> Profile:
    parts = {part: _part(profile, frames, part) for part in ("buckets", *_SMALL_PARTS)}
    _refuse_damaged(profile, parts)
    unknown = [name for name in ERROR_COLUMNS if name not in profile.facts["errors"]]
    return Profile(
        key=tuple(key),
        keys=parts["keys"].select("code", *key_names(key)),
        buckets=parts["buckets"].drop(unknown),
        seconds=_EMPTY["seconds"],
        heat=parts["heat"],
        classes=parts["classes"],
        pace=Pace(rates=parts["rates"], windows=parts["windows"]) if with_pace else None,
    )


def _part(profile: SavedProfile, frames: _Frames, part: str) -> pl.DataFrame:
    found = frames.get((_address(profile.file.path), part))
    if found is None:
        return _EMPTY[part]
    return found.select([*PARTS[part], *(key_names(profile.key) if part == "keys" else [])])


def _frames(saved: Sequence[SavedProfile], parts: Sequence[str]) -> dict[tuple[str, str], pl.DataFrame]:
    """The rows of some parts by file and part."""
    return {
        place: frame
        for files in _of_one_schema(saved)
        for place, frame in _split(_rows(files, parts).collect(engine="streaming"))
    }


def _address(path: Location) -> str:
    """What a scan calls a file."""
    return path.url if isinstance(path, RemotePath) else str(path)


def _of_one_schema(saved: Sequence[SavedProfile]) -> list[list[SavedProfile]]:
    """The profiles of one store whose key columns have the same types, which one scan can read."""
    groups: dict[tuple[str, str], list[SavedProfile]] = {}
    for profile in saved:
        types = str(sorted((name, str(dtype)) for name, dtype in profile.key_types.items()))
        groups.setdefault((store_of(profile.file.path), types), []).append(profile)
    return list(groups.values())


def _rows(saved: Sequence[SavedProfile], parts: Sequence[str]) -> pl.LazyFrame:
    paths = [profile.file.path for profile in saved]
    names = dict.fromkeys(name for part in parts for name in PARTS[part])
    keys = key_names(saved[0].key) if "keys" in parts else []
    scan = pl.scan_parquet(
        **scan_source(paths), glob=False, hive_partitioning=False, include_file_paths="path"
    )
    return scan.filter(pl.col("part").is_in(parts)).select("path", "part", *names, *keys)


def _split(rows: pl.DataFrame) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    """Rows that lie together in their file, with its path and their part."""
    rows = rows.rechunk()  # a slice of a frame in thousands of chunks walks through all of them
    runs = rows.select(pl.struct("path", "part").rle()).to_series().struct.unnest()
    start = 0
    for length, place in runs.iter_rows():
        yield (place["path"], place["part"]), rows.slice(start, length)
        start += length


def _refuse_damaged(profile: SavedProfile, parts: Mapping[str, pl.DataFrame]) -> None:
    """Refuses a profile whose rows cannot be counts of its logs.

    Raises:
        InputError: names the file.
    """
    buckets, num_keys = parts["buckets"], parts["keys"].height
    rows = int(buckets["count"].sum())
    lacking = any(buckets[name].null_count() for name in _FILLED)
    wrong = {
        f"its counts add up to {rows:,} calls, its facts say {profile.rows:,}": rows != profile.rows,
        "it lacks figures": lacking or not buckets["latency_sum"].is_finite().all(),
        "it has negative counts": any(_is_below_0(parts[name][column]) for name, column in _NOT_NEGATIVE),
        "it has counts without a key": buckets.height > 0 and buckets["code"].max() not in range(num_keys),
    }
    found = [text for text, is_wrong in wrong.items() if is_wrong]
    if found:
        raise InputError(
            f"{profile.file.path}: is a damaged profile: {listed(found)}; "
            f"make it again with `loadlens profile`"
        )


def _is_below_0(numbers: pl.Series) -> bool:
    least = numbers.min()
    return isinstance(least, int) and least < 0


_FILLED: Final = (
    "code", "success", "bucket", "count", "latency_sum", "response_size_sum", "response_size_count",
)  # fmt: skip
_NOT_NEGATIVE: Final = (
    ("buckets", "count"), ("buckets", "code"), ("heat", "count"), ("classes", "count"),
    ("rates", "num_seconds"), ("windows", "completions"),
)  # fmt: skip


def merged_seconds(
    saved: Sequence[SavedProfile], keys: pl.DataFrame, key: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """The seconds of all profiles together, slice of time by slice of time.

    Args:
        saved: the profiles.
        keys: the keys of the profile of all: ``code`` and the key columns.
        key: the key columns.

    Yields:
        ``code``, ``second``, ``calls``, ``completions``, ascending from frame to frame.
    """
    own_keys = _frames(saved, ("keys",))
    shell = replace(Profile.empty(key), keys=keys)
    for first, last in _slices(saved):
        chosen = [
            profile
            for profile in saved
            if profile.facts["num_seconds"]
            and profile.facts["first_second"] <= last
            and profile.facts["last_second"] >= first
        ]
        shells = [
            replace(
                shell,
                keys=own_keys[_address(profile.file.path), "keys"].select("code", *key_names(key)),
                seconds=seconds,
            )
            for profile, seconds in zip(chosen, _seconds_between(chosen, first, last), strict=True)
        ]
        yield Profile.merge_all([shell, *shells]).seconds


def _seconds_between(saved: Sequence[SavedProfile], first: int, last: int) -> list[pl.DataFrame]:
    """The seconds of each profile from ``first`` to ``last``."""
    is_wanted = (pl.col("part") == "seconds") & pl.col("second").is_between(first, last)
    scans = [
        pl.scan_parquet(**scan_source([profile.file.path]), glob=False, hive_partitioning=False)
        .filter(is_wanted)
        .select(PARTS["seconds"])
        for profile in saved
    ]
    # Each scan that is under way holds a thread.
    steps = [scans[start : start + _SCANS_A_STEP] for start in range(0, len(scans), _SCANS_A_STEP)]
    return [frame for step in steps for frame in pl.collect_all(step)]


def _slices(saved: Sequence[SavedProfile]) -> list[tuple[int, int]]:
    """First and last second of slices of time with about as many rows each."""
    names = ("first_second", "last_second", "num_seconds")
    # Sorted, since the last digits of a sum depend on its order.
    timed = sorted(
        tuple(profile.facts[name] for name in names) for profile in saved if profile.facts["num_seconds"]
    )
    if not timed:
        return []
    first, last, rows = np.array(timed, dtype=np.int64).T
    count = int(rows.sum()) // _SECONDS_A_STEP + 1
    times = np.unique(np.concatenate([first, last + 1]))
    if count == 1:
        return [(int(times[0]), int(times[-1]) - 1)]
    shares = (times - first[:, None]) / (last + 1 - first)[:, None]
    before = (np.clip(shares, 0, 1) * rows[:, None]).sum(axis=0)
    edges = np.interp(np.arange(1, count) * (rows.sum() / count), before, times).astype(np.int64)
    starts = np.unique(np.concatenate([times[:1], edges]))
    return list(zip(starts.tolist(), [*(starts[1:] - 1).tolist(), int(times[-1]) - 1], strict=True))
