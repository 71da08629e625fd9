"""One run in the several forms that its tool writes: whatever was measured, they give the same calls."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import loadlens
from tests.dialect_logs import KINDS, MEMORY, START_MS, Call, csv_text, iso, lambda_json, lambda_report
from tests.extent import examples, some_of

EXAMPLES = 2
CALLS = st.lists(
    st.builds(
        Call,
        label=st.sampled_from(list(MEMORY)),
        ok=st.booleans(),
        start=st.integers(START_MS, START_MS + 10**8),
        ms=st.one_of(st.integers(0, 3), st.integers(0, 10**7)),
        cold=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)
Write = Callable[[Sequence[Call]], bytes]


def _message(call: Call) -> str:
    return lambda_report([call]).decode().split(" ", 1)[1]


def _events(log: Sequence[Call]) -> list[dict[str, object]]:
    return [{"timestamp": call.end, "message": _message(call), "logStreamName": "x"} for call in log]


def _found(call: Call) -> dict[str, str]:
    """What Logs Insights finds in a report, beside its message."""
    return {
        "@timestamp": iso(call.end).replace("T", " ").removesuffix("Z"),
        "@message": _message(call),
        "@duration": f"{call.ms}.0",
        "@billedDuration": f"{call.ms}.0",
        "@memorySize": str(MEMORY[call.label] * 10**6),
        "@maxMemoryUsed": "66000000",
        "@initDuration": "397.68" if call.cold else "",
    }


def _results(log: Sequence[Call]) -> bytes:
    rows = [[{"field": name, "value": text} for name, text in _found(call).items() if text] for call in log]
    return json.dumps({"results": rows, "status": "Complete"}, indent=1).encode()


def _found_table(log: Sequence[Call]) -> bytes:
    return csv_text(",".join(_found(log[0])), [list(_found(call).values()) for call in log])


def _any_order(log: Sequence[Call]) -> bytes:
    """Reports as programs write them that run functions locally: the init duration first."""
    lines = []
    for line in lambda_report(log).decode().splitlines():
        start, *fields = line.rstrip("\t").split("\t")
        lines.append("\t".join([start, *reversed(fields)]) + "\n")
    return "".join(lines).encode()


LAMBDA: dict[str, Write] = {
    "lines": lambda_report,
    "lines in another order": _any_order,
    "records": lambda_json,
    "filter-log-events": lambda log: json.dumps({"events": _events(log)}, indent=4).encode(),
    "subscription": lambda log: b"".join(json.dumps({"logEvents": [each]}).encode() for each in _events(log)),
    "events, one a line": lambda log: b"".join(json.dumps(each).encode() + b"\n" for each in _events(log)),
    "Insights as JSON": _results,
    "Insights as CSV": _found_table,
}
PAIRS = {
    "vegeta": ("vegeta-csv", "vegeta-json"),
    "k6": ("k6-csv", "k6-json"),
    "JMeter": ("jmeter-csv", "jmeter-xml"),
    "Gatling": ("gatling-text", "gatling-binary"),
    "oha": ("oha-csv", "oha-sqlite"),
}


def read(data: bytes, format: str | None = None) -> pl.DataFrame:  # noqa: A002  # as the package has it
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(data)
        log = loadlens.read_log(path, format=format)
        frame = log.frame.collect()
    assert log.findings.rejected == 0
    return frame


def assert_same_calls(one: pl.DataFrame, other: pl.DataFrame) -> None:
    """In what both forms tell of a call, but for the offset of times that only one form knows."""
    names = [name for name in one.columns if name in other.columns]
    assert {"success", "error", "invocation_latency", "start_time", "end_time"} <= set(names)
    origins = [frame["start_time"].min() for frame in (one, other)]
    frames = [
        frame.select(
            (pl.col(name) - origin).round(5) if name.endswith("_time") else pl.col(name) for name in names
        )
        for frame, origin in zip((one, other), origins, strict=True)
    ]
    assert_frame_equal(*frames, rel_tol=1e-12)


@pytest.mark.parametrize("tool", PAIRS)
@examples(EXAMPLES)
@given(log=CALLS)
def test_two_forms_of_one_run_agree(tool: str, log: list[Call]) -> None:
    one, other = (read(KINDS[name].write(log), name) for name in PAIRS[tool])
    assert_same_calls(one, other)


@pytest.mark.parametrize("form", some_of(list(LAMBDA)[1:], 2))
@examples(EXAMPLES)
@given(log=CALLS)
def test_every_form_of_a_lambda_log_agrees_with_its_lines(form: str, log: list[Call]) -> None:
    lines = read(lambda_report(log))
    frame = read(LAMBDA[form](log))
    assert frame.columns == lines.columns
    assert_same_calls(lines, frame)
    assert frame["end_time"].to_list() == [call.end / 1000 for call in log]
    assert frame["memory_size"].to_list() == [MEMORY[call.label] for call in log]


MAP = ["latency=took:us", "start=at:epoch_ms", "success=code<400", "error=why", "label=route"]
TABLES: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "log.csv": lambda frame, path: frame.write_csv(path),
    "log.ndjson": lambda frame, path: frame.write_ndjson(path),
    "log.parquet": lambda frame, path: frame.write_parquet(path),
    "log.arrow": lambda frame, path: frame.write_ipc(path),
}


@examples(EXAMPLES)
@given(log=CALLS)
def test_every_form_of_a_table_of_ones_own_agrees(log: list[Call]) -> None:
    """Read by one map; a failed call has a text in the place of its status."""
    frame = pl.DataFrame(
        {
            "took": [1000 * call.ms for call in log],
            "at": [call.start for call in log],
            "code": ["200" if call.ok else "timeout" for call in log],
            "why": [None if call.ok else "refused" for call in log],
            "route": [call.label for call in log],
        },
        schema_overrides={"why": pl.String},
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, write in TABLES.items():
            write(frame, Path(folder) / name)
        logs = [loadlens.read_log(Path(folder) / name, column_map=MAP) for name in TABLES]
        logs.append(loadlens.read_log(frame, column_map=MAP))
        first, *others = [log.frame.collect() for log in logs]
    for other in others:
        assert_same_calls(first, other)
    assert first["success"].to_list() == [call.ok for call in log]
    assert first["end_time"].to_list() == [(call.start + call.ms) / 1000 for call in log]


@examples(EXAMPLES)
@given(log=CALLS)
def test_the_canonical_columns_agree_in_every_form(log: list[Call]) -> None:
    frame = pl.DataFrame(
        {
            "invocation_latency": [float(call.ms) for call in log],
            "start_time": [call.start / 1000 for call in log],
            "end_time": [call.end / 1000 for call in log],
            "success": [call.ok for call in log],
            "error": [None if call.ok else "refused" for call in log],
            "label": [call.label for call in log],
        },
        schema_overrides={"error": pl.String},
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("log.csv", "log.parquet", "log.arrow"):
            TABLES[name](frame, Path(folder) / name)
            assert_same_calls(frame, loadlens.read_log(Path(folder) / name).frame.collect())
