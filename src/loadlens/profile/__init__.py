"""The statistics engine: from a canonical log and a plan to exact figures by configuration."""

from loadlens.profile.engine import measure, on_good_rows, scanning
from loadlens.profile.passes import UnusableRowsError
from loadlens.profile.plan import (
    DEFAULT_PERCENTILES,
    Execution,
    Outliers,
    Plan,
    Statistics,
    below_name,
    checked_outliers,
    percentile_name,
    success_of,
)
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import OnProgress, Progress
from loadlens.profile.scan import Scan, parsed
from loadlens.profile.views import heatmap, spectrum, timeline

__all__ = [
    "DEFAULT_PERCENTILES",
    "Execution",
    "OnProgress",
    "Outliers",
    "Plan",
    "Profile",
    "Progress",
    "Scan",
    "Statistics",
    "UnusableRowsError",
    "below_name",
    "checked_outliers",
    "heatmap",
    "key_names",
    "measure",
    "on_good_rows",
    "parsed",
    "percentile_name",
    "scanning",
    "spectrum",
    "success_of",
    "timeline",
]
