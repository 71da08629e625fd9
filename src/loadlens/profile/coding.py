"""Configuration keys as numbers from 0, given out in the order in which a scan meets them."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.compiled import frozen
from loadlens.profile.kernels import add_digits, give_codes
from loadlens.profile.profile import key_names

__all__ = ["KeyCoder", "TooSparseError"]

Ints = NDArray[np.int64]

_WIDEST_RANGE: Final = 2**20
_MOST_COMBINATIONS: Final = 2**24
_NULL_DIGIT: Final = 0


class TooSparseError(Exception):
    """The keys, or the cells that are counted in, are too many for tables that are indexed by them."""


class _NewValuesError(Exception):
    """Some value has no digit yet."""


@dataclass(frozen=True, kw_only=True)
class _IntegerDigits:
    """Numbers the distinct values of an integer column, looked up by their distance from the smallest."""

    low: int = 0
    digits: Ints
    count: int = 0

    @property
    def capacity(self) -> int:
        """How many digits there may be, a power of two, so that a new value seldom changes it."""
        return 2 << self.count.bit_length()

    def append(self, combined: Ints, values: pl.Series) -> None:
        """Appends the digit of each value to numbers in a mixed-radix system; null is digit 0."""
        if values.null_count():
            known = np.zeros(len(values) - values.null_count(), dtype=np.int64)
            self.append(known, values.drop_nulls())
            combined *= self.capacity
            combined[values.is_not_null().to_numpy()] += known
            return
        numbers = frozen(values.cast(pl.Int64).to_numpy())
        if not add_digits(combined, numbers, self.low, self.digits, self.capacity):
            raise _NewValuesError

    def learnt(self, values: pl.Series) -> "_IntegerDigits":
        """The same with digits for values that have none."""
        numbers = values.drop_nulls().unique().cast(pl.Int64).to_numpy()
        if not len(numbers):
            return self
        wide = self._widened(int(numbers.min()), int(numbers.max()))
        fresh = np.sort(numbers[wide.digits[numbers - wide.low] < 0])
        wide.digits[fresh - wide.low] = self.count + 1 + np.arange(len(fresh))
        return replace(wide, count=self.count + len(fresh))

    def _widened(self, low: int, high: int) -> "_IntegerDigits":
        size = len(self.digits)
        if size:
            low, high = min(low, self.low), max(high, self.low + size - 1)
        if high - low >= _WIDEST_RANGE or high >= 2**62 or low <= -(2**62):
            raise TooSparseError
        digits = np.full(high - low + 1, -1, dtype=np.int64)
        digits[self.low - low : self.low - low + size] = self.digits
        return replace(self, low=low, digits=digits)


@dataclass(frozen=True, kw_only=True)
class _ValueDigits:
    """Numbers the distinct values of a column of any other type."""

    values: pl.Series

    @property
    def capacity(self) -> int:
        """How many digits there may be, a power of two, so that a new value seldom changes it."""
        return 2 << len(self.values).bit_length()

    def append(self, combined: Ints, values: pl.Series) -> None:
        """Appends the digit of each value to numbers in a mixed-radix system; null is digit 0."""
        digits = self._digits(values)
        if digits.min(initial=0) < 0:
            raise _NewValuesError
        combined *= self.capacity
        combined += digits

    def learnt(self, values: pl.Series) -> "_ValueDigits":
        """The same with digits for values that have none."""
        fresh = values.filter(pl.Series(self._digits(values) < 0)).unique(maintain_order=True)
        known = pl.concat([self.values, fresh])
        if len(known) > _WIDEST_RANGE:
            raise TooSparseError
        return _ValueDigits(values=known)

    def _digits(self, values: pl.Series) -> Ints:
        digits = np.full(len(values), -1, dtype=np.int64)
        if not self.values.is_empty():
            numbers = pl.int_range(1, len(self.values) + 1, dtype=pl.Int64, eager=True)
            coded = values.replace_strict(self.values, numbers, default=-1, return_dtype=pl.Int64)
            digits = coded.fill_null(_NULL_DIGIT).to_numpy().copy()
        if values.null_count():
            digits[values.is_null().to_numpy()] = _NULL_DIGIT
        return digits


@dataclass(frozen=True, kw_only=True)
class _Coding:
    """What is known of the keys at one moment; never changed, so that threads may read it at any time.

    Attributes:
        digits: for each key column, the digits of its values.
        codes: the code of each combination of digits, -1 where it has none.
        keys: the key columns, a row for each code.
    """

    digits: tuple[_IntegerDigits | _ValueDigits, ...]
    codes: Ints
    keys: pl.DataFrame

    @classmethod
    def of(cls, digits: Sequence[_IntegerDigits | _ValueDigits], keys: pl.DataFrame) -> "_Coding":
        """The coding that gives ``keys`` their row numbers."""
        combinations = math.prod(column.capacity for column in digits)
        if combinations > _MOST_COMBINATIONS:
            raise TooSparseError
        coding = cls(digits=tuple(digits), codes=np.full(combinations, -1, dtype=np.int64), keys=keys)
        if keys.height:
            coding.codes[coding.combined(keys)] = np.arange(keys.height)
        return coding

    def combined(self, rows: pl.DataFrame) -> Ints:
        """The digits of each row as one number."""
        combined = np.zeros(rows.height, dtype=np.int64)
        for name, digits in zip(self.keys.columns, self.digits, strict=True):
            digits.append(combined, rows[name])
        return combined

    def learnt(self, rows: pl.DataFrame) -> "_Coding":
        """The same with codes for keys that have none."""
        rows = rows.select(self.keys.columns)
        digits = [column.learnt(rows[name]) for name, column in zip(rows.columns, self.digits, strict=True)]
        coding = _Coding.of(digits, self.keys)
        found, first = np.unique(coding.combined(rows), return_index=True)
        is_fresh = coding.codes[found] < 0
        coding.codes[found[is_fresh]] = self.keys.height + np.arange(int(is_fresh.sum()))
        return replace(coding, keys=pl.concat([self.keys, rows[first[is_fresh]]]))


class KeyCoder:
    """Gives each combination of key values a number, from several threads.

    Attributes:
        columns: the names of the key columns.
    """

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.columns = list(schema)
        self._lock = threading.Lock()
        self._coding = _Coding.of(
            [_no_digits(dtype) for dtype in schema.values()], pl.DataFrame(schema=dict(schema))
        )

    @classmethod
    def of(cls, frame: pl.LazyFrame, key: Sequence[str]) -> "KeyCoder":
        """Codes the key columns of a log, which its batches have as ``key:<name>``."""
        types = frame.select(key).collect_schema().dtypes()
        return cls(dict(zip(key_names(key), types, strict=True)))

    def __len__(self) -> int:
        return self.keys.height if self.columns else 1

    @property
    def keys(self) -> pl.DataFrame:
        """The key columns, a row for each code."""
        return self._coding.keys

    def encode(self, rows: pl.DataFrame) -> Ints:
        """The code of each row.

        Raises:
            TooSparseError: the keys need tables that are too large.
        """
        if not self.columns or rows.is_empty():
            return np.zeros(rows.height, dtype=np.int64)
        code = self._encode(rows)
        if code is None:
            with self._lock:
                self._coding = self._coding.learnt(rows)
            code = self._encode(rows)
            assert code is not None  # noqa: S101  # every value has been learnt
        return code

    def _encode(self, rows: pl.DataFrame) -> Ints | None:
        """The code of each row; None where some row has none yet."""
        coding = self._coding
        try:
            combined = coding.combined(rows)
        except _NewValuesError:
            return None
        return combined if give_codes(combined, coding.codes) else None


def _no_digits(dtype: pl.DataType) -> _IntegerDigits | _ValueDigits:
    if dtype.is_integer() and dtype not in (pl.Int128, pl.UInt64, pl.UInt128):
        return _IntegerDigits(digits=np.empty(0, dtype=np.int64))
    return _ValueDigits(values=pl.Series([], dtype=dtype))
