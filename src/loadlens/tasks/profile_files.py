"""Profiles of logs as files: made once, merged, and analysed in the place of the logs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl

from loadlens.engine import measure
from loadlens.errors import InputError
from loadlens.keywords import checked_arguments, columns_of, key_of
from loadlens.logs import Log, Reading, open_log, saved_profiles
from loadlens.logs.metadata import (
    PROFILE_FORMAT,
    SavedProfile,
    content_of,
    lost_warning,
    refuse_doubled,
    refuse_other_keys,
    success_rule_of,
    told_columns,
)
from loadlens.messages import notes_last
from loadlens.profile import Execution, MeasureOptions, Plan, Profile, success_of
from loadlens.profile.buckets import RELATIVE_ERROR, checked_window
from loadlens.profile.measures import Measure, checked_measures, measures_of
from loadlens.publish.publishing import publish_file
from loadlens.saved.reading import damage_told, merged_profile, merged_seconds
from loadlens.saved.storing import digest_of, stored_parts, write_profile
from loadlens.schema import LATENCY
from loadlens.storage.location import PathSource, target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loadlens.logs import Findings, Source
    from loadlens.storage.location import Location

__all__ = ["ProfileOptions", "load_profile", "merge_profiles", "profile_log", "write_log_profile"]


@checked_arguments(MeasureOptions, {"reading": Reading})
def profile_log(
    inputs: Source,
    out: PathSource,
    *,
    by: str | Sequence[str] | None = None,
    window_s: float | None = None,
    measures: Sequence[Measure | str] = (),
    reading: Reading | None = None,
    overwrite: bool = False,
    **execution: Unpack[Execution],
) -> Findings:
    """Writes the profile of logs as one Parquet file, which is analysed in their place.

    Args:
        inputs: paths, folders and globs of logs, a frame or an Arrow table.
        out: the file to appear; it appears whole or not at all.
        by: the configuration columns; without them, what naturally tells the log's rows apart.
        window_s: the width in whole seconds of the windows of time by which calls are counted besides, so
            that gates ``within`` such windows, or whole multiples of them, can be judged; by default one
            that gives the run at most 256 windows.
        measures: further durations of the calls to count as latencies are: a ``Measure`` each, or its text
            ``NAME=COLUMN:UNIT``, such as ``first_byte_ms=ttfb:s``; see ``Profile.quantile``.
        reading: how files are read; its options of object stores hold for ``out`` too.
        overwrite: whether an existing file is replaced.
        **execution: how the logs are measured; see ``Execution``. One pass is enough.

    Returns:
        What was rejected or left out.

    Raises:
        InputError: an input cannot be read, or is a profile already.
        OutputError: ``out`` exists and may not be replaced, is an input, or cannot be written.
    """
    options = ProfileOptions(
        by=None if by is None else columns_of(by),
        window_s=checked_window(window_s),
        measures=checked_measures(measures),
        measuring=MeasureOptions(**execution),
    )
    log = open_log(inputs, reading=(reading or Reading()).measuring(options.measures))
    place = target(out, reading.storage_options if reading else None)
    return write_log_profile(log, place, options, overwrite=overwrite)


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """How a profile of a log is made; see ``profile_log``."""

    by: tuple[str, ...] | None = None
    window_s: int | None = None
    measures: tuple[Measure, ...] = ()
    measuring: MeasureOptions = MeasureOptions()


def write_log_profile(log: Log, place: Location, options: ProfileOptions, *, overwrite: bool) -> Findings:
    """Writes the profile of a log; see ``profile_log``."""
    if log.saved:
        raise InputError(
            f"{log.saved[0].file.path}: is a saved profile already; merge several with `loadlens merge`"
        )
    key = key_of(options.by, log.key)
    log.require((*key, LATENCY))
    measures = measures_of(log, options.measures)
    how = replace(options.measuring, exact=False, heatmap=True)

    def write(path: Path) -> None:
        plan = replace(_plan(log, key), window_s=options.window_s, measures=measures)
        profile = Profile.merge_all([measure(log, plan, how).profile])
        write_profile(path, stored_parts(profile), [profile.seconds], _facts(log, profile))

    publish_file(place, write, [file.path for file in log.files], overwrite=overwrite)
    return log.findings


def _plan(log: Log, key: tuple[str, ...]) -> Plan:
    return Plan(
        key=key,
        success=success_of(log.columns),
        percentiles=(),
        outliers="none",
        response_sizes="response_size" in log.columns,
        keeps_profile=True,
        histogram=False,
    )


def _facts(log: Log, profile: Profile) -> dict[str, Any]:
    findings, rule = log.findings.document(), success_rule_of(log.columns)
    return {
        **_counted(profile),
        "columns": told_columns(log.columns, profile.key, rule),
        "success": rule,
        "sources": _sources(log, profile),
        "findings": {
            "rejected": log.findings.unjudged,
            "left_out": findings["left_out"],
            # What counts of rows show is told again, of all that a profile then holds.
            "warnings": [
                *(text for text in findings["warnings"] if text not in log.findings.of_rows),
                *lost_warning(log.columns, profile.key),
            ],
        },
    }


def _sources(log: Log, profile: Profile) -> list[dict[str, Any]]:
    """The files of a log; a table in memory is known by its counts."""
    if not log.files:
        return [{"file": log.name, "bytes": None, "format": "frame", "content": digest_of(profile)}]
    dialects = {file.path: file.dialect.name for file in log.text}
    return [
        {
            "file": str(file.path),
            "bytes": file.size,
            "format": dialects.get(file.path, file.kind),
            "content": content_of(file),
        }
        for file in log.files
    ]


def _counted(profile: Profile) -> dict[str, Any]:
    """The facts that follow from the counts."""
    rows, first, last = profile.figures.select(
        pl.col("calls").sum(), pl.col("first_start").min(), pl.col("last_end").max()
    ).row(0)
    first_second, last_second = profile.windows.select(
        pl.col("first_second").min(), pl.col("last_second").max()
    ).row(0)
    return {
        "format": PROFILE_FORMAT,
        "relative_error": RELATIVE_ERROR,
        "loadlens_version": version("loadlens"),
        "polars_version": pl.__version__,
        "key": list(profile.key),
        "errors": profile.errors,
        "rows": rows,
        "first_s": first,
        "last_s": last,
        "resolution_s": profile.resolution_s,
        "first_second": first_second,
        "last_second": last_second,
        "window_s": None if profile.timeline is None else int(profile.timeline.window_s or 0),
        "measures": list(profile.measures),
        "window_is_fitted": profile.timeline is not None and profile.timeline.is_fitted,
    }


@checked_arguments()
def merge_profiles(
    inputs: PathSource | Sequence[PathSource],
    out: PathSource,
    *,
    by: str | Sequence[str] | None = None,
    force: bool = False,
    overwrite: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> None:
    """Merges saved profiles into one file, as if all their logs had been profiled together.

    Args:
        inputs: paths, folders and globs of profiles.
        out: the file to appear; it appears whole or not at all.
        by: configuration columns that all profiles have; without them, their own, which must be the same.
        force: whether a log that several profiles hold may count several times.
        overwrite: whether an existing file is replaced.
        storage_options: options of object stores, of ``out`` too.

    Raises:
        InputError: an input is no profile, or damaged, or the profiles do not belong together.
        OutputError: ``out`` exists and may not be replaced, is an input, or cannot be written.
    """
    saved = saved_profiles(inputs, storage_options)
    key = key_of(by, saved[0].key)
    refuse_other_keys(saved, None if by is None else key)
    if not force:
        refuse_doubled(saved)

    def write(path: Path) -> None:
        with damage_told(saved):
            profile = merged_profile(saved, key, with_further=True)
            seconds = merged_seconds(saved, profile.keys, key)
            write_profile(path, stored_parts(profile), seconds, _merged_facts(saved, profile))

    place = target(out, storage_options)
    publish_file(place, write, [profile.file.path for profile in saved], overwrite=overwrite)


def _merged_facts(saved: Sequence[SavedProfile], profile: Profile) -> dict[str, Any]:
    told = [{*profile.key, *part.facts["columns"]} - ({*part.key} - {*profile.key}) for part in saved]
    sources = [source for part in saved for source in part.facts["sources"]]
    return {
        **_counted(profile),
        "columns": [name for name in saved[0].facts["columns"] if name in set.intersection(*told)],
        "success": saved[0].facts["success"],
        "sources": sorted(sources, key=lambda source: (source["file"], source["content"])),
        "findings": _merged_findings(saved),
    }


def _merged_findings(saved: Sequence[SavedProfile]) -> dict[str, Any]:
    parts = [part.facts["findings"] for part in saved]
    left_out = sum((Counter(part["left_out"]) for part in parts), Counter[str]())
    return {
        "rejected": sum(part["rejected"] for part in parts),
        "left_out": dict(sorted(left_out.items())),
        "warnings": notes_last(sorted({sentence for part in parts for sentence in part["warnings"]})),
    }


@checked_arguments()
def load_profile(path: PathSource, storage_options: Mapping[str, str] | None = None) -> Profile:
    """The profile that a file holds, with all of its seconds in memory.

    Args:
        path: the file; several, as of a folder, are merged.
        storage_options: options of an object store.

    Raises:
        InputError: a file is no saved profile, or damaged, or several do not belong together.
    """
    saved = saved_profiles(path, storage_options)
    refuse_other_keys(saved)
    refuse_doubled(saved)
    with damage_told(saved):
        profile = merged_profile(saved, saved[0].key, with_further=True)
        seconds = [*merged_seconds(saved, profile.keys, saved[0].key), profile.seconds]
    return replace(profile, seconds=pl.concat(seconds), pace=None)
