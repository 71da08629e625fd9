"""Which rows of a log stand for calls, where calls, parts of calls and sums of calls are logged side by side.

JMeter's threads do one thing after the other. So a row whose span lies within another's of the same thread
belongs to that one, in whatever order, block or file the two were written:

- A *transaction* is left out if the log has a sample, or another transaction with samples, within its span:
  it would count its samples twice. Without them, it is the only record of what it sums up, and a call.
- A row named after another (``Home-0`` or ``Home-0-1`` after ``Home``) is a *part* of it if the log has that
  other row around its span: a step of a redirect or an embedded resource, whose time the other includes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import InputError

__all__ = ["DOUBTFUL", "EMPTY_TRANSACTIONS", "PARTS", "SPANS", "TRANSACTIONS", "Nesting", "Settled"]

Array = NDArray[Any]

TRANSACTIONS: Final = "transaction controllers"
EMPTY_TRANSACTIONS: Final = "transaction controllers without samples"
PARTS: Final = "parts of samples"

DOUBTFUL: Final = "transaction controllers beside others of their name with samples"
"""What transactions that count as calls are counted as, though others of their name do not."""

SPANS: Final = pl.Schema(
    {
        "thread": pl.UInt64(),
        "start": pl.Int64(),
        "end": pl.Int64(),
        "until": pl.Int64(),
        "label": pl.UInt64(),
        "stem": pl.UInt64(),
        "root": pl.UInt64(),
        "samples": pl.Int64(),
    }
)
"""What tells which rows belong together.

``thread`` is a hash of the thread's name, 0 where the log does not tell it. ``start`` and ``end`` are in ms;
``until`` is when at the latest, by the log's clock, what belongs to the row ends. ``label`` is a hash of the
row's name, ``stem`` and ``root`` of the names that it may be a part of, null where it ends in no number.
``samples`` is how many samples a transaction sums up, null for other rows.
"""

_WINDOW_ROWS: Final = 10**6
_MOST_HELD: Final = 2 * 10**6
_WIDEST: Final = 2**40
_OTHER, _TRANSACTION, _EMPTY, _PART = range(4)
_LEFT_OUT: Final = {_TRANSACTION: TRANSACTIONS, _EMPTY: EMPTY_TRANSACTIONS, _PART: PARTS}


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What came of rows that were held.

    Attributes:
        source: where they are from.
        rows: those that stand for calls.
        left_out: how many do not, by what they are.
        doubtful: how many of the rows are transactions of a name of which others were left out.
    """

    source: int
    rows: pl.DataFrame
    left_out: Counter[str]
    doubtful: int = 0


@dataclass(kw_only=True)
class _Held:
    """Rows that may belong to others, their spans, and the number of the window that they came in.

    ``summed`` are the names of all transactions that were left out, by their hashes.
    """

    source: int
    window: int
    rows: pl.DataFrame
    spans: pl.DataFrame
    summed: set[int]
    left_out: Counter[str] = field(default_factory=Counter)

    def take_out(self, kinds: Array) -> None:
        """Drops the rows that are known to belong to others."""
        if not kinds.any():
            return
        for kind, what in _LEFT_OUT.items():
            self.left_out[what] += int(np.count_nonzero(kinds == kind))
        self.summed.update(self.spans["label"].filter(pl.Series(kinds == _TRANSACTION)))
        others = pl.Series(kinds == _OTHER)
        self.rows, self.spans = self.rows.filter(others), self.spans.filter(others)

    def settled(self) -> Settled:
        left_out, self.left_out = +self.left_out, Counter()
        names = pl.Series(list(self.summed), dtype=pl.UInt64)
        is_doubtful = pl.col("samples").is_not_null() & pl.col("label").is_in(names.implode())
        doubtful = self.spans.filter(is_doubtful).height
        return Settled(source=self.source, rows=self.rows, left_out=left_out, doubtful=doubtful)


class Nesting:
    """Holds back the rows that may belong to others until that is known; all other rows pass.

    What is held is compared with the rows of its window (of a million rows), of the one before it and of all
    after it. If that misses rows of the same time, as in a large log that is not in order, the log is read
    once more.
    """

    def __init__(
        self,
        again: Callable[[], Iterable[pl.DataFrame]],
        *,
        window_rows: int = _WINDOW_ROWS,
        most_held: int = _MOST_HELD,
    ) -> None:
        """Begins a log.

        Args:
            again: reads the spans of all its rows once more.
            window_rows: how many rows make a window.
            most_held: how many rows are held; beyond that, the log has to be in order.
        """
        self._again, self._window_rows, self._most_held = again, window_rows, most_held
        self._held: list[_Held] = []
        self._past = pl.DataFrame(schema=SPANS)
        self._fresh: list[pl.DataFrame] = []
        self._window = 0
        # Of rows that some of what is held was not compared with: first start, last end, the last window
        # that was.
        self._unseen: list[tuple[float, float, int]] = []
        self._released = pl.DataFrame(schema={"thread": pl.UInt64(), "last": pl.Int64()})
        self._released_stems: set[int] = set()
        self._summed: set[int] = set()

    @property
    def is_undecided(self) -> bool:
        """Whether rows are held."""
        return any(held.rows.height for held in self._held)

    def add(self, source: int, rows: pl.DataFrame, spans: pl.DataFrame | None) -> pl.DataFrame:
        """Takes the next rows of a log, and gives back those that stand for calls whatever follows.

        Args:
            source: where they are from, which ``Settled`` tells of those that are held.
            rows: the rows.
            spans: in the columns of ``SPANS``, a row for each; None where none of them may belong to another.

        Raises:
            InputError: something belongs to a row that could no longer be held.
        """
        if spans is None:
            self._pass_unseen(rows)
            return rows
        self._refuse_late(spans)
        self._fresh.append(spans)
        nested = spans["samples"].is_not_null() | spans["stem"].is_not_null()
        if not nested.any():
            return rows
        self._held.append(
            _Held(
                source=source,
                window=self._window,
                rows=rows.filter(nested),
                spans=spans.filter(nested),
                summed=self._summed,
            )
        )
        return rows.filter(~nested)

    def settled(self) -> Iterator[Settled]:
        """What is known once a window is full."""
        if sum(spans.height for spans in self._fresh) < self._window_rows:
            return
        self._close_window()
        is_full = sum(held.rows.height for held in self._held) > self._most_held
        if is_full and self._is_doubtful():
            self._read_again()
        yield from self._let_go(self._window - 2 if is_full else -1)

    def finish(self) -> Iterator[Settled]:
        """What is known at the end of the log."""
        if not self._held:
            return
        self._close_window()
        if self._is_doubtful():
            self._read_again()
        for held in self._held:
            yield held.settled()
        self._held = []

    def _pass_unseen(self, rows: pl.DataFrame) -> None:
        if rows.height and {"start_time", "end_time"} <= set(rows.columns):
            start, end = rows.select(pl.col("start_time").min(), pl.col("end_time").max()).row(0)
            self._unseen.append((1000 * start - 1, 1000 * end + 1, -1))

    def _close_window(self) -> None:
        self._compare(pl.concat([self._past, *self._fresh]))
        if self._past.height:
            start, end = self._past.select(pl.col("start").min(), pl.col("until").max()).row(0)
            self._unseen.append((start, end, self._window))
        self._past = pl.concat([self._past.clear(), *self._fresh])
        self._fresh = []
        self._window += 1

    def _compare(self, others: pl.DataFrame) -> None:
        """Drops from what is held all that belongs to ``others``, which may be the same rows."""
        if not self.is_undecided:
            return
        kinds = _kinds(pl.concat([held.spans for held in self._held]), others)
        ends = np.cumsum([held.spans.height for held in self._held])
        for held, found in zip(self._held, np.split(kinds, ends[:-1]), strict=True):
            held.take_out(found)

    def _is_doubtful(self) -> bool:
        """Whether something held was not compared with all rows of its time."""
        for held in self._held:
            span = held.spans.select(pl.col("start").min(), pl.col("until").max()).row(0)
            for start, end, last in self._unseen if held.rows.height else ():
                if held.window > last and start <= span[1] and end >= span[0]:
                    return True
        return False

    def _read_again(self) -> None:
        for spans in self._again():
            self._compare(spans)

    def _let_go(self, last_window: int) -> Iterator[Settled]:
        """What is left of rows up to a window stands for calls; of the others only counts are told."""
        for held in self._held:
            is_released = held.window <= last_window
            if is_released and held.rows.height:
                self._note_released(held.spans)
            if is_released or held.left_out:
                settled = held.settled()
                rows = settled.rows if is_released else settled.rows.clear()
                doubtful = settled.doubtful if is_released else 0
                yield Settled(source=settled.source, rows=rows, left_out=settled.left_out, doubtful=doubtful)
        self._held = [held for held in self._held if held.window > last_window and held.rows.height]

    def _note_released(self, spans: pl.DataFrame) -> None:
        last = spans.group_by("thread").agg(pl.col("until").max().alias("last"))
        both = pl.concat([self._released, last])
        self._released = both.group_by("thread").agg(pl.col("last").max())
        self._released_stems.update(spans["stem"].drop_nulls().unique(), spans["root"].drop_nulls().unique())

    def _refuse_late(self, spans: pl.DataFrame) -> None:
        if not self._released.height:
            return
        stems = pl.Series(list(self._released_stems), dtype=pl.UInt64)
        is_within = pl.col("end") <= pl.col("last")
        is_around = pl.col("label").is_in(stems.implode()) & (pl.col("start") <= pl.col("last"))
        late = spans.join(self._released, on="thread").filter(is_within | is_around)
        if late.height:
            raise InputError(
                f"rows of one thread that belong together lie more than {self._most_held:,} rows apart; "
                f"sort the log by threadName and timeStamp"
            )


def _kinds(held: pl.DataFrame, others: pl.DataFrame) -> Array:
    """What each of ``held`` is left out as, given ``others``."""
    held, others = _narrowed(held, others)
    kinds = np.full(held.height, _OTHER, np.int8)
    is_transaction = held["samples"].is_not_null()
    places = is_transaction.arg_true().to_numpy()
    if places.size:
        transactions = held.filter(is_transaction)
        samples = others.filter(pl.col("samples").is_null())
        inner = others.filter((pl.col("samples") > 0) & (pl.col("thread") != 0))
        has_samples = _holds(transactions, samples, "until") | _holds_transaction(transactions, inner)
        kinds[places[has_samples]] = _TRANSACTION
        kinds[places[(transactions["samples"] == 0).to_numpy()]] = _EMPTY
    is_named_after = held["stem"].is_not_null() & ~is_transaction
    places = is_named_after.arg_true().to_numpy()
    if places.size:
        named, samples = held.filter(is_named_after), others.filter(pl.col("samples").is_null())
        is_part = _is_held(named, samples, "stem") | _is_held(named, samples, "root")
        kinds[places[is_part]] = _PART
    return kinds


def _narrowed(held: pl.DataFrame, others: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same with the rows of other threads left out, and with times that are close together."""
    threads = held["thread"].unique()
    others = others.filter(pl.col("thread").is_in(threads.implode()))
    times = ("start", "end", "until")
    both = pl.concat([held, others])
    low, high = both.select(
        pl.min_horizontal(pl.col(times).min()).alias("low"),
        pl.max_horizontal(pl.col(times).max()).alias("high"),
    ).row(0)
    if high - low < _WIDEST:
        near = both.with_columns(pl.col(times) - low)
    else:  # some times are mistaken, but their order is all that counts
        known = np.unique(both.select(times).to_numpy())
        near = both.with_columns(
            pl.Series(name, np.searchsorted(known, both[name].to_numpy()), dtype=pl.Int64) for name in times
        )
    return near[: held.height], near[held.height :]


def _holds(outer: pl.DataFrame, inner: pl.DataFrame, until: str, after: int = 0) -> Array:
    """Whether each of ``outer`` has one of ``inner`` in its thread and span, from ``after`` its start on."""
    threads = outer["thread"].unique().sort()
    inner = inner.filter(pl.col("thread").is_in(threads.implode()))
    if not inner.height:
        return np.zeros(outer.height, np.bool_)
    begins = np.searchsorted(threads, inner["thread"].to_numpy()) * _WIDEST
    starts, ends = begins + inner["start"].to_numpy(), begins + inner["end"].to_numpy()
    order = np.argsort(starts)
    # The soonest end from each place on; a later thread has later ones.
    soonest = np.append(np.minimum.accumulate(ends[order][::-1])[::-1], np.iinfo(np.int64).max)
    places = np.searchsorted(threads, outer["thread"].to_numpy()) * _WIDEST
    first = np.searchsorted(starts[order], places + outer["start"].to_numpy() + after)
    found: Array = soonest[first] <= places + outer[until].to_numpy()
    return found


def _holds_transaction(outer: pl.DataFrame, inner: pl.DataFrame) -> Array:
    """The same for transactions; of several with one span, all but the one of the fewest samples hold it."""
    if not inner.height:
        return np.zeros(outer.height, np.bool_)
    same_start = inner.group_by("thread", "start").agg(pl.col("end").min().alias("soonest"))
    least = [
        pl.col(name).sort_by("samples", "label").first().alias(f"least_{name}")
        for name in ("samples", "label")
    ]
    same_span = inner.group_by("thread", "start", "end").agg(least)
    known = (
        outer.select("thread", "start", "end", "samples", "label")
        .join(same_start, on=["thread", "start"], how="left", maintain_order="left")
        .join(same_span, on=["thread", "start", "end"], how="left", maintain_order="left")
    )
    is_more = (pl.col("samples") > pl.col("least_samples")) | (
        (pl.col("samples") == pl.col("least_samples")) & (pl.col("label") > pl.col("least_label"))
    )
    holds = (pl.col("soonest") < pl.col("end")).fill_null(value=False) | is_more.fill_null(value=False)
    return known.select(holds.alias("holds"))["holds"].to_numpy() | _holds(outer, inner, "end", after=1)


def _is_held(inner: pl.DataFrame, outer: pl.DataFrame, name: str) -> Array:
    """Whether each of ``inner`` is within one of ``outer`` in its thread whose label is its ``name``."""
    wanted = pl.struct("thread", pl.col(name).alias("label")).hash()
    keys = inner.select(wanted.alias("key"))["key"].to_numpy()
    known = outer.with_columns(pl.struct("thread", "label").hash().alias("key"))
    groups = np.unique(keys)
    known = known.filter(pl.col("key").is_in(pl.Series(groups).implode()))
    if not known.height:
        return np.zeros(inner.height, np.bool_)
    begins = np.searchsorted(groups, known["key"].to_numpy()) * _WIDEST
    starts, ends = begins + known["start"].to_numpy(), begins + known["until"].to_numpy()
    order = np.argsort(starts)
    # The latest end up to each place; an earlier group has earlier ones.
    latest = np.append(-1, np.maximum.accumulate(ends[order]))
    places = np.searchsorted(groups, keys) * _WIDEST
    last = np.searchsorted(starts[order], places + inner["start"].to_numpy(), side="right")
    found: Array = latest[last] >= places + inner["end"].to_numpy()
    return found
