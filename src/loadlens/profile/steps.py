"""The further looks at a log that exact figures take, by name, so that any process can run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from loadlens.profile.attainment import inside_counts
from loadlens.profile.exact import finer_counts, held_keys, rows_at
from loadlens.profile.fence import counts_above
from loadlens.profile.histogram import fine_bins
from loadlens.profile.plan import Engine
from loadlens.profile.rows import Look, Rows
from loadlens.schema import LATENCY

__all__ = ["STEPS", "CodedRows", "Step", "local_look"]


@dataclass(frozen=True, kw_only=True)
class CodedRows:
    """Rows under the codes of a profile.

    Attributes:
        rows: the rows.
        held_keys: selects the latencies in numbered buckets, where there is a faster way than by a join.
    """

    rows: Rows
    held_keys: Callable[[pl.DataFrame], pl.LazyFrame] | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A look at rows.

    Attributes:
        query: what it looks for, given the rows and the arguments of the step.
        combine: what the findings in several parts of the rows, one below the other, come to.
    """

    query: Callable[..., pl.LazyFrame]
    combine: Callable[[pl.DataFrame], pl.DataFrame]


def _held_keys(coded: CodedRows, chosen: pl.DataFrame) -> pl.LazyFrame:
    return coded.held_keys(chosen) if coded.held_keys else held_keys(coded.rows.latencies, chosen)


def _rows_at(coded: CodedRows, chosen: pl.DataFrame) -> pl.LazyFrame:
    needed = coded.rows.frame.select("code", "success", LATENCY, "start_time", "end_time")
    return rows_at(needed, chosen)


def _finer_counts(coded: CodedRows, **arguments: Any) -> pl.LazyFrame:
    return finer_counts(coded.rows.latencies, **arguments)


def _inside_counts(coded: CodedRows, wanted: pl.DataFrame) -> pl.LazyFrame:
    return inside_counts(coded.rows.latencies, wanted)


def _counts_above(coded: CodedRows, **arguments: Any) -> pl.LazyFrame:
    return counts_above(coded.rows.frame, **arguments)


def _fine_bins(coded: CodedRows, coarse: pl.DataFrame) -> pl.LazyFrame:
    return fine_bins(coded.rows.latencies, coarse)


def _as_found(found: pl.DataFrame) -> pl.DataFrame:
    return found


def _summed(*by: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def combine(found: pl.DataFrame) -> pl.DataFrame:
        earliest, latest = (pl.col(name) for name in ("first_start", "last_end"))
        times = [earliest.min(), latest.max()] if "first_start" in found.columns else []
        return found.group_by(by).agg(pl.exclude("first_start", "last_end").sum(), *times)

    return combine


STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "held_keys": Step(query=_held_keys, combine=_as_found),
        "rows_at": Step(query=_rows_at, combine=_as_found),
        "finer_counts": Step(query=_finer_counts, combine=_summed("code", "success", "parent", "prefix")),
        "inside_counts": Step(query=_inside_counts, combine=_summed("code")),
        "counts_above": Step(query=_counts_above, combine=_summed("code", "kept", "second")),
        "fine_bins": Step(query=_fine_bins, combine=_summed("code", "bin")),
    }
)
"""What is looked for, by its name. Findings are few and small against the rows."""


def local_look(coded: CodedRows, engine: Engine) -> Look:
    """Looks at rows that this process can read."""

    def look(step: str, **arguments: pl.DataFrame | int) -> pl.DataFrame:
        return STEPS[step].query(coded, **arguments).collect(engine=engine)

    return look
