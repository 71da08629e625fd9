import io
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from loadlens.errors import LoadlensError
from loadlens.text.delimited import REPEATED_HEADERS, Table, find_records
from loadlens.text.record_blocks import Block, blocks
from loadlens.text.typed_rows import BLANK_LINES, REJECT_SCHEMA, Parsed
from tests.text.records import HEADER, LOG, RECORDS, damaged, record, same


def read(text: str | bytes, table: Table = LOG, *, block_bytes: int = 2**20) -> Parsed:
    """Everything that is read of a file, block by block."""
    data = text.encode() if isinstance(text, str) else text
    stream = io.BufferedReader(io.BytesIO(data))
    return joined([table.read(block) for block in blocks(stream, table.framing, block_bytes=block_bytes)])


def joined(parts: list[Parsed]) -> Parsed:
    names = {name for part in parts for name in (*part.left_out, *part.facts)}
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=LOG.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        left_out={name: sum(part.left_out.get(name, 0) for part in parts) for name in names},
        facts={name: sum(part.facts.get(name, 0) for part in parts) for name in names},
    )


def first_reject(line: str) -> tuple[int, str, str, str]:
    parsed = read(HEADER + "1.5,3,a,true,,10\n" + line + "\n2.5,4,b,false,x,20\n")
    assert parsed.rows.get_column("invocation_latency").to_list() == [3, 4]
    return parsed.rejects.row(0)  # type: ignore[return-value]


def test_the_schema_is_that_of_the_rows() -> None:
    assert read(HEADER + "1.5,3,a,true,,10\n").rows.schema == LOG.schema
    assert LOG.schema["success"] == pl.Boolean
    assert LOG.schema["end_time"] == pl.Float64


def test_good_rows_are_read_by_their_types() -> None:
    parsed = read(HEADER + '1.5,3,a,true,,10\n2,4,"b,""c""",FALSE,x,\r\n')
    assert parsed.rows.rows() == [(True, 1.5, 1.503, 3.0, "a", 10), (False, 2.0, 2.004, 4.0, 'b,"c"', None)]
    assert parsed.rejects.is_empty()
    assert parsed.rejects.schema == REJECT_SCHEMA


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("abc,3,a,true,,10", "start", "got 'abc', expected a number"),
        ("1,3.5,a,true,,10", "ms", "got '3.5', expected a whole number"),
        ("1,3,a,maybe,,10", "ok", "got 'maybe', expected true or false"),
        ("nan,3,a,true,,10", "start", "got nan, expected a finite number"),
        ("1,3,a,true,,99999999999999999999", "bytes", "got '99999999999999999999', expected a whole number"),
        (",3,a,true,,10", "start", "got nothing, expected a value"),
        ("1,-3,a,true,,10", "ms", "got -3, expected 0 or more"),
        ("1,3,a,true,,-10", "response_size", "got -10, expected a whole number of bytes, or empty"),
        ("1e300,3,a,true,,10", "start_time", "got 1e+300, expected a finite number of seconds below 2e+10"),
        ("1,3,a,true,,10,", "", "got 7 cells, expected 6"),
        ("1,3,a,true,", "", "got 5 cells, expected 6"),
        ('1,3,"a,true,,10', "", "its quotes do not enclose whole cells"),
    ],
)
def test_a_bad_row_is_told_with_line_column_and_reason(line: str, column: str, reason: str) -> None:
    assert first_reject(line) == (3, column, reason, line)


def test_invalid_utf8_matters_where_it_is_read() -> None:
    parsed = read(HEADER.encode() + b"1,3,\xff,true,,1\n2,3,a,true,\xff,1\n3,3,\xef\xbf\xbd,true,,1\n")
    assert parsed.rows.get_column("start_time").to_list() == [2, 3]
    assert parsed.rejects.rows() == [(2, "name", "is not valid UTF-8", "1,3,�,true,,1")]


def test_an_end_before_its_start_is_rejected() -> None:
    table = replace(
        LOG, rules=(), columns=(*LOG.columns[:2], pl.col("ms").cast(pl.Float64).alias("end_time"))
    )
    (part,) = [table.read(block) for block in blocks(io.BufferedReader(io.BytesIO(b"h\n9,3,a,true,,1\n")))]
    assert part.rejects.row(0)[1:3] == ("end_time", "got 3.0, expected an end that is not before its start")


def test_rows_that_are_no_invocations_are_left_out_and_counted() -> None:
    parsed = read(HEADER + "1,3,a,true,,1\n,,pause,,,\nx,3,pause,true,,1\n" + HEADER + "2,3,a,true,,1\n\n")
    assert parsed.rows.height == 2
    assert parsed.rejects.is_empty()
    assert parsed.left_out == {"pauses": 2, REPEATED_HEADERS: 1, BLANK_LINES: 0}
    assert parsed.facts[BLANK_LINES] == 1


def test_blank_lines_are_counted_and_count_as_lines() -> None:
    parsed = read("\n \n" + HEADER + "\n \r\n\n\nbad\n\n1,3,a,true,,1\n \n\r\n\n")
    assert parsed.facts == {BLANK_LINES: 8}
    assert parsed.rejects.get_column("line").to_list() == [8]
    assert parsed.rows.height == 1


def test_short_and_long_rows_cannot_make_up_for_each_other() -> None:
    parsed = read(HEADER + "1,3,a,true,,1,1\n1,3,a,true,1\n1,3,a,true,,1\n")
    assert parsed.rows.height == 1
    assert parsed.rejects.get_column("reason").to_list() == [
        "got 7 cells, expected 6",
        "got 5 cells, expected 6",
    ]


def test_a_file_without_a_header_begins_with_a_row() -> None:
    parsed = read("1,3,a,true,,1\n" + HEADER, replace(LOG, has_header=False))
    assert parsed.rows.height == 1
    assert parsed.rejects.get_column("line").to_list() == [2]


def test_a_header_alone_has_no_rows() -> None:
    for text in (HEADER, HEADER[:-1], "\n" + HEADER):
        parsed = read(text)
        assert parsed.rows.is_empty()
        assert parsed.rejects.is_empty()


def test_any_separator_and_no_quote() -> None:
    parsed = read(
        HEADER.replace(",", "\t") + '1\t3\t"a\ttrue\t\t1\n', replace(LOG, separator="\t", quote=None)
    )
    assert parsed.rows.get_column("label").to_list() == ['"a']


def test_one_column_is_a_table_too() -> None:
    table = Table(
        names=("ms",),
        types={"ms": pl.Float64()},
        columns=(pl.col("ms").alias("invocation_latency"),),
        required=frozenset({"ms"}),
    )
    (block,) = blocks(io.BufferedReader(io.BytesIO(b"ms\n1\n\n2,5\nx\n3")), table.framing)
    parsed = table.read(block)
    assert parsed.rows.get_column("invocation_latency").to_list() == [1, 3]
    assert parsed.rejects.get_column("line").to_list() == [4, 5]
    assert parsed.facts == {BLANK_LINES: 1}


def test_blocks_are_read_alike_whether_or_not_quotes_are_known_to_be_regular() -> None:
    data = b"".join(b'%d.25,%d,"a,%d",true,"",%d\n' % (row, row, row, row) for row in range(500))
    fast = Block(data=data, first_line=2, is_last=True, index=1, is_regular=True)
    assert_frame_equal(LOG.read(fast).rows, LOG.read(replace(fast, is_regular=False)).rows)
    assert LOG._fast(fast) is not None


def counted(parsed: Parsed) -> int:
    return parsed.rows.height + parsed.rejects.height + sum(parsed.left_out.values())


def records_in(text: bytes) -> int:
    """How many records follow the first line that is not blank."""
    body = text.lstrip(b"\r\n ").partition(b"\n")[2]
    records = find_records(Block(data=body, first_line=2, is_last=True, index=0), LOG.framing)
    return records.ends.size + len(records.rejects)


@given(records=RECORDS, block_bytes=st.integers(1, 300))
def test_every_good_row_is_read(records: list[tuple[str, ...]], block_bytes: int) -> None:
    parsed = read(HEADER.encode() + b"".join(map(record, records)), block_bytes=block_bytes)
    rows = [row for row in records if row[2] != "pause"]
    assert parsed.rejects.is_empty()
    assert parsed.rows.get_column("start_time").to_list() == [float(row[0]) for row in rows]
    assert parsed.rows.get_column("label").fill_null("").to_list() == [row[2] for row in rows]
    assert parsed.rows.get_column("response_size").to_list() == [
        int(row[5]) if row[5] else None for row in rows
    ]


@given(records=RECORDS, data=st.data(), block_bytes=st.integers(1, 300))
def test_damage_costs_no_other_row(
    records: list[tuple[str, ...]], data: st.DataObject, block_bytes: int
) -> None:
    raws = [record((str(index), *cells[1:])) for index, cells in enumerate(records)]
    chosen = data.draw(st.sets(st.integers(0, len(raws) - 1), max_size=4)) if raws else set()
    # Two stray quotes may enclose what is between them: no reader can tell that from a cell of many lines.
    texts = [data.draw(damaged(raw)) if index in chosen else raw for index, raw in enumerate(raws)]
    text = HEADER.encode() + b"".join(texts)
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(len(HEADER), len(text)))]
    parsed = read(text)
    whole = len(text.removeprefix(HEADER.encode()))
    intact, length = [], 0
    for index, raw in enumerate(texts):
        length += len(raw)
        if index not in chosen and records[index][2] != "pause" and length <= whole:
            intact.append(float(index))
    stray = sum(texts[index].count(b'"') % 2 for index in chosen)
    missing = set(intact) - set(parsed.rows.get_column("start_time").to_list())
    assert not missing or stray > 1
    same(parsed, read(text, block_bytes=block_bytes))


@given(records=RECORDS, places=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=5))
def test_any_bytes_give_rows_and_rejects_or_a_message(
    records: list[tuple[str, ...]], places: list[tuple[int, int]]
) -> None:
    text = bytearray(HEADER.encode() + b"".join(map(record, records)))
    for place, byte in places:
        text[place % len(text)] = byte
    try:
        parsed = read(bytes(text))
        same(parsed, read(bytes(text), block_bytes=64))
    except LoadlensError as error:
        assert str(error)  # noqa: PT017  # a message is as good as a result
    else:
        assert counted(parsed) == records_in(bytes(text))


@given(
    cells=st.lists(st.text(st.sampled_from(" +-.0123456789eEinfaNtruelTRUFALS_x\t"), max_size=8), max_size=12)
)
def test_cells_are_cast_alike_one_by_one_and_at_once(cells: list[str]) -> None:
    for name in ("start", "ms", "ok", "bytes"):
        at = LOG.names.index(name)
        rows = [["1", "2", "a", "true", "", "3"] for _ in cells]
        for row, cell in zip(rows, cells, strict=True):
            row[at] = cell
        text = HEADER + "".join(",".join(row) + "\n" for row in rows)
        same(read(text), read(text, block_bytes=1))
