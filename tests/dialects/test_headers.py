"""Headers of tables: what a table is known by, and what is told of one that is nearly there."""

import pytest

from loadlens.dialects import DIALECTS, UnknownFormatError, detect
from loadlens.dialects.base import Columns, cells_of, fields_of, header_of
from loadlens.errors import InputError

from .reading import head

COLUMNS = Columns(
    title="Foo CSV",
    known_by=frozenset({"a", "b"}),
    needed=frozenset({"a", "c"}),
    marks=frozenset({"a", "b", "c"}),
    advice="write it with foo",
    separators=(",", ";"),
)
HEADERS = {
    "hey-csv": "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset",
    "oha-csv": "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status",
    "azure-trace": "app,func,end_timestamp,duration",
    "locust-csv": "timestamp,request_type,name,response_time_ms,response_length,status_code,exception",
    "k6-csv": "metric_name,timestamp,metric_value,error,expected_response,method,name,status,url",
    "jmeter-csv": "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes",
    "loadlens-csv": "invocation_latency,start_time,end_time,memory_size,response_size",
}


@pytest.mark.parametrize(
    ("line", "separator", "cells"),
    [
        ("a,b", ",", ("a", "b")),
        (' a , "b,c" ', ",", ("a", '"b', 'c"')),
        ('"a","b,c"', ",", ("a", "b,c")),
        ("a;b,c", ";", ("a", "b,c")),
        ("", ",", ()),
    ],
)
def test_cells_of_a_line(line: str, separator: str, cells: tuple[str, ...]) -> None:
    assert cells_of(line, separator) == cells


@pytest.mark.parametrize("start", ["", "\n", "\r\n \n", "\ufeff", "\ufeff\n\n"])
def test_the_header_is_the_first_line_that_is_not_blank(start: str) -> None:
    assert header_of(head(f"{start}a,b\r\n1,2\r\n")) == ("a", "b")
    assert header_of(head("\n\n")) == ()


def test_fields_are_those_of_the_first_object() -> None:
    assert fields_of(head('\n[1]\n{not JSON\n{"a":1,"b":{"c":2}}\n{"d":1}\n')) == ("a", "b")
    assert fields_of(head("a,b\n1,2\n")) == ()


def test_a_table_that_has_what_is_needed_is_read_by_any_separator() -> None:
    assert COLUMNS.checked(head("x;c;b;a\n"), "ab") == ("x", "c", "b", "a")
    assert COLUMNS.match(head("a,b\n"))
    assert not COLUMNS.match(head("a,c\n"))


def test_what_is_missing_or_doubled_is_told() -> None:
    with pytest.raises(InputError) as caught:
        COLUMNS.checked(head("a,b,x\n"), "a")
    assert str(caught.value) == (
        "a.log: looks like Foo CSV, but lacks the column c; it has: a, b, x; write it with foo"
    )
    with pytest.raises(InputError, match=r"is no Foo CSV: missing columns: a, c; it has: x; write it"):
        COLUMNS.checked(head("x\n"), "a")
    with pytest.raises(InputError, match="the header has doubled columns: c; rename or remove one"):
        COLUMNS.checked(head("a,c,c,x,x\n"), "abc")


@pytest.mark.parametrize(
    ("header", "lacks"),
    [
        ("b,c", "the column a"),
        ("B,C", "the columns a, b, c"),  # by another program in capitals
        ("a,b", "the column c"),
        ("a;c;x", "the column b"),
    ],
)
def test_a_near_miss_is_told_by_two_marks_or_more(header: str, lacks: str) -> None:
    marks, told = COLUMNS.near_miss(head(f"{header}\n1,2\n"))
    assert marks == 2
    assert told.startswith(f"looks like Foo CSV, but lacks {lacks}; it has: ")


@pytest.mark.parametrize("header", ["a,x,y", "x,y", "", "a,b,c", "c,b,a,x"])
def test_other_tables_and_whole_ones_are_no_near_misses(header: str) -> None:
    assert COLUMNS.near_miss(head(f"{header}\n")) == (0, "")


NEEDED = {
    "hey-csv": ("response-time", "DNS+dialup", "Request-write", "status-code", "offset"),
    "oha-csv": ("request-start", "request-duration", "bytes", "status"),
    "azure-trace": ("app", "func", "end_timestamp", "duration"),
    "locust-csv": ("timestamp", "request_type", "name", "response_time_ms", "exception"),
    "k6-csv": ("metric_name", "timestamp", "metric_value"),
    "jmeter-csv": ("timeStamp", "elapsed"),
    "loadlens-csv": ("invocation_latency",),
}


@pytest.mark.parametrize(
    ("dialect", "column"), [(dialect, column) for dialect, needed in NEEDED.items() for column in needed]
)
def test_a_table_that_lacks_one_column_is_told_so(dialect: str, column: str) -> None:
    title = next(known.title for known in DIALECTS if known.name == dialect)
    names = [name for name in HEADERS[dialect].split(",") if name != column]
    log = head("\n".join([",".join(names), ",".join("1" * len(names)), ""]))
    with pytest.raises(InputError) as caught:
        detect(log).open(log)
    told = str(caught.value)
    assert f"looks like {title}, but lacks the column {column}; it has: " in told or (
        # Where it is known all the same, its own reader says what it needs.
        dialect == "jmeter-csv" and column in told
    )


def test_the_event_s_own_names_are_no_log_of_locust() -> None:
    names = "start_time,request_type,name,response_time,response_length,exception,status_code"
    with pytest.raises(UnknownFormatError) as caught:
        detect(head(f"{names}\n1700000000.1,GET,/ok,28.2,1812,,200\n"))
    told = str(caught.value)
    assert "looks like Locust requests as CSV, but lacks the columns response_time_ms, timestamp; " in told
    assert "response_time_ms (its response_time)" in told
    assert "--map" in told


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "1700000000000000000,200,5,0,7,,x\n",
            "looks like vegeta CSV, but has 7 columns; expected rows of 6, 9, 12",
        ),
        (
            "1700000000000000000,200,5,0,7,,x\n1700000000000000000,0,5,0,7,,,\n",
            "looks like vegeta CSV, but has 7, 8 columns",
        ),
        (
            '{"attack":"","code":200,"latency":3,"timestamp":"2023-11-14T22:13:20Z"}\n',
            "looks like vegeta JSON lines, but lacks the fields bytes_in, bytes_out; it has: attack, ",
        ),
    ],
)
def test_near_misses_without_a_header(log: str, told: str) -> None:
    with pytest.raises(UnknownFormatError) as caught:
        detect(head(log))
    assert told in str(caught.value)
    assert "write it with `vegeta encode" in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,name,url,status,method,latency",
        "time,label,success,bytes",
        "name,func,start,duration",
        "app,user,duration",
        "start_time,latency,name",
        "a,b,c",
        "timestamp,level,message",
    ],
)
def test_tables_of_nobody_are_taken_for_nobody_s(header: str) -> None:
    with pytest.raises(UnknownFormatError, match="fits no known format"):
        detect(head(f"{header}\n1,2,3\n"))
