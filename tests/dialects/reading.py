"""How the tests of dialects read whole logs, and damage them."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from loadlens.dialects import BlockReader, Dialect
from loadlens.errors import LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import HEAD_BYTES, Head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, joined

LOGS = Path(__file__).parents[3] / "shared" / "logs"
RECORDED = Path(__file__).parent / "recorded"
BAD_BYTES = b'\0\t\n",-.0x\xc3\xff'
TIMES_DAMAGED = [15, pytest.param(150, marks=pytest.mark.slow)]
"""How often a log is damaged."""


def logs_of_others(*folders: str) -> list[Path]:
    """The logs of every tool but those whose folders are named, where they are."""
    paths = sorted(path for path in LOGS.rglob("*") if path.is_file() and path.name != "README.md")
    return [path for path in paths if path.relative_to(LOGS).parts[0] not in folders]


def head(log: str | bytes) -> Head:
    data = log.encode() if isinstance(log, str) else log
    return Head(path=Path("a.log"), data=data[:HEAD_BYTES], size=len(data))


def read(dialect: Dialect, log: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    """Reads a whole log of that dialect."""
    data = log.encode() if isinstance(log, str) else log
    reader = dialect.open(head(data))
    assert isinstance(reader, BlockReader)
    stream = io.BufferedReader(io.BytesIO(data))
    empty = Parsed(rows=pl.DataFrame(schema=reader.schema))
    parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    assert all(part.rows.schema == reader.schema for part in parts)
    assert all(part.rejects.schema == REJECT_SCHEMA for part in parts)
    return joined([empty, *parts])


def damaged(data: bytes, times: int) -> Iterator[bytes]:
    """The same log with a few bytes changed, and cut off."""
    chance = random.Random(7)  # the same damage in every run
    for _ in range(times):
        changed = bytearray(data)
        for _ in range(chance.randint(2, 5)):
            changed[chance.randrange(len(data))] = chance.choice(BAD_BYTES)
        yield bytes(changed)
        yield data[: chance.randrange(len(data))]


def check_damage(dialect: Dialect, log: str, times: int) -> None:
    """Whatever is damaged, the log is refused or read, with no more rows and rejects than it has lines."""
    for changed in damaged(log.encode(), times):
        dialect.matches(head(changed))
        try:
            parsed = read(dialect, changed)
        except LoadlensError:
            continue
        lines = len([line for line in changed.split(b"\n") if line.strip()])
        assert parsed.rows.height + parsed.rejects.height <= lines


def check_one_bad_byte(dialect: Dialect, log: str, times: int) -> None:
    """A changed byte damages the row that it is in, or the two that it joins, and no other."""
    data, chance = log.encode(), random.Random(8)
    rows = read(dialect, data).rows.height
    for _ in range(times):
        place = chance.randrange(len(data))
        changed = data[:place] + bytes([chance.choice(BAD_BYTES)]) + data[place + 1 :]
        try:
            parsed = read(dialect, changed)
        except LoadlensError:
            assert place <= data.index(b"\n")  # what a header says is needed for every row
            continue
        assert parsed.rows.height >= rows - (2 if data[place] == ord("\n") else 1), changed
