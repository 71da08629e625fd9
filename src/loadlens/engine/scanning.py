"""The two scans of a log: into tallies, and through selections of what decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.engine.binding import (
    BrokenRowError,
    Layout,
    NativeSelection,
    TallyFullError,
    UnknownKeyError,
)
from loadlens.engine.profile import ascending
from loadlens.engine.refine import Look
from loadlens.engine.selections import Selections
from loadlens.engine.tally import Columns, Tallies, Tally
from loadlens.profile.plan import Engine
from loadlens.profile.spill import write_spill
from loadlens.schema import LATENCY

__all__ = ["Counted", "Source", "count", "run_batches"]

_NOTHING = {"rows": pl.UInt32()}
_SPILLED = {
    "tally": pl.UInt16(),
    "code": pl.UInt32(),
    "success": pl.Boolean(),
    LATENCY: pl.Float64(),
    "end_time": pl.Float64(),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from, and how they are read.

    Attributes:
        columns: the rows.
        engine: what runs the queries.
        spill: where what the second scan needs is written while rows are counted; None where the log itself
            is read again.
    """

    columns: Columns
    engine: Engine
    spill: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Rows that have been counted.

    Attributes:
        tally: what they came to.
        look: runs them through selections.
        make: makes a selection under the codes of ascending keys, which wants nothing yet.
    """

    tally: Tally
    look: Look
    make: Callable[[], NativeSelection]


def count(source: Source, *, most_bytes: int, part: int = 0, parts: int = 1) -> Counted:
    """Counts rows, or those of a part of the keys by their hash.

    Raises:
        BrokenRowError: some row breaks a rule.
        TallyFullError: the keys and cells need more memory than ``most_bytes``.
    """
    tallies = Tallies(source.columns, most_bytes=most_bytes, part=part, parts=parts)
    if source.spill is None:
        _count(source, tallies)
        tally, _ = tallies.merged()
        return _read_again(source, tally, part, parts)
    _count_and_spill(source, tallies, source.spill)
    tally, codes = tallies.merged()
    return _read_spilled(source, tally, codes, source.spill)


def _count(source: Source, tallies: Tallies) -> None:
    nothing = pl.DataFrame(schema=_NOTHING)

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        with tallies.one() as (_, tally):
            tally.add(batch)
        return nothing

    run_batches(source.columns.frame, add, _NOTHING, lambda frame: frame.collect(engine=source.engine))


def _count_and_spill(source: Source, tallies: Tallies, path: Path) -> None:
    has_end = "end_time" in source.columns.frame.collect_schema()
    end = pl.col("end_time") if has_end else pl.lit(None, dtype=pl.Float64).alias("end_time")

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        codes = np.empty(batch.height, dtype=np.uint32)
        with tallies.one() as (number, tally):
            tally.add(batch, codes=codes)
        origin = pl.lit(number, dtype=pl.UInt16).alias("tally")
        return batch.select(
            origin, pl.Series("code", codes), pl.col("success").fill_null(value=False), LATENCY, end
        )

    run_batches(source.columns.frame, add, _SPILLED, lambda frame: write_spill(frame, path, source.engine))


def run_batches(
    frame: pl.LazyFrame,
    step: Callable[[pl.DataFrame], pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    run: Callable[[pl.LazyFrame], object],
) -> None:
    """Runs rows through a step, a batch at a time and several at once.

    Raises:
        Exception: what the step raised, as it is and not as the reader wraps it.
    """
    raised: list[BaseException] = []

    def watched(batch: pl.DataFrame) -> pl.DataFrame:
        try:
            return step(batch)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        run(frame.map_batches(watched, schema=schema, streamable=True))
    except BaseException as error:
        expected = (BrokenRowError, TallyFullError, UnknownKeyError, pl.exceptions.PolarsError)
        if raised and isinstance(error, (*expected, pl.exceptions.PanicException)):
            raise raised[0] from error
        raise


def _read_again(source: Source, tally: Tally, part: int, parts: int) -> Counted:
    columns = source.columns
    names = [key.name for key in columns.keys]
    keys = tally.keys[ascending(tally, columns)] if names else tally.keys
    schema = columns.frame.collect_schema()
    timed = "end_time" in schema

    def make() -> NativeSelection:
        layout = _layout(len(names), timed=timed)
        return NativeSelection(columns.is_text, layout, keys, part=part, parts=parts)

    def look(selections: Selections) -> None:
        needed = [*names, LATENCY, "success"]
        rest = ["end_time"] if timed and selections.has_limits else []
        frame = columns.frame.select(*needed, *rest)
        if timed and not rest:  # the layout has a place for it
            frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("end_time"))
        _look(frame, selections, source.engine)

    return Counted(tally=tally, look=look, make=make)


def _layout(latency: int, *, timed: bool) -> Layout:
    errors = Layout().errors
    errors[:] = [-1, -1, -1]
    return Layout(latency, latency + 1, -1, latency + 2 if timed else -1, errors, -1, -1, 0, 0)


def _read_spilled(source: Source, tally: Tally, codes: list[NDArray[np.uint32]], path: Path) -> Counted:
    keys = tally.native.sizes().keys
    order = np.empty(keys, dtype=np.int64)
    order[ascending(tally, source.columns)] = np.arange(keys)
    starts = np.cumsum([0, *[len(part) for part in codes]])
    flat = order[np.concatenate(codes)] if codes else order

    def coded(batch: pl.DataFrame) -> pl.DataFrame:
        place = starts[batch["tally"].to_numpy()] + batch["code"].to_numpy()
        return batch.select(pl.Series("code", flat[place]), LATENCY, "success", "end_time")

    def make() -> NativeSelection:
        return NativeSelection(
            [False], _layout(1, timed=True), pl.DataFrame({"code": range(keys)}), direct=True
        )

    def look(selections: Selections) -> None:
        _look(pl.scan_parquet(path, glob=False), selections, source.engine, coded)

    return Counted(tally=tally, look=look, make=make)


def _look(
    frame: pl.LazyFrame,
    selections: Selections,
    engine: Engine,
    prepared: Callable[[pl.DataFrame], pl.DataFrame] = lambda batch: batch,
) -> None:
    nothing = pl.DataFrame(schema=_NOTHING)

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        rows = prepared(batch)
        with selections.one() as selection:
            found = selection.look(rows, high=selections.has_limits)
        selections.add(found)
        return nothing

    run_batches(frame, add, _NOTHING, lambda query: query.collect(engine=engine))
