"""Keys become numbers: the same number for the same key, whatever its type, its batch and its thread."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.profile import coding
from loadlens.profile.coding import KeyCoder, TooSparseError
from tests.extent import examples

VALUES = {
    "small integers": pl.Series([-7, 0, 3, None]),
    "negative integers": pl.Series([-(2**40) - 5, -(2**40), None]),
    "integers at the edge": pl.Series([2**62 - 1, 2**62 - 2]),
    "bytes": pl.Series([0, 127, -128, None], dtype=pl.Int8),
    "unsigned bytes": pl.Series([0, 255, None], dtype=pl.UInt8),
    "unsigned 32 bits": pl.Series([2**32 - 1, 2**32 - 2**19, None], dtype=pl.UInt32),
    "unsigned 64 bits": pl.Series([0, 2**53 + 1, 2**53, 2**64 - 1, None], dtype=pl.UInt64),
    "128 bits": pl.Series([-(2**100), 0, 2**100, None], dtype=pl.Int128),
    "booleans": pl.Series([True, False, None]),
    "text": pl.Series(["b", "a", "", "ä", "10", "9", "null", None]),
    "floats": pl.Series([-0.5, 0.1, 0.1 + 2**-55, 1e300, 0.0, -0.0, float("inf"), float("nan"), None]),
    "narrow floats": pl.Series([0.1, float("nan"), None], dtype=pl.Float32),
    "dates": pl.Series([dt.date(2024, 2, 29), dt.date(1969, 1, 1), None]),
    "datetimes": pl.Series([1698537600000, 1698544800000, None], dtype=pl.Datetime("ms", "Europe/Zurich")),
    "durations": pl.Series([1, 1500, 1501, None], dtype=pl.Duration("ns")),
    "times": pl.Series([0, 1500, None], dtype=pl.Int64).cast(pl.Time),
    "decimals": pl.Series(["1.10", "-2.20", None]).cast(pl.Decimal(10, 2)),
    "categoricals": pl.Series(["b", "a", None], dtype=pl.Categorical),
    "enums": pl.Series(["z", "a", None], dtype=pl.Enum(["z", "a", "unused"])),
    "nothing but null": pl.Series([None, None], dtype=pl.String),
    "no integers": pl.Series([None, None], dtype=pl.Int32),
    "no type": pl.Series([None, None]),
}


@pytest.fixture(autouse=True)
def _way_of_counting() -> None:
    """Nothing here is counted."""


def coder_of(rows: pl.DataFrame) -> KeyCoder:
    return KeyCoder(dict(rows.schema))


def assert_codes(coder: KeyCoder, rows: pl.DataFrame, codes: Any) -> None:
    """Asserts that codes name the keys of their rows, each key once."""
    assert codes.dtype == np.int64
    assert coder.keys[codes].equals(rows)
    assert coder.keys.schema == rows.schema
    assert coder.keys.is_unique().all()
    assert len(coder) == coder.keys.height


@st.composite
def batches(draw: st.DrawFn) -> list[pl.DataFrame]:
    """Batches of rows of one to three key columns of any types."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    rows = st.lists(st.tuples(*(st.integers(0, len(VALUES[kind]) - 1) for kind in kinds)), max_size=8)
    return [
        pl.DataFrame(
            [
                VALUES[kind].gather([row[place] for row in chosen]).alias(f"key:{place}")
                for place, kind in enumerate(kinds)
            ]
        )
        for chosen in draw(st.lists(rows, min_size=1, max_size=6))
    ]


@examples(20)
@given(batches())
def test_keys_of_any_types_over_many_batches(parts: list[pl.DataFrame]) -> None:
    coder, whole = coder_of(parts[0]), pl.concat(parts)
    codes = [coder.encode(part) for part in parts]
    assert_codes(coder, whole, np.concatenate(codes))
    assert len(coder) == whole.unique().height
    again = coder.encode(whole)
    assert again.tolist() == np.concatenate(codes).tolist()


@pytest.mark.parametrize("name", VALUES)
def test_each_type(name: str) -> None:
    rows = VALUES[name].alias("key:k").to_frame()
    coder = coder_of(rows)
    # One value at a time, so that each has to be learnt beside the others.
    codes = np.concatenate([coder.encode(part) for part in rows.iter_slices(1)])
    assert_codes(coder, rows, codes)
    assert coder.encode(rows.reverse()).tolist() == codes[::-1].tolist()


def test_without_key_columns_there_is_one_key() -> None:
    coder = KeyCoder({})
    assert coder.encode(pl.DataFrame({"success": [True, False]})).tolist() == [0, 0]
    assert len(coder) == 1


def test_no_rows() -> None:
    coder = KeyCoder({"key:k": pl.Int64()})
    assert coder.encode(pl.DataFrame(schema={"key:k": pl.Int64})).tolist() == []
    assert len(coder) == 0


def test_other_columns_do_not_matter() -> None:
    rows = pl.DataFrame({"other": [1, 2], "key:b": ["x", "x"], "key:a": [5, 5]})
    coder = KeyCoder({"key:a": pl.Int64(), "key:b": pl.String()})
    assert coder.encode(rows).tolist() == [0, 0]
    assert coder.keys.rows() == [(5, "x")]


@pytest.mark.parametrize("step", [1, -1, 7, -4099])
def test_integers_that_keep_coming(step: int) -> None:
    rows = pl.DataFrame({"key:k": np.arange(200) * step, "key:l": np.arange(200) % 3})
    coder = coder_of(rows)
    codes = np.concatenate([coder.encode(part) for part in rows.iter_slices(3)])
    assert_codes(coder, rows, codes)
    assert len(coder) == 200


def test_text_that_keeps_coming() -> None:
    rows = pl.DataFrame({"key:k": [f"v{index // 2}" if index % 9 else None for index in range(300)]})
    coder = coder_of(rows)
    codes = np.concatenate([coder.encode(part) for part in rows.iter_slices(11)])
    assert_codes(coder, rows, codes)


def test_a_code_never_changes() -> None:
    rows = pl.DataFrame({"key:k": np.arange(500)})
    coder = coder_of(rows)
    early = coder.encode(rows.head(10))
    coder.encode(rows)
    assert coder.encode(rows.head(10)).tolist() == early.tolist()


@pytest.mark.parametrize("name", ["integers", "text"])
def test_several_threads_agree(name: str) -> None:
    numbers = pl.Series("key:k", np.random.default_rng(1).integers(0, 300, 4000))
    rows = pl.DataFrame(
        [numbers if name == "integers" else numbers.cast(pl.String), numbers.alias("key:l") % 5]
    )
    parts, coder, start = list(rows.iter_slices(50)), coder_of(rows), threading.Barrier(8)

    def encode(thread: int) -> list[Any]:
        start.wait()
        # All see all rows, each in an order of its own.
        order = np.random.default_rng(thread).permutation(len(parts))
        found = {index: coder.encode(parts[index]) for index in order}
        return [found[index] for index in range(len(parts))]

    with ThreadPoolExecutor(8) as pool:
        results = [np.concatenate(codes) for codes in pool.map(encode, range(8))]
    assert_codes(coder, rows, results[0])
    assert all(codes.tolist() == results[0].tolist() for codes in results)
    assert len(coder) == rows.unique().height


FAR = [
    [0, 2**20],
    [-(2**62), 0],
    [-(2**63), 2**63 - 1],
    [2**63 - 1],
    [-(2**63)],
    [2**62],
]


@pytest.mark.parametrize("values", FAR)
def test_integers_too_far_apart(values: list[int]) -> None:
    coder = KeyCoder({"key:k": pl.Int64()})
    known = pl.DataFrame({"key:k": [0, 5]})
    codes = coder.encode(known)
    rows = pl.DataFrame({"key:k": values}, schema={"key:k": pl.Int64})
    with pytest.raises(TooSparseError):
        coder.encode(rows)
    assert coder.encode(known).tolist() == codes.tolist()


def test_the_widest_range() -> None:
    rows = pl.DataFrame({"key:k": [-5, 2**20 - 6]})
    coder = coder_of(rows)
    assert_codes(coder, rows, coder.encode(rows))
    for value in (-6, 2**20 - 5):
        with pytest.raises(TooSparseError):
            coder.encode(pl.DataFrame({"key:k": [value]}))


def test_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_WIDEST_RANGE", 100)
    coder = KeyCoder({"key:k": pl.String()})
    rows = pl.DataFrame({"key:k": [f"v{index}" for index in range(101)]})
    assert_codes(coder, rows.head(100), coder.encode(rows.head(100)))
    with pytest.raises(TooSparseError):
        coder.encode(rows)


def test_too_many_combinations() -> None:
    rows = pl.DataFrame({name: np.arange(512) for name in ("key:a", "key:b", "key:c")})
    coder = coder_of(rows)
    assert_codes(coder, rows.head(20), coder.encode(rows.head(20)))
    with pytest.raises(TooSparseError):
        coder.encode(rows)
