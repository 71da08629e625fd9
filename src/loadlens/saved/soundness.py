"""Whether the rows of saved profiles can be counts of a log: every rule that their page promises."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from loadlens.errors import InputError
from loadlens.logs.metadata import SavedProfile
from loadlens.messages import counted, listed
from loadlens.profile.buckets import BUCKET_SHIFT, COARSE_SHIFT, FAILED, MAX_BUCKET, bucket_bounds
from loadlens.profile.merging import EXCESS_UNITS, sums_of_buckets
from loadlens.profile.profile import FRACTION_BITS, key_names
from loadlens.saved.storing import COLUMNS
from loadlens.schema import ERROR_COLUMNS, MAX_LATENCY_MS, MAX_TIME_S

__all__ = ["refuse_other_columns", "refuse_unsound", "refuse_unsound_seconds"]

_ROUNDING: Final = 1e-6
"""More than sums of latencies are off by, relative to them: by buckets they are known to 4e-9."""

_LEAST_ROUNDING_MS: Final = 1e-9
"""More than latencies below 1/8 ms are off by, as sums are whole numbers of 2^-55 ms; for a call."""

_BUCKET, _COUNT, _CALLS, _TIMED = (pl.col(name) for name in ("bucket", "count", "calls", "timed"))

_IS_LATENCY: Final = _BUCKET.is_between(0, MAX_BUCKET, closed="left")

_BY: Final = ["part", "code", "success"]
_WITHOUT_KEY: Final = "it has counts without a key"


def _lacks(*names: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(names).is_null())


def _below(least: int, *names: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(names) < least)


def _is_no_time(*names: str) -> pl.Expr:
    """Whether a time is given, and none that a log may have; NaN is none either."""
    return pl.any_horizontal(~pl.col(names).is_between(-MAX_TIME_S, MAX_TIME_S))


_FIGURE_RULES: Final[Mapping[str, pl.Expr]] = {
    "it lacks figures": _lacks("code", "success", "calls", "timed", "latency_sum")
    | (pl.any_horizontal(pl.col("latency_min", "latency_max").is_null()) & (_TIMED > 0)),
    "it has negative counts": _below(0, "timed") | _below(1, "calls"),
    "it has more latencies than calls": _TIMED > _CALLS,
    "it has latencies that cannot be": pl.any_horizontal(
        ~pl.col("latency_min", "latency_max").is_between(-1, MAX_LATENCY_MS)
    )
    | (pl.col("latency_min") > pl.col("latency_max")),
}

_SIZE_RULES: Final[Mapping[str, pl.Expr]] = {
    "it lacks sizes": _lacks("response_size_sum", "response_size_count"),
    "it has negative sums or errors": _below(0, "response_size_sum", "response_size_count", *ERROR_COLUMNS),
    "it has more sizes than calls": pl.col("response_size_count") > _CALLS,
    "it has more errors than calls": pl.any_horizontal(pl.col(ERROR_COLUMNS) > _CALLS),
}

_BUCKET_RULES: Final[Mapping[str, pl.Expr]] = {
    "it lacks figures": _lacks("code", "success", "bucket", "count", "excess"),
    "it has negative counts": _below(0, "excess") | _below(1, "count"),
    "it has latencies that cannot be": ~_IS_LATENCY & (_BUCKET != FAILED),
    "it has sums that its buckets cannot have": pl.col("excess")
    > pl.when(_BUCKET == FAILED).then(0).otherwise(_COUNT * EXCESS_UNITS),
}

_RULES: Final[Mapping[str, Mapping[str, pl.Expr]]] = {
    "keys": {},
    "figures": {
        **_FIGURE_RULES,
        **_SIZE_RULES,
        "it has times that cannot be": _is_no_time("first_start", "last_end")
        | (pl.col("last_end") < pl.col("first_start")),
    },
    "buckets": _BUCKET_RULES,
    "seconds": {
        "it lacks figures": _lacks("code", "second", "starts", "calls", "completions"),
        "it has negative counts": _below(0, "starts", "calls", "completions")
        | (pl.col("starts") + pl.col("calls") < 1),
        "it has more completions than calls": pl.col("completions") > pl.col("calls"),
        "it has times that cannot be": _is_no_time("second"),
    },
    "heat": {
        "it lacks figures": _lacks("time_s", "window_s", "octave_part", "count"),
        "it has negative counts": _below(1, "count"),
        "it has times that cannot be": _is_no_time("time_s")
        | ~pl.col("window_s").is_between(0, MAX_TIME_S, closed="right"),
        "it has latencies that cannot be": ~pl.col("octave_part").is_between(0, MAX_BUCKET),
    },
    "classes": {
        "it lacks figures": _lacks("code", "error", "count"),
        "it has negative counts": _below(1, "count"),
    },
    "rates": {
        "it lacks figures": _lacks("code", "completions", "num_seconds"),
        "it has negative counts": _below(1, "completions", "num_seconds"),
    },
    "windows": {
        "it lacks figures": _lacks(
            "second", "width_s", "first_second", "last_second", "num_seconds", "calls", "completions"
        ),
        "it has negative counts": _below(0, "num_seconds", "completions") | _below(1, "calls", "width_s"),
        "it has more completions than calls": pl.col("completions") > pl.col("calls"),
        "it has times that cannot be": _is_no_time("second", "first_second", "last_second")
        | (pl.col("last_second") < pl.col("first_second"))
        | (pl.col("width_s") > MAX_TIME_S),
    },
    "measures": _FIGURE_RULES,
    "measure_buckets": _BUCKET_RULES,
    "timeline": {**_FIGURE_RULES, **_SIZE_RULES, "it has times that cannot be": _is_no_time("window")},
    "timeline_buckets": {
        "it lacks figures": _lacks("code", "success", "bucket", "count"),
        "it has negative counts": _below(1, "count"),
        "it has times that cannot be": _is_no_time("window"),
        "it has latencies that cannot be": ~_BUCKET.is_between(
            0, MAX_BUCKET >> (COARSE_SHIFT - BUCKET_SHIFT), closed="left"
        )
        & (_BUCKET != FAILED),
    },
}
"""What must not be true of a row, by the part of the profile that it is of."""


def refuse_other_columns(profile: SavedProfile) -> None:
    """Refuses a profile whose columns are not those that are written.

    Raises:
        InputError: names the file, and what it lacks.
    """
    types = dict(profile.file.columns)
    wrong = [name for name, dtype in COLUMNS.items() if types.get(name) != dtype]
    _refuse(profile, [f"it lacks {name} as {COLUMNS[name]}" for name in wrong])


def refuse_unsound(saved: Sequence[SavedProfile], frames: Mapping[str, pl.DataFrame]) -> None:
    """Refuses profiles whose rows cannot be counts of their logs.

    Args:
        saved: the profiles.
        frames: all their rows but the seconds, with or without the timeline, by part, each with the number of
            its profile as ``part``.

    Raises:
        InputError: names the first such file, and what is wrong.
    """
    wrong: dict[int, dict[str, None]] = {}
    num_keys = _num_keys(frames["keys"])
    for part, rows in frames.items():
        for reason, numbers in _broken(part, rows, num_keys).items():
            for number in numbers:
                wrong.setdefault(number, {})[reason] = None
    sums = _sums(frames)
    for number in _unequal_figures(frames["figures"], frames["buckets"], _BY, BUCKET_SHIFT):
        wrong.setdefault(number, {})["its latencies do not add up"] = None
    for number in _unequal_timeline(frames) if "timeline" in frames else []:
        wrong.setdefault(number, {})["its windows do not add up"] = None
    for number in _unequal_measures(saved, frames) if "measures" in frames else []:
        wrong.setdefault(number, {})["its measures do not add up"] = None
    keys = frames["keys"]
    bad_keys = {*_doubled(keys, ["code"]), *_doubled(keys, key_names(saved[0].key))}
    left_out = () if "timeline" in frames else ("num_further",)
    for number, profile in enumerate(saved):
        reasons = wrong.get(number, {})
        if number in bad_keys:
            reasons["it has a key twice"] = None
        reasons |= dict.fromkeys(_unequal(profile, sums.get(number, {}), left_out))
        _refuse(profile, list(reasons))


def refuse_unsound_seconds(
    saved: Mapping[int, SavedProfile], keys: pl.DataFrame, seconds: pl.DataFrame
) -> None:
    """Refuses profiles with seconds that cannot be counts of their logs.

    Args:
        saved: the profiles by number.
        keys: their keys, with the number of the profile as ``part``.
        seconds: some of their seconds, likewise.

    Raises:
        InputError: names the first such file, and what is wrong.
    """
    for reason, numbers in _broken("seconds", seconds, _num_keys(keys)).items():
        for number in numbers:
            _refuse(saved[number], [reason])


def _refuse(profile: SavedProfile, reasons: Sequence[str]) -> None:
    if reasons:
        raise InputError(
            f"{profile.file.path}: is a damaged profile: {listed(reasons)}; "
            f"make it again with `loadlens profile`"
        )


def _num_keys(keys: pl.DataFrame) -> pl.DataFrame:
    return keys.group_by("part").agg(pl.len().cast(pl.Int64).alias("num_keys"))


def _broken(part: str, rows: pl.DataFrame, num_keys: pl.DataFrame) -> dict[str, list[int]]:
    """The numbers of the profiles that break each rule of a part."""
    if rows.is_empty():
        return {}
    rules = dict(_RULES[part])
    if "code" in rows.columns:
        rows = rows.join(num_keys, on="part", how="left")
        known = pl.col("code").is_between(0, pl.col("num_keys"), closed="left")
        rules[_WITHOUT_KEY] = ~known.fill_null(value=False) & pl.col("code").is_not_null()
    found = rows.group_by("part").agg(rule.any().alias(reason) for reason, rule in rules.items())
    return {reason: found.filter(pl.col(reason))["part"].to_list() for reason in rules}


def _doubled(keys: pl.DataFrame, names: Sequence[str]) -> list[int]:
    """The numbers of profiles that have a key, or a code, twice."""
    return keys.filter(keys.select("part", *names).is_duplicated())["part"].unique().to_list()


def _unequal_figures(
    figures: pl.DataFrame, buckets: pl.DataFrame, by: Sequence[str], shift: int
) -> list[int]:
    """The numbers of profiles whose figures are not those of their buckets, or that have some twice."""
    known = buckets.with_columns(_BUCKET.fill_null(0).clip(FAILED, MAX_BUCKET >> (shift - BUCKET_SHIFT)))
    low, high = bucket_bounds(known["bucket"].to_numpy(), shift)
    counts = known["count"]
    least, most = pl.Series(low) * counts, pl.Series(high) * counts
    if "excess" in known.columns:
        least = most = sums_of_buckets(known)
    bounded = known.with_columns(
        pl.Series("low", low), pl.Series("high", high), least.alias("least_ms"), most.alias("most_ms")
    )
    sums = bounded.group_by(by).agg(
        _COUNT.sum(), pl.col("least_ms", "most_ms").sum(), pl.col("low").min(), pl.col("high").max()
    )
    both = figures.filter(_TIMED > 0).join(sums, on=by, how="full", coalesce=True, nulls_equal=True)
    logged = pl.col("latency_sum").cast(pl.Float64) / 2.0**FRACTION_BITS
    allowed = _ROUNDING * pl.col("most_ms").abs() + _LEAST_ROUNDING_MS * _COUNT
    inside = (pl.col("latency_min") >= pl.col("low")) & (pl.col("latency_max") <= pl.col("high"))
    adds_up = logged.is_between(pl.col("least_ms") - allowed, pl.col("most_ms") + allowed)
    holds = (_COUNT == _TIMED) & adds_up & inside
    unequal = both.filter(~holds.fill_null(value=False))["part"]
    twice = [
        frame.filter(frame.select(names).is_duplicated())["part"]
        for frame, names in ((figures, by), (buckets, [*by, "bucket"]))
    ]
    return pl.concat([unequal, *twice]).unique().to_list()


def _unequal_timeline(frames: Mapping[str, pl.DataFrame]) -> list[int]:
    """The numbers of profiles whose windows do not add up to their figures, or not to their own buckets."""
    timeline = frames["timeline"]
    by = ["part", "code", "window", "success"]
    found = _unequal_figures(timeline, frames["timeline_buckets"], by, COARSE_SHIFT)
    counts = [name for name in frames["figures"].columns if name in timeline.columns and name not in by]
    ends = {"latency_min": pl.col("latency_min").min(), "latency_max": pl.col("latency_max").max()}
    sums = timeline.group_by(_BY).agg(ends.get(name, pl.col(name).sum()) for name in counts)
    windowed = frames["figures"].join(timeline.select("part").unique(), on="part", how="semi")
    both = sums.join(windowed.select(*_BY, *counts), on=_BY, how="full", coalesce=True, suffix=":run")
    # An error column that the log lacks has no figures; the sum of none is 0.
    known = {name: f"{name}:run" for name in counts}
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(run).fill_null(0) if name in ERROR_COLUMNS else pl.col(run))
        for name, run in known.items()
    )
    return [*found, *both.filter(~same)["part"].unique().to_list()]


def _unequal_measures(saved: Sequence[SavedProfile], frames: Mapping[str, pl.DataFrame]) -> list[int]:
    """The numbers of profiles whose measures are not of their calls, or not those of their own buckets."""
    by = ["part", "measure", "code", "success"]
    measures = frames["measures"]
    found = _unequal_figures(measures, frames["measure_buckets"], by, BUCKET_SHIFT)
    told = pl.DataFrame(
        [(number, name) for number, profile in enumerate(saved) for name in profile.facts["measures"]],
        schema={"part": frames["figures"].schema["part"], "measure": pl.String},
        orient="row",
    )
    due = frames["figures"].select(*_BY, "calls").join(told, on="part")
    both = measures.join(due, on=by, how="full", coalesce=True, suffix=":run", nulls_equal=True)
    unequal = both.filter(pl.col("calls").ne_missing(pl.col("calls:run")))
    return [*found, *unequal["part"].unique().to_list()]


def _sums(frames: Mapping[str, pl.DataFrame]) -> dict[int, dict[str, int]]:
    """What the parts of each profile add up to, by its number."""
    found: dict[int, dict[str, int]] = {}
    named = {
        "calls": frames["figures"].group_by("part").agg(_CALLS.sum().alias("calls")),
        "failed": frames["classes"].group_by("part").agg(_COUNT.sum().alias("failed")),
        "heat": frames["heat"].group_by("part").agg(_COUNT.sum().alias("heat")),
        "completions": frames["rates"]
        .group_by("part")
        .agg((pl.col("completions") * pl.col("num_seconds")).sum().alias("completions")),
        "windows": frames["windows"]
        .group_by("part")
        .agg(
            pl.col("completions").sum().alias("window_completions"),
            pl.col("calls").sum().alias("window_calls"),
            pl.col("first_second").min(),
            pl.col("last_second").max(),
        ),
        "rows": pl.concat(frame.select("part") for frame in frames.values())
        .group_by("part")
        .agg(pl.len().cast(pl.Int64).alias("rows")),
    }
    if "timeline" in frames:
        named["timeline"] = (
            frames["timeline"].group_by("part").agg(pl.col("window").max().alias("last_window"))
        )
    for sums in named.values():
        for row in sums.iter_rows(named=True):
            found.setdefault(row.pop("part"), {}).update(row)
    return found


def _unequal(profile: SavedProfile, sums: Mapping[str, int], left_out: Sequence[str]) -> list[str]:
    """What of a profile does not add up, of which as many rows as some facts say were not read."""
    calls, facts = sums.get("calls", 0), profile.facts
    rows = sums.get("rows", 0) + sum(facts[name] for name in ("num_seconds", *left_out))
    span = (sums.get("first_second"), sums.get("last_second"))
    checks = {
        f"its counts add up to {counted(calls, 'call')}, its facts say {profile.rows:,}": calls
        == profile.rows,
        "it lacks rows": rows == profile.file.rows,
        "its windows do not reach its end": bool(left_out) or _ends_with(facts, sums.get("last_window")),
        "its seconds do not add up": (
            sums.get("completions", 0) == sums.get("window_completions", 0)
            and sums.get("window_calls", 0) <= calls
            and span == (facts["first_second"], facts["last_second"])
        ),
        "it has more failures than calls": sums.get("failed", 0) <= calls,
        "it has more latencies than calls": sums.get("heat", 0) <= calls,
    }
    return [reason for reason, holds in checks.items() if not holds]


def _ends_with(facts: Mapping[str, Any], last_window: int | None) -> bool:
    """Whether the last window, if there are any, is that of the last end."""
    width, last_s = facts["window_s"], facts["last_s"]
    return last_window == (None if width is None or last_s is None else last_s // width)
