"""What a tally has counted, as a profile."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import Figures
from loadlens.engine.tally import Columns, Tally
from loadlens.profile.profile import Profile
from loadlens.profile.sums import ascending
from loadlens.profile.units import UnitCounts
from loadlens.profile.windows import window_name
from loadlens.schema import ERROR_COLUMNS

__all__ = ["profile_of"]

Ints = NDArray[np.int64]

_RESOLUTIONS_S = (1.0, 0.1, 0.01, 0.001, 0.0)


def profile_of(tally: Tally, columns: Columns, key: Sequence[str], units: UnitCounts) -> Profile:
    """The profile that a tally comes to.

    Args:
        tally: the counts.
        columns: what was counted.
        key: the names of the configuration columns.
        units: calls whose latency is in another unit than their times.
    """
    keys, codes = _ascending(tally, columns)
    return Profile(
        key=tuple(key),
        keys=keys,
        figures=_figures(tally, codes, columns.errors),
        buckets=_buckets(tally, codes),
        seconds=_seconds(tally, codes),
        heat=_heat(tally),
        classes=_classes(tally, codes),
        resolution_s=_resolution(tally, columns.logged_times),
        units=units,
        window_s=tally.window_s,
        is_fitted=columns.is_fitted,
    )


def _resolution(tally: Tally, logged_times: Sequence[str]) -> float:
    """The largest of 1, 0.1, 0.01 and 0.001 s of which every start and end is a multiple, or 0; 1 of none.

    Where a tool logs one of start and end in whole seconds and the other one is derived from it by a latency,
    the logged one alone tells: then the clock counts whole seconds.
    """
    sizes = tally.native.sizes()
    levels = {"start_time": sizes.starts.resolution, "end_time": sizes.ends.resolution}
    if logged_times and not any(levels[name] for name in logged_times):
        return 1.0
    return _RESOLUTIONS_S[max(levels.values())]


def _ascending(tally: Tally, columns: Columns) -> tuple[pl.DataFrame, Ints]:
    """The keys, ascending, with their ``code``; and for each code of the tally that of the profile."""
    numbers = pl.Series("code", np.arange(tally.native.num_keys), dtype=pl.Int64)
    if not columns.keys:
        return numbers.to_frame(), numbers.to_numpy()
    names = [column.name for column in columns.keys]
    decoded = tally.keys.select(column.decoded() for column in columns.keys)
    ordered = ascending(decoded.with_columns(numbers.alias("")), names)
    codes = np.empty(len(numbers), dtype=np.int64)
    codes[ordered[""].to_numpy()] = numbers.to_numpy()
    keys = ordered.select(numbers, *names)
    return keys.rename({names[-1]: window_name(tally.window_s)}) if tally.window_s else keys, codes


def _finite(values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def _figures(tally: Tally, codes: Ints, errors: Sequence[str]) -> pl.DataFrame:
    found = tally.native.figures()
    used = np.flatnonzero(found.line["calls"])
    line, rest = found.line[used], found.rest[used]
    chosen = Figures(line=line, rest=rest)
    frame = pl.DataFrame(
        {
            "code": codes[used // 2],
            "success": used % 2 == 1,
            "calls": line["calls"].astype(np.int64),
            "timed": line["timed"].astype(np.int64),
            "latency_sum": chosen.latency_sum,
            "latency_min": _finite(line["lowest"]),
            "latency_max": _finite(line["highest"]),
            "first_start": _finite(line["first_start"]),
            "last_end": _finite(line["last_end"]),
            **{name: rest["errors"][:, ERROR_COLUMNS.index(name)].astype(np.int64) for name in errors},
            "response_size_sum": chosen.response_size_sum,
            "response_size_count": rest["sized"].astype(np.int64),
        }
    )
    return frame.sort("code", "success")


def _buckets(tally: Tally, codes: Ints) -> pl.DataFrame:
    line, bucket, count, excess = tally.native.cells(codes)
    return pl.DataFrame(
        {
            "code": line // 2,
            "success": line % 2 == 1,
            "bucket": bucket,
            "count": count,
            "excess": excess,
        }
    )


def _seconds(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, second, starts, ends, completions = tally.native.seconds()
    counts = {"starts": starts, "calls": ends, "completions": completions}
    return pl.DataFrame({"code": codes[code], "second": second, **counts})


def _heat(tally: Tally) -> pl.DataFrame:
    _, window, part, count = tally.native.timeline()
    width = tally.native.sizes().window_s
    frame = pl.DataFrame({"window": window, "octave_part": part // 2, "count": count})
    summed = frame.group_by("window", "octave_part").agg(pl.col("count").sum())
    summed = summed.sort("window", "octave_part")
    time = (pl.col("window") * pl.lit(width, dtype=pl.Float64)).alias("time_s")
    window_s = pl.lit(width, dtype=pl.Float64).alias("window_s")
    return summed.select(time, window_s, "octave_part", "count")


def _classes(tally: Tally, codes: Ints) -> pl.DataFrame:
    code, number, count, names = tally.native.classes()
    errors = pl.Series(names, dtype=pl.String).gather(number)
    frame = pl.DataFrame({"code": codes[code], "error": errors, "count": count})
    return frame.sort("code", "error")
