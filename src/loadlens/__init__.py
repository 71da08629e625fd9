"""Turns very large load-test logs into decisions."""

import logging
from importlib.metadata import version

from loadlens.analyze import LogAnalysis, ToolkitAnalysis, analyze
from loadlens.api import (
    compute_cost_savings,
    summarize,
    summarize_concurrency_results,
    summarize_stability_results,
)
from loadlens.comparison import Comparison, compare
from loadlens.costing import Costing
from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError, WorkerError
from loadlens.gates import Gate, GateCheck, Verdict, check_gates, parse_gates, read_gates
from loadlens.prices import PriceTable, load_prices
from loadlens.profile import Profile, Progress
from loadlens.profiles import load_profile, merge_profiles, profile_log
from loadlens.results import ConcurrencyResult, CostResult, StabilityResult, SummaryResult
from loadlens.sources import Log, Reading, read_log, scan_log

logging.getLogger(__name__).addHandler(logging.NullHandler())  # warnings are findings of a log

__all__ = [
    "Comparison",
    "ConcurrencyResult",
    "CostResult",
    "Costing",
    "Gate",
    "GateCheck",
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
    "Verdict",
    "WorkerError",
    "__version__",
    "analyze",
    "check_gates",
    "compare",
    "compute_cost_savings",
    "load_prices",
    "load_profile",
    "merge_profiles",
    "parse_gates",
    "profile_log",
    "read_gates",
    "read_log",
    "scan_log",
    "summarize",
    "summarize_concurrency_results",
    "summarize_stability_results",
]

__version__ = version("loadlens")
