"""Pure functions from logs to small summary frames."""

from loadlens.summaries.apdex import Apdex
from loadlens.summaries.by_key import SummaryStatistics, checked_key, summary_question, summary_statistics
from loadlens.summaries.details import Details
from loadlens.summaries.summary_columns import InvocationStatistics
from loadlens.summaries.toolkit_summaries import (
    ConcurrencyStatistics,
    StabilityStatistics,
    concurrency_statistics,
    endpoint_summary,
    stability_statistics,
)

__all__ = [
    "Apdex",
    "ConcurrencyStatistics",
    "Details",
    "InvocationStatistics",
    "StabilityStatistics",
    "SummaryStatistics",
    "checked_key",
    "concurrency_statistics",
    "endpoint_summary",
    "stability_statistics",
    "summary_question",
    "summary_statistics",
]
