"""The library's cells against Python's own: ``float``, ``int`` and ``str.split``."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.native.cell_lines import FLOAT, INTEGER, SKIPPED, TEXT, TRUTH, WHOLE, Cells

KINDS = (FLOAT, WHOLE, INTEGER, TRUTH, TEXT, SKIPPED)
INLINE_BYTES = 12
SMALLEST_NORMAL = 2.0**-1022


def read(
    data: bytes, kinds: tuple[int, ...], *, separator: str = ",", quote: str | None = '"'
) -> Cells | None:
    """The cells; None where the library leaves them to another reader."""
    cells = Cells(kinds, rows=data.count(b"\n") + 1, text_bytes=len(data))
    height = cells.read(data, separator=separator, quote=quote)
    assert height is None or height == len(data.removesuffix(b"\n").split(b"\n")) * bool(data)
    return None if height is None else cells


def text_of(view: np.ndarray, texts: bytes) -> bytes:
    raw = view.tobytes()
    size = int.from_bytes(raw[:4], "little")
    if size <= INLINE_BYTES:
        assert raw[4 + size :] == bytes(INLINE_BYTES - size)
        return raw[4 : 4 + size]
    start = int.from_bytes(raw[12:], "little")
    found = texts[start : start + size]
    assert raw[4:8] == found[:4]
    assert raw[8:12] == bytes(4)  # the only buffer
    return found


def value_of(cells: Cells, kinds: tuple[int, ...], column: int, row: int) -> object:
    kind, slot = kinds[column], cells.slots[column]
    if kind == SKIPPED or cells.missing[column, row]:
        return None
    if kind == FLOAT:
        return cells.numbers[slot, row].view(np.float64).item()
    if kind == TRUTH:
        return bool(cells.truths[slot, row])
    if kind == TEXT:
        return text_of(cells.views[slot, row], cells.texts)
    return int(cells.numbers[slot, row])


def expected_value(kind: int, cell: bytes) -> object:
    """What Python makes of a cell; raises ValueError where it makes nothing."""
    if kind == SKIPPED or not cell:
        return None
    bare = cell[1:-1] if cell.startswith(b'"') else cell
    if kind == TEXT:
        return bare
    if kind == TRUTH:
        return {b"true": True, b"false": False}[cell.lower()]
    return float(cell) if kind == FLOAT else int(cell)


def random_numeral(chosen: random.Random) -> str:
    """Numerals of all lengths and spellings, most of them usual ones."""
    digits = "".join(
        chosen.choices("0123456789", k=chosen.choice([1, 2, 7, 8, 9, 15, 16, 17, 18, 19, 20, 40]))
    )
    point = chosen.randrange(len(digits) + 1) if chosen.random() < 0.6 else len(digits)
    text = digits[:point] + ("." + digits[point:] if point < len(digits) else chosen.choice(["", "", "."]))
    if chosen.random() < 0.3:
        power = chosen.choice([0, 5, 22, 300, 308, 330, 99999])
        text += f"{chosen.choice('eE')}{chosen.choice(['', '+', '-'])}{power}"
    sign = chosen.choice(["", "", "", "-", "+"])
    return chosen.choice(["", "", "", "", " "]) + sign + text + chosen.choice(["", "", "", "", " "])


def random_cell(chosen: random.Random, kind: int) -> str:
    if chosen.random() < 0.1:
        return ""
    if kind == FLOAT:
        return random_numeral(chosen)
    if kind in {WHOLE, INTEGER}:
        most = chosen.choice([9, 10**6, 2**53, 2**63 - 1, 2**64, 10**30])
        return str(chosen.choice([1, -1]) * chosen.randrange(most + 1))
    if kind == TRUTH:
        return chosen.choice(["true", "false", "TRUE", "False", "true", "yes"])
    text = "".join(chosen.choices("abä -\0", k=chosen.choice([0, 1, 7, 8, 11, 12, 13, 31, 200])))
    return chosen.choice([text, text, f'"{text},"', '""', f'{text}"'])


def check_seed(seed: int) -> None:
    """Reads random lines of few cells, perhaps damaged, and compares what is read with Python's values."""
    chosen = random.Random(seed)
    kinds = tuple(chosen.choices(KINDS, k=chosen.randrange(1, 7)))
    rows = [[random_cell(chosen, kind) for kind in kinds] for _ in range(chosen.choice([1, 1, 2, 5]))]
    ending = chosen.choice([b"\n", b"\r\n"])
    data = ending.join(",".join(row).encode() for row in rows) + chosen.choice([b"", ending])
    if chosen.random() < 0.3:
        damaged = bytearray(data)
        for _ in range(chosen.randrange(1, 4)):
            if damaged:
                damaged[chosen.randrange(len(damaged))] = chosen.choice(b'\n\r",-.e19\xff\0')
        read(bytes(damaged), kinds)  # whatever it gives, it must end
        read(bytes(damaged), kinds, separator=";", quote=None)
        return
    cells = read(data, kinds)
    if cells is None or not all(map(any, rows)):
        return
    for row, texts in enumerate(rows):
        for column, cell in enumerate(texts):
            found = value_of(cells, kinds, column, row)
            expected = expected_value(kinds[column], cell.encode())
            assert repr(found) == repr(expected), (cell, found)  # tells -0.0 from 0.0


@pytest.mark.parametrize("first", range(0, 3000, 1000))
def test_random_lines_are_read_as_python_reads_them(first: int) -> None:
    for seed in range(first, first + 1000):
        check_seed(seed)


NUMERALS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "-", "+", " ", '"']),
    st.text("0123456789", max_size=25),
    st.just("") | st.text("0123456789", max_size=25).map(".".__add__),
    st.just("")
    | st.builds("{}{}".format, st.sampled_from("eE"), st.integers(-400, 400))
    | st.sampled_from(["e", "e+", "e-", "E+5", "e99999", " ", '"', "_1"]),
)


def is_usual(text: str) -> bool:
    """Whether the library has to read a number: up to 19 digits, normal or 0, in the simplest spelling."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, point, fraction = mantissa.removeprefix("-").partition(".")
    if not whole.isdecimal() or (point and not fraction.isdecimal()) or len(exponent.lstrip("+-")) > 4:
        return False
    value = Fraction(text)
    digits = (whole + fraction).lstrip("0")
    is_normal = not value or SMALLEST_NORMAL * 2 <= abs(value) < Fraction(2) ** 1023
    return is_normal and len(digits) < 19


@given(st.lists(NUMERALS, min_size=1, max_size=20), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_a_numeral_is_the_nearest_float_or_left_alone(texts: list[str], ending: bytes, is_last: bool) -> None:
    for text in texts:
        lines = [f"1.5,{text}" if is_last else f"{text},1.5"] * 2
        cells = read(ending.join(line.encode() for line in lines) + ending, (FLOAT, FLOAT))
        if cells is None:
            try:
                float(text)
            except ValueError:
                continue
            assert not is_usual(text)
            continue
        found = [value_of(cells, (FLOAT, FLOAT), int(is_last), row) for row in range(2)]
        expected = float(text) if text else None
        assert expected is None or math.isfinite(expected)
        assert repr(found) == repr([expected, expected])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 9007199254740992.0),
        ("9007199254740993.0", 9007199254740992.0),
        ("9007199254740995", 9007199254740996.0),
        ("1e23", 1e23),
        ("8.5e22", 8.5e22),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("-0", -0.0),
        ("-0.0e99", -0.0),
        ("0e9999", 0.0),
        ("0." + "0" * 300 + "1", 1e-301),
        ("000000000000000000000000000001", 1.0),
    ],
)
def test_numbers_at_the_edges(text: str, value: float) -> None:
    cells = read(f"{text}\n".encode(), (FLOAT,))
    assert cells is not None
    assert repr(value_of(cells, (FLOAT,), 0, 0)) == repr(value)


@pytest.mark.parametrize(
    "text", ["1.7976931348623159e308", "1e309", "4.9e-324", "1e-400", "18446744073709551616"]
)
def test_what_is_infinite_subnormal_or_too_long_is_left_alone(text: str) -> None:
    assert read(f"{text}\n".encode(), (FLOAT,)) is None


def test_more_lines_or_more_text_than_there_is_room_for_are_left_alone() -> None:
    assert Cells((FLOAT,), rows=1, text_bytes=0).read(b"1\n2\n", separator=",", quote=None) is None
    long = b"x" * 13 + b"\n"
    assert Cells((TEXT,), rows=2, text_bytes=25).read(long * 2, separator=",", quote=None) is None
    assert Cells((TEXT,), rows=2, text_bytes=26).read(long * 2, separator=",", quote=None) == 2
