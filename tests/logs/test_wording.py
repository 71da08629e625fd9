"""How messages count, list and shorten what they name."""

import pytest

from loadlens.messages import (
    CLOSED_LOOP,
    NO_CALENDAR,
    are,
    counted,
    counted_kind,
    listed,
    notes_last,
    shortened,
    told_once,
)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_345, "12,345 rows")]
)
def test_a_count_goes_with_its_noun(count: int, expected: str) -> None:
    assert counted(count, "row") == expected


def test_a_count_goes_with_its_verb() -> None:
    assert counted(1, "row was", "rows were") == "1 row was"
    assert counted(2000, "row was", "rows were") == "2,000 rows were"
    assert [are(count) for count in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    ("kinds", "one"),
    [
        ("transaction controllers", "1 transaction controller"),
        ("parts of samples", "1 part of samples"),
        ("requests of other phases", "1 request of other phases"),
        ("warm-up requests", "1 warm-up request"),
    ],
)
def test_a_count_goes_with_the_name_of_a_kind(kinds: str, one: str) -> None:
    assert counted_kind(1, kinds) == one
    assert counted_kind(3, kinds) == f"3 {kinds}"


def test_what_is_wrong_with_many_files_is_told_once() -> None:
    problems = [("a.csv", "is empty"), ("b.csv", "is empty"), ("c.csv", "is torn"), ("d.csv", "is empty")]
    assert told_once(problems) == ["a.csv and 2 more files: is empty", "c.csv: is torn"]
    assert told_once(problems[1:3]) == ["b.csv: is empty", "c.csv: is torn"]
    assert told_once(problems[:2]) == ["a.csv and 1 more file: is empty"]
    assert told_once([]) == []


def test_long_lists_and_values_are_cut() -> None:
    assert listed(["b", "a"]) == "a, b"
    assert listed(range(10, 24)) == "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 and 2 more"
    assert shortened("a\nb") == "'a\\nb'"
    assert len(shortened("x" * 200)) == 81


def test_notes_of_a_kind_of_log_stand_last_and_once() -> None:
    own = ["a.csv: 1 row starts before the row before", "2 seconds saw none"]
    one = [f"a.csv: {NO_CALENDAR}", f"a.csv and 3 more: {CLOSED_LOOP}"]
    assert notes_last([*one, *own]) == [*own, one[1], one[0]]
    two = [f"base: a.csv: {CLOSED_LOOP}", own[0], f"candidate: b.csv: {CLOSED_LOOP}", own[1]]
    assert notes_last(two) == [*own, CLOSED_LOOP]
    assert notes_last([]) == []
