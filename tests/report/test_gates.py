import polars as pl
import pytest

from loadlens.gates import GateCheck, check_gates
from loadlens.report import Callout, Report, Table
from loadlens.report.sections import gates_card, gates_section
from tests.report.pages import HOSTILE, page_of, tables_of


def checked(*gates: str, by: str = "label") -> GateCheck:
    rows = {"invocation_latency": [100.0, 200.0, 400.0], by: ["a", "a", "b"]}
    times = {"start_time": [0.0, 1.0, 2.0], "end_time": [0.5, 1.5, 2.5]}
    return check_gates(pl.DataFrame({**rows, **times}), gates, [by])


def report(check: GateCheck) -> Report:
    return Report(title="Title", subtitle="log.csv", sections=(gates_section(check),))


def callout(check: GateCheck) -> Callout:
    (found,) = [block for block in gates_section(check).blocks if isinstance(block, Callout)]
    return found


def table(check: GateCheck) -> Table:
    """The table of all verdicts, the last one."""
    return tables_of(report(check))[-1]


def test_a_row_for_each_gate_and_configuration_the_failed_ones_first() -> None:
    found = table(checked("count >= 1", "max < 300ms"))
    assert found.frame.columns == ["Verdict", "Gate", "label", "Value", "Calls"]
    assert found.frame.rows() == [
        ("FAILED", "max < 300ms", "b", "400 ms", 1),
        ("holds", "count >= 1", "a", "2", 2),
        ("holds", "count >= 1", "b", "1", 1),
        ("holds", "max < 300ms", "a", "200 ms", 2),
    ]


def test_a_row_for_each_gate_with_its_worst_configuration() -> None:
    found, _ = tables_of(report(checked("count >= 1", "max < 300ms", "min > 1s")))
    assert found.frame.rows() == [
        ("holds", "count >= 1", 2, 0, "1", "b"),
        ("FAILED", "max < 300ms", 2, 1, "400 ms", "b"),
        ("FAILED", "min > 1s", 2, 2, "0.1 s", "a"),
    ]


def test_one_table_is_enough_for_one_configuration() -> None:
    assert len(tables_of(report(checked("max < 1s for label=a", "p50 < 1s for label=b")))) == 1


def test_details_have_a_column_where_there_are_any() -> None:
    found = table(checked("p50 < 1s within 1s of every window"))
    assert found.frame["Detail"][0] == "0 of 2 windows of 1 s fail, the worst 1 s into the run"


@pytest.mark.parametrize(
    ("gates", "text", "kind", "card"),
    [
        (["max < 1s"], "The gate holds.", "result", "1 of 1 hold"),
        (["max < 1s", "max < 300ms"], "1 of 2 gates failed.", "failure", "1 of 2 failed"),
    ],
)
def test_the_outcome(gates: list[str], text: str, kind: str, card: str) -> None:
    check = checked(*gates)
    assert (callout(check).text, callout(check).kind) == (text, kind)
    assert gates_card(check).value == card
    assert kind in {tag["class"].split()[-1] for tag in page_of(report(check)).named("p") if tag.get("class")}  # type: ignore[union-attr]


def test_a_key_may_be_called_as_a_column_of_verdicts_is() -> None:
    found = table(checked("max < 1s", by="Gate"))
    assert found.frame.columns == ["Verdict", "Gate", "Gate (key)", "Value", "Calls"]
    assert found.frame["Gate (key)"].to_list() == ["a", "b"]


def test_hostile_text_is_inert_and_shown() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0], "label": [HOSTILE]})
    check = check_gates(log, ["max < 1s"], ["label"])
    page = page_of(report(check))
    assert page.named("img") == []
    assert HOSTILE in page.cells


def test_rows_that_are_left_out_are_told() -> None:
    log = pl.DataFrame({"invocation_latency": [1.0] * 300, "label": list(range(300))})
    found = table(check_gates(log, ["max < 1s"], ["label"]))
    assert found.frame.height == 60
    assert found.note == "The first 60 of 300 rows; summary.json has them all."
