"""The profile: a small mergeable summary of a log."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

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

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both logs together.

        Raises:
            ValueError: the keys differ.
        """
        if self.key != other.key:
            raise ValueError(f"profiles by {self.key} and {other.key} do not merge; profile both by one key")
        names = key_names(self.key)
        if self.keys.is_empty() and other.keys.is_empty():
            return self
        both = pl.concat(_of_one_type(self.keys, other.keys), how="vertical_relaxed").drop("code")
        distinct = both.unique().sort(names, nulls_last=True) if names else pl.DataFrame({"code": [0]})
        keys = distinct.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("code"))
        parts = [profile.recoded(keys) for profile in (self, other)]
        buckets = pl.concat([part.buckets for part in parts], how="diagonal_relaxed")
        return Profile(
            key=self.key,
            keys=keys.select("code", *names),
            buckets=summed_buckets(buckets),
            seconds=summed_seconds(pl.concat([part.seconds for part in parts])),
            heat=coarsened(pl.concat([self.heat, other.heat])),
            classes=summed_classes(pl.concat([part.classes for part in parts])),
        )

    def recoded(self, keys: pl.DataFrame) -> "Profile":
        """The same profile under the codes that ``keys`` gives to the configurations."""
        names = key_names(self.key)
        if not names:
            return self
        own = self.keys.with_columns(pl.col(name).cast(keys.schema[name]) for name in names)
        codes = own.join(keys, on=names, nulls_equal=True, suffix="_new").select("code", "code_new")

        def recode(frame: pl.DataFrame) -> pl.DataFrame:
            recoded = frame.join(codes, on="code").drop("code").rename({"code_new": "code"})
            return recoded.select(frame.columns)

        return replace(
            self,
            keys=keys,
            buckets=recode(self.buckets),
            seconds=recode(self.seconds),
            classes=recode(self.classes),
        )


def summed_buckets(buckets: pl.DataFrame) -> pl.DataFrame:
    """Counts of latency buckets, each bucket once."""
    errors = [name for name in ERROR_COLUMNS if name in buckets.columns]
    return buckets.group_by("code", "success", "bucket", *errors).agg(
        pl.col("count", "latency_sum").sum(),
        pl.col("first_start").min(),
        pl.col("last_end").max(),
        pl.col("response_size_sum", "response_size_count").sum(),
    )


def summed_seconds(seconds: pl.DataFrame) -> pl.DataFrame:
    """Counts of seconds, each second once."""
    return seconds.group_by("code", "second").agg(pl.col("calls", "completions").sum())


def summed_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Counts of error classes, each class once."""
    return classes.group_by("code", "error").agg(pl.col("count").sum())


def _of_one_type(first: pl.DataFrame, second: pl.DataFrame) -> list[pl.DataFrame]:
    """Two tables of keys, their categories as text where they differ."""
    texts = [
        name
        for name in first.columns
        if first.schema[name] != second.schema[name]
        and any(isinstance(table.schema[name], pl.Enum | pl.Categorical) for table in (first, second))
    ]
    return [table.with_columns(pl.col(texts).cast(pl.String)) for table in (first, second)]


def window_width(span_s: float) -> float:
    """The power of two that splits a span of time into at most 128 windows, in s."""
    return 2.0 ** math.ceil(math.log2(max(span_s, 1.0) / (_MOST_WINDOWS / 2)))


def coarsened(heat: pl.DataFrame) -> pl.DataFrame:
    """Brings windows of several widths to one width, at most 256 of them."""
    if heat.is_empty():
        return heat
    first, last, width = heat.select(
        pl.col("time_s").min(), pl.col("time_s").max().alias("last"), pl.col("window_s").max()
    ).row(0)
    while last // width - first // width >= _MOST_WINDOWS:
        width *= 2
    time = (pl.col("time_s") / width).floor() * width
    groups = heat.group_by(time.alias("time_s"), pl.lit(width).alias("window_s"), "octave_part")
    return groups.agg(pl.col("count").sum())
