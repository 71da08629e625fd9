"""Turns very large load-test logs into decisions."""

from importlib.metadata import version

from loadlens.api import (
    ConcurrencyResult,
    CostResult,
    StabilityResult,
    SummaryResult,
    compute_cost_savings,
    summarize,
    summarize_concurrency_results,
    summarize_stability_results,
)
from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError
from loadlens.prices import PriceTable, load_prices
from loadlens.sources import scan_log

__all__ = [
    "ConcurrencyResult",
    "CostResult",
    "InputError",
    "LoadlensError",
    "OutputError",
    "PriceError",
    "PriceTable",
    "StabilityResult",
    "SummaryResult",
    "UsageError",
    "__version__",
    "compute_cost_savings",
    "load_prices",
    "scan_log",
    "summarize",
    "summarize_concurrency_results",
    "summarize_stability_results",
]

__version__ = version("loadlens")
