"""Gates: what a run has to keep to, in one line of text each, judged for every configuration."""

from loadlens.gates.evaluate import GateCheck, Verdict, Windows, check_gates, gates_question
from loadlens.gates.grammar import Gate, Scope, checked_gates, parse_gate, parse_gates, read_gates
from loadlens.gates.verdict_files import check_document, failures, junit_xml, markdown_text

__all__ = [
    "Gate",
    "GateCheck",
    "Scope",
    "Verdict",
    "Windows",
    "check_document",
    "check_gates",
    "checked_gates",
    "failures",
    "gates_question",
    "junit_xml",
    "markdown_text",
    "parse_gate",
    "parse_gates",
    "read_gates",
]
