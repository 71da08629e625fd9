"""A comparison as a JUnit report."""

from collections.abc import Sequence
from typing import Any

from loadlens.comparison import VERDICTS, Comparison
from loadlens.messages import counted
from loadlens.publish.junit import Case, junit_document
from loadlens.report.columns import key_text
from loadlens.report.comparison_report import change_text, deciding_text, figure_text, metric_header

__all__ = ["comparison_junit"]


def comparison_junit(comparison: Comparison) -> str:
    """A test case for each key of both runs, which fails if the key is worse; times are none.

    Args:
        comparison: the comparison.
    """
    per_key = comparison.metrics.height // max(comparison.keys.height, 1)
    metrics = comparison.metrics.to_dicts()
    cases = [
        _case(comparison.by, key, metrics[number * per_key : (number + 1) * per_key])
        for number, key in enumerate(comparison.keys.iter_rows(named=True))
    ]
    facts = {
        "base": comparison.base.name,
        "candidate": comparison.candidate.name,
        "minimum_effect": f"{comparison.min_effect:.4g}",
    }
    return junit_document("compare", cases, facts, (None, None))


def _case(by: Sequence[str], key: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> Case:
    name = key_text(by, [key[one] for one in by]) if by else "all calls"
    if key["verdict"] != VERDICTS[0]:
        return Case(name=name)
    details = [
        f"{metric_header(metric['metric'])}: {figure_text(metric['metric'], metric['base'])} -> "
        f"{figure_text(metric['metric'], metric['candidate'])}, "
        f"{change_text(metric['metric'], metric['difference'], metric['base'])}"
        for metric in metrics
        if metric["metric_verdict"] == VERDICTS[0]
    ]
    calls = f"{counted(key['base_calls'], 'call')} before, {counted(key['candidate_calls'], 'call')} now"
    return Case(name=name, problem=f"worse: {deciding_text(key['deciding'])}", details=[*details, calls])
