"""The same calls more than once in one file, and in files that overlap: counted over all rows, refused."""

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError
from loadlens.logs.calls import Repeats
from tests.dialect_logs import KINDS, sample
from tests.extent import some_of

TEXTS = [name for name in KINDS if name not in {"gatling-binary", "oha-sqlite"}]
WITH_HEADER = {
    "loadlens-csv", "jmeter-csv", "k6-csv", "locust-csv", "hey-csv", "oha-csv", "lambda-csv", "azure-trace",
    "ab-gnuplot", "gatling-text",
}  # fmt: skip
JMETER = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes\n"
AGAIN = "which would count each time; write each call once, or pass --force (force=True) if it is meant"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def count(path: Path, **options: object) -> int:
    log = loadlens.read_log(path, **options)  # type: ignore[arg-type]
    return int(loadlens.summarize(log, by=[]).summary["num_invocations"].sum())


def repeated(dialect: str, times: int, *, with_header: bool) -> bytes:
    once = sample(dialect, rows=40).data
    if dialect == "jmeter-xml":
        first = once.index(b"<testResults")
        begin = once.index(b"\n", first) + 1
        end = once.index(b"</testResults>")
        return once[:begin] + once[begin:end] * times + once[end:]
    begin = once.index(b"\n") + 1 if dialect in WITH_HEADER and not with_header else 0
    return once[:begin] + once[begin:] * times


@pytest.mark.parametrize("dialect", some_of(TEXTS, 2))
def test_a_log_behind_itself_is_refused_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(repeated(dialect, 1, with_header=False))
    once = count(path)
    for times, with_header in ((2, False), (3, True)):
        path.write_bytes(repeated(dialect, times, with_header=with_header))
        with pytest.raises(InputError) as failure:
            count(path)
        assert failure.value.problems[0].startswith(f"{path} holds ")
        assert failure.value.problems[0].endswith(AGAIN)
        if dialect != "gatling-text":  # a second RUN row begins another run
            assert count(path, force=True) == times * once


def jmeter_rows(rows: int) -> str:
    return "".join(f"{1700000000123 + 17 * i},{10 + i % 77},a,200,OK,t {i % 3},true,5\n" for i in range(rows))


@pytest.mark.parametrize("rows", [20, 20_000])
def test_rows_appended_again_are_refused_by_every_command(rows: int, tmp_path: Path) -> None:
    """The larger log is more than is looked at to know what it is."""
    path = tmp_path / "run.jtl"
    path.write_text(JMETER + jmeter_rows(rows) * 2, encoding="utf-8")
    told = f"loadlens: {path} holds the same rows 2 times, one behind the other, {AGAIN}\n"
    for arguments in (
        ("check", path, "--slo", "count > 0"),
        ("analyze", path, "--out", tmp_path / "report"),
        ("profile", path, "--out", tmp_path / "run.profile"),
        ("convert", path, "--out", tmp_path / "run.parquet"),
        ("compare", path, path, "--out", tmp_path / "compared"),
        ("check", path, "--slo", "count > 0", "--by", "label"),
    ):
        refused = run(*arguments)
        assert (refused.exit_code, refused.stderr.replace("base: ", "")) == (3, told)
    forced = run("check", path, "--slo", f"count >= {2 * rows}", "--force")
    assert forced.exit_code == 0


def test_a_last_line_may_lack_its_line_break(tmp_path: Path) -> None:
    path = tmp_path / "run.jtl"
    path.write_text((JMETER + jmeter_rows(20) * 2).removesuffix("\n"), encoding="utf-8")
    with pytest.raises(InputError, match="the same rows 2 times"):
        count(path)


def test_compressed_and_mapped_logs_and_standard_input(tmp_path: Path) -> None:
    text = (JMETER + jmeter_rows(20) * 2).encode()
    packed = tmp_path / "run.jtl.gz"
    packed.write_bytes(gzip.compress(text))
    with pytest.raises(InputError, match="the same rows 2 times"):
        count(packed)
    piped = CliRunner().invoke(app, ["check", "-", "--slo", "count > 0"], input=text)
    assert piped.exit_code == 3
    assert "standard input holds the same rows 2 times" in piped.stderr
    lines = "".join(
        json.dumps({"id": i, "at": 1700000000 + 0.377 * i, "ms": 10 + i}) + "\n" for i in range(30)
    )
    mapped = tmp_path / "run.ndjson"
    mapped.write_text(lines * 2, encoding="utf-8")
    with pytest.raises(InputError, match="the same rows 2 times"):
        count(mapped, column_map=["latency=ms:ms", "end=at:epoch_s"])
    assert count(mapped, column_map=["latency=ms:ms"]) == 60  # nothing tells when


def test_what_may_be_so_by_chance_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jtl"
    row = "{},10,a,200,OK,t,true,5\n"
    whole_seconds = "".join(row.format(1700000000000 + 1000 * (i // 100)) for i in range(1000))
    path.write_text(JMETER + whole_seconds, encoding="utf-8")
    assert count(path) == 1000
    few = "".join(row.format(1700000000123 + i) for i in range(9))
    path.write_text(JMETER + few * 2, encoding="utf-8")
    assert count(path) == 18
    one_differs = jmeter_rows(20) + jmeter_rows(20).replace(",15,", ",16,")
    path.write_text(JMETER + one_differs, encoding="utf-8")
    assert count(path) == 40


def report(number: int, *, later_s: int = 0, duration_ms: float = 10.25) -> str:
    minute, second = divmod(number + later_s, 60)
    took = duration_ms + number / 4
    return (
        f"2024-03-04T10:{minute:02d}:{second:02d}.123Z REPORT RequestId: {number:08d}-0000-0000-00000000\t"
        f"Duration: {took:.2f} ms\tBilled Duration: {int(took) + 1} ms\t"
        f"Memory Size: 128 MB\tMax Memory Used: 50 MB\t\n"
    )


def record(number: int) -> str:
    metrics = {
        "durationMs": 10 + number / 4, "billedDurationMs": 40, "memorySizeMB": 128, "maxMemoryUsedMB": 50
    }  # fmt: skip
    body = {"requestId": f"r{number}", "status": "success", "metrics": metrics}
    time = f"2024-03-04T10:{number // 60:02d}:{number % 60:02d}.123Z"
    return json.dumps({"time": time, "type": "platform.report", "record": body}) + "\n"


def insights(number: int) -> str:
    time = f"2024-03-04 10:{number // 60:02d}:{number % 60:02d}.123"
    return f"{time},r{number},{10 + number / 4},40,128000000,50000000\n"


INSIGHTS = "@timestamp,@requestId,@duration,@billedDuration,@memorySize,@maxMemoryUsed\n"


@pytest.mark.parametrize("form", ["lines", "records", "insights"])
def test_reports_of_one_request_that_are_there_again(form: str, tmp_path: Path) -> None:
    """218 reports of 12 calls, in any order."""
    rng = np.random.default_rng(7)
    numbers = [*range(12), *rng.integers(0, 12, 206).tolist()]
    rng.shuffle(numbers)
    write, header = {"lines": (report, ""), "records": (record, ""), "insights": (insights, INSIGHTS)}[form]
    path = tmp_path / "reports.log"
    path.write_text(header + "".join(write(number) for number in numbers), encoding="utf-8")
    with pytest.raises(InputError) as failure:
        count(path)
    assert failure.value.problems == (
        f"{path} holds 206 calls more than once (of one id, time and duration), {AGAIN}",
    )
    assert count(path, force=True) == 218
    refused = run("convert", path, "--out", tmp_path / "reports.parquet")
    assert refused.exit_code == 3
    assert not (tmp_path / "reports.parquet").exists()


def test_retries_have_one_id_and_are_calls(tmp_path: Path) -> None:
    path = tmp_path / "reports.log"
    path.write_text("".join(report(i) + report(i, later_s=60) for i in range(12)), encoding="utf-8")
    assert count(path) == 24


def test_few_reports_may_be_made_up_alike(tmp_path: Path) -> None:
    path = tmp_path / "reports.log"
    path.write_text(report(1) * 20 + report(2) * 5, encoding="utf-8")
    assert count(path) == 25


def test_exports_that_overlap(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    first.write_text("".join(map(report, range(8))), encoding="utf-8")
    second.write_text("".join(map(report, range(6, 12))), encoding="utf-8")
    refused = run("check", first, second, "--slo", "count > 0", "--by", "memory_size")
    assert refused.exit_code == 3
    assert (
        f"{second} holds 2 calls (of one id, time and duration) that other files hold too" in refused.stderr
    )
    apart = run("check", first, second, "--slo", "count > 0")  # by file too
    assert apart.exit_code == 0
    assert "that other files hold too: each is counted" in apart.stderr


def test_requests_of_aiperf_that_are_there_again(tmp_path: Path) -> None:
    def line(number: int) -> str:
        start = 1_700_000_000_000_000_000 + number * 137_000_001
        metadata = {
            "x_request_id": f"id{number}", "request_start_ns": start, "request_end_ns": start + 10**7,
            "benchmark_phase": "profiling", "was_cancelled": False,
        }  # fmt: skip
        return json.dumps({"metadata": metadata, "metrics": {}, "error": None}) + "\n"

    path = tmp_path / "profile_export.jsonl"
    path.write_text("".join(map(line, [*range(20), 3, 4, 4])), encoding="utf-8")
    with pytest.raises(InputError, match="holds 3 calls more than once"):
        count(path)


@given(st.lists(st.lists(st.integers(0, 30), max_size=30), max_size=5))
def test_repeats_are_those_of_a_counter(parts: list[list[int]]) -> None:
    whole, merged = Repeats(), Repeats()
    for part in parts:
        hashes = pl.Series(part, dtype=pl.Int64).hash().to_numpy()
        whole.add(hashes)
        own = Repeats()
        own.add(hashes)
        merged.merge(own)
    every = [number for part in parts for number in part]
    assert whole.count == merged.count == len(every) - len(Counter(every))


@pytest.mark.slow
def test_very_many_calls_are_counted_by_a_share_of_them() -> None:
    hashes = pl.Series(range(1_500_000)).hash().to_numpy()
    again = hashes[:300_000]
    one, other = Repeats(), Repeats()
    for part in (hashes, again):
        one.add(part)
    for part in (again, hashes[::-1]):
        other.add(part)
    assert one.count == other.count
    assert one.count == pytest.approx(300_000, rel=0.02)
    assert len(one.hashes) <= 2**18
    assert str(one).startswith("about ")
