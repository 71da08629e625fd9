"""oha's CSV and SQLite database. All files are written here by oha's documented layout, not recorded."""

import csv
import gzip
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from loadlens.dialects.base import StreamReader
from loadlens.dialects.oha import OHA_CSV, OHA_SQLITE, OHA_SUMMARY
from loadlens.errors import InputError, LoadlensError
from loadlens.text.stream import read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, joined

from .reading import TIMES_DAMAGED, check_damage, damaged, head, logs_of_others, read

HEADER = "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status"
ROWS = [
    "0.000123456,0.0001,0.0002,0.0119,0.012345678,1234,200",
    "0.1,0,0,0.2,0.25,17,503",
    "0.2,0,0,0.00000005,0.0000001,0,204",
]
LOG = "".join(f"{row}\n" for row in (HEADER, *ROWS))

SCHEMA = (
    "url TEXT NOT NULL, start REAL NOT NULL, start_latency_correction REAL, end REAL NOT NULL, "
    "duration REAL NOT NULL, status INTEGER NOT NULL, len_bytes INTEGER NOT NULL, run INTEGER NOT NULL"
)
LOOSE = SCHEMA.replace(" NOT NULL", "")
RUN = 1_700_000_000
CALLS = [
    ("http://u:p@host/a?token=b#c", 0.5, None, 0.512345678, 0.012345678, 200, 1234, RUN),
    ("http://host/b", 0.75, 0.25, 1.25, 1.0, 503, 17, RUN),
    ("http://host/a", 0.0, None, 0.5, 0.5, 301, 0, RUN + 60),
]


def database(path: Path, rows: Sequence[Sequence[object]], columns: str = SCHEMA) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS oha ({columns})")
        marks = ", ".join("?" * len(columns.split(",")))
        connection.executemany(f"INSERT INTO oha VALUES ({marks})", rows)
    return path


def read_database(path: Path) -> Parsed:
    top = read_head(path)
    reader = OHA_SQLITE.open(top)
    assert isinstance(reader, StreamReader)
    parts = list(reader.batches(path))
    assert all(part.rows.schema == reader.schema for part in parts)
    assert all(part.rejects.schema == REJECT_SCHEMA for part in parts)
    return joined([Parsed(rows=pl.DataFrame(schema=reader.schema)), *parts])


@pytest.mark.parametrize("block_bytes", [60, 2**20])
def test_csv_rows_become_canonical_rows(block_bytes: int) -> None:
    parsed = read(OHA_CSV, LOG, block_bytes=block_bytes)
    rows = parsed.rows
    assert OHA_CSV.matches(head(LOG))
    assert parsed.rejects.is_empty()
    assert rows["success"].to_list() == [True, False, True]
    assert rows["error"].to_list() == [None, "503", None]
    assert rows["status"].to_list() == ["200", "503", "204"]
    assert rows["response_size"].to_list() == [1234, 17, 0]
    assert rows["invocation_latency"].to_list() == [12.345678, 250, 0.0001]
    assert rows["start_time"].to_list() == [0.000123456, 0.1, 0.2]
    assert rows["end_time"].to_list() == [0.012469134, 0.35, 0.2000001]


def test_a_generated_csv_agrees_with_an_independent_reading() -> None:
    chance = np.random.default_rng(1)
    rows = [
        f"{start:.9f},0,0,0,{duration:.9f},{size},{status}"
        for start, duration, size, status in zip(
            chance.random(500) * 60,
            chance.exponential(0.05, 500),
            chance.integers(0, 9999, 500),
            chance.choice([200, 201, 404, 500], 500),
            strict=True,
        )
    ]
    log = "\n".join([HEADER, *rows]) + "\n"
    expected = list(csv.DictReader(log.splitlines()))
    got = read(OHA_CSV, log, block_bytes=2000).rows
    latencies = [float(row["request-duration"]) * 1000 for row in expected]
    assert got["success"].sum() == sum(int(row["status"]) < 400 for row in expected)
    for share in (0.5, 0.9, 0.99):
        quantile = got["invocation_latency"].quantile(share, "linear")
        assert quantile == pytest.approx(np.quantile(latencies, share))


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        (",0.25,", ",slow,", "request-duration"),
        (",0.25,", ",NaN,", "request-duration"),
        (",0.25,", ",-0.001,", "request-duration"),
        (",0.25,", ",,", "request-duration"),
        ("0.1,", "-1,", "request-start"),
        (",17,", ",-1,", "bytes"),
        (",503", ",0", "status"),
        (",503", "", ""),
    ],
)
def test_bad_csv_rows_are_rejected_alone(old: str, new: str, column: str) -> None:
    parsed = read(OHA_CSV, LOG.replace(ROWS[1], ROWS[1].replace(old, new)))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]


def test_a_torn_last_line_and_invalid_bytes_are_rejects() -> None:
    assert read(OHA_CSV, LOG + "0.3,0,0").rejects["reason"].to_list() == ["torn last line"]
    broken = read(OHA_CSV, LOG.encode().replace(b",17,", b",\xff,"))
    assert (broken.rows.height, broken.rejects["column"].to_list()) == (2, ["bytes"])


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_of_a_csv_never_escapes(times: int) -> None:
    check_damage(OHA_CSV, LOG, times)


def test_a_csv_without_a_needed_column_is_refused() -> None:
    with pytest.raises(InputError, match=r"lacks the columns bytes, status; it has: .*--output-format csv"):
        OHA_CSV.open(head("request-start,request-duration\n"))


def test_database_rows_become_canonical_rows(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", CALLS)
    parsed = read_database(path)
    assert OHA_SQLITE.matches(read_head(path))
    assert parsed.rejects.is_empty()
    assert parsed.rows.to_dicts() == [
        {
            "success": True,
            "error": None,
            "status": "200",
            "label": "http://u:p@host/a?token=b#c",
            "start_time": RUN + 0.5,
            "end_time": pytest.approx(RUN + 0.512345678, abs=1e-6),
            "invocation_latency": 12.345678,
            "response_size": 1234,
            "run": RUN,
        },
        {
            "success": False,
            "error": "503",
            "status": "503",
            "label": "http://host/b",
            "start_time": RUN + 0.25,  # when it was due
            "end_time": RUN + 1.25,
            "invocation_latency": 1000.0,
            "response_size": 17,
            "run": RUN,
        },
        {
            "success": True,
            "error": None,
            "status": "301",
            "label": "http://host/a",
            "start_time": RUN + 60.0,
            "end_time": RUN + 60.5,
            "invocation_latency": 500.0,
            "response_size": 0,
            "run": RUN + 60,
        },
    ]


def test_a_database_of_several_batches_is_read_whole(tmp_path: Path) -> None:
    count = 20_000
    calls = [("http://host/", at / 100, None, at / 100 + 0.01, 0.01, 200, at, RUN) for at in range(count)]
    rows = read_database(database(tmp_path / "a.db", calls)).rows
    assert rows["response_size"].to_list() == list(range(count))
    assert rows["invocation_latency"].unique().to_list() == [10.0]


def test_a_database_is_read_without_being_touched(tmp_path: Path) -> None:
    path = database(tmp_path / "#a b%20?.db", CALLS)
    before = path.read_bytes()
    path.chmod(0o444)
    assert read_database(path).rows.height == 3
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_older_databases_have_fewer_columns(tmp_path: Path) -> None:
    columns = (
        "start REAL, start_latency_correction REAL, end REAL, duration REAL, status INTEGER, len_bytes INT"
    )
    path = database(tmp_path / "a.db", [(0.5, None, 0.75, 0.25, 200, 3)], columns)
    rows = read_database(path).rows
    assert rows.select("label", "start_time", "end_time", "run").row(0) == ("", 0.5, 0.75, 0)
    assert "its times begin at 0" in OHA_SQLITE.warnings(read_head(path), 1, {})[-1]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (0, b"\xff", "url"),
        (1, "soon", "start"),
        (1, None, "start"),
        (1, -0.5, "start"),
        (3, 0.1, "end_time"),
        (4, float("inf"), "duration"),
        (4, -0.001, "duration"),
        (4, b"1", "duration"),
        (5, 200.5, "status"),
        (5, 0, "status"),
        (6, -1, "len_bytes"),
        (6, 2.5, "len_bytes"),
        (7, "x", "run"),
        (7, 2**40, "start_time"),
    ],
)
def test_bad_database_rows_are_rejected_alone(tmp_path: Path, column: int, value: object, told: str) -> None:
    bad: list[object] = list(CALLS[0])
    bad[column] = value
    parsed = read_database(database(tmp_path / "a.db", [CALLS[1], bad, CALLS[2]], LOOSE))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(2, told)]


def test_text_that_is_no_utf8_is_a_reject(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", CALLS)
    path.write_bytes(path.read_bytes().replace(b"http://host/b", b"http://ho\xffst/"))
    parsed = read_database(path)
    assert parsed.rows.height == 2
    assert parsed.rejects["column"].to_list() == ["url"]


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_of_a_database_never_escapes(tmp_path: Path, times: int) -> None:
    calls = [(f"http://host/{at}", at / 9, None, at / 9 + 1, 1.0, 200, at, RUN) for at in range(400)]
    data = database(tmp_path / "a.db", calls).read_bytes()
    for changed in damaged(data, times):
        (tmp_path / "b.db").write_bytes(changed or b" ")
        OHA_SQLITE.matches(read_head(tmp_path / "b.db"))
        try:
            parsed = read_database(tmp_path / "b.db")
        except LoadlensError:
            continue
        assert parsed.rows.height + parsed.rejects.height <= len(calls)


def test_rows_that_come_again_are_noticed(tmp_path: Path) -> None:
    calls = [("http://host/" + "x" * 100, 0, None, 1, 1, 200, at, RUN) for at in range(100)]
    path = database(tmp_path / "a.db", calls)
    data = bytearray(path.read_bytes())
    page, root = 4096, 4096  # the second page is the root of the table: its cells point to other pages
    first, second = (int.from_bytes(data[root + at : root + at + 2], "big") for at in (12, 14))
    data[root + second : root + second + 4] = data[root + first : root + first + 4]
    assert len(data) > 3 * page
    path.write_bytes(data)
    with pytest.raises(InputError, match="out of order"):
        read_database(path)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_database_in_use_is_refused(tmp_path: Path, suffix: str) -> None:
    path = database(tmp_path / "a.db", CALLS)
    (tmp_path / f"a.db{suffix}").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has unfinished changes in a\.db"):
        read_database(path)


def test_a_view_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIEW oha AS SELECT 1 AS start")
    assert not OHA_SQLITE.matches(read_head(path))
    with pytest.raises(InputError, match="has no table oha"):
        read_database(path)


def test_other_and_compressed_databases_are_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", [], "start REAL, end REAL")
    with pytest.raises(InputError, match="table oha: missing columns: duration, len_bytes, status"):
        read_database(path)
    packed = tmp_path / "a.db.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert OHA_SQLITE.matches(read_head(packed))
    with pytest.raises(InputError, match="compressed SQLite database; decompress it first"):
        OHA_SQLITE.open(read_head(packed))
    (tmp_path / "b.db").write_text("no database")
    with pytest.raises(InputError, match="is no SQLite database of oha, or is damaged"):
        read_database(tmp_path / "b.db")


@pytest.mark.parametrize(
    "log",
    [
        '{\n  "summary": {\n    "successRate": 1.0,\n    "total": 0.1\n  }\n}',
        '{"summary":{"successRate":1.0}}',
        "Summary:\n  Success rate:\t100.00%\n  Total:\t0.0118 sec\n",
        "\x1b[1m\x1b[4mSummary:\x1b[0m\n\x1b[32m  Success rate:\t100.00%\x1b[0m\n",
    ],
)
def test_summaries_are_told_from_logs(log: str) -> None:
    assert OHA_SUMMARY.matches(head(log))
    assert not OHA_CSV.matches(head(log))
    assert not OHA_SQLITE.matches(head(log))
    assert "--output-format csv" in OHA_SUMMARY.advice


@pytest.mark.parametrize(
    "log", ["", "\n", "Summary:\n  Total:\t0.1 secs\n", '{"summary": 1}', "SQLite format 3\0"]
)
def test_other_texts_do_not_match(log: str) -> None:
    assert not any(kind.matches(head(log)) for kind in (OHA_CSV, OHA_SQLITE, OHA_SUMMARY))


@pytest.mark.parametrize("path", logs_of_others(), ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    data = path.read_bytes()
    assert not any(kind.matches(head(data)) for kind in (OHA_CSV, OHA_SQLITE, OHA_SUMMARY))


def test_the_dialects_say_what_they_are(tmp_path: Path) -> None:
    top = read_head(database(tmp_path / "a.db", CALLS))
    assert dict(OHA_SQLITE.open(top).meaning)["run"] == "when the run began, whole s since 1970"
    assert (OHA_CSV.clock, OHA_SQLITE.clock) == ("relative", "epoch")
    assert OHA_CSV.closed_loop
    assert OHA_SQLITE.closed_loop
    for found in (OHA_CSV.warnings(head(LOG), 3, {}), OHA_SQLITE.warnings(top, 3, {})):
        assert "requests that got no answer" in found[0]
    assert "to the second only" in OHA_SQLITE.warnings(top, 3, {})[-1]
