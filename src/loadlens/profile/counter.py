"""One scan that counts everything: latency buckets, completions per second, latencies over time, the tail."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.compiled import frozen, frozen_column
from loadlens.profile import kernels
from loadlens.profile.brackets import Brackets, numbered_places
from loadlens.profile.buckets import NULL_BUCKET
from loadlens.profile.clock import ClockWatch
from loadlens.profile.coding import KeyCoder
from loadlens.profile.exact import held_keys
from loadlens.profile.kernels import NO_LATENCY, SUCCESS
from loadlens.profile.passes import (
    TooSparseError,
    UnusableRowsError,
    bucket_counts,
    class_counts,
    heat_counts,
    second_counts,
    window_of,
)
from loadlens.profile.profile import (
    Profile,
    coarsened,
    key_names,
    refuse_huge_sizes,
    summed_buckets,
    summed_classes,
    summed_seconds,
)
from loadlens.profile.quantiles import bucket_bounds
from loadlens.profile.rows import Rows
from loadlens.profile.tables import CellTable, HeatTable, SecondTable
from loadlens.profile.tail import Histogram, Tail
from loadlens.schema import (
    ERROR_CLASS,
    ERROR_COLUMNS,
    FAILED_LATENCY_MS,
    LATENCY,
    MAX_TIME_S,
    breaks_rule,
)

__all__ = ["Counter", "held_keys_by_table", "with_code"]

Ints = NDArray[np.int64]

_NO_FLAGS: Final = frozen(np.empty(0, dtype=np.int8))
_NO_TRUTHS: Final = frozen(np.empty(0, dtype=np.bool_))
_NO_SIZES: Final = frozen(np.empty(0, dtype=np.int64))
_SUMS: Final = {
    "buckets": summed_buckets,
    "seconds": summed_seconds,
    "heat": coarsened,
    "classes": summed_classes,
}
_MOST_IRREGULAR_COUNTS: Final = 1_000_000
_TABLE_BYTES: Final = 256 * 2**20
_MOST_WANTED: Final = 2**25


class Counter:
    """Counts batches of rows, from several threads.

    Rows that have a latency and times of the usual range are counted in tables. The few others, such as
    those without an end, go through group-bys.

    Attributes:
        tail: rows that may lie above the fence.
        brackets: rows that may have a wanted rank.
    """

    def __init__(
        self, rows: Rows, coder: KeyCoder, *, most_bytes: int, most_tail_rows: int, with_heat: bool
    ) -> None:
        budget = min(most_bytes, _TABLE_BYTES)
        self._rows = rows
        self._coder = coder
        self._lock = threading.Lock()
        self._clock = ClockWatch(rows.logged_times)
        self._cells = CellTable(budget, sized=rows.plan.response_sizes)
        self._bytes = 0.0
        self._seconds = SecondTable(budget)
        self._heat = HeatTable(counts=with_heat and rows.timed)
        self._irregular: dict[str, list[pl.DataFrame]] = {name: [] for name in _SUMS}
        self.tail = Tail(rows.plan, most_tail_rows)
        self.brackets = Brackets(rows.plan, most_tail_rows)

    def add(self, rows: pl.DataFrame) -> Ints:
        """Counts a batch of rows; returns the code of each.

        Raises:
            UnusableRowsError: some row breaks a rule.
            TooSparseError: there are too many keys or cells.
        """
        if "unusable" in rows.columns and rows["unusable"].any():
            raise UnusableRowsError
        rows = rows.rechunk()
        code = self._coder.encode(rows)
        if len(code):
            self._refuse_huge_sizes(rows)
            self._add(rows, code)
            self._clock.add(rows)
        return code

    def _refuse_huge_sizes(self, rows: pl.DataFrame) -> None:
        if self._rows.plan.response_sizes:
            with self._lock:
                self._bytes += float(rows["response_size"].cast(pl.Float64).sum())
                refuse_huge_sizes(self._bytes)

    def _add(self, rows: pl.DataFrame, code: Ints) -> None:
        batch = _batch(rows, code, self._rows.errors)
        with self._lock:
            found = self._count(batch)
            self._add_classes(rows, code)
            irregular, without_second, held, near = (
                numbers[:size] for numbers, size in zip(found[:4], found.sizes, strict=True)
            )
            if len(held):
                self.tail.hold(
                    code[held], batch.latency[held], _taken(batch.start, held), _taken(batch.end, held)
                )
            self.brackets.hold(code[near], batch.latency[near], batch.success[near], self._cells.place_counts)
            if len(irregular):
                self._add_irregular(self.with_code(rows[irregular], code[irregular]))
            if len(without_second):
                apart = self.with_code(rows[without_second], code[without_second])
                self._add_counts("seconds", second_counts(self._rows, apart.lazy(), "in-memory"))

    def narrow(self) -> None:
        """Gives up held rows that all counts together leave unlikely, so that few have to travel."""
        self.tail.narrow(self._histogram)
        self.brackets.narrow(self._cells.place_counts)

    def _add_classes(self, rows: pl.DataFrame, code: Ints) -> None:
        if ERROR_CLASS not in rows.columns or rows[ERROR_CLASS].null_count() == rows.height:
            return
        classes = pl.DataFrame({"code": code, ERROR_CLASS: rows[ERROR_CLASS]}).lazy()
        self._add_counts("classes", class_counts(classes, "in-memory"))

    def with_code(self, rows: pl.DataFrame, code: Ints) -> pl.DataFrame:
        """Rows with their ``code`` in the place of the columns of their key."""
        return rows.drop(self._coder.columns).insert_column(0, pl.Series("code", code))

    def _count(self, batch: kernels.Batch) -> kernels.Found:
        """Counts a batch in the tables, making room in them as needed."""
        num_codes, size = int(batch.code.max()) + 1, len(batch.code)
        self.tail.cover(num_codes)
        self.brackets.cover(num_codes)
        irregular, without_second, held, near = (np.empty(size, dtype=np.int64) for _ in range(4))
        found = kernels.Found(
            irregular=irregular,
            without_second=without_second,
            held=held,
            near=near,
            sizes=np.zeros(4, dtype=np.int64),
            wanted=self.brackets.wanted,
            keep_from=self.tail.keep_from,
            rows_of_code=self.tail.rows_of_code,
        )
        row, need, open_seconds = 0, kernels.NEEDS_CELLS, True
        while need:
            if need == kernels.NEEDS_CELLS:
                self._cells.make_room(num_codes)
            elif need == kernels.NEEDS_SECONDS:
                open_seconds = self._seconds.make_room(num_codes, *_whole_seconds(batch.end))
            else:
                self._heat.make_room(*_ends(batch.end))
            if not self._heat.ready and len(batch.end):
                self._heat.make_room(*_ends(batch.end))
            tables = (self._cells.arrays, self._seconds.arrays, self._heat.arrays)
            row, need = kernels.count_rows(row, batch, *tables, found, open_seconds)
            if need == kernels.BROKEN:
                raise UnusableRowsError
        self._seconds.check(int(self.tail.rows_of_code.max()))
        self.tail.move_limits(self._histogram)
        return found

    def _add_irregular(self, batch: pl.DataFrame) -> None:
        """Counts rows by group-bys, after a look at the rules that the tables need no look at."""
        if batch.select(breaks_rule((LATENCY, "success", "start_time", "end_time")).any()).item():
            raise UnusableRowsError
        if batch.select((pl.col("success") & pl.col(LATENCY).is_not_null()).any()).item():
            self.tail.lose()
        if batch.select((pl.col(LATENCY) != FAILED_LATENCY_MS).any()).item():
            self.brackets.lose()
        frame = batch.lazy()
        self._add_counts("buckets", bucket_counts(self._rows, frame, "in-memory"))
        timed = frame.filter(pl.col("end_time").is_not_null())
        self._add_counts("seconds", second_counts(self._rows, timed, "in-memory"))
        if self._heat.wanted:
            # Narrow windows; they are joined in the end.
            self._add_counts("heat", heat_counts(frame, 2.0**-7, "in-memory"))

    def _add_counts(self, what: str, counts: pl.DataFrame) -> None:
        parts = self._irregular[what]
        parts.append(counts)
        if sum(part.height for part in parts) > _MOST_IRREGULAR_COUNTS:
            joined = _SUMS[what](pl.concat(parts))
            if joined.height > _MOST_IRREGULAR_COUNTS // 2:
                raise TooSparseError
            self._irregular[what] = [joined]

    def _histogram(self, code: int, *, successes: bool) -> Histogram:
        state, buckets, counts, sums = self._cells.of_code(code)
        chosen = (state & NO_LATENCY) == 0
        if successes:
            chosen &= (state & SUCCESS) != 0
        edges, _ = bucket_bounds(buckets[chosen])
        return edges, counts[chosen], sums[chosen]

    def profile(self) -> Profile:
        """The profile of all rows that were counted."""
        key = self._rows.plan.key
        named = self._coder.keys.rename(dict(zip(key_names(key), key, strict=True)))
        if key and named.select(breaks_rule(key).any()).item():
            raise UnusableRowsError
        buckets = self._buckets()
        return Profile(
            key=key,
            keys=self._keys(buckets),
            buckets=buckets,
            seconds=self._second_counts(),
            heat=self._heat_frame(buckets),
            classes=summed_classes(pl.concat([Profile.empty(()).classes, *self._irregular["classes"]])),
            resolution_s=self._clock.resolution_s,
            units=self._clock.units,
        )

    def _keys(self, buckets: pl.DataFrame) -> pl.DataFrame:
        codes = pl.int_range(len(self._coder), dtype=pl.Int64, eager=True).alias("code")
        names = self._coder.keys.columns
        keys = pl.DataFrame([codes, *self._coder.keys.get_columns()]).sort([*names, "code"], nulls_last=True)
        return keys.join(buckets.select("code").unique(), on="code", how="semi", maintain_order="left")

    def _buckets(self) -> pl.DataFrame:
        arrays = self._cells.arrays
        cells, code, state, found = self._cells.used()
        buckets = np.where(state & NO_LATENCY, NULL_BUCKET, found)
        count, _, start, end = arrays.figures[cells].T
        sizes = arrays.sizes[cells].T if len(arrays.sizes) else np.zeros((2, len(cells)), dtype=np.int64)
        frame = pl.DataFrame(
            {
                "code": code,
                "success": (state & SUCCESS) != 0,
                "bucket": buckets,
                **{name: (state >> (ERROR_COLUMNS.index(name) + 1)) & 1 for name in self._rows.errors},
                "count": count.astype(np.int64),
                "latency_sum": self._cells.latency_sums(cells, found),
                "first_start": pl.Series(start, nan_to_null=True).replace(np.inf, None),
                "last_end": pl.Series(end).replace(-np.inf, None),
                "response_size_sum": sizes[0],
                "response_size_count": sizes[1],
            }
        )
        irregular = self._irregular["buckets"]
        return summed_buckets(pl.concat([frame, *irregular], how="vertical_relaxed")) if irregular else frame

    def _second_counts(self) -> pl.DataFrame:
        code, second, calls, completions = self._seconds.used()
        frame = pl.DataFrame({"code": code, "second": second, "calls": calls, "completions": completions})
        irregular = self._irregular["seconds"]
        return summed_seconds(pl.concat([frame, *irregular])) if irregular else frame

    def _heat_frame(self, buckets: pl.DataFrame) -> pl.DataFrame:
        width = window_of(buckets) if self._heat.wanted else None
        if width is None:
            return Profile.empty(()).heat
        heat = pl.concat([self._heat.frame(), *self._irregular["heat"]])
        # The table goes by ends alone, whose span is longer where starts are missing or late.
        width = heat.select(pl.max_horizontal(pl.lit(width), pl.col("window_s").max())).item()
        time = (pl.col("time_s") / width).floor() * width
        return coarsened(heat.with_columns(time_s=time, window_s=pl.lit(width)))


def _batch(rows: pl.DataFrame, code: Ints, errors: Sequence[str]) -> kernels.Batch:
    """Rows as arrays. Missing latencies are 0 and told by ``untimed``, missing times are NaN."""
    sized, latency = "response_size" in rows.columns, rows[LATENCY]
    error_1, error_2, error_3 = (
        frozen_column(rows[name], 0) if name in errors else _NO_FLAGS for name in ERROR_COLUMNS
    )
    return kernels.Batch(
        frozen(code),
        frozen(rows["success"].to_numpy()),
        frozen(latency.is_null().to_numpy()) if latency.null_count() else _NO_TRUTHS,
        error_1,
        error_2,
        error_3,
        frozen_column(latency, 0.0),
        _times(rows["start_time"]),
        _times(rows["end_time"]),
        frozen_column(rows["response_size"], 0) if sized else _NO_SIZES,
        frozen(rows["response_size"].is_not_null().to_numpy()) if sized else _NO_TRUTHS,
    )


def _taken(times: NDArray[np.float64], rows: Ints) -> NDArray[np.float64]:
    """The times of some rows, NaN where there are none at all."""
    return times[rows] if len(times) else np.full(len(rows), np.nan)


def _times(times: pl.Series) -> NDArray[np.float64]:
    """Times as an array, empty where there are none at all."""
    return frozen_column(times.clear() if times.null_count() == len(times) else times, np.nan)


def _ends(end: NDArray[np.float64]) -> tuple[float, float]:
    """The first and last usable end in s."""
    usable = end[(end > -MAX_TIME_S) & (end < MAX_TIME_S)]
    return float(usable.min(initial=MAX_TIME_S)), float(usable.max(initial=-MAX_TIME_S))


def _whole_seconds(end: NDArray[np.float64]) -> tuple[int, int]:
    first, last = _ends(end)
    return int(first), int(last)


def held_keys_by_table(rows: pl.LazyFrame, chosen: pl.DataFrame, *, coder: KeyCoder | None) -> pl.LazyFrame:
    """What ``held_keys`` returns, by a table where one can tell the chosen buckets.

    Args:
        rows: the latencies of a log, with ``code`` or, if there is a ``coder``, with the columns of its key.
        chosen: numbered buckets.
        coder: codes the keys.
    """
    places = numbered_places(chosen)
    if places is None:
        return held_keys(rows if coder is None else with_code(rows, coder), chosen)
    wanted, numbers = places

    def select(batch: pl.DataFrame) -> pl.DataFrame:
        batch = batch.rechunk()
        code = batch["code"].to_numpy() if coder is None else coder.encode(batch)
        keys, success = np.empty(batch.height, dtype=np.int64), np.empty(batch.height, dtype=np.bool_)
        latency = frozen_column(batch[LATENCY], np.nan)
        succeeded = frozen(batch["success"].to_numpy())
        found = kernels.keys_of_rows(frozen(code), latency, succeeded, wanted, numbers, keys, success)
        # Copies, so that a few rows do not keep the memory of all.
        return pl.DataFrame({"key": keys[:found].copy(), "success": success[:found].copy()})

    return rows.map_batches(select, schema={"key": pl.Int64(), "success": pl.Boolean()}, streamable=True)


def with_code(frame: pl.LazyFrame, coder: KeyCoder) -> pl.LazyFrame:
    """The same rows with their ``code`` in the place of their key."""
    schema = {name: dtype for name, dtype in frame.collect_schema().items() if name not in coder.columns}

    def code(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(pl.Series("code", coder.encode(rows)), *schema)

    return frame.map_batches(code, schema={"code": pl.Int64(), **schema}, streamable=True)
