"""Rows that belong to others, against a comparison of every row with every other."""

import random
from collections import Counter
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.errors import InputError
from loadlens.text.nesting import SPANS, Nesting
from tests.extent import examples

Span = tuple[int, int, int, int, int | None, int | None]  # thread, start, end, label, stem, samples


def frame(spans: list[Span]) -> pl.DataFrame:
    columns = ("thread", "start", "end", "label", "stem", "samples")
    given = pl.DataFrame(spans, schema=columns, orient="row")
    return given.select(
        pl.col({"until": "end", "root": "stem"}.get(name, name)).cast(dtype).alias(name)
        for name, dtype in SPANS.items()
    )


def belongs(row: Span, rows: list[Span]) -> bool:
    """Whether a row belongs to others, or sums others up."""
    thread, start, end, label, stem, samples = row
    mine = [other for other in rows if other[0] == thread]
    within = [other for other in mine if other[1] >= start and other[2] <= end]
    if samples is None:
        around = [other for other in mine if other[1] <= start and other[2] >= end and other[5] is None]
        return stem is not None and any(other[3] == stem for other in around)
    inner = [other for other in within if other[5]]
    rank = (end - start, samples, label)
    is_outer = any((other[2] - other[1], other[5], other[3]) < rank for other in inner)
    return samples == 0 or is_outer or any(other[5] is None for other in within)


def kept(spans: list[Span], block: int, window: int, most_held: int = 10**6) -> Counter[Span]:
    """The rows that stand for calls, read in blocks."""

    def again() -> Iterator[pl.DataFrame]:
        return (frame(spans[at : at + block]) for at in range(0, len(spans), block))

    nesting = Nesting(again, window_rows=window, most_held=most_held)
    passed: list[int] = []
    rows = pl.DataFrame({"row": range(len(spans))})
    left_out = 0
    for number, part in enumerate(again()):
        passed += nesting.add(number, rows[number * block :][:block], part)["row"].to_list()
        for found in nesting.settled():
            passed += found.rows["row"].to_list()
            left_out += found.left_out.total()
    for found in nesting.finish():
        passed += found.rows["row"].to_list()
        left_out += found.left_out.total()
    assert len(passed) + left_out == len(spans)
    return Counter(spans[row] for row in passed)


SPAN = st.tuples(
    st.integers(1, 3),
    st.integers(0, 30),
    st.integers(0, 12),
    st.integers(1, 3),
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from([None, None, 0, 1, 2]),
).map(lambda drawn: (drawn[0], drawn[1], drawn[1] + drawn[2], *drawn[3:]))


@examples(20)
@given(spans=st.lists(SPAN, max_size=25), block=st.integers(1, 9), window=st.integers(1, 12))
def test_what_is_kept_is_what_a_comparison_of_all_rows_keeps(
    spans: list[Span], block: int, window: int
) -> None:
    assert kept(spans, block, window) == Counter(row for row in spans if not belongs(row, spans))


def test_mistaken_times_far_away_make_no_difference() -> None:
    far = (1, 2**50, 2**50 + 5, 1, None, None)
    spans = [(1, 0, 10, 2, None, 1), (1, 3, 4, 1, None, None), (2, 0, 9, 2, None, 1), far]
    assert kept(spans, 2, 9) == Counter(spans[1:])


def test_a_log_in_order_is_read_once_and_little_of_it_is_held() -> None:
    sums: list[Span] = [(at % 7, 10 * at, 10 * at + 5, 1, None, 3) for at in range(3000)]

    def never() -> Iterator[pl.DataFrame]:
        raise AssertionError("read again")

    nesting = Nesting(never, window_rows=100, most_held=150)
    most = found = 0
    for at in range(0, len(sums), 50):
        rows = pl.DataFrame({"row": range(at, at + 50)})
        assert nesting.add(0, rows, frame(sums[at : at + 50])).is_empty()
        most += 50
        for settled in nesting.settled():
            found += settled.rows.height
            most -= settled.rows.height
        assert most <= 400
    assert found + sum(settled.rows.height for settled in nesting.finish()) == 3000


def test_what_belongs_to_rows_that_are_no_longer_held_is_refused() -> None:
    sums: list[Span] = [(1, 10 * at, 10 * at + 5, 1, None, 3) for at in range(600)]
    late: list[Span] = [(1, 11, 12, 2, None, None)]
    with pytest.raises(InputError, match="sort the log by threadName and timeStamp"):
        kept(sums + late, 50, 100, most_held=150)
    random.Random(1).shuffle(sums)
    with pytest.raises(InputError, match="sort the log"):
        kept(sums, 50, 100, most_held=150)


def test_rows_that_cannot_belong_to_others_pass_and_are_read_again_if_they_matter() -> None:
    plain: list[Span] = [(1, 1, 2, 1, None, None)]
    sums: list[Span] = [(1, 0, 5000, 2, None, 1)]
    nesting = Nesting(lambda: [frame(plain), frame(sums)])
    times = pl.DataFrame({"start_time": [0.001], "end_time": [0.002]})
    assert nesting.add(0, times, None).height == 1
    assert nesting.add(0, times, frame(sums)).is_empty()
    (settled,) = nesting.finish()
    assert settled.left_out == {"transaction controllers": 1}
