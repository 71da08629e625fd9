"""Judged gates as a section of a report."""

from typing import Final

import polars as pl

from loadlens.gates import GateCheck
from loadlens.gates.output import detail, gate_text, summary_line, worst_of
from loadlens.report.columns import key_text
from loadlens.report.model import Callout, Card, Section, Table

__all__ = ["gates_card", "gates_section"]

_MOST_ROWS: Final = 60
_OWN_COLUMNS: Final = ("Verdict", "Gate", "Value", "Calls", "Detail")


def gates_card(check: GateCheck) -> Card:
    """How many gates hold."""
    total = len(check.gates)
    failed = sum(not all(verdict.holds for verdict in check.of(gate)) for gate in check.gates)
    value = f"{failed:,} of {total:,} failed" if failed else f"{total:,} of {total:,} hold"
    return Card(label="Gates", value=value, detail="each judged for every configuration in its scope")


def gates_section(check: GateCheck) -> Section:
    """A row for each gate where it was judged several times, then one for each verdict, failures first."""
    return Section(
        title="Gates",
        anchor="gates",
        lead=(
            "What the run has to keep to. Gates are judged on every successful call, before outliers are "
            "removed, unless they say filtered."
        ),
        blocks=(
            Callout(text=f"{summary_line(check)}.", kind="result" if check.holds else "failure"),
            *([_by_gate(check)] if len(check.verdicts) > len(check.gates) else []),
            _table(check),
        ),
    )


def _by_gate(check: GateCheck) -> Table:
    judged = [check.of(gate) for gate in check.gates]
    failed = [[verdict for verdict in verdicts if not verdict.holds] for verdicts in judged]
    worst = [
        worst_of(gate, fails or verdicts)
        for gate, fails, verdicts in zip(check.gates, failed, judged, strict=True)
    ]
    columns = {
        "Verdict": ["FAILED" if fails else "holds" for fails in failed],
        "Gate": [gate_text(gate) for gate in check.gates],
        "Configurations": [len(verdicts) for verdicts in judged],
        "Failed": [len(fails) for fails in failed],
        "Worst value": [verdict.gate.shown(verdict.value) for verdict in worst],
        "Worst configuration": [key_text(check.by, tuple(verdict.key.values())) for verdict in worst],
    }
    return Table(caption="Gates", frame=pl.DataFrame(columns), num_keys=1, figures=("Worst value",))


def _table(check: GateCheck) -> Table:
    verdicts = sorted(check.verdicts, key=lambda verdict: verdict.holds)
    shown = verdicts[:_MOST_ROWS]
    details: list[object] = [detail(verdict) for verdict in shown]
    columns: dict[str, list[object]] = {
        "Verdict": ["holds" if verdict.holds else "FAILED" for verdict in shown],
        "Gate": [gate_text(verdict.gate) for verdict in shown],
        **{_apart(name): [verdict.key[name] for verdict in shown] for name in check.by},
        "Value": [verdict.gate.shown(verdict.value) for verdict in shown],
        "Calls": [verdict.calls for verdict in shown],
        **({"Detail": details} if any(details) else {}),
    }
    rest = f"The first {len(shown):,} of {len(verdicts):,} rows; summary.json has them all."
    return Table(
        caption="Verdicts by configuration" if check.by else "Verdicts",
        frame=pl.DataFrame(columns, strict=False),
        num_keys=1,
        figures=("Value",),
        note=rest if len(verdicts) > len(shown) else "",
    )


def _apart(key: str) -> str:
    """The name of a key column, told from the columns of verdicts."""
    return f"{key} (key)" if key in _OWN_COLUMNS else key
