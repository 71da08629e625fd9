"""Price tables, gates and maps of columns as TOML: whatever a file holds, one line says what is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import loadlens
from loadlens.errors import LoadlensError
from loadlens.logs import ColumnMap
from tests.extent import combinations

EXAMPLES = int(os.environ.get("LOADLENS_FUZZ_EXAMPLES", "60"))

Reader = Callable[[Path], object]
READERS: dict[str, Reader] = {
    "prices": loadlens.load_prices,
    "gates": loadlens.read_gates,
    "map": ColumnMap.from_toml,
}
GOOD = {
    "prices": b'kind = "instances"\n[instance_per_hour]\n"ml.c5.large" = 0.102\n',
    "gates": b'[[gate]]\nslo = "p99 < 300ms"\nname = "fast"\n',
    "map": b'latency = "elapsed:ms"\nend = "ts:epoch_ms"\nno_header = false\n',
}
BAD = {
    "deep": b"a = " + b"[" * 100_000,
    "deep tables": b"a" + b".a" * 100_000 + b" = 1",
    "a long line": b"a" * 2**20,
    "quotes": b'"' * 2**20,
    "a long number": b"a = " + b"9" * 100_000,
    "infinity": b"kind = inf",
    "a date": b"gate = 1979-05-27",
    "no UTF-8": b"a = '\xff'",
    "half a pair": b'a = "\\ud800"',
    "a NUL": b"a = \0",
    "nothing": b"",
    "too large": b"#" * (2**24 + 1),
}


def refused(read: Reader, path: object) -> str:
    with pytest.raises(LoadlensError) as told:
        read(path)  # type: ignore[arg-type]  # whatever is given
    assert all("\n" not in problem for problem in told.value.problems)
    return str(told.value)


@pytest.mark.parametrize(("kind", "what"), combinations(READERS, BAD, one_in=3))
def test_what_is_none_is_refused_in_one_line(tmp_path: Path, kind: str, what: str) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(BAD[what])
    assert "file.toml" in refused(READERS[kind], path)


@pytest.mark.parametrize("kind", READERS)
def test_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    others = ("/dev/zero", tmp_path / "pipe", tmp_path, tmp_path / "none", "x" * 5000)
    for path in others:
        assert "cannot be read" in refused(READERS[kind], path)
    assert "NUL" in refused(READERS[kind], "a\0b")


@pytest.mark.parametrize("kind", READERS)
def test_good_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(GOOD[kind])
    assert READERS[kind](path)


pieces = st.sampled_from(
    [b"[", b"]", b"[[", b"=", b"\n", b'"', b"'", b'"""', b".", b"{", b"}", b"9" * 30, b"-", b"nan", b"inf",
     b"true",
     b"1979-05-27T07:32:00Z", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"\xe2\x80\xae",
     b"gate", b"slo", b"kind", b"latency"]
)  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@settings(
    max_examples=EXAMPLES,
    deadline=5000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), pieces), min_size=1, max_size=6))
def test_damaged_files_are_read_or_refused(
    tmp_path: Path, kind: str, changes: list[tuple[float, int, bytes]]
) -> None:
    data = GOOD[kind]
    for place, length, piece in changes:
        at = int(place * len(data))
        data = data[:at] + piece + data[at + length :]
    path = tmp_path / "file.toml"
    path.write_bytes(data)
    try:
        READERS[kind](path)
    except LoadlensError as error:
        problems = error.problems
    else:
        return
    assert all(problem and "\n" not in problem for problem in problems)
