"""AWS Lambda's reports. The logs are written here by their documented layout, not recorded."""

import csv
import io
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.dialects import detect
from loadlens.dialects.aws_lambda import LAMBDA_REPORT, LAMBDA_TEXT_EVENTS
from loadlens.dialects.base import BlockReader, Dialect, StreamReader
from loadlens.dialects.lambda_events import LAMBDA_CSV, LAMBDA_JSON
from loadlens.errors import InputError, LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, joined
from tests.extent import combinations, examples, some_of, some_rows

SHARED = Path(__file__).parents[3] / "shared" / "logs"
SHARED_FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file()]

ID = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
TIME_MS = 1700000000123
TIMES = [(TIME_MS + offset) / 1000 for offset in (0, 1000, 2000, 3000, 4000)]


def report(
    duration: object = 102.25, billed: object = 103, size: object = 128, used: object = 66, rest: str = ""
) -> str:
    return (
        f"REPORT RequestId: {ID}\tDuration: {duration} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: {size} MB\tMax Memory Used: {used} MB\t{rest}"
    )


REPORTS = [
    report(),
    report(693.92, 1091, 512, 84, "Init Duration: 397.68 ms\t"),
    report(3000.0, 3000, 128, 64, "Status: timeout"),
    report(10935.7, 10936, 1024, 1024, "Status: error\tError Type: Runtime.OutOfMemory"),
    report(120.5, 228, 512, 136, "Restore Duration: 616.53 ms\tBilled Restore Duration: 107 ms\t"),
]
EXPECTED: dict[str, list[Any]] = {
    "success": [True, True, False, False, True],
    "error": [None, None, "timeout", "Runtime.OutOfMemory", None],
    "invocation_latency": [102.25, 693.92, 3000.0, 10935.7, 120.5],
    "memory_size": [128, 512, 128, 1024, 512],
    "memory_used": [66, 84, 64, 1024, 136],
    "billed_duration": [103.0, 1091.0, 3000.0, 10936.0, 228.0],
    "cold_start": [False, True, False, False, True],
    "init_duration": [None, 397.68, None, None, 616.53],
}


def iso(index: int, text: str = "2023-11-14T22:13:{}.123Z") -> str:
    return text.format(20 + index)


def json_record(index: int) -> dict[str, object]:
    metrics = {
        "durationMs": EXPECTED["invocation_latency"][index],
        "billedDurationMs": int(EXPECTED["billed_duration"][index] or 0),
        "memorySizeMB": EXPECTED["memory_size"][index],
        "maxMemoryUsedMB": EXPECTED["memory_used"][index],
    }
    init = EXPECTED["init_duration"][index]
    more = {"initDurationMs" if index == 1 else "restoreDurationMs": init} if init else {}
    status = {2: {"status": "timeout", "errorType": "Sandbox.Timedout"}, 3: {"status": "error"}}.get(
        index, {}
    )
    status |= (
        {"errorType": "Runtime.OutOfMemory"} if index == 3 else {"status": "success"} if index < 2 else {}
    )
    return {
        "time": iso(index),
        "type": "platform.report",
        "record": {"requestId": ID, "metrics": metrics | more, "spans": [{"name": "x"}], **status},
    }


def lines(*values: object) -> str:
    return "".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values)


def head(text: str | bytes) -> Head:
    data = text.encode() if isinstance(text, str) else text
    return Head(path=Path("a.log"), data=data, size=len(data))


def read(dialect: Dialect, text: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    reader = dialect.open(head(data))
    assert isinstance(reader, BlockReader)
    stream = io.BufferedReader(io.BytesIO(data))
    parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    assert all(part.rows.schema == reader.schema for part in parts)
    counts = [{**part.facts, **part.left_out} for part in parts]
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=reader.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        facts={what: sum(count.get(what, 0) for count in counts) for each in counts for what in each},
    )


def check(parsed: Parsed, *, timed: bool = True) -> None:
    rows = parsed.rows
    assert {name: rows.get_column(name).to_list() for name in EXPECTED} == EXPECTED
    assert parsed.rejects.is_empty()
    assert ("end_time" in rows.columns) == ("start_time" in rows.columns) == timed
    if timed:
        starts = [
            end - ms / 1000 for end, ms in zip(TIMES, rows["invocation_latency"].to_list(), strict=True)
        ]
        assert rows.get_column("end_time").to_list() == TIMES
        assert rows.get_column("start_time").to_list() == pytest.approx(starts, rel=0, abs=1e-6)


def stamped(form: str, *, milliseconds: bool = False) -> str:
    times = [str(TIME_MS + 1000 * at) if milliseconds else iso(at) for at in range(len(REPORTS))]
    return lines(*(form.format(time=time, text=text) for time, text in zip(times, REPORTS, strict=True)))


def exported(header: str, *, milliseconds: bool = True) -> str:
    """A CSV export, whose messages end with a line break."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header.split(","))
    for at, text in enumerate(REPORTS):
        time = TIME_MS + 1000 * at if milliseconds else iso(at, "2023-11-14 22:13:{}.123")
        writer.writerow([time, f"START RequestId: {ID} Version: $LATEST\n"])
        writer.writerow([time, f"{text}\nXRAY TraceId: 1-5e34\tSegmentId: 07f\tSampled: true\t\n"])
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    some_of(
        [
            stamped("{time} {text}"),
            stamped("{time}\t{text}"),
            stamped("{time} 2023/11/14/[$LATEST]0f {text}"),
            stamped("2023/11/14/fn[$LATEST]0f {time} {text}"),
            stamped("{time} {text}").replace("Z", "000+00:00"),
            stamped("{time} {text}").replace("Z", "").replace("T22", " 22"),
            stamped("{time} {text}").replace("T22", "T23").replace("Z", "+01:00"),
            stamped("{time} {text}").replace("T22", "T16").replace("Z", "-0600"),
            stamped("{time},{text}", milliseconds=True),
            stamped("{time}\t{text}", milliseconds=True),
            stamped("{time} {text}").replace("\n", "\r\n"),
            stamped('{time},"{text}"', milliseconds=True),
            "timestamp,message\n" + stamped('{time},"{text}\n"', milliseconds=True),
            exported("timestamp,message"),
            exported("@timestamp,@message", milliseconds=False),
        ],
        3,
    ),
)
def test_report_lines_with_times(text: str) -> None:
    assert LAMBDA_REPORT.matches(head(text))
    assert not LAMBDA_JSON.matches(head(text))
    check(read(LAMBDA_REPORT, text))
    check(read(LAMBDA_REPORT, text, block_bytes=100))


@pytest.mark.parametrize("separator", ["\t", " ", " \t"])
def test_report_lines_without_times(separator: str) -> None:
    text = lines(f"START RequestId: {ID}", *REPORTS, f"END RequestId: {ID}").replace("\t", separator)
    check(read(LAMBDA_REPORT, text), timed=False)
    found = "\n".join(LAMBDA_REPORT.warnings(head(text), 5, {"other lines": 1200}))
    assert "no start_time and end_time, and no throughput" in found
    assert "1,200 other lines are no reports" in found
    assert "without a status counts as a success" in found


def test_the_warning_tells_how_times_are_taken() -> None:
    found = "\n".join(LAMBDA_REPORT.warnings(head(stamped("{time} {text}")), 5, {}))
    assert "a call's start is taken as its end less its duration" in found


def test_other_lines_are_counted() -> None:
    others = (
        "INIT_START Runtime Version: python:3.11.v15",
        f"START RequestId: {ID} Version: $LATEST",
        "2023-11-14T22:13:20.123Z\tid\tINFO\tDuration: 3 ms",
        "INIT_REPORT Init Duration: 488.22 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError",
        "XRAY TraceId: 1-5e34\tSegmentId: 07f\tSampled: true",
        f"END RequestId: {ID}",
    )
    parsed = read(LAMBDA_REPORT, lines(*others, *REPORTS, ""))
    check(parsed, timed=False)
    assert parsed.facts == {"other lines": 6, "blank lines": 1}


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (report("fast"), "duration", "got 'fast', expected a number"),
        (report("NaN"), "duration", "expected a finite number"),
        (report("1e300"), "duration", "expected a duration in ms"),
        (report(-1), "duration", "got -1.0, expected a duration in ms, 0 or more"),
        (report(billed=-5), "billed", "expected a billed duration in ms"),
        (report(size=128.5), "size", "expected a whole number"),
        (report(size=-1), "size", "expected a memory size in MB"),
        (report(used=-1), "used", "expected a used memory in MB"),
        (report(rest="Init Duration: -3 ms"), "rest", "expected an init duration in ms"),
        (report(rest="Init Duration: 12"), "rest", "expected an init duration in ms"),
        (report(rest="Init Duration:"), "rest", "expected a"),
        (report(rest="Init Dur"), "rest", "expected a value after every name"),
        (report().replace("Memory Size", "Memory"), "size", "got nothing, expected a value"),
        (report().replace("Duration: 102.25 ms", "Init Duration: 1 ms"), "duration", "got nothing, expected"),
        ("REPORT RequestId: 8f5", "duration", "got nothing, expected a value"),
        ("EVENTS\t1\t" + report(), "", "is not what such a line looks like"),
    ],
)
def test_bad_lines_are_rejected_alone(line: str, column: str, reason: str) -> None:
    parsed = read(LAMBDA_REPORT, lines(REPORTS[0], line, REPORTS[1]))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]
    assert reason in parsed.rejects.item(0, "reason")


@pytest.mark.parametrize("time", ["", "2023-13-14T22:13:20Z ", "2023-11-14T25:13:20Z "])
def test_among_lines_with_times_one_without_is_rejected(time: str) -> None:
    parsed = read(LAMBDA_REPORT, stamped("{time} {text}") + time + REPORTS[0])
    assert parsed.rows.height == 5
    assert parsed.rejects.select("line", "column").rows() == [(6, "time")]


def test_a_torn_last_line_and_invalid_utf8_are_rejected_alone() -> None:
    text = lines(REPORTS[0]).encode()
    parsed = read(LAMBDA_REPORT, text + text.replace(b"8f50", b"\xff") + text + text[:70])
    assert parsed.rows.height == 3  # the request's id is not read
    assert parsed.rejects.get_column("reason").to_list() == ["torn last line"]
    parsed = read(LAMBDA_REPORT, text + text.replace(b"102.25", b"102.\xff5") + text)
    assert parsed.rejects.get_column("line").to_list() == [2]


@pytest.mark.parametrize(
    "words", ["2024-03-04T10:00:00.000Z ", "2024/03/04/[$LATEST]abc ", "/aws/lambda/x ", "1700000000123,"]
)
def test_long_lines_of_what_may_stand_before_a_report_are_no_work(words: str, tmp_path: Path) -> None:
    """There are very many ways to part them: a line of 200 kB took minutes."""
    path = tmp_path / "lambda.log"
    path.write_text(words * (200_000 // len(words)) + "\n" + lines(*REPORTS), encoding="utf-8")
    assert detect(read_head(path)) is LAMBDA_REPORT
    begin = time.process_time()
    read(LAMBDA_REPORT, path.read_bytes())
    assert time.process_time() - begin < 5


def event(index: int, message: object, **more: object) -> dict[str, object]:
    return {"timestamp": TIME_MS + 1000 * index, "message": message, "logStreamName": "x", **more}


JSON_LOGS = {
    "records": lines(*(json_record(at) for at in range(5))),
    "events with lines": lines(*(event(at, f"{REPORTS[at]}\n") for at in range(5))),
    "events with records": lines(*(event(at, json.dumps(json_record(at))) for at in range(5))),
    "events with text times": lines(*(event(at, REPORTS[at], timestamp=iso(at)) for at in range(5))),
    "events with traces": lines(*(event(at, f"{REPORTS[at]}\nXRAY TraceId: 1\tx: y\n") for at in range(5))),
    "mixed": lines(
        json_record(0), *(event(at, REPORTS[at]) for at in range(1, 4)), event(4, json.dumps(json_record(4)))
    ),
}
OTHER_RECORDS = lines(
    {"time": iso(0), "type": "platform.start", "record": {"requestId": ID, "version": "$LATEST"}},
    {"time": iso(0), "type": "function", "record": f"{REPORTS[0]}"},
    {"time": iso(0), "type": "platform.runtimeDone", "record": {"metrics": {"durationMs": 3}}},
    {"timestamp": "2023", "level": "INFO", "message": {"durationMs": [1]}},
    {"timestamp": 5.5, "message": "{not JSON", "type": 7, "record": True},
    {"message": f"START RequestId: {ID}"},
    {},
)


@pytest.mark.parametrize(("name", "damage"), combinations(JSON_LOGS, ["", "{\n"], one_in=4))
def test_json_logs(name: str, damage: str) -> None:
    text = OTHER_RECORDS + JSON_LOGS[name] + damage
    assert LAMBDA_JSON.matches(head(text))
    assert not LAMBDA_REPORT.matches(head(text))
    for block_bytes in (100, 2**20):
        parsed = read(LAMBDA_JSON, text, block_bytes=block_bytes)
        assert parsed.rejects.height == bool(damage)
        assert parsed.facts == {"other lines": 7}
        check(Parsed(rows=parsed.rows))


def test_json_logs_without_times() -> None:
    text = JSON_LOGS["events with lines"].replace('"timestamp"', '"ts"')
    check(read(LAMBDA_JSON, text), timed=False)
    assert "no throughput" in "\n".join(LAMBDA_JSON.warnings(head(text), 5, {}))
    timed = "\n".join(LAMBDA_JSON.warnings(head(JSON_LOGS["records"]), 5, {}))
    assert "its end less its duration" in timed


def broken(value: Mapping[str, object], old: str, new: str) -> str:
    text = json.dumps(value)
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    some_rows(
        [
            (broken(json_record(0), "102.25", '"fast"'), "record", "expected a duration in ms"),
            (broken(json_record(0), "102.25", "-1"), "record", "expected a duration in ms"),
            (broken(json_record(0), "102.25", "null"), "record", "expected a duration in ms"),
            (
                broken(json_record(0), '"memorySizeMB": 128', '"memorySizeMB": 1.5'),
                "record",
                "expected a memory size",
            ),
            (broken(json_record(1), "397.68", "true"), "record", "expected an init duration"),
            (
                broken(json_record(0), iso(0), "noon"),
                "time",
                "got 'noon', expected the time of the log event",
            ),
            (broken(event(0, REPORTS[0]), "102.25", "NaN"), "message", "expected a duration in ms"),
            (broken(event(0, REPORTS[0]), str(TIME_MS), "17"), "timestamp", "got '17', expected the time"),
            (
                lines({"type": "platform.report", "time": iso(0)}).strip(),
                "record",
                "got nothing, expected a dur",
            ),
            (lines({"type": "platform.report", "time": iso(0), "record": "x"}).strip(), "record", "got 'x'"),
            ("not JSON", "", "is not JSON"),
        ],
        3,
    ),
)
def test_bad_records_are_rejected_alone(line: str, column: str, reason: str) -> None:
    parsed = read(LAMBDA_JSON, lines(json_record(0), line, json_record(1)))
    assert parsed.rows.height == 2
    assert parsed.rejects.get_column("line").to_list() == [2]
    assert reason in parsed.rejects.item(0, "reason")
    assert parsed.rejects.item(0, "column") == column


def test_failures_of_json_records() -> None:
    def status(**more: object) -> dict[str, object]:
        record = json_record(0)
        return record | {"record": {"metrics": json_record(0)["record"]["metrics"], **more}}  # type: ignore[index]

    rows = read(
        LAMBDA_JSON,
        lines(
            status(),
            status(status="success"),
            status(status="failure"),
            status(status="error", errorType="Runtime.ExitError"),
        ),
    ).rows
    assert rows.get_column("success").to_list() == [True, True, False, False]
    assert rows.get_column("error").to_list() == [None, None, "failure", "Runtime.ExitError"]


def test_many_lines_agree_with_an_independent_reading() -> None:
    random = np.random.default_rng(3)
    durations = [round(float(value), 2) for value in random.lognormal(4, 1, 3000)]
    inits = ["" if at % 50 else "Init Duration: 99.5 ms" for at in range(len(durations))]
    reports = [report(ms, int(ms) + 1, rest=init) for ms, init in zip(durations, inits, strict=True)]
    text = lines(*(f"{TIME_MS + 7 * at},{each}" for at, each in enumerate(reports)))
    rows = read(LAMBDA_REPORT, text, block_bytes=10_000).rows
    expected = [float(match) for match in re.findall(r"\tDuration: (\S+) ms", text)]
    assert rows.get_column("invocation_latency").to_list() == expected
    assert rows.get_column("cold_start").sum() == text.count("Init Duration")
    assert rows.get_column("end_time").to_list() == [
        int(line.split(",")[0]) / 1000 for line in text.splitlines()
    ]
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(expected, share))


SAM_LOCAL = (
    "\tInit Duration: 0.20 ms\tDuration: 130.27 ms\tBilled Duration: 131 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 128 MB\t"
)
FIELDS = ("Duration: 130.27 ms", "Billed Duration: 131 ms", "Memory Size: 256 MB", "Max Memory Used: 99 MB")


@given(
    order=st.permutations([*FIELDS, "Init Duration: 7.5 ms", "Status: error", "Error Type: Runtime.Unknown"]),
    separator=st.sampled_from(["\t", " ", " \t"]),
)
@examples(5)
def test_the_fields_of_a_report_come_in_any_order(order: list[str], separator: str) -> None:
    text = lines(f"REPORT RequestId: {ID}{separator}{separator.join(order)}")
    assert LAMBDA_REPORT.matches(head(text))
    for parsed in (read(LAMBDA_REPORT, text), read(LAMBDA_JSON, lines(event(0, text)))):
        (row,) = parsed.rows.to_dicts()
        assert row["invocation_latency"] == 130.27
        assert (row["billed_duration"], row["memory_size"], row["memory_used"]) == (131, 256, 99)
        assert (row["cold_start"], row["init_duration"], row["error"]) == (True, 7.5, "Runtime.Unknown")


def test_what_runs_functions_locally_writes_the_init_duration_first() -> None:
    warm = SAM_LOCAL.replace("\tInit Duration: 0.20 ms", "")
    parsed = read(LAMBDA_REPORT, lines(f"REPORT RequestId: {ID}{SAM_LOCAL}", f"REPORT RequestId: {ID}{warm}"))
    assert parsed.rows.select("invocation_latency", "cold_start", "init_duration").rows() == [
        (130.27, True, 0.2),
        (130.27, False, None),
    ]


@pytest.mark.parametrize(
    ("duration", "billed", "restore", "expected"),
    [
        (127.10, 154, 26, 154),  # as published: the restoring is in the billed duration
        (306.34, 610, 303, 610),
        (2338.66, 2521, 182, 2521),
        (100.0, 100, 50, 150),  # it is not
        (100.4, 101, 50, 151),
        (100.4, 151, 50, 151),
        (100.4, 150, 50, 150),  # within what rounding does: as logged
        (100.0, 100, 0, 100),
    ],
)
def test_a_billed_restore_counts_once(duration: float, billed: int, restore: int, expected: int) -> None:
    rest = f"Restore Duration: 616.53 ms\tBilled Restore Duration: {restore} ms\t"
    line = report(duration, billed, rest=rest)
    metrics = {
        "durationMs": duration,
        "billedDurationMs": billed,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 66,
        "restoreDurationMs": 616.53,
        "billedRestoreDurationMs": restore,
    }
    record = {"time": iso(0), "type": "platform.report", "record": {"metrics": metrics}}
    swapped = line.replace(rest, "\t".join(reversed(rest.split("\t"))).strip())
    for dialect, text in ((LAMBDA_REPORT, line), (LAMBDA_REPORT, swapped), (LAMBDA_JSON, json.dumps(record))):
        (row,) = read(dialect, lines(text)).rows.to_dicts()
        assert (row["billed_duration"], row["init_duration"], row["cold_start"]) == (expected, 616.53, True)


def test_a_bad_billed_restore_is_rejected() -> None:
    parsed = read(LAMBDA_REPORT, lines(report(rest="Restore Duration: 6 ms\tBilled Restore Duration: x ms")))
    assert "expected a billed restore duration in ms" in parsed.rejects.item(0, "reason")


@pytest.mark.parametrize(
    "form",
    [
        "{time} {text}",  # docker logs -t
        "lambda-1  | {time} {text}",  # docker compose logs -t
        "/aws/lambda/shop 2023/11/14/[$LATEST]0f {time} {text}",  # awslogs get
        "[shop] {time} {text}",
        "{time} stdout F {text}",  # containerd
    ],
)
def test_what_other_programs_write_before_a_line(form: str) -> None:
    check(read(LAMBDA_REPORT, stamped(form)))
    nine = stamped(form).replace(".123Z", ".123000000Z")
    assert LAMBDA_REPORT.matches(head(nine))
    check(read(LAMBDA_REPORT, nine))
    untimed = stamped(form.replace("{time} ", ""))
    check(read(LAMBDA_REPORT, untimed), timed=False)


def test_a_report_that_a_function_logs_is_none() -> None:
    quoted = f"2023-11-14T22:13:20.123Z\t{ID}\tINFO\tgot {REPORTS[0]}"
    parsed = read(LAMBDA_REPORT, stamped("{time} {text}") + lines(quoted))
    assert parsed.rows.height == len(REPORTS)
    assert parsed.rejects.select("line", "reason").rows() == [(6, "is not what such a line looks like")]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "log.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read_document(path: Path) -> Parsed:
    reader = LAMBDA_JSON.open(read_head(path))
    assert isinstance(reader, StreamReader)
    return joined([Parsed(rows=pl.DataFrame(schema=reader.schema)), *reader.batches(path)])


OTHER_EVENT = {"timestamp": TIME_MS, "message": f"START RequestId: {ID} Version: $LATEST\n", "eventId": "x"}
EVENTS = [OTHER_EVENT, *(event(at, f"{REPORTS[at]}\n") for at in range(5))]
RECORDS = [OTHER_EVENT, *(event(at, json.dumps(json_record(at))) for at in range(5))]
DOCUMENTS = {
    "filter-log-events": {"events": EVENTS, "searchedLogStreams": [{"logStreamName": "x"}]},
    "get-log-events": {"events": RECORDS, "nextForwardToken": "f/3", "nextBackwardToken": "b/3"},
    "a subscription": {"messageType": "DATA_MESSAGE", "logGroup": "/aws/lambda/x", "logEvents": EVENTS},
    "events alone": EVENTS,
    "records alone": [{"time": iso(0), "type": "platform.start"}, *map(json_record, range(5))],
}


@pytest.mark.parametrize(("name", "indent"), combinations(DOCUMENTS, [None, 4], one_in=3))
def test_documents_of_events(tmp_path: Path, name: str, indent: int | None) -> None:
    for border in ("", "\ufeff", "\r\n\n"):
        path = write(tmp_path, border + json.dumps(DOCUMENTS[name], indent=indent) + "\n")
        top = read_head(path)
        assert LAMBDA_JSON.matches(top)
        assert not LAMBDA_REPORT.matches(top)
        parsed = read_document(path)
        check(parsed)
        assert parsed.left_out == {"other lines": 1}
    assert "its end less its duration" in "\n".join(LAMBDA_JSON.warnings(top, 5, {}))


@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
@pytest.mark.parametrize("name", ["filter-log-events", "a subscription"])
def test_pages_of_events_one_after_another(tmp_path: Path, name: str, between: str) -> None:
    path = write(tmp_path, between.join([json.dumps(DOCUMENTS[name]), '{"events": [], "x": 1}'] * 3))
    parsed = read_document(path)
    assert (parsed.rows.height, parsed.left_out) == (15, {"other lines": 3})


def test_the_line_of_an_event_is_its_number(tmp_path: Path) -> None:
    bad = [*EVENTS[:3], event(2, report("fast")), *EVENTS[3:]]
    parsed = read_document(write(tmp_path, json.dumps({"events": bad}, indent=1)))
    check(Parsed(rows=parsed.rows))
    assert parsed.rejects.select("line", "column").rows() == [(4, "message")]


@pytest.mark.slow
def test_a_document_may_be_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    events = [event(at % 5, f"{REPORTS[at % 5]}\n", padding="ä" * 400) for at in range(9000)]
    parsed = read_document(write(tmp_path, json.dumps({"events": events}, indent=1, ensure_ascii=False)))
    assert (parsed.rows.height, parsed.rejects.height) == (9000, 0)
    total = sum(EXPECTED["invocation_latency"]) * 1800
    assert parsed.rows["invocation_latency"].sum() == pytest.approx(total)


@pytest.mark.parametrize("left", [1, 30, 200, 450, 700])
def test_a_document_that_is_cut_off_tells_so(tmp_path: Path, left: int) -> None:
    text = json.dumps({"events": EVENTS})
    whole = text[:-left].count(f'"timestamp": {TIME_MS}') + text[:-left].count("logStreamName") - 1
    parsed = read_document(write(tmp_path, text[:-left]))
    assert parsed.rows.height in (whole, whole - 1)
    assert parsed.rejects["reason"].to_list() == ([] if left == 1 else ["the document is cut off here"])


def test_a_damaged_document_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"events": EVENTS}).replace('"eventId": "x"}, {', '"eventId": "x"}, {,')
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=r"log\.json: element 2 of the document is not JSON: Expecting"):
        read_document(path)
    deep = json.dumps({"events": EVENTS})[:-2] + ", " + "[" * 200_000
    with pytest.raises(InputError, match="element 7 of the document is not JSON: it is nested too deeply"):
        read_document(write(tmp_path, deep))


def found(index: int, *, unit: int = 10**6) -> dict[str, str]:
    """What Insights finds in a report, in its own forms of numbers and times."""
    sizes = {
        "@memorySize": f"{EXPECTED['memory_size'][index] * unit:.4E}" if unit == 10**6 else
        str(EXPECTED["memory_size"][index] * unit),
        "@maxMemoryUsed": str(EXPECTED["memory_used"][index] * unit),
    }  # fmt: skip
    init = EXPECTED["init_duration"][index]
    return {
        "@timestamp": iso(index, "2023-11-14 22:13:{}.123"),
        "@duration": str(EXPECTED["invocation_latency"][index]),
        "@billedDuration": str(EXPECTED["billed_duration"][index]),
        **sizes,
        **({} if init is None else {"@initDuration": str(init)}),
    }


def insights_csv(unit: int = 10**6) -> str:
    rows = [found(index, unit=unit) for index in range(5)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[1]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, {"@timestamp": iso(0)}])  # the row of a START
    return out.getvalue()


def results(rows: list[dict[str, str]]) -> dict[str, object]:
    fields = [[*({"field": name, "value": text} for name, text in row.items())] for row in rows]
    pointers = [[*row, {"field": "@ptr", "value": "CmEKJgoi"}] for row in fields]
    return {
        "queryLanguage": "CWLI",
        "results": pointers,
        "statistics": {"recordsMatched": 5.0},
        "status": "Complete",
    }


def check_found(parsed: Parsed) -> None:
    """Insights does not tell how a call ended."""
    rows = parsed.rows
    for name in (
        "invocation_latency",
        "memory_size",
        "memory_used",
        "billed_duration",
        "cold_start",
        "init_duration",
    ):
        assert rows[name].to_list() == EXPECTED[name], name
    assert rows["end_time"].to_list() == TIMES
    assert rows["success"].all()
    assert parsed.rejects.is_empty()


@pytest.mark.parametrize("unit", [10**6, 2**20])
def test_what_insights_finds_as_csv(unit: int) -> None:
    text = insights_csv(unit)
    assert LAMBDA_CSV.matches(head(text))
    assert not LAMBDA_REPORT.matches(head(text))
    parsed = read(LAMBDA_CSV, text)
    check_found(parsed)
    assert parsed.facts == {"other lines": 1}


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("unit", [10**6, 2**20])
def test_what_insights_finds_as_json(tmp_path: Path, unit: int, indent: int | None) -> None:
    rows = [
        {"@timestamp": iso(0), "@message": "START RequestId: x"},
        *(found(at, unit=unit) for at in range(5)),
    ]
    for document in (results(rows), results(rows)["results"], rows):
        path = write(tmp_path, json.dumps(document, indent=indent))
        assert LAMBDA_JSON.matches(read_head(path))
        parsed = read_document(path)
        check_found(parsed)
        assert parsed.left_out == {"other lines": 1}
    check_found(read(LAMBDA_JSON, lines(*rows)))


def test_the_message_of_what_insights_finds_tells_more() -> None:
    rows = [{**found(index), "@message": f"{REPORTS[index]}\n"} for index in range(5)]
    check(read(LAMBDA_JSON, lines(*rows)))
    out = io.StringIO()
    writer = csv.DictWriter(out, [*found(1), "@message"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert LAMBDA_CSV.matches(head(out.getvalue()))
    assert not LAMBDA_REPORT.matches(head(out.getvalue()))
    check(read(LAMBDA_CSV, out.getvalue()))
    check(read(LAMBDA_CSV, out.getvalue(), block_bytes=100))


@pytest.mark.parametrize("header", ["timestamp,message", "@timestamp,@message"])
def test_records_in_exports_as_csv(header: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header.split(","))
    for at in range(5):
        time = str(TIME_MS + 1000 * at) if header[0] == "t" else iso(at, "2023-11-14 22:13:{}.123")
        writer.writerow(
            [time, json.dumps({"time": iso(at), "type": "platform.start"}, separators=(",", ":"))]
        )
        writer.writerow([time, json.dumps(json_record(at), separators=(",", ":"))])
    text = out.getvalue()
    assert LAMBDA_CSV.matches(head(text))
    parsed = read(LAMBDA_CSV, text)
    check(parsed)
    assert parsed.facts == {"other lines": 5}


@pytest.mark.parametrize("lost", ["@billedDuration", "@memorySize", "@maxMemoryUsed"])
def test_a_row_without_its_report_lacks_what_no_column_tells(lost: str) -> None:
    """Other rows of the file have their report, so that nothing seems to be missing."""
    header = [name for name in ("@timestamp", "@message", *found(1)) if name != "@timestamp"]
    rows = [{"@message": REPORTS[1], **found(1)}, {"@message": "a message of another kind", **found(1)}]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["@timestamp", *header], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"@timestamp": iso(1, "2023-11-14 22:13:{}.123"), **row} for row in rows)
    parsed = read(LAMBDA_CSV, out.getvalue().replace(lost, "other"))
    assert parsed.rows.height == 1
    ((line, column, reason),) = parsed.rejects.drop("raw").rows()
    assert (line, column) == (3, lost)
    assert reason.startswith("got nothing, expected ")


def test_columns_that_a_query_does_not_ask_for_are_not_there() -> None:
    rows = read(LAMBDA_CSV, "@duration\n102.25\n").rows
    assert rows.columns == ["success", "error", "invocation_latency"]
    timed = read(LAMBDA_CSV, "@timestamp,@duration,@memorySize\n2023-11-14 22:13:20,102.25,1.28E8\n").rows
    assert timed.columns == [
        "success",
        "error",
        "start_time",
        "end_time",
        "invocation_latency",
        "memory_size",
    ]
    (row,) = read(LAMBDA_JSON, lines({"@duration": "7", "@memorySize": 512_000_000})).rows.to_dicts()
    assert row == {"success": True, "error": None, "invocation_latency": 7.0, "memory_size": 512}


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    some_rows(
        [
            ("@duration", "fast", "got 'fast', expected a duration in ms"),
            ("@duration", "-1", "expected a duration in ms, 0 or more"),
            ("@billedDuration", "", "expected a billed duration"),
            ("@memorySize", "128", "expected a memory size in bytes, 1,000,000 for each MB"),
            ("@memorySize", "big", "expected a memory size in bytes"),
            ("@timestamp", "noon", "expected the time of the log event"),
            ("@initDuration", "long", "expected an init duration"),
        ],
        3,
    ),
)
def test_bad_findings_are_rejected_alone(column: str, cell: str, reason: str) -> None:
    good = found(1)
    text = "\n".join(",".join(row) for row in (good, good.values(), (good | {column: cell}).values())) + "\n"
    parsed = read(LAMBDA_CSV, text)
    assert parsed.rows.height == 1
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]
    assert reason in parsed.rejects.item(0, "reason")
    lined = read(LAMBDA_JSON, lines(good, good | {column: cell}))
    assert (lined.rows.height, lined.rejects.item(0, "column")) == (1, column)
    assert reason in lined.rejects.item(0, "reason")


def test_a_query_that_gives_all_it_can_is_warned_about() -> None:
    few = LAMBDA_CSV.warnings(head(insights_csv()), 5, {"other lines": 1})
    assert "Logs Insights gives at most" not in " ".join(few)
    full = LAMBDA_CSV.warnings(head(insights_csv()), 9999, {"other lines": 1})
    assert "exactly 10,000 rows" in full[-1]
    assert "exactly" not in " ".join(LAMBDA_JSON.warnings(head(JSON_LOGS["records"]), 10_000, {}))


@pytest.mark.parametrize(
    ("log", "told", "advice"),
    [
        (
            "bin(5m),avg(@duration),max(@duration)\n2023-11-14 22:10:00,1,2\n",
            "statistics of CloudWatch",
            "fields",
        ),
        ("@billedDuration,@memorySize\n1,2\n", "but lacks the column @duration", "query with: fields"),
        (f"EVENTS\t1700000000999\t{REPORTS[0]}\n\t{TIME_MS}\n", "as text (--output text)", "--output json"),
        (
            f"{iso(0)} 2023/11/14/[$LATEST]0f {json.dumps(json_record(0), separators=(',', ':'))}\n",
            "with something before each",
            "sed 's/^[^{]*//'",
        ),
    ],
)
def test_what_cannot_be_read_is_named(log: str, told: str, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        detect(head(log))
    assert told in str(caught.value)
    assert advice in str(caught.value)


def test_what_is_no_report_does_not_match() -> None:
    hostile = (
        "2023/11/14/" + "[x]" * 10**5,
        '{"message": "' + "REPORT RequestId: " * 10**4,
        "[" * 10**5 + "platform.report",
    )
    for text in ("", "{}", "[]\n", "START RequestId: x\n", '{"type": "platform.start"}\n', *hostile):
        for dialect in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_TEXT_EVENTS):
            assert not dialect.matches(head(text))
    for text in JSON_LOGS.values():
        assert not LAMBDA_TEXT_EVENTS.matches(head(text))


def test_a_file_forced_to_be_a_lambda_log_is_taken_as_one_with_times() -> None:
    for dialect in (LAMBDA_REPORT, LAMBDA_JSON):
        assert {"start_time", "end_time"} <= set(dialect.open(head("x\n")).schema)


@pytest.mark.skipif(not SHARED_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    for dialect in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_TEXT_EVENTS):
        assert not dialect.matches(read_head(path))


def intact(before: bytes, after: bytes) -> list[bytes]:
    """The lines that are still there, and still between two line breaks."""
    ends = [match.end() for match in re.finditer(b"\n", before)]
    spans = zip([0, *ends], ends, strict=False)
    return [
        before[at:end] for at, end in spans if before[max(at - 1, 0) : end] == after[max(at - 1, 0) : end]
    ]


def physical_lines(data: bytes | bytearray) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


@examples(20)
@given(
    log=st.sampled_from([(LAMBDA_REPORT, exported("timestamp,message")), (LAMBDA_JSON, JSON_LOGS["mixed"])]),
    flips=st.dictionaries(st.integers(0, 1500), st.integers(0, 255), max_size=4),
    cut=st.integers(0, 2000),
)
def test_damage_gives_rejects_and_never_anything_else(
    log: tuple[Dialect, str], flips: dict[int, int], cut: int
) -> None:
    dialect, text = log
    data = bytearray(text.encode()[:cut])
    for at, byte in flips.items():
        if at < len(data):
            data[at] = byte
    whole = intact(text.encode(), bytes(data))
    for each in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_TEXT_EVENTS):
        each.matches(head(bytes(data)))
    try:
        parsed = read(dialect, bytes(data))
    except LoadlensError:
        return
    assert parsed.rows.height >= sum(
        b"REPORT RequestId" in line or b"platform.report" in line for line in whole
    )
    assert parsed.rows.height + parsed.rejects.height + sum(parsed.facts.values()) == physical_lines(data)
