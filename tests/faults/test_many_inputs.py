"""Very many damaged inputs: no traceback, no hang, no good row lost.

A few of each kind are tried always; with ``pytest -m slow`` a million in all, or ``LOADLENS_FUZZ_INPUTS``.
``LOADLENS_FUZZ_SEED`` draws others.
"""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loadlens
from loadlens.gates import parse_gates, read_gates
from loadlens.logs.column_map import ColumnMap
from loadlens.logs.metadata import PROFILE_FACTS
from loadlens.storage.checksum import write_checksum
from tests.dialect_logs import KINDS, START_MS, csv_text, sample
from tests.extent import some_of
from tests.faults.logs import invocations

FEW = 400
MANY = int(os.environ.get("LOADLENS_FUZZ_INPUTS", "1000000"))
SEED = int(os.environ.get("LOADLENS_FUZZ_SEED", "1"))
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm"),
    pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]),
]
SHARES = {
    "text": 0.015,
    "rows": 0.015,
    "gates": 0.73,
    "toml": 0.15,
    "profiles": 0.01,
    "sealed profiles": 0.01,
    "names": 0.01,
    "labels": 0.06,
}
"""What of all inputs is of which kind: texts, profiles and names take 5 to 30 ms, the others below 1 ms."""

SECONDS = 5
ROWS = 12
LABELS = 50
"""In one file."""

MOST_ESCAPES = 20
"""After as many, others of the same kind are not looked for."""

LINES = [name for name in KINDS if name not in {"gatling-binary", "oha-sqlite"}]
ODD = [
    b'"', b"\n\n", b"\r", b"\0" * 9, b"NaN", b"-1", b"1e999", b"9" * 40, b"\xed\xa0\x80", b"\\ud800", b"{",
    b"[" * 99, b",", b"\xef\xbb\xbf", b"null", b"<!--", b"&x;", b"=1", b"\x1f\x8b", b"\t", b";", b"\xff",
    b"'", b"\xe2\x80\xae",
]  # fmt: skip


@contextmanager
def watched(shown: object) -> Iterator[None]:
    """Fails where an input takes longer than ``SECONDS`` of the processor."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError(f"hangs: {shown!r}")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    except (loadlens.LoadlensError, AssertionError):
        raise
    except BaseException as error:
        raise AssertionError(f"{type(error).__name__}: {error} of {shown!r}") from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def taken(shown: object, read: Callable[[], Any]) -> Any:
    """What an input is read as; None where it is refused, in words."""
    try:
        with watched(shown):
            return read()
    except loadlens.LoadlensError as error:
        problems = error.problems
    assert problems, shown
    assert all(problem.strip() for problem in problems), shown
    return None


def each_of(amount: int, kind: str, share: float, check: Callable[[random.Random], None]) -> None:
    """Checks a share of the inputs of a kind, and fails with those that escape."""
    escapes: list[str] = []
    for number in range(max(int(amount * SHARES[kind] * share), 3)):
        try:
            check(random.Random(f"{SEED} {kind} {share} {number}"))
        except AssertionError as error:
            escapes.append(str(error))
        if len(escapes) == MOST_ESCAPES:
            break
    assert not escapes, "\n\n".join(escapes)


def changed(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 3)):
        at, length = draw.randrange(len(data) + 1), draw.choice([0, 1, 1, 3, 30])
        more = draw.choice([b"", bytes([draw.randrange(256)]), draw.choice(ODD), data[at : at + 40]])
        data = data[:at] + more + data[at + length :]
    return data


def rows_of(path: Path, data: bytes, dialect: str | None = None) -> pl.DataFrame:
    path.write_bytes(data)
    found = loadlens.read_log(path, max_rejects="100%", format=dialect)
    rows = found.frame.collect()
    assert rows.height == found.findings.rows, data
    return rows


@pytest.mark.parametrize("dialect", some_of(KINDS, 2))
def test_texts(tmp_path: Path, dialect: str, amount: int) -> None:
    whole = sample(dialect, rows=ROWS).data

    def check(draw: random.Random) -> None:
        data = changed(whole, draw)
        taken(data, lambda: rows_of(tmp_path / "log", data))

    each_of(amount, "text", 1 / len(KINDS), check)


@pytest.mark.parametrize("dialect", some_of(LINES, 2, first=1))
def test_a_damaged_line_costs_no_other_row(tmp_path: Path, dialect: str, amount: int) -> None:
    """Bytes of one line are changed, its end and all other lines are not."""
    lines = sample(dialect, rows=ROWS).data.splitlines(keepends=True)
    intact = rows_of(tmp_path / "log", b"".join(lines), dialect)
    assert intact.height == ROWS
    first, last = (2, len(lines) - 1) if dialect == "jmeter-xml" else (1, len(lines))

    def check(draw: random.Random) -> None:
        at = draw.randrange(first, last)
        line = changed(lines[at].rstrip(b"\n"), draw).replace(b"\n", b" ").replace(b"\r", b" ")
        data = b"".join([*lines[:at], line, b"\n", *lines[at + 1 :]])
        found = taken(data, lambda: rows_of(tmp_path / "log", data, dialect))
        assert found is not None, data
        assert found.height >= ROWS - 1, data
        assert len(set(intact.rows()) - set(found.select(intact.columns).rows())) <= 1, data

    each_of(amount, "rows", 1 / len(LINES), check)


GATES = (
    "p99 < 300ms", "error_rate < 1%", "throughput >= 50/s", '99.5% < 1s for label="GET /c"', "count > 3",
    "p99.9 < 1s within 60s of every window filtered", "share(<=300ms) >= 99% for a=1, 'b c'=null",
    "median < 5us",
)  # fmt: skip


def test_gates(amount: int) -> None:
    def check(draw: random.Random) -> None:
        text = changed(draw.choice(GATES).encode(), draw).decode(errors="surrogateescape")
        taken(text, lambda: parse_gates([text]))

    each_of(amount, "gates", 1, check)


PRICES = """
name = "a"
region = "r"
currency = "USD"
valid_from = 2022-04-21
source = "s"
[per_second]
1024 = 0.00002
2048 = 0.00004
[data]
per_gib = 0.016
"""
SLOS = """
[[gate]]
name = "fast"
slo = "p99 < 300ms"
[[gate]]
slo = "error_rate < 1%"
"""
COLUMNS = """
latency = "elapsed:ms"
start = "at:epoch_s"
success = "code<400"
"""
TOML: dict[str, tuple[str, Callable[[Path], object]]] = {
    "prices": (PRICES, loadlens.load_prices),
    "gates": (SLOS, read_gates),
    "map": (COLUMNS, ColumnMap.from_toml),
}


@pytest.mark.parametrize("kind", TOML)
def test_toml(tmp_path: Path, kind: str, amount: int) -> None:
    text, load = TOML[kind]
    path = tmp_path / "file.toml"

    def check(draw: random.Random) -> None:
        path.write_bytes(data := changed(text.encode(), draw))
        taken(data, lambda: load(path))

    each_of(amount, "toml", 1 / len(TOML), check)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "whole.profile"
    loadlens.profile_log(invocations(300), path, by=("memory_size",))
    return path


def test_profiles(tmp_path: Path, profile: Path, amount: int) -> None:
    whole, path = profile.read_bytes(), tmp_path / "damaged.profile"

    def check(draw: random.Random) -> None:
        data = changed(whole, draw)
        path.write_bytes(data)
        assert data == whole or taken(data, lambda: loadlens.load_profile(path)) is None, data

    each_of(amount, "profiles", 1, check)


def test_profiles_that_are_sealed_anew(tmp_path: Path, profile: Path, amount: int) -> None:
    """The checksum is right; what is in the file need not be."""
    table, facts = pl.read_parquet(profile), pl.read_parquet_metadata(profile)[PROFILE_FACTS].encode()
    path = tmp_path / "hostile.profile"

    def check(draw: random.Random) -> None:
        what, name, at = draw.choice(HOSTILE), draw.choice(table.columns), draw.randrange(table.height)
        told = changed(facts, draw) if what is same else facts
        what(table, name, at, draw).write_parquet(
            path, metadata={PROFILE_FACTS: told.decode(errors="replace")}
        )
        write_checksum(path)
        shown = (what.__name__, name, at, told)
        taken(shown, lambda: loadlens.check_gates(path, ["p99 < 1s", "throughput > 1/s"]))

    each_of(amount, "sealed profiles", 1, check)


def same(table: pl.DataFrame, _name: str, _at: int, _draw: random.Random) -> pl.DataFrame:
    return table


def without_a_row(table: pl.DataFrame, _name: str, at: int, _draw: random.Random) -> pl.DataFrame:
    return table.filter(pl.int_range(pl.len()) != at)


def with_a_row_twice(table: pl.DataFrame, _name: str, at: int, _draw: random.Random) -> pl.DataFrame:
    return pl.concat([table, table[at : at + 1]])


def with_another_column(table: pl.DataFrame, name: str, _at: int, draw: random.Random) -> pl.DataFrame:
    column = pl.col(name)
    others = [pl.lit(None), pl.lit("x"), pl.lit(-1), column.cast(pl.String), column.reverse()]
    return table.with_columns(draw.choice(others).alias(name))


def with_another_cell(table: pl.DataFrame, name: str, at: int, draw: random.Random) -> pl.DataFrame:
    dtype = table.schema[name]
    values: list[object] = [0, 1, -1, 7, -(2**63), 2**63 - 1]
    if dtype == pl.String:
        values = ["", "\0", "keys", "x" * 999]
    elif dtype == pl.Boolean:
        values = [True, False]
    cell = pl.lit(draw.choice([None, *values]), dtype=dtype)
    return table.with_columns(pl.when(pl.int_range(pl.len()) == at).then(cell).otherwise(name).alias(name))


HOSTILE = (same, without_a_row, with_a_row_twice, with_another_column, with_another_cell)


def odd_name(draw: random.Random) -> str:
    made = b"".join(
        draw.choice([*ODD, b"label", b"key:x", b"code", b"count"]) for _ in range(draw.randint(1, 4))
    )
    return made.decode(errors="replace")


def test_names_of_columns_and_labels(amount: int) -> None:
    def check(draw: random.Random) -> None:
        name = odd_name(draw)
        rows = pl.DataFrame(
            {"invocation_latency": [1.0, 2.0, 3.0], name: [odd_name(draw), None, odd_name(draw)]}
        )
        shown = rows.to_dict(as_series=False)
        found = taken(shown, lambda: loadlens.summarize(rows, by=(name,)).summary)
        assert found is None or found["num_invocations"].sum() == 3, shown

    each_of(amount, "names", 1, check)


def test_labels_of_a_text(tmp_path: Path, amount: int) -> None:
    """What a tool has quoted is a label, and every call is counted."""
    path = tmp_path / "log.jtl"
    header = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success"

    def check(draw: random.Random) -> None:
        labels = [odd_name(draw) for _ in range(LABELS)]
        # Of one thread, a label that ends in a number might be that of a part of another call.
        rows = [(START_MS + n, 5, label, 200, "OK", f"g 1-{n}", "true") for n, label in enumerate(labels)]
        path.write_bytes(csv_text(header, rows))
        found = taken(labels, lambda: loadlens.summarize(path, by=("label",)).summary)
        assert found is not None, labels
        assert found["num_invocations"].sum() == LABELS, labels
        assert found["label"].n_unique() == found.height, labels

    each_of(amount, "labels", 1 / LABELS, check)
