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
    from loadlens.charts.pictures import Picture
    from loadlens.comparison import ComparedRun, Comparison, Prices
    from loadlens.cost import Capacity, Costing, Objective, Strategy, Traffic
    from loadlens.cost.prices import PriceTable, load_prices
    from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError, WorkerError
    from loadlens.gates import Gate, GateCheck, Scope, Verdict, Windows, check_gates, parse_gates, read_gates
    from loadlens.logs import (
        ColumnMap,
        EndpointMetricsSource,
        Findings,
        Log,
        Reading,
        Source,
        StorageOptions,
        read_log,
        scan_log,
    )
    from loadlens.logs.discovery import NameKeys
    from loadlens.logs.findings import MaxRejects
    from loadlens.profile import Execution, Measure, MeasureOptions, Outliers, Profile, Progress
    from loadlens.profile.execution import Engine
    from loadlens.profile.phases import Phases
    from loadlens.profile.progress import Limits
    from loadlens.results import ChartFormat, ConcurrencyResult, CostResult, StabilityResult, SummaryResult
    from loadlens.storage.location import PathSource
    from loadlens.summaries import Apdex, Details
    from loadlens.summaries.load import Load
    from loadlens.summaries.scalability import Scalability
    from loadlens.tasks.analysis_options import AnalysisOptions
    from loadlens.tasks.analysis_run import LogAnalysis, ToolkitAnalysis, analyze
    from loadlens.tasks.decision_results import ComparisonResult, CostingResult, compare
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
    "charts.pictures": ("Picture",),
    "comparison": ("ComparedRun", "Comparison", "Prices"),
    "cost": ("Capacity", "Costing", "Objective", "Strategy", "Traffic"),
    "cost.prices": ("PriceTable", "load_prices"),
    "errors": ("InputError", "LoadlensError", "OutputError", "PriceError", "UsageError", "WorkerError"),
    "gates": ("Gate", "GateCheck", "Scope", "Verdict", "Windows", "check_gates", "parse_gates", "read_gates"),
    "logs": (
        "ColumnMap",
        "EndpointMetricsSource",
        "Findings",
        "Log",
        "Reading",
        "Source",
        "StorageOptions",
        "read_log",
        "scan_log",
    ),
    "logs.discovery": ("NameKeys",),
    "logs.findings": ("MaxRejects",),
    "profile": ("Execution", "Measure", "MeasureOptions", "Outliers", "Profile", "Progress"),
    "profile.execution": ("Engine",),
    "profile.phases": ("Phases",),
    "profile.progress": ("Limits",),
    "results": ("ChartFormat", "ConcurrencyResult", "CostResult", "StabilityResult", "SummaryResult"),
    "storage.location": ("PathSource",),
    "summaries": ("Apdex", "Details"),
    "summaries.load": ("Load",),
    "summaries.scalability": ("Scalability",),
    "tasks.analysis_options": ("AnalysisOptions",),
    "tasks.analysis_run": ("LogAnalysis", "ToolkitAnalysis", "analyze"),
    "tasks.decision_results": ("ComparisonResult", "CostingResult", "compare"),
    "tasks.decisions": ("Decisions",),
    "tasks.profile_files": ("load_profile", "merge_profiles", "profile_log"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnalysisOptions",
    "Apdex",
    "Capacity",
    "ChartFormat",
    "ColumnMap",
    "ComparedRun",
    "Comparison",
    "ComparisonResult",
    "ConcurrencyResult",
    "CostResult",
    "Costing",
    "CostingResult",
    "Decisions",
    "Details",
    "EndpointMetricsSource",
    "Engine",
    "Execution",
    "Findings",
    "Gate",
    "GateCheck",
    "InputError",
    "Limits",
    "Load",
    "LoadlensError",
    "Log",
    "LogAnalysis",
    "MaxRejects",
    "Measure",
    "MeasureOptions",
    "NameKeys",
    "Objective",
    "Outliers",
    "OutputError",
    "PathSource",
    "Phases",
    "Picture",
    "PriceError",
    "PriceTable",
    "Prices",
    "Profile",
    "Progress",
    "Reading",
    "Scalability",
    "Scope",
    "Source",
    "StabilityResult",
    "StorageOptions",
    "Strategy",
    "SummaryResult",
    "ToolkitAnalysis",
    "Traffic",
    "UsageError",
    "Verdict",
    "Windows",
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
