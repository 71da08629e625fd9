"""The failed calls of a run by key, error and window of time, as a page holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from loadlens.messages import visible_lines
from loadlens.profile.failed_calls import ERROR
from loadlens.report.packing import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadlens.profile import Profile
    from loadlens.profile.seconds import Ints

__all__ = ["RunFailures"]

_MOST_ERRORS: Final = 100
_MOST_CELLS: Final = 100_000  # some 70 KB
_ALL_KEYS: Final = 2  # so far folded, errors are those of all keys together


@dataclass(frozen=True, kw_only=True)
class RunFailures:
    """Failed calls of a run.

    Attributes:
        errors: the errors, the most frequent first; None for that of calls without one.
        by_second: ``number`` (of the key), ``error`` (its place among the errors), ``second``, ``calls``.
    """

    errors: list[str | None]
    by_second: pl.DataFrame

    @classmethod
    def of(cls, profile: Profile, keys: pl.DataFrame, names: Sequence[str]) -> RunFailures | None:
        """Those of a profile; None where it does not tell when which call failed.

        Args:
            profile: the counts.
            keys: the ``number`` of each key by its columns.
            names: what these columns are called.
        """
        failures = profile.failures
        if failures is None or failures.fold >= _ALL_KEYS or failures.seconds.is_empty():
            return None
        told = failures.keys.with_columns(pl.col(name).cast(keys.schema[name]) for name in names)
        told = (
            told.join(keys, on=names, nulls_equal=True)
            if names
            else told.with_columns(number=pl.lit(0, dtype=pl.Int64))
        )
        seconds = failures.seconds.filter(pl.col("calls") > 0)
        totals = told.join(seconds.group_by("code").agg(pl.col("calls").sum()), on="code")
        ranked = totals.group_by(ERROR).agg(pl.col("calls").sum())
        ranked = ranked.sort(["calls", ERROR], descending=[True, False], nulls_last=True)
        place = ranked.select(ERROR).with_row_index("error").cast({"error": pl.Int64})
        codes = totals.join(place, on=ERROR, nulls_equal=True).select("code", "number", "error")
        by_second = seconds.join(codes, on="code").select("number", "error", "second", "calls")
        return cls(errors=ranked[ERROR].to_list(), by_second=by_second)

    def in_windows(self, width_s: int, first_window: int) -> tuple[dict[str, Any], list[Ints]]:
        """What a page tells of them, and their numbers.

        These are: of each pair of key and error the key and the error; how many windows it has; these
        windows, as steps; how many calls failed in each. Of very many errors, the rest are one after those
        that have a name.
        """
        window = (pl.col("second") // width_s - first_window).alias("window")
        cells = self.by_second.group_by("number", "error", window).agg(pl.col("calls").sum())
        named = min(len(self.errors), _MOST_ERRORS)
        while (told := _of_errors(cells, named)).height > _MOST_CELLS and named > 1:
            named //= 2
        pairs = told.select("number", "error").unique().sort("number", "error")
        owner = told.join(pairs.with_row_index("pair"), on=["number", "error"], maintain_order="left")["pair"]
        columns = (told[name].to_numpy() for name in ("window", "calls"))
        document = {
            "error_names": [None if name is None else visible_lines(name) for name in self.errors[:named]],
            "num_more_errors": len(self.errors) - named,
            "num_failing": pairs.height,
            "num_failures": told.height,
        }
        numbers: Iterator[Ints] = rows_of(owner.cast(pl.Int64).to_numpy(), pairs.height, *columns)
        return document, [pairs["number"].to_numpy(), pairs["error"].to_numpy(), *numbers]


def _of_errors(cells: pl.DataFrame, named: int) -> pl.DataFrame:
    """Cells in which all errors after so many are one."""
    error = pl.col("error").clip(upper_bound=named)
    names = ("number", "error", "window")
    return cells.with_columns(error).group_by(names).agg(pl.col("calls").sum()).sort(names)
