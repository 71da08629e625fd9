"""AWS Lambda's reports. The logs are written here by their documented layout, not recorded."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadlens.errors import LoadlensError
from loadlens.sources.dialects.aws_lambda import LAMBDA_EVENTS, LAMBDA_JSON, LAMBDA_REPORT
from loadlens.sources.dialects.base import BlockReader, Dialect
from loadlens.sources.parsed import REJECT_SCHEMA, Parsed
from loadlens.sources.text.blocks import blocks
from loadlens.sources.text.stream import Head, read_head

SHARED = Path(__file__).parents[4] / "shared" / "logs"
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
        (report().replace("Memory Size", "Memory"), "", "is not what such a line looks like"),
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


@pytest.mark.parametrize("name", JSON_LOGS)
@pytest.mark.parametrize("damage", ["", "{\n"], ids=["at once", "line by line"])
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
        (broken(json_record(0), iso(0), "noon"), "time", "got 'noon', expected the time of the log event"),
        (broken(event(0, REPORTS[0]), "102.25", "NaN"), "message", "expected a duration in ms"),
        (broken(event(0, REPORTS[0]), str(TIME_MS), "17"), "timestamp", "got '17', expected the time"),
        (lines({"type": "platform.report", "time": iso(0)}).strip(), "record", "got nothing, expected a dur"),
        (lines({"type": "platform.report", "time": iso(0), "record": "x"}).strip(), "record", "got 'x'"),
        ("not JSON", "", "is not JSON"),
    ],
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


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("key", ["events", "logEvents"])
def test_a_document_of_events_is_refused(indent: int | None, key: str) -> None:
    text = json.dumps({"owner": "x", key: [event(0, REPORTS[0])]}, indent=indent)
    assert LAMBDA_EVENTS.matches(head(text))
    assert not LAMBDA_JSON.matches(head(text))
    assert not LAMBDA_REPORT.matches(head(text))
    assert "jq -c" in LAMBDA_EVENTS.advice


def test_what_is_no_report_does_not_match() -> None:
    hostile = (
        "2023/11/14/" + "[x]" * 10**5,
        '{"message": "' + "REPORT RequestId: " * 10**4,
        "[" * 10**5 + "platform.report",
    )
    for text in ("", "{}", "[]\n", "START RequestId: x\n", '{"type": "platform.start"}\n', *hostile):
        for dialect in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_EVENTS):
            assert not dialect.matches(head(text))
    for text in JSON_LOGS.values():
        assert not LAMBDA_EVENTS.matches(head(text))


def test_a_file_forced_to_be_a_lambda_log_is_taken_as_one_with_times() -> None:
    for dialect in (LAMBDA_REPORT, LAMBDA_JSON):
        assert {"start_time", "end_time"} <= set(dialect.open(head("x\n")).schema)


@pytest.mark.skipif(not SHARED_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    for dialect in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_EVENTS):
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


@settings(max_examples=20)
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
    for each in (LAMBDA_REPORT, LAMBDA_JSON, LAMBDA_EVENTS):
        each.matches(head(bytes(data)))
    try:
        parsed = read(dialect, bytes(data))
    except LoadlensError:
        return
    assert parsed.rows.height >= sum(
        b"REPORT RequestId" in line or b"platform.report" in line for line in whole
    )
    assert parsed.rows.height + parsed.rejects.height + sum(parsed.facts.values()) == physical_lines(data)
