"""Judged gates as a section of a report."""

from typing import Final

import polars as pl

from loadlens.gates import GateCheck
from loadlens.gates.output import detail, gate_text, summary_line
from loadlens.report.model import Callout, Card, Section, Table

__all__ = ["gates_card", "gates_section"]

_MOST_ROWS: Final = 200
_OWN_COLUMNS: Final = ("Verdict", "Gate", "Value", "Calls", "Detail")


def gates_card(check: GateCheck) -> Card:
    """How many gates hold."""
    total = len(check.gates)
    failed = sum(not all(verdict.holds for verdict in check.of(gate)) for gate in check.gates)
    value = f"{failed:,} of {total:,} failed" if failed else f"{total:,} of {total:,} hold"
    return Card(label="Gates", value=value, detail="each judged for every configuration in its scope")


def gates_section(check: GateCheck) -> Section:
    """A row for each gate and configuration, those that failed first."""
    return Section(
        title="Gates",
        anchor="gates",
        lead=(
            "What the run has to keep to. Gates are judged on every successful call, before outliers are "
            "removed, unless they say filtered."
        ),
        blocks=(
            Callout(text=f"{summary_line(check)}.", kind="result" if check.holds else "failure"),
            _table(check),
        ),
    )


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
        caption="Verdicts of the gates",
        frame=pl.DataFrame(columns, strict=False),
        num_keys=1,
        note=rest if len(verdicts) > len(shown) else "",
    )


def _apart(key: str) -> str:
    """The name of a key column, told from the columns of verdicts."""
    return f"{key} (key)" if key in _OWN_COLUMNS else key
