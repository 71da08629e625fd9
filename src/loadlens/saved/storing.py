"""A profile as one Parquet file: a table whose column ``part`` says which frame of the profile a row is of.

The same profile always gives the same bytes: rows are sorted, and all sums are sums of whole numbers.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from loadlens.logs.metadata import PROFILE_FACTS
from loadlens.profile.buckets import window_name
from loadlens.profile.merging import pace_of, whole_of_halves
from loadlens.profile.profile import Profile, key_names
from loadlens.schema import ERROR_COLUMNS
from loadlens.storage.checksum import write_checksum
from loadlens.text.common_types import with_types

__all__ = ["COLUMNS", "FURTHER_PARTS", "PARTS", "digest_of", "stored_parts", "with_wholes", "write_profile"]

_WORD: Final = 2**64
_ROWS_A_GROUP: Final = 2**17

_WIDE: Final = ("latency_sum", "response_size_sum")
"""Sums of 128 bits, which are stored as two columns of 64: ``_high`` and ``_low`` (its bits, as signed)."""

_FIGURES: Final = (
    "code", "success", "calls", "timed", *(f"{name}_{part}" for name in _WIDE for part in ("high", "low")),
    "latency_min", "latency_max", "first_start", "last_end", *ERROR_COLUMNS, "response_size_count",
)  # fmt: skip
_TIMELINE: Final = (
    "code", "window", *(name for name in _FIGURES if name not in {"code", "first_start", "last_end"}),
)  # fmt: skip
_MEASURES: Final = (
    "measure", "code", "success", "calls", "timed", "latency_sum_high", "latency_sum_low", "latency_min",
    "latency_max",
)  # fmt: skip
_WINDOWS: Final = (
    "second", "width_s", "first_second", "last_second", "num_seconds", "calls", "completions",
)  # fmt: skip

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "keys": ("code",),
    "figures": _FIGURES,
    "buckets": ("code", "success", "bucket", "count", "excess"),
    "seconds": ("code", "second", "starts", "calls", "completions"),
    "heat": ("time_s", "window_s", "octave_part", "count"),
    "classes": ("code", "error", "count"),
    "rates": ("code", "completions", "num_seconds"),
    "windows": _WINDOWS,
    "timeline": _TIMELINE,
    "timeline_buckets": ("code", "window", "success", "bucket", "count"),
    "measures": _MEASURES,
    "measure_buckets": ("measure", "code", "success", "bucket", "count", "excess"),
}
"""The parts of a profile in the order in which they lie in the file, and their columns; ``keys`` has the
configuration columns, as ``key:<name>``, besides."""

FURTHER_PARTS: Final = ("timeline", "timeline_buckets", "measures", "measure_buckets")
"""Those that few analyses need."""

_TYPES: Final[Mapping[str, pl.DataType]] = {
    "success": pl.Boolean(),
    "error": pl.String(),
    "measure": pl.String(),
    **dict.fromkeys(
        ("latency_min", "latency_max", "first_start", "last_end", "time_s", "window_s"), pl.Float64()
    ),
}

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "part": pl.String(),
    **{name: _TYPES.get(name, pl.Int64()) for names in PARTS.values() for name in names},
}
"""The columns of the file but for those of the key, and their types."""

_BY_DIFFERENCE: Final = (
    "bucket", "second", "time_s", "octave_part", "first_second", "last_second", "window",
)  # fmt: skip
_PLAIN: Final = ("excess", "first_start", "last_end", *_BY_DIFFERENCE)


def stored_parts(profile: Profile) -> dict[str, pl.DataFrame]:
    """The frames of a profile as they are written, all but the seconds: coded by ascending key and sorted."""
    names = key_names(profile.key)
    texts = [name for name in names if isinstance(profile.keys.schema[name], pl.Categorical | pl.Enum)]
    keys = profile.keys.with_columns(pl.col(texts).cast(pl.String)) if texts else profile.keys
    pace = profile.pace or pace_of(profile.seconds)
    return {
        "keys": keys.sort(names, nulls_last=True) if names else keys,
        "figures": _stored_figures(profile.figures).select(_FIGURES).sort("code", "success"),
        "buckets": profile.buckets.sort("code", "success", "bucket"),
        "heat": profile.even_heat,
        "classes": profile.classes.sort("code", "error"),
        "rates": pace.rates.sort("code", "completions"),
        "windows": pace.windows.sort("second"),
        **_stored_timeline(profile.timeline, keys),
        **_stored_measures(profile.measures),
    }


def _stored_figures(figures: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in ERROR_COLUMNS if name not in figures.columns]
    return _with_halves(figures.with_columns(pl.lit(None, dtype=pl.Int64).alias(name) for name in missing))


def _stored_timeline(timeline: Profile | None, keys: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The figures and buckets of a timeline under the codes of ``keys``."""
    if timeline is None or timeline.window_s is None:
        return {part: _no_rows(part) for part in ("timeline", "timeline_buckets")}
    names = key_names(timeline.key)
    window = pl.col(window_name(timeline.window_s)).alias("window")
    places = timeline.keys.select(pl.col("code").alias("place"), window, *names)
    places = with_types(places, {**places.schema, **keys.select(names).schema})
    own = places.join(keys, on=names, nulls_equal=True) if names else places.join(keys, how="cross")
    figures, buckets = (
        frame.rename({"code": "place"}).join(own.select("place", "code", "window"), on="place")
        for frame in (_stored_figures(timeline.figures), timeline.buckets)
    )
    order = ["code", "window", "success"]
    return {
        "timeline": figures.select(_TIMELINE).sort(order),
        "timeline_buckets": buckets.select(PARTS["timeline_buckets"]).sort(*order, "bucket"),
    }


def _no_rows(part: str) -> pl.DataFrame:
    return pl.DataFrame(schema={name: COLUMNS[name] for name in PARTS[part]})


def _stored_measures(measures: Mapping[str, Profile]) -> dict[str, pl.DataFrame]:
    """The figures and buckets of measures, whose codes are those of the run."""
    found = {part: [_no_rows(part)] for part in ("measures", "measure_buckets")}
    for name, profile in measures.items():
        named = pl.lit(name).alias("measure")
        figures = _with_halves(profile.figures).with_columns(named).select(_MEASURES)
        buckets = profile.buckets.with_columns(named).select(PARTS["measure_buckets"])
        found["measures"].append(figures.sort("code", "success"))
        found["measure_buckets"].append(buckets.sort("code", "success", "bucket"))
    return {part: pl.concat(frames) for part, frames in found.items()}


def _with_halves(figures: pl.DataFrame) -> pl.DataFrame:
    """Sums of 128 bits as two columns of 64 bits."""
    high = [(pl.col(name) // _WORD).cast(pl.Int64).alias(f"{name}_high") for name in _WIDE]
    low = [
        (pl.col(name) % _WORD).cast(pl.UInt64).reinterpret(signed=True).alias(f"{name}_low") for name in _WIDE
    ]
    return figures.with_columns(*high, *low).drop(_WIDE)


def with_wholes(figures: pl.DataFrame) -> pl.DataFrame:
    """Sums of 128 bits from two columns of 64 bits."""
    wide = [name for name in _WIDE if f"{name}_low" in figures.columns]
    wholes = [
        whole_of_halves(pl.col(f"{name}_high"), pl.col(f"{name}_low").reinterpret(signed=False)).alias(name)
        for name in wide
    ]
    halves = [f"{name}_{part}" for name in wide for part in ("high", "low")]
    return figures.with_columns(wholes).drop(halves)


def digest_of(profile: Profile) -> str:
    """What tells the calls of a profile apart from others, whatever they are grouped by."""
    buckets = (
        profile.buckets.group_by("success", "bucket").agg(pl.col("count").sum()).sort("bucket", "success")
    )
    seconds = profile.seconds.group_by("second").agg(pl.col("calls").sum()).sort("second")
    text = f"{buckets.rows()}{seconds.rows()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_profile(
    path: Path,
    parts: Mapping[str, pl.DataFrame],
    seconds: Iterable[pl.DataFrame],
    facts: Mapping[str, Any],
) -> None:
    """Writes a profile.

    Args:
        path: the file.
        parts: what ``stored_parts`` returns.
        seconds: the seconds, ascending from frame to frame.
        facts: see ``SavedProfile``; ``num_seconds`` and ``num_further`` are counted here.

    Raises:
        OSError: the file cannot be written.
    """
    from pyarrow import parquet

    keys = {name: dtype for name, dtype in parts["keys"].schema.items() if name != "code"}
    empty = pl.DataFrame(schema={**COLUMNS, **keys})
    schema = empty.to_arrow().schema
    num_seconds = 0
    with parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in empty.columns if name not in _PLAIN],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _BY_DIFFERENCE if name != "time_s"},
    ) as writer:
        for part in PARTS:
            for frame in _sorted(seconds) if part == "seconds" else [parts[part]]:
                for rows in frame.with_columns(pl.lit(part).alias("part")).iter_slices(_ROWS_A_GROUP):
                    whole = pl.concat([empty, rows], how="diagonal")
                    writer.write_table(whole.to_arrow().cast(schema))
                num_seconds += frame.height if part == "seconds" else 0
        counts = {
            "num_seconds": num_seconds,
            "num_further": sum(parts[name].height for name in FURTHER_PARTS),
        }
        text = json.dumps({**facts, **counts}, sort_keys=True, allow_nan=False)
        writer.add_key_value_metadata({PROFILE_FACTS: text})
    write_checksum(path)


def _sorted(seconds: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in seconds:
        yield frame.sort("second", "code")
