"""Key columns that have several types in several inputs: each value is one key, and none is rounded."""

import datetime as dt
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import polars as pl
import pytest

import loadlens
from loadlens.text.common_types import with_common_types, without_zero_fractions

DAY = dt.datetime(2024, 1, 1)
NOON = dt.datetime(2024, 1, 1, 12)

# The values of the inputs, and the keys that they become, each as it is written.
MEETINGS: dict[str, tuple[list[pl.Series], list[list[str | None]]]] = {
    "integers and floats": (
        [pl.Series([1, 2**53 + 1]), pl.Series([1.0, 2.0**53, -0.0, 0.5])],
        [["1", "9007199254740993"], ["1", "9007199254740992", "0", "0.5"]],
    ),
    "floats that are no numbers": (
        [pl.Series([1]), pl.Series([float("nan"), float("inf"), None])],
        [["1"], ["NaN", "inf", None]],
    ),
    "numbers and text": (
        [pl.Series([1]), pl.Series([1.0]), pl.Series(["1", "007", "1.0"])],
        [["1"], ["1"], ["1", "007", "1.0"]],
    ),
    "unsigned and signed": (
        [pl.Series([2**64 - 1], dtype=pl.UInt64), pl.Series([-1])],
        [["18446744073709551615"], ["-1"]],
    ),
    "decimals of two scales": (
        [pl.Series(["1.50", "100"], dtype=pl.Decimal(20, 2)), pl.Series(["1.5"], dtype=pl.Decimal(20, 4))],
        [["1.5", "100"], ["1.5"]],
    ),
    "decimals and integers": (
        [pl.Series(["100.00"], dtype=pl.Decimal(20, 2)), pl.Series([100])],
        [["100"], ["100"]],
    ),
    "categories": (
        [
            pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
            pl.Series(["b"], dtype=pl.Enum(["b", "c"])),
            pl.Series(["c"], dtype=pl.Categorical),
        ],
        [["a"], ["b"], ["c"]],
    ),
    "dates and moments": (
        [pl.Series([DAY.date()]), pl.Series([DAY, NOON]), pl.Series([NOON], dtype=pl.Datetime("ns"))],
        [["2024-01-01"], ["2024-01-01", "2024-01-01 12:00:00"], ["2024-01-01 12:00:00"]],
    ),
    "moments of zones": (
        [
            pl.Series([NOON]),
            pl.Series([NOON], dtype=pl.Datetime("ms", "UTC")),
            pl.Series([NOON], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        ],
        [["2024-01-01 12:00:00"], ["2024-01-01 12:00:00+00:00"], ["2024-01-01 12:00:00+00:00"]],
    ),
    "times and text": (
        [pl.Series([dt.time(1, 2, 3)]), pl.Series([dt.time(1, 2, 3, 500_000)]), pl.Series(["01:02:03"])],
        [["01:02:03"], ["01:02:03.500"], ["01:02:03"]],
    ),
    "durations": (
        [pl.Series([dt.timedelta(0), dt.timedelta(1)], dtype=pl.Duration(unit)) for unit in ("ms", "ns")],
        [["0s", "1d"], ["0s", "1d"]],
    ),
    "truth and numbers": (
        [pl.Series([True]), pl.Series([1]), pl.Series(["true"])],
        [["true"], ["1"], ["true"]],
    ),
    "nothing and text": ([pl.Series([None, None]), pl.Series(["a"])], [[None, None], ["a"]]),
    "128 bits": ([pl.Series([1], dtype=pl.Int128), pl.Series([1])], [["1"], ["1"]]),
}


def frames_of(inputs: Sequence[pl.Series]) -> list[pl.DataFrame]:
    return [values.alias("k").to_frame() for values in inputs]


@pytest.mark.parametrize("name", MEETINGS)
def test_each_value_has_one_spelling_whatever_stands_beside_it(name: str) -> None:
    inputs, expected = MEETINGS[name]
    beside_text = [*inputs, pl.Series(["z"])]
    got = with_common_types(frames_of(beside_text))
    assert [frame["k"].to_list() for frame in got] == [*expected, ["z"]]


@pytest.mark.parametrize("name", MEETINGS)
def test_the_order_of_inputs_and_what_met_before_do_not_matter(name: str) -> None:
    frames = frames_of(MEETINGS[name][0])
    wanted = pl.concat(with_common_types(frames))["k"]
    for order in permutations(frames):
        first, *others = order
        for other in others:
            first = pl.concat(with_common_types([first, other]))
        assert first["k"].dtype == wanted.dtype
        assert first["k"].sort().equals(wanted.sort(), null_equal=True)


@pytest.mark.parametrize(
    ("inputs", "common"),
    [
        ([pl.Series([1], dtype=pl.Int8), pl.Series([2**62])], pl.Int64()),
        ([pl.Series([1], dtype=pl.UInt8), pl.Series([2**63], dtype=pl.UInt64)], pl.UInt64()),
        ([pl.Series([0.1], dtype=pl.Float32), pl.Series([0.1])], pl.Float64()),
        ([pl.Series([None]), pl.Series([1])], pl.Int64()),
        ([pl.Series([DAY.date()]), pl.Series([DAY.date()])], pl.Date()),
    ],
)
def test_alike_types_stay_what_they_are(inputs: list[pl.Series], common: pl.DataType) -> None:
    (values,) = pl.concat(with_common_types(frames_of(inputs)))
    assert values.dtype == common
    expected = [0.1, 0.1] if common.is_float() else [*inputs[0], *inputs[1]]
    assert values.to_list() == expected


@pytest.mark.parametrize("values", [pl.Series([[1]]), pl.Series([{"a": 1}]), pl.Series([b"1"])])
def test_types_that_have_nothing_in_common_are_refused_by_name(values: pl.Series) -> None:
    with pytest.raises(loadlens.InputError, match=r"^column k is .* in one input and String in another; "):
        with_common_types(frames_of([values, pl.Series(["a"])]))


def test_text_without_a_type_writes_whole_numbers_one_way() -> None:
    texts: list[Any] = ["1.0", "-0.0", "10.00", "007.0", "1.10", "v1.0", "1.0.0", "", None]
    got = pl.DataFrame({"k": texts}).select(without_zero_fractions(pl.col("k")))["k"].to_list()
    assert got == ["1", "0", "10", "007.0", "1.10", "v1.0", "1.0.0", "", None]
