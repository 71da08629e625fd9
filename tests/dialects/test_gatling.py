"""Gatling's text log. The files are written here by Gatling's layouts, not recorded."""

import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.dialects import BlockReader
from loadlens.dialects.gatling import GATLING_OLD_TEXT, GATLING_TEXT
from loadlens.dialects.gatling_binary import GATLING_BINARY
from loadlens.errors import InputError, LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, open_stream, read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, joined
from tests.extent import combinations, examples

SHARED = Path(__file__).parents[3] / "shared" / "logs"
SHARED_FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file()]
SHARED_TEXTS = [
    path for path in sorted((SHARED / "gatling").glob("*.log")) if not path.read_bytes().startswith(b"\0")
]

START = 1700000000123
MESSAGE = "jsonPath($.id).find.exists, found nothing"
NEWEST = [
    "ASSERTION\tAAMCAwAAAAAAAADwPw==",
    f"RUN\tcom.example.Shop\tshop\t{START}\t \t3.10.5",
    f"USER\tBuyers\tSTART\t{START}",
    f"REQUEST\t\tHome\t{START}\t{START + 250}\tOK\t ",
    f"REQUEST\tCart,Pay\tPOST\t{START + 10}\t{START + 1010}\tKO\t{MESSAGE}",
    f"GROUP\tCart,Pay\t{START}\t{START + 1100}\t1000\tKO",
    f"REQUEST\tCart\t\t{START + 20}\t{START + 20}\tOK\t ",
    f"ERROR\tNo attribute named 'id' is defined\t{START + 30}",
    f"USER\tBuyers\tEND\t{START + 2000}",
]
MIDDLE = [
    line.replace("3.10.5", "3.3.1").replace("REQUEST\t", "REQUEST\t17\t").replace("GROUP\t", "GROUP\t17\t")
    for line in NEWEST
]
OLDEST = [
    line.replace("3.10.5", "2.0")
    .replace("REQUEST\t", "REQUEST\tBuyers\t17\t")
    .replace("GROUP\t", "GROUP\tBuyers\t17\t")
    .replace("ERROR\t", "GROUP\t")
    for line in NEWEST
]
LAYOUTS = {"newest": NEWEST, "middle": MIDDLE, "oldest": OLDEST}


def text(lines: list[str], ending: str = "\n") -> str:
    return "".join(f"{line}{ending}" for line in lines)


def head(data: str | bytes) -> Head:
    data = data.encode() if isinstance(data, str) else data
    return Head(path=Path("simulation.log"), data=data, size=len(data))


def read(data: str | bytes, block_bytes: int = 2**20) -> Parsed:
    data = data.encode() if isinstance(data, str) else data
    reader = GATLING_TEXT.open(head(data))
    assert isinstance(reader, BlockReader)
    stream = io.BufferedReader(io.BytesIO(data))
    parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    assert all(part.rows.schema == reader.schema for part in parts)
    return joined(parts)


def names_of(top: Head) -> list[str]:
    """What the columns of a file are."""
    return [name for name, _ in GATLING_TEXT.open(top).meaning]


def with_line(line: str, number: int = 4) -> str:
    """The newest layout with another line at that number, from 1."""
    lines = list(NEWEST)
    lines[number - 1] = line
    return text(lines)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_requests_of_every_layout_become_canonical_rows(layout: str) -> None:
    parsed = read(text(LAYOUTS[layout]))
    rows = parsed.rows
    assert rows.get_column("label").to_list() == ["Home", "Cart / Pay / POST", "Cart"]
    assert rows.get_column("success").to_list() == [True, False, True]
    assert rows.get_column("error").to_list() == [None, "jsonPath", None]
    assert rows.get_column("invocation_latency").to_list() == [250, 1000, 0]
    assert rows.get_column("start_time").to_list() == [1700000000.123, 1700000000.133, 1700000000.143]
    assert rows.get_column("end_time").to_list() == [1700000000.373, 1700000001.133, 1700000000.143]
    assert parsed.rejects.is_empty()
    assert parsed.facts == {"other lines": 6, "errors of the simulation": 1}


def test_the_scenario_is_a_column_where_requests_have_it() -> None:
    assert read(text(OLDEST)).rows.get_column("scenario").to_list() == ["Buyers"] * 3
    assert "scenario" not in read(text(MIDDLE)).rows.columns


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_requests_in_the_head_the_version_tells_the_layout(layout: str) -> None:
    lines = LAYOUTS[layout]
    early = head(text([line for line in lines if not line.startswith("REQUEST")]))
    assert GATLING_TEXT.matches(early)
    assert names_of(early) == names_of(head(text(lines)))


def test_rows_tell_the_layout_where_the_version_says_otherwise() -> None:
    assert read(text(MIDDLE).replace("3.3.1", "3.10.5")).rows.height == 3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block_bytes", [20, 100, 2**20])
def test_any_line_ending_and_any_block_size_give_the_same(layout: str, block_bytes: int) -> None:
    expected = read(text(LAYOUTS[layout]))
    for data in (
        text(LAYOUTS[layout], "\r\n"),
        "\ufeff" + text(LAYOUTS[layout]),
        text(LAYOUTS[layout]).rstrip("\n"),
    ):
        parsed = read(data, block_bytes)
        assert parsed.rows.equals(expected.rows)
        assert parsed.facts == expected.facts
        assert parsed.rejects.is_empty()


@pytest.mark.parametrize("damage", ["", "REQUEST\tdamaged"])
def test_cells_after_the_message_and_no_message_at_all_are_fine(damage: str) -> None:
    line = f"REQUEST\tBuyers\t1\t\tHome\t{START}\t{START + 5}\tKO\tPremature close\textra\tmore"
    short = f"REQUEST\tBuyers\t1\t\tHome\t{START}\t{START + 5}\tKO"
    parsed = read(text([*OLDEST, line, short, *([damage] if damage else [])]))
    assert parsed.rows.get_column("error").to_list()[-2:] == ["Premature close", "failed"]
    assert parsed.rejects.height == bool(damage)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("status.find.is(201), but actually found 404", "404"),
        ("status.find.in(200,304), but actually found 503", "503"),
        ("status.find.lessThanOrEqual(399), but actually 401 is not less than or equal to 399", "401"),
        ("status.find.is(201), but actually found 200", "failed with 200"),
        ("j.n.ConnectException: Connection refused: localhost/127.0.0.1:80", "j.n.ConnectException"),
        ("Request timeout to localhost/127.0.0.1:8080 after 60000 ms", "Request timeout to localhost"),
        ("Request timeout after 60000 ms", "Request timeout after N ms"),
        ("css((input[type=hidden],Some(value))).find.exists, found nothing", "css"),
        (" ", "failed"),
        ("x" * 100, "x" * 60),
    ],
)
def test_a_failure_is_classed_by_its_status_or_message(message: str, error: str) -> None:
    line = f"REQUEST\t\tHome\t{START}\t{START + 5}\tKO\t{message}"
    assert read(with_line(line)).rows.get_column("error").to_list()[0] == error


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (f"REQUEST\t\tHome\tsoon\t{START}\tOK\t ", "start"),
        (f"REQUEST\t\tHome\tNaN\t{START}\tOK\t ", "start"),
        (f"REQUEST\t\tHome\t-1\t{START}\tOK\t ", "start"),
        (f"REQUEST\t\tHome\t{START}\t\tOK\t ", "end"),
        (f"REQUEST\t\tHome\t{START}\t{START - 1}\tOK\t ", "end"),
        (f"REQUEST\t\tHome\t{START}\t{START}\tFINE\t ", "status"),
        (f"REQUEST\t\tHome\t{START}\t{'9' * 18}\tOK\t ", "invocation_latency"),
        (f"REQUEST\t\tHome\t{START}\t{'9' * 40}\tOK\t ", "end"),
        (f"REQUEST\t\tHome\t{START}", ""),
        (f"REQUEST {START} {START} OK", ""),
        (f"REQUESX\t\tHome\t{START}\t{START}\tOK\t ", ""),
        (f"REQUEST\t\tHome\t{START}\t{START}\tOK\tREQUEST\t\tHome\t{START}\t{START}\tOK\t ", "extra"),
        (f"REQUEST\t\tHome\t{START}\t{START}\tOKxREQUEST\t\tHome\t{START}\t{START}\tOK\t ", "status"),
    ],
)
def test_bad_rows_are_rejected_alone(line: str, column: str) -> None:
    parsed = read(with_line(line))
    assert parsed.rows.get_column("label").to_list() == ["Cart / Pay / POST", "Cart"]
    assert parsed.rejects.get_column("line").to_list() == [4]
    assert parsed.rejects.get_column("column").to_list() == [column]
    assert parsed.rejects.get_column("raw").to_list() == [line]


def test_invalid_utf_8_is_rejected_alone() -> None:
    parsed = read(text(NEWEST).encode().replace(b"Home", b"H\xffme"))
    assert parsed.rows.height == 2
    assert parsed.rejects.row(0)[:3] == (4, "name", "is not valid UTF-8")


@pytest.mark.parametrize("torn", ["REQ", "REQUEST\t\tHo", f"REQUEST\t\tHome\t{START}\t17000"])
def test_a_torn_last_line_is_a_reject(torn: str) -> None:
    parsed = read(text(NEWEST) + torn)
    assert parsed.rows.height == 3
    assert parsed.rejects.row(0) == (10, "", "torn last line", torn)


def test_blank_lines_are_skipped_and_counted() -> None:
    parsed = read(text([*NEWEST, "", NEWEST[3]]))
    assert parsed.rows.height == 4
    assert parsed.facts["blank lines"] == 1


@pytest.mark.parametrize("data", ["", "REQUEST\tno times\n", "RUN\tno version\n", "a\tb\n", "{}\n", "\0\n"])
def test_what_is_no_gatling_text_is_refused(data: str) -> None:
    assert not GATLING_TEXT.matches(head(data))
    with pytest.raises(InputError, match="is no text of Gatling: it has no row RUN with a version"):
        GATLING_TEXT.open(head(data))


def test_logs_older_than_gatling_2_2_are_told() -> None:
    old = (
        f"com.example.Shop\tshop\tRUN\t{START}\t \t2.0\nBuyers\t17\tUSER\tSTART\t{START}\t0\n"
        f"Buyers\t17\tREQUEST\t\tHome\t{START}\t{START}\t{START + 4}\t{START + 5}\tOK\t \n"
    )
    assert GATLING_OLD_TEXT.matches(head(old))
    assert not GATLING_TEXT.matches(head(old))
    assert not any(GATLING_OLD_TEXT.matches(head(text(lines))) for lines in LAYOUTS.values())


def test_the_dialect_says_what_it_is_and_what_the_log_cannot_tell() -> None:
    reader = GATLING_TEXT.open(head(text(NEWEST)))
    assert dict(reader.meaning)["start"] == "start of the request, ms since 1970"
    assert (GATLING_TEXT.key, GATLING_TEXT.clock, GATLING_TEXT.closed_loop) == (("label",), "epoch", False)
    sizes, errors = GATLING_TEXT.warnings(head(text(NEWEST)), 3, {"errors of the simulation": 2})
    assert "it tells no sizes" in sizes
    assert errors.startswith("2 errors of the simulation, such as requests that could not be built")
    assert len(GATLING_TEXT.warnings(head(text(NEWEST)), 3, {})) == 1


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    at=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    block_bytes=st.sampled_from([50, 2**20]),
)
@examples(20)
def test_a_flipped_byte_costs_the_rows_of_its_line_only(
    layout: str, at: int, byte: int, block_bytes: int
) -> None:
    data = bytearray(text(LAYOUTS[layout] * 3).encode())
    at %= len(data)
    data[at] = byte
    rows = read(bytes(data), block_bytes).rows
    # A flipped line break puts two lines together.
    touched = {data[:at].count(b"\n"), data[:at].count(b"\n") + 1}
    kept = [line for number, line in enumerate(LAYOUTS[layout] * 3) if number not in touched]
    expected = read(text([LAYOUTS[layout][1], *kept])).rows
    missing = Counter(expected.iter_rows()) - Counter(rows.iter_rows())
    assert not missing


@given(layout=st.sampled_from(sorted(LAYOUTS)), end=st.integers(1, 10**6))
@examples(20)
def test_a_cut_file_gives_its_whole_lines_or_an_error(layout: str, end: int) -> None:
    data = text(LAYOUTS[layout]).encode()
    data = data[: end % len(data)]
    try:
        rows = read(data).rows
    except LoadlensError:
        assert b"\nRUN" not in data or b"REQUEST" not in data
        return
    whole = [line for line in data.decode().split("\n")[:-1] if line.startswith("REQUEST")]
    assert len(whole) <= rows.height <= len(whole) + 1


def requests(path: Path) -> list[dict[str, str]]:
    """The requests of a file by another way: from the status backwards."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if cells[0] == "REQUEST":
            at = next(i for i, cell in enumerate(cells) if i > 2 and re.fullmatch("OK|KO", cell))
            label = [*cells[at - 4].split(","), cells[at - 3]]
            found.append(
                {
                    "label": " / ".join(part for part in label if part),
                    "start": cells[at - 2],
                    "end": cells[at - 1],
                    "status": cells[at],
                }
            )
    return found


@pytest.mark.skipif(not SHARED_TEXTS, reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("path", "block_bytes"),
    combinations(SHARED_TEXTS, [100, 2**20], one_in=4),
    ids=lambda value: getattr(value, "name", value),
)
def test_recorded_logs_agree_with_an_independent_reading(path: Path, block_bytes: int) -> None:
    reader = GATLING_TEXT.open(read_head(path))
    assert isinstance(reader, BlockReader)
    with open_stream(path) as stream:
        parsed = joined(
            reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)
        )
    rows, expected = parsed.rows, requests(path)
    assert parsed.rejects.equals(pl.DataFrame(schema=REJECT_SCHEMA))
    assert len(expected) == rows.height > 0
    assert rows.get_column("label").to_list() == [row["label"] for row in expected]
    assert rows.get_column("success").to_list() == [row["status"] == "OK" for row in expected]
    assert rows.get_column("error").is_null().to_list() == [row["status"] == "OK" for row in expected]
    assert rows.get_column("start_time").to_list() == [int(row["start"]) / 1000 for row in expected]
    assert rows.get_column("end_time").to_list() == [int(row["end"]) / 1000 for row in expected]
    latencies = np.array([int(row["end"]) - int(row["start"]) for row in expected])
    assert rows.get_column("invocation_latency").to_list() == latencies.tolist()
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


@pytest.mark.skipif(not SHARED_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda path: path.name)
def test_no_other_tools_file_is_taken_for_gatlings(path: Path) -> None:
    top = read_head(path)
    is_binary = path.read_bytes().startswith(b"\0")
    is_gatling = path.parent.name == "gatling"
    assert GATLING_TEXT.matches(top) == (is_gatling and not is_binary)
    assert GATLING_BINARY.matches(top) == (is_gatling and is_binary)
    assert not GATLING_OLD_TEXT.matches(top)
