"""The same calls as a log of every dialect, written by its documented layout, and what must be read of it."""

import csv
import io
import json
import math
import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

START_MS = 1_700_000_000_123
MEMORY = {"GET /a": 128, "/b": 512}
LABELED, UNLABELED, SIZED = ("label",), (), ("memory_size", "cold_start")
BY_METHOD, BY_APP = ("label", "method"), ("label", "app")


@dataclass(frozen=True)
class Call:
    """A call in whole ms, which every format can hold."""

    label: str
    ok: bool
    start: int
    ms: int
    cold: bool

    @property
    def status(self) -> int:
        return 200 if self.ok else 503

    @property
    def end(self) -> int:
        return self.start + self.ms

    @property
    def after(self) -> int:
        """When it starts, in ms since the test began."""
        return self.start - START_MS


def calls(rows: int, seed: int) -> list[Call]:
    rng = np.random.default_rng(seed)
    labels, fates, latencies = rng.integers(0, 2, rows), rng.random(rows), rng.lognormal(4, 0.8, rows)
    drawn = zip(labels.tolist(), fates.tolist(), latencies.tolist(), strict=True)
    return [
        Call(list(MEMORY)[label], fate > 0.1, START_MS + 41 * index, 1 + int(ms), fate > 0.9)
        for index, (label, fate, ms) in enumerate(drawn)
    ]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A log of one dialect.

    Attributes:
        dialect: the name that detection must find.
        data: the file.
        key: the natural key.
        truth: what must be read: the columns of the key, success, latency and times.
        records: how many records the file has beside the calls, all of them left out or mere facts.
    """

    dialect: str
    data: bytes
    key: tuple[str, ...]
    truth: pl.DataFrame
    records: int = 0


def csv_text(header: str, rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header.split(","), *rows] if header else rows)
    return out.getvalue().encode()


def json_lines(items: Iterable[object]) -> bytes:
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def loadlens_csv(log: Sequence[Call]) -> bytes:
    header = "label,success,start_time,end_time,invocation_latency"
    rows = [(call.label, call.ok, call.after / 1000, (call.after + call.ms) / 1000, call.ms) for call in log]
    return csv_text(header, rows)


def jmeter_csv(log: Sequence[Call]) -> bytes:
    header = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes"
    rows = [
        (call.start, call.ms, call.label, call.status, 'so, "so"', "g 1", str(call.ok).lower(), 7)
        for call in log
    ]
    return csv_text(header, rows)


def jmeter_xml(log: Sequence[Call]) -> bytes:
    samples = "".join(
        f'<httpSample t="{call.ms}" lt="1" ts="{call.start}" s="{str(call.ok).lower()}" lb="{call.label}" '
        f'rc="{call.status}" rm="so" tn="g 1" by="7"/>\n'
        for call in log
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n{samples}</testResults>\n'
    return text.encode()


def k6_tags(call: Call) -> dict[str, str]:
    code = {} if call.ok else {"error_code": "1503"}
    return code | {
        "expected_response": str(call.ok).lower(),
        "method": "GET",
        "name": call.label,
        "status": str(call.status),
        "url": call.label,
    }


def k6_csv(log: Sequence[Call]) -> bytes:
    names = ("error_code", "expected_response", "method", "name", "status", "url")
    rows = [
        (metric, call.end, value, *(k6_tags(call).get(name, "") for name in names))
        for call in log
        for metric, value in (("http_reqs", 1), ("http_req_duration", call.ms), ("http_req_waiting", 0.5))
    ]
    return csv_text(f"metric_name,timestamp,metric_value,{','.join(names)}", rows)


def k6_json(log: Sequence[Call]) -> bytes:
    metric = {"type": "Metric", "metric": "http_req_duration", "data": {"type": "trend", "contains": "time"}}
    points = [
        {
            "type": "Point",
            "metric": name,
            "data": {"time": iso(call.end), "value": value, "tags": k6_tags(call)},
        }
        for call in log
        for name, value in (("http_reqs", 1), ("http_req_duration", call.ms))
    ]
    return json_lines([metric, *points])


def vegeta_csv(log: Sequence[Call]) -> bytes:
    rows = [
        (call.start * 10**6, call.status, call.ms * 10**6, 1, 7, "" if call.ok else "503", *rest)
        for index, call in enumerate(log)
        for rest in [("", "", index, "GET", call.label, "")]
    ]
    return csv_text("", rows)


def vegeta_json(log: Sequence[Call]) -> bytes:
    return json_lines(
        {
            "attack": "",
            "seq": index,
            "code": call.status,
            "timestamp": iso(call.start),
            "latency": call.ms * 10**6,
            "bytes_out": 1,
            "bytes_in": 7,
            "error": "" if call.ok else "503 Unavailable",
            "body": None,
            "method": "GET",
            "url": call.label,
            "headers": None,
        }
        for index, call in enumerate(log)
    )


def locust_csv(log: Sequence[Call]) -> bytes:
    header = "timestamp,request_type,name,response_time_ms,response_length,status_code,exception"
    rows = [
        (call.start / 1000, "GET", call.label, call.ms, 7, call.status, "" if call.ok else "HTTPError('x')")
        for call in log
    ]
    return csv_text(header, rows)


def gatling_text(log: Sequence[Call]) -> bytes:
    rows = [["RUN", "com.example.Shop", "shop", START_MS, " ", "3.10.5"]]
    rows += [
        ["REQUEST", "", call.label, call.start, call.end, "OK" if call.ok else "KO", " " if call.ok else "no"]
        for call in log
    ]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def gatling_binary(log: Sequence[Call]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">i", len(value)) + (value.encode() + b"\0" if value else b"")

    run = b"\0" + text("3.12.0") + text("com.example.Shop") + struct.pack(">q", START_MS) + text("")
    parts, known = [run + struct.pack(">ii", 0, 0)], dict[str, int]()

    def cached(value: str) -> bytes:
        if value in known:
            return struct.pack(">i", -known[value])
        known[value] = len(known) + 1
        return struct.pack(">i", known[value]) + text(value)

    for call in log:
        name = cached(call.label)
        times = struct.pack(">iib", call.after, call.after + call.ms, call.ok)
        parts.append(struct.pack(">bi", 1, 0) + name + times + cached("" if call.ok else "no"))
    return b"".join(parts)


def hey_csv(log: Sequence[Call]) -> bytes:
    header = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
    rows = [(f"{call.ms / 1000:.4f}", 0, 0, 0, 0, 0, call.status, f"{call.after / 1000:.4f}") for call in log]
    return csv_text(header, rows)


def oha_csv(log: Sequence[Call]) -> bytes:
    header = "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status"
    return csv_text(header, [(call.after / 1000, 0, 0, 0, call.ms / 1000, 7, call.status) for call in log])


def oha_sqlite(log: Sequence[Call]) -> bytes:
    columns = (
        "url TEXT NOT NULL, start REAL NOT NULL, start_latency_correction REAL, end REAL NOT NULL, "
        "duration REAL NOT NULL, status INTEGER NOT NULL, len_bytes INTEGER NOT NULL, run INTEGER NOT NULL"
    )
    rows = [
        (call.label, call.after / 1000, None, (call.after + call.ms) / 1000, call.ms / 1000, call.status, 7)
        for call in log
    ]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE oha ({columns})")
        connection.executemany("INSERT INTO oha VALUES (?, ?, ?, ?, ?, ?, ?, 1700000000)", rows)
        connection.commit()
        return connection.serialize()


def aiperf(log: Sequence[Call]) -> bytes:
    return json_lines(
        {
            "metadata": {
                "request_start_ns": call.start * 10**6,
                "request_end_ns": call.end * 10**6,
                "benchmark_phase": "profiling",
                "was_cancelled": False,
            },
            "metrics": {"request_latency": {"value": call.ms, "unit": "ms"}},
            "error": None if call.ok else {"code": 503, "type": "Service Unavailable", "message": "x"},
        }
        for call in log
    )


def lambda_report(log: Sequence[Call]) -> bytes:
    return "".join(
        f"{iso(call.end)} REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: {call.ms} ms\t"
        f"Billed Duration: {call.ms} ms\tMemory Size: {MEMORY[call.label]} MB\tMax Memory Used: 66 MB\t"
        f"{'Init Duration: 397.68 ms ' if call.cold else ''}{'' if call.ok else 'Status: timeout'}\n"
        for call in log
    ).encode()


def lambda_json(log: Sequence[Call]) -> bytes:
    def record(call: Call) -> dict[str, object]:
        metrics = {"durationMs": call.ms, "billedDurationMs": call.ms, "memorySizeMB": MEMORY[call.label]}
        init = {"initDurationMs": 397.68} if call.cold else {}
        status = "success" if call.ok else "timeout"
        return {
            "requestId": "8f5",
            "metrics": metrics | {"maxMemoryUsedMB": 66} | init,
            "status": status,
        }

    return json_lines(
        {"time": iso(call.end), "type": "platform.report", "record": record(call)} for call in log
    )


def lambda_csv(log: Sequence[Call]) -> bytes:
    """What a query of Logs Insights finds: init durations of cold starts, sizes in bytes, the message."""
    header = "@timestamp,@message,@duration,@billedDuration,@memorySize,@maxMemoryUsed,@initDuration"
    rows = [
        (
            iso(call.end).replace("T", " ").removesuffix("Z"),
            lambda_report([call]).decode().split(" ", 1)[1].strip(),
            f"{call.ms}.0",
            f"{call.ms}.0",
            f"{MEMORY[call.label]}E6",
            "6.6E7",
            "397.68" if call.cold else "",
        )
        for call in log
    ]
    return csv_text(header, rows)


def azure_trace(log: Sequence[Call]) -> bytes:
    rows = [("a", call.label, (call.after + call.ms) / 1000, call.ms / 1000) for call in log]
    return csv_text("app,func,end_timestamp,duration", rows)


def ab_gnuplot(log: Sequence[Call]) -> bytes:
    rows = [("x", call.start // 1000, 0, call.ms, call.ms, call.ms) for call in log]
    lines = ["starttime\tseconds\tctime\tdtime\tttime\twait", *("\t".join(map(str, row)) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, kw_only=True)
class _Kind:
    write: Callable[[Sequence[Call]], bytes]
    key: tuple[str, ...] = LABELED
    origin: int = 0  # what its times count from, in ms
    fails: bool = True
    resolution: int = 1  # of its starts, in ms
    others: Callable[[int], int] = lambda _: 0


KINDS = {
    "loadlens-csv": _Kind(write=loadlens_csv, origin=START_MS),
    "jmeter-csv": _Kind(write=jmeter_csv),
    "jmeter-xml": _Kind(write=jmeter_xml),
    "k6-csv": _Kind(write=k6_csv, key=BY_METHOD, others=lambda rows: 2 * rows),
    "k6-json": _Kind(write=k6_json, key=BY_METHOD, others=lambda rows: rows + 1),
    "vegeta-csv": _Kind(write=vegeta_csv, key=BY_METHOD),
    "vegeta-json": _Kind(write=vegeta_json, key=BY_METHOD),
    "locust-csv": _Kind(write=locust_csv, key=BY_METHOD),
    "gatling-text": _Kind(write=gatling_text, others=lambda _: 1),
    "gatling-binary": _Kind(write=gatling_binary, others=lambda _: 1),
    "hey-csv": _Kind(write=hey_csv, key=UNLABELED, origin=START_MS),
    "oha-csv": _Kind(write=oha_csv, key=UNLABELED, origin=START_MS),
    "oha-sqlite": _Kind(write=oha_sqlite, key=("label", "run"), origin=START_MS % 1000),
    "aiperf-jsonl": _Kind(write=aiperf, key=UNLABELED),
    "lambda-report": _Kind(write=lambda_report, key=SIZED),
    "lambda-json": _Kind(write=lambda_json, key=SIZED),
    "lambda-csv": _Kind(write=lambda_csv, key=SIZED),
    "azure-trace": _Kind(write=azure_trace, key=BY_APP, origin=START_MS, fails=False),
    "ab-gnuplot": _Kind(write=ab_gnuplot, key=UNLABELED, fails=False, resolution=1000),
}
BLOCKWISE = tuple(name for name in KINDS if name not in {"jmeter-xml", "gatling-binary", "oha-sqlite"})


def sample(dialect: str, rows: int = 120, seed: int = 1) -> Sample:
    kind, log = KINDS[dialect], calls(rows, seed)
    return Sample(
        dialect=dialect,
        data=kind.write(log),
        key=kind.key,
        truth=truth(log, kind),
        records=kind.others(rows),
    )


def truth(log: Sequence[Call], kind: _Kind) -> pl.DataFrame:
    starts = [(call.start - kind.origin) // kind.resolution * kind.resolution for call in log]
    columns = {
        "label": [call.label for call in log],
        "method": ["GET"] * len(log),
        "app": ["a"] * len(log),
        "run": [1_700_000_000] * len(log),
        "memory_size": [MEMORY[call.label] for call in log],
        "cold_start": [call.cold for call in log],
    }
    return pl.DataFrame(
        {name: columns[name] for name in kind.key}
        | {
            "success": [call.ok or not kind.fails for call in log],
            "invocation_latency": [float(call.ms) for call in log],
            "start_time": [start / 1000 for start in starts],
            "end_time": [(start + call.ms) / 1000 for start, call in zip(starts, log, strict=True)],
        }
    )


def assert_summary(got: pl.DataFrame, expected: Sequence[dict[str, object]]) -> None:
    """Asserts the figures of a summary; columns of error classes may follow, and tell each failed call."""
    names = list(expected[0])
    classes = got.columns[len(names) :]
    assert got.columns[: len(names)] == names
    assert all(name.startswith("error_") for name in classes)
    assert got.height == len(expected)
    for row, wanted in zip(got.to_dicts(), expected, strict=True):
        for name, value in wanted.items():
            # A time that is a sum of two floats does not tell whether the clock is one of 1 ms: in spans of
            # some seconds, that much is known.
            tolerance = 4e-4 if name == "throughput" else 1e-9
            assert _agree(row[name], value, tolerance), f"{row}: {name}: expected {value!r}"
        assert sum(row[name] for name in classes) == (wanted["num_errors"] if classes else 0)


def _agree(got: object, expected: object, tolerance: float) -> bool:
    if isinstance(got, float) and isinstance(expected, float):
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=1e-12)
    return got == expected
