"""Text in UTF-16, as PowerShell writes what a command prints, is read as the same text in UTF-8 is."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError
from loadlens.text.stream import open_stream
from tests.dialect_logs import KINDS, sample
from tests.extent import combinations

TEXTS = [name for name in KINDS if name not in {"gatling-binary", "oha-sqlite"}]
MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


def rows_of(path: Path, *column_map: str) -> pl.DataFrame:
    rows = loadlens.read_log(path, column_map=column_map or None).frame.collect()
    assert isinstance(rows, pl.DataFrame)
    return rows


@pytest.mark.parametrize(("dialect", "encoding"), combinations(TEXTS, MARKS))
def test_a_log_of_any_tool_may_be_in_utf_16(dialect: str, encoding: str, tmp_path: Path) -> None:
    text = sample(dialect, 30).data.decode().replace("\n", "\r\n")
    (tmp_path / "utf8").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "utf16").write_bytes(MARKS[encoding] + text.encode(encoding))
    assert_frame_equal(rows_of(tmp_path / "utf16"), rows_of(tmp_path / "utf8"))


def test_compressed_and_mapped_text_may_be_in_utf_16(tmp_path: Path) -> None:
    text = "ms,name\n5,Grüße 😀\n7,b\n"
    (tmp_path / "a.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode("utf-16")))
    for path in tmp_path.iterdir():
        rows = rows_of(path, "latency=ms:ms", "label=name")
        assert rows["label"].to_list() == ["Grüße 😀", "b"]


def test_xml_that_says_utf_16_is_read(tmp_path: Path) -> None:
    text = sample("jmeter-xml", 5).data.decode().replace("UTF-8", "UTF-16")
    (tmp_path / "run.jtl").write_bytes(text.encode("utf-16"))
    assert rows_of(tmp_path / "run.jtl").height == 5


def test_a_large_file_is_read_in_parts_of_any_size(tmp_path: Path) -> None:
    text = "é😀x\n" * 200_000
    path = tmp_path / "log"
    path.write_bytes(text.encode("utf-16"))
    with open_stream(path) as stream:
        assert stream.read(5) == text.encode()[:5]
        assert b"".join(iter(lambda: stream.read(70_001), b"")) == text.encode()[5:]


def test_what_is_no_character_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("a\n".encode("utf-16") + b"\x00\xd8" + b"b\0" + b"c")
    with open_stream(path) as stream:
        assert stream.read().decode() == "a\n\ufffdb\ufffd"


def test_utf_16_without_a_mark_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(sample("hey-csv", 5).data.decode().encode("utf-16-le"))
    with pytest.raises(InputError, match="text in UTF-16 without a byte order mark; expected text in UTF-8"):
        loadlens.read_log(path)
