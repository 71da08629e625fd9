"""The two scans of a log: into tallies, and through selections of what decides."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeGuard

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Layout, NativeSelection, TallyFullError, UnknownKeyError, library
from loadlens.engine.readout import profile_of
from loadlens.engine.refine import ChangedError
from loadlens.engine.scan import (
    PARSING,
    Scan,
    at_hand,
    is_small,
    run_batches,
    spill_file,
    write_spill,
)
from loadlens.engine.selections import Selections
from loadlens.engine.tally import FAILURES, TIMELINE, Columns, Layer, Layers, Tallies, Tally
from loadlens.errors import InputError
from loadlens.logs.log import Log
from loadlens.profile.buckets import window_name, window_of
from loadlens.profile.clock import UnitCounts, UnitWatch
from loadlens.profile.execution import Engine
from loadlens.profile.measures import UnusableMeasureError
from loadlens.profile.plan import Rows, UnusableRowsError
from loadlens.profile.profile import Profile, joint_failures, joint_timeline
from loadlens.profile.progress import Tracker
from loadlens.schema import LATENCY, breaks_rule

__all__ = [
    "COUNTING",
    "LOOKING",
    "Counted",
    "Look",
    "Profiles",
    "Wanted",
    "counted",
    "layers_of",
    "look_again",
    "looked_at",
    "merged_profiles",
    "profiles_of_rows",
    "whole",
]

COUNTING: Final = "Counting latencies"
LOOKING: Final = "Fetching the latencies that decide"
_MOST_PARTS: Final = 4096
_MORE_PARTS: Final = 4
_BYTES_A_KEY: Final = 1700
"""About what the figures of a key take, with what is made of them."""

_EXPECTED: Final = (TallyFullError, UnusableMeasureError)
_NOTHING: Final = pl.DataFrame(schema={"rows": pl.UInt32()})
_SPILLED: Final = {
    "tally": pl.UInt16(),
    "code": pl.UInt32(),
    "success": pl.Boolean(),
    LATENCY: pl.Float64(),
    "end_time": pl.Float64(),
}


Profiles = Mapping[float | None, Profile]
"""What the rows of a log came to, by the width of windows in s; None for the key alone."""

Wanted = Sequence[tuple[Layer, Selections]]
"""Selections, each with the layer that they are of: the width of its windows, None for the key alone, or a
measure."""

Look = Callable[[Wanted], None]
"""Runs all rows of a log through selections."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A log that has been counted, and that further looks may read.

    Attributes:
        profiles: what its rows came to.
        look: runs the rows through selections.
        spilled_bytes: size of the temporary file that the rows went through, else 0.
        is_whole: whether these are all of its keys.
    """

    profiles: Profiles
    look: Look
    spilled_bytes: int = 0
    is_whole: bool = True


@contextmanager
def counted(log: Log, scan: Scan) -> Iterator[Iterator[Counted]]:
    """Counts a log; what is dear to read again goes into a temporary file, for as long as the context lasts.

    Yields:
        The log in parts by its keys: most often one, else as many as it takes to stay within memory, each
        counted by a scan of its own once it is asked for.

    Raises:
        InputError: the keys are too many to count.
        UnusableRowsError: some row breaks a rule.
    """
    if is_small(log, scan):
        log = at_hand(log, scan, None)
    is_kept = log.is_dear and scan.options.is_exact
    with spill_file(scan.options.spill_folder if is_kept else None, wanted=is_kept) as path:
        found = None
        if path:
            with suppress(TallyFullError):
                found = _spilling(log, layers_of(log, scan), scan, path)
        if path and not found:  # it is read several times
            log = at_hand(log, scan, path)
        yield iter([found]) if found else _in_parts(log, layers_of(log, scan), scan)


def layers_of(log: Log, scan: Scan) -> Layers:
    """What a log is counted by."""
    return Layers.of(Rows.of(log, scan.plan), scan.widths, timeline=scan.options.heatmap)


def _in_parts(log: Log, layers: Layers, scan: Scan) -> Iterator[Counted]:
    """A log in parts by the hash of its keys, each small enough to be counted within the memory limit."""
    waiting = [(0, 1)]
    num_keys, share = 0, 0.0  # of what is done
    while waiting:
        part, parts = waiting.pop()
        if parts > 1:
            library().release_memory()  # of the part before
        try:
            profiles = _profiles_of_part(layers, scan, part, parts)
        except TallyFullError as error:
            if parts >= _MOST_PARTS:
                raise _too_many_keys(log, scan, "too many different values") from error
            # Parts by a hash are alike: what is too large for one is so for those that wait.
            waiting = _divided([*waiting, (part, parts)], _MORE_PARTS * parts)
            continue
        num_keys, share = num_keys + profiles[None].keys.height, share + 1 / parts
        if parts > 1 and num_keys / share * _BYTES_A_KEY > scan.limits.profile_bytes:
            raise _too_many_keys(log, scan, f"about {num_keys / share:,.0f} different values")
        keys = {layer: profile.keys for layer, profile in looked_at(profiles).items()}
        look = partial(look_again, layers, keys, scan.options.engine, scan.tracker, part=part, parts=parts)
        yield Counted(profiles=profiles, look=look, spilled_bytes=log.spilled_bytes, is_whole=parts == 1)


def looked_at(profiles: Profiles) -> dict[Layer, Profile]:
    """The profiles of all layers that further looks may be asked for."""
    return dict([*profiles.items(), *profiles[None].measures.items()])


def _divided(parts: Sequence[tuple[int, int]], into: int) -> list[tuple[int, int]]:
    """Parts, each as its number and of how many it is one, as parts of which there are ``into`` in all."""
    return [
        (one, into)
        for number, of in parts
        for one in reversed(range(number * into // of, (number + 1) * into // of))
    ]


def profiles_of_rows(log: Log, layers: Layers, scan: Scan) -> Profiles:
    """The profiles of a log.

    Raises:
        InputError: the keys are too many.
        UnusableRowsError: some row breaks a rule.
    """
    return whole(log, scan, _in_parts(log, layers, scan)).profiles


def whole(log: Log, scan: Scan, parts: Iterable[Counted]) -> Counted:
    """A log of which there are parts by its keys, which cannot be looked at again if these are several.

    Raises:
        InputError: together they outgrow the memory limit.
    """
    found: list[Counted] = []
    timelines: list[Profile | None] = []
    for part in parts:
        run = part.profiles[None]
        # Put together at once: windows that fit the keys of a part alone would be too many for all.
        timelines = [joint_timeline([*timelines, run.timeline])] if timelines else [run.timeline]
        found.append(replace(part, profiles={**part.profiles, None: replace(run, timeline=None)}))
        sizes = [profile.estimated_bytes for some in found for profile in some.profiles.values()]
        if sum(sizes) > scan.limits.profile_bytes:
            keys = sum(some.profiles[None].keys.height for some in found)
            raise _too_many_keys(log, scan, f"more than {keys:,} different values")
    several = [some.profiles for some in found]
    profiles = several[0] if len(several) == 1 else merged_profiles(several)
    run = replace(profiles[None], timeline=timelines[0])
    return replace(found[0], profiles={**profiles, None: run}, is_whole=True)


def merged_profiles(several: Sequence[Profiles]) -> Profiles:
    """The profiles of all rows together, at least one of each layer."""
    return {width: Profile.merge_all([profiles[width] for profiles in several]) for width in several[0]}


def _too_many_keys(log: Log, scan: Scan, how_many: str) -> InputError:
    windows = " in windows of " + " and ".join(f"{width:g} s" for width in scan.widths) if scan.widths else ""
    return InputError(
        f"{log.name}: {', '.join(scan.plan.key)} have {how_many}, whose counts{windows} outgrow the memory "
        f"limit of {scan.limits.memory / 2**20:,.0f} MiB; group by fewer columns, or by ones with fewer "
        f"values, or raise the memory limit"
    )


def _profiles_of_part(layers: Layers, scan: Scan, part: int, parts: int) -> Profiles:
    tallies = Tallies(layers, most_bytes=scan.limits.tally_bytes, part=part, parts=parts)
    told = f", part {part + 1} of {parts} of the keys" if parts > 1 else ""
    return _tallied(layers, scan, tallies, stage=f"{COUNTING}{told}")


def _spilling(log: Log, layers: Layers, scan: Scan, path: Path) -> Counted:
    """Counts rows while they are read, and writes what further looks ask for."""
    tallies = Tallies(layers, most_bytes=scan.limits.tally_bytes)
    profiles = _tallied(layers, scan, tallies, path, stage=PARSING if log.text else COUNTING)
    run, columns = profiles[None], layers.run
    codes = [_codes_under(run, of_layers[None].keys, columns) for of_layers in tallies.all]
    keys: dict[Layer, pl.DataFrame] = dict.fromkeys([None, *run.measures], run.keys.select("code"))
    for width in scan.widths:
        of_windows = profiles[width].keys
        code = pl.Series("code", _codes_under(run, _coded(of_windows, columns), columns))
        keys[width] = pl.DataFrame([code, of_windows[window_name(width)]])
    rows = _Spilled(path=path, layers=layers, keys=keys, codes=codes)
    return Counted(
        profiles=profiles,
        look=partial(rows.look, scan.options.engine, scan.tracker),
        spilled_bytes=path.stat().st_size,
    )


def _refuse_broken_keys(profile: Profile) -> None:
    named = profile.keys.drop("code").rename(lambda name: name.removeprefix("key:"))
    if profile.key and named.select(breaks_rule(profile.key).any()).item():
        raise UnusableRowsError


def _tallied(
    layers: Layers, scan: Scan, tallies: Tallies, path: Path | None = None, *, stage: str
) -> Profiles:
    """Counts rows, into the file at ``path`` if there is one."""
    scan.tracker.stage(stage)
    units = UnitWatch(layers.run.logged_times)
    end = (
        pl.col("end_time") if layers.run.layout.has_end else pl.lit(None, dtype=pl.Float64).alias("end_time")
    )

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        codes = np.empty(batch.height, dtype=np.uint32) if path else None
        number = tallies.add(batch, codes=codes)
        units.add(batch)
        if codes is None:
            return _NOTHING
        origin = pl.lit(number, dtype=pl.UInt16).alias("tally")
        return batch.select(origin, pl.Series("code", codes), "success", LATENCY, end, *layers.measured)

    def run(frame: pl.LazyFrame) -> None:
        if path:
            write_spill(frame, path, scan.options.engine)
        else:
            frame.collect(engine=scan.options.engine)

    frame = scan.tracker.watch(layers.frame)
    spilled_columns = {**_SPILLED, **dict.fromkeys(layers.measured, pl.Float64())}
    run_batches(frame, add, spilled_columns if path else _NOTHING.schema, run, expected=_EXPECTED)
    found = {
        layer: _profile(tallies.merged(layer), columns, scan, units)
        for layer, columns in layers.layers.items()
        if layer not in {TIMELINE, FAILURES}
    }
    _refuse_broken_keys(found[None])
    measures = {layer: profile for layer, profile in found.items() if isinstance(layer, str)}
    found[None] = replace(found[None], measures=measures)
    if columns := layers.layers.get(TIMELINE):
        timeline = _timeline(tallies.merged(TIMELINE), columns, scan)
        found[None] = replace(found[None], timeline=timeline)
    if columns := layers.layers.get(FAILURES):
        failures = _further(tallies.merged(FAILURES), columns, scan)
        found[None] = replace(found[None], failures=joint_failures(failures))
    return {layer: profile for layer, profile in found.items() if not isinstance(layer, str)}


def _profile(tallies: Sequence[Tally], columns: Columns, scan: Scan, units: UnitWatch) -> Profile:
    profiles = [profile_of(tally, columns, scan.plan.key, units.counts) for tally in tallies]
    return profiles[0] if len(profiles) == 1 else Profile.merge_all(profiles)


def _timeline(tallies: Sequence[Tally], columns: Columns, scan: Scan) -> Profile | None:
    """The timeline of a log; None where there are too many keys for any width."""
    if any(tally.window_s is None for tally in tallies):
        return None
    profiles = _further(tallies, columns, scan)
    found = [replace(profile, buckets=profile.buckets.drop("excess")) for profile in profiles]
    return found[0] if len(found) == 1 else joint_timeline(found)


def _further(tallies: Sequence[Tally], columns: Columns, scan: Scan) -> list[Profile]:
    """The profiles of a layer beside that of the key alone."""
    return [profile_of(tally, columns, scan.plan.key, UnitCounts()) for tally in tallies]


def _coded(keys: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    return keys.select(key.coded() for key in columns.keys)


def _codes_under(profile: Profile, keys: pl.DataFrame, columns: Columns) -> NDArray[np.int64]:
    """The code in a profile of each of some coded keys."""
    if not columns.keys:
        return np.zeros(max(keys.height, 1), dtype=np.int64)
    known = _coded(profile.keys, columns).with_columns(profile.keys["code"])
    joined = keys.join(known, on=known.columns[:-1], how="left", nulls_equal=True, maintain_order="left")
    return joined["code"].to_numpy()


@dataclass(frozen=True, kw_only=True)
class _Looking:
    """How the rows of one layer are looked at.

    Attributes:
        names: the columns that a look needs.
        selection: makes a selection that wants nothing yet.
    """

    names: tuple[str, ...]
    selection: Callable[[], NativeSelection]

    @classmethod
    def by(
        cls, keys: pl.DataFrame, columns: Columns, make: Callable[..., NativeSelection], *, timed: bool
    ) -> "_Looking":
        """For rows of a layer, told apart by the columns of ``keys``, which are in the order of its codes."""
        counted = (LATENCY, "success", *(["end_time"] if timed else []))
        names = (*keys.columns, columns.measured, *counted[1:])
        places = {name: place for place, name in enumerate(counted, start=keys.width)}
        layout = Layout.of(places, bucket_shift=columns.layout.bucket_shift)
        return cls(names=names, selection=partial(make, layout, keys))


def look_again(
    layers: Layers,
    keys: Mapping[Layer, pl.DataFrame],
    engine: Engine,
    tracker: Tracker,
    selections: Wanted,
    *,
    part: int = 0,
    parts: int = 1,
) -> None:
    """Runs the rows of a log through selections.

    Args:
        layers: the rows.
        keys: the key columns of each layer's profile, in the order of its codes.
        engine: what runs the query.
        tracker: is told of the rows.
        selections: what to look for, by these codes.
        part: which part of the keys, by their hash, these are.
        parts: into how many parts keys fall.

    Raises:
        ChangedError: the rows are not those that were counted.
    """
    looking = []
    for layer, wanted in selections:
        columns = layers.layers[layer]
        timed = layer is None and layers.run.layout.has_end and wanted.has_limits
        coded = _coded(keys[layer], columns)
        make = partial(NativeSelection, columns.is_text, part=part, parts=parts)
        looking.append(_Looking.by(coded, columns, make, timed=timed))
    names = dict.fromkeys(name for some in looking for name in some.names)
    _look(layers.frame.select(list(names)), selections, looking, engine, tracker)


def _is_width(layer: Layer) -> TypeGuard[float]:
    """Whether a layer is one by windows."""
    return layer is not None and not isinstance(layer, str)


@dataclass(frozen=True, kw_only=True)
class _Spilled:
    """Rows in a temporary file, by their codes in the tallies that counted them.

    Attributes:
        path: the file.
        layers: what they were counted by.
        keys: of each layer, in the order of its profile's codes: the code by the key alone, and the window.
        codes: of each tally, for its codes those of the profile by the key alone.
    """

    path: Path
    layers: Layers
    keys: Mapping[Layer, pl.DataFrame]
    codes: Sequence[NDArray[np.int64]]

    def look(self, engine: Engine, tracker: Tracker, selections: Wanted) -> None:
        """Runs the rows through selections."""
        flat = np.concatenate([np.empty(0, dtype=np.int64), *self.codes])
        starts = np.cumsum([0, *[len(part) for part in self.codes]])
        windows = [window_of(layer) for layer in {layer for layer, _ in selections} if _is_width(layer)]

        def coded(batch: pl.DataFrame) -> pl.DataFrame:
            place = starts[batch["tally"].to_numpy()] + batch["code"].to_numpy()
            return batch.with_columns(pl.Series("code", flat[place]), *windows)

        looking = [
            _Looking.by(
                self.keys[layer],
                self.layers.layers[layer],
                partial(NativeSelection, [False] * self.keys[layer].width, direct=not _is_width(layer)),
                timed=layer is None,
            )
            for layer, _ in selections
        ]
        frame = pl.scan_parquet(self.path, glob=False)
        _look(frame, selections, looking, engine, tracker, prepared=coded)


def _look(
    frame: pl.LazyFrame,
    selections: Wanted,
    looking: Sequence[_Looking],
    engine: Engine,
    tracker: Tracker,
    *,
    prepared: Callable[[pl.DataFrame], pl.DataFrame] = lambda batch: batch,
) -> None:

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        rows = prepared(batch)
        for (_, wanted), layer in zip(selections, looking, strict=True):
            with wanted.one(layer.selection) as selection:
                found = selection.look(rows.select(layer.names), high=wanted.has_limits)
            wanted.add(found)
        return _NOTHING

    run = partial(pl.LazyFrame.collect, engine=engine)
    try:
        tracker.stage(LOOKING)
        run_batches(tracker.watch(frame), add, _NOTHING.schema, run, expected=(UnknownKeyError,))
    except (UnknownKeyError, UnusableRowsError) as error:
        raise ChangedError from error
