"""Turns very large load-test logs into decisions.

Names are imported when they are first used: the command line hears an interrupt before anything is.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loadlens.api import (
        compute_cost_savings,
        summarize,
        summarize_concurrency_results,
        summarize_stability_results,
    )
    from loadlens.comparison import ComparedRun, Comparison, compare
    from loadlens.cost import Capacity, Costing, Strategy, Traffic
    from loadlens.cost.prices import PriceTable, load_prices
    from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError, WorkerError
    from loadlens.gates import Gate, GateCheck, Verdict, check_gates, parse_gates, read_gates
    from loadlens.logs import (
        ColumnMap,
        EndpointMetricsSource,
        Findings,
        Log,
        Reading,
        Source,
        read_log,
        scan_log,
    )
    from loadlens.profile import Execution, Measure, Outliers, Profile, Progress
    from loadlens.results import ChartFormat, ConcurrencyResult, CostResult, StabilityResult, SummaryResult
    from loadlens.storage.location import PathSource
    from loadlens.tasks.analysis_run import LogAnalysis, ToolkitAnalysis, analyze
    from loadlens.tasks.decisions import Decisions
    from loadlens.tasks.profile_files import load_profile, merge_profiles, profile_log

    __version__: str

logging.getLogger(__name__).addHandler(logging.NullHandler())  # warnings are findings of a log

_HOMES: Final = {
    "api": (
        "compute_cost_savings",
        "summarize",
        "summarize_concurrency_results",
        "summarize_stability_results",
    ),
    "comparison": ("ComparedRun", "Comparison", "compare"),
    "cost": ("Capacity", "Costing", "Strategy", "Traffic"),
    "cost.prices": ("PriceTable", "load_prices"),
    "errors": ("InputError", "LoadlensError", "OutputError", "PriceError", "UsageError", "WorkerError"),
    "gates": ("Gate", "GateCheck", "Verdict", "check_gates", "parse_gates", "read_gates"),
    "logs": (
        "ColumnMap",
        "EndpointMetricsSource",
        "Findings",
        "Log",
        "Reading",
        "Source",
        "read_log",
        "scan_log",
    ),
    "profile": ("Execution", "Measure", "Outliers", "Profile", "Progress"),
    "results": ("ChartFormat", "ConcurrencyResult", "CostResult", "StabilityResult", "SummaryResult"),
    "storage.location": ("PathSource",),
    "tasks.analysis_run": ("LogAnalysis", "ToolkitAnalysis", "analyze"),
    "tasks.decisions": ("Decisions",),
    "tasks.profile_files": ("load_profile", "merge_profiles", "profile_log"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Capacity",
    "ChartFormat",
    "ColumnMap",
    "ComparedRun",
    "Comparison",
    "ConcurrencyResult",
    "CostResult",
    "Costing",
    "Decisions",
    "EndpointMetricsSource",
    "Execution",
    "Findings",
    "Gate",
    "GateCheck",
    "InputError",
    "LoadlensError",
    "Log",
    "LogAnalysis",
    "Measure",
    "Outliers",
    "OutputError",
    "PathSource",
    "PriceError",
    "PriceTable",
    "Profile",
    "Progress",
    "Reading",
    "Source",
    "StabilityResult",
    "Strategy",
    "SummaryResult",
    "ToolkitAnalysis",
    "Traffic",
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


def __getattr__(name: str) -> object:
    """Imports a public name when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("loadlens")
    elif name in _HOME_OF:
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
