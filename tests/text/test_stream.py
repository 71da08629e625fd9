import gzip
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from loadlens.errors import InputError
from loadlens.text.stream import HEAD_BYTES, UNCHECKED_BYTES, Head, open_stream, read_head

TEXT = b"".join(b"%d,some text\n" % number for number in range(100_000))


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def same(data: bytes) -> bytes:
    return data


COMPRESSIONS = {"": same, "gzip": gzip.compress, "zstd": zstd}


def stored(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.log"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_size_of_compressed_text_is_estimated(tmp_path: Path, compression: str) -> None:
    chosen = random.Random(5)
    text = b"".join(b"%d,%d,some text\n" % (row, chosen.randrange(10**6)) for row in range(50_000))
    path = stored(tmp_path, COMPRESSIONS[compression](text))
    assert read_head(path).text_bytes == pytest.approx(len(text), rel=0.5 if compression else 0)
    path.write_bytes(COMPRESSIONS[compression](b"a\n"))
    assert read_head(path).text_bytes == 2


def content(path: Path) -> bytes:
    with open_stream(path) as stream:
        return stream.read()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_any_compression_is_told_by_content(tmp_path: Path, compression: str) -> None:
    path = stored(tmp_path, COMPRESSIONS[compression](TEXT))
    head = read_head(path)
    assert content(path) == TEXT
    assert head.compression == compression
    assert head.data == TEXT[:HEAD_BYTES]
    assert head.size == path.stat().st_size


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_compressed_files_that_were_put_together_are_read_whole(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    assert content(stored(tmp_path, compress(b"a\n") + compress(b"b\n"))) == b"a\nb\n"


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_compressed_file_that_is_cut_off_is_refused(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    packed = compress(TEXT)
    path = stored(tmp_path, packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"a\.log: is damaged or cut off after [\d,]+ decompressed bytes"):
        content(path)


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_compressed_file_with_a_wrong_byte_gives_an_error_or_text(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    packed = bytearray(compress(TEXT[:2000]))
    for place in range(4, len(packed)):
        packed[place] ^= 0x55
        try:
            content(stored(tmp_path, bytes(packed)))
        except InputError as error:
            assert "damaged" in str(error)  # noqa: PT017  # not every wrong byte shows
        packed[place] ^= 0x55


def test_a_compression_bomb_is_stopped(tmp_path: Path) -> None:
    path = stored(tmp_path, zstd(bytes(UNCHECKED_BYTES + 2**20)))
    with pytest.raises(InputError, match="at most 1000 times the size"):
        content(path)


def test_what_compresses_well_is_no_bomb_while_it_is_small(tmp_path: Path) -> None:
    assert len(content(stored(tmp_path, zstd(bytes(10 * 2**20))))) == 10 * 2**20


def test_a_missing_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_head(tmp_path / "missing")
    with pytest.raises(InputError, match="is empty"):
        read_head(stored(tmp_path, b""))
    with pytest.raises(InputError, match="cannot be read"):
        read_head(tmp_path)


def test_the_head_has_complete_lines_only(tmp_path: Path) -> None:
    head = read_head(stored(tmp_path, TEXT))
    assert not head.is_whole
    assert "\n".join(head.lines) + "\n" == TEXT[: TEXT.rindex(b"\n", 0, HEAD_BYTES) + 1].decode()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\r\nb\n", ("a", "b")),
        (b"\xef\xbb\xbfa\n\nb", ("a", "", "b")),
        (b"\xff\n", ("�",)),
        (b"a\x0bb\n", ("a\x0bb",)),
    ],
)
def test_lines_of_a_short_file(data: bytes, lines: tuple[str, ...]) -> None:
    assert Head(path=Path("a"), data=data, size=len(data)).lines == lines


def test_lines_of_many_files_do_not_fill_memory() -> None:
    tracemalloc.start()
    try:
        heads = [Head(path=Path(f"{n}"), data=b"%d\n" % n + b"x\n" * 10_000, size=1) for n in range(60)]
        assert [head.lines[0] for head in heads] == [str(n) for n in range(60)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 60 * 60_000  # lines of 10,000 take 80 kB in a tuple alone
