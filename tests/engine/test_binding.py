"""The counting library against counting by hand."""

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest

from loadlens.engine.binding import NO_CODE, Found, NativeSelection, NativeTally, TallyFullError
from loadlens.profile.plan import UnusableRowsError
from tests.engine.batches import Counts, Shape, bucket_of, counted, random_batch, random_shape, resolution_of

ROWS = [0, 1, 2, 3, 20, 60, 200, 1025]


def new_tally(shape: Shape, *, most_bytes: int = 2**30, part: int = 0, parts: int = 1) -> NativeTally:
    return NativeTally(shape.keys, shape.layout, most_bytes=most_bytes, part=part, parts=parts)


def rows_of_keys(batch: pl.DataFrame, shape: Shape, rows: np.ndarray) -> list[tuple[object, ...]]:
    if not shape.keys:
        return [()] * len(rows)
    return batch.select(batch.columns[: len(shape.keys)])[rows].rows()


def assert_same(found: Counts, expected: Counts) -> None:
    assert found.lines == expected.lines
    assert +found.cells == +expected.cells
    assert +found.seconds == +expected.seconds
    assert +found.classes == +expected.classes


def check_seed(seed: int) -> None:
    """Counts random batches, some in one tally and some in another, and merges both."""
    rng = np.random.default_rng(seed)
    shape = random_shape(rng)
    tallies = [new_tally(shape), new_tally(shape)]
    keys: list[list[tuple[object, ...]]] = [[], []]
    expected = Counts()
    for _ in range(3):
        batch = random_batch(rng, shape, int(rng.choice(ROWS)))
        which = int(rng.integers(2))
        codes = np.empty(batch.height, dtype=np.uint32)
        keys[which] += rows_of_keys(batch, shape, tallies[which].add(batch, codes=codes))
        assert rows_of_keys(batch, shape, np.arange(batch.height)) == [keys[which][code] for code in codes]
        expected.add(batch, shape)
    assert len(set(keys[0])) == len(keys[0])
    merged = new_tally(shape)
    both = list(dict.fromkeys([*keys[1], *keys[0]]))
    if both:
        merged.learn(keys_frame(both, shape)[:, : len(shape.keys)])
    for tally, own in zip(tallies, keys, strict=True):
        merged.merge(tally, np.array([both.index(key) for key in own], dtype=np.uint32))
    assert_same(counted(merged, both), expected)
    sizes = merged.sizes()
    for clock, name in ((sizes.starts, "start"), (sizes.ends, "end")):
        assert bool(clock.any_time) == bool(expected.times[name])
        assert not clock.any_time or clock.resolution == resolution_of(expected.times[name])
    assert sizes.keys == len(both)
    check_timeline(merged, shape)
    check_selection(rng, shape, both)


def check_selection(rng: np.random.Generator, shape: Shape, keys: list[tuple[object, ...]]) -> None:
    """Picks some cells of a batch, and successes from limits on, and compares with all rows."""
    batch = random_batch(rng, shape, int(rng.choice(ROWS)))
    tally = new_tally(shape)
    keys = list(dict.fromkeys([*keys, *rows_of_keys(batch, shape, tally.add(batch))]))
    counts = Counts()
    counts.add(batch, shape)
    cells = [cell for cell in sorted(counts.cells, key=repr) if rng.random() < 0.5]
    limits = rng.choice([0.0, 1.0, 100.0, math.inf], len(keys))
    selection = NativeSelection(shape.keys, shape.layout, keys_frame(keys, shape)[:, : len(shape.keys)])
    lines = np.array([2 * keys.index(key) + success for key, success, _ in cells], dtype=np.int64)
    selection.want(lines, np.array([bucket for *_, bucket in cells], dtype=np.int64), limits)
    found = selection.look(batch, high=True)
    assert Counter(latencies_found(selection, found)) == Counter(latencies_wanted(batch, shape, cells))
    high = [
        (keys.index(row[: len(shape.keys)]), row[len(shape.keys)])
        for row in batch.rows()
        if row[len(shape.keys)] is not None and row[len(shape.keys) + 1]
    ]
    assert sorted(zip(found.code.tolist(), found.high.tolist(), strict=True)) == sorted(
        (code, latency) for code, latency in high if latency >= limits[code]
    )


def latencies_found(selection: NativeSelection, found: Found) -> list[tuple[int, float]]:
    pivots, calls = selection.pivots()
    alone = [(number, bits) for number, bits in enumerate(pivots.tolist()) for _ in range(calls[number])]
    others = zip(found.cell.tolist(), found.latency.tolist(), strict=True)
    return [(number, np.uint64(bits).view(np.float64).item()) for number, bits in (*alone, *others)]


def latencies_wanted(
    batch: pl.DataFrame, shape: Shape, cells: list[tuple[object, bool, int]]
) -> list[tuple[int, float]]:
    numbers = {cell: number for number, cell in enumerate(cells)}
    width = len(shape.keys)
    timed = [row for row in batch.rows() if row[width] is not None]
    places = [(row[:width], bool(row[width + 1]), bucket_of(row[width], shape.shift)) for row in timed]
    return [
        (numbers[place], row[width] + 0.0)
        for place, row in zip(places, timed, strict=True)
        if place in numbers
    ]


def keys_frame(keys: list[tuple[object, ...]], shape: Shape) -> pl.DataFrame:
    """The keys, in all columns that a batch has."""
    columns: dict[str, pl.Series] = {}
    for name in shape.names:
        if name.startswith("key"):
            number = int(name[3:])
            dtype = pl.String() if shape.keys[number] else pl.Int64()
            columns[name] = pl.Series([key[number] for key in keys], dtype=dtype)
        elif name == "success":
            columns[name] = pl.Series([False] * len(keys), dtype=pl.Boolean())
        else:
            types = {
                "latency": pl.Float64,
                "start": pl.Float64,
                "end": pl.Float64,
                "size": pl.Int64,
                "class": pl.String,
            }
            columns[name] = pl.Series([None] * len(keys), dtype=types.get(name, pl.Int8))
    return pl.DataFrame(columns)


def check_timeline(tally: NativeTally, shape: Shape) -> None:
    code, window, part, count = tally.timeline()
    if not shape.timeline or not shape.timed:
        assert not len(code)
        return
    if len(window):
        assert window.max() - window.min() < 256
    assert count.min(initial=1) > 0
    assert part.min(initial=0) >= 0


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_random_batches_are_counted_as_by_hand(first: int) -> None:
    for seed in range(first, first + 20):
        check_seed(seed)


def simple(keys: tuple[bool, ...] = (), **kinds: bool) -> Shape:
    options = {"timed": True, "sized": False, "classes": False, "timeline": False, **kinds}
    shape = Shape(keys=keys, errors=(), **options)
    names = [f"key{number}" for number in range(len(keys))]
    shape.names = [*names, "latency", "success", *(["start", "end"] if shape.timed else [])]
    return shape


def one_row(latency: float = 1.0, start: float = 0.0, end: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame({"latency": [latency], "success": [True], "start": [start], "end": [end]})


@pytest.mark.parametrize(
    "row",
    [
        *[{"latency": value} for value in (math.nan, math.inf, -math.inf, 2.0**40, -1e-300, -2.0, -0.5)],
        *[{"start": value} for value in (math.nan, math.inf, -math.inf, 2.0**34, -(2.0**34))],
        *[{"end": value} for value in (math.nan, math.inf, -math.inf, 2.0**34, 1e300)],
    ],
)
def test_values_that_no_statistic_may_use_are_refused(row: dict[str, float]) -> None:
    good = pl.concat([one_row()] * 1500)
    with pytest.raises(UnusableRowsError):
        new_tally(simple()).add(pl.concat([good, one_row(**row)]))


def test_a_sum_of_sizes_beyond_64_bits_does_not_wrap() -> None:
    shape = simple(sized=True)
    shape.names = [*shape.names, "size"]
    rows = one_row().with_columns(size=pl.lit(2**63 - 1, dtype=pl.Int64))
    tally = new_tally(shape)
    tally.add(pl.concat([rows] * 5))
    rest = tally.figures().rest[1]
    assert int(rest["size_high"]) * 2**64 + int(rest["size_low"]) == 5 * (2**63 - 1)


def test_a_tally_says_that_it_is_full() -> None:
    shape = simple((False,))
    rows = pl.concat([one_row()] * 20_000).insert_column(0, pl.int_range(20_000, eager=True).alias("key0"))
    with pytest.raises(TallyFullError):
        new_tally(shape, most_bytes=2**20).add(rows)


def test_parts_of_the_keys_together_are_all_of_them() -> None:
    shape = simple((False, True))
    rng = np.random.default_rng(1)
    batch = random_batch(rng, shape, 3000)
    whole = Counts()
    whole.add(batch, shape)
    together = Counts()
    for part in range(3):
        tally = new_tally(shape, part=part, parts=3)
        codes = np.empty(batch.height, dtype=np.uint32)
        keys = rows_of_keys(batch, shape, tally.add(batch, codes=codes))
        assert (codes == NO_CODE).any()
        found = counted(tally, keys)
        together.lines |= found.lines
        together.cells += found.cells
        together.seconds += found.seconds
    assert together.lines == whole.lines
    assert together.cells == whole.cells
    assert together.seconds == +whole.seconds


@pytest.mark.parametrize("calls", [255, 256, 257, 70_000])
def test_busy_seconds_are_counted_beyond_a_byte(calls: int) -> None:
    rows = pl.concat([one_row(start=0.5, end=0.75)] * calls)
    shape = simple()
    merged = new_tally(shape)
    merged.learn(pl.DataFrame())
    for part in (rows, rows[: calls // 2], rows):
        tally = new_tally(shape)
        tally.add(part)
        merged.merge(tally, np.zeros(1, dtype=np.uint32))
    total = 2 * calls + calls // 2
    assert merged.seconds()[1:].T.tolist() == [[0, total, total, total]]


def test_a_log_as_a_whole_is_of_the_first_part() -> None:
    calls = []
    for part in range(3):
        tally, codes = new_tally(simple(), part=part, parts=3), np.empty(7, dtype=np.uint32)
        tally.add(pl.concat([one_row()] * 7), codes=codes)
        assert (codes == (NO_CODE if part else 0)).all()
        calls.append(int(tally.figures().line["calls"].sum()))
    assert calls == [7, 0, 0]


@pytest.mark.parametrize(
    ("times", "resolution"),
    [
        ([0.0, 5.0, 1.7e9], 0),
        ([0.0, 5.5], 1),
        ([0.1, 0.25], 2),
        ([1700000000.123, 1700000000.124], 3),
        ([0.1, 0.0001], 4),
        ([1 / 3], 4),
    ],
)
def test_the_clock(times: list[float], resolution: int) -> None:
    tally = new_tally(simple())
    for time in times:
        tally.add(one_row(start=time, end=2e9))
    assert tally.sizes().starts.resolution == resolution
    assert tally.sizes().ends.resolution == 0


def test_windows_of_the_timeline_widen_as_the_log_gets_longer() -> None:
    tally = new_tally(simple(timeline=True))
    ends = [1.7e9, 1.7e9 + 0.5, 1.7e9 - 3.0, 1.7e9 + 3000.0, 1.7e9 + 90_000.0]
    for end in ends:
        tally.add(one_row(latency=10.0, end=end))
    width = tally.sizes().window_s
    code, window, part, count = tally.timeline()
    assert width == 512.0
    assert dict(zip(window.tolist(), count.tolist(), strict=True)) == {
        number: [int(end // width) for end in ends].count(number)
        for number in {int(end // width) for end in ends}
    }
    assert part.tolist() == [int((1023 + 3) * 16 + math.floor(16 * math.log2(10 / 8)))] * len(part)
    assert not code.any()
