"""No call is lost in silence: what stands where a row should be is read, or rejected and told."""

from pathlib import Path

import polars as pl
import pytest

import loadlens
from tests.dialect_logs import KINDS, sample
from tests.extent import combinations

ROWS = 12
TEXTS = [name for name in KINDS if name not in {"gatling-binary", "oha-sqlite"}]
HOLES = {"a block of zeros": b"\0" * 4096, "one zero": b"\0", "other controls": b"\x01\x1f\x7f"}
"""What a crash or a full disk can leave in a file that was being written."""


def judged(path: Path, data: bytes, dialect: str, **options: object) -> tuple[int, int]:
    """The rows that are read, and those that are rejected."""
    path.write_bytes(data)
    log = loadlens.read_log(path, format=dialect, max_rejects="50%", **options)  # type: ignore[arg-type]
    rows = log.frame.collect()
    assert isinstance(rows, pl.DataFrame)
    return rows.height, log.findings.rejected


def call_lines(dialect: str, data: bytes) -> list[int]:
    """The lines that hold a call, but the first ones of the file."""
    signs = {"k6-csv": b"http_req_duration,", "k6-json": b"http_req_duration", "jmeter-xml": b"<httpSample"}
    sign = signs.get(dialect, b"")
    found = [at for at, line in enumerate(data.split(b"\n")) if sign in line and line.strip()]
    return found[3:-2]


@pytest.mark.parametrize(("dialect", "hole"), combinations(TEXTS, HOLES))
def test_a_call_behind_a_hole_in_the_file_is_read_or_rejected(
    dialect: str, hole: str, tmp_path: Path
) -> None:
    data = sample(dialect, ROWS).data
    lines = data.split(b"\n")
    for at in call_lines(dialect, data)[:2]:
        damaged = b"\n".join([*lines[:at], HOLES[hole] + lines[at], *lines[at + 1 :]])
        rows, rejected = judged(tmp_path / "log", damaged, dialect)
        assert (rows, rejected) in {(ROWS, 0), (ROWS - 1, 1)}


@pytest.mark.parametrize("dialect", ["k6-csv", "k6-json"])
@pytest.mark.parametrize("level", ["requests", "transactions"])
def test_a_damaged_name_may_be_that_of_any_metric(dialect: str, level: str, tmp_path: Path) -> None:
    data = sample(dialect, ROWS).data
    if level == "transactions":
        data = data.replace(b"http_req_duration", b"iteration_duration")
    name = b"iteration_duration" if level == "transactions" else b"http_req_duration"
    damage = name.replace(b"_", rb"\u0000") if dialect == "k6-json" else name.replace(b"_", b"\0")
    head, tail = data[: data.rindex(name)], data[data.rindex(name) + len(name) :]
    assert judged(tmp_path / "log", head + damage + tail, dialect, level=level) == (ROWS - 1, 1)


def test_names_of_metrics_that_users_give_are_no_damage_and_told_briefly(tmp_path: Path) -> None:
    data = sample("k6-csv", ROWS).data
    names = [
        "Zeit für «Kasse»".replace("«", "(").replace("»", ")"),
        "a/b?c=<1>%".replace("=", " "),
        "x" * 128,
    ]
    for name in names:
        data += data.split(b"\n")[2].replace(b"http_req_duration", name.encode()) + b"\n"
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    log = loadlens.read_log(path)
    loadlens.summarize(log, [])
    said = "\n".join(log.findings.sentences())
    assert log.findings.rejected == 0
    assert "Zeit für (Kasse) (1)" in said
    assert "x" * 39 + "… (1)" in said
    assert "x" * 40 not in said


def test_a_sample_of_which_the_beginning_is_lost_is_rejected(tmp_path: Path) -> None:
    data = sample("jmeter-xml", ROWS).data
    cut = data.replace(b"<httpSample t=", b"ample t=", 4).replace(b"ample t=", b"<httpSample t=", 3)
    rows, rejected = judged(tmp_path / "run.jtl", cut, "jmeter-xml")
    assert (rows, rejected) == (ROWS - 1, 1)


def test_a_group_of_gatling_behind_a_hole_is_rejected(tmp_path: Path) -> None:
    start = 1_700_000_000_000
    lines = [
        "RUN\tcom.example.Shop\tshop\t1700000000000\t \t3.10.5",
        f"REQUEST\tCart\tGET\t{start}\t{start + 20}\tOK\t ",
        f"GROUP\tCart\t{start}\t{start + 30}\t20\tOK",
        f"\0\0\0GROUP\tCart\t{start}\t{start + 900}\t20\tKO",
    ]
    data = "".join(f"{line}\n" for line in lines).encode()
    assert judged(tmp_path / "simulation.log", data, "gatling-text", level="transactions") == (1, 1)


def test_a_report_of_lambda_behind_a_hole_is_rejected_where_lines_have_no_times(tmp_path: Path) -> None:
    line = (
        b"REPORT RequestId: 8f507cfc\tDuration: 10.00 ms\tBilled Duration: 10 ms\t"
        b"Memory Size: 128 MB\tMax Memory Used: 66 MB\t\n"
    )
    assert judged(tmp_path / "app.log", line * 3 + b"\0\0\0" + line, "lambda-report") == (3, 1)


@pytest.mark.parametrize("label", ["x^2", "x\x01", "\ufeffa", "xÚ", "(µ/"])
@pytest.mark.parametrize("damage", ["", "b\n"])
def test_a_first_row_that_looks_compressed_is_text(tmp_path: Path, label: str, damage: str) -> None:
    """Parsers take text that begins as gzip, zlib or zstd do for compressed data."""
    path = tmp_path / "log.csv"
    path.write_text(f"label,invocation_latency\n{label},5\nb,6\n{damage}", encoding="utf-8")
    rows = loadlens.read_log(path, max_rejects=1).frame.collect()
    assert rows.select("label", "invocation_latency").rows() == [(label, 5.0), ("b", 6.0)]


@pytest.mark.parametrize("begins", [b"\x1f\x8b", b"x\x9c", b"x\xda", b"(\xb5\x2f\xfd"])
def test_a_damaged_first_row_that_looks_compressed_is_rejected(tmp_path: Path, begins: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"label,invocation_latency\n" + begins + b"a,5\nb,6\n")
    log = loadlens.read_log(path, max_rejects=1)
    assert log.frame.collect()["label"].to_list() == ["b"]
    assert log.findings.rejected == 1


@pytest.mark.parametrize("whole", ["1" + "9" * 40, "9" * 300])
def test_a_number_beyond_all_integers_is_a_value(tmp_path: Path, whole: str) -> None:
    """Beside a damaged line every line is looked at by itself."""
    point = (
        '{"type":"Point","metric":"http_reqs","data":{"time":"2023-11-14T22:13:20Z","value":%s,"tags":{}}}\n'
    )
    call = point.replace("http_reqs", "http_req_duration")
    path = tmp_path / "log.json"
    path.write_text(call % 5 + point % whole + "{\n" + call % 6, encoding="utf-8")
    log = loadlens.read_log(path, format="k6-json", max_rejects=1)
    assert log.frame.collect()["invocation_latency"].to_list() == [5.0, 6.0]
