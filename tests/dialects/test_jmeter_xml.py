"""JMeter's XML. The files are written here by JMeter's documented layout, not recorded."""

import gzip
import tracemalloc
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects.base import StreamReader
from loadlens.dialects.jmeter import JMETER_CSV
from loadlens.dialects.jmeter_xml import JMETER_XML
from loadlens.errors import InputError, LoadlensError
from loadlens.text.stream import read_head
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, joined

from .reading import LOGS, TIMES_DAMAGED, damaged, head, logs_of_others, read

SHARED_XML = [path for path in sorted(LOGS.glob("jmeter/*.jtl")) if path.read_bytes().startswith(b"<")]
PLUGIN = "taurus_nonstandard-unicode"

START = 1700000000123
TOP = '<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n'
END = "\n</testResults>\n"
SUMS = "Number of samples in transaction : 2, number of failing samples : 1"
FAILED = """<assertionResult><name>a</name><failure>true</failure><error>false</error>
    <failureMessage>Test failed: text expected</failureMessage></assertionResult>"""


def sample(label: str, inner: str = "", tag: str = "httpSample", **attributes: object) -> str:
    values = {"t": 120, "lt": 118, "ts": START, "s": "true", "lb": label, "rc": 200, "rm": "OK", "by": 1000}
    cells = " ".join(f'{name}="{value}"' for name, value in {**values, **attributes}.items())
    return f"<{tag} {cells}>\n  {inner}\n</{tag}>\n" if inner else f"<{tag} {cells}/>\n"


def document(*samples: str) -> str:
    return TOP + "".join(samples) + END


def read_xml(folder: Path, log: str | bytes) -> Parsed:
    path = folder / "a.jtl"
    path.write_bytes(log.encode() if isinstance(log, str) else log)
    return read_path(path)


def read_path(path: Path) -> Parsed:
    reader = JMETER_XML.open(read_head(path))
    assert isinstance(reader, StreamReader)
    parts = list(reader.batches(path))
    assert all(part.rows.schema == reader.schema for part in parts)
    assert all(part.rejects.schema == REJECT_SCHEMA for part in parts)
    return joined([Parsed(rows=pl.DataFrame(schema=reader.schema)), *parts])


def labels(parsed: Parsed) -> list[str]:
    return parsed.rows["label"].to_list()


def test_samples_become_canonical_rows(tmp_path: Path) -> None:
    log = document(
        sample("a &amp; &#x416;", sby=150),
        sample("b", FAILED, tag="sample", s="false", t=80, ts=START + 50, by=""),
    )
    parsed = read_xml(tmp_path, log)
    assert JMETER_XML.matches(head(log))
    assert parsed.rejects.is_empty()
    assert parsed.rows.to_dicts() == [
        {
            "success": True,
            "error": None,
            "start_time": 1700000000.123,
            "end_time": 1700000000.243,
            "invocation_latency": 120.0,
            "label": "a & Ж",
            "response_size": 1000,
            "request_size": 150,
        },
        {
            "success": False,
            "error": "failed with 200",
            "start_time": 1700000000.173,
            "end_time": 1700000000.253,
            "invocation_latency": 80.0,
            "label": "b",
            "response_size": None,
            "request_size": None,
        },
    ]


def test_the_same_samples_as_csv_give_the_same_rows(tmp_path: Path) -> None:
    calls = [
        ("200", "OK", "true", ""),
        ("404", "Not Found", "false", ""),
        ("Non HTTP response code: java.net.SocketException", "Non HTTP response message: reset", "false", ""),
        ("200", "OK", "false", "Test failed: text expected"),
        ("", "Timed out (after 3 s)", "false", ""),
        ("", "", "false", "Assertion: expected 17"),
        ("", "", "false", ""),
    ]
    header = "timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage,bytes,sentBytes\n"
    rows = [f"{START},7,a,{rc},{rm},{s},{message},5,6\n" for rc, rm, s, message in calls]
    elements = [
        sample(
            "a",
            f"<assertionResult><failureMessage>{message}</failureMessage></assertionResult>" * bool(message),
            rc=rc,
            rm=rm,
            s=s,
            t=7,
            by=5,
            sby=6,
        )
        for rc, rm, s, message in calls
    ]
    expected = read(JMETER_CSV, header + "".join(rows)).rows
    assert_frame_equal(read_xml(tmp_path, document(*elements)).rows, expected)


def test_the_first_message_of_an_assertion_tells_the_error(tmp_path: Path) -> None:
    messages = ("<failureMessage>Mine: 1</failureMessage>", "<failureMessage>Other</failureMessage>")
    inner = sample("inner", f"<assertionResult>{messages[1]}</assertionResult>", tag="httpSample")
    asserted = f"<assertionResult>{messages[0]}</assertionResult>"
    for body in (asserted + inner, inner + asserted):
        parsed = read_xml(tmp_path, document(sample("a", body, s="false", rc="")))
        assert parsed.rows["error"].to_list() == ["Mine"]


def test_the_outer_sample_counts_and_its_parts_do_not(tmp_path: Path) -> None:
    parts = sample("redirect", sample("deeper")) + sample("image", tag="sample")
    parsed = read_xml(tmp_path, document(sample("page", parts), sample("next")))
    assert labels(parsed) == ["page", "next"]
    assert parsed.left_out == {"parts of samples": 3}


@pytest.mark.parametrize("message", [SUMS, "OK"])
def test_the_samples_of_a_transaction_count_and_it_does_not(tmp_path: Path, message: str) -> None:
    inner = sample("within", sample("one") + sample("two", sample("part")), tag="sample", rm=message)
    parsed = read_xml(tmp_path, document(sample("all", inner + sample("three"), tag="sample", rm=message)))
    assert labels(parsed) == ["one", "two", "three"]
    assert parsed.left_out == {"parts of samples": 1, "transaction controllers": 2}


@pytest.mark.parametrize(
    ("thread", "start", "found"),
    [("g 1-1", START, ["a"]), ("g 1-2", START, ["a", "all"]), ("g 1-1", START + 121, ["a", "all"])],
)
def test_a_transaction_counts_unless_the_log_has_its_samples(
    tmp_path: Path, thread: str, start: int, found: list[str]
) -> None:
    path = tmp_path / "a.jtl"
    total = sample("all", tag="sample", rm=SUMS, tn="g 1-1", t=200)
    path.write_text(document(total, sample("a", tag="sample", tn=thread, ts=start)))
    summary = loadlens.summarize(path, by="label").summary
    assert summary["label"].to_list() == found


def test_warnings_say_what_is_left_out() -> None:
    top = head(document())
    assert JMETER_XML.warnings(top, 1, {}) == []
    found = JMETER_XML.warnings(top, 1, {"transaction controllers": 2, "parts of samples": 3000})
    assert [text.split(" are left out")[0] for text in found] == [
        "2 transaction controllers",
        "3,000 parts of samples",
    ]


@pytest.mark.parametrize(
    ("attributes", "column"),
    [
        ({"t": "-1"}, "t"),
        ({"t": "fast"}, "t"),
        ({"t": "NaN"}, "t"),
        ({"t": ""}, "t"),
        ({"ts": ""}, "ts"),
        ({"ts": "9" * 18}, "ts"),
        ({"ts": "9" * 30}, "ts"),
        ({"s": "yes"}, "s"),
        ({"s": ""}, "s"),
        ({"by": "-5"}, "by"),
        ({"sby": "many"}, "sby"),
    ],
)
def test_bad_samples_are_rejected_alone(tmp_path: Path, attributes: dict[str, str], column: str) -> None:
    parsed = read_xml(tmp_path, document(sample("a"), sample("b", **attributes), sample("c")))
    assert labels(parsed) == ["a", "c"]
    assert parsed.rejects.select("line", "column").rows() == [(4, column)]
    assert ' lb="b" ' in parsed.rejects["raw"].item()


def test_a_missing_attribute_is_a_reject(tmp_path: Path) -> None:
    parsed = read_xml(tmp_path, document(sample("a").replace(' ts="', ' xs="'), sample("c")))
    assert labels(parsed) == ["c"]
    assert parsed.rejects["reason"].to_list() == ["got nothing, expected a value"]


def test_what_plugins_write_in_a_form_of_their_own_is_rejected(tmp_path: Path) -> None:
    foreign = f"<org.x.SampleResultWithSubs>\n<subs>{sample('x')}</subs>\n</org.x.SampleResultWithSubs>\n"
    parsed = read_xml(
        tmp_path, document(sample("a"), foreign, sample("all", foreign, tag="sample"), sample("b"))
    )
    assert labels(parsed) == ["a", "b"]
    assert parsed.rejects["line"].to_list() == [4, 9]
    assert parsed.rejects["raw"].to_list() == ["<org.x.SampleResultWithSubs>"] * 2
    assert parsed.left_out == {"transaction controllers": 1}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('<httpSample lb="b" t="1">&#x0;</httpSample>\n', "invalid character number"),
        ('<httpSample lb="b" t="1"></httpSimple>\n', "mismatched tag"),
        ('<httpSample lb="b" t="1>\n', "not well-formed"),
        ('<httpSample lb="b" t="1">\n<x>\n</httpSample>\n', "mismatched tag"),
        ('<httpSample lb="b" t="1">&unknown;</httpSample>\n', "undefined entity"),
        ('<httpSample lb="b" t="1">\x00</httpSample>\n', "not well-formed"),
        ('<httpSample lb="b" t="1">' + "<x>" * 200 + "\n", "nested more than 100 deep"),
    ],
)
def test_damage_costs_one_outermost_sample(tmp_path: Path, bad: str, message: str) -> None:
    for before in ([sample("a")], [sample("a"), bad.strip() + "\n"]):
        parsed = read_xml(tmp_path, document(*before, bad, sample("c", "<x>\n</x>"), sample("d", t="x")))
        assert labels(parsed) == ["a", "c"]
        assert parsed.rejects.height == len(before) + 1
        assert message in parsed.rejects["reason"][0]
        assert parsed.rejects["line"][0] == 4
        assert parsed.rejects["raw"][0].startswith('<httpSample lb="b" t="1')
        lines = (tmp_path / "a.jtl").read_text().split("\n")
        assert 'lb="d"' in lines[parsed.rejects["line"][-1] - 1]


@pytest.mark.parametrize("lost", [0, 7, 39])
@pytest.mark.parametrize("parts", [True, False])
def test_a_start_tag_without_its_name_and_its_end_costs_its_sample_alone(
    tmp_path: Path, lost: int, parts: bool
) -> None:
    samples = thread_of_samples(40) if parts else [sample(f"s{at}") for at in range(40)]
    end = "\n</httpSample>" if parts else "/>"
    assert end in samples[lost]
    samples[lost] = samples[lost].replace("<httpSample", "<httmple", 1).replace(end, "" if parts else ">")
    parsed = read_xml(tmp_path, document(*samples))
    assert sorted(labels(parsed)) == sorted(f"s{at}" for at in range(40) if at != lost)
    assert parsed.rejects["line"].to_list() == [3 + "".join(samples[:lost]).count("\n")]
    assert parsed.rejects["raw"][0].startswith("<httmple ")


def thread_of_samples(count: int) -> list[str]:
    """Samples of three threads at a time, each with a step of a redirect in it."""
    return [
        sample(
            f"s{at}",
            sample(f"s{at}-0", ts=START + 50 * at, t=30, tn=f"g {at % 3}").strip(),
            ts=START + 50 * at,
            t=100,
            tn=f"g {at % 3}",
        )
        for at in range(count)
    ]


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("tag", ["</httpSample>", '"/>'])
@pytest.mark.parametrize("lost", [0, 7, 39])
def test_a_lost_end_costs_its_sample_alone(tmp_path: Path, lost: int, tag: str, threads: bool) -> None:
    samples = thread_of_samples(40)
    samples[lost] = samples[lost].replace(tag, '">' if tag == '"/>' else "")
    log = document(*samples) if threads else document(*samples).replace(' tn="', ' xn="')
    parsed = read_xml(tmp_path, log)
    assert sorted(labels(parsed)) == sorted(f"s{at}" for at in range(40) if at != lost)
    assert parsed.rejects["line"].to_list() == [3 + 3 * lost]
    assert parsed.left_out["parts of samples"] in {39, 40}


@pytest.mark.parametrize("layout", ["pretty", "one line"])
def test_a_lost_end_costs_its_sample_alone_in_any_layout(tmp_path: Path, layout: str) -> None:
    samples = thread_of_samples(40)
    samples[5] = samples[5].replace("</httpSample>", "")
    body = "".join(samples)
    log = f"<testResults>{body.replace(chr(10), '')}</testResults>"
    if layout == "pretty":
        log = "<testResults>\n  " + body.replace("\n", "\n  ") + "\n</testResults>\n"
    parsed = read_xml(tmp_path, log)
    assert sorted(labels(parsed)) == sorted(f"s{at}" for at in range(40) if at != 5)
    assert parsed.rejects.height == 1


def test_a_lost_end_in_a_large_log_turns_no_sample_into_a_part(tmp_path: Path) -> None:
    samples = [sample(f"s{at % 9}", "<a/>", ts=START + at, t=500, tn=f"g {at % 40}") for at in range(2900)]
    samples[100] = samples[100].replace("</httpSample>", "")
    parsed = read_xml(tmp_path, document(*samples))
    assert (parsed.rows.height, parsed.rejects["line"].to_list()) == (2899, [303])
    assert not parsed.left_out


def test_invalid_utf8_costs_its_sample(tmp_path: Path) -> None:
    log = document(sample("a"), sample("b"), sample("c")).encode().replace(b'"b"', b'"\xff"')
    parsed = read_xml(tmp_path, log)
    assert labels(parsed) == ["a", "c"]
    assert parsed.rejects["line"].to_list() == [4]
    assert "\ufffd" in parsed.rejects["raw"].item()


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_cut_anywhere_gives_the_samples_before(tmp_path: Path, step: int) -> None:
    log = document(sample("a", "<java.net.URL>u</java.net.URL>"), sample("b"), sample("c"))
    whole = read_xml(tmp_path, log)
    assert whole.rejects.is_empty()
    done = log.index("</testResults>") + len("</testResults>")
    for end in range(1, len(log), step):
        parsed = read_xml(tmp_path, log[:end])
        assert_frame_equal(parsed.rows, whole.rows.head(parsed.rows.height))
        assert parsed.rows.height == log[:end].count("/httpSample>") + log[:end].count("/>")
        assert parsed.rejects.height == (end < done)
    parsed = read_xml(tmp_path, log[: log.index("</httpSample")])
    assert parsed.rejects["reason"].item() == "the XML is cut off: no element found"
    assert 'lb="a"' in parsed.rejects["raw"].item()


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_never_escapes(tmp_path: Path, times: int) -> None:
    samples = [sample(f"s{at}", sample("p") if at % 3 else "") for at in range(20)]
    data = document(*samples, sample("all", sample("last"), tag="sample", rm=SUMS)).encode()
    for changed in damaged(data, times):
        JMETER_XML.matches(head(changed))
        try:
            parsed = read_xml(tmp_path, changed or b" ")
        except LoadlensError:
            continue
        assert parsed.rows.height <= 21
        assert parsed.rows.height + parsed.rejects.height >= changed.count(b"\n<httpSample lb") // 2


def test_a_file_of_many_chunks_is_read_whole(tmp_path: Path) -> None:
    count = 30_000
    body = "<responseData>" + "x" * 100 + "\n</responseData>"
    samples = [sample(f"s{at}", body, t=at) for at in range(count)]
    samples[20_000] = samples[20_000].replace("</responseData>", "&#x0;</responseData>")
    log = document(*samples)
    (tmp_path / "a.jtl.gz").write_bytes(gzip.compress(log.encode(), 1))
    parsed = read_path(tmp_path / "a.jtl.gz")
    assert parsed.rows["invocation_latency"].to_list() == [at for at in range(count) if at != 20_000]
    assert parsed.rejects["line"].to_list() == [3 + 20_000 * 4]


@pytest.mark.slow
def test_only_a_part_of_a_file_is_held(tmp_path: Path) -> None:
    count = 24_000
    path = tmp_path / "a.jtl"
    path.write_text(document(*(sample("a", "<b>" + "x" * 900 + "</b>") for _ in range(count))))
    reader = JMETER_XML.open(read_head(path))
    assert isinstance(reader, StreamReader)
    tracemalloc.start()
    rows = sum(part.rows.height for part in reader.batches(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == count
    assert peak < 20 * 2**20 < path.stat().st_size


def test_an_endless_tag_is_damage(tmp_path: Path) -> None:
    endless = '<httpSample lb="' + "x" * 2**21
    parsed = read_xml(tmp_path, document(sample("a")).replace(END, endless + "\n" + sample("b") + END))
    assert labels(parsed) == ["a", "b"]
    assert "a tag is longer than 1,048,576 bytes" in parsed.rejects["reason"][0]


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE testResults [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE testResults [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE testResults SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
)
def test_entities_are_refused(tmp_path: Path, declared: str) -> None:
    log = f"{declared}<testResults>{sample('&a;')}</testResults>"
    assert JMETER_XML.matches(head(log))
    with pytest.raises(InputError, match="has a document type declaration"):
        read_xml(tmp_path, log)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-8-sig"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    log = document(sample("é"), sample("b")).replace("UTF-8", declared).encode(encoding)
    assert JMETER_XML.matches(head(log))
    assert labels(read_xml(tmp_path, log)) == ["é", "b"]


def test_an_encoding_lasts_beyond_damage(tmp_path: Path) -> None:
    log = document("<httpSample>\x00\n", sample("é")).replace("UTF-8", "iso-8859-1").encode("iso-8859-1")
    assert labels(read_xml(tmp_path, log)) == ["é"]


@pytest.mark.parametrize("encoding", ["zlib", "big5", "none"])
def test_an_encoding_that_cannot_be_read_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match="its encoding cannot be read"):
        read_xml(tmp_path, document(sample("a")).replace("UTF-8", encoding))


@pytest.mark.parametrize(
    "log",
    [
        "",
        "\n",
        "<",
        "<html></html>",
        "testResults",
        "<?xml version='1.0'?>",
        "<a><testResults/></a>",
        "{}",
        "\0",
    ],
)
def test_what_is_no_jmeter_xml_does_not_match(log: str) -> None:
    assert not JMETER_XML.matches(head(log))


@pytest.mark.parametrize("path", logs_of_others("jmeter"), ids=lambda path: path.name)
def test_logs_of_other_tools_do_not_match(path: Path) -> None:
    assert not JMETER_XML.matches(head(path.read_bytes()))


@pytest.mark.parametrize("path", sorted(LOGS.glob("jmeter/*.jtl")), ids=lambda path: path.stem)
def test_logs_of_jmeter_match_one_of_its_forms(path: Path) -> None:
    top = read_head(path)
    assert JMETER_XML.matches(top) == (path in SHARED_XML)
    assert JMETER_CSV.matches(top) == (path not in SHARED_XML)


def counted(element: ET.Element) -> list[ET.Element]:
    """The samples within an element that count, by Python's own reader of whole documents."""
    found = []
    for child in element:
        if child.tag == "httpSample":
            found.append(child)
        elif child.tag == "sample":
            inner = counted(child)
            is_sum = bool(inner) or child.get("rm", "").startswith("Number of samples in transaction")
            found.extend(inner if is_sum else [child])
    return found


@pytest.mark.skipif(not SHARED_XML, reason="the recorded logs are not here")
@pytest.mark.parametrize("path", SHARED_XML, ids=lambda path: path.stem)
def test_recorded_logs_agree_with_an_independent_reading(path: Path) -> None:
    parsed = read_path(path)
    root = ET.parse(path).getroot()
    expected = counted(root)
    everything = sum(element.tag in {"sample", "httpSample"} for element in root.iter())
    assert parsed.rows.height == len(expected)
    assert parsed.rows.height + sum(parsed.left_out.values()) == everything
    assert parsed.rejects.height == (3 if path.stem == PLUGIN else 0)
    assert Counter(labels(parsed)) == Counter(element.get("lb") for element in expected)
    latencies = sorted(float(element.get("t", "")) for element in expected)
    assert sorted(parsed.rows["invocation_latency"]) == latencies
    for share in (0.5, 0.9, 0.99) if expected else ():
        got = parsed.rows["invocation_latency"].quantile(share, "linear")
        assert got == pytest.approx(np.quantile(latencies, share))
    assert parsed.rows["success"].sum() == sum(element.get("s") == "true" for element in expected)
    starts = sorted(int(element.get("ts", "")) / 1000 for element in expected)
    assert sorted(parsed.rows["start_time"]) == starts


def test_the_dialect_says_what_it_is() -> None:
    assert dict(JMETER_XML.open(head(document())).meaning)["t"] == "latency, ms"
    assert (JMETER_XML.key, JMETER_XML.clock, JMETER_XML.closed_loop) == (("label",), "epoch", True)
