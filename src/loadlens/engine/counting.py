"""The two scans of a log: into tallies, and through selections of what decides."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Layout, NativeSelection, TallyFullError, UnknownKeyError
from loadlens.engine.readout import profile_of
from loadlens.engine.refine import ChangedError, Look
from loadlens.engine.scan import Scan, in_memory, is_small_text, run_batches, spilled
from loadlens.engine.selections import Selections
from loadlens.engine.tally import Columns, Tallies
from loadlens.errors import InputError
from loadlens.profile.plan import Engine
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows, UnusableRowsError
from loadlens.profile.spill import spill_file, write_spill
from loadlens.profile.units import UnitWatch
from loadlens.schema import LATENCY, breaks_rule
from loadlens.sources.log import Log

__all__ = ["LOOKING", "Counted", "columns_of", "counted", "look_again", "profile_of_rows"]

LOOKING: Final = "Fetching the latencies that decide"
_MOST_PARTS: Final = 4096
_MORE_PARTS: Final = 4
_NOTHING: Final = {"rows": pl.UInt32()}
_SPILLED: Final = {
    "tally": pl.UInt16(),
    "code": pl.UInt32(),
    "success": pl.Boolean(),
    LATENCY: pl.Float64(),
    "end_time": pl.Float64(),
}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A log that has been counted, and that further looks may read.

    Attributes:
        profile: what its rows came to.
        look: runs the rows through selections.
        spilled_bytes: size of the temporary file that a text log went through, else 0.
    """

    profile: Profile
    look: Look
    spilled_bytes: int = 0


@contextmanager
def counted(log: Log, scan: Scan) -> Iterator[Counted]:
    """Counts a log; large text goes into a temporary file at that, for as long as the context lasts.

    Raises:
        InputError: the keys are too many to count.
        UnusableRowsError: some row breaks a rule.
    """
    if is_small_text(log, scan.limits):
        log = in_memory(log, scan)
    with spill_file(scan.spill_folder if log.text else None, wanted=bool(log.text)) as path:
        found = None
        if path:
            with suppress(TallyFullError):
                found = _spilling(columns_of(log, scan), scan, path)
        if path and not found:  # it is read several times
            log = spilled(log, scan, path)
        yield found or _readable(log, scan)


def _readable(log: Log, scan: Scan) -> Counted:
    """A log whose rows are read again."""
    columns = columns_of(log, scan)
    profile = profile_of_rows(log, columns, scan)
    return Counted(
        profile=profile, look=partial(look_again, columns, profile.keys, scan.engine, scan.tracker)
    )


def columns_of(log: Log, scan: Scan) -> Columns:
    """The columns that a log is counted by."""
    return Columns.of(Rows.of(log, scan.plan), timeline=scan.with_heat)


def profile_of_rows(log: Log, columns: Columns, scan: Scan) -> Profile:
    """The profile of a log.

    Keys whose counts outgrow the memory limit are counted in parts, by their hash, each in a scan of its own.

    Raises:
        InputError: the keys are too many even so.
        UnusableRowsError: some row breaks a rule.
    """
    parts = 1
    while parts <= _MOST_PARTS:
        try:
            return _profile_in_parts(log, columns, scan, parts)
        except TallyFullError:
            parts *= _MORE_PARTS
    raise _too_many_keys(log, scan, "too many different values")


def _profile_in_parts(log: Log, columns: Columns, scan: Scan, parts: int) -> Profile:
    profiles: list[Profile] = []
    for part in range(parts):
        profiles.append(_profile_of_part(columns, scan, part, parts))
        share = parts / (part + 1)  # parts by a hash are about as large as each other
        if share * sum(profile.estimated_bytes for profile in profiles) > scan.limits.profile_bytes:
            keys = share * sum(profile.keys.height for profile in profiles)
            raise _too_many_keys(log, scan, f"about {keys:,.0f} different values")
    return profiles[0] if parts == 1 else Profile.merge_all(profiles)


def _too_many_keys(log: Log, scan: Scan, how_many: str) -> InputError:
    return InputError(
        f"{log.name}: {', '.join(scan.plan.key)} have {how_many}, whose counts outgrow the memory limit of "
        f"{scan.limits.memory / 2**20:,.0f} MiB; group by fewer columns, or by ones with fewer values, or "
        f"raise the memory limit"
    )


def _profile_of_part(columns: Columns, scan: Scan, part: int, parts: int) -> Profile:
    tallies = Tallies(columns, most_bytes=scan.limits.tally_bytes, part=part, parts=parts)
    told = f", part {part + 1} of {parts} of the keys" if parts > 1 else ""
    return _tallied(columns, scan, tallies, stage=f"Counting latencies{told}")


def _spilling(columns: Columns, scan: Scan, path: Path) -> Counted:
    """Counts text while it is parsed, and writes what further looks ask for."""
    tallies = Tallies(columns, most_bytes=scan.limits.tally_bytes)
    profile = _tallied(columns, scan, tallies, path, stage="Parsing text")
    codes = [_codes_under(profile, tally.keys, columns) for tally in tallies.all]
    return Counted(
        profile=profile,
        look=partial(_look_at_spilled, path, profile.keys.height, codes, scan),
        spilled_bytes=path.stat().st_size,
    )


def _refuse_broken_keys(profile: Profile) -> None:
    named = profile.keys.select(
        pl.col(internal).alias(name)
        for internal, name in zip(key_names(profile.key), profile.key, strict=True)
    )
    if profile.key and named.select(breaks_rule(profile.key).any()).item():
        raise UnusableRowsError


def _tallied(
    columns: Columns, scan: Scan, tallies: Tallies, path: Path | None = None, *, stage: str
) -> Profile:
    """Counts rows, into the file at ``path`` if there is one."""
    scan.tracker.stage(stage)
    units = UnitWatch(columns.logged_times)
    nothing = pl.DataFrame(schema=_NOTHING)
    end = pl.col("end_time") if columns.has_end else pl.lit(None, dtype=pl.Float64).alias("end_time")

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        codes = np.empty(batch.height, dtype=np.uint32) if path else None
        with tallies.one() as (number, tally):
            tally.add(batch, codes=codes)
        units.add(batch)
        if codes is None:
            return nothing
        origin = pl.lit(number, dtype=pl.UInt16).alias("tally")
        return batch.select(origin, pl.Series("code", codes), "success", LATENCY, end)

    def run(frame: pl.LazyFrame) -> None:
        if path:
            write_spill(frame, path, scan.engine)
        else:
            frame.collect(engine=scan.engine)

    frame = scan.tracker.watch(columns.frame)
    run_batches(frame, add, _SPILLED if path else _NOTHING, run, expected=(TallyFullError,))
    profiles = [profile_of(tally, columns, scan.plan.key, units.counts) for tally in tallies.merged()]
    profile = profiles[0] if len(profiles) == 1 else Profile.merge_all(profiles)
    _refuse_broken_keys(profile)
    return profile


def _coded(keys: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    return keys.select(key.coded() for key in columns.keys)


def _selection_of_keys(columns: Columns, keys: pl.DataFrame) -> NativeSelection:
    layout = _layout(len(columns.keys), timed=columns.has_end)
    return NativeSelection(columns.is_text, layout, _coded(keys, columns))


def _selection_of_codes(keys: int) -> NativeSelection:
    codes = pl.DataFrame({"code": range(keys)}, schema={"code": pl.Int64})
    return NativeSelection([False], _layout(1, timed=True), codes, direct=True)


def _codes_under(profile: Profile, keys: pl.DataFrame, columns: Columns) -> NDArray[np.int64]:
    """The code in a profile of each coded key of a tally."""
    if not columns.keys:
        return np.zeros(1, dtype=np.int64)
    known = _coded(profile.keys, columns).with_columns(profile.keys["code"])
    joined = keys.join(known, on=keys.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["code"].to_numpy()


def look_again(
    columns: Columns, keys: pl.DataFrame, engine: Engine, tracker: Tracker, selections: Selections
) -> None:
    """Runs the rows of a log through selections.

    Args:
        columns: the rows.
        keys: the key columns of a profile, in the order of its codes.
        engine: what runs the query.
        tracker: is told of the rows.
        selections: what to look for, by these codes.

    Raises:
        ChangedError: the rows are not those that were counted.
    """
    names = [key.name for key in columns.keys]
    rest = ["end_time"] if columns.has_end and selections.has_limits else []
    frame = columns.frame.select(*names, LATENCY, "success", *rest)
    if columns.has_end and not rest:  # the layout has a place for it
        frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("end_time"))
    make = partial(_selection_of_keys, columns, keys)
    _look(frame, selections, make, engine, tracker)


def _layout(latency: int, *, timed: bool) -> Layout:
    end = {"end_time": latency + 2} if timed else {}
    return Layout.of({LATENCY: latency, "success": latency + 1, **end})


def _look_at_spilled(
    path: Path, keys: int, codes: Sequence[NDArray[np.int64]], scan: Scan, selections: Selections
) -> None:
    flat = np.concatenate([np.empty(0, dtype=np.int64), *codes])
    starts = np.cumsum([0, *[len(part) for part in codes]])

    def coded(batch: pl.DataFrame) -> pl.DataFrame:
        place = starts[batch["tally"].to_numpy()] + batch["code"].to_numpy()
        return batch.select(pl.Series("code", flat[place]), LATENCY, "success", "end_time")

    frame, make = pl.scan_parquet(path, glob=False), partial(_selection_of_codes, keys)
    _look(frame, selections, make, scan.engine, scan.tracker, prepared=coded)


def _look(
    frame: pl.LazyFrame,
    selections: Selections,
    make: Callable[[], NativeSelection],
    engine: Engine,
    tracker: Tracker,
    *,
    prepared: Callable[[pl.DataFrame], pl.DataFrame] = lambda batch: batch,
) -> None:
    nothing = pl.DataFrame(schema=_NOTHING)

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        rows = prepared(batch)
        with selections.one(make) as selection:
            found = selection.look(rows, high=selections.has_limits)
        selections.add(found)
        return nothing

    def run(query: pl.LazyFrame) -> None:
        query.collect(engine=engine)

    try:
        tracker.stage(LOOKING)
        run_batches(tracker.watch(frame), add, _NOTHING, run, expected=(UnknownKeyError,))
    except (UnknownKeyError, UnusableRowsError) as error:
        raise ChangedError from error
