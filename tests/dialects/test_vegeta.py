"""vegeta's results. The small files are written here by its documented layout.

``recorded/vegeta*`` are of attacks of vegeta on a server on loopback: ``mixed`` (12.8) at a fixed rate on
many targets, with timeouts and connections that the server closed, ``closed`` (12.8) by four workers without
a rate, and ``old`` of vegeta 6.3, whose rows have no URLs.
"""

import csv
import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects.base import Dialect
from loadlens.dialects.vegeta import VEGETA_CSV, VEGETA_GOB, VEGETA_JSON, VEGETA_REPORT
from loadlens.errors import InputError
from loadlens.text.stream import HEAD_BYTES, read_head

from .reading import (
    LOGS,
    RECORDED,
    TIMES_DAMAGED,
    check_damage,
    check_one_bad_byte,
    head,
    logs_of_others,
    read,
)

FOLDER = LOGS / "vegeta"
IS_HERE = pytest.mark.skipif(not FOLDER.exists(), reason="the recorded logs are not here")

START = 1700000000123456789
REFUSED = 'Get "http://u:p@host:1/a?token=b": dial tcp 127.0.0.1:1: connect: connection refused'
TIMEOUT = 'Post "http://host/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
HITS = [
    (START, 200, 1234567, 0, 5, "", "aGVsbG8=", "big bang", 0, "GET", "http://u:p@host/a?token=b#c", "WA=="),
    (
        START + 50_000_000,
        404,
        80_000_000,
        0,
        7,
        "404 Not Found",
        "Z29uZQ==",
        "",
        1,
        "GET",
        "http://host/b",
        "",
    ),
    (START - 1, 0, 2_000_000_001, 9, 0, REFUSED, "", "", 2, "POST", "http://host:1/a?token=b", ""),
    (START, 0, 30_000_000_000, 9, 0, TIMEOUT, "", "", 3, "POST", "http://host/", ""),
    (START, 302, 999, 9, 0, "", "", "", 4, "POST", "http://host/", ""),
]
ERRORS = [None, "404", "connection refused", "context deadline exceeded", None]
LABELS = [hit[10] for hit in HITS]
TIMES = [
    "2023-11-14T22:13:20.123456789Z",
    "2023-11-14T23:13:20.173456789+01:00",
    "2023-11-14T22:13:20.123456788Z",
    "2023-11-14T22:13:20.123456789Z",
    "2023-11-14T14:43:20.123456789-07:30",
]
FIELDS = ("timestamp", "code", "latency", "bytes_out", "bytes_in", "error", "body", "attack", "seq")
FIELDS += ("method", "url", "headers")
JSON_ORDER = ("attack", "seq", "code", "timestamp", "latency", "bytes_out", "bytes_in", "error", "body")
JSON_ORDER += ("method", "url", "headers")


def cell(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text


def as_csv(*hits: tuple[object, ...], width: int = 12) -> str:
    return "".join(",".join(map(cell, hit[:width])) + "\n" for hit in hits)


def as_json(*hits: tuple[object, ...]) -> str:
    rows = [dict(zip(FIELDS, hit, strict=True)) for hit in hits]
    for row, time in zip(rows, TIMES, strict=False):
        row["timestamp"] = time
    ordered = [{name: row[name] for name in JSON_ORDER} for row in rows]
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ordered)


CSV, JSON = as_csv(*HITS), as_json(*HITS)


@pytest.mark.parametrize(("dialect", "log"), [(VEGETA_CSV, CSV), (VEGETA_JSON, JSON)])
@pytest.mark.parametrize("block_bytes", [100, 2**20])
def test_hits_become_canonical_rows(dialect: Dialect, log: str, block_bytes: int) -> None:
    assert dialect.matches(head(log))
    parsed = read(dialect, log, block_bytes=block_bytes)
    rows = parsed.rows
    assert parsed.rejects.is_empty()
    assert rows.get_column("success").to_list() == [True, False, False, False, True]
    assert rows.get_column("error").to_list() == ERRORS
    assert rows.get_column("label").to_list() == LABELS
    assert rows.get_column("invocation_latency").to_list() == [hit[2] / 10**6 for hit in HITS]
    assert rows.get_column("start_time").to_list() == [hit[0] / 10**9 for hit in HITS]
    assert rows.get_column("end_time").to_list() == [(hit[0] + hit[2]) / 10**9 for hit in HITS]
    assert rows.get_column("request_size").to_list() == [0, 0, 9, 9, 9]
    assert rows.get_column("response_size").to_list() == [5, 7, 0, 0, 0]
    assert rows.get_column("status").to_list() == ["200", "404", None, None, "302"]
    assert rows.get_column("method").to_list() == ["GET", "GET", "POST", "POST", "POST"]
    assert rows.get_column("attack").to_list() == ["big bang", "", "", "", ""]


def test_csv_and_json_of_the_same_hits_agree() -> None:
    assert_frame_equal(read(VEGETA_CSV, CSV).rows, read(VEGETA_JSON, JSON).rows)


@pytest.mark.parametrize(("width", "left"), [(6, []), (9, ["attack"])])
def test_old_files_have_fewer_columns(width: int, left: list[str]) -> None:
    log = as_csv(*HITS, width=width)
    assert VEGETA_CSV.matches(head(log))
    gone = {"label", "method", "attack"} - set(left)
    assert_frame_equal(read(VEGETA_CSV, log).rows, read(VEGETA_CSV, CSV).rows.drop(gone))
    (warning,) = VEGETA_CSV.warnings(head(log), 5, {})
    assert warning.startswith(f"it has {width} columns")
    assert "without URLs" in warning


def test_a_file_with_urls_has_nothing_to_warn_of() -> None:
    assert VEGETA_CSV.warnings(head(CSV), 5, {}) == []
    assert VEGETA_JSON.warnings(head(JSON), 5, {}) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("EOF", "EOF"),
        ('Get "/": unsupported protocol scheme ""', "unsupported protocol scheme"),
        ("read tcp 127.0.0.1:4711->127.0.0.1:80: read: connection reset by peer", "connection reset by peer"),
        ("http2: stream error: stream ID 17; CANCEL", "stream ID N; CANCEL"),
        ("dial tcp: lookup host on 127.0.0.53:53: no such host", "no such host"),
        ("http://host/?token=a", "http"),
        ("x" * 100, "x" * 60),
        ("?", "failed"),
        ("", "failed"),
        ("one\ntwo: three", "three"),
    ],
)
def test_a_hit_without_status_is_classed_by_its_cause(error: str, expected: str) -> None:
    hit = (START, 0, 5, 0, 0, error, *HITS[0][6:])
    rows = read(VEGETA_JSON, as_json(hit, HITS[0])).rows
    assert rows.get_column("error").to_list() == [expected, None]


def test_long_responses_do_not_hide_what_the_file_is() -> None:
    hit = (*HITS[0][:6], "QUJD" * (HEAD_BYTES // 4), *HITS[0][7:])
    assert not head(as_csv(hit)).lines
    assert VEGETA_CSV.matches(head(as_csv(hit)))
    assert read(VEGETA_CSV, as_csv(hit, HITS[1])).rows.height == 2
    assert VEGETA_JSON.matches(head(as_json(hit)))
    assert read(VEGETA_JSON, as_json(hit, HITS[1])).rows.height == 2


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        (f"{START + 50_000_000},", ",", "timestamp"),
        (f"{START + 50_000_000},", "-1e9,", "timestamp"),
        (f"{START + 50_000_000},", f"{2**63},", "timestamp"),
        (",404,", ",NaN,", "code"),
        (",404,", ",-1,", "code"),
        (",80000000,", ",-1,", "latency"),
        (",80000000,", ",1.5,", "latency"),
        (",80000000,", ",,", "latency"),
        (",80000000,", ",8000000000000000000,", "invocation_latency"),
        (",0,7,", ",0,-7,", "bytes_in"),
        (",0,7,", ",x,7,", "bytes_out"),
        (",404,", ",", ""),
        (",404,", ",404,404,", ""),
    ],
)
def test_bad_csv_rows_are_rejected_alone(old: str, new: str, column: str) -> None:
    assert old in CSV
    parsed = read(VEGETA_CSV, CSV.replace(old, new, 1))
    assert parsed.rows.height == len(HITS) - 1
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        (TIMES[1], "yesterday", "timestamp"),
        (TIMES[1], "", "timestamp"),
        (TIMES[1], "0001-01-01T00:00:00Z", "timestamp"),
        (TIMES[1], "2263-01-01T00:00:00Z", "timestamp"),
        (TIMES[1], "2023-11-14T23:13:20", "timestamp"),
        ('"timestamp"', '"time"', "timestamp"),
        ('"code":404', '"code":"404"', "code"),
        ('"latency":80000000', '"latency":-1', "latency"),
        ('"latency":80000000', '"latency":NaN', "latency"),
        ('"latency":80000000', '"latency":null', "latency"),
        ('"bytes_in":7', '"bytes_in":-7', "bytes_in"),
        ('"error":"404', '"error":"\\x', ""),
    ],
)
def test_bad_json_lines_are_rejected_alone(old: str, new: str, column: str) -> None:
    lines = JSON.splitlines(keepends=True)
    assert old in lines[1]
    lines[1] = lines[1].replace(old, new, 1)
    parsed = read(VEGETA_JSON, "".join(lines))
    assert parsed.rows.height == len(HITS) - 1
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]


@pytest.mark.parametrize(("dialect", "log"), [(VEGETA_CSV, CSV), (VEGETA_JSON, JSON)])
def test_invalid_utf8_and_a_torn_last_line_are_rejected(dialect: Dialect, log: str) -> None:
    parsed = read(dialect, log.encode().replace(b"http://host/b", b"http://host/\xff")[:-40])
    assert parsed.rows.height == len(HITS) - 2
    assert parsed.rejects.get_column("line").to_list() == [2, 5]
    assert "not valid" in parsed.rejects.item(0, "reason")
    assert parsed.rejects.item(1, "reason") == "torn last line"


@pytest.mark.parametrize(("dialect", "log"), [(VEGETA_CSV, CSV), (VEGETA_JSON, JSON)])
@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_is_refused_or_costs_what_it_hits(dialect: Dialect, log: str, times: int) -> None:
    check_damage(dialect, log, times)
    check_one_bad_byte(dialect, log, times)


@pytest.mark.parametrize(
    "log", ["", "a,b\n", "1,200,5,0,0,\n", "{}\n", "[" * 5000 + "\n", f"{START},200\n", "\xff"]
)
def test_what_is_no_vegeta_is_not_taken(log: str) -> None:
    kinds = (VEGETA_CSV, VEGETA_JSON, VEGETA_GOB, VEGETA_REPORT)
    assert not any(kind.matches(head(log)) for kind in kinds)
    with pytest.raises(InputError, match="is no CSV of vegeta"):
        VEGETA_CSV.open(head(log))


def test_reports_are_refused() -> None:
    text = "Requests      [total, rate, throughput]         50, 5.00, 4.96\nDuration      [total]  1s\n"
    assert VEGETA_REPORT.matches(head(text))
    assert VEGETA_REPORT.matches(head('{"latencies":{"total":237119463,"mean":2371194},"buckets":{}}\n'))
    assert "vegeta encode --to csv results.bin > results.csv" in VEGETA_REPORT.advice


def test_the_dialects_say_what_they_are() -> None:
    for dialect, log in ((VEGETA_CSV, CSV), (VEGETA_JSON, JSON)):
        assert (dialect.key, dialect.clock, dialect.closed_loop) == (("label", "method"), "epoch", False)
        assert dict(dialect.open(head(log)).meaning)["latency"] == "latency, ns"


@pytest.mark.parametrize("path", logs_of_others("vegeta"), ids=lambda path: path.name)
def test_logs_of_other_tools_are_left_alone(path: Path) -> None:
    kinds = (VEGETA_CSV, VEGETA_JSON, VEGETA_GOB, VEGETA_REPORT)
    assert not any(kind.matches(read_head(path)) for kind in kinds)


RUNS = ["mixed", "closed", "old"]


def recorded(name: str) -> bytes:
    return gzip.decompress((RECORDED / f"vegeta_{name}.gz").read_bytes())


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("dialect", "form"), [(VEGETA_CSV, "csv"), (VEGETA_JSON, "json")])
def test_recorded_attacks_agree_with_the_report_of_their_run(run: str, dialect: Dialect, form: str) -> None:
    said = json.loads((RECORDED / f"vegeta_{run}_report.json").read_text(encoding="utf-8"))
    log = recorded(f"{run}.{form}")
    assert dialect.matches(head(log))
    parsed = read(dialect, log, block_bytes=5000)
    assert parsed.rejects.is_empty()
    rows, told = parsed.rows, said["latencies"]
    assert rows.height == said["requests"]
    assert rows["success"].mean() == pytest.approx(said["success"])
    assert Counter(rows["status"].fill_null("0")) == said["status_codes"]
    ns = [round(ms * 10**6) for ms in rows["invocation_latency"]]
    assert (max(ns), sum(ns)) == (told["max"], told["total"])
    if run == "old":  # it tells one of the calls around each share, and no least
        places = [(share, sorted(ns).index(told[f"{share}th"])) for share in (50, 95, 99)]
        assert all(abs(place - share * len(ns) / 100) <= 2 for share, place in places)
    else:
        assert min(ns) == told["min"]
        for share in (50, 90, 95, 99):  # by a t-digest, with the middle of each call's share as its place
            expected = np.percentile(ns, share, method="hazen")
            assert expected == pytest.approx(told[f"{share}th"], rel=0.003)
    assert rows["response_size"].sum() == said["bytes_in"]["total"]
    assert rows["request_size"].sum() == said["bytes_out"]["total"]
    begin, last, end = (
        datetime.fromisoformat(said[key]).timestamp() for key in ("earliest", "latest", "end")
    )
    found = rows.select(pl.min("start_time"), pl.max("start_time").alias("last"), pl.max("end_time")).row(0)
    assert found == pytest.approx((begin, last, end), abs=2e-6)


@pytest.mark.parametrize("run", RUNS)
def test_recorded_attacks_are_summed_up_alike_in_both_forms(run: str) -> None:
    said = json.loads((RECORDED / f"vegeta_{run}_report.json").read_text(encoding="utf-8"))
    texts, objects = (
        loadlens.summarize(RECORDED / f"vegeta_{run}.{form}.gz", []).summary for form in ("csv", "json")
    )
    assert_frame_equal(texts, objects)
    (found,) = texts.to_dicts()
    assert found["num_invocations"] == said["requests"]
    assert found["error_rate"] == pytest.approx(1 - said["success"])
    statuses = {name: count for name, count in said["status_codes"].items() if int(name) >= 400}
    assert {name: found[f"error_{name}"] for name in statuses} == statuses
    hits = csv.reader(recorded(f"{run}.csv").decode().splitlines())
    good = [int(hit[2]) / 10**6 for hit in hits if 200 <= int(hit[1]) < 400]
    for share in (90, 95, 99):
        assert found[f"invocation_latency_p{share}"] == pytest.approx(np.percentile(good, share))


@pytest.mark.parametrize("run", RUNS)
def test_the_binary_form_of_recorded_attacks_is_known(run: str) -> None:
    assert VEGETA_GOB.matches(head(recorded(f"{run}.bin")))
    assert not any(VEGETA_GOB.matches(head(recorded(f"{run}.{form}"))) for form in ("csv", "json"))
    with pytest.raises(InputError, match=r"vegeta encode --to csv results\.bin > results\.csv"):
        loadlens.summarize(RECORDED / f"vegeta_{run}.bin.gz", [])


@IS_HERE
def test_one_recorded_run_as_csv_and_json_agrees() -> None:
    logs = {path.suffix: path for path in FOLDER.iterdir()}
    assert VEGETA_CSV.matches(read_head(logs[".csv"]))
    assert VEGETA_JSON.matches(read_head(logs[".ndjson"]))
    rows = read(VEGETA_CSV, logs[".csv"].read_bytes()).rows
    assert_frame_equal(rows, read(VEGETA_JSON, logs[".ndjson"].read_bytes()).rows)
    check_recorded_csv(logs[".csv"], rows)
    check_recorded_json(logs[".ndjson"], rows)


def check_recorded_csv(path: Path, rows: pl.DataFrame) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))
    latencies = [int(row[2]) / 10**6 for row in expected]
    assert rows.height == len(expected) == 50
    assert rows.get_column("success").sum() == sum(
        200 <= int(row[1]) < 400 and not row[5] for row in expected
    )
    assert rows.get_column("start_time").to_list() == [int(row[0]) / 10**9 for row in expected]
    assert rows.get_column("response_size").sum() == sum(int(row[4]) for row in expected)
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


def check_recorded_json(path: Path, rows: pl.DataFrame) -> None:
    expected = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    starts = [datetime.fromisoformat(row["timestamp"]).timestamp() for row in expected]
    assert rows.get_column("start_time").to_list() == pytest.approx(starts, abs=2e-6)
    assert rows.get_column("invocation_latency").to_list() == [row["latency"] / 10**6 for row in expected]


@IS_HERE
def test_the_recorded_gob_is_refused_with_the_command_that_helps() -> None:
    (path,) = FOLDER.glob("*.bin")
    assert VEGETA_GOB.matches(read_head(path))
    assert "`vegeta encode --to csv results.bin > results.csv`" in VEGETA_GOB.advice
    assert not VEGETA_CSV.matches(read_head(path))
    assert not VEGETA_JSON.matches(read_head(path))
    assert not any(VEGETA_GOB.matches(read_head(other)) for other in FOLDER.iterdir() if other != path)


def test_a_gob_is_known_by_the_description_of_its_type() -> None:
    names = (b"Attack", b"Seq", b"Code", b"Timestamp", b"Latency", b"BytesOut", b"BytesIn")
    data = b"\xff\x96\x7f\x03\x01\x01\x06Result\x01\xff\x80\x00" + b"\x01\x06\x00\x01".join(names)
    assert VEGETA_GOB.matches(head(data))
    assert not VEGETA_GOB.matches(head(data[:20]))


def test_what_old_versions_dumped_has_the_same_calls_in_both_forms() -> None:
    hits = [
        (1_700_000_000_000_000_001, 200, 12_500_000, 1, 7, ""),
        (1_700_000_000_250_000_000, 0, 30_000_000_000, 0, 0, "Get http://x: connection refused"),
        (1_700_000_000_500_000_000, 503, 1, 0, 3, "503 Service Unavailable"),
    ]
    names = ("code", "timestamp", "latency", "bytes_out", "bytes_in", "error")
    objects = [dict(zip(names, (code, _rfc3339(ns), *rest), strict=True)) for ns, code, *rest in hits]
    dump = "".join(f"{json.dumps(item)}\n" for item in objects)
    table = "".join(",".join(map(str, hit)) + "\n" for hit in hits)
    assert VEGETA_JSON.matches(head(dump))
    assert VEGETA_CSV.matches(head(table))
    parsed = read(VEGETA_JSON, dump)
    assert_frame_equal(parsed.rows, read(VEGETA_CSV, table).rows)
    assert parsed.rows["error"].to_list() == [None, "connection refused", "503"]
    assert "label" not in parsed.rows.columns
    for dialect, log in ((VEGETA_JSON, dump), (VEGETA_CSV, table)):
        (warning,) = dialect.warnings(head(log), 3, {})
        assert "without URLs requests cannot be told apart" in warning


def _rfc3339(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
