"""The profile: what a log comes to once every row has been counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import FAILED_BUCKET, FRACTION_BITS
from loadlens.engine.tally import Columns, Tally
from loadlens.schema import ERROR_COLUMNS

__all__ = ["FAILED", "Profile", "ascending"]

Ints = NDArray[np.int64]

FAILED = -1
"""The bucket of the latency -1 of failed calls, below all others."""

_RESOLUTIONS_S = (1.0, 0.1, 0.01, 0.001, 0.0)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Counts of a log by configuration.

    Guarantee: counts, sums, minima and maxima are exact, and the same to the last bit whatever the order of
    the rows, the number of threads or the division into files. Sums of latencies are whole numbers of
    2^-55 ms, to which a latency below 1/8 ms is rounded. A quantile read from the cells lies in the right
    cell, which is at most 1/256 wide, relative to it.

    Size: about 20 bytes for each latency cell that occurs, at most 256 to a doubling of the latency, and 40
    for each second in which a key has calls, whatever the number of rows.

    Source: buckets are the leading bits of a Float64: the idea of HdrHistogram (G. Tene), in base two.

    Attributes:
        key: the names of the configuration columns.
        keys: ``code`` from 0 and the configuration columns as ``key:<name>``, ascending by these.
        figures: for each ``code`` and ``success``, wherever there are calls: ``calls``, ``timed`` (calls with
            a latency), ``latency_sum`` (Int128, in units of 2^-55 ms), ``latency_min`` and ``latency_max``
            (ms), ``first_start`` and ``last_end`` (s), a sum for each error column that the log has,
            ``response_size_sum`` (Int128, bytes) and ``response_size_count``.
        cells: calls by ``code``, ``success`` and ``bucket`` (the latency's leading bits; ``FAILED`` for -1):
            ``count``; sorted.
        seconds: by ``code`` and ``second`` (times cut toward 0): ``starts``, ``calls`` (ends),
            ``completions`` (ends of successes); in no order, as there may be millions.
        timeline: successes by ``code``, ``window`` (which multiple of ``window_s``) and ``part`` (sixteenth
            of a doubling of the latency): ``count``; sorted, at most 256 windows; empty unless asked for.
        window_s: the width of a window in s, a power of two; 0 without any.
        classes: calls by ``code`` and ``error`` (class): ``count``; sorted.
        resolutions_s: of the clock that logged ``start_time`` and ``end_time``, where there are any: the
            largest of 1, 0.1, 0.01 and 0.001 s of which every one is a multiple, or 0.
    """

    key: tuple[str, ...]
    keys: pl.DataFrame
    figures: pl.DataFrame
    cells: pl.DataFrame
    seconds: pl.DataFrame
    timeline: pl.DataFrame
    window_s: float
    classes: pl.DataFrame
    resolutions_s: Mapping[str, float]

    @property
    def errors(self) -> list[str]:
        """The error columns that the log has."""
        return [name for name in ERROR_COLUMNS if name in self.figures.columns]

    @property
    def resolution_s(self) -> float:
        """That of both columns together; 0 without times."""
        return min(self.resolutions_s.values(), default=0.0)

    @classmethod
    def of(cls, tally: Tally, columns: Columns, key: Sequence[str]) -> "Profile":
        """The profile that a tally comes to."""
        sizes = tally.native.sizes()
        order = ascending(tally, columns)
        codes = np.empty(len(order), dtype=np.int64)
        codes[order] = np.arange(len(order))
        keys = tally.keys.select(column.decoded() for column in columns.keys)
        keys = keys[order] if columns.keys else keys
        return cls(
            key=tuple(key),
            keys=pl.DataFrame(
                [pl.Series("code", np.arange(sizes.keys), dtype=pl.Int64), *keys.get_columns()]
            ),
            figures=_figures(tally, codes, columns.errors),
            cells=_cells(tally, codes),
            seconds=_seconds(tally, codes),
            timeline=_timeline(tally, codes),
            window_s=sizes.window_s,
            classes=_classes(tally, codes),
            resolutions_s={
                name: _RESOLUTIONS_S[clock.resolution]
                for name, clock in (("start_time", sizes.starts), ("end_time", sizes.ends))
                if clock.any_time
            },
        )


def ascending(tally: Tally, columns: Columns) -> Ints:
    """The codes of a tally in the order of their keys, which is that of a profile's codes."""
    if not columns.keys:
        return np.arange(tally.native.sizes().keys)
    keys = tally.keys.select(column.decoded() for column in columns.keys)
    order = keys.with_row_index("old").sort(keys.columns, nulls_last=True)["old"]
    return order.cast(pl.Int64).to_numpy()


def _joined(high: NDArray[np.int64], low: NDArray[np.uint64], name: str) -> pl.Series:
    """Numbers of 128 bits."""
    both = pl.DataFrame({"high": high, "low": low}).with_columns(pl.all().cast(pl.Int128))
    return both.select(
        (pl.col("high") * pl.lit(2**64, dtype=pl.Int128) + pl.col("low")).alias(name)
    ).to_series()


def _finite(values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def _figures(tally: Tally, codes: Ints, errors: Sequence[str]) -> pl.DataFrame:
    found = tally.native.figures()
    used = np.flatnonzero(found.line["calls"])
    line, rest = found.line[used], found.rest[used]
    frame = pl.DataFrame(
        {
            "code": codes[used // 2],
            "success": used % 2 == 1,
            "calls": line["calls"].astype(np.int64),
            "timed": line["timed"].astype(np.int64),
            "latency_sum": _joined(line["sum_high"], line["sum_low"], "latency_sum"),
            "latency_min": _finite(line["lowest"]),
            "latency_max": _finite(line["highest"]),
            "first_start": _finite(line["first_start"]),
            "last_end": _finite(line["last_end"]),
            **{name: rest["errors"][:, ERROR_COLUMNS.index(name)].astype(np.int64) for name in errors},
            "response_size_sum": _joined(rest["size_high"], rest["size_low"], "response_size_sum"),
            "response_size_count": rest["sized"].astype(np.int64),
        }
    )
    return frame.sort("code", "success")


def _cells(tally: Tally, codes: Ints) -> pl.DataFrame:
    line, bucket, count = tally.native.cells()
    frame = pl.DataFrame(
        {
            "code": codes[line // 2],
            "success": line % 2 == 1,
            "bucket": np.where(bucket == FAILED_BUCKET, FAILED, bucket),
            "count": count,
        }
    )
    return frame.sort("code", "success", "bucket")


def _seconds(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, second, starts, ends, completions = tally.native.seconds()
    counts = {"starts": starts, "calls": ends, "completions": completions}
    return pl.DataFrame({"code": codes[code], "second": second, **counts})


def _timeline(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, window, part, count = tally.native.timeline()
    frame = pl.DataFrame({"code": codes[code], "window": window, "part": part, "count": count})
    return frame.sort("code", "window", "part")


def _classes(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, number, count, names = tally.native.classes()
    errors = pl.Series(names, dtype=pl.String).gather(number)
    frame = pl.DataFrame({"code": codes[code], "error": errors, "count": count})
    return frame.sort("code", "error")


assert FRACTION_BITS == 55  # noqa: S101, PLR2004  # the unit that docstrings name
