"""AIPerf's JSONL. The records are written here by its documented layout, not recorded."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.dialects import RefusedFormatError, detect
from loadlens.dialects.aiperf import AIPERF_JSON
from loadlens.dialects.base import BlockReader
from loadlens.errors import LoadlensError
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed
from tests.extent import examples

SHARED = Path(__file__).parents[3] / "shared" / "logs"
SHARED_FILES = [path for path in sorted(SHARED.rglob("*")) if path.is_file()]

START = 1759813207532900363
CANCELLED = {"code": 499, "type": "RequestCancellationError", "message": "cancelled after 0.000 seconds"}


def record(start: object = START, end: object = START + 305_864_241, **more: object) -> dict[str, object]:
    metadata = {
        "session_num": 45,
        "x_request_id": "7609a2e7",
        "turn_index": 0,
        "request_start_ns": start,
        "request_ack_ns": None,
        "request_end_ns": end,
        "worker_id": "worker_359d423a",
        "benchmark_phase": more.pop("phase", "profiling"),
        "was_cancelled": more.pop("cancelled", False),
    }
    metrics = {"request_latency": {"value": 297.5, "unit": "ms"}, "inter_chunk_latency": {"value": [4.8, 5]}}
    return {"metadata": metadata, "metrics": metrics, "error": None} | more


RECORDS = [
    record(),
    record(START + 10, START + 10 + 2_000_000, phase="warmup"),
    record(START + 20, START + 20 + 624_928, cancelled=True, error=CANCELLED, metrics={}),
    record(START + 30, START + 30 + 17, error={"code": 503, "type": "Service Unavailable", "message": "x"}),
    record(START + 40, START + 40, error={"code": None, "type": "TimeoutError", "message": "x"}),
    record(START + 50, None, error={"message": "x"}),
    record(START + 60, START + 60 + 123_456_789_012, phase="cooldown"),
    record(START + 70, START + 70 + 123_456_789_012),
]


def lines(*records: Mapping[str, object]) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in records)


def head(text: str | bytes) -> Head:
    data = text.encode() if isinstance(text, str) else text
    return Head(path=Path("a.jsonl"), data=data, size=len(data))


def read(text: str | bytes, *, block_bytes: int = 2**20) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    reader = AIPERF_JSON.open(head(data))
    assert isinstance(reader, BlockReader)
    stream = io.BufferedReader(io.BytesIO(data))
    parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    assert all(part.rows.schema == reader.schema for part in parts)
    left_out = {name for part in parts for name in part.left_out}
    return Parsed(
        rows=pl.concat([pl.DataFrame(schema=reader.schema), *(part.rows for part in parts)]),
        rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *(part.rejects for part in parts)]),
        left_out={name: sum(part.left_out.get(name, 0) for part in parts) for name in left_out},
    )


@pytest.mark.parametrize("damage", ["", "{\n"], ids=["at once", "line by line"])
@pytest.mark.parametrize("block_bytes", [100, 2**20])
def test_records_become_canonical_rows(damage: str, block_bytes: int) -> None:
    parsed = read(lines(*RECORDS) + damage, block_bytes=block_bytes)
    rows = parsed.rows
    assert rows.get_column("success").to_list() == [True, False, False, False, False, True]
    assert rows.get_column("error").to_list() == [None, "cancelled", "503", "TimeoutError", "failed", None]
    assert rows.get_column("status").to_list() == [None, "499", "503", None, None, None]
    latencies = [305.864241, 0.624928, 0.000017, 0.0, -1.0, 123456.789012]
    assert rows.get_column("invocation_latency").to_list() == latencies
    assert rows.get_column("start_time").to_list() == [
        (START + offset) / 1e9 for offset in (0, 20, 30, 40, 50, 70)
    ]
    assert rows.get_column("end_time").null_count() == 1
    assert parsed.left_out == {"warm-up requests": 1, "requests of other phases": 1}
    assert parsed.rejects.height == bool(damage)


@pytest.mark.slow
def test_many_records_agree_with_an_independent_reading() -> None:
    random = np.random.default_rng(7)
    spans = [int(span) for span in random.lognormal(18, 1.5, 5000)]
    starts = [START + int(gap) for gap in random.integers(0, 10**12, 5000)]
    text = lines(
        *(
            record(
                start, start + span, phase="warmup" if index < 50 else "profiling", cancelled=index % 9 == 0
            )
            for index, (start, span) in enumerate(zip(starts, spans, strict=True))
        )
    )
    rows = read(text, block_bytes=10_000).rows
    metadata = [json.loads(line)["metadata"] for line in text.splitlines()]
    expected = [each for each in metadata if each["benchmark_phase"] == "profiling"]
    latencies = [(each["request_end_ns"] - each["request_start_ns"]) / 10**6 for each in expected]
    assert rows.get_column("invocation_latency").to_list() == latencies
    assert rows.get_column("success").sum() == sum(not each["was_cancelled"] for each in expected)
    ends = [each["request_end_ns"] / 1e9 for each in expected]
    assert rows.get_column("end_time").to_list() == pytest.approx(ends, rel=0, abs=3e-7)
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))


@pytest.mark.parametrize(
    ("bad", "column"),
    [
        (record(None), "metadata.request_start_ns"),
        (record(-1), "metadata.request_start_ns"),
        (record("soon"), "metadata.request_start_ns"),
        (record(1.5), "metadata.request_start_ns"),
        (record(float("nan")), "metadata.request_start_ns"),
        (record(2**70), "metadata.request_start_ns"),
        (record(START, None), "metadata.request_end_ns"),
        (record(START, START - 1), "metadata.request_end_ns"),
        (record(START, START - 10**6, error=CANCELLED), "metadata.request_end_ns"),
        (record(cancelled="no"), "metadata.was_cancelled"),
        (record(error="broken"), "error"),
        ({"metrics": {}}, "metadata"),
    ],
)
def test_bad_records_are_rejected_alone(bad: Mapping[str, object], column: str) -> None:
    parsed = read(lines(RECORDS[0], bad, RECORDS[3]))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]


def test_a_torn_last_line_and_invalid_utf8_are_rejected_alone() -> None:
    line = lines(RECORDS[0]).encode()
    parsed = read(line + line.replace(b"worker", b"\xff") + line + line[:-20])
    assert parsed.rows.height == 2
    assert parsed.rejects.get_column("line").to_list() == [2, 4]
    assert parsed.rejects.item(1, "reason") == "torn last line"


def test_it_is_known_by_its_fields() -> None:
    assert AIPERF_JSON.matches(head(lines(*RECORDS)))
    assert AIPERF_JSON.matches(head("{\n" + lines(RECORDS[0])))
    for text in (
        "",
        "{}",
        "[1]\n",
        '{"request_start_ns": 1}\n',
        '{"metadata": "request_start_ns"}\n',
        "[" * 10**5,
    ):
        assert not AIPERF_JSON.matches(head(text))


def first_version(
    start: object = START, latency_ms: object = 7936.968269, **more: object
) -> dict[str, object]:
    """A record of the first versions, which have a time and no end."""
    metadata = {"x_request_id": "1ed4", "turn_index": 0, "timestamp_ns": start, "worker_id": "worker_43e9"}
    metadata["credit_phase"] = more.pop("phase", "profiling")
    metrics = {
        "ttft": {"value": 1680.5, "unit": "ms"},
        "request_latency": {"value": latency_ms, "unit": "ms"},
    }
    return {"metadata": metadata, "metrics": metrics, "error": None} | more


def test_records_of_the_first_versions_have_the_latency_that_is_logged() -> None:
    records = [
        first_version(),
        first_version(START + 5, error=CANCELLED, metrics={"error_request_count": {"value": 1}}),
        first_version(START + 6, 12.5, phase="warmup"),
        first_version(START + 7, 0),
        first_version(START + 8, metrics={}, error={"code": 503, "type": "x", "message": "y"}),
    ]
    text = lines(*records)
    assert AIPERF_JSON.matches(head(text))
    parsed = read(text)
    rows = parsed.rows
    assert rows["invocation_latency"].to_list() == [7936.968269, -1, 0, -1]
    assert rows["success"].to_list() == [True, False, True, False]
    assert rows["error"].to_list() == [None, "cancelled", None, "503"]
    assert rows["start_time"].to_list() == [(START + offset) / 1e9 for offset in (0, 5, 7, 8)]
    assert rows["end_time"].to_list() == [(START + 7_936_968_269) / 1e9, None, (START + 7) / 1e9, None]
    assert parsed.left_out == {"warm-up requests": 1}


@pytest.mark.parametrize(
    "bad", [first_version(latency_ms=None), first_version(latency_ms=-1), first_version(metrics={})]
)
def test_a_success_of_the_first_versions_must_have_a_latency(bad: Mapping[str, object]) -> None:
    parsed = read(lines(first_version(), bad, first_version(error=CANCELLED)))
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(2, "metrics.request_latency.value")]


def test_how_far_the_tools_own_latency_is_from_the_span_is_told(tmp_path: Path) -> None:
    def said(*records: Mapping[str, object]) -> str:
        path = tmp_path / "profile_export.jsonl"
        path.write_text(lines(*records))
        log = loadlens.read_log(path)
        log.frame.collect()
        return "\n".join(log.findings.sentences())

    def own(value: float) -> dict[str, object]:
        return {"request_latency": {"value": value, "unit": "ms"}}

    ms = 10**6
    told = said(
        record(START, START + 100 * ms, metrics=own(80)),
        record(START, START + 100 * ms, metrics=own(75.5)),
        record(START, START + 100 * ms, metrics=own(1), phase="warmup"),
        record(START, START + 100 * ms, metrics=own(1), error=CANCELLED),
        record(START, START + 100 * ms, metrics={}),
    )
    assert "is 22.2 ms shorter on average of 2 calls that have it" in told
    assert "content, can be shorter" in said(record(metrics={}))
    assert "1 call has no end: the latency is AIPerf's own request_latency" in said(first_version())


@pytest.mark.parametrize(
    "order", [("tag", "unit", "header", "avg", "p99"), ("unit", "avg"), ("avg", "p99", "unit")]
)
@pytest.mark.parametrize("name", ["request_latency", "error_request_count", "ttft", "inter_token_latency"])
def test_its_statistics_are_refused_by_name(order: tuple[str, ...], name: str, tmp_path: Path) -> None:
    path = tmp_path / "profile_export_aiperf.json"
    block = {key: 1.5 if key in {"avg", "p99"} else "ms" for key in order}
    for document in ({"records": {name: block}}, {name: block, "input_config": {"endpoint": {}}}):
        path.write_text(json.dumps(document, indent=2))
        with pytest.raises(RefusedFormatError, match=r"statistics.*take the profile_export.jsonl"):
            detect(read_head(path))


def test_metrics_of_the_trace_are_no_summary_of_k6() -> None:
    traced = {"http_req_duration": {"value": 1827.9, "unit": "ms"}}
    text = lines(record(metrics=traced), record(metrics={}, error=CANCELLED))
    assert detect(head(text)) is AIPERF_JSON


@pytest.mark.skipif(not SHARED_FILES, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    assert not AIPERF_JSON.matches(read_head(path))


def test_the_warnings_tell_what_is_left_out() -> None:
    facts = {"warm-up requests": 1200, "requests of other phases": 3}
    found = "\n".join(AIPERF_JSON.warnings(head(lines(*RECORDS)), 6, facts))
    assert "AIPerf's own request_latency" in found
    assert "1,200 warm-up requests are left out" in found
    assert "3 requests of other phases are left out" in found


def intact(before: bytes, after: bytes) -> list[bytes]:
    """The lines that are still there, and still between two line breaks."""
    ends = [match.end() for match in re.finditer(b"\n", before)]
    spans = zip([0, *ends], ends, strict=False)
    return [
        before[at:end] for at, end in spans if before[max(at - 1, 0) : end] == after[max(at - 1, 0) : end]
    ]


@examples(20)
@given(flips=st.dictionaries(st.integers(0, 3000), st.integers(0, 255), max_size=4), cut=st.integers(0, 3500))
def test_damage_gives_rejects_and_never_anything_else(flips: dict[int, int], cut: int) -> None:
    before = lines(*RECORDS).encode()
    data = bytearray(before[:cut])
    for at, byte in flips.items():
        if at < len(data):
            data[at] = byte
    AIPERF_JSON.matches(head(bytes(data)))
    try:
        parsed = read(bytes(data))
    except LoadlensError:
        return
    found = parsed.rows.height + sum(parsed.left_out.values())
    assert found >= len(intact(before, bytes(data)))
    assert found + parsed.rejects.height <= data.count(b"\n") + 1
