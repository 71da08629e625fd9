"""Tables of counts against dictionaries and NumPy, however their rows arrive."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.compiled import frozen
from loadlens.profile.buckets import BUCKETS_PER_OCTAVE, FAILED_BUCKET, bucket_of, octave_part
from loadlens.profile.kernels import (
    COMPLETION,
    COUNT,
    FIRST_START,
    HEAT_WINDOWS,
    NEEDS_CELLS,
    NEEDS_HEAT,
    NEEDS_SECONDS,
    NO_LATENCY,
    SECONDS_A_PAGE,
    STATES,
    SUCCESS,
    Batch,
    Found,
    count_rows,
)
from loadlens.profile.passes import TooSparseError
from loadlens.profile.places import GROUPS, NUM_PLACES, buckets_of_places, places_of_buckets
from loadlens.profile.tables import CellTable, HeatTable, SecondTable
from loadlens.schema import MAX_TIME_S
from tests.extent import examples

MIB = 2**20
PAGE_BYTES = BUCKETS_PER_OCTAVE * 6 * 8
LAST = np.nextafter(float(MAX_TIME_S), 0)

Row = tuple[int, float, float, bool]
"""Code, latency in ms, end in s, success."""


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """The tables are tested themselves."""


def batch_of(rows: Sequence[Row], *, timed: bool = True, sizes: Sequence[int | None] = ()) -> Batch:
    codes, latencies, ends, success = zip(*rows, strict=True)
    none: Any = [frozen(np.empty(0, dtype=dtype)) for dtype in (np.bool_, np.int8, np.float64)]
    return Batch(
        code=frozen(np.array(codes, dtype=np.int64)),
        success=frozen(np.array(success, dtype=np.bool_)),
        untimed=none[0],
        error_1=none[1],
        error_2=none[1],
        error_3=none[1],
        latency=frozen(np.array(latencies, dtype=np.float64)),
        start=none[2],
        end=frozen(np.array(ends, dtype=np.float64)) if timed else none[2],
        size=frozen(np.array([size or 0 for size in sizes], dtype=np.int64)),
        has_size=frozen(np.array([size is not None for size in sizes], dtype=np.bool_)),
    )


class Tables:
    """The three tables, and room made for them as it is needed."""

    def __init__(self, most_bytes: int = 64 * MIB, *, sized: bool = False, heat: bool = False) -> None:
        self.cells = CellTable(most_bytes, sized=sized)
        self.seconds = SecondTable(most_bytes)
        self.heat = HeatTable(counts=heat)
        self.without_second: list[Row] = []
        self.irregular: list[Row] = []

    def count(self, rows: Sequence[Row], **columns: Any) -> None:
        batch, size = batch_of(rows, **columns), len(rows)
        num_codes = int(batch.code.max()) + 1
        ends = [end for end in batch.end.tolist() if abs(end) < MAX_TIME_S]
        irregular, without_second, held, near = (np.zeros(size, dtype=np.int64) for _ in range(4))
        found = Found(
            irregular=irregular,
            without_second=without_second,
            held=held,
            near=near,
            sizes=np.zeros(4, dtype=np.int64),
            wanted=np.empty(0, dtype=np.bool_),
            keep_from=np.full(num_codes, np.inf),
            rows_of_code=np.zeros(num_codes, dtype=np.int64),
        )
        if self.heat.wanted and ends and not self.heat.ready:
            self.heat.make_room(min(ends), max(ends))
        row, need, is_open = 0, NEEDS_CELLS, True
        while need:
            if need == NEEDS_CELLS:
                self.cells.make_room(num_codes)
            elif need == NEEDS_SECONDS:
                is_open = self.seconds.make_room(num_codes, int(min(ends)), int(max(ends)))
            else:
                assert need == NEEDS_HEAT
                self.heat.make_room(min(ends), max(ends))
            tables = (self.cells.arrays, self.seconds.arrays, self.heat.arrays)
            row, need = count_rows(row, batch, *tables, found, is_open)
        self.irregular += [rows[index] for index in found.irregular[: found.sizes[0]]]
        self.without_second += [rows[index] for index in found.without_second[: found.sizes[1]]]
        assert found.rows_of_code.sum() == size - found.sizes[0]


LATENCIES = st.sampled_from([-1.0, 0.0, -0.0, 5e-324, 2.0**-32, 0.5, 1.0, 1.5, 99.9, 1e6]) | st.floats(
    1, 2**31
)
ENDS = st.floats(-3000, 3000) | st.sampled_from([0.0, -0.0, -0.5, -64.0, -1e6, 1e6, 63.999, 64.0])


def _in_order(row: Row) -> Row:
    """A row that breaks no rule: -1 is the latency of a failed call."""
    code, latency, end, success = row
    return code, latency, end, success and latency >= 0


def rows_of(ends: st.SearchStrategy[float], codes: int = 5) -> st.SearchStrategy[list[list[Row]]]:
    row = st.tuples(st.integers(0, codes), LATENCIES, ends, st.booleans()).map(_in_order)
    return st.lists(st.lists(row, min_size=1, max_size=12), min_size=1, max_size=6)


def expected_cells(rows: Sequence[Row]) -> Counter[tuple[int, int, int]]:
    return Counter((code, int(success), int(_bucket(latency))) for code, latency, _, success in rows)


def _bucket(latency: float) -> int:
    return FAILED_BUCKET if latency == -1 else int(bucket_of(np.array([latency]))[0])


@examples(20)
@given(rows_of(ENDS, codes=40))
def test_cells_as_a_dictionary(parts: list[list[Row]]) -> None:
    tables = Tables()
    for part in parts:
        tables.count(part)
    rows = [row for part in parts for row in part]
    cells, code, state, bucket = tables.cells.used()
    figures = tables.cells.arrays.figures[cells]
    keys = zip(code.tolist(), (state & SUCCESS).tolist(), bucket.tolist(), strict=True)
    assert dict(zip(keys, figures[:, 0].tolist(), strict=True)) == expected_cells(rows)
    assert tables.cells.latency_sums(cells, bucket).sum() == pytest.approx(sum(row[1] for row in rows))
    assert figures[:, 3].max() == max(row[2] for row in rows)
    assert np.isinf(figures[:, 2]).all()  # there are no starts
    for one in {row[0] for row in rows}:
        assert_histogram(tables.cells, one, rows)


def assert_histogram(cells: CellTable, code: int, rows: Sequence[Row]) -> None:
    state, bucket, count, total = cells.of_code(code)
    own = [row for row in rows if row[0] == code]
    assert (np.diff(bucket) >= 0).all()
    keys = zip([code] * len(state), (state & SUCCESS).tolist(), bucket.tolist(), strict=True)
    assert dict(zip(keys, count.tolist(), strict=True)) == expected_cells(own)
    assert total.sum() == pytest.approx(sum(row[1] for row in own))


def test_rows_without_times_or_sizes_have_none() -> None:
    tables = Tables()
    tables.count([(0, 5.0, 0.0, True)] * 3, timed=False)
    cells, _, _, bucket = tables.cells.used()
    assert tables.cells.arrays.figures[cells, COUNT].tolist() == [3]
    assert tables.cells.latency_sums(cells, bucket).tolist() == [15]
    assert tables.cells.arrays.figures[cells, FIRST_START:].tolist() == [[np.inf, -np.inf]]
    assert not len(tables.cells.arrays.sizes)
    assert [figures.tolist() for figures in tables.seconds.used()] == [[], [], [], []]


def test_sizes_of_responses() -> None:
    tables = Tables(sized=True)
    for size in (7, None, 2**40):
        tables.count([(0, 5.0, 1.0, True)] * 2, sizes=[size, 1])
    cells, *_ = tables.cells.used()
    assert tables.cells.arrays.sizes[cells].tolist() == [[2**40 + 7 + 3, 5]]


@pytest.mark.parametrize("latency", [2.0**32, 2.0**39, 1e-309, np.nan, np.inf, -np.inf, -0.5, -2.0])
def test_latencies_out_of_the_usual_range_are_told(latency: float) -> None:
    tables = Tables()
    tables.count([(0, 1.0, 5.0, True), (0, latency, 5.0, True), (0, 1.0, 5.0, True)])
    assert [str(row) for row in tables.irregular] == [str((0, latency, 5.0, True))]
    assert tables.cells.arrays.figures[:, 0].sum() == 2


@pytest.mark.parametrize("end", [np.nan, np.inf, -np.inf, float(MAX_TIME_S), -float(MAX_TIME_S)])
def test_times_that_are_none_are_told(end: float) -> None:
    tables = Tables(heat=True)
    tables.count([(0, 1.0, 5.0, True), (0, 1.0, end, True), (0, 1.0, 6.0, True)])
    assert len(tables.irregular) == 1
    assert tables.seconds.used()[1].tolist() == [5, 6]
    assert tables.heat.frame()["count"].sum() == 2


def test_cells_for_which_there_is_no_room() -> None:
    rows = [(0, 2.0**octave, 1.0, True) for octave in range(20)]
    tables = Tables(20 * PAGE_BYTES)
    tables.count(rows)
    assert len(tables.cells.arrays.figures) == 20 * BUCKETS_PER_OCTAVE
    with pytest.raises(TooSparseError):
        Tables(19 * PAGE_BYTES).count(rows)


def test_slots_for_which_there_is_no_room() -> None:
    cells = CellTable(8 * PAGE_BYTES, sized=False)
    most = 8 * BUCKETS_PER_OCTAVE // GROUPS
    cells.make_room(1)
    cells.arrays.used[0] = most - 1
    cells.make_room(1)
    cells.arrays.used[0] = most
    with pytest.raises(TooSparseError):
        cells.make_room(1)


def test_more_codes_than_pages_are_refused_before_memory_is_taken() -> None:
    cells = CellTable(64 * MIB, sized=False)
    with pytest.raises(TooSparseError):
        cells.make_room(2**40)


def expected_seconds(rows: Sequence[Row]) -> dict[tuple[int, int], tuple[int, int]]:
    calls = Counter((code, int(end)) for code, _, end, _ in rows)
    completions = Counter((code, int(end)) for code, _, end, success in rows if success)
    return {key: (number, completions[key]) for key, number in calls.items()}


def counted_seconds(tables: Tables) -> dict[tuple[int, int], tuple[int, int]]:
    """The seconds of the table; those of rows without room, counted by a dictionary, are added."""
    code, second, calls, completions = (figures.tolist() for figures in tables.seconds.used())
    found = dict(zip(zip(code, second, strict=True), zip(calls, completions, strict=True), strict=True))
    assert len(found) == len(code)
    for key, (more_calls, more_completions) in expected_seconds(tables.without_second).items():
        before = found.get(key, (0, 0))
        found[key] = (before[0] + more_calls, before[1] + more_completions)
    return found


@examples(20)
@given(rows_of(ENDS), st.booleans())
def test_seconds_as_a_dictionary(parts: list[list[Row]], backward: bool) -> None:
    rows = sorted((row for part in parts for row in part), key=lambda row: row[2], reverse=backward)
    for order in (parts, [rows], [[row] for row in rows]):
        tables = Tables()
        for part in order:
            tables.count(part)
        assert counted_seconds(tables) == expected_seconds(rows)
        assert not tables.without_second


@examples(20)
@given(rows_of(ENDS | st.sampled_from([LAST, -LAST, 1e9, -1e9])))
def test_stray_times(parts: list[list[Row]]) -> None:
    tables = Tables(MIB)
    for part in parts:
        tables.count(part)
    assert counted_seconds(tables) == expected_seconds([row for part in parts for row in part])


def test_a_stray_time_leaves_the_others_in_the_table() -> None:
    tables = Tables(MIB)
    usual = [(0, 1.0, 1000.0 + index, True) for index in range(100)]
    tables.count(usual)
    tables.count([*usual, (0, 1.0, 1e9, True)])
    tables.count(usual)
    assert [row[2] for row in tables.without_second] == [1e9]
    assert set(tables.seconds.used()[2]) == {3}


def test_a_batch_of_long_ago_that_is_too_long_still_gets_pages() -> None:
    tables = Tables(MIB)
    tables.count([(0, 1.0, 0.0, True), (0, 1.0, 64.0 * 8, True)])
    # There is room for the blocks, so only pages are wanting when the span is refused.
    rows = [(0, 1.0, 64.0 * block, True) for block in range(9)]
    tables.count([*rows, (0, 1.0, 1e9, True)])
    assert counted_seconds(tables) == expected_seconds(
        [(0, 1.0, 0.0, True), (0, 1.0, 512.0, True), *rows, (0, 1.0, 1e9, True)]
    )
    assert len(tables.without_second) == 1


def test_codes_that_arrive_late() -> None:
    tables, rows = Tables(), []
    for last in (0, 1, 2, 63, 64, 700, 3):
        part = [(code, 1.0, 100.0 * code + last, code % 2 == 0) for code in range(last + 1)]
        tables.count(part)
        rows += part
    assert counted_seconds(tables) == expected_seconds(rows)
    assert not tables.without_second
    _, code, state, bucket = tables.cells.used()
    keys = zip(code.tolist(), state.tolist(), bucket.tolist(), strict=True)
    assert set(keys) == set(expected_cells(rows))


def test_seconds_for_which_there_is_no_room() -> None:
    seconds = SecondTable(4 * SECONDS_A_PAGE * 8)
    for page in range(4):
        seconds.arrays.shape[2] = page
        assert seconds.make_room(1, 0, 0)
    seconds.arrays.shape[2] = 4
    with pytest.raises(TooSparseError):
        seconds.make_room(1, 0, 0)


def test_more_calls_in_a_second_than_its_number_holds() -> None:
    tables = Tables()
    tables.count([(0, 1.0, 5.0, True)])
    tables.seconds.arrays.counts[5] += COMPLETION // 2 - 2
    tables.seconds.check(COMPLETION)
    tables.count([(0, 1.0, 5.0, False)])
    tables.seconds.check(COMPLETION // 2 - 1)
    with pytest.raises(TooSparseError):
        tables.seconds.check(COMPLETION // 2)
    assert [figures.tolist() for figures in tables.seconds.used()] == [[0], [5], [COMPLETION // 2], [1]]


@examples(20)
@given(rows_of(ENDS | st.sampled_from([LAST, -LAST, 1e9, 1e-300, -1e-300])))
def test_heat_as_windows_by_numpy(parts: list[list[Row]]) -> None:
    tables = Tables(heat=True)
    for part in parts:
        tables.count(part)
    rows = [row for part in parts for row in part if row[3] and row[1] >= 0]
    heat = tables.heat.frame()
    if not rows:
        assert heat.is_empty()
        return
    (width,) = heat["window_s"].unique()
    assert np.log2(width) % 1 == 0
    assert heat["time_s"].max() - heat["time_s"].min() < HEAT_WINDOWS * width
    buckets = pl.DataFrame({"bucket": bucket_of(np.array([row[1] for row in rows]))})
    part_of_row = buckets.select(octave_part(pl.col("bucket"))).to_series()
    times = [float(np.floor(row[2] / width) * width) for row in rows]
    expected = Counter(zip(times, part_of_row, strict=True))
    assert {(time, part): count for time, _, part, count in heat.rows()} == expected


@pytest.mark.parametrize("ends", [[0.0, 1000.0, -1000.0], [5.0, 5.5, 1e7, -1e7, LAST, -LAST], [1e9, 1e9 + 1]])
def test_heat_of_times_that_grow_apart(ends: list[float]) -> None:
    tables = Tables(heat=True)
    for number, end in enumerate(ends):
        tables.count([(0, 1.0, end, True)] * (number + 1))
        span = max(ends[: number + 1]) - min(ends[: number + 1])
        assert tables.heat.frame()["count"].sum() == (number + 1) * (number + 2) // 2
        assert tables.heat.arrays.width[0] <= max(span, 1.0) / (HEAT_WINDOWS / 4)


def test_no_heat_where_none_is_wanted() -> None:
    tables = Tables()
    tables.count([(0, 1.0, 5.0, True)])
    assert tables.heat.ready
    assert tables.heat.frame().is_empty()
    assert tables.heat.frame().schema == Tables(heat=True).heat.frame().schema


def test_places_and_buckets() -> None:
    places = np.arange(NUM_PLACES)
    buckets = buckets_of_places(places)
    usual = np.concatenate([places[: (GROUPS - 2) * BUCKETS_PER_OCTAVE], [places[-512], places[-256]]])
    assert places_of_buckets(buckets[usual]).tolist() == usual.tolist()
    others = np.array([1, buckets[0] - 1, buckets[16383] + 1, -(2**19) - 1, FAILED_BUCKET - 1, 2**19])
    assert set(places_of_buckets(others).tolist()) == {-1}
    assert NO_LATENCY | 15 < STATES
