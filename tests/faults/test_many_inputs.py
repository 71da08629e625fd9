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

import polars as pl
import pytest

import loadlens
from loadlens.gates import parse_gates, read_gates
from loadlens.sources.mapping import ColumnMap
from tests.dialect_logs import KINDS, sample
from tests.faults.logs import invocations

FEW = 400
MANY = int(os.environ.get("LOADLENS_FUZZ_INPUTS", "1000000"))
SEED = int(os.environ.get("LOADLENS_FUZZ_SEED", "1"))
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm"),
    pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]),
]
SHARES = {"text": 0.2, "rows": 0.2, "gates": 0.4, "toml": 0.17, "profiles": 0.02, "names": 0.01}
SECONDS = 5
ROWS = 12
LINES = [name for name in KINDS if name not in {"jmeter-xml", "gatling-binary", "oha-sqlite"}]
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


def told(error: loadlens.LoadlensError) -> None:
    assert error.problems
    assert all(problem.strip() for problem in error.problems)


def changed(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 3)):
        at, length = draw.randrange(len(data) + 1), draw.choice([0, 1, 1, 3, 30])
        more = draw.choice([b"", bytes([draw.randrange(256)]), draw.choice(ODD), data[at : at + 40]])
        data = data[:at] + more + data[at + length :]
    return data


def inputs(amount: int, kind: str, share: float = 1.0) -> Iterator[random.Random]:
    for number in range(max(int(amount * SHARES[kind] * share), 3)):
        yield random.Random(f"{SEED} {kind} {share} {number}")


def read(path: Path, data: bytes, shown: object, **options: object) -> loadlens.Log | None:
    path.write_bytes(data)
    try:
        with watched(shown):
            found = loadlens.read_log(path, max_rejects="100%", **options)  # type: ignore[arg-type]
            rows = found.frame.collect().height
    except loadlens.LoadlensError as error:
        told(error)
        return None
    assert rows == found.findings.rows
    return found


@pytest.mark.parametrize("dialect", KINDS)
def test_texts(tmp_path: Path, dialect: str, amount: int) -> None:
    whole = sample(dialect, rows=ROWS).data
    for draw in inputs(amount, "text", 1 / len(KINDS)):
        data = changed(whole, draw)
        read(tmp_path / "log", data, data)


@pytest.mark.parametrize("dialect", LINES)
def test_a_damaged_line_costs_no_other_row(tmp_path: Path, dialect: str, amount: int) -> None:
    """Bytes of one line are changed, its end and all other lines are not."""
    lines = sample(dialect, rows=ROWS).data.splitlines(keepends=True)
    intact = read(tmp_path / "log", b"".join(lines), dialect, format=dialect)
    assert intact is not None
    assert intact.findings.rows == ROWS
    for draw in inputs(amount, "rows", 1 / len(LINES)):
        at = draw.randrange(1, len(lines))
        line = changed(lines[at].rstrip(b"\n"), draw).replace(b"\n", b" ").replace(b"\r", b" ")
        data = b"".join([*lines[:at], line, b"\n", *lines[at + 1 :]])
        found = read(tmp_path / "log", data, data, format=dialect)
        assert found is not None, data
        assert found.findings.rows >= ROWS - 1, data


GATES = (
    "p99 < 300ms", "error_rate < 1%", "throughput >= 50/s", '99.5% < 1s for label="GET /c"', "count > 3",
    "p99.9 < 1s within 60s of every window filtered", "share(<=300ms) >= 99% for a=1, 'b c'=null",
    "median < 5us",
)  # fmt: skip


def test_gates(amount: int) -> None:
    for draw in inputs(amount, "gates"):
        text = changed(draw.choice(GATES).encode(), draw).decode(errors="surrogateescape")
        try:
            with watched(text):
                parse_gates([text])
        except loadlens.LoadlensError as error:
            told(error)


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
    for draw in inputs(amount, "toml", 1 / len(TOML)):
        path.write_bytes(data := changed(text.encode(), draw))
        try:
            with watched(data):
                load(path)
        except loadlens.LoadlensError as error:
            told(error)


def test_profiles(tmp_path: Path, amount: int) -> None:
    saved, path = tmp_path / "whole.profile", tmp_path / "damaged.profile"
    loadlens.profile_log(invocations(300), saved, by=("memory_size",))
    whole = saved.read_bytes()
    for draw in inputs(amount, "profiles"):
        data = changed(whole, draw)
        if data == whole:
            continue
        path.write_bytes(data)
        with pytest.raises(loadlens.LoadlensError), watched(draw):
            loadlens.load_profile(path)


def odd_name(draw: random.Random) -> str:
    made = b"".join(
        draw.choice([*ODD, b"label", b"key:x", b"code", b"count"]) for _ in range(draw.randint(1, 4))
    )
    return made.decode(errors="replace")


def test_names_of_columns_and_labels(amount: int) -> None:
    for draw in inputs(amount, "names"):
        name = odd_name(draw)
        rows = pl.DataFrame(
            {"invocation_latency": [1.0, 2.0, 3.0], name: [odd_name(draw), None, odd_name(draw)]}
        )
        try:
            with watched(rows.to_dict(as_series=False)):
                found = loadlens.summarize(rows, by=(name,)).summary
        except loadlens.LoadlensError as error:
            told(error)
            continue
        assert found["num_invocations"].sum() == 3
