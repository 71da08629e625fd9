"""The profile: a small mergeable summary of a log."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from loadlens.errors import UsageError
from loadlens.keywords import columns_of
from loadlens.profile.buckets import BUCKET_SHIFT, COARSE_SHIFT, bucket_bounds
from loadlens.profile.pace import Pace, pace_of, rates_of, summed_paces, windows_of
from loadlens.profile.quantiles import quantile_of
from loadlens.profile.units import UnitCounts
from loadlens.schema import ERROR_COLUMNS
from loadlens.showing import Shown, grouped
from loadlens.sources.common_types import keys_of_one_type
from loadlens.sources.wording import counted

__all__ = [
    "EXCESS_UNITS",
    "FRACTION_BITS",
    "Parts",
    "Profile",
    "coarsened",
    "key_names",
    "new_codes",
    "numbered",
    "recoded",
    "summed_buckets",
    "summed_classes",
    "summed_figures",
    "summed_seconds",
    "sums_of_buckets",
    "whole_of_halves",
    "window_name",
    "window_width",
]

_FIGURE_SCHEMA = {
    "code": pl.Int64(),
    "success": pl.Boolean(),
    "calls": pl.Int64(),
    "timed": pl.Int64(),
    "latency_sum": pl.Int128(),
    **dict.fromkeys(("latency_min", "latency_max", "first_start", "last_end"), pl.Float64()),
    "response_size_sum": pl.Int128(),
    "response_size_count": pl.Int64(),
}
_BUCKET_SCHEMA = {
    "code": pl.Int64(),
    "success": pl.Boolean(),
    "bucket": pl.Int64(),
    "count": pl.Int64(),
    "excess": pl.Int64(),
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
FRACTION_BITS = 55
"""Sums of latencies are whole numbers of 2^-55 ms."""

EXCESS_UNITS = 2**20
"""How many units of ``Profile.buckets``' excess a bucket is wide."""

_SECOND_BITS = 35
_LARGEST_LOOKUP = 2**22
_MOST_CELLS_A_ROW = 4
_MOST_EXACT = 2**53
_SECOND_COUNTS = ("starts", "calls", "completions")
_SECOND_SCHEMA = dict.fromkeys(("code", "second", *_SECOND_COUNTS), pl.Int64())


def key_names(key: Iterable[str]) -> list[str]:
    """What the key columns are called among the figures, so that no log's column clashes with a figure."""
    return [f"key:{name}" for name in key]


def window_name(width_s: float) -> str:
    """The column that tells windows of a width apart among the keys of a profile that has these."""
    return f"window:{width_s!r}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Profile(Shown):
    """Counts of a log by configuration; its size does not depend on the number of rows.

    Profiles of the parts of a log merge to the profile of the whole, in any order and grouping, and the
    empty profile changes nothing.

    Guarantee: counts, sums, minima and maxima are exact, and the same to the last bit whatever the order of
    the rows, the number of threads or the division into files. Sums of latencies are whole numbers of
    2^-55 ms, to which a latency below 1/8 ms is rounded. A quantile read from the buckets lies in the right
    bucket, which is at most 1/256 wide, relative to it.

    Size: about 20 bytes for each latency bucket that occurs, at most 256 to a doubling of the latency, and
    40 for each second in which a key has calls, whatever the number of rows.

    Source: buckets are the leading bits of a Float64: the idea of HdrHistogram (G. Tene), in base two.

    Attributes:
        key: the names of the configuration columns.
        keys: ``code`` and the configuration columns as ``key:<name>``, ascending by these.
        figures: for each ``code`` and ``success``, wherever there are calls: ``calls``, ``timed`` (calls with
            a latency), ``latency_sum`` (Int128, in units of 2^-55 ms), ``latency_min`` and ``latency_max``
            (ms), ``first_start`` and ``last_end`` (s), a sum for each error column that the log has,
            ``response_size_sum`` (Int128, bytes) and ``response_size_count``.
        buckets: calls with a latency by ``code``, ``success`` and ``bucket`` (the latency's leading bits):
            ``count``, and ``excess``, by how much their latencies exceed the start of the bucket, in units
            of 2^-20 of its width, to the nearest; see ``bucket_sums``.
        seconds: by ``code`` and ``second`` (times cut toward 0): ``starts``, ``calls`` (which ended then)
            and ``completions`` (those of them that were successful).
        classes: calls with an error class: ``code``, ``error``, ``count``; empty where the log tells none.
        pace: what remains of the seconds, in their place, where they would be too many to hold.
        resolution_s: of what part of a second all starts and ends are multiples: 1, 0.1, 0.01 or 0.001 s, or
            0 where they are of none.
        units: calls whose latency is in another unit than their start and end; of saved profiles none.
        heat: latencies of the successes over time, whatever their key: ``time_s`` (start of a window, a
            multiple of its width), ``window_s`` (its width, a power of two), ``octave_part`` (an eighth of
            a doubling of the latency) and ``count``; at most 256 windows.
        window_s: the width of windows of time, in s, by which calls are told apart besides the key: ``keys``
            have a column more, ``window_name`` of it: which multiple of the width the call ended in, null
            without an end. There are 16 buckets to a doubling then, and no seconds. None where there are no
            windows.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    figures: pl.DataFrame
    buckets: pl.DataFrame
    seconds: pl.DataFrame
    heat: pl.DataFrame
    classes: pl.DataFrame
    pace: Pace | None = None
    resolution_s: float = 1.0
    units: UnitCounts = field(default_factory=UnitCounts)
    window_s: float | None = None

    @classmethod
    def empty(cls, key: Sequence[str]) -> "Profile":
        """The profile of no rows."""
        keys = dict.fromkeys(key_names(key), pl.Null())
        return cls(
            key=tuple(key),
            keys=pl.DataFrame(schema={"code": pl.Int64(), **keys}),
            figures=pl.DataFrame(schema=_FIGURE_SCHEMA),
            buckets=pl.DataFrame(schema=_BUCKET_SCHEMA),
            seconds=pl.DataFrame(schema=_SECOND_SCHEMA),
            heat=pl.DataFrame(schema=_HEAT_SCHEMA),
            classes=pl.DataFrame(schema=_CLASS_SCHEMA),
        )

    @property
    def headline(self) -> str:
        """The key, and how many configurations and calls there are."""
        calls = counted(int(self.figures["calls"].sum()), "call")
        return f"{grouped(self.key)}, {counted(self.keys.height, 'configuration')} of {calls}"

    @property
    def estimated_bytes(self) -> int:
        """About how much memory its frames take."""
        frames = (self.keys, self.figures, self.buckets, self.seconds, self.heat, self.classes)
        return int(sum(frame.estimated_size() for frame in frames))

    @property
    def bucket_shift(self) -> int:
        """How many trailing bits of a latency a bucket leaves open."""
        return BUCKET_SHIFT if self.window_s is None else COARSE_SHIFT

    @property
    def errors(self) -> list[str]:
        """The error columns that the log has."""
        return [name for name in ERROR_COLUMNS if name in self.figures.columns]

    @property
    def rates(self) -> pl.DataFrame:
        """How many seconds saw how many completions: ``code``, ``completions``, ``num_seconds``."""
        return self.pace.rates if self.pace else rates_of(self.seconds)

    @property
    def windows(self) -> pl.DataFrame:
        """Calls and completions of the whole log over time, as in ``Pace.windows``."""
        return self.pace.windows if self.pace else windows_of(self.seconds)

    @property
    def spans(self) -> pl.DataFrame:
        """``first_start`` and ``last_end`` of all calls of each ``code``, in s."""
        return self.figures.group_by("code").agg(pl.col("first_start").min(), pl.col("last_end").max())

    @property
    def bucket_sums(self) -> pl.DataFrame:
        """``buckets`` with ``latency_sum`` (ms) in the place of the excess, good to 4e-9 of it."""
        sums = sums_of_buckets(self.buckets, self.bucket_shift)
        return self.buckets.select("code", "success", "bucket", "count", sums)

    @property
    def even_heat(self) -> pl.DataFrame:
        """``heat`` in windows as wide as the log's span asks for, however its scan was divided; sorted."""
        span = self.figures.select(pl.col("last_end").max() - pl.col("first_start").min()).item()
        return coarsened(self.heat, window_width(span or 0.0)).sort("time_s", "octave_part")

    def quantile(self, q: float, by: str | Sequence[str] | None = None) -> pl.DataFrame:
        """A quantile of the latencies of the successful calls, by linear interpolation between ranks.

        Args:
            q: from 0 to 1.
            by: columns of the key to group by; all of them where it is not said, none for the whole log.

        Returns:
            The columns ``by``, ascending; ``latency_ms``, at most half a bucket (1/512 of itself) off, and
            between ``low_ms`` and ``high_ms`` the true one.

        Raises:
            UsageError: ``q`` is no quantile, or ``by`` names a column that is not in the key.
        """
        if not 0 <= q <= 1:
            raise UsageError(f"q: got {q!r}, expected a quantile from 0 to 1")
        columns = self.key if by is None else columns_of(by)
        if other := [name for name in columns if name not in self.key]:
            key = ", ".join(self.key) or "nothing"
            raise UsageError(f"by: got {', '.join(other)}, expected columns of the profile's key: {key}")
        named = zip(key_names(columns), columns, strict=True)
        keys = self.keys.select("code", *[pl.col(internal).alias(name) for internal, name in named])
        return quantile_of(keys, self.figures, self.buckets, q, self.bucket_shift)

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
            if (other.key, other.window_s) != (first.key, first.window_s):
                raise ValueError(
                    f"profiles by {first.key} and {other.key} do not merge; profile both by one key"
                )
        paces = None
        if any(profile.pace for profile in profiles):
            paces = [profile.pace or pace_of(profile.seconds) for profile in profiles]
        seconds = [profile.seconds.clear() if paces else profile.seconds for profile in profiles]
        return Parts(
            key=first.key,
            keys=numbered(keys_of_one_type([profile.keys for profile in profiles])),
            figures=numbered([profile.figures for profile in profiles]),
            buckets=numbered([profile.buckets for profile in profiles]),
            seconds=numbered(seconds),
            heat=pl.concat([profile.heat for profile in profiles]),
            classes=numbered([profile.classes for profile in profiles]),
            rates=numbered([pace.rates for pace in paces]) if paces else None,
            windows=pl.concat([pace.windows for pace in paces]) if paces else None,
            resolution_s=min(profile.resolution_s for profile in profiles),
            units=UnitCounts.merge_all(profile.units for profile in profiles),
            window_s=first.window_s,
        ).merged()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The frames of several profiles, those of one kind together, with the number of the profile as ``part``.

    Attributes:
        key: the names of the configuration columns.
        keys: those of all profiles, each under its own codes.
        figures: likewise.
        buckets: likewise.
        seconds: likewise.
        heat: without ``part``, since it is of all keys together.
        classes: as ``keys``.
        rates: those of the paces; None where profiles have seconds.
        windows: likewise, without ``part``.
        resolution_s: the finest of all.
        units: the counts of all.
        window_s: the width of their windows.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    figures: pl.DataFrame
    buckets: pl.DataFrame
    seconds: pl.DataFrame
    heat: pl.DataFrame
    classes: pl.DataFrame
    rates: pl.DataFrame | None = None
    windows: pl.DataFrame | None = None
    resolution_s: float = 1.0
    units: UnitCounts = field(default_factory=UnitCounts)
    window_s: float | None = None

    def merged(self) -> Profile:
        """The profile of all together."""
        windows = [] if self.window_s is None else [window_name(self.window_s)]
        keys = _common_keys(self.keys, [*key_names(self.key), *windows])
        codes = new_codes(self.keys, keys)
        pace = None
        if self.rates is not None and self.windows is not None:
            pace = summed_paces([Pace(rates=recoded(self.rates, codes), windows=self.windows)])
        return Profile(
            key=self.key,
            keys=keys,
            figures=summed_figures(recoded(self.figures, codes)),
            buckets=summed_buckets(recoded(self.buckets, codes)),
            seconds=summed_seconds(recoded(self.seconds, codes)),
            heat=coarsened(self.heat),
            classes=summed_classes(recoded(self.classes, codes)),
            pace=pace,
            resolution_s=self.resolution_s,
            units=self.units,
            window_s=self.window_s,
        )


def whole_of_halves(high: pl.Expr, low: pl.Expr) -> pl.Expr:
    """Numbers of 128 bits, Int128, from their upper 64 bits (Int64) and the lower ones (UInt64)."""
    return high.cast(pl.Int128) * pl.lit(2**64, dtype=pl.Int128) + low.cast(pl.Int128)


def sums_of_buckets(buckets: pl.DataFrame, shift: int = BUCKET_SHIFT) -> pl.Series:
    """``latency_sum``, the latencies of each bucket in ms summed up, of its ``count`` and ``excess``."""
    low, high = bucket_bounds(buckets["bucket"].to_numpy(), shift)
    width = pl.Series((high - low) / EXCESS_UNITS)
    return (pl.Series(low) * buckets["count"] + width * buckets["excess"]).alias("latency_sum")


def numbered(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All frames together by column name, each row with the number of its ``part``."""
    numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [part.height for part in parts])
    return pl.concat(parts, how="diagonal_relaxed").with_columns(pl.Series("part", numbers))


def _common_keys(parts: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The distinct keys of all parts under codes from 0, ascending."""
    distinct = parts.select(names).unique().sort(names, nulls_last=True) if names else pl.DataFrame()
    if not names and not parts.is_empty():
        distinct = pl.DataFrame(height=1)
    return distinct.with_row_index("code").with_columns(pl.col("code").cast(pl.Int64))


def new_codes(parts: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """For each ``part`` and ``code`` the ``new`` code that their key has among ``keys``."""
    names = [name for name in keys.columns if name != "code"]
    new = keys.rename({"code": "new"})
    joined = (
        parts.join(new, on=names, nulls_equal=True)
        if names
        else parts.with_columns(new=pl.lit(0, dtype=pl.Int64))
    )
    return joined.select("part", "code", "new")


def recoded(rows: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Rows of several parts under their new codes; rows of unknown codes are left out."""
    if (codes["code"] == codes["new"]).all():
        return rows.drop("part")
    part, code = codes["part"].to_numpy(), codes["code"].to_numpy()
    width, parts = int(code.max(initial=0)) + 1, int(part.max(initial=0)) + 1
    known = rows["code"].is_between(0, width - 1) & (rows["part"] < parts)
    if code.min(initial=0) < 0 or parts * width > _LARGEST_LOOKUP or not known.all(ignore_nulls=False):
        return rows.join(codes, on=["part", "code"]).with_columns(code=pl.col("new")).drop("part", "new")
    # Looking each row up in an array takes a hundredth of what a join takes.
    lookup = np.full(parts * width, -1)
    lookup[part.astype(np.int64) * width + code] = codes["new"].to_numpy()
    new = lookup[rows["part"].to_numpy().astype(np.int64) * width + rows["code"].to_numpy()]
    found = rows.drop("part").with_columns(pl.Series("code", new))
    return found if new.min(initial=0) >= 0 else found.filter(pl.col("code") >= 0)


def summed_figures(figures: pl.DataFrame) -> pl.DataFrame:
    """Figures by code and success, each pair once, ascending."""
    lowest, highest = ("latency_min", "first_start"), ("latency_max", "last_end")
    summed = figures.group_by("code", "success").agg(
        pl.exclude(*lowest, *highest).sum(), pl.col(lowest).min(), pl.col(highest).max()
    )
    return summed.select(figures.columns).sort("code", "success")


def summed_buckets(buckets: pl.DataFrame) -> pl.DataFrame:
    """Counts of latency buckets, each bucket once, ascending."""
    # Groups of one number are found several times faster than groups of three columns.
    cell = (pl.col("code") * 2 + pl.col("success").cast(pl.Int64)) * (1 << _BUCKET_BITS)
    cell = (cell + pl.col("bucket") + (1 << (_BUCKET_BITS - 1))).alias("cell")
    summed = buckets.group_by(cell).agg(
        pl.col("code", "success", "bucket").first(), pl.col("count", "excess").sum()
    )
    return summed.sort("cell").drop("cell")


def summed_seconds(seconds: pl.DataFrame) -> pl.DataFrame:
    """Counts of seconds, each second once."""
    first, last, lowest, most, calls = seconds.select(
        pl.col("second").min().alias("first"),
        pl.col("second").max(),
        pl.col("code").min().alias("lowest"),
        pl.col("code").max(),
        pl.col("calls").sum(),
    ).row(0)
    has_nulls = any(seconds[name].null_count() for name in _SECOND_SCHEMA)
    if seconds.is_empty() or has_nulls or lowest < 0 or calls >= _MOST_EXACT:
        return _summed_by_groups(seconds)
    if (last - first + 1) * (most + 1) > _MOST_CELLS_A_ROW * seconds.height:
        return _summed_by_groups(seconds)
    return _summed_by_table(seconds, first, most + 1)


def _summed_by_table(seconds: pl.DataFrame, first: int, num_codes: int) -> pl.DataFrame:
    """Sums up in arrays of all codes and seconds, which takes a tenth of what finding groups takes."""
    cell = (seconds["second"].to_numpy() - first) * num_codes + seconds["code"].to_numpy()
    counts = {name: np.bincount(cell, seconds[name].to_numpy()) for name in _SECOND_COUNTS}
    used = np.flatnonzero(counts["starts"] + counts["calls"])
    counts = {name: values[used] for name, values in counts.items()}
    found = {"code": used % num_codes, "second": used // num_codes + first, **counts}
    return pl.DataFrame({name: values.astype(np.int64) for name, values in found.items()})


def _summed_by_groups(seconds: pl.DataFrame) -> pl.DataFrame:
    cell = pl.col("code") * (1 << _SECOND_BITS) + (pl.col("second") + (1 << (_SECOND_BITS - 1)))
    summed = seconds.group_by(cell.alias("cell")).agg(
        pl.col("code", "second").first(), pl.col(_SECOND_COUNTS).sum()
    )
    return summed.drop("cell")


def summed_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Counts of error classes, each class once."""
    return classes.group_by("code", "error").agg(pl.col("count").sum())


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
