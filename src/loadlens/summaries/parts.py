"""Where the time goes: further durations of the calls, and what the mean latency is made of."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from loadlens.dialects.durations import DURATIONS
from loadlens.profile import Plan, key_names, percentile_name
from loadlens.schema import LATENCY

__all__ = ["REST", "dominant_part", "measure_figures", "parts_of_latency"]

REST: Final = "rest"
"""What the measures leave of the latency."""

_DOMINATES: Final = 0.5
_ROUNDING: Final = 1e-9  # of sums of means
_PARTS: Final = {"part": pl.String, "mean_ms": pl.Float64, "share": pl.Float64}
_DESCRIBED: Final = ("min", "mean", "median", "max")


def measure_figures(tables: Mapping[str, pl.DataFrame], latency: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The figures of all measures of the successful calls.

    Args:
        tables: the table of each measure, as ``Statistics.measures`` has them.
        latency: ``Statistics.table``.
        plan: what was measured.

    Returns:
        The key columns, ascending; ``measure``, in the order that was asked for; ``count`` (how many
        successes have one), ``share`` (what they come to, of the latencies of all successes; null where the
        latency does not include it, and may be above 1 for durations of the log's own), ``min_ms``,
        ``mean_ms``, ``median_ms``, a column such as ``p99_ms`` for each percentile, and ``max_ms``.
    """
    names = key_names(plan.key)
    total = latency.select(*names, total=_sum("success_mean", "num_timed_successes"))
    found = [_figures_of(name, table, total, plan) for name, table in tables.items()]
    keys = [pl.col(internal).alias(name) for internal, name in zip(names, plan.key, strict=True)]
    if not found:
        return latency.select(*keys, pl.lit(None, dtype=pl.String).alias("measure")).clear()
    order = {name: number for number, name in enumerate(tables)}
    number = pl.col("measure").replace_strict(order, return_dtype=pl.Int64)
    return (
        pl.concat(found)
        .sort([*names, number], nulls_last=True)
        .rename(dict(zip(names, plan.key, strict=True)))
    )


def _sum(mean: str, count: str) -> pl.Expr:
    return pl.col(mean).fill_null(0.0) * pl.col(count)


def _figures_of(name: str, table: pl.DataFrame, total: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    names = key_names(plan.key)
    share = pl.when(pl.col("total") > 0).then(_sum("success_mean", "num_timed_successes") / pl.col("total"))
    percentiles = [
        pl.col(f"{LATENCY}_{one}").alias(f"{one}_ms") for one in map(percentile_name, plan.percentiles)
    ]
    both = pl.concat([table, total.select("total")], how="horizontal")  # both in the order of the keys
    *described, largest = [pl.col(f"success_{one}").alias(f"{one}_ms") for one in _DESCRIBED]
    return both.select(
        *names,
        pl.lit(name).alias("measure"),
        pl.col("num_timed_successes").alias("count"),
        pl.lit(None, dtype=pl.Float64).alias("share") if _is_outside(name) else share.alias("share"),
        *described,
        *percentiles,
        largest,
    )


def parts_of_latency(tables: Mapping[str, pl.DataFrame], latency: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """What the mean latency of each key is made of.

    A measure that includes others, such as the time to the first byte that of connecting, has only what is
    its own. What measures leave of the latency is the ``rest``, unless they come to more than it.

    Args:
        tables: as for ``measure_figures``.
        latency: likewise.
        plan: likewise.

    Returns:
        The key columns, ascending; ``part``, a measure, such as ``first_byte without connect``, or ``rest``;
        ``mean_ms``, of all successes, those without the measure counting 0; ``share`` of the mean latency
        (0 to 1), null for what that does not include. Keys without a success are left out.
    """
    keys = key_names(plan.key)
    tables = {name: table for name, table in tables.items() if table["num_timed_successes"].sum()}
    named = list(tables)
    own_keys = [pl.col(internal).alias(name) for internal, name in zip(keys, plan.key, strict=True)]
    if not named:
        nothing = {name: pl.lit(None, dtype=dtype) for name, dtype in _PARTS.items() if name not in plan.key}
        return latency.select(*own_keys, **nothing).clear()
    calls = latency["num_timed_successes"]
    means = [
        table.select(_sum("success_mean", "num_timed_successes") / calls).to_series().alias(name)
        for name, table in tables.items()
    ]
    wide = latency.select(*keys, pl.col("success_mean").alias(LATENCY)).with_columns(means).filter(calls > 0)
    inside = [name for name in named if not _is_outside(name)]
    included = {name: _included(name, named) for name in named}
    top = [name for name in inside if not any(name in others for others in included.values())]
    labels = {name: _part_name(name, included[name]) for name in named}
    own = [
        (pl.col(name) - pl.sum_horizontal(pl.lit(0.0), *included[name])).clip(0).alias(labels[name])
        for name in named
    ]
    rest = (pl.col(LATENCY) - pl.sum_horizontal(pl.lit(0.0), *top)).alias(REST)
    parts = wide.select(*keys, LATENCY, *own, rest)
    index = [*keys, LATENCY]
    long = parts.with_row_index("order").unpivot(
        index=["order", *index], variable_name="part", value_name="mean_ms"
    )
    is_part = pl.col("part").is_in([*[labels[name] for name in inside], REST]) & (pl.col(LATENCY) > 0)
    return (
        long.filter((pl.col("part") != REST) | (pl.col("mean_ms") > _ROUNDING * pl.col(LATENCY)))
        .sort("order", maintain_order=True)
        .select(
            *own_keys,
            "part",
            pl.col("mean_ms").cast(pl.Float64),
            pl.when(is_part).then(pl.col("mean_ms") / pl.col(LATENCY)).alias("share"),
        )
    )


def _is_outside(name: str) -> bool:
    return name in DURATIONS and DURATIONS[name].outside


def _included(name: str, named: Sequence[str]) -> list[str]:
    return [other for other in DURATIONS[name].includes if other in named] if name in DURATIONS else []


def _part_name(name: str, included: Sequence[str]) -> str:
    return f"{name} without {' and '.join(included)}" if included else name


def dominant_part(parts: pl.DataFrame) -> str:
    """The part that makes most of the mean latency of every key, as a sentence; empty where none does.

    Args:
        parts: what ``parts_of_latency`` returns.
    """
    inside = parts.filter(pl.col("share").is_not_null()).sort("share", descending=True, maintain_order=True)
    keys = [name for name in parts.columns if name not in {"part", "mean_ms", "share"}]
    first = inside.unique(keys, keep="first", maintain_order=True) if keys else inside.head(1)
    names, shares = first["part"].unique().to_list(), first["share"].to_list()
    if len(names) != 1 or names[0] == REST or min(shares) < _DOMINATES:
        return ""
    others = inside.filter(pl.col("part") != names[0])
    second = (
        others.group_by("part").agg(pl.col("share").max()).sort("share", "part", descending=[True, False])
    )
    known = DURATIONS.get(names[0].partition(" ")[0])
    meaning = f" ({known.meaning})" if known else ""
    where = " in every configuration" if len(shares) > 1 else ""
    next_one = (
        f"; {second['part'][0]} is next with {_range(others, second['part'][0])}" if second.height else ""
    )
    return (
        f"Most of the latency{where} is {names[0]}{meaning}: {_range(first, names[0])} of the mean{next_one}."
    )


def _range(parts: pl.DataFrame, name: str) -> str:
    least, most = (
        parts.filter(pl.col("part") == name)
        .select(pl.col("share").min(), pl.col("share").max().alias("most"))
        .row(0)
    )
    low, high = f"{least:.1%}", f"{most:.1%}"
    return low if low == high else f"{low} to {high}"
