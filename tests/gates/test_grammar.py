from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.errors import GateError
from loadlens.gates import Gate, parse_gate, parse_gates, read_gates

LATENCY_UNIT = "a unit of time: ms, s or us"
METRICS = (
    "p99 or another percentile, mean, median, min, max, error_rate, throughput, count, share(<300ms), "
    "apdex(500ms) or 99% <"
)


def parts(gate: Gate) -> tuple[object, ...]:
    return gate.metric, gate.operator, gate.bound, gate.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99 < 300ms", ("percentile", "<", 300.0, "ms")),
        ("p99<0.3s", ("percentile", "<", 300.0, "s")),
        ("  p50\t<=\n250 us ", ("percentile", "<=", 0.25, "us")),
        ("p50 <= 250µs", ("percentile", "<=", 0.25, "µs")),
        ("mean > .5s", ("mean", ">", 500.0, "s")),
        ("median >= 0ms", ("median", ">=", 0.0, "ms")),
        ("min < 1ms", ("min", "<", 1.0, "ms")),
        ("max < 5 s", ("max", "<", 5000.0, "s")),
        ("error_rate < 1%", ("error_rate", "<", 0.01, "%")),
        ("error_rate <= 0.07", ("error_rate", "<=", 0.07, "")),
        ("throughput >= 50/s", ("throughput", ">=", 50.0, "/s")),
        ("throughput >= 50", ("throughput", ">=", 50.0, "")),
        ("count >= 1000", ("count", ">=", 1000.0, "")),
        ("99% < 300ms", ("attainment", ">=", 0.99, "%")),
        ("99.9 % <= 300ms", ("attainment", ">=", 0.999, "%")),
        ("share(<300ms) >= 99%", ("attainment", ">=", 0.99, "%")),
        ("share ( <= 0.3 s ) > 0.5", ("attainment", ">", 0.5, "")),
    ],
)
def test_metric_operator_and_bound(text: str, expected: tuple[object, ...]) -> None:
    assert parts(parse_gate(text)) == expected


@pytest.mark.parametrize(
    ("name", "quantile"), [("p50", 0.5), ("p05", 0.05), ("p5", 0.05), ("p99.9", 0.999), ("p99.999", 0.99999)]
)
def test_percentiles(name: str, quantile: float) -> None:
    assert parse_gate(f"{name} < 1s").quantile == quantile


@pytest.mark.parametrize("text", ["99% {} 300ms", "share({}300ms) >= 99%"])
def test_a_limit_that_may_be_reached_is_the_next_number_that_must_not(text: str) -> None:
    assert parse_gate(text.format("<")).below_ms == 300.0
    assert parse_gate(text.format("<=")).below_ms == np.nextafter(300.0, np.inf)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("for memory_size=2048", [("memory_size", "2048")]),
        ("for memory_size = 2048, label = pay", [("memory_size", "2048"), ("label", "pay")]),
        ('for label="GET /a, b"', [("label", "GET /a, b")]),
        ("for 'my key'='it'", [("my key", "it")]),
        ("for label=GET:/a?b=c", [("label", "GET:/a?b=c")]),
        ("for label=null", [("label", None)]),
        ("for label='null'", [("label", "null")]),
        ("for label=''", [("label", "")]),
    ],
)
def test_scope(text: str, scope: list[tuple[str, str | None]]) -> None:
    found = parse_gate(f"p95 < 1s {text} filtered")
    assert [(part.column, part.value) for part in found.scope] == scope
    assert found.filtered


@pytest.mark.parametrize(
    ("width", "seconds"), [("60s", 60), ("1500 ms", 1.5), ("5min", 300), ("1h", 3600), ("1s", 1)]
)
def test_windows(width: str, seconds: float) -> None:
    gate = parse_gate(f"p99 < 1s within {width} of every window for a=b")
    assert gate.window_s == seconds
    assert gate.scope[0].value == "b"
    assert parse_gate("p99 < 1s").window_s is None


@pytest.mark.parametrize(
    ("text", "at", "got", "expected"),
    [
        ("", 1, "nothing", METRICS),
        ("p99", 4, "nothing", "<, <=, > or >="),
        ("p99 << 300ms", 5, "'<<'", "<, <=, > or >="),
        ("p99 == 300ms", 5, "'=='", "<, <=, > or >="),
        ("p99 < ", 6, "nothing", "a number, 0 or more"),
        ("p99 < -5ms", 7, "'-5ms'", "a number, 0 or more"),
        ("p99 < 300", 10, "nothing", LATENCY_UNIT),
        ("p99 < 300%", 10, "'%'", LATENCY_UNIT),
        ("p99 < 300 for a=b", 11, "'for'", LATENCY_UNIT),
        ("p99 < 1e3ms", 8, "'e3ms'", LATENCY_UNIT),
        ("p99 < 1000000000000000ms", 7, "'1000000000000000ms'", "a number below 1e15"),
        ("p100 < 3s", 1, "'p100'", "a percentile above p0 and below p100, p99.9 with a point"),
        ("p999 < 3s", 1, "'p999'", "a percentile above p0 and below p100, p99.9 with a point"),
        ("p0 < 3s", 1, "'p0'", "a percentile above p0 and below p100, p99.9 with a point"),
        ("p99.1234567 < 3s", 1, "'p99.1234567'", METRICS),
        ("p < 3s", 1, "'p'", METRICS),
        ("avg < 3s", 1, "'avg'", METRICS),
        ("error_rate < 300ms", 17, "'ms'", "% or no unit"),
        ("error_rate < 101%", 14, "'101%'", "a share, from 0% to 100% or from 0 to 1"),
        ("error_rate < 1.5", 14, "'1.5'", "a share, from 0% to 100% or from 0 to 1"),
        ("error_rate < 1 percent", 16, "'percent'", "for, within, filtered or the end"),
        ("error_rate < 1% filtered", 17, "'filtered'", "no 'filtered': no fence removes a failure"),
        ("throughput >= 5/min", 16, "'/min'", "/s or no unit"),
        ("count >= 5ms", 11, "'ms'", "no unit"),
        ("99 < 300ms", 4, "'<'", "%"),
        ("99% > 300ms", 5, "'>'", "< or <="),
        ("99% < 300", 10, "nothing", LATENCY_UNIT),
        ("share <300ms) >= 9%", 7, "'<'", "'('"),
        ("share(>300ms) >= 9%", 7, "'>'", "< or <="),
        ("share(<300ms >= 9%", 14, "'>='", "')'"),
        ("share(<300ms) >= 300ms", 21, "'ms'", "% or no unit"),
        ("p99 < 3s fir a=b", 10, "'fir'", "for, within, filtered or the end"),
        ("p99 < 3s; p95 < 1s", 9, "';'", "for, within, filtered or the end"),
        ("p99 < 3s filtered filtered", 19, "'filtered'", "for, within or the end"),
        ("p99 < 3s for", 13, "nothing", "a key column"),
        ("p99 < 3s for a", 15, "nothing", "'='"),
        ("p99 < 3s for a=", 16, "nothing", "a value"),
        ("p99 < 3s for a=b,", 18, "nothing", "a key column"),
        ("p99 < 3s for a=b, a=c", 19, "'a'", "another column: this one is named already"),
        ("p99 < 3s for a='b", 16, '"\'"', "a closing ' after it"),
        ("p99 < 3s within 60 of", 20, "'of'", "a unit of time: s, min or h"),
        ("p99 < 3s within 10ms of every window", 17, "'10ms'", "a width of 1s or more"),
        ("p99 < 3s within 60s", 20, "nothing", "'of', as in 60s of every window"),
        ("p99 < 3s within 60s of all", 24, "'all'", "'every', as in 60s of every window"),
        ("p99 < 3s within 60s of every windows", 30, "'windows'", "'window', as in 60s of every window"),
        ("p99 < 3s for a=b filtered within 9s of every window x", 53, "'x'", "the end"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, at: int, got: str, expected: str) -> None:
    with pytest.raises(GateError) as caught:
        parse_gate(text, source="slo.toml, gate 2")
    (problem,), (excerpt,) = caught.value.problems, caught.value.excerpts
    *start, found = problem.removesuffix(f", expected {expected}").partition(": got ")
    assert problem.endswith(f", expected {expected}")
    assert (start[0], found) == (f"slo.toml, gate 2, character {at}", got)
    assert excerpt == f"{text.strip()}\n{' ' * (at - 1)}^"
    assert str(caught.value) == f"{problem}\n{excerpt}"


def test_the_caret_stands_under_the_mistake_behind_wide_and_control_characters() -> None:
    with pytest.raises(GateError) as caught:
        parse_gate("p9 < 3s for label='支\x1b' nonsense")
    shown, caret = caught.value.excerpts[0].split("\n")
    assert shown == "p9 < 3s for label='支�' nonsense"
    assert caret.index("^") == shown.index("nonsense") + 1


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(GateError) as caught:
        parse_gates(["p99 > 1", "p99 > 1s", "what"])
    assert [problem.split(",")[0] for problem in caught.value.problems] == ["gate 'p99 > 1'", "gate 'what'"]
    assert len(caught.value.excerpts) == 2
    assert caught.value.exit_code == 2


def test_text_in_another_encoding_is_refused() -> None:
    with pytest.raises(GateError, match="is not UTF-8 text"):
        parse_gate("p99 < 1s for label=\udcff")


@given(
    st.text(max_size=30)
    | st.from_regex(r"(p9|mean|count) ?[<>]=? ?[0-9. ]{1,4}(ms|s|%)? ?(for a=b)?", fullmatch=True)
)
def test_any_text_is_a_gate_or_a_gate_error(text: str) -> None:
    with suppress(GateError):
        assert parse_gate(text).text == text.strip()


@pytest.mark.parametrize(
    ("gate", "value", "shown"),
    [
        ("p99 < 300ms", 287.412, "287.4 ms"),
        ("p99 < 300ms", 300.004, "300.004 ms"),
        ("p99 < 300ms", 299.99999, "299.99999 ms"),
        ("p99 < 300ms", np.nextafter(300.0, 0), "299.99999999999994 ms"),
        ("p99 < 300ms", 300.0, "300 ms"),
        ("p99 < 0.3s", 287.412, "0.2874 s"),
        ("p99 < 10us", 0.25, "250 us"),
        ("p99 < 300ms", 1234567.0, "1235000 ms"),
        ("error_rate < 1%", 0.25, "25%"),
        ("error_rate < 1%", 0.0099999, "0.99999%"),
        ("error_rate < 0.07", 0.07, "0.07"),
        ("99% < 1s", 0.98999, "98.999%"),
        ("99% < 1s", 1.0, "100%"),
        ("throughput >= 50/s", 49.99999, "49.99999/s"),
        ("count >= 5", 1234567.0, "1,234,567"),
        ("count >= 5", None, "–"),
    ],
)
def test_a_value_is_shown_on_its_side_of_the_bound(gate: str, value: float | None, shown: str) -> None:
    assert parse_gate(gate).shown(value) == shown


def test_no_value_holds_nothing() -> None:
    assert not parse_gate("p99 < 1s").allows(None)
    assert not parse_gate("p99 > 1s").allows(None)


def write(folder: Path, text: str) -> Path:
    path = folder / "slo.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_holds_gates(tmp_path: Path) -> None:
    path = write(
        tmp_path, '[[gate]]\nname = "tail\\n latency"\nslo = "p99 < 1s"\n[[gate]]\nslo = "count > 5"\n'
    )
    first, second = read_gates(path)
    assert (first.name, first.title, first.text) == ("tail latency", "tail latency", "p99 < 1s")
    assert (second.name, second.title) == ("", "count > 5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate =", "slo.toml: is not TOML: "),
        ("", "slo.toml: has nothing, expected one or more tables [[gate]]"),
        ('[gate]\nslo = "p99 < 1s"', "slo.toml: has gate, expected one or more tables [[gate]]"),
        ("gate = []", "slo.toml: has gate, expected one or more tables [[gate]]"),
        ('by = "x"\n[[gate]]\nslo = "p99 < 1s"', "slo.toml: has by, gate, expected one or more tables"),
        ("gate = [3]", 'slo.toml, gate 1: is 3, expected slo = "p99 < 300ms"'),
        ('[[gate]]\nname = "x"', 'slo.toml, gate 1: has name, expected slo = "p99 < 300ms"'),
        (
            '[[gate]]\nslo = "p99 < 1s"\nlevel = 3',
            'slo.toml, gate 1: has level, expected slo = "p99 < 300ms"',
        ),
        ("[[gate]]\nslo = 3", 'slo.toml, gate 1: has slo, expected slo = "p99 < 300ms"'),
        ('[[gate]]\nslo = "p99 > 1s"\n[[gate]]\nslo = "p99"', "slo.toml, gate 2, character 4: got nothing"),
        ('[[gate]]\nslo = "p9<1s"\nname = "x"\n[[gate]]\nslo = "p9<1s"\nname = "x"', "x names several gates"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GateError) as caught:
        read_gates(write(tmp_path, text))
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="cannot be read: No such file"):
        read_gates(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b'[[gate]]\nslo = "\xff"')
    with pytest.raises(GateError, match="is not TOML"):
        read_gates(tmp_path / "latin.toml")
