"""The profile: a small mergeable summary of a log."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from loadlens.profile.pace import Pace, pace_of, rates_of, summed_paces, windows_of
from loadlens.schema import ERROR_COLUMNS

__all__ = [
    "Profile",
    "coarsened",
    "key_names",
    "summed_buckets",
    "summed_classes",
    "summed_seconds",
    "window_width",
]

_BUCKET_SCHEMA = {
    "code": pl.Int64(),
    "success": pl.Boolean(),
    "bucket": pl.Int64(),
    "count": pl.Int64(),
    "latency_sum": pl.Float64(),
    "first_start": pl.Float64(),
    "last_end": pl.Float64(),
    "response_size_sum": pl.Int64(),
    "response_size_count": pl.Int64(),
}
_HEAT_SCHEMA = {
    "time_s": pl.Float64(),
    "window_s": pl.Float64(),
    "octave_part": pl.Int64(),
    "count": pl.Int64(),
}
_CLASS_SCHEMA = {"code": pl.Int64(), "error": pl.String(), "count": pl.Int64()}
_MOST_WINDOWS = 256
_BUCKET_BITS = 21
_SECOND_BITS = 35
_SECOND_SCHEMA = dict.fromkeys(("code", "second", "calls", "completions"), pl.Int64())


def key_names(key: Iterable[str]) -> list[str]:
    """What the key columns are called among the figures, so that no log's column clashes with a figure."""
    return [f"key:{name}" for name in key]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Counts of a log by configuration; its size does not depend on the number of rows.

    Profiles of the parts of a log merge to the profile of the whole, in any order and grouping, and the
    empty profile changes nothing.

    Attributes:
        key: the names of the configuration columns.
        keys: ``code`` and the configuration columns as ``key:<name>``, ascending by these.
        buckets: ``code``, ``success``, ``bucket`` (the latency's leading bits), one column for each error
            column that the log has (0 or 1), ``count``, ``latency_sum`` (ms), ``first_start`` and
            ``last_end`` (s), ``response_size_sum`` (bytes) and ``response_size_count``.
        seconds: ``code``, ``second`` (of completion), ``calls``, ``completions`` (successful calls).
        classes: calls with an error class: ``code``, ``error``, ``count``; empty where the log tells none.
        pace: what remains of the seconds, in their place, where they would be too many to hold.
        heat: latencies of the successes over time, whatever their key: ``time_s`` (start of a window, a
            multiple of its width), ``window_s`` (its width, a power of two), ``octave_part`` (an eighth of
            a doubling of the latency) and ``count``; at most 256 windows.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    buckets: pl.DataFrame
    seconds: pl.DataFrame
    heat: pl.DataFrame
    classes: pl.DataFrame
    pace: Pace | None = None

    @classmethod
    def empty(cls, key: Sequence[str]) -> "Profile":
        """The profile of no rows."""
        keys = dict.fromkeys(key_names(key), pl.Null())
        return cls(
            key=tuple(key),
            keys=pl.DataFrame(schema={"code": pl.Int64(), **keys}),
            buckets=pl.DataFrame(schema=_BUCKET_SCHEMA),
            seconds=pl.DataFrame(schema=_SECOND_SCHEMA),
            heat=pl.DataFrame(schema=_HEAT_SCHEMA),
            classes=pl.DataFrame(schema=_CLASS_SCHEMA),
        )

    @property
    def errors(self) -> list[str]:
        """The error columns that the log has."""
        return [name for name in ERROR_COLUMNS if name in self.buckets.columns]

    @property
    def rates(self) -> pl.DataFrame:
        """How many seconds saw how many completions: ``code``, ``completions``, ``num_seconds``."""
        return self.pace.rates if self.pace else rates_of(self.seconds)

    @property
    def windows(self) -> pl.DataFrame:
        """Calls and completions of the whole log over time, as in ``Pace.windows``."""
        return self.pace.windows if self.pace else windows_of(self.seconds)

    @property
    def even_heat(self) -> pl.DataFrame:
        """``heat`` in windows as wide as the log's span asks for, however its scan was divided; sorted."""
        span = self.buckets.select(pl.col("last_end").max() - pl.col("first_start").min()).item()
        return coarsened(self.heat, window_width(span or 0.0)).sort("time_s", "octave_part")

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both logs together.

        Raises:
            ValueError: the keys differ.
        """
        return self.merge_all([self, other])

    @classmethod
    def merge_all(cls, profiles: Sequence["Profile"]) -> "Profile":
        """The profile of all logs together, at least one; all at once, which is linear in their size.

        Raises:
            ValueError: the keys differ.
        """
        first = profiles[0]
        for other in profiles:
            if other.key != first.key:
                raise ValueError(
                    f"profiles by {first.key} and {other.key} do not merge; profile both by one key"
                )
        keys, codes = _common_codes([profile.keys for profile in profiles], key_names(first.key))
        buckets = _recoded([profile.buckets for profile in profiles], codes)
        pace = _common_pace(profiles, codes)
        seconds = _recoded(
            [profile.seconds for profile in profiles if pace is None] or [first.seconds.clear()], codes
        )
        classes = _recoded([profile.classes for profile in profiles], codes)
        return cls(
            key=first.key,
            keys=keys,
            buckets=summed_buckets(buckets),
            seconds=summed_seconds(seconds),
            heat=coarsened(pl.concat([profile.heat for profile in profiles])),
            classes=summed_classes(classes),
            pace=pace,
        )

    def recoded(self, codes: pl.Series) -> "Profile":
        """The same profile under other codes, one for each row of ``keys``."""
        new = self.keys.select("code", part=pl.lit(0), new=codes)
        return replace(
            self,
            keys=self.keys.with_columns(codes.alias("code")),
            buckets=_recoded([self.buckets], new),
            seconds=_recoded([self.seconds], new),
            classes=_recoded([self.classes], new),
        )


def _common_codes(parts: Sequence[pl.DataFrame], names: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The distinct keys of all parts under codes from 0, and the ``new`` code by ``part`` and ``code``."""
    numbered = _numbered(_of_one_type(parts), how="vertical_relaxed")
    distinct = numbered.select(names).unique().sort(names, nulls_last=True) if names else pl.DataFrame()
    if not names and not numbered.is_empty():
        distinct = pl.DataFrame(height=1)
    keys = distinct.with_row_index("code").with_columns(pl.col("code").cast(pl.Int64))
    joined = (
        numbered.join(keys.rename({"code": "new"}), on=names, nulls_equal=True)
        if names
        else numbered.with_columns(new=pl.lit(0, dtype=pl.Int64))
    )
    return keys, joined.select("part", "code", "new")


def _numbered(
    parts: Sequence[pl.DataFrame], how: Literal["diagonal_relaxed", "vertical_relaxed"]
) -> pl.DataFrame:
    """All parts together, each row with the number of its ``part``."""
    numbers = np.repeat(np.arange(len(parts)), [part.height for part in parts])
    return pl.concat(parts, how=how).with_columns(pl.Series("part", numbers, dtype=pl.Int32))


def _recoded(parts: Sequence[pl.DataFrame], codes: pl.DataFrame) -> pl.DataFrame:
    """All parts together under their new codes."""
    if (codes["code"] == codes["new"]).all():
        return pl.concat(parts, how="diagonal_relaxed")
    numbered = _numbered(parts, how="diagonal_relaxed")
    joined = numbered.join(codes.with_columns(pl.col("part").cast(pl.Int32)), on=["part", "code"])
    return joined.with_columns(code=pl.col("new")).drop("part", "new")


def summed_buckets(buckets: pl.DataFrame) -> pl.DataFrame:
    """Counts of latency buckets, each bucket once."""
    errors = [name for name in ERROR_COLUMNS if name in buckets.columns]
    # Groups of one number are found several times faster than groups of six columns.
    cell = pl.col("code") * 2 + pl.col("success").cast(pl.Int64)
    for name in errors:
        cell = cell * 3 + pl.col(name).cast(pl.Int64).fill_null(2)
    cell = cell * (1 << _BUCKET_BITS) + (pl.col("bucket") + (1 << (_BUCKET_BITS - 1)))
    summed = buckets.group_by(cell.alias("cell")).agg(
        pl.col("code", "success", "bucket", *errors).first(),
        pl.col("count", "latency_sum").sum(),
        pl.col("first_start").min(),
        pl.col("last_end").max(),
        pl.col("response_size_sum", "response_size_count").sum(),
    )
    return summed.drop("cell")


def _common_pace(profiles: Sequence[Profile], codes: pl.DataFrame) -> Pace | None:
    """The pace of all; none if every profile still has its seconds."""
    if not any(profile.pace for profile in profiles):
        return None
    paces = [profile.pace or pace_of(profile.seconds) for profile in profiles]
    rates = _recoded([pace.rates for pace in paces], codes)
    return summed_paces([Pace(rates=rates, windows=pl.concat(pace.windows for pace in paces))])


def summed_seconds(seconds: pl.DataFrame) -> pl.DataFrame:
    """Counts of seconds, each second once."""
    cell = pl.col("code") * (1 << _SECOND_BITS) + (pl.col("second") + (1 << (_SECOND_BITS - 1)))
    summed = seconds.group_by(cell.alias("cell")).agg(
        pl.col("code", "second").first(), pl.col("calls", "completions").sum()
    )
    return summed.drop("cell")


def summed_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Counts of error classes, each class once."""
    return classes.group_by("code", "error").agg(pl.col("count").sum())


def _of_one_type(parts: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Tables of keys, their categories as text where they differ."""
    schemas = {repr(part.schema): part.schema for part in parts}.values()
    texts = [
        name
        for name in parts[0].columns
        if len({str(schema[name]) for schema in schemas}) > 1
        and any(isinstance(schema[name], pl.Enum | pl.Categorical) for schema in schemas)
    ]
    return [part.with_columns(pl.col(texts).cast(pl.String)) for part in parts] if texts else list(parts)


def window_width(span_s: float) -> float:
    """The power of two that splits a span of time into at most 128 windows, in s."""
    return 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (_MOST_WINDOWS / 2)))


def coarsened(heat: pl.DataFrame, least_width: float = 0.0) -> pl.DataFrame:
    """Brings windows of several widths to one width, in s, at most 256 of them."""
    if heat.is_empty():
        return heat
    first, last, width = heat.select(
        pl.col("time_s").min(), pl.col("time_s").max().alias("last"), pl.col("window_s").max()
    ).row(0)
    width = max(width, least_width)
    while last // width - first // width >= _MOST_WINDOWS:
        width *= 2
    time = (pl.col("time_s") / width).floor() * width
    groups = heat.group_by(time.alias("time_s"), pl.lit(width).alias("window_s"), "octave_part")
    return groups.agg(pl.col("count").sum())
