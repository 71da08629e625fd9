import io
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadlens.errors import InputError
from loadlens.text import record_blocks as framings
from loadlens.text.delimited import find_records
from loadlens.text.record_blocks import LINES, MAX_LINE_BYTES, Block, Framing, blocks, count_byte, parts_of
from loadlens.text.typed_rows import Reject

CSV = Framing(quote='"', width=3)


class Pipe(io.BytesIO):
    """A stream that cannot be read again."""

    def seekable(self) -> bool:
        return False


def cut(data: bytes, framing: Framing = CSV, *, block_bytes: int = 2**20, pipe: bool = False) -> list[Block]:
    stream = io.BufferedReader((Pipe if pipe else io.BytesIO)(data), 16)
    return list(blocks(stream, framing, block_bytes=block_bytes))


def found(parts: list[Block], framing: Framing = CSV) -> tuple[list[tuple[int, bytes]], list[Reject], int]:
    """Records with their lines, rejects and the number of blank lines."""
    records = [find_records(block, framing) for block in parts]
    kept = [
        (int(line), one.raw(index).rstrip(b"\r\n")) for one in records for index, line in enumerate(one.lines)
    ]
    return kept, [reject for one in records for reject in one.rejects], sum(one.blank for one in records)


def test_blocks_are_whole_lines_with_their_numbers() -> None:
    data = b"".join(b"%d\n" % number for number in range(1, 1000))
    parts = cut(data, LINES, block_bytes=100)
    assert b"".join(block.data for block in parts) == data
    assert [int(block.data.split(b"\n")[0]) for block in parts] == [block.first_line for block in parts]
    assert [block.index for block in parts] == list(range(len(parts)))
    assert [block.is_last for block in parts] == [False] * (len(parts) - 1) + [True]
    assert max(len(block.data) for block in parts) <= 104


def test_an_empty_stream_has_no_blocks() -> None:
    assert cut(b"") == []


def test_the_byte_order_mark_is_no_text() -> None:
    assert cut(b"\xef\xbb\xbfa,b,c\n")[0].data == b"a,b,c\n"


def test_a_line_break_in_quotes_is_no_end() -> None:
    data = b'1,"a\nb",c\n2,"x\r\n\r\ny""z",c\n3,b,c\n'
    kept, rejects, blank = found(cut(data, block_bytes=1))
    assert kept == [(1, b'1,"a\nb",c'), (3, b'2,"x\r\n\r\ny""z",c'), (6, b"3,b,c")]
    assert not rejects
    assert blank == 0


def test_only_the_line_with_a_stray_quote_is_lost() -> None:
    lines = [b"%d,b,c" % number for number in range(50)]
    lines[20] = b'20,"b,c'
    lines[30] = b'30,"b" ,c'
    kept, rejects, _ = found(cut(b"\n".join(lines)))
    assert [line for line, _ in kept] == [line + 1 for line in range(50) if line not in {20, 30}]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (21, "its quotes do not enclose whole cells"),
        (31, "its quotes do not enclose whole cells"),
    ]


def test_two_stray_quotes_do_not_swallow_the_records_between() -> None:
    kept, rejects, _ = found(cut(b'1,"b,c\n2,b,c\n3,b",c\n4,b,c\n'))
    assert [line for line, _ in kept] == [2, 3, 4]
    assert [reject.line for reject in rejects] == [1]


def test_a_quote_inside_an_unquoted_cell_is_text() -> None:
    (block,) = cut(b'1,5" pipe,c\r\n2,a"b"c,"d""e"\n')
    records = find_records(block, CSV)
    assert records.kept == b'1,"5"" pipe",c\n2,"a""b""c","d""e"\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2", "got 2 cells, expected 3"),
        (b"1", "got 1 cell, expected 3"),
        (b"1,2,3,", "got 4 cells, expected 3"),
        (b'1,",",3,4', "got 4 cells, expected 3"),
        (b'1,"2,3', "its quotes do not enclose whole cells"),
    ],
)
def test_a_line_with_a_wrong_number_of_cells_is_rejected(line: bytes, reason: str) -> None:
    kept, rejects, _ = found(cut(b"a,b,c\n" + line + b"\nd,e,f\n"))
    assert [line for line, _ in kept] == [1, 3]
    assert rejects == [Reject(2, "", reason, line.decode())]


def test_a_torn_last_line_is_told_from_a_short_one() -> None:
    assert found(cut(b"a,b,c\nd,e"))[1] == [Reject(2, "", "torn last line", "d,e")]
    assert found(cut(b"a,b,c\nd,e,f"))[1] == []


def test_blank_lines_are_counted() -> None:
    kept, rejects, blank = found(cut(b"\na,b,c\n\r\n  \nd,e,f\n\n"))
    assert [line for line, _ in kept] == [2, 5]
    assert not rejects
    assert blank == 4


def test_the_text_of_a_reject_is_bounded() -> None:
    ((reject,), _) = found(cut(b"x" * 10_000 + b"\xff\n"))[1:]
    assert reject.raw == "x" * 499 + "…"


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="from line 2 on: a line is longer than 67,108,864 bytes"):
        cut(b"a\n" + b"x" * (MAX_LINE_BYTES + 1), LINES, block_bytes=2)


def test_a_block_is_cut_into_parts_that_know_their_lines() -> None:
    data = b'a,b,c\nd,"e\ne",f\ng,h,i\n' * 20
    block = Block(data=data, first_line=100, is_last=False, index=3)
    parts = list(parts_of(block, CSV, part_bytes=30))
    assert b"".join(part.data for part in parts) == data
    assert found(parts) == found([block])
    assert {(part.index, part.is_last) for part in parts} == {(3, False)}
    assert list(parts_of(replace(block, is_last=True), CSV, part_bytes=30))[-1].is_last


def test_bytes_are_counted() -> None:
    data = b"a,b\n" * 100_000
    assert count_byte(data, ord(",")) == 100_000
    assert count_byte(data, ord(","), 8) == 2
    assert count_byte(b"", 0) == 0


TEXTS = st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b'""', b'","', b"\r\n", b"a,b,c\n"]), max_size=60)


@given(texts=TEXTS, block_bytes=st.integers(1, 40), limit=st.integers(1, 60), pipe=st.booleans())
@example(texts=[b'"', b"a,b,c\n", b'"', b",", b"a", b",", b"a", b"\n"], block_bytes=1, limit=60, pipe=False)
def test_records_do_not_depend_on_blocks(
    texts: list[bytes], block_bytes: int, limit: int, pipe: bool
) -> None:
    data = b"".join(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framings, "MAX_RECORD_BYTES", limit)
        parts = cut(data, block_bytes=block_bytes, pipe=pipe)
        assert found(parts) == found(cut(data))
    assert b"".join(block.data for block in parts) == data
    lines = accumulate((block.data.count(b"\n") for block in parts), initial=1)
    assert [block.first_line for block in parts] == list(lines)[: len(parts)]


@given(texts=TEXTS, width=st.integers(1, 4))
def test_every_line_is_a_record_a_reject_or_blank(texts: list[bytes], width: int) -> None:
    framing = Framing(quote='"', width=width)
    data = b"".join(texts)
    kept, rejects, blank = found(cut(data, framing), framing)
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    inner = sum(raw.count(b"\n") for _, raw in kept)
    assert len(kept) + inner + len(rejects) + blank == lines


@given(texts=TEXTS)
def test_a_block_that_is_called_regular_has_a_record_on_each_line(texts: list[bytes]) -> None:
    for block in cut(b"".join(texts), block_bytes=1000):
        if block.is_regular:
            assert not any(b"\n" in raw for _, raw in found([block])[0])
            assert not any("quotes" in reject.reason for reject in found([block])[1])
