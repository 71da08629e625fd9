"""Judged gates as JSON, JUnit XML and Markdown, and as files that appear whole or not at all."""

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from loadlens.gates.evaluate import GateCheck, Verdict
from loadlens.gates.grammar import Gate
from loadlens.messages import as_markdown, counted, json_text
from loadlens.publish.junit import Case, junit_document
from loadlens.publish.publishing import write_text
from loadlens.publish.saving import write_csv
from loadlens.storage.secrets import shown

__all__ = [
    "check_document",
    "detail",
    "failures",
    "gate_text",
    "junit_xml",
    "key_text",
    "markdown_text",
    "summary_line",
    "verdict_table",
    "worst_of",
    "write_verdicts",
]

_FIGURE_TYPES: Final = {
    **dict.fromkeys(("value", "low", "high", "worst_start_s"), pl.Float64()),
    **dict.fromkeys(("calls", "judged_windows", "failed_windows"), pl.Int64()),
    "reason": pl.String(),
}
_MOST_MARKDOWN_ROWS: Final = 1000


def key_text(key: Mapping[str, object]) -> str:
    """A configuration as messages name it."""
    return ", ".join(f"{name}={_value_text(value)}" for name, value in key.items())


def _value_text(value: object) -> str:
    """A value of a key, a missing one told from the text ``null`` as in the condition of a gate."""
    return "null" if value is None else "'null'" if value == "null" else str(value)


def gate_text(gate: Gate) -> str:
    """A gate with its name, if it has one."""
    return f"{gate.name}: {gate.text}" if gate.name else gate.text


def detail(verdict: Verdict) -> str:
    """What a reader has to know beside the value: windows that failed, and why there is no value."""
    parts = []
    windows = verdict.windows
    if windows is not None and windows.judged:
        start = ""
        if windows.worst_after_s is not None:
            after_s = f"{max(windows.worst_after_s, 0.0):,.1f}".removesuffix(".0")
            start = f", the worst {after_s} s into the run"
        elif windows.worst_start_s is not None:
            start = f", the worst from {windows.worst_start_s:.15g} s on the log's clock"
        parts.append(
            f"{windows.failed:,} of {counted(windows.judged, 'window')} of {windows.width_s:g} s fail{start}"
        )
    if verdict.reason:
        parts.append(verdict.reason)
    return "; ".join(parts)


def summary_line(check: GateCheck) -> str:
    """How many gates hold, in one sentence."""
    failed = sum(not _holds(check, gate) for gate in check.gates)
    total = len(check.gates)
    if failed:
        return f"{failed:,} of {counted(total, 'gate')} failed"
    return "The gate holds" if total == 1 else f"All {total:,} gates hold"


def failures(check: GateCheck) -> list[str]:
    """One line for each gate that does not hold: how many configurations fail, and the worst of them."""
    lines = []
    for gate in check.gates:
        failed = [verdict for verdict in check.of(gate) if not verdict.holds]
        if failed:
            lines.append(_failure(gate, failed, len(check.of(gate))))
    return lines


def _failure(gate: Gate, failed: Sequence[Verdict], total: int) -> str:
    worst = worst_of(gate, failed)
    where = f" for {key_text(worst.key)}" if worst.key else ""
    more = f"; {detail(worst)}" if detail(worst) else ""
    count = f" ({len(failed):,} of {total:,} configurations fail)" if total > 1 else ""
    return f"gate failed: {gate_text(gate)}: got {_got(worst)}{where}{more}{count}"


def worst_of(gate: Gate, verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict whose figure is the farthest on the wrong side; the first where none has a figure."""
    valued = [verdict for verdict in verdicts if verdict.value is not None]
    sign = -1 if gate.is_upper else 1
    return min(valued, key=lambda verdict: sign * (verdict.value or 0.0), default=verdicts[0])


def _got(verdict: Verdict) -> str:
    return "no value" if verdict.value is None else verdict.gate.shown(verdict.value)


def _holds(check: GateCheck, gate: Gate) -> bool:
    return all(verdict.holds for verdict in check.of(gate))


def check_document(check: GateCheck, inputs: Iterable[str]) -> dict[str, Any]:
    """The content of the JSON output: figures in ms, shares from 0 to 1, completions per s, or calls."""
    return {
        "loadlens_version": version("loadlens"),
        "inputs": [shown(item) for item in inputs],
        "by": list(check.by),
        "outliers": check.outliers,
        "relative_error": check.relative_error,
        "resolution_s": check.resolution_s,
        "holds": check.holds,
        "gates": [_gate_document(check, gate) for gate in check.gates],
    }


def _gate_document(check: GateCheck, gate: Gate) -> dict[str, Any]:
    return {
        "name": gate.name or None,
        "slo": gate.text,
        "metric": gate.metric,
        "quantile": gate.quantile,
        "operator": gate.operator,
        "bound": gate.bound,
        "unit": gate.canonical_unit,
        "filtered": gate.filtered,
        "window_s": gate.window_s,
        "overall": gate.overall,
        "holds": _holds(check, gate),
        "results": [_verdict_document(verdict) for verdict in check.of(gate)],
    }


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "key": {name: _json_cell(value) for name, value in verdict.key.items()},
        "value": verdict.value,
        "low": _finite(verdict.low),
        "high": _finite(verdict.high),
        "calls": verdict.calls,
        "holds": verdict.holds,
        "reason": verdict.reason or None,
        "windows": None if verdict.windows is None else vars(verdict.windows),
    }


def _finite(value: float | None) -> float | None:
    """A number that JSON can say: one without a bound is none."""
    return None if value is None or not math.isfinite(value) else value


def _json_cell(value: object) -> object:
    """A key as JSON can say it, dates and the like as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def junit_xml(check: GateCheck, inputs: Iterable[str], *, rejected: int = 0) -> str:
    """Judged gates as a JUnit report: a test case for each gate and configuration.

    Args:
        check: the judged gates.
        inputs: the logs as they were named.
        rejected: how many rows of the logs were rejected and so not judged.
    """
    facts = {"inputs": ", ".join(map(shown, inputs)), "rejected_rows": str(rejected)}
    cases = [_case(verdict) for verdict in check.verdicts]
    return junit_document("check", cases, facts, (check.first_start, check.last_end))


def _case(verdict: Verdict) -> Case:
    where = f" [{key_text(verdict.key)}]" if verdict.key else ""
    name = f"{verdict.gate.title}{where}"
    if verdict.holds:
        return Case(name=name)
    problem = f"got {_got(verdict)}, expected {verdict.gate.text}"
    details = (key_text(verdict.key), counted(verdict.calls, "call"), detail(verdict))
    return Case(name=name, problem=problem, details=details)


def markdown_text(check: GateCheck, *, rejected: int = 0) -> str:
    """Judged gates as a Markdown table, those that failed first, for pull requests and job summaries.

    Of very many there are the first 1,000, as these places hold no more than a megabyte.

    Args:
        check: the judged gates.
        rejected: how many rows of the logs were rejected and so not judged.
    """
    lines = [
        f"### {summary_line(check)}",
        "",
        "| | Gate | Configuration | Value | Calls | |",
        "|---|---|---|---:|---:|---|",
    ]
    verdicts = sorted(check.verdicts, key=lambda verdict: verdict.holds)
    for verdict in verdicts[:_MOST_MARKDOWN_ROWS]:
        gate = verdict.gate
        cells = [
            gate_text(gate),
            key_text(verdict.key) or "all calls",
            gate.shown(verdict.value),
            f"{verdict.calls:,}",
        ]
        texts = [as_markdown(text) for text in (*cells, detail(verdict))]
        lines.append(f"| {'✅ holds' if verdict.holds else '❌ failed'} | {' | '.join(texts)} |")
    rest = len(verdicts) - _MOST_MARKDOWN_ROWS
    if rest > 0:
        failed = sum(not verdict.holds for verdict in verdicts[_MOST_MARKDOWN_ROWS:])
        lines += ["", f"{counted(rest, 'more row')}, {failed:,} of them failed: --json has all of them"]
    if rejected:
        lines += ["", f"Rejected rows, not judged: {rejected:,}"]
    return "\n".join(lines) + "\n"


def verdict_table(check: GateCheck) -> pl.DataFrame:
    """One row for each verdict.

    Returns:
        ``gate``, the key columns (``NAME_key`` for one whose name is taken), ``value``, ``low``, ``high`` and
        ``unit``, ``calls``, ``holds``, ``judged_windows``, ``failed_windows`` and ``worst_start_s`` (null
        without windows), ``reason`` (null for none).
    """
    windows = [verdict.windows for verdict in check.verdicts]
    figures = {
        "value": [verdict.value for verdict in check.verdicts],
        "low": [verdict.low for verdict in check.verdicts],
        "high": [verdict.high for verdict in check.verdicts],
        "unit": [verdict.gate.canonical_unit for verdict in check.verdicts],
        "calls": [verdict.calls for verdict in check.verdicts],
        "holds": [verdict.holds for verdict in check.verdicts],
        "judged_windows": [None if some is None else some.judged for some in windows],
        "failed_windows": [None if some is None else some.failed for some in windows],
        "worst_start_s": [None if some is None else some.worst_start_s for some in windows],
        "reason": [verdict.reason or None for verdict in check.verdicts],
    }
    taken = {"gate", *figures}
    keys = {
        f"{name}_key" if name in taken else name: [verdict.key.get(name) for verdict in check.verdicts]
        for name in check.by
    }
    gates = [gate_text(verdict.gate) for verdict in check.verdicts]
    return pl.DataFrame({"gate": gates, **keys, **figures}, schema_overrides=_FIGURE_TYPES)


def write_verdicts(check: GateCheck, folder: Path) -> None:
    """Writes gates.csv, gates.json, gates.md and junit.xml into an existing folder."""
    inputs = [check.source]
    write_csv(verdict_table(check), folder / "gates.csv")
    write_text(folder / "gates.json", json_text(check_document(check, inputs)))
    write_text(folder / "gates.md", markdown_text(check, rejected=check.unjudged))
    write_text(folder / "junit.xml", junit_xml(check, inputs, rejected=check.unjudged))
