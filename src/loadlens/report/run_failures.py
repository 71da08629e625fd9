"""The failed calls of a run by key, error and window of time, as a page holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from loadlens.profile.failed_calls import ERROR
from loadlens.report.packing import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadlens.profile import Profile
    from loadlens.profile.seconds import Ints

__all__ = ["RunFailures"]

_MOST_ERRORS: Final = 100
_ALL_KEYS: Final = 2  # so far folded, errors are those of all keys together


@dataclass(frozen=True, kw_only=True)
class RunFailures:
    """Failed calls of a run.

    Attributes:
        errors: the most frequent errors, the first more than the next; None for those without one.
        num_more: how many others there are; they are one error here, after these.
        by_second: ``number`` (of the key), ``error`` (its place among the errors), ``second``, ``calls``.
    """

    errors: list[str | None]
    num_more: int
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
        rows = failures.seconds.filter(pl.col("calls") > 0).join(told, on="code")
        totals = rows.group_by(ERROR).agg(pl.col("calls").sum())
        ranked = totals.sort(["calls", ERROR], descending=[True, False], nulls_last=True)[ERROR].to_list()
        place = pl.DataFrame(
            {ERROR: ranked, "error": [min(place, _MOST_ERRORS) for place in range(len(ranked))]},
            schema={ERROR: pl.String, "error": pl.Int64},
        )
        return cls(
            errors=ranked[:_MOST_ERRORS],
            num_more=max(0, len(ranked) - _MOST_ERRORS),
            by_second=rows.join(place, on=ERROR, nulls_equal=True).select(
                "number", "error", "second", "calls"
            ),
        )

    def in_windows(self, width_s: int, first_window: int) -> tuple[dict[str, Any], list[Ints]]:
        """What a page tells of them, and their numbers.

        These are: of each pair of key and error the key and the error; how many windows it has; these
        windows, as steps; how many calls failed in each.
        """
        window = (pl.col("second") // width_s - first_window).alias("window")
        cells = self.by_second.group_by("number", "error", window).agg(pl.col("calls").sum())
        cells = cells.sort("number", "error", "window")
        pairs = cells.select("number", "error").unique().sort("number", "error")
        owner = cells.join(pairs.with_row_index("pair"), on=["number", "error"], maintain_order="left")[
            "pair"
        ]
        columns = (cells[name].to_numpy() for name in ("window", "calls"))
        document = {
            "errors": self.errors,
            "num_more_errors": self.num_more,
            "num_failing": pairs.height,
            "num_failures": cells.height,
        }
        numbers: Iterator[Ints] = rows_of(owner.cast(pl.Int64).to_numpy(), pairs.height, *columns)
        return document, [pairs["number"].to_numpy(), pairs["error"].to_numpy(), *numbers]
