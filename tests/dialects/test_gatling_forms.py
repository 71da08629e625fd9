"""One run of Gatling as text of every layout and in binary: the same calls, and the same groups."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from tests.extent import examples

START = 1_700_000_000_123
SHARED = Path(__file__).parents[3] / "shared" / "logs" / "gatling"
WITH_GROUPS = SHARED / "taurus_gatling-2-000.log"


class Row(NamedTuple):
    kind: str
    groups: tuple[str, ...]
    name: str
    start: int
    ms: int
    ok: bool
    message: str = ""


def text_of(rows: Sequence[Row], version: str) -> bytes:
    place = {"2.3.1": ["Buyers", "17"], "3.3.1": ["17"], "3.10.5": []}[version]
    lines = [["RUN", "com.example.Shop", "shop", START, " ", version], ["USER", "Buyers", "START", START]]
    for row in rows:
        times = [START + row.start, START + row.start + row.ms if row.ms >= 0 else -(2**63)]
        status = "OK" if row.ok else "KO"
        if row.kind == "REQUEST":
            lines.append(
                [row.kind, *place, ",".join(row.groups), row.name, *times, status, row.message or " "]
            )
        elif row.kind == "GROUP":
            lines.append([row.kind, *place, ",".join(row.groups), *times, row.ms // 2, status])
        elif version == "2.3.1":
            lines.append(["GROUP", "Failed to build request", START + row.start])
        else:
            lines.append(["ERROR", "Failed to build request", START + row.start])
    return "".join("\t".join(map(str, line)) + "\n" for line in lines).encode()


def binary_of(rows: Sequence[Row]) -> bytes:
    known: dict[str, int] = {}

    def text(value: str) -> bytes:
        return struct.pack(">i", len(value)) + (value.encode("latin-1") + b"\0" if value else b"")

    def cached(value: str) -> bytes:
        if value in known:
            return struct.pack(">i", -known[value])
        known[value] = len(known) + 1
        return struct.pack(">i", known[value]) + text(value)

    def record(row: Row) -> bytes:
        if row.kind == "ERROR":
            return b"\4" + cached("Failed to build request") + struct.pack(">i", row.start)
        groups = struct.pack(">i", len(row.groups)) + b"".join(cached(group) for group in row.groups)
        # The writer casts the difference to the run's start to 32 bits, whatever comes of it.
        end = row.start + row.ms if row.ms >= 0 else (-START + 2**31) % 2**32 - 2**31
        times = struct.pack(">ii", row.start, end)
        if row.kind == "GROUP":
            return b"\3" + groups + times + struct.pack(">ib", row.ms // 2, row.ok)
        return b"\1" + groups + cached(row.name) + times + struct.pack(">b", row.ok) + cached(row.message)

    run = b"\0" + text("3.12.0") + text("com.example.Shop") + struct.pack(">q", START) + text("")
    run += struct.pack(">i", 1) + text("Buyers") + struct.pack(">i", 0)
    return run + struct.pack(">bibi", 2, 0, 1, 0) + b"".join(map(record, rows))


FORMS = {
    **{
        version: lambda rows, version=version: text_of(rows, version)
        for version in ("2.3.1", "3.3.1", "3.10.5")
    },
    "binary": binary_of,
}
COLUMNS = ["label", "success", "error", "start_time", "end_time", "invocation_latency"]

RUN = [
    Row("REQUEST", (), "Home", 0, 250, True),
    Row("REQUEST", ("Cart", "Pay"), "POST", 10, 1000, False, "status.find.is(200), but actually found 503"),
    Row("GROUP", ("Cart", "Pay"), "", 5, 1100, False),
    Row("ERROR", (), "", 30, 0, False),
    Row("REQUEST", ("Cart",), "GET", 20, 0, True),
    Row("GROUP", ("Cart",), "", 0, 1500, True),
    Row("GROUP", ("Cart",), "", 2000, 500, True),
]


def rows_of(folder: Path, form: str, rows: Sequence[Row], level: str) -> tuple[pl.DataFrame, loadlens.Log]:
    path = folder / f"{form}.log"
    path.write_bytes(FORMS[form](rows))
    log = loadlens.read_log(path, level=level)
    frame = log.frame.collect()
    assert isinstance(frame, pl.DataFrame)
    return frame.select(COLUMNS), log


@pytest.mark.parametrize("form", FORMS)
def test_groups_are_transactions_with_their_spans(tmp_path: Path, form: str) -> None:
    rows, log = rows_of(tmp_path, form, RUN, "transactions")
    assert rows["label"].to_list() == ["Cart / Pay", "Cart", "Cart"]
    assert rows["invocation_latency"].to_list() == [1100, 1500, 500]
    assert rows["success"].to_list() == [False, True, True]
    assert rows["error"].to_list() == ["failed", None, None]
    assert rows["start_time"].to_list() == [(START + ms) / 1000 for ms in (5, 0, 2000)]
    summary = loadlens.summarize(log, log.key).summary
    assert summary.select("label", "num_invocations", "num_errors").rows() == [
        ("Cart", 2, 0),
        ("Cart / Pay", 1, 1),
    ]
    said = "\n".join(log.findings.sentences())
    assert "spans from start to end" in said
    assert "1 error of the simulation" in said


@pytest.mark.parametrize("form", FORMS)
def test_requests_are_what_a_row_is_unless_asked(tmp_path: Path, form: str) -> None:
    rows, log = rows_of(tmp_path, form, RUN, "requests")
    assert rows["label"].to_list() == ["Home", "Cart / Pay / POST", "Cart / GET"]
    assert rows["error"].to_list() == [None, "503", None]
    assert "spans from start to end" not in "\n".join(log.findings.sentences())


@pytest.mark.parametrize("form", [form for form in FORMS if form != "binary"])
def test_bad_rows_of_groups_are_rejected_alone(tmp_path: Path, form: str) -> None:
    data = FORMS[form](RUN).decode()
    late = data.replace(f"{START}\t{START + 1500}", f"{START + 9000}\t{START + 1500}")
    path = tmp_path / "log"
    for bad in (late, data.replace("750\tOK", "750\tMAYBE"), data + "GROUP\tCart", data + "GRO"):
        path.write_text(bad, encoding="utf-8")
        log = loadlens.read_log(path, level="transactions", max_rejects=1)
        loadlens.summarize(log, [])
        assert log.findings.rejected == 1
        assert log.findings.rows == 3 - (bad.count("\n") == data.count("\n") and bad.endswith("\n"))


@pytest.mark.parametrize("form", FORMS)
def test_messages_that_no_check_waited_for_are_no_requests(tmp_path: Path, form: str) -> None:
    """As in Gatling's own statistics: such a row has no end."""
    rows, log = rows_of(tmp_path, form, [*RUN, Row("REQUEST", (), "push", 40, -1, True)], "requests")
    assert rows.height == 3
    assert log.findings.left_out["messages that no check waited for"] == 1
    assert log.findings.rejected == 0


NAMES = st.text("abc ÄßøÆ", min_size=1, max_size=5).filter(str.strip)
ROWS = st.builds(
    Row,
    st.sampled_from(["REQUEST", "GROUP", "ERROR"]),
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    NAMES,
    st.integers(0, 10**6),
    st.integers(0, 10**5),
    st.booleans(),
    st.sampled_from(
        ["j.u.c.TimeoutException: 60000 ms", "status.find.is(200), but actually found 404", "a b"]
    ),
)


@examples(8)
@given(rows=st.lists(ROWS, min_size=1, max_size=20), level=st.sampled_from(["requests", "transactions"]))
def test_text_and_binary_of_one_run_agree(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], level: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    kind = "REQUEST" if level == "requests" else "GROUP"
    wanted = [row for row in rows if row.kind == kind]
    first, _ = rows_of(folder, "binary", rows, level)
    assert first["invocation_latency"].to_list() == [row.ms for row in wanted]
    for form in FORMS:
        other, log = rows_of(folder, form, rows, level)
        assert_frame_equal(first, other)
        errors = sum(row.kind == "ERROR" for row in rows)
        assert log.findings.facts["errors of the simulation"] == errors


@pytest.mark.skipif(not WITH_GROUPS.exists(), reason="the recorded logs are not here")
def test_groups_of_a_recorded_log_agree_with_an_independent_reading() -> None:
    lines = [line.split("\t") for line in WITH_GROUPS.read_text(encoding="utf-8").splitlines()]
    groups = [line for line in lines if line[0] == "GROUP"]
    rows = loadlens.read_log(WITH_GROUPS, level="transactions").frame.collect()
    assert isinstance(rows, pl.DataFrame)
    assert rows["label"].to_list() == [line[1].replace(",", " / ") for line in groups]
    assert rows["invocation_latency"].to_list() == [int(line[3]) - int(line[2]) for line in groups]
    assert rows["success"].to_list() == [line[5] == "OK" for line in groups]
