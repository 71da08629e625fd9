import io
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from loadlens.schema import Rule
from loadlens.text.json_records import JsonLines
from loadlens.text.record_blocks import blocks
from loadlens.text.typed_rows import BLANK_LINES, REJECT_SCHEMA, Parsed

TIMES = pl.col("times").struct
LOG = JsonLines(
    types={
        "kind": pl.String(),
        "ok": pl.Boolean(),
        "size": pl.Int64(),
        "times": pl.Struct({"start_ns": pl.Int64(), "took": pl.Float64()}),
        "tags": pl.List(pl.String()),
    },
    columns=(
        pl.col("ok").alias("success"),
        (TIMES.field("start_ns") / 1e9).alias("start_time"),
        TIMES.field("took").alias("invocation_latency"),
        pl.col("size").alias("response_size"),
        pl.col("tags").list.join("+").alias("label"),
    ),
    rules=(
        Rule(column="times.took", expected="a latency", broken=TIMES.field("took").is_null()),
        Rule(column="size", expected="at most 1000", broken=pl.col("size") > 1000),
    ),
    left_out={"points of other metrics": pl.col("kind") != "request"},
    required=frozenset({"ok"}),
)
TIMED = '{"start_ns":1500000000123456789,"took":2.5}'
GOOD = f'{{"kind":"request","ok":true,"size":10,"times":{TIMED},"tags":["a","b"]}}'


def read(text: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    stream = io.BufferedReader(io.BytesIO(data))
    parts = [LOG.read(block) for block in blocks(stream, LOG.framing, block_bytes=block_bytes)]
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=LOG.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        left_out={name: sum(part.left_out.get(name, 0) for part in parts) for name in LOG.left_out},
        facts={BLANK_LINES: sum(part.facts.get(BLANK_LINES, 0) for part in parts)},
    )


def same(one: Parsed, other: Parsed) -> None:
    assert_frame_equal(one.rows, other.rows)
    assert_frame_equal(one.rejects, other.rejects)
    assert (one.left_out, one.facts) == (other.left_out, other.facts)


def test_nested_fields_are_read_by_their_declared_types() -> None:
    parsed = read(GOOD + "\n" + GOOD)
    assert parsed.rows.schema == LOG.schema
    assert parsed.rows.rows() == [(True, pytest.approx(1500000000.1234567), 2.5, 10, "a+b")] * 2


def test_fields_may_come_late_be_unknown_or_be_missing() -> None:
    lines = ['{"kind":"request","ok":false,"times":{"took":1}}', GOOD[:-1] + ',"new":{"a":[1,{"b":2}]}}']
    parsed = read("\n".join(lines))
    assert parsed.rows.get_column("response_size").to_list() == [None, 10]
    assert parsed.rejects.is_empty()


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("{", "", "is not JSON"),
        ("[1]", "", "got [1], expected a JSON object"),
        (GOOD + GOOD, "", "is not JSON"),
        (GOOD.replace("10", '"10"'), "size", "got '10', expected a whole number"),
        (GOOD.replace("10", "10.0"), "size", "got 10.0, expected a whole number"),
        (GOOD.replace("10", str(2**63)), "size", "got 9223372036854775808, expected a whole number"),
        (GOOD.replace("true", "1"), "ok", "got 1, expected true or false"),
        (GOOD.replace("2.5", "NaN"), "times.took", "got nan, expected a finite number"),
        (GOOD.replace("2.5", "1e400"), "times.took", "got inf, expected a finite number"),
        (GOOD.replace("2.5", "true"), "times.took", "got True, expected a finite number"),
        (GOOD.replace('["a","b"]', "5"), "tags", "got 5, expected a list"),
        ('{"kind":"request","ok":true,"times":5}', "times", "got 5, expected an object"),
        ('{"kind":"request","times":{"took":1}}', "ok", "got nothing, expected a value"),
        ('{"kind":"request","ok":true}', "times.took", "got nothing, expected a latency"),
        (GOOD.replace("10", "2000"), "size", "got 2000, expected at most 1000"),
        (GOOD.replace('"a"', '"\\ud800"'), "", "is not valid Unicode"),
    ],
)
def test_a_bad_line_is_told_and_costs_no_other(line: str, column: str, reason: str) -> None:
    parsed = read(f"{GOOD}\n\n{line}\n{GOOD}\n")
    assert parsed.rows.height == 2
    assert parsed.rejects.rows() == [(3, column, reason, line)]
    assert parsed.facts == {BLANK_LINES: 1}


def test_invalid_utf8_is_told() -> None:
    parsed = read(GOOD.encode() + b'\n{"kind":"\xff"}\n')
    assert parsed.rejects.rows() == [(2, "", "is not valid Unicode", '{"kind":"�"}')]


def test_a_torn_last_line_is_told_from_damage() -> None:
    assert read(f"{GOOD}\n{GOOD[:40]}").rejects.row(0)[:3] == (2, "", "torn last line")
    assert read(f"{GOOD}\n{GOOD[:40]}\n").rejects.row(0)[:3] == (2, "", "is not JSON")


def test_lines_of_other_kinds_are_left_out_though_they_lack_fields() -> None:
    parsed = read(f'{{"kind":"metric","times":{{}}}}\n{GOOD}\n')
    assert parsed.left_out == {"points of other metrics": 1}
    assert parsed.rows.height == 1


def test_text_takes_any_value() -> None:
    for line in ('{"kind":1.5}', '{"kind":true}', '{"kind":{"a": 1}}'):
        assert read(line).left_out == {"points of other metrics": 1}


def test_escaped_characters_are_decoded() -> None:
    parsed = read(GOOD.replace('"a"', '"\\ud83d\\ude00\\n\\u00e9"'))
    assert parsed.rows.get_column("label").to_list() == ["😀\né+b"]


VALUES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["request", "request", "metric"]),
        "ok": st.booleans(),
        "size": st.integers(0, 1000) | st.none(),
        "times": st.fixed_dictionaries(
            {"start_ns": st.integers(0, 2 * 10**18), "took": st.floats(0, 1e9) | st.integers(0, 1000)}
        ),
        "tags": st.lists(st.text(max_size=3), max_size=2),
    },
    optional={"other": st.integers() | st.text(max_size=3)},
)


def lines_of(values: list[dict[str, object]]) -> list[bytes]:
    return [json.dumps(value).encode() + b"\n" for value in values]


@given(values=st.lists(VALUES, max_size=20), block_bytes=st.integers(1, 500))
def test_every_good_line_is_read(values: list[dict[str, dict[str, float]]], block_bytes: int) -> None:
    parsed = read(b"".join(lines_of(values)), block_bytes=block_bytes)
    requests = [value for value in values if value["kind"] == "request"]
    assert parsed.rejects.is_empty()
    assert parsed.rows.get_column("invocation_latency").to_list() == [
        float(value["times"]["took"]) for value in requests
    ]
    assert parsed.rows.get_column("label").to_list() == ["+".join(value["tags"]) for value in requests]


@given(
    values=st.lists(VALUES, max_size=12),
    places=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=5),
    end=st.integers(0, 5000),
)
def test_damage_costs_no_other_line(
    values: list[dict[str, object]], places: list[tuple[int, int]], end: int
) -> None:
    text = bytearray(b"".join(lines_of(values))[:end])
    for place, byte in places if text else ():
        text[place % len(text)] = byte
    parsed = read(bytes(text))
    same(parsed, read(bytes(text), block_bytes=1))
    lines = [line for line in bytes(text).split(b"\n") if line.strip()]
    assert parsed.rows.height + parsed.rejects.height + sum(parsed.left_out.values()) == len(lines)
    wrong = set(parsed.rejects.get_column("raw").str.slice(0, 400))
    good = [line for line, raw in zip(lines, lines_of(values), strict=False) if line + b"\n" == raw]
    assert not [line for line in good if line.decode()[:400] in wrong]
