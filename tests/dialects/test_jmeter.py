"""JMeter's CSV. The files are written here by JMeter's documented layout, not recorded."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import loadlens
from loadlens.dialects import BlockReader, detect
from loadlens.dialects.jmeter import JMETER_CSV
from loadlens.errors import InputError
from loadlens.text.nesting import Nesting
from loadlens.text.record_blocks import blocks
from loadlens.text.stream import Head, open_stream, read_head
from loadlens.text.typed_rows import Parsed, joined
from tests.extent import combinations

SHARED = Path(__file__).parents[3] / "shared" / "logs" / "jmeter"
SHARED_CSV = [path for path in sorted(SHARED.glob("*.jtl")) if not path.read_bytes().startswith(b"<")]

HEADER = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,"
    "sentBytes,grpThreads,allThreads,URL,Latency,IdleTime,Connect"
)
START = 1700000000123
SOCKET = "Non HTTP response code: java.net.SocketException"
RESET = '"Non HTTP response message: Connection, reset"'
SUMS = '"Number of samples in transaction : 4, number of failing samples : 3"'
ROWS = [
    f"{START},120,GET /,200,OK,g 1-1,text,true,,1000,150,2,2,http://localhost/,118,0,3",
    f"{START + 50},80,GET /b,404,Not Found,g 1-2,text,false,,300,150,2,2,http://localhost/b,79,0,3",
    f"{START + 60},2000,GET /c,{SOCKET},{RESET},g,,false,,2500,0,2,2,x,0,0,1",
    f"{START + 70},30,GET /,200,OK,g 1-1,text,false,Test failed: text expected,900,150,2,2,x,29,0,0",
    f"{START},2230,All,200,{SUMS},g 1-1,,false,,4700,450,2,2,null,0,0,0",
]
ERRORS = [None, "404", "java.net.SocketException", "failed with 200"]


def head(text: str | bytes) -> Head:
    data = text.encode() if isinstance(text, str) else text
    return Head(path=Path("a.jtl"), data=data, size=len(data))


def read(text: str | bytes) -> Parsed:
    data = text.encode() if isinstance(text, str) else text
    reader = detect(head(data)).open(head(data))
    assert isinstance(reader, BlockReader)
    (block,) = blocks(io.BufferedReader(io.BytesIO(data)), reader.framing)
    parsed = reader.read(block)
    assert parsed.rows.schema == reader.schema
    return resolved([parsed])


def resolved(parts: Sequence[Parsed]) -> Parsed:
    """The same without the rows that belong to others, of which the rest of the log tells."""
    nesting = Nesting(lambda: [part.spans for part in parts if part.spans is not None])
    rows = [nesting.add(0, part.rows, part.spans) for part in parts]
    settled = list(nesting.finish())
    left_out = Counter(what for found in settled for what in found.left_out.elements())
    for part in parts:
        left_out.update(part.left_out)
    return replace(
        joined([replace(part, spans=None) for part in parts]),
        rows=pl.concat([*rows, *(found.rows for found in settled)]),
        left_out=left_out,
    )


def table(*rows: str, header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in (header, *rows))


def columns(text: str, keep: Iterable[str], separator: str = ",") -> str:
    """The same table with some of its columns only."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(keep), extrasaction="ignore", delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(text)))
    return out.getvalue()


def warnings(text: str, **facts: int) -> str:
    return "\n".join(JMETER_CSV.warnings(head(text), 4, facts))


def test_samples_become_canonical_rows() -> None:
    parsed = read(table(*ROWS))
    rows = parsed.rows
    assert rows.get_column("success").to_list() == [True, False, False, False]
    assert rows.get_column("error").to_list() == ERRORS
    assert rows.get_column("start_time").to_list() == [
        1700000000.123,
        1700000000.173,
        1700000000.183,
        1700000000.193,
    ]
    assert rows.get_column("end_time").to_list() == [
        1700000000.243,
        1700000000.253,
        1700000002.183,
        1700000000.223,
    ]
    assert rows.get_column("invocation_latency").to_list() == [120, 80, 2000, 30]
    assert rows.get_column("label").to_list() == ["GET /", "GET /b", "GET /c", "GET /"]
    assert rows.get_column("response_size").to_list() == [1000, 300, 2500, 900]
    assert rows.get_column("request_size").to_list() == [150, 150, 0, 150]
    assert parsed.rejects.is_empty()


def test_transaction_controllers_are_left_out_and_counted() -> None:
    parsed = read(table(*ROWS))
    assert parsed.left_out == {"transaction controllers": 1}
    assert "1 transaction controller is left out" in warnings(table(*ROWS), **{"transaction controllers": 1})


@pytest.mark.parametrize(("late_ms", "calls"), [(0, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("name", ["Home-0", "GET /"])
def test_ends_that_are_a_tick_apart_are_the_same(name: str, late_ms: int, calls: int) -> None:
    message = "OK" if name == "Home-0" else SUMS
    outer = f"{START},2000,Home,200,{message},g 1-1,,true,,900,150,1,1,x,0,0,0"
    inner = f"{START + 1900},{100 + late_ms},{name},200,OK,g 1-1,text,true,,900,150,1,1,x,0,0,0"
    assert read(table(outer, inner)).rows.height == calls


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_any_separator_and_line_ending(separator: str, ending: str) -> None:
    text = columns(table(*ROWS), HEADER.split(","), separator).replace("\n", ending)
    assert read(text).rows.equals(read(table(*ROWS)).rows)


@pytest.mark.parametrize(
    "keep",
    [
        ("timeStamp", "elapsed", "label", "success"),
        ("elapsed", "label", "responseCode", "success", "timeStamp", "responseMessage"),
        ("label", "elapsed", "timeStamp", "responseCode"),
    ],
)
def test_any_columns_in_any_order(keep: tuple[str, ...]) -> None:
    text = columns(table(*ROWS[:3]), keep)
    rows = read(text).rows
    assert rows.get_column("invocation_latency").to_list() == [120, 80, 2000]
    assert rows.get_column("success").to_list() == [True, False, False]
    assert rows.get_column("error").null_count() == 1


def test_without_success_the_status_tells() -> None:
    text = columns(table(*ROWS[:3]), ("timeStamp", "elapsed", "label", "responseCode"))
    assert read(text).rows.get_column("error").to_list() == ERRORS[:3]
    assert "counts as failed where the status is 400 or more, or no number" in warnings(text)


def test_without_success_and_status_all_samples_succeed_and_it_is_said() -> None:
    text = columns(table(*ROWS), ("timeStamp", "elapsed", "label"))
    assert read(text).rows.get_column("success").all()
    assert "every sample counts as successful" in warnings(text)
    assert "transaction controllers cannot be told" in warnings(text)


def test_a_failed_sample_without_a_status_is_classed_by_its_message() -> None:
    header = "timeStamp,elapsed,responseCode,responseMessage,success,failureMessage"
    rows = (
        f"{START},2,,,false,Assertion: expected 17",
        f"{START},2,,Timed out (after 3 s),false,",
        f"{START},2,,,false,",
        f"{START},2,,,true,",
    )
    assert read(table(*rows, header=header)).rows.get_column("error").to_list() == [
        "Assertion",
        "Timed out",
        "failed",
        None,
    ]


def test_user_variables_at_the_end_are_kept_out() -> None:
    header = HEADER + ',"user","cart, size"'
    rows = [row + ',"a, ""b""",null' for row in ROWS]
    assert read(table(*rows, header=header)).rows.equals(read(table(*ROWS)).rows)


@pytest.mark.parametrize("rows", [ROWS, [row.replace(",", "\t") for row in ROWS[:2]]])
def test_a_file_without_a_header_is_known_by_its_cells(rows: list[str]) -> None:
    text = "\n".join(rows) + "\n"
    assert read(text).rows.equals(read(table(*ROWS)).rows.head(len(rows)))
    assert "it has no header: its 17 columns are taken in JMeter's own order" in warnings(text)


def test_a_file_without_a_header_may_have_all_columns() -> None:
    row = f"{START},120,GET /,200,OK,g 1-1,text,true,,1000,150,2,2,http://x/,file,118,UTF-8,1,0,host,0,3\n"
    assert read(row).rows.get_column("response_size").to_list() == [1000]


@pytest.mark.parametrize(
    "row",
    [
        "1700000000123,120,GET /,200,true",  # too few cells to know which they are
        ROWS[0].replace(",true,", ",yes,"),
        ROWS[0].replace(",120,", ",fast,"),
        ROWS[0].replace(str(START), "yesterday"),
        "{}",
    ],
)
def test_what_is_no_jmeter_csv_is_refused(row: str) -> None:
    assert not JMETER_CSV.matches(head(row + "\n"))
    with pytest.raises(InputError, match="fits no known format"):
        detect(head(row + "\n"))
    with pytest.raises(InputError, match="is no JMeter CSV: it has no header with the column elapsed"):
        JMETER_CSV.open(head(row + "\n"))


def test_a_missing_time_and_doubled_columns_are_refused() -> None:
    with pytest.raises(InputError, match="missing column: timeStamp; it has: elapsed, label, success"):
        JMETER_CSV.open(head("elapsed,label,success\n1,a,true\n"))
    with pytest.raises(InputError, match="doubled columns: elapsed"):
        JMETER_CSV.open(head("timeStamp,elapsed,label,elapsed\n"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023/11/14 22:13:20.123", 1700000000.123),
        ("2023/11/14 22:13:20", 1700000000.0),
        ("2023-11-14 22:13:20.123", 1700000000.123),
        ("2023-11-14 22:13:20", 1700000000.0),
        ("11/14/23 22:13:20", 1700000000.0),
    ],
)
def test_times_may_be_text(text: str, seconds: float) -> None:
    row = ROWS[0].replace(str(START), text)
    log = table(row, row.replace("true,", "false,"), ROWS[1])
    parsed = read(log)
    assert parsed.rows.get_column("start_time").to_list() == [seconds] * 2
    assert parsed.rows.get_column("end_time").to_list() == [pytest.approx(seconds + 0.12, abs=1e-6)] * 2
    assert parsed.rejects.get_column("column").to_list() == ["timeStamp"]  # a number among texts
    assert "taken as UTC" in warnings(log)


def test_times_of_no_known_form_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"timeStamp: got '14\.11\.2023', expected ms since 1970 or a time as"
    ):
        JMETER_CSV.open(head(table(ROWS[0].replace(str(START), "14.11.2023"))))


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        (",120,", ",-1,", "elapsed"),
        (",120,", ",,", "elapsed"),
        (",120,", ",1e9,", "elapsed"),
        (str(START), "", "timeStamp"),
        (str(START), "9" * 18, "timeStamp"),
        (str(START), str(START // 1000), "timeStamp"),
        (str(START), f"{START}000", "timeStamp"),
        (",true,", ",,", "success"),
        (",1000,", ",-1,", "bytes"),
        (",150,", ",many,", "sentBytes"),
        (",150,", ",", ""),
    ],
)
def test_bad_rows_are_rejected_alone(old: str, new: str, column: str) -> None:
    parsed = read(table(ROWS[1], ROWS[0].replace(old, new), ROWS[2]))
    assert parsed.rows.height == 2
    assert parsed.rejects.get_column("line").to_list() == [3]
    assert parsed.rejects.get_column("column").to_list() == [column]


def test_the_dialect_says_what_it_is() -> None:
    reader = JMETER_CSV.open(head(table(*ROWS)))
    assert dict(reader.meaning)["elapsed"] == "latency, ms"
    assert (JMETER_CSV.key, JMETER_CSV.clock, JMETER_CSV.closed_loop) == (("label",), "epoch", True)


def samples(path: Path) -> list[dict[str, str]]:
    """The rows of a file by Python's own reader; none of these logs has a transaction with its samples."""
    text = path.read_text(encoding="utf-8")
    dialect = "excel-tab" if "\t" in text.split("\n")[0] else "excel"
    return list(csv.DictReader(io.StringIO(text), dialect=dialect))


@pytest.mark.skipif(not SHARED_CSV, reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("path", "block_bytes"),
    combinations(SHARED_CSV, [100, 2**20], one_in=4),
    ids=lambda value: getattr(value, "name", value),
)
def test_recorded_logs_agree_with_an_independent_reading(path: Path, block_bytes: int) -> None:
    top = read_head(path)
    reader = detect(top).open(top)
    assert isinstance(reader, BlockReader)
    with open_stream(path) as stream:
        parts = [reader.read(block) for block in blocks(stream, reader.framing, block_bytes=block_bytes)]
    parsed = resolved(parts)
    rows, expected = parsed.rows, samples(path)
    assert parsed.rejects.is_empty()
    assert rows.height == len(expected)
    assert rows.get_column("success").sum() == sum(row["success"] == "true" for row in expected)
    assert Counter(rows.get_column("label")) == Counter(row["label"] for row in expected)
    latencies = np.array([float(row["elapsed"]) for row in expected])
    for share in (0.5, 0.9, 0.99) if expected else ():
        got = rows.get_column("invocation_latency").quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))
    starts = [int(row["timeStamp"]) / 1000 for row in expected]
    assert sorted(rows.get_column("start_time")) == sorted(starts)


FOURTH_OF_MARCH = 1709546400.0


@pytest.mark.parametrize(
    ("time", "second", "fraction"),
    [
        ("03/04/24 10:00:00", "03/04/24 10:00:01", ".5"),
        ("03/04/2024 10:00:00", "03/04/2024 10:00:01", ".500"),
        ("04.03.2024 10:00:00", "04.03.2024 10:00:01", ",500"),
        ("04.03.24 10:00:00", "04.03.24 10:00:01", ".5"),
        ("2024/03/04 10:00:00", "2024/03/04 10:00:01", ".5"),
        ("2024-03-04T10:00:00", "2024-03-04T10:00:01", ".500"),
        ("2024-03-04T11:00:00+0100", "2024-03-04T11:00:01+01:00", ""),
        ("2024-03-04T10:00:00Z", "2024-03-04T10:00:01Z", ""),
        ("Mon Mar  4 10:00:00 2024", "Mon Mar 04 10:00:01 2024", ""),
        ("Mon Mar 04 10:00:00 UTC 2024", "Mon Mar 04 10:00:01 GMT 2024", ""),
    ],
)
def test_times_of_every_form_are_the_same_day(time: str, second: str, fraction: str) -> None:
    parsed = read(table(*(ROWS[0].replace(str(START), f'"{text}"') for text in (time, second + fraction))))
    starts = [FOURTH_OF_MARCH, FOURTH_OF_MARCH + 1 + (0.5 if fraction else 0)]
    assert parsed.rows.get_column("start_time").to_list() == starts
    assert parsed.rejects.is_empty()


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (("03/04/24", "03/13/24"), "2024-03-04"),
        (("03/04/24", "13/04/24"), "2024-04-03"),
        (("12/11/2024", "13/11/2024"), "2024-11-12"),
    ],
)
def test_any_row_of_the_beginning_tells_month_from_day(times: tuple[str, str], first: str) -> None:
    days = [times[0]] * 50 + [times[1]]
    log = table(*(ROWS[0].replace(str(START), f"{day} 10:00:00") for day in days))
    parsed = read(log)
    assert parsed.rejects.is_empty()
    start = pl.from_epoch(pl.Series([parsed.rows.item(0, "start_time")]), time_unit="s")
    assert str(start.dt.date().item()) == first
    assert "could be" not in warnings(log)


def test_month_and_day_that_could_be_either_are_told() -> None:
    log = table(ROWS[0].replace(str(START), "03/04/24 10:00:00"))
    assert "could be MM/dd/yy HH:mm:ss or dd/MM/yy HH:mm:ss, and are taken as MM/dd/yy" in warnings(log)
    assert "--map 'start=timeStamp:format:%d/%m/%y" in warnings(log)


@pytest.mark.parametrize("decides", ["last", "middle"])
def test_later_rows_decide_or_the_log_is_refused(tmp_path: Path, decides: str) -> None:
    days = ["03/04/24"] * 9000
    days[-1 if decides == "last" else 5000] = "13/04/24"
    path = tmp_path / "a.jtl"
    path.write_text(table(*(ROWS[0].replace(str(START), f"{day} 10:00:00") for day in days)))
    frame = loadlens.read_log(path, max_rejects="50%").frame
    if decides == "last":
        starts = frame.select("start_time").collect().get_column("start_time")
        assert (starts[0], starts.len()) == (1712138400.0, 9000)
    else:
        with pytest.raises(InputError, match="has times of another form: fit MM/dd/yy"):
            frame.collect()


@pytest.mark.parametrize("factor", [0.001, 1000, 10**6])
def test_a_mistaken_unit_of_time_is_refused(tmp_path: Path, factor: float) -> None:
    path = tmp_path / "a.jtl"
    path.write_text(table(*(ROWS[0].replace(str(START), str(int((START + at) * factor))) for at in range(9))))
    with pytest.raises(InputError, match="expected ms since 1970, from 1990 to 2242"):
        loadlens.summarize(path, by=[])


@pytest.mark.parametrize(
    "missing",
    [
        {"failureMessage", "sentBytes", "grpThreads", "allThreads", "URL", "IdleTime", "Connect"},
        {"failureMessage", "sentBytes", "URL", "IdleTime", "Connect"},
        {"sentBytes", "URL", "Connect"},
        {"URL"},
    ],
    ids=["2.4", "2.13", "3.0", "3.1"],
)
def test_a_file_without_a_header_may_be_of_any_version(missing: set[str]) -> None:
    names = [name for name in HEADER.split(",") if name not in missing]
    with_header = columns(table(*ROWS[:4]), names)
    parsed = read(with_header.split("\n", 1)[1])
    assert parsed.rows.equals(read(with_header).rows)
    assert parsed.rows.get_column("response_size").to_list() == [1000, 300, 2500, 900]


def test_a_file_saved_again_by_pandas_reads_as_before() -> None:
    original = read(table(*ROWS[:4]))
    names = [
        "timeStamp",
        "elapsed",
        "label",
        "responseCode",
        "responseMessage",
        "success",
        "bytes",
        "sentBytes",
    ]
    frame = pd.read_csv(io.StringIO(table(*ROWS[:4])), usecols=names)
    floats = frame.astype(dict.fromkeys(("timeStamp", "elapsed", "bytes", "sentBytes"), "float64"))
    frame["responseCode"] = ["200.0", "404.0", SOCKET, "200.0"]
    for saved in (frame, floats):
        text = saved.to_csv()
        assert text.startswith(",timeStamp")
        parsed = read(text)
        assert parsed.rejects.is_empty()
        same = original.rows.select(parsed.rows.columns)
        assert parsed.rows.drop("error").equals(same.drop("error"))
        assert parsed.rows.get_column("error").to_list()[:3] == ERRORS[:3]


@pytest.mark.parametrize("cell", ["10.5", "1e1", "10.0.0", ".0"])
def test_what_is_no_whole_number_is_rejected(cell: str) -> None:
    assert read(table(ROWS[0].replace(",120,", f",{cell},"))).rejects.get_column("column").to_list() == [
        "elapsed"
    ]


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("elapsed", "looks like JMeter CSV, but lacks the column elapsed"),
        ("timeStamp", "missing column: time"),
    ],
)
def test_a_log_without_a_needed_column_is_told_what_it_lacks(lost: str, message: str) -> None:
    top = head(columns(table(*ROWS), [name for name in HEADER.split(",") if name != lost]))
    with pytest.raises(InputError, match=message):
        detect(top).open(top)
