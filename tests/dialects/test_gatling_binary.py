"""Gatling's binary log. The files are written here by Gatling's layout, not recorded."""

import gzip
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.dialects import StreamReader
from loadlens.dialects.gatling_binary import GATLING_BINARY
from loadlens.errors import InputError, LoadlensError
from loadlens.text.stream import Head, read_head
from loadlens.text.typed_rows import Parsed, joined
from tests.extent import examples

SHARED = Path(__file__).parents[3] / "shared" / "logs" / "gatling"
SHARED_BINARIES = [path for path in sorted(SHARED.glob("*.log")) if path.read_bytes().startswith(b"\0")]
KNOWN_STATISTICS = SHARED / "gatling_known_stats_binary.log"

START = 1700000000123
MESSAGE = "status.find.is(201), but actually found 404"


class Writer:
    """Writes records as Gatling does."""

    def __init__(self) -> None:
        self.data = b""
        self.strings: dict[str, int] = {}
        self.ends: list[int] = []

    def put(self, layout: str, *values: object) -> None:
        self.data += struct.pack(f">{layout}", *values)

    def text(self, text: str) -> None:
        wide = not text.isascii()
        encoded = text.encode("utf-16-le" if wide else "latin-1")
        self.put("i", len(encoded))
        if encoded:
            self.data += encoded
            self.put("b", wide)

    def cached(self, text: str) -> None:
        if text in self.strings:
            self.put("i", -self.strings[text])
        else:
            self.strings[text] = len(self.strings) + 1
            self.put("i", self.strings[text])
            self.text(text)

    def groups(self, groups: tuple[str, ...]) -> None:
        self.put("i", len(groups))
        for group in groups:
            self.cached(group)

    def run(self, version: str = "3.12.0", start: int = START) -> "Writer":
        self.put("b", 0)
        self.text(version)
        self.text("com.example.Shop")
        self.put("q", start)
        self.text("")
        self.put("i", 2)
        self.text("Buyers")
        self.text("Käufer €")
        self.put("ii", 1, 3)
        self.data += b"abc"
        self.strings = {}
        return self.end()

    def request(
        self,
        name: str,
        start: int,
        end: int,
        *,
        ok: int = 1,
        message: str = "",
        groups: tuple[str, ...] = (),
    ) -> "Writer":
        self.put("b", 1)
        self.groups(groups)
        self.cached(name)
        self.put("iib", start, end, ok)
        self.cached(message)
        return self.end()

    def others(self) -> "Writer":
        self.put("bibi", 2, 1, 1, 5)
        self.end()
        self.put("b", 3)
        self.groups(("Cart", "Pay"))
        self.put("iiib", 0, 100, 90, 1)
        self.end()
        self.put("b", 4)
        self.cached("No attribute named 'id' is defined")
        self.put("i", 7)
        return self.end()

    def end(self) -> "Writer":
        self.ends.append(len(self.data))
        return self


def log() -> Writer:
    writer = Writer().run().request("Home", 0, 250).others().request("Home", 10, 110)
    writer.request("Bücher €", 20, 20, groups=("Cart", "Pay"))
    return writer.request("POST", 30, 2030, ok=0, message=MESSAGE, groups=("Cart", "Pay"))


def head(data: bytes) -> Head:
    return Head(path=Path("simulation.log"), data=data, size=len(data))


def parts_of(path: Path, **sizes: int) -> tuple[list[Parsed], LoadlensError | None]:
    """What is read of a file until its end or until it cannot be read on, in steps of such sizes."""
    parts: list[Parsed] = []
    try:
        reader = GATLING_BINARY.open(read_head(path))
        assert isinstance(reader, StreamReader)
        for part in replace(reader, **sizes).batches(path):
            assert part.rows.schema == reader.schema
            parts.append(part)
    except LoadlensError as error:
        return parts, error
    return parts, None


def read(folder: Path, data: bytes) -> Parsed:
    path = folder / "simulation.log"
    path.write_bytes(data)
    parts, error = parts_of(path)
    if error:
        raise error
    return joined(parts)


def labels(parsed: Parsed) -> list[str]:
    return parsed.rows.get_column("label").to_list()


LABELS = ["Home", "Home", "Cart / Pay / Bücher €", "Cart / Pay / POST"]


def test_requests_become_canonical_rows(tmp_path: Path) -> None:
    parsed = read(tmp_path, log().data)
    rows = parsed.rows
    assert labels(parsed) == LABELS
    assert rows.get_column("success").to_list() == [True, True, True, False]
    assert rows.get_column("error").to_list() == [None, None, None, "404"]
    assert rows.get_column("invocation_latency").to_list() == [250, 100, 0, 2000]
    assert rows.get_column("start_time").to_list() == [(START + offset) / 1000 for offset in (0, 10, 20, 30)]
    assert rows.get_column("end_time").to_list() == [
        (START + offset) / 1000 for offset in (250, 110, 20, 2030)
    ]
    assert parsed.rejects.is_empty()
    assert parsed.facts == {"other records": 4, "errors of the simulation": 1}


@pytest.mark.parametrize("chunk_bytes", [1, 7, 100])
@pytest.mark.parametrize("batch_rows", [1, 3])
def test_any_size_of_chunks_and_batches_gives_the_same(
    tmp_path: Path, chunk_bytes: int, batch_rows: int
) -> None:
    expected = read(tmp_path, log().data)
    parts, error = parts_of(tmp_path / "simulation.log", chunk_bytes=chunk_bytes, batch_rows=batch_rows)
    assert error is None
    assert max(part.rows.height for part in parts) == batch_rows
    parsed = joined(parts)
    assert parsed.rows.equals(expected.rows)
    assert parsed.facts == expected.facts


def test_a_compressed_log_and_logs_put_together_are_read(tmp_path: Path) -> None:
    data = log().data + Writer().run(start=0).request("Later", 1, 2).data
    parsed = read(tmp_path, gzip.compress(data))
    assert labels(parsed) == [*LABELS, "Later"]
    assert parsed.rows.get_column("start_time").to_list()[-1] == 0.001


def test_a_torn_last_record_is_a_reject(tmp_path: Path) -> None:
    writer = log()
    for end in range(writer.ends[-2] + 1, writer.ends[-1]):
        parsed = read(tmp_path, writer.data[:end])
        torn = writer.data[writer.ends[-2] : end][:64].hex()
        assert labels(parsed) == LABELS[:-1]
        assert parsed.rejects.rows() == [(8, "", "torn last record", torn)]


@pytest.mark.parametrize(("start", "end", "column"), [(-5, 10, "start"), (20, 10, "end"), (11, 10, "end")])
def test_a_request_of_impossible_times_is_rejected_alone(
    tmp_path: Path, start: int, end: int, column: str
) -> None:
    parsed = read(tmp_path, log().request("Bad", start, end).request("Good", 1, 2).data)
    assert labels(parsed) == [*LABELS, "Good"]
    assert parsed.rejects.row(0)[:2] == (9, column)
    assert parsed.rejects.row(0)[3] == f"Bad\t{start}\t{end}\tOK\t"


def damaged(*values: Any, layout: str = "b") -> bytes:
    return struct.pack(f">{layout}", *values)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (damaged(9), "got 9, expected the kind of a record from 0 to 4"),
        (damaged(1, 0, 99, layout="bii"), "got 99, expected the number of one of 8 strings or the next"),
        (damaged(1, 0, -99, layout="bii"), "got -99, expected the number of one of 8 strings or the next"),
        (damaged(1, 0, 0, layout="bii"), "got 0, expected the number of one of 8 strings or the next"),
        (damaged(1, -1, layout="bi"), "got -1, expected a number of things"),
        (
            damaged(1, 0, 9, 2**31 - 1, layout="biii"),
            r"got 2,147,483,647, expected a length of 0 to 65,536 b",
        ),
        (damaged(1, 0, 9, -1, layout="biii"), "got -1, expected a length of 0 to 65,536 bytes"),
        (damaged(1, 0, -1, 1, 2, 7, -2, layout="biiiibi"), "got 7, expected a truth value of 0 or 1"),
        (damaged(2, 2, 1, 1, layout="bibi"), "got 2, expected one of 2 scenarios"),
        (damaged(0, 3, b"abc", 0, layout="bi3sb"), "got 'abc', expected a version of Gatling"),
    ],
)
def test_a_damaged_record_stops_after_the_rows_before_it(tmp_path: Path, record: bytes, reason: str) -> None:
    path = tmp_path / "simulation.log"
    good = log().data
    path.write_bytes(good + record + bytes(100))
    parts, error = parts_of(path)
    assert labels(joined(parts)) == LABELS
    assert isinstance(error, InputError)
    assert f"record 9, at byte {len(good):,}, is damaged: {reason}" in str(error)
    assert f"head -c {len(good)}" in str(error)


def test_a_number_of_things_that_no_record_holds_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "simulation.log"
    record = damaged(1, 2**31 - 1, layout="bi") + damaged(-1, layout="i") * 2**19
    path.write_bytes(log().data + record)
    parts, error = parts_of(path)
    assert labels(joined(parts)) == LABELS
    assert "a record would be longer than 1,048,576 bytes" in str(error)


def test_a_damaged_compression_gives_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "simulation.log"
    path.write_bytes(gzip.compress(log().data)[:-8])  # without checksum and length
    parts, error = parts_of(path)
    assert isinstance(error, InputError)
    assert sum(part.rows.height for part in parts) in {0, 4}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the record of the run is not whole"),
        (b"\1\0\0", "it begins with the byte 1, expected 0"),
        (log().data[:50], "the record of the run is not whole"),
        (Writer().run("seven").data, "the record of the run is damaged: got 'seven', expected a version"),
        (b"RUN\tcom.example.Shop\n", "it begins with the byte 82, expected 0"),
    ],
)
def test_what_is_no_binary_log_is_refused(data: bytes, reason: str) -> None:
    assert not GATLING_BINARY.matches(head(data))
    with pytest.raises(InputError, match=f"is no binary simulation.log: {reason}"):
        GATLING_BINARY.open(head(data))


def test_the_dialect_says_what_it_is() -> None:
    assert GATLING_BINARY.matches(head(log().data))
    reader = GATLING_BINARY.open(head(log().data))
    assert dict(reader.meaning)["start"] == "start of the request, ms since the run began"
    assert GATLING_BINARY.key == ("label",)
    assert (GATLING_BINARY.clock, GATLING_BINARY.closed_loop) == ("epoch", False)
    assert len(GATLING_BINARY.warnings(head(b""), 3, {"errors of the simulation": 2})) == 2


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), end=st.integers(1, 10**6) | st.none())
@examples(20)
def test_flipped_bytes_and_cuts_give_rows_or_an_error(
    tmp_path: Path, at: int, byte: int, end: int | None
) -> None:
    writer = log()
    data = bytearray(writer.data)
    at %= len(data)
    data[at] = byte
    path = tmp_path / "simulation.log"
    path.write_bytes(bytes(data[: len(data) if end is None else max(1, end % len(data))]))
    parts, _ = parts_of(path)
    rows = [row for part in parts for row in part.rows.iter_rows()]
    # Records before the damage are read as ever; requests are the records 2 and 6 to 8.
    whole = sum(stop <= min(at, path.stat().st_size) for stop in writer.ends)
    count = sum(number <= whole for number in (2, 6, 7, 8))
    path.write_bytes(writer.data)
    assert rows[:count] == joined(parts_of(path)[0]).rows.rows()[:count]


class Reader:
    """Reads records by another way: from an iterator of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.strings: dict[int, str] = {}

    def take(self, layout: str) -> Any:
        size = struct.calcsize(f">{layout}")
        value, self.data = struct.unpack(f">{layout}", self.data[:size]), self.data[size:]
        return value[0] if len(value) == 1 else value

    def text(self) -> str:
        size = self.take("i")
        if not size:
            return ""
        encoded = self.take(f"{size}s")
        return str(encoded, "utf-16-le" if self.take("b") else "latin-1")

    def cached(self) -> str:
        index = self.take("i")
        if index > 0:
            self.strings[index] = self.text()
        return self.strings[abs(index)]

    def requests(self) -> list[tuple[str, int, int, bool]]:
        found, start = [], 0
        while self.data:
            kind = self.take("b")
            if kind == 0:
                self.text(), self.text()
                start = self.take("q")
                self.text()
                for _ in range(self.take("i")):
                    self.text()
                assert self.take("i") == 0
            elif kind == 1:
                assert self.take("i") == 0
                name, (begin, end, ok) = self.cached(), self.take("iib")
                self.cached()
                found.append((name, start + begin, start + end, bool(ok)))
            else:
                assert kind == 2
                self.take("ibi")
        return found


@pytest.mark.skipif(not SHARED_BINARIES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_BINARIES, ids=lambda path: path.stem)
def test_recorded_logs_agree_with_an_independent_reading(path: Path) -> None:
    parts, error = parts_of(path)
    assert error is None
    parsed, expected = joined(parts), Reader(path.read_bytes()).requests()
    rows = parsed.rows
    assert parsed.rejects.is_empty()
    assert Counter(labels(parsed)) == Counter(name for name, *_ in expected)
    assert rows.get_column("success").to_list() == [ok for *_, ok in expected]
    assert rows.get_column("start_time").to_list() == [start / 1000 for _, start, _, _ in expected]
    assert rows.get_column("end_time").to_list() == [end / 1000 for _, _, end, _ in expected]
    latencies = [end - start for _, start, end, _ in expected]
    assert rows.get_column("invocation_latency").to_list() == latencies
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


@pytest.mark.skipif(not KNOWN_STATISTICS.exists(), reason="the recorded logs are not here")
def test_gatlings_own_statistics_of_its_sample_are_met() -> None:
    """Gatling tests its reader with this file: the figures are those that it expects."""
    rows = joined(parts_of(KNOWN_STATISTICS)[0]).rows
    latency = rows.get_column("invocation_latency")
    assert (latency.min(), latency.max()) == (87, 368)
    assert latency.quantile(0.70, "nearest") == 113
    assert latency.quantile(0.99, "nearest") == 368
    assert Counter(rows.get_column("success")) == {True: 104, False: 1}
