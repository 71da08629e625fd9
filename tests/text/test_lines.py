import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from loadlens.schema import Rule
from loadlens.text.json_records import OTHER_LINES, TextLines
from loadlens.text.record_blocks import blocks
from loadlens.text.typed_rows import BLANK_LINES, REJECT_SCHEMA, Parsed

LOG = TextLines(
    pattern=r"^DONE (?P<name>\S*) in (?P<ms>\S+) ms(?: \(init (?P<init>\S+) ms\))?$",
    candidate="^DONE",
    types={"ms": pl.Float64(), "name": pl.String(), "init": pl.Int64()},
    columns=(
        pl.col("ms").alias("invocation_latency"),
        pl.col("name").alias("label"),
        pl.col("init").is_not_null().alias("cold_start"),
    ),
    rules=(Rule(column="ms", expected="0 or more", broken=pl.col("ms") < 0),),
    left_out={"pings": pl.col("name") == "ping"},
    required=frozenset({"ms"}),
)


def read(text: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    stream = io.BufferedReader(io.BytesIO(data))
    parts = [LOG.read(block) for block in blocks(stream, LOG.framing, block_bytes=block_bytes)]
    facts = {what for part in parts for what in part.facts}
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=LOG.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        left_out={name: sum(part.left_out.get(name, 0) for part in parts) for name in LOG.left_out},
        facts={name: sum(part.facts.get(name, 0) for part in parts) for name in facts},
    )


def test_groups_become_columns_and_other_lines_are_counted() -> None:
    parsed = read("START\nDONE a in 2.5 ms\r\n\nDONE  in 3 ms (init 40 ms)\nEND\nDONE ping in 1 ms")
    assert parsed.rows.schema == LOG.schema
    assert parsed.rows.rows() == [(2.5, "a", False), (3.0, None, True)]
    assert parsed.rejects.is_empty()
    assert parsed.left_out == {"pings": 1}
    assert parsed.facts == {OTHER_LINES: 2, BLANK_LINES: 1}


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("DONE a", "", "is not what such a line looks like"),
        ("DONE a in x ms", "ms", "got 'x', expected a number"),
        ("DONE a in nan ms", "ms", "got nan, expected a finite number"),
        ("DONE a in -1 ms", "ms", "got -1.0, expected 0 or more"),
        ("DONE a in 1 ms (init x ms)", "init", "got 'x', expected a whole number"),
    ],
)
def test_a_bad_line_is_told_and_costs_no_other(line: str, column: str, reason: str) -> None:
    parsed = read(f"DONE a in 1 ms\n{line}\nDONE b in 2 ms\n")
    assert parsed.rows.get_column("label").to_list() == ["a", "b"]
    assert parsed.rejects.rows() == [(2, column, reason, line)]


def test_invalid_utf8_matters_in_groups() -> None:
    parsed = read(b"\xff\nDONE \xff in 1 ms\nDONE \xef\xbf\xbd in 1 ms\n")
    assert parsed.rejects.rows() == [(2, "name", "is not valid UTF-8", "DONE � in 1 ms")]
    assert parsed.rows.height == 1


def test_a_torn_last_line_is_told() -> None:
    assert read("DONE a in 1 ms\nDONE a i").rejects.row(0)[2] == "torn last line"


def test_no_line_at_all_is_no_row() -> None:
    assert read("START\n").rows.is_empty()
    assert read("").rows.is_empty()


@given(
    names=st.lists(st.sampled_from(["a", "ping", "ä"]), max_size=20),
    places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5),
    end=st.integers(0, 400),
    block_bytes=st.integers(1, 100),
)
def test_damage_costs_no_other_line(
    names: list[str], places: list[tuple[int, int]], end: int, block_bytes: int
) -> None:
    good = [f"DONE {name} in {index} ms\n".encode() for index, name in enumerate(names)]
    text = bytearray(b"".join(good)[:end])
    for place, byte in places if text else ():
        text[place % len(text)] = byte
    parsed = read(bytes(text))
    lines = bytes(text).split(b"\n")[: text.count(b"\n") + (not text.endswith(b"\n") and bool(text))]
    counts = (*parsed.left_out.values(), *parsed.facts.values())
    assert parsed.rows.height + parsed.rejects.height + sum(counts) == len(lines)
    for line, intact in zip(lines, good, strict=False):
        if line + b"\n" == intact:
            assert line.decode() not in parsed.rejects.get_column("raw").to_list()
    other = read(bytes(text), block_bytes=block_bytes)
    assert_frame_equal(parsed.rows, other.rows)
    assert_frame_equal(parsed.rejects, other.rejects)
    assert (parsed.left_out, parsed.facts) == (other.left_out, other.facts)
