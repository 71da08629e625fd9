"""Turns very large load-test logs into decisions."""

from importlib.metadata import version

from loadlens.analyze import LogAnalysis, ToolkitAnalysis, analyze
from loadlens.api import (
    compute_cost_savings,
    summarize,
    summarize_concurrency_results,
    summarize_stability_results,
)
from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError
from loadlens.prices import PriceTable, load_prices
from loadlens.profile import Profile, Progress
from loadlens.results import ConcurrencyResult, CostResult, StabilityResult, SummaryResult
from loadlens.sources import Log, Reading, read_log, scan_log

__all__ = [
    "ConcurrencyResult",
    "CostResult",
    "InputError",
    "LoadlensError",
    "Log",
    "LogAnalysis",
    "OutputError",
    "PriceError",
    "PriceTable",
    "Profile",
    "Progress",
    "Reading",
    "StabilityResult",
    "SummaryResult",
    "ToolkitAnalysis",
    "UsageError",
    "__version__",
    "analyze",
    "compute_cost_savings",
    "load_prices",
    "read_log",
    "scan_log",
    "summarize",
    "summarize_concurrency_results",
    "summarize_stability_results",
]

__version__ = version("loadlens")
