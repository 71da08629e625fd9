"""Maps of columns that are guessed from the first rows of a table."""

import pytest

from loadlens.logs.guessing import Guess, guess_map
from loadlens.logs.samples import text_sample
from tests.dialects.reading import head


def guess(text: str) -> Guess | None:
    sample = text_sample(head(text))
    return guess_map(sample) if sample else None


def entries(text: str) -> set[str]:
    found = guess(text)
    assert found is not None
    assert found.column_map.texts
    return set(found.entries)


def doubts(text: str) -> str:
    found = guess(text)
    assert found is not None
    return "\n".join(found.doubts)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("latency_ms", "latency=latency_ms:ms"),
        ("elapsedMs", "latency=elapsedMs:ms"),
        ("duration_s", "latency=duration_s:s"),
        ("duration (us)", "latency=duration (us):us"),
        ("response_time_ns", "latency=response_time_ns:ns"),
        ("requestTimeSeconds", "latency=requestTimeSeconds:s"),
        ("took_millis", "latency=took_millis:ms"),
        ("rtt.us", "latency=rtt.us:us"),
        ("ms", "latency=ms:ms"),
    ],
)
def test_a_latency_with_its_unit_is_known_by_its_name(name: str, entry: str) -> None:
    text = f"{name},connect_ms,id\n12,1,7\n13,1,8\n"
    assert entry in entries(text)
    assert "latency" not in doubts(text)


@pytest.mark.parametrize(
    ("values", "unit"),
    [("12,340", "ms"), ("0.25,1.5", "s"), ("5000000,44000000", "ns"), ("150000,250000", "us")],
)
def test_a_unit_that_nothing_tells_is_guessed_and_told(values: str, unit: str) -> None:
    text = "duration\n" + "".join(f"{value}\n" for value in values.split(","))
    assert f"latency=duration:{unit}" in entries(text)
    assert f"latency=duration:{unit}: the unit is a guess by its values" in doubts(text)


def test_start_and_end_tell_the_unit_of_a_latency() -> None:
    rows = "1700000000500,1700000002500,{latency}\n1700000001500,1700000002500,{half}\n"
    for latency, half, unit in ((2000, 1000, "ms"), (2.0, 1.0, "s"), (2e9, 1e9, "ns")):
        text = "start,end,latency\n" + rows.format(latency=latency, half=half)
        assert entries(text) == {f"latency=latency:{unit}", "start=start:epoch_ms"}
        assert "latency" not in doubts(text)
    wrong = "start,end,latency_ms\n" + rows.format(latency=2.0, half=1.0)
    assert "its name says ms, start and end say s" in doubts(wrong)


@pytest.mark.parametrize(
    ("name", "value", "entry"),
    [
        ("start_time", "1700000000.5", "start=start_time:epoch_s"),
        ("start", "1700000000500", "start=start:epoch_ms"),
        ("started_at", "1700000000500000", "start=started_at:epoch_us"),
        ("endTime", "1700000000500000000", "end=endTime:epoch_ns"),
        ("finished", "2024-01-31T10:00:00.5Z", "end=finished:rfc3339"),
        ("end", "2024-01-31T10:00:00+01:00", "end=end:rfc3339"),
        ("end", "2024-01-31 10:00:00.25", "end=end:format:%Y-%m-%d %H:%M:%S%.f"),
        ("end", "2024-01-31T10:00:00", "end=end:format:%Y-%m-%dT%H:%M:%S%.f"),
        ("end", "31/Jan/2024:10:00:00 +0100", "end=end:format:%d/%b/%Y:%H:%M:%S %z"),
        ("end", "31.01.2024 10:00:00", "end=end:format:%d.%m.%Y %H:%M:%S%.f"),
        ("end", "31/01/2024 10:00:00", "end=end:format:%d/%m/%Y %H:%M:%S%.f"),
        ("start_ms", "1500", "start=start_ms:relative_ms"),
    ],
)
def test_times_are_known_by_their_size_or_form(name: str, value: str, entry: str) -> None:
    assert entry in entries(f"{name},latency_ms\n{value},5\n{value},6\n")


def test_what_a_time_may_be_instead_is_told() -> None:
    text = "ts,latency_ms\n1700000000,5\n"
    assert "end=ts:epoch_s" in entries(text)
    assert "end=ts:epoch_s: it may be the start: start=ts:epoch_s" in doubts(text)
    assert "it may be %d/%m/%Y" in doubts("end,latency_ms\n01/02/2024 10:00:00,5\n")
    assert "taken for s since the test began" in doubts("end,latency_ms\n1.5,5\n")


@pytest.mark.parametrize(
    ("header", "cells", "entry"),
    [
        ("success", ["true", "false"], "success=success"),
        ("ok", ["1", "0"], "success=ok"),
        ("status", ["200", "503"], "success=status<400"),
        ("statusCode", ["200", "timeout"], "success=statusCode<400"),
        ("http_status", ["0", "200"], "success=http_status<400"),
        ("grpc_code", ["0", "14"], "success=grpc_code==0"),
        ("result", ["OK", "KO"], "success=result==OK"),
        ("error", ["", "timeout"], "error=error"),
        ("is_error", ["0", "1"], "error=is_error"),
        ("failed", ["False", "True"], "error=failed"),
        ("exception", ["", ""], "error=exception"),
    ],
)
def test_what_tells_failures(header: str, cells: list[str], entry: str) -> None:
    text = f"latency_ms,{header}\n" + "".join(f"5,{cell}\n" for cell in cells)
    assert entry in entries(text)


def test_a_table_that_tells_no_failures_says_so() -> None:
    assert "every call would count as successful" in doubts("latency_ms,x\n5,1\n")
    assert "0 is taken for success" in doubts("latency_ms,rc\n5,0\n6,2\n")
    assert "odd: taken for failures" in doubts("latency_ms,state\n5,done\n6,odd\n")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("url,method", "/a,GET", {"label=url", "method=method"}),
        ("method,x", "GET,7", {"label=method"}),
        ("endpoint,url", "pay,/a", {"label=endpoint"}),
        ("name,thread_name", "pay,T1", {"label=name"}),
        ("request_id,x", "abc,7", set()),
        ("mem_mb,bytes", "128,5", {"memory_size=mem_mb:MB", "response_size=bytes"}),
        (
            "memory,response_kb_size",
            "134217728,5",
            {"memory_size=memory:bytes", "response_size=response_kb_size:KB"},
        ),
    ],
)
def test_names_and_sizes(header: str, row: str, expected: set[str]) -> None:
    text = f"latency_ms,ok,{header}\n5,true,{row}\n"
    assert entries(text) == {"latency=latency_ms:ms", "success=ok", *expected}


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n1,2,3\n",
        "hello world\nfoo\n",
        "date,mean,p99\n2024-01-01,5,6\n",
        "latency_ms\nfast\nslow\n",
        '{"a": [1]}\n',
        "{\n",
        "",
        "x,y\n1\n1,2,3\n",
    ],
)
def test_of_other_tables_nothing_is_guessed(text: str) -> None:
    assert guess(text) is None


def test_a_table_without_a_header_has_numbered_columns() -> None:
    found = guess("1700000000000000000,44.5,200\n1700000000010000000,39.0,503\n")
    assert found is not None
    assert found.no_header
    assert found.entries == ("latency=c2:ms", "end=c1:epoch_ns", "success=c3<400")


@pytest.mark.parametrize(
    "lines",
    [
        ['{"ms": 5, "error": {"code": 499, "type": "Cancelled"}}', '{"ms": 9, "error": null}'],
        [
            '{"ms": 5, "error": {"code": 503, "type": "Down"}}',
            '{"ms": 9}',
            '{"ms": 7, "error": {"code": 404}}',
        ],
        ["ms,error_code", "5,", "7,500", "8,"],
    ],
)
def test_a_status_that_only_failures_have_is_the_error_and_no_condition(lines: list[str]) -> None:
    """``error.code<400`` would be false for every success, which has none."""
    found = entries("".join(f"{line}\n" for line in lines))
    assert not any(entry.startswith("success=") for entry in found)
    assert found & {"error=error.code", "error=error_code"}


def test_a_status_that_some_calls_lack_is_a_condition_where_others_succeed_by_it() -> None:
    assert "success=status<400" in entries("ms,status\n5,200\n7,\n8,503\n")


def test_a_unit_beside_a_value_is_known_and_no_label() -> None:
    text = '{"request_latency": {"value": 7.25, "unit": "us"}, "request_count": {"unit": "requests"}}\n'
    found = entries(text)
    assert "latency=request_latency.value:us" in found
    assert not any(entry.startswith("label=") for entry in found)
    assert "guess" not in doubts(text)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [
                "timeStamp,elapsed,label,responseCode,success,bytes,Latency,IdleTime,Connect",
                "1700000000123,50,a,200,true,10,40,0,3",
                "1700000000456,70,b,200,true,10,60,0,3",
            ],
            {"latency=elapsed:ms", "start=timeStamp:epoch_ms", "label=label", "success=success"},
        ),
        (
            [
                "timestamp,request_type,name,response_time_ms,response_length,exception",
                "1700000000.123,GET,/a,12.5,10,",
                "1700000000.456,GET,/b,13.5,10,Timeout",
            ],
            {"latency=response_time_ms:ms", "start=timestamp:epoch_s", "label=name", "error=exception"},
        ),
        (
            ["app,func,end_timestamp,duration", "a,f,10.25,0.5", "a,g,11.25,0.75"],
            {"latency=duration:s", "end=end_timestamp:relative_s"},
        ),
    ],
)
def test_columns_of_a_tool_mean_what_the_tool_means(lines: list[str], expected: set[str]) -> None:
    """As where its log was saved as Parquet: JMeter's Latency is the time to the first byte."""
    assert expected <= entries("\n".join(lines) + "\n")


def test_what_a_map_of_jmeters_columns_loses_is_told() -> None:
    assert "transaction controllers" in doubts(
        "timeStamp,elapsed,label,success\n1700000000123,50,a,true\n1700000000456,70,b,true\n"
    )
