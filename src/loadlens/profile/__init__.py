"""The profile, a small mergeable summary of a log: what it is made of, its views, and how it is saved."""

from loadlens.profile.execution import Execution, MeasureOptions
from loadlens.profile.measures import Measure
from loadlens.profile.plan import (
    DEFAULT_PERCENTILES,
    Outliers,
    Plan,
    Statistics,
    UnusableRowsError,
    WindowPlan,
    below_name,
    checked_outliers,
    percentile_name,
    success_of,
)
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.profile_views import heatmap, spectrum
from loadlens.profile.progress import OnProgress, Progress

__all__ = [
    "DEFAULT_PERCENTILES",
    "Execution",
    "Measure",
    "MeasureOptions",
    "OnProgress",
    "Outliers",
    "Plan",
    "Profile",
    "Progress",
    "Statistics",
    "UnusableRowsError",
    "WindowPlan",
    "below_name",
    "checked_outliers",
    "heatmap",
    "key_names",
    "percentile_name",
    "spectrum",
    "success_of",
]
