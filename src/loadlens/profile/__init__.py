"""The statistics engine: from a canonical log and a plan to exact figures by configuration."""

from loadlens.profile.engine import measure
from loadlens.profile.plan import DEFAULT_PERCENTILES, Outliers, Plan, Statistics, key_names, percentile_name

__all__ = ["DEFAULT_PERCENTILES", "Outliers", "Plan", "Statistics", "key_names", "measure", "percentile_name"]
