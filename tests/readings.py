"""Logs as the standard library reads them, by nothing that is in the package."""

import csv
import json
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl

Row = dict[str, Any]


def frame(path: Path, dialect: str) -> pl.DataFrame:
    """The calls of a log: label where it has one, success, latency in ms, start and end in s."""
    readings = {
        "ab-gnuplot": _ab,
        "azure-trace": _azure,
        "gatling-binary": _gatling_binary,
        "gatling-text": _gatling_text,
        "hey-csv": _hey,
        "jmeter-csv": _jmeter,
        "jmeter-xml": _jmeter_xml,
        "k6-csv": _k6_csv,
        "k6-json": _k6_json,
        "loadlens-csv": _toolkit,
        "locust-csv": _locust,
        "vegeta-csv": _vegeta_csv,
        "vegeta-json": _vegeta_json,
    }
    return pl.DataFrame(list(readings[dialect](path)), infer_schema_length=None)


def _table(path: Path, delimiter: str = ",", names: Sequence[str] | None = None) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, names, delimiter=delimiter))


def _row(label: str | None, success: bool, start: float, end: float, ms: float, **others: str) -> Row:
    named = {} if label is None else {"label": _label(label)}
    return {
        **named,
        **others,
        "success": success,
        "invocation_latency": float(ms),
        "start_time": start,
        "end_time": end,
    }


def _label(name: str) -> str:
    """A name without user and password and, where it is a URL, without its query."""
    name = re.sub(r"//[^/?#\s]*@", "//", name)
    if re.match(r"(?:https?|wss?)://", name):
        return name.split("?")[0]
    return re.sub(r"token=\w+", "token=***", name)


def _ab(path: Path) -> Iterator[Row]:
    for row in _table(path, "\t"):
        start, ms = int(row["seconds"]), int(row["ttime"])
        yield _row(None, True, start, (1000 * start + ms) / 1000, ms)


def _azure(path: Path) -> Iterator[Row]:
    for row in _table(path):
        end, duration = float(row["end_timestamp"]), float(row["duration"])
        yield _row(row["func"], True, end - duration, end, duration * 1000, app=row["app"])


def _hey(path: Path) -> Iterator[Row]:
    for row in _table(path):
        start, latency = float(row["offset"]), float(row["response-time"])
        yield _row(None, int(row["status-code"]) < 400, start, round(start + latency, 9), latency * 1000)


_OF_JMETER_2_13 = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,bytes,grpThreads,"
    "allThreads,Latency"
)


def _jmeter(path: Path) -> Iterator[Row]:
    header = path.read_text(encoding="utf-8").split("\n", 1)[0]
    names = None if "timeStamp" in header else _OF_JMETER_2_13.split(",")
    rows = _table(path, "\t" if "\t" in header else ",", names)
    spans = [(row.get("threadName"), int(row["timeStamp"]), int(row["elapsed"])) for row in rows]
    for row, (thread, start, ms) in zip(rows, spans, strict=True):
        is_sum = row["responseMessage"].startswith("Number of samples in transaction")
        within = [
            other != thread or begin < start or begin + took > start + ms for other, begin, took in spans
        ].count(False)
        if not is_sum or within == 1:  # itself
            yield _row(row["label"], row["success"] == "true", start / 1000, (start + ms) / 1000, ms)


def _jmeter_xml(path: Path) -> Iterator[Row]:
    for sample in ET.fromstring(path.read_bytes()):
        if sample.tag in {"sample", "httpSample"}:
            yield from _outer_samples(sample)


def _outer_samples(sample: ET.Element) -> Iterator[Row]:
    """A sample without its parts; of a transaction, the samples in it."""
    if sample.get("rm", "").startswith("Number of samples in transaction"):
        for child in sample:
            if child.tag in {"sample", "httpSample"}:
                yield from _outer_samples(child)
        return
    start, ms = int(sample.get("ts", "")), int(sample.get("t", ""))
    yield _row(sample.get("lb"), sample.get("s") == "true", start / 1000, (start + ms) / 1000, ms)


def _k6_csv(path: Path) -> Iterator[Row]:
    for row in _table(path):
        if row["metric_name"] == "http_req_duration":
            end, ms = int(row["timestamp"]), float(row["metric_value"])
            success, method = row["expected_response"] == "true", row["method"]
            yield _row(row["name"], success, end - ms / 1000, end, ms, method=method)


def _k6_json(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if item["type"] == "Point" and item["metric"] == "http_req_duration":
            data = item["data"]
            end, ms, tags = _seconds(data["time"]), data["value"], data["tags"]
            success, method = tags["expected_response"] == "true", tags["method"]
            yield _row(tags["name"], success, end - ms / 1000, end, ms, method=method)


def _seconds(text: str) -> float:
    """RFC 3339 with any number of digits, as s since 1970."""
    whole, fraction, zone = re.fullmatch(r"(.{19})(\.\d+)?(.+)", text).groups()  # type: ignore[union-attr]
    return datetime.fromisoformat(whole + zone).timestamp() + float(fraction or 0)


def _locust(path: Path) -> Iterator[Row]:
    for row in _table(path):
        start, ms = float(row["timestamp"]), float(row["response_time_ms"] or 0)
        failed = row["exception"] not in {"", "None"}
        read = _row(row["name"], not failed, start, start + ms / 1000, ms, method=row["request_type"])
        yield read if row["response_time_ms"] else read | {"invocation_latency": None}


def _hit(url: str, method: str, code: int, error: str, *, start: float, ns: int) -> Row:
    success = not error and 0 < code < 400
    return _row(url, success, start, start + ns / 10**9, ns / 10**6, method=method)


def _vegeta_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            seconds, ns = divmod(int(row[0]), 10**9)
            url, method = (row[10], row[9]) if len(row) > 10 else ("", "")  # which old versions did not write
            yield _hit(url, method, int(row[1]), row[5], start=seconds + ns / 10**9, ns=int(row[2]))


def _vegeta_json(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").splitlines():
        hit = json.loads(line)
        start = _seconds(hit["timestamp"])
        url, method = hit.get("url", ""), hit.get("method", "")
        yield _hit(url, method, hit["code"], hit["error"], start=start, ns=hit["latency"])


def _gatling_text(path: Path) -> Iterator[Row]:
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    has_user = "3.3.1" in next(line for line in lines if line[0] == "RUN")
    for line in lines:
        if line[0] == "REQUEST":
            groups, name, start, end, status = line[2:7] if has_user else line[1:6]
            yield _answer([*groups.split(","), name], int(start), int(end), ok=status == "OK")


def _answer(names: Iterable[str], start: int, end: int, *, ok: bool) -> Row:
    label = " / ".join(name for name in names if name)
    return _row(label, ok, start / 1000, end / 1000, end - start)


@dataclass
class _Bytes:
    """Gatling's binary fields, one after the other."""

    data: bytes
    position: int = 0
    strings: dict[int, str] = field(default_factory=dict)

    def take(self, layout: str) -> Any:
        (value,) = struct.unpack_from(f">{layout}", self.data, self.position)
        self.position += struct.calcsize(f">{layout}")
        return value

    def raw(self) -> bytes:
        length = self.take("i")
        self.position += length
        return self.data[self.position - length : self.position]

    def text(self) -> str:
        text = self.raw()
        return text.decode("utf-16-le" if self.take("b") else "latin-1") if text else ""

    def cached(self) -> str:
        index = self.take("i")
        if index > 0:
            self.strings[index] = self.text()
        return self.strings[abs(index)]

    def groups(self) -> list[str]:
        return [self.cached() for _ in range(self.take("i"))]


def _gatling_binary(path: Path) -> Iterator[Row]:
    log = _Bytes(path.read_bytes(), position=1)
    log.text(), log.text()
    begin = log.take("q")
    log.text()
    for read in (log.text, log.raw):
        for _ in range(log.take("i")):
            read()
    while log.position < len(log.data):
        kind = log.take("b")
        if kind == 1:
            names = [*log.groups(), log.cached()]
            start, end, ok = log.take("i"), log.take("i"), log.take("b")
            log.cached()
            yield _answer(names, begin + start, begin + end, ok=bool(ok))
        elif kind == 2:
            log.take("i"), log.take("b"), log.take("i")
        elif kind == 3:
            log.groups(), [log.take(layout) for layout in "iiib"]
        else:
            log.cached(), log.take("i")


def _toolkit(path: Path) -> Iterator[Row]:
    names = ("invocation_latency", "start_time", "end_time", "memory_size", "max_concurrency", "num_clients")
    whole = {"memory_size", "max_concurrency", "num_clients"}
    for row in _table(path):
        yield {name: (int if name in whole else float)(row[name]) for name in names if name in row}
