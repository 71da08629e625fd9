"""Configuration keys as numbers from 0, given out in the order in which a scan meets them."""

import math
import threading
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.kernels import add_digits, frozen, give_codes
from loadlens.profile.passes import TooSparseError

__all__ = ["KeyCoder"]

Ints = NDArray[np.int64]

_WIDEST_RANGE: Final = 2**20
_MOST_COMBINATIONS: Final = 2**24
_NULL_DIGIT: Final = 0


class _NewValues(Exception):  # noqa: N818  # not an error: the values are learnt
    """Some value has no digit yet."""


class _IntegerDigits:
    """Numbers the distinct values of an integer column, looked up by their distance from the smallest."""

    def __init__(self) -> None:
        self._low = 0
        self._digits = np.empty(0, dtype=np.int64)
        self._count = 0
        self.capacity = 2

    def append(self, combined: Ints, values: pl.Series) -> None:
        """Appends the digit of each value to numbers in a mixed-radix system; null is digit 0."""
        if values.null_count():
            combined *= self.capacity
            combined += self._with_nulls(values)
            return
        numbers = frozen(values.cast(pl.Int64).to_numpy())
        if add_digits(combined, numbers, self._low, self._digits, self.capacity) >= 0:
            raise _NewValues

    def learn(self, values: pl.Series) -> None:
        """Gives digits to values that have none."""
        numbers = values.drop_nulls().unique()
        if numbers.is_empty():
            return
        self._widen(int(numbers.min()), int(numbers.max()))  # type: ignore[call-overload]  # integers
        index = numbers.to_numpy().astype(np.int64) - self._low
        fresh = np.sort(index[self._digits[index] < 0])
        self._digits[fresh] = self._count + 1 + np.arange(len(fresh))
        self._count += len(fresh)
        while self.capacity <= self._count:
            self.capacity *= 2

    def _with_nulls(self, values: pl.Series) -> Ints:
        digits = np.full(len(values), _NULL_DIGIT, dtype=np.int64)
        known = np.zeros(values.len() - values.null_count(), dtype=np.int64)
        self.append(known, values.drop_nulls())
        digits[values.is_not_null().to_numpy()] = known
        return digits

    def _widen(self, low: int, high: int) -> None:
        size = len(self._digits)
        new_low, new_high = (min(low, self._low), max(high, self._low + size - 1)) if size else (low, high)
        if new_high - new_low >= _WIDEST_RANGE or new_high >= 2**62 or new_low <= -(2**62):
            raise TooSparseError
        digits = np.full(new_high - new_low + 1, -1, dtype=np.int64)
        digits[self._low - new_low : self._low - new_low + size] = self._digits
        self._low, self._digits = new_low, digits


class _ValueDigits:
    """Numbers the distinct values of a column of any other type."""

    def __init__(self, dtype: pl.DataType) -> None:
        self._values = pl.Series([], dtype=dtype)
        self.capacity = 2

    def append(self, combined: Ints, values: pl.Series) -> None:
        """Appends the digit of each value to numbers in a mixed-radix system; null is digit 0."""
        digits = self._digits(values)
        if digits.min(initial=0) < 0:
            raise _NewValues
        combined *= self.capacity
        combined += digits

    def learn(self, values: pl.Series) -> None:
        """Gives digits to values that have none."""
        fresh = values.filter(pl.Series(self._digits(values) < 0)).unique(maintain_order=True)
        self._values = self._values.append(fresh)
        if len(self._values) > _WIDEST_RANGE:
            raise TooSparseError
        while self.capacity <= len(self._values):
            self.capacity *= 2

    def _digits(self, values: pl.Series) -> Ints:
        digits = np.full(len(values), -1, dtype=np.int64)
        if not self._values.is_empty():
            numbers = pl.int_range(1, len(self._values) + 1, dtype=pl.Int64, eager=True)
            coded = values.replace_strict(self._values, numbers, default=-1, return_dtype=pl.Int64)
            digits = coded.fill_null(_NULL_DIGIT).to_numpy().copy()
        if values.null_count():
            digits[values.is_null().to_numpy()] = _NULL_DIGIT
        return digits


class KeyCoder:
    """Gives each combination of key values a number.

    Attributes:
        keys: the key columns, a row for each code.
        raised: set if a scan ended because there are too many keys.
    """

    raised: TooSparseError | None = None

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._lock = threading.Lock()
        self._names = list(schema)
        self._digits: list[_IntegerDigits | _ValueDigits] = [
            _IntegerDigits()
            if dtype.is_integer() and dtype not in (pl.Int128, pl.UInt64)
            else _ValueDigits(dtype)
            for dtype in schema.values()
        ]
        self.keys = pl.DataFrame(schema=dict(schema))
        self._capacities: list[int] = []
        self._codes = np.empty(0, dtype=np.int64)
        self._renumber()

    def __len__(self) -> int:
        return self.keys.height if self._names else 1

    def coded(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The same rows with their ``code`` in the place of their key."""
        schema = {name: dtype for name, dtype in frame.collect_schema().items() if name not in self._names}

        def code(rows: pl.DataFrame) -> pl.DataFrame:
            try:
                with self._lock:
                    codes = self.encode(rows)
            except TooSparseError as error:
                self.raised = error
                raise
            return rows.select(pl.Series("code", codes), *schema)

        return frame.map_batches(code, schema={"code": pl.Int64(), **schema}, streamable=True)

    def encode(self, rows: pl.DataFrame) -> Ints:
        """The code of each row.

        Raises:
            TooSparseError: the keys need tables that are too large.
        """
        codes = np.zeros(rows.height, dtype=np.int64)
        if not self._names or rows.is_empty():
            return codes
        try:
            combined = self._combined(rows)
        except _NewValues:
            for name, digits in zip(self._names, self._digits, strict=True):
                digits.learn(rows[name])
            self._renumber()
            combined = self._combined(rows)
        if give_codes(codes, combined, self._codes) >= 0:
            self._learn(rows, combined)
            give_codes(codes, combined, self._codes)
        return codes

    def _combined(self, rows: pl.DataFrame) -> Ints:
        combined = np.zeros(rows.height, dtype=np.int64)
        for name, digits in zip(self._names, self._digits, strict=True):
            digits.append(combined, rows[name])
        return combined

    def _learn(self, rows: pl.DataFrame, combined: Ints) -> None:
        """Gives codes to the combinations that have none."""
        found, first = np.unique(combined, return_index=True)
        is_fresh = self._codes[found] < 0
        self._codes[found[is_fresh]] = self.keys.height + np.arange(int(is_fresh.sum()))
        self.keys = pl.concat([self.keys, rows.select(self._names)[first[is_fresh]]])

    def _renumber(self) -> None:
        """Makes room for more values in the columns; the codes given out stay as they are."""
        capacities = [digits.capacity for digits in self._digits]
        if capacities == self._capacities:
            return
        combinations = math.prod(capacities)
        if combinations > _MOST_COMBINATIONS:
            raise TooSparseError
        self._capacities = capacities
        self._codes = np.full(combinations, -1, dtype=np.int64)
        if self.keys.height:
            self._codes[self._combined(self.keys)] = np.arange(self.keys.height)
