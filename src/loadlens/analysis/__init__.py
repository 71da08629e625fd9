"""Pure functions from logs to small summary frames."""

from loadlens.analysis.concurrency import ConcurrencyStatistics, concurrency_statistics
from loadlens.analysis.cost import CostAnalysis, cost_analysis
from loadlens.analysis.endpoint import endpoint_summary
from loadlens.analysis.shared import InvocationStatistics
from loadlens.analysis.stability import StabilityStatistics, stability_statistics
from loadlens.analysis.summary import SummaryStatistics, checked_key, summary_question, summary_statistics

__all__ = [
    "ConcurrencyStatistics",
    "CostAnalysis",
    "InvocationStatistics",
    "StabilityStatistics",
    "SummaryStatistics",
    "checked_key",
    "concurrency_statistics",
    "cost_analysis",
    "endpoint_summary",
    "stability_statistics",
    "summary_question",
    "summary_statistics",
]
