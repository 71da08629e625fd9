"""Whatever happens to a file, it is read with rejects or refused: no traceback, no panic, no hang."""

import contextlib
import csv
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loadlens
from loadlens.text.typed_rows import MAX_RAW_CHARACTERS
from tests.dialect_logs import KINDS, Sample, sample
from tests.extent import some_of

EXAMPLES = int(os.environ.get("LOADLENS_FUZZ_EXAMPLES", "3"))
"""For each dialect; a thousand take minutes."""

SECONDS = 30
ROWS = 12
SAMPLES = {name: sample(name, rows=ROWS) for name in KINDS}
LINES = [name for name in KINDS if name not in {"jmeter-xml", "gatling-binary", "oha-sqlite"}]

Change = Callable[[bytes], bytes]


def flipped(place: float, byte: int) -> Change:
    return lambda data: _spliced(data, place, bytes([byte]), 1)


def inserted(place: float, more: bytes) -> Change:
    return lambda data: _spliced(data, place, more, 0)


def removed(place: float, length: int) -> Change:
    return lambda data: _spliced(data, place, b"", length)


def cut(place: float) -> Change:
    return lambda data: data[: int(place * len(data))]


def doubled(place: float, length: int) -> Change:
    return lambda data: _spliced(data, place, data[int(place * len(data)) :][:length], 0)


def _spliced(data: bytes, place: float, more: bytes, length: int) -> bytes:
    at = int(place * len(data))
    return data[:at] + more + data[at + length :]


places = st.floats(0, 1, exclude_max=True)
odd_bytes = st.one_of(st.sampled_from(b'\0\t\n\r",;:-.+0e{}[]<>\\\x7f\xff\xc3'), st.integers(0, 255))
odd_texts = st.sampled_from(
    [b'"', b"\n\n", b"\r", b"\0" * 9, b"NaN", b"-1", b"1e999", b"9" * 40, b"\xed\xa0\x80", b"\\ud800", b"{",
     b"[" * 3000, b'"' * 3001, b",", b"\xef\xbb\xbf", b"null", b"<!--", b"&x;", b"=1", b"\x1f\x8b"]
)  # fmt: skip
changes = st.lists(
    st.one_of(
        st.builds(flipped, places, odd_bytes),
        st.builds(inserted, places, odd_texts),
        st.builds(removed, places, st.integers(1, 300)),
        st.builds(doubled, places, st.integers(1, 300)),
        st.builds(cut, places),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, by: list[Change]) -> bytes:
    for change in by:
        data = change(data)
    return data


def read(path: Path, data: bytes, *entries: str) -> loadlens.Log | None:
    """Reads a whole file, if it is a log; anything but a LoadlensError on the way is a failure."""
    path.write_bytes(data)
    began = time.process_time()  # whatever else the machine does
    problems: tuple[str, ...] = ()
    try:
        log = loadlens.read_log(path, column_map=entries or None, max_rejects="100%")
        rows = log.frame.collect()
    except loadlens.LoadlensError as error:
        problems = error.problems
    assert time.process_time() - began < SECONDS
    if problems:
        assert problems[0].startswith(str(path))
        return None
    assert rows.height == log.findings.rows
    assert rows.height or not log.findings.rejected  # a log of bad rows alone is refused
    assert log.findings.reasons.total() == log.findings.rejected
    return log


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "log"


@pytest.mark.parametrize("dialect", some_of(KINDS, 2))
def test_any_damage_is_told(path: Path, dialect: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(by=changes)
    def check(by: list[Change]) -> None:
        read(path, damaged(SAMPLES[dialect].data, by))

    check()


MAPPED = {
    "csv": b"ms,at,code,url\n" + b"".join(b"%d,%d,200,/a\n" % (at, 1_700_000_000 + at) for at in range(ROWS)),
    "ndjson": b"".join(b'{"ms": %d, "at": %d, "code": 200, "url": "/a"}\n' % (at, at) for at in range(ROWS)),
}


@pytest.mark.parametrize("kind", MAPPED)
def test_any_damage_of_a_home_made_log_is_told(path: Path, kind: str) -> None:
    entries = ("latency=ms:ms", "end=at:epoch_s", "success=code<400", "label=url")

    @settings(max_examples=EXAMPLES)
    @given(by=changes)
    def check(by: list[Change]) -> None:
        read(path, damaged(MAPPED[kind], by), *entries)

    check()


@pytest.mark.parametrize("dialect", some_of(LINES, 2, first=1))
def test_a_flipped_byte_damages_no_other_row(path: Path, dialect: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(place=places, byte=odd_bytes)
    def check(place: float, byte: int) -> None:
        whole = SAMPLES[dialect]
        log = read(path, flipped(place, byte)(whole.data))
        begin = int(place * len(whole.data)) <= whole.data.index(b"\n")
        if log is None:
            assert begin
            return
        lost = ROWS - log.findings.rows
        assert lost <= _most_lost(whole, place, byte) or begin

    check()


def _most_lost(whole: Sample, place: float, byte: int) -> int:
    """A changed byte is in one row; the break between two belongs to both."""
    return 1 + (whole.data[int(place * len(whole.data))] == ord("\n") != byte)


@pytest.mark.parametrize("dialect", some_of(KINDS, 2, first=1))
def test_a_cut_file_keeps_its_whole_rows(path: Path, dialect: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(place=places)
    def check(place: float) -> None:
        whole = SAMPLES[dialect]
        data = cut(place)(whole.data)
        log = read(path, data)
        if log is not None and dialect in LINES:
            ends = data.count(b"\n") * ROWS // whole.data.count(b"\n")
            assert log.findings.rows >= ends - 1
            assert log.findings.rejected <= 1

    check()


@pytest.mark.parametrize("dialect", ["k6-csv", "vegeta-json", "jmeter-xml"])
def test_damage_of_compressed_data_is_told(path: Path, dialect: str) -> None:
    packed = gzip.compress(SAMPLES[dialect].data)

    @settings(max_examples=EXAMPLES)
    @given(by=changes)
    def check(by: list[Change]) -> None:
        read(path, damaged(packed, by))

    check()


@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=300))
@pytest.mark.parametrize("begin", [b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1", b"SQLite format 3\0"])
def test_no_bytes_are_beyond_a_message(path: Path, begin: bytes, data: bytes) -> None:
    assert read(path, begin + data) is None


@settings(max_examples=EXAMPLES)
@given(by=changes, dialect=st.sampled_from(sorted(KINDS)), other=st.sampled_from(sorted(KINDS)))
def test_a_named_format_that_a_file_does_not_have_is_told(
    path: Path, by: list[Change], dialect: str, other: str
) -> None:
    path.write_bytes(damaged(SAMPLES[dialect].data, by))
    with contextlib.suppress(loadlens.LoadlensError):
        log = loadlens.read_log(path, format=other, max_rejects="100%")
        assert log.frame.collect().height == log.findings.rows


@settings(max_examples=EXAMPLES)
@given(by=changes, dialect=st.sampled_from(sorted(KINDS)))
def test_what_is_left_of_a_log_can_be_summarised(path: Path, by: list[Change], dialect: str) -> None:
    log = read(path, damaged(SAMPLES[dialect].data, by))
    if log is not None and log.findings.rows:
        result = loadlens.summarize(log, log.key)
        assert result.quality["num_rows"].sum() == log.findings.rows


@settings(max_examples=EXAMPLES)
@given(by=changes, dialect=st.sampled_from(LINES))
def test_rejects_are_bounded_text_with_lines_of_the_file(path: Path, by: list[Change], dialect: str) -> None:
    data = damaged(SAMPLES[dialect].data, by)
    log = read(path, data)
    if log is None or not log.findings.rejected:
        return
    rejects = path.with_name("rejects.csv")
    log.findings.write_rejects(rejects)
    with rejects.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == log.findings.rejected
    assert all(1 <= int(row["line"]) <= data.count(b"\n") + 1 for row in rows)
    assert all(row["reason"] and len(row["raw"]) <= MAX_RAW_CHARACTERS for row in rows)


def test_a_damaged_schema_of_a_database_is_told(path: Path) -> None:
    data = SAMPLES["oha-sqlite"].data.replace(b"run INTEGER NOT NULL", b"run INTEGER NOT \xbc\xbcLL")
    assert read(path, data) is None
