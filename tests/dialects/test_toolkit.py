"""CSV of canonical names. The small files are written here, the large ones recorded by the toolkit."""

import csv
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects.base import BlockReader
from loadlens.dialects.canonical import LOADLENS_CSV
from loadlens.errors import InputError, LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, open_stream, read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed
from tests.extent import combinations, examples

SHARED = Path(__file__).parents[3] / "shared" / "logs"
SHARED_FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file()]
RECORDED = [path for path in SHARED_FILES if path.name == "invocation_benchmark_results.csv"]

HEADER = (
    "invocation_latency,response_size,throttle_exception,insufficient_memory_error,other_model_error,"
    "start_time,end_time,memory_size,max_concurrency,num_clients,region"
)
ROWS = [
    "19.207244999961404,2122.0,0,0.0,0.0,1802.753397573,1802.772604818,5120,4,4,eu",
    "-1,,1,,,1802.8,1802.9,5120.0,4,4,",
    '7.5,0,0,0,0,1803.0,1803.0075,1024,4,2,"us, ""east"""',
]


def head(text: str | bytes) -> Head:
    data = text.encode() if isinstance(text, str) else text
    return Head(path=Path("a.csv"), data=data, size=len(data))


def table(*rows: str, header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in (header, *rows))


def read_stream(top: Head, stream: io.BufferedReader, block_bytes: int = 2**20) -> Parsed:
    reader = LOADLENS_CSV.open(top)
    assert isinstance(reader, BlockReader)
    parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    assert all(part.rows.schema == reader.schema for part in parts)
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=reader.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
    )


def read(text: str | bytes) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    return read_stream(head(data), io.BufferedReader(io.BytesIO(data)))


def test_rows_have_canonical_types() -> None:
    parsed = read(table(*ROWS))
    assert parsed.rejects.is_empty()
    assert parsed.rows.rows(named=True)[1] == {
        "invocation_latency": -1.0,
        "response_size": None,
        "throttle_exception": 1,
        "insufficient_memory_error": None,
        "other_model_error": None,
        "start_time": 1802.8,
        "end_time": 1802.9,
        "memory_size": 5120,
        "max_concurrency": 4,
        "num_clients": 4,
        "region": None,
    }
    assert parsed.rows.get_column("region").to_list() == ["eu", None, 'us, "east"']
    assert parsed.rows.schema["throttle_exception"] == pl.Int8
    assert parsed.rows.schema["memory_size"] == pl.Int64


@pytest.mark.parametrize(
    "text",
    [
        table(*ROWS),
        table(*ROWS).replace("\n", "\r\n"),
        "\ufeff" + table(*ROWS),
        table(ROWS[0], "", ROWS[1]),
        table(*ROWS).rstrip("\n"),
        table("1.5,True,x,", "2,false,,a?b", header="invocation_latency,success,error,label"),
        table("1,2.5,x", '4,5.5,""', "5,6,", header=",invocation_latency,note"),
        table(*ROWS[:1], header=HEADER.replace("region", "Region of the world")),
        table("1", "2", header="invocation_latency"),
    ],
)
def test_the_frame_is_the_one_of_scan_log(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(text.encode())
    top = read_head(path)
    assert LOADLENS_CSV.matches(top)
    with open_stream(path) as stream:
        parsed = read_stream(top, stream)
    assert parsed.rejects.is_empty()
    assert_frame_equal(parsed.rows, loadlens.scan_log(path).collect(), check_exact=True)


@pytest.mark.skipif(not RECORDED, reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("path", "block_bytes"),
    combinations(RECORDED, [1000, 2**20]),
    ids=lambda value: getattr(value, "name", value),
)
def test_recorded_logs_give_the_frame_of_scan_log(path: Path, block_bytes: int) -> None:
    top = read_head(path)
    assert LOADLENS_CSV.matches(top)
    with open_stream(path) as stream:
        parsed = read_stream(top, stream, block_bytes)
    assert parsed.rejects.is_empty()
    assert_frame_equal(parsed.rows, loadlens.scan_log(path).collect(), check_exact=True)


@pytest.mark.skipif(not RECORDED, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_recorded_logs_agree_with_an_independent_reading(path: Path) -> None:
    with open_stream(path) as stream:
        rows = read_stream(read_head(path), stream).rows
    expected = list(csv.DictReader(io.StringIO(path.read_text())))
    assert rows.height == len(expected)
    latencies = [float(row["invocation_latency"]) for row in expected]
    assert rows.get_column("invocation_latency").to_list() == latencies
    for name in ("start_time", "end_time"):
        assert rows.get_column(name).to_list() == [float(row[name]) for row in expected]
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))
    throttled = sum(row["throttle_exception"] in {"1", "1.0"} for row in expected)
    assert rows.get_column("throttle_exception").sum() == throttled


@pytest.mark.skipif(not SHARED_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", sorted(set(SHARED_FILES) - set(RECORDED)), ids=lambda path: path.name)
def test_other_files_do_not_match(path: Path) -> None:
    assert not LOADLENS_CSV.matches(read_head(path))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "{}\n", "invocation_latency_median,b\n1,2\n", '{"invocation_latency": 1}\n', "\x00\n", '"'],
)
def test_what_has_no_latency_does_not_match(text: str) -> None:
    assert not LOADLENS_CSV.matches(head(text))
    with pytest.raises(InputError, match="missing column: invocation_latency"):
        LOADLENS_CSV.open(head(text))


def test_doubled_columns_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"a\.csv: the header has doubled columns: memory_size, note; rename"
    ):
        LOADLENS_CSV.open(head("memory_size,note,invocation_latency,memory_size,note\n"))


@pytest.mark.parametrize(
    ("old", "new", "column", "reason"),
    [
        ("7.5,0", "fast,0", "invocation_latency", "got 'fast', expected a number"),
        ("7.5,0", "nan,0", "invocation_latency", "got nan, expected a finite number"),
        ("7.5,0", "inf,0", "invocation_latency", "got inf, expected a finite number"),
        ("7.5,0", "-2,0", "invocation_latency", "got -2.0, expected a finite latency"),
        ("7.5,0,0", "7.5,0.5,0", "response_size", "got 0.5, expected a whole number"),
        ("7.5,0,0", "7.5,0,2", "throttle_exception", "got 2, expected 0, 1 or empty"),
        ("7.5,0,0", "7.5,0,300", "throttle_exception", "expected 0, 1 or empty"),
        (",1024,", ",1024.5,", "memory_size", "got 1024.5, expected a whole number"),
        (",1024,", ",,", "memory_size", "got nothing, expected a whole number"),
        (",1024,", ",-1,", "memory_size", "got -1, expected a whole number"),
        (",1803.0075", ",1802", "end_time", "expected an end that is not before its start"),
        (",1803.0075", ",1e11", "end_time", "expected a finite number of seconds"),
        (",1803.0075", "", "", "got 10 cells, expected 11"),
        ("us, ", "\udcff, ", "region", "is not valid UTF-8"),
    ],
)
def test_bad_rows_are_rejected_alone(old: str, new: str, column: str, reason: str) -> None:
    text = table(ROWS[0], ROWS[2].replace(old, new), ROWS[1], ROWS[2])
    parsed = read(text.encode(errors="surrogateescape"))
    assert parsed.rows.height == 3
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]
    assert reason in parsed.rejects.item(0, "reason")


def test_a_row_without_any_value_is_rejected() -> None:
    parsed = read("invocation_latency,end_time,note\n1,2,a\n,,b\n,3,\n")
    assert parsed.rows.height == 2
    assert parsed.rejects.get_column("line").to_list() == [3]


def test_a_torn_last_line_is_rejected() -> None:
    parsed = read(table(*ROWS, "5.5,100").rstrip("\n"))
    assert parsed.rows.height == 3
    assert parsed.rejects.get_column("reason").to_list() == ["torn last line"]


def test_the_warnings_tell_what_the_log_cannot() -> None:
    found = "\n".join(LOADLENS_CSV.warnings(head(table(*ROWS)), 3, {}))
    assert "a success with a response_size of 0" in found
    assert "no throughput" not in found
    short = "\n".join(LOADLENS_CSV.warnings(head("invocation_latency,success\n"), 0, {}))
    assert "it has no column end_time: there is no throughput" in short
    assert "toolkit" not in short


def test_the_meaning_of_columns_has_units() -> None:
    meaning = dict(LOADLENS_CSV.open(head(table(*ROWS))).meaning)
    assert meaning["memory_size"] == "configured memory, MB"
    assert meaning["region"] == "another column, kept as text"


@examples(20)
@given(flips=st.dictionaries(st.integers(0, 500), st.integers(0, 255), max_size=4), cut=st.integers(0, 600))
def test_damage_gives_rejects_and_never_anything_else(flips: dict[int, int], cut: int) -> None:
    data = damaged(table(*ROWS).encode(), flips, cut)
    LOADLENS_CSV.matches(head(data))
    try:
        parsed = read(data)
    except LoadlensError:
        return
    assert parsed.rows.height + parsed.rejects.height <= data.count(b"\n") + 1


@examples(20)
@given(flips=st.dictionaries(st.integers(0, 800), st.sampled_from(b'",\n\r\xff7x'), max_size=3))
def test_no_good_row_is_lost(flips: dict[int, int]) -> None:
    rows = [f"{at},{at},0,0,0,1.5,2.5,{at},4,4,eu" for at in range(1, 20)]
    before = table(*rows).encode()
    first = len(HEADER) + 1
    data = damaged(before, {first + at: byte for at, byte in flips.items()}, len(before))
    kept = set(data.decode(errors="replace").split("\n")) & set(rows)
    assert {row.split(",")[0] for row in kept} <= {str(int(at)) for at in read(data).rows["memory_size"]}


def damaged(data: bytes, flips: dict[int, int], cut: int) -> bytes:
    found = bytearray(data[:cut])
    for at, byte in flips.items():
        if at < len(found):
            found[at] = byte
    return bytes(found)
