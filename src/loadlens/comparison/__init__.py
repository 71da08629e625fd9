"""Two runs compared key by key: differences, their confidence intervals, and verdicts."""

from loadlens.comparison.compare import METRICS, MOST_DRAWN, Comparison, compare
from loadlens.comparison.verdicts import LEVEL, VERDICTS

__all__ = ["LEVEL", "METRICS", "MOST_DRAWN", "VERDICTS", "Comparison", "compare"]
