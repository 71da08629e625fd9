"""Logs of no known tool. The files are written here by hand."""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.errors import InputError
from loadlens.logs.column_map import ColumnMap
from loadlens.logs.mapped_text import mapped_dialect, mapped_frame, mapped_recipe
from loadlens.text.stream import read_head
from loadlens.text.typed_rows import Parsed
from tests.dialects.reading import (
    LOGS,
    TIMES_DAMAGED,
    check_damage,
    check_one_bad_byte,
    head,
    logs_of_others,
)
from tests.dialects.reading import read as read_as
from tests.extent import examples

MAP = ("latency=elapsed:ms", "end=ts:epoch_ms", "success=status<400", "label=url", "model=model")
START = 1700000000123
CSV = f"""ts,elapsed,url,status,model,unused
{START},120,https://me:secret@host/a?token=1,200,small,x
{START + 50},80.5,/b#part,404,large,"y, z"
{START + 60},2000,GET /c?x=1,503,small,
"""


def read(text: str | bytes, *texts: str) -> Parsed:
    return read_as(mapped_dialect(ColumnMap.parse(texts or MAP)), text)


def column(text: str | bytes, name: str, *texts: str) -> list[Any]:
    parsed = read(text, *texts)
    assert parsed.rejects.is_empty(), parsed.rejects.row(0)
    return parsed.rows.get_column(name).to_list()


def ndjson(*items: object) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in items)


def framed(texts: Sequence[str], **columns: Any) -> pl.DataFrame:
    return mapped_frame(pl.LazyFrame(columns), ColumnMap.parse(texts)).collect()


def warnings(text: str, *texts: str) -> str:
    return "\n".join(mapped_dialect(ColumnMap.parse(texts)).warnings(head(text), 3, {}))


def test_columns_become_canonical_ones() -> None:
    parsed = read(CSV)
    assert parsed.rejects.is_empty()
    assert parsed.rows.to_dict(as_series=False) == {
        "success": [True, False, False],
        "error": [None, "404", "503"],
        "start_time": [1700000000.003, 1700000000.0925, 1699999998.183],
        "end_time": [1700000000.123, 1700000000.173, 1700000000.183],
        "invocation_latency": [120, 80.5, 2000],
        "label": ["https://host/a?token=***", "/b#part", "GET /c?x=1"],
        "model": ["small", "large", "small"],
    }


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_any_separator_and_line_ending(separator: str, ending: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=ending).writerows(csv.reader(io.StringIO(CSV)))
    assert read("\ufeff" + out.getvalue()).rows.equals(read(CSV).rows)


def read_headerless(text: str, *texts: str) -> Parsed:
    return read_as(mapped_dialect(ColumnMap.parse(texts, no_header=True)), text)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_a_file_without_a_header_loses_no_row(separator: str, start: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows([*csv.reader(io.StringIO(CSV))][1:])
    numbers = {"ts": "c1", "elapsed": "c2", "url": "c3", "status": "c4", "model": "c5"}
    texts = [re.sub(r"=(\w+)", lambda match: f"={numbers[match[1]]}", text) for text in MAP]
    assert read_headerless(start + out.getvalue(), *texts).rows.equals(read(CSV).rows)


@pytest.mark.parametrize(
    ("row", "label"),
    [("44;GET /a,b,c", "GET /a,b,c"), ("44,GET /a;b=1;c", "GET /a;b=1;c"), ('44|"x;y,z"', "x;y,z")],
)
def test_without_a_header_the_separator_is_the_one_whose_rows_can_be_read(row: str, label: str) -> None:
    rows = read_headerless(f"{row}\n" * 3, "latency=c1:ms", "label=c2").rows
    assert rows.select("invocation_latency", "label").rows() == [(44, label)] * 3


def test_a_header_of_values_is_told() -> None:
    text = "1700000000000000000,44.0,a\n1700000000010000000,39.0,a\n"
    hint = "among the names of columns: if there is no header, say --no-header (no_header=True)"
    told = warnings(text, "latency=44.0:ms", "end=1700000000000000000:epoch_ns")
    assert f"1700000000000000000, 44.0 {hint}" in told
    assert hint in warnings("2024-01-31T10:00:00Z,a\n", "end=2024-01-31T10:00:00Z:rfc3339", "latency=a:ms")
    assert hint not in warnings("ts,p99,1a\n", "latency=p99:ms", "end=ts:epoch_ns", "label=1a")
    assert hint not in warnings('{"1": 5}\n', "latency=1:ms")
    with pytest.raises(InputError) as caught:
        mapped_dialect(ColumnMap.parse(["latency=ms:ms"])).open(head(text))
    assert f"44.0, a; 1700000000000000000, 44.0 {hint}" in str(caught.value)


def test_columns_that_a_file_without_a_header_lacks_are_told() -> None:
    dialect = mapped_dialect(ColumnMap.parse(["latency=c3:ms", "label=url"], no_header=True))
    with pytest.raises(InputError, match=r"missing columns: c3 \(for latency\), url .*it has: c1, c2$"):
        dialect.open(head("1,2\n"))


def test_only_csv_may_lack_a_header() -> None:
    column_map = ColumnMap.parse(["latency=c1:ms"], no_header=True)
    with pytest.raises(InputError, match="is JSON, whose fields have names; leave --no-header out"):
        mapped_dialect(column_map).open(head('{"c1": 5}\n'))
    with pytest.raises(InputError, match="log: is a table whose columns have names; leave --no-header out"):
        mapped_frame(pl.LazyFrame({"c1": [5]}), column_map, "log")


def test_objects_of_json_give_the_same_as_csv() -> None:
    names = {"elapsed": float, "ts": int, "status": int, "url": str, "model": str}
    rows = [
        {name: cast(row[name]) for name, cast in names.items()} for row in csv.DictReader(io.StringIO(CSV))
    ]
    assert read(ndjson(*rows)).rows.equals(read(CSV).rows)


def test_a_table_gives_the_same_as_csv(tmp_path: Path) -> None:
    table = pl.read_csv(CSV.encode()).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    texts = [text.replace("epoch_ms", "rfc3339") for text in MAP]
    table.write_parquet(tmp_path / "a.parquet")
    table.write_ipc(tmp_path / "a.arrow")
    for frame in (pl.scan_parquet(tmp_path / "a.parquet"), pl.scan_ipc(tmp_path / "a.arrow")):
        assert mapped_frame(frame, ColumnMap.parse(texts)).collect(engine="streaming").equals(read(CSV).rows)


def test_paths_reach_into_objects() -> None:
    text = ndjson(
        {"request": {"latency": 1, "url": "/a"}, "a.b": "x", "other": [1]},
        {"request": {"latency": 2.5, "url": None}, "a.b": 5},
    )
    texts = ("latency=request.latency:s", "label=request.url", "key=a.b")
    assert read(text, *texts).rows.select("invocation_latency", "label", "key").rows() == [
        (1000, "/a", "x"),
        (2500, None, "5"),
    ]


def test_paths_reach_into_structs() -> None:
    rows = framed(["latency=request.latency:s", "key=a.b"], **{"request": [{"latency": 1}], "a.b": [True]})
    assert rows.select("invocation_latency", "key").rows() == [(1000, True)]


@pytest.mark.parametrize(
    ("unit", "cell", "ms"),
    [
        ("s", "0.123", 123),
        ("ms", "0.1", 0.1),
        ("us", "1500001", 1500.001),
        ("ns", "123456789", 123.456789),
        ("min", "0.5", 30_000),
    ],
)
def test_units_of_latency(unit: str, cell: str, ms: float) -> None:
    texts = [f"latency=a:{unit}", f"billed_duration=a:{unit}"]
    for rows in (
        read(f"a\n{cell}\n", *texts).rows,
        read(ndjson({"a": float(cell)}), *texts).rows,
        framed(texts, a=[cell]),
    ):
        assert rows.select("invocation_latency", "billed_duration").row(0) == (ms, ms)


@pytest.mark.parametrize(
    ("unit", "cell", "seconds"),
    [
        ("epoch_s", "1700000000.25", 1700000000.25),
        ("epoch_ms", "1700000000123", 1700000000.123),
        ("epoch_ms", "1700000000123.5", 1700000000.1235),
        ("epoch_us", "1700000000123456", 1700000000.123456),
        ("epoch_ns", "1700000000123456789", 1700000000.123456789),
        ("rfc3339", "2023-11-14T22:13:20.123456789Z", 1700000000.123456789),
        ("rfc3339", "2023-11-14 23:13:20+01:00", 1700000000),
        ("relative_s", "-0.5", -0.5),
        ("relative_ms", "1.5", 0.0015),
        ("relative_us", "1", 1e-6),
        ("relative_ns", "12", 1.2e-8),
        ("format:%d/%b/%Y:%H:%M:%S %z", "14/Nov/2023:23:13:20 +0100", 1700000000),
        ("format:%Y-%m-%d %H:%M:%S.%f", "2023-11-14 22:13:20.5", 1700000000.5),
        ("format:%Y-%m-%d %H:%M:%S,%3f", '"2023-11-14 22:13:20,500"', 1700000000.5),
    ],
)
def test_units_of_time(unit: str, cell: str, seconds: float) -> None:
    texts = ["latency=b:ms", f"start=a:{unit}"]
    bare = cell.strip('"')
    for rows in (
        read(f"a,b\n{cell},0\n", *texts).rows,
        read(ndjson({"a": bare, "b": 0}), *texts).rows,
        framed(texts, a=[bare], b=[0]),
    ):
        assert rows.select("start_time", "end_time").row(0) == (seconds, seconds)


def test_the_latency_from_start_to_end_is_exact() -> None:
    start = 1700000000123456789
    text = f"a,b\n{start},{start + 1}\n{start},{start + 86_400_000_000_001}\n"
    assert column(text, "invocation_latency", "start=a:epoch_ns", "end=b:epoch_ns") == [
        1e-6,
        86_400_000.000001,
    ]
    text = "a,b\n1700000000.123,1700000000.223\n1700000000.9,1700000001.000001\n"
    assert column(text, "invocation_latency", "start=a:epoch_s", "end=b:epoch_s") == [100, 100.001]
    text = "a,b\n2023-11-14T22:13:20.1Z,1700000000100000001\n"
    assert column(text, "invocation_latency", "start=a:rfc3339", "end=b:epoch_ns") == [1e-6]
    text = "a,b\n1700000000100,1700000000100250000\n"
    assert column(text, "invocation_latency", "start=a:epoch_ms", "end=b:epoch_ns") == [0.25]


@examples(20)
@given(
    start=st.integers(631152000 * 10**6, 2**33 * 10**6),
    micros=st.integers(0, 10**9),
    unit=st.sampled_from("smu"),
)
def test_integers_of_any_unit_give_exact_latencies(start: int, micros: int, unit: str) -> None:
    scale = {"s": 10**6, "m": 10**3, "u": 1}[unit]
    name = {"s": "epoch_s", "m": "epoch_ms", "u": "epoch_us"}[unit]
    first, lasts = start // scale, min(micros // scale, 2**33 * 10**6 // scale - start // scale)
    texts = (f"start=a:{name}", f"end=b:{name}")
    expected = pytest.approx(lasts * scale / 1000, rel=1e-15)
    assert column(f"a,b\n{first},{first + lasts}\n", "invocation_latency", *texts) == [expected]


def test_a_log_may_have_no_times() -> None:
    assert read("a\n5\n", "latency=a:ms").rows.columns == ["success", "error", "invocation_latency"]
    assert "neither start nor end is mapped" in warnings("a\n5\n", "latency=a:ms")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("s<400", [True, False, False, False]),
        ("s>=400", [False, True, True, False]),
        ("s==200", [True, False, False, False]),
        ("s!=200", [False, True, True, False]),
        ("s in 200,503", [True, False, True, False]),
        ("s=='200'", [True, False, False, False]),
        ("s!='200'", [False, True, True, True]),
        ("s in '200',''", [True, False, False, True]),
    ],
)
def test_conditions_of_success(condition: str, expected: list[bool]) -> None:
    texts = ("latency=a:ms", f"success={condition}")
    codes = [200, 404, 503, None]
    table = "a,s\n" + "".join(f"1,{'' if code is None else code}\n" for code in codes)
    assert column(table, "success", *texts) == expected
    assert column(table, "success", *texts, "status=s") == expected
    assert column(ndjson(*({"a": 1, "s": code} for code in codes)), "success", *texts) == expected
    assert framed(texts, a=[1] * 4, s=codes).get_column("success").to_list() == expected
    texts_of_codes = [None if code is None else str(code) for code in codes]
    assert framed(texts, a=[1] * 4, s=texts_of_codes).get_column("success").to_list() == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("s<400", [True, True, False, False, False, False, False, False, False]),
        ("s>=400", [False, False, True, False, False, False, False, False, False]),
        ("s==200", [True, True, False, False, False, False, False, False, False]),
        ("s!=503", [True, True, False, False, False, False, False, False, False]),
        ("s in 200,OK", [True, True, False, False, False, False, False, True, False]),
        ("s!=ERR", [True, True, True, True, False, True, True, True, True]),
    ],
)
def test_what_is_no_number_meets_no_condition_on_numbers(condition: str, expected: list[bool]) -> None:
    codes = ["200", " 200.0", "503", "timeout", "ERR", "nan", "inf", "OK", None]
    classes = ["200", "200", "503", "timeout", "ERR", "nan", "inf", "OK", "failed"]
    texts = ["latency=a:ms", f"success={condition}"]
    for rows in (
        read("a,s\n" + "".join(f"1,{code or ''}\n" for code in codes), *texts).rows,
        read(ndjson(*({"a": 1, "s": code} for code in codes)), *texts).rows,
        framed(texts, a=[1] * 9, s=codes),
        framed(texts, a=[1] * 9, s=pl.Series(codes, dtype=pl.Categorical)),
    ):
        assert rows.get_column("success").to_list() == expected
        found = zip(rows.get_column("error"), expected, classes, strict=True)
        assert [error.removesuffix(".0") if error else None for error, *_ in found] == [
            None if holds else name for holds, name in zip(expected, classes, strict=True)
        ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("s==1", [True, False]),
        ("s!=1", [False, True]),
        ("s==True", [True, False]),
        ("s==false", [False, True]),
    ],
)
def test_conditions_on_truth_values(condition: str, expected: list[bool]) -> None:
    texts = ["latency=a:ms", f"success={condition}"]
    assert column("a,s\n1,True\n1,FALSE\n", "success", *texts) == expected
    assert column(ndjson({"a": 1, "s": True}, {"a": 1, "s": False}), "success", *texts) == expected
    assert framed(texts, a=[1, 1], s=[True, False]).get_column("success").to_list() == expected


def test_numbers_of_a_float_column_that_are_none_meet_no_condition() -> None:
    codes = [200.0, float("nan"), float("inf"), -float("inf")]
    rows = framed(["latency=a:ms", "success=s<400"], a=[1] * 4, s=codes)
    assert rows.get_column("success").to_list() == [True, False, False, False]
    assert framed(["latency=a:ms", "success=s!=0"], a=[1] * 4, s=codes).get_column("success").to_list() == [
        True,
        False,
        False,
        False,
    ]


def test_truth_values() -> None:
    cells = ["true", "False", "1", "0", " TRUE "]
    texts = ("latency=a:ms", "success=s", "cold_start=s")
    truth = [True, False, True, False, True]
    assert column("a,s\n" + "".join(f"1,{cell}\n" for cell in cells), "success", *texts) == truth
    values = [True, False, 1, 0, "True"]
    assert column(ndjson(*({"a": 1, "s": value} for value in values)), "cold_start", *texts) == truth
    assert framed(texts, a=[1, 1], s=[1, 0]).get_column("success").to_list() == [True, False]
    assert framed(texts, a=[1, 1], s=[True, False]).get_column("success").to_list() == [True, False]
    assert framed(texts, a=[1, 1], s=[1.0, 0.0]).get_column("success").to_list() == [True, False]
    assert column("a,s\n1,1.0\n1,0.0\n", "success", *texts) == [True, False]


@pytest.mark.parametrize("cell", ["maybe", "", "2", "0.5", "nan"])
def test_what_is_neither_true_nor_false_is_rejected(cell: str) -> None:
    parsed = read(f"a,ok\n1,true\n1,{cell}\n", "latency=a:ms", "success=ok")
    assert parsed.rows.height == 1
    got = f"got '{cell}'" if cell else "got nothing"
    assert parsed.rejects.rows() == [(3, "ok", f"{got}, expected true or false", f"1,{cell}")]


NO_ERROR = ["", "0", "0.0", "-0", "-", "N/A", "NA", "n/a", "OK", "ok", " false ", "False", "no", "None"]
NO_ERROR += ["null", "nil", "<nil>", "nan", "NaN", "<NA>", "{}", "[]", "Success", "No error"]
ERRORS = {"1": "failed", "1.0": "failed", "True": "failed", "yes": "failed", "7": "7", "timeout": "timeout"}
ERRORS |= {"200": "200", "0 bytes": "0 bytes", "unknown": "unknown", "Okay?": "Okay?"}


def test_what_an_error_column_holds() -> None:
    texts = ["latency=a:ms", "error=e"]
    cells = [*NO_ERROR, *ERRORS]
    table = "a,e\n" + "".join(f"1,{cell}\n" for cell in cells)
    objects = ndjson(*({"a": 1, "e": cell} for cell in cells))
    for rows in (
        read(table, *texts).rows,
        read(objects, *texts).rows,
        framed(texts, a=[1] * len(cells), e=cells),
    ):
        found = dict(zip(cells, rows.select("success", "error").rows(), strict=True))
        assert found == {
            **dict.fromkeys(NO_ERROR, (True, None)),
            **{cell: (False, name) for cell, name in ERRORS.items()},
        }


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ([0, 1, None, 7], [None, "failed", None, "7"]),
        ([0.0, 1.0, float("nan"), 7.5], [None, "failed", None, "7.5"]),
        ([False, True, None, False], [None, "failed", None, None]),
    ],
)
def test_error_columns_of_numbers_and_truth_values_go_by_value(
    values: list[Any], errors: list[str | None]
) -> None:
    texts = ["latency=a:ms", "error=e"]
    rows = framed(texts, a=[1] * 4, e=values)
    assert rows.get_column("error").to_list() == errors
    assert rows.get_column("success").to_list() == [error is None for error in errors]
    plain = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    assert read(ndjson(*({"a": 1, "e": value} for value in plain)), *texts).rows.equals(rows)


def test_a_bare_error_has_the_status_as_its_class() -> None:
    text = "a,e,s\n1,1,503\n1,0,200\n1,true,\n1,reset,503\n"
    assert column(text, "error", "latency=a:ms", "error=e", "status=s") == ["503", None, "failed", "reset"]


def test_the_class_of_an_error() -> None:
    text = 'a,s,e\n1,200,\n1,503,\n1,503,"Get https://u:p@h/x?key=1: timeout"\n1,,\n'
    texts = ("latency=a:ms", "success=s<400", "error=e", "status=s")
    assert column(text, "error", *texts) == [None, "503", "Get https://h/x timeout", "failed"]
    assert column(text, "status", *texts) == ["200", "503", "503", None]
    assert column(text, "error", "latency=a:ms", "success=s<400") == [None, "503", "503", "failed"]


def test_without_success_an_error_tells() -> None:
    text = "a,e\n1,\n1,timeout\n1,None\n1,false\n"
    assert column(text, "success", "latency=a:ms", "error=e") == [True, False, True, True]
    assert column(text, "error", "latency=a:ms", "error=e") == [None, "timeout", None, None]
    assert "a call counts as failed where e holds an error" in warnings(text, "latency=a:ms", "error=e")
    assert column(text, "success", "latency=a:ms") == [True] * 4
    assert "every call counts as successful" in warnings(text, "latency=a:ms")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("https://u:p@host/a?b=c#d", "https://host/a?b=c#d"),
        ("/a?id=1&api_key=2#x", "/a?id=1&api_key=***#x"),
        ("/?author=me&tok=1&key=2", "/?author=me&tok=1&key=2"),
        ("/a#part 1", "/a#part 1"),
        ("Is cart empty? yes", "Is cart empty? yes"),
        (" a ", " a "),
        ("a@b", "a@b"),
        ("", ""),
        (None, None),
    ],
)
def test_labels_and_keys_stay_as_they_are_but_for_credentials(
    label: str | None, expected: str | None
) -> None:
    texts = ["latency=a:ms", "label=l", "route=l"]
    objects = read(ndjson({"a": 1, "l": label}), *texts).rows
    for rows in (objects, framed(texts, a=[1], l=pl.Series([label], dtype=pl.String))):
        assert rows.select("label", "route").row(0) == (expected, expected)


@pytest.mark.parametrize("target", ["label", "cloud"])
def test_keys_are_not_trimmed(target: str) -> None:
    cells = ["a", "a ", " a", '"a "', "", "007", "7", "7.0", "1e3", "1000"]
    text = "k,ms\n" + "".join(f"{cell},1\n" for cell in cells)
    expected = pd.read_csv(io.StringIO(text), dtype={"k": str})["k"]
    found = column(text, target, "latency=ms:ms", f"{target}=k")
    assert found == [None if pd.isna(key) else key for key in expected]


def test_sizes_and_other_known_columns_have_their_types() -> None:
    texts = ("latency=a:ms", "response_size=r", "request_size=r", "memory_size=m", "memory_used=m", "x=m")
    expected = [("response_size", [5, None]), ("request_size", [5, None]), ("memory_size", [128, 256])]
    rows = read("a,r,m\n1,5.0,128\n1,,256\n", *texts).rows
    typed = framed(texts, a=[1, 1], r=[5, None], m=[128, 256])
    for name, values in expected:
        assert rows.get_column(name).to_list() == typed.get_column(name).to_list() == values
        assert rows.schema[name] == typed.schema[name] == pl.Int64
    assert rows.get_column("memory_used").to_list() == [128.0, 256.0]
    assert rows.get_column("x").to_list() == ["128", "256"]
    assert typed.get_column("x").to_list() == [128, 256]


@pytest.mark.parametrize("cell", ["timeout", "NaN", "inf", "-", "N/A", "-1", ""])
def test_whatever_a_failed_call_has_as_its_latency_it_is_a_call(cell: str) -> None:
    texts = ["latency=a:us", "end=t:relative_s", "success=s<400"]
    cells = [cell or None, "5000"]
    for rows in (
        read(f"a,t,s\n{cell},1,503\n5000,1,200\n", *texts).rows,
        read(
            ndjson(*({"a": a, "t": 1, "s": s} for a, s in zip(cells, [503, 200], strict=True))), *texts
        ).rows,
        framed(texts, a=cells, t=[1, 1], s=[503, 200]),
    ):
        assert rows.select("success", "invocation_latency", "end_time").rows() == [
            (False, -1, 1),
            (True, 5, 1),
        ]


@pytest.mark.parametrize("cell", ["timeout", "NaN", "inf", "-", "N/A", "-1", "5ms"])
def test_a_successful_call_has_a_number_as_its_latency_or_nothing(cell: str) -> None:
    parsed = read(f"a,s\n{cell},200\n5,200\n", "latency=a:ms", "success=s<400")
    assert parsed.rows.height == 1
    assert parsed.rejects.select("line", "column").rows() == [(2, "a")]
    assert f"got '{cell}', expected " in parsed.rejects.item(0, "reason")


@pytest.mark.parametrize("cell", ["-", "N/A", "NaN", "null", "None", " "])
def test_sizes_and_durations_may_be_missing_in_words(cell: str) -> None:
    targets = ["response_size", "request_size", "memory_used", "billed_duration", "init_duration"]
    texts = ["latency=a:ms", *(f"{target}=x{':ms' if 'duration' in target else ''}" for target in targets)]
    rows = read(f"a,x\n5,{cell}\n5,7\n", *texts).rows
    assert rows.select(targets).rows() == [(None,) * 5, (7,) * 5]
    typed = framed(texts, a=[5, 5], x=[float("nan"), 7.0])
    assert typed.select(targets).rows() == [(None,) * 5, (7,) * 5]
    assert read("a,x\n5,many\n", *texts).rejects.get_column("column").to_list() == ["x"]


@pytest.mark.parametrize(
    ("target", "unit", "cell", "expected"),
    [
        ("memory_size", "bytes", 134217728, 128),
        ("memory_size", "bytes", 128000000, 128),  # as CloudWatch has it
        ("memory_size", "bytes", 3008 * 2**20, 3008),
        ("memory_size", "KB", 131072, 128),
        ("memory_size", "KiB", 131072, 128),
        ("memory_size", "MB", 128, 128),
        ("memory_size", "MiB", 128, 128),
        ("memory_size", "GB", 0.5, 512),
        ("memory_size", "GiB", 10, 10240),
        ("memory_used", "bytes", 1.5 * 2**20, 1.5),
        ("memory_used", "GB", 0.3, 0.3 * 1024),
        ("response_size", "bytes", 5, 5),
        ("response_size", "kB", 1.1, 1100),
        ("response_size", "KB", 4.35, 4350),
        ("request_size", "MB", 1.234567, 1234567),
        ("request_size", "KiB", 0.5, 512),
        ("request_size", "GiB", 3, 3 * 2**30),
    ],
)
def test_units_of_sizes(target: str, unit: str, cell: float, expected: float) -> None:
    texts = ["latency=a:ms", f"{target}=m:{unit}"]
    for rows in (
        read(f"a,m\n1,{cell}\n", *texts).rows,
        read(ndjson({"a": 1, "m": cell}), *texts).rows,
        framed(texts, a=[1], m=[cell]),
    ):
        assert rows.get_column(target).to_list() == [expected]


@pytest.mark.parametrize(
    ("target", "unit", "cell"),
    [
        ("memory_size", "bytes", 100000000.5),
        ("memory_size", "bytes", 1000),
        ("memory_size", "KiB", 128001),
        ("memory_size", "KB", 1000000),
        ("memory_size", "GB", 0.3),
        ("memory_size", "MB", 1.5),
        ("memory_size", "MB", -1),
        ("response_size", "bytes", 0.5),
        ("response_size", "kB", 1.2345),
        ("response_size", "KiB", 0.1),
        ("request_size", "kB", -1),
    ],
)
def test_a_size_that_is_not_whole_in_its_unit_is_rejected(target: str, unit: str, cell: float) -> None:
    parsed = read(f"a,m\n1,{cell}\n", "latency=a:ms", f"{target}=m:{unit}")
    assert parsed.rows.is_empty()
    assert parsed.rejects.item(0, "column") == "m"
    wanted = "MB" if target == "memory_size" else "bytes"
    assert f"expected what is a whole number of {wanted}, 0 or more, in {unit}" in parsed.rejects.item(
        0, "reason"
    )


@pytest.mark.parametrize("unit", ["ms", "us", "s"])
@pytest.mark.parametrize("time", ["start", "end"])
def test_a_failed_call_may_have_minus_1_as_its_latency(unit: str, time: str) -> None:
    text = "a,t,s\n-1,5,500\n-1,5,200\n"
    parsed = read(text, f"latency=a:{unit}", "success=s<400", f"{time}=t:relative_s")
    assert parsed.rows.select("invocation_latency", "start_time", "end_time").rows() == [(-1, 5, 5)]
    assert parsed.rejects.get_column("line").to_list() == [3]
    assert "a failed call without a latency may have -1" in parsed.rejects.item(0, "reason")


@pytest.mark.parametrize("unit", ["ms", "us", "s"])
@pytest.mark.parametrize("time", ["start", "end"])
def test_any_call_may_lack_a_latency(unit: str, time: str) -> None:
    texts = [f"latency=a:{unit}", "success=s<400", f"{time}=t:relative_s"]
    codes = [500, 200]
    for rows in (
        read("a,t,s\n,5,500\n,5,200\n", *texts).rows,
        read(ndjson(*({"a": None, "t": 5, "s": code} for code in codes)), *texts).rows,
        framed(texts, a=[None, None], t=[5, 5], s=codes),
    ):
        assert rows.select("success", "invocation_latency", "start_time", "end_time").rows() == [
            (False, -1, 5, 5),
            (True, None, 5, 5),
        ]


def test_a_failed_call_may_lack_an_end() -> None:
    parsed = read("a,b,s\n1,,500\n1,,200\n", "start=a:relative_s", "end=b:relative_s", "success=s<400")
    assert parsed.rows.select("invocation_latency", "start_time", "end_time").rows() == [(-1, 1, 1)]
    assert parsed.rejects.get_column("line").to_list() == [3]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (f"{START},fast,/a,200,small,", "elapsed"),
        (f"{START},NaN,/a,200,small,", "elapsed"),
        (f"{START},inf,/a,200,small,", "elapsed"),
        (f"{START},-5,/a,500,small,", "elapsed"),
        (f"{START},1e300,/a,200,small,", "invocation_latency"),
        ("now,1,/a,200,small,", "ts"),
        (",1,/a,200,small,", "ts"),
        ("NaN,1,/a,200,small,", "ts"),
        ("1700000000,1,/a,200,small,", "ts"),  # seconds
        ("1700000000123456,1,/a,200,small,", "ts"),  # microseconds
        ("1e300,1,/a,200,small,", "ts"),
        (f"{START},1,/a,200", ""),
        (f"{START},1,/a,200,small,,", ""),
    ],
)
@pytest.mark.parametrize("more", [(), ("response_size=status",)])
def test_bad_rows_are_rejected_alone(row: str, column: str, more: Sequence[str]) -> None:
    lines = CSV.splitlines()
    parsed = read("\n".join([*lines[:2], row, *lines[2:], ""]), *MAP, *more)
    assert parsed.rows.height == 3
    assert parsed.rejects.select("line", "column").rows() == [(3, column)]


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"elapsed": "fast"}, "request.elapsed"),
        ({"elapsed": -1}, "request.elapsed"),
        ({"ts": START}, "request.ts"),
        ({"ts": "2023-11-14T22:13:20"}, "request.ts"),
        ({"ts": "1500-11-14T22:13:20Z"}, "request.ts"),
        ({"ts": "9999-11-14T22:13:20Z"}, "request.ts"),
        ({"ok": "perhaps"}, "request.ok"),
        ({"ok": None}, "request.ok"),
        ({"size": 1.5}, "request.size"),
        ({"size": -1}, "request.size"),
    ],
)
def test_bad_objects_are_rejected_alone(changes: dict[str, object], column: str) -> None:
    good = {"elapsed": 1, "ts": "2023-11-14T22:13:20Z", "ok": True, "size": 5}
    texts = ("elapsed:ms", "ts:rfc3339", "ok", "size")
    targets = ("latency", "start", "success", "response_size")
    mapped = [f"{target}=request.{text}" for target, text in zip(targets, texts, strict=True)]
    text = ndjson({"request": good}, {"request": good | changes}, {"request": good})
    parsed = read(text, *mapped)
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]


@pytest.mark.parametrize("cell", ["2023-11-14 22:13:20", "2023-11-14T22:13:20", "22:13:20", "yesterday"])
def test_a_time_without_an_offset_is_rejected(cell: str) -> None:
    assert read(f"a,t\n1,{cell}\n", "latency=a:ms", "start=t:rfc3339").rejects.get_column(
        "column"
    ).to_list() == ["t"]


def test_an_end_before_its_start_is_rejected() -> None:
    parsed = read("a,b\n5,6\n5,4.999\n5,4\n5,5\n", "start=a:relative_ms", "end=b:relative_ms")
    assert parsed.rows.get_column("invocation_latency").to_list() == [1, 0]
    assert parsed.rejects.select("line", "column").rows() == [(3, "b"), (4, "b")]


def test_a_torn_last_line_and_bytes_that_are_no_text_are_rejected() -> None:
    data = CSV.encode().replace(b"/b#part", b"/b\xff") + f"{START},12".encode()
    parsed = read(data)
    assert parsed.rows.height == 2
    assert parsed.rejects.select("line", "column", "reason").rows() == [
        (3, "url", "is not valid UTF-8"),
        (5, "", "torn last line"),
    ]


@pytest.mark.parametrize(
    ("text", "texts", "message"),
    [
        (
            "a,b\n1,2\n",
            ["latency=c:ms", "label=d"],
            "missing columns: c (for latency), d (for label); it has: a, b",
        ),
        ("a;b\n1;2\n", ["latency=a:ms", "label=d"], "missing column: d (for label); it has: a, b"),
        ("a,a\n1,2\n", ["latency=a:ms"], "the header has doubled columns: a; remove one"),
        ('{"a":{"b":1},"c":2}\n', ["latency=a.c:ms"], "missing column: a.c (for latency); it has: a.b, c"),
        (
            '{"a.b":1}\n{"a":{"b":1}}\n',
            ["latency=a.b:ms"],
            "a.b is a field in some lines, and within an object in others",
        ),
        ('{"a":{"b":1}}\n', ["latency=a.b:ms", "k=a"], "is named as a value, and so is a field within it"),
        ("{\n", ["latency=a:ms"], "begins like JSON, but none of its first 1 lines is an object"),
        ('[{"a": 1}]\n', ["latency=a:ms"], "is a JSON array; write one JSON object a line"),
        ("\n \n", ["latency=a:ms"], "has no line of text"),
        ("PAR1xxxx\n", ["latency=a:ms"], "is a Parquet file, expected UTF-8: CSV, or one JSON object a line"),
        ("x" * 2**18, ["latency=a:ms"], "has no line of text in its first 262,144 bytes"),
    ],
)
def test_what_the_map_does_not_fit_is_refused(text: str, texts: list[str], message: str) -> None:
    dialect = mapped_dialect(ColumnMap.parse(texts))
    with pytest.raises(InputError) as caught:
        dialect.open(head(text))
    assert str(caught.value).startswith("a.log: ")
    assert message in str(caught.value)
    assert not dialect.matches(head(text))


@pytest.mark.parametrize(
    ("columns", "texts", "message"),
    [
        (
            {"b": [1]},
            ["latency=a:ms", "label=b.c"],
            "log: missing columns: a (for latency), b.c (for label); it has: b",
        ),
        ({"a": [True]}, ["latency=a:ms"], "log: column a is Boolean, expected a number for latency"),
        ({"a": [timedelta(1)]}, ["latency=a:ms"], "expected a number for latency"),
        (
            {"a": [1], "t": [datetime.now(UTC)]},
            ["latency=a:ms", "start=t:epoch_s"],
            "expected a number, or with rfc3339 as its unit a datetime, for start",
        ),
        ({"a": [1], "t": [1]}, ["latency=a:ms", "start=t:rfc3339"], "expected a datetime or text for start"),
        ({"a": [1], "s": [[1]]}, ["latency=a:ms", "success=s"], "expected true or false for success"),
        ({"a": [1], "l": [[1]]}, ["latency=a:ms", "label=l"], "expected a single value for label"),
        (
            {"a": [1], "t": pl.Series([1.7e9], dtype=pl.Float32)},
            ["latency=a:ms", "end=t:epoch_s"],
            "log: column t is Float32, which tells times since 1970 to about 2 minutes only",
        ),
        (
            {"a": [1], "t": pl.Series([1.7e9], dtype=pl.Float32)},
            ["start=t:epoch_ms", "end=a:epoch_ms"],
            "write them as Float64 or as integers",
        ),
    ],
)
def test_tables_that_the_map_does_not_fit_are_refused(
    columns: dict[str, Any], texts: list[str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        mapped_frame(pl.LazyFrame(columns), ColumnMap.parse(texts), "log")
    assert message in str(caught.value)


def test_bad_rows_of_a_table_break_the_rule_of_latencies() -> None:
    texts = ["latency=a:ms", "start=t:epoch_s", "success=s<400"]
    columns: dict[str, Any] = {
        "a": [1.0, None, 2.0, 3.0, -1.0, float("nan")],
        "t": [1.7e9, 1.7e9, None, 5.0, 1.7e9, 1.7e9],
        "s": ["200", "200", "200", "200", "500", "200"],
    }
    latencies = framed(texts, **columns).get_column("invocation_latency")
    assert latencies.is_nan().to_list() == [False, None, True, True, False, True]
    frame = pl.DataFrame(columns)
    recipe = mapped_recipe(frame.schema, ColumnMap.parse(texts), "log")
    typed = frame.select(list(recipe.types))
    parsed = recipe.finish(typed, lines=range(1, 7), raw=lambda index: str(typed.row(index)))
    assert parsed.rows.get_column("invocation_latency").to_list() == [1, None, -1]
    assert parsed.rejects.select("line", "column").rows() == [(3, "t"), (4, "t"), (6, "a")]


def test_tables_may_hold_any_kind_of_number_and_text() -> None:
    texts = ["latency=a:ms", "label=l", "status=s", "start=t:rfc3339", "response_size=n"]
    frame = pl.LazyFrame({"a": [1], "l": ["x"], "s": [200.0], "t": [datetime(2023, 11, 14)], "n": [None]})
    cast = frame.with_columns(pl.col("a").cast(pl.Decimal(10, 2)), pl.col("l").cast(pl.Categorical))
    assert mapped_frame(cast, ColumnMap.parse(texts)).collect().rows() == [
        (True, None, 1699920000.0, 1699920000.001, 1.0, "x", "200", None)
    ]


def test_fields_that_come_late_are_not_lost_and_those_that_never_come_are_told() -> None:
    good = [{"a": 1, "label": "x"}] * 20_000
    text = ndjson(*good, {"a": 2, "label": "x", "error": {"code": "timeout"}})
    texts = ("latency=a:ms", "error=error.code", "response_size=size")
    dialect = mapped_dialect(ColumnMap.parse(texts))
    parsed, top = read_as(dialect, text), head(text)
    assert parsed.rejects.is_empty()
    assert parsed.rows.get_column("error").to_list()[-1] == "timeout"
    told = "\n".join(dialect.warnings(top, 20_001, parsed.facts))
    assert "no row has size; check the name" in told


def test_times_of_a_test_may_be_narrow_floats() -> None:
    rows = framed(["latency=a:ms", "end=t:relative_s"], a=[1], t=pl.Series([1.5], dtype=pl.Float32))
    assert rows.get_column("end_time").to_list() == [1.5]


@pytest.mark.parametrize(("cell", "unit"), [("134217728", ""), ("134217728", ":MB"), ("1e12", ":KiB")])
def test_memory_that_no_machine_has_is_rejected(cell: str, unit: str) -> None:
    parsed = read(f"a,m\n1,{cell}\n1,16777216\n", "latency=a:ms", f"memory_size=m{unit}")
    assert parsed.rejects.get_column("line").to_list()[0] == 2
    assert "at most 16,777,216 MB" in parsed.rejects.item(0, "reason")
    assert ("; bytes are memory_size=m:bytes" in parsed.rejects.item(0, "reason")) == (not unit)


@pytest.mark.parametrize(
    ("target", "meant"), [("succes", "success"), ("lable", "label"), ("errors", "error")]
)
def test_a_key_that_is_nearly_a_target_is_told(target: str, meant: str) -> None:
    told = warnings("a,x\n1,2\n", "latency=a:ms", f"{target}=x")
    assert f"{target} is taken for the name of a key column; if {meant} is meant, write {meant}=" in told
    assert "key column" not in warnings("a,x\n1,2\n", "latency=a:ms", "region=x", "memory_size=x", "zone=x")


def test_times_without_a_zone_are_told() -> None:
    assert "the times in t have no time zone: they are taken as UTC" in warnings(
        "a,t\n", "latency=a:ms", "start=t:format:%F %T"
    )
    assert not warnings("a,t\n", "latency=a:ms", "start=t:format:%F %T %z", "success=a<1")


def test_the_dialect_says_what_it_is() -> None:
    dialect = mapped_dialect(ColumnMap.parse(MAP))
    assert (dialect.name, dialect.key, dialect.clock, dialect.closed_loop) == (
        "generic",
        ("label", "model"),
        "epoch",
        False,
    )
    assert mapped_dialect(ColumnMap.parse(["start=a:relative_s", "end=b:relative_s"])).clock == "relative"
    assert dialect.open(head(CSV)).meaning == (
        ("elapsed", "latency, ms"),
        ("ts", "end, in ms since 1970, from 1990 to 2242"),
        ("status", "success, status<400"),
        ("url", "label"),
        ("model", "model"),
    )


OBJECTS = ndjson(*[{"r": {"ms": 5, "at": "2023-11-14T22:13:20Z"}, "ok": True, "u": "/a"}] * 5)
DAMAGED = [
    (CSV, MAP),
    (OBJECTS, ("latency=r.ms:ms", "start=r.at:rfc3339", "success=ok", "label=u")),
]


@pytest.mark.parametrize(("log", "texts"), DAMAGED, ids=["csv", "ndjson"])
@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damaged_files_are_read_or_refused(log: str, texts: tuple[str, ...], times: int) -> None:
    dialect = mapped_dialect(ColumnMap.parse(texts))
    check_damage(dialect, log, times)
    check_one_bad_byte(dialect, log, times)


def shared(name: str, *texts: str) -> pl.DataFrame:
    path = LOGS / name
    if not path.exists():
        pytest.skip("the recorded logs are not here")
    top = read_head(path)
    dialect = mapped_dialect(ColumnMap.parse(texts))
    assert dialect.matches(top)
    parsed = read_as(dialect, path.read_bytes(), block_bytes=10_000)
    assert parsed.rejects.is_empty()
    return parsed.rows


def test_a_recorded_csv_agrees_with_an_independent_reading() -> None:
    rows = shared(
        "azure/Azure2021_200.csv", "end=end_timestamp:relative_s", "latency=duration:s", "label=func"
    )
    with (LOGS / "azure/Azure2021_200.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert rows.height == len(expected)
    assert rows.get_column("label").to_list() == [row["func"] for row in expected]
    ends = [float(row["end_timestamp"]) for row in expected]
    assert rows.get_column("end_time").to_list() == pytest.approx(ends, abs=1e-9)
    durations = np.array([1000 * float(row["duration"]) for row in expected])
    assert rows.get_column("start_time").to_list() == pytest.approx(ends - durations / 1000, abs=2e-9)
    for share in (0.5, 0.9, 0.99):
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(durations, share))


def test_recorded_objects_agree_with_an_independent_reading() -> None:
    name = "vegeta/converted_tomelia_quick_test.ndjson"
    texts = (
        "latency=latency:ns",
        "start=timestamp:rfc3339",
        "success=code in 200,204",
        "label=url",
        "id=seq",
    )
    rows = shared(name, *texts)
    expected = [json.loads(line) for line in (LOGS / name).read_text().splitlines()]
    assert rows.get_column("success").to_list() == [item["code"] in (200, 204) for item in expected]
    assert rows.get_column("id").to_list() == [str(item["seq"]) for item in expected]
    assert rows.get_column("label").to_list() == [item["url"] for item in expected]
    latencies = [item["latency"] / 10**6 for item in expected]
    assert rows.get_column("invocation_latency").to_list() == pytest.approx(latencies, rel=1e-15)
    starts = [datetime.fromisoformat(item["timestamp"]).timestamp() for item in expected]
    assert rows.get_column("start_time").to_list() == pytest.approx(starts, abs=2e-6)


@pytest.mark.parametrize("path", logs_of_others(), ids=lambda path: path.name)
def test_files_without_the_columns_of_the_map_are_not_matched(path: Path) -> None:
    top = read_head(path)
    assert not mapped_dialect(ColumnMap.parse(["latency=my_latency:ms", "error=error"])).matches(top)
