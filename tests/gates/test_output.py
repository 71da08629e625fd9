import json
import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from loadlens.gates import GateCheck, check_document, check_gates, junit_xml, markdown_text, read_gates
from loadlens.gates.verdict_files import failures, key_text, summary_line

NASTY = 'a|b <img> *x* `y` @team \x1b[31m\ufffe\x00 &amp; "q"\n#1'

# The rules of the JUnit schema that Ant's reporters, Jenkins and its followers share: for each element, which
# attributes it must have and may have, and which elements may be in it, in order, with how often they may be.
TOKEN, NUMBER = r"\S+( \S+)*", r"\d+"
SCHEMA: dict[str, tuple[dict[str, str], list[tuple[str, int, float]]]] = {
    "testsuites": ({}, [("testsuite", 0, float("inf"))]),
    "testsuite": (
        {
            "name": TOKEN,
            "package": TOKEN,
            "id": NUMBER,
            "hostname": TOKEN,
            "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
            **dict.fromkeys(("tests", "failures", "errors", "skipped"), NUMBER),
            "time": r"\d+(\.\d+)?",
        },
        [("properties", 1, 1), ("testcase", 0, float("inf")), ("system-out", 1, 1), ("system-err", 1, 1)],
    ),
    "properties": ({}, [("property", 0, float("inf"))]),
    "property": ({"name": TOKEN, "value": r"(?s).*"}, []),
    "testcase": ({"name": TOKEN, "classname": TOKEN, "time": r"\d+(\.\d+)?"}, [("failure", 0, 1)]),
    "failure": ({"message": r"(?s).*", "type": r".+"}, []),
    "system-out": ({}, []),
    "system-err": ({}, []),
}
WITH_TEXT = {"failure", "system-out", "system-err"}


def assert_valid(element: ET.Element) -> None:
    attributes, children = SCHEMA[element.tag]
    assert set(element.attrib) == set(attributes)
    for name, pattern in attributes.items():
        assert re.fullmatch(pattern, element.attrib[name]), (element.tag, name, element.attrib[name])
    names = [child.tag for child in element]
    order = [name for name, _, _ in children]
    assert names == sorted(names, key=order.index)
    for name, fewest, most in children:
        assert fewest <= names.count(name) <= most, (element.tag, name)
    assert element.tag in WITH_TEXT or not (element.text or "").strip()
    for child in element:
        assert_valid(child)


@pytest.fixture
def check() -> GateCheck:
    log = pl.DataFrame(
        {
            "invocation_latency": [100.0, 200.0, 400.0, -1.0, 50.0],
            "start_time": [0.0] * 5,
            "end_time": [1.0, 2.0, 3.0, 4.0, 5.0],
            "label": ["pay", "pay", NASTY, NASTY, None],
        }
    )
    return check_gates(
        log, ["max < 300ms", "error_rate < 60%", "throughput > 9/s within 9s of every window for label=pay"]
    )


def test_a_line_for_each_gate_that_failed(check: GateCheck) -> None:
    assert summary_line(check) == "2 of 3 gates failed"
    first, second = failures(check)
    assert first == f"gate failed: max < 300ms: got 400 ms for label={NASTY} (1 of 3 configurations fail)"
    assert second == (
        "gate failed: throughput > 9/s within 9s of every window for label=pay: got no value for label=pay; "
        "no window of 9 s lies wholly in the run"
    )


def test_nothing_to_say_where_all_hold() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0]})
    one, two = check_gates(log, ["p9 < 1s"]), check_gates(log, ["p9 < 1s", "count > 0"])
    assert (failures(one), summary_line(one)) == ([], "The gate holds")
    assert (failures(two), summary_line(two)) == ([], "All 2 gates hold")


def test_the_worst_configuration_is_named() -> None:
    log = pl.DataFrame({"invocation_latency": [5.0, 9.0, 7.0], "label": ["a", "b", "c"]})
    (upper,) = failures(check_gates(log, ["max < 1ms"]))
    (lower,) = failures(check_gates(log, ["max > 1s"]))
    assert upper.endswith("got 9 ms for label=b (3 of 3 configurations fail)")
    assert lower.endswith("got 0.005 s for label=a (3 of 3 configurations fail)")


def test_json_has_every_figure(check: GateCheck) -> None:
    document = check_document(check, ["a.csv"])
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["holds"], document["by"], document["inputs"]) == (False, ["label"], ["a.csv"])
    latency, _, rate = document["gates"]
    assert (latency["metric"], latency["unit"], latency["bound"], latency["holds"]) == (
        "max",
        "ms",
        300.0,
        False,
    )
    assert {result["key"]["label"]: result["value"] for result in latency["results"]} == {
        "pay": 200.0,
        NASTY: 400.0,
        None: 50.0,
    }
    assert rate["results"][0]["windows"] == {
        "width_s": 9.0,
        "judged": 0,
        "failed": 0,
        "worst_start_s": None,
        "worst_after_s": None,
    }


def test_keys_that_json_does_not_know_are_text() -> None:
    log = pl.DataFrame(
        {
            "invocation_latency": [1.0, 2.0],
            "day": [datetime(2026, 1, 2, tzinfo=UTC).date()] * 2,
            "x": [float("inf")] * 2,
        }
    )
    document = check_document(check_gates(log, ["p9 < 1s"], by=["day", "x"]), [])
    assert document["gates"][0]["results"][0]["key"] == {"day": "2026-01-02", "x": "inf"}
    json.dumps(document, allow_nan=False)


def test_junit_keeps_to_the_schema(check: GateCheck) -> None:
    text = junit_xml(check, ["a\x1b.csv"])
    root = ET.fromstring(text)
    assert_valid(root)
    (suite,) = root
    cases = suite.findall("testcase")
    assert suite.attrib["tests"] == str(len(cases)) == "7"
    assert suite.attrib["failures"] == str(len(root.findall(".//failure"))) == "2"
    failure = next(case for case in cases if case.find("failure") is not None).find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "got 400 ms, expected max < 300ms"


@pytest.mark.parametrize("slo", ["p99 < 1s", "p99 < 1s within 1s of every window"])
@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (datetime(2026, 3, 1, 14, 5, 6, 700, tzinfo=UTC).timestamp(), "2026-03-01T14:05:06"),
        (-0.5, "1969-12-31T23:59:59"),
    ],
)
def test_junit_has_the_time_of_the_load_test(slo: str, start: float, expected: str) -> None:
    times = {"start_time": [start + 1, start], "end_time": [start + 2.5, start + 1.25]}
    log = pl.DataFrame({"invocation_latency": [1.5, 1.25], **times})
    (suite,) = ET.fromstring(junit_xml(check_gates(log, [slo]), []))
    assert (suite.attrib["timestamp"], suite.attrib["time"]) == (expected, "2.500")


def test_junit_of_a_log_without_times_keeps_to_the_schema() -> None:
    root = ET.fromstring(junit_xml(check_gates(pl.DataFrame({"invocation_latency": [1.0]}), ["p9 < 1s"]), []))
    assert_valid(root)
    assert root[0].attrib["timestamp"] == "1970-01-01T00:00:00"


def test_junit_names_each_case_once_and_by_the_name_of_its_gate(tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text(
        '[[gate]]\nname = "Tail"\nslo = "p99 < 1s"\n[[gate]]\nslo = "p50 < 1s"\n', encoding="utf-8"
    )
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "b"]})
    root = ET.fromstring(junit_xml(check_gates(log, read_gates(path)), []))
    assert [case.attrib["name"] for case in root.iter("testcase")] == [
        "Tail [label=a]",
        "Tail [label=b]",
        "p50 < 1s [label=a]",
        "p50 < 1s [label=b]",
    ]


def test_rejected_rows_are_told(check: GateCheck) -> None:
    assert markdown_text(check, rejected=1234).endswith("\n\nRejected rows, not judged: 1,234\n")
    assert "ejected" not in markdown_text(check)
    root = ET.fromstring(junit_xml(check, [], rejected=3))
    assert_valid(root)
    properties = {found.attrib["name"]: found.attrib["value"] for found in root.iter("property")}
    assert properties["rejected_rows"] == "3"


def test_markdown_shows_labels_as_they_are_and_failures_first(check: GateCheck) -> None:
    lines = markdown_text(check).splitlines()
    assert lines[0] == "### 2 of 3 gates failed"
    rows = lines[4:]
    assert [row.startswith("| ❌ failed |") for row in rows] == [True, True, *[False] * 5]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in lines[2:])
    assert r"label=a\|b &lt;img&gt; \*x\* \`y\` &#64;team �\[31m" in rows[0]
    assert "got" not in rows[0]


def test_a_missing_key_is_told_from_the_text_null() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0, 3.0], "zone": [None, "null", "a"]})
    check = check_gates(log, ["max < 2.5ms"], by=["zone"])
    keys = {key_text(verdict.key) for verdict in check.verdicts}
    assert keys == {"zone='null'", "zone=a", "zone=null"}
    suite = ET.fromstring(junit_xml(check, []))[0]
    assert len({case.get("name") for case in suite.iter("testcase")}) == 3


def test_names_of_cases_differ_after_white_space_is_folded() -> None:
    zones = ["a b", "a  b", "a\tb", " a b", "a\nb", "a b (2)", "a\x00b", "a\x01b"]
    log = pl.DataFrame({"invocation_latency": [1.0] * len(zones), "zone": zones})
    suite = ET.fromstring(junit_xml(check_gates(log, ["max < 2.5ms"], by=["zone"]), []))[0]
    names = [" ".join((case.get("name") or "").split()) for case in suite.iter("testcase")]
    assert len(set(names)) == len(zones)
    assert "max < 2.5ms [zone=a b]" in names
