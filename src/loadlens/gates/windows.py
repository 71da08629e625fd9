"""Windows of time as a key: configuration and window in one dense number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from loadlens.errors import InputError
from loadlens.profile import Execution, Statistics, key_names
from loadlens.profile.rows import breaks_rule
from loadlens.sources import Log, reading

__all__ = ["WINDOW", "WindowKey", "window_key"]

WINDOW = "loadlens:window"
"""Name of the key column that tells windows of time apart."""


@dataclass(frozen=True, kw_only=True)
class WindowKey:
    """Numbers configurations and windows together, without gaps between configurations.

    The engine codes each key column by its range of values, so that a column for the windows beside the
    others would soon make more combinations than it takes.

    Attributes:
        log: the log with the column ``WINDOW``.
        keys: ``configuration``, its number, and the key columns as ``key:<name>``, by ascending key.
        first: the first window of the log.
        count: how many windows there are from the first to the last.
    """

    log: Log
    keys: pl.DataFrame
    first: int
    count: int

    def decoded(self, statistics: Statistics) -> Statistics:
        """Statistics by ``WINDOW`` as ones by the key columns and the window's multiple of its width."""
        return replace(
            statistics,
            table=self._decoded(statistics.table),
            histogram=self._decoded(statistics.histogram),
            profile=replace(statistics.profile, keys=self._decoded(statistics.profile.keys)),
        )

    def _decoded(self, frame: pl.DataFrame) -> pl.DataFrame:
        (name,) = key_names([WINDOW])
        number = pl.col(name)
        parts = frame.with_columns(
            (number // self.count).alias("configuration"), (number % self.count + self.first).alias(name)
        )
        joined = parts.join(self.keys, on="configuration", how="left", maintain_order="left")
        return joined.drop("configuration")


def window_key(log: Log, key: Sequence[str], window_s: float, execution: Execution) -> WindowKey:
    """Finds the configurations and the windows of a log, in one scan of these columns alone.

    Raises:
        InputError: no call has an end, the log cannot be read, or a key column breaks a rule.
    """
    window = (pl.col("end_time") / window_s).floor().cast(pl.Int64, strict=False)
    ends = [window.min().alias("first"), window.max().alias("last")]
    with reading(log):
        grouped = log.frame.group_by(key).agg(ends) if key else log.frame.select(ends)
        found = grouped.collect(engine=execution.get("engine", "streaming"))
    if key and found.select(breaks_rule(key).any()).item():
        raise InputError(*log.broken_rules())
    first, last = found.select(pl.col("first").min(), pl.col("last").max()).row(0)
    if first is None:
        raise InputError(f"{log.name}: no call has an end_time, which 'within' needs")
    count = last - first + 1
    keys = found.select(key).sort(key, nulls_last=True) if key else pl.DataFrame({"": [0]})
    numbers = pl.int_range(pl.len(), dtype=pl.Int64).alias("configuration")
    coded = keys.with_columns(numbers)
    frame = (
        log.frame.join(coded.lazy(), on=list(key), how="left", nulls_equal=True)
        if key
        else log.frame.with_columns(pl.lit(0, dtype=pl.Int64).alias("configuration"))
    )
    number = (pl.col("configuration") * count + (window - first)).alias(WINDOW)
    names = dict(zip(key, key_names(key), strict=True))
    return WindowKey(
        log=replace(log, frame=frame.with_columns(number), columns=(*log.columns, WINDOW)),
        keys=coded.select("configuration", *[pl.col(name).alias(names[name]) for name in key]),
        first=first,
        count=count,
    )
