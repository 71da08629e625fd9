"""The counting library, bound with ctypes: tallies and selections as Python objects over NumPy arrays.

Calls let other threads run Python meanwhile. Batches are handed over through the Arrow C stream interface,
without a copy.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.errors import InputError
from loadlens.native import Functions, declared
from loadlens.profile.buckets import BUCKET_SHIFT
from loadlens.profile.merging import whole_of_halves
from loadlens.profile.plan import UnusableRowsError
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY

__all__ = [
    "NO_CODE",
    "Figures",
    "Found",
    "Layout",
    "NativeSelection",
    "NativeTally",
    "TallyFullError",
    "UnknownKeyError",
    "library",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.uint32]
Words = NDArray[np.uint64]

NO_CODE: Final = 2**32 - 1
"""In the place of the code of a row whose key is of another part."""

_MOST_KEY_COLUMNS: Final = 31
_ERRORS: Final = len(ERROR_COLUMNS)
_ABSENT: Final = -1


class TallyFullError(Exception):
    """A tally needs more memory than it may take."""


class UnknownKeyError(Exception):
    """Rows have keys that were not there when the log was counted."""


class Layout(ctypes.Structure):
    """Where the columns of a batch are; -1 for those that it lacks.

    Those of the key come first, from 0, as Int64 or String; then, wherever they are said to be: latency (ms),
    start and end (s) as Float64, success as Boolean, error columns as Int8, response size (bytes) as Int64,
    error class as String. ``checks_success`` says whether a success of latency -1 breaks a rule; ``timeline``
    says whether there is one, of all keys together; ``bucket_shift`` is how many trailing bits of a latency
    its bucket leaves open.
    """

    _fields_ = (
        *[(name, ctypes.c_int32) for name in ("latency", "success", "start", "end")],
        ("errors", ctypes.c_int32 * _ERRORS),
        *[(name, ctypes.c_int32) for name in ("size", "error_class")],
        *[(name, ctypes.c_int32) for name in ("checks_success", "timeline", "bucket_shift")],
    )

    @classmethod
    def of(
        cls,
        places: Mapping[str, int],
        *,
        checks_success: bool = False,
        timeline: bool = False,
        bucket_shift: int = BUCKET_SHIFT,
    ) -> "Layout":
        """The layout of columns that lie at ``places``, by their canonical names; others are absent."""
        errors = (ctypes.c_int32 * _ERRORS)(*[places.get(name, _ABSENT) for name in ERROR_COLUMNS])
        latency, success, start, end, size, error_class = (
            places.get(name, _ABSENT)
            for name in (LATENCY, "success", "start_time", "end_time", "response_size", ERROR_CLASS)
        )
        return cls(
            latency, success, start, end, errors, size, error_class, checks_success, timeline, bucket_shift
        )

    @property
    def has_end(self) -> bool:
        """Whether rows have an end."""
        return bool(self.end != _ABSENT)


class _Clock(ctypes.Structure):
    """``resolution``: 0, 1, 2, 3 for 1, 0.1, 0.01, 0.001 s, 4 for none; and whether there is any time."""

    _fields_ = (("resolution", ctypes.c_int32), ("any_time", ctypes.c_int32))


class _Sizes(ctypes.Structure):
    _fields_ = (
        *[
            (name, ctypes.c_uint64)
            for name in ("rows", "keys", "cells", "seconds", "timeline", "classes", "class_bytes", "bytes")
        ],
        ("window_s", ctypes.c_double),
        ("starts", _Clock),
        ("ends", _Clock),
    )


class _Found(ctypes.Structure):
    _fields_ = (
        *[(name, ctypes.c_void_p) for name in ("cell", "latency", "code", "high", "end")],
        *[(name, ctypes.c_int64) for name in ("num_latencies", "num_high")],
    )


_LINE: Final = np.dtype(
    [
        *[(name, np.uint64) for name in ("calls", "timed", "sum_low")],
        ("sum_high", np.int64),
        *[(name, np.float64) for name in ("first_start", "last_end", "lowest", "highest")],
    ]
)
_REST: Final = np.dtype(
    [("errors", np.uint64, _ERRORS), ("sized", np.uint64), ("size_low", np.uint64), ("size_high", np.int64)]
)

_pointer, _int32, _uint32, _uint64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64
_layout = ctypes.POINTER(Layout)
_FUNCTIONS: Final[Functions] = {
    "tally_new": (_pointer, (_int32, _pointer, _layout, _uint64, _uint32, _uint32)),
    "tally_free": (None, (_pointer,)),
    "tally_add": (_int32, (_pointer, _pointer, _pointer, _pointer, _pointer)),
    "tally_learn": (_int32, (_pointer, _pointer, _pointer, _pointer, _pointer)),
    "tally_merge": (_int32, (_pointer, _pointer, _pointer)),
    "tally_keys": (_uint64, (_pointer,)),
    "tally_sizes": (None, (_pointer, _pointer)),
    "tally_lines": (None, (_pointer,) * 3),
    "tally_cells": (ctypes.c_int64, (_pointer,) * 6),
    "tally_seconds": (ctypes.c_int64, (_pointer,) * 6),
    "tally_timeline": (ctypes.c_int64, (_pointer,) * 5),
    "tally_classes": (ctypes.c_int64, (_pointer,) * 4),
    "tally_class_names": (ctypes.c_int64, (_pointer,) * 3),
    "release_memory": (None, ()),
    "selection_new": (_pointer, (_int32, _pointer, _layout, _int32, _uint64, _uint32, _uint32)),
    "selection_free": (None, (_pointer,)),
    "selection_learn": (_int32, (_pointer, _pointer)),
    "selection_want": (_int32, (_pointer, _pointer, _pointer, _uint64, _pointer, _uint64)),
    "selection_look": (_int32, (_pointer, _pointer, _pointer)),
    "selection_pivots": (None, (_pointer,) * 3),
}


@cache
def library() -> ctypes.CDLL:
    """The native library, the functions of tallies and selections declared.

    Raises:
        LoadlensError: it is missing and cannot be compiled, or cannot be loaded; the message says what to do.
    """
    return declared(_FUNCTIONS)


def _raise(status: int) -> None:
    known = {2: TallyFullError, 3: UnusableRowsError, 5: UnknownKeyError}
    if status == 1:
        raise MemoryError("no memory left for the counts")
    if status:
        raise known.get(status, AssertionError("a batch is not laid out as announced"))


class _Stream:
    """A batch as an Arrow stream, for as long as this object lives."""

    def __init__(self, batch: pl.DataFrame) -> None:
        # Columns go by their places. A name with a NUL byte, which Arrow cannot hold, would end the process.
        columns = [column.alias(str(place)) for place, column in enumerate(batch.get_columns())]
        self._capsule = pl.DataFrame(columns).__arrow_c_stream__()
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        self.address = get(self._capsule, b"arrow_array_stream")


def _address(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def _kinds(is_text: Sequence[bool]) -> NDArray[np.uint8]:
    if len(is_text) > _MOST_KEY_COLUMNS:
        raise InputError(
            f"the key has {len(is_text)} columns, expected at most {_MOST_KEY_COLUMNS}; "
            f"group by fewer columns"
        )
    return np.array(is_text, dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Exact figures of calls by line: a key's failures, then its successes, for each code.

    Attributes:
        line: ``calls``, ``timed`` (calls with a latency), ``sum_low`` and ``sum_high`` (latencies, a number
            of 128 bits in units of 2^-55 ms), ``first_start`` and ``last_end`` (s), ``lowest`` and
            ``highest`` (ms); where there is none, infinity for the least and -infinity for the largest.
        rest: ``errors`` (sums of the error columns), ``sized`` (calls with a response size), ``size_low`` and
            ``size_high`` (bytes, a number of 128 bits).
    """

    line: NDArray[Any]
    rest: NDArray[Any]

    @property
    def latency_sum(self) -> pl.Series:
        """Of each line, the sum of the latencies as Int128, in units of 2^-55 ms."""
        return _whole(self.line["sum_high"], self.line["sum_low"])

    @property
    def response_size_sum(self) -> pl.Series:
        """Of each line, the sum of the response sizes in bytes as Int128."""
        return _whole(self.rest["size_high"], self.rest["size_low"])


def _whole(high: Ints, low: Words) -> pl.Series:
    halves = pl.DataFrame({"high": high, "low": low})
    return halves.select(whole_of_halves(pl.col("high"), pl.col("low"))).to_series()


class NativeTally:
    """Counts of a log's rows by key, exact and independent of the order of the rows.

    One thread at a time may use it. Its memory grows with the distinct keys, latency buckets (256 to a
    doubling) and seconds that occur, at about 64 bytes for each, and never with the rows alone.

    Args:
        is_text: for each key column, whether it is text; else it is Int64.
        layout: where the columns of batches are.
        most_bytes: how much memory it may take.
        part: which part of the keys is counted, by their hash.
        parts: into how many parts keys fall.

    Attributes:
        handle: where the library keeps it.
    """

    def __init__(
        self, is_text: Sequence[bool], layout: Layout, *, most_bytes: int, part: int = 0, parts: int = 1
    ) -> None:
        kinds = _kinds(is_text)
        self._library = library()
        self.handle = self._library.tally_new(len(kinds), kinds.ctypes.data, layout, most_bytes, part, parts)
        if not self.handle:
            raise MemoryError("no memory left for the counts")

    def __del__(self) -> None:
        if handle := getattr(self, "handle", None):
            self._library.tally_free(handle)

    def add(self, batch: pl.DataFrame, *, codes: Codes | None = None) -> Ints:
        """Counts all rows of a batch.

        Args:
            batch: its columns are where the layout says.
            codes: receives the code of each row.

        Returns:
            The rows of the batch whose keys are new, in the order of their codes.

        Raises:
            UnusableRowsError: some row breaks a rule.
            TallyFullError: more memory is needed than allowed.
        """
        return self._coded(self._library.tally_add, batch, codes)

    def learn(self, keys: pl.DataFrame) -> Codes:
        """Gives keys their codes without counting anything; each key once, none of them known before or all.

        Args:
            keys: the key columns alone; no columns where the log is counted as a whole.

        Returns:
            The code of each key.
        """
        codes = np.zeros(keys.height if keys.width else 1, dtype=np.uint32)
        self._coded(self._library.tally_learn, keys, codes)
        return codes

    def _coded(self, function: Any, batch: pl.DataFrame, codes: Codes | None) -> Ints:
        fresh = np.empty(batch.height, dtype=np.int64)
        count = ctypes.c_int64()
        stream = _Stream(batch)
        _raise(function(self.handle, stream.address, _address(codes), fresh.ctypes.data, ctypes.byref(count)))
        return fresh[: count.value].copy()

    def merge(self, other: "NativeTally", codes: Codes) -> None:
        """Adds the counts of another tally, which may not be used any more.

        Args:
            other: counted under the same layout; both together have fewer than 2^32 rows.
            codes: for each code of the other, the code here.
        """
        codes = np.ascontiguousarray(codes, dtype=np.uint32)
        if len(codes) < other.num_keys:
            raise UnknownKeyError
        _raise(self._library.tally_merge(self.handle, other.handle, codes.ctypes.data))

    @property
    def num_keys(self) -> int:
        """How many keys were met."""
        return int(self._library.tally_keys(self.handle))

    def sizes(self) -> _Sizes:
        """How many rows were counted, at most how much there is of what, and how fine the clocks are."""
        sizes = _Sizes()
        self._library.tally_sizes(self.handle, ctypes.byref(sizes))
        return sizes

    def figures(self) -> Figures:
        """Exact figures by line."""
        lines = 2 * self.num_keys
        line, rest = np.zeros(lines, dtype=_LINE), np.zeros(lines, dtype=_REST)
        self._library.tally_lines(self.handle, line.ctypes.data, rest.ctypes.data)
        return Figures(line=line, rest=rest)

    def cells(self, codes: Ints) -> Ints:
        """Calls by line and latency bucket, ascending, a row each: line, bucket, count, excess.

        The bucket of the latency -1 of failed calls is -1. The excess is by how much the latencies exceed
        the start of their bucket, summed up, in units of 2^-20 of its width.

        Args:
            codes: for each code the one to tell, each another.
        """
        codes = np.ascontiguousarray(codes, dtype=np.int64)
        if len(codes) != self.num_keys:
            raise UnknownKeyError
        return self._filled(self._library.tally_cells, 4, self.sizes().cells, codes.ctypes.data)

    def seconds(self) -> Ints:
        """By code and second, a row each: code, second, starts, ends, completions."""
        return self._filled(self._library.tally_seconds, 5, self.sizes().seconds)

    def timeline(self) -> Ints:
        """Successes of all keys (code 0) by window of time and sixteenth of a doubling, and their count."""
        return self._filled(self._library.tally_timeline, 4, self.sizes().timeline)

    def classes(self) -> tuple[Ints, Ints, Ints, list[str]]:
        """Calls by code and error class: code, number of the class, count; then the names of the classes."""
        sizes = self.sizes()
        code, number, count = self._filled(self._library.tally_classes, 3, sizes.classes)
        names = self._library.tally_class_names(self.handle, None, None)
        text, lengths = np.empty(sizes.class_bytes, dtype=np.uint8), np.empty(names, dtype=np.uint32)
        self._library.tally_class_names(self.handle, text.ctypes.data, lengths.ctypes.data)
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        whole = text.tobytes()
        pieces = [whole[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
        return code, number, count, pieces

    def _filled(self, function: Any, num_columns: int, most_rows: int, *arguments: Any) -> Ints:
        """What a function fills in, a row for each of its columns."""
        columns = np.empty((num_columns, most_rows), dtype=np.int64)
        found: int = function(self.handle, *arguments, *[column.ctypes.data for column in columns])
        _raise(max(-found, 0))
        return columns[:, :found]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look at a batch finds.

    Attributes:
        cell: of each row of a wanted cell that has not the cell's pivot, the number of the cell.
        latency: its latency's bits.
        code: of the successes from their limit on.
        high: their latency in ms.
        end: their end in s, NaN for none.
    """

    cell: Codes
    latency: Words
    code: Codes
    high: Floats
    end: Floats


class NativeSelection:
    """Picks the rows that decide: those in wanted cells, and successes from a limit on.

    Each cell has a pivot, the first latency that was met there. Rows that have it are counted alone, so that
    a cell of equal latencies takes no memory. One thread at a time may use it.

    Args:
        is_text: for each key column, whether it is text; else it is Int64.
        layout: where the columns of batches are.
        keys: the key columns of a profile, in the order of its codes; an Int64 column of codes if ``direct``.
        direct: whether the key of a row is its code.
        part: which part of the keys is looked for, by their hash.
        parts: into how many parts keys fall.
    """

    def __init__(
        self,
        is_text: Sequence[bool],
        layout: Layout,
        keys: pl.DataFrame,
        *,
        direct: bool = False,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        kinds = _kinds(is_text)
        self._library = library()
        self._cells = 0
        self._handle = self._library.selection_new(
            len(kinds), kinds.ctypes.data, layout, direct, keys.height, part, parts
        )
        if not self._handle:
            raise MemoryError("no memory left for a selection")
        if keys.width:
            stream = _Stream(keys)
            _raise(self._library.selection_learn(self._handle, stream.address))

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.selection_free(handle)

    def want(self, line: Ints, bucket: Ints, limits: Floats) -> None:
        """Says what to look for, once.

        Args:
            line: of each wanted cell, which get numbers from 0.
            bucket: likewise.
            limits: by code, the latency in ms from which on successes are told one by one; none at all where
                it is empty.
        """
        line, bucket = (np.ascontiguousarray(array, dtype=np.int64) for array in (line, bucket))
        limits = np.ascontiguousarray(limits, dtype=np.float64)
        self._cells = len(line)
        _raise(
            self._library.selection_want(
                self._handle, line.ctypes.data, bucket.ctypes.data, len(line), limits.ctypes.data, len(limits)
            )
        )

    def look(self, batch: pl.DataFrame, *, high: bool) -> Found:
        """Finds rows in a batch; ``high`` says whether there may be any from a limit on.

        Raises:
            UnusableRowsError: some row breaks a rule.
            UnknownKeyError: a key is new.
        """
        rows = batch.height
        cell, latency = np.empty(rows, dtype=np.uint32), np.empty(rows, dtype=np.uint64)
        code = np.empty(rows if high else 0, dtype=np.uint32)
        values, end = (np.empty(rows if high else 0) for _ in range(2))
        arrays = (cell, latency, code, values, end)
        found = _Found(*[array.ctypes.data for array in arrays], 0, 0)
        stream = _Stream(batch)
        _raise(self._library.selection_look(self._handle, stream.address, ctypes.byref(found)))
        # Copies, so that a few rows do not keep the memory of all.
        some = slice(found.num_high)
        return Found(
            cell=cell[: found.num_latencies].copy(),
            latency=latency[: found.num_latencies].copy(),
            code=code[some].copy(),
            high=values[some].copy(),
            end=end[some].copy(),
        )

    def pivots(self) -> tuple[Words, Words]:
        """Of each cell the pivot, as bits, and how many rows have it."""
        bits, calls = np.zeros(self._cells, dtype=np.uint64), np.zeros(self._cells, dtype=np.uint64)
        self._library.selection_pivots(self._handle, bits.ctypes.data, calls.ctypes.data)
        return bits, calls
