"""The inner loops of reading tables of text, compiled: bytes are looked at eight at a time.

Numbers become the very Float64 that ``float`` gives: digits that fit an exact division are divided, the
others take the algorithm of D. Lemire, "Number parsing at a gigabyte per second" (Software: Practice and
Experience 51, 2021).
"""

from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from loadlens.compiled import compiled, frozen

__all__ = ["FLOAT", "INTEGER", "LOOK_AHEAD", "SKIPPED", "TEXT", "TRUTH", "WHOLE", "Cells", "read_rows"]

Array = NDArray[Any]
Int = int | np.int64
Truth = bool | np.bool_

FLOAT: Final = 0
WHOLE: Final = 1
INTEGER: Final = 2
TRUTH: Final = 3
TEXT: Final = 4
SKIPPED: Final = 5

LOOK_AHEAD: Final = 16
"""How many bytes behind the last row are read, whatever they hold."""

# Integers of 64 bits without a sign stay so only among themselves.
_U: Final = np.uint64
_0, _1, _3, _8, _9, _10, _16, _32, _53, _63, _64 = map(_U, (0, 1, 3, 8, 9, 10, 16, 32, 53, 63, 64))
_EACH_BYTE: Final = _U(0x0101010101010101)
_HIGH_BITS: Final = _EACH_BYTE * _U(0x80)
_DIGIT_0: Final = _EACH_BYTE * _U(ord("0"))
_UP_TO_9: Final = _EACH_BYTE * _U(0x7F - 9)
_PAIRS: Final = _U(0x000000FF000000FF)
_WEIGHTS: Final = _U(100 + (1_000_000 << 32))
_OTHER_WEIGHTS: Final = _U(1 + (10_000 << 32))
_LOW_HALF: Final = _U(2**32 - 1)
_FIVE_BYTES: Final = _U(2**40 - 1)
_ALL: Final = _U(2**64 - 1)

_LINE_BREAK: Final = ord("\n")
_RETURN: Final = ord("\r")
_LINE_BREAKS: Final = _EACH_BYTE * _U(_LINE_BREAK)
_DIGIT: Final = ord("0")
_MINUS: Final = ord("-")
_POINT: Final = ord(".")
_EXPONENT: Final = (ord("e"), ord("E"))
_LOWER_CASE: Final = _EACH_BYTE * _U(0x20)
_TRUE: Final = _U(int.from_bytes(b"true", "little"))
_FALSE: Final = _U(int.from_bytes(b"false", "little"))

_MOST_EXACT: Final = _U(2**53)
_MOST_INTEGER: Final = _U(2**63 - 1)
_EXACT_POWERS: Final = 22
_POWERS: Final = frozen(np.array([float(10**power) for power in range(_EXACT_POWERS + 1)]))
_WHOLE_POWERS: Final = frozen(np.array([10**power for power in range(9)], dtype=np.uint64))
_ROOM: Final = frozen(np.array([2**64 // 10**power - 1 for power in range(9)], dtype=np.uint64))

_LEAST_POWER, _MOST_POWER = -342, 308
_LEAST_EXACT_QUOTIENT: Final = -27
_FIRST_SURE, _LAST_SURE = -27, 55  # the powers of ten whose product is never too close to tell
_FIRST_HALFWAY, _LAST_HALFWAY = -4, 23  # those with which 64 bits can lie halfway between two Float64
_UNSURE: Final = _U(0x1FF)
_FRACTION: Final = 2**52 - 1
_INFINITE: Final = 2047
_MOST_EXPONENT_DIGITS: Final = _U(4)

_INLINE_BYTES: Final = 12


class Cells(NamedTuple):
    """Where cells go: a row for each column of a kind, except for ``missing``, which has one for each column.

    ``numbers`` holds Float64 by their bits. ``views`` are those of Arrow into ``texts``, whose first
    ``text_bytes`` bytes are used and which holds, from each byte on, eight bytes as one number.
    """

    numbers: Array
    truths: Array
    views: Array
    texts: Array
    text_bytes: Array
    missing: Array
    num_missing: Array


def _power_of_five(power: int) -> tuple[int, int]:
    """The leading 128 bits of 5**power, cut off; rounded up where a quotient by the power may be exact."""
    value = 5 ** abs(power)
    if power < 0:
        bits = (1 << (value.bit_length() + 127)) // value + (1 if power >= _LEAST_EXACT_QUOTIENT else 0)
    else:
        bits = (value << 128) >> value.bit_length()
    return bits >> 64, bits & (2**64 - 1)


_POWERS_OF_FIVE: Final = frozen(
    np.array([_power_of_five(power) for power in range(_LEAST_POWER, _MOST_POWER + 1)], dtype=np.uint64)
)
"""The leading 128 bits of each power of five that a Float64 may need."""


def _count_zeros(_context: Any, _word: Any) -> Any:
    def build(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), build


def _load(bits: int, result: Any) -> Any:
    def load(_context: Any, _address: Any) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            loaded = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
            loaded.align = 1
            return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded  # noqa: PLR2004

        return result(types.int64), build

    return load


# Addresses, not arrays: to hand an array to a function inside of a loop counts references.
_byte: Any = intrinsic(_load(8, types.int64))
_word: Any = intrinsic(_load(64, types.uint64))
_zeros_below: Any = intrinsic(_count_zeros)
"""How many bits come before the lowest that is set; 64 if none is."""


@compiled
def _digits(word: np.uint64) -> tuple[np.uint64, np.uint64]:
    """How many digits a word begins with, and the number that they are."""
    values = word ^ _DIGIT_0
    count = _zeros_below(((values + _UP_TO_9) | values) & _HIGH_BITS) >> _3
    if count == _0:
        return count, _0
    values <<= _64 - _8 * count
    values = values * _10 + (values >> _8)
    return count, ((values & _PAIRS) * _WEIGHTS + ((values >> _16) & _PAIRS) * _OTHER_WEIGHTS) >> _32


@compiled
def _marked(word: np.uint64, pattern: np.uint64) -> np.uint64:
    """Marks the bytes that are those of the pattern, for certain up to the first."""
    difference = word ^ pattern
    return (difference - _EACH_BYTE) & ~difference & _HIGH_BITS


@compiled
def _product(left: np.uint64, right: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The high and low 64 bits of a product."""
    left_high, left_low = left >> _32, left & _LOW_HALF
    right_high, right_low = right >> _32, right & _LOW_HALF
    middle = left_high * right_low + ((left_low * right_low) >> _32)
    other = left_low * right_high + (middle & _LOW_HALF)
    return left_high * right_high + (middle >> _32) + (other >> _32), left * right


@compiled
def _float_bits(digits: np.uint64, power: Int, high: np.uint64, low: np.uint64) -> Int:
    """The bits of the Float64 nearest to ``digits * 10**power``; -1 if unknown, subnormal or infinite.

    Args:
        digits: not 0.
        power: what ``_POWERS_OF_FIVE`` holds.
        high: the leading 64 bits of 5**power.
        low: the next 64.
    """
    # As a Float64 it may be rounded up to the next power of two, which has one zero less.
    zeros = _U(max(int(1086 - (np.float64(digits).view(np.int64) >> 52)), 0))
    scaled = digits << zeros
    if scaled >> _63 == _0:
        scaled <<= _1
        zeros += _1
    upper, lower = _product(scaled, high)
    if upper & _UNSURE == _UNSURE:
        carried, _ = _product(scaled, low)
        lower += carried
        if lower < carried:
            upper += _1
    if lower == _ALL and not _FIRST_SURE <= power <= _LAST_SURE:
        return -1
    shift = (upper >> _63) + _9
    bits = upper >> shift
    if (
        lower <= _1
        and _FIRST_HALFWAY <= power <= _LAST_HALFWAY
        and bits & _3 == _1
        and bits << shift == upper
    ):
        bits -= _1  # halfway between two: to the even one
    bits = (bits + (bits & _1)) >> _1
    exponent = ((217706 * power) >> 16) + 1077 + np.int64(shift) - np.int64(zeros) + np.int64(bits >> _53)
    if not 0 < exponent < _INFINITE:
        return -1
    return (exponent << 52) | (np.int64(bits) & _FRACTION)


@compiled
def _more_digits(p: Int, digits: np.uint64) -> tuple[Int, np.uint64]:
    """Where the digits from ``p`` on end, and the number that they and those before are; -1 if too large."""
    count = _8
    while count == _8:
        count, more = _digits(_word(p))
        if digits > _ROOM[count]:
            return -1, digits
        digits = digits * _WHOLE_POWERS[count] + more
        p += np.int64(count)
    return p, digits


@compiled
def _exponent(p: Int) -> tuple[Int, Int]:
    """Where the exponent that begins at ``p`` ends, and what it is; -1 if it is none."""
    negative = _byte(p) == _MINUS
    if negative or _byte(p) == ord("+"):
        p += 1
    count, digits = _digits(_word(p))
    if not _0 < count <= _MOST_EXPONENT_DIGITS:
        return -1, 0
    return p + np.int64(count), -np.int64(digits) if negative else np.int64(digits)


@compiled
def _float(digits: np.uint64, power: Int) -> tuple[Truth, np.float64 | float]:
    """Whether ``digits * 10**power`` is a normal number or 0, and the Float64 nearest to it."""
    if digits <= _MOST_EXACT and -_EXACT_POWERS <= power <= _EXACT_POWERS:
        value = np.float64(digits)
        return True, value / _POWERS[-power] if power <= 0 else value * _POWERS[power]
    if digits == _0:
        return True, 0.0
    if not _LEAST_POWER <= power <= _MOST_POWER:
        return False, 0.0
    bits = _float_bits(
        digits, power, _POWERS_OF_FIVE[power - _LEAST_POWER, 0], _POWERS_OF_FIVE[power - _LEAST_POWER, 1]
    )
    return bits >= 0, np.int64(bits).view(np.float64)


@compiled
def _float_cell(p: Int) -> tuple[Int, float, Truth]:
    """Where the number at ``p`` ends, its value, and whether it is known; ``p`` itself if there is none."""
    negative = _byte(p) == _MINUS
    begin = p + 1 if negative else p
    if not _DIGIT <= _byte(begin) <= _DIGIT + 9:
        return p, 0.0, not negative
    p, digits = _more_digits(begin, _0)
    power: Int = 0
    if p >= 0 and _byte(p) == _POINT:
        point = p + 1
        p, digits = _more_digits(point, digits)
        power = point - p
        if power == 0:
            return -1, 0.0, False
    if p >= 0 and _byte(p) in _EXPONENT:
        p, exponent = _exponent(p + 1)
        power += exponent
    if p < 0:
        return -1, 0.0, False
    good, value = _float(digits, power)
    return p, -value if negative else value, good


@compiled
def _integer_cell(p: Int, most: np.uint64) -> tuple[Int, Int, Truth]:
    """Where the integer at ``p`` ends, its value, and whether it is known; ``p`` itself if there is none."""
    negative = _byte(p) == _MINUS
    begin = p + 1 if negative else p
    if not _DIGIT <= _byte(begin) <= _DIGIT + 9:
        return p, 0, not negative
    p, digits = _more_digits(begin, _0)
    return p, -np.int64(digits) if negative else np.int64(digits), digits <= most


@compiled
def _text_end(p: Int, separators: np.uint64, quotes: np.uint64) -> Int:
    """Where the next separator, line break or quote is."""
    while True:
        word = _word(p)
        mark = _marked(word, separators) | _marked(word, _LINE_BREAKS) | _marked(word, quotes)
        if mark != _0:
            return p + np.int64(_zeros_below(mark) >> _3)
        p += 8


@compiled
def _text_cell(
    p: Int, separators: np.uint64, quotes: np.uint64, quote: int, is_last: bool
) -> tuple[Int, Int, Int]:
    """Where the text at ``p`` begins and ends, and where its cell ends; -1 for that if it is unusual."""
    if _byte(p) == quote:
        stop = _text_end(p + 1, quotes, quotes)
        return p + 1, stop, stop + 1 if _byte(stop) == quote else -1
    stop = _text_end(p, separators, quotes)
    if is_last and stop > p and _byte(stop - 1) == _RETURN:
        stop -= 1
    return p, stop, stop


@compiled
def _truth(word: np.uint64, size: Int) -> Int:
    """1 or 0 for a word that begins with ``true`` or ``false``, else -1."""
    word |= _LOWER_CASE
    if size == 4 and word & _LOW_HALF == _TRUE:  # noqa: PLR2004
        return 1
    return 0 if size == 5 and word & _FIVE_BYTES == _FALSE else -1  # noqa: PLR2004


@compiled
def _short_view(begin: Int, size: Int) -> tuple[np.uint64, np.uint64]:
    """Arrow's view of a text of up to 12 bytes: its size and itself."""
    low, high = _word(begin), _word(begin + 8)
    if size < 8:  # noqa: PLR2004
        low, high = low & ((_1 << _U(8 * size)) - _1), _0
    else:
        high &= (_1 << _U(8 * size - 64)) - _1
    return _U(size) | (low << _32), (low >> _32) | (high << _32)


@compiled
def _next_cell(p: Int, separator: int, is_last: bool) -> Int:
    """Where the next cell begins, given the end of one; -1 if neither it nor, as it should, the line ends."""
    if not is_last:
        return p + 1 if _byte(p) == separator else -1
    if _byte(p) == _RETURN:
        p += 1
    return p + 1 if _byte(p) == _LINE_BREAK else -1


@compiled
def read_rows(  # noqa: C901, PLR0917  # compiled code has no keyword-only arguments
    start: int, end: int, first: int, separator: int, quote: int, kinds: Array, slots: Array, cells: Cells
) -> int:
    """Reads lines of cells.

    Args:
        start: address of the text.
        end: address of its end, before which is a line break.
        first: the row that the first line becomes.
        separator: the byte between cells.
        quote: the byte that may enclose a cell, or -1.
        kinds: what each cell of a line is read as.
        slots: its row in the array for that kind.
        cells: where they go.

    Returns:
        How many rows there are then; -1 if something is not as usual.
    """
    numbers, truths, views, texts, text_bytes, missing, num_missing = cells
    floats, used = numbers.view(np.float64), text_bytes[0]
    separators = _EACH_BYTE * _U(separator)
    quotes = _EACH_BYTE * _U(quote) if quote >= 0 else _LINE_BREAKS
    p: Int = start
    row, last = first, len(kinds) - 1
    while p < end:
        for column in range(len(kinds)):
            good: Truth = True
            kind, slot, cell = kinds[column], slots[column], p
            if kind == FLOAT:
                p, floats[slot, row], good = _float_cell(p)
            elif kind <= INTEGER:
                most = _MOST_EXACT if kind == WHOLE else _MOST_INTEGER
                p, numbers[slot, row], good = _integer_cell(p, most)
            else:
                begin, stop, p = _text_cell(p, separators, quotes, quote, column == last)
                size = stop - begin
                if kind == TRUTH:
                    truth = _truth(_word(begin), size)
                    good = begin == cell and (truth >= 0 or p == cell)
                    truths[slot, row] = truth == 1
                elif kind == TEXT and size <= _INLINE_BYTES:
                    views[slot, row, 0], views[slot, row, 1] = _short_view(begin, size)
                elif kind == TEXT:
                    views[slot, row, 0], views[slot, row, 1] = (
                        _U(size) | (_word(begin) << _32),
                        _U(used) << _32,
                    )
                    for at in range(0, size, 8):
                        texts[used + at] = _word(begin + at)
                    used += size
            if p == cell:
                missing[column, row] = True
                num_missing[column] += 1
            # A number that is not known must not be told by its end: that would have to wait for its value.
            if not good or p < 0:
                return -1
            p = _next_cell(p, separator, column == last)
            if p < 0:
                return -1
        row += 1
    text_bytes[0] = used
    return row
