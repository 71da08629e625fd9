"""Quick reading gives what careful reading gives, or nothing."""

import io
import math
import random
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.dialects.canonical import LOADLENS_CSV
from loadlens.errors import LoadlensError
from loadlens.text.delimited import QuickCells, Table
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head
from loadlens.text.typed_rows import Parsed, joined
from tests.text.records import HEADER, LOG, RECORDS, damaged, record, same

FLOATS = QuickCells(names=("value", "other"), types={"value": pl.Float64()})
ALL_TYPES = QuickCells(
    names=("float", "skipped", "integer", "truth", "text"),
    types={"float": pl.Float64(), "integer": pl.Int64(), "truth": pl.Boolean(), "text": pl.String()},
    quote='"',
)


def floats(texts: Sequence[str]) -> list[float] | None:
    frame = FLOATS.read("".join(f"{text},x\n" for text in texts).encode(), len(texts))
    return None if frame is None else frame["value"].to_list()


def assert_same_bits(texts: Sequence[str]) -> None:
    found = floats(texts)
    assert found is not None
    expected = np.array([float(text) for text in texts])
    differs = np.flatnonzero(np.array(found).view(np.int64) != expected.view(np.int64))
    assert not differs.size, [(texts[at], found[at]) for at in differs[:5]]


def test_numbers_are_the_nearest_floats() -> None:
    chosen = random.Random(7)
    normal = [
        math.ldexp(1 + chosen.random(), chosen.randrange(-1021, 1023)) * chosen.choice([1, -1])
        for _ in range(5_000)
    ]
    decimals = [f"{chosen.randrange(10**15)}.{chosen.randrange(10**4):04}" for _ in range(5_000)]
    long = [f"{chosen.randrange(10**19)}e{chosen.randrange(-320, 288)}" for _ in range(5_000)]
    long = [text for text in long if float(text) == 0 or 2.3e-308 < float(text) < math.inf]
    assert_same_bits([repr(value) for value in normal] + decimals + long)
    assert_same_bits([f"{value:.16e}" for value in normal])
    assert_same_bits([f"{value:.6f}" for value in normal if abs(value) < 1e12])


def test_what_lies_halfway_between_two_floats_becomes_the_even_one() -> None:
    chosen = random.Random(8)
    texts = []
    for _ in range(5_000):
        odd = chosen.randrange(2**53, 2**54) | 1  # one bit more than a Float64 holds
        texts += [str(odd), str(odd << chosen.randrange(9)), f"{odd // 2}.5"]
        texts += [f"{odd}e{power}" for power in range(1, 5)]
        texts += [f"{odd * 5**power}e-{power}" for power in range(1, 5) if odd * 5**power < 2**64]
        near = chosen.choice([-1, 1])
        texts += [f"{odd // 2}.{500 + near}", str(odd + near)]
    assert_same_bits(texts)


def test_numbers_near_a_power_of_two_are_the_nearest_floats() -> None:
    texts = [str(2**power + step) for power in range(53, 64) for step in range(-1030, 1031)]
    assert_same_bits([*texts, "1844674407370955160.9", "18446744073709.5e5"])
    assert_same_bits([f"{text}e{power}" for text in texts for power in (-315, -290, -25, -1, 30, 280)][::7])


@given(
    st.lists(
        st.builds(
            "{}{}{}{}".format,
            st.sampled_from(["", "-"]),
            st.text("0123456789", min_size=1, max_size=22),
            st.just("") | st.text("0123456789", min_size=1, max_size=22).map(".".__add__),
            st.just("") | st.integers(-400, 400).map("e{}".format) | st.integers(0, 99).map("E+{}".format),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_a_decimal_text_is_a_float_or_not_read(texts: list[str]) -> None:
    for text in texts:
        found = floats([text])
        value = float(text)
        if found is not None:
            assert math.copysign(1, found[0]) == math.copysign(1, value)
            assert found == [value]
        else:
            digits = text.lower().partition("e")[0].replace(".", "").lstrip("-0")
            assert len(digits) > 19 or abs(value) in {0, math.inf} or abs(value) < 2.3e-308


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "inf",
        "-",
        "+1",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        " 1",
        "1 ",
        "1_0",
        "0x1",
        "1e400",
        "5e-324",
        '"1"',
    ],
)
def test_a_number_that_is_not_written_as_usual_is_not_read(text: str) -> None:
    assert floats([text]) is None
    assert floats(["1", text, "2"]) is None


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "12345678901234567890"])
def test_cells_of_all_types(ending: str, last: str) -> None:
    lines = [
        "1.5,skipped,7,true,short",
        "-2,,-9223372036854775807,FALSE,exactly 12 !",
        ",x,,,",
        '0.1,"a,b",0,True,"quoted, with 13 bytes or more"',
        "3,x,007,false,thirteen byte",
        f"4,x,1,true,ä{last}",
    ]
    frame = ALL_TYPES.read((ending.join(lines)).encode(), len(lines))
    assert frame is not None
    assert frame.schema == ALL_TYPES.types
    assert frame.rows() == [
        (1.5, 7, True, "short"),
        (-2.0, -9223372036854775807, False, "exactly 12 !"),
        (None, None, None, None),
        (0.1, 0, True, "quoted, with 13 bytes or more"),
        (3.0, 7, False, "thirteen byte"),
        (4.0, 1, True, f"ä{last}"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"1,x,1,true",
        b"1,x,1,true,a,b",
        b"1,x,1,yes,a",
        b"1,x,1.0,true,a",
        b"1,x,9223372036854775808,true,a",
        b'1,x,1,"true",a',
        b'1,x,1,true,"a""b"',
        b'1,x,1,true,a"b',
        b'1,x,1,true,"a',
        b"1,x,1,true,\xff",
        b"",
        b"\r",
    ],
)
def test_a_line_with_something_unusual_is_not_read(line: bytes) -> None:
    good = b"1,x,1,true,a\n"
    assert ALL_TYPES.read(good + line + b"\n" + good, 3) is None
    assert ALL_TYPES.read(good * 2, 2) is not None


def test_nothing_has_no_rows() -> None:
    frame = ALL_TYPES.read(b"", 1)
    assert frame is not None
    assert frame.rows() == []


def assert_read_alike(data: bytes, table: Table) -> Parsed | None:
    """What careful reading gives is what quick reading and Polars give, or these give nothing."""
    stream = io.BufferedReader(io.BytesIO(data))
    parts = []
    for block in blocks(stream, table.framing, block_bytes=2**20):
        body = table._without_header(block) if table.has_header and block.index == 0 else block
        try:
            expected = table._careful(body)
        except LoadlensError:
            with pytest.raises(LoadlensError):
                table.read(block)
            return None
        same(table.read(block), expected)
        if block.is_regular and table._begins_well(body.data):
            for found in (table._quick(body), table._typed(body)):
                if found is not None:
                    same(found, expected)
        parts.append(expected)
    return joined([Parsed(rows=pl.DataFrame(schema=table.schema)), *parts])


@given(records=RECORDS, data=st.data())
def test_a_file_is_read_alike_quickly_and_carefully(
    records: list[tuple[str, ...]], data: st.DataObject
) -> None:
    ending = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    raws = [record((str(index), *cells[1:])) for index, cells in enumerate(records)]
    chosen = data.draw(st.sets(st.integers(0, len(raws) - 1), max_size=2)) if raws else set()
    texts = [data.draw(damaged(raw)) if index in chosen else raw for index, raw in enumerate(raws)]
    assert_read_alike(HEADER.encode() + b"".join(texts).replace(b"\n", ending), LOG)


ODD_CELLS = st.text('0159.-+eE tfalsru\r"\0_ä', max_size=4) | st.sampled_from(["", "1", "1.5", "true", "a"])


@given(
    rows=st.lists(st.lists(ODD_CELLS, min_size=6, max_size=6).map(",".join), max_size=8),
    ending=st.sampled_from(["\n", "\r\n"]),
    torn=st.booleans(),
)
def test_odd_cells_are_read_alike(rows: list[str], ending: str, torn: bool) -> None:
    for row in rows:
        text = HEADER + f"1,2,a,true,x,3{ending}{row}{'' if torn else ending}"
        assert_read_alike(text.encode(), LOG)


TOOLKIT = "invocation_latency,response_size,throttle_exception,memory_size,note\n"


def toolkit_table() -> Table:
    table = LOADLENS_CSV.open(Head(path=LOADLENS_CSV, data=TOOLKIT.encode(), size=1))  # type: ignore[arg-type]
    assert isinstance(table, Table)
    return table


@pytest.mark.parametrize(
    "row",
    [
        "5.0,10,0,1024,x",
        "5,10.0,0.0,1024.0,",
        "5,,,1024,",
        "5,10,0,1024.5,x",
        "5,9007199254740993,0,1024,x",
        "5,9007199254740992,0,1024,x",
        "5,10,300,1024,x",
        "5,10,2,1024,x",
        "-1,,1,1024,x",
        "nan,10,0,1024,x",
        "-5,10,0,1024,x",
        "1e300,10,0,1024,x",
        "5,-10,0,-1024,x",
    ],
)
def test_whole_numbers_are_read_alike_as_integers_and_as_floats(row: str) -> None:
    good = "1.5,1,0,1024,x\n"
    parsed = assert_read_alike((TOOLKIT + good + row + "\n" + good).encode(), toolkit_table())
    assert parsed is not None
    assert parsed.rows.height + parsed.rejects.height == 3


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_usual_rows_need_no_other_reader(ending: str) -> None:
    rows = ("1.5,1,0,1024,x" + ending) * 10
    (block,) = blocks(io.BufferedReader(io.BytesIO(rows.encode())))
    parsed = toolkit_table()._quick(block)
    assert parsed is not None
    assert parsed.rows.height == 10
