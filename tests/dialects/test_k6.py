"""k6's CSV and JSON. The small files are written here by k6's documented layout, not recorded."""

import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects.base import BlockReader, Dialect
from loadlens.dialects.k6 import K6_CSV, K6_JSON, K6_SUMMARY_JSON, K6_SUMMARY_TEXT
from loadlens.errors import InputError, LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, open_stream, read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed
from tests.extent import combinations, examples, some_of

SHARED = Path(__file__).parents[3] / "shared" / "logs"
RUN = SHARED / "k6" / "gateway_json_get_user_id_1000_r1.csv"
SHARED_CSV = sorted((SHARED / "k6").glob("*.csv"))
OTHER_FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file() and path.parent.name != "k6"]
needs_run = pytest.mark.skipif(not RUN.exists(), reason="the recorded logs are not here")

OTHERS = "samples of other metrics"
HEADER = (
    "metric_name,timestamp,metric_value,check,error,error_code,expected_response,group,method,name,proto,"
    "scenario,service,status,subproto,tls_version,url,extra_tags,metadata"
)
NAMES = HEADER.split(",")
END = 1700000000
HTTP = {"method": "GET", "proto": "HTTP/1.1", "scenario": "default"}


def tags(
    status: int, expected: str = "true", name: str = "http://localhost/users", **others: str
) -> dict[str, str]:
    found = {
        **HTTP,
        "status": str(status),
        "expected_response": expected,
        "name": name,
        "url": name,
        **others,
    }
    return {name: text for name, text in found.items() if text}


CALLS = [
    (120.5, tags(200)),
    (80.25, tags(404, "false", "http://localhost/b?token=secret#x", error_code="1404", group="::shop")),
    (0.0, tags(0, "false", error="lookup: no such host", error_code="1101")),
    (3.000001, tags(200, "false", scenario="other")),
]
ERRORS = [None, "404", "no such host", "failed with 200"]
COMPANIONS = ("http_reqs", "http_req_blocked", "http_req_waiting", "iteration_duration")


def csv_row(metric: str, time: object, value: object, of: dict[str, str]) -> str:
    out = io.StringIO()
    cells = {"metric_name": metric, "timestamp": time, "metric_value": value, **of}
    csv.writer(out, lineterminator="\n").writerow([cells.get(name, "") for name in NAMES])
    return out.getvalue().removesuffix("\n")


def csv_log(calls: Iterable[tuple[float, dict[str, str]]] = CALLS, *, times: Iterable[object] = ()) -> str:
    """A log in which every request has samples of other metrics before and after it."""
    ends = iter(times)
    rows = [HEADER]
    for number, (value, of) in enumerate(calls):
        time = next(ends, END + number)
        rows.append(csv_row("http_reqs", time, "1.000000", of))
        rows.append(csv_row("http_req_duration", time, f"{value:f}", of))
        rows.extend(csv_row(metric, time, "2.000000", of) for metric in COMPANIONS[1:])
    return "\n".join(rows) + "\n"


def json_line(metric: str, time: str, value: object, of: dict[str, str]) -> str:
    data: dict[str, object] = {"time": time, "value": value, "tags": {"group": "", **of}}
    return json.dumps({"metric": metric, "type": "Point", "data": data}, separators=(",", ":"))


def json_log(calls: Iterable[tuple[float, dict[str, str]]] = CALLS) -> str:
    data: dict[str, object] = {"type": "counter", "contains": "default", "thresholds": [], "submetrics": None}
    metrics = ("http_req_duration", *COMPANIONS)
    lines = [
        json.dumps({"type": "Metric", "data": {"name": name, **data}, "metric": name}, separators=(",", ":"))
        for name in metrics
    ]
    for number, (value, of) in enumerate(calls):
        time = f"2023-11-14T23:13:{20 + number}+01:00"
        lines.extend(
            json_line(metric, time, value if metric == "http_req_duration" else 1, of) for metric in metrics
        )
    return "\n".join(lines) + "\n"


def head(text: str | bytes) -> Head:
    data = text.encode() if isinstance(text, str) else text
    return Head(path=Path("a.log"), data=data, size=len(data))


def joined(reader: BlockReader, parts: list[Parsed]) -> Parsed:
    left_out: Counter[str] = Counter()
    facts: Counter[str] = Counter()
    for part in parts:
        left_out.update(part.left_out)
        facts.update(part.facts)
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=reader.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        left_out=dict(left_out),
        facts=dict(facts),
    )


def read(dialect: Dialect, text: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    reader = dialect.open(head(data))
    assert isinstance(reader, BlockReader)
    stream = io.BufferedReader(io.BytesIO(data))
    return joined(
        reader, [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    )


def read_path(dialect: Dialect, path: Path, *, block_bytes: int = 2**20) -> Parsed:
    reader = dialect.open(read_head(path))
    assert isinstance(reader, BlockReader)
    with open_stream(path) as stream:
        return joined(
            reader, [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
        )


def columns(text: str, keep: Iterable[str]) -> str:
    """The same table with some of its columns only."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(keep), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(text)))
    return out.getvalue()


def warnings(dialect: Dialect, text: str) -> str:
    parsed = read(dialect, text)
    return "\n".join(dialect.warnings(head(text), parsed.rows.height, {**parsed.facts, **parsed.left_out}))


LOGS = pytest.mark.parametrize(
    ("dialect", "log"), [(K6_CSV, csv_log()), (K6_JSON, json_log())], ids=["csv", "json"]
)


@LOGS
def test_requests_become_canonical_rows(dialect: Dialect, log: str) -> None:
    parsed = read(dialect, log)
    rows = parsed.rows
    assert rows.get_column("success").to_list() == [True, False, False, False]
    assert rows.get_column("error").to_list() == ERRORS
    assert rows.get_column("invocation_latency").to_list() == [120.5, 80.25, 0, 3.000001]
    assert rows.get_column("end_time").to_list() == [END, END + 1, END + 2, END + 3]
    assert rows.get_column("start_time").to_list() == [
        END - 0.1205,
        END + 1 - 0.08025,
        END + 2,
        END + 3 - 0.003000001,
    ]
    assert (
        rows.get_column("label").to_list()
        == ["http://localhost/users", "http://localhost/b?token=secret#x"] + ["http://localhost/users"] * 2
    )
    assert rows.get_column("status").to_list() == ["200", "404", "0", "200"]
    assert rows.get_column("method").to_list() == ["GET"] * 4
    assert rows.get_column("scenario").to_list() == ["default"] * 3 + ["other"]
    assert rows.get_column("group").to_list() == [None, "::shop", None, None]
    assert parsed.rejects.is_empty()
    assert parsed.left_out[OTHERS] == 4 * len(COMPANIONS)


def test_csv_and_json_agree() -> None:
    assert_frame_equal(read(K6_CSV, csv_log()).rows, read(K6_JSON, json_log()).rows)
    assert read(K6_JSON, json_log()).left_out == {"metric definitions": 5, OTHERS: 16}


@LOGS
@pytest.mark.parametrize("block_bytes", some_of([1, 300, 2**20], 3, first=1))
def test_where_a_file_is_cut_makes_no_difference(dialect: Dialect, log: str, block_bytes: int) -> None:
    bad = log.replace("80.25", "eighty")
    for text in (log, bad, log + "\n" + log):
        one, other = read(dialect, text), read(dialect, text, block_bytes=block_bytes)
        assert_frame_equal(one.rows, other.rows)
        assert_frame_equal(one.rejects, other.rejects)
        assert one.left_out == other.left_out


@LOGS
def test_lines_may_end_as_on_windows(dialect: Dialect, log: str) -> None:
    one, other = read(dialect, log), read(dialect, log.replace("\n", "\r\n"))
    assert_frame_equal(one.rows, other.rows)
    assert one.left_out == other.left_out


@pytest.mark.parametrize(
    ("times", "end", "unit"),
    [
        (["1700000000"], 1700000000.0, "unix"),
        (["1700000000123"], 1700000000.123, "unix_milli"),
        (["1700000000123456"], 1700000000.123456, "unix_micro"),
        (["1700000000123456789"], 1700000000.123456789, "unix_nano"),
        (["2023-11-14T22:13:20Z"], 1700000000.0, "rfc3339"),
        (["2023-11-14T23:13:20+01:00"], 1700000000.0, "rfc3339"),
        (["2023-11-14T14:13:20.1234567-08:00"], 1700000000.1234567, "rfc3339"),
    ],
)
def test_times_are_the_end_in_the_unit_that_the_head_shows(times: list[str], end: float, unit: str) -> None:
    log = csv_log(CALLS[:1], times=times)
    rows = read(K6_CSV, log).rows
    assert rows.get_column("end_time").to_list() == [end]
    assert rows.get_column("start_time").to_list() == [pytest.approx(end - 0.1205, abs=1e-6)]
    assert dict(K6_CSV.open(head(log)).meaning)["timestamp"] == f"end of the request, {unit}"


def test_a_latency_is_taken_from_nanoseconds_exactly() -> None:
    log = csv_log([(0.000001, tags(200))], times=["1700000000000000001"])
    assert read(K6_CSV, log).rows.get_column("start_time").to_list() == [1700000000.0]


def test_a_unit_that_cannot_be_known_is_refused() -> None:
    mixed = csv_log(CALLS, times=["1700000000", "1700000001", "1700000002123"])
    with pytest.raises(InputError, match="its unit cannot be known: there are times as unix, unix_milli"):
        K6_CSV.open(head(mixed))
    with pytest.raises(
        InputError, match="timestamp: got '17', expected a time of 2000 to 2099 as rfc3339, unix"
    ):
        K6_CSV.open(head(csv_log(times=["17"] * 4)))


def test_a_damaged_time_is_a_damaged_row_and_no_other_unit() -> None:
    parsed = read(K6_CSV, csv_log(CALLS * 4, times=["1700000002", *["1700000001123"] * (len(CALLS) * 4 - 1)]))
    assert parsed.rows.height == len(CALLS) * 4 - 1
    assert parsed.rejects["column"].to_list() == ["timestamp"]


def test_a_log_without_samples_is_read() -> None:
    parsed = read(K6_CSV, HEADER + "\n")
    assert parsed.rows.is_empty()
    assert parsed.left_out == {}
    assert "no samples of grpc_req_duration, http_req_duration, ws_connecting" in warnings(
        K6_CSV, HEADER + "\n"
    )


@pytest.mark.parametrize("dialect", [K6_CSV, K6_JSON])
def test_a_log_without_requests_is_read(dialect: Dialect) -> None:
    log = {K6_CSV: csv_log, K6_JSON: json_log}[dialect]().replace("http_req_duration", "http_req_waiting")
    parsed = read(dialect, log)
    assert parsed.rows.is_empty()
    assert parsed.left_out[OTHERS] == 20


@pytest.mark.parametrize(
    ("keep", "successes", "errors", "said"),
    [
        (
            NAMES[:6] + NAMES[7:],
            [True, False, False, True],
            [None, "404", "no such host", None],
            "where it has an error or it has an error_code or its status is 400 or more, or 0",
        ),
        (
            ["metric_name", "timestamp", "metric_value", "status", "url"],
            [True, False, False, True],
            [None, "404", "no response", None],
            "where its status is 400 or more, or 0",
        ),
        (
            ["error_code", "metric_value", "timestamp", "metric_name"],
            [True, False, False, True],
            [None, "404", "no such host", None],
            "where it has an error_code",
        ),
        (
            ["error", "metric_value", "timestamp", "metric_name"],
            [True, True, False, True],
            [None, None, "lookup: no such host", None],
            "where it has an error",
        ),
        (
            ["metric_name", "timestamp", "metric_value", "name"],
            [True] * 4,
            [None] * 4,
            "every request counts as successful",
        ),
    ],
)
def test_older_files_lack_columns(
    keep: list[str], successes: list[bool], errors: list[str | None], said: str
) -> None:
    log = columns(csv_log(), keep)
    rows = read(K6_CSV, log).rows
    assert rows.get_column("success").to_list() == successes
    assert rows.get_column("error").to_list() == errors
    assert ("label" in rows.columns) == bool({"name", "url"} & set(keep))
    assert f"{said}" in warnings(K6_CSV, log)


def test_json_may_lack_tags_and_have_the_metric_at_the_end() -> None:
    times = "2023-11-14T22:13:20Z"
    lines = [
        {"type": "Point", "data": {"time": times, "value": 5, "tags": None}, "metric": "http_req_duration"},
        {
            "type": "Point",
            "data": {"time": times, "value": 6, "tags": {"status": "500"}},
            "metric": "http_req_duration",
        },
        {"type": "Point", "data": {"time": times, "value": 6}, "metric": "http_reqs"},
    ]
    log = "".join(json.dumps(line) + "\n" for line in lines)
    parsed = read(K6_JSON, log)
    assert parsed.rows.get_column("success").to_list() == [True, False]
    assert parsed.rows.get_column("error").to_list() == [None, "500"]
    assert parsed.left_out == {OTHERS: 1}
    assert "no expected_response: a request counts as failed where" in warnings(K6_JSON, log)


@pytest.mark.parametrize(
    ("of", "error"),
    [
        (tags(503, "false"), "503"),
        (tags(200, "false", error_code="1701"), "error 1701"),
        ({"error_code": "1429"}, "429"),
        ({"error": 'Get "http://h/?token=a": EOF'}, "Get"),
        ({"error": "read tcp 10.0.0.1:5->10.0.0.2:80: reset"}, "read tcp"),
        ({"error": "10.0.0.1"}, "unknown error"),
        ({"status": "0"}, "no response"),
        ({"expected_response": "false"}, "no response"),
        (tags(404, "false", error_code="1404"), "404"),
        (tags(0, "false", error="dial: i/o timeout", error_code="1211"), "dial timeout"),
    ],
)
@pytest.mark.parametrize("dialect", [K6_CSV, K6_JSON])
def test_a_failed_request_is_classed_by_its_status_or_error(
    dialect: Dialect, of: dict[str, str], error: str
) -> None:
    log = {K6_CSV: csv_log, K6_JSON: json_log}[dialect]([(1.0, of)])
    rows = read(dialect, log).rows
    assert rows.get_column("success").to_list() == [False]
    assert rows.get_column("error").to_list() == [error]


@pytest.mark.parametrize("dialect", [K6_CSV, K6_JSON])
def test_what_the_script_expects_is_no_failure(dialect: Dialect) -> None:
    """As k6's http_req_failed has it: http.expectedStatuses, the first 401 of digest authentication."""
    calls = [
        (1.0, tags(404, "true", error_code="1404")),
        (2.0, tags(401, "true", error_code="1401")),
        (3.0, tags(404, "false", error_code="1404")),
        (4.0, tags(200, "false")),
        (5.0, tags(0, "true", error="dial: timeout", error_code="1050")),
        (6.0, tags(404, "", error_code="1404")),
        (7.0, tags(200, "")),
    ]
    log = {K6_CSV: csv_log, K6_JSON: json_log}[dialect](calls)
    rows = read(dialect, log).rows
    assert rows.get_column("success").to_list() == [True, True, False, False, True, False, True]
    assert rows.get_column("error").to_list() == [None, None, "404", "failed with 200", None, "404", None]
    assert "2 requests have no expected_response" in warnings(dialect, log)


def test_without_a_name_the_url_is_the_label() -> None:
    of = {"name": "", "url": "http://host/a?b"}
    assert read(K6_CSV, csv_log([(1.0, of)])).rows.get_column("label").to_list() == ["http://host/a?b"]
    assert read(K6_JSON, json_log([(1.0, of)])).rows.get_column("label").to_list() == ["http://host/a?b"]


def test_quoted_cells_with_line_breaks_are_read() -> None:
    odd = tags(0, "false", error='dial "x",\nhttp_req_duration,1,2', error_code="1000")
    parsed = read(K6_CSV, csv_log([(7.0, odd), *CALLS]))
    assert parsed.rejects.is_empty()
    assert parsed.rows.get_column("invocation_latency").to_list() == [7, 120.5, 80.25, 0, 3.000001]
    assert parsed.left_out == {OTHERS: 20}


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("120.500000", "fast", "metric_value"),
        ("120.500000", "nan", "metric_value"),
        ("120.500000", "inf", "metric_value"),
        ("120.500000", "-1.000000", "metric_value"),
        ("120.500000", "", "metric_value"),
        ("120.500000", "1e300", "invocation_latency"),
        (f"{END},120", "9,120", "timestamp"),
        (f"{END},120", f"{END}0,120", "timestamp"),
        (f"{END},120", "-5,120", "timestamp"),
        (f"{END},120", "9223372036854775807,120", "timestamp"),
        (f"{END},120", ",120", "timestamp"),
        (f"{END},120", f"{END},,120", ""),
        (f"{END},120", f"{END}120", ""),
        (",true,", ",maybe,", "expected_response"),
        (",200,", ",ok,", "status"),
        ("/users", "/us\udcffers", "name"),
    ],
)
def test_bad_rows_of_a_csv_are_rejected_alone(old: str, new: str, column: str) -> None:
    lines = csv_log().split("\n")
    lines[2] = lines[2].replace(old, new)
    parsed = read(K6_CSV, "\n".join(lines).encode(errors="surrogateescape"))
    assert parsed.rows.get_column("invocation_latency").to_list() == [80.25, 0, 3.000001]
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]
    assert parsed.left_out == {OTHERS: 16}


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("120.5", '"fast"', "data.value"),
        ("120.5", "NaN", "data.value"),
        ("120.5", "-1", "data.value"),
        ("120.5", "null", "data.value"),
        ("120.5", "1e300", "invocation_latency"),
        ('{"time', '{"tame', "data.time"),
        ("2023-", "2607-", "data.time"),
        ("2023-", "2623-", "data.time"),
        ("2023-", "0001-", "data.time"),
        ("2023-11", "2023-13", "data.time"),
        ('"true"', '"maybe"', "data.tags.expected_response"),
        ('"200"', '"ok"', "data.tags.status"),
        ('"type"', '"tipe"', "type"),
        ('"data":{', '"data":', ""),
        ("/users", "/us\udcffers", ""),
    ],
)
def test_bad_lines_of_json_are_rejected_alone(old: str, new: str, column: str) -> None:
    lines = json_log().split("\n")
    assert '"value":120.5' in lines[5]
    lines[5] = lines[5].replace(old, new)
    parsed = read(K6_JSON, "\n".join(lines).encode(errors="surrogateescape"))
    assert parsed.rows.get_column("invocation_latency").to_list() == [80.25, 0, 3.000001]
    assert parsed.rejects.select("line", "column").rows() == [(6, column)]
    assert parsed.left_out == {"metric definitions": 5, OTHERS: 16}


@LOGS
def test_torn_last_lines_are_rejected(dialect: Dialect, log: str) -> None:
    whole = read(dialect, log)
    for cut in (5, 40, 90):
        parsed = read(dialect, log + log.split("\n")[6][:cut])
        assert_frame_equal(parsed.rows, whole.rows)
        assert parsed.rejects.get_column("reason").to_list() == ["torn last line"]
        assert parsed.left_out == whole.left_out


def test_short_lines_of_other_metrics_and_nameless_ones_are_rejected() -> None:
    log = csv_log() + csv_row("", END, 1, {}) + "\nvus,1\n"
    parsed = read(K6_CSV, log)
    assert parsed.rows.height == 4
    assert parsed.rejects.select("line", "column").rows() == [(22, "metric_name"), (23, "")]


def test_files_that_were_put_together_are_read() -> None:
    parsed = read(K6_CSV, csv_log() + csv_log())
    assert parsed.rows.height == 8
    assert parsed.left_out == {OTHERS: 32, "repeated headers": 1}
    both = read(K6_JSON, json_log() + json_log())
    assert both.left_out == {OTHERS: 32, "metric definitions": 10}


def test_what_is_not_of_k6_is_refused() -> None:
    with pytest.raises(InputError, match="is no k6 CSV: missing columns: metric_name, metric_value"):
        K6_CSV.open(head("timestamp,a\n1,2\n"))
    with pytest.raises(InputError, match="doubled columns: status; rename or remove one"):
        K6_CSV.open(head("metric_name,timestamp,metric_value,status,status\n"))
    with pytest.raises(InputError, match="is no JSON of k6"):
        K6_JSON.open(head('{"type":"Point"}\n'))


def test_the_dialects_say_what_they_are() -> None:
    for dialect, log, value in ((K6_CSV, csv_log(), "metric_value"), (K6_JSON, json_log(), "data.value")):
        assert dict(dialect.open(head(log)).meaning)[value] == "latency from sending to the last byte, ms"
        assert (dialect.key, dialect.clock, dialect.closed_loop) == (("label", "method"), "epoch", True)
        assert "leave out waiting for a connection" in warnings(dialect, log)


# The end-of-test summaries of k6, old and new, shortened.
SUMMARY_TEXT = """
     \x1b[32m✓\x1b[0m is up

     data_received..............: 148 MB  2.5 MB/s
     http_req_duration..........: avg=143.53ms min=119.08ms med=140.96ms p(95)=148.21ms
       { expected_response:true }...: avg=143.53ms min=119.08ms
     \x1b[32m✓\x1b[0m http_req_failed............: 0.00%  ✓ 0        ✗ 180
     http_reqs..................: 13177 218.8/s
"""
SUMMARY_EXPORT = {
    "root_group": {"name": "", "path": "", "groups": {}, "checks": {}},
    "metrics": {"http_reqs": {"count": 5, "rate": 1.5}, "http_req_duration": {"avg": 1, "p(95)": 2}},
}


def test_summaries_are_refused_with_the_command_that_logs_requests() -> None:
    assert K6_SUMMARY_TEXT.matches(head(SUMMARY_TEXT))
    for indent in (None, 2):
        summary = head(json.dumps(SUMMARY_EXPORT, indent=indent))
        assert K6_SUMMARY_JSON.matches(summary)
        assert not K6_JSON.matches(summary)
    for refused in (K6_SUMMARY_JSON, K6_SUMMARY_TEXT):
        assert "k6 run --out csv=log.csv" in refused.advice
        assert not any(
            refused.matches(head(log)) for log in (csv_log(), json_log(), "{}", '{"metrics":{}}', "\n")
        )


@pytest.mark.skipif(not OTHER_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", OTHER_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_of_other_tools_do_not_match(path: Path) -> None:
    top = read_head(path)
    assert not any(one.matches(top) for one in (K6_CSV, K6_JSON, K6_SUMMARY_JSON, K6_SUMMARY_TEXT))


@needs_run
def test_files_of_k6_match_one_dialect() -> None:
    for path in sorted(RUN.parent.iterdir()):
        top = read_head(path)
        kinds = (K6_CSV, K6_JSON, K6_SUMMARY_JSON, K6_SUMMARY_TEXT)
        expected = {".csv": K6_CSV, ".ndjson": K6_JSON, ".json": K6_SUMMARY_JSON}[path.suffix]
        assert [kind for kind in kinds if kind.matches(top)] == [expected]


def requests_of_csv(path: Path) -> list[dict[str, str]]:
    """The samples of requests by Python's own reader."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["metric_name"] == "http_req_duration"]


@pytest.mark.skipif(not SHARED_CSV, reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("path", "block_bytes"),
    combinations(SHARED_CSV, [100_000, 5_000, 2**24], one_in=9),
    ids=lambda value: getattr(value, "name", value),
)
def test_recorded_csv_agrees_with_an_independent_reading(path: Path, block_bytes: int) -> None:
    parsed = read_path(K6_CSV, path, block_bytes=block_bytes)
    rows, expected = parsed.rows, requests_of_csv(path)
    assert parsed.rejects.is_empty()
    assert rows.get_column("success").to_list() == [row["expected_response"] == "true" for row in expected]
    latencies = [float(row["metric_value"]) for row in expected]
    assert rows.get_column("invocation_latency").to_list() == latencies
    assert rows.get_column("end_time").to_list() == [float(row["timestamp"]) for row in expected]
    starts = [int(row["timestamp"]) - ms / 1000 for row, ms in zip(expected, latencies, strict=True)]
    assert rows.get_column("start_time").to_list() == pytest.approx(starts, rel=0, abs=1e-6)
    assert Counter(rows.get_column("label")) == Counter(row["name"] for row in expected)
    lines = path.read_bytes().count(b"\n") - 1
    assert parsed.left_out == {OTHERS: lines - len(expected)}


@needs_run
def test_failed_requests_of_an_older_recorded_csv() -> None:
    rows = read_path(K6_CSV, RUN.with_name("taurus_k6_kpi.csv")).rows
    assert rows.get_column("error").to_list() == [None, None, "no such host", "no such host"]


@needs_run
def test_recorded_json_agrees_with_an_independent_reading() -> None:
    path = RUN.with_suffix(".ndjson")
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    points = [line for line in lines if line["type"] == "Point"]
    expected = [point["data"] for point in points if point["metric"] == "http_req_duration"]
    parsed = read_path(K6_JSON, path)
    assert parsed.rejects.is_empty()
    assert parsed.left_out == {
        OTHERS: len(points) - len(expected),
        "metric definitions": len(lines) - len(points),
    }
    assert parsed.rows.get_column("invocation_latency").to_list() == [one["value"] for one in expected]
    ends = [datetime.fromisoformat(one["time"]).timestamp() for one in expected]
    assert parsed.rows.get_column("end_time").to_list() == pytest.approx(ends, rel=0, abs=2e-6)


@needs_run
def test_csv_and_json_of_one_run_agree_with_each_other_and_with_the_summary_of_k6() -> None:
    table, lines = read_path(K6_CSV, RUN), read_path(K6_JSON, RUN.with_suffix(".ndjson"))
    same = [name for name in table.rows.columns if name not in {"start_time", "end_time"}]
    assert_frame_equal(table.rows.select(same), lines.rows.select(same))
    assert table.left_out[OTHERS] == lines.left_out[OTHERS]
    whole = lines.rows.get_column("end_time").floor().to_list()
    assert table.rows.get_column("end_time").to_list() == whole  # CSV cuts the fraction off
    summary = json.loads(RUN.with_name(f"{RUN.stem}_summary.json").read_bytes())
    told = summary["metrics"]["http_req_duration"]["values"]
    for parsed in (table, lines):
        latency = parsed.rows.get_column("invocation_latency").to_numpy()
        assert latency.size == told["count"]
        assert latency.mean() == pytest.approx(told["avg"], rel=1e-12)
        assert (latency.min(), latency.max()) == (told["min"], told["max"])
        for name, share in {
            "med": 0.5,
            "p(90)": 0.9,
            "p(95)": 0.95,
            "p(99)": 0.99,
            "p(99.99)": 0.9999,
        }.items():
            assert np.quantile(latency, share) == pytest.approx(told[name], rel=1e-12)
        assert (
            parsed.rows.get_column("success").sum()
            == summary["metrics"]["http_req_failed"]["values"]["fails"]
        )


@LOGS
def test_a_compressed_file_reads_the_same(dialect: Dialect, log: str, tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(log.encode()))
    assert dialect.matches(read_head(path))
    assert_frame_equal(read_path(dialect, path).rows, read(dialect, log).rows)


@LOGS
@examples(6)
@given(seed=st.integers(0, 2**32))
def test_damage_costs_the_damaged_lines_only(dialect: Dialect, log: str, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(log.encode())
    start = data.find(b"\n") + 1  # a damaged header is another file
    for _ in range(rng.randint(0, 3)):
        data[rng.randrange(start, len(data))] ^= rng.randrange(1, 256)
    cut = bytes(data[: rng.randint(start, len(data))])
    good = set(log.encode().split(b"\n"))
    kept = [line for line in cut.split(b"\n") if line in good and b'"Metric"' not in line]
    least = sum(b"http_req_duration" in line for line in kept)
    try:
        parsed = read(dialect, cut, block_bytes=rng.choice([200, 2**20]))
    except LoadlensError:
        return
    assert parsed.rows.height >= least


@pytest.mark.parametrize("index", [True, False])
def test_a_csv_that_pandas_has_saved_again_says_the_same(index: bool, tmp_path: Path) -> None:
    """Truth values begin with a capital, and whole numbers beside gaps have a point."""
    header = "metric_name,timestamp,metric_value,error_code,expected_response,method,name,status\n"
    rows = [
        f"http_req_duration,{1700000000 + i},{10 + i / 7:.6f},{'1404' if i == 3 else ''},"
        f"{'false' if i == 3 else 'true'},GET,u,{404 if i == 3 else 200}\nvus,{1700000000 + i},1,,,,,\n"
        for i in range(12)
    ]
    logged, saved = tmp_path / "logged.csv", tmp_path / "saved.csv"
    logged.write_text(header + "".join(rows), encoding="utf-8")
    pd.read_csv(logged).to_csv(saved, index=index)
    assert ",True," in saved.read_text(encoding="utf-8")
    one, other = (loadlens.read_log(path).frame.collect() for path in (logged, saved))
    assert_frame_equal(one, other)
    assert one["success"].to_list() == [i != 3 for i in range(12)]
    assert one["status"].to_list() == ["404" if i == 3 else "200" for i in range(12)]
